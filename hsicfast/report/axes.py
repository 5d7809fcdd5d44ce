"""Finds where the values of a hyperparameter lie on an axis, and where the names of points find room beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats, Rows
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter
from hsicfast.text import value_text

# An axis has room for the labels of up to MOST_LEVELS levels.
MOST_LEVELS = 12
# Points lie at most SPREAD from their level. Levels lie 1 apart, so that a gap remains between them.
SPREAD = 0.3


class Scale(NamedTuple):
    """The axis of one hyperparameter: positions of the values, whether it is logarithmic, and the labels of levels."""

    at: Floats
    log: bool
    levels: list[str]


def ticks(hyperparameter: Hyperparameter) -> tuple[Floats, list[str]]:
    """Positions on [0, 1] and the hyperparameter's own values there.

    Examples
    --------
    >>> ticks(Float(1e-4, 1.0, log=True))
    (array([0.  , 0.25, 0.5 , 0.75, 1.  ]), ['0.0001', '0.001', '0.01', '0.1', '1'])
    """
    if isinstance(hyperparameter, Float) and hyperparameter.log:
        first, last = math.ceil(math.log10(hyperparameter.low)), math.floor(math.log10(hyperparameter.high))
        decades = [float(f"1e{k}") for k in range(first, last + 1, max(1, math.ceil((last - first) / 4)))]
        if len(decades) >= 3:
            return hyperparameter.to_unit(decades), [value_text(value) for value in decades]
    if isinstance(hyperparameter, Float) and not hyperparameter.log and hyperparameter.law is None:
        low, step = hyperparameter.low, round_step(hyperparameter.high - hyperparameter.low)
        steps = range(math.ceil(low / step - 1e-9), math.floor(hyperparameter.high / step + 1e-9) + 1)
        rounded = [min(max(k * step, low), hyperparameter.high) for k in steps]
        return hyperparameter.to_unit(rounded), [value_text(value) for value in rounded]
    quarters = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    return quarters, [value_text(hyperparameter.from_unit(float(u))) for u in quarters]


def round_step(span: float) -> float:
    """A round step that fits about four times into `span`."""
    least = span / 4.01
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least)


def levels(hyperparameter: Hyperparameter) -> list[Any]:
    """The values of a discrete hyperparameter; none if it has more than an axis has room for."""
    return list(hyperparameter.values) if len(hyperparameter.values) <= MOST_LEVELS else []


def scale(hyperparameter: Hyperparameter, values: NDArray[np.object_], random: np.random.Generator) -> Scale:
    """Values (m,) on an axis of their own; equal values spread around their level, so that a crowd looks like one.

    Examples
    --------
    >>> found = scale(Choice(["adam", "sgd"]), np.array(["sgd", "adam"]), np.random.default_rng(0))
    >>> abs(found.at - [1, 0]).max() <= 0.3, found.log, found.levels
    (np.True_, False, ['adam', 'sgd'])
    """
    known = list(hyperparameter.values) if isinstance(hyperparameter, Choice | Bool) else levels(hyperparameter)
    spread = random.uniform(-SPREAD, SPREAD, len(values))
    if known:
        at = level_of(hyperparameter, values, known) + spread
        return Scale(at, False, [value_text(value) for value in known])
    numbers = values.astype(np.float64)
    step = getattr(hyperparameter, "step", None) or 0.0
    return Scale(numbers + step * spread, bool(getattr(hyperparameter, "log", False)), [])


def few_ticks(labels: Sequence[str], most: int = MOST_LEVELS) -> list[int]:
    """The positions of the levels that get a label."""
    return list(range(0, len(labels), math.ceil(len(labels) / most)))


def fits_log_axis(values: Floats) -> bool:
    """Whether a logarithmic axis suits these values: all are positive, and they span more than a factor of ten."""
    return bool(len(values) and values.min() > 0 and values.max() > 10 * values.min())


def place_labels(
    points: Floats, texts: Sequence[str], size: tuple[float, float], letter: tuple[float, float], clear: float
) -> list[tuple[int, int] | None]:
    """The side of each point on which its label covers no point and no label before it.

    Parameters
    ----------
    points : array (m, 2)
        In the same unit as the other lengths, y upwards.
    texts : sequence of str (m,)
    size : tuple of float
        Width and height of the picture; no label may leave it.
    letter : tuple of float
        Width and height of a letter.
    clear : float
        Distance of a label from its point.

    Returns
    -------
    list of tuple (m,)
        Such as (1, 0) for right and (0, -1) for below; None if there is no room.

    Examples
    --------
    >>> place_labels(np.array([[5.0, 5.0], [9.0, 5.0]]), ["left", "right"], (20, 10), (1, 1), 1)
    [(-1, 0), (1, 0)]
    """
    taken = [(x - clear, y - clear, x + clear, y + clear) for x, y in points]
    sides: list[tuple[int, int] | None] = []
    for place, ((x, y), text) in enumerate(zip(points, texts, strict=True)):
        width, height = letter[0] * len(text), letter[1]
        for side in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            left = x + side[0] * clear - (width, width / 2, 0)[side[0] + 1]
            low = y + side[1] * clear - (height, height / 2, 0)[side[1] + 1]
            box = (left, low, left + width, low + height)
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
            if inside and not any(_overlap(box, other) for i, other in enumerate(taken) if i != place):
                taken.append(box)
                sides.append(side)
                break
        else:
            sides.append(None)
    return sides


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def level_of(hyperparameter: Hyperparameter, values: NDArray[np.object_], known: list[Any]) -> Rows:
    """The position in `known` of each trial's value."""
    return np.abs(hyperparameter.to_unit(values)[:, None] - hyperparameter.to_unit(known)).argmin(axis=1)
