"""Frames from files, folders and studies: what is read, and what each bad one is told."""

import gzip
import json
import math
import sqlite3

import numpy as np
import optuna
import pandas as pd
import pytest

from hsicfast import InputError
from hsicfast.formats import storages
from hsicfast.formats.frames import read_frame

optuna.logging.set_verbosity(optuna.logging.WARNING)
ROWS = {"lr": [0.5, 0.25], "opt": ["adam", "None"], "loss": [1.0, 2.0]}
CSV = "lr,opt,loss\n0.5,adam,1.0\n0.25,None,2.0\n"


def written(folder, content, name="trials.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestCsv:
    @pytest.mark.parametrize(
        "content",
        [
            CSV,
            CSV.replace("\n", "\r\n"),
            CSV.replace("\n", "\n\n"),
            CSV.replace(",", ", "),
            CSV.replace(",", ";"),
            CSV.replace(",", "\t"),
            CSV.replace(",", ";").replace(".", ","),
            CSV.replace("adam", '"adam"'),
            b"\xef\xbb\xbf" + CSV.encode(),
            gzip.compress(CSV.encode()),
            ",lr,opt,loss\n0,0.5,adam,1.0\n1,0.25,None,2.0\n",
            "Unnamed: 0,lr,opt,loss\n0,0.5,adam,1.0\n1,0.25,None,2.0\n",
            "lr,opt,loss,\n0.5,adam,1.0,\n0.25,None,2.0,\n",
        ],
    )
    def test_the_same_trials(self, tmp_path, content):
        found = read_frame(written(tmp_path, content))
        assert found.frame.to_dict("list") == ROWS
        assert found.maximized is None

    def test_a_name_that_is_a_script(self, tmp_path):
        name = "<script>alert(1)</script>"
        assert list(read_frame(str(written(tmp_path, CSV.replace("opt", name)))).frame) == ["lr", name, "loss"]

    @pytest.mark.filterwarnings("error")
    def test_a_late_text_makes_the_whole_column_texts(self, tmp_path):
        column = read_frame(written(tmp_path, "a,b\n" + "1,2\n" * 600_000 + "None,2\n")).frame["a"]
        assert column.unique().tolist() == ["1", "None"]

    def test_separators_in_quotes_are_none(self, tmp_path):
        content = 'lr,"a;b;c"\n0.5,"x,y"\n'
        assert read_frame(written(tmp_path, content)).frame.to_dict("list") == {"lr": [0.5], "a;b;c": ["x,y"]}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "a CSV file needs a line of names and a row a trial, but .* is empty; write it again"),
            ("\n \n", "is empty; write it again"),
            ("a,b\n", "a table of trials needs rows, but .* has none"),
            ("a,b\n1,2\n1,2,3\n", "a row a trial, but .* line 3 has 3 fields where the first has 2; correct it"),
            ("a,b\n1,2,3\n4,5,6\n", "line 2 has 3 fields where the first has 2; correct it"),
            ("a,b,c\n1,2,3\n\n4,5\n", "line 4 has 2 fields where the first has 3; correct it"),
            ("1,2\n3,4\n", r"must name its columns, but .* begins with \['1', '2'\]; add names"),
            ("0.1,adam,1e-3,relu\n0.2,sgd,0.5,relu\n", r"begins with \['0.1', 'adam', '1e-3', 'relu'\]; add names"),
            ("a,a,b\n1,2,3\n", r"has \['a'\] more than once; rename them"),
            ("a,,b\n1,2,3\n", "every column needs a name, but column 2 of .* has none; name it"),
            (
                b"\xff\xfe" + CSV.encode("utf-16-le")[:-1],
                "a text file must be whole, but .*: 'utf-16-le' codec",
            ),
            (
                bytes(range(256)) * 9,
                "read from a CSV, .* SMAC, but .* is none of them and no text; export",
            ),
            (b"\x01\x02\xff" * 90, "is none of them and no text; export the trials as CSV"),
            ("<!DOCTYPE html><html></html>", "is a page or XML; export the trials as CSV"),
            (gzip.compress(CSV.encode())[:30], "a file must be readable, but .* gave: Compressed file ended"),
            ('a,b\n1,"2\n', r"a row a trial, but .*: EOF inside string.*; correct it"),
        ],
    )
    def test_refused(self, tmp_path, content, message):
        with pytest.raises(InputError, match=message) as refused:
            read_frame(written(tmp_path, content))
        assert "\n" not in str(refused.value)


