"""Statistical truth: p-values mean what they say, power grows, intervals cover. Fixed seeds."""

import numpy as np
import pytest

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable, analyse, goal_hsic, hsic
from hsicfast.proposals.samplers import design

SPACE = SearchSpace(
    {
        "float": Float(-1.0, 3.0),
        "log": Float(1e-5, 1.0, log=True),
        "int": Int(1, 8),
        "choice": Choice(["a", "b", "c", "d"]),
        "bool": Bool(),
        "conditional": Float(0.0, 1.0, active_if={"bool": True}),
    }
)
SETS = 2000
TESTS = ("permutation", "asymptotic", "gamma")


@pytest.mark.slow
def test_pvalues_are_uniform_under_independence():
    # Of 1,000 data sets of 100 trials 2.6% to 7.4% are rejected at 5%: 3.5 standard deviations of the binomial.
    # A Bool among 10 good trials takes so few values that permutations, which count ties against us, reject less.
    sets = 1000
    rejected = {(name, test): 0 for name in SPACE for test in TESTS}
    for seed in range(sets):
        values = design(SPACE, 100, seed=seed)
        columns = {name: [params.get(name) for params in values] for name in SPACE}
        table = TrialTable.from_arrays(SPACE, columns, np.random.default_rng(seed).standard_normal(100))
        for test in TESTS:
            for index in analyse(SPACE, table, test=test, n_permutations=199, pairs=False, seed=seed).indices:
                rejected[index.name, test] += index.pvalue <= 0.05
    rates = {case: count / sets for case, count in rejected.items()}
    assert rates.pop(("bool", "permutation")) <= 0.074
    assert {case: rate for case, rate in rates.items() if not 0.026 <= rate <= 0.074} == {}


def test_power_grows_with_n_on_a_weak_effect():
    found = []
    for n in (50, 200, 800, 3200):
        random = np.random.default_rng(n)
        pvalues = []
        for _ in range(100):
            u = random.random(n)
            pvalues.append(goal_hsic(u, 0.3 * u + random.standard_normal(n), bandwidth=0.3, test="asymptotic").pvalue)
        found.append(np.mean(np.array(pvalues) <= 0.05))
    assert found == sorted(found)
    assert found[-1] >= found[0] + 0.5


@pytest.mark.parametrize("bandwidth", [0.1, 0.3])
def test_intervals_cover(bandwidth):
    # of 2,000 intervals of 90%, 87% to 93% hold the index: 4 standard deviations of the binomial either way
    def trials(random, n):
        u = random.random(n)
        return u, (u - 0.3) ** 2 + 0.1 * random.standard_normal(n)

    truth = np.mean(
        [
            goal_hsic(*trials(np.random.default_rng(s), 200_000), goal=0.2, bandwidth=bandwidth).unbiased
            for s in range(8)
        ]
    )
    covered = 0
    for seed in range(SETS):
        u, y = trials(np.random.default_rng(1000 + seed), 400)
        low, high = goal_hsic(u, y, goal=0.2, bandwidth=bandwidth).ci
        covered += low <= truth <= high
    assert 0.87 <= covered / SETS <= 0.93


def test_intervals_of_two_samples_cover():
    def pair(random, n):
        x = random.standard_normal((n, 2))
        return x, x[:, 0] + random.standard_normal(n)

    truth = hsic(*pair(np.random.default_rng(0), 8000), bandwidth_x=1.5, bandwidth_y=1.5).unbiased
    covered = 0
    for seed in range(SETS):
        result = hsic(*pair(np.random.default_rng(1 + seed), 150), bandwidth_x=1.5, bandwidth_y=1.5, confidence=0.9)
        covered += result.ci[0] <= truth <= result.ci[1]
    assert 0.87 <= covered / SETS <= 0.93
