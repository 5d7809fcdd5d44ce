"""Killed at any instant and started again, a run ends as one that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import optuna
import psutil
import pytest

pytest.importorskip("matplotlib")
interrupted = pytest.importorskip("interrupted")

from hsicfast.runs.repair import inspect_run  # noqa: E402
from hsicfast.runs.results import read_results  # noqa: E402

SCRIPT = Path(interrupted.__file__)


def start(folder, *point, **environment):
    # Whatever descends from it is known by this mark.
    marked = os.environ | {"HSICFAST_TEST": folder.name} | environment
    return subprocess.Popen([sys.executable, SCRIPT, folder, *point], env=marked, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, err = process.communicate(timeout=300)
    return process.returncode, err


def descendants(folder):
    """Processes that carry the folder's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("HSICFAST_TEST") == folder.name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def study_indices(folder):
    url = f"sqlite:///{folder}/study.db"
    (name,) = optuna.get_all_study_names(url)
    return sorted(trial.user_attrs["index"] for trial in optuna.load_study(study_name=name, storage=url).trials)


def assert_whole(folder, undisturbed, n_trials):
    assert (folder / "found.json").read_text() == (undisturbed / "found.json").read_text()
    assert sorted(read_results(folder)) == study_indices(folder) == list(range(n_trials))
    assert [finding for finding in inspect_run(folder) if not finding.whole and finding.what != "leftovers"] == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folders of runs that nobody disturbed, one after the other and side by side."""
    folders = {}
    for name, environment in (("local", {"REPORT": "1"}), ("processes", {"WORKERS": "2", "TRIALS": "40"})):
        folders[name] = tmp_path_factory.mktemp(name) / uuid.uuid4().hex
        code, err = finish(start(folders[name], **environment))
        assert code == 0, err
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("point", interrupted.POINTS)
def test_killed(point, undisturbed, tmp_path):
    folder = tmp_path / uuid.uuid4().hex
    reporting = {"REPORT": "1"} if "report" in point else {}
    code, err = finish(start(folder, point, **reporting))
    assert code == -signal.SIGKILL, err
    code, err = finish(start(folder, **reporting))
    assert code == 0, err
    assert_whole(folder, undisturbed["local"], 16)
    if reporting:
        for name in ("trials.csv", "sensitivity.json"):
            assert (folder / name).read_text() == (undisturbed["local"] / name).read_text()


def storm(folder, seed):
    """Kill the parent or a worker at random instants until a run ends; returns how often it was started."""
    chance = random.Random(seed)
    for starts in range(1, 30):
        process = start(folder, WORKERS="2", TRIALS="40", PAUSE="0.03")
        # The first instants are those of imports; most of what can break comes later.
        deadline = time.monotonic() + chance.uniform(0.5, 6)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        alive = descendants(folder)
        if process.poll() is None and alive and starts < 10:
            # The newest are workers.
            victim = process if chance.random() < 0.6 else psutil.Process(chance.choice(alive).pid)
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        code, err = finish(process)
        if code == 0:
            return starts
        assert code == -signal.SIGKILL, err
    raise AssertionError(f"30 starts were not enough; {err}")


@pytest.mark.slow
def test_restart_storm(undisturbed, tmp_path, request):
    seeds = range(request.config.getoption("storms"))
    folders = [tmp_path / uuid.uuid4().hex for _ in seeds]
    with ThreadPoolExecutor(2) as side_by_side:
        starts = list(side_by_side.map(storm, folders, seeds))
    assert max(starts) > 1
    for folder in folders:
        assert_whole(folder, undisturbed["processes"], 40)
    time.sleep(1)
    assert [process for folder in folders for process in descendants(folder)] == []
