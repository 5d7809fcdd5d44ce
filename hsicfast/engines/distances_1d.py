"""Compiled order statistics of the distances of all pairs of values in one dimension, in O(n) memory.

Kernels here trust their input; :mod:`hsicfast.dependence.bandwidth` calls them. Threads as
in :mod:`hsicfast.engines.spectral`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import use_wide_vectors

SLOTS = 16  # parallel iterations, whatever the number of threads
BLOCK, STEP = 16, 8  # BLOCK values are compared at once with STEP candidates at the distance


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


# A processor cannot predict where a pointer that follows each value stops. So a block of values is compared in full
# with the few values at which their pointers stop, STEP by STEP: some 20 comparisons a value, many at once. The counts
# are whole numbers and the differences stand alone: of the flags reassoc is the only one that matters here.
@njit(cache=True, fastmath={"reassoc"})
def _beyond(block, step, distance):
    """How many pairs of a block and a step are more than `distance` apart, and how many have the block's last value."""
    use_wide_vectors()
    count = 0
    for i in range(STEP):
        for t in range(BLOCK):
            count += block[t] - step[i] > distance
    passed = 0
    for i in range(STEP):
        passed += block[BLOCK - 1] - step[i] > distance
    return count, passed


@njit(cache=True)
def _block_within(ordered, start, stop, near, distance):
    """Number of pairs at most `distance` apart whose later value is in a block, and the new `near`.

    On entry `near` is the place of the first value within `distance` of the block's first value; the new one is that
    for its last value.
    """
    count = 0
    if stop - start < BLOCK or stop + STEP > ordered.shape[0]:  # a step must not end behind the last value
        for j in range(start, stop):
            while ordered[j] - ordered[near] > distance:
                near += 1
            count += j - near
        return count, near
    block = ordered[start:stop]
    count = BLOCK * (start - near) + BLOCK * (BLOCK - 1) // 2
    passed = STEP
    while passed == STEP:
        beyond, passed = _beyond(block, ordered[near : near + STEP], distance)
        count -= beyond
        near += passed
    return count, near


@njit(cache=True, parallel=True)
def pairs_within(ordered, distance):
    """How many pairs of sorted values (n,) are at most `distance` apart, by the block of the later: (ceil(n / BLOCK),).

    Cost O(n).
    """
    n = ordered.shape[0]
    blocks = (n + BLOCK - 1) // BLOCK
    within = np.empty(blocks, dtype=np.int64)
    for slot in prange(SLOTS):
        use_wide_vectors()
        first = slot * blocks // SLOTS
        near = _first_within(ordered, min(first * BLOCK, n - 1), distance)
        for block in range(first, (slot + 1) * blocks // SLOTS):
            start = block * BLOCK
            within[block], near = _block_within(ordered, start, min(start + BLOCK, n), near, distance)
    return within


@njit(cache=True, parallel=True)
def largest_within(ordered, distance):
    """The largest distance of two of sorted values (n,) that is at most `distance`; 0 if there is none. Cost O(n)."""
    n = ordered.shape[0]
    largest = np.zeros(SLOTS)
    for slot in prange(SLOTS):
        start = slot * n // SLOTS
        near = _first_within(ordered, start, distance)
        for j in range(start, (slot + 1) * n // SLOTS):
            while ordered[j] - ordered[near] > distance:
                near += 1
            largest[slot] = max(largest[slot], ordered[j] - ordered[near])
    return largest.max()


@njit(cache=True, parallel=True)
def smallest_beyond(ordered, distance):
    """The smallest distance of two of sorted values (n,) above `distance`; infinity if there is none. Cost O(n)."""
    n = ordered.shape[0]
    smallest = np.full(SLOTS, np.inf)
    for slot in prange(SLOTS):
        start = slot * n // SLOTS
        near = _first_within(ordered, start, distance)
        for j in range(start, (slot + 1) * n // SLOTS):
            while ordered[j] - ordered[near] > distance:
                near += 1
            if near > 0:
                smallest[slot] = min(smallest[slot], ordered[j] - ordered[near - 1])
    return smallest.min()


@njit(cache=True, parallel=True)
def distances_between(ordered, within, distance, other, room):
    """The distances of all pairs that lie between two given distances.

    Parameters
    ----------
    ordered : (n,), sorted
    within : (ceil(n / BLOCK),)
        :func:`pairs_within` `distance`; blocks that have as many pairs within `other` need no second look.
    distance, other : float
        Either may be the larger.
    room : int
        How many distances each slot keeps.

    Returns
    -------
    found : (SLOTS,) int
        Distances above the smaller and at most the larger of the two. A slot that finds more than `room` stops there.
    kept : (SLOTS, room), filled up to ``min(found, room)``; cost O(n), and BLOCK^2 a distance found
    """
    n = ordered.shape[0]
    blocks = within.shape[0]
    low = min(distance, other)
    high = max(distance, other)
    found = np.zeros(SLOTS, dtype=np.int64)
    kept = np.empty((SLOTS, room))
    for slot in prange(SLOTS):
        use_wide_vectors()
        first = slot * blocks // SLOTS
        near = _first_within(ordered, min(first * BLOCK, n - 1), other)
        count = 0
        for block in range(first, (slot + 1) * blocks // SLOTS):
            start = block * BLOCK
            stop = min(start + BLOCK, n)
            far = near
            reached, near = _block_within(ordered, start, stop, near, other)
            if reached != within[block] and count <= room:
                while far > 0 and ordered[start] - ordered[far - 1] <= high:
                    far -= 1
                count = _collect(ordered, start, stop, far, low, high, kept[slot], count)
        found[slot] = count
    return found, kept


@njit(cache=True)
def _collect(ordered, start, stop, far, low, high, kept, count):
    """Write a block's distances in (low, high] behind the first `count` of `kept`, until there are more than fit."""
    for j in range(start, stop):
        while ordered[j] - ordered[far] > high:
            far += 1
        i = far
        while ordered[j] - ordered[i] > low and count <= kept.shape[0]:
            if count < kept.shape[0]:
                kept[count] = ordered[j] - ordered[i]
            count += 1
            i += 1
    return count
