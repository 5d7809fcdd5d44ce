"""Compiled order statistics of the distances of all pairs of values in one dimension, in O(n) memory.

Kernels here trust their input; :mod:`hsicfast.bandwidth` calls them. Threads as in :mod:`hsicfast.spectral`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SLOTS = 16  # parallel iterations, whatever the number of threads
BLOCK = 16  # values compared at once with all that may lie at the distance


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


# Where a pointer that follows each value stops, no processor can guess. A block of values and the window in which their
# pointers end are compared in full instead: 16 comparisons a value, many at once.
@njit(cache=True, fastmath={"reassoc"})
def _beyond(block, window, distance):
    """Number of pairs of a block and a window that are more than `distance` apart."""
    count = 0
    for i in range(window.shape[0]):
        for t in range(BLOCK):
            count += block[t] - window[i] > distance
    return count


@njit(cache=True, fastmath={"reassoc"})
def _beyond_both(block, window, low, high):
    count_low = 0
    count_high = 0
    for i in range(window.shape[0]):
        for t in range(BLOCK):
            apart = block[t] - window[i]
            count_low += apart > low
            count_high += apart > high
    return count_low, count_high


@njit(cache=True)
def _collect(block, window, low, high, found, count):
    """Write the distances in (low, high] behind the first `count` of `found`, as long as there is room."""
    for t in range(block.shape[0]):
        for i in range(window.shape[0]):
            apart = block[t] - window[i]
            if apart <= low:
                break
            if apart <= high:
                if count < found.shape[0]:
                    found[count] = apart
                count += 1
    return count


@njit(cache=True, parallel=True)
def pairs_within(ordered, distance):
    """Number of pairs of sorted values (n,) that are at most `distance` apart; O(n)."""
    n = ordered.shape[0]
    within = np.zeros(SLOTS, dtype=np.int64)
    for slot in prange(SLOTS):
        start = slot * n // SLOTS
        stop = (slot + 1) * n // SLOTS
        if start == stop:
            continue
        near = _first_within(ordered, start, distance)
        count = 0
        j = start
        while j + BLOCK <= stop:
            last = near
            while ordered[j + BLOCK - 1] - ordered[last] > distance:
                last += 1
            count += BLOCK * (j - near) + BLOCK * (BLOCK - 1) // 2
            count -= _beyond(ordered[j : j + BLOCK], ordered[near:last], distance)
            near = last
            j += BLOCK
        while j < stop:
            while ordered[j] - ordered[near] > distance:
                near += 1
            count += j - near
            j += 1
        within[slot] = count
    return within.sum()


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
    within : int
    between : (SLOTS,) int
    found : (SLOTS, room), filled up to ``min(between, room)``; cost O(n), and BLOCK^2 a pair between
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
        count = 0
        kept = 0
        j = start
        while j < stop:
            end = min(j + BLOCK, stop)
            last = near
            while ordered[end - 1] - ordered[last] > low:
                last += 1
            block = ordered[j:end]
            window = ordered[far:last]
            size = end - j
            if size == BLOCK:
                beyond_low, beyond_high = _beyond_both(block, window, low, high)
            else:
                beyond_low = 0
                beyond_high = -1  # unequal: the few left over are gone through one by one
                for i in range(window.shape[0]):
                    for t in range(size):
                        beyond_low += block[t] - window[i] > low
            count += size * (j - far) + size * (size - 1) // 2 - beyond_low
            if beyond_low != beyond_high:
                kept = _collect(block, window, low, high, found[slot], kept)
            near = last
            while ordered[end - 1] - ordered[far] > high:
                far += 1
            j = end
        within[slot] = count
        between[slot] = kept
    return within.sum(), between, found
