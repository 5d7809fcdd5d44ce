"""None"""

import importlib.util
import math
import warnings

import numpy as np
import pytest
from builders import FLAT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsicfast.errors import InputError
from hsicfast.proposals import samplers
from hsicfast.proposals.samplers import Turn, complete, design
from hsicfast.proposals.transforms import BestBelow, CheapAndAsGoodAs
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials.costs import CostLimit
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, LOST, PRUNED, Trial, trial_seed

SPACE = SearchSpace(
    {
        "optimizer": Choice(["adam", "sgd", "none"]),
        "rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.9, active_if={"optimizer": "sgd"}),
        "nesterov": Bool(active_if={"optimizer": "sgd"}),
        "depth": Int(2, 9, step=3),
        "share": Float(0.0, 0.3, step=0.125),
        "mixed": Choice([1, None, "1", (2, 3)]),
    }
)


def propose(space, fixed, trials, *, seed, index, count, minimize=True, whole=None, **wanted):
    """What an optimiser proposes that has seen these trials of `space`, or of the `whole` that it is a part of."""
    table = TrialTable.from_trials(whole or space, trials, minimize)
    return samplers.propose(space, fixed, table, Turn(seed, index, count), **wanted)


def loss(params):
    return (math.log10(params["rate"]) + 2) ** 2 + params.get("momentum", 0.5)


def trials_of(params, objectives=None, status=DONE):
    return [Trial(i, p, loss(p) if objectives is None else objectives[i], status=status) for i, p in enumerate(params)]


def is_point_of(space, params):
    return all((name in params) == space.is_active(name, params) for name in space) and all(
        space[name].contains(value) for name, value in params.items()
    )


@pytest.mark.parametrize("method", ["random", "sobol"])
class TestDesign:
    def test_trial_does_not_depend_on_how_many(self, method):
        whole = design(SPACE, 33, seed=5, method=method)
        assert design(SPACE, 7, seed=5, method=method) == whole[:7]
        assert design(SPACE, 20, seed=5, method=method, start=13) == whole[13:]

    def test_is_in_the_space(self, method):
        assert all(is_point_of(SPACE, params) for params in design(SPACE, 50, seed=1, method=method))

    def test_seeds_differ(self, method):
        assert design(SPACE, 4, seed=0, method=method) != design(SPACE, 4, seed=1, method=method)

    def test_follows_the_law(self, method):
        rates = [params["rate"] for params in design(SPACE, 256, seed=2, method=method)]
        assert stats.kstest(SPACE["rate"].to_unit(rates), "uniform").pvalue > 0.01

    def test_does_not_warn(self, method):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert design(SPACE, 11, seed=0, method=method)
            assert design(SPACE, 0, seed=0, method=method) == []


class TestLatin:
    """Each hyperparameter has one value in each n-th of its range, in an order of its own."""

    SPACE = SearchSpace({name: Float(0, 1) for name in "abc"})

    def drawn(self, n, seed=0, **options):
        params = design(self.SPACE, n, seed, "latin", **options)
        return np.array([[point[name] for name in "abc"] for point in params])

    def test_each_nth_of_a_range_has_one(self):
        assert (np.sort(np.floor(self.drawn(10) * 10), axis=0) == np.arange(10)[:, None]).all()

    def test_orders_are_independent(self):
        # Any two orders of 8 agree at a place in one of 8 draws: over 400 seeds 8 * 400 / 8 = 400 places of 3,200, and
        # 4 standard deviations are 4 * sqrt(400) (the variance of the number of fixed points is 1 a draw).
        orders = [np.floor(self.drawn(8, seed) * 8) for seed in range(400)]
        assert abs(sum(int((order[:, 0] == order[:, 1]).sum()) for order in orders) - 400) < 80

    def test_seeds_and_places_differ(self):
        assert not np.array_equal(self.drawn(5), self.drawn(5, seed=1))
        assert not np.array_equal(self.drawn(5), self.drawn(5, start=5))
        assert np.array_equal(self.drawn(5), self.drawn(5))
        assert len(self.drawn(0)) == 0


