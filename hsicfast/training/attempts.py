"""Trials side by side where a worker may die: what is lost to that is trained again, at most twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsicfast.runs.results import read_result, result_path, write_result
from hsicfast.space.trial import Failure
from hsicfast.training.worker import Evaluate, Job, is_lost, last_line, run_trial
from hsicfast.trials.trial import DIED, LOST, TIMED_OUT, Trial

# A trial whose process died runs again at most this often; one that took too long would do so again.
RETRIES = 2


@dataclass(frozen=True)
class Loss:
    """An attempt without a result, through no known fault of the training: how it ended, and what kind of end that is.

    One that does not count never began.
    """

    message: str
    failure: Failure = DIED
    counts: bool = True


def attempted(evaluate: Evaluate, seeded: bool, job: Job, folder: Path | None) -> Trial | Loss:
    """One attempt in this process; see :func:`~hsicfast.training.worker.run_trial`."""
    try:
        return run_trial(evaluate, seeded, job, folder)
    except Exception as error:
        if is_lost(error):
            return Loss(last_line(error))
        raise


def side_by_side(
    jobs: Iterable[Job],
    size: Callable[[], int],
    launch: Callable[[Job], Any],
    ended: Callable[[list[Any]], Iterable[tuple[Any, Trial | Loss]]],
    folder: Path | None,
    should_stop: Callable[[], bool],
) -> Iterator[Trial]:
    """Keep ``size()`` trials in flight, and yield each as it ends.

    ``launch(job)`` starts an attempt and returns its ticket; ``ended(tickets)`` waits for some of them to end. It may
    yield none, so that a size that grew meanwhile is filled.
    """
    waiting = iter(jobs)
    again: list[tuple[Job, int]] = []
    flying: dict[Any, tuple[Job, int]] = {}
    while True:
        while len(flying) < size() and not should_stop():
            job, attempt = again.pop(0) if again else (next(waiting, None), 1)
            if job is None:
                break
            flying[launch(job)] = job, attempt
        if not flying:
            return
        for ticket, outcome in ended(list(flying)):
            job, attempt = flying.pop(ticket)
            trial = outcome if isinstance(outcome, Trial) else _after(outcome, job, attempt, folder)
            if trial is not None:
                yield trial
            else:
                again.append((job, attempt + outcome.counts))  # type: ignore[union-attr]


def _after(loss: Loss, job: Job, attempt: int, folder: Path | None) -> Trial | None:
    """The trial as its attempts have left it; None where another one is due."""
    if folder is not None and result_path(folder, job.index).exists():
        # It was durable before its worker died, and that file is the truth.
        return replace(read_result(result_path(folder, job.index)), params=job.params)
    if not loss.counts or (attempt <= RETRIES and loss.failure != TIMED_OUT):
        return None
    times = f", {attempt} times" if attempt > 1 else ""
    trial = Trial(job.index, job.params, math.nan, job.price, LOST, job.origin, job.seed)
    trial = replace(trial, message=f"{loss.message}{times}", failure=loss.failure)
    if folder is not None:
        write_result(folder, trial)
    return trial
