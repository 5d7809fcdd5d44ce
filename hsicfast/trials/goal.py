"""The goal decides which trials ended among the good ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.engines import scans
from hsicfast.errors import InputError, check_one_of, check_share
from hsicfast.text import number, share_text

Objective = TypeVar("Objective", float, NDArray[np.float64])

# The share of the trials that counts as good if nobody says: see auto_share.
Auto = Literal["auto"]
AUTO: Final = "auto"
USUAL_SHARE, LARGEST_SHARE, FEWEST_GOOD = 0.1, 1 / 3, 15
# From SAMPLED_FROM trials on, a sample of at least EDGE_SAMPLE of them first brackets the goal's edge.
SAMPLED_FROM, EDGE_SAMPLE = 50_000, 16_384
# A loss is as good as the best if it lies at most this share of the way from the best to what is usual among the better
# third of the trials drawn from the space, unless a tolerance is given.
TOLERANCE, BETTER_THIRD = 0.1, 1 / 3
# FENCE: a loss this many interquartile ranges above the upper quartile is an extreme outlier (Tukey's outer fence).
FENCE = 3
# Pairs of trials compared at once: one mark a pair fits into a processor's second cache (1 MiB).
PAIRS = 1 << 20


@dataclass(frozen=True)
class Threshold:
    """A goal that every objective at `value` or better meets, however many those are.

    Examples
    --------
    >>> goal_of([0.3, 0.1, float("nan"), 0.2], Threshold(0.2))
    Goal(met=array([False,  True, False,  True]), threshold=0.2)
    """

    value: float


class Goal(NamedTuple):
    """Which trials meet the goal, and where its edge lies.

    Attributes
    ----------
    met : bool array (n,)
    threshold : float
        Largest loss that still meets it; NaN if none does.
    """

    met: Bools
    threshold: float


def auto_share(n: int) -> float:
    """The best tenth of n trials, but at least 15 of them and at most a third.

    A handful of good trials shows little, and what most trials reach is not good.

    Examples
    --------
    >>> auto_share(1000), auto_share(60), round(auto_share(30), 3)
    (0.1, 0.25, 0.333)
    """
    return min(max(USUAL_SHARE, FEWEST_GOOD / max(n, 1)), LARGEST_SHARE)


def stated(goal: float | int | Threshold | Auto, n: int) -> float | int | Threshold:
    """The goal as people read it: "auto" is what it means for n trials, a share or a number of them.

    Examples
    --------
    >>> stated("auto", 1000), stated("auto", 60), stated(0.2, 60)
    (0.1, 15, 0.2)
    """
    if goal != AUTO:
        return goal
    share = auto_share(n)
    return share if share == USUAL_SHARE else max(round(share * n), 1)


def check_share_or_auto(goal: float | Auto) -> None:
    """Raise an InputError unless `goal` is a fraction in (0, 1) or "auto": before a run nobody knows more.

    Examples
    --------
    >>> check_share_or_auto("auto")
    """
    if isinstance(goal, str):
        check_one_of("goal", goal, (AUTO,), "or a fraction such as 0.1")
    else:
        check_share("goal", goal)


def share_or_threshold(goal: float | int | Threshold | Auto, n: int) -> float | Threshold | Auto:
    """A goal as people give it; a number of best trials among `n` becomes a share.

    Raises
    ------
    InputError
        If `goal` is no fraction in (0, 1), no count from 1 to n - 1, no finite threshold and not "auto".

    Examples
    --------
    >>> share_or_threshold(20, n=200), share_or_threshold(0.2, n=200)
    (0.1, 0.2)
    """
    if isinstance(goal, str):
        check_one_of("goal", goal, (AUTO,), "or a fraction such as 0.1, a count or a Threshold")
        return AUTO
    if isinstance(goal, Threshold):
        if not math.isfinite(goal.value):
            raise InputError(f"a threshold must be finite, but got {goal.value}; give what a good objective reaches")
        return goal
    if isinstance(goal, int | np.integer) and not isinstance(goal, bool) and goal >= 1:
        if goal >= n:
            raise InputError(
                f"the best so many of {n} trials must be fewer than all, but got goal={goal}; give less, or a fraction "
                "such as 0.1"
            )
        return float(goal) / n
    check_share("goal", goal)
    return float(goal)


def losses_of(objective: Objective, minimize: bool) -> Objective:
    """Objectives as losses: small losses are good. The same call turns losses back into objectives.

    Examples
    --------
    >>> losses_of(0.9, minimize=False), losses_of(-0.9, minimize=False), losses_of(0.3, minimize=True)
    (-0.9, 0.9, 0.3)
    """
    return objective if minimize else -objective


def within_fence(losses: Floats) -> Floats:
    """The largest of finite losses (n,) or (n, q), along the first axis, or Tukey's outer fence if that is lower.

    Examples
    --------
    >>> [float(within_fence(np.array([1.0, 2.0, 3.0, 4.0, last]))) for last in (5.0, 99.0)]
    [5.0, 10.0]
    """
    lower, upper = np.percentile(losses, [25, 75], axis=0)
    fenced: Floats = np.minimum(losses.max(axis=0), upper + FENCE * (upper - lower))
    return fenced


def goal_of(losses: ArrayLike, goal: float | Threshold | Auto) -> Goal:
    """The trials that meet a best fraction, or a threshold given as a loss; NaN and infinite losses never do.

    If many trials tie at the edge of "auto", they are in or out, whichever comes nearer to the share that is meant.

    Examples
    --------
    >>> goal_of([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], "auto").met.tolist().count(True)
    2
    """
    if goal == AUTO:
        return _nearest_fraction(np.asarray(losses, dtype=np.float64), auto_share(np.size(losses)))
    if not isinstance(goal, Threshold):
        return best_fraction(losses, goal)
    loss = np.asarray(losses, dtype=np.float64)
    return Goal((loss <= goal.value) & np.isfinite(loss), goal.value)


def as_good_as(best: float, tolerance: float) -> float:
    """The worst loss within `tolerance` of the `best`.

    Examples
    --------
    >>> as_good_as(2.0, 0.5), as_good_as(-0.9, 0.01)
    (2.5, -0.89)
    """
    return best + tolerance


def usual_tolerance(losses: ArrayLike, drawn: ArrayLike, scatter: float = 0.0) -> float:
    """How far from the best a loss is as good, if nobody says.

    A tenth of the way from the best loss to the median of the better third of the trials drawn from the space, or what
    seeds `scatter` if that is more. It has the unit of the losses, does not depend on where their zero lies, and no
    few hopeless trials move it. Trials that an optimiser proposed would: the longer it searches, the closer they lie.

    Parameters
    ----------
    losses : array_like (n,)
        NaN and infinite ones are left out.
    drawn : array_like of bool (n,)
        Which trials were drawn from the space; if none of them has a loss, all trials count.
    scatter : float
        How far losses of one configuration scatter between seeds; 0 if that is unknown.

    Examples
    --------
    >>> losses, drawn = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 1e9], [False] + [True] * 9
    >>> usual_tolerance(losses, drawn), usual_tolerance([100 + loss for loss in losses], drawn)
    (2.0, 2.0)
    >>> usual_tolerance(losses, drawn, scatter=5.0)
    5.0
    """
    loss = np.asarray(losses, dtype=np.float64)
    known = np.isfinite(loss)
    if not known.any():
        return scatter
    chance = known & np.asarray(drawn, dtype=bool)
    usual = np.sort(loss[chance if chance.any() else known])
    third = usual[: math.ceil(BETTER_THIRD * len(usual))]
    return max(TOLERANCE * float(np.median(third) - loss[known].min()), scatter)


def best_fraction(losses: ArrayLike, goal: float) -> Goal:
    """The best fraction of all trials, failed ones included.

    ``Z = 1{loss among the smallest round(goal n), ties included}``. A trial whose loss is NaN or infinite misses the
    goal: it is evidence against its hyperparameters.

    Parameters
    ----------
    losses : array_like (n,)
    goal : float in (0, 1)

    Raises
    ------
    InputError
        If `goal` is outside (0, 1).

    Examples
    --------
    >>> best_fraction([0.3, 0.1, float("nan"), 0.2], goal=0.5)
    Goal(met=array([False,  True, False,  True]), threshold=0.2)
    """
    check_share("goal", goal)
    loss = np.asarray(losses, dtype=np.float64)
    place = max(round(float(goal) * len(loss)), 1) - 1
    edge = _smallest(loss, place) if len(loss) >= SAMPLED_FROM else None
    if edge is None:
        finite = np.isfinite(loss)
        if not finite.any():
            return Goal(finite, float("nan"))
        loss = np.where(finite, loss, np.inf)
        place = min(place, int(np.count_nonzero(finite)) - 1)
        edge = float(np.partition(loss, place)[place])
    return Goal(loss <= edge, edge)


def _nearest_fraction(losses: Floats, share: float) -> Goal:
    """The best fraction, without those that tie at its edge if that comes nearer to it."""
    with_ties = best_fraction(losses, share)
    wanted, found = share * len(losses), int(with_ties.met.sum())
    if found <= wanted + 1:
        return with_ties
    within = with_ties.met & (losses < with_ties.threshold)
    if not within.any() or wanted - within.sum() > found - wanted:
        return with_ties
    return Goal(within, float(losses[within].max()))


def _smallest(loss: Floats, place: int) -> float | None:
    """The `place`-th smallest of many losses, sought only between two values of a sorted sample; failed ones come last.

    None if it lies outside them, or if a loss is minus infinity.
    """
    n = len(loss)
    sample = np.sort(loss[:: n // EDGE_SAMPLE])
    share = (place + 1) / n
    slack = 4 * math.sqrt(len(sample) * share * (1 - share)) + 2  # 4 standard deviations of the edge's rank
    low, high = (min(max(int(len(sample) * share + side), 0), len(sample) - 1) for side in (-slack, slack))
    inside, below, endless = scans.between(loss, sample[low], sample[high])
    if endless or not (below <= place < below + len(inside)):
        return None
    return float(np.partition(inside, place - below)[place - below])


def near_edge(losses: ArrayLike, goal: float) -> Rows:
    """Trials next to the goal's edge: those of about sqrt(n) / 2 ranks on either side, from the first 20,000 trials.

    What they have in common shows how far an index moves with the edge, which itself depends on the trials.

    Examples
    --------
    >>> sorted(near_edge([0.5, 0.1, 0.4, 0.2, 0.3, float("nan")], goal=0.5).tolist())
    [2, 4]
    """
    first_losses = np.asarray(losses, dtype=np.float64)[:20_000]
    loss = np.where(np.isfinite(first_losses), first_losses, np.inf)
    finite = int(np.count_nonzero(np.isfinite(first_losses)))
    reach = max(math.isqrt(len(loss)) // 2, 1)
    place = min(max(round(float(goal) * len(loss)), 1), finite)
    first, stop = max(place - reach, 0), min(place + reach, finite)
    return np.argpartition(loss, (first, stop - 1))[first:stop] if first < stop else np.empty(0, dtype=np.intp)


def dominated_by(losses: ArrayLike) -> NDArray[np.int64]:
    """The number of trials that dominate each trial: they are nowhere worse than it, and somewhere better.

    If trials are sorted by the first loss, then by the next, only earlier ones can dominate. O(n^2 q) time, O(n q)
    memory.

    Parameters
    ----------
    losses : array_like (n, q)
        A column for each objective; small is good.

    Returns
    -------
    int array (n,)
        0 for the trials that none dominates. Equal trials do not dominate each other.

    Raises
    ------
    InputError
        If the losses have another shape, or some are not finite.

    Examples
    --------
    >>> dominated_by([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    array([0, 0, 3, 0])
    """
    given = np.asarray(losses, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] == 0:
        raise InputError(f"losses must have shape (n, q), but got {given.shape}; give a column for each objective")
    if not np.isfinite(given).all():
        raise InputError(
            f"losses must be finite, but {np.count_nonzero(~np.isfinite(given))} are not; leave their trials out"
        )
    n = len(given)
    order = np.lexsort(given.T[::-1])
    ordered = given[order]
    fresh = np.concatenate((np.ones(min(n, 1), dtype=bool), (ordered[1:] != ordered[:-1]).any(axis=1)))
    begins = np.flatnonzero(fresh)  # the first of each run of equal trials: whoever dominates them comes before it
    rest = ordered[:, 1:].T.copy()
    counts = np.empty(len(begins), dtype=np.int64)
    height = max(PAIRS // max(n, 1), 1)
    for block in range(0, len(begins), height):
        own = begins[block : block + height]
        earlier = np.ones((len(own), own[-1]), dtype=bool)
        earlier[:, own[0] :] = np.arange(own[0], own[-1]) < own[:, None]
        for column in rest:
            earlier &= column[: own[-1]] <= column[own, None]
        counts[block : block + height] = np.count_nonzero(earlier, axis=1)
    dominated = np.empty(n, dtype=np.int64)
    dominated[order] = np.repeat(counts, np.diff(begins, append=n))
    return dominated


def goal_text(goal: float | int | Threshold, minimize: bool = True) -> str:
    """What a good trial is, as a text that continues "ends".

    Examples
    --------
    >>> goal_text(0.1), goal_text(20), goal_text(Threshold(0.05)), goal_text(Threshold(0.9), minimize=False)
    ('among the best 10%', 'among the best 20', 'at or below 0.05', 'at or above 0.9')
    """
    if isinstance(goal, Threshold):
        return f"at or {'below' if minimize else 'above'} {number(goal.value)}"
    if isinstance(goal, int | np.integer):
        return f"among the best {goal}"
    return f"among the best {share_text(goal)}"
