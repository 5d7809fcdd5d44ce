"""Executors run trials in this process, in local processes or on a Ray cluster, behind one interface: ``run``.

The process that trains a trial also makes its result durable before anybody learns of it
(:mod:`hsicfast.training.worker`). One conformance suite tests all executors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from hsicfast.errors import InputError
from hsicfast.training.attempts import Loss, Outcome, Planned, attempted, side_by_side
from hsicfast.training.cluster import Ray
from hsicfast.training.processes import Processes
from hsicfast.training.worker import Evaluate, Job, accepts_seed, never
from hsicfast.trials.trial import Trial

Attempt = Callable[[], Outcome | Loss]

__all__ = ["Executor", "Local", "Processes", "Ray"]


class Executor(Protocol):
    """The interface of every executor."""

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Job],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """Train `jobs`, and yield each trial as it ends. Workers stay for the next call until :meth:`close`.

        Parameters
        ----------
        evaluate : callable
            Trains one configuration.
        jobs : iterable of Job
            The trials, taken one by one as there is room. An executor whose attribute ``takes_groups`` is True also
            gets a :class:`~hsicfast.training.groups.Group`, whose trials train in one call.
        folder : Path, optional
            The run folder, where each result becomes durable.
        should_stop : callable
            Once it returns True no job is taken any more; trials in flight end and are yielded.

        Raises
        ------
        InputError
            If `evaluate` returns no result.
        """

    def close(self) -> None:
        """End the workers; trials in flight are given up."""


def executor_of(given: Executor | str | None) -> Executor:
    """The executor of this name, with its default settings; an executor is returned as it is, None is Local.

    Raises
    ------
    InputError
        If it is no name and no executor.

    Examples
    --------
    >>> executor_of("local"), executor_of(None)
    (Local(), Local())
    """
    named: dict[str, Callable[[], Executor]] = {"local": Local, "processes": Processes, "ray": Ray}
    if given is None:
        return Local()
    if isinstance(given, str) and given in named:
        return named[given]()
    able = all(callable(getattr(given, method, None)) for method in ("run", "close"))
    if isinstance(given, type) or not able:
        raise InputError(
            f"executor must be one of {', '.join(named)} or an object such as Processes(workers=4), but got {given!r}; "
            "choose one of them"
        )
    return given  # type: ignore[return-value]


@dataclass
class Local:
    """Trials one after the other in this process."""

    takes_groups: ClassVar[bool] = True

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Planned],
        folder: Path | None = None,
        should_stop: Callable[[], bool] = never,
    ) -> Iterator[Trial]:
        """See :meth:`Executor.run`."""
        seeded = accepts_seed(evaluate)

        def launch(job: Planned) -> Attempt:
            return partial(attempted, evaluate, seeded, job, folder)

        def ended(attempts: list[Attempt]) -> Iterator[tuple[Attempt, Outcome | Loss]]:
            for attempt in attempts:
                yield attempt, attempt()

        yield from side_by_side(jobs, lambda: 1, launch, ended, folder, should_stop)

    def close(self) -> None:
        """Nothing to end."""
