"""What an engine has to tell about one index: its value, its moments under independence, its spread.

A goal, or any number per sample, enters as weights w; tests and intervals are then the same whichever engine ran.
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
    """An index and its evidence.

    Attributes
    ----------
    statistic : float
        The V-statistic S, above or equal 0.
    r2 : float in [0, 1]
        S / sqrt(HSIC(X, X) HSIC(Y, Y)).
    pvalue : float or None
        None where no test was asked for.
    ci : (float, float) or None
        Confidence interval of the index; None where none was asked for.
    bandwidth : float or (float, float)
        In use; of x and y for :func:`hsicfast.hsic`. NaN for a kernel without one or a constant column.
    n : int
        Number of samples.
    null_mean : float
        Mean of S under independence, the noise floor: over all permutations, exactly.
    engine : {"spectral", "ordered", "tile", "gpu"}
        Which one ran.
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
    """Moments of the centred kernel beside S.

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
        Those of the centred kernel under the samples' own law; asked for by the asymptotic test alone.
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
        """For the user."""
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
    """Evidence in features `psi` (n, r) of samples, weights `w` (n,) that sum to 0, `edge` as in :func:`deviation`."""
    return _estimate(psi, np.ones(len(w)), w, w**2, lambda projected: deviation(w, projected, edge))


def estimate_of_levels(psi: Floats, counts: Floats, met: Floats, edge: Floats) -> Estimate:
    """Evidence in features `psi` (L, r) of levels, where a goal is all that is known of each sample.

    Parameters
    ----------
    psi : array (L, r)
    counts, met, edge : array (L,)
        Samples of each level: all, those that met the goal, those at its edge (all 0 where it has none).
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
    """Evidence in features (L, r) of so many samples each, with the sums (L,) of their weights and of the squares.

    `spread` makes the standard deviation of a sample's influence of ``g_i`` as in :func:`deviation`.
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

    It is ``2 (w_i g_i - S)``; with k centred the derivative by the mean weight vanishes. Where the weights are a goal
    whose edge is a quantile of the same samples, one more good trial pushes another out: ``2 (w_i (g_i - g) - S)``,
    with g the mean of g_i over the samples at the `edge`. Without it intervals are up to half as wide again.
    """
    at_edge = projected[edge].mean() if edge is not None and len(edge) else 0.0
    return float(2 * (w * (projected - at_edge)).std())


def unbiased(
    n: int, form: float, total: float, diagonal: float, weight: float, weighted_diagonal: float, weighted_rows: float
) -> float:
    """U-statistic of HSIC between a kernel k and weights w that sum to 0.

    Song et al. (2012), eq. 5, with ``l_ij = w_i w_j``, where ``sum_(j != i) l_ij = -w_i^2`` leaves ``1 / (n (n - 3))``
    times ``form - sum w^2 k_ii - (total - sum k_ii) sum w^2 / ((n - 1)(n - 2)) + 2 / (n - 2) sum w_i^2 (r_i - k_ii)``.

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
