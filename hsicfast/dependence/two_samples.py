"""HSIC of two samples of any dimension under any kernels, by the tile engine."""

from __future__ import annotations

import math
from functools import cached_property
from types import ModuleType

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence import inference
from hsicfast.dependence.estimate import HSICResult
from hsicfast.dependence.gram import anchored, dot, eigenvalues, entry_rounding, tiled, typical
from hsicfast.engines import gpu, matrices, tiles
from hsicfast.engines.kernels import Kernel

# Up to MOST_KEPT samples, permutations keep both Gram matrices, 69 MiB each. With more, reading a matrix in a random
# order takes as long as computing it, so each tile of K serves SHARED permutations at once.
MOST_KEPT = 3000
SHARED = 16


class TwoSamples:
    """Two checked samples and their kernels k and l; sums are computed when first asked for."""

    def __init__(
        self,
        x: Floats,
        y: Floats,
        kernel_x: Kernel,
        kernel_y: Kernel,
        h_x: float,
        h_y: float,
        engine: str = "auto",
        precision: str = "double",
    ) -> None:
        self.x, self.y, self.precision = anchored(x, kernel_x), anchored(y, kernel_y), precision
        self.kernel_x, self.kernel_y, self.h_x, self.h_y = kernel_x, kernel_y, h_x, h_y
        self.n = x.shape[1]
        self.first = (kernel_x.code, h_x, typical(self.x, kernel_x, h_x))
        self.second = (kernel_y.code, h_y, typical(self.y, kernel_y, h_y))
        self.engine = ("gpu" if gpu.pays(self.n) else "tile") if engine == "auto" else engine
        self.tiled_x, self.tiled_y = tiled(self.x, kernel_x, precision), tiled(self.y, kernel_y, precision)

    # All sums below are of the kernels less their typical entries.

    @cached_property
    def _pass(self) -> tuple[Floats, Floats]:
        """One pass over the pairs i != j: sums of k l, k and l by rows (n, 3), and those of k^2 and l^2 (2,)."""
        return self._sums().paired_rows(self.tiled_x, self.tiled_y, self.first, self.second)

    @property
    def rows(self) -> Floats:
        """Sums (n, 3) over j != i of ``k_ij l_ij``, ``k_ij`` and ``l_ij``."""
        return self._pass[0]

    @property
    def squares(self) -> Floats:
        """Sums (2,) over i != j of ``k_ij^2`` and ``l_ij^2``."""
        return self._pass[1]

    @cached_property
    def k_ii(self) -> Floats:
        """Diagonal (n,) of k."""
        return tiles.diagonal(self.x, *self.first)

    @cached_property
    def l_ii(self) -> Floats:
        """Diagonal (n,) of l."""
        return tiles.diagonal(self.y, *self.second)

    @cached_property
    def k_i(self) -> Floats:
        """Row sums (n,) of k, diagonal included."""
        return self.rows[:, 1] + self.k_ii

    @cached_property
    def l_i(self) -> Floats:
        """Row sums (n,) of l, diagonal included."""
        return self.rows[:, 2] + self.l_ii

    def _sums(self) -> ModuleType:
        """The module that makes the sums of this engine."""
        return gpu if self.engine == "gpu" else tiles

    def v_statistic(self) -> float:
        """``(1/n^2) (sum_ij k_ij l_ij - (2/n) sum_i k_i l_i + k l / n^2)``, k_i and k the sums of rows and of all."""
        both = self.rows[:, 0].sum() + dot(self.k_ii, self.l_ii)
        # As a sum of squares it is below 0 only by rounding.
        return max(float(self._centred(both, dot(self.k_i, self.l_i))), 0.0)

    def u_statistic(self) -> float:
        """Unbiased HSIC of the samples (Song et al. 2012, eq. 5)."""
        return _u_centred(self.rows[:, 0].sum(), self.rows[:, 1], self.rows[:, 2])

    def result(self, test: str | None, n_permutations: int, seed: int, confidence: float | None) -> HSICResult:
        """For the user.

        Parameters
        ----------
        test : {None, "permutation", "asymptotic", "gamma"}
        n_permutations : int
        seed : int
        confidence : float in (0, 1) or None
            None leaves the interval out.
        """
        n = self.n
        statistic = self.v_statistic()
        own_x = _own(self.squares[0] + dot(self.k_ii, self.k_ii), self.k_i)
        own_y = _own(self.squares[1] + dot(self.l_ii, self.l_ii), self.l_i)
        traces = (self.k_ii.mean() - self.k_i.sum() / n**2) * (self.l_ii.mean() - self.l_i.sum() / n**2)
        null_mean = float(traces / (n - 1))
        pvalue = None
        if test == "permutation":
            rounding = self._rounding(max(own_x, 0.0), max(own_y, 0.0))
            pvalue = inference.permutation_pvalue(statistic, self.permuted(n_permutations, seed), rounding)
        elif test == "gamma":
            pvalue = inference.gamma_pvalue(statistic, null_mean, 2 * own_x * own_y / n**2)
        elif test == "asymptotic":
            first = eigenvalues(self.x, self.kernel_x, self.h_x)
            second = eigenvalues(self.y, self.kernel_y, self.h_y)
            pvalue = inference.weighted_chi2_pvalue(n * statistic, np.outer(first, second).ravel())
        sought = None
        if confidence is not None:
            sought = self._sought(statistic, n * null_mean, math.sqrt(max(own_x * own_y, 0.0)), confidence)
        r2 = statistic / math.sqrt(own_x * own_y) if own_x > 0 and own_y > 0 else 0.0
        return HSICResult(
            statistic, r2, pvalue, sought, (self.h_x, self.h_y), n, null_mean, self.engine, self.u_statistic()
        )

    def _rounding(self, own_x: float, own_y: float) -> float:
        """How far rounding may move the statistic: that of each kernel times the root mean square of the other."""
        of_x = entry_rounding(self.x, self.kernel_x, self.h_x, self.precision)
        of_y = entry_rounding(self.y, self.kernel_y, self.h_y, self.precision)
        return of_x * math.sqrt(own_y) + of_y * math.sqrt(own_x) + of_x * of_y

    def permuted(self, n_permutations: int, seed: int) -> Floats:
        """V-statistics (n_permutations,) for y in random orders."""
        random = np.random.default_rng(seed)
        kept = self._centred_grams() if self.n <= MOST_KEPT else None
        found = []
        for start in range(0, n_permutations, SHARED):
            draws = min(SHARED, n_permutations - start)
            orders = np.array([random.permutation(self.n) for _ in range(draws)])
            if kept is not None:
                found.append(matrices.permuted_products(*kept, orders) / self.n**2)
                continue
            shuffled = np.ascontiguousarray(self.tiled_y[:, orders].transpose(1, 0, 2))
            pairs = tiles.paired_products(self.tiled_x, shuffled, self.first, self.second)
            found.append(self._centred(2 * pairs + dot(self.l_ii[orders], self.k_ii), dot(self.l_i[orders], self.k_i)))
        return np.concatenate(found)

    def _centred_grams(self) -> tuple[Floats, Floats]:
        grams = np.empty((2, self.n, self.n))
        tiles.gram(self.x, self.kernel_x.code, self.h_x, grams[0])
        tiles.gram(self.y, self.kernel_y.code, self.h_y, grams[1])
        for gram in grams:
            matrices.center(gram)
        return grams[0], grams[1]

    def _centred(self, both: Floats, crossed: Floats) -> Floats:
        """V-statistic from ``sum_ij k_ij l_ij`` and ``sum_i k_i l_i``."""
        n = self.n
        return (both - 2 * crossed / n + self.k_i.sum() * self.l_i.sum() / n**2) / n**2

    def _sought(self, statistic: float, total: float, size: float, confidence: float) -> inference.Sought:
        """What the confidence interval of the index is computed from.

        `total` and `size` are those of the influence without an effect. The influence is ``psi_i phi_i - D`` with
        centred features of x and y. How it spreads along D without an effect would take one more pass over the pairs;
        here it spreads as in the samples.
        """
        n = self.n
        own = [rows - 2 * sums / n + sums.sum() / n**2 for rows, sums in ((self.k_ii, self.k_i), (self.l_ii, self.l_i))]
        found = max(float(own[0] @ own[1]) / n - statistic, 0.0)
        along = float(self._influence().var()) / 4 / statistic if statistic > 0 else 0.0
        return inference.Sought(
            n,
            statistic,
            inference.Spread(total, size, along),
            inference.Spread(found, size * found / total if total > 0 else 0.0, along),
            1.0,
            confidence,
        )

    def _influence(self) -> Floats:
        """Influence of each sample on the statistic, up to a constant.

        With row means k_i, l_i and means k, l: the derivative of ``E kl + k l - 2 E k_i l_i`` at sample i is
        ``2 E_j k_ij l_ij + 2 k_i l + 2 k l_i - 2 (k_i l_i + E_j k_ij l_j + E_j l_ij k_j)``.
        """
        n = self.n
        both, k, mean_l = (self.rows[:, 0] + self.k_ii * self.l_ii) / n, self.k_i / n, self.l_i / n
        k_l = self._sums().weighted_rows(self.tiled_x, mean_l, *self.first)[:, 0] / n
        l_k = self._sums().weighted_rows(self.tiled_y, k, *self.second)[:, 0] / n
        return 2 * (both + k * mean_l.mean() + mean_l * k.mean() - k * mean_l - k_l - l_k)


def _own(squares: float, totals: Floats) -> float:
    """HSIC(X, X) from the sum of k^2 and the row sums of k."""
    n = len(totals)
    return float(squares - 2 * (totals**2).sum() / n + totals.sum() ** 2 / n**2) / n**2


def _u_centred(both: float, k_i: Floats, l_i: Floats) -> float:
    """U-statistic from ``sum_(i != j) k_ij l_ij`` and the row sums without the diagonal."""
    n = len(k_i)
    return float(both + k_i.sum() * l_i.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * dot(k_i, l_i)) / (n * (n - 3))
