"""Bandwidths: a number, or the exact median distance, found without keeping n^2 distances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.engines import distances, distances_1d
from hsicfast.engines.kernels import Kernel
from hsicfast.engines.layer import threads_for
from hsicfast.errors import InputError

# Up to FEW_PAIRS pairs we keep every distance; beyond that, at most 16 * CAPACITY squared distances (4 MiB).
FEW_PAIRS = 100_000
CAPACITY = 2**15
# A sample of FEWEST_DRAWS to MOST_DRAWS pairs says where the median of all pairs lies.
FEWEST_DRAWS, MOST_DRAWS = 20_000, 200_000
# From more than MIN_THINNED values every THIN-th one alone says first where to look for the median.
MIN_THINNED, THIN = 64, 8
MOST_STEPS, MOST_GUESSES = 30, 4
# About as many comparisons a value take the passes of one dimension.
COMPARISONS = 100
# Among ties, up to LEVEL_PAIRS pairs of different values for each sample are sorted: it takes as long as sorting these.
LEVEL_PAIRS = 1
# A guess is near enough once the pairs between it and the median are at most the larger of FEW_MISSING and a
# NEAR_SHARE-th of the values: collecting them then takes less time than one more count.
FEW_MISSING, NEAR_SHARE = 2000, 32
# The number of pairs in an interval of distances scatters like a Poisson number. The interval that is collected reaches
# SPREAD standard deviations and MARGIN pairs further than expected; a corrected guess aims AIM pairs below the median.
SPREAD, MARGIN, AIM = 8, 64, 8
# Counts on the thinned values narrow the bracket to NARROW times the few pairs, looking at steps of its REACH-th part.
NARROW, REACH = 8, 16

SMALLEST, LARGEST = 1e-150, 1e150


def resolve(x: Floats, kernel: Kernel, bandwidth: str | float) -> float:
    """The bandwidth in use for `x` (d, n) if `bandwidth`, "median" or a number, is asked for; NaN if `kernel` has none.

    Raises
    ------
    InputError
        If `bandwidth` is another word or no number above 0, or if no two samples differ.
    """
    if not kernel.has_bandwidth:
        return math.nan
    if isinstance(bandwidth, str):
        if bandwidth != "median":
            raise InputError(f"a bandwidth must be 'median', 'max' (goal_hsic) or a number, but got {bandwidth!r}")
        # Values that lie far closer together than others may have a median distance whose square is 0.
        d, n = x.shape
        with threads_for(n * COMPARISONS if d == 1 else n**2 * d):
            return max(median_distance(x), SMALLEST)
    if isinstance(bandwidth, bool) or not (math.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"`bandwidth > 0` must hold, but got bandwidth={bandwidth}; try 'median'")
    # Beyond these bounds its square is no double, and the kernel of any two doubles is the same as at the bounds.
    return min(max(float(bandwidth), SMALLEST), LARGEST)


def median_distance(x: Floats) -> float:
    """Exact median of the non-zero distances of all pairs of columns of `x` (d, n), in O(n) memory.

    In one dimension it takes O(n log n), see :func:`median_on_line`. In more it takes one pass over the pairs, which
    keeps the few distances in a :class:`Bracket` around the median of a sample of pairs.

    Raises
    ------
    InputError
        If all columns are equal, or so close that the squares of their distances are 0.
    """
    if not np.all(x == x[:, :1]):
        if len(x) == 1:
            return median_on_line(np.sort(x[0]))
        pairs = x.shape[1] * (x.shape[1] - 1) // 2
        bracket = Bracket(x, *_likely(x, pairs))
        if bracket.zero < pairs:
            return _middle(bracket.zero, pairs, lambda rank: math.sqrt(bracket.select(rank)))
    raise InputError("bandwidth='median' needs two samples that differ, but got equal ones; give a number")


def median_on_line(ordered: Floats) -> float:
    """Exact median of the non-zero distances of sorted values (n,), in O(n).

    If few values differ, each pair of these stands for many pairs of samples. If many do, every THIN-th of them says
    where to look. One pass counts the pairs within that distance. A second pass, at a distance on the other side of the
    median, collects the few distances between the two. If ties or gaps mislead the search, the interval of distances is
    narrowed step by step instead, and pairs are counted each time.
    """
    n = len(ordered)
    zero, pairs = distances_1d.tied_pairs(ordered), n * (n - 1) // 2
    first, last = _middle_ranks(zero, pairs)
    if n <= MIN_THINNED:
        distances = np.sort((ordered[:, None] - ordered).ravel())[-pairs:]
        return float(distances[[first, last]].mean())
    if zero:
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        if len(starts) * (len(starts) - 1) // 2 <= LEVEL_PAIRS * n:
            return _median_of_levels(ordered[starts], np.diff(starts, append=n))
    middle = (first + last) / 2
    guess, density = _near(ordered, middle)
    few = max(n // NEAR_SHARE, FEW_MISSING)
    within = distances_1d.pairs_within(ordered, guess)
    for _ in range(MOST_GUESSES):
        missing = middle - int(within.sum())
        # If half a pair is missing, the two distances in the middle lie on either side of the guess.
        if missing != -0.5 and abs(missing) <= few:
            break
        guess = max(guess + (missing - AIM) / density, 0.0)
        within = distances_1d.pairs_within(ordered, guess)
    count = int(within.sum())
    missing = middle - count
    if abs(missing) <= few:
        spread = SPREAD * math.sqrt(abs(missing)) + MARGIN
        other = max(guess + (missing + math.copysign(spread, missing)) / density, 0.0)
        room = int(abs(missing) + spread)
        found, kept = distances_1d.distances_between(ordered, within, guess, other, room)
        below = count if other > guess else count - int(found.sum())
        if found.max() <= room and below <= first and last < below + found.sum():
            inside = np.concatenate([row[:size] for row, size in zip(kept, found, strict=True)])
            return float(np.partition(inside, (first - below, last - below))[[first - below, last - below]].mean())

    ends = (0.0, zero, guess, count) if count > first else (guess, count, float(ordered[-1] - ordered[0]), pairs)
    lower, up_to = _narrowed_to_one(ordered, first, *ends)
    return lower if last < up_to else (lower + float(distances_1d.smallest_beyond(ordered, lower))) / 2


def _narrowed_to_one(
    ordered: Floats, rank: int, low: float, at_low: int, high: float, at_high: int
) -> tuple[float, int]:
    """The distance of `rank` among all pairs, and how many pairs are at most as far apart.

    The largest distance in (low, high] may be that of millions of pairs. If it is not the one, the bracket shrinks from
    both sides: to where the rank would lie if distances were spread evenly, and to one half of its doubles.

    Parameters
    ----------
    ordered : array (n,), sorted
    rank : int
    low, high : float
    at_low, at_high : int
        How many pairs are at most so far apart: ``at_low <= rank < at_high``.
    """

    def within(distance: float) -> int:
        return int(distances_1d.pairs_within(ordered, distance).sum())

    while True:
        high = float(distances_1d.largest_within(ordered, high))
        below = math.nextafter(high, 0.0)
        count = within(below)
        if count <= rank:
            return high, at_high
        high, at_high = below, count
        pairs = at_high - at_low
        slack = SPREAD * math.sqrt(pairs)
        for share in ((rank - at_low - slack) / pairs, (rank - at_low + slack) / pairs, None):
            distance = _double((_bits(low) + _bits(high)) // 2) if share is None else low + share * (high - low)
            if low < distance < high:
                count = within(distance)
                if count <= rank:
                    low, at_low = distance, count
                else:
                    high, at_high = distance, count


def _median_of_levels(levels: Floats, counts: NDArray[np.intp]) -> float:
    """Median of the non-zero distances of samples with ascending `levels` (L,), of which each has `counts` (L,)."""
    later, earlier = np.tril_indices(len(levels), -1)
    distances = levels[later] - levels[earlier]
    order = np.argsort(distances)
    cumulative = (counts[later] * counts[earlier])[order].cumsum()
    ranks = _middle_ranks(0, int(cumulative[-1]))
    return float(distances[order[np.searchsorted(cumulative, ranks, side="right")]].mean())


def _near(ordered: Floats, rank: float) -> tuple[float, float]:
    """An estimate of the distance of `rank` among all pairs, and of the number of pairs for a unit of distance.

    They come from every THIN-th value: each stands for THIN values, and pairs within these THIN are not seen.
    """
    n = len(ordered)
    guess, density = _bracketed(ordered[THIN // 2 :: THIN].copy(), (rank - n * (THIN - 1) / 2) / THIN**2)
    return guess, density * THIN**2


def _bracketed(ordered: Floats, rank: float) -> tuple[float, float]:
    """The same from counts of all these values, repeated until a bracket around the rank holds few pairs."""
    n = len(ordered)
    low, high = 0.0, float(ordered[-1] - ordered[0])
    at_low, at_high = 0, n * (n - 1) // 2
    if n <= MIN_THINNED:
        distances = np.sort((ordered[:, None] - ordered).ravel())[-at_high:]
        places = np.clip(int(rank) + np.array([-n, 0, n]), 0, at_high - 1)
        before, guess, after = distances[places]
        return float(guess), max(float(places[2] - places[0]), 1.0) / max(float(after - before), 1e-300)
    guess, density = _near(ordered, rank)
    few = SPREAD * math.sqrt(n * THIN)
    reach = few / density
    for _ in range(MOST_STEPS):
        for distance in (guess - reach, guess + reach):
            if low < distance < high:
                count = int(distances_1d.pairs_within(ordered, distance).sum())
                if count < rank:
                    low, at_low = distance, count
                else:
                    high, at_high = distance, count
        density = max(at_high - at_low, 1) / (high - low)
        guess = low + (rank - at_low) / density
        if at_high - at_low <= NARROW * few:
            break
        reach = (high - low) / REACH
    return guess, density


def _middle(zero: int, pairs: int, select: Callable[[int], float]) -> float:
    """Median of `pairs` sorted values without the `zero` zeros in front; `select` gives their order statistics."""
    low, high = _middle_ranks(zero, pairs)
    first = select(low)
    return first if low == high else (first + select(high)) / 2


def _middle_ranks(zero: int, pairs: int) -> tuple[int, int]:
    return zero + (pairs - zero - 1) // 2, zero + (pairs - zero) // 2


class Bracket:
    """Squared distances of the pairs of `x` (d, n): counts below and at the ends of [low, high], values inside it."""

    def __init__(self, x: Floats, low: float, high: float) -> None:
        self.x, self.low, self.high = x, low, high
        counts, kept = distances.squares_between(x, low, high, *_coarse(x, low, high), CAPACITY)
        self.zero, self.below, self.at_low, at_high, self.between = (int(count) for count in counts.sum(axis=0))
        self.at_high = 0 if low == high else at_high
        self.narrower: Bracket | None = None
        self.inside: Floats | None = None  # None if there are too many to keep
        if counts[:, 4].max() <= CAPACITY:
            self.inside = np.concatenate([part[:size] for part, size in zip(kept, counts[:, 4], strict=True)])

    def holds(self, rank: int) -> bool:
        """Whether the order statistic `rank` lies in the interval."""
        return 0 <= rank - self.below < self.at_low + self.between + self.at_high

    def select(self, rank: int) -> float:
        """Order statistic `rank` (from 0) of the squares of all pairs."""
        place = rank - self.below
        if place < 0:
            return self._narrowed(rank, 0, _bits(self.low) - 1)
        if place < self.at_low:
            return self.low
        place -= self.at_low
        if place < self.between:
            if self.inside is None:
                return self._narrowed(rank, _bits(self.low) + 1, _bits(self.high) - 1)
            self.inside.partition(place)  # in place, as the next rank is its neighbour in this partial order
            return float(self.inside[place])
        if place < self.between + self.at_high:
            return self.high
        return self._narrowed(rank, _bits(self.high) + 1, _bits(math.inf) - 1)

    def _narrowed(self, rank: int, first: int, last: int) -> float:
        """The same from a narrower bracket: one of 65,536 parts of the doubles whose bits lie in [first, last].

        The bracket is kept, because the two order statistics of a median nearly always share one.
        """
        if self.narrower is not None and self.narrower.holds(rank):
            return self.narrower.select(rank)
        shift = max((last - first).bit_length() - 16, 0)
        before = self.below if first > 0 else 0
        if first > _bits(self.low):
            before += self.at_low
        if first > _bits(self.high):
            before += self.between + self.at_high
        cumulative = distances.square_histogram(self.x, first, shift).cumsum()
        part = int(np.searchsorted(cumulative, rank - before, side="right"))
        low = first + (part << shift)
        self.narrower = Bracket(self.x, _double(low), _double(min(low + (1 << shift) - 1, last)))
        return self.narrower.select(rank)


def _coarse(x: Floats, low: float, high: float) -> tuple[NDArray[Any], float, float]:
    """Coordinates in single precision, and a bracket: squares outside it are on the same side as those of `x`.

    With coordinates around 0 in units of sqrt(high), up to M_c, a difference is known to e_c = 2^-22 M_c, a square s to
    ``2 sqrt(s) E + E^2 + (d + 3) 2^-23 s`` with E^2 = sum e_c^2. If that is no small part of the bracket, or if
    squares may be 0, which only doubles show, the answer is `x` itself.
    """
    if low > 0 and high < math.inf and _no_ties(x[0]):
        middle = (x.max(axis=1, keepdims=True) + x.min(axis=1, keepdims=True)) / 2
        scaled = (x - middle) / math.sqrt(high)
        error = 2.0**-22 * math.sqrt(float((scaled.max(axis=1) ** 2).sum()))
        margin = error * (2 + error) + (len(x) + 4) * 2.0**-23
        if margin < 0.1 * (1 - low / high):
            return scaled.astype(np.float32), low / high - margin, 1 + margin
    return x, low, high


def _no_ties(values: Floats) -> bool:
    gaps = np.diff(np.sort(values))
    return float(gaps.min()) ** 2 > 0


def _likely(x: Floats, pairs: int) -> tuple[float, float]:
    """An interval that almost surely holds the median of the non-zero squares, and few others."""
    if pairs <= FEW_PAIRS:
        return 0.0, math.inf
    n = x.shape[1]
    shuffled = x[:, np.random.default_rng(0).permutation(n)]
    draws = min(max(pairs // 200, FEWEST_DRAWS), MOST_DRAWS)
    # Every sample is in as many pairs as any other.
    squares = distances.squares_along(np.ascontiguousarray(shuffled), math.ceil(draws / n))
    squares = squares[squares > 0]
    squares.sort()
    if len(squares) == 0:
        return 0.0, math.inf
    middle, slack = len(squares) / 2, 2 * math.sqrt(len(squares))  # 4 standard deviations of the median's rank
    low, high = max(int(middle - slack) - 1, 0), min(int(middle + slack) + 1, len(squares) - 1)
    return float(squares[low]), float(squares[high])


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _double(bits: int) -> float:
    return float(np.int64(bits).view(np.float64))
