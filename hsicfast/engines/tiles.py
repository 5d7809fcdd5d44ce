"""Compiled tile engine: any kernel in any dimension, O(n) memory, the Gram matrix never stored.

A row of the Gram matrix is computed a stretch at a time and used at once: by both kernels of HSIC together, or by all
permutations of a goal. Each pair i < j is computed once and serves both of its rows. Kernels here trust their input;
:mod:`hsicfast.dependence.hsic` checks it.

Threads: SLOTS parallel iterations share the pairs. Each has its own sums over all samples, 8 SLOTS bytes for a sample
and a sum (19 MB for 50,000 samples and 3 sums). They are added up in order, so that any number of threads gives the
same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from hsicfast.engines.kernels import (
    DIRAC_CODE,
    GAUSSIAN_CODE,
    LAPLACE_CODE,
    LINEAR_CODE,
    MATERN32_CODE,
    MATERN52_CODE,
    SOBOLEV_CODE,
)
from hsicfast.engines.loops import FASTMATH, ROWS, SLOTS, exp_negative, first_row, turns, use_wide_vectors

STRETCH = 256  # entries of a Gram row computed at once, in the first-level cache; a multiple of ROWS


@njit(cache=True, fastmath=FASTMATH)
def _fill_squares(x, i, start, row):
    """Squared distances of sample i and those from `start` on; 4 coordinates a turn save loads and stores."""
    use_wide_vectors()
    d = x.shape[0]
    stop = start + row.shape[0]
    row[:] = 0.0
    for c in range(d % 4):
        a, at_a = x[c, start:stop], x[c, i]
        for t in range(row.shape[0]):
            row[t] += (a[t] - at_a) ** 2
    for c in range(d % 4, d, 4):
        a, b, e, f = x[c, start:stop], x[c + 1, start:stop], x[c + 2, start:stop], x[c + 3, start:stop]
        at_a, at_b, at_e, at_f = x[c, i], x[c + 1, i], x[c + 2, i], x[c + 3, i]
        for t in range(row.shape[0]):
            row[t] += (a[t] - at_a) ** 2 + (b[t] - at_b) ** 2 + ((e[t] - at_e) ** 2 + (f[t] - at_f) ** 2)


@njit(cache=True, fastmath=FASTMATH)
def fill_row(x, i, start, row, code, bandwidth):
    """Entries ``row[t] = k(x_i, x_(start + t))`` of a Gram row.

    Parameters
    ----------
    x : (d, n), coordinates first, so that neighbours along a row are neighbours in memory
    i, start : int
    row : (m,)
        Filled.
    code : int
        Of the kernel, see :mod:`hsicfast.engines.kernels`.
    bandwidth : float
    """
    use_wide_vectors()
    m = row.shape[0]
    d = x.shape[0]
    if code == LINEAR_CODE:
        row[:] = 0.0
        for c in range(d):
            a = x[c, start : start + m]
            for t in range(m):
                row[t] += a[t] * x[c, i]
        return
    if code == DIRAC_CODE:
        row[:] = 1.0
        for c in range(d):
            a = x[c, start : start + m]
            for t in range(m):
                row[t] = row[t] if a[t] == x[c, i] else 0.0
        return
    if code == SOBOLEV_CODE:
        row[:] = 1.0
        for c in range(d):
            a, at = x[c, start : start + m], x[c, i]
            for t in range(m):
                gap = abs(a[t] - at)
                row[t] *= 1.0 + (at - 0.5) * (a[t] - 0.5) + 0.5 * (gap * gap - gap + 1.0 / 6.0)
        return
    _fill_squares(x, i, start, row)
    if code == GAUSSIAN_CODE:
        scale = row.dtype.type(-0.5 / (bandwidth * bandwidth))
        for t in range(m):
            row[t] = exp_negative(scale * row[t])
    elif code == LAPLACE_CODE:
        scale = row.dtype.type(-1.0 / bandwidth)
        for t in range(m):
            row[t] = exp_negative(scale * math.sqrt(row[t]))
    elif code == MATERN32_CODE:
        for t in range(m):
            a = math.sqrt(3.0 * row[t]) / bandwidth
            row[t] = (1.0 + a) * exp_negative(-a)
    elif code == MATERN52_CODE:
        for t in range(m):
            a = math.sqrt(5.0 * row[t]) / bandwidth
            row[t] = (1.0 + a + a * a / 3.0) * exp_negative(-a)
    else:  # energy
        for t in range(m):
            row[t] = -math.sqrt(row[t])


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def gram(x, code, bandwidth, out):
    """Fill ``out[i, j] = k(x_i, x_j)``.

    Parameters
    ----------
    x : (d, n)
    code : int
    bandwidth : float
    out : (n, n)
    """
    n = x.shape[1]
    for i in prange(n):
        use_wide_vectors()
        fill_row(x, i, 0, out[i], code, bandwidth)


@njit(cache=True, fastmath=FASTMATH)
def diagonal(x, code, bandwidth, shift):
    """``k_ii - shift`` of all samples, (n,).

    Parameters
    ----------
    x : (d, n)
    code : int
    bandwidth, shift : float
    """
    out = np.empty(x.shape[1])
    for i in range(x.shape[1]):
        fill_row(x, i, i, out[i : i + 1], code, bandwidth)
        out[i] -= shift
    return out


@njit(cache=True, fastmath=FASTMATH)
def _add_weighted(row, w, at, column):
    """Add ``w_i row`` to the sums of the column; return ``sum_j w_j row_j``."""
    use_wide_vectors()
    total = 0.0
    for t in range(row.shape[0]):
        total += w[t] * row[t]
        column[t] += at * row[t]
    return total


@njit(cache=True, fastmath=FASTMATH)
def _add_total(row, column):
    """Add the row to the sums of the column; return its sum and the sum of its squares."""
    use_wide_vectors()
    total = 0.0
    squares = 0.0
    for t in range(row.shape[0]):
        total += row[t]
        squares += row[t] * row[t]
        column[t] += row[t]
    return total, squares


@njit(cache=True, fastmath=FASTMATH)
def _add_shifted(row, shift, column):
    """Take `shift` off the row in place, then do :func:`_add_total`."""
    use_wide_vectors()
    off = row.dtype.type(shift)
    total = 0.0
    squares = 0.0
    for t in range(row.shape[0]):
        row[t] -= off
        total += row[t]
        squares += row[t] * row[t]
        column[t] += row[t]
    return total, squares


@njit(cache=True, fastmath=FASTMATH)
def _add_product(a, b, column):
    """Add ``a b`` to the sums of the column; return its sum."""
    use_wide_vectors()
    total = 0.0
    for t in range(a.shape[0]):
        product = a[t] * b[t]
        total += product
        column[t] += product
    return total


@njit(cache=True, fastmath=FASTMATH)
def _dot(a, b):
    use_wide_vectors()
    total = 0.0
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@njit(cache=True, fastmath=FASTMATH)
def _fill_shifted(x, i, start, row, code, bandwidth, shift):
    use_wide_vectors()
    fill_row(x, i, start, row, code, bandwidth)
    off = row.dtype.type(shift)
    for t in range(row.shape[0]):
        row[t] -= off


@njit(cache=True, parallel=True)
def _added_up(sums):
    """(SLOTS, columns, n) summed over the slots in order, as (n, columns)."""
    out = np.zeros((sums.shape[2], sums.shape[1]))
    for j in prange(sums.shape[2]):
        use_wide_vectors()
        for slot in range(sums.shape[0]):
            for c in range(sums.shape[1]):
                out[j, c] += sums[slot, c, j]
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def weighted_rows(x, w, code, bandwidth, shift):
    """All sums that a goal needs, in one pass over the pairs.

    Parameters
    ----------
    x : (d, n)
    w : (n,)
    shift : float
        Taken off every entry. Centring undoes it; near the mean entry it saves digits.

    Returns
    -------
    (n, 4): row i holds, for k - shift, ``sum_j w_j k_ij``, ``sum_j k_ij``, ``k_ii^2 + 2 sum_(j > i) k_ij^2`` (over all
    i the sum of squares), ``k_ii``.
    """
    n = x.shape[1]
    own = diagonal(x, code, bandwidth, shift)
    sums = np.zeros((SLOTS, 2, n))
    out = np.zeros((n, 4))
    for slot in prange(SLOTS):
        use_wide_vectors()
        buffer = np.empty(STRETCH, x.dtype)
        weighted = sums[slot, 0]
        totals = sums[slot, 1]
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    row = buffer[: stop - begin]
                    _fill_shifted(x, i, begin, row, code, bandwidth, shift)
                    weighted[i] += _add_weighted(row, w[begin:stop], w[i], weighted[begin:stop])
                    total, squares = _add_total(row, totals[begin:stop])
                    totals[i] += total
                    out[i, 2] += 2 * squares
    rows = _added_up(sums)
    for i in range(n):
        out[i, 0] = rows[i, 0] + w[i] * own[i]
        out[i, 1] = rows[i, 1] + own[i]
        out[i, 2] += own[i] * own[i]
        out[i, 3] = own[i]
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def paired_rows(x, y, kernel_x, kernel_y):
    """The row sums of two kernels and of their product, in one pass over the pairs.

    Parameters
    ----------
    x : (d, n), y : (e, n)
    kernel_x, kernel_y : (int, float, float)
        Code, bandwidth, and the shift that is taken off every entry.

    Returns
    -------
    rows : (n, 3)
        Row i holds, for the shifted kernels, the sums over j != i of ``k_ij l_ij``, ``k_ij`` and ``l_ij``.
    squares : (2,)
        The sums over i != j of ``k_ij^2`` and ``l_ij^2``.
    """
    code_x, bandwidth_x, shift_x = kernel_x
    code_y, bandwidth_y, shift_y = kernel_y
    n = x.shape[1]
    sums = np.zeros((SLOTS, 3, n))
    squares = np.zeros((SLOTS, 2))
    for slot in prange(SLOTS):
        use_wide_vectors()
        buffer = np.empty((2, STRETCH), x.dtype)
        both = sums[slot, 0]
        totals_x = sums[slot, 1]
        totals_y = sums[slot, 2]
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    row_x = buffer[0, : stop - begin]
                    row_y = buffer[1, : stop - begin]
                    fill_row(x, i, begin, row_x, code_x, bandwidth_x)
                    fill_row(y, i, begin, row_y, code_y, bandwidth_y)
                    total_x, squares_x = _add_shifted(row_x, shift_x, totals_x[begin:stop])
                    total_y, squares_y = _add_shifted(row_y, shift_y, totals_y[begin:stop])
                    totals_x[i] += total_x
                    totals_y[i] += total_y
                    both[i] += _add_product(row_x, row_y, both[begin:stop])
                    squares[slot, 0] += 2 * squares_x
                    squares[slot, 1] += 2 * squares_y
    return _added_up(sums), _added_up(squares.reshape(SLOTS, 2, 1))[0]


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def paired_products(x, shuffled, kernel_x, kernel_y):
    """``sum_(i < j) k_ij l_ij`` for several orders of y; each stretch of K serves all of them.

    Parameters
    ----------
    x : (d, n)
    shuffled : (B, e, n)
        y in each order.
    kernel_x, kernel_y : (int, float, float)
        As of :func:`paired_rows`.

    Returns
    -------
    (B,)
    """
    code_x, bandwidth_x, shift_x = kernel_x
    code_y, bandwidth_y, shift_y = kernel_y
    n = x.shape[1]
    draws = shuffled.shape[0]
    sums = np.zeros((SLOTS, draws))
    for slot in prange(SLOTS):
        use_wide_vectors()
        buffer = np.empty((2, STRETCH), x.dtype)
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    row_x = buffer[0, : stop - begin]
                    row_y = buffer[1, : stop - begin]
                    _fill_shifted(x, i, begin, row_x, code_x, bandwidth_x, shift_x)
                    for b in range(draws):
                        _fill_shifted(shuffled[b], i, begin, row_y, code_y, bandwidth_y, shift_y)
                        sums[slot, b] += _dot(row_x, row_y)
    return _added_up(sums.reshape(SLOTS, 1, draws))[:, 0]


@njit(cache=True, fastmath=FASTMATH)
def _sum_at(values, places, offset):
    total = 0.0
    for p in range(places.shape[0]):
        total += values[places[p] - offset]
    return total


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def subset_sums(x, members, code, bandwidth, shift):
    """``sum_(i < j, both in b) (k_ij - shift)`` for many subsets b; each stretch of K serves all of them.

    Parameters
    ----------
    x : (d, n)
    members : (B, m) int32
        Samples of each subset, ascending.

    Returns
    -------
    (B,); cost O(n^2 d + B m^2)
    """
    n = x.shape[1]
    draws, m = members.shape
    blocks = (n + ROWS - 1) // ROWS
    before = np.zeros((blocks + 1, draws), dtype=np.int32)  # members of b before each block of rows
    for b in prange(draws):
        use_wide_vectors()
        for p in range(m):
            before[members[b, p] // ROWS + 1, b] += 1
        for block in range(blocks):
            before[block + 1, b] += before[block, b]
    sums = np.zeros((SLOTS, draws))
    for slot in prange(SLOTS):
        use_wide_vectors()
        tile = np.empty((ROWS, STRETCH), x.dtype)
        added = np.empty(STRETCH)
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                tile[:, :] = 0.0  # where j <= i
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    _fill_shifted(x, i, begin, tile[i - first, begin - start : stop - start], code, bandwidth, shift)
                block, left, right = first // ROWS, start // ROWS, (stop + ROWS - 1) // ROWS
                for b in range(draws):
                    rows = members[b, before[block, b] : before[min(block + 1, blocks), b]]
                    columns = members[b, before[left, b] : before[right, b]]
                    if 4 * columns.shape[0] < stop - start:
                        for p in range(rows.shape[0]):
                            sums[slot, b] += _sum_at(tile[rows[p] - first], columns, start)
                    else:  # whole rows vectorise, which more than pays for the entries outside the subset
                        added[:] = 0.0
                        for p in range(rows.shape[0]):
                            _add_total(tile[rows[p] - first], added)
                        sums[slot, b] += _sum_at(added, columns, start)
    return _added_up(sums.reshape(SLOTS, 1, draws))[:, 0]
