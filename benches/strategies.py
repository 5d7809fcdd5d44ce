"""The study compares these strategies by name: each is a call that runs its trials and returns them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import optuna

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Trial, minimize
from hsicfast.search.finals import network_to_keep
from hsicfast.search.strategies import Strategy, TwoStep
from hsicfast.training.worker import Job, accepts_seed, run_trial
from hsicfast.trials.trial import SEARCH, trial_seed

Evaluate = Callable[..., Any]


class History(NamedTuple):
    """The trials in order, and the indices of the best and the economical one if the strategy names them."""

    trials: list[Trial]
    best: int | None = None
    economical: int | None = None


def with_optuna(
    sampler: Callable[..., Any],
    evaluate: Evaluate,
    space: SearchSpace,
    n_trials: int,
    seed: int,
    tolerance: float | None,
) -> History:
    """Optuna as its users call it: define by run, and NaN for a trial that diverges; it has no `tolerance`."""
    trials: list[Trial] = []
    seeded = accepts_seed(evaluate)

    def objective(trial: optuna.Trial) -> float:
        params: dict[str, Any] = {}
        for name in space.parents_first:
            if space.is_active(name, params):
                params[name] = suggest(trial, name, space)
        job = Job(trial.number, params, trial_seed(seed, trial.number), SEARCH)
        trials.append(run_trial(evaluate, seeded, job, folder=None))
        return trials[-1].objective

    study = optuna.create_study(sampler=sampler(seed=seed))
    study.optimize(objective, n_trials=n_trials)
    return History(trials)


def suggest(trial: optuna.Trial, name: str, space: SearchSpace) -> Any:
    kind = space[name]
    if isinstance(kind, Choice | Bool):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind, Int):
        return trial.suggest_int(name, kind.low, kind.high, log=kind.log, step=kind.step)
    span = cast(Float, kind)
    return trial.suggest_float(name, span.low, span.high, log=span.log, step=span.step)


def with_us(
    strategy: str | Strategy,
    evaluate: Evaluate,
    space: SearchSpace,
    n_trials: int,
    seed: int,
    tolerance: float | None,
) -> History:
    """One of our own strategies."""
    result = minimize(evaluate, space, n_trials=n_trials, strategy=strategy, seed=seed, tolerance=tolerance)
    if result.interrupted:  # an interrupted run is no result
        raise KeyboardInterrupt
    best, economical = (network_to_keep(result.trials, chosen) for chosen in (result.best, result.economical))
    return History(list(result.trials), best.index, economical.index)


STRATEGIES: dict[str, Callable[[Evaluate, SearchSpace, int, int, float | None], History]] = {
    "hsic": partial(with_us, "hsic"),
    "random": partial(with_optuna, optuna.samplers.RandomSampler),
    "tpe": partial(with_optuna, partial(optuna.samplers.TPESampler, multivariate=True, group=True)),
    "gp": partial(with_optuna, optuna.samplers.GPSampler),
    "two_step": partial(with_us, TwoStep(optimizer="gp")),
    "two_step_random": partial(with_us, TwoStep(optimizer="random")),
}
