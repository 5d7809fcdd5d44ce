"""The engines for a goal: which one to take, and what each makes of checked data.

- spectral: the Gaussian of one or two carried hyperparameters, O(n);
- ordered: Laplace, Matern and distance of one, O(n log n); the Gaussian, too, over windows where it is not zero;
- tile: any kernel and dimension, O(n^2) time and O(n) memory; gpu: the same on a CUDA device.

A goal's data answer with an :class:`Estimate` whichever engine ran; tests and intervals are then the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import bandwidth as bandwidths
from hsicfast.dependence import inference
from hsicfast.dependence.estimate import Estimate, HSICResult, deviation, estimate, unbiased
from hsicfast.dependence.features import TAIL, TERMS, carried_features, n_terms, negligible, product_features
from hsicfast.dependence.gram import anchored, eigenvalues, tiled, typical
from hsicfast.dependence.spectrum import MOST_TERMS, goal_estimate, statistics
from hsicfast.engines import gpu, kernels, ordered, spectral, tiles
from hsicfast.engines.kernels import Kernel
from hsicfast.errors import InputError

# "max" looks for the bandwidth here, as published, on a grid first; the bandwidths of a part of it share a spectrum.
SMALLEST, LARGEST, MAX_GRID, MAX_PARTS = 1e-4, 5.0, 16, (4, 6, 10, 13)
# Between the grid's points S is a polynomial in log h through NODES, read at FINE; once more, ZOOM times closer.
NODES, FINE, ZOOMS, ZOOM = 9, 1001, 2, 20
# Measured, in nanoseconds of one core: a kernel value of the tile engine and of a window, a sample added to moments, a
# frequency of a spectrum with and without its squares, a sample's turn by one, a product of features, a step along
# sorted values.
TILE_VALUE, WINDOW_VALUE, MOMENT, FREQUENCY, FREQUENCY_SQUARED = 4.0, 2.0, 5.0, 1e3, 12e3
TURN, PRODUCT, STEP = 0.3, 0.02, 120.0
# A spectrum of so many frequencies is read off 200 MB of moments.
MOST_FREQUENCIES = 50_000
LONGEST = 1e6  # of a larger bandwidth all that differs is lost in the rounding of its cosines
# So many products of features of two hyperparameters are the most that the spectral engine makes.
MOST_PRODUCTS = 2000
ENGINES = ("spectral", "ordered", "tile")
# Kernels whose sums along sorted values follow one from the next, or end after a window.
ON_LINE = (kernels.GAUSSIAN, kernels.LAPLACE, kernels.MATERN32, kernels.MATERN52, kernels.ENERGY)


def estimate_cost(engine: str, n: int, d: int, kernel: Kernel, bandwidth: float) -> float:
    """Nanoseconds an engine needs on one core for an index and its evidence; infinite where it cannot do it.

    The spectral engine does one kernel, the Gaussian, and up to two carried hyperparameters; the ordered engine does
    Laplace, Matern, distance and the Gaussian of one.

    Examples
    --------
    >>> gaussian = kernels.GAUSSIAN
    >>> estimate_cost("spectral", 1000, 1, gaussian, 0.3) < estimate_cost("tile", 1000, 1, gaussian, 0.3)
    True
    >>> estimate_cost("spectral", 1000, 3, gaussian, 0.3)
    inf
    """
    if engine == "tile":
        return n**2 / 2 * (TILE_VALUE + 0.5 * d)
    if engine == "ordered":
        windows = n**2 * min(2 * TAIL * bandwidth, 1.0) * WINDOW_VALUE if kernel is kernels.GAUSSIAN else 0.0
        return n * STEP + windows if kernel in ON_LINE and d == 1 else math.inf
    if kernel is not kernels.GAUSSIAN or d > 2:
        return math.inf
    terms = n_terms(bandwidth)
    if d == 1:
        possible = terms <= MOST_FREQUENCIES and bandwidth <= LONGEST
        return n * MOMENT + terms * FREQUENCY_SQUARED if possible else math.inf
    return n * terms**4 * PRODUCT if terms**2 <= MOST_PRODUCTS else math.inf


class GoalSample:
    """Carried values and goal, checked: what both engines work on."""

    def __init__(
        self,
        x: Floats,
        width: Floats,
        z: Bools,
        kernel: Kernel,
        engine: str,
        edge: Rows | None = None,
        precision: str = "double",
    ) -> None:
        known = ("auto", *ENGINES, "gpu")
        if engine not in known:
            raise InputError(f"engine must be one of {known}, but got {engine!r}; choose one of them")
        if engine == "gpu":
            gpu.check()
        if len(width) and (engine not in ("auto", "spectral") or kernel is not kernels.GAUSSIAN or len(x) > 1):
            raise InputError(
                "`width` needs one hyperparameter, kernel='gaussian' and the spectral engine, but got "
                f"d={len(x)}, kernel={kernel.name!r}, engine={engine!r}; leave `width` out or change them"
            )
        self.x, self.width, self.z, self.kernel, self.engine = anchored(x, kernel), width, z, kernel, engine
        self.edge = edge
        self.tiled = tiled(self.x, kernel, precision)
        self.on_line = len(x) == 1 and len(width) == 0 and kernel is kernels.GAUSSIAN and engine in ("auto", "spectral")

    @cached_property
    def ordered(self) -> Floats:
        """The values of one hyperparameter in order, (n,)."""
        return np.sort(self.x[0])

    def bandwidth(self, wanted: str | float) -> float:
        """The bandwidth in use where `wanted` is asked for."""
        if wanted == "median" and len(self.x) == 1 and self.kernel.has_bandwidth:
            return bandwidths.median_on_line(self.ordered)
        return bandwidths.resolve(self.x, self.kernel, wanted)

    @cached_property
    def w(self) -> Floats:
        """The goal less its mean, (n,)."""
        return self.z - self.z.mean()

    def choose(self, h: float) -> str:
        """The engine in use at bandwidth `h`."""
        d, n = self.x.shape
        cost = {name: estimate_cost(name, n, d, self.kernel, h) for name in ENGINES}
        wanted = "spectral" if len(self.width) else self.engine
        if wanted == "auto":
            cheapest = min(cost, key=lambda name: cost[name])
            return "gpu" if cheapest == "tile" and gpu.pays(n) else cheapest
        if wanted == "gpu":
            return wanted
        if math.isinf(cost[wanted]) or (len(self.width) and h < self.smallest()):
            needs = {
                "spectral": f"kernel='gaussian' and one column and 3e-5 <= h <= 1e6, or two and h >= 0.05, "
                f"or `width` and h >= {self.smallest():.2g}",
                "ordered": f"one column and a kernel among {[kernel.name for kernel in ON_LINE]}",
            }
            raise InputError(
                f"the {wanted} engine needs {needs[wanted]}, but got kernel={self.kernel.name!r}, {d} columns, h={h}; "
                "use engine='auto'"
            )
        return wanted

    def smallest(self) -> float:
        """Smallest bandwidth whose features the spectral engine makes."""
        return TERMS / (MOST_TERMS - TERMS * TAIL)

    def features(self, h: float) -> Floats:
        """Features (n, r), for two hyperparameters the products of theirs."""
        columns = [carried_features(column, self.width, h) for column in self.x]
        if len(columns) == 1:
            return columns[0]
        return product_features(*columns)

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        engine = self.choose(h)
        if engine != "spectral":
            return self._from_rows(engine, h)
        if self.on_line:
            in_order = self.ordered if "ordered" in self.__dict__ else None  # not sorted for this alone
            return goal_estimate(self.x[0], self.z, h, self.edge, in_order)
        return estimate(self.features(h), self.w, self.edge)

    def statistics(self, bandwidths: Floats) -> Callable[[Floats], Floats]:
        """S at bandwidths (H,), to be asked for about as many as these, which ascend, and none beyond them."""
        if not self.on_line:
            return lambda asked: np.array([self.estimate(float(h)).statistic for h in asked])
        n, low, high = len(self.z), float(bandwidths[0]), float(bandwidths[-1])
        near_pairs = n**2 / 2 * np.minimum(TAIL * bandwidths, 1.0).sum()
        terms = TERMS * (1 + TAIL * high) / low
        if near_pairs * WINDOW_VALUE < min(n * MOMENT + terms * FREQUENCY, n * terms * TURN):
            return lambda asked: np.asarray(spectral.window_forms(*self.along, asked, TAIL) / n**2)
        return statistics(self.x[0], self.w, low, high)

    @cached_property
    def along(self) -> tuple[Floats, Floats]:
        """The values of one hyperparameter in order, and the goal less its mean in the same order."""
        order = np.argsort(self.x[0])
        return self.x[0][order], self.w[order]

    def permutation_pvalue(self, h: float, statistic: float, n_permutations: int, seed: int) -> float:
        """P-value of the permutation test at bandwidth `h`, where S is `statistic`."""
        n, m = len(self.z), int(self.z.sum())
        if self.on_line and not self._windows_pay(h, n_permutations, min(m, n - m)):
            psi = carried_features(self.x[0], self.width, h, negligible(n))
            return permutation_pvalues([psi], self.z, n_permutations, seed)[0]
        return inference.permutation_pvalue(statistic, self.permuted(h, n_permutations, seed))

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals; the same permutations for every `h`."""
        n, m = len(self.z), int(self.z.sum())
        size = min(m, n - m)
        windows = self.kernel is kernels.GAUSSIAN and self.engine == "ordered"
        if windows or (self.on_line and self._windows_pay(h, n_permutations, size)):
            order = np.argsort(self.x[0])
            rank = np.empty_like(order)
            rank[order] = np.arange(n)
            return spectral.permuted_windows(self.x[0][order], rank, size, n_permutations, np.uint64(seed), h, TAIL * h)
        if self.on_line or self.choose(h) == "spectral":
            psi = self.features(h)
            offsets = np.array([0, psi.shape[1]])
            return spectral.permuted_statistics(psi, offsets, m, n_permutations, np.uint64(seed))[:, 0]
        if self.choose(h) == "ordered" and self.kernel is not kernels.GAUSSIAN:
            order = np.argsort(self.x[0])
            return ordered.subset_statistics(self.x[0][order], order, m, n_permutations, seed, self.kernel.code, h)
        kernel = (self.kernel.code, h, typical(self.x, self.kernel, h))
        rows = tiles.weighted_rows(self.tiled, self.w, *kernel)
        membership = spectral.subset_membership(n, m, n_permutations, np.uint64(seed))
        members = np.nonzero(membership.T)[1].astype(np.int32).reshape(n_permutations, size)
        own, totals = rows[members, 3].sum(axis=1), rows[members, 1].sum(axis=1)
        inside = 2 * tiles.subset_sums(self.tiled, members, *kernel) + own
        return (inside - 2 * size / n * totals + (size / n) ** 2 * rows[:, 1].sum()) / n**2

    def _windows_pay(self, h: float, n_permutations: int, size: int) -> bool:
        """Whether summing the kernel over near pairs of each subset beats summing features over its samples."""
        n, terms = len(self.z), n_terms(h)
        near = min(TAIL * h, 1.0)
        windows = WINDOW_VALUE * near * (n_permutations * size**2 / 2 + n**2)
        # About as many coordinates as cosines, each of them a sum of all; their eigenvectors beside.
        features = n_permutations * size * terms + n * terms**2 + 20 * terms**3
        return terms > MOST_TERMS or windows < features

    def _from_rows(self, engine: str, h: float) -> Estimate:
        """Evidence from the row sums of the tile engine, here or on a device, or of the ordered one."""
        n, w, edge = len(self.z), self.w, self.edge
        kernel = (self.kernel.code, h, typical(self.x, self.kernel, h))
        if engine == "ordered":
            order = np.argsort(self.x[0])
            w = w[order]
            edge = None if edge is None else np.flatnonzero(np.isin(order, edge))
            if self.kernel is kernels.GAUSSIAN:
                rows = spectral.window_rows(self.x[0][order], w, h, TAIL * h)
            else:
                rows = ordered.goal_sums(self.x[0][order], w, *kernel)
        else:
            rows = (gpu if engine == "gpu" else tiles).weighted_rows(self.tiled, w, *kernel)
        total, weight = float(rows[:, 1].sum()), float(w @ w)
        form = max(float(w @ rows[:, 0]), 0.0)
        squares = (rows[:, 2].sum() - 2 * (rows[:, 1] ** 2).sum() / n + total**2 / n**2) / n**2
        diagonal = float(rows[:, 3].sum())
        return Estimate(
            n=n,
            statistic=form / n**2,
            unbiased=unbiased(n, form, total, diagonal, weight, float(w**2 @ rows[:, 3]), float(w**2 @ rows[:, 1])),
            trace=diagonal / n - total / n**2,
            squares=float(squares),
            variance=weight / n,
            deviation=deviation(w, (rows[:, 0] - rows[:, 0].mean()) / n, edge),
            engine=engine,
            eigenvalues=lambda: eigenvalues(self.x, self.kernel, h),
        )


