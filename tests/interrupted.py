"""A whole run as a process of its own, which may be told where to die; `python interrupted.py RUN [POINT]`."""

import os
import signal
import sys
import time
from pathlib import Path

from builders import FLAT

from hsicfast import files, minimize
from hsicfast.runs import study
from hsicfast.runs.store import Store
from hsicfast.search import run_report, strategies
from hsicfast.search.strategies import TwoStep
from hsicfast.training.executors import Local, Processes


def evaluate(params, seed):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    return {"objective": (params["x"] - 0.3) ** 2 + seed % 7 * 1e-3, "cost": 1 + params["y"]}


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def before(place, name):
    """Die where `place.name` would be called."""
    setattr(place, name, die)


def after(place, name, times=1):
    """Die once `place.name` has done its work for the n-th time."""
    done, count = getattr(place, name), []

    def done_and_dead(*given, **named):
        result = done(*given, **named)
        count.append(1)
        if len(count) == times:
            die()
        return result

    setattr(place, name, done_and_dead)


def replace_of(folder):
    """Die between a file of `folder` that is written and its rename."""
    rename = os.replace

    def replace(source, target):
        if Path(target).parent.name == folder:
            die()
        rename(source, target)

    files.os.replace = replace


POINTS = {
    "after planning": lambda: before(Local, "run"),
    "after the temporary result": lambda: replace_of("results"),
    "after the rename": lambda: after(files, "_sync_folder", 4),
    "before the study's commit": lambda: before(study.Study, "_add"),
    "after the study's commit": lambda: after(study.Study, "_add", 3),
    "between rounds": lambda: before(strategies, "reduce"),
    "in the second round": lambda: after(Store, "add", 14),
    "inside the report": lambda: after(run_report, "write_atomically", 2),
    "while the settings are written": lambda: replace_of(Path(sys.argv[1]).name),
}


def main():
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        POINTS[sys.argv[2]]()
    workers = int(os.environ.get("WORKERS", "0"))
    executor = Processes(workers=workers) if workers else Local()
    n_trials = int(os.environ.get("TRIALS", "16"))
    strategy = "random" if workers else TwoStep(optimizer="tpe")
    result = minimize(evaluate, FLAT, n_trials=n_trials, strategy=strategy, folder=folder, executor=executor)
    (folder / "found.json").write_text(result.sensitivity.to_frame().to_json() + result.trials.to_frame().to_json())
    if "REPORT" in os.environ:
        run_report.write_report(
            folder, result, title="toy", metric="loss", test_metric=None, cost="cost", tests={}, planned=n_trials
        )


if __name__ == "__main__":
    main()
