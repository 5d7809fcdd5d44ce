"""The sweeper, in a Hydra program of somebody's own."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml

from hsicfast.runs.results import read_results
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import TwoStep
from hsicfast.space.search_space import Bool, Choice, Float, SearchSpace

pytestmark = pytest.mark.filterwarnings("ignore:.*has tables but no page")
SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "optimizer": Choice(["adam", "sgd"]),
        "optimizer.momentum": Float(0.0, 0.9, active_if={"optimizer": "sgd"}),
        "optimizer.nesterov": Bool(active_if={"optimizer": "sgd"}),
        "optimizer.damp": Choice([0.0, 0.25, 0.5], active_if={"optimizer": "sgd", "optimizer.nesterov": True}),
    }
)
# Three hyperparameters that exist under a condition, one of them under two.
SWEPT = (
    "lr=tag(log,interval(1e-4,1))",
    "optimizer=adam,sgd",
    "optimizer.momentum=interval(0,0.9)",
    "optimizer.nesterov=true,false",
    "optimizer.damp=choice(0.0,0.25,0.5)",
    "+hydra.sweeper.active_if={optimizer.momentum:{optimizer:sgd},optimizer.nesterov:{optimizer:sgd},"
    "optimizer.damp:{optimizer:sgd,optimizer.nesterov:true}}",
)
TWO_STEP = "hydra.sweeper.strategy={_target_:hsicfast.TwoStep,optimizer:random,design_share:0.5}"
QUICK = (*SWEPT, "hydra.sweeper.n_trials=12", TWO_STEP)
RANDOM = (*SWEPT, "hydra.sweeper.strategy=random")


def train(params):
    import train  # somebody's own

    if params["lr"] > 0.5:
        raise FloatingPointError("loss is nan")
    names = ("momentum", "nesterov", "damp")
    optimizer = {"momentum": 0.0, "nesterov": False, "damp": 0.0} | {
        name: params[f"optimizer.{name}"] for name in names if f"optimizer.{name}" in params
    }
    return train.loss_of(params["lr"], optimizer | {"name": params["optimizer"]})


def table(folder):
    return pd.read_csv(folder / "trials.csv")


class TestSweep:
    @pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
    def test_same_trials_as_minimize(self, program, tmp_path, launcher):
        code, out, err = program(*QUICK, f"hydra/launcher={launcher}", "hydra.sweep.dir=swept", "hydra.sweeper.seed=3")
        assert code == 0, err
        strategy = TwoStep(optimizer="random", design_share=0.5)
        result = minimize(train, SPACE, n_trials=12, seed=3, strategy=strategy)
        direct = result.to_frame().to_csv(index=False, lineterminator="\n")
        assert (tmp_path / "swept" / "trials.csv").read_text() == direct
        best = json.loads((tmp_path / "swept" / "best.json").read_text())
        assert (best["index"], best["params"]) == (result.best.index, result.best.params)
        assert f"everything is in {tmp_path / 'swept'}" in out

    def test_leaves_what_a_run_leaves(self, program, tmp_path, monkeypatch):
        monkeypatch.setattr("hsicfast.search.run_report.check_report_tools", lambda: None)
        code, out, err = program(*RANDOM, "hydra.sweeper.n_trials=8", "hydra.sweep.dir=swept")
        assert code == 0, err
        files = "best.json best.yaml economical.yaml figures log.jsonl multirun.yaml report.html results"
        files += " sensitivity.json settings.json study.db trials.csv"
        assert {*files.split(), *map(str, range(8))} <= {*os.listdir(tmp_path / "swept")}
        best = json.loads((tmp_path / "swept" / "best.json").read_text())["params"]
        text = (tmp_path / "swept" / "best.yaml").read_text()
        assert yaml.safe_load(text) == best
        again = text.splitlines()[0].removeprefix("# ")
        assert again.startswith(f"python train.py lr={best['lr']!r} optimizer={best['optimizer']}")
        assert f"the best again: {again}" in out
        assert again in (tmp_path / "swept" / "report.html").read_text()

    def test_goes_on_where_it_stopped_and_with_more_trials(self, program, tmp_path):
        whole, again = (*RANDOM, "hydra.sweep.dir=whole"), (*RANDOM, "hydra.sweep.dir=again")
        assert program(*whole, "hydra.sweeper.n_trials=10")[0] == 0
        assert program(*again, "hydra.sweeper.n_trials=8")[0] == 0
        for index in (2, 3, 7):
            (tmp_path / "again" / "results" / f"{index:06d}.json").unlink()
        code, out, _ = program(*again, "hydra.sweeper.n_trials=8")
        assert code == 0
        assert [f"#{index} : " in out for index in range(8)] == [index in (2, 3, 7) for index in range(8)]
        code, out, _ = program(*again, "hydra.sweeper.n_trials=10")
        assert code == 0
        assert [f"#{index} : " in out for index in range(10)] == [index >= 8 for index in range(10)]
        assert table(tmp_path / "again").equals(table(tmp_path / "whole"))
        code, _, err = program(*again, "hydra.sweeper.n_trials=10", "pause=0.001")
        assert code == 1
        assert 'overrides.pause was absent and is "0.001" now' in err

    def test_seeds_of_trials(self, program, tmp_path):
        code, out, err = program(*RANDOM, "hydra.sweeper.n_trials=8", "hydra.sweeper.seed_key=seed")
        assert code == 0, err
        folder = next(tmp_path.glob("multirun/*/*"))
        trials = read_results(folder)
        for index, trial in trials.items():
            assert yaml.safe_load((folder / str(index) / ".hydra" / "config.yaml").read_text())["seed"] == trial.seed
        best = json.loads((folder / "best.json").read_text())
        assert f"seed={best['seed']}" in (folder / "best.yaml").read_text().splitlines()[0]
        assert "the best again: python train.py lr=" in out

    def test_params_of_a_file(self, program, tmp_path):
        params = "+hydra.sweeper.params={lr:'interval(0.001,0.1)',optimizer:'adam,sgd'}"
        code, _, err = program(params, "hydra.sweeper.strategy=random", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=p")
        assert code == 0, err
        assert set(pd.read_csv(tmp_path / "p" / "trials.csv").columns) >= {"lr", "optimizer"}

    def test_a_failing_job_is_a_diverged_trial(self, program, tmp_path):
        code, _, err = program(*RANDOM, "hydra.sweeper.n_trials=8", "fails_above=0.01", "hydra.sweep.dir=f")
        assert code == 0
        trials = read_results(tmp_path / "f")
        diverged = [trial for trial in trials.values() if trial.status == "diverged"]
        assert [trial.params["lr"] > 0.01 for trial in trials.values()] == [
            trial.status == "diverged" for trial in trials.values()
        ]
        assert diverged
        assert {trial.message for trial in diverged} == {"FloatingPointError: loss is nan"}
        assert "Error executing job with overrides" in err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["fails_above=0"], "the first 10 trials all ended with 'FloatingPointError: loss is nan'"),
            (["returns=nothing"], "an objective must be a number, but got None; return a float"),
            (["returns=text"], "an objective must be a number, but got 'good'; return a float"),
            (["wrong=3"], "Could not override 'wrong'"),
            (["hydra.sweeper.n_trials=2"], "`n_trials >= 4` must hold for the strategy random"),
            (["hydra.sweeper.n_trails=2"], "Key 'n_trails' not in 'HsicfastSweeperConf'"),
            (["hydra.sweeper.strategy=nope"], "strategy must be one of hsic, two_step, random, but got 'nope'"),
            (["hydra.sweeper.max_batch_size=0"], "`hydra.sweeper.max_batch_size >= 1` must hold, but got 0"),
            (
                ["lr=tag(lgo,interval(1,2))"],
                "lr: interval() takes the tag log or int, but got 'lgo'; did you mean",
            ),
        ],
    )
    def test_refusals(self, program, arguments, said):
        code, out, err = program(*RANDOM, "hydra.sweeper.n_trials=12", *arguments)
        assert code == 1
        assert said in err
        assert "Traceback" not in out + err

    def test_a_key_that_is_not_always_there_needs_a_condition(self, program):
        code, _, err = program(*SWEPT[:3], "hydra.sweeper.strategy=random", "hydra.sweeper.n_trials=8")
        assert code == 1
        assert "a job must be a configuration of the program, but lr=" in err
        assert "is none: Could not override 'optimizer.momentum'; correct the sweep, or say with hydra" in err

    def test_a_signal_ends_it_with_a_report(self, program, tmp_path, monkeypatch):
        import hsicfast.runs.log as log

        class Stopping(log.Log):
            def on_trial(self, trial, stored):
                super().on_trial(trial, stored)
                if trial.index == 5:
                    os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr("hsicfast.search.orchestrator.Log", Stopping)
        code, _, err = program(*RANDOM, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=s")
        assert code == 130
        assert "stopped after 6 trials" in err
        assert len(pd.read_csv(tmp_path / "s" / "trials.csv")) == 6


class TestProcesses:
    def started(self, project, folder, *arguments):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_COLOR": "1"}
        return subprocess.Popen(
            [sys.executable, str(project / "train.py"), "-m", "hydra/sweeper=hsicfast", *arguments],
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "errors").open("w"),
        )  # fmt: skip

    @pytest.mark.slow
    @pytest.mark.parametrize(("launcher", "counts"), [("basic", (3, 7)), ("joblib", (5,))])
    def test_killed_and_started_again(self, project, program, tmp_path, launcher, counts):
        assert program(*RANDOM, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=whole", "pause=0.0")[0] == 0
        slow = (*RANDOM, "hydra.sweeper.n_trials=12", f"hydra/launcher={launcher}", "hydra.sweep.dir=killed")
        for count in counts:
            process = self.started(project, tmp_path, *slow, "pause=0.2")
            deadline = time.monotonic() + 90
            while len(list((tmp_path / "killed").glob("results/0*.json"))) < count:
                assert process.poll() is None, (tmp_path / "errors").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.kill()
            process.wait()  # not for its output: the workers of joblib outlive it
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("results/0*.json")}
        code, _, err = program(*slow, "pause=0.2")  # in this process, without a page
        assert code == 0, err
        assert table(tmp_path / "killed").equals(table(tmp_path / "whole"))
        assert before == {path: path.stat().st_mtime_ns for path in before}  # nothing was trained twice

    @pytest.mark.slow
    def test_a_killed_worker_costs_its_own_job_alone(self, program, tmp_path):
        batch = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.max_batch_size=4")
        code, _, err = program(
            *RANDOM, *batch, "hydra.sweeper.n_trials=5", "killed_above=0.37", "fails_above=1", "hydra.sweep.dir=k"
        )
        assert code == 0, err
        trials = read_results(tmp_path / "k").values()
        assert {trial.status for trial in trials if trial.params["lr"] <= 0.37} == {"done"}
        assert {trial.status for trial in trials if trial.params["lr"] > 0.37} == {"lost"}
