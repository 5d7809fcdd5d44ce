"""What drives the cost, its dear end, and for how much less the next one is looked for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast.samplers import design
from hsicfast.space import Choice, Float, Int, SearchSpace
from hsicfast.spending import Hunt, dear_ends, dearer, decades
from hsicfast.trials import Trial

SPACE = SearchSpace(
    {"width": Int(1, 256, log=True), "depth": Int(1, 6), "rate": Float(0, 1), "kind": Choice(["a", "b"])}
)


def drawn(cost):
    """Trials of the law of the space, with what `cost` says of their params."""
    return [Trial(i, params, 1.0, cost(params)) for i, params in enumerate(design(SPACE, 128, 0, "sobol"))]


def test_what_the_cost_rises_and_falls_with():
    assert dear_ends(SPACE, drawn(lambda p: p["width"] * (1.1 - p["rate"]))) == {"width": 256, "rate": 0}


def test_noise_drives_nothing():
    costs = iter(np.random.default_rng(1).random(128))
    assert dear_ends(SPACE, drawn(lambda p: next(costs))) == {}


def test_one_of_many_that_is_as_clear_as_chance_allows_drives_nothing():
    # The smallest of 40 p-values is below 5% mostly; Holm's asks for 5% among them all.
    rng = np.random.default_rng(0)
    space = SearchSpace({f"x{i}": Float(0, 1) for i in range(40)})
    trials = [Trial(i, space.from_unit(u), 1.0, u[0] + 5 * rng.random()) for i, u in enumerate(rng.random((60, 40)))]
    assert dear_ends(space, trials) == {}
    trials = [Trial(t.index, t.params, 1.0, t.params["x0"]) for t in trials]
    assert dear_ends(space, trials) == {"x0": 1}


@pytest.mark.parametrize("trials", [[], [Trial(i, {"width": i + 1}, 0.0, cost=i) for i in range(4)]])
def test_of_fewer_than_five_nothing_is_known(trials):
    assert dear_ends(SPACE, trials) == {}


def test_unknown_costs_are_left_out():
    trials = [Trial(i, {"width": i + 1}, 0.0, cost=float(i) if i < 9 else np.nan) for i in range(30)]
    assert dear_ends(SPACE, trials) == {"width": 256}


def test_what_others_depend_on_is_left_alone():
    space = SearchSpace({"depth": Int(1, 2), "second": Int(1, 9, active_if={"depth": 2}), "first": Int(1, 9)})
    drawn = [space.from_unit(u) for u in np.random.default_rng(0).random((60, 3))]
    trials = [Trial(i, p, 0.0, p["first"] + 20.0 * p["depth"] + p.get("second", 0)) for i, p in enumerate(drawn)]
    assert "depth" not in dear_ends(space, trials)
    assert dear_ends(space, [t for t in trials if t.params["depth"] == 1]) == {"first": 9}


def test_dearer_takes_what_there_is():
    assert dearer({"width": 8, "kind": "a"}, {"width": 256, "depth": 6}) == {"width": 256, "kind": "a"}


def test_decades_between_the_tenths():
    costs = [0.0, math.nan, math.inf, *(10.0**power for power in range(11))]
    assert decades([Trial(i, {}, 0.0, cost=cost) for i, cost in enumerate(costs)]) == 8
    assert decades([]) == decades([Trial(0, {}, 0.0, cost=0.0)]) == decades([Trial(0, {}, 0.0, cost=7.0)]) == 0


class TestHunt:
    TRIALS = (
        Trial(0, {}, 0.2, cost=1.0),
        Trial(1, {}, 0.1, cost=1e9),
        Trial(2, {}, 0.9, cost=1e-6),
        Trial(3, {}, math.nan, cost=1e-9, status="diverged"),
    )

    def floors(self, costs, sign=1):
        trials = [replace(trial, objective=sign * trial.objective) for trial in self.TRIALS]
        hunt = Hunt()
        return [hunt.least(cost, trials, minimize=sign == 1) for cost in costs]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_down_to_the_cheapest_of_the_better_half(self, sign):
        assert self.floors([10_000.0, 100.0, 4.0], sign) == [1, 1, 1]

    def test_half_way_up_after_three_that_were_no_cheaper(self):
        assert self.floors([10_000.0] * 7) == pytest.approx([1] * 3 + [100] * 3 + [1000])

    def test_whatever_is_cheaper_is_a_success(self):
        assert self.floors([10_000.0, 9_999.0, 9_999.0, 9_000.0, 9_000.0, 9_000.0]) == [1] * 6

    def test_near_the_top_it_begins_anew(self):
        floors = self.floors([100.0] * 40)
        assert floors[0] == floors[floors.index(max(floors)) + 3] == 1
        assert max(floors) < 100 / 1.2

    def test_a_quarter_of_the_cost_where_the_better_half_is_no_cheaper(self):
        assert self.floors([3.0, 1.0, 0.89]) == [0.75, 0.75, 0.2225]
        assert Hunt().least(8.0, [], minimize=True) == 2

    @pytest.mark.parametrize("cost", [0.0, math.nan, math.inf])
    def test_without_a_cost_there_is_no_floor(self, cost):
        assert self.floors([cost]) == [0]

    @given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=40))
    def test_always_below_what_there_is(self, costs):
        costs = sorted(costs, reverse=True)
        assert all(0 < floor < cost for floor, cost in zip(self.floors(costs), costs, strict=True))
