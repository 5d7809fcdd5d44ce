"""Branches: the ways through a tree of choices that decide which hyperparameters exist, and which of them to search on.

Inside a branch every trial has the same hyperparameters, as far as the tree goes. A good region of a branch may be
small: whoever goes only where the best trial is would never see that of another branch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsicfast.space.hyperparameters import Float, Hyperparameter
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import p_text, value_text
from hsicfast.trials.goal import best_fraction, losses_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, Trial

# There are at most MOST_BRANCHES branches: of more, each would get too few trials.
MOST_BRANCHES = 8
# FEWEST: before evidence is weighed, every branch gets so many trials. Two or three do not show what a branch is worth
# that has ten hyperparameters.
FEWEST = 4
# GOOD: the best fifth of the trials counts as good when branches are compared. ALPHA: a branch is dropped if chance
# alone would give it as few good trials, or fewer, with a probability of at most 5%.
GOOD, ALPHA = 0.2, 0.05


@dataclass(frozen=True)
class Branch:
    """A branch of a space: the values of the hyperparameters that decide which others exist.

    Attributes
    ----------
    fixed : dict
        Name -> value, from the root of the tree; the whole space if it is empty.
    """

    fixed: dict[str, Any]

    @property
    def text(self) -> str:
        """Its values, in words."""
        return ", ".join(f"{name} {value_text(value)}" for name, value in self.fixed.items())

    def trials(self, trials: TrialTable) -> TrialTable:
        """The `trials` that lie in the branch."""
        inside = np.ones(len(trials), dtype=bool)
        for name, value in self.fixed.items():
            inside &= np.array([own == value for own in trials.values[name]], dtype=bool)
        return trials.select(inside)


WHOLE_SPACE = Branch({})


def branches_of(space: SearchSpace) -> list[Branch]:
    """The branches of a space, at most MOST_BRANCHES; the whole space if no hyperparameter depends on another.

    The tree grows level by level: a branch is divided by the hyperparameter, always active in it, on which the most
    others depend, unless that would make too many.

    Examples
    --------
    >>> from hsicfast import Bool, Choice
    >>> kind, drop = Choice(["a", "b"]), Bool(active_if={"kind": "b"})
    >>> space = SearchSpace({"kind": kind, "drop": drop, "rate": Float(0, 1, active_if={"drop": True})})
    >>> [branch.text for branch in branches_of(space)]
    ['kind a', 'kind b, drop False', 'kind b, drop True']
    """
    grown, ready = [WHOLE_SPACE], list[Branch]()
    while grown:
        branch = grown.pop(0)
        left = space.fix(branch.fixed) if branch.fixed else space
        divided = None if left is None else branching(left)
        if divided is None or len(grown) + len(ready) + len(divided[1]) > MOST_BRANCHES:
            ready.append(branch)
        else:
            grown += [Branch(branch.fixed | {divided[0]: value}) for value in divided[1]]
    return ready


def branching(space: SearchSpace) -> tuple[str, tuple[Any, ...]] | None:
    """The hyperparameter, in every trial, on which the most others depend, and its values; None if none has others.

    Examples
    --------
    >>> from hsicfast import Choice
    >>> space = SearchSpace({"kind": Choice(["a", "b"]), "inner": Float(0, 1, active_if={"kind": "a"})})
    >>> branching(space)
    ('kind', ('a', 'b'))
    """
    ruled = {name: sum(space.depends(child, name) for child in space) for name in space if space.group(name) == "main"}
    able = [name for name, children in ruled.items() if children and 1 < len(_values(space[name])) <= MOST_BRANCHES]
    if not able:
        return None
    name = max(able, key=ruled.__getitem__)
    return name, _values(space[name])


def promising(branches: Sequence[Branch], trials: TrialTable) -> tuple[list[Branch], str]:
    """The branches that are worth more trials, the one with the best trial first; and why.

    A branch is dropped if it has significantly few of the best fifth of the trials (hypergeometric test, p <= 5%), or
    if none of FEWEST trials or more ended well.

    Parameters
    ----------
    branches : sequence of Branch
    trials : TrialTable
        All trials so far.

    Returns
    -------
    kept : list of Branch
        At least one.
    reason : str
        Which branches stay, and why the others get no trials of their own any more: only where the search of the whole
        space goes there.
    """
    from scipy.stats import hypergeom

    own = [branch.trials(trials.evidence) for branch in branches]
    judged = [(place, trial) for place, tried in enumerate(own) for trial in tried]
    # A trial that was stopped early has an objective, its last value, but never counts among the best.
    ended = [trial.objective if trial.status == DONE else math.nan for _, trial in judged]
    met = best_fraction(losses_of(np.array(ended), trials.minimize), GOOD).met
    best = [math.nan if (leader := best_of(tried)) is None else leader.objective for tried in own]
    order = sorted(
        range(len(branches)), key=lambda place: (math.isnan(best[place]), losses_of(best[place], trials.minimize))
    )
    said, kept = [], [branches[order[0]]]
    for place in order[1:]:
        n = len(own[place])
        good = sum(bool(z) for (of, _), z in zip(judged, met, strict=True) if of == place)
        pvalue = float(hypergeom.cdf(good, len(judged), int(met.sum()), n))
        if n >= FEWEST and math.isnan(best[place]):
            said.append(f"none of {n} trials in {branches[place].text} ended well")
        elif pvalue > ALPHA:
            kept.append(branches[place])
        else:
            said.append(f"{branches[place].text} has {good} of the best fifth in {n} trials (p {p_text(pvalue)})")
    stays = f"{' or '.join(branch.text for branch in kept)} is visited further"
    return kept, f"{stays}: {'; '.join(said)}" if said else stays


def least_tried(branches: Sequence[Branch], trials: TrialTable) -> tuple[Branch, int]:
    """The branch with the fewest `trials`, the earliest of equals, and how many it has."""
    counts = [len(branch.trials(trials.evidence)) for branch in branches]
    return branches[int(np.argmin(counts))], min(counts)


def best_of(trials: TrialTable) -> Trial | None:
    """The trial that ended well with the best objective, the earliest if several are equal; None if none ended well."""
    return trials.best() if (trials.status == DONE).any() else None


def _values(hyperparameter: Hyperparameter) -> tuple[Any, ...]:
    """The values that may be branches; none for a Float, even one with steps."""
    return () if isinstance(hyperparameter, Float) else hyperparameter.values
