"""Trials from anywhere: which column is what, which trial ended how, and what other tools write."""

import math

import numpy as np
import optuna
import pandas as pd
import pytest

from hsicfast import Choice, Float, InputError, Int, Reading, SearchSpace, analyse, read_trials

optuna.logging.set_verbosity(optuna.logging.WARNING)
N = 40


def frame(**more):
    rng = np.random.default_rng(0)
    optimizer = rng.choice(["adam", "sgd"], N)
    momentum = np.where(optimizer == "sgd", rng.random(N), np.nan)
    return pd.DataFrame({"lr": rng.random(N), "opt": optimizer, "momentum": momentum, "loss": rng.random(N)} | more)


class TestDoor:
    def test_a_guess_and_the_same_space_given(self, tmp_path):
        guessed = read_trials(frame(), "loss")
        assert isinstance(guessed, Reading)
        assert (guessed.minimize, guessed.objective, guessed.cost, guessed.study) == (True, "loss", None, None)
        assert guessed.guess.left_out == {"loss": "not a hyperparameter"}
        space = guessed.guess.space
        frame().to_csv(tmp_path / "trials.csv", index=False)
        for given in (
            read_trials(frame(), "loss", space=space),
            read_trials(tmp_path / "trials.csv", "loss", space=space),
        ):
            assert given.guess is None
            pd.testing.assert_frame_equal(given.table.to_frame(), guessed.table.to_frame())
        assert guessed.table.active("momentum").tolist() == frame()["opt"].eq("sgd").tolist()
        assert analyse(space, guessed.table, law="ranks").counts["done"] == N

    def test_a_space_from_a_file_takes_the_columns_it_names(self, tmp_path):
        (tmp_path / "space.yaml").write_text(
            "opt: {type: Choice, choices: [adam, sgd]}\nflag: {type: Bool}\nn: {type: Int, low: 1, high: 9}\n"
        )
        given = frame(n=["8.0", "3"] * (N // 2), flag=["true", "False"] * (N // 2)).add_prefix("params.")
        table = read_trials(given, "params.loss", space=str(tmp_path / "space.yaml")).table
        assert list(table.space) == ["opt", "flag", "n"]
        assert table[0].params == {"opt": given["params.opt"][0], "flag": True, "n": 8}
        assert table[1].params["flag"] is False
        with pytest.raises(
            InputError, match="the hyperparameter must be a column of the trials, but there is no 'flag'"
        ):
            read_trials(given.drop(columns="params.flag"), "params.loss", space=tmp_path / "space.yaml")

    def test_choices_that_look_like_something_else(self):
        space = SearchSpace({"depth": Choice(["None", "3"]), "on": Choice(["true", "false"]), "lr": Float(0, 1)})
        given = frame(depth=["None", "3"] * (N // 2), on=["true", "false"] * (N // 2))
        assert read_trials(given, "loss", space=space).table[1].params["depth"] == "3"
        assert read_trials(given, "loss", space=space).table[1].params["on"] == "false"

    def test_a_value_outside_the_given_space(self):
        with pytest.raises(InputError, match=r"in column 'lr', a value must lie in \[0.9, 1\]"):
            read_trials(frame(), "loss", space=SearchSpace({"lr": Float(0.9, 1)}))

    def test_cost(self):
        reading = read_trials(frame(seconds=["1", None] * (N // 2)), "loss", cost="seconds")
        assert reading.cost == "seconds"
        np.testing.assert_array_equal(reading.table.cost, [1, math.nan] * (N // 2))
        assert "seconds" not in reading.table.space

    def test_times(self):
        given = frame(start=pd.date_range("2026-01-01", periods=N), duration=pd.to_timedelta(range(N), unit="min"))
        assert read_trials(given, "loss", cost="duration").table.cost.tolist() == [60.0 * i for i in range(N)]
        with pytest.raises(InputError, match="the objective must be a number, but 'start' holds dates; name another"):
            read_trials(given, "start")

    @pytest.mark.parametrize("name", ["value", "objective"])
    def test_an_objective_that_needs_no_name(self, name):
        reading = read_trials(frame().rename(columns={"loss": name}))
        assert reading.objective == name
        assert name not in reading.table.space

    def test_objectives_that_optuna_numbered(self):
        given = frame(values_1=range(N)).rename(columns={"loss": "values_0"})
        assert read_trials(given).objective == "non-domination of values_0 and values_1"

    def test_gaps_and_texts_for_them(self):
        loss = ["1.5", "nan", None, "None", "inf", "-Infinity", ""] + ["2"] * (N - 7)
        table = read_trials(frame(loss=loss), "loss").table
        assert table.status.tolist() == ["done"] + ["diverged"] * 6 + ["done"] * (N - 7)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"objective": "los"},
                "must be a column of the trials, but there is no 'los'; nearest: loss",
            ),
            (
                {},
                "must be a column of the trials, but none was named; choose among lr, opt, momentum, loss",
            ),
            ({"objective": "opt"}, "the objective must be a number or empty, but row 1 of 'opt' is '.*'; correct it"),
            ({"objective": "loss", "cost": "opt"}, "the cost must be a number or empty, but row 1 of 'opt' is"),
            (
                {"objective": "loss", "cost": "zzz"},
                "the cost must be a column of the trials, but there is no 'zzz'",
            ),
            (
                {"objective": "loss", "maximize": ["lr"]},
                r"name objectives, but \['lr'\] are none; choose among \['loss'",
            ),
            (
                {"objective": "loss", "space": "none.yaml"},
                "a YAML file, but none.yaml gave: No such file",
            ),
        ],
    )
    def test_refused(self, options, message):
        with pytest.raises(InputError, match=message):
            read_trials(frame(), **options)


class TestDirections:
    @pytest.mark.parametrize(
        ("maximize", "minimize"),
        [(None, True), (False, True), ((), True), (True, False), ("loss", False)],
    )
    def test_one_objective(self, maximize, minimize):
        reading = read_trials(frame(), "loss", maximize=maximize)
        assert reading.minimize is minimize
        np.testing.assert_array_equal(reading.table.objective, frame()["loss"])

    @pytest.mark.parametrize(
        ("maximize", "best"), [(None, [0]), ("b", [1]), (["b", "a"], [2]), (True, [2]), (False, [0]), ("a", [3])]
    )
    def test_several(self, maximize, best):
        given = pd.DataFrame({"x": range(4), "a": [0, 0, 1, 1], "b": [0, 1, 1, 0]})
        reading = read_trials(given, ["a", "b"], maximize=maximize)
        assert reading.objective == "non-domination of a and b"
        assert reading.minimize
        assert np.flatnonzero(reading.table.objective == 0).tolist() == best
        assert sorted(reading.table.objective) == [0, 1, 1, 3]

    def test_who_lacks_an_objective_dominates_nobody(self):
        given = pd.DataFrame(
            {
                "x": range(6),
                "a": [0.0, 2.0, 0.0, -1.0, -1.0, 1.0],
                "b": [math.nan, 2.0, -math.inf, -1.0, -1.0, 1.0],
                "c": 0,
                "state": ["finished", "finished", "finished", "failed", "pruned", "finished"],
            }
        )
        reading = read_trials(given, ["a", "b", "c", "a"])
        assert reading.objective == "non-domination of a, b and c"
        assert reading.table.status.tolist() == ["diverged", "done", "diverged", "diverged", "pruned", "done"]
        np.testing.assert_array_equal(reading.table.objective, [math.nan, 1, math.nan, math.nan, math.nan, 0])


class TestStatuses:
    @pytest.mark.parametrize("label", ["state", "State", "status", "Status"])
    def test_words(self, label):
        words = ["Finished", "COMPLETE", "terminated", None, "crashed", "FAIL", "Pruned", "killed", "RUNNING", "done "]
        ends = ["done"] * 4 + ["diverged"] * 2 + ["pruned"] + ["lost"] * 2 + ["done"]
        table = read_trials(frame(**{label: words * (N // 10)}), "loss").table
        assert table.status.tolist() == ends * (N // 10)
        assert label not in table.space
        assert np.isfinite(table.objective).tolist() == [end in ("done", "pruned") for end in ends] * (N // 10)

    @pytest.mark.parametrize("words", [["done", "Ohio"], ["done", "1"], [0, 1]])
    def test_other_words_are_no_status(self, words):
        table = read_trials(frame(state=words * (N // 2)), "loss").table
        assert set(table.status) == {"done"}
        assert "state" in table.space

    def test_the_objective_may_be_called_so(self):
        assert read_trials(frame(state=range(N)), "state").table.objective.tolist() == list(range(N))

    def test_what_a_lost_trial_lacks_guesses_nothing(self):
        given = frame(state=["finished", "running"] * (N // 2))
        given.loc[given["state"] == "running", ["lr", "opt"]] = None
        given.loc[1, "lr"] = 1000.0
        reading = read_trials(given, "loss")
        assert reading.table.space["lr"].high < 1
        assert reading.table.space["momentum"].conditions == {"opt": ("sgd",)}
        assert reading.table.values["lr"][1] is None
        assert reading.table.status.tolist() == ["done", "lost"] * (N // 2)
        assert analyse(reading.table.space, reading.table, law="ranks").counts["lost"] == N // 2

    def test_none_ended(self):
        with pytest.raises(InputError, match="needs some that ended, but all 40 are lost by their 'State'; run some"):
            read_trials(frame(State="running"), "loss")

    def test_a_wrong_value_is_named_by_its_own_row(self):
        lr = [str(v) for v in np.arange(N) / 7]
        lr[7] = "oops"
        given = frame(lr=lr, state=["running"] * 5 + ["finished"] * (N - 5))
        reading = read_trials(given, "loss")
        assert "; row 8 holds 'oops': no number, so that it is missing" in reading.guess.reasons["lr"]
        assert np.flatnonzero(reading.table.missing["lr"]).tolist() == [7]


class TestStudies:
    def study(self, **options):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0), **options)
        values = len(study.directions)

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("flops", trial.number)
            if trial.number == 3:
                trial.set_user_attr("note", "stopped")
                raise optuna.TrialPruned
            return x if values == 1 else (x, x, *[0.0] * (values - 2))

        study.optimize(objective, n_trials=10)
        return study

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_its_own_value_and_direction(self, direction):
        study = self.study(direction=direction)
        reading = read_trials(study, cost="flops")
        assert reading.study == study.study_name
        assert reading.minimize is (direction == "minimize")
        assert (reading.objective, reading.cost) == ("value", "flops")
        assert reading.table.status.tolist() == ["done"] * 3 + ["pruned"] + ["done"] * 6
        assert reading.table.cost.tolist() == list(range(10))
        assert list(reading.table.space) == ["x"]

    def test_the_numbers_of_its_trials(self):
        study = self.study()
        study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        assert read_trials(study).table.index.tolist() == [*range(10), 11]

    def test_directions_are_overruled_and_do_not_hold_for_other_columns(self):
        study = self.study(direction="maximize")
        assert read_trials(study, maximize=False).minimize
        assert read_trials(study, "flops").minimize

    def test_all_of_several_objectives(self):
        reading = read_trials(self.study(directions=["minimize", "maximize"]))
        assert reading.objective == "non-domination of values_0 and values_1"
        assert reading.table.objective[reading.table.status == "done"].tolist() == [0.0] * 9
        worst = read_trials(self.study(directions=["minimize", "maximize"]), maximize=False).table.objective
        assert sorted(worst[np.isfinite(worst)]) == list(range(9))

    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    def test_their_names(self):
        study = self.study(directions=["minimize", "maximize"])
        study.set_metric_names(["error", "speed"])
        assert read_trials(study).objective == "non-domination of error and speed"
        one = read_trials(study, "speed")
        assert (one.objective, one.minimize) == ("speed", False)


class TestOtherTools:
    """A small frame as each tool makes it."""

    def test_weights_and_biases_script(self, tmp_path):
        rng = np.random.default_rng(0)
        runs = pd.DataFrame(
            {
                "summary": [{"val_loss": float(v), "_runtime": 5.0} for v in rng.random(N)],
                "config": [{"lr": float(v), "opt": {"name": "sgd" if v < 0.5 else "adam"}} for v in rng.random(N)],
                "name": [f"swift-sun-{i}" for i in range(N)],
            }
        )
        runs.to_csv(tmp_path / "project.csv")
        for source in (runs, tmp_path / "project.csv"):
            table = read_trials(source, "val_loss").table
            assert list(table.space) == ["lr", "opt.name"]
            assert isinstance(table.space["lr"], Float)
            assert table[3].params["lr"] == runs["config"][3]["lr"]
            assert table.objective[3] == runs["summary"][3]["val_loss"]

    def test_weights_and_biases_table(self, tmp_path):
        given = frame().rename(columns={"loss": "val_loss"})
        given.insert(0, "Name", [f"swift-sun-{i}" for i in range(N)])
        given.insert(1, "State", ["finished", "crashed", "running", "killed"] * (N // 4))
        given.to_csv(tmp_path / "wandb.csv", index=False, quoting=1)
        table = read_trials(tmp_path / "wandb.csv", "val_loss").table
        assert table.status.tolist() == ["done", "diverged", "lost", "lost"] * (N // 4)
        assert list(table.space) == ["lr", "opt", "momentum"]

    def test_mlflow(self):
        rng = np.random.default_rng(0)
        given = pd.DataFrame(
            {
                "run_id": [f"{i:032x}" for i in range(N)],
                "status": ["FINISHED", "FAILED"] * (N // 2),
                "start_time": pd.date_range("2026-01-01", periods=N, tz="UTC"),
                "metrics.val_loss": rng.random(N),
                "params.lr": [str(v) for v in rng.random(N)],
                "params.nesterov": ["True", "False"] * (N // 2),
                "params.max_depth": ["None", "3", "10", "5"] * (N // 4),
                "params.layers": ["8", "16"] * (N // 2),
                "tags.mlflow.user": "me",
            }
        )
        reading = read_trials(given, "val_loss")
        assert reading.objective == "val_loss"
        assert list(reading.table.space) == ["lr", "nesterov", "max_depth", "layers"]
        assert reading.table[0].params == {
            "lr": float(given["params.lr"][0]), "nesterov": True, "max_depth": "None", "layers": 8,
        }  # fmt: skip
        assert isinstance(reading.table.space["layers"], Int)
        assert reading.table.status.tolist() == ["done", "diverged"] * (N // 2)
        both = given.assign(**{"summary/val_loss": 1.0})
        with pytest.raises(InputError, match=r"may be any of \['metrics.val_loss', 'summary/val_loss'\]; choose"):
            read_trials(both, "val_loss")
        assert read_trials(both, "metrics.val_loss").objective == "metrics.val_loss"

    def test_ray(self):
        rng = np.random.default_rng(0)
        given = pd.DataFrame(
            {
                "loss": rng.random(N),
                "done": True,
                "trial_id": [f"a_{i}" for i in range(N)],
                "time_total_s": rng.random(N),
                "config/lr": [str(v) for v in rng.random(N)],
                "config/width": [[8, 8], [16]] * (N // 2),
                "config/opt": ["adam", "sgd"] * (N // 2),
                "status": ["TERMINATED", "ERROR", "PENDING", "TERMINATED"] * (N // 4),
            }
        )
        table = read_trials(given, "loss", cost="time_total_s").table
        assert list(table.space) == ["lr", "width", "opt"]
        assert table[0].params == {"lr": float(given["config/lr"][0]), "width": "[8, 8]", "opt": "adam"}
        assert table.status.tolist() == ["done", "diverged", "lost", "done"] * (N // 4)

    def test_optuna_frame(self):
        study = TestStudies().study()
        table = read_trials(study.trials_dataframe()).table
        assert list(table.space) == ["x"]
        assert table.status.tolist() == ["done"] * 3 + ["pruned"] + ["done"] * 6
        np.testing.assert_array_equal(table.objective, read_trials(study).table.objective)


def test_a_name_that_is_a_script():
    name = "<script>alert(1)</script>"
    given = frame().rename(columns={"lr": name, "loss": name.upper()})
    reading = read_trials(given, name.upper())
    assert reading.objective == name.upper()
    assert analyse(reading.table.space, reading.table, law="ranks")[name].n == N
