"""The study's arithmetic, on results made by hand."""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich import box

from benches import strategies
from benches.problems import FLAT, hyperparameter, kind_of, module_at, problem_of, problems_of, trained
from benches.standings import (
    Plan,
    Run,
    as_good,
    by_problem,
    chance,
    differences,
    draw,
    floors,
    furthest_behind,
    notes,
    our_economical,
    paired,
    prices,
    ranks,
    ratio,
    read,
    read_all,
    so_far,
    wins,
)
from benches.strategies import STRATEGIES, configuration_space, decoded, encoded, hindrance
from benches.study import conduct, missing, wanted
from hsicfast import Bool, Choice, Float, Int, SearchSpace

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

NESTED = """
import xgboost_surrogate as boosting

TASKS = boosting.TASKS[1:]
LEARNER = ("choice", ["tree", "boosting"], None)
SPACE = {"learner": LEARNER, "depth": ("int", 1, 9, False, {"learner": ["tree"]})}
for name, spec in boosting.SPACE.items():
    SPACE[f"b_{name}"] = (*spec[:-1], {"learner": ["boosting"], **{f"b_{n}": v for n, v in (spec[-1] or {}).items()}})

def make_objective(task):
    def evaluate(params):
        boosted = boosting.make_objective(task)
        own = {name[2:]: value for name, value in params.items() if name.startswith("b_")}
        return boosted(own) if own else {"objective": params["depth"], "cost": 1.0}
    return evaluate
"""


@pytest.fixture
def surrogates(tmp_path, monkeypatch):
    """A folder of surrogates, of which one imports the other."""
    folder = tmp_path / "surrogates"
    folder.mkdir()
    (folder / "xgboost_surrogate.py").write_text(SURROGATE)
    (folder / "cash_surrogate.py").write_text(NESTED)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "xgboost_surrogate", raising=False)
    module_at.cache_clear()
    problem_of.cache_clear()
    yield folder
    sys.modules.pop("xgboost_surrogate", None)


def run(strategy, problem, seed, objective, cost=None, **rest):
    costs = [1.0] * len(objective) if cost is None else cost
    plan = Plan(problem, 0, strategy, len(objective), seed)
    return Run(plan, seconds=2.0, objective=np.array(objective), cost=np.array(costs), **rest)


def test_the_best_is_the_earliest_of_equals_and_the_economical_is_as_good_by_the_default_tolerance():
    # The better third are 11 trials, their median is 4.5, and a tenth of the way from 3.0 to it is 0.15: what users get
    # if they name no tolerance.
    objective = [5.0, 3.0, np.nan, 3.0, 3.14, 3.12, 3.2] + 27 * [4.5]
    own = run("tpe", "conditional/1", 0, objective, [1, 9, 0, 8, 4, 4, 1] + 27 * [9])
    assert own.best == 1
    assert own.economical == 5  # as cheap as its neighbour, and better
    assert (own.score(own.best, floor=2.5), own.price(own.best)) == (0.5, 9.0)
    assert replace(own, said=3).economical == 3
    assert replace(own, said_best=5).best == 5


def test_where_a_test_metric_is_known_it_is_the_score():
    objective, cost, test = [0.100, 0.104, 0.106] + 18 * [0.15], [9, 4, 1] + 18 * [9], [0.3, 0.2, 0.1] + 18 * [9.0]
    own = run("tpe", "runge", 0, objective, cost, test=np.array(test))
    assert (own.best, own.economical) == (0, 1)
    assert own.score(own.best, floor=0.0) == 0.3  # tested, never the objective


def test_a_winner_that_another_trial_dominates_is_seen():
    own = run("hsic", "conditional/1", 0, [5.0, 2.0, 3.0, np.nan], [1, 4, 9, 0], said_best=2, said=2)
    assert own.dominated  # by the second trial
    assert own.undercut
    assert not replace(own, said_best=1, said=1).dominated
    assert not replace(own, said_best=1, said=1).undercut
    assert not replace(own, scatter=1.0).dominated  # seeds make as much of a difference
    assert not replace(own, cost=np.array([1.0, 9.0, 9.0, 0.0])).dominated  # better, and as dear
    near = run("hsic", "conditional/1", 0, [3.05, 4.0, 3.0] + 12 * [4.0], [1, 4, 9] + 12 * [9], said_best=2, said=2)
    assert (near.dominated, near.undercut) == (False, True)  # as good as the best by the default tolerance
    failed = run("hsic", "conditional/1", 0, [np.nan], [1])
    assert (failed.dominated, failed.undercut) == (False, False)


