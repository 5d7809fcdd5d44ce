"""Hyperparameters as Optuna's distributions, and values that its trials suggest."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hsicfast.space.hyperparameters import Float, Hyperparameter, Int
from hsicfast.space.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

# More numbers than MOST_STEPS are searched as a continuum.
MOST_STEPS = 1_000_000


def distribution(hyperparameter: Hyperparameter) -> optuna.distributions.BaseDistribution:
    """The Optuna distribution over the values of `hyperparameter`; choices go by their position."""
    import optuna

    if isinstance(hyperparameter, Int):
        last = hyperparameter.low + hyperparameter.step * (hyperparameter.levels - 1)
        return optuna.distributions.IntDistribution(
            int(hyperparameter.low), int(last), log=hyperparameter.log, step=int(hyperparameter.step)
        )
    if isinstance(hyperparameter, Float):
        low, high, step = float(hyperparameter.low), float(hyperparameter.high), hyperparameter.step
        if step is not None and hyperparameter.levels is not None:
            # Optuna warns if a range does not end on a step; 12 digits, because 3 * 0.1 is not 0.3.
            high = float(f"{low + step * (hyperparameter.levels - 1):.12g}")
        return optuna.distributions.FloatDistribution(low, high, log=hyperparameter.log, step=step)
    # Positions, because Optuna takes only scalars, and takes 1 and True for the same choice.
    return optuna.distributions.CategoricalDistribution(range(len(hyperparameter.values)))


def searched(hyperparameter: Hyperparameter) -> optuna.distributions.BaseDistribution:
    """The Optuna distribution in which an optimiser searches `hyperparameter`.

    It is :func:`distribution`, but a continuum for more than MOST_STEPS numbers, whose proposals are rounded: Optuna's
    Gaussian process lists all values of what has steps.
    """
    import optuna

    if isinstance(hyperparameter, Float | Int) and _is_wide(hyperparameter):
        low, high = float(hyperparameter.low), float(hyperparameter.high)
        return optuna.distributions.FloatDistribution(low, high, log=hyperparameter.log)
    return distribution(hyperparameter)


def position(hyperparameter: Hyperparameter, value: Any) -> Any:
    """`value` as :func:`searched` knows it: a number itself, a choice by its position."""
    if isinstance(hyperparameter, Float | Int):
        return float(value) if _is_wide(hyperparameter) else value
    return hyperparameter.values.index(value)


def _is_wide(hyperparameter: Float | Int) -> bool:
    return (hyperparameter.levels or 0) > MOST_STEPS


def _nearest(hyperparameter: Float | Int, number: float) -> Any:
    """The value of a `hyperparameter` with steps that is closest to a `number` in its range.

    Examples
    --------
    >>> _nearest(Int(3, 20, step=5), 9.0), _nearest(Float(0, 1, step=0.25), 0.9)
    (8, 1.0)
    """
    low, step, last = hyperparameter.low, hyperparameter.step or 1, (hyperparameter.levels or 1) - 1
    if isinstance(hyperparameter, Int):
        return low + step * min(max((round(number) - low + step // 2) // step, 0), last)
    return float(f"{low + step * min(max(round((number - low) / step), 0), last):.15g}")


def suggested(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """The params of `trial`, which is asked for active names alone, parents first."""
    return space.fill(lambda name: _suggest(trial, name, space[name]))


def _suggest(trial: optuna.Trial, name: str, hyperparameter: Hyperparameter) -> Any:
    own: Any = searched(hyperparameter)
    if isinstance(hyperparameter, Float | Int) and _is_wide(hyperparameter):
        return _nearest(hyperparameter, trial.suggest_float(name, own.low, own.high, log=own.log))
    if isinstance(hyperparameter, Int):
        return trial.suggest_int(name, own.low, own.high, log=own.log, step=own.step)
    if isinstance(hyperparameter, Float):
        return trial.suggest_float(name, own.low, own.high, log=own.log, step=own.step)
    return hyperparameter.values[trial.suggest_categorical(name, own.choices)]


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    """Silence Optuna's log line for each study and its warnings about experimental samplers."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # If one point outshines all others, the Gaussian process divides by an empty sum, warns and goes on.
        warnings.filterwarnings("ignore", "invalid value encountered in divide", RuntimeWarning, r"optuna\._gp")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
