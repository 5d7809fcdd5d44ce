"""The GPUs of this machine, and the share of them that each worker has to itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import IO, Any

from hsicfast.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"


THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def shares(devices: int) -> list[str]:
    """The visible GPUs, dealt `devices` at a time: each share as the value of CUDA_VISIBLE_DEVICES.

    Raises
    ------
    InputError
        Where they are too few for one share.
    """
    gpus = visible_gpus()
    if len(gpus) < devices:
        raise InputError(
            f"`devices <= visible GPUs` must hold, but got devices={devices} and {len(gpus)} GPUs; lower "
            f"trainer.devices, correct {VISIBLE}, or pass trainer=cpu"
        )
    return [",".join(gpus[i * devices : (i + 1) * devices]) for i in range(len(gpus) // devices)]


def visible_gpus() -> list[str]:
    """The GPUs that a training may use, by the names that CUDA_VISIBLE_DEVICES gives them."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA itself sees none from the first name on that is no device.
        return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
    if "torch" in sys.modules:
        return [str(i) for i in range(sys.modules["torch"].cuda.device_count())]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, no GPU
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def take_share(folder: Path, workers: int, dealt: list[str]) -> IO[str]:
    """Let this process see its own share alone, and keep it as long as the file that is returned is open.

    Each of the `workers` has a file in `folder`, worker k the share k modulo their number. The kernel unlocks the
    file of a worker that dies, however it dies, and its replacement finds it free.
    """
    import fcntl

    while True:
        for slot in range(workers):
            file = (folder / str(slot)).open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            os.environ[VISIBLE] = dealt[slot % len(dealt)]
            return file
        time.sleep(0.05)  # the worker that this one replaces has not quite gone


def check_settings(executor: Any, optional: tuple[str, ...], whole: tuple[str, ...]) -> None:
    """Refuse numbers that are not above zero, and an accelerator that nobody knows."""
    for name in dict.fromkeys((*optional, *whole)):
        value = getattr(executor, name)
        if value is None and name in optional:
            continue
        kind = int if name in whole else int | float
        if not isinstance(value, kind) or isinstance(value, bool) or not value > 0:
            raise InputError(f"`{name} > 0` must hold, but got {name}={value!r}; correct executor.{name}")
    if executor.accelerator not in ("cpu", "gpu"):
        raise InputError(
            f"an accelerator must be 'cpu' or 'gpu', but got {executor.accelerator!r}; correct executor.accelerator"
        )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group: what is started in here never sees it.

    The mask is inherited by pebble's threads and by the processes they start, which otherwise could be hit
    before their first line of Python.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python's resource tracker, started by the first lock or process, unblocks SIGINT behind itself: start it before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