def maximised(data: GoalSample, test: str | None, n_permutations: int, seed: int, confidence: float) -> HSICResult:
    """The published "max" bandwidth.

    The test compares like with like: the maximum over one grid of bandwidths, of the data and of each permutation.
    The statistic itself is refined between the grid's points.
    """
    if not data.kernel.has_bandwidth:
        raise InputError(f"bandwidth='max' needs a kernel with a bandwidth, but got {data.kernel.name!r}; drop it")
    if test not in (None, "permutation"):
        raise InputError(f"bandwidth='max' needs test='permutation' or None, but got {test!r}: its law is not known")
    features_only = len(data.width) or (data.engine == "spectral" and not data.on_line)
    parts = _grid(data.smallest() * 1.01 if features_only else SMALLEST)
    grid, found = np.concatenate(parts), np.concatenate([data.statistics(part)(part) for part in parts])
    top = int(found.argmax())
    evidence, best = _refined(data, grid[max(top - 1, 0)], grid[min(top + 1, MAX_GRID - 1)], found[top], grid[top])
    pvalue = None
    if test == "permutation":
        permuted = np.max([data.permuted(float(h), n_permutations, seed) for h in grid], axis=0)
        pvalue = inference.permutation_pvalue(float(found[top]), permuted)
    return evidence.result(pvalue, confidence, best)


