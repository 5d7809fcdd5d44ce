"""goal_hsic and hsic: facts by hand, laws, corners, and the naive reference on every engine."""

import math
import os
import subprocess
import sys

import hypothesis.strategies as st
import naive
import numpy as np
import pytest
from builders import FLAT, table, uniform
from hypothesis import given

import hsicfast
from hsicfast import InputError, analyse, goal_hsic, hsic
from hsicfast.engines.kernels import KERNELS

BANDWIDTHS = (2.0, 0.3, 0.05, 0.02)


def close(got, want, tolerance=1e-12):
    return abs(got - want) <= tolerance * abs(want)


def trials(n=200, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.random(n)
    return u, (u - 0.3) ** 2 + 0.05 * rng.standard_normal(n)


class TestFacts:
    def test_two_points_two_goals(self):
        # w = (1/2, 1/2, -1/2, -1/2) on u = (0, 0, 1, 1): S = (1/16)(1/4)(8 - 8 k(1)) = (1 - k) / 8
        for engine in ("spectral", "tile"):
            result = goal_hsic([0, 0, 1, 1], [1, 1, 2, 2], goal=0.5, bandwidth=0.5, engine=engine)
            assert close(result.statistic, (1 - math.exp(-2)) / 8)
            assert result.r2 == pytest.approx(1.0, abs=1e-12)
            assert result.engine == engine

    def test_linear_hsic_is_squared_covariance(self):
        x, y = np.array([0.0, 1, 2, 5]), np.array([1.0, 1, 4, 3])
        assert close(hsic(x, y, kernel_x="linear", kernel_y="linear").statistic, np.cov(x, y, ddof=0)[0, 1] ** 2)

    def test_dirac_of_itself(self):
        # centred Dirac kernel of two balanced classes has entries +-1/2
        assert close(hsic([0, 0, 1, 1], [5, 5, 7, 7], kernel_x="dirac", kernel_y="dirac").statistic, 0.25)

    def test_failed_trials_miss_the_goal(self):
        u = np.array([0.1, 0.2, 0.8, 0.9])
        with_nan = goal_hsic(u, [1.0, 2.0, np.nan, np.inf], goal=0.5, bandwidth=0.3)
        assert with_nan.statistic == goal_hsic(u, [1.0, 2.0, 8.0, 9.0], goal=0.5, bandwidth=0.3).statistic

    def test_maximise_is_minimise_of_the_opposite(self):
        u, y = trials()
        assert goal_hsic(u, y, minimize=False).statistic == goal_hsic(u, -y).statistic

    def test_null_mean_is_the_mean_of_all_permutations(self):
        u, z = np.array([0.0, 0.1, 0.5, 0.6, 0.7, 1.0]), np.array([1, 0, 0, 1, 0, 0])
        for engine in ("spectral", "tile"):
            result = goal_hsic(u, 1 - z, goal=1 / 3, bandwidth=0.2, engine=engine)
            assert close(result.null_mean, naive.permutation_null_mean(u, z, "gaussian", 0.2))


class TestReference:
    @pytest.mark.parametrize("h", BANDWIDTHS)
    @pytest.mark.parametrize("engine", ["spectral", "tile"])
    @pytest.mark.parametrize("goal", [0.03, 0.1, 0.5, 0.9])
    def test_one_hyperparameter(self, h, engine, goal):
        u, y = trials()
        want = naive.goal_hsic(u, naive.goal(y, goal), h=h)
        assert close(goal_hsic(u, y, goal=goal, bandwidth=h, engine=engine).statistic, want)

    @pytest.mark.parametrize("engine", ["spectral", "tile"])
    def test_two_hyperparameters(self, engine):
        u = np.random.default_rng(1).random((150, 2))
        y = np.abs(u[:, 0] - u[:, 1])
        want = naive.goal_hsic(u, naive.goal(y, 0.2), h=0.3)
        assert close(goal_hsic(u, y, goal=0.2, bandwidth=0.3, engine=engine).statistic, want)

    @pytest.mark.parametrize("kernel", KERNELS)
    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_every_kernel(self, kernel, d):
        rng = np.random.default_rng(2)
        u, y = np.round(rng.random((120, d)), 1), rng.random(120)
        want = naive.goal_hsic(u, naive.goal(y, 0.2), kernel, 0.4)
        assert close(goal_hsic(u, y, goal=0.2, kernel=kernel, bandwidth=0.4, engine="tile").statistic, want)

    @pytest.mark.parametrize("kernel", ["laplace", "matern32", "matern52", "energy"])
    @pytest.mark.parametrize("h", [0.01, 0.4, 3.0])
    def test_kernels_on_a_line_by_order(self, kernel, h):
        u, y = trials()
        want = naive.goal_hsic(u, naive.goal(y, 0.2), kernel, h)
        result = goal_hsic(u, y, goal=0.2, kernel=kernel, bandwidth=h)
        assert result.engine == "ordered"
        assert close(result.statistic, want)

    @pytest.mark.parametrize("engine", ["spectral", "ordered", "tile", "auto"])
    @pytest.mark.parametrize("h", [1e-4, 1e-3, 0.02, 0.3, 20.0])
    def test_small_and_large_bandwidths(self, h, engine):
        u, y = trials()
        want = naive.goal_hsic(u, naive.goal(y, 0.2), h=h)
        result = goal_hsic(u, y, goal=0.2, bandwidth=h, engine=engine, test="permutation", n_permutations=99)
        assert close(result.statistic, want, 1e-10 if h > 1 else 1e-12)
        same = goal_hsic(u, y, goal=0.2, bandwidth=h, engine="tile", test="permutation", n_permutations=99)
        assert result.pvalue == same.pvalue
        assert result.ci == pytest.approx(same.ci, rel=1e-6)

    @pytest.mark.parametrize("h", [1e-300, 1e-12, 1e-6])
    def test_bandwidth_below_every_distance(self, h):
        u, y = np.random.default_rng(5).random((2, 50))
        # only the diagonal is left: sum w_i^2 / n^2
        assert close(goal_hsic(u, y, goal=0.2, bandwidth=h).statistic, 0.2 * 0.8 / 50)

    @pytest.mark.parametrize("h", [1e3, 1e6, 1e12, 1e300])
    def test_bandwidth_above_every_distance(self, h):
        u = np.linspace(0, 1, 50)
        result = goal_hsic(u, u, goal=0.2, bandwidth=h)
        # k = 1 - d^2 / 2h^2: the squared covariance of u and z over h^2, as far as 1 - k has digits
        covariance = np.cov(u, u <= u[9], bias=True)[0, 1]
        assert result.statistic == pytest.approx((covariance / h) ** 2, rel=1e-5, abs=1e-15)

    @pytest.mark.parametrize("kernel_x", KERNELS)
    @pytest.mark.parametrize("kernel_y", ["gaussian", "linear", "dirac"])
    def test_hsic(self, kernel_x, kernel_y):
        rng = np.random.default_rng(3)
        x = np.round(rng.random((130, 3)), 1)  # in [0, 1] for sobolev
        y = np.round(x[:, :2] + rng.standard_normal((130, 2)), 0)
        want = naive.hsic(x, y, kernel_x, kernel_y, 1.3, 0.7)
        result = hsic(x, y, kernel_x=kernel_x, kernel_y=kernel_y, bandwidth_x=1.3, bandwidth_y=0.7)
        assert close(result.statistic, want)

    def test_interval_of_a_discrete_value(self):
        width = np.repeat([0.25, 0.5, 0.25], 20)
        u = np.repeat([0.125, 0.5, 0.875], 20)
        y = np.random.default_rng(4).random(60) + u
        w = naive.goal(y, 0.2) - naive.goal(y, 0.2).mean()
        want = w @ naive.interval_gram(u, width, 0.3) @ w / 60**2
        assert close(goal_hsic(u, y, goal=0.2, bandwidth=0.3, width=width).statistic, want)

    def test_r2_against_its_definition(self):
        u, y = trials()
        z = naive.goal(y, 0.1).astype(float)
        own = [naive.hsic(a, a, kernel, kernel, 0.2, 0.2) for a, kernel in ((u, "gaussian"), (z, "linear"))]
        want = naive.goal_hsic(u, z, h=0.2) / math.sqrt(own[0] * own[1])
        for engine in ("spectral", "tile"):
            assert close(goal_hsic(u, y, bandwidth=0.2, engine=engine).r2, want, 1e-10)

    @pytest.mark.parametrize("shape", [(40,), (41,), (40, 3), (41, 2)])
    def test_median_bandwidth_is_exact(self, shape):
        x = np.random.default_rng(5).random(shape)
        x[:10] = x[10:20]  # equal pairs do not count
        assert close(hsic(x, x).bandwidth[0], naive.median_distance(x), 1e-15)

    def test_maximal_bandwidth_is_at_least_a_fine_grid(self):
        u, y = trials(100)
        z = naive.goal(y, 0.1)
        grid = max(naive.goal_hsic(u, z, h=h) for h in np.geomspace(1e-4, 5, 400))
        assert goal_hsic(u, y, bandwidth="max").statistic >= grid * (1 - 1e-8)

    def test_gram_and_center(self):
        x = np.random.default_rng(6).random((30, 2))
        k = hsicfast.gram(x, "matern32", 0.5)
        assert np.allclose(k, naive.gram(x, "matern32", 0.5), rtol=1e-14)
        assert hsicfast.center(k) is k
        assert np.allclose(k, naive.center(naive.gram(x, "matern32", 0.5)), atol=1e-14)

    def test_hsic_interval_matches_the_jackknife(self):
        rng = np.random.default_rng(7)
        x = rng.standard_normal(60)
        y = x + rng.standard_normal(60)
        left = [naive.hsic(np.delete(x, i), np.delete(y, i), h_x=1.0, h_y=1.0) for i in range(60)]
        jackknife = np.std(left) * math.sqrt(59)
        low, high = hsic(x, y, bandwidth_x=1.0, bandwidth_y=1.0, confidence=0.9).ci
        assert (high - low) / 2 / 1.6448536 == pytest.approx(jackknife, rel=0.1)


class TestLaws:
    @given(st.integers(4, 60), st.floats(0.05, 0.9), st.floats(0.02, 3.0), st.integers(0, 10**6))
    def test_engines_agree(self, n, goal, h, seed):
        u, y = np.random.default_rng(seed).random((2, n))
        results = [goal_hsic(u, y, goal=goal, bandwidth=h, engine=engine) for engine in ("spectral", "tile")]
        assert results[0].statistic == pytest.approx(results[1].statistic, rel=1e-10, abs=1e-17)
        assert results[0].ci == pytest.approx(results[1].ci, rel=1e-8, abs=1e-12)

    @given(st.integers(4, 50), st.integers(0, 10**6))
    def test_order_of_samples_and_mirror_change_nothing(self, n, seed):
        rng = np.random.default_rng(seed)
        u, y = rng.random((2, n))
        order = rng.permutation(n)
        want = goal_hsic(u, y, bandwidth=0.2).statistic
        assert goal_hsic(u[order], y[order], bandwidth=0.2).statistic == pytest.approx(want, rel=1e-11)
        assert goal_hsic(1 - u, y, bandwidth=0.2).statistic == pytest.approx(want, rel=1e-11)

    @given(st.integers(4, 40), st.integers(0, 10**6))
    def test_monotone_change_of_the_objective_changes_nothing(self, n, seed):
        u, y = np.random.default_rng(seed).random((2, n))
        assert goal_hsic(u, y, bandwidth=0.3) == goal_hsic(u, np.exp(5 * y), bandwidth=0.3)

    @given(st.integers(4, 30), st.integers(0, 10**6))
    def test_hsic_is_symmetric_and_blind_to_shifts(self, n, seed):
        x, y = np.random.default_rng(seed).random((2, n))
        want = hsic(x, y, bandwidth_x=0.5, bandwidth_y=0.5).statistic
        assert hsic(y, x, bandwidth_x=0.5, bandwidth_y=0.5).statistic == pytest.approx(want, rel=1e-9, abs=1e-16)
        moved = hsic(x + 1024.0, y, bandwidth_x=0.5, bandwidth_y=0.5).statistic
        assert moved == pytest.approx(want, rel=1e-9, abs=1e-13)

    @given(st.integers(4, 60), st.integers(0, 10**6))
    def test_index_and_r2_are_in_range(self, n, seed):
        u, y = np.random.default_rng(seed).random((2, n))
        result = goal_hsic(u, y)
        assert result.statistic >= 0
        assert 0 <= result.r2 <= 1 + 1e-12
        assert 0 <= result.ci[0] <= result.ci[1]


class TestTests:
    def test_permutations_are_those_of_the_formula(self):
        u, y = trials(50)
        from hsicfast.engines.spectral import subset_membership

        member = subset_membership(50, 5, 99, np.uint64(3))
        assert np.all(member.sum(axis=0) == 5)
        permuted = np.array([naive.goal_hsic(u, z, h=0.2) for z in member.T])
        want = (1 + np.sum(permuted >= naive.goal_hsic(u, naive.goal(y, 0.1), h=0.2))) / 100
        for engine in ("spectral", "tile"):
            options = {"test": "permutation", "n_permutations": 99, "seed": 3, "engine": engine}
            assert goal_hsic(u, y, bandwidth=0.2, **options).pvalue == want

    @pytest.mark.parametrize("test", ["permutation", "asymptotic", "gamma"])
    @pytest.mark.parametrize("levels", [None, 2, 5])
    def test_level(self, test, levels):
        # 1,000 independent data sets: 5% rejections within 3.5 standard deviations of the binomial; the gamma law
        # is an approximation and gets a point more
        rng = np.random.default_rng(8)
        rejected = 0
        for _ in range(1000):
            u, y = rng.random((2, 100))
            width = None
            if levels:
                u, width = (np.floor(u * levels) + 0.5) / levels, np.full(100, 1 / levels)
            options = {"test": test, "n_permutations": 199, "bandwidth": 0.3, "width": width}
            rejected += goal_hsic(u, y, **options).pvalue <= 0.05
        slack = 3.5 * math.sqrt(0.05 * 0.95 / 1000) + (0.01 if test == "gamma" else 0)
        assert abs(rejected / 1000 - 0.05) < slack

    def test_power_grows_with_n(self):
        rng = np.random.default_rng(9)
        power = []
        for n in (50, 200, 800):
            found = 0
            for _ in range(100):
                u = rng.random(n)
                found += goal_hsic(u, 0.5 * u + rng.standard_normal(n), test="asymptotic", bandwidth=0.3).pvalue <= 0.05
            power.append(found)
        assert power[0] < power[1] < power[2]

    def test_hsic_tests_see_dependence_and_only_that(self):
        rng = np.random.default_rng(10)
        x, noise = rng.standard_normal((2, 80))
        for test in ("permutation", "asymptotic", "gamma"):
            assert hsic(x, x**2 + 0.1 * noise, test=test, n_permutations=99).pvalue <= 0.01
            assert hsic(x, noise, test=test, n_permutations=99).pvalue > 0.05

    def test_max_bandwidth_is_maximised_in_each_permutation(self):
        # were only the data maximised, noise would be rejected far more often than 5%
        rng = np.random.default_rng(11)
        rejected = sum(
            goal_hsic(*rng.random((2, 40)), bandwidth="max", test="permutation", n_permutations=39).pvalue <= 0.05
            for _ in range(200)
        )
        assert rejected / 200 < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 200)

    ENGINES = (
        ("gaussian", {}),
        ("gaussian", {"engine": "ordered"}),
        ("gaussian", {"engine": "tile"}),
        ("gaussian", {"engine": "tile", "precision": "single"}),
        ("matern32", {"engine": "ordered"}),
        ("matern32", {"engine": "tile"}),
        ("matern52", {"engine": "ordered"}),
        ("matern52", {"engine": "tile"}),
    )

    @pytest.mark.parametrize("n", [30, 700])
    @pytest.mark.parametrize(("kernel", "options"), ENGINES)
    @pytest.mark.parametrize("h", [1e9, 1e12, 1e150])
    def test_rounding_shows_nothing(self, n, kernel, options, h):
        # 1 - k is at most d^2 / h^2 = 1e-18: below the rounding of k, which says nothing of u
        u = trials(n)[0]
        test = {"test": "permutation", "n_permutations": 99}
        assert goal_hsic(u, u, kernel=kernel, bandwidth=h, **test, **options).pvalue == 1.0
        one, other = {"kernel_x": kernel, "bandwidth_x": h}, {"kernel_y": kernel, "bandwidth_y": h}
        for both in (one, other, one | other):
            if "engine" not in options:
                assert hsic(u, u, **both, **test).pvalue == 1.0

    def test_rounding_in_some_coordinates_shows_nothing(self):
        u = uniform(500, 2)
        for engine in ("auto", "tile"):
            result = goal_hsic(u, u[:, 0], bandwidth=1e9, test="permutation", n_permutations=99, engine=engine)
            assert result.pvalue == 1.0

    @pytest.mark.parametrize("n", [60, 1000])
    @pytest.mark.parametrize("h", [30.0, 1e3, 1e5])
    @pytest.mark.parametrize(("kernel", "options"), [e for e in ENGINES if "precision" not in e[1]])
    def test_a_large_bandwidth_has_the_pvalue_of_the_linear_kernel(self, n, h, kernel, options):
        # k = 1 - c d^2 / h^2 + ..., and w^T d^2 w = -2 (w^T u)^2, for the data and each of the same permutations
        rng = np.random.default_rng(1)
        u = rng.random(n)
        y, m = u + 3 * rng.standard_normal(n), round(n / 10)
        from hsicfast.engines.spectral import subset_membership

        members = subset_membership(n, m, 199, np.uint64(0))
        drawn = np.abs(members.T @ u - m * u.mean())
        reached = abs(naive.goal(y, 0.1) @ u - m * u.mean())
        found = goal_hsic(u, y, kernel=kernel, bandwidth=h, test="permutation", n_permutations=199, **options)
        # terms of higher order, some d / h = 3% of the statistic at most, and rounding may exchange neighbours
        at_most, at_least = ((1 + np.sum(drawn >= reached * (1 + side * 0.02))) / 200 for side in (-1, 1))
        assert at_least <= found.pvalue <= at_most

    def test_seed_zero_is_a_seed(self):
        u, y = np.random.default_rng(12).random((2, 60))
        first, second, other = (
            goal_hsic(u, y, test="permutation", n_permutations=200, seed=seed).pvalue for seed in (0, 0, 1)
        )
        assert first == second != other


