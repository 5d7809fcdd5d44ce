"""Compiled order statistics of the distances of all pairs of values in one dimension, in O(n) memory.

Kernels here trust their input; :mod:`hsicfast.bandwidth` calls them. Threads as in :mod:`hsicfast.spectral`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SLOTS = 16  # parallel iterations, whatever the number of threads


@njit(cache=True, parallel=True)
def split(values, pivot):
    """Values (n,) below `pivot` first, in no other order, and how many they are; both sides at once.

    Written without a branch on the comparison, which no processor could guess: each side writes every value to its next
    place and moves on only where the value is its own. The one place both write to is filled from the end.
    """
    n = values.shape[0]
    out = np.empty(n + 1)
    below = np.zeros(2, dtype=np.int64)
    for side in prange(2):
        place = 0
        if side == 0:
            for j in range(n):
                out[place] = values[j]
                place += values[j] < pivot
        else:
            for j in range(n):
                out[n - place] = values[j]
                place += values[j] >= pivot
        below[side] = place
    out[below[0]] = out[n]
    return out[:n], below[0]


@njit(cache=True)
def tied_pairs(ordered):
    """Number of pairs of equal values among sorted ones (n,)."""
    n = ordered.shape[0]
    neighbours = 0
    for j in range(1, n):
        neighbours += ordered[j] == ordered[j - 1]
    if neighbours == 0:
        return 0
    count = 0
    run = 0
    for j in range(1, n):
        run = run + 1 if ordered[j] == ordered[j - 1] else 0
        count += run
    return count


@njit(cache=True)
def _first_within(ordered, j, distance):
    """Smallest i with ``ordered[j] - ordered[i] <= distance``."""
    low = 0
    high = j
    while low < high:
        middle = (low + high) // 2
        if ordered[j] - ordered[middle] > distance:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, parallel=True)
def pairs_between(ordered, low, high, room):
    """How many pairs are at most `low` apart, how many more at most `high`, and the distances of the latter.

    Parameters
    ----------
    ordered : (n,), sorted
    low, high : float, low <= high
    room : int
        Distances kept a slot; those beyond it are counted only.

    Returns
    -------
    within : (SLOTS,) int
    between : (SLOTS,) int
    found : (SLOTS, room), filled up to ``min(between, room)``; cost O(n + pairs between)
    """
    n = ordered.shape[0]
    within = np.zeros(SLOTS, dtype=np.int64)
    between = np.zeros(SLOTS, dtype=np.int64)
    found = np.empty((SLOTS, room))
    for slot in prange(SLOTS):
        start = slot * n // SLOTS
        stop = (slot + 1) * n // SLOTS
        if start == stop:
            continue
        far = _first_within(ordered, start, high)
        near = _first_within(ordered, start, low)
        inner = 0
        count = 0
        for j in range(start, stop):
            while ordered[j] - ordered[far] > high:
                far += 1
            while ordered[j] - ordered[near] > low:
                near += 1
            inner += j - near
            for i in range(min(near - far, room - count)):
                found[slot, count + i] = ordered[j] - ordered[far + i]
            count += near - far
        within[slot] = inner
        between[slot] = count
    return within, between, found
