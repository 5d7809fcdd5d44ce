"""What an engine finds for one index: its value, its moments under independence, its spread.

A goal, or any number for each sample, enters as weights w. Tests and intervals are then the same, whichever engine ran.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.dependence import inference


@dataclass(frozen=True)
class HSICResult:
    """An index, its p-value and its confidence interval.

    Attributes
    ----------
    statistic : float
        The V-statistic S, at least 0.
    r2 : float in [0, 1]
        S / sqrt(HSIC(X, X) HSIC(Y, Y)).
    pvalue : float or None
        None if no test was asked for.
    ci : (float, float) or None
        Confidence interval of the index; None if none was asked for.
    bandwidth : float or (float, float)
        The bandwidth in use, or those of x and y for :func:`hsicfast.hsic`. NaN for a kernel without one or a constant
        column.
    n : int
        Number of samples.
    null_mean : float
        Mean of S under independence, the noise floor: the exact mean over all permutations.
    engine : {"spectral", "ordered", "tile", "gpu"}
        The engine that ran.
    unbiased : float
        The U-statistic of the same index, which may be below 0 (Song et al. 2012, eq. 5).
    """

    statistic: float
    r2: float
    pvalue: float | None
    ci: tuple[float, float] | None
    bandwidth: float | tuple[float, float]
    n: int
    null_mean: float
    engine: str
    unbiased: float


@dataclass(frozen=True)
class Estimate:
    """The statistic S and moments of the centred kernel.

    Attributes
    ----------
    n : int
    statistic : float
    unbiased : float
    trace, squares : float
        Sums of the eigenvalues of the centred kernel, and of their squares.
    variance : float
        Mean square of the weights, p (1 - p) for a goal.
    deviation : float
        Standard deviation of the influence of a sample on S.
    engine : str
    eigenvalues : callable
        Eigenvalues of the centred kernel under the empirical distribution; only the asymptotic test asks for them.
    """

    n: int
    statistic: float
    unbiased: float
    trace: float
    squares: float
    variance: float
    deviation: float
    engine: str
    eigenvalues: Callable[[], Floats]

    @property
    def null_mean(self) -> float:
        """Mean of S over all permutations of the weights: ``variance trace / (n - 1)``."""
        return self.variance * self.trace / (self.n - 1)

    def pvalue(self, test: str) -> float:
        """P-value of the "asymptotic" or "gamma" test."""
        if test == "gamma":
            return inference.gamma_pvalue(
                self.statistic, self.null_mean, 2 * self.variance**2 * self.squares / self.n**2
            )
        return inference.weighted_chi2_pvalue(self.n * self.statistic, self.variance * self.eigenvalues())

    def result(self, pvalue: float | None, confidence: float, h: float) -> HSICResult:
        """The result for the user, with an interval at this `confidence`; `h` is the bandwidth in use."""
        most = self.variance * math.sqrt(self.squares)
        r2 = self.statistic / most if most > 0 else 0.0
        return HSICResult(
            statistic=self.statistic,
            r2=r2,
            pvalue=pvalue,
            ci=inference.interval(self.statistic, self.null_mean, self.deviation / math.sqrt(self.n), confidence),
            bandwidth=h,
            n=self.n,
            null_mean=self.null_mean,
            engine=self.engine,
            unbiased=self.unbiased,
        )


def estimate(psi: Floats, w: Floats, edge: Rows | None = None) -> Estimate:
    """The estimate from features `psi` (n, r) and weights `w` (n,) that sum to 0; `edge` as in :func:`deviation`."""
    return _estimate(psi, np.ones(len(w)), w, w**2, lambda projected: deviation(w, projected, edge))


def estimate_of_levels(psi: Floats, counts: Floats, met: Floats, edge: Floats) -> Estimate:
    """The estimate from features `psi` (L, r) of levels and a goal: samples of one level that agree in it are alike.

    Parameters
    ----------
    psi : array (L, r)
    counts, met, edge : array (L,)
        How many samples each level has, how many of them met the goal, and how many lie at its edge (all 0 without an
        edge).
    """
    n, share = counts.sum(), met.sum() / counts.sum()
    pulls, squares = met - share * counts, (1 - share) ** 2 * met + share**2 * (counts - met)

    def spread(projected: Floats) -> float:
        beyond = projected - (edge @ projected / edge.sum() if edge.any() else 0.0)
        mean = pulls @ beyond / n
        return 2 * math.sqrt(max(float(squares @ beyond**2 / n - mean**2), 0.0))

    return _estimate(psi, counts, pulls, squares, spread)


def _estimate(
    psi: Floats, counts: Floats, pulls: Floats, squares: Floats, spread: Callable[[Floats], float]
) -> Estimate:
    """The estimate from the features of L groups of equal samples.

    Parameters
    ----------
    psi : array (L, r)
    counts, pulls, squares : array (L,)
        Of each group, the number of samples, the sum of their weights, and the sum of the squared weights.
    spread : callable
        Turns ``g_i`` as in :func:`deviation` into the standard deviation of the influence of a sample.
    """
    n = int(counts.sum())
    centred = psi - counts @ psi / n
    direction = pulls @ centred / n
    covariance = (counts[:, None] * centred).T @ centred / n
    statistic, weight = float(direction @ direction), float(squares.sum())
    sizes = (centred**2).sum(axis=1)
    total = float(counts @ sizes)
    return Estimate(
        n=n,
        statistic=statistic,
        # Row sums of the centred kernel are zero.
        unbiased=unbiased(n, n**2 * statistic, 0.0, total, weight, float(squares @ sizes), 0.0),
        trace=total / n,
        squares=float((covariance**2).sum()),
        variance=weight / n,
        deviation=spread(centred @ direction),
        engine="spectral",
        eigenvalues=lambda: np.asarray(np.linalg.eigvalsh(covariance)),
    )


def deviation(w: Floats, projected: Floats, edge: Rows | None = None) -> float:
    """Standard deviation of the influence of a sample on S, from ``g_i = (1/n) sum_j w_j k~_ij`` (n,).

    It is ``2 (w_i g_i - S)``; with k centred, the derivative by the mean weight vanishes. If the weights are a goal
    whose edge is a quantile of the same samples, one more good trial pushes another one out: ``2 (w_i (g_i - g) - S)``,
    with g the mean of g_i over the samples at the `edge`. Without this term intervals are up to 1.5 times as wide.
    """
    at_edge = projected[edge].mean() if edge is not None and len(edge) else 0.0
    return float(2 * (w * (projected - at_edge)).std())


def unbiased(
    n: int, form: float, total: float, diagonal: float, weight: float, weighted_diagonal: float, weighted_rows: float
) -> float:
    """U-statistic of HSIC between a kernel k and weights w that sum to 0.

    This is eq. 5 of Song et al. (2012) with ``l_ij = w_i w_j``. As ``sum_(j != i) l_ij = -w_i^2``, it is ``1 / (n (n -
    3))`` times ``form - sum w^2 k_ii - (total - sum k_ii) sum w^2 / ((n - 1)(n - 2)) + 2 / (n - 2) sum w_i^2 (r_i -
    k_ii)``.

    Parameters
    ----------
    n : int >= 4
    form, total : float
        ``sum_ij w_i w_j k_ij`` and ``sum_ij k_ij``.
    diagonal, weight, weighted_diagonal, weighted_rows : float
        ``sum k_ii``, ``sum w_i^2``, ``sum w_i^2 k_ii`` and ``sum_i w_i^2 sum_j k_ij``.
    """
    bracket = (
        form
        - weighted_diagonal
        - (total - diagonal) * weight / ((n - 1) * (n - 2))
        + 2 * (weighted_rows - weighted_diagonal) / (n - 2)
    )
    return bracket / (n * (n - 3))
