"""The GPUs of this machine, and the share of them that each worker has to itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from hsicfast.errors import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"


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