def test_sobol_is_more_even_than_random():
    space = SearchSpace({"x": Float(0, 1)})

    def distance(method):
        return stats.kstest([p["x"] for p in design(space, 128, 0, method)], "uniform").statistic

    assert distance("sobol") < distance("random") / 3


def price(params):
    return 10 * params["x"] + params["y"]


@pytest.mark.parametrize("method", ["random", "sobol"])
class TestAffordableDesign:
    def test_is_the_same_sequence_without_what_is_too_dear(self, method):
        whole = design(FLAT, 100, 3, method)
        costs = CostLimit(2.0, price)
        expected = [params for params in whole if price(params) <= 2.0]
        assert 5 < len(expected) < 40
        n = len(expected)
        assert design(FLAT, n, 3, method, costs=costs) == expected
        assert costs.refused == whole.index(expected[-1]) + 1 - n
        assert design(FLAT, 3, 3, method, start=whole.index(expected[-3]), costs=costs) == expected[-3:]

    def test_what_has_no_price_stays(self, method):
        costs = CostLimit(2.0, lambda params: math.nan if params["x"] > 0.5 else price(params))
        drawn = design(FLAT, 50, 3, method, costs=costs)
        assert any(params["x"] > 0.5 for params in drawn)
        assert not any(0.2 < params["x"] <= 0.5 for params in drawn)

    def test_nothing_is_affordable(self, method):
        with pytest.raises(InputError, match="but 1,000 drawn in a row cost more, the cheapest seen 3; raise max_cost"):
            design(FLAT, 4, 3, method, costs=CostLimit(2.0, lambda params: 3))


def test_unknown_design_is_refused():
    with pytest.raises(
        InputError, match="design must be one of random, sobol, latin, but got 'grid'; choose one of them"
    ):
        design(SPACE, 4, 0, "grid")


@given(seed=st.integers(0, 2**40), index=st.integers(0, 10**6))
def test_trial_seed_fits_31_bits(seed, index):
    assert 0 <= trial_seed(seed, index) < 2**31


def test_trial_seeds_differ():
    seeds = {trial_seed(seed, index) for seed in range(20) for index in range(200)}
    assert len(seeds) == 4000


def test_complete_gives_active_names_only():
    fixed = {"momentum": 0.5, "depth": 2}
    adam = complete(SPACE, fixed, {"optimizer": "adam", "rate": 0.1, "share": 0.0, "mixed": None})
    assert adam == {"optimizer": "adam", "rate": 0.1, "depth": 2, "share": 0.0, "mixed": None}
    assert list(adam) == ["optimizer", "rate", "depth", "share", "mixed"]
    sgd = complete(SPACE, fixed, {"optimizer": "sgd", "nesterov": True, "rate": 0.1, "share": 0.0, "mixed": None})
    assert sgd["momentum"] == 0.5


