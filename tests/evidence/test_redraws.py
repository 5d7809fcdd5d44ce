"""What is moved away by lot: the lots, the rank sum, and its level whatever the optimiser learns."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from hsicfast.evidence.redraws import ASKED, FAR, MOVED, Lots, Redraws
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

SPACE = SearchSpace(
    {
        "rate": Float(1e-5, 1.0, log=True),
        "size": Int(1, 64),
        "kind": Choice(["a", "b", "c"]),
        "on": Bool(),
        "inner": Float(0, 1, active_if={"on": True}),
    }
)
PARAMS = {"rate": 0.01, "size": 8, "kind": "a", "on": True, "inner": 0.5}


def asked_for(name, n=ASKED, seed=0, params=PARAMS):
    lots = Lots(SPACE, seed)
    return lots, [lots.ask(index, params, 1, lambda: [name]) for index in range(n)]


def lots_of(losses):
    return [
        Redraws("x", np.array(losses), np.isin(np.arange(len(losses)), lot))
        for lot in combinations(range(len(losses)), 3)
    ]


class TestRedraws:
    def test_the_worst_three(self):
        moved = np.arange(ASKED) >= ASKED - MOVED
        assert Redraws("x", np.arange(12.0), moved).pvalue == pytest.approx(1 / math.comb(12, 3))
        assert Redraws("x", -np.arange(12.0), moved).pvalue == 1

    def test_a_diverged_trial_is_the_worst(self):
        losses = np.array([0.1, math.nan, 0.3, 0.2, 0.4, 0.5])
        moved = np.array([False, True, False, False, False, True])
        assert Redraws("x", losses, moved).pvalue == pytest.approx(1 / 15)

    @pytest.mark.parametrize("losses", [np.arange(9.0), [1.0] * 9, [0.0, 0, 0, 1, 1, 2, 3, 3, math.nan]])
    def test_no_p_value_is_too_small_too_often_whatever_the_ties(self, losses):
        pvalues = np.array([own.pvalue for own in lots_of(losses)])
        for level in np.unique(pvalues):
            assert (pvalues <= level).mean() <= level + 1e-12
        assert sorted(pvalues) == pytest.approx(sorted(lots_of(losses)[0].lots[1]))

    def test_as_the_rank_sum_of_scipy(self):
        random = np.random.default_rng(0)
        for _ in range(20):
            losses, moved = random.random(ASKED), random.permutation(np.arange(ASKED) < MOVED)
            other = stats.mannwhitneyu(losses[moved], losses[~moved], alternative="greater", method="exact")
            assert Redraws("x", losses, moved).pvalue == pytest.approx(other.pvalue)

    @pytest.mark.parametrize(("moved", "says"), [([True] * 2 + [False] * 2, True), ([True] + [False] * 9, False)])
    def test_few_trials_say_nothing(self, moved, says):
        assert Redraws("x", np.arange(float(len(moved))), np.array(moved)).says == says


class TestLots:
    @pytest.mark.parametrize("name", list(PARAMS))
    def test_three_of_twelve_have_that_value_moved_alone(self, name):
        _, got = asked_for(name)
        moved = [params for params in got if params != PARAMS]
        assert len(moved) == MOVED
        for params in moved:
            assert {key for key in PARAMS if params[key] != PARAMS[key]} == {name}
            assert SPACE[name].contains(params[name])

    @pytest.mark.parametrize("name", ["rate", "size", "inner"])
    @pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.9, 1.0])
    def test_a_number_goes_far(self, name, at):
        params = PARAMS | {name: SPACE[name].from_unit(at)}
        here, *there = (
            float(SPACE[name].to_unit(np.array([own[name]], dtype=float))[0])
            for own in (params, *(own for seed in range(9) for own in asked_for(name, seed=seed, params=params)[1]))
        )
        away = [abs(own - here) for own in there if own != here]
        assert len(away) == 9 * MOVED
        assert min(away) >= FAR - 0.02  # a whole number lies in the middle of its step

    def test_every_lot_is_as_likely(self):
        drawn = np.array([[own != PARAMS for own in asked_for("rate", seed=seed)[1]] for seed in range(800)])
        # Each place is moved in a quarter of the runs: 4 standard deviations of the binomial (800, 1/4) are 49.
        assert abs(drawn.sum(axis=0) - 200).max() <= 49

    def test_one_after_another_where_they_exist(self):
        lots = Lots(SPACE, 0)
        for index in range(40):
            on = index % 2 == 0
            params = {key: value for key, value in PARAMS.items() if key != "inner" or on} | {"on": on}
            lots.ask(index, params, 2, lambda: ["inner", "rate", "size"])
        assert lots.asked == {"inner", "rate"}
        table = TrialTable.from_trials(SPACE, [Trial(i, PARAMS, float(i)) for i in range(40)], True)
        first, second = lots.redraws(table)
        assert (first.name, second.name) == ("inner", "rate")
        assert first.losses.tolist() == list(range(0, 24, 2))
        assert second.losses.tolist() == list(range(1, 24, 2))

    def test_a_lost_trial_says_nothing_and_a_cut_run_less(self):
        lots, _ = asked_for("rate", n=8)
        trials = [
            Trial(i, PARAMS, math.nan if i < 2 else float(i), status="lost" if i < 2 else "done") for i in range(8)
        ]
        (found,) = lots.redraws(TrialTable.from_trials(SPACE, trials, True))
        assert found.losses.tolist() == list(range(2, 8))

    def test_nobody_to_ask(self):
        lots = Lots(SPACE, 0)
        assert lots.ask(0, PARAMS, 1, list) is PARAMS
        assert lots.ask(0, PARAMS, 0, lambda: ["rate"]) is PARAMS
        assert lots.redraws(TrialTable.from_trials(SPACE, [Trial(0, PARAMS, 1.0)], True)) == ()


def test_the_level_holds_whatever_an_optimiser_learns():
    """It crowds around the best so far in both; the objective knows x alone, and u is asked for.

    A run is 30 trials; the bound is exceeded with a probability of 1e-3.
    """
    space = SearchSpace({"x": Float(0, 1), "u": Float(0, 1)})
    small = 0
    for seed in range(800):
        random, lots = np.random.default_rng(seed), Lots(space, seed)
        seen = [(own, 0.0) for own in random.random((8, 2))]
        seen = [(own, abs(own[0] - 0.7)) for own, _ in seen]
        for index in range(22):
            best = min(seen, key=lambda row: row[1])[0]
            proposed = np.clip(best + 0.1 * random.standard_normal(2), 0, 1)
            params = lots.ask(index, {"x": proposed[0], "u": proposed[1]}, 1, lambda: ["u"])
            # What it sees of a trial far off in u teaches it less of x.
            seen.append((np.array([params["x"], params["u"]]), abs(params["x"] - 0.7) + 0.01 * random.random()))
        trials = [Trial(i, {"x": own[0], "u": own[1]}, loss) for i, (own, loss) in enumerate(seen[8:])]
        small += lots.redraws(TrialTable.from_trials(space, trials, True))[0].pvalue <= 0.05
    assert small <= stats.binom.ppf(0.999, 800, 0.05)
