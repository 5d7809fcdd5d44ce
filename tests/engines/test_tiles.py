"""The tile engine's parts: the exponential, distances, pairs made once, permutations; each against numpy alone."""

import math

import hypothesis.strategies as st
import naive
import numba
import numpy as np
import pytest
from hypothesis import given

import hsicfast
from hsicfast import InputError, goal_hsic, hsic
from hsicfast.dependence import bandwidth, two_samples
from hsicfast.dependence.goal_engines import GoalSample
from hsicfast.dependence.goal_oriented import GoalHSIC
from hsicfast.engines import distances, loops, matrices, tiles
from hsicfast.engines.kernels import GAUSSIAN, KERNELS

INTERPRETED = bool(numba.config.DISABLE_JIT)


@numba.njit
def exponentials(values):
    out = np.empty_like(values)
    for t in range(values.shape[0]):
        out[t] = loops.exp_negative(values[t])
    return out


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


class TestExponential:
    def test_dense_grid(self):
        x = -np.concatenate((np.linspace(0, 700, 701 if INTERPRETED else 2_000_001), np.geomspace(1e-300, 1, 1001)))
        want = np.exp(x.astype(np.longdouble))
        assert float(np.max(np.abs(exponentials(x) - want) / want)) < 2e-16

    @given(st.floats(-700, 0))
    def test_agrees_with_numpy(self, x):
        assert exponentials(np.array([x]))[0] == pytest.approx(np.exp(x), rel=4e-16, abs=0)

    def test_single_precision(self):
        x = -np.concatenate((np.linspace(0, 87, 701 if INTERPRETED else 200_001), [0.0])).astype(np.float32)
        want = np.exp(x.astype(float))
        assert float(np.max(np.abs(exponentials(x) - want) / want)) < 1.2e-7
        got = exponentials(np.array([0, -88, -1e30, -np.inf, np.nan], dtype=np.float32))
        assert got[:4].tolist() == [1.0, 0.0, 0.0, 0.0]
        assert math.isnan(got[4])

    def test_ends(self):
        got = exponentials(np.array([0.0, -0.0, -708.5, -1e300, -math.inf, math.nan]))
        assert got[:5].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
        assert math.isnan(got[5])


class TestRows:
    @pytest.mark.parametrize("kernel", KERNELS)
    @pytest.mark.parametrize("d", range(1, 10))
    def test_gram(self, kernel, d):
        x = uniform(21, d)
        x[7], x[9] = x[3], np.round(x[9])
        assert np.allclose(hsicfast.gram(x, kernel, 0.7), naive.gram(x, kernel, 0.7), rtol=1e-13, atol=1e-15)

    def test_nan_stays(self):
        x = np.zeros((1, 20))
        x[0, 3] = math.nan
        row = np.empty(20)
        for kernel in KERNELS.values():
            tiles.fill_row(x, 0, 0, row, kernel.code, 1.0)
            assert math.isnan(row[3]) or kernel.name == "dirac"

    @pytest.mark.parametrize("n", [4, 16, 17, 40, *([] if INTERPRETED else [256, 257, 700, 1100])])
    def test_every_pair_is_made_once(self, n):
        x, y, w = uniform(2, n), uniform(3, n, seed=1), uniform(n, seed=2)
        k, other = naive.gram(x.T, "laplace", 0.5) - 0.25, naive.gram(y.T, "gaussian", 0.5) - 0.5
        rows, squares = tiles.paired_rows(x, y, (1, 0.5, 0.25), (0, 0.5, 0.5))
        want = np.stack([(matrix * (1 - np.eye(n))).sum(axis=1) for matrix in (k * other, k, other)], axis=1)
        assert np.allclose(rows, want, rtol=1e-12, atol=1e-12 * n)
        want = [(matrix**2).sum() - (np.diag(matrix) ** 2).sum() for matrix in (k, other)]
        assert np.allclose(squares, want, rtol=1e-12)
        got = tiles.weighted_rows(x, w, 1, 0.5, 0.25)
        assert np.allclose(got[:, 0], k @ w, rtol=1e-12, atol=1e-12 * n)
        assert np.allclose(got[:, 1], k.sum(axis=1), rtol=1e-12, atol=1e-12 * n)
        assert got[:, 2].sum() == pytest.approx((k**2).sum(), rel=1e-12)
        assert got[:, 3] == pytest.approx(np.diag(k))


