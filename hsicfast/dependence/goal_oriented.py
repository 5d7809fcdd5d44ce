"""HSIC of a goal: the engine that makes it, the bandwidth that maximises it, the permutation test.

The engines stand in :mod:`hsicfast.dependence.goal_engines`. Each answers with an :class:`Estimate`, so that tests and
intervals are the same whichever one ran.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import get_args

import numpy as np

from hsicfast.arrays import Bools, Floats
from hsicfast.dependence import bandwidth as bandwidths
from hsicfast.dependence import inference
from hsicfast.dependence.checks import GoalEngineName, IndependenceTest
from hsicfast.dependence.estimate import Estimate, HSICResult
from hsicfast.dependence.features import TAIL, TERMS, carried_features, negligible
from hsicfast.dependence.goal_engines import (
    MOMENT,
    WINDOW_VALUE,
    Engine,
    GoalSample,
    Gpu,
    Ordered,
    Spectral,
    Tiles,
    Windows,
    permuted_statistics,
)
from hsicfast.dependence.gram import ENTRY_ROUNDING
from hsicfast.dependence.spectrum import statistics
from hsicfast.engines import gpu, kernels, spectral
from hsicfast.errors import InputError

ENGINES = get_args(GoalEngineName)
# "max" looks for the bandwidth from SMALLEST to LARGEST, as published: first on a grid of MAX_GRID bandwidths. It is
# cut at MAX_PARTS; the bandwidths of a part share a spectrum.
SMALLEST, LARGEST, MAX_GRID, MAX_PARTS = 1e-4, 5.0, 16, (4, 6, 10, 13)
# The grid of features starts this far above their smallest bandwidth, which rounding could otherwise miss.
ABOVE_LEAST = 1.01
# Between the points of the grid S is a polynomial in log h through NODES values, evaluated at FINE points. This is done
# ZOOMS times, each time on an interval ZOOM times shorter.
NODES, FINE, ZOOMS, ZOOM = 9, 1001, 2, 20
# Measured, in nanoseconds of one core: a frequency of a spectrum without its squares, and a sample's turn by one.
FREQUENCY, TURN = 1e3, 0.3


class GoalHSIC:
    """The index of one sample, from the engine that was asked for or from the cheapest.

    Parameters
    ----------
    sample : GoalSample
    engine : {"auto", "spectral", "ordered", "tile", "gpu"}
    """

    def __init__(self, sample: GoalSample, engine: GoalEngineName = "auto") -> None:
        if engine not in ENGINES:
            raise InputError(f"engine must be one of {ENGINES}, but got {engine!r}; choose one of them")
        if engine == "gpu":
            gpu.check()
        spectral_asked = engine in ("auto", "spectral")
        if len(sample.width) and (not spectral_asked or sample.kernel is not kernels.GAUSSIAN or sample.d > 1):
            raise InputError(
                "`width` needs one hyperparameter, kernel='gaussian' and the spectral engine, but got "
                f"d={sample.d}, kernel={sample.kernel.name!r}, engine={engine!r}; leave `width` out or change them"
            )
        self.sample = sample
        self.spectral, self.windows = Spectral(sample), Windows(sample)
        by_order = (self.windows, Ordered(sample))
        able: dict[str, tuple[Engine, ...]] = {
            "auto": (self.spectral, *by_order, Gpu(sample) if gpu.pays(sample.n) else Tiles(sample)),
            "spectral": (self.spectral,),
            "ordered": by_order,
            "tile": (Tiles(sample),),
            "gpu": (Gpu(sample),),
        }
        # Only the spectral engine knows intervals.
        self.engines = able["spectral" if len(sample.width) else engine]
        # Here statistics alone, without the moments beside them, come off spectra or windows, whichever is cheaper.
        self.on_line = sample.on_line and sample.kernel is kernels.GAUSSIAN and spectral_asked
        self.features_only = self.engines == (self.spectral,) and not self.on_line

    def engine(self, h: float) -> Engine:
        """The cheapest engine at bandwidth `h` among those asked for."""
        cheapest = min(self.engines, key=lambda engine: engine.cost(h))
        if math.isinf(cheapest.cost(h)):
            raise InputError(
                f"the {cheapest.name} engine needs {cheapest.needs}, but got kernel={self.sample.kernel.name!r}, "
                f"{self.sample.d} columns, h={h}; use engine='auto'"
            )
        return cheapest

    def bandwidth(self, wanted: str | float) -> float:
        """The bandwidth in use if `wanted` is asked for."""
        sample = self.sample
        if wanted == "median" and sample.d == 1 and sample.kernel.has_bandwidth:
            sample.sorted = np.sort(sample.x[0])
            return bandwidths.median_on_line(sample.sorted)
        return bandwidths.resolve(sample.x, sample.kernel, wanted)

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        return self.engine(h).estimate(h)

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals; the same permutations for every `h`."""
        return self._permuting(h, n_permutations).permuted(h, n_permutations, seed)

    def permutation_pvalue(self, h: float, statistic: float, n_permutations: int, seed: int) -> float:
        """P-value of the permutation test at bandwidth `h`, at which S is `statistic`.

        Parameters
        ----------
        h : float
        statistic : float
        n_permutations : int
        seed : int
        """
        sample = self.sample
        engine = self._permuting(h, n_permutations)
        if self.on_line and engine is self.spectral:
            psi = carried_features(sample.x[0], sample.width, h, negligible(sample.n))
            return permutation_pvalues([psi], sample.z, n_permutations, seed)[0]
        return inference.permutation_pvalue(statistic, engine.permuted(h, n_permutations, seed), sample.rounding(h))

    def statistics(self, bandwidths: Floats) -> Callable[[Floats], Floats]:
        """S as a function of bandwidths (H,), to be asked for about as many as these and for none beyond their ends.

        `bandwidths` (H,) ascend.
        """
        if not self.on_line:
            return lambda asked: np.array([self.estimate(float(h)).statistic for h in asked])
        sample = self.sample
        n, low, high = sample.n, float(bandwidths[0]), float(bandwidths[-1])
        near_pairs = n**2 / 2 * np.minimum(TAIL * bandwidths, 1.0).sum()
        terms = TERMS * (1 + TAIL * high) / low
        if near_pairs * WINDOW_VALUE < min(n * MOMENT + terms * FREQUENCY, n * terms * TURN):
            return lambda asked: np.asarray(spectral.window_forms(*sample.along, asked, TAIL) / n**2)
        return statistics(sample.x[0], sample.w, low, high)

    def _permuting(self, h: float, n_permutations: int) -> Engine:
        """The engine of permuted goals: that of the estimate, but on a line the cheaper of features and windows."""
        if not self.on_line:
            return self.engine(h)
        rivals: tuple[Spectral | Windows, ...] = (self.spectral, self.windows)
        return min(rivals, key=lambda engine: engine.permutation_cost(h, n_permutations))


