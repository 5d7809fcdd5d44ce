"""What drives the cost, its dear end, and for how much less the next one is looked for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast.proposals.samplers import design
from hsicfast.search.economy import CostBisection, at_expensive_ends, cheap_enough, decades, expensive_ends
from hsicfast.space.search_space import Choice, Float, Int, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

SPACE = SearchSpace(
    {"width": Int(1, 256, log=True), "depth": Int(1, 6), "rate": Float(0, 1), "kind": Choice(["a", "b"])}
)

ONE = {"width": 8, "depth": 2, "rate": 0.5, "kind": "a"}
BESIDE = {"depth": 2, "rate": 0.5, "kind": "a"}


def drawn(cost):
    """Trials of the law of the space, with what `cost` says of their params."""
    return table([Trial(i, params, 1.0, cost(params)) for i, params in enumerate(design(SPACE, 128, 0, "sobol"))])


def table(trials, space=SPACE, minimize=True):
    return TrialTable.from_trials(space, trials, minimize)


def test_what_the_cost_rises_and_falls_with():
    assert expensive_ends(SPACE, drawn(lambda p: p["width"] * (1.1 - p["rate"]))) == {"width": 256, "rate": 0}


def test_noise_drives_nothing():
    costs = iter(np.random.default_rng(1).random(128))
    assert expensive_ends(SPACE, drawn(lambda p: next(costs))) == {}


def test_one_of_many_that_is_as_clear_as_chance_allows_drives_nothing():
    # The smallest of 40 p-values is below 5% mostly; Holm's asks for 5% among them all.
    rng = np.random.default_rng(0)
    space = SearchSpace({f"x{i}": Float(0, 1) for i in range(40)})
    trials = [Trial(i, space.from_unit(u), 1.0, u[0] + 5 * rng.random()) for i, u in enumerate(rng.random((60, 40)))]
    assert expensive_ends(space, table(trials, space)) == {}
    trials = [Trial(t.index, t.params, 1.0, t.params["x0"]) for t in trials]
    assert expensive_ends(space, table(trials, space)) == {"x0": 1}


@pytest.mark.parametrize("trials", [[], [Trial(i, {**BESIDE, "width": i + 1}, 0.0, cost=i) for i in range(4)]])
def test_of_fewer_than_five_nothing_is_known(trials):
    assert expensive_ends(SPACE, table(trials)) == {}


def test_unknown_costs_are_left_out():
    trials = [Trial(i, {**BESIDE, "width": i + 1}, 0.0, cost=float(i) if i < 9 else np.nan) for i in range(30)]
    assert expensive_ends(SPACE, table(trials)) == {"width": 256}


def test_what_others_depend_on_is_left_alone():
    space = SearchSpace({"depth": Int(1, 2), "second": Int(1, 9, active_if={"depth": 2}), "first": Int(1, 9)})
    drawn = [space.from_unit(u) for u in np.random.default_rng(0).random((60, 3))]
    trials = [Trial(i, p, 0.0, p["first"] + 20.0 * p["depth"] + p.get("second", 0)) for i, p in enumerate(drawn)]
    assert "depth" not in expensive_ends(space, table(trials, space))
    assert expensive_ends(space, table([t for t in trials if t.params["depth"] == 1], space)) == {"first": 9}


def test_at_expensive_ends_takes_what_there_is():
    assert at_expensive_ends({"width": 8, "kind": "a"}, {"width": 256, "depth": 6}) == {"width": 256, "kind": "a"}


def test_decades_between_the_tenths():
    costs = [0.0, math.nan, math.inf, *(10.0**power for power in range(11))]
    assert decades(np.array(costs)) == 8
    assert decades(np.array([])) == decades(np.array([0.0])) == decades(np.array([7.0])) == 0


class TestCheapEnough:
    TRIALS = (
        Trial(0, ONE, 0.2, cost=1.0),
        Trial(1, ONE, 0.1, cost=1e9),
        Trial(2, ONE, 0.9, cost=1e-6),
        Trial(3, ONE, 0.8, cost=1e-6),
        Trial(4, ONE, math.nan, cost=1e-9, status="diverged"),
        Trial(5, ONE, 0.1, cost=0.0),
        Trial(6, ONE, 0.1, cost=math.nan),
    )

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_cheapest_of_the_better_half(self, sign):
        trials = [replace(trial, objective=sign * trial.objective) for trial in self.TRIALS]
        assert cheap_enough(100.0, table(trials, minimize=sign == 1)) == 1

    def test_a_quarter_where_the_better_half_is_no_cheaper(self):
        assert cheap_enough(3.0, table(self.TRIALS)) == 0.75
        assert cheap_enough(8.0, table([])) == 2

    @pytest.mark.parametrize("cost", [0.0, math.nan, math.inf])
    def test_0_where_the_cost_is_unknown(self, cost):
        assert cheap_enough(cost, table(self.TRIALS)) == 0


class TestCostBisection:
    CHEAPEST = (Trial(0, ONE, 0.9, cost=1.0), Trial(1, ONE, math.nan, cost=1e-9, status="diverged"))

    def levels(self, costs, trials=CHEAPEST):
        bisection, trials = CostBisection(), table(trials)
        return [bisection.most(cost, trials) for cost in costs]

    def test_what_was_found_is_the_next_start(self):
        assert self.levels([10_000.0, 100.0, 4.0]) == [100, 10, 2]

    def test_up_again_after_three_that_were_not_as_good(self):
        assert self.levels([10_000.0] * 7) == pytest.approx([100] * 3 + [1000] * 3 + [10**3.5])

    def test_what_is_cheaper_but_not_as_cheap_as_asked_for_is_no_success(self):
        assert self.levels([10_000.0, 5_000.0, 2_500.0, 2_500.0]) == pytest.approx([100, 5_000**0.5, 50, 50 * 50**0.5])

    def test_near_the_top_it_begins_at_the_bottom_again(self):
        levels = self.levels([100.0] * 40)
        assert levels[0] == levels[levels.index(max(levels)) + 3] == 10
        assert max(levels) < 100

    def test_the_cheapest_of_all_may_be_the_start(self):
        assert 0.5 < self.levels([1.0])[0] < 1

    @pytest.mark.parametrize("cost", [0.0, math.nan, math.inf])
    def test_without_a_cost_there_is_no_level(self, cost):
        assert self.levels([cost]) == [None]

    @given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=40))
    def test_always_below_what_there_is(self, costs):
        costs = sorted(costs, reverse=True)
        assert all(0 < level < cost for level, cost in zip(self.levels(costs), costs, strict=True))
