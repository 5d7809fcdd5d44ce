"""Two samples of any dimension under any kernels: the tile engine's answer to :func:`hsicfast.hsic`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hsicfast import inference, tiles
from hsicfast.engines import anchored, eigenvalues, typical
from hsicfast.evidence import HSICResult
from hsicfast.kernels import Kernel

Floats = NDArray[np.float64]


class PairedData:
    """Two samples and their kernels, checked."""

    def __init__(self, x: Floats, y: Floats, kernel_x: Kernel, kernel_y: Kernel, h_x: float, h_y: float) -> None:
        self.x, self.y = anchored(x, kernel_x), anchored(y, kernel_y)
        self.kernel_x, self.kernel_y, self.h_x, self.h_y = kernel_x, kernel_y, h_x, h_y
        self.shift_x, self.shift_y = typical(self.x, kernel_x, h_x), typical(self.y, kernel_y, h_y)

    def rows(self, order: NDArray[np.int64]) -> Floats:
        """Row sums (n, 7) of :func:`hsicfast.tiles.paired_rows`, y read in `order`."""
        return tiles.paired_rows(
            self.x,
            self.y,
            order,
            self.kernel_x.code,
            self.h_x,
            self.shift_x,
            self.kernel_y.code,
            self.h_y,
            self.shift_y,
        )

    def statistic(self, rows: Floats) -> float:
        n = len(rows)
        both, total_x, total_y = rows[:, 0].sum(), rows[:, 1].sum(), rows[:, 2].sum()
        return float(both - 2 * (rows[:, 1] @ rows[:, 2]) / n + total_x * total_y / n**2) / n**2

    def result(self, test: str | None, n_permutations: int, seed: int, confidence: float | None) -> HSICResult:
        n = self.x.shape[1]
        rows = self.rows(np.arange(n))
        statistic = max(self.statistic(rows), 0.0)  # a sum of squares: below 0 only by rounding
        squares_x, squares_y = _own(rows[:, 3], rows[:, 1]), _own(rows[:, 4], rows[:, 2])
        traces = (rows[:, 5].mean() - rows[:, 1].sum() / n**2) * (rows[:, 6].mean() - rows[:, 2].sum() / n**2)
        null_mean = float(traces / (n - 1))
        pvalue = None
        if test == "permutation":
            random = np.random.default_rng(seed)
            permuted = np.array([self.statistic(self.rows(random.permutation(n))) for _ in range(n_permutations)])
            pvalue = inference.permutation_pvalue(statistic, permuted)
        elif test == "gamma":
            pvalue = inference.gamma_pvalue(statistic, null_mean, 2 * squares_x * squares_y / n**2)
        elif test == "asymptotic":
            first = eigenvalues(self.x, self.kernel_x, self.h_x)
            second = eigenvalues(self.y, self.kernel_y, self.h_y)
            pvalue = inference.weighted_chi2_pvalue(n * statistic, np.outer(first, second).ravel())
        ci = None
        if confidence is not None:
            error = float(self._influence(rows).std()) / math.sqrt(n)
            ci = inference.interval(statistic, null_mean, error, confidence)
        r2 = statistic / math.sqrt(squares_x * squares_y) if squares_x > 0 and squares_y > 0 else 0.0
        return HSICResult(statistic, r2, pvalue, ci, (self.h_x, self.h_y), n, null_mean, "tile", _unbiased(rows))

    def _influence(self, rows: Floats) -> Floats:
        """Influence of each sample on the statistic, up to a constant.

        With row means k_i, l_i and means k, l: the derivative of ``E kl + k l - 2 E k_i l_i`` at sample i is
        ``2 E_j k_ij l_ij + 2 k_i l + 2 k l_i - 2 (k_i l_i + E_j k_ij l_j + E_j l_ij k_j)``.
        """
        n = len(rows)
        k, mean_l = rows[:, 1] / n, rows[:, 2] / n
        k_l = tiles.weighted_rows(self.x, mean_l, self.kernel_x.code, self.h_x, self.shift_x)[:, 0] / n
        l_k = tiles.weighted_rows(self.y, k, self.kernel_y.code, self.h_y, self.shift_y)[:, 0] / n
        return 2 * (rows[:, 0] / n + k * mean_l.mean() + mean_l * k.mean() - k * mean_l - k_l - l_k)


def _own(squares: Floats, totals: Floats) -> float:
    """HSIC(X, X) from the row sums of k^2 and k."""
    n = len(totals)
    return float(squares.sum() - 2 * (totals**2).sum() / n + totals.sum() ** 2 / n**2) / n**2


def _unbiased(rows: Floats) -> float:
    """U-statistic (Song et al. 2012, eq. 5) from the row sums: both kernels with zeros on the diagonal."""
    n = len(rows)
    off_x, off_y = rows[:, 1] - rows[:, 5], rows[:, 2] - rows[:, 6]
    both = rows[:, 0].sum() - rows[:, 5] @ rows[:, 6]
    totals = off_x.sum() * off_y.sum() / ((n - 1) * (n - 2))
    return float(both + totals - 2 / (n - 2) * (off_x @ off_y)) / (n * (n - 3))
