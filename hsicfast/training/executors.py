"""Where trials run: here, in local processes, on a Ray cluster; one interface, ``run``, and one conformance suite.

Whoever trains a trial also makes its result durable before telling anybody (:mod:`hsicfast.training.worker`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from hsicfast.training.attempts import Loss, attempted, side_by_side
from hsicfast.training.cluster import Ray
from hsicfast.training.processes import Processes
from hsicfast.training.worker import Evaluate, Job, accepts_seed, never
from hsicfast.trials.trial import Trial

Attempt = Callable[[], Trial | Loss]

__all__ = ["Executor", "Local", "Processes", "Ray"]


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

        def launch(job: Job) -> Attempt:
            return partial(attempted, evaluate, seeded, job, folder)

        def ended(attempts: list[Attempt]) -> Iterator[tuple[Attempt, Trial | Loss]]:
            for attempt in attempts:
                yield attempt, attempt()

        yield from side_by_side(jobs, lambda: 1, launch, ended, folder, should_stop)

    def close(self) -> None:
        """Nothing to end."""
