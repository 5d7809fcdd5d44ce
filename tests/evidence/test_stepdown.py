"""Adjusted p-values, alone and with evidence from other trials."""

import numpy as np
import pytest
from scipy import stats

from hsicfast.evidence.stepdown import Beside, adjusted_pvalues


def naive(statistics):
    """Westfall and Young's step-down from its definition, where permutations reach."""
    reached, permuted = statistics[0], statistics[1:]
    order, found, before = np.argsort(-reached), np.empty(len(reached)), 0.0
    for place, column in enumerate(order):
        count = (permuted[:, order[place:]].max(axis=1) >= reached[column]).sum()
        before = max(before, (1 + count) / (len(permuted) + 1))
        found[column] = before
    return found


def test_alone_it_is_the_step_down():
    for seed in range(20):
        statistics = np.random.default_rng(seed).exponential(size=(400, 5))
        _, adjusted, largest = adjusted_pvalues(statistics, [])
        assert adjusted == pytest.approx(naive(statistics))
        assert largest.tolist() == statistics[1:].max(axis=1).tolist()


def test_strong_evidence_beside_makes_its_own_small_and_no_others_smaller_than_alone():
    random = np.random.default_rng(0)
    statistics = np.vstack([[1.0, 2.5, 4.0], random.exponential(size=(999, 3))])
    alone = adjusted_pvalues(statistics, [])[1]
    joined = adjusted_pvalues(statistics, [Beside(0, 1 / 220, random.random(999))])[1]
    assert joined[0] < 0.03 < alone[0]
    # Found first, it leaves the step-down, with its evidence.
    assert joined[2] <= alone[2] + 0.02
    weak = adjusted_pvalues(statistics, [Beside(0, 0.9, random.random(999))])[1]
    assert weak[2] > alone[2]


@pytest.mark.parametrize("asked", ["first", "largest"])
def test_the_level_holds_even_if_the_largest_is_asked_for(asked):
    """Of 2,000 studies without any influence no more than 5% have an adjusted p-value of at most 5%.

    Whom to ask for is chosen by its statistic. The bound is exceeded with a probability of 1e-3.
    """
    random = np.random.default_rng(1)
    small = 0
    for _ in range(2000):
        statistics = random.exponential(size=(200, 4))
        column = int(np.argmax(statistics[0])) if asked == "largest" else 0
        pvalue, *others = np.ceil(220 * random.random(200)) / 220
        small += adjusted_pvalues(statistics, [Beside(column, pvalue, np.array(others[:199]))])[1].min() <= 0.05
    assert small <= stats.binom.ppf(0.999, 2000, 0.05)
