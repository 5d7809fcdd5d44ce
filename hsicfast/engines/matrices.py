"""Compiled work on whole Gram matrices, for few samples.

Threads as in :mod:`hsicfast.engines.tiles`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import FASTMATH

ROWS = 8  # rows a parallel iteration


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def center(k):
    """Centre a symmetric (n, n) matrix in place: ``k_ij - mean_i - mean_j + mean``."""
    n = k.shape[0]
    means = np.empty(n)
    for i in prange(n):
        total = 0.0
        for j in range(n):
            total += k[i, j]
        means[i] = total / n
    mean = 0.0
    for i in range(n):
        mean += means[i]
    mean /= n
    for i in prange(n):
        for j in range(n):
            k[i, j] += mean - means[i] - means[j]


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def permuted_products(k, other, orders):
    """``sum_ij k_ij other_(o_i o_j)`` of symmetric (n, n) matrices for several orders o.

    Parameters
    ----------
    k, other : (n, n)
    orders : (B, n) int

    Returns
    -------
    (B,); cost O(B n^2)
    """
    n = k.shape[0]
    draws = orders.shape[0]
    slots = (n + ROWS - 1) // ROWS
    sums = np.zeros((slots, draws))
    for slot in prange(slots):
        for i in range(slot * ROWS, min(n, (slot + 1) * ROWS)):
            for b in range(draws):
                row = other[orders[b, i]]
                total = 0.0
                for j in range(i):
                    total += k[i, j] * row[orders[b, j]]
                sums[slot, b] += 2 * total + k[i, i] * row[orders[b, i]]
    out = np.zeros(draws)
    for slot in range(slots):
        for b in range(draws):
            out[b] += sums[slot, b]
    return out
