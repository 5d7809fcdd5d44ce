"""Compiled tile engine: any kernel in any dimension, O(n) memory, the Gram matrix never stored.

A row of the Gram matrix is made a stretch at a time and used up at once: for HSIC both kernels together, for a goal
all permutations. Kernels here trust their input; :mod:`hsicfast.hsic` checks it. Threads as in
:mod:`hsicfast.spectral`: a parallel iteration writes only its own rows, sums across rows are serial.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

# Without nnan and ninf, so that a NaN stays one; see hsicfast.spectral.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
STRETCH = 256  # entries of a Gram row made at once, in the first-level cache
ROWS = 16  # Gram rows a parallel iteration


@njit(cache=True, fastmath=FASTMATH)
def fill_row(x, i, start, row, code, bandwidth):
    """Entries ``row[t] = k(x_i, x_(start + t))`` of a Gram row; codes as in :mod:`hsicfast.kernels`.

    Parameters
    ----------
    x : (d, n), coordinates first, so that neighbours along a row lie together
    row : (m,), filled
    """
    m = row.shape[0]
    d = x.shape[0]
    row[:] = 0.0
    if code == 5:  # linear
        for c in range(d):
            for t in range(m):
                row[t] += x[c, i] * x[c, start + t]
        return
    if code == 6:  # dirac: count the coordinates that differ
        for c in range(d):
            for t in range(m):
                row[t] += 1.0 if x[c, i] != x[c, start + t] else 0.0
        for t in range(m):
            row[t] = 1.0 if row[t] == 0.0 else 0.0
        return
    for c in range(d):
        for t in range(m):
            difference = x[c, i] - x[c, start + t]
            row[t] += difference * difference
    if code == 0:  # gaussian
        scale = -0.5 / (bandwidth * bandwidth)
        for t in range(m):
            row[t] = math.exp(scale * row[t])
    elif code == 1:  # laplace
        for t in range(m):
            row[t] = math.exp(-math.sqrt(row[t]) / bandwidth)
    elif code == 2:  # matern32
        for t in range(m):
            a = math.sqrt(3.0 * row[t]) / bandwidth
            row[t] = (1.0 + a) * math.exp(-a)
    elif code == 3:  # matern52
        for t in range(m):
            a = math.sqrt(5.0 * row[t]) / bandwidth
            row[t] = (1.0 + a + a * a / 3.0) * math.exp(-a)
    else:  # energy
        for t in range(m):
            row[t] = -math.sqrt(row[t])


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def gram(x, code, bandwidth, out):
    """Fill ``out[i, j] = k(x_i, x_j)``; `x` is (d, n), `out` (n, n)."""
    n = x.shape[1]
    for i in prange(n):
        fill_row(x, i, 0, out[i], code, bandwidth)


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
def weighted_rows(x, w, code, bandwidth, shift):
    """Everything a goal needs from one pass over the Gram matrix.

    Parameters
    ----------
    x : (d, n)
    w : (n,)
    shift : float
        Taken off every entry, which centring undoes; near the mean entry it saves digits.

    Returns
    -------
    (n, 4): a row i holds ``sum_j w_j k_ij``, ``sum_j k_ij``, ``sum_j k_ij^2``, ``k_ii``, all of k - shift.
    """
    n = x.shape[1]
    out = np.empty((n, 4))
    for i in prange(n):
        row = np.empty(STRETCH)
        weighted = 0.0
        total = 0.0
        squares = 0.0
        for start in range(0, n, STRETCH):
            part = row[: min(STRETCH, n - start)]
            fill_row(x, i, start, part, code, bandwidth)
            for t in range(part.shape[0]):
                value = part[t] - shift
                weighted += w[start + t] * value
                total += value
                squares += value * value
            if start <= i < start + part.shape[0]:
                out[i, 3] = part[i - start] - shift
        out[i, 0] = weighted
        out[i, 1] = total
        out[i, 2] = squares
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def subset_sums(x, membership, code, bandwidth, shift):
    """Quadratic form and cross sum of many subsets, each Gram row serving all of them.

    Parameters
    ----------
    x : (d, n)
    membership : (n, B) of 0.0 and 1.0
        Column b marks subset b.

    Returns
    -------
    (rows, B, 2): per parallel slot, ``sum_(i, j in b) k_ij`` and ``sum_(i in b, all j) k_ij``; add up the slots.
    """
    n = x.shape[1]
    draws = membership.shape[1]
    slots = (n + ROWS - 1) // ROWS
    out = np.zeros((slots, draws, 2))
    for slot in prange(slots):
        row = np.empty(STRETCH)
        inside = np.empty(draws)
        for i in range(slot * ROWS, min(n, (slot + 1) * ROWS)):
            inside[:] = 0.0
            total = 0.0
            for start in range(0, n, STRETCH):
                part = row[: min(STRETCH, n - start)]
                fill_row(x, i, start, part, code, bandwidth)
                for t in range(part.shape[0]):
                    value = part[t] - shift
                    total += value
                    for b in range(draws):
                        inside[b] += value * membership[start + t, b]
            for b in range(draws):
                out[slot, b, 0] += membership[i, b] * inside[b]
                out[slot, b, 1] += membership[i, b] * total
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def paired_rows(x, y, order, code_x, bandwidth_x, shift_x, code_y, bandwidth_y, shift_y):
    """Both kernels in one pass over the pairs.

    Parameters
    ----------
    x : (d, n), y : (e, n)
    order : (n,) int
        y is read in this order: a permutation, or 0..n-1.

    Returns
    -------
    (n, 7): of the shifted kernels, row i holds ``sum_j k_ij l_ij``, ``sum_j k_ij``, ``sum_j l_ij``, ``sum_j k_ij^2``,
    ``sum_j l_ij^2``, ``k_ii``, ``l_ii``.
    """
    n = x.shape[1]
    out = np.empty((n, 7))
    shuffled = np.empty_like(y)
    for c in range(y.shape[0]):
        for j in range(n):
            shuffled[c, j] = y[c, order[j]]
    for i in prange(n):
        row_x = np.empty(STRETCH)
        row_y = np.empty(STRETCH)
        both = 0.0
        total_x = 0.0
        total_y = 0.0
        squares_x = 0.0
        squares_y = 0.0
        for start in range(0, n, STRETCH):
            size = min(STRETCH, n - start)
            fill_row(x, i, start, row_x[:size], code_x, bandwidth_x)
            fill_row(shuffled, i, start, row_y[:size], code_y, bandwidth_y)
            for t in range(size):
                k = row_x[t] - shift_x
                value = row_y[t] - shift_y
                both += k * value
                total_x += k
                total_y += value
                squares_x += k * k
                squares_y += value * value
            if start <= i < start + size:
                out[i, 5] = row_x[i - start] - shift_x
                out[i, 6] = row_y[i - start] - shift_y
        out[i, 0] = both
        out[i, 1] = total_x
        out[i, 2] = total_y
        out[i, 3] = squares_x
        out[i, 4] = squares_y
    return out


@njit(cache=True)
def count_pairs_within(ordered, distance):
    """Number of pairs i < j of sorted values (n,) with ``ordered[j] - ordered[i] <= distance``; O(n)."""
    n = ordered.shape[0]
    count = 0
    first = 0
    for j in range(n):
        while ordered[j] - ordered[first] > distance:
            first += 1
        count += j - first
    return count


@njit(cache=True, parallel=True)
def distance_histograms(x, prefix, depth, slots):
    """How the squared distances of all pairs fall on the next 16 bits of their binary form.

    A non-negative double orders like its 64 bits read as a whole number, so 4 passes of 16 bits each select an
    exact order statistic in O(1) memory.

    Parameters
    ----------
    x : (d, n)
    prefix : int
        The 16 * `depth` leading bits a pair must share to be counted.
    slots : int
        Parallel iterations, rows dealt round robin.

    Returns
    -------
    (65536,) int
    """
    n = x.shape[1]
    counts = np.zeros((slots, 65536), dtype=np.int64)
    for slot in prange(slots):
        row = np.empty(n)
        for i in range(slot, n, slots):
            squares = row[: n - i - 1]
            squares[:] = 0.0
            for c in range(x.shape[0]):
                for t in range(squares.shape[0]):
                    difference = x[c, i] - x[c, i + 1 + t]
                    squares[t] += difference * difference
            bits = squares.view(np.int64)
            for t in range(bits.shape[0]):
                if depth == 0 or bits[t] >> (64 - 16 * depth) == prefix:
                    counts[slot, (bits[t] >> (48 - 16 * depth)) & 0xFFFF] += 1
    return counts.sum(axis=0)
