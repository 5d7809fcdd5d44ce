"""Bandwidths: the exact median distance without the n^2 distances, or a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hsicfast import distances, tiles
from hsicfast.errors import InputError
from hsicfast.kernels import Kernel

Floats = NDArray[np.float64]

# From here on two threads sort faster than one.
PARALLEL_SORT = 200_000


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

    One dimension: O(n log n), see :func:`_median_on_line`. More: four passes over the pairs, each settling 16 bits of
    the squared distance.
    """
    if len(x) == 1:
        return _median_on_line(_sorted(x[0]))
    slots = 8
    zero = int(tiles.distance_histograms(x, 0, 3, slots)[0])  # prefix 0 and last bits 0: the distance 0 itself
    pairs = x.shape[1] * (x.shape[1] - 1) // 2
    return _middle(zero, pairs, lambda rank: math.sqrt(_select_square(x, rank, slots)))


def _sorted(values: Floats) -> Floats:
    """Values (n,) in order; many of them as two halves by two threads."""
    if len(values) < PARALLEL_SORT:
        return np.sort(values)
    pivot = np.median(values[:: len(values) // 1000])
    out, below = distances.split(values, pivot)
    with ThreadPoolExecutor(1) as other:  # numpy's sort lets other threads run
        half = other.submit(out[:below].sort)
        out[below:].sort()
        half.result()
    return out


def _median_on_line(ordered: Floats) -> float:
    """Exact median of the non-zero distances of sorted values (n,).

    A histogram gives a narrow bracket, one pass over the values counts the pairs below and collects the few inside.
    Where ties or gaps mislead it, the interval of distances is halved instead, counting pairs in O(n) each time.
    """
    n = len(ordered)
    zero, pairs = distances.tied_pairs(ordered), n * (n - 1) // 2
    first, last = _middle_ranks(zero, pairs)
    low, high, spread = _bracket(ordered, (first + last) / 2)
    within, between, found = distances.pairs_between(ordered, low, high, 8 * spread // distances.SLOTS + 64)
    below = int(within.sum())
    enclosed = below <= first and last < below + between.sum()
    if enclosed and between.max() <= found.shape[1]:
        inside = np.concatenate([row[:count] for row, count in zip(found, between, strict=True)])
        return float(np.partition(inside, (first - below, last - below))[[first - below, last - below]].mean())
    if not enclosed:
        low, high = 0.0, float(ordered[-1] - ordered[0])

    def count(bits: int) -> int:
        distance = float(np.int64(bits).view(np.float64))
        return int(distances.pairs_between(ordered, distance, distance, 0)[0].sum())

    return _middle(zero, pairs, lambda rank: _smallest_reaching(rank, count, low, high))


def _bracket(ordered: Floats, rank: float) -> tuple[float, float, int]:
    """Two distances that should enclose that of `rank` among all pairs, and how far in ranks each lies from it.

    Within a cell of a histogram values are taken as evenly spread. With n/b values in each of b cells the count is then
    off by about (n/b)^(3/2) a cell on the edge, of either sign, so by n^(3/2) / b together; four times that is allowed.
    """
    n = len(ordered)
    bins = 2 ** min(max(round(math.log2(n / 64)), 5), 14)
    span = ordered[-1] - ordered[0]
    edges = ordered[0] + span * (np.arange(1, bins) / bins)
    counts = np.diff(np.searchsorted(ordered, edges), prepend=0, append=n)
    spectrum = np.abs(np.fft.rfft(counts, 2 * bins)) ** 2
    lags = np.rint(np.fft.irfft(spectrum)[: bins + 1])  # lags[l]: pairs that lie l cells apart
    lags[0] = (lags[0] - n) / 2
    # Pairs l cells apart lie between l - 1 and l + 1 cells apart, half of them below l.
    reached = np.cumsum(lags) - np.where(np.arange(bins + 1) > 0, lags / 2, lags)
    spread = math.ceil(4 * n**1.5 / bins)
    low, high = np.interp((rank - spread, rank + spread), reached, span * (np.arange(bins + 1) / bins))
    return float(low), float(high), spread


def _middle(zero: int, pairs: int, select: Callable[[int], float]) -> float:
    """Median of what follows the `zero` zeros among `pairs` sorted values, from their order statistics."""
    low, high = _middle_ranks(zero, pairs)
    first = select(low)
    return first if low == high else (first + select(high)) / 2


def _middle_ranks(zero: int, pairs: int) -> tuple[int, int]:
    return zero + (pairs - zero - 1) // 2, zero + (pairs - zero) // 2


def _smallest_reaching(rank: int, count: Callable[[int], int], low: float, high: float) -> float:
    """Smallest distance in [low, high] whose count exceeds `rank`; doubles above 0 order like their bits."""
    first, last = int(np.float64(low).view(np.int64)), int(np.float64(high).view(np.int64))
    while first < last:
        middle = (first + last) // 2
        if count(middle) > rank:
            last = middle
        else:
            first = middle + 1
    return float(np.int64(first).view(np.float64))


def _select_square(x: Floats, rank: int, slots: int) -> float:
    prefix = 0
    for depth in range(4):
        cumulative = tiles.distance_histograms(x, prefix, depth, slots).cumsum()
        chunk = int(np.searchsorted(cumulative, rank, side="right"))
        rank -= int(cumulative[chunk - 1]) if chunk else 0
        prefix = (prefix << 16) | chunk
    return float(np.int64(prefix).view(np.float64))
