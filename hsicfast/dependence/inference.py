"""How sure a statistic is: p-values, confidence intervals, corrections for many tests.

Functions import the parts of scipy they need: otherwise every ``import hsicfast`` would wait for parts few calls need.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats

# Searches for a root reach FAR standard deviations out, beyond any level and confidence in use.
FAR = 10
# Where no permutation reaches a statistic, the tail is that of this many of the largest.
TAIL_COUNT = 20
# The search for the saddlepoint, in parts of its upper limit.
SADDLEPOINT_ERROR = 1e-14
# Below NEAR_MEAN the functions of :func:`_saddlepoint` come from as many terms of their series as reach 1e-17.
NEAR_MEAN, TERMS = 0.1, 18
_SQUARED = [*(1 - 1 / n for n in range(TERMS, 1, -1)), 0.0, 0.0]
_BEYOND = [*((n - 1) * (n - 2) / (2 * n) for n in range(TERMS, 2, -1)), 0.0, 0.0, 0.0]
# The law of an index is integrated at NODES points over REACH standard deviations to either side.
NODES, REACH = 32, 7


def permutation_pvalue(statistic: float, permuted: Floats, rounding: float = 0.0) -> float:
    """``p = (1 + #{S_b >= S}) / (B + 1)``, valid at every B (Phipson and Smyth 2010).

    Discrete hyperparameters give exact ties, which rounding would break at random. So a relative difference of 1e-9
    counts as a tie, which makes p larger, never smaller. So does a difference that rounding makes: a statistic of 0, or
    one that is nothing but rounding, shows nothing.

    Parameters
    ----------
    statistic : float
        S for the data.
    permuted : array (B,)
        S_b for permuted goals.
    rounding : float
        How far rounding may move S and S_b.

    Examples
    --------
    >>> permutation_pvalue(3.0, np.array([1.0, 3.0, 2.0]))
    0.5
    >>> permutation_pvalue(0.0, np.array([-1e-18, 1e-18, 2e-18]), rounding=1e-17)
    1.0
    """
    reached = np.count_nonzero(permuted >= statistic * (1 - 1e-9) - rounding)
    return float((1 + reached) / (len(permuted) + 1))


def beyond_permutations(statistic: float, permuted: Floats) -> float:
    """The p-value of a statistic that no permutation reached: at most ``1 / (B + 1)``, and smaller the further it is.

    The square root of the statistic is the length of a sum. Its tail goes on from the TAIL_COUNT largest lengths as an
    exponential with their mean excess, which is heavier than that of a normal sum: this p-value is rather too large.

    Examples
    --------
    >>> lengths = np.abs(np.random.default_rng(0).standard_normal(999))
    >>> round(beyond_permutations(16.0, lengths**2), 4), round(math.erfc(4 / 2**0.5), 5)
    (0.0003, 6e-05)
    """
    least = 1 / (len(permuted) + 1)
    if len(permuted) <= TAIL_COUNT:
        return least
    largest = np.sqrt(np.sort(permuted)[-TAIL_COUNT - 1 :])
    excess = float((largest[1:] - largest[0]).mean())
    if excess <= 0:
        return least
    return min(least, TAIL_COUNT * least * math.exp(-(math.sqrt(statistic) - float(largest[0])) / excess))


def gamma_pvalue(statistic: float, mean: float, variance: float) -> float:
    """P(S >= statistic) for S gamma distributed with this mean and variance (Gretton et al. 2007).

    Examples
    --------
    >>> round(gamma_pvalue(2.0, mean=1.0, variance=1.0), 6) == round(math.exp(-2.0), 6)
    True
    """
    from scipy import special

    if variance <= 0:
        return 1.0
    return float(special.gammaincc(mean**2 / variance, statistic * mean / variance))


def weighted_chi2_pvalue(statistic: float, weights: ArrayLike, shifts: ArrayLike = 0.0) -> float:
    """P(sum_i a_i (X_i + d_i)^2 >= statistic) for independent standard normal X_i.

    Without shifts this is the distribution of n S under independence, if the weights are p(1 - p) times the eigenvalues
    of the centred kernel. With shifts it is the distribution of n S under an effect of n HSIC = sum_i a_i d_i^2. Equal
    weights give a scaled chi-square. Other weights take the saddlepoint approximation of Kuonen (1999), whose relative
    error is some percent, also far in the tail.

    Parameters
    ----------
    statistic : float
        The value of the sum.
    weights : array_like (r,)
        Weights a_i; those at or below 1e-12 of the largest are dropped.
    shifts : array_like (r,) or float
        d_i^2.

    Examples
    --------
    >>> round(weighted_chi2_pvalue(3.841459, [1.0]), 6)
    0.05
    >>> round(weighted_chi2_pvalue(3.841459, [1.0], 1.96**2), 3)  # P(|X + 1.96| > 1.96)
    0.5
    """
    from scipy import optimize, special

    a = np.asarray(weights, dtype=np.float64)
    kept = a > 1e-12 * a.max(initial=0.0)
    a, d = a[kept], np.broadcast_to(np.asarray(shifts, dtype=np.float64), a.shape)[kept]
    if len(a) == 0 or statistic <= 0:
        return 1.0
    if np.ptp(a) <= 1e-9 * a[0]:
        x = statistic / a[0]
        return float(1 - special.chndtr(x, len(a), d.sum()) if d.any() else special.chdtrc(len(a), x))
    limit = 1 / (2 * a.max())

    def slope(t: float) -> float:
        left = 1 - 2 * t * a
        return float((a / left + a * d / left**2).sum() - statistic)

    lowest = -len(a) / (2 * statistic) - limit  # the slope is negative there, if there are no shifts
    while slope(lowest) > 0:
        lowest *= 2
    t = optimize.brentq(slope, lowest, limit * (1 - 1e-12), xtol=SADDLEPOINT_ERROR * limit)
    if abs(t) <= SADDLEPOINT_ERROR * limit:
        t = 0.0
    w, correction = _saddlepoint(t, a, d, slope(t))
    return float(min(max(special.ndtr(-w - correction), 0.0), 1.0))


def _saddlepoint(t: float, a: Floats, d: Floats, slope: float) -> tuple[float, float]:
    """Kuonen's ``w`` and ``log(v / w) / w`` at the saddlepoint `t`, where the slope of ``K(t) - t statistic`` is 0.

    With x = 2 t a, ``w^2 = 2 (t statistic - K)`` and ``v^2 = t^2 K''`` are sums over the weights. At the mean both are
    0, and so is the logarithm. The sums start with t^2 there, their difference starts with t^3, and each comes from
    terms in which nothing cancels. So the digits stay, and the limit at the mean is a third cumulant.

    Parameters
    ----------
    t : float
    a, d : array (r,)
        Weights and shifts of :func:`weighted_chi2_pvalue`.
    slope : float
        What the search for t left of the slope. Far from the mean it counts; near the mean the error in t is as small
        as that in p.
    """
    if t == 0.0:
        return 0.0, float((a**3 * (1 + 3 * d)).sum() / (a**2 * (1 + 2 * d)).sum() ** 1.5 * math.sqrt(2) / 3)
    x = 2 * t * a
    left = 1 - x
    ratio = x / left
    near = np.abs(x) < NEAR_MEAN
    if near.all():
        slope = 0.0
    # x / (1 - x) + log(1 - x), and x^2 / 2(1 - x)^2 less that
    small = np.where(near, x, 0.0)  # powers of a large one overflow
    squared = np.where(near, np.polyval(_SQUARED, small), ratio + np.log(left))
    beyond = np.where(near, np.polyval(_BEYOND, small), ratio**2 / 2 - ratio - np.log(left))
    w_squared = float((squared + d * ratio**2).sum()) - 2 * t * slope
    v_squared_beyond = float((beyond + d * ratio**3).sum()) + 2 * t * slope
    w = math.copysign(math.sqrt(max(w_squared, 0.0)), t)
    return w, math.log1p(v_squared_beyond / w_squared) / (2 * w)


def critical_value(weights: ArrayLike, alpha: float) -> float:
    """The value that n S reaches under independence with probability `alpha`.

    Examples
    --------
    >>> round(critical_value([1.0], 0.05), 4)
    3.8415
    """
    from scipy import optimize

    a = np.asarray(weights, dtype=np.float64)
    most = a.sum() + math.sqrt(2 * (a**2).sum()) * (FAR - FAR * math.log(alpha))
    return float(optimize.brentq(lambda x: weighted_chi2_pvalue(x, a) - alpha, 0.0, most))


def upper_bound(statistic: float, weights: ArrayLike, confidence: float) -> float:
    """One-sided upper bound of the effect n HSIC, given n S; 0 if independence alone exceeds n S that often.

    Among all effects of one size, n S spreads most for the effect along the largest weight. So for other effects the
    bound holds even more often.

    Parameters
    ----------
    statistic : float
        n S for the data.
    weights : array_like (r,)
        As in :func:`weighted_chi2_pvalue`.
    confidence : float in (0, 1)

    Examples
    --------
    >>> round(upper_bound(1.0, [1.0], 0.95) ** 0.5, 2)  # 1 + 1.64
    2.64
    """
    from scipy import optimize

    a = np.asarray(weights, dtype=np.float64)
    first = np.arange(len(a)) == a.argmax()

    def missing(shift: float) -> float:
        return weighted_chi2_pvalue(statistic, a, first * shift) - confidence

    if missing(0.0) >= 0:
        return 0.0
    most = (math.sqrt(statistic / a.max()) + FAR) ** 2
    return float(optimize.brentq(missing, 0.0, most, xtol=1e-6) * a.max())


class Spread(NamedTuple):
    """The covariance of the influence of a sample on the direction D, where the index is |D|^2.

    Attributes
    ----------
    total : float
        Its trace.
    size : float
        Its Frobenius norm.
    along : float
        Its variance along D.
    """

    total: float
    size: float
    along: float


class Sought(NamedTuple):
    """An interval that nobody has asked for yet: arguments of :func:`interval`, whose ends then grow by 2^exponent."""

    n: int
    statistic: float
    without: Spread
    found: Spread
    ceiling: float
    confidence: float
    unseen: float = 0.0
    exponent: int = 0


# An index that is exactly 0 and does not scatter.
EXACTLY_ZERO = Sought(1, 0.0, Spread(0.0, 0.0, 0.0), Spread(0.0, 0.0, 0.0), 1.0, 0.9)


def interval(
    n: int,
    statistic: float,
    without: Spread,
    found: Spread,
    ceiling: float,
    confidence: float,
    unseen: float = 0.0,
) -> tuple[float, float]:
    """Confidence interval of the index: all values under which neither S nor less, nor S nor more, is too rare.

    S is the squared length of a mean D of n influences. If the index is t^2 S, its law is that of ``N(t |D|, a)^2 + R``
    with a the variance along D over n, and R a gamma variable with the first two moments of the other directions. This
    holds near 0, where S is a weighted sum of chi-squares, as well as far from it, where S is nearly normal. The mean
    of S exceeds the index by the trace of the covariance over n.

    The covariance depends on the index, as the variance of a share depends on the share. It is `without` at t = 0,
    `found` at t = 1, and linear in between, as the probability to be good is. So the interval leaves out 0 only if
    independence is rejected. Beyond t = 1 the covariance does not shrink; it may go on to grow, up to `ceiling` times
    that without an effect. Only of two values it shrinks, as that of a share does near 1, because there the effect can
    only grow in size; it shrinks half as far, because the goal's edge and small counts add to it. If a value is rare,
    and by chance none of its trials was good, the effect may have the other sign: this gives a second upper end, and
    the larger one counts.

    Parameters
    ----------
    n : int
        Number of samples.
    statistic : float
        The V-statistic S.
    without, found : Spread
        Without an effect, and from the samples.
    ceiling : float >= 1
        Largest over smallest probability of a goal and its opposite; 1 if the weights are no goal.
    confidence : float in (0, 1)
    unseen : float >= 0
        How much longer D may be, because of values that exist and that no sample has.

    Returns
    -------
    low, high : float
        Never below 0, as the index is not.

    Examples
    --------
    >>> one = Spread(1.0, 1.0, 1.0)  # one direction: |D| = 5 / 10 plus and minus 1.96 / 10
    >>> low, high = interval(100, 0.25, one, one, 1.0, 0.95)
    >>> round(low**0.5, 3), round(high**0.5, 3)
    (0.304, 0.696)
    """
    from scipy import optimize, special

    if not without.total > 0:
        return statistic, (math.sqrt(statistic) + unseen) ** 2
    # In units of the kernel's own size, squares of small numbers do not underflow.
    unit = without.total
    statistic /= unit
    without, found = (Spread(*(part / unit for part in spread)) for spread in (without, found))
    # Without any influence, S would have no law.
    least = 1e-9
    # Two values have one direction; the weights of a goal alone have a variance that depends on the index.
    single = ceiling > 1 and without.size > (1 - 1e-9) * without.total
    length = max(math.sqrt(statistic), math.sqrt(least / n))
    deviations = NormalDist().inv_cdf((1 + confidence) / 2)

    def score(root: float, level: float) -> float:
        """Normal score of the exceedance, which is nearly straight, less that of the level."""
        share = root / length
        total, size, along = (
            max(min(max((1 - share) * before + share * after, after), max(after, ceiling * before)), least) / n
            for before, after in zip(without, found, strict=True)
        )
        if single and share > 1:
            total = size = along = (along + max(_beyond(without.along, found.along, statistic, share), least) / n) / 2
        exceedance = _exceedance(statistic, root, total, min(size, total), along)
        return float(special.ndtri(min(max(exceedance, 1e-15), 1 - 1e-15))) - level

    furthest = length + (deviations + FAR) * math.sqrt(max(ceiling * without.total, found.total) / n)
    ends = []
    for level in (-deviations, deviations):
        reached = score(0.0, level) >= 0
        ends.append(0.0 if reached else optimize.brentq(score, 0.0, furthest, args=(level,), rtol=1e-10))
    # The other sign: (root + length)^2 = deviations^2 (without + root / length (without - found)) / n along D.
    most = deviations * math.sqrt(ceiling * without.along / n) - length
    growth = deviations**2 * max(without.along - found.along, 0.0) / n / length
    square = (length - growth / 2) ** 2 + deviations**2 * without.along / n - length**2
    other = min(growth / 2 - length + math.sqrt(max(square, 0.0)), most)
    return float(ends[0] ** 2 * unit), float((max(ends[1], other) * math.sqrt(unit) + unseen) ** 2)


def _beyond(without: float, found: float, statistic: float, share: float) -> float:
    """The variance along D at `share` times D, if the probability to be good is linear in the share.

    Its second moment is linear, too, and the square of D is taken off. Of a share s of the good ones this is s (1 - s).
    """
    return without + (found + statistic - without) * share - statistic * share**2


def _exceedance(statistic: float, root: float, total: float, size: float, along: float) -> float:
    """P(X^2 + R >= statistic) for X normal around `root` with variance `along`, and R gamma.

    R has mean ``total - along`` and variance ``2 (size^2 - along^2)``; at least it spreads as little as all directions
    do, relative to its mean.
    """
    from scipy import special

    along = min(along, size)
    mean = max(total - along, 1e-9 * total)
    variance = 2 * max(size**2 - along**2, (mean * size / total) ** 2)
    reach, deviation = math.sqrt(statistic), math.sqrt(along)
    first, last = max(-reach, root - REACH * deviation), min(reach, root + REACH * deviation)
    if first >= last:
        return float(root > reach)
    nodes, weights = _quadrature()
    x = (first + last) / 2 + (last - first) / 2 * nodes
    density = np.exp(-(((x - root) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    below = special.gammainc(mean**2 / variance, np.maximum(statistic - x**2, 0.0) * mean / variance)
    return float(1 - (last - first) / 2 * (weights * density) @ below)


@lru_cache
def _quadrature() -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's step-down p-values (family-wise error); NaN stays NaN and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(pvalues, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def benjamini_hochberg(pvalues: ArrayLike) -> Floats:
    """Benjamini-Hochberg p-values (false discovery rate); NaN stays NaN and does not count.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, float("nan")]).tolist()
    [0.02, 0.04, nan]
    """
    p = np.asarray(pvalues, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    # The same as scipy.stats.false_discovery_control, whose module takes half a second to import.
    order = np.flatnonzero(tested)[np.argsort(p[tested])][::-1]
    places = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum.accumulate(np.minimum(p[order] * len(order) / places, 1.0))
    return adjusted
