"""One test of all hyperparameters at several goals and bandwidths, exact by shared permutations.

One goal sees little: what parts the best half from the rest may not show among the best tenth, and the other way round.
So each hyperparameter is asked at several goals and bandwidths, and its statistic T is the harmonic mean of their
p-values (Wilson 2019), which a single small one makes small. The index at a goal that m of n trials met is

    n^2 S = sum_a weight_a(h) |sum_(j met the goal) c_a(u_j)|^2,  c_a(u) = sqrt(2) cos(pi a u) less its mean,
    weight_a(h) = exp(-(pi a h)^2 / 2),

with the kernel of heat on [0, 1] between closed ends: as smooth as the Gaussian of bandwidth h, and with the same few
cosines at every h. The p-value of S comes from a gamma distribution with three of its moments. These p-values need not
be right, for T is compared with the T of permuted objectives, one permutation for all goals, bandwidths and
hyperparameters. Hence the test is exact at any number of trials, whatever ties there are.

All hyperparameters share the permutations, so that their p-values can be adjusted by them whatever their dependence
(:mod:`hsicfast.evidence.stepdown`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.engines import spectral
from hsicfast.engines.layer import threads_for
from hsicfast.evidence.stepdown import Beside, adjusted_pvalues
from hsicfast.trials.goal import best_fraction

# The best shares of the trials at which the test asks. About the whole objective it asks from the other end, too.
GOOD_SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
ALL_SHARES = (*GOOD_SHARES, 0.7, 0.8, 0.9, 0.95)
# A goal that fewer trials met, or missed, says too little to be asked beside others.
FEWEST_MET = 3
BANDWIDTHS = (0.1, 0.25, 0.6)
# Beyond this many cosines the weights of the smallest bandwidth are below 1e-3.
COSINES = 12
# Up to MOST_PERMUTED trials are permuted. Beyond it, sums over permuted goals are drawn from their normal limit, if at
# least MANY_MET good trials at the narrowest goal are expected to have the rarest value.
MOST_PERMUTED, MANY_MET = 2000, 10

_WEIGHTS = np.exp(-((math.pi * np.outer(BANDWIDTHS, np.arange(1, COSINES + 1))) ** 2) / 2)


class Group(NamedTuple):
    """Hyperparameters that exist in the same m of n trials, and the goals among these.

    Attributes
    ----------
    exists : bool array (n,)
        The trials in which they exist.
    met : bool array (G, m)
        Which of these trials met each goal: for each, some but not all.
    columns : list of tuple of array (m,)
        Of each hyperparameter, values mapped to [0, 1], and the widths of the intervals that they stand for.
    """

    exists: Bools
    met: Bools
    columns: list[tuple[Floats, Floats]]


def goals_asked(losses: Floats, own: Bools, shares: Sequence[float]) -> Bools:
    """Which of the trials with these losses (m,) met each goal (G, m): the analysis's own first, then these shares.

    A goal that the same trials meet as another, or too few meet or miss, is not asked.

    Examples
    --------
    >>> goals_asked(np.arange(10.0), np.arange(10) < 1, (0.1, 0.3, 0.5)).sum(axis=1)
    array([1, 3, 5])
    """
    found = {int(own.sum()): own}
    for share in shares:
        met = best_fraction(losses, share).met
        size = int(met.sum())
        if FEWEST_MET <= size <= len(met) - FEWEST_MET:
            found.setdefault(size, met)
    return np.array(list(found.values()))


class JointTest(NamedTuple):
    """What the test found for q hyperparameters, in the order of the groups.

    Attributes
    ----------
    pvalue : array (q,)
    adjusted : array (q,)
        Adjusted for the q hyperparameters: if none of them had an influence, the smallest would be at most x with
        probability x.
    importance : array (q,)
        See :func:`importances`.
    largest : array (n_permutations,)
        The largest statistic T of any hyperparameter in each permutation.
    """

    pvalue: Floats
    adjusted: Floats
    importance: Floats
    largest: Floats


def importances(groups: Sequence[Group]) -> Floats:
    """How much each hyperparameter decides, over all goals: the number that ranks them.

    It is R^2 above what chance gives on average, ``(S - E S) / sqrt(HSIC(U, U) HSIC(Z, Z))``, its mean over goals and
    bandwidths, times the share of the trials in which the hyperparameter exists. Chance moves it by about sqrt(2) / n
    for any hyperparameter, so that neither a Bool nor a small branch leads by chance.

    Parameters
    ----------
    groups : sequence of Group
        All of the same n trials.

    Returns
    -------
    array (q,)
        At most 1; around 0, so below it, too, without influence.
    """
    return np.concatenate([_Sample(group).importance() for group in groups])


def resampled_importances(group: Group, goals: Iterable[Floats]) -> Floats:
    """The importances (B, q) of one group's hyperparameters, as shares of this group, in B resamples of its trials.

    Parameters
    ----------
    group : Group
        Its own goals do not enter.
    goals : iterable of array (B, m)
        For each goal, how often each trial was drawn, times its goal less the goal's mean in the resample.
    """
    sample = _Sample(group)
    over_goals = []
    for weights in goals:
        statistics = sample.statistics((weights @ sample.psi)[:, None])
        # Those who met the goal weigh m p (1 - p) together.
        variance = (np.maximum(weights, 0.0).sum(axis=1) * sample.m / (sample.m - 1))[:, None, None, None]
        means = np.divide(statistics, variance, out=np.zeros_like(statistics), where=variance > 0)
        over_goals.append(sample.above(means))
    return np.asarray(np.mean(over_goals, axis=0))


def joint_test(groups: Sequence[Group], n_permutations: int, seed: int, beside: Sequence[Beside] = ()) -> JointTest:
    """Test whether the objective is independent of each hyperparameter.

    Parameters
    ----------
    groups : sequence of Group
        All of the same n trials.
    n_permutations : int >= 1
    seed : int >= 0
    beside : sequence of Beside
        Evidence from other trials, for at most one of the hyperparameters each. The p-value of each enters the
        harmonic mean of its hyperparameter.

    Examples
    --------
    >>> u, v = np.random.default_rng(0).random((2, 60))
    >>> points = np.zeros(60)
    >>> groups = [Group(np.ones(60, dtype=bool), np.array([u < 0.3, u < 0.6]), [(u, points), (v, points)])]
    >>> found = joint_test(groups, 200, seed=0)
    >>> bool(found.adjusted[0] < 0.01), bool(found.adjusted[1] > 0.05)
    (True, True)
    """
    samples = [_Sample(group) for group in groups]
    if len(groups[0].exists) > MOST_PERMUTED and all(sample.smooth for sample in samples):
        permuted = _drawn(samples, n_permutations, seed)
    else:
        permuted = _permuted(samples, n_permutations, seed)
    means = [
        sample.harmonic(np.concatenate((sample.reached[None], drawn)))
        for sample, drawn in zip(samples, permuted, strict=True)
    ]
    pvalue, adjusted, largest = adjusted_pvalues(np.hstack(means), beside)
    return JointTest(pvalue, adjusted, np.concatenate([sample.importance() for sample in samples]), largest)


def features(u: Floats, width: Floats) -> Floats:
    """Cosines (m, COSINES) of values mapped to [0, 1]: their means over intervals of these widths, less those of all.

    A column of one value has exactly 0.
    """
    if np.ptp(u) == 0:
        return np.zeros((len(u), COSINES))
    orders = np.arange(1, COSINES + 1)
    cosines = np.empty((len(u), COSINES))
    cosines[:, 0] = np.cos(math.pi * u)
    cosines[:, 1] = 2 * cosines[:, 0] ** 2 - 1
    for a in range(2, COSINES):
        cosines[:, a] = 2 * cosines[:, 0] * cosines[:, a - 1] - cosines[:, a - 2]
    if width.any():
        cosines *= np.sinc(np.outer(width, orders) / 2)
    return np.asarray(math.sqrt(2) * (cosines - cosines.mean(axis=0)))


class _Sample:
    """A group with its features; its G goals ascend in size."""

    def __init__(self, group: Group) -> None:
        sizes = group.met.sum(axis=1)
        self.exists, self.m = group.exists, group.met.shape[1]
        self.met = group.met[np.argsort(sizes, kind="stable")]
        self.sizes = np.sort(sizes)
        self.psi = np.hstack([features(u, width) for u, width in group.columns])
        self.q = len(group.columns)
        narrowest = min(self.sizes[0], self.m - self.sizes[-1]) / self.m
        rarest = min(_rarest(u, width) for u, width in group.columns)
        self.smooth = bool(narrowest * rarest >= MANY_MET)

    def statistics(self, sums: Floats) -> Floats:
        """Statistics (..., q, G, H) of sums of features (..., G, q COSINES)."""
        by_name = sums.reshape(*sums.shape[:-1], self.q, COSINES)
        return np.asarray(np.swapaxes(by_name**2 @ _WEIGHTS.T, -3, -2))

    @cached_property
    def reached(self) -> Floats:
        """Statistics (q, G, H) of the data."""
        return self.statistics(self.met.astype(np.float64) @ self.psi)

    @cached_property
    def moments(self) -> tuple[Floats, Floats, Floats]:
        """Sums (q, 1, H) of the eigenvalues of each centred kernel, of their squares and of their cubes."""
        blocks = self.psi.reshape(self.m, self.q, COSINES)
        covariances = np.array([block.T @ block for block in blocks.swapaxes(0, 1)]) / self.m
        roots = np.sqrt(_WEIGHTS)
        eigenvalues = np.linalg.eigvalsh(roots[:, :, None] * covariances[:, None] * roots[:, None, :])
        first, second, third = (np.asarray((eigenvalues**power).sum(axis=-1))[:, None] for power in (1, 2, 3))
        return first, second, third

    @property
    def pairs(self) -> Floats:
        """What turns the sum of the eigenvalues into the mean of a statistic over permutations, (G, 1)."""
        return np.asarray(self.sizes * (self.m - self.sizes) / (self.m - 1))[:, None]

    def importance(self) -> Floats:
        """What :func:`importances` says of this group (q,)."""
        return self.above(self.reached / self.pairs) * self.m / len(self.exists)

    def above(self, means: Floats) -> Floats:
        """R^2 above its mean over permutations (..., q), its mean over goals and bandwidths.

        `means` (..., q, G, H) are statistics over the number of pairs: sums of the eigenvalues, on average.
        """
        first, second, _ = self.moments
        r2 = (means - first) / (self.m - 1) / np.sqrt(np.where(first > 0, second, 1.0))
        return np.asarray(r2.mean(axis=(-2, -1)))

    def harmonic(self, statistics: Floats) -> Floats:
        """``T = log(1 / harmonic mean)`` (B, q) of the p-values of statistics (B, q, G, H)."""
        from scipy import special

        # E S over permutations is exact; the other two moments are those of the limit.
        first, second, third = self.moments
        varied = first > 0
        spread = np.where(varied, second, 1.0)
        freedom = np.where(varied, spread**3 / np.where(varied, third, 1.0) ** 2, 1.0)
        off = (statistics / self.pairs - first) / np.sqrt(2 * spread)
        # S is a shifted chi-square of `freedom`, whose cube root is nearly normal (Wilson and Hilferty 1931).
        share = np.maximum(1 + off * np.sqrt(2 / freedom), 0.0)
        normal = (np.cbrt(share) - (1 - 2 / (9 * freedom))) * np.sqrt(9 * freedom / 2)
        log_p = special.log_ndtr(-np.where(varied, normal, 0.0))
        return np.asarray(special.logsumexp(-log_p, axis=(-2, -1)) - math.log(log_p.shape[-1] * log_p.shape[-2]))


class Detector:
    """Whether the test would have found a hyperparameter, if other trials had met the goal.

    The other goals of the test are taken to say nothing, so that it finds at least as much as this says.

    Parameters
    ----------
    u, width : array (m,)
        Values mapped to [0, 1], and their widths.
    n_goals : int
        How many goals the test asks at.
    critical : float
        The statistic T that counts as found.
    """

    def __init__(self, u: Floats, width: Floats, n_goals: int, critical: float) -> None:
        self.u, self.width, self.n_goals, self.critical = u, width, n_goals, critical

    def finds(self, good: Rows) -> Bools:
        """Whether it is found (B,) in each of B cases; row b of `good` (B, k) holds the trials that met the goal."""
        met = np.zeros((1, len(self.u)), dtype=bool)
        met[0, good[0]] = True
        sample = _Sample(Group(np.ones(len(self.u), dtype=bool), met, [(self.u, self.width)]))
        sums = sample.psi[good].sum(axis=1)[:, None]
        own = sample.harmonic(sample.statistics(sums))[:, 0]
        least = np.logaddexp(own, math.log(self.n_goals - 1)) if self.n_goals > 1 else own
        return np.asarray(least - math.log(self.n_goals) >= self.critical)


def _rarest(u: Floats, width: Floats) -> int:
    """How many trials have the rarest value of a hyperparameter whose values repeat; all if it is continuous."""
    return int(np.unique(u, return_counts=True)[1].min()) if width.any() else len(u)


def _permuted(samples: list[_Sample], n_permutations: int, seed: int) -> list[Floats]:
    """Statistics (B, q, G, H) of each group under the same permutations of all trials."""
    n_goals = max(len(sample.sizes) for sample in samples)
    sizes = np.array([np.pad(sample.sizes, (n_goals - len(sample.sizes), 0)) for sample in samples])
    psi = _side_by_side(samples)
    with threads_for(n_permutations * float(sizes.max()) * psi.shape[1]):
        found = spectral.nested_statistics(
            psi,
            _WEIGHTS,
            np.array([sample.exists for sample in samples]),
            np.repeat(np.arange(len(samples)), [sample.q for sample in samples]),
            sizes,
            n_permutations,
            np.uint64(seed),
        )
    return [
        found[:, own, n_goals - len(sample.sizes) :] for sample, own in zip(samples, _places(samples, 1), strict=True)
    ]


def _drawn(samples: list[_Sample], n_permutations: int, seed: int) -> list[Floats]:
    """The statistics of :func:`_permuted`, from the normal limit of sums over permuted goals.

    The sums over the best a and b of m trials, a <= b, have covariance ``a (m - b) / (m (m - 1))`` times that of the
    features, summed over the trials.
    """
    random = np.random.default_rng(seed)
    psi = _side_by_side(samples)
    values, vectors = np.linalg.eigh(psi.T @ psi)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    n_goals = max(len(sample.sizes) for sample in samples)
    steps = random.standard_normal((n_permutations, n_goals, psi.shape[1])) @ root
    drawn = []
    for sample, own in zip(samples, _places(samples, COSINES), strict=True):
        a, b = np.minimum.outer(sample.sizes, sample.sizes), np.maximum.outer(sample.sizes, sample.sizes)
        goals = np.linalg.cholesky(a * (sample.m - b) / (sample.m * (sample.m - 1)))
        drawn.append(sample.statistics(goals @ steps[:, : len(sample.sizes), own]))
    return drawn


def _side_by_side(samples: list[_Sample]) -> Floats:
    """Features (n, q COSINES) of all groups; 0 where a hyperparameter does not exist."""
    out = np.zeros((len(samples[0].exists), sum(sample.q for sample in samples) * COSINES))
    for sample, own in zip(samples, _places(samples, COSINES), strict=True):
        out[sample.exists, own] = sample.psi
    return out


def _places(samples: list[_Sample], each: int) -> list[slice]:
    """Where each group's hyperparameters lie, with `each` places for one."""
    ends = each * np.cumsum([0, *(sample.q for sample in samples)])
    return [slice(start, stop) for start, stop in pairwise(ends)]
