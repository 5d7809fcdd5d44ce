"""Sums over sorted values: facts by hand, laws, corners, and the dense matrix as reference."""

import math

import hypothesis.strategies as st
import naive
import numpy as np
import pytest
from hypothesis import given

from hsicfast.engines import tiles
from hsicfast.engines.kernels import KERNELS
from hsicfast.engines.ordered import goal_sums, subset_statistics
from hsicfast.engines.spectral import subset_membership

NAMES = ("laplace", "matern32", "matern52", "energy")
BANDWIDTHS = (1e-6, 0.01, 0.3, 5.0, 1e3)
every_kernel = pytest.mark.parametrize("name", NAMES)
every_bandwidth = pytest.mark.parametrize("h", BANDWIDTHS)


def code(name):
    return KERNELS[name].code


def kernel_sums(x, w, code, h):
    """``sum_j k(x_i, x_j) w_ja``, (n, c)."""
    return np.column_stack([goal_sums(x, column, code, h, 0.0)[:, 0] for column in w.T])


def squared_kernel_sums(x, code, h):
    """``sum_j k(x_i, x_j)^2``, (n,)."""
    return goal_sums(x, np.ones(len(x)), code, h, 0.0)[:, 2]


def agree(got, want, scale):
    """To 1e-12 of the sum of the absolute values of what was added."""
    return np.all(np.abs(got - want) <= 1e-12 * scale)