class TestParquet:
    @pytest.mark.parametrize("name", ["trials.parquet", "trials.pq", "trials"])
    def test_whatever_it_is_called(self, tmp_path, name):
        pd.DataFrame(ROWS, index=["x", "y"]).to_parquet(tmp_path / name)
        frame = read_frame(tmp_path / name).frame
        assert frame.to_dict("list") == ROWS
        assert frame.index.tolist() == [0, 1]

    def test_one_that_is_none(self, tmp_path):
        with pytest.raises(InputError, match=r"a Parquet file must be whole, but .*: .* write it again"):
            read_frame(written(tmp_path, CSV, "trials.parquet"))
        pd.DataFrame(ROWS).to_parquet(tmp_path / "whole")
        with pytest.raises(InputError, match="a Parquet file must be whole"):
            read_frame(written(tmp_path, (tmp_path / "whole").read_bytes()[:-20]))


class TestMultirun:
    def job(self, folder, overrides, result=None):
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(overrides)
        if result is not None:
            (folder / "result.json").write_text(result)

    def test_overrides_and_results(self, tmp_path):
        self.job(tmp_path / "0", "- rate=0.1\n- +model.kind=a\n- ~logger\n", json.dumps({"val": 2.0, "epochs": 3}))
        self.job(tmp_path / "1", "- rate=1\n- +model.kind=b\n")
        frame = read_frame(str(tmp_path)).frame
        assert list(frame.columns) == ["params_rate", "params_model.kind", "val", "epochs"]
        assert frame["params_rate"].tolist() == [0.1, 1.0]
        assert frame["val"].isna().tolist() == [False, True]

    def test_a_number_is_the_objective(self, tmp_path):
        self.job(tmp_path / "0", "- a=1\n", "0.25")
        assert read_frame(tmp_path).frame.to_dict("records") == [{"params_a": 1, "objective": 0.25}]

    @pytest.mark.parametrize(
        ("overrides", "result", "message"),
        [
            ("- a=1\n", "{", "result.json must hold JSON, but .* correct it"),
            ("- 'a=[1'\n", "1", "overrides must be in Hydra's grammar, but .*overrides.yaml: .*; correct it"),
            ("- [\n", "1", "overrides must be in Hydra's grammar, but .*overrides.yaml: .*; correct it"),
        ],
    )
    def test_broken(self, tmp_path, overrides, result, message):
        self.job(tmp_path / "0", overrides, result)
        with pytest.raises(InputError, match=message):
            read_frame(tmp_path)

    def test_no_jobs(self, tmp_path):
        with pytest.raises(InputError, match=r"holds jobs with .hydra/overrides.yaml, but .* has none"):
            read_frame(tmp_path)


def trained(trial):
    rate = trial.suggest_float("rate", 0, 1)
    trial.suggest_categorical("kind", [None, "a"])
    if trial.number == 1:
        trial.suggest_int("depth", 1, 3)
    trial.set_user_attr("flops", 10 * trial.number)
    if trial.number == 2:
        for step in (0, 5):
            trial.report(rate + step, step)
        raise optuna.TrialPruned
    if trial.number == 3:
        raise optuna.TrialPruned
    if trial.number == 4:
        raise ArithmeticError
    return rate


def studied(storage=None, name="one", n=6, **options):
    study = optuna.create_study(storage=storage, study_name=name, sampler=optuna.samplers.RandomSampler(0), **options)
    study.optimize(trained, n_trials=n, catch=ArithmeticError)
    study.ask()  # still running
    study.enqueue_trial({"rate": 0.5})
    return study


