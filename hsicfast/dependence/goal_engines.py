"""The engines for a goal: each says what it costs at a bandwidth, and computes estimates and permuted statistics.

- Spectral: the Gaussian of one or two carried hyperparameters, from Fourier sums or features, O(n);
- Windows: the Gaussian of one, over the sorted pairs near enough for it not to be zero;
- Ordered: Laplace, Matern and distance of one, O(n log n);
- Tiles: any kernel and dimension, O(n^2) time and O(n) memory; Gpu: the same on a CUDA device.

A new engine is one more class with the methods of :class:`Engine`, and a line in
:class:`hsicfast.dependence.goal_oriented.GoalHSIC`.
"""

from __future__ import annotations

import math
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence.estimate import Estimate, Influence, ceiling, estimate, influence, unbiased
from hsicfast.dependence.features import (
    TAIL,
    carried_features,
    n_terms,
    product_features,
    smallest_bandwidth,
)
from hsicfast.dependence.gram import anchored, dot, eigenvalues, entry_rounding, tiled, typical
from hsicfast.dependence.spectrum import MOST_TERMS, goal_estimate
from hsicfast.engines import gpu, kernels, ordered, spectral, tiles
from hsicfast.engines.kernels import Kernel
from hsicfast.engines.layer import threads_for

# Measured, in nanoseconds of one core: a kernel value of the tile engine, and what each coordinate adds to it; a kernel
# value of a window; a sample added to moments; a frequency of a spectrum with its squares; a product of features; a
# step along sorted values.
TILE_VALUE, TILE_COORDINATE, WINDOW_VALUE, MOMENT = 4.0, 0.5, 2.0, 5.0
FREQUENCY_SQUARED, PRODUCT, STEP = 12e3, 0.02, 120.0
# Eigenvectors of K cosines take as long as this many times K^3 sums of a cosine over a sample.
EIGENVECTORS = 20
# The spectral engine reads up to MOST_FREQUENCIES frequencies off 200 MB of moments.
MOST_FREQUENCIES = 50_000
LONGEST = 1e6  # above this bandwidth the rounding of the cosines hides all differences
# The spectral engine makes up to MOST_PRODUCTS products of the features of two hyperparameters.
MOST_PRODUCTS = 2000


class GoalSample:
    """Checked values in the unit interval and a goal: what every engine works on.

    Parameters
    ----------
    x : array (d, n)
        Values in the unit interval.
    width : array (n,) or (0,)
        Lengths of the intervals that values stand for; none if they are points.
    z : bool array (n,)
        Which samples met the goal.
    kernel : Kernel
    edge : int array, optional
        Samples at the edge of the goal, see :class:`hsicfast.dependence.estimate.Influence`.
    precision : {"double", "single"}
        Precision of the tile engine.
    """

    def __init__(
        self,
        x: Floats,
        width: Floats,
        z: Bools,
        kernel: Kernel,
        edge: Rows | None = None,
        precision: str = "double",
    ) -> None:
        self.x, self.width, self.z, self.kernel, self.edge = anchored(x, kernel), width, z, kernel, edge
        self.precision = precision
        self.d, self.n = x.shape
        self.sorted: Floats | None = None  # (n,), if the median has sorted the values of one hyperparameter

    @property
    def on_line(self) -> bool:
        """Whether the values are points of one dimension."""
        return self.d == 1 and len(self.width) == 0

    @cached_property
    def w(self) -> Floats:
        """The goal less its mean, (n,)."""
        return self.z - self.z.mean()

    @cached_property
    def met(self) -> int:
        """How many samples met the goal."""
        return int(self.z.sum())

    @property
    def subset(self) -> int:
        """Size of the subsets that permutations draw: how many met the goal or how many did not, whichever is less."""
        return min(self.met, self.n - self.met)

    @cached_property
    def order(self) -> Rows:
        """Places (n,) of the values of one hyperparameter, ascending."""
        return np.argsort(self.x[0])

    @cached_property
    def along(self) -> tuple[Floats, Floats]:
        """The values of one hyperparameter in order, and the goal less its mean in the same order."""
        return self.x[0][self.order], self.w[self.order]

    def rounding(self, h: float) -> float:
        """How far rounding may move the statistic at bandwidth `h`: ``(1/n^2) sum_ij |w_i w_j|`` times that of k."""
        return float(np.abs(self.w).mean() ** 2) * entry_rounding(self.x, self.kernel, h, self.precision)


