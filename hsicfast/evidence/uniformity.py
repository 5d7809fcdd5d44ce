"""Whether values follow the distributions of the space: mapped to [0, 1] by these, they are uniform.

With features psi of a Gaussian kernel the statistic is ``n |mean psi(u_j) - E psi(U)|^2`` for U uniform, the squared
maximum mean discrepancy between the values and the uniform distribution. It is large if values crowd somewhere, and
small for designs that are more even than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence import inference
from hsicfast.dependence.features import UNIFORM_MEDIAN, carried_features, gaussian_features

# Values (u, width) leave gaps between their intervals only if these are wider than rounding.
ROUNDING = 1e-9
# A level that so few trials are expected to have makes the limit distribution wrong. Then, if the limit distribution
# gives a p-value of at most SMALL, DRAWS counts of the levels decide, BLOCK at a time.
FEW, SMALL, DRAWS, BLOCK = 10, 0.01, 100_000, 5_000
# Nodes for the mean square of smooth features. So many trials show any departure that matters to an index.
NODES, MOST_TRIALS = 64, 4_096


def departures(columns: Sequence[tuple[Floats, Floats]], seed: int = 0) -> Floats:
    """P-values for values that follow the distributions of the space, adjusted over the columns (Holm).

    Parameters
    ----------
    columns : sequence of (array (n,), array (n,))
        Values of each hyperparameter, mapped to [0, 1] by its distribution in the space: middles and widths of their
        intervals. A width is 0 for points; n may differ. Of very many trials some are drawn.
    seed : int
        Seed for the counts of rare levels, and for the trials if they are very many.

    Returns
    -------
    array (d,)

    Examples
    --------
    >>> u = np.random.default_rng(0).random((2, 100))
    >>> points = np.zeros(100)
    >>> p = departures([(u[0], points), (u[1] ** 2, points)])
    >>> bool(p[0] > 0.05), bool(p[1] < 0.001)
    (True, True)
    """
    return inference.holm([_departure(u, width, seed) for u, width in columns])


def _departure(u: Floats, width: Floats, seed: int) -> float:
    if len(u) > MOST_TRIALS:
        rows = np.random.default_rng(seed).choice(len(u), MOST_TRIALS, replace=False)
        u, width = u[rows], width[rows]
    n, mean = len(u), gaussian_features(UNIFORM_MEDIAN).mean
    if not width.any():
        apart = _features(u, np.empty(0)).mean(axis=0) - mean
        return inference.weighted_chi2_pvalue(n * float((apart**2).sum()), _uniform_weights())
    levels, place, counts = np.unique(u, return_index=True, return_counts=True)
    psi, shares = _with_gaps(levels, width[place])
    psi -= mean
    counts = np.append(counts, np.zeros(len(psi) - len(counts), dtype=np.int64))
    statistic = float(((counts @ psi) ** 2).sum()) / n
    pvalue = inference.weighted_chi2_pvalue(statistic, _weights(psi, shares))
    return _drawn(statistic, psi, shares, n, seed) if pvalue <= SMALL and n * shares.min() < FEW else pvalue


def _features(u: Floats, width: Floats) -> Floats:
    return carried_features(u, width, UNIFORM_MEDIAN)


def _with_gaps(u: Floats, width: Floats) -> tuple[Floats, Floats]:
    """Features (L, r) and probabilities (L,) of the levels that occur, then of the gaps that the others leave."""
    edges = np.concatenate(([0.0], np.column_stack((u - width / 2, u + width / 2)).ravel(), [1.0]))
    low, high = edges[::2], edges[1::2]
    gaps = high - low > ROUNDING
    u = np.concatenate((u, (low + high)[gaps] / 2))
    width = np.concatenate((width, (high - low)[gaps]))
    return _features(u, width), width / width.sum()


def _weights(psi: Floats, shares: Floats) -> Floats:
    """The weights of the chi-squares if the rows of `psi` (L, r), less their mean, have probabilities `shares`."""
    return np.asarray(np.linalg.eigvalsh((shares[:, None] * psi).T @ psi))


@lru_cache
def _uniform_weights() -> Floats:
    """The same for points that are uniform on [0, 1]."""
    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    psi = _features((nodes + 1) / 2, np.empty(0)) - gaussian_features(UNIFORM_MEDIAN).mean
    return _weights(psi, shares / 2)


def _drawn(statistic: float, psi: Floats, shares: Floats, n: int, seed: int) -> float:
    """P(S >= statistic) from counts of the levels, which are multinomial; the arguments as in :func:`_weights`."""
    random = np.random.default_rng(seed)
    drawn = [((random.multinomial(n, shares, BLOCK) @ psi) ** 2).sum(axis=1) / n for _ in range(DRAWS // BLOCK)]
    return inference.permutation_pvalue(statistic, np.concatenate(drawn))