@pytest.mark.parametrize("method", ["gp", "tpe", "random"])
class TestPropose:
    def test_is_a_pure_function(self, method):
        seen = trials_of(design(SPACE, 14, 0))
        one = propose(SPACE, {}, seen, method=method, seed=3, index=14, count=3)
        assert one == propose(SPACE, {}, seen, method=method, seed=3, index=14, count=3)
        assert one != propose(SPACE, {}, seen, method=method, seed=4, index=14, count=3)
        assert one != propose(SPACE, {}, seen, method=method, seed=3, index=15, count=3)

    def test_stays_in_the_space_and_keeps_what_is_fixed(self, method):
        seen = trials_of(design(SPACE, 14, 0))
        fixed = {"depth": 5, "momentum": 0.25}
        proposals = propose(SPACE, fixed, seen, method=method, seed=0, index=14, count=8)
        assert len(proposals) == 8
        for params in proposals:
            assert is_point_of(SPACE, params)
            assert params["depth"] == 5
            assert params.get("momentum", 0.25) == 0.25

    def test_fixed_parent_settles_its_children(self, method):
        seen = trials_of(design(SPACE, 20, 0))
        for params in propose(SPACE, {"optimizer": "sgd"}, seen, method=method, seed=0, index=20, count=3):
            assert {"momentum", "nesterov"} <= set(params)
        for params in propose(SPACE, {"optimizer": "adam"}, seen, method=method, seed=0, index=20, count=3):
            assert not {"momentum", "nesterov"} & set(params)

    def test_no_trials_and_all_diverged(self, method):
        diverged = trials_of(design(SPACE, 12, 0), [math.nan] * 12, DIVERGED)
        for seen in ([], diverged):
            assert is_point_of(SPACE, propose(SPACE, {}, seen, method=method, seed=0, index=12, count=1)[0])

    def test_everything_fixed(self, method):
        space = SearchSpace({"x": Float(0, 1)})
        assert propose(space, {"x": 0.5}, [], method=method, seed=0, index=4, count=2) == [{"x": 0.5}, {"x": 0.5}]

    def test_says_nothing(self, method, capfd, recwarn):
        propose(SPACE, {}, trials_of(design(SPACE, 14, 0)), method=method, seed=3, index=14, count=2)
        assert capfd.readouterr() == ("", "")
        assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("method", ["gp", "tpe"])
@pytest.mark.parametrize("minimize", [True, False])
def test_optimiser_moves_to_the_good_end(method, minimize):
    params = design(FLAT, 40, 0)
    seen = trials_of(params, [abs(p["x"] - 0.2) * (1 if minimize else -1) for p in params])
    proposals = propose(FLAT, {}, seen, method=method, seed=0, index=40, count=4, minimize=minimize)
    assert np.mean([abs(p["x"] - 0.2) for p in proposals]) < 0.1


def test_diverged_trials_repel_and_lost_ones_do_not_count():
    # The objective falls towards x = 1, where every trial diverges: whoever forgets these goes there.
    params = design(FLAT, 40, 0)
    done = [Trial(i, p, -p["x"]) for i, p in enumerate(params) if p["x"] < 0.6]
    ended_badly = [(i, p) for i, p in enumerate(params) if p["x"] >= 0.6]

    def proposals(status):
        seen = done + [Trial(i, p, math.nan, status=status) for i, p in ended_badly]
        return np.mean([p["x"] for p in propose(FLAT, {}, seen, method="gp", seed=0, index=40, count=3)])

    assert proposals(DIVERGED) < 0.65
    assert proposals(LOST) > 0.85


def test_trials_stopped_early_repel():
    # As those that diverge: whoever forgets them goes on proposing what is stopped again and again.
    params = design(FLAT, 40, 0)
    seen = [
        Trial(i, p, -p["x"]) if p["x"] < 0.6 else Trial(i, p, 1.0 + p["x"], status=PRUNED) for i, p in enumerate(params)
    ]
    proposals = propose(FLAT, {}, seen, method="gp", seed=0, index=40, count=3)
    assert np.mean([p["x"] for p in proposals]) < 0.65


def test_one_absurd_objective_does_not_blind_the_process():
    params = design(FLAT, 40, 0)
    objectives = [abs(p["x"] - 0.2) for p in params]
    objectives[3] = 1e30
    proposals = propose(FLAT, {}, trials_of(params, objectives), method="gp", seed=0, index=40, count=3)
    assert np.mean([abs(p["x"] - 0.2) for p in proposals]) < 0.1


def test_trials_outside_what_is_left_are_dropped():
    # Nothing is known of momentum but by the trials that have it.
    params = [{"optimizer": "adam", "rate": 0.1, "depth": 2, "share": 0.0, "mixed": 1}] * 12
    proposals = propose(SPACE, {"optimizer": "sgd"}, trials_of(params), method="gp", seed=0, index=12, count=1)
    assert "momentum" in proposals[0]