def test_a_run_without_a_good_trial_is_the_worst_of_all():
    own = run("tpe", "conditional/1", 0, [np.nan, np.nan])
    assert (own.best, own.economical) == (None, None)
    assert own.score(own.best, floor=0.0) == math.inf
    assert math.isnan(own.price(own.best))
    assert differences(np.array([math.inf, math.inf, 1.0]), np.array([math.inf, 1.0, math.inf])).tolist() == [
        0.0,
        -math.inf,
        math.inf,
    ]


def test_the_floor_is_the_best_of_everybody():
    runs = [run("tpe", "conditional/1", 0, [5.0, 4.0]), run("gp", "conditional/1", 7, [np.nan, 3.0, 6.0])]
    assert floors([*runs, run("gp", "conditional/2", 0, [1.0])]) == {"conditional/1": 3.0, "conditional/2": 1.0}


def test_only_pairs_that_every_strategy_has_are_compared():
    places = [("conditional/1", 0), ("conditional/1", 1), ("conditional/2", 0)]
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
    own = [run("tpe", f"conditional/{task}", seed, [1.0]) for task in (1, 2) for seed in range(3)]
    assert by_problem(own, np.array([1.0, 2.0, 9.0, 0.0, -1.0, -5.0])).tolist() == [2.0, -1.0]
    assert ratio(np.array([2.0, 0.0, np.nan, 8.0]), np.array([1.0, 0.0, 1.0, 2.0])) == 2.0


def test_what_costs_as_much_less_as_theirs_where_it_is_as_good():
    ours = [run("hsic", f"conditional/{task}", 0, [2.0, 3.0, np.nan], [8.0, 1.0, 0.1]) for task in range(3)]
    best = [(3.0, 2.0), (2.5, 4.0), (1.0, 5.0)]  # the last is better than all of ours
    theirs = [run("tpe", f"conditional/{task}", 0, [good], [cost]) for task, (good, cost) in enumerate(best)]
    assert [as_good(ours[task : task + 1], theirs[task : task + 1]) for task in range(3)] == [0.5, 2.0, math.inf]
    assert as_good(ours, theirs) == 2.0
    nobody = run("tpe", "conditional/0", 0, [np.nan], [1.0])
    assert math.isnan(as_good(ours[:1], [nobody]))


def test_our_economical_against_their_best():
    ours = [run("hsic", f"conditional/{task}", 0, [2.0, 1.0], [2.0, 8.0], said_best=1, said=0) for task in range(3)]
    theirs = [run("tpe", f"conditional/{task}", 0, [1.5], [cost]) for task, cost in enumerate((4.0, 2.0, 0.0))]
    shares, behind = our_economical(ours, theirs)
    assert shares.tolist() == [0.5, 1.0, math.inf]
    assert behind.tolist() == [0.5, 0.5, 0.5]
    nobody = run("tpe", "conditional/0", 0, [np.nan], [1.0])
    assert our_economical(ours[:1], [nobody])[0].size == 0
    shares, behind = our_economical([nobody], theirs[:1])
    assert math.isnan(shares[0])
    assert behind.tolist() == [math.inf]


def test_the_problems_on_which_we_are_furthest_behind():
    objectives = {
        "hsic": [(1.0, 3.0, 9.0), (5.0, 5.0, 5.0)],
        "tpe": [(2.0, 2.0, 2.0), (4.5, 4.5, 4.5)],
        "gp": [(2.5, 2.5, 2.5), (3.5, 3.5, 3.5)],
    }
    runs = {
        name: [
            run(name, f"conditional/{task}", seed, [value])
            for task, values in enumerate(own)
            for seed, value in enumerate(values)
        ]
        for name, own in objectives.items()
    }
    floor = {"conditional/0": 1.0, "conditional/1": 3.5}
    assert furthest_behind(runs, floor, "hsic") == [("conditional/1", 1.5, "gp"), ("conditional/0", 1.0, "tpe")]
    assert furthest_behind({"hsic": runs["hsic"]}, floor, "hsic") == []


