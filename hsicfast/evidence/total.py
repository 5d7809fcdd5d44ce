"""Whether a hyperparameter acts at all, alone or together with any others: its total-order index and a test of it.

With kernels k_l = psi_l . psi_l that are orthogonal to constants, ``k_X prod_(l != X) (1 + c k_l)`` is the sum of the
kernels of all sets of hyperparameters that hold X, each set weighted by c to the number of others in it. The index is
the mean of ``w_i w_j`` times this kernel over pairs of different trials, w the goal less its mean over its standard
deviation; of several goals, their mean. If X does nothing,
alone or with others, then its values may be permuted among the trials, goal and all others fixed: the test is exact,
whatever the others do, if X does not depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats
from hsicfast.dependence.features import negligible, principal

# More trials than this are too many for a matrix of their pairs in every test; a random part of them is judged.
MOST_TRIALS = 1000
# The weight c. A large one finds what three do together, but the products of many hyperparameters drown it. With 300
# trials and a goal of 30%, an exclusive-or of three is found at 5% in all studies of 3 and 5 hyperparameters, in 97% of
# those of 10 and in 60% of those of 20.
WEIGHTS, SHARED = (1.0, 3.0), 13.0
# Permutations come in blocks, and stop after this many that reach the index (Besag and Clifford 1991).
BLOCK, REACHED = 50, 50


class TotalOrder(NamedTuple):
    """The index of what a hyperparameter does alone or with others, without bias, and the p-value for nothing."""

    hsic: float
    pvalue: float


def total_order(
    features: Sequence[Floats], met: Bools, which: int, n_permutations: int = 499, seed: int = 0
) -> TotalOrder:
    """The total-order index of one hyperparameter, and its test.

    Parameters
    ----------
    features : sequence of array (n, r_l)
        For each hyperparameter features orthogonal to constants, see
        :func:`~hsicfast.evidence.interactions.orthogonal_to_constants`. One that does not exist in all of these trials
        is left out, or has rows of zeros where it does not exist: its factor is 1 there.
    met : bool array (G, n)
        Which trials met each goal: for each, some but not all.
    which : int
        Place of the hyperparameter in question.
    n_permutations, seed : int

    Returns
    -------
    TotalOrder
        Cost O(min(n, 1000)^2 (d + n_permutations r)).

    Examples
    --------
    >>> u = np.random.default_rng(0).random((3, 200))
    >>> signs = [np.where(row > 0.5, 1.0, -1.0)[:, None] for row in u]
    >>> met = (signs[0] * signs[1] > 0).T
    >>> [round(total_order(signs, met, which).pvalue, 2) for which in range(2)]
    [0.0, 0.0]
    >>> total_order(signs, met, 2).pvalue > 0.05
    True
    """
    random = np.random.default_rng(seed)
    if met.shape[1] > MOST_TRIALS:
        rows = random.choice(met.shape[1], MOST_TRIALS, replace=False)
        features, met = [psi[rows] for psi in features], met[:, rows]
    n, deviation = met.shape[1], met.std(axis=1, keepdims=True)
    w = (met - met.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    weight = float(np.clip(SHARED / max(len(features) - 1, 1), *WEIGHTS))
    pairs = w.T @ w / len(w)
    for place, psi in enumerate(features):
        if place != which:
            pairs *= 1 + weight * (psi @ psi.T)
    np.fill_diagonal(pairs, 0.0)
    psi = principal(features[which], negligible(n))[0]
    total = float((psi * (pairs @ psi)).sum())
    least = total - 1e-9 * abs(total)  # equal but for rounding counts as reached
    reached = drawn = 0
    while drawn < n_permutations:
        size = min(BLOCK, n_permutations - drawn)
        moved = psi[random.permuted(np.tile(np.arange(n), (size, 1)), axis=1).T]
        columns = moved.reshape(n, -1)
        places = np.flatnonzero((columns * (pairs @ columns)).reshape(moved.shape).sum(axis=(0, 2)) >= least)
        if reached + len(places) >= REACHED:
            pvalue = REACHED / (drawn + int(places[REACHED - reached - 1]) + 1)
            return TotalOrder(total / (n * (n - 1)), pvalue)
        reached, drawn = reached + len(places), drawn + size
    return TotalOrder(total / (n * (n - 1)), (1 + reached) / (1 + drawn))
