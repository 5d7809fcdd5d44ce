"""The command for trials somebody already has: what it reads, what it says, what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from hsicfast import InputError
from hsicfast.analyze import main, read_frame


def trials(n=120):
    rng = np.random.default_rng(0)
    rate = 10 ** rng.uniform(-5, 0, n)
    optimizer = rng.choice(["adam", "sgd"], n)
    error = (np.log10(rate) + 2) ** 2
    error[rate > 0.5] = np.nan
    momentum = np.where(optimizer == "sgd", rng.random(n), np.nan)
    columns = {"rate": rate, "[red]opt": optimizer, "momentum": momentum, "seconds": 10 * rng.random(n)}
    return pd.DataFrame(columns | {"val_error": error})


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "trials.csv"
    trials().to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{tmp_path_factory.mktemp('studies')}/study.db"

    def objective(trial):
        rate = trial.suggest_float("rate", 1e-5, 1, log=True)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        inner = trial.suggest_float("inner", 0, 1) if kind == "a" else 0.0
        if trial.number == 7:
            raise optuna.TrialPruned
        return -((np.log10(rate) + 2) ** 2) - 0.01 * inner

    for name, n in (("first", 120), ("second", 1)):
        study = optuna.create_study(
            storage=url, study_name=name, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
        )
        study.optimize(objective, n_trials=n)
    return url


def said(capsys, *arguments):
    main(arguments)
    return " ".join(capsys.readouterr().out.split())


class TestFiles:
    def test_a_csv_file(self, capsys, csv):
        text = said(capsys, csv, "--objective", "val_error", "--cost", "seconds")
        assert "rate decides whether a trial ends among the best 10%." in text
        failed = int(trials()["val_error"].isna().sum())
        assert f"{failed} of 120 trials have no finite objective and count as not good." in text
        dropped = said(capsys, csv, "--objective", "val_error", "--drop-failed")
        assert f"{failed} of 120 trials have no finite objective and are left out." in dropped
        assert f" {120 - failed} main " in dropped
        assert "[red]opt Choice 2 different texts" in text
        assert "filled exactly where [red]opt is sgd" in text
        assert "What drives the cost" in text
        assert "What drives" not in said(capsys, csv, "--objective", "val_error")
        assert "left out: seconds: not a hyperparameter; val_error: not a hyperparameter" in text

    def test_direction(self, capsys, csv, tmp_path):
        upside_down = trials().assign(val_error=lambda frame: -frame["val_error"])
        upside_down.to_csv(tmp_path / "up.csv", index=False)
        down = said(capsys, csv, "--objective", "val_error", "--minimize")
        assert said(capsys, str(tmp_path / "up.csv"), "--objective", "val_error", "--maximize") == down
        assert said(capsys, csv, "--objective", "val_error") == down
        assert said(capsys, csv, "--objective", "val_error", "--maximize") != down

    def test_the_guess_saved_and_passed_back_says_the_same(self, capsys, csv, tmp_path):
        space = str(tmp_path / "space.yaml")
        guessed = said(capsys, csv, "--objective", "val_error", "--save-space", space)
        given = said(capsys, csv, "--objective", "val_error", "--space", space)
        assert guessed.endswith(given)

    def test_a_corrected_space_is_taken(self, capsys, csv, tmp_path):
        path = tmp_path / "space.yaml"
        path.write_text("rate: {type: Float, low: 1.0e-5, high: 1, log: true}\n")
        text = said(capsys, csv, "--objective", "val_error", "--space", str(path))
        assert "momentum" not in text
        path.write_text("rate: {type: Float, low: 0.1, high: 1}\n")
        with pytest.raises(SystemExit, match="2"):
            main([csv, "--objective", "val_error", "--space", str(path)])
        assert "in column 'rate'" in capsys.readouterr().err


class TestMultirun:
    def jobs(self, folder):
        rng = np.random.default_rng(0)
        for job in range(80):
            rate, kind = float(10 ** rng.uniform(-5, 0)), str(rng.choice(["a", "b"]))
            hydra = folder / str(job) / ".hydra"
            hydra.mkdir(parents=True)
            (hydra / "overrides.yaml").write_text(f"- rate={rate!r}\n- +model.kind={kind}\n- ~logger\n")
            if rate < 0.5:  # the others failed and left nothing
                (hydra.parent / "result.json").write_text(json.dumps({"val": (np.log10(rate) + 2) ** 2, "epochs": job}))
        (folder / "multirun.yaml").write_text("")
        return str(folder)

    def test_overrides_and_results(self, capsys, tmp_path):
        frame, minimize = read_frame(self.jobs(tmp_path))
        assert list(frame.columns) == ["params_rate", "params_model.kind", "val", "epochs"]
        assert len(frame) == 80
        assert minimize
        text = said(capsys, str(tmp_path), "--objective", "val", "--goal", "0.2")
        assert re.search(r" rate 0\.\d+ 0\.\d+ 0\.\d+ 80 main matters ", text)
        assert f"{int(frame['val'].isna().sum())} of 80 trials have no finite objective" in text

    def test_a_number_is_the_objective(self, tmp_path):
        (tmp_path / "0" / ".hydra").mkdir(parents=True)
        (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("- a=1\n")
        (tmp_path / "0" / "result.json").write_text("0.25")
        assert read_frame(str(tmp_path))[0].to_dict("records") == [{"params_a": 1, "objective": 0.25}]
        (tmp_path / "0" / "result.json").write_text("{")
        with pytest.raises(InputError, match=r"result.json must hold JSON, but .* correct it"):
            read_frame(str(tmp_path))

    def test_no_jobs(self, tmp_path):
        with pytest.raises(InputError, match=r"holds jobs with .hydra/overrides.yaml, but .* has none"):
            read_frame(str(tmp_path))


class TestStudies:
    def test_direction_and_objective_are_the_studys(self, capsys, storage):
        text = said(capsys, storage, "--study", "first")
        assert "rate decides whether a trial ends among the best 10%." in text
        assert "filled exactly where kind is a" in text
        assert "A study does not say how its trials were drawn" in text
        assert text == said(capsys, storage, "--study", "first", "--objective", "value", "--maximize")

    def test_unfinished_trials_are_left_out(self, storage):
        frame, minimize = read_frame(storage, "first")
        assert len(frame) == 119
        assert not minimize

    @pytest.mark.parametrize("name", [None, "third"])
    def test_those_there_are_are_listed(self, storage, name):
        with pytest.raises(InputError, match=r"choose one of \['first', 'second'\]"):
            read_frame(storage, name)

    def test_no_storage(self, tmp_path):
        with pytest.raises(InputError, match="there is no file behind"):
            read_frame(f"sqlite:///{tmp_path}/none.db")

    def test_cut_off_storage(self, tmp_path, storage):
        whole = Path(storage.removeprefix("sqlite:///")).read_bytes()
        (tmp_path / "cut.db").write_bytes(whole[:3000])
        with pytest.raises(InputError, match="an Optuna storage must be readable"):
            read_frame(f"sqlite:///{tmp_path}/cut.db")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "a row a trial, but .*: Expected 2 fields in line 3, saw 3; correct it"),
        ("", "No columns to parse from file"),
        ("a,b\n", "a table of trials needs rows, but .* has none"),
        ("1,2\n3,4\n", r"must name its columns, but .* begins with \['1', '2'\]"),
        ("a,a,b\n1,2,3\n", r"has \['a'\] more than once"),
        ("a,loss\n1,2\n2,oops\n3,4\n4,5\n", "row 2 of 'loss' is 'oops'"),
        ("a,losses\n1,2\n2,1\n3,4\n4,5\n", "there is no 'loss'; nearest: losses"),
        ("a,loss\n1,2\n2,1\n3,4\n", "at least 4 trials"),
        ("a,loss\n1,\n2,nan\n3,inf\n4,\n", "at least one trial must end with a finite objective"),
    ],
)
def test_bad_files(capsys, tmp_path, text, message):
    path = tmp_path / "trials.csv"
    path.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main([str(path), "--objective", "loss"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    with pytest.raises(InputError, match=message):
        raise InputError(said.err)


def test_interrupted(monkeypatch, capsys, csv):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hsicfast.analyze.analyse", stop)
    with pytest.raises(SystemExit, match="130"):
        main([csv, "--objective", "val_error"])
    assert capsys.readouterr().err == "stopped before the analysis ended\n"


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="is none; check the path"):
        read_frame(str(tmp_path / "none.csv"))
