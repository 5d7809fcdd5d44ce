"""The engines for a goal: which one to take, and what each makes of checked data.

A goal's data answer with an :class:`Evidence` (the index, its moments, its influence function) whichever engine ran;
tests and intervals are then the same for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from hsicfast import inference, kernels, matrices, spectral, tiles
from hsicfast.errors import InputError
from hsicfast.kernels import Kernel

Floats = NDArray[np.float64]

# "max" looks for the bandwidth here, as published.
SMALLEST, LARGEST = 1e-4, 5.0
MAX_GRID = 24
# Beyond this many cosines the eigenvectors of the feature map cost more than they save.
MOST_TERMS = 400
# An (n, n) matrix of this size is 128 MiB; its eigenvalues take some seconds.
MOST_EIGENVALUES = 4000


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
        In use; of x and y for :func:`hsic`. NaN for a kernel without one or a constant column.
    n : int
        Number of samples.
    null_mean : float
        Mean of S under independence, the noise floor: over all permutations, exactly.
    engine : {"spectral", "tile"}
        Which one ran.
    """

    statistic: float
    r2: float
    pvalue: float | None
    ci: tuple[float, float] | None
    bandwidth: float | tuple[float, float]
    n: int
    null_mean: float
    engine: str


def estimate_cost(engine: str, n: int, d: int, kernel: Kernel, bandwidth: float) -> float:
    """Multiplications an engine needs for one goal-oriented statistic; infinite where it cannot do it.

    The spectral engine does one kernel, the Gaussian, and up to two carried hyperparameters.

    Examples
    --------
    >>> gaussian = kernels.GAUSSIAN
    >>> estimate_cost("spectral", 1000, 1, gaussian, 0.3) < estimate_cost("tile", 1000, 1, gaussian, 0.3)
    True
    >>> estimate_cost("spectral", 1000, 3, gaussian, 0.3)
    inf
    """
    if engine == "tile":
        return float(n * n * (d + 20))  # an exponential is worth about 20 multiplications
    if kernel is not kernels.GAUSSIAN or d > 2 or bandwidth <= 0 or kernels.n_terms(bandwidth) > MOST_TERMS:
        return math.inf
    terms = 2 * kernels.n_terms(bandwidth) + 1
    return float(n * (d * terms**2 / 2 + terms**d))


@dataclass(frozen=True)
class Evidence:
    """Moments of the centred kernel (trace = sum of its eigenvalues, squares = of their squares) beside S."""

    statistic: float
    trace: float
    squares: float
    influence: Floats
    p: float
    engine: str
    eigenvalues: Callable[[], Floats]

    @property
    def null_mean(self) -> float:
        """Mean of S over all permutations of the goal: ``p (1 - p) trace / (n - 1)``."""
        return self.p * (1 - self.p) * self.trace / (len(self.influence) - 1)

    def pvalue(self, test: str) -> float:
        n, spread = len(self.influence), self.p * (1 - self.p)
        if test == "gamma":
            return inference.gamma_pvalue(self.statistic, self.null_mean, 2 * spread**2 * self.squares / n**2)
        return inference.weighted_chi2_pvalue(n * self.statistic, spread * self.eigenvalues())

    def result(self, pvalue: float | None, confidence: float, h: float) -> HSICResult:
        r2 = self.statistic / (self.p * (1 - self.p) * math.sqrt(self.squares)) if self.squares > 0 else 0.0
        return HSICResult(
            statistic=self.statistic,
            r2=r2,
            pvalue=pvalue,
            ci=inference.interval(self.statistic, self.null_mean, self.influence, confidence),
            bandwidth=h,
            n=len(self.influence),
            null_mean=self.null_mean,
            engine=self.engine,
        )


def evidence_of(psi: Floats, z: NDArray[np.bool_]) -> Evidence:
    """Evidence of a goal `z` (n,) in features `psi` (n, r): the spectral engine's answer."""
    n = len(z)
    w = z - z.mean()
    centred = psi - psi.mean(axis=0)
    direction = w @ centred / n
    covariance = centred.T @ centred / n
    statistic = float(direction @ direction)
    return Evidence(
        statistic=statistic,
        trace=float(np.trace(covariance)),
        squares=float((covariance**2).sum()),
        influence=_goal_influence(w, centred @ direction, statistic),
        p=float(z.mean()),
        engine="spectral",
        eigenvalues=lambda: np.asarray(np.linalg.eigvalsh(covariance)),
    )


