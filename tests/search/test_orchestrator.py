"""The whole method on functions that take no time."""

import json
import math
from dataclasses import replace

import pytest
from optuna.pruners import MedianPruner
from toys import QUICK, SPACE, Stopper, diverge, same, train

from hsicfast.errors import InputError
from hsicfast.proposals.samplers import design
from hsicfast.runs.results import read_results, result_path
from hsicfast.runs.watcher import Watcher
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import Random, TwoStep
from hsicfast.space.search_space import Choice, Float, SearchSpace
from hsicfast.training.executors import Local, Processes


class TestSameSeedSameRun:
    def test_twice(self, whole):
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1))

    def test_another_seed(self, whole):
        assert not whole.trials.to_frame().equals(
            minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=2).trials.to_frame()
        )

    def test_in_processes(self, whole):
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, executor=Processes(workers=2)))

    def test_in_a_folder(self, whole, tmp_path):
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path))
        assert len(read_results(tmp_path)) == 40

    def test_sobol(self):
        result = minimize(train, SPACE, n_trials=8, strategy=Random("sobol"), seed=4)
        assert [trial.params for trial in result.trials] == design(SPACE, 8, 4, "sobol")


@pytest.mark.parametrize("strategy", [QUICK, "hsic", "random"])
@pytest.mark.parametrize("choices", [[[64], [64, 32], [8, 8, 8]], [(64,), (64, 32), (8, 8, 8)]])
def test_lists_as_choices_come_as_they_were_written(tmp_path, choices, strategy):
    space = SearchSpace(
        {"layers": Choice(choices), "inner": Float(0, 1, active_if={"layers": [choices[1]]}), "x": Float(0, 1)}
    )
    given = []

    def train(params):
        layers = params["layers"]
        assert layers in choices
        assert type(layers) is type(choices[0])
        given.append(layers)
        objective = len(layers) + params["x"]
        if isinstance(layers, list):
            layers.append(1)  # what a training does to its list is no part of the configuration
        return objective

    result = minimize(train, space, n_trials=24, strategy=strategy, folder=tmp_path)
    assert len(given) == 24
    assert result.trials.best().params["layers"] == choices[0]
    params = [trial.params for trial in result.trials]
    for trial in list(result.trials)[-5:]:
        result_path(tmp_path, trial.index).unlink()
    again = minimize(train, space, n_trials=24, strategy=strategy, folder=tmp_path)
    assert len(given) == 29
    assert [trial.params for trial in again.trials] == params


class TestAnotherRunInTheFolder:
    def test_other_settings_are_refused(self, tmp_path):
        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path)
        for changes, said in [
            ({"seed": 7}, "seed was 0 and is 7 now"),
            ({"goal": 0.2}, 'goal was "auto" and is 0.2 now'),
            ({"direction": "maximize"}, 'direction was "minimize" and is "maximize" now'),
            ({"settings": {"epochs": 3}}, "epochs was absent and is 3 now"),
        ]:
            with pytest.raises(InputError, match="keeps the settings it was started with") as error:
                minimize(train, SPACE, n_trials=8, **{"strategy": "random", "folder": tmp_path, **changes})
            assert said in str(error.value)
        assert len(read_results(tmp_path)) == 8

    def test_a_run_of_the_former_goal_goes_on_if_that_is_named(self, tmp_path):
        minimize(train, SPACE, n_trials=8, strategy="random", goal=0.1, folder=tmp_path)
        with pytest.raises(InputError, match=r'goal was 0\.1 and is "auto" now in .*; set back what changed'):
            minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path)
        assert minimize(train, SPACE, n_trials=8, strategy="random", goal=0.1, folder=tmp_path).goal == 0.1

    def test_more_trials_go_on_and_fewer_leave_the_others_alone(self, tmp_path):
        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path)
        stopper = Stopper(-1)
        more = minimize(train, SPACE, n_trials=12, strategy="random", folder=tmp_path, watcher=stopper)
        assert (stopper.stored, stopper.fresh) == (8, 4)
        same(more, minimize(train, SPACE, n_trials=12, strategy="random"))
        assert len(minimize(train, SPACE, n_trials=6, strategy="random", folder=tmp_path).trials) == 6
        assert len(read_results(tmp_path)) == 12

    def test_another_plan_in_a_folder_that_does_not_say_what_was_planned_is_refused(self, tmp_path):
        minimize(train, SPACE, n_trials=16, strategy=QUICK, folder=tmp_path)
        content = json.loads((tmp_path / "settings.json").read_text())
        del content["chapters"]  # as an older version left it
        (tmp_path / "settings.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"but trial 8 has .* where .* is asked for .*; set n_trials back"):
            minimize(train, SPACE, n_trials=24, strategy=QUICK, folder=tmp_path)
        # Called once with what it was started with, it knows.
        minimize(train, SPACE, n_trials=16, strategy=QUICK, folder=tmp_path)
        assert len(minimize(train, SPACE, n_trials=24, strategy=QUICK, folder=tmp_path).trials) == 24

    def test_changed_seed_of_a_stored_trial_is_refused(self, tmp_path):
        from hsicfast.runs.results import write_result

        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path)
        write_result(tmp_path, replace(read_results(tmp_path)[5], seed=3))
        with pytest.raises(InputError, match=r"trial 5 has seed=3 where \d+ is asked for"):
            minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path)

    def test_choices_that_json_does_not_know(self, tmp_path):
        space = SearchSpace({"act": Choice([math.tanh, math.sin, (1, 2)]), "x": Float(0, 1)})

        def evaluate(params):
            return params["x"]

        first = minimize(evaluate, space, n_trials=8, strategy="random", folder=tmp_path)
        stopper = Stopper(-1)
        same(first, minimize(evaluate, space, n_trials=8, strategy="random", folder=tmp_path, watcher=stopper))
        assert stopper.fresh == 0


