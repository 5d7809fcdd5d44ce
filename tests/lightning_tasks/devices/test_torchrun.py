"""A trial on two devices through torchrun: what went wrong is named, and nobody is left behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import Faulty

from lightning_tasks.devices import torchrun
from lightning_tasks.devices.errors import Lost
from lightning_tasks.runge import Runge
from lightning_tasks.training import Trainee

PLAIN = {"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 3}
MARK = "MARK_OF_A_TEST"


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The processes that a test has started, directly or not, and that still run."""
    mark = f"{MARK}={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))

    def running() -> list[int]:
        found = []
        for folder in Path("/proc").iterdir():
            try:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except (OSError, ValueError):
                continue
        return found

    return running


def faulty(deed: str) -> Trainee:
    return Trainee(Faulty(deed=deed), {"devices": 2}, epochs=50)


@pytest.mark.slow
def test_two_trials_side_by_side_are_those_of_one_device(trainee, tmp_path: Path, left) -> None:
    two, one = trainee("runge", epochs=4, trainer={"devices": 2}), trainee("runge", epochs=4)
    told: list[tuple[int, float]] = []
    saved: list[Any] = []
    other = threading.Thread(target=lambda: saved.append(two.save_best(PLAIN, 4, tmp_path)))
    other.start()
    result = two(PLAIN, 3, _Report(told), tmp_path / "3.ckpt")
    other.join()
    whole: list[tuple[int, float]] = []
    expected = one(PLAIN, 3, lambda step, value: whole.append((step, value)) or True)
    assert list(result) == list(expected)
    assert result["objective"] == pytest.approx(expected["objective"], rel=1e-6)
    assert (result["status"], result["epochs"], result["cost"]) == ("done", 4, expected["cost"])
    assert [step for step, _ in told] == [1, 2, 3, 4]
    assert [value for _, value in told] == pytest.approx([value for _, value in whole], rel=1e-6)
    _, weights = one.train(PLAIN, 4, None, test=True)
    network = torch.load(tmp_path / "network.pt")
    assert network["metrics"] == saved[0]
    for name, value in network["state_dict"].items():
        torch.testing.assert_close(value, weights[name], rtol=1e-5, atol=1e-6)
    assert left() == []


class _Report:
    def __init__(self, told: list[tuple[int, float]]) -> None:
        self.told = told

    def __call__(self, step: int, value: float) -> bool:
        self.told.append((step, value))
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "error", "said"),
    [
        ("raise", torchrun.RankFailed, "rank 1 of 2: ValueError: it broke"),
        ("die", Lost, r"rank 1 of 2 died \(SIGKILL\)"),
        ("kill torchrun", Lost, r"torchrun died \(SIGKILL\)"),
    ],
)
def test_what_went_wrong_is_named(left, deed: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"(^|\n){said}$"):
        faulty(deed)(PLAIN, 0)
    assert left() == []


WORKER = """
import signal, sys
from faulty import Faulty
from lightning_tasks.training import Trainee

signal.signal(signal.SIGINT, signal.SIG_IGN)
Trainee(Faulty(deed="wait", folder=sys.argv[1]), {"devices": 2}, epochs=50)({"batch_size": 3}, 0)
"""


@pytest.mark.slow
def test_ctrl_c_reaches_no_rank_and_a_killed_worker_leaves_none(tmp_path: Path, left) -> None:
    notes, temporary = tmp_path / "notes", tmp_path / "temporary"
    notes.mkdir()
    temporary.mkdir()
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, notes],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
    )
    try:
        assert _within(120, lambda: len(list(notes.iterdir())) == 2)
        os.killpg(worker.pid, signal.SIGINT)  # what the terminal does
        time.sleep(1)
        assert len(left()) == 4  # the worker, torchrun and its two ranks
        assert len(list(temporary.glob("hsicfast-*"))) == 1
    finally:
        worker.kill()
        worker.wait()
    assert _within(20, lambda: left() == [])
    assert list(temporary.glob("hsicfast-*")) == []


