"""Economy: does a higher cost give a better network, and how low can the cost be for one that is as good?

What makes a training expensive (width, depth, rounds of boosting) often makes the network better, too, up to the end
of its range. A design of few trials has none there, so that :func:`at_expensive_ends` builds some. If a high cost does
not help, there is something to save: :func:`decades` measures how much, :func:`cheap_enough` says below which cost it
is not worth searching, and :class:`CostBisection` says which cost to try next.
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

# ALPHA: level of the test of whether a hyperparameter drives the cost. FEWEST: the fewest trials for that test.
ALPHA, FEWEST = 0.05, 5
# TRIES: after this many misses in a row at one level of the cost, the search goes up to a higher level.
# WORTH: the search looks for savings of at least this factor.
TRIES, WORTH = 3, 1.2
# BETTER: this share of the trials, the better half, counts as large enough for the task.
# LEAP: costs down to 1 / LEAP of the cheapest good one are worth a search in any case.
BETTER, LEAP = 1 / 2, 4.0
# DECADES: the percentiles between which the span of the costs is measured; a few odd costs at the ends do not count.
DECADES = 0.1, 0.9


def expensive_ends(space: SearchSpace, trials: TrialTable) -> dict[str, Any]:
    """The numeric hyperparameters that drive the cost (Spearman, Holm's p <= 5%), each with its expensive end.

    Parameters
    ----------
    space : SearchSpace
    trials : TrialTable
        A hyperparameter is judged by the trials that have it and a known cost, if there are at least 5. One on which
        others depend is not judged, because another value of it makes another configuration altogether.

    Returns
    -------
    dict
        Its highest value if the cost rises with it, else its lowest.

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
    """`params`, with each hyperparameter that they have set to its end of `ends`."""
    return params | {name: end for name, end in ends.items() if name in params}


def decades(costs: Floats) -> float:
    """The number of factors of 10 between the tenth and the ninetieth percentile of `costs` (n,); 0 if unknown.

    Examples
    --------
    >>> decades(10.0 ** (np.arange(21) / 10))
    1.6
    """
    known = costs[(costs > 0) & (costs < np.inf)]
    return float(np.ptp(np.quantile(np.log10(known), DECADES))) if len(known) else 0.0


def cheap_enough(cost: float, trials: TrialTable) -> float:
    """The cost below which it is not worth searching, because networks that cheap are mostly too small for the task.

    It is the lowest cost in the better half of the `trials`, or a quarter of `cost` if that is lower; 0 if `cost` is
    unknown or 0.

    Parameters
    ----------
    cost : float
        Cost of the cheapest trial that is as good as the winner.
    trials : TrialTable

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

    After TRIES misses in a row at one level, the level becomes the floor and the next level lies half way up again.
    Near the top the bisection starts from the bottom once more.

    Attributes
    ----------
    level : float
        The cost that was tried last; infinite before the first.
    floor : float
        The cost below which no trial as good is expected any more; 0 before one is known.
    misses : int
        How many tries in a row left the cheapest good one above the level.

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
        """The cost to try next if the cheapest good trial has this `cost`; None if that is 0 or unknown.

        It is called once for the trials of each level: if `cost` is still above the last level, they count as a miss.
        """
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
    """Spearman's correlation of the finite pairs, and its p-value; (0, 1) for fewer than 5 pairs or a constant side."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64)
    if len(known) < FEWEST or (np.ptp(known, axis=0) == 0).any():
        return 0.0, 1.0
    found = spearmanr(known[:, 0], known[:, 1])
    return float(found.statistic), float(found.pvalue)
