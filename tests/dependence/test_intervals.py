"""Confidence intervals: the law behind them, their corners, and how often they hold the index of the population."""

import math

import naive
import numba
import numpy as np
import pytest
from scipy import optimize, stats

from hsicfast import goal_hsic
from hsicfast.dependence import inference
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.dependence.goal_engines import GoalSample
from hsicfast.dependence.goal_oriented import GoalHSIC
from hsicfast.dependence.inference import Spread
from hsicfast.engines import kernels

INTERPRETED = bool(numba.config.DISABLE_JIT)

# Shares of the values (None: a continuum), effect on the objective, standard deviation of the noise.
SHAPES = {
    "linear": (None, lambda u: u, 0.0),
    "noisy linear": (None, lambda u: u, 0.3),
    "U": (None, lambda u: (u - 0.5) ** 2, 0.0),
    "noisy U": (None, lambda u: (u - 0.5) ** 2, 0.05),
    "wave": (None, lambda u: np.cos(4 * np.pi * u), 0.0),
    "inert": (None, lambda u: 0 * u, 1.0),
    "rare Bool": ((0.95, 0.05), lambda u: np.where(u > 0.95, -2.0, 0.0), 1.0),
    "strong Bool": ((0.5, 0.5), lambda u: np.where(u > 0.5, 2.0, 0.0), 1.0),
    "Choice": ((1 / 3, 1 / 3, 1 / 3), lambda u: np.where(u < 1 / 3, 0.0, np.where(u < 2 / 3, 0.7, 1.5)), 1.0),
    "inert Bool": ((0.5, 0.5), lambda u: 0 * u, 1.0),
}


def population_index(shape, goal, cells=3000, parts=100):
    """The index by the midpoint rule on [0, 1]: no sample, no feature, no code under test."""
    _, effect, noise = SHAPES[shape]
    u = (np.arange(cells * parts) + 0.5) / (cells * parts)
    y = effect(u)
    if noise:
        edge = optimize.brentq(lambda edge: stats.norm.cdf((edge - y[::parts]) / noise).mean() - goal, -20, 20)
        good = stats.norm.cdf((edge - y) / noise)
    else:
        good = y <= np.quantile(y, goal)
    excess = (good - good.mean()).reshape(cells, parts).mean(axis=1) / cells
    middles = u.reshape(cells, parts).mean(axis=1)
    # With levels, k~ is the mean of k over their intervals: the integral is that of the points.
    return excess @ np.exp(-((middles[:, None] - middles) ** 2) / (2 * UNIFORM_MEDIAN**2)) @ excess


def trials(shape, n, rng):
    """Values mapped to [0, 1], their widths (None for points) and objectives; at least two different values."""
    shares, effect, noise = SHAPES[shape]
    u = rng.random(n)
    y = effect(u) + noise * rng.standard_normal(n)
    if shares is None:
        return u, None, y
    ends = np.concatenate(([0.0], np.cumsum(shares)))
    level = np.clip(np.searchsorted(ends, u) - 1, 0, len(shares) - 1)
    if np.ptp(level) == 0:  # a column of one value holds no evidence at all
        return trials(shape, n, rng)
    return ((ends[1:] + ends[:-1]) / 2)[level], np.asarray(shares)[level], y


def coverage(shape, n, goal, sets):
    truth = population_index(shape, goal)
    rng = np.random.default_rng([n, int(100 * goal)])
    held = 0
    for _ in range(sets):
        u, width, y = trials(shape, n, rng)
        low, high = goal_hsic(u, y, goal=goal, bandwidth=UNIFORM_MEDIAN, width=width, confidence=0.95).ci
        held += low <= truth + 1e-12 and high >= truth - 1e-12
    return held / sets


@pytest.mark.skipif(INTERPRETED, reason="thousands of indices")
class TestCoverage:
    """Intervals of 95% hold the index of the population in 92% of studies at least, however few trials were good.

    Where a shape can hardly be told from noise they hold it in up to 99%. Of a finite number of studies we allow
    3.5 standard deviations of the binomial less.
    """

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("n", [30, 100])
    def test_few_trials(self, shape, n):
        sets = 300
        assert coverage(shape, n, 0.1, sets) >= 0.92 - 3.5 * math.sqrt(0.92 * 0.08 / sets)

    @pytest.mark.slow
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("goal", [0.1, 0.3])
    @pytest.mark.parametrize("n", [30, 50, 100, 300, 1000])
    def test_all(self, shape, goal, n):
        sets = 1000
        slack = 3.5 * math.sqrt(0.92 * 0.08 / sets)
        assert 0.92 - slack <= coverage(shape, n, goal, sets)


class TestTruth:
    def test_of_the_population_against_a_large_sample(self):
        for shape in ("noisy U", "Choice"):
            u, width, y = trials(shape, 200_000, np.random.default_rng(0))
            large = goal_hsic(u, y, goal=0.3, bandwidth=UNIFORM_MEDIAN, width=width)
            assert large.unbiased == pytest.approx(population_index(shape, 0.3), rel=0.03)

    def test_of_levels_against_their_gram_matrix(self):
        shares, effect, noise = SHAPES["Choice"]
        middles = np.cumsum(shares) - np.asarray(shares) / 2
        means = effect(middles)
        edge = optimize.brentq(lambda edge: shares @ stats.norm.cdf((edge - means) / noise) - 0.1, -20, 20)
        excess = np.asarray(shares) * (stats.norm.cdf((edge - means) / noise) - 0.1)
        want = excess @ naive.interval_gram(middles, shares, UNIFORM_MEDIAN) @ excess
        assert population_index("Choice", 0.1) == pytest.approx(want, rel=1e-4)