class TestOutcome:
    def test_maximise(self):
        result = minimize(lambda p: p["size"], SPACE, n_trials=40, strategy=QUICK, direction="maximize")
        assert result.best.objective == result.trials.objective.max() > 0.95
        assert not result.minimize
        assert "size" in result.reduction.space

    def test_every_trial_diverged(self, tmp_path):
        with pytest.raises(
            InputError,
            match=r"all 8 diverged, most often with 'FloatingPointError: loss is nan'; correct .* results stay in",
        ):
            minimize(diverge, SPACE, n_trials=16, strategy=QUICK, folder=tmp_path)
        assert len(read_results(tmp_path)) == 8

    def test_diverged_trials_are_in_the_table(self, whole):
        assert (whole.trials.status == "diverged").any()
        assert set(whole.trials.message) == {"", "FloatingPointError: loss is nan"}

    def test_no_result_stops_the_run(self, tmp_path):
        with pytest.raises(InputError, match="a dict with `objective`"):
            minimize(lambda p: {"loss": 1}, SPACE, n_trials=8, folder=tmp_path)

    def test_watcher_hears_everything(self):
        heard = []

        class Ears(Watcher):
            def on_start(self, planned):
                heard.append(planned)

            def on_round(self, name, note):
                heard.append(name)

            def on_trial(self, trial, stored):
                heard.append(trial.index)

        minimize(train, SPACE, n_trials=8, strategy=TwoStep(0.5, optimizer="random", batch=2), watcher=Ears())
        assert heard == [8, "design", 0, 1, 2, 3, "optimise", 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"goal": 0}, r"`0 < goal < 1` must hold, but got goal=0; give a fraction such as 0\.1"),
        ({"goal": 1.5}, r"`0 < goal < 1` must hold, but got goal=1\.5; give"),
        ({"goal": math.nan}, "`0 < goal < 1` must hold, but got goal=nan; give"),
        ({"goal": "much"}, r"goal must be one of \('auto',\), but got 'much'; or a fraction such as 0\.1"),
        ({"n_trials": 7}, "`n_trials >= 8` must hold for the strategy hsic, but got n_trials=7"),
        (
            {"n_trials": 3, "strategy": "random"},
            "`n_trials >= 4` must hold for the strategy random, but got",
        ),
        ({"n_trials": 10.5}, r"`n_trials >= 8` must hold for the strategy hsic, but got n_trials=10\.5"),
        ({"tolerance": -1.0}, r"`tolerance >= 0` must hold, but got -1\.0; give it in the unit of the objective"),
        ({"max_cost": 0}, "`max_cost > 0` must hold and be finite, but got 0; give it in the unit of the cost"),
        ({"max_cost": math.inf}, "`max_cost > 0` must hold and be finite, but got inf"),
        ({"price": math.sqrt}, "price= is asked where max_cost= limits the cost, but max_cost=None; give both or"),
        ({"price": lambda p: -1, "max_cost": 1}, "`price >= 0` must hold, but got -1 for {'optimizer'"),
        ({"price": lambda p: p["momentum"], "max_cost": 1}, "but for {'optimizer': .* got KeyError: 'momentum'"),
        ({"strategy": "grid"}, "strategy must be one of hsic, two_step, random, but got 'grid'"),
        ({"seed": -1}, "`seed >= 0` must hold, but got seed=-1"),
        ({"direction": "down"}, "direction must be minimize or maximize, but got 'down'"),
        ({"store": "sqlite://"}, "folder=None; pass folder= as well"),
        ({"pruner": "median"}, r"a pruner must be an optuna\.pruners\.BasePruner, but got 'median'; pass one such as"),
        (
            {"pruner": MedianPruner()},
            r"a pruner needs an evaluate that takes `report` .*; add it, call `report\(step, value\)`",
        ),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(changes, said):
    def evaluate(params):
        pytest.fail("something ran")

    with pytest.raises(InputError, match=said):
        minimize(evaluate, SPACE, **{"n_trials": 20, "executor": Local(), **changes})
