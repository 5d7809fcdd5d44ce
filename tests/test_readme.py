"""Every snippet of the README runs as a reader types it; what trains for long has fewer trials here."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from clouds import Clouds, loaders

import hsicfast
from hsicfast import analyze, run, store

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPETS = FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
# The commands of the shell snippets, without what CI itself has done before it gets here: .ci/run runs the whole second
# snippet as it is written.
BEFORE = re.compile(r"(python3\.11 -m venv|\.venv/bin/pip|pip) |.*-m pytest$")
# These tasks need their images or a GPU: what would run is composed, and not trained.
COMPOSED = ("+task=mnist", "+task=cifar", "trainer=gpu", "trainer=ddp")
TRAIN = """
import hydra


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    return abs(cfg.lr - 0.01) + (cfg.optimizer == "sgd")


main()
"""


def commands():
    """The commands of the README one by one, as a shell splits them."""
    lines = [
        line
        for language, text in SNIPPETS
        if language in ("sh", "bash")
        for line in text.replace("\\\n", " ").splitlines()
    ]
    for line in lines:
        for command in line.partition(" #")[0].split("&&"):
            if command.strip() and not BEFORE.match(command.strip()):
                yield command.strip()


def prepared(folder):
    """What the README takes for granted: a table, a study, jobs of Hydra, a run, a program, Parquet files."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"lr": 10 ** draw.uniform(-5, -1, 60), "optimizer": draw.choice(["adam", "sgd"], 60)})
    table["momentum"] = np.where(table["optimizer"] == "sgd", draw.uniform(0, 0.99, 60), np.nan)
    table["objective"] = table["val_error"] = (np.log10(table["lr"]) + 2) ** 2
    table["seconds"] = draw.uniform(1, 2, 60)
    table.to_csv(folder / "trials.csv", index=False)
    table.drop(columns="objective").to_parquet(folder / "trials.parquet")
    (folder / "trials").mkdir()
    table[["lr", "optimizer", "momentum", "objective"]].to_parquet(folder / "trials" / "part.parquet")
    study = optuna.create_study(study_name="my-study", storage=f"sqlite:///{folder / 'study.db'}")
    study.optimize(lambda trial: trial.suggest_float("lr", 0, 1) ** 2, n_trials=10)
    for number, row in enumerate(table.itertuples()):
        job = folder / "multirun" / "2026-01-31" / str(number)
        (job / ".hydra").mkdir(parents=True)
        (job / ".hydra" / "overrides.yaml").write_text(f"- lr={row.lr}\n- optimizer={row.optimizer}\n")
        (job / "result.json").write_text(f'{{"val_error": {row.val_error}}}')
    space = {"x": hsicfast.Float(0, 1)}
    hsicfast.minimize(lambda p: p["x"], space, n_trials=8, strategy="random", folder=folder / "runs" / "mine")
    (folder / "train.py").write_text(TRAIN)
    (folder / "config.yaml").write_text("lr: 0.1\noptimizer: adam\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prepared(folder)
    return folder


@pytest.fixture
def at(place, monkeypatch):
    """In the prepared folder; a report has its tables alone, whose page has tests of its own."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("hsicfast.search.run_report.draw_all", lambda *_, **__: {})
    monkeypatch.setattr("hsicfast.search.run_report._page", lambda *_: "")
    return place


def smaller(arguments):
    """A run of the command with few trials, or what it would run."""
    if "--cfg" in arguments or "--help" in arguments:
        return arguments
    if any(word in arguments for word in COMPOSED):
        return [*arguments, "--cfg", "job"]
    # Another folder than that of the run which the README looks at.
    kept = [word for word in arguments if not word.startswith(("n_trials=", "executor", "hydra.run.dir="))]
    kept = [re.sub(r"^(seed=\d+,\d+)(,\d+)+$", r"\1", word) for word in kept]  # two seeds of a multirun
    strategy = [] if any(word.startswith("strategy") for word in kept) else ["strategy=random"]
    return [*kept, *strategy, "n_trials=8", "executor=local", "task.evaluate.epochs=1"]


def call(main, arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hsicfast", *arguments])
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    assert not code, arguments


def test_every_language_is_one_that_runs_here():
    assert {language for language, _ in SNIPPETS} <= {"sh", "bash", "python"}
    assert len(SNIPPETS) >= 6
    assert "command=$(awk '/^```/ { fence++; next } fence == 3' README.md)" in (ROOT / ".ci" / "run").read_text()
    installs = [text for language, text in SNIPPETS if language == "sh" and "pip install" in text]
    extras = [set(re.search(r"\[([\w,]+)\]", text)[1].split(",")) for text in installs]
    assert extras[0] <= extras[1]  # the first snippet installs no more than the second, which CI runs


def what_runs(command):
    """The door and the arguments that a command comes to here; several commands come to the same ones."""
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    program = words[0].rpartition("/")[2]
    door, rest = (words[2], words[3:]) if words[1:2] == ["-m"] and program == "python" else (program, words[1:])
    if door in ("hsicfast", "hsicfast.run"):
        return "hsicfast.run", *smaller(rest)
    return door, *rest


@pytest.mark.slow
@pytest.mark.parametrize("command", {what_runs(command): command for command in commands()}.values())
def test_command(command, at, monkeypatch, capfd):
    door, *rest = what_runs(command)
    if door == "hsicfast.run":
        call(run.main, rest, monkeypatch)
    elif door == "hsicfast.analyze":
        call(analyze.main, rest, monkeypatch)
    elif door == "hsicfast.store":
        call(store.main, rest, monkeypatch)
    elif door == "python" and rest[:1] == ["train.py"]:
        few = ["hydra.sweeper.n_trials=4", "hydra.sweeper.strategy=random"]
        arguments = [word for word in rest if not word.startswith("hydra.sweeper.n_trials=")]
        places = os.pathsep.join(filter(None, sys.path))
        subprocess.run(
            [sys.executable, *arguments, *few], check=True, env=os.environ | {"PYTHONPATH": places}, capture_output=True
        )
    else:
        pytest.fail(f"the README says `{command}`, and no test knows how to run it: teach it here")


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for language, text in SNIPPETS if language == "python"])
def test_python(text, at):
    draw = np.random.default_rng(0)
    u = draw.uniform(size=200)
    # Learning curves are nothing that a CSV has.
    text = text.replace("sensitivity.curves", "")
    known = {
        "u": u,
        "y": u**2,
        "x": draw.normal(size=(200, 3)),
        "met": u < 0.3,
        "defaults": {"lr": 1e-3, "optimizer": "adam"},
        "optuna": optuna,
        "train": lambda lr, optimizer, momentum=0.0: (np.log10(lr) + 2) ** 2,
        "evaluate": evaluate,
        "Net": Clouds,
        "train_loader": loaders()[0],
        "val_loader": loaders()[1],
    }
    text = re.sub(r"n_trials=\d+", "n_trials=12", text).replace('"max_epochs": 20', '"max_epochs": 1')
    exec(compile(text, "README.md", "exec"), known)


def evaluate(params, report=None):
    """As the README's: it may be stopped early."""
    loss = abs(np.log10(params["lr"]) + 2)
    for step in range(3):
        if report is not None and not report(step, loss):
            break
    return loss
