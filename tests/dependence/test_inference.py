"""p-values and their adjustment."""

import math

import numba
import numpy as np
import pytest
from scipy import stats

from hsicfast import Spectrum, goal_hsic, hsic
from hsicfast.dependence import inference

INTERPRETED = bool(numba.config.DISABLE_JIT)


@pytest.mark.parametrize("weights", [[1, 0.5, 0.25, 0.1, 0.01], [1, 0.2, 0.05], [1, 0.01], [1, 1, 0.5]])
def test_weighted_chi2_against_simulation(weights):
    # the saddlepoint's own error stays below 10%; the simulation adds 3.5 standard deviations of a binomial
    draws = 400_000
    sums = (np.random.default_rng(0).standard_normal((draws, len(weights))) ** 2) @ np.array(weights)
    for p in (0.9, 0.5, 0.1, 0.05, 0.01, 0.001):
        got = inference.weighted_chi2_pvalue(np.quantile(sums, 1 - p), weights)
        assert abs(got - p) < 0.1 * p + 3.5 * math.sqrt(p * (1 - p) / draws)


def test_weighted_chi2_is_exact_for_equal_weights_and_falls():
    assert inference.weighted_chi2_pvalue(3.0, [0.5, 0.5]) == pytest.approx(stats.chi2.sf(6.0, 2))
    values = [inference.weighted_chi2_pvalue(x, [1, 0.3, 0.1]) for x in np.linspace(0.01, 40, 400)]
    assert np.all(np.diff(values) < 0)


def test_weighted_chi2_corners():
    assert inference.weighted_chi2_pvalue(1.0, []) == 1.0
    assert inference.weighted_chi2_pvalue(1.0, [0.0, 0.0]) == 1.0
    assert inference.weighted_chi2_pvalue(0.0, [1.0]) == 1.0
    at_the_mean = inference.weighted_chi2_pvalue(1.5, [1.0, 0.5])
    beside = inference.weighted_chi2_pvalue(1.51, [1.0, 0.5])
    assert at_the_mean == pytest.approx(beside, abs=0.01)


@pytest.mark.parametrize(
    ("weights", "shifts"), [([1, 0.5, 0.25], 0.0), ([1, 0.2, 0.05, 1e-3], 0.0), ([1, 0.3], np.array([1.0, 2.0]))]
)
def test_weighted_chi2_goes_smoothly_through_its_mean(weights, shifts):
    a = np.array(weights)
    # cumulants of a sum of a (X + d)^2, n the order: 2^(n - 1) (n - 1)! sum a^n (1 + n d^2)
    mean, variance, third = (
        2 ** (n - 1) * math.factorial(n - 1) * (a**n * (1 + n * shifts)).sum() for n in range(1, 4)
    )
    at_mean = inference.weighted_chi2_pvalue(mean, a, shifts)
    assert at_mean == pytest.approx(stats.norm.sf(third / variance**1.5 / 6), rel=1e-13)
    # Beside the mean it falls as a straight line but for a curvature below 1 and rounding.
    far = 1e-3 * math.sqrt(variance)
    low, high = (inference.weighted_chi2_pvalue(mean + side * far, a, shifts) for side in (-1, 1))
    for part in (-0.5, -0.1, -1e-2, -1e-4, -1e-8, 1e-12, 1e-6, 1e-3, 0.1, 0.5):
        between = inference.weighted_chi2_pvalue(mean + part * far, a, shifts)
        assert between == pytest.approx(
            at_mean + part * (high - low) / 2, abs=part**2 * far**2 + 1e-10 * abs(part) + 1e-14
        )


@pytest.mark.skipif(INTERPRETED, reason="thousands of indices")
def test_a_stream_has_the_pvalue_of_its_samples_near_the_mean_under_independence():
    def found(seed):
        u, y = np.random.default_rng(seed).random((2, 60))
        return u, y, goal_hsic(u, y, bandwidth=0.3)

    def distance(seed):
        result = found(seed)[2]  # its null mean, over permutations, is n / (n - 1) times that of the limit law
        return abs(result.statistic / result.null_mean - 59 / 60)

    nearest = sorted(range(3000), key=distance)
    for seed in nearest[:20]:
        u, y, _ = found(seed)
        whole = goal_hsic(u, y, bandwidth=0.3, test="asymptotic", engine="spectral").pvalue
        stream = Spectrum().update(u, y <= np.sort(y)[5]).hsic(0.3, test="asymptotic").pvalue
        assert stream == pytest.approx(whole, rel=1e-10)


def test_gamma():
    assert inference.gamma_pvalue(2.0, mean=1.0, variance=1.0) == pytest.approx(math.exp(-2))
    assert inference.gamma_pvalue(2.0, mean=1.0, variance=0.0) == 1.0


def test_ties_count_against_us():
    assert inference.permutation_pvalue(1.0, np.array([1.0 - 1e-12, 0.5])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_benjamini_hochberg_is_that_of_scipy(n):
    pvalues = np.random.default_rng(n).random(n).round(2)
    want = stats.false_discovery_control(pvalues)
    np.testing.assert_allclose(inference.benjamini_hochberg(pvalues), want, rtol=1e-14)


def test_adjustments_ignore_nan():
    nan = math.nan
    assert inference.holm([0.01, nan, 0.03]).tolist() == pytest.approx([0.02, nan, 0.03], nan_ok=True)
    assert inference.benjamini_hochberg([nan, nan]).tolist() == pytest.approx([nan, nan], nan_ok=True)


def test_holm_controls_the_family():
    # 2,000 families of 10 true nulls: at most 5% with a rejection, plus 3.5 standard deviations
    p = np.random.default_rng(1).random((2000, 10))
    rejected = np.mean([inference.holm(row).min() <= 0.05 for row in p])
    assert rejected < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.skipif(INTERPRETED, reason="thousands of indices")
class TestBootstrap:
    """Standard errors from the influence function beside those of 400 samples drawn again with replacement.

    The bootstrap has the parts of second order, too: some percent more; its own error is 1 / sqrt(800) = 3.5%.
    """

    DRAWS = 400

    def ratio(self, index, n, seed):
        rng = np.random.default_rng(seed)
        low, high = index(np.arange(n)).ci
        drawn = [index(rng.integers(n, size=n)).statistic for _ in range(self.DRAWS)]
        return (high - low) / (2 * stats.norm.ppf(0.95)) / np.std(drawn)

    @pytest.mark.parametrize("options", [{}, {"kernel": "laplace"}, {"engine": "tile"}])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_goal(self, options, seed):
        rng = np.random.default_rng(seed)
        u = rng.random(400)
        y = np.abs(u - 0.3) + 0.3 * rng.random(400)
        # the goal's edge is found anew in each sample
        ratio = self.ratio(lambda i: goal_hsic(u[i], y[i], bandwidth=0.3, **options), 400, seed)
        assert 0.85 - 3.5 * 0.035 < ratio < 1 + 3.5 * 0.035

    def test_two_samples(self):
        x = np.random.default_rng(0).random((150, 2))
        y = x[:, 0] + 0.3 * np.random.default_rng(1).random(150)
        ratio = self.ratio(lambda i: hsic(x[i], y[i], bandwidth_x=0.5, bandwidth_y=0.3, confidence=0.9), 150, 0)
        assert 0.85 - 3.5 * 0.035 < ratio < 1 + 3.5 * 0.035
