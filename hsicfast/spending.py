"""Does spending more help? The best trial again, with whatever drives the cost at its dear end.

What makes a training dear (width, depth, rounds of boosting) often makes it better as well, out to the end of its
range, where a design of few trials has nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hsicfast.hyperparameters import Float, Int
from hsicfast.space import SearchSpace
from hsicfast.trials import Trial

ALPHA, FEWEST = 0.05, 5


def dear_ends(space: SearchSpace, trials: Sequence[Trial]) -> dict[str, Any]:
    """The numbers that the cost rises or falls with (Spearman, p <= 5%), each with its dear end.

    Parameters
    ----------
    space : SearchSpace
    trials : sequence of Trial
        A hyperparameter is judged by those that have it and a known cost, from 5 on.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9), "rate": Float(0, 1)})
    >>> trials = [Trial(w, {"width": w, "rate": w * 0.6 % 1}, 0.0, cost=float(w * w)) for w in range(1, 10)]
    >>> dear_ends(space, trials)
    {'width': 9}
    """
    from scipy.stats import spearmanr

    ends: dict[str, Any] = {}
    for name in space:
        kind = space[name]
        priced = [trial for trial in trials if name in trial.params and np.isfinite(trial.cost)]
        if not isinstance(kind, Float | Int) or len(priced) < FEWEST:
            continue
        values, costs = [trial.params[name] for trial in priced], [trial.cost for trial in priced]
        if np.ptp(values) > 0 and np.ptp(costs) > 0:
            found = spearmanr(values, costs)
            if found.pvalue <= ALPHA:
                ends[name] = kind.high if found.statistic > 0 else kind.low
    return ends


def dearer(params: dict[str, Any], ends: dict[str, Any]) -> dict[str, Any]:
    """`params` with those of the `ends` that they have."""
    return params | {name: end for name, end in ends.items() if name in params}
