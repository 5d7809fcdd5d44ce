"""Trials train side by side on a Ray cluster: each attempt is a task, and we ourselves count and repeat lost ones."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hsicfast.errors import InputError, RunError, first_line, require
from hsicfast.runs.results import write_result
from hsicfast.training.attempts import Loss, Outcome, Planned, attempted, left_its_process, side_by_side, trials_of
from hsicfast.training.resources import THREAD_VARIABLES, VISIBLE, check_settings, cores, sigint_blocked
from hsicfast.training.worker import Evaluate, accepts_seed, never
from hsicfast.trials.trial import TIMED_OUT, Trial

# Seconds from one look at nodes and deadlines to the next.
LOOK_INTERVAL = 1.0
# Seconds that a cancelled task has to end before its process is killed.
CANCEL_GRACE = 5.0
# Seconds for which a cluster may be without any node that has room for a trial.
NO_ROOM_PATIENCE = 60.0
# Seconds in which the address of a cluster must answer.
PROBE_TIMEOUT = 5.0


@dataclass
class Ray:
    """Trials side by side on a Ray cluster, as tasks that Ray itself never repeats.

    Each worker receives `evaluate` once, by Ray's cloudpickle: functions of a notebook and lambdas work. hsicfast and
    the modules that `evaluate` imports must be installed on every node.

    A worker that sees the run folder writes the result of its trial there before it reports it, as every executor does.
    A worker on a node that does not share the folder cannot: its result is durable once the process that started the
    run has it, before anybody else learns of it, and its training keeps no checkpoint.

    Parameters
    ----------
    address : str, optional
        ``host:port`` of a cluster. By default the cluster that RAY_ADDRESS names, or else one of this machine's cores
        and GPUs that is started for the run and ends with it. If this process called ``ray.init`` before, that cluster
        is used in any case.
    cpus : float, optional
        Cores of each trial; by default `threads`, on CPUs times `devices`.
    gpus : float, optional
        GPUs of each trial, for example 0.5. By default `devices` if the accelerator is "gpu", or else none.
    workers : int, optional
        Most trials at once. By default as many as the nodes have room for, as nodes come and go.
    timeout : float, optional
        Seconds of training after which a trial is killed and counts as lost; it is not tried again. A group of trials
        that train in one call has as many times this, and then each of them is tried alone.
    threads : int
        Threads of each worker.
    accelerator : {"cpu", "gpu"}
        The device that a trial trains on.
    devices : int
        Number of GPUs, or of processes on CPUs, for one trial.

    Raises
    ------
    InputError
        If a value is out of range, or Ray is not installed.
    """

    takes_groups: ClassVar[bool] = True
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    workers: int | None = None
    timeout: float | None = None
    threads: int = 1
    accelerator: str = "cpu"
    devices: int = 1
    _started: bool = field(default=False, init=False, repr=False, compare=False)
    _evaluate: Any = field(default=None, init=False, repr=False, compare=False)
    _pickled: Any = field(default=None, init=False, repr=False, compare=False)
    _had_room: float = field(default=-NO_ROOM_PATIENCE, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_settings(self, optional=("cpus", "workers", "timeout"), whole=("workers", "threads", "devices"))
        if self.gpus is not None and not self.gpus >= (1e-4 if self.accelerator == "gpu" else 0):
            raise InputError(
                f"`gpus >= 0` must hold, and `gpus > 0` with accelerator=gpu, but got gpus={self.gpus!r}; correct "
                "executor.gpus"
            )
        for name in ("cpus", "gpus"):
            value = getattr(self, name)
            if value is not None and value > 1 and value != int(value):
                raise InputError(f"Ray deals whole {name} above 1, but got {name}={value}; correct executor.{name}")
        if self.address is not None and "://" in self.address:
            raise InputError(
                f"executor.address must be host:port, but got {self.address}; run the command on a node of the "
                "cluster, for example by `ray job submit`"
            )
        require("ray", user="executor=ray", extra="ray")

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Planned],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """See :meth:`Executor.run`."""
        # Only the workers of this machine share our working directory.
        folder = None if folder is None else folder.absolute()
        flying: set[_Attempt] = set()
        try:
            self._join()
            import ray

            task = self._task(evaluate)
            with _marked(folder) as mark:

                def launch(job: Planned) -> _Attempt:
                    attempt = _Attempt(task(ray.cloudpickle.dumps(job), folder, mark), trials_of(job))
                    flying.add(attempt)
                    return attempt

                def ended(attempts: list[_Attempt]) -> Iterator[tuple[_Attempt, Outcome | Loss]]:
                    for attempt, outcome in self._ended(attempts, folder):
                        flying.discard(attempt)
                        yield attempt, outcome

                yield from side_by_side(jobs, self._size, launch, ended, folder, should_stop)
        finally:
            _cancel(flying)

    def close(self) -> None:
        """End the cluster, or the connection to it, if this executor made it."""
        self._evaluate = self._pickled = None
        if self._started:
            import ray

            ray.shutdown()
            self._started = False

    @property
    def request(self) -> dict[str, float]:
        """The resources that a trial needs of a node, by Ray's names."""
        on_gpus = self.accelerator == "gpu"
        cpus = self.threads * (1 if on_gpus else self.devices) if self.cpus is None else self.cpus
        gpus = (self.devices if on_gpus else 0) if self.gpus is None else self.gpus
        return {"CPU": float(cpus), "GPU": float(gpus)}

    def _join(self) -> None:
        # Ray reads these when it is imported. The second one hides what Ray prints about each dead worker despite
        # log_to_driver; a lost trial has a message of its own.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
        import ray

        if ray.is_initialized():
            return
        self._evaluate = self._pickled = None
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        address = self.address or os.environ.get("RAY_ADDRESS")
        with sigint_blocked(), _sigterm_kept():
            if address is None:
                ray.init("local", num_cpus=cores(), include_dashboard=False, **quiet)
            else:
                _check_answers(address)
                try:
                    ray.init(address, **quiet)
                except (ConnectionError, RuntimeError, ValueError) as error:
                    raise _no_cluster(address, error) from error
        self._started = True

    def _task(self, evaluate: Evaluate) -> Callable[..., Any]:
        import ray

        if evaluate is not self._evaluate or self._pickled is None:
            paths = [os.path.abspath(path) for path in sys.path]
            self._pickled, self._evaluate = ray.put((paths, ray.cloudpickle.dumps(evaluate))), evaluate
        request = self.request
        environment = dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        if not request["GPU"]:
            environment[VISIBLE] = ""  # Ray leaves all GPUs visible
        task = ray.remote(
            num_cpus=request["CPU"],
            num_gpus=request["GPU"],
            num_returns="streaming",
            max_retries=0,
            max_calls=0,  # a worker with a GPU would end after each trial, and its successor import everything again
            runtime_env={"env_vars": environment},
        )(_train)
        # Inside a list Ray passes the reference itself, so that a worker fetches the object once.
        return partial(task.remote, [self._pickled])

    def _size(self) -> int:
        nodes = [node["Resources"] for node in _nodes()]
        room = sum(_held(node, self.request) for node in nodes)
        now = time.monotonic()
        if room:
            self._had_room = now
        elif now - self._had_room >= NO_ROOM_PATIENCE:  # Ray itself would wait for ever
            asked = f"cpus={self.request['CPU']:g} and gpus={self.request['GPU']:g}"
            have = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes) or "none"
            raise RunError(
                f"a trial must fit on one node of the Ray cluster, but it asks for {asked} and the nodes have {have}; "
                "lower executor.cpus or executor.gpus, or add a node"
            )
        return max(1, room if self.workers is None else min(room, self.workers))

    def _ended(self, attempts: list[_Attempt], folder: Path | None) -> Iterator[tuple[_Attempt, Outcome | Loss]]:
        import ray

        by_stream = {attempt.stream: attempt for attempt in attempts}
        soon = min((attempt.deadline for attempt in attempts), default=LOOK_INTERVAL) - time.monotonic()
        ray.wait(list(by_stream), timeout=min(max(soon, 0.0), LOOK_INTERVAL))
        ready, silent = ray.wait(list(by_stream), num_returns=len(by_stream), timeout=0)
        for stream in silent:
            by_stream[stream].end_overdue()
        for stream in ready:
            attempt = by_stream[stream]
            try:
                report = ray.get(next(stream))
            except ray.exceptions.RayError as error:
                yield attempt, self._loss(attempt, error)
                continue
            if isinstance(report, _Begun):
                attempt.begun = report
                if report.moved:
                    ray.cancel(stream, force=True)
                elif self.timeout is not None:
                    attempt.deadline = time.monotonic() + self.timeout * attempt.trials
                continue
            outcome, durable = report
            if folder is not None and not isinstance(outcome, Loss) and not durable:
                for trial in outcome if isinstance(outcome, list) else [outcome]:
                    write_result(folder, trial)
            yield attempt, outcome

    def _loss(self, attempt: _Attempt, error: Any) -> Loss:
        """How an attempt ended that reported no trial.

        Raises
        ------
        RunError
            If every other trial would end the same way.
        """
        from ray import exceptions

        if attempt.overdue:
            return Loss(f"it took longer than timeout={self.timeout:g} s", TIMED_OUT)
        if attempt.begun is not None and attempt.begun.moved:
            return Loss("its worker had begun on another GPU", counts=False)
        for kind, message in (
            (exceptions.TaskCancelledError, "its task was cancelled"),
            (exceptions.OutOfMemoryError, "Ray killed it because its node ran out of memory"),
            (exceptions.NodeDiedError, "its node died"),
            (exceptions.WorkerCrashedError, "its process died"),
            (exceptions.ObjectLostError, "its result was lost with its node"),
        ):
            if isinstance(error, kind):
                return Loss(message)
        cause = getattr(error, "cause", None)
        if isinstance(cause, InputError):
            raise cause
        lines = str(cause or error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"every node must be able to run a trial, but one said: {lines[-1]}; install hsicfast and what evaluate "
            "imports on all of them"
        ) from error


