"""The Runge function: regress 1 / (1 + a x^2) on [-1, 1] from few points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from lightning_tasks import module, nets
from lightning_tasks.data import Pair, Split


@dataclass(frozen=True)
class Runge:
    """Regress the Runge function; the metric is the root mean square error.

    Parameters
    ----------
    a
        Sharpness of the peak, above 0.
    points
        Equidistant training points, at least 2.
    validation_points
        Validation points, drawn uniformly.
    test_points
        Equidistant test points.
    seed
        Seed of the validation points.
    """

    a: float = 25.0
    points: int = 11
    validation_points: int = 200
    test_points: int = 1000
    seed: int = 0

    defaults: ClassVar[Mapping[str, Any]] = nets.MLP_DEFAULTS
    losses: ClassVar[Mapping[str, module.Loss]] = module.REGRESSION_LOSSES
    metric: ClassVar[module.Metric] = module.RMSE
    shape: ClassVar[tuple[int, ...]] = (1,)

    def prepare(self) -> None:
        """Check the values.

        Raises
        ------
        ValueError
            If a value is impossible.
        """
        if not (self.a > 0 and np.isfinite(self.a)):
            raise ValueError(f"`a > 0` must hold, but got a={self.a}; pass `task.data.a=25`.")
        for name, least in (("points", 2), ("validation_points", 1), ("test_points", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"`{name} >= {least}` must hold, but got {name}={getattr(self, name)}; "
                    f"pass a larger `task.data.{name}=`."
                )

    def load(self) -> Split:
        """The three parts, computed once per process."""
        return _load(self)

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """An MLP from x to the value."""
        return nets.mlp(1, 1, settings)


def runge(x: np.ndarray, a: float) -> np.ndarray:
    """`1 / (1 + a x^2)`.

    >>> runge(np.array([0.0, 0.2, 1.0]), 25.0).round(6).tolist()
    [1.0, 0.5, 0.038462]
    """
    return np.asarray(1.0 / (1.0 + a * x**2))


@lru_cache(maxsize=1)
def _load(task: Runge) -> Split:
    drawn = np.random.default_rng(task.seed).uniform(-1.0, 1.0, task.validation_points)

    def pair(x: np.ndarray) -> Pair:
        inputs, targets = x[:, None], runge(x, task.a)[:, None]
        return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)

    return Split(
        train=pair(np.linspace(-1.0, 1.0, task.points)),
        validation=pair(drawn),
        test=pair(np.linspace(-1.0, 1.0, task.test_points)),
    )
