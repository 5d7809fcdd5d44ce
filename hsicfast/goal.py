"""The goal: which trials ended among the good ones."""

from __future__ import annotations

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
