"""The study compares these strategies by name: each is a call that runs its trials and returns them.

The peers run as their users call them, with their defaults. SMAC3 and OptunaHub are not among our dependencies (``pip
install smac optunahub``), and OptunaHub fetches the code of a sampler from GitHub: :func:`hindrance` says why a
strategy cannot run here.
"""

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import optuna

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Trial, minimize
from hsicfast.search.finals import network_to_keep, seed_noise
from hsicfast.search.strategies import Strategy, TwoStep
from hsicfast.space.search_space import Hyperparameter
from hsicfast.training.worker import Job, accepts_seed, run_trial
from hsicfast.trials.trial import SEARCH, trial_seed

Evaluate = Callable[..., Any]

# SMAC3 models every cost that it is told, and infinity has no place in a mean: a trial that diverges counts as an error
# of 100 percent, or as the worst so far.
DIVERGED_COST = 100.0


class History(NamedTuple):
    """The trials in order, and what else the strategy names: its best and its economical trial, and its seeds' scatter.

    `scatter` is how far objectives of one configuration differ between seeds, 0 if nobody trained one twice.
    """

    trials: list[Trial]
    best: int | None = None
    economical: int | None = None
    scatter: float = 0.0


class Trials:
    """The trials of one run, made one after another as a strategy asks for them."""

    def __init__(self, evaluate: Evaluate, seed: int) -> None:
        self.evaluate, self.seed = evaluate, seed
        self.seeded = accepts_seed(evaluate)
        self.made: list[Trial] = []

    def objective(self, params: dict[str, Any]) -> float:
        """Make the next trial; NaN if it diverges."""
        place = len(self.made)
        job = Job(place, params, trial_seed(self.seed, place), SEARCH)
        self.made.append(run_trial(self.evaluate, self.seeded, job, folder=None))
        return self.made[-1].objective


def with_optuna(
    sampler: Callable[..., Any], evaluate: Evaluate, space: SearchSpace, n_trials: int, seed: int
) -> History:
    """Optuna as its users call it: define by run, and NaN for a trial that diverges."""
    trials = Trials(evaluate, seed)

    def objective(trial: optuna.Trial) -> float:
        params: dict[str, Any] = {}
        for name in space.parents_first:
            if space.is_active(name, params):
                params[name] = suggest(trial, name, space)
        return trials.objective(params)

    study = optuna.create_study(sampler=sampler(seed=seed))
    study.optimize(objective, n_trials=n_trials)
    return History(trials.made)


def suggest(trial: optuna.Trial, name: str, space: SearchSpace) -> Any:
    kind = space[name]
    if isinstance(kind, Choice | Bool):
        return trial.suggest_categorical(name, kind.choices)
    if isinstance(kind, Int):
        return trial.suggest_int(name, kind.low, kind.high, log=kind.log, step=kind.step)
    span = cast(Float, kind)
    return trial.suggest_float(name, span.low, span.high, log=span.log, step=span.step)


def hierarchical(seed: int) -> Any:
    """OptunaHub's TPE for a hierarchy of conditions, which it learns from the trials."""
    return import_module("optunahub").load_module("samplers/hierarchical_tpe").HierarchicalTPESampler(seed=seed)


def with_smac(evaluate: Evaluate, space: SearchSpace, n_trials: int, seed: int) -> History:
    """SMAC3's facade for hyperparameters: a random forest that knows which are active, and log expected improvement."""
    smac = import_module("smac")
    trials = Trials(evaluate, seed)
    worst = DIVERGED_COST

    def objective(config: Any, seed: int = 0) -> float:
        nonlocal worst
        found = trials.objective(space.fill(lambda name: decoded(space[name], config[name])))
        if math.isnan(found):
            return worst
        worst = max(worst, found)
        return found

    with TemporaryDirectory() as folder:
        scenario = smac.Scenario(
            configuration_space(space, seed),
            deterministic=True,
            n_trials=n_trials,
            seed=seed,
            output_directory=Path(folder),
        )
        smac.HyperparameterOptimizationFacade(scenario, objective, logging_level=False, overwrite=True).optimize()
    return History(trials.made)


