"""The median of all distances: to the last bit, whatever the sample it is looked for around."""

import math
import tracemalloc

import hypothesis.strategies as st
import naive
import numba
import numpy as np
import pytest
from builders import uniform
from hypothesis import HealthCheck, given, settings

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
    "two values": lambda rng, n: np.where(rng.random(n) < 0.3, 0.2, 0.7),
    "two values with a few others": lambda rng, n: np.where(rng.random(n) < 0.9, rng.integers(0, 2, n), rng.random(n)),
    "half of them equal": lambda rng, n: np.where(rng.random(n) < 0.5, 0.4, rng.random(n)),
    "tight clusters": lambda rng, n: rng.integers(0, 2, n) + 1e-9 * rng.random(n),
    "grid": lambda rng, n: np.arange(n) / n,
}


def sides(h):
    """Distances and sides for searchsorted that count the pairs below and up to `h`, but for rounding of a sum."""
    return (h * (1 - 1e-12), "left"), (h * (1 + 1e-12), "right")


def median_of_pairs(x):
    distances = np.abs(x[:, None] - x)[np.tril_indices(len(x), -1)]
    return np.median(distances[distances > 0])


@pytest.fixture(params=["levels at once", "levels among the others"])
def few_levels(request, monkeypatch):
    """Few levels as they are, and on the way that many levels take."""
    if request.param == "levels among the others":
        monkeypatch.setattr(bandwidth, "LEVEL_PAIRS", 0)


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
    @pytest.mark.usefixtures("few_levels")
    def test_on_a_line(self, law):
        rng = np.random.default_rng(0)
        for n in [65, 80, 128, 200] if INTERPRETED else range(65, 600, 7):
            x = np.sort(LAWS[law](rng, n))
            assert bandwidth.median_on_line(x) == median_of_pairs(x)

    @pytest.mark.usefixtures("few_levels")
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.integers(65, 200 if INTERPRETED else 400),
        st.lists(st.floats(0, 1), min_size=2, max_size=6, unique=True),
        st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
        st.sampled_from([1, 8, 2**20]),
        st.integers(0, 10**6),
    )
    def test_exact_with_heavy_ties_among_others(self, n, atoms, share, steps, seed):
        rng = np.random.default_rng(seed)
        x = np.where(rng.random(n) < share, rng.choice(atoms, n), np.floor(rng.random(n) * steps) / steps)
        x[:2] = atoms[:2]
        if np.ptp(x) ** 2 > 0:
            assert bandwidth.median_on_line(np.sort(x)) == median_of_pairs(x)

    @pytest.mark.skipif(INTERPRETED, reason="many samples")
    @pytest.mark.parametrize(
        "law", [*LAWS, *(f"{levels} levels" for levels in (2, 3, 10, 100, 1000, 5000)), "nearly all equal"]
    )
    def test_many_samples_take_little_memory(self, law):
        n, rng = 200_000, np.random.default_rng(0)
        if law in LAWS:
            x = LAWS[law](rng, n)
        elif law == "nearly all equal":
            x = np.where(rng.random(n) < 0.999, 0.5, rng.random(n))
        else:
            x = rng.integers(0, int(law.split()[0]), n) / int(law.split()[0])
        ordered = np.sort(x)
        tracemalloc.start()
        h = bandwidth.median_on_line(ordered)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6  # a fifth of 100 MB, as n is a fifth of a million
        # h is a median: no more than half of the distances that are not 0 are smaller, no more than half are larger.
        after = np.arange(1, n + 1)
        ties, below, up_to = (
            int((np.searchsorted(ordered, ordered + d, side) - after).sum()) for d, side in ((0, "right"), *sides(h))
        )
        half = (n * (n - 1) // 2 - ties) / 2
        assert below - ties <= half <= up_to - ties

    @pytest.mark.skipif(INTERPRETED, reason="many samples")
    @pytest.mark.parametrize("levels", [1, 2, 3, 10, 100])
    def test_goal_hsic_of_a_million_samples_with_few_values(self, levels):
        n, rng = 10**6, np.random.default_rng(0)
        level, y = rng.integers(0, levels, n), rng.random(n)
        u = level / levels
        tracemalloc.start()
        result = hsicfast.goal_hsic(u, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6
        if levels == 1:
            assert (result.statistic, result.null_mean) == (0.0, 0.0)
            return
        # the sum over all pairs, level by level
        met = np.bincount(level[naive.goal(y, 0.1)], minlength=levels)
        pulls = met - 0.1 * np.bincount(level, minlength=levels)
        assert result.statistic == pytest.approx(
            pulls @ naive.gram(np.arange(levels) / levels, "gaussian", result.bandwidth) @ pulls / n**2, rel=1e-9
        )

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

    @pytest.mark.parametrize("x", [np.ones((5, 2)), np.hstack([1e-200 * np.eye(5), np.ones((5, 1))])])
    def test_equal_samples_have_none(self, x):
        with pytest.raises(InputError, match="bandwidth='median' needs two samples that differ"):
            hsicfast.gram(x)
