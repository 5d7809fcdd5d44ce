"""Trials train side by side in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, ClassVar

from hsicfast.errors import InputError, RunError
from hsicfast.training.attempts import Loss, Outcome, Planned, attempted, left_its_process, side_by_side, trials_of
from hsicfast.training.resources import THREAD_VARIABLES, check_settings, cores, shares, sigint_blocked, take_share
from hsicfast.training.worker import Evaluate, accepts_seed, never
from hsicfast.trials.trial import TIMED_OUT, Trial

# If the workers of a pool die BROKEN_STARTS times in a row before they take a trial, that is no accident.
BROKEN_STARTS = 3
# Replaces exit code 0 of a worker that left without a result; no process can end with this code.
LEFT_CODE = 1000


@dataclass
class Processes:
    """Trials side by side in processes of this machine.

    A worker that dies costs its own trial one attempt and nothing else. Each worker receives `evaluate` once, by
    cloudpickle.

    Parameters
    ----------
    workers : int, optional
        Number of trials at once. By default the number of GPUs over `devices`, or on CPUs the number of cores over
        `threads` times `devices`. More workers than that share the GPUs evenly, which pays for small networks.
    timeout : float, optional
        Seconds after which a trial is killed and counts as lost; it is not tried again. A group of trials that train
        in one call has as many times this, and then each of them is tried alone.
    threads : int
        Threads of each worker. If all workers together have more threads than there are cores, all are many times
        slower.
    accelerator : {"cpu", "gpu"}
        The device that a trial trains on. With "gpu" each worker sees only its own share of the visible GPUs, by
        CUDA_VISIBLE_DEVICES.
    devices : int
        Number of GPUs, or of processes on CPUs, for one trial.

    Raises
    ------
    InputError
        If a value is out of range, or one trial needs more GPUs than are visible.
    """

    takes_groups: ClassVar[bool] = True
    workers: int | None = None
    timeout: float | None = None
    threads: int = 1
    accelerator: str = "cpu"
    devices: int = 1
    _shares: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    _slots: Any = field(default=None, init=False, repr=False, compare=False)
    _pool: Any = field(default=None, init=False, repr=False, compare=False)
    _evaluate: Any = field(default=None, init=False, repr=False, compare=False)
    _broken: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_settings(self, optional=("workers", "timeout"), whole=("workers", "threads", "devices"))
        if self.accelerator == "gpu":
            self._shares = shares(self.devices)

    @property
    def size(self) -> int:
        """The number of workers."""
        return self.workers or len(self._shares) or max(1, cores() // (self.threads * self.devices))

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Planned],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """See :meth:`Executor.run`."""

        def launch(job: Planned) -> Any:
            return self._schedule(evaluate, job, folder)

        try:
            yield from side_by_side(jobs, lambda: self.size, launch, self._ended, folder, should_stop)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers; trials in flight are given up."""
        pool, self._pool, self._evaluate = self._pool, None, None
        if pool is not None:
            pool.stop()
            pool.join()
            if self._slots is not None:
                self._slots.cleanup()

    def _schedule(self, evaluate: Evaluate, job: Planned, folder: Path | None) -> Any:
        with sigint_blocked():
            if self._pool is not None and (evaluate is not self._evaluate or not self._pool.active):
                self.close()
            if self._pool is None:
                self._pool, self._evaluate = self._started(evaluate), evaluate
            timeout = None if self.timeout is None else self.timeout * trials_of(job)
            return self._pool.schedule(_work, args=(job, folder), timeout=timeout)

    def _started(self, evaluate: Evaluate) -> Any:
        leave_a_start()
        if multiprocessing.current_process().daemon:
            raise InputError(
                "trials side by side need processes of their own, but this process is a daemon, which may start none; "
                "use executor=local, or start this process with daemon=False"
            )
        import cloudpickle
        from pebble import ProcessPool

        try:
            # Functions of a notebook or a prompt are in no module: cloudpickle sends them by value.
            pickled = cloudpickle.dumps(evaluate)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise _unpicklable(error) from error
        take: Callable[[], Any] | None = None
        if self._shares:
            self._slots = tempfile.TemporaryDirectory(prefix="hsicfast-", ignore_cleanup_errors=True)
            take = partial(take_share, Path(self._slots.name), self.size, self._shares)
        # We spawn, because fork would copy locks and threads of a parent that has trained or drawn before.
        return ProcessPool(
            max_workers=self.size,
            initializer=_start_worker,
            initargs=(pickled, self.threads, take),
            context=_Spawn(),
        )

    def _ended(self, futures: list[Any]) -> Iterator[tuple[Any, Outcome | Loss]]:
        for future in wait(futures, return_when=FIRST_COMPLETED).done:
            yield future, self._outcome(future)

    def _outcome(self, future: Any) -> Outcome | Loss:
        from pebble import ProcessExpired

        error = future.exception()
        if error is None:
            self._broken = 0
            return future.result()
        if isinstance(error, BrokenProcessPool):
            return self._after_broken_pool()
        if isinstance(error, ProcessExpired):
            return Loss(f"its process died ({_exit_reason(error.exitcode)})")
        if isinstance(error, TimeoutError):
            return Loss(f"it took longer than timeout={self.timeout} s", TIMED_OUT)
        if isinstance(error, SystemExit):
            return left_its_process(error)
        if isinstance(error, KeyboardInterrupt):
            return Loss("it raised KeyboardInterrupt in its process")
        raise error

    def _after_broken_pool(self) -> Loss:
        self._broken += 1
        if self._broken >= BROKEN_STARTS * self.size:
            raise RunError(
                f"worker processes must survive their start, but they died {self._broken} times in a row; call "
                'hsicfast under `if __name__ == "__main__":`, or run with executor=local'
            )
        return Loss("its pool broke", counts=False)