class TestStudies:
    def test_every_trial_that_ended(self):
        study = studied(direction="maximize")
        frame, maximized = read_frame(study)[:2]
        assert maximized == {"value": True}
        assert frame.index.tolist() == [0, 1, 2, 3, 4, 5]
        assert frame["state"].tolist() == ["complete", "complete", "pruned", "pruned", "fail", "complete"]
        rates = [trial.params["rate"] for trial in study.trials[:6]]
        assert frame["params_rate"].tolist() == rates
        nan = math.nan
        np.testing.assert_array_equal(frame["value"], [*rates[:2], rates[2] + 5, nan, nan, rates[5]])
        assert frame["params_kind"].tolist() == [str(trial.params["kind"]) for trial in study.trials[:6]]
        assert set(frame["params_kind"]) == {"None", "a"}
        assert frame["params_depth"].notna().tolist() == [False, True, False, False, False, False]
        assert frame["user_attrs_flops"].tolist() == [0, 10, 20, 30, 40, 50]
        assert (frame["duration"] >= 0).all()

    def test_a_storage_by_url_and_by_file(self, tmp_path):
        url = f"sqlite:///{tmp_path}/study.db"
        want = read_frame(studied(url)).frame
        pd.testing.assert_frame_equal(read_frame(url).frame, want)
        pd.testing.assert_frame_equal(read_frame(tmp_path / "study.db", "one").frame, want)

    @pytest.mark.parametrize(
        ("metrics", "names"), [(None, ["values_0", "values_1"]), (["b", "a"], ["values_b", "values_a"])]
    )
    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    def test_several_objectives(self, metrics, names):
        study = optuna.create_study(directions=["minimize", "maximize"])
        if metrics:
            study.set_metric_names(metrics)
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 2.0), n_trials=3)
        frame, maximized = read_frame(study)[:2]
        assert maximized == dict(zip(names, [False, True], strict=True))
        assert frame[names[0]].tolist() == frame["params_x"].tolist()
        assert frame[names[1]].tolist() == [2.0] * 3

    @pytest.mark.parametrize(("name", "wanted"), [(None, "it holds 2"), ("third", "there is no 'third'")])
    def test_those_there_are_are_listed(self, tmp_path, name, wanted):
        url = f"sqlite:///{tmp_path}/study.db"
        for own in ("first", "second"):
            optuna.create_study(storage=url, study_name=own)
        with pytest.raises(InputError, match=rf"but {wanted}; choose one of \['first', 'second'\]"):
            read_frame(url, name)

    def test_a_study_of_a_file_that_has_none(self, tmp_path):
        with pytest.raises(InputError, match="but got study='first' without one; leave it out"):
            read_frame(written(tmp_path, CSV), "first")

    def test_nothing_to_read(self):
        with pytest.raises(InputError, match="a study needs finished trials, but 'empty' has none; run some first"):
            read_frame(optuna.create_study(study_name="empty"))
        study = optuna.create_study(study_name="bare")
        study.optimize(lambda trial: 1.0, n_trials=2)
        with pytest.raises(InputError, match="need parameters, but those of 'bare' have none; suggest some"):
            read_frame(study)

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="there is no file behind"):
            read_frame(f"sqlite:///{tmp_path}/none.db")
        assert not list(tmp_path.iterdir())

    def test_somebody_elses_database_stays_as_it_is(self, tmp_path):
        connection = sqlite3.connect(tmp_path / "other.db")
        connection.execute("CREATE TABLE trials (x INTEGER)")
        connection.close()
        before = (tmp_path / "other.db").read_bytes()
        with pytest.raises(InputError, match=r"must hold studies, but .* is another database; check the path"):
            read_frame(f"sqlite:///{tmp_path}/other.db")
        assert (tmp_path / "other.db").read_bytes() == before

    @pytest.mark.parametrize("kept", [3000, -30000])
    def test_cut_off(self, tmp_path, kept):
        studied(f"sqlite:///{tmp_path}/whole.db")
        path = written(tmp_path, (tmp_path / "whole.db").read_bytes()[:kept], "cut.db")
        with pytest.raises(
            InputError, match=r"an Optuna storage must be readable, but sqlite:.* gave: .*malformed.*; see"
        ):
            read_frame(f"sqlite:///{path}")

    def test_overwritten_in_the_middle(self, tmp_path):
        studied(f"sqlite:///{tmp_path}/study.db")
        connection = sqlite3.connect(tmp_path / "study.db")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trial_params'").fetchone()
        connection.close()
        content = (tmp_path / "study.db").read_bytes()
        size = 4096
        written(tmp_path, content[: (page - 1) * size] + b"\x07" * size + content[page * size :], "study.db")
        with pytest.raises(
            InputError, match=r"must be readable, but .* gave: database disk image is malformed; see"
        ) as refused:
            read_frame(f"sqlite:///{tmp_path}/study.db")
        assert "\n" not in str(refused.value)

    def test_no_sqlite_at_all(self, tmp_path):
        with pytest.raises(InputError, match=r"must be readable, but .* gave: file is not a database; see that it is"):
            read_frame(f"sqlite:///{written(tmp_path, CSV * 100)}")

    def test_locked(self, tmp_path, monkeypatch):
        monkeypatch.setattr(storages, "LOCKED_FOR", 0.05)
        studied(url := f"sqlite:///{tmp_path}/study.db")
        writer = sqlite3.connect(tmp_path / "study.db")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            InputError, match="gave: database is locked; see that it is whole and that nobody else holds"
        ):
            read_frame(url)
        writer.close()
        assert len(read_frame(url).frame) == 6

    def test_a_server_that_is_not_there(self):
        with pytest.raises(InputError, match=r"must be readable, but nothing://me:\*+@host/db gave: ") as refused:
            read_frame("nothing://me:secret@host/db")
        assert "secret" not in str(refused.value)


