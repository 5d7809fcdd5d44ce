"""Maps the values of a hyperparameter to [0, 1], and computes the features of which indices and their tests are sums.

The distribution in the space maps a value to [0, 1]; if nobody knows that distribution, the rank among the trials does.
Equal values share an interval, and its middle and width stand for them.
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

# Trials that miss a value although they do so with a smaller probability than this do not follow the distribution; of
# more values than MOST_UNSEEN each is too rare to move an index.
UNLIKELY, MOST_UNSEEN = 0.025, 64
# The distribution that maps values to [0, 1]: the space's own, or that of the trials.
Law = Literal["space", "ranks"]


def carry(table: TrialTable, name: str, rows: Rows, law: Law) -> tuple[Floats, Floats]:
    """Values of a hyperparameter mapped to [0, 1].

    Parameters
    ----------
    table : TrialTable
    name : str
    rows : int array (m,)
        Trials in which the hyperparameter exists.
    law : {"space", "ranks"}
        Whether the distribution in the space or the rank among these trials maps a value.

    Returns
    -------
    tuple of array (m,)
        Middles and widths of the intervals.
    """
    values = table.values[name][rows]
    u = table.space[name].to_unit(values)
    return (u, table.space[name].width(values)) if law == "space" else ranked(u)


def ranked(values: Floats) -> tuple[Floats, Floats]:
    """Values (n,) mapped to [0, 1] by their ranks: middle and width of the interval that equal values share.

    Examples
    --------
    >>> ranked(np.array([7.0, 1.0, 7.0, 3.0]))
    (array([0.75 , 0.125, 0.75 , 0.375]), array([0.5, 0. , 0.5, 0. ]))
    """
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle, width = rank_steps(counts)
    return middle[level], width[level]


def rank_steps(counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Middle and width (L,) of the interval of each of L ascending values; `counts` (L,) says how often each occurs."""
    share = counts / counts.sum()
    return np.cumsum(share) - share / 2, np.where(counts > 1, share, 0.0)


def index_evidence(u: Floats, width: Floats, z: Bools, edge: Rows, h: float) -> Estimate:
    """The index of one hyperparameter and its evidence.

    Parameters
    ----------
    u, width : array (m,)
        Values mapped to [0, 1], and their widths.
    z : bool array (m,)
        Which trials met the goal.
    edge : int array
        Rows at the goal's edge.
    h : float
        Bandwidth of the Gaussian kernel.
    """
    if not width.any() and np.ptp(u) > 0:
        return goal_estimate(u, z, h, edge, None)
    psi, level = features(u, width, h)
    kinds = (level, level[z], level[edge])
    return estimate_of_levels(psi, *(np.bincount(kind, minlength=len(psi)).astype(np.float64) for kind in kinds))


def unseen(table: TrialTable, name: str, rows: Rows, share: float, h: float) -> float:
    """How far values that none of the trials has may move the direction D of an index |D|^2.

    A value r of probability P(r) moves it by ``P(r) |P(good | r) - share| |psi_r - psi|``, with the mean psi over the
    values that trials have, and nobody knows P(good | r). A value that so many trials are unlikely to miss does not
    count: they would not follow the distribution.

    Parameters
    ----------
    table, name, rows
        As in :func:`carry`; the distribution is that of the space.
    share : float
        Of the good ones among these trials.
    h : float
        Bandwidth of the Gaussian kernel.
    """
    own = table.space[name]
    if own.levels is None or own.levels > MOST_UNSEEN:
        return 0.0
    middle, width = own.steps()
    seen = np.bincount(own.to_level(table.values[name][rows]), minlength=own.levels) > 0
    missed = ~seen & ((1 - width) ** len(rows) >= UNLIKELY)
    if not missed.any():
        return 0.0
    psi = level_features(middle, width, h)
    apart = psi[missed] - np.average(psi[seen], axis=0, weights=width[seen])
    return float(max(share, 1 - share) * width[missed] @ np.linalg.norm(apart, axis=1))


def features(u: Floats, width: Floats, h: float) -> tuple[Floats, Rows]:
    """Features (L, r) of the different values of one hyperparameter, and which of these each trial has (m,)."""
    _, place, level = np.unique(u, return_index=True, return_inverse=True)
    return level_features(u[place], width[place], h), level


def level_features(u: Floats, width: Floats, h: float) -> Floats:
    """Features (L, r) of L different values mapped to [0, 1]."""
    if len(u) == 1:
        # A constant shows no effect: its index must be exactly 0 and its p-value exactly 1, whatever the rounding.
        return np.zeros((1, gaussian_features(h).rank))
    return carried_features(u, width if width.any() else np.empty(0), h)


def few_features(u: Floats, width: Floats, h: float) -> Floats:
    """Features (m, s) for a permutation test: coordinates too small to matter are dropped (a Bool keeps one)."""
    if not width.any() and np.ptp(u) > 0:
        return carried_features(u, np.empty(0), h, negligible(len(u)))
    psi, level = features(u, width, h)
    counts = np.bincount(level).astype(np.float64)
    return principal(psi - counts @ psi / len(u), negligible(len(u)), counts)[0][level]