def priced(n, objective, costs):
    return [Trial(i, p, objective(p), price(p)) for i, p in enumerate(design(FLAT, n, 0, costs=costs))]


@pytest.mark.parametrize("method", ["gp", "tpe", "random"])
class TestAffordableProposals:
    def test_are_affordable_and_a_pure_function(self, method):
        # The objective falls towards x = 1, which nobody can afford.
        seen = priced(14, lambda p: -p["x"], CostLimit(4.0, price))
        one, other = (
            propose(FLAT, {}, seen, method=method, seed=3, index=14, count=3, costs=CostLimit(4.0, price))
            for _ in range(2)
        )
        assert one == other
        assert len(one) == 3
        assert max(map(price, one)) <= 4.0

    def test_the_law_helps_out(self, method):
        # One point in 100 is affordable: no optimiser finds that in 8 proposals.
        costs = CostLimit(1.0, lambda p: 0.5 if 0.61 < p["y"] < 0.62 else 9.0)
        seen = [Trial(i, p, p["x"], 9.0) for i, p in enumerate(design(FLAT, 6, 0))]
        found = propose(FLAT, {"x": 0.25}, seen, method=method, seed=0, index=6, count=1, costs=costs)[0]
        assert 0.61 < found["y"] < 0.62
        assert found["x"] == 0.25
        assert costs.refused >= 8

    def test_where_what_is_fixed_is_too_dear_the_whole_space_is_drawn_from(self, method):
        costs = CostLimit(4.0, price)
        found = propose(FLAT, {"x": 0.9}, [], method=method, seed=0, index=0, count=1, costs=costs)[0]
        assert price(found) <= 4.0
        assert costs.refused >= 1008

    def test_where_a_narrowed_range_is_too_dear_the_whole_one_is_drawn_from(self, method):
        narrowed = SearchSpace({"x": Float(0.8, 1), "y": Float(0, 1)})
        costs = CostLimit(4.0, price)
        found = propose(narrowed, {}, [], method=method, seed=0, index=0, count=1, costs=costs, whole=FLAT)[0]
        assert price(found) <= 4.0
        assert costs.refused >= 1008

    def test_everything_fixed_and_too_dear(self, method):
        fixed = {"x": 0.9, "y": 0.0}
        proposals = propose(FLAT, fixed, [], method=method, seed=0, index=0, count=2, costs=CostLimit(4.0, price))
        assert all(price(params) <= 4.0 for params in proposals)
        assert proposals[0] != proposals[1]
        affordable = propose(FLAT, fixed, [], method=method, seed=0, index=0, count=2, costs=CostLimit(9.0, price))
        assert affordable == [fixed, fixed]

    def test_nothing_is_affordable(self, method):
        with pytest.raises(InputError, match="drawn in a row cost more, the cheapest seen 3; raise max_cost"):
            propose(FLAT, {}, [], method=method, seed=0, index=0, count=1, costs=CostLimit(2.0, lambda params: 3))


@pytest.mark.parametrize("method", ["gp", "tpe"])
@pytest.mark.parametrize("known", [True, False])
def test_optimiser_learns_the_limit(method, known):
    # By price, or by the costs of what was trained: in both cases it goes to the best end of what is affordable.
    seen = priced(40, lambda p: -p["x"], CostLimit(4.0, price) if known else None)
    costs = CostLimit(4.0, price if known else None)
    proposals = propose(FLAT, {}, seen, method=method, seed=0, index=40, count=4, costs=costs)
    assert np.mean([p["x"] for p in proposals]) < 0.45
    assert np.mean([p["x"] for p in proposals]) > 0.25
    without = propose(FLAT, {}, seen, method=method, seed=0, index=40, count=4)
    assert np.mean([p["x"] for p in without]) > 0.45 or method == "tpe"