class Engine(Protocol):
    """What computes the index of one sample, at any bandwidth it can handle.

    Attributes
    ----------
    name : str
        As users write it.
    needs : str
        What the sample and the bandwidth must fulfil, for the error that says so.
    """

    name: str
    needs: str

    def cost(self, h: float) -> float:
        """Nanoseconds of one core for an estimate at bandwidth `h`; infinite if the engine cannot make it."""

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals; the same permutations at every `h` and in every engine."""


def _brief(value: float) -> str:
    """A lower bound in one digit, rounded up: 2.7e-5 is written 3e-5."""
    unit = 10.0 ** math.floor(math.log10(value))
    return f"{math.ceil(value / unit) * unit:g}".replace("e-0", "e-").replace("e+0", "e")


class Spectral:
    """Fourier sums of one hyperparameter; of intervals and of two hyperparameters, features.

    Examples
    --------
    >>> points = np.random.default_rng(0).random((3, 1000))
    >>> one, three = (GoalSample(x, np.empty(0), points[0] < 0.1, kernels.GAUSSIAN) for x in (points[:1], points))
    >>> Spectral(one).cost(0.3) < Tiles(one).cost(0.3)
    True
    >>> Spectral(three).cost(0.3)
    inf
    """

    name = "spectral"
    least_of_features = smallest_bandwidth(MOST_TERMS)
    needs = (
        f"kernel='gaussian' and one column and {_brief(smallest_bandwidth(MOST_FREQUENCIES))} <= h <= "
        f"{_brief(LONGEST)}, or two and h >= {_brief(smallest_bandwidth(math.isqrt(MOST_PRODUCTS)))}, or `width` and "
        f"h >= {least_of_features:.2g}"
    )

    def __init__(self, sample: GoalSample) -> None:
        self.sample = sample

    def cost(self, h: float) -> float:
        """Nanoseconds for an estimate at bandwidth `h`; infinite if this engine cannot make it."""
        n, d = self.sample.n, self.sample.d
        if self.sample.kernel is not kernels.GAUSSIAN or d > 2:
            return math.inf
        terms = n_terms(h)
        if d == 2:
            return n * terms**4 * PRODUCT if terms**2 <= MOST_PRODUCTS else math.inf
        if terms > MOST_FREQUENCIES or h > LONGEST or (len(self.sample.width) and h < self.least_of_features):
            return math.inf
        return n * MOMENT + terms * FREQUENCY_SQUARED

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        sample = self.sample
        if sample.on_line:
            return goal_estimate(sample.x[0], sample.z, h, sample.edge, sample.sorted)
        return estimate(self.features(h), sample.w, sample.edge)

    def permutation_cost(self, h: float, n_permutations: int) -> float:
        """Sums over samples that permuted goals of one hyperparameter need; infinite if their features are too many."""
        terms = n_terms(h)
        if terms > MOST_TERMS:
            return math.inf
        # There are about as many coordinates as cosines. Each is a sum of all of them; the eigenvectors come on top.
        sums = n_permutations * self.sample.subset * terms
        return sums + self.sample.n * terms**2 + EIGENVECTORS * terms**3

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals at bandwidth `h`."""
        psi = self.features(h)
        offsets = np.array([0, psi.shape[1]])
        return permuted_statistics(psi, offsets, self.sample.met, n_permutations, seed)[:, 0]

    def features(self, h: float) -> Floats:
        """Features (n, r) of the sample; of two hyperparameters, the products of theirs."""
        columns = [carried_features(column, self.sample.width, h) for column in self.sample.x]
        return columns[0] if len(columns) == 1 else product_features(*columns)


