"""Coordinates: points of a space as rows of numbers, of which some exist only under a condition.

A point has a coordinate in [0, 1] for each hyperparameter, uniform in its values or in their logarithms, whatever its
distribution. The coordinate of one that does not exist is hidden: it comes to light if the point moves to where it
exists. A Gaussian process sees columns instead, in which all points without a hyperparameter are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.space.hyperparameters import Float, Hyperparameter, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.entries import objects

# AWAY: the column of a number that does not exist, in the middle of its range: what a point with it has in common with
# one without it is then a matter of the parent's columns, which differ between the two.
AWAY = 0.5
# APART: two different values of a choice are as far apart as the ends of a range.
APART = math.sqrt(1 / 2)
# HAIR: the part of half a step that is left out at either end, lest rounding lead to the next value.
HAIR = 1e-6


class Coordinates:
    """The coordinates of the points of a space.

    Parameters
    ----------
    space : SearchSpace

    Attributes
    ----------
    names : tuple of str
        The hyperparameter of each coordinate (d,).
    numeric : bool array (d,)
        Whether it is a number, so that near coordinates are near values.
    owners : int array (c,)
        The coordinate that each column shows.

    Examples
    --------
    >>> from hsicfast import Choice
    >>> kind, inner = Choice(["a", "b"]), Float(0, 1, active_if={"kind": "b"})
    >>> coordinates = Coordinates(SearchSpace({"kind": kind, "inner": inner}))
    >>> coordinates.columns(np.array([[0.25, 0.9], [0.75, 0.9]]))
    array([[0. , 0.5],
           [1. , 0.9]])
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = SearchSpace({name: _without_law(space[name]) for name in space})
        self.names = tuple(space)
        self.numeric: Bools = np.array([isinstance(space[name], Float | Int) for name in space])
        widths = [1 if number or space[name].levels == 2 else space[name].levels or 0 for name, number in self._kinds()]
        self.owners: NDArray[np.int64] = np.repeat(np.arange(len(widths)), widths)
        self._place = {name: place for place, name in enumerate(self.names)}
        # Parents come first: whether a hyperparameter exists depends on whether its parents do.
        self._rules = [
            (self._place[name], [self._rule(parent, allowed) for parent, allowed in space[name].conditions.items()])
            for name in space.parents_first
        ]

    def units(self, points: Sequence[Mapping[str, Any]], random: np.random.Generator) -> Floats:
        """Coordinates (n, d) of points; the hidden ones are drawn at random."""
        units = random.random((len(points), len(self.names)))
        for place, name in enumerate(self.names):
            rows = [row for row, point in enumerate(points) if name in point]
            if rows:
                units[rows, place] = self.space[name].to_unit(objects([points[row][name] for row in rows]))
        return units

    def params(self, row: Floats) -> dict[str, Any]:
        """The point with the coordinates `row` (d,)."""
        return self.space.from_unit(row)

    def within(self, part: SearchSpace, fixed: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """The lowest and the highest coordinates (d,) of points with the `fixed` values in a `part` of the space.

        Those of a discrete hyperparameter are the ends of its outer steps, so that all its values are equally likely.
        """
        low, high = np.zeros(len(self.names)), np.ones(len(self.names))
        for place, name in enumerate(self.names):
            whole, own = self.space[name], part[name]
            if name in fixed:
                low[place] = high[place] = float(whole.to_unit(objects([fixed[name]]))[0])
            elif isinstance(own, Float | Int) and (own.low, own.high) != (whole.low, whole.high):  # type: ignore[attr-defined]
                ends = [own.low, own.high]
                (first, last), halves = whole.to_unit(ends), whole.width(ends) / 2 * (1 - HAIR)
                low[place], high[place] = first - halves[0], last + halves[1]
        return low, high

    def active(self, units: Floats) -> Bools:
        """Whether each hyperparameter exists at each point, (n, d)."""
        exists = np.ones(units.shape, dtype=bool)
        for place, rules in self._rules:
            for parent, allowed in rules:
                exists[:, place] &= exists[:, parent] & allowed[self._levels(units, parent)]
        return exists

    def snapped(self, units: Floats) -> Floats:
        """The coordinates (n, d) of the values that these stand for: of a discrete one, the middle of its step."""
        units = units.copy()
        for place, name in enumerate(self.names):
            kind = self.space[name]
            if isinstance(kind, Int) and kind.log:
                start, stop = _logarithms(kind)
                ends = kind.low + self._levels(units, place) + np.array([[-0.5], [0.5]])
                units[:, place] = (np.log(ends).mean(axis=0) - start) / (stop - start)
            elif kind.levels is not None:
                units[:, place] = (self._levels(units, place) + 0.5) / kind.levels
        return units

    def columns(self, units: Floats) -> Floats:
        """What a Gaussian process sees of the points (n, d): a column for a number, one for each value of a choice."""
        columns, exists = [], self.active(units)
        for place, (name, number) in enumerate(self._kinds()):
            here, own = exists[:, place], units[:, place]
            if number:
                columns.append(np.where(here, own, AWAY))
                continue
            levels, level = self.space[name].levels or 0, self._levels(units, place)
            if levels == 2:
                columns.append(np.where(here, level, 0.5))
            else:
                columns += [np.where(here, APART * (level == value), APART / levels) for value in range(levels)]
        return np.column_stack(columns)

    def _kinds(self) -> list[tuple[str, bool]]:
        return [(name, bool(number)) for name, number in zip(self.names, self.numeric, strict=True)]

    def _levels(self, units: Floats, place: int) -> NDArray[np.int64]:
        """The levels (n,) of a discrete hyperparameter, from 0."""
        kind = self.space[self.names[place]]
        levels = kind.levels or 0
        if isinstance(kind, Int) and kind.log:
            start, stop = _logarithms(kind)
            value = np.floor(np.exp(start + units[:, place] * (stop - start)) + 0.5).astype(np.int64)
            return np.clip(value - kind.low, 0, levels - 1)
        return np.minimum((units[:, place] * levels).astype(np.int64), levels - 1)

    def _rule(self, parent: str, allowed: Sequence[Any]) -> tuple[int, Bools]:
        """The place of a `parent`, and whether each of its levels is `allowed`."""
        kind = self.space[parent]
        among = np.zeros(kind.levels or 0, dtype=bool)
        among[[int(kind.to_level(objects([value]))[0]) for value in allowed]] = True
        return self._place[parent], among


def _logarithms(kind: Int) -> tuple[float, float]:
    """The logarithms at both ends of the range."""
    return math.log(kind.low - 0.5), math.log(kind.high + 0.5)


def _without_law(kind: Hyperparameter) -> Hyperparameter:
    return replace(kind, law=None) if getattr(kind, "law", None) is not None else kind  # type: ignore[call-arg]