def _refined(data: GoalSample, low: float, high: float, reached: float, at: float) -> tuple[Estimate, float]:
    """The bandwidth in [low, high] that maximises S, at least as good as that `at` which S was `reached`; evidence."""
    nodes, fine, interpolation = _interpolation()
    statistics = data.statistics(np.linspace(low, high, ZOOMS * NODES))
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    for _ in range(ZOOMS):
        bandwidths = np.exp(middle + half * nodes).clip(low, high)
        values = statistics(bandwidths)
        if values.max() > reached:
            reached, at = values.max(), bandwidths[values.argmax()]
        middle += half * fine[(interpolation @ values).argmax()]
        half /= ZOOM
    best = min(max(math.exp(middle), low), high)
    evidence = data.estimate(best)
    # The last digits of S differ between a bandwidth alone and among others.
    return (evidence, best) if evidence.statistic >= reached * (1 - 1e-12) else (data.estimate(float(at)), float(at))


@lru_cache
def _grid(smallest: float) -> list[Floats]:
    """Bandwidths from `smallest` on, those of a part near enough to share a spectrum."""
    return np.split(np.geomspace(smallest, LARGEST, MAX_GRID), MAX_PARTS)


@lru_cache
def _interpolation() -> tuple[Floats, Floats, Floats]:
    """Ascending Chebyshev nodes on [-1, 1], FINE points there, and the values at those from values at the nodes."""
    angles = (np.arange(NODES)[::-1] + 0.5) * math.pi / NODES
    fine = np.linspace(-1, 1, FINE)
    # Polynomials T_k are orthogonal over the nodes: coefficients are means of values times T_k, doubled for k >= 1.
    k = np.arange(NODES)
    weight = np.where(k == 0, 1, 2) / NODES
    return np.cos(angles), fine, np.cos(np.outer(np.arccos(fine), k)) * weight @ np.cos(np.outer(k, angles))


def permutation_pvalues(features: Sequence[Floats], z: Bools, n_permutations: int, seed: int) -> list[float]:
    """P-values of several hyperparameters, features (n, r) each, under the same permutations of the goal."""
    psi = np.hstack(features)
    offsets = np.concatenate(([0], np.cumsum([columns.shape[1] for columns in features])))
    reached = np.add.reduceat(((z - z.mean()) @ psi) ** 2, offsets[:-1]) / len(z) ** 2
    permuted = spectral.permuted_statistics(psi, offsets, int(z.sum()), n_permutations, np.uint64(seed))
    return [inference.permutation_pvalue(float(s), drawn) for s, drawn in zip(reached, permuted.T, strict=True)]
