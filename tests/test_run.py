"""The command, as a person types it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from hsicfast import run
from hsicfast.runs.lock import Lock
from hsicfast.runs.results import read_results
from hsicfast.text import number

TASK = """
name: toy
metric: validation loss
test_metric: test loss
minimize: true
n_trials: 16
goal: 0.25
cost: flops
evaluate:
  _target_: toy.Trainee
  data: here
  pause: 0.0
space:
  _target_: hsicfast.SearchSpace
  _convert_: all
  hyperparameters:
    kind: {_target_: hsicfast.Choice, choices: [a, b]}
    rate: {_target_: hsicfast.Float, low: 0.001, high: 1.0, log: true}
    momentum: {_target_: hsicfast.Float, low: 0.0, high: 0.9, active_if: {kind: a}}
"""
TRAINEE = """
import math
import time


class Trainee:
    def __init__(self, data, pause):
        if data != "here":
            unreachable = OSError("no network")
            raise FileNotFoundError(
                f"the data must be somewhere, but {data} is not; pass task.evaluate.data=here"
            ) from unreachable
        self.pause = pause

    def __call__(self, params, seed, report=lambda step, value: True):
        time.sleep(self.pause)
        if self.pause < 0:
            raise RuntimeError("never works")
        loss = (math.log10(params["rate"]) + 2) ** 2 + seed % 7 * 1e-3
        for step in range(10):
            if not report(step, loss + 1 - step / 10):
                return {"objective": loss + 1 - step / 10, "cost": 3.0 + params["rate"]}
        return {"objective": loss, "cost": 3.0 + params["rate"]}

    def save_best(self, params, seed, folder):
        folder.mkdir(exist_ok=True)
        (folder / "network.pt").write_text("weights")
        result = self(params, seed)
        return result | {"test": 2 * result["objective"]}
