"""Does spending more help, and how much less would do?

What makes a training dear (width, depth, rounds of boosting) often makes it better as well, out to the end of its
range, where a design of few trials has nothing: :func:`dearer` goes there. And often it does not: :func:`decades` says
how much there is to be saved, and :class:`Hunt` down to what cost the next one is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsicfast.goal import best_fraction
from hsicfast.hyperparameters import Float, Int
from hsicfast.inference import holm
from hsicfast.space import SearchSpace
from hsicfast.trials import DONE, Trial

ALPHA, FEWEST = 0.05, 5
# Tries at one floor before a higher one is more promising, how far below the cost it must lie to be worth it, and how
# far where it is set anew.
TRIES, WORTH, LEAP = 3, 1.2, 4.0
# The floor is the cheapest of this share, the best: those are not too small for their task.
BETTER = 1 / 2
# Of the trials at most so many are spent on economy, however many decades the costs span.
MOST_ECONOMY = 0.2


def dear_ends(space: SearchSpace, trials: Sequence[Trial]) -> dict[str, Any]:
    """The numbers that the cost rises or falls with (Spearman, Holm's p <= 5%), each with its dear end.

    Parameters
    ----------
    space : SearchSpace
    trials : sequence of Trial
        A hyperparameter is judged by those that have it and a known cost, from 5 on. One on which others depend is
        left alone: another value of it is another configuration altogether.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9), "rate": Float(0, 1)})
    >>> trials = [Trial(w, {"width": w, "rate": w * 0.6 % 1}, 0.0, cost=float(w * w)) for w in range(1, 10)]
    >>> dear_ends(space, trials)
    {'width': 9}
    """
    parents = {parent for name in space for parent in space[name].conditions}
    ends: dict[str, Any] = {}
    pvalues = []
    for name in space:
        kind = space[name]
        if isinstance(kind, Float | Int) and name not in parents:
            rho, pvalue = _correlation([(t.params[name], t.cost) for t in trials if name in t.params])
            ends[name] = kind.high if rho > 0 else kind.low
            pvalues.append(pvalue)
    adjusted = dict(zip(ends, holm(np.array(pvalues)), strict=True))
    return {name: end for name, end in ends.items() if adjusted[name] <= ALPHA}


def dearer(params: dict[str, Any], ends: dict[str, Any]) -> dict[str, Any]:
    """`params` with those of the `ends` that they have."""
    return params | {name: end for name, end in ends.items() if name in params}


def decades(trials: Sequence[Trial]) -> float:
    """How many factors of 10 the costs of `trials` span, from their tenth to their ninetieth percentile; 0 if unknown.

    Examples
    --------
    >>> decades([Trial(i, {}, 0.0, cost=10.0 ** (i / 10)) for i in range(21)])
    1.6
    """
    costs = np.array([trial.cost for trial in trials if 0 < trial.cost < np.inf])
    return float(np.ptp(np.quantile(np.log10(costs), (0.1, 0.9)))) if len(costs) else 0.0


@dataclass
class Hunt:
    """Down to what cost a cheaper one is looked for: what costs less than this floor is worth no more.

    At first to the cheapest of the better half of the trials, or to a quarter of the cost where that is less: what is
    cheaper than all of those is mostly too small for its task. Where three in a row were no cheaper one that is as
    good, half way up, in factors; near the top, anew.

    Attributes
    ----------
    floor : float
        What was looked for last; 0 before that.
    cost : float
        Of the cheapest that was as good then.
    misses : int
        How many in a row have left it the cheapest.

    Examples
    --------
    >>> hunt, tried = Hunt(), [Trial(0, {}, 0.9, cost=0.01), Trial(1, {}, 0.4, cost=1.0)]
    >>> [hunt.least(cost, tried, minimize=True) for cost in (100.0, 100.0, 100.0, 100.0, 25.0)]
    [1.0, 1.0, 1.0, 10.0, 10.0]
    """

    floor: float = 0.0
    cost: float = np.inf
    misses: int = 0

    def least(self, cost: float, trials: Sequence[Trial], minimize: bool) -> float:
        """The next floor, where the cheapest that is as good has this `cost`; 0 where that is 0 or unknown."""
        if not 0 < cost < np.inf:
            return 0.0
        self.misses = self.misses + 1 if cost == self.cost else 0
        self.cost = cost
        if self.misses == TRIES:
            self.floor, self.misses = float(np.sqrt(self.floor * cost)), 0
        if not 0 < self.floor < cost / WORTH:
            able = [trial for trial in trials if trial.status == DONE and trial.cost > 0]
            good = best_fraction([trial.objective for trial in able], BETTER, minimize).met if able else ()
            self.floor = min([cost / LEAP, *(trial.cost for trial, met in zip(able, good, strict=True) if met)])
        return self.floor


def _correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Spearman's, of the finite pairs, and its p; no correlation of fewer than 5, or where one side is all alike."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64)
    if len(known) < FEWEST or (np.ptp(known, axis=0) == 0).any():
        return 0.0, 1.0
    found = spearmanr(known[:, 0], known[:, 1])
    return float(found.statistic), float(found.pvalue)
