"""A hyperparameter's trials on [0, 1], and the features in which its index, its tests and its resamples are sums.

A value is carried by the law of its space, or where nobody knows the law by its rank among the trials. Equal ones share
an interval, whose middle and width stand for it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence.estimate import Estimate, estimate_of_levels
from hsicfast.dependence.features import carried_features, gaussian_features, negligible, principal
from hsicfast.dependence.spectrum import goal_estimate
from hsicfast.trials.table import TrialTable

# The distribution that maps values to [0, 1]: the space's own, or that of the trials.
Law = Literal["space", "ranks"]


def carry(table: TrialTable, name: str, rows: Rows, law: Law) -> tuple[Floats, Floats]:
    """Carried values (m,) of hyperparameter `name` in the trials at `rows`, and their widths (m,)."""
    values = table.values[name][rows]
    u = table.space[name].to_unit(values)
    return (u, table.space[name].width(values)) if law == "space" else ranked(u)


def ranked(values: Floats) -> tuple[Floats, Floats]:
    """Values (n,) carried to [0, 1] by their ranks: the middle and the width of the interval that equal ones share.

    Examples
    --------
    >>> ranked(np.array([7.0, 1.0, 7.0, 3.0]))
    (array([0.75 , 0.125, 0.75 , 0.375]), array([0.5, 0. , 0.5, 0. ]))
    """
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle, width = rank_steps(counts)
    return middle[level], width[level]


def rank_steps(counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The middle and the width (L,) of the interval of ranks of ascending values with these `counts` (L,)."""
    share = counts / counts.sum()
    return np.cumsum(share) - share / 2, np.where(counts > 1, share, 0.0)


def index_evidence(u: Floats, width: Floats, z: Bools, edge: Rows, h: float) -> Estimate:
    """Evidence of the index of carried values (m,) with the goal `z` (m,)."""
    if not width.any() and np.ptp(u) > 0:
        return goal_estimate(u, z, h, edge, None)
    psi, level = features(u, width, h)
    kinds = (level, level[z], level[edge])
    return estimate_of_levels(psi, *(np.bincount(kind, minlength=len(psi)).astype(np.float64) for kind in kinds))


def features(u: Floats, width: Floats, h: float) -> tuple[Floats, Rows]:
    """Features (L, r) of the different values of one hyperparameter, and which (m,) each trial has."""
    _, place, level = np.unique(u, return_index=True, return_inverse=True)
    return level_features(u[place], width[place], h), level


def level_features(u: Floats, width: Floats, h: float) -> Floats:
    """Features (L, r) of different carried values (L,)."""
    if len(u) == 1:
        # A constant says nothing: its index is 0 and its p-value 1 without the help of rounding.
        return np.zeros((1, gaussian_features(h).rank))
    return carried_features(u, width if width.any() else np.empty(0), h)


def few_features(u: Floats, width: Floats, h: float) -> Floats:
    """Features (m, s) that matter to a permutation test: of a Bool one."""
    if not width.any() and np.ptp(u) > 0:
        return carried_features(u, np.empty(0), h, negligible(len(u)))
    psi, level = features(u, width, h)
    counts = np.bincount(level).astype(np.float64)
    return principal(psi - counts @ psi / len(u), negligible(len(u)), counts)[0][level]
