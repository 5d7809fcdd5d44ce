"""The command for trials somebody already has: what it reads, what it says, what it refuses."""

import json
import re

import numpy as np
import optuna
import pandas as pd
import pytest

from hsicfast import InputError
from hsicfast.analyze import main


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
    main([*arguments, "--full"])
    return " ".join(capsys.readouterr().out.split())


def answered(capsys, *arguments):
    main(arguments)
    return capsys.readouterr().out.splitlines()


class TestFiles:
    def test_a_csv_file(self, capsys, csv):
        text = said(capsys, csv, "--objective", "val_error", "--cost", "seconds")
        assert "rate decides whether a trial ends among the best 15." in text
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
        up = said(capsys, str(tmp_path / "up.csv"), "--objective", "val_error", "--maximize")
        edge = f"{np.sort(trials()['val_error'])[14]:.4g}"
        assert f"val_error at or above -{edge} is good: 15 of 120." in up
        assert up.replace(f"at or above -{edge}", f"at or below {edge}") == down
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


class TestColumns:
    def test_options(self, capsys, csv):
        asked = (csv, "--objective", "val_error")
        text = said(capsys, *asked)
        assert "seconds: looks like a metric or a measurement: its name says seconds" in text
        assert text.count("(name it in --only to judge it)") == 1
        assert " momentum Float " not in said(capsys, *asked, "--ignore", "mom*", "seconds")
        only = said(capsys, *asked, "--only", "rate", "seconds")
        assert re.search(r" seconds Float .* left out: ", only)
        assert "[red]opt: not among those asked for" in only
        with pytest.raises(SystemExit, match="2"):
            main([*asked, "--only", "rates"])
        assert "'rates' matches none; nearest: rate" in capsys.readouterr().err

    def test_many_columns_of_one_reason_are_listed_once(self, capsys, tmp_path):
        frame = (
            trials()
            .drop(columns="seconds")
            .assign(**{f"score_{k}": np.random.default_rng(k).random(120) for k in range(40)})
        )
        frame.to_csv(tmp_path / "many.csv", index=False)
        text = said(capsys, str(tmp_path / "many.csv"), "--objective", "val_error", "--no-pairs")
        assert (
            "score_0, score_1, score_2, score_3, score_4, score_5, score_6, score_7, … and 32 more: looks like" in text
        )
        assert "score_9" not in text

    def test_rows(self, capsys, tmp_path):
        frame = trials().drop(columns="seconds").assign(trial_id=range(120))
        log = pd.concat([frame.assign(epoch=epoch, val_error=frame["val_error"] + 3 - epoch) for epoch in range(4)])
        log.to_csv(tmp_path / "log.csv", index=False)
        asked = (str(tmp_path / "log.csv"), "--objective", "val_error", "--no-pairs")
        text = said(capsys, *asked)
        assert text.endswith(
            "of 480 rows the last of each of 120 trials counts (--rows best takes the best, --rows all every row)."
        )
        edge = f"{np.sort(trials()['val_error'])[14]:.4g}"
        assert f"val_error at or below {edge} is good: 15 of 120." in text
        assert "480 rows are 120 configurations" in said(capsys, *asked, "--rows", "all")


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
        text = said(capsys, self.jobs(tmp_path), "--objective", "val", "--goal", "0.2")
        assert re.search(r" rate 0\.\d+ 0\.\d+ (0\.\d+|<0\.001) 80 main matters ", text)
        failed = 80 - len(list(tmp_path.glob("*/result.json")))
        assert f"{failed} of 80 trials have no finite objective" in text