def sample(n=120, seed=0):
    """Sorted values, some of them tied, and weights of both signs."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate((rng.random(n - n // 4), rng.integers(0, 5, n // 4) / 4))), rng.standard_normal(
        (n, 3)
    )


class TestFacts:
    # h makes s = 1 between neighbours: k = 1/e, 2/e, (1 + 1 + 1/3)/e
    @pytest.mark.parametrize(
        ("name", "h", "k"),
        [
            ("laplace", 1.0, math.exp(-1)),
            ("matern32", math.sqrt(3), 2 * math.exp(-1)),
            ("matern52", math.sqrt(5), 7 / 3 * math.exp(-1)),
        ],
    )
    def test_two_values(self, name, h, k):
        x, w = np.array([4.0, 5.0]), np.array([[1.0], [3.0]])
        assert kernel_sums(x, w, code(name), h)[:, 0] == pytest.approx([1 + 3 * k, 3 + k], rel=1e-15)
        assert squared_kernel_sums(x, code(name), h) == pytest.approx([1 + k * k, 1 + k * k], rel=1e-15)
        squares = 0.75**2 + (k - 0.25) ** 2
        want = np.array([[1 - k, 0.5 + k, squares, 0.75], [k - 1, 0.5 + k, squares, 0.75]])
        assert goal_sums(x, np.array([1.0, -1.0]), code(name), h, 0.25) == pytest.approx(want, rel=1e-14)

    def test_three_values_and_their_distances(self):
        x = np.array([0.0, 1.0, 3.0])
        want = [[-(2 * 1 + 5 * 3)], [-(1 + 5 * 2)], [-(3 + 2 * 2)]]
        assert kernel_sums(x, np.array([[1.0], [2.0], [5.0]]), code("energy"), math.nan).tolist() == want
        assert squared_kernel_sums(x, code("energy"), math.nan).tolist() == [10.0, 5.0, 13.0]

    def test_one_goal_of_two_samples(self):
        # w = (1/2, -1/2), whichever is drawn: S = (1/4)(1/4)(2 - 2k)
        got = subset_statistics(np.array([0.0, 1.0]), np.array([1, 0]), 1, 5, 0, code("laplace"), 1.0)
        assert got == pytest.approx([(1 - math.exp(-1)) / 8] * 5, rel=1e-15)


class TestReference:
    @every_kernel
    @every_bandwidth
    def test_sums(self, name, h):
        x, w = sample()
        k = naive.gram(x, name, h)
        assert agree(kernel_sums(x, w, code(name), h), k @ w, abs(k) @ abs(w))
        assert agree(squared_kernel_sums(x, code(name), h), (k**2).sum(axis=1), (k**2).sum(axis=1))

    @every_kernel
    @every_bandwidth
    @pytest.mark.parametrize("shift", [0.0, 0.3, 0.9])
    def test_rows_of_the_tile_engine(self, name, h, shift):
        x, w = sample()
        goal = w[:, 0] - w[:, 0].mean()
        k = naive.gram(x, name, h)
        scale = np.column_stack((abs(k) @ abs(goal), abs(k).sum(axis=1), (k**2).sum(axis=1), np.ones(len(x))))
        scale += abs(shift) * np.array([abs(goal).sum(), len(x), len(x), 0])
        got = goal_sums(x, goal, code(name), h, shift)
        c = k - shift
        want = np.column_stack((c @ goal, c.sum(axis=1), (c**2).sum(axis=1), np.diag(c)))
        assert agree(got, want, scale)
        tile = tiles.weighted_rows(x[None], goal, code(name), h, shift)
        assert agree(got[:, [0, 1, 3]], tile[:, [0, 1, 3]], scale[:, [0, 1, 3]])
        # the tile engine counts each pair once: its squares are right in total
        assert agree(got[:, 2].sum(), tile[:, 2].sum(), scale[:, 2].sum())

    @every_kernel
    @pytest.mark.parametrize("m", [3, 20, 37])
    def test_permuted_goals(self, name, m):
        values = np.random.default_rng(1).random(40).round(2)
        order = np.argsort(values)
        got = subset_statistics(values[order], order, m, 37, 5, code(name), 0.3)
        member = subset_membership(40, m, 37, np.uint64(5))
        want = np.array([naive.goal_hsic(values, z, name, 0.3) for z in member.T])
        assert agree(got, want, want)

    def test_chunks_of_permutations_are_one_stream(self):
        values = np.random.default_rng(2).random(10)
        order = np.argsort(values)
        seed = (7 << 33) + 1
        got = subset_statistics(values[order], order, 4, 150, seed, code("laplace"), 0.3)
        member = subset_membership(10, 4, 150, np.uint64(seed))
        want = np.array([naive.goal_hsic(values, z, "laplace", 0.3) for z in member.T])
        assert agree(got, want, want)


class TestLaws:
    values = st.lists(st.floats(-1e8, 1e8), min_size=1, max_size=12)

    @given(values, st.sampled_from(NAMES), st.floats(-6, 9), st.integers(0, 99))
    def test_agreement_with_the_matrix(self, values, name, log_h, seed):
        x = np.sort(values)
        w = np.random.default_rng(seed).standard_normal((len(x), 2))
        k = naive.gram(x, name, 10**log_h)
        assert agree(kernel_sums(x, w, code(name), 10**log_h), k @ w, abs(k) @ abs(w) + 1e-300)
        assert agree(squared_kernel_sums(x, code(name), 10**log_h), (k**2).sum(axis=1), (k**2).sum(axis=1))

    @given(st.integers(1, 40), st.sampled_from(NAMES), st.floats(-3, 3), st.integers(0, 99))
    def test_symmetry(self, n, name, log_h, seed):
        x, w = sample(n, seed)
        k = kernel_sums(x, w, code(name), 10**log_h)
        size = kernel_sums(x, abs(w), code(name), 10**log_h)
        assert agree(w[:, 0] @ k[:, 1], w[:, 1] @ k[:, 0], abs(abs(w[:, 0]) @ size[:, 1]))

    @given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=20), st.sampled_from(NAMES))
    def test_an_offset_changes_nothing(self, values, name):
        x = np.sort(values) / 1024  # exact, also beside 2^27
        w = np.ones((len(x), 1))
        for function in (
            lambda x: kernel_sums(x, w, code(name), 0.3),
            lambda x: squared_kernel_sums(x, code(name), 0.3),
        ):
            assert np.array_equal(function(x), function(x + 2.0**27))

    @given(st.integers(1, 30), st.sampled_from(NAMES), st.integers(0, 99))
    def test_mirrored_values_have_mirrored_sums(self, n, name, seed):
        x, w = sample(n, seed)
        got = kernel_sums(-x[::-1], w[::-1], code(name), 0.3)[::-1]
        assert agree(got, kernel_sums(x, w, code(name), 0.3), abs(kernel_sums(x, abs(w), code(name), 0.3)))


class TestCorners:
    @every_kernel
    def test_equal_values(self, name):
        k = 0.0 if name == "energy" else 1.0
        for n in (1, 2, 5):
            x, w = np.full(n, 0.7), np.arange(1.0, n + 1)
            for h in (5e-324, 1e-6, 1e3):
                assert np.allclose(kernel_sums(x, w[:, None], code(name), h), k * w.sum(), rtol=1e-15)
                assert np.allclose(squared_kernel_sums(x, code(name), h), k * n, rtol=1e-15)
                want = [(k - 0.75) * w.sum(), (k - 0.75) * n, (k - 0.75) ** 2 * n, k - 0.75]
                assert np.allclose(goal_sums(x, w, code(name), h, 0.75), want, rtol=1e-14)

    @pytest.mark.parametrize("name", NAMES[:3])
    @pytest.mark.parametrize("shift", [0.0, 0.75])
    def test_gaps_that_leave_nothing(self, name, shift):
        # three islands; the gaps are infinite bandwidths, or underflow
        x, w = np.array([-1e300, 0.0, 1e-3, 1e4]), np.array([1.0, 2.0, 4.0, 8.0])
        k = np.eye(4)
        k[1:3, 1:3] = naive.gram([0.0, 1e-3], name, 1e-2)
        for far in (1e300, 1e4):
            x[3] = far
            got = goal_sums(x, w, code(name), 1e-2, shift)
            want = np.column_stack(((k - shift) @ w, (k - shift).sum(axis=1), ((k - shift) ** 2).sum(axis=1)))
            assert np.all(np.abs(got[:, :3] - want) <= 1e-13)

    # the first terms of k - 1, which is lost in a double k
    @pytest.mark.parametrize(
        ("name", "series"),
        [
            ("laplace", lambda s: np.expm1(-s)),
            ("matern32", lambda s: -(s**2) / 2 + s**3 / 3 - s**4 / 8),
            ("matern52", lambda s: -(s**2) / 6 + s**4 / 24),
        ],
    )
    def test_wide_bandwidths_keep_their_digits(self, name, series):
        x = np.sort(np.random.default_rng(3).random(50))
        w = np.random.default_rng(4).standard_normal(50)
        c = {"laplace": 1, "matern32": math.sqrt(3), "matern52": math.sqrt(5)}[name]
        rest = series(c * abs(x[:, None] - x) / 1e4)
        got = goal_sums(x, w, code(name), 1e4, 1.0)
        assert agree(got[:, 0], rest @ w, abs(rest) @ abs(w))
        assert agree(got[:, 1], rest.sum(axis=1), abs(rest).sum(axis=1))

    @every_kernel
    def test_all_or_none_met(self, name):
        x = np.linspace(0, 1, 6)
        for m in (0, 6):
            assert np.all(subset_statistics(x, np.arange(6), m, 3, 0, code(name), 0.3) == 0)


def test_one_and_two_threads_give_the_same_bits():
    import numba

    rng = np.random.default_rng(6)
    values = rng.random(9000)
    order = np.argsort(values)
    x, w = values[order], rng.standard_normal((9000, 3))
    results = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        results.append(
            (
                kernel_sums(x, w, code("matern52"), 0.3),
                goal_sums(x, w[:, 0], code("matern52"), 0.3, 0.8),
                subset_statistics(x[:700], np.argsort(order[:700]), 70, 40, 0, code("matern32"), 0.3),
            )
        )
    for first, second in zip(*results, strict=True):
        assert np.array_equal(first, second)
