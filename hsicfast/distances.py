"""Compiled counts of distances: what the exact median needs, without the n^2 distances.

Squares are added up coordinate after coordinate without fast mathematics, so that a distance has the same bits
wherever it is made. Threads as in :mod:`hsicfast.tiles`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SLOTS = 16  # parallel iterations; rows are dealt forth and back, as later rows have fewer pairs
STRETCH = 256  # distances of a row made at once, in the first-level cache


@njit(cache=True)
def _fill_squares(x, i, start, row):
    """Squared distances of sample i and those from `start` on; `x` is (d, n)."""
    stop = start + row.shape[0]
    row[:] = 0.0
    d = x.shape[0]
    for c in range(d % 2):
        a, at_a = x[c, start:stop], x[c, i]
        for t in range(row.shape[0]):
            row[t] += (a[t] - at_a) * (a[t] - at_a)
    for c in range(d % 2, d, 2):  # two coordinates a turn spare loads and stores; the order of adding stays
        a, b = x[c, start:stop], x[c + 1, start:stop]
        at_a, at_b = x[c, i], x[c + 1, i]
        for t in range(row.shape[0]):
            row[t] = (row[t] + (a[t] - at_a) * (a[t] - at_a)) + (b[t] - at_b) * (b[t] - at_b)


@njit(cache=True)
def _row(slot, turn):
    return turn * SLOTS + (slot if turn % 2 == 0 else SLOTS - 1 - slot)


@njit(cache=True, parallel=True)
def squares_of(x, first, second):
    """Squared distances (m,) of the pairs ``(first[p], second[p])``."""
    out = np.zeros(first.shape[0])
    for p in prange(first.shape[0]):
        for c in range(x.shape[0]):
            difference = x[c, first[p]] - x[c, second[p]]
            out[p] += difference * difference
    return out


@njit(cache=True, parallel=True)
def squares_between(x, low, high, capacity):
    """Where the squared distances of all pairs lie beside a bracket [low, high], and those inside it.

    Parameters
    ----------
    x : (d, n)
    capacity : int
        Most distances that a slot keeps.

    Returns
    -------
    counts : (SLOTS, 5) int
        Of each slot's pairs, how many have the square 0, below `low`, `low`, `high`, and strictly between.
    inside : (SLOTS, capacity)
        Those strictly between; only the first `capacity` where there are more.
    """
    n = x.shape[1]
    counts = np.zeros((SLOTS, 5), dtype=np.int64)
    inside = np.empty((SLOTS, capacity + STRETCH))
    for slot in prange(SLOTS):
        buffer = np.empty(STRETCH)
        kept = inside[slot]
        zero = below = at_low = at_high = between = 0
        for turn in range((n + SLOTS - 1) // SLOTS):
            i = _row(np.int64(slot), turn)
            for start in range(i + 1, n, STRETCH):
                row = buffer[: min(STRETCH, n - start)]
                _fill_squares(x, i, start, row)
                for t in range(row.shape[0]):
                    zero += row[t] == 0.0
                    below += row[t] < low
                    at_low += row[t] == low
                    at_high += row[t] == high
                # Past the capacity each stretch writes over the one before: the count alone goes on.
                place = min(between, capacity)
                for t in range(row.shape[0]):
                    kept[place] = row[t]
                    fits = (row[t] > low) & (row[t] < high)
                    place += fits
                    between += fits
        counts[slot] = (zero, below, at_low, at_high, between)
    return counts, inside[:, :capacity]


@njit(cache=True, parallel=True)
def square_histogram(x, low, shift):
    """How the squared distances of all pairs fall on bins of their binary form.

    A double above 0 orders like its 64 bits read as a whole number: bin b holds those whose bits, less `low`, shifted
    right by `shift`, are b.

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
        buffer = np.empty(STRETCH)
        for turn in range((n + SLOTS - 1) // SLOTS):
            i = _row(np.int64(slot), turn)
            for start in range(i + 1, n, STRETCH):
                row = buffer[: min(STRETCH, n - start)]
                _fill_squares(x, i, start, row)
                bits = row.view(np.int64)
                for t in range(bits.shape[0]):
                    place = (bits[t] - low) >> shift
                    if 0 <= place < 65536:
                        counts[slot, place] += 1
    return counts.sum(axis=0)