class TestSobolev:
    def test_by_hand(self):
        # 1 + B1(0) B1(0) + B2(0)/2 = 1 + 1/4 + 1/12; 1 + B1(0) B1(1) + B2(1)/2 = 1 - 1/4 + 1/12
        k = hsicfast.gram([0.0, 1.0, 0.5, 0.5], "sobolev")
        assert k[0, 0] == pytest.approx(4 / 3, rel=1e-15)
        assert k[0, 1] == pytest.approx(5 / 6, rel=1e-15)

    def test_mean_under_the_uniform_law_is_one(self):
        # its ANOVA part is orthogonal to constants
        t = (np.arange(400) + 0.5) / 400
        assert hsicfast.gram(t, "sobolev").mean(axis=1) == pytest.approx(1.0, abs=1e-5)

    @pytest.mark.parametrize(
        ("face", "name"),
        [(lambda x, y: hsic(x, y, kernel_x="sobolev"), "x"), (lambda x, _: hsicfast.gram(x, "sobolev"), "x")],
    )
    def test_needs_its_domain(self, face, name):
        text = rf"kernel 'sobolev' needs values in \[0, 1\], but {name} runs from 0 to 1.5; carry them there by ranks"
        with pytest.raises(InputError, match=text):
            face([0, 0.5, 1.0, 1.5], [0, 1, 2, 3])
        with pytest.raises(InputError, match=r"kernel 'sobolev' .* but y runs from -2 to 1"):
            hsic([0, 1, 2, 3], [0, 0.5, 1.0, -2], kernel_y="sobolev")


class TestUStatistic:
    @pytest.mark.parametrize("kernel", KERNELS)
    def test_reference(self, kernel):
        x, y = uniform(61, 2), uniform(61, seed=1)
        y += x[:, 0]
        x, y = np.round(x, 1), np.round(y / 2, 1)
        want = naive.u_statistic(x, y, kernel, kernel, 0.4, 0.6)
        result = hsic(x, y, kernel_x=kernel, kernel_y=kernel, bandwidth_x=0.4, bandwidth_y=0.6)
        assert result.unbiased == pytest.approx(want, rel=1e-12)

    @pytest.mark.parametrize("engine", ["spectral", "tile"])
    def test_reference_of_a_goal(self, engine):
        u, y = np.random.default_rng(3).random((2, 70))
        want = naive.u_statistic(u, naive.goal(y, 0.2), "gaussian", "linear", 0.3)
        result = goal_hsic(u, y, goal=0.2, bandwidth=0.3, engine=engine)
        assert result.unbiased == pytest.approx(want, rel=1e-11)

    def test_is_unbiased(self):
        # the mean over all 4! orders of y is the mean under independence, 0
        from itertools import permutations

        x, y = np.array([0.0, 0.3, 0.4, 1.0]), np.array([2.0, 0.0, 0.5, 0.1])
        found = [hsic(x, y[list(order)], kernel_x="energy").unbiased for order in permutations(range(4))]
        assert np.mean(found) == pytest.approx(0.0, abs=1e-16)
        assert min(found) < 0


