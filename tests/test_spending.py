"""What drives the cost, and its dear end."""

import numpy as np
import pytest

from hsicfast.samplers import design
from hsicfast.space import Choice, Float, Int, SearchSpace
from hsicfast.spending import dear_ends, dearer
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