@dataclass(frozen=True)
class _Begun:
    """A task reports this before it trains: where it runs, and whether its process started on another GPU."""

    node: str
    pid: int
    moved: bool


@dataclass(eq=False)
class _Attempt:
    """A task in flight."""

    stream: Any
    trials: int = 1
    begun: _Begun | None = None
    deadline: float = float("inf")
    overdue: bool = False

    def end_overdue(self) -> None:
        """Cancel the task once its deadline has passed, and kill its process if that does not help."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if time.monotonic() < self.deadline:
            return
        if not self.overdue:
            ray.cancel(self.stream, force=True)
            self.overdue, self.deadline = True, time.monotonic() + CANCEL_GRACE
        elif self.begun is not None:  # a process that is stopped (SIGSTOP) does not notice that it is cancelled
            there = NodeAffinitySchedulingStrategy(self.begun.node, soft=False)
            ray.remote(num_cpus=0, scheduling_strategy=there)(os.kill).remote(self.begun.pid, signal.SIGKILL)
            self.deadline = time.monotonic() + CANCEL_GRACE


# A worker keeps these from trial to trial.
_worker: dict[str, Any] = {}


def _train(pickled: list[Any], job: bytes, folder: Path | None, mark: str) -> Iterator[Any]:
    """In a worker: report that the trial begins, train it, and report its outcome and whether that is durable.

    Ray finds this module alone by itself. The modules of `evaluate` and of the job may lie on a path that only the
    process that started the run knows, so the paths travel with them.
    """
    import ray

    # torch keeps the GPUs that it saw first, even if Ray assigns other ones later.
    gpus = os.environ.get(VISIBLE)
    moved = _worker.setdefault("gpus", gpus) != gpus
    if _worker.get("evaluate of") != pickled[0].hex():
        _worker.pop("evaluate", None)  # it may hold data, and two at once may not fit the memory
        paths, content = ray.get(pickled[0])
        sys.path.extend(path for path in paths if path not in sys.path)
        _worker.update({"evaluate": pickle.loads(content), "evaluate of": pickled[0].hex()})
    yield _Begun(ray.get_runtime_context().get_node_id(), os.getpid(), moved)
    if moved:
        signal.pause()  # wait to be killed: a process that ends by itself might do so before its report arrives
    seen = folder if folder is not None and (folder / mark).exists() else None
    evaluate = _worker["evaluate"]
    try:
        yield attempted(evaluate, accepts_seed(evaluate), pickle.loads(job), seen), seen is not None
    except SystemExit as error:
        yield left_its_process(error), False


@contextmanager
def _marked(folder: Path | None) -> Iterator[str]:
    """A file in the run folder that no other folder has: a worker that sees it sees this very folder."""
    # Named as a half-written file of this process: what a kill leaves of it is found and removed as one.
    mark = f".mark.{os.getpid()}.{uuid.uuid4().hex}.part"
    if folder is None:
        yield mark
        return
    (folder / mark).touch()
    try:
        yield mark
    finally:
        (folder / mark).unlink(missing_ok=True)


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Put the handler of SIGTERM back: Ray replaces it when it starts, but it belongs to the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    # Ray itself would try for two minutes.
    host, _, port = address.rpartition(":")
    if not port.isdigit():  # auto, local
        return
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"executor.address must lead to a Ray cluster, but {address} gave: {first_line(error)}; start one by `ray "
        "start --head`, or leave the address out"
    )


def _nodes() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _held(node: dict[str, float], request: dict[str, float]) -> int:
    """How many trials fit on a node; 1e-9 because thirds of a GPU are not exact."""
    return min(int(node.get(name, 0) / amount + 1e-9) for name, amount in request.items() if amount)


def _cancel(attempts: Iterable[_Attempt]) -> None:
    import ray

    if ray.is_initialized():
        for attempt in attempts:
            ray.cancel(attempt.stream, force=True)
