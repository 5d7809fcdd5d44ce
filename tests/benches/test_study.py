"""The study's arithmetic, on results made by hand."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich import box

from benches.problems import FLAT, hyperparameter, kind_of, module_at, problem_of, problems_of, trained
from benches.strategies import STRATEGIES
from benches.study import (
    Plan,
    Run,
    as_good,
    by_problem,
    chance,
    conduct,
    differences,
    draw,
    floors,
    paired,
    ratio,
    read,
    so_far,
    tabulate,
    wanted,
    wins,
)
from hsicfast import Choice, Float, Int

SURROGATE = """
TASKS = ["a", "b", "c"]
SPACE = {
    "booster": ("choice", ["gblinear", "gbtree"], None),
    "rounds": ("int", 1, 100, True, None),
    "depth": ("float", 0.0, 1.0, False, {"booster": ["gbtree"]}),
}

def make_objective(task):
    def evaluate(params):
        assert ("depth" in params) == (params["booster"] == "gbtree")
        return {"objective": 10 + params.get("depth", 2), "cost": float(params["rounds"])}
    return evaluate
"""


@pytest.fixture
def surrogate(tmp_path):
    path = tmp_path / "surrogate.py"
    path.write_text(SURROGATE)
    module_at.cache_clear()
    problem_of.cache_clear()
    return path


def run(strategy, problem, seed, objective, cost=None, **rest):
    costs = [1.0] * len(objective) if cost is None else cost
    plan = Plan(problem, 0, strategy, len(objective), seed)
    return Run(plan, seconds=2.0, objective=np.array(objective), cost=np.array(costs), **rest)


def test_the_best_is_the_earliest_of_equals_and_the_economical_is_within_half_a_point():
    own = run("tpe", "surrogate/1", 0, [5.0, 3.0, np.nan, 3.0, 3.5, 3.4, 9.0], [1, 9, 0, 8, 4, 4, 0])
    assert own.best == 1
    assert own.economical == 5  # as cheap as its neighbour, and better
    assert (own.score(own.best, floor=2.5), own.price(own.best)) == (0.5, 9.0)
    assert replace(own, said=3).economical == 3
    assert replace(own, said_best=5).best == 5


def test_where_the_objective_is_no_percentage_the_economical_is_within_5_thousandths():
    own = run("tpe", "runge", 0, [0.100, 0.105, 0.106], [9, 4, 1], test=np.array([0.3, 0.2, 0.1]))
    assert (own.best, own.economical) == (0, 1)
    assert own.score(own.best, floor=0.0) == 0.3  # tested, never the objective


def test_a_run_without_a_good_trial_is_the_worst_of_all():
    own = run("tpe", "surrogate/1", 0, [np.nan, np.nan])
    assert (own.best, own.economical) == (None, None)
    assert own.score(own.best, floor=0.0) == math.inf
    assert math.isnan(own.price(own.best))
    assert differences(np.array([math.inf, math.inf, 1.0]), np.array([math.inf, 1.0, math.inf])).tolist() == [
        0.0,
        -math.inf,
        math.inf,
    ]


def test_the_floor_is_the_best_of_everybody():
    runs = [run("tpe", "surrogate/1", 0, [5.0, 4.0]), run("gp", "surrogate/1", 7, [np.nan, 3.0, 6.0])]
    assert floors([*runs, run("gp", "surrogate/2", 0, [1.0])]) == {"surrogate/1": 3.0, "surrogate/2": 1.0}


def test_only_pairs_that_every_strategy_has_are_compared():
    places = [("surrogate/1", 0), ("surrogate/1", 1), ("surrogate/2", 0)]
    runs = [run("gp", *place, [1.0]) for place in places] + [run("tpe", *place, [2.0]) for place in places[1:]]
    found = paired(reversed(runs))
    assert list(found) == ["tpe", "gp"]  # in the order of the study
    for own in found.values():
        assert [(r.plan.problem, r.plan.seed) for r in own] == places[1:]
    assert paired([]) == {}


def test_wins_and_chance():
    better = differences(np.array([1.0, 1.0, 1.0, 2.0]), np.array([2.0, 3.0, 1.0, 1.0]))
    assert better.tolist() == [1.0, 2.0, 0.0, -1.0]
    assert wins(better) == 0.625  # two, a half and none
    assert chance(np.arange(1.0, 7.0)) == pytest.approx(2 / 2**6)  # all of six signs: exactly
    assert chance(np.zeros(5)) == 1.0
    assert math.isnan(chance(np.ones(1)))


def test_medians_over_the_seeds_and_ratios_of_costs():
    own = [run("tpe", f"surrogate/{task}", seed, [1.0]) for task in (1, 2) for seed in range(3)]
    assert by_problem(own, np.array([1.0, 2.0, 9.0, 0.0, -1.0, -5.0])).tolist() == [2.0, -1.0]
    assert ratio(np.array([2.0, 0.0, np.nan, 8.0]), np.array([1.0, 0.0, 1.0, 2.0])) == 2.0


def test_what_costs_as_much_less_as_theirs_where_it_is_as_good():
    ours = [run("hsic", f"surrogate/{task}", 0, [2.0, 3.0, np.nan], [8.0, 1.0, 0.1]) for task in range(3)]
    best = [(3.0, 2.0), (2.5, 4.0), (1.0, 5.0)]  # the last is better than all of ours
    theirs = [run("tpe", f"surrogate/{task}", 0, [good], [cost]) for task, (good, cost) in enumerate(best)]
    assert [as_good(ours[task : task + 1], theirs[task : task + 1]) for task in range(3)] == [0.5, 2.0, math.inf]
    assert as_good(ours, theirs) == 2.0
    nobody = run("tpe", "surrogate/0", 0, [np.nan], [1.0])
    assert math.isnan(as_good(ours[:1], [nobody]))


def test_the_table_says_it():
    ours = [run("hsic", f"surrogate/{task}", 0, [4.0, 1.0 + task], [1.0, 2.0]) for task in range(3)]
    theirs = [run("tpe", f"surrogate/{task}", 0, [4.0, 2.0 + task], [1.0, 6.0]) for task in range(3)]
    runs = paired([*ours, *theirs])
    table = tabulate("surrogate", runs, floors([*ours, *theirs]), "hsic", box.ROUNDED)
    cells = dict(zip(("hsic", "tpe"), zip(*(column.cells for column in table.columns), strict=True), strict=True))
    # On the last task the cheap trial of tpe is as good as its dear one.
    judged = ("100%", "0%", "0.25", "0.25")
    assert cells["tpe"] == ("tpe", "1", "1 to 1", "6", "3.00", "1", "6", "3.00", "0.33", *judged, "2")
    assert cells["hsic"] == ("hsic", "0", "0 to 0", "2", "", "0", "2", "", "", "", "", "", "", "2")
    assert so_far(ours[0]).tolist() == [4.0, 1.0]
    assert draw("surrogate", runs, floors([*ours, *theirs])).startswith(b"\x89PNG")


def test_a_space_that_a_file_describes(surrogate):
    assert hyperparameter("choice", ["a", "b"], None) == Choice(["a", "b"])
    assert hyperparameter("int", 1, 9, True, {"b": [1]}) == Int(1, 9, log=True, active_if={"b": [1]})
    assert hyperparameter("float", np.exp(0), 9.0, False, None) == Float(1.0, 9.0)
    assert problems_of("flat", 2, surrogate) == ["flat/a", "flat/b"]
    assert kind_of("flat/a") == "flat"
    assert problems_of("runge", 2, surrogate) == ["runge"]
    flat = problem_of("flat/a", surrogate, Path())
    assert list(flat.space) == ["rounds"]
    assert flat.evaluate({"rounds": 7}) == {"objective": 12, "cost": 7.0}
    assert FLAT["booster"] in module_at(surrogate).SPACE["booster"][1]


def test_our_own_trainings_say_the_test_metric_of_every_trial():
    assert trained("runge", Path()).evaluate.test_every_trial


@pytest.mark.parametrize("strategy", ["random", "tpe", "two_step_random"])
def test_a_run_is_a_file_that_reads_back(surrogate, tmp_path, strategy):
    plan = Plan("surrogate/b", 1, strategy, 12, 3)
    conduct(plan, tmp_path, surrogate, Path())
    found = read(plan.path(tmp_path))
    assert plan.path(tmp_path) == tmp_path / "surrogate" / "b" / f"{strategy}-12-3.json"
    assert found.plan == plan
    assert np.isfinite(found.objective).all()
    assert len(found.objective) == len(found.cost) == 12
    ours = strategy.startswith("two_step")
    assert found.said_best == (int(np.argmin(found.objective)) if ours else None)
    conduct(plan, tmp_path / "again", surrogate, Path())
    assert read(plan.path(tmp_path / "again")).objective.tolist() == found.objective.tolist()


def test_the_options_choose_what_is_shown():
    chosen = argparse.Namespace(strategies=["tpe"], n_trials=60, tasks=2, seeds=3)
    plan = Plan("surrogate/b", 1, "tpe", 60, 2)
    assert wanted(plan, chosen)
    others = ({"strategy": "gp"}, {"n_trials": 30}, {"place": 2}, {"seed": 3})
    assert not any(wanted(replace(plan, **other), chosen) for other in others)


def test_every_strategy_of_ours_is_there():
    assert {"random", "tpe", "gp", "two_step", "two_step_random"} <= set(STRATEGIES)