def maximised(
    index: GoalHSIC, test: IndependenceTest | None, n_permutations: int, seed: int, confidence: float
) -> HSICResult:
    """The index at the published "max" bandwidth.

    The test compares like with like: the maximum over one grid of bandwidths, for the data and for each permutation.
    The statistic itself is refined between the points of the grid.

    Parameters
    ----------
    index : GoalHSIC
    test : {None, "permutation"}
    n_permutations : int
    seed : int
    confidence : float in (0, 1)

    Raises
    ------
    InputError
        If the kernel has no bandwidth, or if another test is asked for.
    """
    kernel = index.sample.kernel
    if not kernel.has_bandwidth:
        raise InputError(f"bandwidth='max' needs a kernel with a bandwidth, but got {kernel.name!r}; drop it")
    if test not in (None, "permutation"):
        raise InputError(f"bandwidth='max' needs test='permutation' or None, but got {test!r}: its law is not known")
    parts = _grid(Spectral.least_of_features * ABOVE_LEAST if index.features_only else SMALLEST)
    grid, found = np.concatenate(parts), np.concatenate([index.statistics(part)(part) for part in parts])
    top = int(found.argmax())
    low, high = grid[max(top - 1, 0)], grid[min(top + 1, MAX_GRID - 1)]
    estimate, best = _refined(index, low, high, found[top], grid[top])
    pvalue = None
    if test == "permutation":
        permuted = np.max([index.permuted(float(h), n_permutations, seed) for h in grid], axis=0)
        pvalue = inference.permutation_pvalue(float(found[top]), permuted, index.sample.rounding(LARGEST))
    return estimate.result(pvalue, confidence, best)


def _refined(index: GoalHSIC, low: float, high: float, reached: float, at: float) -> tuple[Estimate, float]:
    """The estimate at the bandwidth in [low, high] that maximises S, and this bandwidth.

    It is at least as good as the bandwidth `at`, at which S was `reached`.
    """
    nodes, fine, interpolation = _interpolation()
    statistics = index.statistics(np.linspace(low, high, ZOOMS * NODES))
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    for _ in range(ZOOMS):
        bandwidths = np.exp(middle + half * nodes).clip(low, high)
        values = statistics(bandwidths)
        if values.max() > reached:
            reached, at = values.max(), bandwidths[values.argmax()]
        middle += half * fine[(interpolation @ values).argmax()]
        half /= ZOOM
    best = min(max(math.exp(middle), low), high)
    refined = index.estimate(best)
    # The last digits of S differ between a bandwidth alone and among others.
    return (refined, best) if refined.statistic >= reached * (1 - 1e-12) else (index.estimate(float(at)), float(at))


@lru_cache
def _grid(smallest: float) -> list[Floats]:
    """Ascending bandwidths from `smallest` on, in parts whose bandwidths are near enough to share a spectrum."""
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
    """P-values of several hyperparameters under the same permutations of the goal.

    Parameters
    ----------
    features : sequence of array (n, r)
        Of each hyperparameter.
    z : bool array (n,)
        Which samples met the goal.
    n_permutations : int
    seed : int
    """
    psi = np.hstack(features)
    offsets = np.concatenate(([0], np.cumsum([columns.shape[1] for columns in features])))
    w = z - z.mean()
    reached = np.add.reduceat((w @ psi) ** 2, offsets[:-1]) / len(z) ** 2
    permuted = permuted_statistics(psi, offsets, int(z.sum()), n_permutations, seed)
    rounding = float(np.abs(w).mean() ** 2) * ENTRY_ROUNDING
    return [
        inference.permutation_pvalue(float(s), drawn, rounding) for s, drawn in zip(reached, permuted.T, strict=True)
    ]