def data_with(ties, n, d, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    return x if ties is None else np.round(x * ties) / ties


# Smooth, steep, with gaps wider than all the rest, in two clusters, with ties.
LAWS = {
    "uniform": lambda rng, n: rng.random(n),
    "steep": lambda rng, n: rng.beta(0.3, 3, n),
    "far out": lambda rng, n: rng.standard_cauchy(n),
    "clusters": lambda rng, n: np.where(rng.random(n) < 0.5, 1e-6, 1) * rng.random(n),
    "levels": lambda rng, n: rng.integers(0, 9, n) / 8,
    "rounded": lambda rng, n: np.round(rng.random(n), 2),
}


class TestCosineAndSine:
    def test_all_the_way_round(self):
        for x in np.linspace(-3.2, 3.2, 1001):
            assert loops.cosine_and_sine(x) == pytest.approx((math.cos(x), math.sin(x)), abs=1.3e-16)


class TestSinglePrecision:
    @pytest.mark.parametrize("kernel", KERNELS)
    def test_sums_to_six_digits(self, kernel):
        u, y = uniform(60, 3), uniform(60)
        for function, options in (
            (hsic, {"kernel_x": kernel}),
            (goal_hsic, {"kernel": kernel, "goal": 0.3}),
        ):
            double, single = (
                function(u, y, **options, engine="tile", precision=p, confidence=0.9) for p in ("double", "single")
            )
            assert single.statistic == pytest.approx(double.statistic, rel=1e-5)
            assert single.ci == pytest.approx(double.ci, rel=1e-5)
            # Dirac asks whether values are equal, which rounding would change
            assert (single.statistic == double.statistic) == (kernel == "dirac" and function is goal_hsic)

    def test_an_offset_costs_no_digits(self):
        x, y = uniform(60, 3), uniform(60)
        far = hsic(1e8 + x, y, engine="tile", precision="single")
        assert far.statistic == pytest.approx(hsic(x, y).statistic, rel=1e-5)

    def test_permutations(self):
        u, y = uniform(60, 3), uniform(60)
        for function in (hsic, goal_hsic):
            double, single = (
                function(u, y, test="permutation", n_permutations=99, engine="tile", precision=p)
                for p in ("double", "single")
            )
            assert single.pvalue == pytest.approx(double.pvalue, abs=0.011)  # one permutation may change sides

    @pytest.mark.parametrize(
        ("x", "options", "text"),
        [
            (1.0, {"precision": "half"}, "precision must be one of .* but got 'half'"),
            (1.0, {"precision": "single"}, "precision='single' needs engine='tile', but got engine='auto'"),
            (1e30, {"precision": "single", "engine": "tile"}, "precision='single' needs values within 1e18"),
        ],
    )
    def test_refused(self, x, options, text):
        with pytest.raises(InputError, match=text):
            hsic(x * uniform(9, 2), uniform(9), **options)


class TestMedian:
    @pytest.mark.parametrize(
        ("change", "rounded"),
        [
            (lambda x: x, True),
            (lambda x: 1e6 + 1e-3 * x, True),  # rounding is relative to the spread, not to the offset
            (lambda x: np.where(np.arange(len(x))[:, None] == 7, 1e9, x), False),  # far out: the others would be equal
            (lambda x: np.round(x, 1), False),  # ties: zeros are counted among doubles
        ],
    )
    def test_single_precision_where_it_tells(self, monkeypatch, change, rounded):
        monkeypatch.setattr(bandwidth, "FEW_PAIRS", 0)
        monkeypatch.setattr(bandwidth, "FEWEST_DRAWS", 500)
        x = change(data_with(None, 90, 3))
        low, high = bandwidth._likely(x.T.copy(), 4005)
        assert (bandwidth._coarse(x.T.copy(), low, high)[0].dtype == np.float32) == rounded
        assert bandwidth.median_distance(x.T.copy()) == pytest.approx(naive.median_distance(x), rel=2e-16)

    @pytest.mark.parametrize("law", LAWS)
    def test_on_a_line(self, law):
        rng = np.random.default_rng(0)
        for n in [65, 80, 128, 200] if INTERPRETED else range(65, 600, 7):
            x = np.sort(LAWS[law](rng, n))
            distances = (x[:, None] - x)[np.tril_indices(n, -1)]
            assert bandwidth.median_on_line(x) == np.median(distances[distances > 0])

    @given(st.integers(4, 40), st.integers(2, 5), st.sampled_from([None, 0.5, 1, 3, 10]), st.integers(0, 10**6))
    def test_exact_with_ties(self, n, d, ties, seed):
        x = data_with(ties, n, d, seed)
        x[0] += 1  # two that differ
        assert bandwidth.median_distance(x.T.copy()) == pytest.approx(naive.median_distance(x), rel=2e-16)

    @pytest.mark.parametrize("d", [1, 3])
    def test_hardly_any_differ(self, d):
        x = np.zeros((30, d))
        x[-1] = 1e-3
        assert bandwidth.median_distance(x.T.copy()) == pytest.approx(1e-3 * math.sqrt(d), rel=1e-15)

    @pytest.mark.parametrize("ties", [None, 0.5, 1, 3, 10])
    @pytest.mark.parametrize("n", [60, 61])
    @pytest.mark.parametrize("capacity", [0, 2, 2**10])
    def test_bracket_around_a_sample(self, monkeypatch, ties, n, capacity):
        # many pairs, as far as the code can tell, and little room
        monkeypatch.setattr(bandwidth, "FEW_PAIRS", 0)
        monkeypatch.setattr(bandwidth, "CAPACITY", capacity)
        monkeypatch.setattr(bandwidth, "FEWEST_DRAWS", 1000)
        x = data_with(ties, n, 3)
        assert bandwidth.median_distance(x.T.copy()) == pytest.approx(naive.median_distance(x), rel=2e-16)

    @pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.3, 0.31), (1e9, 1e10), (0.0, math.inf)])
    @pytest.mark.parametrize("capacity", [0, 5, 1000])
    def test_any_bracket_finds_every_rank(self, monkeypatch, low, high, capacity):
        monkeypatch.setattr(bandwidth, "CAPACITY", capacity)
        x = np.round(uniform(2, 16), 1)
        squares = np.sort(((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=0)[np.triu_indices(16, 1)])
        for rank in (0, 1, 40, 60, 118, 119):
            assert bandwidth.Bracket(x, low, high).select(rank) == squares[rank]

    @pytest.mark.parametrize("x", [np.ones((5, 2)), 1e-200 * np.eye(5)])
    def test_equal_samples_have_none(self, x):
        with pytest.raises(InputError, match="bandwidth='median' needs two samples that differ"):
            hsicfast.gram(x)

    def test_squares_of_pairs(self):
        x = uniform(3, 9)
        expected = [((x - np.roll(x, -lag, axis=1)) ** 2).sum(axis=0) for lag in (1, 2)]
        assert np.allclose(distances.squares_along(x, 2), expected)


class TestPermutations:
    @pytest.mark.parametrize("share", [0.03, 0.3, 0.5])
    @pytest.mark.parametrize("n", [40, *([] if INTERPRETED else [300, 613])])
    def test_subsets(self, share, n):
        x = uniform(2, n)
        rng = np.random.default_rng(1)
        size = max(int(share * n), 1)
        members = np.sort([rng.permutation(n)[:size] for _ in range(5)]).astype(np.int32)
        k = np.triu(naive.gram(x.T, "gaussian", 0.4) - 0.5, 1)
        want = [k[np.ix_(subset, subset)].sum() for subset in members]
        assert np.allclose(tiles.subset_sums(x, members, 0, 0.4, 0.5), want, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
    def test_permuted_goals_of_both_engines(self, p):
        u = uniform(1, 50)
        z = np.arange(50) < 50 * p
        sample = GoalSample(u, np.empty(0), z, GAUSSIAN)
        first, second = (GoalHSIC(sample, engine) for engine in ("spectral", "tile"))
        assert np.allclose(first.permuted(0.3, 20, 5), second.permuted(0.3, 20, 5), rtol=1e-11)

    @pytest.mark.parametrize("kernels", [("gaussian", "laplace"), ("linear", "energy"), ("dirac", "matern52")])
    def test_kept_and_made_anew(self, monkeypatch, kernels):
        x, y = np.round(uniform(2, 30), 1), np.round(uniform(1, 30, seed=1), 1)
        pair = two_samples.TwoSamples(x, y, *(KERNELS[kernel] for kernel in kernels), 0.3, 0.2)
        rng = np.random.default_rng(7)
        orders = [rng.permutation(30) for _ in range(19)]
        want = [naive.hsic(x.T, y[:, order].T, *kernels, 0.3, 0.2) for order in orders]
        assert np.allclose(pair.permuted(19, 7), want, rtol=1e-11)
        monkeypatch.setattr(two_samples, "MOST_KEPT", 0)
        assert np.allclose(pair.permuted(19, 7), want, rtol=1e-11)

    def test_products(self):
        x, y = uniform(20, 20), uniform(20, 20, seed=1)
        x, y = x + x.T, y + y.T
        orders = np.array([np.random.default_rng(seed).permutation(20) for seed in range(3)])
        want = [(x * y[np.ix_(order, order)]).sum() for order in orders]
        assert np.allclose(matrices.permuted_products(x, y, orders), want, rtol=1e-13)


@pytest.mark.skipif(INTERPRETED, reason="plain Python has one thread")
def test_one_and_two_threads_give_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1500, 5)), rng.standard_normal((1500, 2))
    u = rng.random((1500, 3))
    options = {"test": "permutation", "n_permutations": 20}
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        pair = two_samples.TwoSamples(x.T.copy(), y.T.copy(), GAUSSIAN, GAUSSIAN, 2.0, 1.0)
        kept = pair.permuted(20, 0)
        with monkeypatch.context() as patch:
            patch.setattr(two_samples, "MOST_KEPT", 0)
            results.append((kept.tolist(), pair.permuted(20, 0).tolist()))
        results.append(hsic(x, y, confidence=0.9, **options))
        results.append(hsic(u, u[:, :1], kernel_x="sobolev", kernel_y="matern32", **options))
        results.append(goal_hsic(u, u[:, 0], kernel="laplace", **options))
    assert results[:4] == results[4:]
