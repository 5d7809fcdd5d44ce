"""The tile engine's parts: pairs made once, subsets, single precision, threads; each against numpy alone."""

import math

import naive
import numba
import numpy as np
import pytest
from builders import uniform

import hsicfast
from hsicfast import InputError, goal_hsic, hsic
from hsicfast.dependence import two_samples
from hsicfast.engines import tiles
from hsicfast.engines.kernels import GAUSSIAN, KERNELS

INTERPRETED = bool(numba.config.DISABLE_JIT)


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
