"""Summaries of trials that suffice for an index; those of parts of the trials add up to those of all trials.

A hyperparameter with a continuum of values is summarised by the moments of its spectrum, one with single values by the
counts of each value. If nobody knows the distribution of a continuum, its index needs ranks, which no part of the
trials shows. They come from a sketch, counts in cells between some of the values, and its error is known.
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

# Number of positions in the guide of a sketch; a power of two.
GUIDE = 1 << 16
# A parallel iteration should count this many values; there are few iterations, because each has counts of its own.
COUNTED, MOST_SLOTS = 100_000, 4


class Continuum:
    """Moments of values on [0, 1] for the Gaussian kernel of bandwidth `h`.

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
        """Add trials: values on [0, 1] (m,), which met the goal (m,), and the rows at its edge."""
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
        if self.low == self.high:  # a constant shows no effect: exactly 0, whatever the rounding
            spectrum, edge = self.spectrum, len(self.edge)
            counts = np.array([[spectrum.n], [spectrum.sum], [edge]], dtype=np.float64)
            return estimate_of_levels(level_features(np.array([self.low]), np.zeros(1), self.h), *counts)
        return self.spectrum.estimate(self.h, self.edge)


class Levels:
    """Counts (3, L) of L levels: all trials, those that met the goal, and those at its edge.

    Examples
    --------
    >>> one = Levels(3).update(np.array([0, 2, 2]), np.array([True, False, True]), np.array([1]))
    >>> one.merge(one).counts.tolist()
    [[2, 0, 4], [2, 0, 2], [0, 0, 2]]
    """

    def __init__(self, size: int) -> None:
        self.counts = np.zeros((3, size), dtype=np.int64)

    def update(self, level: NDArray[np.int64], met: Bools, edge: Rows) -> Self:
        """Add trials: their levels (m,), which met the goal (m,), and the rows at its edge."""
        for row, kind in zip(self.counts, (level, level[met], level[edge]), strict=True):
            row += np.bincount(kind, minlength=len(row))
        return self

    def merge(self, other: Self) -> Self:
        """Add the trials of another."""
        self.counts += other.counts
        return self

    def evidence(self, h: float, steps: tuple[Floats, Floats] | None) -> Estimate:
        """The index at bandwidth `h`; `steps` are middles and widths (L,) of the levels, None takes those of ranks."""
        seen = self.counts[0] > 0
        u, width = rank_steps(self.counts[0, seen]) if steps is None else (steps[0][seen], steps[1][seen])
        return estimate_of_levels(level_features(u, width, h), *self.counts[:, seen].astype(np.float64))


@dataclass(frozen=True)
class Sketch:
    """Cells on [0, 1] in which values are counted: between ascending edges (E,), and at each edge.

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
        """Count trials in cells.

        Parameters
        ----------
        cells : Levels
            The counts to add to.
        u : array (m,)
            Values on [0, 1].
        met : bool array (m,)
            Which trials met the goal.
        edge : int array
            Rows at the goal's edge.
        """
        guide = np.searchsorted(self.edges, np.arange(GUIDE + 1) / GUIDE)
        slots = min(max(len(u) // COUNTED, 1), MOST_SLOTS)
        cells.counts[:2] += scans.count_cells(u, met, self.edges, guide, slots)
        at = np.searchsorted(self.edges, u[edge])
        on = np.append(self.edges, np.nan)[at] == u[edge]
        cells.counts[2] += np.bincount(2 * at + on, minlength=self.size)

    @staticmethod
    def error(cells: Levels) -> float:
        """The largest error of a rank: all trials in a cell between two edges get the middle of its ranks."""
        between = cells.counts[0, ::2]
        return float(between.max(initial=0, where=between > 1)) / 2 / max(int(cells.counts[0].sum()), 1)
