"""Trials train side by side in workers that may die; a trial whose worker died is trained again, at most twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from hsicfast.runs.results import read_result, result_path, write_result
from hsicfast.training.groups import Group, run_group
from hsicfast.training.worker import Evaluate, Job, is_lost, last_line, run_trial
from hsicfast.trials.trial import DIED, LOST, TIMED_OUT, Failure, Trial

Planned = Job | Group
Outcome = Trial | list[Trial]

# A trial whose process died runs again up to RETRIES times; one that took too long does not, as it would do so again.
RETRIES = 2


@dataclass(frozen=True)
class Loss:
    """An attempt that ended without a result although the training did not fail.

    Parameters
    ----------
    message : str
        How the attempt ended.
    failure : str
        The kind of failure.
    counts : bool
        False if the attempt never started.
    """

    message: str
    failure: Failure = DIED
    counts: bool = True


@overload
def attempted(evaluate: Evaluate, seeded: bool, job: Job, folder: Path | None) -> Trial | Loss: ...


@overload
def attempted(evaluate: Evaluate, seeded: bool, job: Planned, folder: Path | None) -> Outcome | Loss: ...


def attempted(evaluate: Evaluate, seeded: bool, job: Planned, folder: Path | None) -> Outcome | Loss:
    """One attempt in this process, with the parameters of :func:`~hsicfast.training.worker.run_trial`.

    Returns
    -------
    Trial, list of Trial or Loss
        The trials of a group; a loss if `evaluate` raised an error that is lost.
    """
    try:
        if isinstance(job, Group):
            return run_group(evaluate, job, folder)
        return run_trial(evaluate, seeded, job, folder)
    except Exception as error:
        if is_lost(error):
            return Loss(last_line(error))
        raise


def trials_of(job: Planned) -> int:
    """The number of trials of a job or group."""
    return len(job.jobs) if isinstance(job, Group) else 1


def left_its_process(error: SystemExit) -> Loss:
    """The loss of an attempt whose training called ``sys.exit``."""
    return Loss(f"it left its process (SystemExit {error.code})")


def side_by_side(
    jobs: Iterable[Planned],
    size: Callable[[], int],
    launch: Callable[[Any], Any],
    ended: Callable[[list[Any]], Iterable[tuple[Any, Outcome | Loss]]],
    folder: Path | None,
    should_stop: Callable[[], bool],
) -> Iterator[Trial]:
    """Keep ``size()`` trials or groups in flight, and yield each trial as it ends.

    The trials of a group that was lost train again each on its own, so that the one at fault costs the others little.

    Parameters
    ----------
    jobs : iterable of Job or Group
        The trials, taken one by one as there is room.
    size : callable
        How many of them may be in flight now.
    launch : callable
        ``launch(job)`` starts an attempt and returns its ticket.
    ended : callable
        ``ended(tickets)`` waits until some attempts end, and yields each ticket with its outcome. It may yield none, so
        that a size that grew meanwhile is filled.
    folder : Path, optional
        The run folder.
    should_stop : callable
        Once it returns True no attempt starts any more.
    """
    waiting = iter(jobs)
    again: list[tuple[Planned, int]] = []
    flying: dict[Any, tuple[Planned, int]] = {}
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
            if not isinstance(outcome, Loss):
                yield from outcome if isinstance(outcome, list) else [outcome]
                continue
            if isinstance(job, Group) and not outcome.counts:
                again.append((job, attempt))
                continue
            for own in job.jobs if isinstance(job, Group) else (job,):
                trial = _after(outcome, own, attempt, folder, alone=own is job)
                if trial is not None:
                    yield trial
                else:
                    again.append((own, attempt + outcome.counts))


def _after(loss: Loss, job: Job, attempt: int, folder: Path | None, alone: bool) -> Trial | None:
    """The trial after its last attempt; None if another attempt is due, as it is after one in a group."""
    if folder is not None and result_path(folder, job.index).exists():
        # The result was durable before the worker died, and its file is the truth.
        return replace(read_result(result_path(folder, job.index)), params=job.params)
    if not alone or not loss.counts or (attempt <= RETRIES and loss.failure != TIMED_OUT):
        return None
    times = f", {attempt} times" if attempt > 1 else ""
    trial = Trial(job.index, job.params, math.nan, job.price, LOST, job.origin, job.seed)
    trial = replace(trial, message=f"{loss.message}{times}", failure=loss.failure)
    if folder is not None:
        write_result(folder, trial)
    return trial
