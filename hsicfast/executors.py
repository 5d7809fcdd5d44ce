"""Where trials run: in this process, or in local processes; one interface, ``run``, and one conformance suite.

Whoever trains a trial also makes its result durable before telling anybody (:mod:`hsicfast.store`).
"""

from __future__ import annotations

import inspect
import math
import multiprocessing
import numbers
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

from hsicfast.errors import InputError
from hsicfast.pruning import Pruning, Report
from hsicfast.space import RESERVED
from hsicfast.store import read_result, result_path, write_result
from hsicfast.trials import DIVERGED, DONE, LOST, PRUNED, Trial

Evaluate = Callable[..., Any]

# A trial lost to the infrastructure (killed, timed out) runs again at most this often.
RETRIES = 2
# A pool whose workers die before they take a trial: this often in a row is no accident.
BROKEN_STARTS = 3
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class NoResult(InputError):
    """What `evaluate` returned is no result: every other trial would end the same way."""


@dataclass(frozen=True)
class Job:
    """A trial that is planned: its place, values and seed, who proposed it, who may stop it, its price if known."""

    index: int
    params: dict[str, Any]
    seed: int
    origin: str
    pruning: Pruning | None = None
    price: float = math.nan


def never() -> bool:
    """The answer of a run that nobody stops."""
    return False


class Executor(Protocol):
    """What every executor does."""

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Job],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """Train `jobs`, taken one by one as there is room, and yield each trial as it ends.

        Once `should_stop` says so no job is taken any more; those in flight end and are yielded. Workers stay
        for the next call until :meth:`close`.

        Raises
        ------
        InputError
            Where what `evaluate` returns is no result.
        """

    def close(self) -> None:
        """End the workers; trials in flight are given up."""


def accepts_seed(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``seed`` beside the params."""
    return _accepts(evaluate, "seed")


def accepts_report(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``report`` beside the params."""
    return _accepts(evaluate, "report")


def _accepts(evaluate: Evaluate, name: str) -> bool:
    try:
        parameters = inspect.signature(evaluate).parameters
    except (TypeError, ValueError):  # builtins may have no signature
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def run_trial(evaluate: Evaluate, seeded: bool, job: Job, folder: Path | None) -> Trial:
    """Train one trial in this process and make its result durable.

    Raises
    ------
    NoResult
        Where what `evaluate` returns or reports is no result: every other trial would end the same way.
    """
    trial = Trial(job.index, job.params, math.nan, job.price, DIVERGED, job.origin, job.seed)
    report = Report(job.pruning, job.index)
    asked: dict[str, Any] = {"seed": job.seed} if seeded else {}
    if job.pruning is not None:
        asked["report"] = report
    try:
        outcome = evaluate(dict(job.params), **asked)
    except NoResult:  # from within: an evaluate that calls another one, as Repeated does
        raise
    except Exception as error:  # noqa: BLE001 -- whatever a training raises says that these params do not train
        lines = str(error).strip().splitlines()
        trial = replace(trial, message=f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__)
    else:
        trial = replace(trial, **_checked(outcome, job, report.message))
    if report.error is not None:
        raise report.error
    trial = replace(trial, curve=tuple(report.curve))
    if folder is not None:
        write_result(folder, trial)
    return trial


@dataclass
class Local:
    """Trials one after the other in this process."""

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Job],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """See :meth:`Executor.run`."""
        seeded = accepts_seed(evaluate)
        waiting = iter(jobs)
        while not should_stop():
            job = next(waiting, None)
            if job is None:
                return
            yield run_trial(evaluate, seeded, job, folder)

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class Processes:
    """Trials side by side in processes of this machine.

    A worker that dies costs its own trial one attempt and nothing else. `evaluate` travels once a worker, by pickle.

    Parameters
    ----------
    workers : int, optional
        How many at once; as many as cores over `threads` by default.
    timeout : float, optional
        Seconds after which a trial is killed and counts as lost.
    threads : int
        Threads of each worker. More workers' threads than cores make all of them many times slower.
    """

    workers: int | None = None
    timeout: float | None = None
    threads: int = 1
    _pool: Any = field(default=None, init=False, repr=False, compare=False)
    _evaluate: Any = field(default=None, init=False, repr=False, compare=False)
    _broken: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("workers", "timeout", "threads"):
            value = getattr(self, name)
            whole = isinstance(value, int) or (name == "timeout" and isinstance(value, float))
            if value is not None and (not whole or isinstance(value, bool) or not value > 0):
                raise InputError(f"`{name} > 0` must hold, but got {name}={value!r}; correct executor.{name}")
        if self.threads is None:
            raise InputError("`threads > 0` must hold, but got threads=None; correct executor.threads")

    @property
    def size(self) -> int:
        """Number of workers."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or max(1, cores // self.threads)

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Job],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """See :meth:`Executor.run`."""
        waiting = iter(jobs)
        again: list[tuple[Job, int]] = []
        flying: dict[Any, tuple[Job, int]] = {}
        try:
            while True:
                while len(flying) < self.size and not should_stop():
                    job, attempt = again.pop(0) if again else (next(waiting, None), 1)
                    if job is None:
                        break
                    flying[self._schedule(evaluate, job, folder)] = (job, attempt)
                if not flying:
                    return
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    job, attempt = flying.pop(future)
                    trial = self._outcome(future, job, attempt, folder)
                    if isinstance(trial, Trial):
                        yield trial
                    elif trial is not None:
                        again.append((job, trial))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers; trials in flight are given up."""
        pool, self._pool, self._evaluate = self._pool, None, None
        if pool is not None:
            pool.stop()
            pool.join()

    def _schedule(self, evaluate: Evaluate, job: Job, folder: Path | None) -> Any:
        with _sigint_blocked():
            if self._pool is not None and (evaluate is not self._evaluate or not self._pool.active):
                self.close()
            if self._pool is None:
                self._pool, self._evaluate = self._started(evaluate), evaluate
            return self._pool.schedule(_work, args=(job, folder), timeout=self.timeout)

    def _started(self, evaluate: Evaluate) -> Any:
        from pebble import ProcessPool

        try:
            pickled = pickle.dumps(evaluate)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise _unpicklable(error) from error
        # Fork would copy locks and threads of a parent that has trained or drawn before.
        return ProcessPool(
            max_workers=self.size,
            initializer=_start_worker,
            initargs=(pickled, self.threads),
            context=multiprocessing.get_context("spawn"),
        )

    def _outcome(self, future: Any, job: Job, attempt: int, folder: Path | None) -> Trial | int | None:
        """The trial that has ended, or the number of the attempt that it needs next."""
        from pebble import ProcessExpired

        error = future.exception()
        if error is None:
            self._broken = 0
            return future.result()
        if isinstance(error, BrokenProcessPool):
            return self._after_broken_pool(attempt)
        if isinstance(error, ProcessExpired):
            message = f"its process died ({_exit_reason(error.exitcode)})"
        elif isinstance(error, TimeoutError):
            message = f"it took longer than timeout={self.timeout} s"
        elif isinstance(error, SystemExit):
            message = f"it left its process (SystemExit {error.code})"
        else:
            raise error
        if folder is not None and result_path(folder, job.index).exists():
            # It was durable before its worker died, and that file is the truth.
            return replace(read_result(result_path(folder, job.index)), params=job.params)
        if attempt <= RETRIES:
            return attempt + 1
        lost = Trial(job.index, job.params, math.nan, job.price, LOST, job.origin, job.seed)
        lost = replace(lost, message=f"{message}, {attempt} times")
        if folder is not None:
            write_result(folder, lost)
        return lost

    def _after_broken_pool(self, attempt: int) -> int:
        self._broken += 1
        if self._broken >= BROKEN_STARTS * self.size:
            raise InputError(
                f"worker processes must survive their start, but they died {self._broken} times in a row; call "
                'hsicfast under `if __name__ == "__main__":`, or run with executor=local'
            )
        return attempt