class Windows:
    """The Gaussian of one hyperparameter, summed over the pairs within TAIL bandwidths."""

    name = "ordered"
    needs = f"one column and a kernel among {[kernel.name for kernel in (kernels.GAUSSIAN, *ordered.KERNELS)]}"

    def __init__(self, sample: GoalSample) -> None:
        self.sample = sample

    def cost(self, h: float) -> float:
        """Nanoseconds for an estimate at bandwidth `h`; infinite if this engine cannot make it."""
        if self.sample.kernel is not kernels.GAUSSIAN or not self.sample.on_line:
            return math.inf
        n = self.sample.n
        return n * STEP + n**2 * min(2 * TAIL * h, 1.0) * WINDOW_VALUE

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        values, w = self.sample.along
        with threads_for(self.cost(h)):
            rows = spectral.window_rows(values, w, h, TAIL * h)
        return _from_rows(self.name, self.sample, (h, 0.0), rows, in_order=True)

    def permutation_cost(self, h: float, n_permutations: int) -> float:
        """Nanoseconds for the near pairs of all samples, and of each subset."""
        pairs = n_permutations * self.sample.subset**2 / 2 + self.sample.n**2
        return WINDOW_VALUE * min(TAIL * h, 1.0) * pairs

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals at bandwidth `h`."""
        sample = self.sample
        rank = np.empty_like(sample.order)
        rank[sample.order] = np.arange(sample.n)
        return spectral.permuted_windows(
            sample.along[0], rank, sample.subset, n_permutations, np.uint64(seed), h, TAIL * h
        )


class Ordered:
    """Laplace, Matern and distance of one hyperparameter, whose sums along sorted values follow one from the next."""

    name, needs = "ordered", Windows.needs

    def __init__(self, sample: GoalSample) -> None:
        self.sample = sample

    def cost(self, h: float) -> float:
        """Nanoseconds for an estimate at bandwidth `h`; infinite if this engine cannot make it."""
        possible = self.sample.kernel in ordered.KERNELS and self.sample.on_line
        return self.sample.n * STEP if possible else math.inf

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        sample = self.sample
        shift = typical(sample.x, sample.kernel, h)
        with threads_for(self.cost(h)):
            rows = ordered.goal_sums(*sample.along, sample.kernel.code, h, shift)
        return _from_rows(self.name, sample, (h, shift), rows, in_order=True)

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals at bandwidth `h`."""
        sample = self.sample
        return ordered.subset_statistics(
            sample.along[0], sample.order, sample.met, n_permutations, seed, sample.kernel.code, h
        )


class Tiles:
    """Any kernel in any dimension: all pairs, computed a stretch of a Gram row at a time."""

    name, needs = "tile", ""
    sums: ModuleType = tiles

    def __init__(self, sample: GoalSample) -> None:
        self.sample = sample
        self.x: NDArray[Any] = tiled(sample.x, sample.kernel, sample.precision)

    def cost(self, h: float) -> float:
        """Nanoseconds for an estimate at bandwidth `h`; infinite if this engine cannot make it."""
        return self.sample.n**2 / 2 * (TILE_VALUE + TILE_COORDINATE * self.sample.d)

    def estimate(self, h: float) -> Estimate:
        """Statistic and moments at bandwidth `h`."""
        code, h, shift = self._kernel(h)
        with threads_for(self.cost(h)):
            rows = self.sums.weighted_rows(self.x, self.sample.w, code, h, shift)
        return _from_rows(self.name, self.sample, (h, shift), rows)

    def permuted(self, h: float, n_permutations: int, seed: int) -> Floats:
        """Statistics (n_permutations,) of permuted goals at bandwidth `h`."""
        sample, kernel = self.sample, self._kernel(h)
        n, size = sample.n, sample.subset
        rows = tiles.weighted_rows(self.x, sample.w, *kernel)
        membership = spectral.subset_membership(n, sample.met, n_permutations, np.uint64(seed))
        members = np.nonzero(membership.T)[1].astype(np.int32).reshape(n_permutations, size)
        own, totals = rows[members, 3].sum(axis=1), rows[members, 1].sum(axis=1)
        inside = 2 * tiles.subset_sums(self.x, members, *kernel) + own
        return (inside - 2 * size / n * totals + (size / n) ** 2 * rows[:, 1].sum()) / n**2

    def _kernel(self, h: float) -> tuple[int, float, float]:
        """Code, bandwidth and what is taken off every entry."""
        return self.sample.kernel.code, h, typical(self.sample.x, self.sample.kernel, h)


