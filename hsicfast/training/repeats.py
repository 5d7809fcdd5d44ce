"""Each trial trains its configuration with several seeds, and its objective is their mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from hsicfast.errors import InputError, check_repeats
from hsicfast.training.groups import Group, Together, trained_together
from hsicfast.training.worker import Job, accepts_seed, run_trial
from hsicfast.trials.trial import (
    DESIGN,
    DONE,
    INFEASIBLE,
    INFEASIBLE_OBJECTIVE,
    LARGEST_CONSTRAINT,
    Trial,
    trial_seed,
)


@dataclass(frozen=True)
class Repeated:
    """`evaluate` as its mean over `repeats` seeds, so that a trial is judged by less luck.

    Objective, cost and the numbers among the metrics are means over the seeds; a text is kept if it is the same for all
    seeds. ``objective_sd`` is the standard deviation of the objectives (n - 1). A configuration that diverges with one
    seed has diverged, as has one that breaks a constraint: the message names the seed, and the seeds after it are not
    tried.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(params, seed=...)``, picklable if the trials run in processes.
    repeats : int
        Number of seeds, at least 2.
    objectives : tuple of str
        The names of several objectives, of which each has its mean, and its standard deviation such as ``error_sd``.

    Examples
    --------
    >>> noisy = Repeated(lambda params, seed: {"objective": params["x"] + seed % 2, "cost": 3}, repeats=2)
    >>> seeds_of(0, 2)
    [0, 450621607]
    >>> noisy({"x": 1.0}, seed=0)
    {'objective': 1.5, 'cost': 3.0, 'objective_sd': 0.7071067811865476}
    """

    evaluate: Callable[..., Any]
    repeats: int
    objectives: tuple[str, ...] = ()

    def __call__(self, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Train with each seed of a trial."""
        trials = []
        for job in self._jobs(params, seed):
            trials.append(run_trial(self.evaluate, True, job, folder=None))
            if trials[-1].status != DONE:
                break
        return self._result(trials)

    def _jobs(self, params: Mapping[str, Any], seed: int) -> list[Job]:
        return [Job(0, dict(params), own, DESIGN, objectives=self.objectives) for own in seeds_of(seed, self.repeats)]

    def _result(self, trials: Sequence[Trial]) -> dict[str, Any]:
        """The result of a trial from those of its seeds, in their order, up to the first one that is not done."""
        trials = trials[: next((place for place, trial in enumerate(trials, 1) if trial.status != DONE), None)]
        last = trials[-1]
        metrics = _agreed([trial.metrics for trial in trials])
        cost = _mean(trial.cost for trial in trials)
        means = {name: metrics.pop(name, math.nan) for name in self.objectives}
        if last.status != DONE:
            message = f"with seed {last.seed}, {len(trials)} of {self.repeats}: {last.message}"
            ended = {"cost": cost, "status": last.status, "message": message}
            if last.failure == INFEASIBLE:
                metrics |= {key: last.metrics[key] for key in (INFEASIBLE_OBJECTIVE, LARGEST_CONSTRAINT)}
                ended["failure"] = INFEASIBLE
            return {"objectives": means} | ended | metrics if means else {"objective": math.nan} | ended | metrics
        if means:
            own = {name: stdev(trial.metrics[name] for trial in trials) for name in means}
            return {"objectives": means, "cost": cost} | _with_scatter(metrics, own)
        objectives = [trial.objective for trial in trials]
        outcome = {"objective": fmean(objectives), "cost": cost}
        return outcome | _with_scatter(metrics, {"objective": stdev(objectives)})


class RepeatedTogether(Repeated):
    """`Repeated` of an `evaluate` that can train several configurations in one call: each seed is one more network.

    The results are those of `Repeated`. A configuration is trained with all its seeds, but those after one that
    diverged do not count.
    """

    evaluate: Any  # a callable that is `Together`

    def __call__(self, params: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Train with each seed of a trial, in one call if they train well together."""
        if len(self.evaluate.groups([dict(params) for _ in range(self.repeats)])) == 1:
            trials = trained_together(self.evaluate, Group(tuple(self._jobs(params, seed))), None)
            if trials is not None:
                return self._result(trials)
        return super().__call__(params, seed)

    def groups(self, configurations: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Which configurations train well together with all their seeds; one goes where its first seed goes."""
        counted = [params for params in configurations for _ in range(self.repeats)]
        found = [
            [place // self.repeats for place in places if place % self.repeats == 0]
            for places in self.evaluate.groups(counted)
        ]
        return [places for places in found if places]

    def evaluate_many(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Any],
        checkpoint: Path | None = None,
    ) -> list[dict[str, Any]]:
        """The mean over the seeds of each configuration, trained in one call."""
        jobs = [job for params, seed in zip(configurations, seeds, strict=True) for job in self._jobs(params, seed)]
        trials = trained_together(self.evaluate, Group(tuple(jobs)), checkpoint)
        if trials is None:
            return [super(RepeatedTogether, self).__call__(*pair) for pair in zip(configurations, seeds, strict=True)]
        return [self._result(trials[start : start + self.repeats]) for start in range(0, len(jobs), self.repeats)]


def repeated(evaluate: Callable[..., Any], repeats: int, objectives: tuple[str, ...] = ()) -> Callable[..., Any]:
    """`evaluate` with `repeats` seeds for each trial; `evaluate` itself if there is one.

    `objectives` as in :class:`Repeated`.

    Raises
    ------
    InputError
        If `repeats` is no whole number from 1, or is above 1 although `evaluate` takes no seed.
    """
    check_repeats(repeats)
    if repeats == 1:
        return evaluate
    if not accepts_seed(evaluate):
        raise InputError(
            f"repeats above 1 need an evaluate that takes a seed, but got repeats={repeats} and an evaluate of the "
            "params alone; give it a parameter `seed`, or leave repeats out"
        )
    kind = RepeatedTogether if isinstance(evaluate, Together) else Repeated
    return kind(evaluate, repeats, objectives)


def seeds_of(seed: int, repeats: int) -> list[int]:
    """The seeds of a trial: its own, which trains its network again, and those derived from it."""
    return [seed, *(trial_seed(seed, number) for number in range(1, repeats))]


def _agreed(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics that every seed reported: means of numbers, and texts that are the same for all."""
    agreed: dict[str, Any] = {}
    for name in metrics[0]:
        values = [own[name] for own in metrics if name in own]
        if len(values) < len(metrics):
            continue
        if not any(isinstance(value, str) for value in values):
            agreed[name] = _mean(values)
        elif all(value == values[0] for value in values):
            agreed[name] = values[0]
    return agreed


def _with_scatter(metrics: dict[str, Any], own: Mapping[str, float]) -> dict[str, Any]:
    """The metrics, and the standard deviation of each objective over the seeds."""
    scatter = {f"{name}_sd": value for name, value in own.items()}
    for name in sorted(scatter.keys() & metrics.keys()):
        raise InputError(
            f"a training with repeats may return no metric {name!r}, which is the standard deviation over its seeds; "
            "give the metric another name"
        )
    return metrics | scatter


def _mean(values: Iterable[float]) -> float:
    """The mean; NaN if one of the values is not finite."""
    known = list(values)
    return fmean(known) if all(map(math.isfinite, known)) else math.nan
