"""Does spending more help, and how much less would do?

What makes a training expensive (width, depth, rounds of boosting) often makes it better, too, out to the end of its
range, where a design of few trials has nothing: :func:`at_expensive_ends` goes there. Often it does not:
:func:`decades` says how much there is to be saved, :func:`cheap_enough` what is worth saving, and
:class:`CostBisection` which cost to try next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence.inference import holm
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.goal import best_fraction
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE

ALPHA, FEWEST = 0.05, 5
# Trials at one level of the cost before a higher one is more promising, and the least saving that is looked for.
TRIES, WORTH = 3, 1.2
# The share of the trials that are not too small for their task, and how much cheaper may be looked for in any case.
BETTER, LEAP = 1 / 2, 4.0


def expensive_ends(space: SearchSpace, trials: TrialTable) -> dict[str, Any]:
    """The numbers that the cost rises or falls with (Spearman, Holm's p <= 5%), each with its dear end.

    Parameters
    ----------
    space : SearchSpace
    trials : TrialTable
        A hyperparameter is judged by those that have it and a known cost, from 5 on. One on which others depend is
        left alone: another value of it is another configuration altogether.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9), "rate": Float(0, 1)})
    >>> width = np.arange(1, 10)
    >>> columns = {"width": width, "rate": width * 0.6 % 1}
    >>> expensive_ends(space, TrialTable.from_arrays(space, columns, np.zeros(9), cost=width**2.0))
    {'width': 9}
    """
    parents = {parent for name in space for parent in space[name].conditions}
    ends: dict[str, Any] = {}
    pvalues = []
    for name in space:
        kind = space[name]
        if isinstance(kind, Float | Int) and name not in parents:
            has = trials.active(name)
            rho, pvalue = _correlation(list(zip(trials.values[name][has], trials.cost[has], strict=True)))
            ends[name] = kind.high if rho > 0 else kind.low
            pvalues.append(pvalue)
    adjusted = dict(zip(ends, holm(np.array(pvalues)), strict=True))
    return {name: end for name, end in ends.items() if adjusted[name] <= ALPHA}


def at_expensive_ends(params: dict[str, Any], ends: dict[str, Any]) -> dict[str, Any]:
    """`params` with those of the `ends` that they have."""
    return params | {name: end for name, end in ends.items() if name in params}


def decades(costs: Floats) -> float:
    """Factors of 10 that the `costs` (n,) span from their tenth to their ninetieth percentile; 0 if unknown.

    Examples
    --------
    >>> decades(10.0 ** (np.arange(21) / 10))
    1.6
    """
    known = costs[(costs > 0) & (costs < np.inf)]
    return float(np.ptp(np.quantile(np.log10(known), (0.1, 0.9)))) if len(known) else 0.0


def cheap_enough(cost: float, trials: TrialTable) -> float:
    """What is cheaper than this is mostly too small for its task: the cheapest of the better half of the `trials`.

    Where those are no cheaper than a quarter of `cost`, which is what the cheapest that is as good costs, that quarter;
    0 where it is unknown or 0.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9)})
    >>> trials = TrialTable.from_arrays(space, {"width": [1, 2, 3]}, [0.9, 0.2, 0.1], cost=[1.0, 5.0, 100.0])
    >>> cheap_enough(100.0, trials), cheap_enough(5.0, trials)
    (5.0, 1.25)
    """
    if not 0 < cost < np.inf:
        return 0.0
    able = trials.select((trials.status == DONE) & (trials.cost > 0))
    good = able.cost[best_fraction(able.losses, BETTER).met] if len(able) else able.cost
    return float(min([cost / LEAP, *good]))


@dataclass
class CostBisection:
    """Bisects the cost on a log scale between the cheapest trial that is good enough and the cheapest trial.

    After TRIES trials in a row at one level that were not good enough it goes half way up again, and near the top it
    starts from the bottom once more.

    Attributes
    ----------
    level : float
        What was looked for last; infinite before.
    floor : float
        Where nothing as good is expected any more; 0 before that is known.
    misses : int
        How many in a row left the cheapest that is as good above the level.

    Examples
    --------
    >>> space, bisection = SearchSpace({"x": Int(1, 9)}), CostBisection()
    >>> tried = TrialTable.from_arrays(space, {"x": [1]}, [0.9], cost=[1.0])
    >>> [bisection.most(cost, tried) for cost in (100.0, 100.0, 100.0, 100.0)]
    [10.0, 10.0, 10.0, 31.622776601683793]
    >>> bisection.most(25.0, tried)
    15.811388300841896
    """

    level: float = np.inf
    floor: float = 0.0
    misses: int = 0

    def most(self, cost: float, trials: TrialTable) -> float | None:
        """The next level, where the cheapest that is as good has this `cost`; None where that is 0 or unknown."""
        if not 0 < cost < np.inf:
            return None
        self.misses = self.misses + 1 if cost > self.level else 0
        if self.misses == TRIES:
            self.floor, self.misses = self.level, 0
        if not 0 < self.floor < cost / WORTH:
            known = trials.cost[(trials.status == DONE) & (trials.cost > 0)]
            self.floor = float(min([cost / WORTH**2, *known]))
        self.level = float(np.sqrt(self.floor * cost))
        return self.level


def _correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Spearman's, of the finite pairs, and its p; no correlation of fewer than 5, or where one side is all alike."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64)
    if len(known) < FEWEST or (np.ptp(known, axis=0) == 0).any():
        return 0.0, 1.0
    found = spearmanr(known[:, 0], known[:, 1])
    return float(found.statistic), float(found.pvalue)
