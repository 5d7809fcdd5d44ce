"""Folders that tools leave: what is read of each, and that nothing in them changes."""

import json
import math
import shutil

import numpy as np
import pytest
import yaml
from files_read import bytes_in, written
from hydra.core.override_parser.overrides_parser import OverridesParser

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace, minimize, read_trials
from hsicfast.formats.frames import read_frame


class TestHydra:
    def job(self, folder, overrides, result=None):
        written(folder / ".hydra" / "overrides.yaml", yaml.safe_dump(overrides))
        if result is not None:
            written(folder / "result.json", result)

    def test_values_are_those_of_hydras_grammar(self, tmp_path):
        values = [
            *("no", "off", "yes", "on", "null", "true", "False", "1:30", "1_000", "0x10", "1e-3", "1e3", ".5", "nan"),
            *("'quoted, text'", '"a b"', "a/b.c", "[1,2]", "2024-01-01", "${other}", "007", "inf"),
        ]
        for place, value in enumerate(values):
            self.job(tmp_path / f"{place:02}", [f"a={value}", "b=1"], 1.0)
        column = read_frame(tmp_path).frame["params_a"].tolist()
        for value, found in zip(values, column, strict=True):
            (override,) = OverridesParser.create().parse_overrides([f"a={value}"])
            want = override.value()
            assert found == ("None" if want is None else want) or (math.isnan(want) and math.isnan(found))

    def test_kinds_of_overrides(self, tmp_path):
        lines = ["+a=1", "++b=2", "~c", "db=mysql", "db@backup=sqlite", "model={depth: 3, act: {name: relu}}"]
        self.job(tmp_path / "0", [*lines, "hydra.job.name=x"], {"loss": 1.0, "at": {"epoch": 3}})
        found = read_frame(tmp_path)
        settings = {"a": 1, "b": 2, "db": "mysql", "db@backup": "sqlite", "model.depth": 3, "model.act.name": "relu"}
        want = {f"params_{name}": value for name, value in settings.items()}
        assert found.frame.to_dict("records") == [want | {"loss": 1.0, "at.epoch": 3}]
        assert found.stated == dict.fromkeys(want)

    def test_a_broken_result_is_named_and_skipped(self, tmp_path):
        for place in range(6):
            self.job(tmp_path / str(place), [f"a={place}"], "{" if place in (2, 4) else 0.5 * place)
        self.job(tmp_path / "6", ["a=6"])
        before = bytes_in(tmp_path)
        found = read_frame(tmp_path)
        assert found.frame["params_a"].tolist() == [0, 1, 3, 5, 6]
        np.testing.assert_array_equal(found.frame["objective"], [0.0, 0.5, 1.5, 2.5, math.nan])
        (note,) = found.notes
        assert note.startswith("2 of 7 jobs cannot be read and are left out (2/result.json: Expecting property name")
        assert "; 4/result.json: Expecting" in note
        assert bytes_in(tmp_path) == before

    def test_names_of_many_broken_ones_are_few(self, tmp_path):
        for place in range(9):
            self.job(tmp_path / str(place), [f"a={place}"], "{" if place else 1.0)
        assert read_frame(tmp_path).notes[0].endswith("; and 5 more).")


