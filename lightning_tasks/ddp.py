"""One rank of a trial on several devices: what torchrun starts, ``python -m lightning_tasks.ddp FOLDER``.

:mod:`lightning_tasks.torchrun` has put the task into the folder, and finds there what came of it.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from lightning_tasks.callbacks import Report
from lightning_tasks.machine import out_of_memory
from lightning_tasks.ranks import Ranks
from lightning_tasks.torchrun import assignment_path, error_path, outcome_path


class _Recorded:
    """A report that remembers what it was told: the launching process tells its own the same."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.calls: list[tuple[int, float]] = []

    def __call__(self, step: int, value: float) -> bool:
        self.calls.append((step, value))
        return self.report(step, value)


def main(folder: Path) -> int:
    """Train as one rank; the exit code."""
    # The launching process holds the other end of our standard input: that ends with it, however it ends, and when it
    # sees torchrun die. Killing torchrun alone would leave its ranks.
    threading.Thread(target=_follow_launcher, args=(folder,), daemon=True).start()
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    report = None
    try:
        trainee, assignment = pickle.loads(assignment_path(folder).read_bytes())
        if assignment["report"] is not None:
            assignment["report"] = report = _Recorded(assignment["report"])
        if trainee.machine.accelerator == "gpu":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        result, weights = trainee.train(**assignment, ranks=ranks)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the launching process raises it again
        lines = str(error).strip().splitlines()
        said = {
            "time": time.monotonic(),  # one clock for all processes of the machine
            "text": f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__,
            "trace": "".join(traceback.format_exception(error)),
            "out of memory": out_of_memory(error),
            "lost": getattr(error, "lost", False),
            "calls": [] if report is None else report.calls,
        }
        _write(error_path(folder, ranks.rank), said)
        os._exit(1)  # at once: the other ranks wait for this one
    if ranks.rank == 0:
        _write(
            outcome_path(folder),
            {"result": result, "weights": weights, "calls": [] if report is None else report.calls},
        )
    torch.distributed.destroy_process_group()
    return 0


def _follow_launcher(folder: Path) -> None:
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(folder, ignore_errors=True)  # who was killed has left it
    os._exit(1)


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(content))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