_worker: dict[str, Any] = {}


def _start_worker(pickled: bytes, threads: int) -> None:
    # Before `evaluate` is unpickled: that imports torch, which reads these once.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    if "torch" in sys.modules:  # the main module was imported first, and may have
        sys.modules["torch"].set_num_threads(threads)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        evaluate = pickle.loads(pickled)
        _worker.update(evaluate=evaluate, seeded=accepts_seed(evaluate))
    except Exception as error:  # noqa: BLE001 -- unpickling imports code of others; pebble would swallow it
        _worker["error"] = _unpicklable(error)


def _follow_parent() -> None:
    # Killed with SIGKILL, the parent cannot end its workers: they watch it.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, folder: Path | None) -> Trial:
    if "error" in _worker:
        raise _worker["error"]
    return run_trial(_worker["evaluate"], _worker["seeded"], job, folder)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
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


def _unpicklable(error: BaseException) -> InputError:
    lines = str(error).splitlines() or [type(error).__name__]
    return InputError(
        f"evaluate must be picklable to run in processes, but got: {lines[0]}; define it at the top of a module, or "
        "run with executor=local"
    )


def _exit_reason(code: int) -> str:
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _checked(outcome: Any, job: Job, stopped: str) -> dict[str, Any]:
    """The fields of a Trial in what `evaluate` returned; `stopped` says where it was told to stop, if it was.

    Where no cost is returned, it is the price.
    """
    if not isinstance(outcome, Mapping):
        outcome = {"objective": outcome}
    if "objective" not in outcome:
        raise NoResult(
            f"evaluate must return a number or a dict with `objective`, but got the keys {list(map(str, outcome))}; "
            "add it"
        )
    rest = {str(key): value for key, value in outcome.items()}
    objective = _number("an objective", rest.pop("objective"))
    cost = _number("a cost", rest.pop("cost", math.nan))
    # Told to stop, a training that says nothing else has stopped.
    status = rest.pop("status", PRUNED if stopped and math.isfinite(objective) else DONE)
    message = str(rest.pop("message", "")) or (stopped if status == PRUNED else "")
    if cost < 0:
        raise NoResult(f"`cost >= 0` must hold, but got cost={cost}; return what the network costs, or leave it out")
    if status not in (DONE, DIVERGED, PRUNED):
        raise NoResult(
            f"a status must be {DONE!r}, {DIVERGED!r} or {PRUNED!r}, but got {status!r}; correct it or leave it out"
        )
    if status == DONE and not math.isfinite(objective):
        status, message = DIVERGED, message or f"the objective was {objective}"
    for key, value in rest.items():
        if key in job.params or key in RESERVED:
            raise NoResult(
                f"a metric may not have the name of a hyperparameter or one of {RESERVED}, but got {key!r}; rename it"
            )
        rest[key] = value if isinstance(value, str) else _number(f"the metric {key!r}", value)
    return {
        "objective": objective if status != DIVERGED and math.isfinite(objective) else math.nan,
        "cost": cost if math.isfinite(cost) else job.price,
        "status": status,
        "metrics": rest,
        "message": message,
    }


def _number(what: str, value: Any) -> Any:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if value is None and what.startswith("the metric"):
        return math.nan
    if isinstance(value, bool) and what.startswith("the metric"):
        return int(value)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise NoResult(f"{what} must be a number, but got {value!r}; return a float (NaN for a diverged trial)")
    return int(value) if isinstance(value, int) and what.startswith("the metric") else float(value)