def test_the_tables_say_it():
    ours = [
        run("hsic", f"conditional/{task}", 0, [4.0, 1.0 + task], [1.0, 2.0], said_best=1, said=1) for task in range(3)
    ]
    theirs = [run("tpe", f"conditional/{task}", 0, [4.0, 2.0 + task], [1.0, 6.0]) for task in range(3)]
    runs = paired([*ours, *theirs])
    floor = floors([*ours, *theirs])
    # On the last task the cheap trial of tpe is as good as its dear one.
    assert lines(ranks("conditional", runs, floor, "hsic", box.ROUNDED)) == [
        ("hsic", "0", "0", "0 to 0", "", "", "", "", "2"),
        ("tpe", "1", "1", "1 to 1", "100%", "0%", "0.25", "0.25", "2"),
    ]
    assert lines(prices("conditional", runs, floor, "hsic", box.ROUNDED)) == [
        ("hsic", "2", "", "0", "2", "", "", "", "", ""),
        ("tpe", "6", "3.00", "1", "6", "3.00", "0.33", "0.33", "-1 (-1 to -1)", "100%"),
    ]
    assert notes(runs, floor, "hsic") == [
        "hsic is furthest behind the best other median on: conditional/0 -1 (tpe), conditional/1 -1 (tpe), "
        "conditional/2 -1 (tpe)",
        "hsic: of 3 runs, 0 have a finished trial better and cheaper than the best, 0 one as good as the best and "
        "cheaper than the economical",
    ]
    assert so_far(ours[0]).tolist() == [4.0, 1.0]
    assert draw("conditional", runs, floor).startswith(b"\x89PNG")


def lines(table):
    return list(zip(*(column.cells for column in table.columns), strict=True))


def test_a_space_that_a_file_describes(surrogates):
    assert hyperparameter("choice", ["a", "b"], None) == Choice(["a", "b"])
    assert hyperparameter("int", 1, 9, True, {"b": [1]}) == Int(1, 9, log=True, active_if={"b": [1]})
    assert hyperparameter("float", np.exp(0), 9.0, False, None) == Float(1.0, 9.0)
    assert problems_of("flat", 2, surrogates) == ["flat/a", "flat/b"]
    assert kind_of("flat/a") == "flat"
    assert problems_of("runge", 2, surrogates) == ["runge"]
    flat = problem_of("flat/a", surrogates, Path())
    assert list(flat.space) == ["rounds"]
    assert flat.evaluate({"rounds": 7}) == {"objective": 12, "cost": 7.0}
    assert FLAT["booster"] in module_at(surrogates / "xgboost_surrogate.py").SPACE["booster"][1]


def test_a_surrogate_that_imports_its_neighbour(surrogates):
    assert problems_of("cash", 2, surrogates) == ["cash/b", "cash/c"]
    problem = problem_of("cash/b", surrogates, Path())
    assert problem.space["b_depth"].conditions == {"learner": ("boosting",), "b_booster": ("gbtree",)}
    assert problem.evaluate({"learner": "tree", "depth": 3}) == {"objective": 3, "cost": 1.0}
    boosted = {"learner": "boosting", "b_booster": "gblinear", "b_rounds": 7}
    assert problem.evaluate(boosted) == {"objective": 12, "cost": 7.0}


def test_a_folder_without_the_surrogate(tmp_path):
    with pytest.raises(FileNotFoundError, match="correct --surrogates"):
        problems_of("cash", 2, tmp_path)


def test_our_own_trainings_say_the_test_metric_of_every_trial():
    assert trained("runge", Path()).evaluate.test_every_trial


@pytest.mark.parametrize("strategy", ["random", "tpe", "two_step_random"])
def test_a_run_is_a_file_that_reads_back(surrogates, tmp_path, strategy):
    plan = Plan("conditional/b", 1, strategy, 12, 3)
    conduct(plan, tmp_path, surrogates, Path())
    found = read(plan.path(tmp_path))
    assert plan.path(tmp_path) == tmp_path / "conditional" / "b" / f"{strategy}-12-3.json"
    assert found.plan == plan
    assert np.isfinite(found.objective).all()
    assert len(found.objective) == len(found.cost) == 12
    ours = strategy.startswith("two_step")
    assert found.said_best == (int(np.argmin(found.objective)) if ours else None)
    conduct(plan, tmp_path / "again", surrogates, Path())
    assert read(plan.path(tmp_path / "again")).objective.tolist() == found.objective.tolist()


