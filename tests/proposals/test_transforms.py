"""What an optimiser is told of the trials."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast.proposals.transforms import POWERS, bounded, log_costs, log_excess, warped
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, PRUNED, Trial

SPACE = SearchSpace({"x": Float(0, 1)})


def table(trials, minimize=True):
    return TrialTable.from_trials(SPACE, trials, minimize)


@pytest.mark.parametrize("sign", [1, -1])
class TestBounded:
    def test_a_trial_stopped_early_counts_by_its_last_value_within_what_is_done(self, sign):
        done = [Trial(i, {"x": 0.5}, sign * float(i)) for i in range(1, 5)]
        early = [
            Trial(10 + place, {"x": 0.5}, sign * value, status=PRUNED)
            for place, value in enumerate((2.5, -7.0, 1e9, math.nan))
        ]
        # Better than the best is not shown; worse than the worst, and without a value, is as bad as that.
        assert bounded(table([*done, *early], sign == 1)) == [1, 2, 3, 4, 2.5, 1, 4, 4]

    def test_the_fence_and_what_diverged(self, sign):
        trials = [Trial(i, {"x": 0.5}, sign * float(i)) for i in (0, 1, 2, 3, 4, 1000)]
        trials.append(Trial(2000, {"x": 0.5}, math.nan, status=DIVERGED))
        # Quartiles 1.25 and 3.75: the fence is at 11.25.
        assert bounded(table(trials, sign == 1)) == [0, 1, 2, 3, 4, 11.25, 11.25]


class TestWarped:
    def test_factors_become_steps(self):
        told = warped([1e-3, 1e-2, 1e-1, 1.0, 10.0])
        assert np.diff(told) == pytest.approx(math.log(10), rel=1e-3)

    def test_what_is_normal_stays_as_it_is_but_for_the_scale(self):
        values = 10 + np.random.default_rng(0).normal(size=200)
        told = warped(values.tolist())
        assert np.corrcoef(values, told)[0, 1] > 0.99

    @given(st.lists(st.floats(1e-12, 1e12), min_size=2, max_size=30))
    def test_the_order_stays_and_all_is_finite(self, losses):
        told = np.array(warped(losses))
        assert np.isfinite(told).all()
        assert (np.diff(told[np.argsort(losses)]) >= 0).all()

    def test_a_maximum_is_a_minimum_mirrored(self):
        values = [0.3, 0.01, 0.02, 0.5]
        least = table([Trial(i, {"x": 0.5}, value) for i, value in enumerate(values)])
        most = table([Trial(i, {"x": 0.5}, -value) for i, value in enumerate(values)], minimize=False)
        assert warped(bounded(least)) == warped(bounded(most)) != values

    @pytest.mark.parametrize("values", [[], [0.0, 1.0], [-1.0, 2.0], [3.0, 3.0], [2.0]])
    def test_where_no_power_is_known_nothing_changes(self, values):
        assert warped(values) == values

    def test_the_power_stays_within_bounds(self):
        # The likeliest power of these is about 60: with it all but the largest would look the same.
        values = [1 - 0.5 * x**20 for x in np.linspace(0, 1, 40)]
        assert POWERS[1] == 1
        assert np.corrcoef(values, warped(values))[0, 1] > 1 - 1e-9

    def test_what_asks_for_a_power_below_0_gets_the_logarithm(self):
        # Of these it is -1: their reciprocals are normal.
        values = 1 / (10 + np.random.default_rng(0).normal(size=200))
        told = warped(values.tolist())
        assert np.corrcoef(np.log(values), told)[0, 1] > 1 - 1e-9


def test_costs_are_told_by_their_logarithms():
    trials = [Trial(i, {"x": 0.5}, 0.0, cost=cost) for i, cost in enumerate((1.0, math.e, 0.0, math.nan))]
    np.testing.assert_allclose(log_costs(table(trials)), [0, 1, 0, np.nan])
    np.testing.assert_allclose(log_costs(table(trials), least=2.0), [math.log(2), 1, math.log(2), np.nan])
    np.testing.assert_allclose(log_excess([2.0, 1e9, 1e-9, math.nan], 2.0), [0, math.log(1e3), -math.log(1e3), np.nan])
