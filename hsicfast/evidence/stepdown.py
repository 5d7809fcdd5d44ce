"""P-values of several statistics that share their permutations, adjusted for their number.

The largest statistic among those that are left adjusts for their number (step-down, Westfall and Young 1993), whatever
their dependence. Where no permutation reaches, the tail goes on in proportion to the statistic, which is the logarithm
of one over a p-value, so that p-values are finer than one over the number of permutations.

Evidence from other trials joins a statistic as a further p-value of the harmonic mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows

# The tail goes on from this many of the largest permuted statistics.
TAIL_COUNT = 10
# Rounding must not break a tie between permutations.
TIE = 1e-9
# How much all evidence of other trials weighs together, beside all statistics together.
BESIDE_WEIGHT = 1


class Beside(NamedTuple):
    """Evidence on one hyperparameter from other trials than those of the test.

    Attributes
    ----------
    column : int
        Place of the hyperparameter in the order of the groups.
    pvalue : float
    others : array (n_permutations,)
        P-values of the same evidence under chance, independent of the permutations.
    """

    column: int
    pvalue: float
    others: Floats


def adjusted_pvalues(statistics: Floats, beside: Sequence[Beside]) -> tuple[Floats, Floats, Floats]:
    """P-values of q statistics with the evidence beside them.

    Parameters
    ----------
    statistics : array (1 + B, q)
        Those of the data, then those of each permutation.
    beside : sequence of Beside
        For at most one column each.

    Returns
    -------
    pvalue, adjusted : array (q,)
    largest : array (B,)
        The largest statistic of each permutation.

    Examples
    --------
    >>> drawn = np.random.default_rng(0).exponential(size=(2000, 3))
    >>> lots = np.random.default_rng(1).random(2000)
    >>> data = np.array([[5.0, 2.0, 0.3]])
    >>> for evidence in ([], [Beside(1, 0.001, lots)]):
    ...     pvalue, adjusted, _ = adjusted_pvalues(np.concatenate([data, drawn]), evidence)
    ...     print(adjusted.round(3))
    [0.021 0.257 0.745]
    [0.013 0.002 0.745]
    """
    q = statistics.shape[1]
    weight = BESIDE_WEIGHT * q / max(len(beside), 1)
    reached, permuted = statistics[0].copy(), statistics[1:]
    for own in beside:
        reached[own.column] = np.logaddexp(reached[own.column], math.log(weight / own.pvalue))
    others = {own.column: np.log(weight / own.others) for own in beside}
    order = np.argsort(-reached, kind="stable")
    largest = _largest(permuted, order, others)
    adjusted = np.empty(q)
    adjusted[order] = np.maximum.accumulate([_share(reached[x], largest[k]) for k, x in enumerate(order)])
    alone = [np.logaddexp(drawn, others[x]) if x in others else drawn for x, drawn in enumerate(permuted.T)]
    pvalue = np.array([_share(found, drawn) for found, drawn in zip(reached, alone, strict=True)])
    return pvalue, np.maximum(adjusted, pvalue), largest[0]


def _largest(permuted: Floats, order: Rows, others: Mapping[int, Floats]) -> Floats:
    """For each place of the `order` the largest permuted statistic (q, B) among those from there on.

    A search asks about the hyperparameters that look likely to matter, so that the evidence beside meets the largest
    statistics more often than others. Here it always does, which can only make p-values larger.
    """
    largest = np.maximum.accumulate(permuted[:, order[::-1]], axis=1)[:, ::-1].T.copy()
    for place in range(len(order)):
        said = [others[column] for column in order[place:].tolist() if column in others]
        if not said:
            break
        leaders = -np.sort(-permuted[:, order[place:]], axis=1)[:, : len(said)].T
        largest[place] = np.maximum(largest[place], np.logaddexp(leaders, np.array(said)).max(axis=0))
    return largest


def critical_statistic(largest: Floats, alpha: float) -> float:
    """The statistic T from which on the adjusted p-value of the clearest hyperparameter is at most `alpha`."""
    allowed = math.floor(alpha * (len(largest) + 1)) - 1
    return float(np.sort(largest)[::-1][allowed] + TIE) if allowed >= 0 else math.inf


def _share(reached: float, permuted: Floats) -> float:
    """The p-value of a statistic, which is a log: far out, probabilities fall as fast as ``exp(-T)``."""
    count = int(np.count_nonzero(permuted >= reached - TIE * max(abs(reached), 1.0)))
    least = 1 / (len(permuted) + 1)
    if count or len(permuted) <= TAIL_COUNT:
        return (1 + count) * least
    from_here = np.partition(permuted, -TAIL_COUNT)[-TAIL_COUNT]
    return min(least, TAIL_COUNT * least * math.exp(min(from_here - reached, 0.0)))
