"""What an optimiser learns from: losses and costs transformed, by what is wanted of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, PRUNED

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# 1 leaves the objectives as they are, 0 is the logarithm. Below it the best few would be all that is seen, and above 1
# the worst.
POWERS = (0.0, 1.0)


class Wish(Protocol):
    """What an optimiser is to look for."""

    @property
    def most(self) -> float | None:
        """The most that it is expected to cost; None if it may cost anything."""

    def lessons(self, trials: TrialTable) -> tuple[list[float], list[dict[str, float]]]:
        """The values (n,) to minimise, NaN if a trial teaches nothing, and the constraints (n,), met at 0 or below."""

    def refused(self, known: Sequence[FrozenTrial], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """The value and the constraints of a proposal whose price is over the limit `most`, by `excess` (logarithm).

        `known` are the trials that the optimiser has seen.
        """


@dataclass(frozen=True)
class Best:
    """The best objective.

    Parameters
    ----------
    warp : bool
        Whether the optimiser sees the losses by the power that makes them most normal (:func:`warped`).
    """

    warp: bool = False
    most: float | None = field(default=None, init=False)

    def lessons(self, trials: TrialTable) -> tuple[list[float], list[dict[str, float]]]:
        """See :meth:`Wish.lessons`."""
        losses = bounded(trials)
        return warped(losses) if self.warp else losses, [{} for _ in losses]

    def refused(self, known: Sequence[FrozenTrial], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """See :meth:`Wish.refused`: nothing is known of its objective, and the mean says least."""
        return _mean([own.value for own in known]), {}


# What is wanted unless something else is said.
BEST = Best()


@dataclass(frozen=True)
class BestBelow(Best):
    """The best objective that is expected to cost at most this.

    Parameters
    ----------
    warp : bool
        As of :class:`Best`.
    most : float > 0
    """

    most: float | None = None


@dataclass(frozen=True)
class CheapAndAsGoodAs:
    """The lowest cost with a loss that is expected to be at most `limit`.

    Parameters
    ----------
    limit : float
        A loss.
    least : float
        What costs less is worth no more than what costs this.
    warp : bool
        As of :class:`Best`, the limit by the same power.
    """

    limit: float
    least: float = 0.0
    warp: bool = False
    most: float | None = field(default=None, init=False)

    def lessons(self, trials: TrialTable) -> tuple[list[float], list[dict[str, float]]]:
        """See :meth:`Wish.lessons`."""
        losses, limit = bounded(trials), self.limit
        if self.warp:
            *losses, limit = warped([*losses, limit])
        return log_costs(trials, self.least), [{"objective": loss - limit} for loss in losses]

    def refused(self, known: Sequence[FrozenTrial], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """See :meth:`Wish.refused`: its cost is its price."""
        return excess + math.log(most), {"objective": _mean([own.constraints["objective"] for own in known])}


def over_limit(costs: Floats, most: float) -> list[float]:
    """How far costs (n,) are over the limit, in logarithms; an unknown one counts as their mean."""
    over = log_excess(costs, most)
    usual = float(np.mean(over[np.isfinite(over)])) if np.isfinite(over).any() else 0.0
    return np.nan_to_num(over, nan=usual).tolist()


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def bounded(trials: TrialTable) -> list[float]:
    """Losses an optimiser can learn from: finite, and none out of all proportion.

    A diverged trial counts as the worst of these: left out, a Gaussian process would go on proposing the region that
    diverges, for it sees nothing bad there. And one objective of 1e12 would make all others look the same to it, so
    what is worse than Tukey's outer fence (3 interquartile ranges above the upper quartile) is moved onto the fence.

    A trial that was stopped early counts by its last value: left out, it would be proposed again. It is no better than
    the best that is done, for it has not shown to be, and it moves no fence, for it was stopped half-trained.
    """
    early = np.where(trials.status == PRUNED, trials.losses, np.nan)
    losses = np.where(trials.status == DONE, trials.losses, np.nan)
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return [0.0] * len(trials)
    lower, upper = np.percentile(finite, [25, 75])
    worst = min(float(finite.max()), float(upper + 3 * (upper - lower)))
    losses = np.where(np.isfinite(early), np.maximum(early, finite.min()), losses)
    return np.where(np.isfinite(losses), np.minimum(losses, worst), worst).tolist()


def warped(values: Sequence[float]) -> list[float]:
    """Losses by the power that makes them most normal, in their order (Box and Cox, 1964).

    ``(l^p - 1) / p`` of each loss l, over their geometric mean, with the p in [0, 1] of the largest likelihood; the
    logarithm for p = 0. A process that sees errors of 0.3, 0.01 and 0.003 as they are takes the last two for equal, for
    next to the first they are: what would make the better of them better still it cannot learn.

    Parameters
    ----------
    values : sequence of float
        Finite losses.

    Returns
    -------
    list of float
        The `values` themselves where some loss is not above 0, or all are alike.

    Examples
    --------
    >>> [round(value, 2) for value in warped([0.001, 0.01, 0.1, 1.0])]
    [-3.45, -1.15, 1.15, 3.45]
    >>> warped([0.0, 0.01, 0.1, 1.0])
    [0.0, 0.01, 0.1, 1.0]
    """
    from scipy import stats

    losses = np.array(values, dtype=np.float64)
    if not len(losses) or losses.min() <= 0 or np.ptp(losses) == 0:
        return list(values)
    losses /= np.exp(np.mean(np.log(losses)))
    power = float(np.clip(stats.boxcox(losses)[1], *POWERS))
    return stats.boxcox(losses, power).tolist()


def log_excess(costs: ArrayLike, most: float) -> Floats:
    """Logarithms of costs (n,) over the limit, NaN where unknown; 1,000 times too dear is as bad as infinitely."""
    return np.log(np.clip(np.array(costs, dtype=np.float64) / most, 1e-3, 1e3))


def log_costs(trials: TrialTable, least: float = 0.0) -> list[float]:
    """Logarithms of the costs, for they differ by factors, and of `least` for those below it; NaN where unknown."""
    costs = trials.cost
    least = max(least, float(np.min(costs[costs > 0], initial=np.inf)))
    return np.log(np.maximum(costs, least) if np.isfinite(least) else np.ones(len(costs))).tolist()