"""
TREES = ("strategy=two_step", "strategy.optimizer=tpe")
QUICK = ("+task=toy", *TREES, "executor=local")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a task of one's own: a yaml in conf/task and a module beside it."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "conf" / "task").mkdir(parents=True)
    (folder / "conf" / "task" / "toy.yaml").write_text(TASK)
    (folder / "conf" / "task" / "bare.yaml").write_text("name: bare\n")
    (folder / "toy.py").write_text(TRAINEE)
    (folder / "broken.py").write_text("1 / 0")
    (folder / "needy.py").write_text("import nopackage")
    return folder


@pytest.fixture
def command(request, toy, tmp_path, monkeypatch, capfd):
    """Run the command in this process: exit code, stdout, stderr. One test has the pictures, which take 3 s a run."""
    if request.function is not TestWholeRun.test_leaves_everything_behind:
        monkeypatch.setattr("hsicfast.search.run_report.draw_all", lambda *_, **__: {})

    def call(*arguments, alone=False):
        place = [] if alone else ["--config-dir", str(toy / "conf")]
        monkeypatch.setattr(sys, "argv", ["hsicfast", *arguments, *place])
        capfd.readouterr()
        try:
            run.main()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capfd.readouterr()

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(toy))
    for name in ("OMP_NUM_THREADS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield call
    root.handlers, root.level = handlers, level


def started(toy, folder, *arguments, **more):
    """The command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(toy), *filter(None, sys.path)]), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hsicfast.run", *arguments, "--config-dir", str(toy / "conf")],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def wait_for_results(folder, count, process):
    deadline = time.monotonic() + 60
    while len(list(folder.glob("results/0*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestWholeRun:
    def test_leaves_everything_behind(self, command, tmp_path):
        code, out, err = command(*QUICK, "hydra.run.dir=done")
        folder = tmp_path / "done"
        assert code == 0, err
        for name in ("trials.csv", "sensitivity.json", "best.json", "report.html", "study.db", "best/network.pt"):
            assert (folder / name).stat().st_size > 0
        table = pd.read_csv(folder / "trials.csv")
        assert len(table) == len(read_results(folder)) == 16
        best = json.loads((folder / "best.json").read_text())
        assert f"its test loss: {2 * best['objective']:.4g}" in out
        assert str(folder) in out
        assert "validation loss" in out
        assert "16 of 16 trials, best validation loss" in err
        assert "\x1b" not in out + err

    def test_the_test_metric_is_read_once_at_the_end(self, command, tmp_path):
        code, out, err = command(*QUICK, "hydra.run.dir=done", "tolerance=100")
        assert code == 0, err
        assert not any("test" in trial.metrics for trial in read_results(tmp_path / "done").values())
        best = json.loads((tmp_path / "done" / "best.json").read_text())
        assert best["index"] != best["economical"]["index"]
        for name, trial in (("best", best), ("economical", best["economical"])):
            assert trial["test"] == 2 * trial["objective"]
            assert f"{name} network: {tmp_path / 'done' / name}/network.pt; its test loss: {trial['test']:.4g}\n" in out
            assert (tmp_path / "done" / name / "network.pt").read_text() == "weights"
            assert f"the {name} network is trained once more, and tested" in err
        assert f"test loss {number(best['test'])}" in (tmp_path / "done" / "report.html").read_text()

    def test_what_was_chosen_trains_again(self, command, tmp_path):
        code, _, err = command(*QUICK, "hydra.run.dir=done", "tolerance=100", "task.evaluate.pause=0.001")
        assert code == 0, err
        best = json.loads((tmp_path / "done" / "best.json").read_text())
        for name, trial in (("best", best), ("economical", best["economical"])):
            text = (tmp_path / "done" / f"{name}.yaml").read_text()
            line = f"python -m hsicfast.run --config-dir {tmp_path / 'done'} --config-name {name}"
            assert text.splitlines()[0] == f"# {line}"
            assert line in (tmp_path / "done" / "report.html").read_text()
            # As somebody types it; the toy task lies beside, and not in an installed package.
            code, out, err = command(*line.split()[3:], f"hydra.run.dir=again_{name}", alone=True)
            assert code == 0, err
            again = json.loads((tmp_path / f"again_{name}" / "trained.json").read_text())
            assert again["params"] == trial["params"]
            assert again["seed"] == trial["network"]["seed"]
            assert again["objective"] == trial["network"]["objective"]
            assert (tmp_path / f"again_{name}" / "network.pt").read_text() == "weights"
            objective, test = again["objective"], again["metrics"]["test"]
            said = f"validation loss {number(objective)}, test loss {number(test)}, flops {number(again['cost'])}; "
            assert out == f"{said}everything is in {tmp_path / f'again_{name}'}\n"

    def test_what_does_not_train_again_is_said(self, command):
        code, _, err = command(*QUICK, "hydra.run.dir=bad", "+params.rate=x")
        assert code == 2
        assert "a configuration must train to its end, but got TypeError: " in err
        assert "change params= or seed=" in err

    def test_goes_on_in_its_folder(self, command, tmp_path):
        assert command(*QUICK, "hydra.run.dir=again")[0] == 0
        before = (tmp_path / "again" / "trials.csv").read_bytes()
        (tmp_path / "again" / "results" / "000011.json").unlink()
        (tmp_path / "again" / "best" / "network.pt").unlink()
        (tmp_path / "again" / "best").rmdir()
        assert command(*QUICK, "hydra.run.dir=again")[0] == 0
        assert (tmp_path / "again" / "trials.csv").read_bytes() == before
        code, _, err = command(*QUICK, "hydra.run.dir=again", "task.evaluate.pause=0.001")
        assert code == 2
        assert "task.evaluate.pause was 0.0 and is 0.001 now" in err
        (tmp_path / "again" / "best" / "network.pt").unlink()
        (tmp_path / "again" / "best").rmdir()
        code, _, err = command(*QUICK, "hydra.run.dir=again", "task.evaluate.pause=0.001", "resume=force")
        assert code == 0, err
        assert "0.001" in (tmp_path / "again" / "settings.json").read_text()
        assert (tmp_path / "again" / "trials.csv").read_bytes() == before
        # The study, which held a trial whose file was gone; and what the forced run replaced.
        aside = sorted(str(path.relative_to(tmp_path / "again")) for path in tmp_path.glob("again/replaced/*/*"))
        assert aside == ["replaced/1/study.db", "replaced/2/settings.json", "replaced/2/study.db"]

    def test_goes_on_with_more_trials_and_another_range(self, command, tmp_path):
        assert command(*QUICK, "hydra.run.dir=more")[0] == 0
        for path in sorted((tmp_path / "more").glob("[be][ec]*/network.pt")):  # this training makes them itself
            path.unlink()
            path.parent.rmdir()
        wide = "task.space.hyperparameters.rate.low=0.0001"
        code, out, err = command(*QUICK, "hydra.run.dir=more", "n_trials=20", wide, "timeout=600", "stop=enough")
        assert code == 0, err
        assert "earlier" in out
        trained = json.loads((tmp_path / "more" / "sensitivity.json").read_text())
        assert (trained["trials"]["planned"], trained["rounds"][0]["name"]) == (20, "earlier")
        assert trained["rounds"][0]["did"].startswith("of before, 16 of 16 used, ")
        assert sorted(read_results(tmp_path / "more")) == list(range(20))

    def test_trials_from_elsewhere(self, command, tmp_path):
        assert command(*QUICK, "hydra.run.dir=first")[0] == 0
        known = "known=[first,{source: first, prior: true}]"
        code, _, err = command(*QUICK, "hydra.run.dir=second", known)
        assert code == 0, err
        told = json.loads((tmp_path / "second" / "sensitivity.json").read_text())["rounds"][0]
        assert told["did"] == "16 of 16 known trials are used; 16 of 16 trials of another task are used"
        code, _, err = command(*QUICK, "known={path: first}")
        assert code == 2
        assert "an entry of known= has the fields of hsicfast.Known, but " in err

    @pytest.mark.parametrize(
        ("argument", "said"),
        [
            ("timeout=0", "`timeout > 0` must hold, but got 0; give it in seconds"),
            ("stop=soon", "stop must be null or enough, but got 'soon'; choose one of them"),
            ("+had.rate=2", "had= gives a value of the space, but 'rate' is "),
        ],
    )
    def test_wrong_ends(self, command, argument, said):
        code, _, err = command(*QUICK, argument)
        assert code == 2
        assert said in err

    @pytest.mark.parametrize(
        "pruner",
        [
            ["pruner=median"],
            ["pruner=percentile"],
            ["+pruner._target_=optuna.pruners.SuccessiveHalvingPruner", "+pruner.reduction_factor=2"],
        ],
    )
    def test_hopeless_trials_are_stopped_early(self, command, tmp_path, pruner):
        code, out, err = command(*QUICK, *pruner, "strategy.optimizer=random", "n_trials=30", "hydra.run.dir=early")
        assert code == 0, err
        stopped = (pd.read_csv(tmp_path / "early" / "trials.csv")["status"] == "pruned").sum()
        assert stopped > 0
        assert f"{stopped} pruned" in err
        assert "stopped early as hopeless, which saved" in " ".join(out.split())
        assert json.loads((tmp_path / "early" / "sensitivity.json").read_text())["trials"]["pruned"] == stopped
        assert "stopped early as hopeless, which saved" in (tmp_path / "early" / "report.html").read_text()

    def test_several_seeds_a_trial(self, command, tmp_path):
        code, out, err = command(*QUICK, "hydra.run.dir=done", "repeats=3", "n_trials=8")
        assert code == 0, err
        table = pd.read_csv(tmp_path / "done" / "trials.csv")
        assert (table.objective_sd > 0).any()
        assert "its test loss: " in out
        assert "objective_sd" in (tmp_path / "done" / "report.html").read_text()

    def test_folder_of_a_run_has_the_name_of_its_task(self, command, tmp_path):
        assert command(*QUICK, "strategy=random", "n_trials=5", "~strategy.optimizer")[0] == 2
        assert command("+task=toy", "executor=local", "strategy=random", "n_trials=5")[0] == 0
        assert len(list((tmp_path / "runs" / "toy").glob("20*/report.html"))) == 1

    def test_seeds_side_by_side(self, command, tmp_path):
        code, out, err = command("-m", *QUICK, "seed=1,2,3", "hydra.sweep.dir=side", "n_trials=8")
        assert code == 0, err
        folders = sorted(path.parent.name for path in tmp_path.glob("side/*/report.html"))
        assert folders == ["0_seed1", "1_seed2", "2_seed3"]
        tables = [(tmp_path / "side" / name / "trials.csv").read_text() for name in folders]
        assert len(set(tables)) == 3
        assert "toy: 3 runs compared" in out
        assert len(pd.read_csv(tmp_path / "side" / "comparison.csv")) == 3
        assert "3 runs of one kind" in (tmp_path / "side" / "comparison.html").read_text()

    def test_folders_of_a_multirun_have_the_names_that_are_asked_for(self, command, tmp_path):
        names = ("hydra.sweep.dir=side", "hydra.sweep.subdir=mine${hydra.job.num}")
        code, _, err = command("-m", *QUICK, "goal=0,1", *names)  # which the first run refuses
        assert code == 2, err
        assert not (tmp_path / "side" / "mine0" / "results").exists()
        assert [path.name for path in (tmp_path / "side").iterdir() if path.is_dir()] == ["mine0"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], r"a run needs a task, but got none; add +task= one of bare, bateman, cifar, mnist, runge, toy"),
            (["-m", "seed=1,2"], r"a run needs a task, but got none; add +task= one of bare, bateman"),
            (["+task=nope"], "task must be one of bare, bateman, cifar, mnist, runge, toy, but got nope; choose one"),
            (["+task=toy", "strategy=nope"], "strategy must be one of hsic, random, two_step, but got nope"),
            (["task=toy"], "To append to your default list use +task=toy"),
            (["+task=toy", "n_trails=3"], "Could not override 'n_trails'"),
            (["+task=toi"], "but got toi; did you mean toy?"),
            (["+task=toy", "n_trails=3"], "Could not override 'n_trails'; did you mean n_trials?"),
            (["+task=toy", "+n_trails=3"], "nothing reads n_trails; did you mean n_trials?"),
            (["+task=toy", "+zzz=3"], "a knob must be read by something, but nothing reads zzz; choose one of task, "),
            (["+task=toy", "+task.metrik=loss"], "nothing reads task.metrik; did you mean task.metric?"),
            (["+task=toy", "strategy.desing_share=1"], "did you mean strategy.design_share?"),
            (["+task=toy", "+strategy.desing_share=1"], "argument 'desing_share'; did you mean design_share?"),
            (["+task=toy", "batch=3"], "Could not override 'batch'; did you mean strategy.batch?"),
            (["+task=toy", "goal=${gaol}"], "Interpolation key 'gaol' not found; correct goal"),
            (["+task=toy", "task.evaluate._target_=toy.Train"], "toy has no Train; did you mean toy.Trainee?"),
            (["+task=toy", "task.evaluate._target_=broken.Trainee"], "broken cannot be imported: "),
            (
                ["+task=toy", "task.evaluate._target_=needy.Trainee"],
                "needy needs a package: No module named 'nopackage'",
            ),
            (["+task=toy", "goal=0"], "`0 < goal < 1` must hold, but got goal=0; give a fraction such as 0.1"),
            (["+task=toy", "goal=1.5"], "`0 < goal < 1` must hold, but got goal=1.5; give a fraction such as 0.1"),
            (["+task=toy", "n_trials=3"], "`n_trials >= 8` must hold for the strategy hsic, but got n_trials=3"),
            (
                ["+task=toy", "max_cost=-1"],
                "`max_cost > 0` must hold and be finite, but got -1; give it in the unit of",
            ),
            (["+task=toy", "max_cost=[1]"], "`max_cost > 0` must hold and be finite, but got [1]; give it in the unit"),
            (
                ["+task=toy", "executor=local", "max_cost=2"],
                "at least one trial must cost at most max_cost=2, but the cheapest of the 16 that ended well costs 3",
            ),
            (["+task=toy", "seed=x"], "`seed >= 0` must hold, but got seed='x'"),
            (["+task=toy", "repeats=0", "task.evaluate.data=gone"], "`repeats >= 1` must hold, but got repeats=0"),
            (
                ["+task=toy", "task.space.hyperparameters.rate.low=2"],
                "task.space.hyperparameters.rate: `low < high` must hold, but got low=2, high=1.0; swap them",
            ),
            (
                ["+task=toy", "task.space.hyperparameters.rate.low=1.0"],
                "must hold, but got low=1.0, high=1.0; leave a constant out of the space",
            ),
            (
                ["+task=toy", "+task.space.hyperparameters.rate.active_if.nope=1"],
                "a condition must name a hyperparameter of the space, but 'rate' depends on 'nope'",
            ),
            (
                ["+task=toy", "+task.space.hyperparameters.kind.active_if.kind=a"],
                "conditions may not run in a circle",
            ),
            (["+task=toy", "pruner=nope"], "pruner must be one of median, none, percentile, but got nope"),
            (
                ["+task=toy", "pruner=median", "pruner.n_warmup_steps=-1"],
                "pruner: Number of warmup steps cannot be negative",
            ),
            (["+task=toy", "+pruner.patience=3"], "a pruner must be an optuna.pruners.BasePruner, but got {'patience'"),
            (["+task=toy", "strategy.batch=0"], "`strategy.batch >= 1` must hold, but got 0"),
            (["+task=toy", "strategy.nope=0"], "Could not override 'strategy.nope'"),
            (["+task=toy", "executor.workers=0"], "`workers > 0` must hold, but got workers=0"),
            (
                ["+task=toy", "task.evaluate.data=gone"],
                "task.evaluate: the data must be somewhere, but gone is not; pass task.evaluate.data=here",
            ),
            (["+task=toy", "task.evaluate._target_=nowhere.Trainee"], "No module named 'nowhere'"),
            (["+task=bare"], "a task must say name, space, evaluate, n_trials, but this one lacks space, evaluate"),
            (
                ["+task=toy", "strategy=two_step", "task.evaluate.pause=-1", "executor=local"],
                "the first 10 trials all ended with 'ValueError: sleep length",
            ),
            (
                ["+task=toy", "store=postgresql+psycopg://me:secret@host/db"],
                "must hold no password, as the configuration is kept in the run's folder, but got "
                "postgresql+psycopg://me:***@host/db; put the URL",
            ),
            (["+task=toy", "store=nonsense"], "store= must be the URL of a database that answers"),
        ],
    )
    def test_one_sentence_and_exit_2(self, command, arguments, said):
        code, out, err = command(*arguments)
        message = err.splitlines()[-1]
        assert said in message
        assert code == 2
        assert "Traceback" not in out + err

    def test_a_password_is_stored_nowhere(self, command, tmp_path, monkeypatch):
        monkeypatch.setenv("TOY_STORE", "sqlite://me:secret@/shared.db")
        code, out, err = command("+task=toy", "store=${oc.env:TOY_STORE}", "hydra.run.dir=mine")
        assert code == 2  # SQLite knows no passwords
        code, *more = command("-m", "+task=toy", "store=postgresql://me:secret@h/d", "seed=1,2")
        assert code == 2
        more += command("+task=toy", "store='postgresql://u:secret@h:port/d'", "hydra.run.dir=yours")[1:]
        more += command("+task=toy", "known=['postgresql://u:secret@h/d']", "hydra.run.dir=yours")[1:]
        more += command("-m", "+task=toy", "store='postgresql://u:secret@h/d',null")[1:]
        assert not (tmp_path / "yours").exists()
        texts = [out, err, *more, *(path.read_text() for path in tmp_path.rglob("*") if path.is_file())]
        assert not [text for text in texts if "secret" in text]

    @pytest.mark.filterwarnings("error::UserWarning")
    @pytest.mark.parametrize("wrong", ["goal=${gaol}", "store=${gaol}"])
    def test_a_reference_to_nothing_is_one_line_and_leaves_no_folder(self, command, tmp_path, wrong):
        code, out, err = command("+task=toy", wrong)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert f"Interpolation key 'gaol' not found; correct {wrong.partition('=')[0]}, which refers to it" in err
        assert list(tmp_path.iterdir()) == []

    def test_a_reference_hides_no_password_and_is_none(self, command, monkeypatch):
        code, _, err = command("+task=toy", "goal=${gaol}", "store=postgresql://me:secret@h/d")
        assert (code, "must hold no password" in err, "secret" in err) == (2, True, False)
        monkeypatch.setenv("TOY_STORE", "sqlite://me:secret@/shared.db")
        code, _, err = command("+task=toy", "store=${oc.env:TOY_STORE}")
        assert (code, "must hold no password" in err, "secret" in err) == (2, False, False)

    @pytest.mark.parametrize("arguments", [[], ["-m", "seed=1,2"], ["+task=nope"], ["+task=toy", "n_trails=3"]])
    def test_what_is_no_run_leaves_no_folder(self, command, tmp_path, arguments):
        assert command(*arguments)[0] == 2
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "arguments",
        [["goal=0"], ["task.evaluate.data=gone"], ["resume=maybe"], ["store=nonsense"], ["executor.threads=0"]],
    )
    def test_a_refused_run_leaves_no_folder(self, command, tmp_path, arguments):
        for folder in ("hydra.run.dir=runs/a/b", "hydra.run.dir=."):
            assert command("+task=toy", "strategy=random", *arguments, folder)[0] == 2
            assert [path for path in tmp_path.iterdir() if path.name == "runs"] == []
        assert tmp_path.is_dir()

    def test_a_refused_run_leaves_what_was_there(self, command, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "note").write_text("x")
        assert command("+task=toy", "goal=0", "hydra.run.dir=mine")[0] == 2
        assert command("+task=toy", "goal=0", "hydra.run.dir=theirs/run")[0] == 2
        assert (tmp_path / "mine").is_dir()
        assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["note"]
        assert command(*QUICK, "task.evaluate.pause=-1", "hydra.run.dir=diverged")[0] == 2
        assert len(list((tmp_path / "diverged/replaced/1/results").iterdir())) == 10

    def test_a_folder_that_somebody_writes_in(self, command, tmp_path):
        (tmp_path / "run").mkdir()
        with Lock(tmp_path / "run"):
            code, out, err = command(*QUICK, "hydra.run.dir=run")
            assert (code, out) == (2, "")
            assert err.startswith(f"a run folder has one writer at a time, but run is held by process {os.getpid()} on")
            assert os.listdir(tmp_path / "run") == ["lock"]  # nor did Hydra write its configuration over the other's

    def test_folder_that_cannot_be_written(self, command, tmp_path):
        (tmp_path / "file").write_text("")
        code, out, err = command(*QUICK, "hydra.run.dir=file/run")
        assert (code, out) == (2, "")
        assert (
            err == "the run folder must be writable, but file/run gave: Not a directory; pass another hydra.run.dir=\n"
        )

    def test_broken_result_file(self, command, tmp_path):
        assert command(*QUICK, "hydra.run.dir=run", "n_trials=8")[0] == 0
        (tmp_path / "run" / "results" / "000002.json").write_text('{"index": 2, "par')
        code, _, err = command(*QUICK, "hydra.run.dir=run", "n_trials=8")
        assert code == 2
        assert "000002.json does not" in err
        assert "its trial runs again" in err

    def test_other_errors_keep_their_traceback(self, command, monkeypatch):
        monkeypatch.setattr("hsicfast.search.orchestrator.execute", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command(*QUICK)


def test_a_knob_that_a_value_refers_to_is_taken(command):
    code, _, err = command("+task=toy", "+place=here", "task.evaluate.data=${place}", "goal=0")
    assert code == 2
    assert "`0 < goal < 1` must hold" in err


def test_help_names_every_knob(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    assert out.startswith("hsicfast finds good, cheap hyperparameters")
    knobs = out.partition("Knobs:")[2].partition("Everything below")[0]
    unnamed = [knob for knob in run._knobs() if f" {knob}=" not in knobs]
    assert unnamed == ["task", "hydra"]  # a choice, above the knobs, and what --hydra-help lists
    assert "task: bare, bateman, cifar, mnist, runge, toy" in out


def test_config_is_printed_with_and_without_a_task(command):
    code, out, err = command("--cfg", "job")
    assert (code, err) == (0, "")
    assert "n_trials: null" in out
    assert "_target_: hsicfast.Processes" in out
    code, out, _ = command("+task=toy", "--cfg", "job", "--resolve")
    assert code == 0
    assert "test_metric: test loss" in out


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    def test_once_reports_and_exits_as_a_shell_says(self, toy, tmp_path, number):
        # To the whole group, as a terminal does: the workers must not notice.
        arguments = ("+task=toy", *TREES, "hydra.run.dir=run", "executor.workers=2", "n_trials=200")
        process = started(toy, tmp_path, *arguments, "task.evaluate.pause=0.1", start_new_session=True)
        wait_for_results(tmp_path / "run", 8, process)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number, err  # 130 or 143
        assert "stopping: the trials in flight end" in err
        assert "Traceback" not in err
        assert json.loads((tmp_path / "run" / "best.json").read_text())["test"] is None
        assert not (tmp_path / "run" / "best").exists()
        assert "test loss not read" in (tmp_path / "run" / "report.html").read_text()
        assert 8 <= len(pd.read_csv(tmp_path / "run" / "trials.csv")) == len(read_results(tmp_path / "run")) < 100

    def test_too_early_for_a_report(self, toy, tmp_path):
        process = started(toy, tmp_path, *QUICK, "hydra.run.dir=run", "task.evaluate.pause=0.5")
        wait_for_results(tmp_path / "run", 1, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "an analysis needs at least 4 finished trials" in err.splitlines()[-1]

    @pytest.mark.slow
    def test_twice_stops_at_once(self, toy, tmp_path):
        arguments = ("+task=toy", "hydra.run.dir=run", "executor.workers=2", "task.evaluate.pause=30")
        process = started(toy, tmp_path, *arguments)
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "study.db").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "stopped at once; the results so far stay in" in err
        assert "Traceback" not in err

    @pytest.mark.slow
    def test_ends_a_multirun(self, toy, tmp_path):
        process = started(toy, tmp_path, "-m", *QUICK, "seed=1,2", "hydra.sweep.dir=side", "task.evaluate.pause=0.1")
        wait_for_results(tmp_path / "side" / "0_seed1", 5, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert not (tmp_path / "side" / "1_seed2").exists()

    @pytest.mark.slow
    @pytest.mark.parametrize("executor", ["local", "processes"])
    def test_killed_and_started_again(self, command, toy, tmp_path, executor):
        code, _, err = command(*QUICK, "hydra.run.dir=whole")
        assert code == 0, err
        arguments = ("+task=toy", *TREES, f"executor={executor}", "task.evaluate.pause=0.15")
        for count in (3, 11):
            process = started(toy, tmp_path, *arguments, "hydra.run.dir=killed")
            wait_for_results(tmp_path / "killed", count, process)
            process.kill()
            process.communicate()
        last = started(toy, tmp_path, *arguments, "hydra.run.dir=killed")
        _, err = last.communicate(timeout=120)
        assert last.returncode == 0, err
        for name in ("trials.csv", "sensitivity.json"):
            assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