class TestOwnRun:
    space = SearchSpace(
        {
            "rate": Float(1e-3, 1.0, log=True),
            "depth": Int(1, 4),
            "act": Choice([None, "relu", "tanh"]),
            "slope": Float(0, 1, active_if={"act": ["relu"]}),
            "flat": Bool(active_if={"act": [None]}),
        }
    )

    def run(self, folder, direction="minimize", **options):
        def train(params):
            if params["depth"] == 4:
                raise ArithmeticError
            return {"objective": params["rate"], "cost": 10.0 * params["depth"], "accuracy": 1 - params["rate"]}

        return minimize(
            train, self.space, n_trials=24, strategy="random", folder=folder, direction=direction, **options
        )

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_everything_is_read_without_options(self, tmp_path, direction):
        table = self.run(tmp_path / "mine", direction).trials
        before = bytes_in(tmp_path)
        found = read_frame(tmp_path / "mine")
        assert bytes_in(tmp_path) == before
        frame = found.frame
        assert frame.index.tolist() == table.index.tolist()
        assert frame["params_rate"].tolist() == list(table.values["rate"])
        assert frame["params_act"].tolist() == [str(value) for value in table.values["act"]]
        np.testing.assert_array_equal(frame["objective"], table.objective)
        np.testing.assert_array_equal(frame["cost"], table.cost)
        assert frame["status"].tolist() == table.status.tolist()
        assert set(table.status) == {"done", "diverged"}
        assert found.maximized == {"objective": direction == "maximize"}
        assert found.cost == "cost"
        texts = {name.removeprefix("params_"): repr(kind) for name, kind in found.stated.items()}
        assert texts == {
            "rate": repr(self.space["rate"]),
            "depth": repr(self.space["depth"]),
            "act": repr(Choice(["None", "relu", "tanh"])),
            "slope": repr(self.space["slope"]),
            "flat": repr(Bool(active_if={"act": ["None"]})),
        }
        reading = read_trials(tmp_path / "mine")
        assert reading.minimize == (direction == "minimize")
        assert reading.cost == "cost"
        np.testing.assert_array_equal(reading.table.cost, table.cost)
        assert reading.table.status.tolist() == table.status.tolist()
        assert list(reading.space) == list(self.space)
        np.testing.assert_array_equal(reading.table.objective, table.objective)

    def test_a_broken_result_is_named_and_skipped(self, tmp_path):
        self.run(tmp_path)
        written(tmp_path / "results" / "000003.json", "{")
        found = read_frame(tmp_path)
        assert 3 not in found.frame.index
        assert len(found.frame) == 23
        assert "1 of 24 results cannot be read and are left out (results/000003.json: Expecting" in found.notes[0]

    def test_one_without_results(self, tmp_path):
        self.run(tmp_path)
        shutil.rmtree(tmp_path / "results")
        (tmp_path / "results").mkdir()
        with pytest.raises(InputError, match=r"a run needs trials that ended, but .* has none"):
            read_frame(tmp_path)


class TestKerasTuner:
    """A folder as KerasTuner 1.4 lays it out: oracle.json, and trial_<id>/trial.json."""

    space = (
        {"class_name": "Int", "config": {"name": "units", "min_value": 32, "max_value": 128, "step": 32}},
        {"class_name": "Float", "config": {"name": "lr", "min_value": 1e-4, "max_value": 0.1, "sampling": "log"}},
        {"class_name": "Boolean", "config": {"name": "norm", "default": False, "conditions": []}},
        {"class_name": "Choice", "config": {"name": "act", "values": ["relu", "tanh"], "ordered": False}},
        {"class_name": "Fixed", "config": {"name": "batch", "value": 64}},
    )

    def trial(self, number, direction="max", status="COMPLETED", **more):
        values = {"units": 32 + 32 * (number % 4), "lr": 0.001 * (number + 1), "norm": number % 2 == 0, "act": "relu"}
        observed = [{"value": [0.25 + 0.125 * number], "step": 0}, {"value": [0.125 * number], "step": 1}]
        best = 0.25 + 0.125 * number if direction == "max" else 0.125 * number
        return {
            "trial_id": str(number),
            "hyperparameters": {"space": list(self.space), "values": values | {"batch": 64, "tuner/epochs": 3} | more},
            "metrics": {
                "metrics": {
                    "loss": {"direction": "min", "observations": [{"value": [7.0], "step": 0}]},
                    "val_accuracy": {"direction": direction, "observations": observed},
                }
            },
            "score": best if status == "COMPLETED" else None,
            "best_step": 0,
            "status": status,
            "message": None,
        }

    def folder(self, folder, oracle=None, **options):
        for number in range(4):
            status = {2: "FAILED", 3: "RUNNING"}.get(number, "COMPLETED")
            more = {"extra": 1.5} if number else {}
            trial = self.trial(number, status=status, **options, **more)
            written(folder / f"trial_{number}" / "trial.json", trial)
        written(folder / "oracle.json", oracle or {"ongoing_trials": {}, "seed": 1})
        return folder

    def test_read(self, tmp_path):
        before = bytes_in(self.folder(tmp_path))
        found = read_frame(tmp_path)
        assert bytes_in(tmp_path) == before
        assert found.frame["params_units"].tolist() == [32, 64, 96, 128]
        assert found.frame["status"].tolist() == ["done", "done", "diverged", "lost"]
        np.testing.assert_array_equal(found.frame["score"], [0.25, 0.375, math.nan, math.nan])
        assert found.maximized == {"score": True}
        assert found.beside["params_tuner/epochs"] == "the tuner's own"
        assert {name: repr(kind) for name, kind in found.stated.items()} == {
            "params_units": repr(Int(32, 128, step=32)),
            "params_lr": repr(Float(1e-4, 0.1, log=True)),
            "params_norm": repr(Bool()),
            "params_act": repr(Choice(["relu", "tanh"])),
            "params_batch": "None",
            "params_extra": "None",
        }

    @pytest.mark.parametrize(
        ("direction", "oracle", "maximized"),
        [
            ("min", None, False),
            ("max", {"objective": {"name": "val_accuracy", "direction": "min"}}, False),
            ("min", {"objective": {"name": "score", "direction": "max"}}, True),
            ("max", {"objective": {"name": "val_accuracy"}}, True),
        ],
    )
    def test_direction(self, tmp_path, direction, oracle, maximized):
        found = read_frame(self.folder(tmp_path, oracle, direction=direction))
        assert found.maximized == {"score": maximized}
        assert found.notes == ()

    def test_an_unknown_direction_is_said(self, tmp_path):
        trial = self.trial(0) | {"metrics": None}
        written(tmp_path / "trial_0" / "trial.json", trial)
        written(tmp_path / "oracle.json", "{")
        found = read_frame(tmp_path)
        assert found.maximized == {"score": False}
        assert "do not say whether a large score is good" in found.notes[0]

    def test_a_broken_trial_is_named(self, tmp_path):
        written(self.folder(tmp_path) / "trial_0" / "trial.json", {"score": 1})
        found = read_frame(tmp_path)
        assert len(found.frame) == 3
        assert "1 of 4 trials cannot be read and are left out (trial_0/trial.json: it has no values" in found.notes[0]

    def test_one_trial_alone_is_no_table(self, tmp_path):
        with pytest.raises(InputError, match="is JSON and no table; write a list with a record a trial"):
            read_frame(written(tmp_path / "trial.json", self.trial(0)))


