"""Offers the index as one of Optuna's parameter importances.

``import hsicfast`` imports neither this module nor Optuna. An Optuna study does not know the distribution of its
trials: a sampler such as TPE moves towards good values, and a range may change from trial to trial. Therefore the
trials themselves map the values to [0, 1].
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import BaseImportanceEvaluator
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence.features import UNIFORM_MEDIAN, carried_features
from hsicfast.errors import InputError, check_share
from hsicfast.evidence.joint import GOOD_SHARES, Group, goals_asked, importances
from hsicfast.space.hyperparameters import step_of
from hsicfast.trials.goal import AUTO, best_fraction, dominated_by, goal_of

Target = Callable[[FrozenTrial], float]

# Rounding leaves up to this much of an R2 that equals its mean under independence; Optuna would normalise it to 1.
ROUNDING = 1e-12


class HSICImportanceEvaluator(BaseImportanceEvaluator):
    """How much a parameter decides who ends among the best trials of an Optuna study.

    The importance is ``(m / n) max(R2 - E R2, 0)`` over the m of n trials in which the parameter exists: for the
    best `goal`, or by default as its mean over the best 5, 10, 20, 30 and 50% of these and the best tenth (at least 15
    of them, at most a third) and over three bandwidths:

    - ``R2 = HSIC(U, Z) / sqrt(HSIC(U, U) HSIC(Z, Z))`` lies in [0, 1]. U is the parameter mapped to [0, 1], and Z says
      whether a trial is among the best, ties included. For a parameter with two choices, R2 is the squared correlation
      with Z. HSIC(U, Z) alone would grow with the share of good trials, which depends on ties and small branches, and
      it would fall if a parameter has few or unevenly tried values. R2 is not near 1 if the goal is narrower than the
      kernel: at goal=0.1 a number that decides alone has 0.25 if the best trials lie at an end of its values, and 0.08
      if they lie in the middle; a choice that all good trials need and half of all trials have gets 0.11.
    - ``E R2`` is the exact mean of R2 over all permutations of Z, so that there is no seed: noise gets 0, or little.
    - ``m / n`` weights a conditional parameter by the trials that it affects. Chance moves R2 by about sqrt(2) / m for
      any parameter, and therefore each importance, conditional or not, by about sqrt(2) / n: a branch of 4 trials
      cannot exceed the rest by chance.

    The rank maps a number to [0, 1]: each different value gets the step of [0, 1] that its trials fill, so that neither
    the sampler's distribution nor a changing range needs to be known. The choices of a categorical parameter get equal
    steps. A sampler that learns moves all parameters while the trials get better, so that a parameter which only moved
    along counts, too; independently drawn trials do not have this problem.

    Only completed trials with finite values count. A pruned trial has no final value, and a failed one has none at all:
    Optuna does not say whether it diverged or its node was lost. A small `target` is good, as in Optuna's PED-ANOVA.
    If there are several objectives and no `target`, the best trials are those which the fewest others dominate.

    If nothing can be concluded, as from a single trial, every importance is 0, and Optuna normalises them to equal
    ones.

    Parameters
    ----------
    goal : float in (0, 1), optional
        The best fraction of the trials; by default several.

    Raises
    ------
    InputError
        If `goal` is outside (0, 1).

    Examples
    --------
    >>> import optuna
    >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> study.optimize(lambda t: t.suggest_float("x", 0, 1 + t.number) + 0 * t.suggest_int("noise", 0, 9), n_trials=50)
    >>> found = optuna.importance.get_param_importances(study, evaluator=HSICImportanceEvaluator())
    >>> list(found), found["x"] > 0.8
    (['x', 'noise'], True)
    """

    def __init__(self, *, goal: float | None = None) -> None:
        if goal is not None:
            check_share("goal", goal)
        self._goal = goal

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
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        names = _names(trials, params)
        losses = _losses(study, trials, target)
        rows = np.flatnonzero(np.isfinite(losses).all(axis=1))
        importances = self._importances(names, [trials[row] for row in rows], losses[rows])
        return dict(sorted(importances.items(), key=lambda named: -named[1]))

    def _importances(self, names: list[str], trials: list[FrozenTrial], losses: Floats) -> dict[str, float]:
        """The importance of each name among the trials in which it exists, with a goal of their own."""
        goals: dict[bytes, Bools] = {}  # the same for all parameters that exist in the same trials
        found = {}
        for name in names:
            exists = np.array([name in trial.params for trial in trials], dtype=bool)
            if not exists.any():
                found[name] = 0.0  # all its trials ended at infinity
                continue
            branch = exists.tobytes()
            if branch not in goals:
                goals[branch] = self._met(_ranking(losses[exists]))
            level, ends = _carry(name, [trial for trial in trials if name in trial.params])
            found[name] = self._importance(level, ends, exists, goals[branch])
        return found

    def _met(self, losses: Floats) -> Bools:
        """Which of the trials with these losses (m,) met each goal (G, m)."""
        if self._goal is not None:
            return best_fraction(losses, self._goal).met[None]
        return goals_asked(losses, goal_of(losses, AUTO).met, GOOD_SHARES)

    def _importance(self, level: Rows, ends: tuple[Floats, Floats], exists: Bools, met: Bools) -> float:
        low, high = ends
        if met.all() or not met.any() or len(low) == 1:  # all trials are alike
            return 0.0
        if self._goal is not None:
            return float(exists.mean()) * _excess(level, low, high, met[0])
        column = ((low + high) / 2)[level], (high - low)[level]
        (importance,) = importances([Group(exists, met, [column])])
        return float(importance) if importance > ROUNDING else 0.0


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
    """The losses, one row for each trial: the target alone, or each objective with its sign."""
    maximised = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
    if target is None:
        values = np.array([trial.values for trial in trials], dtype=np.float64)
        return np.where(maximised, -1.0, 1.0) * values.reshape(len(trials), len(maximised))
    if any(maximised):
        warnings.warn(
            "a small `target` is taken as good, though this study maximises; return its negative where large is good",
            stacklevel=4,  # the line that called get_param_importances
        )
    return np.array([[_number(target(trial), trial)] for trial in trials], dtype=np.float64).reshape(-1, 1)


def _number(value: Any, trial: FrozenTrial) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"`target` must return a number, but got {value!r} for trial {trial.number}; return float('nan') to leave "
            "the trial out"
        ) from None


def _ranking(losses: Floats) -> Floats:
    """One loss for each trial (n,): its only loss, or the number of trials that dominate it.

    Examples
    --------
    >>> _ranking(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    array([0., 0., 2.])
    """
    return losses[:, 0] if losses.shape[1] == 1 else dominated_by(losses).astype(np.float64)


def _carry(name: str, trials: Sequence[FrozenTrial]) -> tuple[Rows, tuple[Floats, Floats]]:
    """The level (m,) of each trial, and both ends (L,) of the steps of the L levels that were tried."""
    distributions = [trial.distributions[name] for trial in trials]
    first = distributions[0]
    values = [_plain(name, trial.params[name], own, first) for trial, own in zip(trials, distributions, strict=True)]
    different, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    if isinstance(first, CategoricalDistribution):
        return level, step_of(different, len(first.choices), None)
    return level, step_of(np.arange(float(len(different))), len(different), counts.tolist())


def _plain(name: str, value: Any, own: BaseDistribution, first: BaseDistribution) -> float:
    """A value as a number; a categorical one becomes the position of its choice, the same in all trials."""
    if own != first and CategoricalDistribution in (type(own), type(first)):
        raise InputError(
            f"a categorical parameter must keep its choices, but {name!r} is {first} in one trial and {own} in "
            "another; leave it out of `params`"
        )
    return float(own.to_internal_repr(value))


def _excess(level: Rows, low: Floats, high: Floats, z: Bools) -> float:
    """R2 of levels (m,), steps [low, high] of [0, 1] (L,), and a goal (m,), less its mean over permutations; not < 0.

    It is ``(|cov(psi, z)|^2 / var(z) - tr C / (m - 1)) / |C|`` with the covariance C of the features psi. 2 trials are
    enough, whereas the U-statistic of an :class:`hsicfast.dependence.estimate.Estimate` needs 4.

    Examples
    --------
    >>> halves = np.array([0.0, 0.5]), np.array([0.5, 1.0])
    >>> z = np.arange(100) < 20
    >>> round(_excess(z.astype(int), *halves, z), 6)  # one level against the other: 1 - 1 / 99
    0.989899
    >>> _excess(np.arange(100) % 2, *halves, z)
    0.0
    """
    m = len(z)
    counts = np.bincount(level)
    psi = carried_features((low + high) / 2, high - low, UNIFORM_MEDIAN)
    psi -= counts @ psi / m
    covariance = (counts[:, None] * psi).T @ psi / m
    direction = np.bincount(level, z) @ psi / m
    share = float(direction @ direction) / float(z.var())
    excess = (share - float(np.trace(covariance)) / (m - 1)) / math.sqrt(float((covariance**2).sum()))
    return excess if excess > ROUNDING else 0.0