def configuration_space(space: SearchSpace, seed: int) -> Any:
    """The `space` in SMAC3's words; a value that lies on a grid is its place there."""
    words = import_module("ConfigSpace")
    coded = words.ConfigurationSpace(seed=seed)
    for name, kind in space.items():
        if isinstance(kind, Choice | Bool):
            coded.add(words.Categorical(name, range(kind.levels)))
        elif on_grid(kind):
            coded.add(words.Integer(name, (0, cast(int, kind.levels) - 1)))
        else:
            span = cast(Float | Int, kind)
            sort = words.Integer if isinstance(span, Int) else words.Float
            coded.add(sort(name, (span.low, span.high), log=span.log))
    for name in space:
        conditions = []
        for parent, values in all_conditions(space, name).items():
            codes = [encoded(space[parent], value) for value in values]
            ends = coded[name], coded[parent]
            several = len(codes) > 1
            conditions.append(words.InCondition(*ends, codes) if several else words.EqualsCondition(*ends, codes[0]))
        if conditions:
            coded.add(words.AndConjunction(*conditions) if len(conditions) > 1 else conditions[0])
    return coded


def all_conditions(space: SearchSpace, name: str) -> dict[str, tuple[Any, ...]]:
    """The conditions of a hyperparameter and of its parents: ConfigSpace also asks parents that are not active."""
    conditions = dict(space[name].conditions)
    for parent in space[name].conditions:
        conditions = {**all_conditions(space, parent), **conditions}
    return conditions


def on_grid(kind: Hyperparameter) -> bool:
    """Whether the values have places at equal distances. A whole number in the logarithm has none."""
    return kind.levels is not None and not getattr(kind, "log", False)


def encoded(kind: Hyperparameter, value: Any) -> Any:
    return int(kind.to_level([value])[0]) if on_grid(kind) else value


def decoded(kind: Hyperparameter, code: Any) -> Any:
    if isinstance(kind, Choice | Bool):
        return kind.values[int(code)]
    span = cast(Float | Int, kind)
    if isinstance(span, Int):
        return span.low + span.step * int(code) if on_grid(span) else int(code)
    # 15 digits, as our own places have; and rounding may have left the range.
    value = float(code) if span.step is None else float(f"{span.low + span.step * int(code):.15g}")
    return min(max(value, float(span.low)), float(span.high))


def with_us(strategy: str | Strategy, evaluate: Evaluate, space: SearchSpace, n_trials: int, seed: int) -> History:
    """One of our own strategies, with every default that a user gets."""
    result = minimize(evaluate, space, n_trials=n_trials, strategy=strategy, seed=seed)
    best, economical = (network_to_keep(result.trials, chosen) for chosen in (result.best, result.economical))
    return History(list(result.trials), best.index, economical.index, seed_noise(result.finals))


STRATEGIES: dict[str, Callable[[Evaluate, SearchSpace, int, int], History]] = {
    "hsic": partial(with_us, "hsic"),
    "random": partial(with_optuna, optuna.samplers.RandomSampler),
    "tpe": partial(with_optuna, partial(optuna.samplers.TPESampler, multivariate=True, group=True)),
    "gp": partial(with_optuna, optuna.samplers.GPSampler),
    "smac": with_smac,
    "hierarchical_tpe": partial(with_optuna, hierarchical),
    "two_step": partial(with_us, TwoStep(optimizer="gp")),
    "two_step_random": partial(with_us, TwoStep(optimizer="random")),
}
# What must succeed before a strategy can run.
FIRST: dict[str, Callable[[], Any]] = {
    "smac": lambda: import_module("smac"),
    "hierarchical_tpe": lambda: hierarchical(seed=0),
}


def hindrance(strategy: str) -> str:
    """Why the strategy cannot run here; empty if it can."""
    try:
        FIRST.get(strategy, bool)()
    except Exception as error:  # noqa: BLE001 - whatever keeps OptunaHub from its code
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
