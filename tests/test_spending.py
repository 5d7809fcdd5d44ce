"""What drives the cost, its dear end, and the chain of moves to cheaper values."""

import numpy as np
import pytest

from hsicfast.samplers import design
from hsicfast.space import Choice, Float, Int, SearchSpace
from hsicfast.spending import Driver, cheaper, dearer, drivers
from hsicfast.trials import Trial

SPACE = SearchSpace(
    {"width": Int(1, 256, log=True), "depth": Int(1, 6), "rate": Float(0, 1), "kind": Choice(["a", "b"])}
)
WIDTH, DEPTH = Driver("width", 1, 256), Driver("depth", 1, 6)


def drawn(cost):
    """Trials of the law of the space, with what `cost` says of their params."""
    return [Trial(i, params, 1.0, cost(params)) for i, params in enumerate(design(SPACE, 128, 0, "sobol"))]


class TestDrivers:
    def test_what_the_cost_rises_and_falls_with(self):
        found = drivers(SPACE, drawn(lambda p: p["width"] * (1.1 - p["rate"])))
        assert found == [WIDTH, Driver("rate", 1, 0)]

    def test_the_clearest_first(self):
        assert drivers(SPACE, drawn(lambda p: p["width"] ** 0.3 * p["depth"] ** 2)) == [DEPTH, WIDTH]
        assert drivers(SPACE, drawn(lambda p: p["width"] ** 3 * p["depth"] ** 2)) == [WIDTH, DEPTH]

    def test_noise_is_no_driver(self):
        costs = iter(np.random.default_rng(1).random(128))
        assert drivers(SPACE, drawn(lambda p: next(costs))) == []

    @pytest.mark.parametrize("trials", [[], [Trial(i, {"width": i + 1}, 0.0, cost=i) for i in range(4)]])
    def test_of_fewer_than_five_nothing_is_known(self, trials):
        assert drivers(SPACE, trials) == []

    def test_unknown_costs_are_left_out(self):
        trials = [Trial(i, {"width": i + 1}, 0.0, cost=float(i) if i < 9 else np.nan) for i in range(30)]
        assert drivers(SPACE, trials) == [WIDTH]

    def test_what_others_depend_on_is_left_alone(self):
        space = SearchSpace({"depth": Int(1, 2), "second": Int(1, 9, active_if={"depth": 2}), "first": Int(1, 9)})
        trials = [Trial(i, space.from_unit(u), 0.0) for i, u in enumerate(np.random.default_rng(0).random((60, 3)))]
        priced = [
            Trial(t.index, t.params, 0.0, cost=t.params["first"] + 20.0 * t.params["depth"] + t.params.get("second", 0))
            for t in trials
        ]
        assert "depth" not in [driver.name for driver in drivers(space, priced)]


def test_dearer_takes_what_there_is():
    assert dearer({"width": 8, "kind": "a"}, [WIDTH, DEPTH]) == {"width": 256, "kind": "a"}


class TestCheaper:
    START = Trial(0, {"width": 256, "depth": 6, "rate": 0.5, "kind": "a"}, 0.1, 100.0)

    def walk(self, good, price=0.01):
        """The moves until there is none, where `good` says which params are as good as the start."""
        start, trials, moves = self.START, [self.START], []
        while (move := cheaper(SPACE, start, [WIDTH, DEPTH], trials)) is not None:
            passed = good(move)
            trials.append(Trial(len(trials), move, 0.1 if passed else 0.9, move["width"] * move["depth"] * price))
            moves.append((move["width"], move["depth"]))
            start = trials[-1] if passed else start
            assert len(moves) < 30
        return moves

    def test_what_does_not_matter_is_at_its_cheapest_after_one_trial(self):
        assert self.walk(lambda p: True) == [(1, 6), (1, 1)]

    def test_what_matters_is_halved_between_good_and_bad(self):
        moves = self.walk(lambda p: p["width"] >= 20)
        assert moves == []

    def test_nothing_is_tried_twice_and_all_else_stays(self):
        seen = []

        def good(params):
            assert params not in seen
            assert (params["rate"], params["kind"]) == (0.5, "a")
            seen.append(params)
            return params["width"] >= 100 and params["depth"] >= 3

        self.walk(good)
        assert len(seen) > 5

    def test_what_saves_nothing_is_no_driver(self):
        # The first move of each costs more than the start.
        assert self.walk(lambda p: False, price=1e6) == [(1, 6), (256, 1)]

    def test_a_driver_that_does_not_exist_here(self):
        start = Trial(0, {"rate": 0.5}, 0.1)
        assert cheaper(SPACE, start, [WIDTH], [start]) is None

    def test_at_the_cheap_end_already(self):
        start = Trial(0, {"width": 1}, 0.1)
        assert cheaper(SPACE, start, [WIDTH], [start]) is None