class TestRay:
    """A folder as Ray Tune 2 lays it out: a folder a trial with params.json and result.json, and the states beside."""

    def folder(self, folder, states=True, results="result.json"):
        begun = []
        for number in range(4):
            trial = folder / f"train_{number}"
            config = {"lr": 0.125 * number, "model": {"clip": None if number else 1.0}, "opt": "sgd"}
            written(trial / "params.json", config)
            rows = [{"loss": 9.0 - step - number, "done": False, "pid": 7, "trial_id": str(number)} for step in (0, 1)]
            if results == "progress.csv" and number < 3:
                written(trial / results, "loss,config/lr\n" + "".join(f"{row['loss']},1\n" for row in rows))
            elif number < 3:
                lines = [json.dumps(row | {"config": config}) for row in rows]
                written(trial / results, "\n".join(lines) + "\n" + '{"loss": 1' * (number == 1))
            if number == 3:
                written(trial / "error.txt", "Traceback")
            begun.append([json.dumps({"relative_logdir": trial.name, "status": ["TERMINATED"] * 3 + ["ERROR"]}), "{}"])
        held = [[json.dumps({"relative_logdir": f"train_{n}", "status": word}), "{}"] for n, word in enumerate(STATES)]
        if states:
            written(folder / "experiment_state-2026-01-01.json", {"trial_data": []})
            written(folder / "experiment_state-2026-01-02.json", {"trial_data": held})
            written(folder / "experiment_state-2026-01-03.json", "{")
        return folder

    @pytest.mark.parametrize("results", ["result.json", "progress.csv"])
    def test_read(self, tmp_path, results):
        before = bytes_in(self.folder(tmp_path, results=results))
        found = read_frame(tmp_path)
        assert bytes_in(tmp_path) == before
        assert found.frame["config/lr"].tolist() == [0.0, 0.125, 0.25, 0.375]
        assert found.frame["config/model/clip"].tolist() == [1.0, "None", "None", "None"]
        np.testing.assert_array_equal(found.frame["loss"], [8.0, 7.0, 6.0, math.nan])
        assert found.frame["state"].tolist() == [state.lower() for state in STATES]
        assert set(found.stated) == {"config/lr", "config/model/clip", "config/opt"}
        if results == "result.json":
            assert found.beside["pid"] == "Ray's bookkeeping"

    def test_states_from_the_files_alone(self, tmp_path):
        found = read_frame(self.folder(tmp_path, states=False))
        assert found.frame["state"].tolist() == ["terminated"] * 3 + ["error"]