def _goal_influence(w: Floats, projected: Floats, statistic: float) -> Floats:
    """Influence of each trial on S, from ``g_i = (1/n) sum_j w_j k~_ij``: ``2 (w_i g_i - S)``.

    With k centred the derivative by mean(z) vanishes.
    """
    return 2 * (w * projected - statistic)


class GoalData:
    """Carried values and goal, checked: what both engines work on."""

    def __init__(self, x: Floats, width: Floats, z: NDArray[np.bool_], kernel: Kernel, engine: str) -> None:
        if engine not in ("auto", "spectral", "tile"):
            raise InputError(f"engine must be 'auto', 'spectral' or 'tile', but got {engine!r}; choose one")
        if len(width) and (engine == "tile" or kernel is not kernels.GAUSSIAN or len(x) > 1):
            raise InputError(
                "`width` needs one hyperparameter, kernel='gaussian' and the spectral engine, but got "
                f"d={len(x)}, kernel={kernel.name!r}, engine={engine!r}; leave `width` out or change them"
            )
        self.x, self.width, self.z, self.kernel, self.engine = anchored(x, kernel), width, z, kernel, engine
        self.w = z - z.mean()

    def choose(self, h: float) -> str:
        """The engine in use at bandwidth `h`."""
        d, n = self.x.shape
        cost = {name: estimate_cost(name, n, d, self.kernel, h) for name in ("spectral", "tile")}
        wanted = "spectral" if len(self.width) else self.engine
        if wanted == "auto":
            return min(cost, key=lambda name: cost[name])
        if math.isinf(cost[wanted]):
            raise InputError(
                f"the spectral engine needs kernel='gaussian', at most 2 columns and a bandwidth above "
                f"{self.smallest():.2g}, but got kernel={self.kernel.name!r}, {d} columns, bandwidth={h}; "
                "use engine='tile' or another bandwidth"
            )
        return wanted

    def smallest(self) -> float:
        """Smallest bandwidth of the spectral engine."""
        return kernels.TERMS / (MOST_TERMS - kernels.TERMS * kernels.TAIL)

    def features(self, h: float) -> Floats:
        """Features (n, r), for two hyperparameters the products of theirs."""
        columns = [carried_features(column, self.width, h) for column in self.x]
        if len(columns) == 1:
            return columns[0]
        return product_features(*columns)

    def evidence(self, h: float) -> Evidence:
        """Statistic and moments at bandwidth `h`."""
        return evidence_of(self.features(h), self.z) if self.choose(h) == "spectral" else self._tile(h)

    def statistic(self, h: float) -> float:
        """Statistic alone."""
        if self.choose(h) == "spectral":
            return float(((self.w @ self.features(h)) ** 2).sum()) / len(self.z) ** 2
        return self._tile(h).statistic

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals; the same permutations for every `h`."""
        n, m = len(self.z), int(self.z.sum())
        if self.choose(h) == "spectral":
            psi = self.features(h)
            offsets = np.array([0, psi.shape[1]])
            return spectral.permuted_statistics(psi, offsets, m, n_permutations, np.uint64(seed))[:, 0]
        size = min(m, n - m)
        kernel = (self.kernel.code, h, typical(self.x, self.kernel, h))
        rows = tiles.weighted_rows(self.x, self.w, *kernel)
        membership = spectral.subset_membership(n, m, n_permutations, np.uint64(seed))
        members = np.nonzero(membership.T)[1].astype(np.int32).reshape(n_permutations, size)
        own, totals = rows[members, 3].sum(axis=1), rows[members, 1].sum(axis=1)
        inside = 2 * tiles.subset_sums(self.x, members, *kernel) + own
        return (inside - 2 * size / n * totals + (size / n) ** 2 * rows[:, 1].sum()) / n**2

    def _tile(self, h: float) -> Evidence:
        n = len(self.z)
        shift = typical(self.x, self.kernel, h)
        rows = tiles.weighted_rows(self.x, self.w, self.kernel.code, h, shift)
        total = rows[:, 1].sum()
        statistic = max(float(self.w @ rows[:, 0]), 0.0) / n**2
        squares = (rows[:, 2].sum() - 2 * (rows[:, 1] ** 2).sum() / n + total**2 / n**2) / n**2
        projected = rows[:, 0] / n
        return Evidence(
            statistic=statistic,
            trace=float(rows[:, 3].sum() / n - total / n**2),
            squares=float(squares),
            influence=_goal_influence(self.w, projected - projected.mean(), statistic),
            p=float(self.z.mean()),
            engine="tile",
            eigenvalues=lambda: eigenvalues(self.x, self.kernel, h),
        )


def maximised(data: GoalData, test: str | None, n_permutations: int, seed: int, confidence: float) -> HSICResult:
    """The published "max" bandwidth.

    The test compares like with like: the maximum over one grid of bandwidths, of the data and of each permutation.
    The statistic itself is refined between the grid's points.
    """
    if not data.kernel.has_bandwidth:
        raise InputError(f"bandwidth='max' needs a kernel with a bandwidth, but got {data.kernel.name!r}; drop it")
    if test not in (None, "permutation"):
        raise InputError(f"bandwidth='max' needs test='permutation' or None, but got {test!r}: its law is not known")
    smallest = data.smallest() * 1.01 if len(data.width) or data.engine == "spectral" else SMALLEST
    grid = np.geomspace(smallest, LARGEST, MAX_GRID)
    found = np.array([data.statistic(h) for h in grid])
    top = int(found.argmax())
    refined = optimize.minimize_scalar(
        lambda log_h: -data.statistic(math.exp(log_h)),
        bounds=(math.log(grid[max(top - 1, 0)]), math.log(grid[min(top + 1, MAX_GRID - 1)])),
        method="bounded",
    )
    best = math.exp(refined.x) if -refined.fun > found[top] else float(grid[top])
    pvalue = None
    if test == "permutation":
        permuted = np.max([data.permuted(h, n_permutations, seed) for h in grid], axis=0)
        pvalue = inference.permutation_pvalue(float(found[top]), permuted)
    return data.evidence(best).result(pvalue, confidence, best)


def carried_features(u: Floats, width: Floats, h: float) -> Floats:
    """Features (n, r) of carried values under the Gaussian of bandwidth `h`; `width` (n,), or (0,) for points."""
    feature_map = kernels.gaussian_features(float(h))
    return spectral.features(u, width, feature_map.omega, feature_map.even, feature_map.odd)


def product_features(first: Floats, second: Floats) -> Floats:
    """Features (n, r1 r2) of the product of two kernels: all products of theirs."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


def anchored(x: Floats, kernel: Kernel) -> Floats:
    """`x` (d, n) around 0 where the kernel would otherwise square an offset; centring makes that the same HSIC."""
    return x - x.mean(axis=1, keepdims=True) if kernel is kernels.LINEAR else x


def typical(x: Floats, kernel: Kernel, h: float) -> float:
    """Mean entry of the first Gram row: taken off before summing, it saves digits and changes nothing else."""
    row = np.empty(x.shape[1])
    tiles.fill_row(x, 0, 0, row, kernel.code, h)
    return float(row.mean())


def eigenvalues(x: Floats, kernel: Kernel, h: float) -> Floats:
    """Eigenvalues of the centred kernel under the sample's own law."""
    n = x.shape[1]
    if n > MOST_EIGENVALUES:
        raise InputError(
            f"the asymptotic test needs at most {MOST_EIGENVALUES} samples outside the spectral engine, but got {n}; "
            "use test='gamma' or 'permutation'"
        )
    matrix = np.empty((n, n))
    tiles.gram(x, kernel.code, h, matrix)
    matrices.center(matrix)
    return np.linalg.eigvalsh(matrix) / n
