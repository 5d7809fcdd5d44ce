"""Decides what to fix, to which value, and why: between the two steps of the method (Novello et al. 2023, section 5).

The published rule: search what the index finds, and fix the rest to cheap values. Lack of evidence is not evidence of
irrelevance, so every decision states its numbers, and if nothing was found, nothing is fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.indices.findings import Findings
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import p_text, value_text

KEEP, FIX, NARROW = "search", "fix", "narrow"
# The price of a value is the median cost of the trials around it: those of the same level, or the nearest quarter of a
# continuum. Up to MOST_PRICED values get a price.
NEIGHBOURS = 0.25
MOST_PRICED = 200
RULE = (
    "Whether a hyperparameter is searched goes by p, before the correction for many hyperparameters: to search one too "
    "many costs trials, to fix one too many may cost the optimum. What is fixed was not shown to have no effect."
)


@dataclass(frozen=True)
class Decision:
    """What happens to one hyperparameter.

    Attributes
    ----------
    name : str
    action : {"search", "narrow", "fix"}
    value : object
        The value it is fixed to, the narrowed range (low, high), or None if it is searched as it is.
    reason : str
        One sentence with its numbers.
    """

    name: str
    action: str
    value: Any
    reason: str

    @property
    def text(self) -> str:
        """What happens to it, in words."""
        if self.action == NARROW:
            low, high = map(value_text, self.value)
            return f"searched from {low} to {high}"
        return f"fixed to {value_text(self.value)}" if self.action == FIX else "searched"


@dataclass(frozen=True)
class Reduction:
    """The space that remains to be searched.

    Attributes
    ----------
    space : SearchSpace
        The space without the fixed hyperparameters and with the narrowed ranges.
    fixed : dict
        Name -> value.
    decisions : tuple of Decision
    rule : str
        How it was decided, in words.
    """

    space: SearchSpace
    fixed: dict[str, Any]
    decisions: tuple[Decision, ...]
    rule: str

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """Names, what happens to them, and why; names that share both stand in one row."""
        rows: dict[tuple[str, str], list[str]] = {}
        for decision in self.decisions:
            rows.setdefault((decision.text, decision.reason), []).append(decision.name)
        return [(", ".join(names), text, reason) for (text, reason), names in rows.items()]

    def narrowed(self, space: SearchSpace) -> SearchSpace:
        """The whole `space`, with the fixed hyperparameters and the narrowed ranges."""
        return SearchSpace({name: self.space.get(name, space[name]) for name in space})


def reduce(sensitivity: Findings, alpha: float = 0.05) -> Reduction:
    """Search what was found to matter, and fix the rest to cheap values that good trials had.

    Parameters
    ----------
    sensitivity : Findings
        The analysis of the design trials.
    alpha : float in (0, 1)
        A hyperparameter is searched if its p-value, not adjusted, is at most alpha: to search one too many costs
        trials, to fix one too many costs the optimum.

    Returns
    -------
    Reduction
        A hyperparameter on which a searched one depends is searched, too. If nothing was found, nothing is fixed.

    Examples
    --------
    >>> from hsicfast import Float, TrialTable, analyse
    >>> space = SearchSpace({"rate": Float(0, 1), "size": Float(0, 1)})
    >>> rate, size = np.random.default_rng(0).random((2, 200))
    >>> table = TrialTable.from_arrays(space, {"rate": rate, "size": size}, (rate - 0.3) ** 2, cost=size)
    >>> reduction = reduce(analyse(space, table))
    >>> list(reduction.space), reduction.fixed["size"] < 0.25
    (['rate'], True)
    """
    space = sensitivity.trials.space
    decisions = {name: _judge(sensitivity, name, alpha) for name in space}
    if all(decision.action == FIX for decision in decisions.values()):
        n = len(sensitivity.trials)
        nothing = f"no hyperparameter was found to matter with {n} trials, which is no ground to fix any"
        return Reduction(space, {}, tuple(Decision(name, KEEP, None, nothing) for name in space), RULE)
    searched = [name for name, decision in decisions.items() if decision.action == KEEP]
    for name, decision in decisions.items():
        children = [child for child in searched if space.depends(child, name)]
        if decision.action == FIX and children:
            reason = f"some of its values are needed to search {', '.join(children)}"
            decisions[name] = Decision(name, KEEP, None, reason)
    fixed = {name: decision.value for name, decision in decisions.items() if decision.action == FIX}
    left = space.fix(fixed)
    return Reduction(space if left is None else left, fixed, tuple(decisions[name] for name in space), RULE)


def _judge(sensitivity: Findings, name: str, alpha: float) -> Decision:
    index = sensitivity[name]
    if math.isnan(index.pvalue):
        return Decision(name, KEEP, None, f"{index.n} trials have it, too few to judge it")
    evidence = f"p {p_text(index.pvalue)} over {index.n} trials"
    if index.pvalue <= alpha:
        return Decision(name, KEEP, None, f"worth searching ({evidence})")
    value, price = cheap_good_value(sensitivity, name, alpha)
    return Decision(name, FIX, value, f"no evidence that it matters ({evidence}); {price}")


def cheap_good_value(sensitivity: Findings, name: str, alpha: float) -> tuple[Any, str]:
    """A value that a good trial had, and why this one.

    It is the cheapest such value if `name` drives the cost (p <= alpha), else the value of the best trial.
    """
    table = sensitivity.trials.select(sensitivity.trials.active(name))
    carried = sensitivity.carried(name)
    good = np.flatnonzero(carried.z)
    values = table.values[name]
    if len(good) == 0:
        return values[len(values) // 2], "no trial that has it ended well: a value that was tried"
    loss = table.losses
    cost_index = next((index for index in sensitivity.cost_indices if index.name == name), None)
    if cost_index is None or not cost_index.pvalue <= alpha:
        return values[good[np.argmin(loss[good])]], "no evidence that it drives the cost: as in the best trial"
    # If there are many different values, evenly chosen ones show well enough where the cheap ones lie.
    different = np.unique(carried.u[good])
    different = different[np.linspace(0, len(different) - 1, min(len(different), MOST_PRICED)).round().astype(np.intp)]
    prices = np.array([_price(carried.u, carried.width, table.cost, u) for u in different])
    cheapest = good[np.isin(carried.u[good], different[prices == prices.min()])]
    best = cheapest[np.argmin(loss[cheapest])]
    return values[best], f"it drives the cost (p {p_text(cost_index.pvalue)}): the cheapest value of a good trial"


def _price(u: Floats, width: Floats, cost: Floats, at: float) -> float:
    """Median cost of the trials around `at`, one of the values `u` on [0, 1]."""
    around = u == at
    if width[around.argmax()] == 0 or not around[np.isfinite(cost)].any():
        nearest = max(int(NEIGHBOURS * len(u)), 1)
        distance = np.abs(u - at)
        around = distance <= np.partition(distance, nearest - 1)[nearest - 1]
    return float(np.nanmedian(cost[around]))
