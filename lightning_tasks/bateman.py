"""The Bateman equations: learn (initial abundances, t) -> abundances(t) of a linear decay chain.

Nuclide i decays into nuclide i + 1 with constant lambda_i; the last one decays out of the chain (or not at all, if its
constant is 0): dN_1/dt = -lambda_1 N_1, dN_i/dt = lambda_{i-1} N_{i-1} - lambda_i N_i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.linalg import expm
from torch import nn

from lightning_tasks import module, nets
from lightning_tasks.data import Pair, Split

# The closed form loses more than half of its digits if two constants differ by less than this, relative to the larger.
_CLOSEST = 1e-4


@dataclass(frozen=True)
class Bateman:
    """Learn the abundances of a decay chain over time; the metric is the root mean square error over all nuclides.

    Initial abundances are uniform on [0, 1], times uniform on [0, horizon]; the network sees time divided by it.

    Parameters
    ----------
    length
        Nuclides in the chain, at least 2.
    decay_constants
        One for each nuclide, none negative; None spreads them geometrically from 3 to 0.1.
    horizon
        Latest time.
    train_size, validation_size, test_size
        Number of samples in each part.
    seed
        Seed of the samples.
    """

    length: int = 5
    decay_constants: Sequence[float] | None = None
    horizon: float = 10.0
    train_size: int = 1000
    validation_size: int = 500
    test_size: int = 1000
    seed: int = 0

    defaults: ClassVar[Mapping[str, Any]] = nets.MLP_DEFAULTS
    losses: ClassVar[Mapping[str, module.Loss]] = module.REGRESSION_LOSSES
    metric: ClassVar[module.Metric] = module.RMSE

    def __post_init__(self) -> None:
        # a tuple, because the cache of loaded data uses the task as its key
        if self.decay_constants is not None:
            object.__setattr__(self, "decay_constants", tuple(float(value) for value in self.decay_constants))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input: the initial abundances and the time."""
        return (self.length + 1,)

    @property
    def constants(self) -> np.ndarray:
        """The decay constants, (length,)."""
        if self.decay_constants is None:
            return np.geomspace(3.0, 0.1, self.length)
        return np.asarray(self.decay_constants)

    def prepare(self) -> None:
        """Check the values.

        Raises
        ------
        ValueError
            If a value is impossible.
        """
        for name, least in (("length", 2), ("train_size", 2), ("validation_size", 1), ("test_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"`{name} >= {least}` must hold, but got {name}={getattr(self, name)}; "
                    f"pass a larger `task.data.{name}=`."
                )
        if not (self.horizon > 0 and np.isfinite(self.horizon)):
            raise ValueError(f"`horizon > 0` must hold, but got horizon={self.horizon}; pass `task.data.horizon=10`.")
        constants = self.constants
        if len(constants) != self.length or not np.isfinite(constants).all() or (constants < 0).any():
            raise ValueError(
                f"`decay_constants` must hold {self.length} finite numbers, none negative, but got "
                f"{constants.tolist()}; pass `task.data.decay_constants=[...]` to match `task.data.length`."
            )

    def load(self) -> Split:
        """The three parts, computed once per process."""
        return _load(self)

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """An MLP from (abundances, time) to abundances."""
        return nets.mlp(self.length + 1, self.length, settings)


def matrix_solution(constants: np.ndarray, initial: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Abundances at `times` by the matrix exponential, for any constants.

    Parameters
    ----------
    constants : (m,)
    initial : (n, m)
    times : (n,)

    Returns
    -------
    (n, m)
    """
    rates = np.diag(-constants) + np.diag(constants[:-1], -1)
    return np.einsum("nij,nj->ni", expm(times[:, None, None] * rates), initial)


def closed_solution(constants: np.ndarray, initial: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Abundances at `times` by Bateman's closed form; arguments and result as in `matrix_solution`.

    One unit of nuclide i at time 0 contributes to nuclide n at time t
    `prod_{j=i}^{n-1} lambda_j * sum_{j=i}^{n} exp(-lambda_j t) / prod_{k=i, k != j}^{n} (lambda_k - lambda_j)`.

    Raises
    ------
    ValueError
        If two constants are equal or nearly so: the denominators vanish.
    """
    ordered = np.sort(constants)
    if (np.diff(ordered) <= _CLOSEST * ordered[1:]).any():
        raise ValueError(
            f"the closed form needs decay constants that differ by more than {_CLOSEST} of their size, but got "
            f"{constants.tolist()}; use matrix_solution, which takes any."
        )
    decays = np.exp(-times[:, None] * constants)
    result = np.zeros_like(initial, dtype=float)
    for target in range(len(constants)):
        for source in range(target + 1):
            chain = constants[source : target + 1]
            gaps = chain[:, None] - chain
            np.fill_diagonal(gaps, 1.0)
            weights = np.prod(chain[:-1]) / gaps.prod(axis=0)
            result[:, target] += initial[:, source] * (decays[:, source : target + 1] @ weights)
    return result


@lru_cache(maxsize=1)
def _load(task: Bateman) -> Split:
    rng = np.random.default_rng(task.seed)

    def pair(size: int) -> Pair:
        initial, time = rng.uniform(size=(size, task.length)), rng.uniform(size=size)
        targets = matrix_solution(task.constants, initial, time * task.horizon)
        inputs = np.column_stack([initial, time])
        return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)

    return Split(train=pair(task.train_size), validation=pair(task.validation_size), test=pair(task.test_size))