class TestCorners:
    def test_constant_column_and_all_goals_met(self):
        for u, y in (([0.5] * 6, range(6)), (np.linspace(0, 1, 6), [1.0] * 6), (np.linspace(0, 1, 6), [np.nan] * 6)):
            result = goal_hsic(u, y, test="permutation")
            assert (result.statistic, result.pvalue, result.ci) == (0.0, 1.0, (0.0, 0.0))

    def test_four_samples_and_ties_at_the_threshold(self):
        z = naive.goal([1, 1, 2, 3], 0.25)
        assert z.sum() == 2
        want = naive.goal_hsic([0.0, 0.2, 0.4, 1.0], z, h=0.3)
        assert close(goal_hsic([0.0, 0.2, 0.4, 1.0], [1, 1, 2, 3], goal=0.25, bandwidth=0.3).statistic, want)

    def test_large_offsets(self):
        x = np.random.default_rng(13).random(50)
        y = x**2
        want = naive.hsic(x, y, "linear", "linear")
        assert hsic(x + 1e8, y, kernel_x="linear", kernel_y="linear").statistic == pytest.approx(want, rel=1e-6)
        assert hsic(x + 1e8, y + 1e8, bandwidth_x=0.3, bandwidth_y=0.3).statistic == pytest.approx(
            naive.hsic(x, y, h_x=0.3, h_y=0.3), rel=1e-6
        )

    @pytest.mark.parametrize(
        "convert",
        [
            lambda a: a.astype(np.float32),
            lambda a: np.asfortranarray(a),
            lambda a: np.repeat(a, 2, axis=0)[::2],
            lambda a: a.tolist(),
        ],
    )
    def test_other_layouts(self, convert):
        u = np.round(np.random.default_rng(14).random((50, 2)) * 64) / 64  # exact in float32
        y = u.sum(axis=1)
        assert goal_hsic(convert(u), y, bandwidth=0.3) == goal_hsic(u, y, bandwidth=0.3)

    def test_read_only_input_is_not_touched(self):
        u, y = trials(30)
        u.flags.writeable = y.flags.writeable = False
        assert goal_hsic(u, y).n == 30

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (([0.1, 0.2, 0.3], [1, 2, 3]), "at least 4 samples are needed, but u has 3"),
            (([], []), r"u must have shape \(n,\) or \(n, d\), but got \(0,\)"),
            (([0, 0.5, np.nan, 1], [1, 2, 3, 4]), "u must be finite, but 1 values are not"),
            (([0, 0.5, 1.5, 1], [1, 2, 3, 4]), r"carried values must lie in \[0, 1\], but u runs from 0 to 1.5"),
            (([0, 0.5, 0.7, 1], [1, 2, 3]), "u and y must have one length, but got 4"),
            ((np.array([0, 1, 0, 1], dtype=object), [1, 2, 3, 4]), "u must hold numbers, but its type is object"),
            (([0, 0.5, 0.7, 1], ["a", "b", "c", "d"]), "y must hold numbers"),
        ],
    )
    def test_bad_samples(self, arguments, text):
        with pytest.raises(InputError, match=text):
            goal_hsic(*arguments)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"goal": 0}, "`0 < goal < 1` must hold, but got goal=0"),
            ({"goal": 1.5}, "`0 < goal < 1` must hold, but got goal=1.5"),
            ({"bandwidth": 0}, "`bandwidth > 0` must hold, but got bandwidth=0"),
            ({"bandwidth": float("nan")}, "`bandwidth > 0` must hold, but got bandwidth=nan"),
            ({"bandwidth": "mean"}, "a bandwidth must be 'median', 'max' .* but got 'mean'"),
            ({"kernel": "gauss"}, "a kernel must be one of .* but got 'gauss'"),
            ({"test": "exact"}, "test must be one of .* but got 'exact'"),
            ({"engine": "cuda"}, "engine must be one of .* but got 'cuda'"),
            ({"engine": "spectral", "kernel": "laplace"}, "the spectral engine needs kernel='gaussian'"),
            ({"bandwidth": "max", "test": "gamma"}, "bandwidth='max' needs test='permutation'"),
            ({"bandwidth": "max", "kernel": "energy"}, "bandwidth='max' needs a kernel with a bandwidth"),
            ({"n_permutations": 0}, "`n_permutations >= 1` must hold, but got 0"),
            ({"n_permutations": 99.5}, "n_permutations must be a whole number, but got 99.5; 1000 is usual"),
            ({"n_permutations": True}, "n_permutations must be a whole number, but got True; 1000 is usual"),
            ({"seed": -1}, "`seed >= 0` must hold, but got -1"),
            ({"seed": 1.0}, "seed must be a whole number, but got 1.0; use 0 or above"),
            ({"seed": False}, "seed must be a whole number, but got False; use 0 or above"),
            ({"seed": 2**70}, f"`seed < 2\\*\\*64` must hold, but got {2**70}; use a smaller one"),
            ({"confidence": 1}, "`0 < confidence < 1` must hold, but got confidence=1"),
            ({"width": [0.1]}, "width must hold 4 lengths"),
            ({"width": [0.1] * 4, "engine": "tile"}, "`width` needs one hyperparameter"),
        ],
    )
    def test_bad_options(self, options, text):
        with pytest.raises(InputError, match=text):
            goal_hsic([0.1, 0.4, 0.6, 0.9], [1, 2, 3, 4], **options)

    @pytest.mark.parametrize("options", [{"n_permutations": 99.5}, {"seed": 0.5}, {"seed": -1}, {"seed": 2**64}])
    def test_every_door_refuses_the_same_options(self, options):
        found, x = table(20, objective=lambda p: p["x"], space=FLAT), [0.1, 0.4, 0.6, 0.9]
        for door in (
            lambda: goal_hsic(x, x, test="permutation", **options),
            lambda: hsic(x, x, test="permutation", **options),
            lambda: analyse(FLAT, found, test="permutation", **options),
        ):
            with pytest.raises(InputError, match=f"{next(iter(options))}.*must .*but got"):
                door()

    @pytest.mark.parametrize("seed", [2**64 - 1, np.int64(7), np.uint8(7)])
    def test_every_seed_of_the_random_stream_is_taken(self, seed):
        u, y = trials(30)
        options = {"test": "permutation", "n_permutations": 19}
        pvalues = [goal_hsic(u, y, seed=s, kernel=k, **options).pvalue for s in (seed, int(seed)) for k in KERNELS]
        assert pvalues[: len(KERNELS)] == pvalues[len(KERNELS) :]
        assert hsic(u, y, seed=seed, **options) == hsic(u, y, seed=int(seed), **options)

    def test_a_masked_objective_misses_the_goal(self):
        u, y = trials(40)
        hidden = np.arange(40) % 3 == 0
        masked = np.ma.masked_array(np.where(hidden, -1e9, y), hidden)  # the best of all, if the mask were dropped
        assert goal_hsic(u, masked) == goal_hsic(u, np.where(hidden, np.inf, y))
        assert goal_hsic(np.ma.masked_array(u), y) == goal_hsic(u, y)

    @pytest.mark.parametrize(
        ("name", "door"),
        [
            ("u", lambda m, x: goal_hsic(m, x)),
            ("u", lambda m, x: hsicfast.anova_indices(m[:, None], x)),
            ("x", lambda m, x: hsic(m, x)),
            ("y", lambda m, x: hsic(x, m)),
            ("w", lambda m, x: hsicfast.Spectrum().update(x, m > 0.3)),
        ],
    )
    def test_other_masked_values_are_refused(self, name, door):
        x = np.array([0.1, 0.4, 0.6, 0.9])
        with pytest.raises(InputError, match=f"{name} must have no masked values, but 1 are masked; drop them"):
            door(np.ma.masked_greater(x, 0.8), x)

    def test_center_refuses_what_it_cannot_change_in_place(self):
        with pytest.raises(InputError, match="center works in place on a writeable square float64 array"):
            hsicfast.center(np.eye(3, dtype=np.float32))


