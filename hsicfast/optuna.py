"""Offers the index as one of Optuna's parameter importances.

``import hsicfast`` imports neither this module nor Optuna. An Optuna study does not know the distribution of its
trials: a sampler such as TPE moves towards good values, and a range may change from trial to trial. Therefore the
trials themselves map the values to [0, 1].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.importance import BaseImportanceEvaluator
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hsicfast.arrays import Floats
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.errors import InputError, check_one_of, check_share
from hsicfast.indices import judging
from hsicfast.indices.batches import Rules
from hsicfast.indices.findings import JOINT, Question
from hsicfast.reading.sources import read_trials
from hsicfast.space.search_space import Int, SearchSpace
from hsicfast.trials.constraints import broken, check_constraints, largest, set_apart
from hsicfast.trials.goal import AUTO, dominated_by
from hsicfast.trials.repeats import merged
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, PRUNED

Target = Callable[[FrozenTrial], float]

STATUSES = {TrialState.COMPLETE: DONE, TrialState.FAIL: DIVERGED, TrialState.PRUNED: PRUNED}
# Rounding leaves up to this much of an R2 that equals its mean under independence; Optuna would normalise it to 1.
ROUNDING = 1e-12


class HSICImportanceEvaluator(BaseImportanceEvaluator):
    """How much a parameter decides who ends among the best trials of an Optuna study.

    It is the `importance` of :func:`hsicfast.analyse` with ``law="ranks"``, so that a dashboard and
    ``python -m hsicfast.analyze`` rank the parameters of a study alike:

    - R2 = HSIC(U, Z) / sqrt(HSIC(U, U) HSIC(Z, Z)) lies in [0, 1]. U is the parameter mapped to [0, 1] by its ranks,
      and Z says whether a trial is among the best. R2 is not near 1 if the goal is narrower than the kernel: at
      goal=0.1 a number that decides alone has 0.25 if the best trials lie at an end of its values, and 0.08 if they lie
      in the middle; a choice that all good trials need and half of all trials have gets 0.11.
    - Its exact mean over all permutations of Z is taken off, so that there is no seed: noise gets 0, or little.
    - By default it is the mean over the best 5, 10, 20, 30 and 50% of the trials and the best tenth (at least 15 of
      them, at most a third) and over three bandwidths; with a `goal` it is that of this goal.
    - A conditional parameter is judged among the m of n trials in which it exists, with a goal of their own, and
      weighted by m / n. Chance moves R2 by about sqrt(2) / m for any parameter, and therefore each importance by about
      sqrt(2) / n: a branch of 4 trials cannot exceed the rest by chance.

    A sampler that learns moves all parameters while the trials get better, so that a parameter which only moved along
    counts, too; independently drawn trials do not have this problem.

    By default, failed, pruned and infeasible trials are evidence against their values: they are not among the best.
    Trials that repeat a configuration count as one with the mean of their objectives. A small `target` is good, as in
    Optuna's PED-ANOVA; only completed trials have one. If there are several objectives and no `target`, the best trials
    are those which the fewest others dominate.

    If nothing can be concluded, as from a single trial, every importance is 0, and Optuna normalises them to equal
    ones.

    Parameters
    ----------
    goal : float in (0, 1), optional
        The best fraction of the trials; by default several.
    failed : {"miss", "drop"}
        Whether a failed trial is not good, or is left out.
    pruned : {"miss", "last", "drop"}
        Whether a pruned trial is not good, is judged by the last value that it reported, or is left out.
    constraints : {"miss", "ignore"}
        Whether a trial with a constraint above 0 is not good, or is judged by its objective.
    infinite : {"drop", "miss"}
        Whether a completed trial whose value is infinite is left out, as Optuna's evaluators do, or is not good, as
        :func:`hsicfast.analyse` has it.

    Raises
    ------
    InputError
        If `goal` is outside (0, 1), or an option is none of these.

    Examples
    --------
    >>> import optuna
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(lambda t: t.suggest_float("x", 0, 1 + t.number) + 0 * t.suggest_int("noise", 0, 9), n_trials=50)
    >>> found = optuna.importance.get_param_importances(study, evaluator=HSICImportanceEvaluator())
    >>> list(found), found["x"] > 0.8
    (['x', 'noise'], True)
    """

    def __init__(
        self,
        *,
        goal: float | None = None,
        failed: Literal["miss", "drop"] = "miss",
        pruned: Literal["miss", "last", "drop"] = "miss",
        constraints: Literal["miss", "ignore"] = "miss",
        infinite: Literal["drop", "miss"] = "drop",
    ) -> None:
        if goal is not None:
            check_share("goal", goal)
        check_one_of("failed", failed, ("miss", "drop"), "'miss' counts them as not good")
        check_one_of("pruned", pruned, ("miss", "last", "drop"), "'miss' counts them as not good")
        check_constraints(constraints)
        check_one_of("infinite", infinite, ("drop", "miss"), "'drop' leaves them out")
        self._goal, self._rules = goal, Rules("ranks", failed, pruned)
        self._constraints, self._infinite = constraints, infinite

    def evaluate(
        self, study: Study, params: list[str] | None = None, *, target: Target | None = None
    ) -> dict[str, float]:
        """The importances, the largest first.

        Parameters
        ----------
        study : optuna Study
        params : list of str, optional
            Names to judge; by default all names that a completed trial has.
        target : callable, optional
            Returns the number by which a trial is judged, and a small one is good; by default its value or values.

        Raises
        ------
        InputError
            If no completed trial has a name, the choices of a parameter change, or the target is not a number.
        """
        ended = study.get_trials(deepcopy=False, states=tuple(STATUSES))
        names = _names([trial for trial in ended if trial.state == TrialState.COMPLETE], params)
        losses = _losses(study, ended, target)
        # 1. Which trials count, and how each of them ended.
        complete = np.array([trial.state == TrialState.COMPLETE for trial in ended], dtype=bool)
        kept = np.flatnonzero(np.isfinite(losses).all(axis=1) | ~complete | (self._infinite == "miss"))
        trials = [ended[row] for row in kept]
        for name in names:
            _check_choices(name, trials)
        if not trials or not names:
            return dict.fromkeys(names, 0.0)
        table, understood = _read(study, trials)
        judged, _ = merged(judging.counted(self._ended(table, trials, losses[kept]), self._rules))
        # 2. The importance of each name; what was not read as a hyperparameter is judged where it exists.
        rows = np.searchsorted([trial.number for trial in trials], judged.index)
        beside = {name: _values(name, trials)[rows] for name in names if name not in understood}
        question = Question(self._goal or AUTO, judged.minimize, UNIFORM_MEDIAN, JOINT, 1, 0, 0.9, "ranks")
        found = judging.importances(judged, question, beside)
        ranking = sorted(names, key=lambda name: -found[name])
        return {name: found[name] if found[name] > ROUNDING else 0.0 for name in ranking}

    def _ended(self, table: TrialTable, trials: Sequence[FrozenTrial], losses: Floats) -> TrialTable:
        """The table (n,) with the ends of its trials, whose `losses` have shape (n, q)."""
        status = np.array([STATUSES[trial.state] for trial in trials])
        status = np.where((status == DONE) & ~np.isfinite(losses).all(axis=1), DIVERGED, status)
        limits = np.array([largest(trial.constraints.values()) for trial in trials])
        infeasible = broken(limits, status, losses) & (self._constraints == "miss")
        status = np.where(infeasible, DIVERGED, status)
        table = replace(table, objective=_ranking(losses, status), status=status, minimize=True)
        return set_apart(table, infeasible, losses, limits)


def _names(trials: Sequence[FrozenTrial], params: list[str] | None) -> list[str]:
    """Names to judge; by default all, in the order of their first trials."""
    known = list(dict.fromkeys(name for trial in trials for name in trial.params))
    if params is None:
        return known
    missing = [name for name in params if name not in known]
    if missing:
        raise InputError(
            f"each of `params` must be in a completed trial, but {missing} are in none; choose among {known}"
        )
    return list(params)


def _losses(study: Study, trials: Sequence[FrozenTrial], target: Target | None) -> Floats:
    """The losses, one row for each trial: the target alone, or each objective with its sign; NaN if it has none."""
    maximised = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
    if target is None:
        values = np.array([_own_values(trial, len(maximised)) for trial in trials], dtype=np.float64)
        return np.where(maximised, -1.0, 1.0) * values.reshape(len(trials), len(maximised))
    if any(maximised):
        warnings.warn(
            "a small `target` is taken as good, though this study maximises; return its negative where large is good",
            stacklevel=4,  # the line that called get_param_importances
        )
    complete = TrialState.COMPLETE
    own = [_number(target(trial), trial) if trial.state == complete else math.nan for trial in trials]
    return np.array(own, dtype=np.float64).reshape(-1, 1)


def _own_values(trial: FrozenTrial, q: int) -> Sequence[float]:
    """The q values of a trial; for a pruned one with one objective, the last value that it reported."""
    if trial.state == TrialState.COMPLETE:
        return trial.values
    if trial.state == TrialState.PRUNED and q == 1 and trial.last_step is not None:
        return [trial.intermediate_values[trial.last_step]]
    return [math.nan] * q


def _number(value: Any, trial: FrozenTrial) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"`target` must return a number, but got {value!r} for trial {trial.number}; return float('nan') to leave "
            "the trial out"
        ) from None


def _ranking(losses: Floats, status: NDArray[np.str_]) -> Floats:
    """One loss for each trial (n,): its only loss, or the number of done trials that dominate it; NaN if it has none.

    Examples
    --------
    >>> _ranking(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array(["done"] * 3 + ["diverged"]))
    array([ 0., 0., 2., nan])
    """
    if losses.shape[1] == 1:
        return np.where(status == DIVERGED, np.nan, losses[:, 0])
    ranking = np.full(len(losses), np.nan)
    ranking[status == DONE] = dominated_by(losses[status == DONE])
    return ranking


def _read(study: Study, trials: Sequence[FrozenTrial]) -> tuple[TrialTable, Collection[str]]:
    """The trials as they are read for an analysis, and the names that are hyperparameters there.

    None is if there is nothing to read, such as if the only parameter was added later.
    """
    numbers = np.array([trial.number for trial in trials])
    try:
        table = read_trials(study).table
    except InputError:
        alone = SearchSpace({"number": Int(0, int(numbers.max()) + 1)})
        return replace(TrialTable.from_arrays(alone, {"number": numbers}, 0.0 * numbers), index=numbers), ()
    return table.select(np.isin(table.index, numbers)), table.space


def _check_choices(name: str, trials: Sequence[FrozenTrial]) -> None:
    """Raise an InputError unless a categorical parameter has the same choices in all trials."""
    own = [trial.distributions[name] for trial in trials if name in trial.distributions]
    if not any(isinstance(distribution, CategoricalDistribution) for distribution in own):
        return
    first = own[0]
    for distribution in own:
        # Optuna's own comparison takes long.
        if getattr(distribution, "choices", None) != getattr(first, "choices", None) and distribution != first:
            raise InputError(
                f"a categorical parameter must keep its choices, but {name!r} is {first} in one trial and "
                f"{distribution} in another; leave it out of `params`"
            )


def _values(name: str, trials: Sequence[FrozenTrial]) -> Floats:
    """A parameter as numbers (n,): a choice is its position among the choices; NaN where it does not exist."""
    return np.array(
        [
            trial.distributions[name].to_internal_repr(trial.params[name]) if name in trial.params else math.nan
            for trial in trials
        ]
    )
