"""The resources of a worker: its share of the GPUs, its cores and threads, and its protection from Ctrl-C."""

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

# The variable that names the GPUs a process may see, and those that limit its threads.
VISIBLE = "CUDA_VISIBLE_DEVICES"
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def shares(devices: int) -> list[str]:
    """The visible GPUs in shares of `devices` each: every share is a value of CUDA_VISIBLE_DEVICES.

    Raises
    ------
    InputError
        If there are fewer GPUs than one share needs.
    """
    gpus = visible_gpus()
    if len(gpus) < devices:
        raise InputError(
            f"`devices <= visible GPUs` must hold, but got devices={devices} and {len(gpus)} GPUs; lower "
            f"trainer.devices, correct {VISIBLE}, or pass trainer=cpu"
        )
    return [",".join(gpus[i * devices : (i + 1) * devices]) for i in range(len(gpus) // devices)]


def visible_gpus() -> list[str]:
    """The GPUs that a training may use, by their names in CUDA_VISIBLE_DEVICES."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA ignores all names from the first one that is no device.
        return names[: next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))]
    if "torch" in sys.modules:
        return [str(i) for i in range(sys.modules["torch"].cuda.device_count())]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # no driver, no GPU
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def take_share(folder: Path, workers: int, dealt: list[str]) -> IO[str]:
    """Let this process see one share of the GPUs alone; it holds the share until the returned file is closed.

    `folder` has one file for each of the `workers`; worker k has share k modulo the number of shares in `dealt`. The
    kernel unlocks the file of a worker that dies, however it dies, and its replacement finds it free.
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
        time.sleep(0.05)  # the worker that this one replaces has not quite ended


def check_settings(executor: Any, optional: tuple[str, ...], whole: tuple[str, ...]) -> None:
    """Raise an InputError if a number of `executor` is not above zero or its accelerator is unknown.

    The fields `optional` may be None; the fields `whole` are whole numbers.
    """
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
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Protect processes that start meanwhile from Ctrl-C, which reaches the whole process group.

    Pebble's threads and the processes that they start inherit the mask; Ctrl-C could otherwise hit a process before its
    first line of Python.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first lock or process starts Python's resource tracker, which unblocks SIGINT afterwards: start it before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