class Gpu(Tiles):
    """The tiles of an estimate on a CUDA device; permuted goals stay on the processor."""

    name = "gpu"
    sums = gpu


def permuted_statistics(psi: Floats, offsets: Rows, met: int, n_permutations: int, seed: int) -> Floats:
    """:func:`hsicfast.engines.spectral.permuted_statistics` (n_permutations, q) of goals that `met` samples meet."""
    with threads_for(n_permutations * min(met, len(psi) - met) * psi.shape[1]):
        return spectral.permuted_statistics(psi, offsets, met, n_permutations, np.uint64(seed))


def _from_rows(
    engine: str, sample: GoalSample, kernel: tuple[float, float], rows: Floats, in_order: bool = False
) -> Estimate:
    """Estimate from the sums of :func:`hsicfast.engines.tiles.weighted_rows`, of the samples as given or `in_order`.

    `kernel` holds the bandwidth and what was taken off every entry.
    """
    n, w = sample.n, sample.along[1] if in_order else sample.w
    total, weight = float(rows[:, 1].sum()), float(dot(w, w))
    form = max(float(dot(w, rows[:, 0])), 0.0)
    squares = (rows[:, 2].sum() - 2 * (rows[:, 1] ** 2).sum() / n + total**2 / n**2) / n**2
    diagonal = float(rows[:, 3].sum())
    return Estimate(
        n=n,
        statistic=form / n**2,
        unbiased=unbiased(n, form, total, diagonal, weight, float(dot(w**2, rows[:, 3])), float(dot(w**2, rows[:, 1]))),
        trace=diagonal / n - total / n**2,
        squares=max(float(squares), 0.0),
        variance=weight / n,
        influence=_influence(sample, kernel, rows, in_order),
        ceiling=ceiling(sample.met / n),
        engine=engine,
        eigenvalues=lambda: eigenvalues(sample.x, sample.kernel, kernel[0]),
    )


def _influence(sample: GoalSample, kernel: tuple[float, float], rows: Floats, in_order: bool) -> Influence:
    """Moments of the influence from the same sums. Of the samples at the edge, kernels between them are summed here."""
    n, w = sample.n, sample.along[1] if in_order else sample.w
    variance, pull = float(dot(w, w)) / n, (rows[:, 0] - rows[:, 0].mean()) / n
    # A goal less its mean takes two values, 1 - p and -p: its square is linear in it.
    squared = (1 - 2 * sample.met / n) * rows[:, 0] + variance * rows[:, 1]
    near, at_edge = float(squared.mean()), 0.0
    among = float(rows[:, 1].sum()) / n**2
    if sample.edge is not None and len(sample.edge):
        edge = np.flatnonzero(np.isin(sample.order, sample.edge)) if in_order else sample.edge
        near, at_edge = float(squared[edge].mean()), float(pull[edge].mean())
        own = np.ascontiguousarray(sample.x[:, sample.edge])
        among_edge = tiles.weighted_rows(own, np.ones(len(edge)), sample.kernel.code, *kernel)
        among = float(among_edge[:, 1].mean()) / len(edge)
    return influence(
        max(float(dot(w, rows[:, 0])), 0.0) / n**2,
        (float(dot(w**2, rows[:, 3])) - 2 * near) / n + variance * among,
        float(dot(w**2, (pull - at_edge) ** 2)) / n,
        float(dot(pull, pull)) / n,
    )
