"""Branches: the values of one hyperparameter that decide which others exist, and which of them are worth more trials.

A Gaussian process cannot handle hyperparameters that only some trials have. Inside a branch, every trial has the same
ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsicfast.space.hyperparameters import Float, Hyperparameter
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import number, p_text, value_text
from hsicfast.trials.goal import best_fraction, losses_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, LOST, Trial

# A hyperparameter with more than MOST_BRANCHES values makes no branches: each would get too few trials.
MOST_BRANCHES = 8
# GOOD: the best fifth of the trials counts as good when branches are compared. ALPHA: a branch is dropped if chance
# alone would give it as few good trials, or fewer, with a probability of at most 5%.
GOOD, ALPHA = 0.2, 0.05


@dataclass(frozen=True)
class Branch:
    """One branch of a space, or the whole space if no hyperparameter is given.

    Attributes
    ----------
    name : str, optional
        The hyperparameter whose values are the branches.
    value : value, optional
        Its value in this branch.
    """

    name: str | None = None
    value: Any = None

    @property
    def fixed(self) -> dict[str, Any]:
        """The hyperparameter that all trials of the branch share, with its value."""
        return {} if self.name is None else {self.name: self.value}

    def trials(self, trials: TrialTable) -> TrialTable:
        """The `trials` that lie in the branch."""
        if self.name is None:
            return trials
        return trials.select(np.array([own == self.value for own in trials.values[self.name]], dtype=bool))


WHOLE_SPACE = Branch()


@dataclass(frozen=True)
class Branching:
    """The hyperparameter whose values are the branches.

    Attributes
    ----------
    name : str
    values : tuple
    """

    name: str
    values: tuple[Any, ...]

    def branches(self, values: Sequence[Any]) -> list[Branch]:
        """The branch of each of the `values`."""
        return [Branch(self.name, value) for value in values]

    def trials(self, value: Any, trials: TrialTable) -> TrialTable:
        """The `trials` that lie in the branch of `value`."""
        return Branch(self.name, value).trials(trials)


def branching(space: SearchSpace) -> Branching | None:
    """The hyperparameter, in every trial, on which the most others depend; None if no other depends on one.

    Examples
    --------
    >>> from hsicfast import Choice
    >>> space = SearchSpace({"kind": Choice(["a", "b"]), "inner": Float(0, 1, active_if={"kind": "a"})})
    >>> branching(space)
    Branching(name='kind', values=('a', 'b'))
    """
    ruled = {name: sum(space.depends(child, name) for child in space) for name in space if space.group(name) == "main"}
    able = [name for name, children in ruled.items() if children and 1 < len(_values(space[name])) <= MOST_BRANCHES]
    if not able:
        return None
    name = max(able, key=ruled.__getitem__)
    return Branching(name, _values(space[name]))


def conditions_inside(space: SearchSpace) -> bool:
    """Whether, inside the branches too, some hyperparameters exist only under a condition.

    Examples
    --------
    >>> from hsicfast import Bool, Choice
    >>> kind, inner = Choice(["a", "b"]), Float(0, 1, active_if={"kind": "a"})
    >>> conditions_inside(SearchSpace({"kind": kind, "inner": inner}))
    False
    >>> drop, rate = Bool(), Float(0, 1, active_if={"drop": True})
    >>> conditions_inside(SearchSpace({"kind": kind, "inner": inner, "drop": drop, "rate": rate}))
    True
    """
    branches = branching(space)
    parents = {parent for name in space for parent in space[name].conditions}
    return bool(parents - {branches.name if branches else None})


def promising(branches: Branching, left: Sequence[Any], trials: TrialTable, keep: int) -> tuple[list[Any], str]:
    """The branches of `left` that are worth more trials, at most `keep`, the most promising first; and why.

    A branch is dropped if it has significantly few of the best fifth of the trials (hypergeometric test, p <= 5%). If
    more than `keep` branches remain, those whose best trial is worst are dropped as well: a budget that is divided
    among many similar branches would leave too few trials for each.

    Parameters
    ----------
    branches : Branching
    left : sequence
        Values of the branches that are still searched.
    trials : TrialTable
        All trials so far.
    keep : int >= 1

    Returns
    -------
    kept : list
        Values of the branches to search on.
    reason : str
        Which branches stay, and why the others are dropped.
    """
    from scipy.stats import hypergeom

    # Branches go by their places: a list, which has no hash, may be a value.
    own = [branches.trials(value, trials) for value in left]
    judged = [(place, trial) for place, tried in enumerate(own) for trial in tried if trial.status != LOST]
    # A trial that was stopped early has an objective, its last value, but never counts among the best.
    ended = [trial.objective if trial.status == DONE else math.nan for _, trial in judged]
    met = best_fraction(losses_of(np.array(ended), trials.minimize), GOOD).met
    leaders = map(best_of, own)
    best = [math.nan if leader is None else leader.objective for leader in leaders]
    order = sorted(
        range(len(left)), key=lambda place: (math.isnan(best[place]), losses_of(best[place], trials.minimize))
    )
    said, kept = [], [left[order[0]]]
    for place in order[1:]:
        value = left[place]
        n = sum(of == place for of, _ in judged)
        good = sum(bool(z) for (of, _), z in zip(judged, met, strict=True) if of == place)
        pvalue = float(hypergeom.cdf(good, len(judged), int(met.sum()), n))
        if pvalue > ALPHA and len(kept) < keep:
            kept.append(value)
        elif pvalue <= ALPHA:
            said.append(f"{value_text(value)} has {good} of the best fifth in {n} trials (p {p_text(pvalue)})")
        else:
            shown = "none" if math.isnan(best[place]) else number(best[place])
            said.append(f"{value_text(value)} has a worse best ({shown})")
    stays = f"{branches.name} {' or '.join(value_text(value) for value in kept)} is searched on"
    return kept, f"{stays}: {'; '.join(said)}" if said else stays


def best_of(trials: TrialTable) -> Trial | None:
    """The trial that ended well with the best objective, the earliest if several are equal; None if none ended well."""
    return trials.best() if (trials.status == DONE).any() else None


def _values(hyperparameter: Hyperparameter) -> tuple[Any, ...]:
    """The values that may be branches; none for a Float, even one with steps."""
    return () if isinstance(hyperparameter, Float) else hyperparameter.values
