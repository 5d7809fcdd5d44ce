"""Does spending more help? The best trial again, with whatever drives the cost at its dear end.

What makes a training dear (width, depth, rounds of boosting) often makes it better as well, out to the end of its
range, where a design of few trials has nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsicfast.hyperparameters import Float, Int
from hsicfast.inference import holm
from hsicfast.space import SearchSpace
from hsicfast.trials import Trial

ALPHA, FEWEST = 0.05, 5


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


def _correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Spearman's, of the finite pairs, and its p; no correlation of fewer than 5, or where one side is all alike."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64)
    if len(known) < FEWEST or (np.ptp(known, axis=0) == 0).any():
        return 0.0, 1.0
    found = spearmanr(known[:, 0], known[:, 1])
    return float(found.statistic), float(found.pvalue)
