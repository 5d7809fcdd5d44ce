"""Values that follow the space pass, at any number of trials and levels; values that do not are seen."""

import math
import warnings
from itertools import product

import naive
import numpy as np
import pytest

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable, analyse
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.evidence import uniformity
from hsicfast.evidence.uniformity import departures

SHARES = {"halves": [0.5, 0.5], "rare": [0.95, 0.05], "many": [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05]}


def of_levels(shares, counts):
    """The middles and widths of values of which `counts` lie on levels with these probabilities."""
    edges = np.concatenate(([0.0], np.cumsum(shares)))
    level = np.repeat(np.arange(len(shares)), counts)
    return ((edges[1:] + edges[:-1]) / 2)[level], np.diff(edges)[level]


def drawn(kind, n, random):
    if kind == "points":
        return random.random(n), np.zeros(n)
    return of_levels(SHARES[kind], random.multinomial(n, SHARES[kind]))


@pytest.mark.parametrize("n", [10, 30, 300])
@pytest.mark.parametrize("kind", ["points", *SHARES])
def test_level(kind, n):
    # 1000 columns that follow the space: as many rejections at 1% and 0.1% as a binomial exceeds with 1e-4
    pvalues = np.array([departures([drawn(kind, n, np.random.default_rng(seed))])[0] for seed in range(1000)])
    assert np.count_nonzero(pvalues <= 0.01) <= 24
    assert np.count_nonzero(pvalues <= 0.001) <= 6


def test_the_limit_is_that_of_simulated_points():
    # The statistic from its definition: pairs of points, and integrals of the kernel by a rule of many points
    t = (np.arange(400) + 0.5) / 400

    def statistic(u):
        kernel = naive.gram(np.concatenate((u, t)), "gaussian", UNIFORM_MEDIAN)
        weights = np.concatenate((np.full(len(u), 1 / len(u)), np.full(400, -1 / 400)))
        return weights @ kernel @ weights

    simulated = np.array([statistic(np.random.default_rng(seed).random(50)) for seed in range(1000)])
    for power in (1.0, 1.1, 1.2, 1.3):
        u = np.random.default_rng(77).random(50) ** power
        expected = (simulated >= statistic(u)).mean()
        # 4 standard deviations, and some percent for the saddlepoint
        spread = 4 * math.sqrt(max(expected, 1e-3) * (1 - expected) / 1000) + 0.05 * expected
        assert abs(departures([(u, np.zeros(50))])[0] - expected) < spread


def test_rare_levels_are_counted_exactly():
    # 30 trials, of which 7 have a value of probability 0.05; the statistic orders two levels by the distance from 1.5
    counts = np.arange(31)
    chances = np.array([math.comb(30, k) * 0.05**k * 0.95 ** (30 - k) for k in counts])
    exact = chances[np.abs(counts - 1.5) >= 5.5].sum()
    pvalue = departures([of_levels(SHARES["rare"], [23, 7])])[0]
    assert abs(pvalue - exact) < 4 * math.sqrt(exact / uniformity.DRAWS)


def test_levels_that_do_not_occur_count():
    assert departures([of_levels([0.1] * 10, [20] + [0] * 9)])[0] < 1e-3
    assert departures([of_levels([0.1] * 10, [0] * 9 + [20])])[0] < 1e-3
    assert departures([of_levels([0.25] * 4, [5, 0, 5, 10])])[0] > 0.01


def test_even_designs_pass_and_columns_are_adjusted():
    even = (np.arange(100) + 0.5) / 100
    grid = np.array(list(product(range(10), repeat=2)))[:, 0]
    widths = np.full(100, 0.1)
    assert (departures([(even, np.zeros(100)), (0.05 + grid * 0.1, widths)]) > 0.9).all()
    tilted = (even**1.3, np.zeros(100))
    alone, beside = departures([tilted])[0], departures([tilted, *[(even, np.zeros(100))] * 9])[0]
    assert beside == pytest.approx(10 * alone)
    assert departures([]).shape == (0,)


@pytest.mark.parametrize("u", [np.linspace(0, 1, 20) ** 3, np.full(20, 0.5), np.linspace(0, 0.2, 20)])
def test_departures_are_seen(u):
    assert departures([(u, np.zeros(20))])[0] < 1e-3


def test_very_many_trials_are_judged_by_some():
    u = np.random.default_rng(0).random(200_000)
    assert departures([(u, np.zeros(len(u)))])[0] > 1e-3
    assert departures([(u**1.1, np.zeros(len(u)))])[0] < 1e-3


SPACE = SearchSpace({"rate": Float(1e-5, 1e-1, log=True), "depth": Int(1, 4), "kind": Choice(["a", "b"]), "on": Bool()})


def space_table(n, seed, rate):
    random = np.random.default_rng(seed)
    columns = {"rate": rate(random, n), "depth": random.integers(1, 5, n), "on": random.random(n) < 0.5}
    columns["kind"] = random.choice(["a", "b"], n)
    return TrialTable.from_arrays(SPACE, columns, np.abs(np.log(columns["rate"]) + 5) + random.random(n))


def test_an_analysis_of_such_values_goes_by_ranks_and_says_so():
    trials = space_table(100, 0, lambda random, n: random.uniform(1e-5, 1e-1, n))
    with pytest.warns(UserWarning, match=r"but those of rate do not .* pass law='ranks' to say so yourself") as warned:
        found = analyse(SPACE, trials)
    assert warned[0].filename == __file__
    assert found.question.law == "ranks"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranks = analyse(SPACE, trials, law="ranks")
    assert found.indices == ranks.indices


def test_an_analysis_of_values_that_follow_the_space_says_nothing():
    for seed in range(10):
        trials = space_table(60, seed, lambda random, n: 10 ** random.uniform(-5, -1, n))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert analyse(SPACE, trials, pairs=False).question.law == "space"


def test_a_constant_does_not_count():
    trials = space_table(60, 0, lambda random, n: np.full(n, 0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert analyse(SPACE, trials, pairs=False).question.law == "space"