def test_one_and_two_threads_give_the_same_bits(monkeypatch):
    import numba

    monkeypatch.setattr("hsicfast.engines.layer.WORTH_THREADS", 0)  # as many loops as there are
    u, y = np.random.default_rng(15).random((2, 5000))
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        results.append(
            (
                goal_hsic(u, y, test="permutation", n_permutations=50),
                goal_hsic(u[:700], y[:700], kernel="laplace", test="permutation", n_permutations=50),
                hsic(u[:700], y[:700]),
            )
        )
    assert results[0] == results[1]


BLAS = """
import numpy as np
from hsicfast import Spectrum, goal_hsic, hsic
for n in (2000, 10_001):  # OpenBLAS cuts vectors from 10,001 numbers on
    u, y = np.random.default_rng(0).random((2, n))
    for options in ({}, {"bandwidth": 0.001}, {"bandwidth": "max"}, {"kernel": "laplace"}, {"engine": "tile"}):
        print(goal_hsic(u, y, test=None if "bandwidth" in options else "gamma", **options))
    print(goal_hsic(u, y, test="permutation", n_permutations=9), hsic(u, y, test="gamma", confidence=0.9))
    print(hsic(u, y, kernel_x="linear", kernel_y="energy"), Spectrum().update(u, y).hsic(0.3, test="gamma"))
    print(Spectrum(0.0001).update(u, y).hsic(0.0002))
"""


@pytest.mark.slow
def test_one_and_two_threads_of_blas_give_the_same_bits():
    printed = [
        subprocess.run(
            [sys.executable, "-c", BLAS],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads in "12"
    ]
    assert "HSICResult" in printed[0]
    assert printed[0] == printed[1]
