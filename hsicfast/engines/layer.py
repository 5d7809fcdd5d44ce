"""Numba's threading layers: how many threads a loop is worth, and where they are not safe.

GNU's OpenMP, Numba's layer on Linux, ends a process that was forked after a parallel region: a pool of such workers
would start new ones for ever. Numba's own layer ``workqueue``, which it takes where there is no OpenMP, ends a process
of which two threads compute in parallel.

Other threads are woken for each parallel loop, and then wait for the next one at full speed for up to some 10 ms each:
many short loops cost more waiting than computing, the more so the more cores there are.
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
# Loops of fewer steps than this, multiplications or the like, take one thread: a core does so many in 2 to 4 ms.
WORTH_THREADS = 10_000_000
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


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Context manager: compiled loops inside use `n` threads; their numbers do not depend on it."""
    before = numba.get_num_threads()
    numba.set_num_threads(n)
    try:
        yield
    finally:
        numba.set_num_threads(before)


@contextmanager
def threads_for(steps: float) -> Iterator[None]:
    """Context manager: a compiled loop inside, of about so many `steps`, uses other threads only if it is worth them.

    Examples
    --------
    >>> with threads_for(1000):
    ...     numba.get_num_threads()
    1
    """
    if steps >= WORTH_THREADS:
        yield
        return
    with threads(1):
        yield