class TestWeightsAndBiases:
    """The columns of the script in W&B's documentation: summary, config, name."""

    summary = (
        {"loss": 0.5, "best": {"epoch": 3}, "_step": 9, "_wandb": {"runtime": 5}},
        {"loss": math.nan, "best": {"epoch": 1}, "_step": 9},
    )
    config = (
        {"lr": 0.1, "opt": {"name": "adam", "decay": None}, "layers": [64, 64]},
        {"lr": 0.2, "opt": {"name": "sgd"}},
    )

    def frame(self):
        return pd.DataFrame({"summary": self.summary, "config": self.config, "name": ["a", "b"]})

    def test_unfolded(self, tmp_path):
        frame = read_frame(self.frame()).frame
        want = ["config/lr", "config/opt.name", "config/opt.decay", "config/layers", "loss", "best.epoch", "name"]
        assert list(frame) == want
        assert frame["config/opt.decay"].fillna("missing").tolist() == ["None", "missing"]
        assert frame["best.epoch"].tolist() == [3, 1]
        np.testing.assert_array_equal(frame["loss"], [0.5, math.nan])
        self.frame().to_csv(tmp_path / "project.csv")
        pd.testing.assert_frame_equal(read_frame(tmp_path / "project.csv").frame, frame)

    def test_a_run_without_a_config(self):
        frame = self.frame()
        frame.loc[1, "config"] = None
        assert read_frame(frame).frame["config/lr"].isna().tolist() == [False, True]

    def test_other_columns_of_that_name(self):
        frame = pd.DataFrame({"summary": ["good", "bad"], "config": ["a", "b"]})
        assert list(read_frame(frame).frame) == ["summary", "config"]

    @pytest.mark.parametrize("text", ["{'lr': 0.1", "{'lr': open('x')}", "[1]", "{[]: 1}"])
    def test_refused(self, text):
        frame = self.frame().astype(object)
        frame.loc[1, "config"] = text
        with pytest.raises(InputError, match="a run's config must be a mapping as Python writes it, but row 2 holds"):
            read_frame(frame)

    def test_a_result_called_as_a_column(self):
        frame = self.frame()
        frame["loss"] = 1.0
        with pytest.raises(InputError, match=r"`summary` and `config` hold has \['loss'\] more than once"):
            read_frame(frame)


def test_frames():
    given = pd.DataFrame({1: [0.1, 0.2], "1b": ["x", "y"]}, index=[7, 7])
    frame = read_frame(given).frame
    assert list(frame) == ["1", "1b"]
    assert frame.index.tolist() == [0, 1]
    assert list(given) == [1, "1b"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.DataFrame({"a": []}), "a table of trials needs rows, but the frame has none; run some trials first"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"but the table has \['a'\] more than once; rename them"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), r"but the table has \['1'\] more than once; rename them"),
        (
            7,
            r"trials come from a path, a URL, a DataFrame \(.*\), .* or a ResultGrid of Ray, but got int; name one",
        ),
        ("https://me:secret@host/trials.csv", r"but https://me:\*+@host/trials.csv is a file elsewhere; fetch it"),
        ("s3://bucket/trials.parquet", "is a file elsewhere; fetch it and name the copy"),
        ("no/such/file.csv", "trials are read from a file, a folder or a URL, but no/such/file.csv is none; check the"),
    ],
)
def test_refused(source, message):
    with pytest.raises(InputError, match=message):
        read_frame(source)
