"""First-order and total-order indices: what a hyperparameter decides alone, and what it decides with all others.

With a kernel ``1 + k_l`` on each of d hyperparameters, k_l orthogonal to constants under the distribution of its
values, the product kernel decomposes like a variance (da Veiga 2021, theorem 2):
``prod_l (1 + k_l) = sum over sets A of prod_(l in A) k_l``, and so does HSIC with it. The first-order Sobolev kernel is
orthogonal to constants under the uniform distribution. Its mean over the intervals of ranks that equal values share is
so under the distribution of the trials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats
from hsicfast.dependence import checks
from hsicfast.engines.products import product_forms
from hsicfast.errors import InputError
from hsicfast.trials.goal import best_fraction, losses_of


class AnovaIndices(NamedTuple):
    """Each hyperparameter's shares of the HSIC of all of them together.

    Attributes
    ----------
    first : array (d,)
        ``HSIC(k_l) / HSIC(prod (1 + k))``: the share that each decides alone.
    total : array (d,)
        ``1 - HSIC(prod without l) / HSIC(prod (1 + k))``: the share that each decides alone or together
        with others.
    hsic : float
        HSIC of all together.
    """

    first: Floats
    total: Floats
    hsic: float


def anova_indices(u: ArrayLike, y: ArrayLike, goal: float = 0.1, minimize: bool = True) -> AnovaIndices:
    """First-order and total-order goal-oriented indices of d hyperparameters, for trials that have all of them.

    Parameters
    ----------
    u : array_like (n, d)
        Values mapped to [0, 1]. If a column has equal values, only the order of its values counts: each stands for the
        interval of their ranks, and the kernel is the mean over both intervals. A constant column has the indices 0.
    y : array_like (n,)
        Objective; NaN, inf and masked values miss the goal.
    goal : float in (0, 1)
        The fraction of trials that count as good.
    minimize : bool
        Whether small y are good.

    Returns
    -------
    AnovaIndices
        Ratios of V-statistics, which noise makes larger; NaN if all trials or none reach the goal. Cost O(n^2 d).

    Raises
    ------
    InputError
        Values outside [0, 1] or not finite, lengths that differ, fewer than 4 trials, a bad goal.

    Examples
    --------
    >>> u = np.random.default_rng(0).random((2000, 3))
    >>> found = anova_indices(u, (u[:, 0] > 0.5) == (u[:, 1] > 0.5), goal=0.5)  # an exclusive or
    >>> found.first.round(1).tolist(), found.total.round(1).tolist()
    ([0.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    """
    x = checks.carried(u)
    objective = checks.numbers(y, "y", finite=False)
    if objective.shape != (x.shape[1],):
        raise InputError(f"u and y must have one length, but got {x.shape[1]} and {objective.shape}; drop the surplus")
    losses = losses_of(objective, minimize)
    z = best_fraction(losses, goal).met
    if z.all() or not z.any():
        return AnovaIndices(np.full(len(x), math.nan), np.full(len(x), math.nan), 0.0)
    first, total = np.zeros((2, len(x)))
    varied = np.ptp(x, axis=1) > 0
    if not varied.any():
        return AnovaIndices(first, total, 0.0)
    middle, width = np.stack([_intervals(column) for column in x[varied]], axis=1)
    forms = product_forms(middle, width, z - z.mean()) / len(z) ** 2
    together = float(forms[0, 0])
    first[varied], total[varied] = forms[1, 1:] / together, 1 - forms[0, 1:] / together
    return AnovaIndices(first, total, together)


def _intervals(column: Floats) -> tuple[Floats, Floats]:
    """Middles and widths (n,) of what values stand for: points, or if some are equal, the ranks that they share."""
    _, level, counts = np.unique(column, return_inverse=True, return_counts=True)
    if len(counts) == len(column):
        return column, np.zeros(len(column))
    share = counts / len(column)
    return (np.cumsum(share) - share / 2)[level], share[level]
