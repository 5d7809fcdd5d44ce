"""Compiled counts of distances: what the exact median needs, without keeping n^2 distances.

Squares are added up one coordinate after the other and without fast-math flags, so that a distance has the same bits
wherever it is computed. Threads as in :mod:`hsicfast.engines.tiles`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import ROWS, SLOTS, first_row, turns, use_wide_vectors

STRETCH = 512  # distances of a row computed at once, in the first-level cache; a multiple of ROWS and of 8


@njit(cache=True)
def _fill_squares(x, i, start, row):
    """Squared distances of sample i and those from `start` on; `x` is (d, n)."""
    use_wide_vectors()
    stop = start + row.shape[0]
    row[:] = 0.0
    d = x.shape[0]
    for c in range(d % 4):
        a, at_a = x[c, start:stop], x[c, i]
        for t in range(row.shape[0]):
            row[t] += (a[t] - at_a) * (a[t] - at_a)
    for c in range(d % 4, d, 4):  # four coordinates a turn save loads and stores; the order of addition stays
        a, b, e, f = x[c, start:stop], x[c + 1, start:stop], x[c + 2, start:stop], x[c + 3, start:stop]
        at_a, at_b, at_e, at_f = x[c, i], x[c + 1, i], x[c + 2, i], x[c + 3, i]
        for t in range(row.shape[0]):
            two = (row[t] + (a[t] - at_a) * (a[t] - at_a)) + (b[t] - at_b) * (b[t] - at_b)
            row[t] = (two + (e[t] - at_e) * (e[t] - at_e)) + (f[t] - at_f) * (f[t] - at_f)


@njit(cache=True)
def _count(row, low):
    """How many values are 0, and how many are below `low`."""
    use_wide_vectors()
    zero = below = 0
    for t in range(row.shape[0]):
        zero += row[t] == 0.0
        below += row[t] < low
    return zero, below


@njit(cache=True)
def _mark(row, low, high, marks):
    use_wide_vectors()
    marks[row.shape[0] // 8 * 8 :] = 0
    for t in range(row.shape[0]):
        marks[t] = (row[t] >= low) & (row[t] <= high)


@njit(cache=True)
def _square(x, i, j):
    """Squared distance of two samples, with the bits that :func:`_fill_squares` gives for doubles."""
    square = 0.0
    for c in range(x.shape[0]):
        square += (x[c, j] - x[c, i]) * (x[c, j] - x[c, i])
    return square


@njit(cache=True)
def _keep(x, i, begin, size, scratch, bracket, kept, place):
    """Write the marked squares strictly inside `bracket` behind the first `place` kept ones, and count the others.

    Marks are rare and a processor cannot guess where they are, so they are found without a branch: eight marks at a
    time are read as one number, then the marks of those eights that are not zero.

    Parameters
    ----------
    begin, size : int
        The row holds the squares of sample i and of `size` samples from `begin` on.
    scratch : (marks, places)
        A mark for each square of the row, and room for places.
    bracket : (low, high)
    """
    marks, places = scratch
    low, high = bracket
    eights = marks.view(np.uint64)
    full = 0
    for eight in range((size + 7) // 8):
        places[full] = eight
        full += eights[eight] != 0
    marked = 0
    for e in range(full):
        first = 8 * places[e]
        for t in range(first, first + 8):
            places[STRETCH + marked] = t
            marked += marks[t] != 0
    below = at_low = at_high = 0
    for m in range(marked):
        square = _square(x, i, begin + places[STRETCH + m])
        kept[place] = square
        place += (square > low) & (square < high)
        below += square < low
        at_low += square == low
        at_high += square == high
    return place, below, at_low, at_high


@njit(cache=True, parallel=True)
def squares_along(x, lags):
    """Squared distances (lags, n) of each sample of `x` (d, n) and the 1st to `lags`-th after it, around the end."""
    d, n = x.shape
    out = np.zeros((lags, n))
    for row in prange(lags):
        lag = row + 1
        for c in range(d):
            for i in range(n - lag):
                out[row, i] += (x[c, i] - x[c, i + lag]) * (x[c, i] - x[c, i + lag])
            for i in range(n - lag, n):
                out[row, i] += (x[c, i] - x[c, i + lag - n]) * (x[c, i] - x[c, i + lag - n])
    return out


@njit(cache=True, parallel=True)
def squares_between(x, low, high, coarse, coarse_low, coarse_high, capacity):
    """Count the squared distances of all pairs below, on and inside a bracket [low, high], and keep those inside.

    Parameters
    ----------
    x : (d, n)
    coarse : (d, n)
        `x` again, or rounded to single precision. The squares of `x` are computed only for pairs whose coarse squares
        lie in [coarse_low, coarse_high]. Coarse squares count the zeros, too.
    capacity : int
        How many distances a slot keeps at most.

    Returns
    -------
    counts : (SLOTS, 5) int
        For each slot, how many of its pairs have a square of 0, below `low`, equal to `low`, equal to `high`, and
        strictly between.
    inside : (SLOTS, capacity)
        The squares strictly between; if there are more than `capacity`, only the first ones.
    """
    n = x.shape[1]
    counts = np.zeros((SLOTS, 5), dtype=np.int64)
    inside = np.empty((SLOTS, capacity + STRETCH))
    for slot in prange(SLOTS):
        use_wide_vectors()
        buffer = np.empty(STRETCH, coarse.dtype)
        marks = np.empty(STRETCH, dtype=np.uint8)
        places = np.empty(2 * STRETCH + 1, dtype=np.int64)
        scratch = (marks, places)
        from_low = coarse.dtype.type(coarse_low)
        to_high = coarse.dtype.type(coarse_high)
        kept = inside[slot]
        zero = below = at_low = at_high = between = 0
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    row = buffer[: stop - begin]
                    _fill_squares(coarse, i, begin, row)
                    zeros, less = _count(row, from_low)
                    _mark(row, from_low, to_high, marks)
                    # Beyond the capacity each stretch overwrites the one before; only the count goes on.
                    place = min(between, capacity)
                    end, lower, lows, highs = _keep(x, i, begin, row.shape[0], scratch, (low, high), kept, place)
                    zero += zeros
                    below += less + lower
                    between += end - place
                    at_low += lows
                    at_high += highs
        counts[slot] = (zero, below, at_low, at_high, between)
    return counts, inside[:, :capacity]


@njit(cache=True, parallel=True)
def square_histogram(x, low, shift):
    """Histogram of the squared distances of all pairs, in bins of their binary form.

    Doubles above 0 have the same order as their 64 bits read as whole numbers. Bin b holds those whose bits, less
    `low` and shifted right by `shift`, are b.

    Parameters
    ----------
    x : (d, n)
    low, shift : int

    Returns
    -------
    (65536,) int
    """
    n = x.shape[1]
    counts = np.zeros((SLOTS, 65536), dtype=np.int64)
    for slot in prange(SLOTS):
        use_wide_vectors()
        buffer = np.empty(STRETCH)
        for turn in range(turns(n)):
            first = first_row(np.int64(slot), turn)
            for start in range(first, n, STRETCH):
                stop = min(n, start + STRETCH)
                for i in range(first, min(stop, first + ROWS)):
                    begin = max(start, i + 1)
                    row = buffer[: stop - begin]
                    _fill_squares(x, i, begin, row)
                    bits = row.view(np.int64)
                    for t in range(bits.shape[0]):
                        place = (bits[t] - low) >> shift
                        if 0 <= place < 65536:
                            counts[slot, place] += 1
    return counts.sum(axis=0)