STATES = ("TERMINATED", "TERMINATED", "RUNNING", "ERROR")


class TestSmac:
    configs = ({"x": 0.5, "opt": "sgd", "mom": 0.25}, {"x": 0.75, "opt": "adam"}, {"x": 0.125, "opt": "adam"})
    costs = (1.0, 2.0, 2147483647.0)
    space = (
        {"type": "uniform_float", "name": "x", "lower": 0, "upper": 1},
        {"type": "categorical", "name": "opt", "choices": ["sgd", "adam"], "weights": None},
        {"type": "uniform_float", "name": "mom", "lower": 0, "upper": 1},
    )

    def history(self, version):
        data = []
        for number, (cost, status) in enumerate(zip(self.costs, (1, 1, 2), strict=True), start=1):
            word = {"__enum__": f"StatusType.{'SUCCESS' if status == 1 else 'CRASHED'}"}
            names = ("config_id", "instance", "seed", "budget", "cost", "time", "cpu_time", "status", "starttime")
            row = [number, None, 0, None, cost, 0.5, 0.25, status, 1.0, 1.5, {}]
            data.append(
                {
                    "1.4": [[number, None, 0, 0.0], [cost, 0.5, word, 1.0, 1.5, {}]],
                    "2.0": row[:6] + row[7:],
                    "2.2": row,
                    "2.3": dict(zip((*names, "endtime", "additional_info"), row, strict=True)),
                }[version]
            )
        configs = {str(number): config for number, config in enumerate(self.configs, start=1)}
        return {"stats": {}, "data": data, "configs": configs, "config_origins": {}}

    @pytest.mark.parametrize("version", ["1.4", "2.0", "2.2", "2.3"])
    def test_read(self, tmp_path, version):
        written(tmp_path / "0" / "runhistory.json", self.history(version))
        written(tmp_path / "0" / "configspace.json", {"hyperparameters": self.space, "conditions": []})
        before = bytes_in(tmp_path)
        for source in (tmp_path, tmp_path / "0", tmp_path / "0" / "runhistory.json"):
            found = read_frame(source)
            assert found.frame["params_x"].tolist() == [0.5, 0.75, 0.125]
            assert found.frame["params_mom"].isna().tolist() == [False, True, True]
            assert found.frame["cost"].tolist() == list(self.costs)
            assert found.frame["time"].tolist() == [0.5] * 3
            assert found.frame["status"].tolist() == ["done", "done", "diverged"]
            assert found.maximized == {"cost": False}
            assert {name: repr(kind) for name, kind in found.stated.items()} == {
                "params_x": repr(Float(0, 1)),
                "params_opt": repr(Choice(["sgd", "adam"])),
                "params_mom": "None",
            }
        assert bytes_in(tmp_path) == before

    def test_several_costs_and_seeds(self, tmp_path):
        history = self.history("2.0")
        for place, row in enumerate(history["data"]):
            row[2], row[4] = place, [row[4], -row[4]]
        found = read_frame(written(tmp_path / "runhistory.json", history))
        assert found.maximized == {"cost_0": False, "cost_1": False}
        assert found.frame["cost_1"].tolist() == [-cost for cost in self.costs]
        assert found.frame["seed"].tolist() == [0, 1, 2]
        assert found.beside["seed"] == "a seed"

    def test_a_space_that_cannot_be_expressed(self, tmp_path):
        written(tmp_path / "runhistory.json", self.history("2.0"))
        written(tmp_path / "configspace.json", {"hyperparameters": self.space, "forbiddens": [{}]})
        found = read_frame(tmp_path)
        assert set(found.stated.values()) == {None}
        assert "is guessed from the runs: a space has no forbidden combinations" in found.notes[0]

    @pytest.mark.parametrize("broken", [{"data": [[1, 2]]}, {"configs": {}}, {"data": [{"config_id": 1}]}])
    def test_broken(self, tmp_path, broken):
        path = written(tmp_path / "runhistory.json", self.history("2.0") | broken)
        with pytest.raises(InputError, match=r"must list runs and their configurations, but .* write it again"):
            read_frame(path)

    def test_several_runs(self, tmp_path):
        for name in ("0", "1"):
            written(tmp_path / name / "runhistory.json", self.history("2.0"))
        with pytest.raises(InputError, match=r"must hold one run, but .* holds 2 \(0, 1, ...\); name one"):
            read_frame(tmp_path)