class TestStudies:
    def test_direction_and_objective_are_the_studys(self, capsys, storage):
        text = said(capsys, storage, "--study", "first")
        assert "rate decides whether a trial ends among the best 15." in text
        assert "filled exactly where kind is a" in text
        assert "A study does not say how its trials were drawn" in text
        assert text == said(capsys, storage, "--study", "first", "--objective", "value", "--maximize")

    def test_one_that_is_not_there(self, capsys, storage):
        with pytest.raises(SystemExit, match="2"):
            main([storage])
        assert "choose one of ['first', 'second']" in capsys.readouterr().err

    def test_pruned_trials_count_as_they_are_asked_to(self, capsys, storage):
        counted = "1 of 120 trials were stopped early and count as not good."
        assert counted in said(capsys, storage, "--study", "first")
        assert "stopped early and are left out." in said(capsys, storage, "--study", "first", "--pruned", "drop")

    def test_pictures_and_verdicts_go_into_the_study(self, capsys, storage):
        dashboard = pytest.importorskip("optuna_dashboard")
        said(capsys, storage, "--study", "first", "--push")
        study = optuna.load_study(study_name="first", storage=storage)
        assert "rate decides whether a trial ends among the best 15." in dashboard.get_note(study).replace("\\", "")

    def test_only_a_study_can_be_pushed_into(self, capsys, csv):
        with pytest.raises(SystemExit, match="2"):
            main([csv, "--objective", "val_error", "--push"])
        assert "--push needs an Optuna study, but" in capsys.readouterr().err


class TestAnswer:
    def test_is_25_lines(self, capsys, csv, tmp_path):
        page = tmp_path / "report.html"
        lines = answered(capsys, csv, "--objective", "val_error", "--cost", "seconds", "--report", str(page))
        assert len(lines) <= 25
        text = " ".join(" ".join(lines).split())
        assert text.startswith("3 columns were taken for hyperparameters (--save-space, correct, --space); left out: ")
        edge = f"{np.sort(trials()['val_error'])[14]:.4g}"
        assert f"rate decides whether a trial ends among the best 15. val_error at or below {edge} is good" in text
        best = trials().loc[trials()["val_error"].idxmin()]
        reached = f"val_error {best.val_error:.4g}, seconds {best.seconds:.4g}, trial {best.name}"
        assert f"Best: {reached}. Its values: " in text
        assert "rate: tune it; adjusted p <0.001; " in text
        assert "2 others: no evidence either way; in these 120 trials an effect would have been seen if" in text
        assert str(page) in "".join(line.strip() for line in lines)

    def test_many_that_decide_leave_room_for_the_rest(self, capsys, tmp_path):
        x = np.random.default_rng(0).random((3000, 20))
        frame = pd.DataFrame(x, columns=[f"a_hyperparameter_with_a_long_name_{k}" for k in range(20)])
        frame.assign(val_error=x.sum(axis=1)).to_csv(tmp_path / "many.csv", index=False)
        lines = answered(capsys, str(tmp_path / "many.csv"), "--objective", "val_error", "--no-pairs")
        assert len(lines) <= 25
        assert any(line.startswith("and a_hyperparamete…") for line in lines)
        assert lines[-1] == "Every table: --full; pictures and the rest: --report page.html"

    def test_says_what_tools_say_too(self, capsys, storage):
        text = " ".join(" ".join(answered(capsys, storage, "--study", "first")).split())
        assert "A study does not say how its trials were drawn" in text


class TestGoal:
    def test_a_count_and_a_threshold(self, capsys, csv):
        assert "ends among the best 24." in said(capsys, csv, "--objective", "val_error", "--goal", "24")
        assert "ends at or below 0.3." in said(capsys, csv, "--objective", "val_error", "--threshold", "0.3")

    def test_auto_is_the_default_and_says_what_it_means(self, capsys, csv):
        text = said(capsys, csv, "--objective", "val_error")
        assert "ends among the best 15." in text  # of 120 trials a tenth would be 12
        assert "at any of several goals: to end among the best 15, or among the best 5, 10, 20, 30 or 50%." in text
        assert text == said(capsys, csv, "--objective", "val_error", "--goal", "auto", "--question", "goal")

    def test_the_whole_objective_can_be_asked_about(self, capsys, csv):
        text = said(capsys, csv, "--objective", "val_error", "--question", "objective")
        assert "or among the best 5, 10, 20, 30, 50, 70, 80, 90 or 95%." in text

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--goal", "much"), "a goal must be a fraction such as 0.1, a count such as 20 or auto, but got 'much'"),
            (("--goal", "1.5"), "`0 < goal < 1` must hold, but got goal=1.5"),
            (("--goal", "0.1", "--threshold", "3"), "not allowed with argument"),
            (("--threshold", "-1"), "a threshold must part the trials, but none of 120 reach -1.0"),
        ],
    )
    def test_refused(self, capsys, csv, options, message):
        with pytest.raises(SystemExit, match="2"):
            main([csv, "--objective", "val_error", *options])
        assert message in capsys.readouterr().err


