"""Trials that train faster together are handed to the workers as one group; each of them keeps its own result.

An `evaluate` may offer two methods beside its call (:class:`Together`): which configurations train well together, and
how. A group is one call in one worker. If it fails as a whole, its trials train one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hsicfast.errors import InputError
from hsicfast.guard import foreign
from hsicfast.runs.results import checkpoint_path, write_result
from hsicfast.training.pruning import CurveReporter
from hsicfast.training.relaunch import Relaunched, no_relaunch
from hsicfast.training.worker import (
    Evaluate,
    Job,
    NoResult,
    accepts_checkpoint,
    accepts_seed,
    ended,
    is_lost,
    own_params,
    run_trial,
)
from hsicfast.trials.trial import Trial


@runtime_checkable
class Together(Protocol):
    """An `evaluate` that can train several configurations in one call."""

    def groups(self, configurations: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[int]]:
        """Which configurations train well together: groups of their places, every place once.

        The result of a trial must not depend on the group that it is in.
        """

    def evaluate_many(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Callable[[int, float], bool] | None],
    ) -> Sequence[Any]:
        """What ``evaluate(params, seed=...)`` would return for each configuration of a group.

        A report, if there is one, is called as that of ``evaluate(params, report=...)``; a network whose report answers
        False stops. If the method takes a ``checkpoint`` as well, it is the path of a file for this group alone, or
        None.
        """


@dataclass(frozen=True)
class Group:
    """Planned trials that train in one call."""

    jobs: tuple[Job, ...]


def grouped(evaluate: Evaluate, jobs: Sequence[Job]) -> list[Job | Group]:
    """The jobs in the groups that `evaluate` asks for; as they are if it asks for none.

    Raises
    ------
    InputError
        If the groups do not hold every job once.

    Examples
    --------
    >>> class Pairs:
    ...     def groups(self, configurations):
    ...         return [[0, 2], [1]]
    ...     def evaluate_many(self, configurations, seeds, reports):
    ...         return [params["x"] for params in configurations]
    >>> found = grouped(Pairs(), [Job(index, {"x": index}, 0, "design") for index in range(3)])
    >>> [[job.index for job in each.jobs] if isinstance(each, Group) else each.index for each in found]
    [[0, 2], 1]
    """
    if not isinstance(evaluate, Together) or len(jobs) < 2:
        return list(jobs)
    with foreign():
        groups = [list(places) for places in evaluate.groups([own_params(job) for job in jobs])]
    if sorted(place for places in groups for place in places) != list(range(len(jobs))):
        raise InputError(
            f"evaluate.groups must hold each of the places 0 to {len(jobs) - 1} once, but got {groups}; correct it"
        )
    own = [tuple(jobs[place] for place in places) for places in groups if places]
    return [Group(members) if len(members) > 1 else members[0] for members in own]


def run_group(evaluate: Any, group: Group, folder: Path | None) -> list[Trial]:
    """Train the trials of a group in this process and make their results durable.

    Raises
    ------
    NoResult, Relaunched, Exception
        As :func:`~hsicfast.training.worker.run_trial`.
    """
    trials = trained_together(evaluate, group, None if folder is None else group_checkpoint(folder, group))
    if trials is None:
        return [run_trial(evaluate, accepts_seed(evaluate), job, folder) for job in group.jobs]
    if folder is not None:
        for trial in trials:
            write_result(folder, trial)
    return trials


def trained_together(evaluate: Together, group: Group, checkpoint: Path | None) -> list[Trial] | None:
    """Train the trials of a group in one call.

    Parameters
    ----------
    evaluate : Together
    group : Group
    checkpoint : Path, optional
        The file for the state of this group, which `evaluate` gets if it takes one.

    Returns
    -------
    list of Trial, or None
        None if the call raised an error: one of them may have broken all, and each shows for itself whether it trains.

    Raises
    ------
    NoResult, Relaunched, Exception
        As :func:`~hsicfast.training.worker.run_trial`.
    """
    jobs = group.jobs
    reports = [CurveReporter(job.pruning, job.index) for job in jobs]
    asked: dict[str, Any] = {}
    if accepts_checkpoint(evaluate.evaluate_many):
        asked["checkpoint"] = checkpoint
        if checkpoint is not None:
            checkpoint.parent.mkdir(exist_ok=True)
    try:
        with foreign(), no_relaunch():
            outcomes = evaluate.evaluate_many(
                [own_params(job) for job in jobs],
                [job.seed for job in jobs],
                [None if job.pruning is None else report for job, report in zip(jobs, reports, strict=True)],
                **asked,
            )
    except (NoResult, Relaunched):
        raise
    except Exception as error:
        if is_lost(error):
            raise
        return None
    if len(outcomes) != len(jobs):
        raise NoResult(
            f"evaluate_many must return a result for each configuration, but got {len(outcomes)} for {len(jobs)}; "
            "correct it"
        )
    return [ended(job, outcome, report) for job, outcome, report in zip(jobs, outcomes, reports, strict=True)]


def group_checkpoint(folder: Path, group: Group) -> Path:
    """The path where the training of a group may keep its state: another one for other trials.

    The first result of the group deletes it (:func:`~hsicfast.runs.results.first_of`).
    """
    indices = [job.index for job in group.jobs]
    digest = hashlib.sha256(repr(indices).encode()).hexdigest()[:16]
    return checkpoint_path(folder, indices[0]).with_suffix(f".{digest}.ckpt")