class TestInfluence:
    @pytest.mark.parametrize("kernel", ["gaussian", "laplace", "linear"])
    @pytest.mark.parametrize("edge", [None, [3, 7, 20, 41]])
    def test_every_engine_against_its_definition(self, kernel, edge):
        rng = np.random.default_rng(0)
        u = rng.random(60)
        z = naive.goal(np.abs(u - 0.3) + 0.1 * rng.random(60), 0.2)
        sizes, axes = np.linalg.eigh(naive.center(naive.gram(u, kernel, 0.3)))
        psi, w = axes * np.sqrt(np.maximum(sizes, 0)), z - z.mean()
        direction = w @ psi / 60
        at_edge = 0 if edge is None else psi[edge].mean(axis=0)
        influence = w[:, None] * (psi - at_edge) - direction
        unit = direction / np.sqrt(direction @ direction)
        want = ((influence**2).sum() / 60, (influence @ unit).var(), (psi @ unit).var())
        able = {"gaussian": ("spectral", "ordered", "tile"), "laplace": ("ordered", "tile"), "linear": ("tile",)}
        for engine in able[kernel]:
            rows = None if edge is None else np.array(edge)
            sample = GoalSample(u[None], np.empty(0), z, kernels.find(kernel), rows)
            assert GoalHSIC(sample, engine).estimate(0.3).influence == pytest.approx(want, rel=1e-10)


class TestLaw:
    def test_one_direction_is_a_normal_length(self):
        one = Spread(1.0, 1.0, 1.0)
        for statistic in (0.25, 0.04, 0.01):
            low, high = inference.interval(100, statistic, one, one, 1.0, 0.9)
            reached = [stats.norm.sf(math.sqrt(statistic), root, 0.1) + stats.norm.cdf(-math.sqrt(statistic), root, 0.1)
                       for root in (math.sqrt(low), math.sqrt(high))]  # fmt: skip
            assert reached[1] == pytest.approx(0.95, abs=1e-6)
            assert reached[0] == pytest.approx(0.05, abs=1e-6) if low > 0 else reached[0] > 0.05

    @pytest.mark.parametrize("root", [0.0, 0.5, 3.0])
    def test_several_directions_against_simulation(self, root):
        # The gamma law of the rest is an approximation: 3 points beside 3.5 standard deviations of the binomial.
        variances, draws = np.array([1.0, 0.4, 0.2, 0.1]), 100_000
        for along in (0, 1):
            normal = np.sqrt(variances) * np.random.default_rng(along).standard_normal((draws, 4))
            normal[:, along] += root
            lengths = (normal**2).sum(axis=1)
            for statistic in np.quantile(lengths, (0.05, 0.5, 0.95)):
                got = inference._exceedance(
                    statistic, root, variances.sum(), math.sqrt((variances**2).sum()), variances[along]
                )
                assert got == pytest.approx((lengths >= statistic).mean(), abs=0.03 + 3.5 * 0.5 / math.sqrt(draws))

    def test_never_below_zero_and_around_the_index_less_its_bias(self):
        small = Spread(0.2, 0.1, 0.05)
        low, high = inference.interval(10_000, 1.0, small, small, 1.0, 0.9)
        assert (low + high) / 2 == pytest.approx(1 - 0.2 / 10_000, abs=3e-3 * (high - low))
        assert high - low == pytest.approx(2 * 1.6448536 * 2 * math.sqrt(0.05 / 10_000), rel=3e-3)
        assert inference.interval(10, 0.01, small, small, 1.0, 0.9)[0] == 0.0

    def test_zero_is_outside_if_independence_is_rejected(self):
        weights = np.array([0.02, 0.01, 0.004])
        without = Spread(weights.sum(), math.sqrt((weights**2).sum()), 0.015)
        critical = inference.critical_value(weights, 0.025) / 100
        for statistic, outside in ((1.1 * critical, True), (0.9 * critical, False)):
            # What the samples show does not matter at 0.
            for factor in (0.3, 1.0):
                found = Spread(*(factor * value for value in without))
                assert (inference.interval(100, statistic, without, found, 1.0, 0.95)[0] > 0) == outside

    def test_no_influence_found_is_no_certainty(self):
        # One trial of 30 has a rare value, and it was not good: the samples show next to no influence. But if 3.7 such
        # trials are good on average, none is with a probability of 2.5%; D is then 3.7 times 0.9 / 30.
        n, p = 30, 0.1
        u, width = np.full(n, 0.475), np.full(n, 0.95)
        u[-1], width[-1] = 0.975, 0.05
        result = goal_hsic(u, np.arange(n), goal=p, bandwidth=UNIFORM_MEDIAN, width=width, confidence=0.95)
        k = naive.interval_gram(u[-2:], width[-2:], UNIFORM_MEDIAN)
        step = k[0, 0] + k[1, 1] - 2 * k[0, 1]
        assert result.ci[0] == 0.0
        assert 1 < math.sqrt(result.ci[1] / step) / (0.9 / 30) < 3.7

    def test_a_constant_has_no_interval(self):
        nothing = Spread(0.0, 0.0, 0.0)
        assert inference.interval(10, 0.0, nothing, nothing, 1.0, 0.9) == (0.0, 0.0)
