"""The median of all distances: to the last bit, whatever the sample it is looked for around."""

import math

import hypothesis.strategies as st
import naive
import numba
import numpy as np
import pytest
from builders import uniform
from hypothesis import given

import hsicfast
from hsicfast import InputError
from hsicfast.dependence import bandwidth

INTERPRETED = bool(numba.config.DISABLE_JIT)


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
