"""What an index needs to know of its trials, as sums: those of parts of the trials add up to those of all.

Of a hyperparameter with a continuum of values they are the moments of a spectrum, of one with single values the counts
of each. Where nobody knows the law that drew a continuum its ranks are wanted, which no part of the trials tells: they
come of a sketch, counts in cells between some of the values, whose error is known in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence.estimate import Estimate, estimate_of_levels
from hsicfast.dependence.spectrum import SpectralMoments
from hsicfast.engines import scans
from hsicfast.indices.carried import level_features, rank_steps

# Places of a sketch's guide; a power of two.
GUIDE = 1 << 16
# Values that a parallel iteration should count, and the most iterations: each has counts of its own.
COUNTED, MOST_SLOTS = 100_000, 4


class Continuum:
    """Moments of carried values for the Gaussian of bandwidth `h`.

    Examples
    --------
    >>> u = np.linspace(0, 1, 1000)
    >>> one, other = (Continuum(0.3).update(part, part < 0.1, np.arange(0)) for part in (u[:300], u[300:]))
    >>> evidence = one.merge(other).evidence()
    >>> evidence.n, round(evidence.variance, 6)
    (1000, 0.09)
    """

    def __init__(self, h: float) -> None:
        self.h = h
        self.spectrum = SpectralMoments(h)
        self.edge = np.empty(0)
        self.low, self.high = np.inf, -np.inf

    def update(self, u: Floats, met: Bools, edge: Rows) -> Self:
        """Add trials: carried values (m,), who met the goal (m,), and which are at its edge."""
        if len(u):
            self.spectrum.update(u, met)
            self.edge = np.concatenate((self.edge, u[edge]))
            self.low, self.high = min(self.low, float(u.min())), max(self.high, float(u.max()))
        return self

    def merge(self, other: Self) -> Self:
        """Add the trials of another."""
        self.spectrum.merge(other.spectrum)
        self.edge = np.concatenate((self.edge, other.edge))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        return self

    def evidence(self) -> Estimate:
        """The index of all trials so far, and its evidence."""
        if self.low == self.high:  # a constant says nothing, without the help of rounding
            spectrum, edge = self.spectrum, len(self.edge)
            counts = np.array([[spectrum.n], [spectrum.sum], [edge]], dtype=np.float64)
            return estimate_of_levels(level_features(np.array([self.low]), np.zeros(1), self.h), *counts)
        return self.spectrum.estimate(self.h, self.edge)


class Levels:
    """Counts (3, L) of each level: all trials, those that met the goal, those at its edge.

    Examples
    --------
    >>> one = Levels(3).update(np.array([0, 2, 2]), np.array([True, False, True]), np.array([1]))
    >>> one.merge(one).counts.tolist()
    [[2, 0, 4], [2, 0, 2], [0, 0, 2]]
    """

    def __init__(self, size: int) -> None:
        self.counts = np.zeros((3, size), dtype=np.int64)

    def update(self, level: NDArray[np.int64], met: Bools, edge: Rows) -> Self:
        """Add trials: their levels (m,), who met the goal (m,), and which are at its edge."""
        for row, kind in zip(self.counts, (level, level[met], level[edge]), strict=True):
            row += np.bincount(kind, minlength=len(row))
        return self

    def merge(self, other: Self) -> Self:
        """Add the trials of another."""
        self.counts += other.counts
        return self

    def evidence(self, h: float, steps: tuple[Floats, Floats] | None) -> Estimate:
        """The index at bandwidth `h`; `steps` are the levels' middles and widths (L,), by default those of ranks."""
        seen = self.counts[0] > 0
        u, width = rank_steps(self.counts[0, seen]) if steps is None else (steps[0][seen], steps[1][seen])
        return estimate_of_levels(level_features(u, width, h), *self.counts[:, seen].astype(np.float64))


@dataclass(frozen=True)
class Sketch:
    """Cells on [0, 1] in which values are counted: between ascending edges (E,), and equal to each.

    Examples
    --------
    >>> cells = Levels(5)
    >>> Sketch(np.array([0.2, 0.6])).update(cells, np.array([0.1, 0.6, 0.61, 0.6]), np.zeros(4, bool), np.arange(0))
    >>> cells.counts[0].tolist()
    [1, 0, 0, 2, 1]
    """

    edges: Floats

    @property
    def size(self) -> int:
        """Number of cells."""
        return 2 * len(self.edges) + 1

    def update(self, cells: Levels, u: Floats, met: Bools, edge: Rows) -> None:
        """Count trials in `cells`: carried values (m,), who met the goal (m,), and which are at its edge."""
        guide = np.searchsorted(self.edges, np.arange(GUIDE + 1) / GUIDE)
        slots = min(max(len(u) // COUNTED, 1), MOST_SLOTS)
        cells.counts[:2] += scans.count_cells(u, met, self.edges, guide, slots)
        at = np.searchsorted(self.edges, u[edge])
        on = np.append(self.edges, np.nan)[at] == u[edge]
        cells.counts[2] += np.bincount(2 * at + on, minlength=self.size)

    @staticmethod
    def error(cells: Levels) -> float:
        """The most by which a rank is wrong: the trials of a cell that holds different ones share its middle."""
        between = cells.counts[0, ::2]
        return float(between.max(initial=0, where=between > 1)) / 2 / max(int(cells.counts[0].sum()), 1)