def test_a_refused_proposal_moves_the_next_one():
    # All that is known is cheap, so the limit is learnt from what is refused alone.
    seen = [Trial(i, p, -p["x"], 1.0) for i, p in enumerate(design(FLAT, 60, 0)) if p["x"] < 0.4]
    asked = []

    def told(params):
        asked.append(params["x"])
        return 1.0 if params["x"] < 0.5 else 8.0

    propose(FLAT, {}, seen, method="gp", seed=0, index=12, count=1, costs=CostLimit(4.0, told))
    assert asked[0] > 0.5
    assert asked[-1] < 0.5
    assert len(asked) <= 2 * 8  # within its own proposals, each refused one priced twice


@pytest.mark.parametrize("method", ["gp", "tpe"])
@pytest.mark.parametrize("sign", [1, -1])
def test_cheaper_ones_within_the_limit(method, sign):
    seen = priced(48, lambda p: sign * abs(p["x"] - 0.5), CostLimit(math.inf, price))
    for costs in (None, CostLimit(9.0, price)):
        told = {"method": method, "wish": CheapAndAsGoodAs(0.2), "minimize": sign == 1, "costs": costs}
        proposals = propose(FLAT, {}, seen, seed=0, index=48, count=3, **told)
        assert 0.25 < np.mean([p["x"] for p in proposals]) < 0.45
    assert costs.refused == 0


def test_below_the_least_cost_cheaper_is_no_better():
    seen = priced(24, lambda p: abs(p["x"] - 0.5), CostLimit(11.0, price))
    (cheapest,), (enough,) = (
        propose(FLAT, {}, seen, seed=0, index=24, count=1, wish=CheapAndAsGoodAs(0.3, least)) for least in (0.0, 5.0)
    )
    assert cheapest["x"] < 0.25
    # All below 5 is worth the same, so that being as good decides there.
    assert 0.35 < enough["x"] < 0.55


def test_the_best_that_is_to_be_had_for_less():
    # The best of all is at 0.9, where the price is 10 and not 4.
    seen = priced(24, lambda p: abs(p["x"] - 0.9), CostLimit(math.inf, price))
    for costs in (None, CostLimit(9.0, price)):
        proposals = propose(FLAT, {}, seen, seed=0, index=24, count=3, wish=BestBelow(warp=True, most=4.0), costs=costs)
        assert all(0.3 < p["x"] < 0.5 for p in proposals)
    # The lower of both bounds counts.
    proposals = propose(
        FLAT, {}, seen, seed=0, index=24, count=3, wish=BestBelow(most=9.0), costs=CostLimit(4.0, price)
    )
    assert all(0.3 < p["x"] < 0.5 for p in proposals)


@pytest.mark.parametrize("unknown", [math.nan, 0.0])
def test_costs_that_are_unknown_or_0_do_no_harm(unknown):
    seen = [Trial(i, p, p["x"], unknown) for i, p in enumerate(design(FLAT, 12, 0))]
    found = propose(
        FLAT, {}, seen, seed=0, index=12, count=1, costs=CostLimit(6.0, lambda p: math.inf * (p["x"] > 0.5))
    )
    assert found[0]["x"] <= 0.5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5))
def test_random_search_is_in_the_space(seed, count):
    proposals = propose(SPACE, {}, [], method="random", seed=seed, index=0, count=count)
    assert len(proposals) == count
    assert all(is_point_of(SPACE, params) for params in proposals)


def test_unknown_optimiser_and_missing_torch(monkeypatch):
    with pytest.raises(InputError, match="optimizer must be one of gp, tpe, random, but got 'cma'"):
        propose(SPACE, {}, [], method="cma", seed=0, index=0, count=1)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'optimizer "gp" needs torch, but torch cannot be found; .* optimizer "tpe"'):
        propose(SPACE, {}, [], method="gp", seed=0, index=0, count=1)
