"""One rank of a trial on several devices; torchrun starts ``python -m lightning_tasks.ddp FOLDER`` for each.

:mod:`lightning_tasks.devices.torchrun` puts the task into the folder, and finds the outcome there.
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

from lightning_tasks.devices.machine import out_of_memory
from lightning_tasks.devices.ranks import Ranks
from lightning_tasks.devices.torchrun import assignment_path, error_path, outcome_path
from lightning_tasks.fits.callbacks import Report


class _Recorded:
    """A report that records its calls, so that the launching process can repeat them to its own report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.calls: list[tuple[int, float]] = []

    def __call__(self, step: int, value: float) -> bool:
        self.calls.append((step, value))
        return self.report(step, value)


def main(folder: Path) -> int:
    """Train as one rank; returns the exit code."""
    # The launching process holds the other end of our standard input, which closes when that process ends, however it
    # ends, or when it sees torchrun die. Killing torchrun alone would leave its ranks.
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
    except Exception as error:  # noqa: BLE001 -- the launching process raises it again, whatever it is
        lines = str(error).strip().splitlines()
        failure = {
            "time": time.monotonic(),  # one clock for all processes of the machine
            "text": f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__,
            "trace": "".join(traceback.format_exception(error)),
            "out of memory": out_of_memory(error),
            "lost": getattr(error, "lost", False),
            "calls": [] if report is None else report.calls,
        }
        _write(error_path(folder, ranks.rank), failure)
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
    shutil.rmtree(folder, ignore_errors=True)  # a launching process that was killed has left it
    os._exit(1)


def _write(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(content))
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
