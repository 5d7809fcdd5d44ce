"""Numba's threading layers, where they are not safe: after a fork, and in several threads at once.

GNU's OpenMP, Numba's layer on Linux, ends a process that was forked after a parallel region: a pool of such workers
would start new ones for ever. Numba's own layer ``workqueue``, which it takes where there is no OpenMP, ends a process
of which two threads compute in parallel.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba

from hsicfast.errors import RunError

# Layers in which several threads may compute at once, and the layer that does not survive a fork on Linux.
_THREAD_SAFE, _FORK_UNSAFE = ("omp", "tbb"), "omp"
_one_at_a_time = threading.RLock()
_forked_after: list[str] = []


def _layer() -> str:
    """The layer that this process has begun to use; empty before the first parallel region."""
    try:
        return str(numba.threading_layer())
    except ValueError:
        return ""


def _after_fork() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.RLock()  # the thread that held it is not in this process
    _forked_after[:] = [_layer()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def check_fork() -> None:
    """Raise a RunError if compiled loops would end this process, because it was forked after a parallel region."""
    if _FORK_UNSAFE in _forked_after and sys.platform == "linux":
        raise RunError(
            "compiled loops cannot run in a process that was forked after they ran in its parent (GNU OpenMP would end "
            'it), but this one was; start processes by multiprocessing.get_context("spawn"), or set '
            "NUMBA_THREADING_LAYER=workqueue"
        )


@contextmanager
def safely() -> Iterator[None]:
    """Context manager: compiled loops inside neither end nor hang this process.

    Raises
    ------
    RunError
        As :func:`check_fork` does.
    """
    check_fork()
    if _layer() in _THREAD_SAFE:
        yield
        return
    with _one_at_a_time:
        yield
