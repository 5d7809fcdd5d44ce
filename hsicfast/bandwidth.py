"""Bandwidths: the exact median distance without the n^2 distances, or a number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hsicfast import tiles
from hsicfast.errors import InputError
from hsicfast.kernels import Kernel

Floats = NDArray[np.float64]


def resolve(x: Floats, kernel: Kernel, bandwidth: str | float) -> float:
    if not kernel.has_bandwidth:
        return math.nan
    if isinstance(bandwidth, str):
        if bandwidth != "median":
            raise InputError(f"a bandwidth must be 'median', 'max' (goal_hsic) or a number, but got {bandwidth!r}")
        return median_distance(x)
    if isinstance(bandwidth, bool) or not (math.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"`bandwidth > 0` must hold, but got bandwidth={bandwidth}; try 'median'")
    return float(bandwidth)


def median_distance(x: Floats) -> float:
    """Exact median of the non-zero distances of all pairs of columns of `x` (d, n), in O(n) memory.

    One dimension: sort, then halve the interval of distances, each time counting pairs in O(n). More: four passes over
    the pairs, each settling 16 bits of the squared distance.
    """
    if len(x) == 1:
        ordered = np.sort(x[0])

        def count(bits: int) -> int:
            return int(tiles.count_pairs_within(ordered, float(np.int64(bits).view(np.float64))))

        zero, pairs = count(0), len(ordered) * (len(ordered) - 1) // 2
        return _middle(zero, pairs, lambda rank: _smallest_reaching(rank, count, float(ordered[-1] - ordered[0])))
    slots = 8
    zero = int(tiles.distance_histograms(x, 0, 3, slots)[0])  # prefix 0 and last bits 0: the distance 0 itself
    pairs = x.shape[1] * (x.shape[1] - 1) // 2
    return _middle(zero, pairs, lambda rank: math.sqrt(_select_square(x, rank, slots)))


def _middle(zero: int, pairs: int, select: Callable[[int], float]) -> float:
    """Median of what follows the `zero` zeros among `pairs` sorted values, from their order statistics."""
    low, high = zero + (pairs - zero - 1) // 2, zero + (pairs - zero) // 2
    first = select(low)
    return first if low == high else (first + select(high)) / 2


def _smallest_reaching(rank: int, count: Callable[[int], int], largest: float) -> float:
    """Smallest distance whose count exceeds `rank`; doubles above 0 order like their bits."""
    low, high = 0, int(np.float64(largest).view(np.int64))
    while low < high:
        middle = (low + high) // 2
        if count(middle) > rank:
            high = middle
        else:
            low = middle + 1
    return float(np.int64(low).view(np.float64))


def _select_square(x: Floats, rank: int, slots: int) -> float:
    prefix = 0
    for depth in range(4):
        cumulative = tiles.distance_histograms(x, prefix, depth, slots).cumsum()
        chunk = int(np.searchsorted(cumulative, rank, side="right"))
        rank -= int(cumulative[chunk - 1]) if chunk else 0
        prefix = (prefix << 16) | chunk
    return float(np.int64(prefix).view(np.float64))
