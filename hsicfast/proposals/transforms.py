"""Wishes: what an optimiser is to look for, and the transformed losses and costs that it learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats
from hsicfast.trials.goal import within_fence
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, PRUNED

# POWERS: the bounds of the power in the transform of losses. Power 1 leaves them as they are, power 0 is the logarithm.
# A power below 0 would leave differences between the best few trials only, a power above 1 between the worst few.
POWERS = (0.0, 1.0)
# MOST_EXCESS: a cost this many times too high, or too low, teaches an optimiser as much as any more extreme cost.
MOST_EXCESS = 1e3


@dataclass(frozen=True)
class Lesson:
    """What a trial teaches: the value that is to be minimised, and constraints that are met if they are at most 0."""

    value: float
    constraints: dict[str, float]


class Wish(Protocol):
    """What an optimiser is to look for."""

    @property
    def most(self) -> float | None:
        """The most that a proposal may be expected to cost; None if it may cost anything."""

    def lessons(self, trials: TrialTable) -> tuple[list[float], list[dict[str, float]]]:
        """What the optimiser learns from `trials`.

        Returns
        -------
        values : list of float (n,)
            What it is to minimise; NaN if a trial teaches nothing.
        constraints : list of dict (n,)
            By name; a constraint is met if it is at most 0.
        """

    def refused(self, known: Sequence[Lesson], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """The value and the constraints of a proposal that is refused because its price is over the limit.

        Parameters
        ----------
        known : sequence of Lesson
            Of the trials that the optimiser has seen.
        excess : float
            Logarithm of the price over the limit.
        most : float
            The limit.
        """


@dataclass(frozen=True)
class Best:
    """The best objective.

    Parameters
    ----------
    warp : bool
        Whether the optimiser sees the losses after the power transform that makes them most normal (:func:`warped`).
    """

    warp: bool = False
    most: float | None = field(default=None, init=False)

    def lessons(self, trials: TrialTable) -> tuple[list[float], list[dict[str, float]]]:
        """See :meth:`Wish.lessons`."""
        losses = bounded(trials)
        return warped(losses) if self.warp else losses, [{} for _ in losses]

    def refused(self, known: Sequence[Lesson], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """See :meth:`Wish.refused`: its objective is unknown, and the mean of the known ones misleads least."""
        return _mean([own.value for own in known]), {}


# BEST: the wish if a caller names no other.
BEST = Best()


@dataclass(frozen=True)
class BestBelow(Best):
    """The best objective among configurations whose expected cost is at most `most`.

    Parameters
    ----------
    warp : bool
        As in :class:`Best`.
    most : float > 0, optional
        None for no limit.
    """

    most: float | None = None


@dataclass(frozen=True)
class CheapAndAsGoodAs:
    """The lowest cost among configurations whose expected loss is at most `limit`.

    Parameters
    ----------
    limit : float
        A loss.
    least : float
        Lower costs count as this one, so that they are no better.
    warp : bool
        As in :class:`Best`; the limit goes through the same transform.
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

    def refused(self, known: Sequence[Lesson], excess: float, most: float) -> tuple[float, dict[str, float]]:
        """See :meth:`Wish.refused`: its price counts as its cost."""
        return excess + math.log(most), {"objective": _mean([own.constraints["objective"] for own in known])}


def over_limit(costs: Floats, most: float) -> list[float]:
    """Logarithms of costs (n,) over the limit `most`; an unknown cost counts as the mean of the known ones."""
    over = log_excess(costs, most)
    usual = float(np.mean(over[np.isfinite(over)])) if np.isfinite(over).any() else 0.0
    return np.nan_to_num(over, nan=usual).tolist()


def _mean(values: Sequence[Any]) -> float:
    """Mean of the values; 0 if there are none."""
    return float(np.mean(values)) if len(values) else 0.0


def bounded(trials: TrialTable) -> list[float]:
    """Losses (n,) that an optimiser can learn from: finite, and without extreme outliers.

    A diverged trial counts as the worst of the others. If it were left out, a Gaussian process would go on proposing
    the region that diverges, because it would see nothing bad there. One loss of 1e12 would make all others look the
    same to it, so that a loss beyond Tukey's outer fence (:func:`~hsicfast.trials.goal.within_fence`) is moved
    onto the fence.

    A trial that was stopped early counts with its last value; if it were left out, it would be proposed again. It
    counts as no better than the best finished trial, because it has not proved to be better, and it does not move the
    fence, because it was only half trained.
    """
    early = np.where(trials.status == PRUNED, trials.losses, np.nan)
    losses = np.where(trials.status == DONE, trials.losses, np.nan)
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return [0.0] * len(trials)
    worst = float(within_fence(finite))
    losses = np.where(np.isfinite(early), np.maximum(early, finite.min()), losses)
    return np.where(np.isfinite(losses), np.minimum(losses, worst), worst).tolist()


def warped(values: Sequence[float]) -> list[float]:
    """Losses after the power transform that makes them most normal (Box and Cox, 1964); their order stays the same.

    Each loss l, divided by the geometric mean of all, becomes ``(l^p - 1) / p``, or its logarithm if p = 0. The power p
    in [0, 1] is the one of the largest likelihood. A Gaussian process that sees errors of 0.3, 0.01 and 0.003 as they
    are takes the last two for equal, because their difference is small beside the first; it then cannot learn what
    makes a good error better.

    Parameters
    ----------
    values : sequence of float
        Finite losses.

    Returns
    -------
    list of float
        The `values` themselves if a loss is not above 0, or if all are equal.

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
    """Logarithms of costs (n,) over the limit `most`, at most MOST_EXCESS times too high or low; NaN if unknown."""
    return np.log(np.clip(np.array(costs, dtype=np.float64) / most, 1 / MOST_EXCESS, MOST_EXCESS))


def log_costs(trials: TrialTable, least: float = 0.0) -> list[float]:
    """Logarithms of the costs, because costs differ by factors; a cost below `least` counts as it, NaN if unknown."""
    costs = trials.cost
    least = max(least, float(np.min(costs[costs > 0], initial=np.inf)))
    return np.log(np.maximum(costs, least) if np.isfinite(least) else np.ones(len(costs))).tolist()