def test_runs_of_several_folders(surrogates, tmp_path):
    plans = [Plan("conditional/b", 1, "random", 3, seed) for seed in range(2)]
    for folder, plan in (("mine", plans[0]), ("theirs", plans[0]), ("theirs", plans[1])):
        conduct(plan, tmp_path / folder, surrogates, Path())
    folders = [tmp_path / "mine", tmp_path / "theirs"]
    assert sorted(run.plan.seed for run in read_all(folders)) == [0, 1]
    asked = {"strategies": ["random"], "n_trials": 3, "tasks": 2, "seeds": 3, "problems": ["conditional"]}
    chosen = argparse.Namespace(**asked, surrogates=surrogates, results=folders)
    assert [(plan.problem, plan.seed) for plan in missing(chosen)] == [
        ("conditional/a", 0),
        ("conditional/a", 1),
        ("conditional/a", 2),
        ("conditional/b", 2),
    ]


def test_a_strategy_that_cannot_run_here_is_skipped_with_its_reason(monkeypatch, capsys):
    def absent():
        raise ModuleNotFoundError("No module named\n'smac'")

    monkeypatch.setitem(strategies.FIRST, "smac", absent)
    assert hindrance("smac") == "ModuleNotFoundError: No module named 'smac'"
    assert hindrance("tpe") == ""
    asked = {"strategies": ["smac", "tpe"], "n_trials": 3, "tasks": 1, "seeds": 1, "problems": ["runge"]}
    chosen = argparse.Namespace(**asked, surrogates=None, results=[Path("nowhere")])
    assert [plan.strategy for plan in missing(chosen)] == ["tpe"]
    assert "smac is skipped, as it cannot run here: ModuleNotFoundError" in capsys.readouterr().err


EVERY_KIND = SearchSpace(
    {
        "learner": Choice(["tree", "boosting", None]),
        "booster": Choice(["linear", "trees", "dart"], active_if={"learner": "boosting"}),
        "depth": Int(2, 8, step=2, active_if={"learner": ["tree", "boosting"]}),
        "drop": Float(0.0, 0.9, step=0.3, active_if={"learner": "boosting", "booster": ["trees", "dart"]}),
        "rounds": Int(3, 30, log=True),
        "rate": Float(1e-3, 1.0, log=True, active_if={"depth": [4, 8]}),
        "nested": Bool(active_if={"booster": "dart"}),
        "deep": Float(-1.0, 1.0, active_if={"nested": True, "rounds": [3, 4]}),
    }
)


def test_values_in_the_words_of_smac_and_back():
    rng = np.random.default_rng(0)
    for name, kind in EVERY_KIND.items():
        for value in (kind.from_unit(u) for u in [0.0, 1.0, *rng.random(30)]):
            assert decoded(kind, encoded(kind, value)) == value, name
    assert decoded(Float(0.1, 1.0, log=True), 1.0000000000000002) == 1.0


def test_the_configuration_space_of_smac_has_our_conditions():
    pytest.importorskip("ConfigSpace")
    space = configuration_space(EVERY_KIND, seed=1)
    seen = set()
    for config in space.sample_configuration(2000):
        params = EVERY_KIND.fill(lambda name, config=config: decoded(EVERY_KIND[name], config[name]))
        assert set(params) == set(dict(config))
        assert all(EVERY_KIND[name].contains(value) for name, value in params.items())
        seen |= set(params)
    assert seen == set(EVERY_KIND)


def test_smac_makes_as_many_trials_as_asked_even_if_some_diverge():
    pytest.importorskip("smac")

    def evaluate(params):
        return math.nan if params["a"] < 0.3 else params["a"]

    history = STRATEGIES["smac"](evaluate, SearchSpace({"a": Float(0, 1), "b": Bool()}), 16, 0)
    assert len(history.trials) == 16
    assert {trial.status for trial in history.trials} == {"done", "diverged"}


def test_the_options_choose_what_is_shown():
    chosen = argparse.Namespace(strategies=["tpe"], n_trials=60, tasks=2, seeds=3)
    plan = Plan("conditional/b", 1, "tpe", 60, 2)
    assert wanted(plan, chosen)
    others = ({"strategy": "gp"}, {"n_trials": 30}, {"place": 2}, {"seed": 3})
    assert not any(wanted(replace(plan, **other), chosen) for other in others)


def test_every_strategy_of_ours_is_there():
    ours = {"hsic", "two_step", "two_step_random"}
    assert {"random", "tpe", "gp", "smac", "hierarchical_tpe"} | ours == set(STRATEGIES)
