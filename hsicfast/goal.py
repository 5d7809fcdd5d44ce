"""The goal: which trials ended among the good ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsicfast.checks import check_share


class Goal(NamedTuple):
    """Which trials meet the goal, and where its edge lies.

    Attributes
    ----------
    met : bool array (n,)
    threshold : float
        Worst objective that still meets it; NaN where none does.
    """

    met: NDArray[np.bool_]
    threshold: float


def best_fraction(objective: ArrayLike, goal: float, minimize: bool = True) -> Goal:
    """The best fraction of all trials, failed ones counted.

    ``Z = 1{objective among the best round(goal n), ties included}``. A trial whose objective is NaN or infinite
    misses the goal: it is evidence against its hyperparameters.

    Parameters
    ----------
    objective : array_like (n,)
    goal : float in (0, 1)
    minimize : bool
        Whether small is good.

    Raises
    ------
    InputError
        Where `goal` is outside (0, 1).

    Examples
    --------
    >>> best_fraction([0.3, 0.1, float("nan"), 0.2], goal=0.5)
    Goal(met=array([False,  True, False,  True]), threshold=0.2)
    """
    check_share("goal", goal)
    y = np.asarray(objective, dtype=np.float64)
    place = max(round(float(goal) * len(y)), 1) - 1
    smallest = np.partition(y if minimize else -y, place)[: place + 1] if len(y) else y
    if len(y) and np.isfinite(smallest).all():  # those that fail come last: no need to look for them
        edge = smallest[place]
        return Goal(y <= edge, float(edge)) if minimize else Goal(y >= -edge, float(-edge))
    loss = np.where(np.isfinite(y), y if minimize else -y, np.inf)
    finite = int(np.count_nonzero(np.isfinite(y)))
    if finite == 0:
        return Goal(np.zeros(len(y), dtype=bool), float("nan"))
    place = min(place, finite - 1)
    edge = np.partition(loss, place)[place]
    return Goal(loss <= edge, float(edge if minimize else -edge))


def near_edge(objective: ArrayLike, goal: float, minimize: bool = True) -> NDArray[np.intp]:
    """Trials next to the goal's edge: those of about sqrt(n) / 2 ranks on either side, from the first 20,000 trials.

    What they have in common tells how far an index moves with the edge, which is itself found from the trials.

    Examples
    --------
    >>> sorted(near_edge([0.5, 0.1, 0.4, 0.2, 0.3, float("nan")], goal=0.5).tolist())
    [2, 4]
    """
    y = np.asarray(objective, dtype=np.float64)[:20_000]
    loss = np.where(np.isfinite(y), y if minimize else -y, np.inf)
    finite = int(np.count_nonzero(np.isfinite(y)))
    reach = max(math.isqrt(len(y)) // 2, 1)
    place = min(max(round(float(goal) * len(y)), 1), finite)
    first, stop = max(place - reach, 0), min(place + reach, finite)
    return np.argpartition(loss, (first, stop - 1))[first:stop] if first < stop else np.empty(0, dtype=np.intp)
