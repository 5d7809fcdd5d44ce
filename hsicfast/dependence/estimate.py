"""What an engine finds for one index: its value, its moments under independence, its spread.

A goal, or any number for each sample, enters as weights w. Tests and intervals are then the same, whichever engine ran.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.dependence import inference
from hsicfast.text import html_table, number, p_text, ratio


@dataclass(frozen=True, repr=False)
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
    sought : Sought or None
        What :attr:`ci` is computed from.
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
    sought: inference.Sought | None
    bandwidth: float | tuple[float, float]
    n: int
    null_mean: float
    engine: str
    unbiased: float

    @cached_property
    def ci(self) -> tuple[float, float] | None:
        """Confidence interval of the index, see :func:`hsicfast.dependence.inference.interval`.

        None if none was asked for. It is computed when it is read, as it can take longer than the index.
        """
        if self.sought is None:
            return None
        low, high = inference.interval(*self.sought[:-1])
        return times_power(low, self.sought.exponent), times_power(high, self.sought.exponent)

    def __repr__(self) -> str:
        shown = {own.name: getattr(self, own.name) for own in fields(self) if own.name != "sought"} | {"ci": self.ci}
        return f"HSICResult({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        heads = ("HSIC", "R2", "p-value", "noise floor", "samples", "engine")
        pvalue = "not tested" if self.pvalue is None else p_text(self.pvalue)
        row = (number(self.statistic), ratio(self.r2), pvalue, number(self.null_mean), number(self.n), self.engine)
        return html_table("HSIC index", heads, [row])


def times_power(value: float, exponent: int) -> float:
    """``value 2^exponent``; 0 or inf where that is no double."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, exponent))


class Influence(NamedTuple):
    """Second moments of the influence of a sample on the direction ``D = (1/n) sum_i w_i psi_i``, where S = |D|^2.

    The influence is ``w_i (psi_i - g) - D`` with centred features psi. If the weights are a goal whose edge is a
    quantile of the same samples, one more good trial pushes another one out: g is the mean of psi over the samples at
    the edge, else it is 0. Without this term intervals are up to 1.5 times as wide.

    Attributes
    ----------
    total : float
        Mean of its square, ``(1/n) sum_i w_i^2 |psi_i - g|^2 - S``.
    along : float
        Its variance along D, ``(1/n) sum_i w_i^2 (g_i - g)^2 / S - S`` with ``g_i = <psi_i, D>``.
    pull : float
        Variance of the features along D, ``(1/n) sum_i g_i^2 / S``.
    """

    total: float
    along: float
    pull: float


def influence(statistic: float, total: float, along: float, pull: float) -> Influence:
    """The same from S and the sums over n above that do not yet take off or divide by S."""
    if statistic <= 0:
        return Influence(max(total, 0.0), 0.0, 0.0)
    return Influence(max(total - statistic, 0.0), max(along / statistic - statistic, 0.0), pull / statistic)