class TestReport:
    def test_a_page_with_the_guess_and_the_names(self, capsys, csv, tmp_path):
        page = tmp_path / "new" / "report.html"
        said(capsys, csv, "--objective", "val_error", "--cost", "seconds", "--report", str(page))
        text = page.read_text(encoding="utf-8")
        assert "<h1>trials.csv</h1>" in text
        assert "filled exactly where [red]opt is sgd" in text
        assert "among the cheapest 12.5% by seconds" in text
        edge = f"{np.sort(trials()['val_error'])[14]:.4g}"
        assert f"val_error at or below {edge} is good: 15 of 120." in text

    def test_the_notes_of_reading(self, capsys, tmp_path):
        frame = trials().assign(accuracy=lambda frame: -frame["val_error"], state=["finished"] * 119 + ["napping"])
        frame.drop(columns="val_error").to_csv(tmp_path / "acc.csv", index=False)
        page = tmp_path / "report.html"
        text = said(capsys, str(tmp_path / "acc.csv"), "--objective", "accuracy", "--report", str(page))
        for note in (
            "No tool is known to call a status",
            "Nobody said which end of accuracy is good: by its name large is",
        ):
            assert note in text
            assert f'<p class="caution">{note}' in page.read_text(encoding="utf-8")
        assert re.search(r"accuracy at or above -0\.\d+ is good: 15 of 119\.", page.read_text(encoding="utf-8"))

    def test_of_a_study_with_its_caution(self, capsys, storage, tmp_path):
        said(capsys, storage, "--study", "first", "--report", str(tmp_path / "report.html"))
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "<h1>first</h1>" in text
        assert '<p class="caution">A study does not say how its trials were drawn' in text

    def test_a_place_that_cannot_be_written(self, capsys, csv, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SystemExit, match="2"):
            main([csv, "--objective", "val_error", "--report", str(tmp_path / "file" / "report.html")])
        said = capsys.readouterr()
        assert "the place of a page must be writable, but" in said.err
        assert said.out == ""


class TestSeveralObjectives:
    def test_who_is_dominated_least(self, capsys, tmp_path):
        rng = np.random.default_rng(0)
        width, noise = rng.random((2, 200))
        frame = pd.DataFrame({"width": width, "noise": noise, "error": width, "accuracy": -width})
        frame.to_csv(tmp_path / "two.csv", index=False)
        two = (str(tmp_path / "two.csv"), "--objective", "error", "--objective", "accuracy")
        text = said(capsys, *two, "--maximize", "accuracy")
        assert "width decides whether a trial ends among the best 10%." in text
        # Where both are minimised each trial is as good as any other.
        assert "width decides" not in said(capsys, *two, "--minimize")
        assert said(capsys, *two, "--maximize") == said(capsys, *two, "--minimize")

    def test_a_name_says_which_end_is_good(self, capsys, tmp_path):
        rng = np.random.default_rng(0)
        width, noise = rng.random((2, 200))
        pd.DataFrame({"width": width, "noise": noise, "error": width, "accuracy": -width}).to_csv(tmp_path / "two.csv")
        two = (str(tmp_path / "two.csv"), "--objective", "error", "--objective", "accuracy")
        said_by_name = said(capsys, *two)
        told = " Nobody said which end of accuracy is good: by its name large is (--minimize if small is)."
        assert said_by_name.endswith(told)
        assert said_by_name.removesuffix(told) == said(capsys, *two, "--maximize", "accuracy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", "a row a trial, but .*: line 3 has 3 fields where the first has 2; correct it"),
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


