"""What an Optuna study says of its trials: their values, parameters, states, constraints and distributions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError
from hsicfast.formats.found import Found, spread
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int

if TYPE_CHECKING:
    import optuna


# Under this name Optuna keeps a trial's constraints: a list of numbers, or since version 5 one number for each key.
CONSTRAINTS = "constraints"
INFEASIBLE = "the study's constraint: above 0 is infeasible"


def from_study(study: optuna.Study) -> Found:
    """A row for each trial that ended: its values, parameters, state, duration, constraint and user attributes."""
    import optuna
    import pandas as pd

    states = optuna.trial.TrialState
    trials = study.get_trials(deepcopy=False, states=(states.COMPLETE, states.FAIL, states.PRUNED))
    if not trials:
        raise InputError(f"a study needs finished trials, but {study.study_name!r} has none; run some first")
    if not any(trial.params for trial in trials):
        raise InputError(f"a study's trials need parameters, but those of {study.study_name!r} have none; suggest some")
    q = len(study.directions)
    names = [f"values_{name}" for name in study.metric_names or range(q)]
    if q == 1 and not study.metric_names:
        names = ["value"]
    values = [_values(trial, q) for trial in trials]
    columns: dict[str, Any] = {name: [row[k] for row in values] for k, name in enumerate(names)}
    columns |= spread("params_", [trial.params for trial in trials])
    columns["state"] = [trial.state.name.lower() for trial in trials]
    columns["duration"] = [math.nan if t.duration is None else t.duration.total_seconds() for t in trials]
    beside = {"state": "how a trial ended", "duration": "a time"}
    if any(limits := [_constraints(trial.system_attrs) for trial in trials]):
        columns["constraint"] = [max(own, default=math.nan) for own in limits]
        beside["constraint"] = INFEASIBLE
    attributes = spread("user_attrs_", [trial.user_attrs for trial in trials])
    columns |= attributes
    maximized = [direction == optuna.study.StudyDirection.MAXIMIZE for direction in study.directions]
    return Found(
        pd.DataFrame(columns, index=[trial.number for trial in trials]),
        dict(zip(names, maximized, strict=True)),
        study.study_name,
        stated=_stated(trials),
        beside=beside | dict.fromkeys(attributes, "a user attribute"),
    )


def _values(trial: optuna.trial.FrozenTrial, q: int) -> list[float]:
    """The final values of a trial; for a pruned one, the last value that it reported."""
    import optuna

    if trial.state == optuna.trial.TrialState.COMPLETE:
        return list(trial.values)
    if trial.state == optuna.trial.TrialState.PRUNED and q == 1 and trial.intermediate_values:
        return [trial.intermediate_values[max(trial.intermediate_values)]]
    return [math.nan] * q


def _constraints(attributes: dict[str, Any]) -> list[float]:
    """The values of a trial's constraints, of which one above 0 makes the trial infeasible."""
    own = [value for key, value in attributes.items() if key.startswith(f"{CONSTRAINTS}:")]
    return [float(value) for value in (*(attributes.get(CONSTRAINTS) or ()), *own)]


def _stated(trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, Hyperparameter | None]:
    """What the distributions of the trials say of each parameter; None for one that some trials lack."""
    stated: dict[str, Hyperparameter | None] = {}
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        own = [trial for trial in trials if name in trial.params]
        kind = hyperparameter_of(trial.distributions[name] for trial in own) if len(own) == len(trials) else None
        # A trial that was enqueued may have a value outside its distribution.
        fits = kind is not None and all(kind.contains(_written(trial.params[name])) for trial in own)
        stated[f"params_{name}"] = kind if fits else None
    return stated


def _written(value: Any) -> Any:
    """A value as a frame has it: the text None if it is None."""
    return "None" if value is None else value


def hyperparameter_of(distributions: Iterable[optuna.distributions.BaseDistribution]) -> Hyperparameter | None:
    """The hyperparameter whose values all `distributions` of a parameter have together; None if there is none.

    Examples
    --------
    >>> from optuna.distributions import CategoricalDistribution, IntDistribution
    >>> hyperparameter_of([IntDistribution(1, 4), IntDistribution(2, 8)])
    Int(low=1, high=8, log=False, step=1, active_if=None, law=None)
    >>> hyperparameter_of([CategoricalDistribution([None, "relu"])])
    Choice(choices=('None', 'relu'), active_if=None, law=None)
    """
    import optuna

    try:
        kinds = list(dict.fromkeys(distributions))
        if all(isinstance(kind, optuna.distributions.CategoricalDistribution) for kind in kinds):
            values = [value for kind in kinds for value in kind.choices]  # type: ignore[attr-defined]
            if all(isinstance(value, bool) for value in values):
                return Bool() if len(set(values)) == 2 else None
            return Choice(list(dict.fromkeys(map(_written, values))))
        low, high = min(kind.low for kind in kinds), max(kind.high for kind in kinds)  # type: ignore[attr-defined]
        log = all(kind.log for kind in kinds)  # type: ignore[attr-defined]
        steps = {(kind.step, kind.low if kind.step else 0) for kind in kinds}  # type: ignore[attr-defined]
        step = steps.pop()[0] if len(steps) == 1 else None
        if all(isinstance(kind, optuna.distributions.IntDistribution) for kind in kinds):
            return Int(low, high, log=log, step=1 if log else step or 1)
        return Float(low, high, log=log, step=step)
    except (AttributeError, InputError, TypeError):  # numbers in some trials and choices in others, or a single value
        return None