def _within(seconds: float, met: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


# What torchrun prints.
TABLE = """\
W1124 01:02:03 torch/distributed/run.py] something
RuntimeError: Connection closed by peer [127.0.0.1]:1234
============================================================
lightning_tasks.ddp FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-01-31_00:00:00
  host      : localhost
  rank      : 0 (local_rank: 0)
  exitcode  : {0} (pid: 11)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-01-31_00:00:00
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : {1} (pid: 12)
  error_file: <N/A>
  traceback : Signal
============================================================
"""


def error(when: float, text: str, **more: Any) -> dict[str, Any]:
    return {"time": when, "text": text, "trace": "Trace\n", "out of memory": False, "lost": False, "calls": [], **more}


X = error(1, "ValueError: x")
CLOSED = error(2, "RuntimeError: closed")
FAILED = "Trace\nrank 1 of 2: ValueError: x"
BY_PEER = "RuntimeError: Connection closed by peer [127.0.0.1]:1234"


@pytest.mark.parametrize(
    ("code", "log", "errors", "kind", "said"),
    [
        (-9, "", {}, Lost, "torchrun died (SIGKILL)"),
        (-15, TABLE.format(1, -9), {}, Lost, "torchrun died (SIGTERM)"),
        (1, "Trace\nx.SignalException: 15\n", {}, Lost, "torchrun was terminated: x.SignalException: 15"),
        (1, TABLE.format(1, -9), {0: CLOSED}, Lost, "rank 1 of 2 died (SIGKILL)"),
        (1, TABLE.format(-15, -11), {}, Lost, "rank 1 of 2 died (SIGSEGV)"),
        (1, TABLE.format(1, -15), {}, Lost, f"rank 0 of 2 left with exit code 1 ({BY_PEER})"),
        (1, TABLE.format(-6, -15), {}, Lost, "rank 0 of 2 died (SIGABRT)"),
        (1, TABLE.format(-6, 1), {1: X}, torchrun.RankFailed, FAILED),  # rank 0 aborts because rank 1 has gone
        (1, TABLE.format(1, 1), {0: CLOSED, 1: X}, torchrun.RankFailed, FAILED),  # the first error ends the others
        (1, "", {1: error(1, "MemoryError", **{"out of memory": True})}, MemoryError, "rank 1 of 2: MemoryError"),
        (1, "", {0: error(1, "Lost: no room", lost=True)}, Lost, "rank 0 of 2: Lost: no room"),
        (1, "a\nb\n", {}, Lost, "torchrun ended with exit code 1 and no result, its last words: b"),
        (0, "", {}, Lost, "torchrun ended with exit code 0 and no result, its last words: nothing"),
    ],
)
def test_the_cause_is_what_came_first(code: int, log: str, errors: dict, kind: type[Exception], said: str) -> None:
    cause = torchrun._cause(code, log, errors, 2)
    assert (type(cause), str(cause)) == (kind, said)
    assert getattr(cause, "lost", False) == (kind is Lost)


def test_out_of_memory_in_a_rank_is_out_of_memory(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(folder: Path, devices: int, threads: int) -> tuple[int, str]:
        content = pickle.dumps(error(1, "OutOfMemoryError: CUDA", **{"out of memory": True}))
        torchrun.error_path(folder, 1).write_bytes(content)
        return 1, ""

    monkeypatch.setattr(torchrun, "_torchrun", failed)
    result = trainee("runge", trainer={"devices": 2})({"depth": 1, "width": 4}, 0)
    assert (result["status"], result["failure"]) == ("diverged", "out of memory")
    assert result["message"] == "13 parameters did not fit"
    assert result["cost"] == result["flops"]


def test_what_the_reporter_raises_in_a_rank_is_raised_here(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(folder: Path, devices: int, threads: int) -> tuple[int, str]:
        content = pickle.dumps(error(1, "LookupError: no more", calls=[(1, 0.5), (2, 0.25)]))
        torchrun.error_path(folder, 0).write_bytes(content)
        return 1, ""

    monkeypatch.setattr(torchrun, "_torchrun", failed)
    with pytest.raises(LookupError, match="no more"):
        trainee("runge", trainer={"devices": 2})(PLAIN, 0, refuse_the_second)


def refuse_the_second(step: int, value: float) -> bool:
    if step == 2:
        raise LookupError("no more")
    return True


def test_what_cannot_be_is_refused_before_torchrun_starts(trainee) -> None:
    with pytest.raises(ValueError, match=r"every hyperparameter must be one of .*, but got colour"):
        trainee("runge", trainer={"devices": 2})({"colour": "red"}, 0)


@dataclass(frozen=True)
class OfTheScript(Runge):
    pass


OfTheScript.__module__ = "__main__"


def test_what_cannot_travel_is_refused_before_torchrun_starts(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"must be picklable, but got: .*; put it into a module of its own and import"):
        trainee("runge", trainer={"devices": 2})(PLAIN, 0, lambda step, value: True)
    monkeypatch.setattr(sys.modules["__main__"], "OfTheScript", OfTheScript, raising=False)
    with pytest.raises(ValueError) as raised:
        Trainee(OfTheScript(), {"devices": 2}, epochs=1)(PLAIN, 0)
    assert str(raised.value) == (
        "what trains on several devices must be importable, but a part of it is defined in the script that runs; put "
        "it into a module of its own and import it from there, or train with devices=1"
    )