def test_a_guess_is_saved_only_where_there_is_one(capsys, csv, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main([csv, "--objective", "val_error", "--space", "a.yaml", "--save-space", str(tmp_path / "b.yaml")])
    assert "drop one of the two" in capsys.readouterr().err
    assert not (tmp_path / "b.yaml").exists()


class TestLarge:
    @pytest.fixture
    def folder(self, tmp_path):
        frame = trials(400).assign(depth=np.arange(400) % 5)
        frame.loc[399, ["rate", "depth", "[red]opt", "momentum"]] = [2.0, 9, "lion", np.nan]
        for part in range(2):
            frame[200 * part : 200 * part + 200].to_parquet(tmp_path / f"{part}.parquet", row_group_size=60)
        frame.to_csv(tmp_path / "trials.csv", index=False)
        return tmp_path

    def test_a_folder_of_parquet_files_says_what_a_file_says(self, capsys, folder, tmp_path):
        asked = ("--objective", "val_error", "--cost", "seconds", "--no-pairs")
        large = said(capsys, str(folder), *asked)
        table = said(capsys, str(folder / "trials.csv"), *asked)
        assert "rate decides whether a trial ends among the best 10%." in large
        # all but the p-values, which are of another test
        guessed = [text[: text.index("left out: ")] for text in (large, table)]
        assert guessed[0] == guessed[1]
        assert "depth Int whole numbers from 0 to 9" in guessed[0]
        assert "What drives the cost" in large
        page = tmp_path / "page.html"
        main([str(folder), *asked, "--report", str(page)])
        assert "400 analysed trials" in page.read_text()

    def test_a_multirun_stays_one(self, capsys, folder):
        (folder / "0" / ".hydra").mkdir(parents=True)
        with pytest.raises(SystemExit, match="2"):
            main([str(folder), "--objective", "val_error"])
        assert "a multirun folder holds jobs with .hydra/overrides.yaml" in capsys.readouterr().err

    def test_ranges_and_choices_are_those_of_all_rows(self, capsys, monkeypatch, folder):
        monkeypatch.setattr("hsicfast.reading.sources.GUESSED", 100)
        text = said(capsys, str(folder), "--objective", "val_error", "--no-pairs")
        assert re.search(r"rate Float numbers from \S+ to 0\.\d+, evenly .*?; in all trials from 1\S+ to 2 ", text)
        assert "in all trials also lion" in text
        assert "whole numbers from 0 to 4; in all trials from 0 to 9" in text

    def test_a_file_of_many_rows(self, capsys, monkeypatch, folder):
        path = str(folder / "0.parquet")
        whole = said(capsys, path, "--objective", "val_error", "--no-pairs")
        monkeypatch.setattr("hsicfast.trials.parquet.MANY", 199)
        monkeypatch.setattr("hsicfast.indices.streaming.KEPT_SAMPLE", 50)
        streamed = said(capsys, path, "--objective", "val_error", "--no-pairs")
        assert "indices and their tests are of all 200 trials" in streamed
        assert "are of all 200 trials" not in whole

    def test_what_it_refuses(self, capsys, folder):
        for arguments, wrong in (
            (("--objective", "val_error", "--objective", "seconds"), "have one objective, but got ['val_error', "),
            (("--objective", "nothing"), "there is no 'nothing'"),
            (("--objective", "val_error", "--push"), "--push needs an Optuna study"),
        ):
            with pytest.raises(SystemExit, match="2"):
                main([str(folder), *arguments])
            assert wrong in " ".join(capsys.readouterr().err.split())


def test_constraints_may_be_ignored(tmp_path, capsys):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial):
        a = trial.suggest_float("a", 0, 1)
        trial.set_constraint("limit", a - 0.5)
        return -a

    study.optimize(objective, n_trials=40)
    infeasible = sum(trial.params["a"] > 0.5 for trial in study.trials)
    main([f"{tmp_path}/study.db", "--no-pairs"])
    assert f"{infeasible} of 40 trials are infeasible and count as not good." in " ".join(
        capsys.readouterr().out.split()
    )
    main([f"{tmp_path}/study.db", "--no-pairs", "--ignore-constraints"])
    assert "are infeasible" not in capsys.readouterr().out