def leave_a_start() -> None:
    """Leave a worker that runs the script of its parent again, as the script has no main guard.

    It could start no workers itself, and would print a traceback for each attempt. The parent says what is missing.
    """
    # multiprocessing sets this mark while a new process imports the main module; its own check reads it, too.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)


class _Spawned(SpawnProcess):
    """A worker process whose end is never a success: one that leaves with code 0 in the middle of a trial has died.

    Pebble takes code 0 for a regular end, and would wait for that trial's result for ever.
    """

    def start(self) -> None:
        """Start the process; pebble also does so from its own thread, when it replaces a dead worker."""
        with _without_stdin_as_file():
            super().start()

    @property
    def exitcode(self) -> int | None:
        """The exit code, with LEFT_CODE for 0; None while the process runs."""
        code = super().exitcode
        return LEFT_CODE if code == 0 else code


class _Spawn(SpawnContext):
    Process = _Spawned


# Two pools may start workers at the same time.
_main_file = threading.Lock()


@contextmanager
def _without_stdin_as_file() -> Iterator[None]:
    """Hide a ``__main__.__file__`` of "<stdin>": a process spawned meanwhile would look for a script of this name.

    The parent reads the attribute each time it starts a process; afterwards the program has it back.
    """
    with _main_file:
        main = sys.modules["__main__"]
        file = getattr(main, "__file__", None)
        if file != "<stdin>":
            yield
            return
        del main.__file__
        try:
            yield
        finally:
            main.__file__ = file


_worker: dict[str, Any] = {}


def _start_worker(pickled: bytes, threads: int, take: Callable[[], Any] | None) -> None:
    # Set before `evaluate` is unpickled, which imports torch: torch reads them once.
    if take is not None:
        _worker["share"] = take()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if "torch" in sys.modules:  # the main module was imported first, and may have imported torch
        sys.modules["torch"].set_num_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        evaluate = pickle.loads(pickled)
        _worker.update(evaluate=evaluate, seeded=accepts_seed(evaluate))
    except Exception as error:  # noqa: BLE001 -- unpickling imports code of others; pebble would swallow it
        _worker["error"] = _unpicklable(error)


def _follow_parent() -> None:
    # A parent that is killed with SIGKILL cannot end its workers, so they watch it.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Planned, folder: Path | None) -> Outcome | Loss:
    if "error" in _worker:
        raise _worker["error"]
    return attempted(_worker["evaluate"], _worker["seeded"], job, folder)


def _unpicklable(error: BaseException) -> InputError:
    # Not first_line(error): an import that fails names its file nowhere else.
    lines = str(error).splitlines() or [type(error).__name__]
    return InputError(
        f"evaluate must be picklable to run in processes, but got: {lines[0]}; define it at the top of a module, or "
        "run with executor=local"
    )


def _exit_reason(code: int) -> str:
    if code == LEFT_CODE:
        return "exit code 0, without a result"
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
