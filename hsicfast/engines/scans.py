"""Compiled one-pass scans of a long array: bounds, the values around the k-th smallest, counts in cells.

NumPy needs several passes and temporaries for each. With a million values every pass costs a twentieth of a sort.
Threads as in :mod:`hsicfast.engines.spectral`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import use_wide_vectors

SLOTS = 16  # parallel iterations, whatever the number of threads
BLOCK = 16  # values counted at once; the few blocks that hold a value inside are read again


@njit(cache=True, parallel=True)
def all_within(x, low, high):
    """Whether ``low <= x <= high`` for all of x (n,); False if x holds a NaN."""
    n = x.shape[0]
    within = np.zeros(SLOTS, dtype=np.int64)
    for slot in prange(SLOTS):
        use_wide_vectors()
        count = 0
        for j in range(slot * n // SLOTS, (slot + 1) * n // SLOTS):
            count += (x[j] >= low) & (x[j] <= high)
        within[slot] = count
    return within.sum() == n


@njit(cache=True, parallel=True)
def between(x, low, high):
    """Values of x (n,) in (low, high], how many are at most `low`, and how many are minus infinity.

    Returns
    -------
    inside : (m,)
    below, endless : int
    """
    n = x.shape[0]
    counts = np.zeros((SLOTS, 3), dtype=np.int64)
    kept = np.empty((SLOTS, n // SLOTS + 2))
    for slot in prange(SLOTS):
        use_wide_vectors()
        part = x[slot * n // SLOTS : (slot + 1) * n // SLOTS]
        row = kept[slot]
        found = below = endless = 0
        for start in range(0, part.shape[0], BLOCK):
            block = part[start : start + BLOCK]
            inside_block = 0
            for t in range(block.shape[0]):
                below += block[t] <= low
                endless += block[t] == -np.inf
                inside_block += (block[t] > low) & (block[t] <= high)
            if inside_block > 0:
                for t in range(block.shape[0]):
                    if (block[t] > low) & (block[t] <= high):
                        row[found] = block[t]
                        found += 1
        counts[slot] = (found, below, endless)
    inside = np.empty(counts[:, 0].sum())
    place = 0
    for slot in range(SLOTS):
        inside[place : place + counts[slot, 0]] = kept[slot, : counts[slot, 0]]
        place += counts[slot, 0]
    return inside, counts[:, 1].sum(), counts[:, 2].sum()


@njit(cache=True, parallel=True)
def count_cells(u, met, edges, guide, slots):
    """How many of u (n,), and of those that `met` (n,), lie below, on and between ascending `edges` (E,).

    Cell 2 i holds what lies between the edges i - 1 and i, cell 2 i + 1 what is equal to edge i.

    Parameters
    ----------
    u : (n,) in [0, 1]
    guide : (G + 1,) int
        How many edges lie below g / G, G a power of two: they narrow the search for the cell of a value.
    slots : int
        Parallel iterations.

    Returns
    -------
    (2, 2 E + 1) int; cost O(n log(edges a place of the guide) + slots E)
    """
    n = u.shape[0]
    last = edges.shape[0]
    places = guide.shape[0] - 1
    parts = np.zeros((slots, 2, 2 * last + 1), dtype=np.int64)
    for slot in prange(slots):
        for j in range(slot * n // slots, (slot + 1) * n // slots):
            place = min(int(u[j] * places), places - 1)
            low = guide[place]
            high = guide[place + 1]
            while low < high:  # the first edge that is not below
                middle = (low + high) >> 1
                if edges[middle] < u[j]:
                    low = middle + 1
                else:
                    high = middle
            cell = 2 * low
            if low < last and edges[low] == u[j]:
                cell += 1
            parts[slot, 0, cell] += 1
            parts[slot, 1, cell] += met[j]
    return parts.sum(axis=0)