def ceiling(share: float) -> float:
    """Largest over smallest probability of a goal that this share meets and of its opposite."""
    return max(share, 1 - share) / min(share, 1 - share) if 0 < share < 1 else 1.0


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
    influence : Influence
        How much the samples differ in their influence on the index.
    ceiling : float
        q / p or p / q for a goal that a share p meets, whichever is above 1; else 1. See
        :func:`hsicfast.dependence.inference.interval`.
    engine : str
    eigenvalues : callable
        Eigenvalues of the centred kernel under the empirical distribution; only the asymptotic test asks for them.
    unseen : float
        How much longer D may be, because of values that exist and that no sample has; for the interval.
    """

    n: int
    statistic: float
    unbiased: float
    trace: float
    squares: float
    variance: float
    influence: Influence
    ceiling: float
    engine: str
    eigenvalues: Callable[[], Floats]
    unseen: float = 0.0

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

    def interval(self, confidence: float) -> tuple[float, float]:
        """Confidence interval of the index."""
        return inference.interval(*self._sought(confidence)[:-1])

    def _sought(self, confidence: float) -> inference.Sought:
        variance = self.variance * self.n / (self.n - 1)
        without = inference.Spread(
            variance * self.trace, variance * math.sqrt(self.squares), variance * self.influence.pull
        )
        # The eigenvalues of the influence as a whole are like those of the kernel, for all that the interval needs.
        size = without.size * self.influence.total / without.total if without.total > 0 else 0.0
        found = inference.Spread(self.influence.total, size, self.influence.along)
        return inference.Sought(self.n, self.statistic, without, found, self.ceiling, confidence, self.unseen)

    def result(self, pvalue: float | None, confidence: float, h: float) -> HSICResult:
        """The result for the user, with an interval at this `confidence`; `h` is the bandwidth in use."""
        most = self.variance * math.sqrt(self.squares)
        r2 = self.statistic / most if most > 0 else 0.0
        return HSICResult(
            statistic=self.statistic,
            r2=r2,
            pvalue=pvalue,
            sought=self._sought(confidence),
            bandwidth=h,
            n=self.n,
            null_mean=self.null_mean,
            engine=self.engine,
            unbiased=self.unbiased,
        )


def estimate(psi: Floats, w: Floats, edge: Rows | None = None) -> Estimate:
    """The estimate from features `psi` (n, r) and a goal less its mean `w` (n,); `edge` as in :class:`Influence`."""
    at_edge = np.bincount(np.empty(0, dtype=np.intp) if edge is None else edge, minlength=len(w)).astype(np.float64)
    return _estimate(psi, np.ones(len(w)), w, w**2, at_edge, float(np.mean(w > 0)))


def estimate_of_levels(psi: Floats, counts: Floats, met: Floats, edge: Floats) -> Estimate:
    """The estimate from features `psi` (L, r) of levels and a goal: samples of one level that agree in it are alike.

    Parameters
    ----------
    psi : array (L, r)
    counts, met, edge : array (L,)
        How many samples each level has, how many of them met the goal, and how many lie at its edge (all 0 without an
        edge).
    """
    share = met.sum() / counts.sum()
    pulls, squares = met - share * counts, (1 - share) ** 2 * met + share**2 * (counts - met)
    return _estimate(psi, counts, pulls, squares, edge, float(share))


def _estimate(psi: Floats, counts: Floats, pulls: Floats, squares: Floats, edge: Floats, share: float) -> Estimate:
    """The estimate from the features of L groups of equal samples.

    Parameters
    ----------
    psi : array (L, r)
    counts, pulls, squares, edge : array (L,)
        Of each group, the number of samples, the sum of their weights, the sum of the squared weights, and the number
        of samples at the edge.
    share : float
        Share of the samples that met the goal.
    """
    n = int(counts.sum())
    centred = psi - counts @ psi / n
    direction = pulls @ centred / n
    covariance = (counts[:, None] * centred).T @ centred / n
    statistic, weight = float(direction @ direction), float(squares.sum())
    sizes = (centred**2).sum(axis=1)
    total = float(counts @ sizes)
    beyond = centred - edge @ centred / edge.sum() if edge.any() else centred
    return Estimate(
        n=n,
        statistic=statistic,
        # Row sums of the centred kernel are zero.
        unbiased=unbiased(n, n**2 * statistic, 0.0, total, weight, float(squares @ sizes), 0.0),
        trace=total / n,
        squares=float((covariance**2).sum()),
        variance=weight / n,
        influence=influence(
            statistic,
            float(squares @ (beyond**2).sum(axis=1)) / n,
            float(squares @ (beyond @ direction) ** 2) / n,
            float(direction @ covariance @ direction),
        ),
        ceiling=ceiling(share),
        engine="spectral",
        eigenvalues=lambda: np.asarray(np.linalg.eigvalsh(covariance)),
    )


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
