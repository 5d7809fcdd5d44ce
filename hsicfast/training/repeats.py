"""Each trial trains its configuration with several seeds, and its objective is their mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from hsicfast.errors import InputError, check_repeats
from hsicfast.training.worker import Job, accepts_seed, run_trial
from hsicfast.trials.trial import DESIGN, DONE, INFEASIBLE, INFEASIBLE_OBJECTIVE, LARGEST_CONSTRAINT, trial_seed


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
        for own in seeds_of(seed, self.repeats):
            job = Job(0, dict(params), own, DESIGN, objectives=self.objectives)
            trial = run_trial(self.evaluate, True, job, folder=None)
            trials.append(trial)
            if trial.status != DONE:
                break
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
            scatter = {f"{name}_sd": stdev(trial.metrics[name] for trial in trials) for name in means}
            return {"objectives": means, "cost": cost, **metrics, **scatter}
        objectives = [trial.objective for trial in trials]
        return {"objective": fmean(objectives), "cost": cost, **metrics, "objective_sd": stdev(objectives)}


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
    return Repeated(evaluate, repeats, objectives)


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


def _mean(values: Iterable[float]) -> float:
    """The mean; NaN if one of the values is not finite."""
    known = list(values)
    return fmean(known) if all(map(math.isfinite, known)) else math.nan
