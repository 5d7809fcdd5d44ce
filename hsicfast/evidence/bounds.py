"""Bounds an effect from above, and says which effect a test finds.

Both measure an effect by how the trials that meet the goal lie. Let z say who meets it, p be the share of those who do,
and f a function of the values with mean 0 and variance 1, a contrast. Its effect is

    d = E[z f] / min(p, 1 - p).

If f is 1 on one half of the values and -1 on the other, the better half holds (1 + d) / 2 of the good trials, for p up
to 1/2; a pattern of any form with effect d explains as much as such a half. (If more than half of the trials are good,
it is the share of the others.) The effect of a set of contrasts is the largest of any sum of them that is a contrast:
the root of the sum of squares if they are uncorrelated. With n trials, n d^2 over its variance has a noncentral
chi-square distribution, which gives the upper bound.

Three sets are bounded, as finer patterns in more hyperparameters need more trials than there are:

- alone: all contrasts of the eighths of [0, 1], so that the statistic is Pearson's chi-square of a table;
- with one other: all contrasts of the quarters of both that neither has alone, its interaction in a two-way analysis of
  variance;
- with two others: the product of the contrasts of the halves of all three.

A hyperparameter with few values has these in place of eighths, and choices have their values in place of quarters and
halves, too. A value that few trials have explains little, even if it decides for them. If all the effect is in one of
these parts, the estimate spreads more than it seems to, and a bound with 95% confidence holds in 90 to 94 of 100
studies; otherwise in 95.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows

# Parts of [0, 1] alone and with one other. Numbers that have no more different values keep their values.
EIGHTHS, QUARTERS = 8, 4
# Choices beyond the most frequent MOST_CHOICES count as one: a table of more cells bounds nothing.
MOST_CHOICES = 16
# Partners that share fewer trials are not looked at.
FEWEST_SHARED = 4
# Products summed for contrasts with two others; beyond that, some of the trials give the bound.
MOST_PRODUCTS = 2e9
# Simulated sets of good trials for each effect.
DRAWS = 300
# From this many trials for each drawn one, a draw with replacement serves: hardly a trial is drawn twice.
MANY = 20
# The search for the effect stops at this share of the good trials.
SHARE_TOLERANCE = 0.003


class Patterns(NamedTuple):
    """Parts of the values of one hyperparameter, n trials each.

    Attributes
    ----------
    alone, paired : int array (n,)
        The part of each trial, from 0; -1 where the hyperparameter does not exist.
    splits : bool array (n, s)
        Splits into two parts; False where the hyperparameter does not exist.
    """

    alone: Rows
    paired: Rows
    splits: Bools


class Bounds(NamedTuple):
    """Upper bounds on the effect of one hyperparameter, see this module's docstring.

    Attributes
    ----------
    alone, with_one, with_two : float
        Alone, with any one other, and with any two others.
    """

    alone: float
    with_one: float
    with_two: float


def patterns(u: Floats, *, ordered: bool) -> Patterns:
    """The parts of a hyperparameter's values.

    Parameters
    ----------
    u : array (n,)
        Values mapped to [0, 1]; NaN where it does not exist.
    ordered : bool
        Whether the values are numbers.

    Examples
    --------
    >>> patterns(np.array([0.1, 0.3, np.nan, 0.6, 0.9]), ordered=True).paired.tolist()
    [0, 1, -1, 2, 3]
    """
    exists = ~np.isnan(u)
    values, level, counts = np.unique(u[exists], return_inverse=True, return_counts=True)
    if not ordered and len(values) > MOST_CHOICES:
        place = np.argsort(np.argsort(-counts, kind="stable"))
        level = np.minimum(place, MOST_CHOICES - 1)[level]

    def parts(count: int) -> Rows:
        of = level if not ordered or len(values) <= count else np.minimum(u[exists] * count, count - 1).astype(np.intp)
        whole = np.full(len(u), -1, dtype=np.intp)
        whole[exists] = of
        return whole

    alone, paired = parts(EIGHTHS), parts(QUARTERS)
    if ordered:
        splits = np.zeros((len(u), 1), dtype=bool)
        splits[exists, 0] = lower_half(u[exists])
    else:
        splits = paired[:, None] == np.arange(level.max() + 1 if len(values) > 2 else 1)
    return Patterns(alone, paired, splits)


def lower_half(u: Floats) -> Bools:
    """The values (n,) below 1/2; if they are few, the lower ones that are as near to half of all as can be.

    Examples
    --------
    >>> lower_half(np.array([0.1, 0.1, 0.3, 0.3, 0.3])).tolist()
    [True, True, False, False, False]
    """
    values, counts = np.unique(u, return_counts=True)
    if len(values) > EIGHTHS:
        return u < 0.5
    lower = np.concatenate(([0], np.cumsum(counts)))
    return u < np.append(values, math.inf)[np.argmin(np.abs(2 * lower - len(u)))]


def upper_bounds(
    parts: Sequence[Patterns],
    own: Sequence[int],
    children: Collection[tuple[int, int]],
    z: Bools,
    confidence: float,
    seed: int,
) -> list[Bounds]:
    """Upper bounds on the effects of hyperparameters that exist in the same n trials, each with this confidence.

    Parameters
    ----------
    parts : sequence of Patterns
        These hyperparameters, and others that some of the trials have.
    own : sequence of int
        The places in `parts` of the hyperparameters to judge.
    children : collection of (int, int)
        Pairs of places: the second hyperparameter exists under some values of the first only. Then its effect counts as
        one of both together.
    z : bool array (n,)
        Which trials met the goal: some, but not all.
    confidence : float in (0, 1)
    seed : int
        Seed of the sample that gives the bound with two others if there are too many trials.
    """
    p = float(z.mean())
    unit = math.sqrt(len(z)) * min(p, 1 - p)
    alone = [_largest(*_table(parts[place].alone, z), confidence) for place in own]
    with_one = _with_one(parts, own, children, z, confidence)
    with_two = _with_two(parts, own, z, confidence, seed)
    return [Bounds(*(bound / unit for bound in of)) for of in zip(alone, with_one, with_two, strict=True)]


def most(square: float, variance: float, dimensions: int, confidence: float) -> float:
    """Upper bound on the length of a vector, from the squared length of an estimate with this variance a coordinate.

    An estimate that happens to be shorter than the error alone makes it gives the bound of one as long: luck proves
    nothing.

    Examples
    --------
    >>> round(most(1.0, 1.0, 1, 0.95), 2)  # 1 + 1.64
    2.64
    """
    from scipy import special

    if not variance > 0:
        return 0.0
    x = max(square / variance, dimensions)
    return math.sqrt(float(special.chndtrinc(x, dimensions, 1 - confidence)) * variance)


def _table(part: Rows, z: Bools) -> tuple[Floats, Floats, Floats]:
    """Trials and good trials in each part, and the design of no effect."""
    trials = np.bincount(part).astype(np.float64)
    return trials, np.bincount(part, weights=z).astype(np.float64), np.ones((len(trials), 1))


def _with_one(
    parts: Sequence[Patterns], own: Sequence[int], children: Collection[tuple[int, int]], z: Bools, confidence: float
) -> list[float]:
    columns = [_indicators(part.paired) for part in parts]
    ends = np.cumsum([column.shape[1] for column in columns])
    place_of = [slice(end - column.shape[1], end) for end, column in zip(ends, columns, strict=True)]
    all_parts = np.hstack(columns)
    trials, met = all_parts.T @ all_parts, all_parts.T @ (z[:, None] * all_parts)
    found = []
    for one in own:
        bounds = [0.0]
        for other in range(len(parts)):
            table = trials[place_of[one], place_of[other]]
            if other == one or table.sum() < FEWEST_SHARED:
                continue
            row, column = (place.ravel() for place in np.indices(table.shape))
            design = [row[:, None] == np.arange(table.shape[0])]
            if (one, other) not in children:
                design.append(column[:, None] == np.arange(table.shape[1]))
            good = met[place_of[one], place_of[other]]
            bounds.append(_largest(table.ravel(), good.ravel(), np.hstack(design).astype(np.float64), confidence))
        found.append(max(bounds))
    return found


def _with_two(parts: Sequence[Patterns], own: Sequence[int], z: Bools, confidence: float, seed: int) -> list[float]:
    owner = np.repeat(np.arange(len(parts)), [part.splits.shape[1] for part in parts])
    work = len(owner) ** 2 * np.isin(owner, own).sum()
    rows = np.arange(len(z))
    if work * len(z) > MOST_PRODUCTS:
        count = max(int(MOST_PRODUCTS / work), 1)
        rows = np.sort(np.random.default_rng(seed).choice(len(z), count, replace=False))
    w = (z - z.mean())[rows]
    contrasts = np.hstack([_contrasts(part.splits[rows], part.alone[rows] >= 0) for part in parts])
    squares = contrasts**2
    different = owner[:, None] < owner
    found = []
    for one in own:
        bounds = [0.0]
        others = different & (owner != one) & (owner != one)[:, None]
        for column in np.flatnonzero(owner == one):
            f = contrasts[:, column]
            sums = ((w * f)[:, None] * contrasts).T @ contrasts
            sizes = (squares[:, column, None] * squares).T @ squares
            spreads = ((w**2 * squares[:, column])[:, None] * squares).T @ squares
            usable = others & (sizes > 0)
            if usable.any():
                # The sum of w f g h over the root of its sum of squares; its terms spread as those of others, or more.
                square = sums[usable] ** 2 / sizes[usable]
                variance = np.maximum(spreads[usable] / sizes[usable], w @ w / len(w))
                worst = np.argmax(np.sqrt(square) + NormalDist().inv_cdf(confidence) * np.sqrt(variance))
                bounds.append(most(float(square[worst]), float(variance[worst]), 1, confidence))
        found.append(max(bounds) * math.sqrt(len(z) / len(rows)))
    return found


def _contrasts(splits: Bools, exists: Bools) -> Floats:
    """Splits (n, s) as contrasts among the trials in which the hyperparameter exists; 0 elsewhere."""
    share = splits.sum(axis=0) / max(np.count_nonzero(exists), 1)
    spread = np.sqrt(share * (1 - share))
    return np.where(exists[:, None] & (spread > 0), (splits - share) / np.where(spread > 0, spread, 1.0), 0.0)


def _indicators(part: Rows) -> Floats:
    return (part[:, None] == np.arange(part.max() + 1)).astype(np.float64)


def _largest(trials: Floats, met: Floats, design: Floats, confidence: float) -> float:
    """Upper bound on the effect of the cells (c,) of a table beyond the columns of `design` (c, k), in sums of w."""
    filled = trials > 0
    trials, met, root = trials[filled], met[filled], np.sqrt(trials[filled])
    share = met / trials
    left, _, rank, _ = np.linalg.lstsq(root[:, None] * design[filled], root * share, rcond=1e-9)
    dimensions = len(trials) - int(rank)
    if dimensions <= 0:
        return 0.0
    fitted = design[filled] @ left
    effect = trials * (share - fitted) ** 2
    error = met * (1 - fitted) ** 2 + (trials - met) * fitted**2
    square, variance = float(effect.sum()), float(error.sum() / (trials.sum() - rank))
    if square > 0:
        # The terms of the sum along the effect found may spread more than the terms of others.
        variance = max(variance, float((effect / trials * error).sum()) / square)
    return most(square, variance, dimensions, confidence)


def found_share(part: Bools, good: int, rejects: Callable[[Rows], Bools], power: float, seed: int) -> float:
    """The smallest share of the good trials in one part of the trials that a test finds with this power.

    The good trials are drawn at random within either part. How many of them lie in the part has the distribution that
    it has if each trial there is good with one probability and each other with another, given the number of good trials
    (Fisher's noncentral hypergeometric distribution).

    Parameters
    ----------
    part : bool array (n,)
        The trials in the part: some, but not all.
    good : int
        Number of good trials: some, but not all.
    rejects : callable
        From rows of good trials (draws, good) to whether the test rejects (draws,).
    power : float in (0, 1)
    seed : int

    Returns
    -------
    float
        Infinite if the test misses an effect more often, even if the part holds as many of the good trials as it can.

    Examples
    --------
    >>> part = np.arange(100) < 50
    >>> share = found_share(part, 20, lambda rows: (rows < 50).sum(axis=1) >= 15, 0.9, 0)
    >>> 0.8 < share < 0.9
    True
    """
    random = np.random.default_rng(seed)
    inside, outside = np.flatnonzero(part), np.flatnonzero(~part)
    drawn = _drawn(inside, good, random), _drawn(outside, good, random)
    uniform = random.permutation((np.arange(DRAWS) + 0.5) / DRAWS)
    place = np.arange(good)

    def found(share: float) -> bool:
        count = _counts(share, len(inside), len(outside), good, uniform)[:, None]
        first = np.take_along_axis(drawn[0], np.minimum(place, drawn[0].shape[1] - 1)[None].repeat(DRAWS, 0), 1)
        rest = np.take_along_axis(drawn[1], np.clip(place - count, 0, drawn[1].shape[1] - 1), 1)
        return float(rejects(np.where(place < count, first, rest)).mean()) >= power

    low, high = len(inside) / len(part), min(1.0, len(inside) / good)
    if not found(high):
        return math.inf
    while high - low > SHARE_TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def _drawn(rows: Rows, count: int, random: np.random.Generator) -> Rows:
    """DRAWS draws of up to `count` of these rows, in random order."""
    if len(rows) > MANY * count:
        return random.choice(rows, (DRAWS, count))
    return random.permuted(np.tile(rows, (DRAWS, 1)), axis=1)[:, :count]


def _counts(share: float, inside: int, outside: int, good: int, uniform: Floats) -> Rows:
    """How many of the good trials lie inside if this share of them does on average: a quantile for each draw."""
    from scipy import special

    chances = min(share * good / inside, 1.0), min((1 - share) * good / outside, 1.0)
    fewest, most_inside = max(good - outside, 0), min(good, inside)
    if chances[0] == 1 or chances[1] == 0:
        return np.full(len(uniform), most_inside)
    count = np.arange(fewest, most_inside + 1)
    odds = math.log(chances[0] / (1 - chances[0])) - math.log(chances[1] / (1 - chances[1]))
    ways = sum(
        special.gammaln(of + 1) - special.gammaln(k + 1) - special.gammaln(of - k + 1)
        for of, k in ((inside, count), (outside, good - count))
    )
    log_weights = ways + count * odds
    total = np.cumsum(np.exp(log_weights - log_weights.max()))
    return np.asarray(count[np.searchsorted(total / total[-1], uniform)])
