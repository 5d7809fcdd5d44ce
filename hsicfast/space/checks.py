"""What the bounds, the weights and the values of a hyperparameter must fulfil."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.text import is_text

# No bound is larger than LARGEST, so that a figure's margins and the distances of values stay finite.
LARGEST = 1e300


def is_number(value: Any) -> bool:
    """Whether `value` is one number of Python or NumPy; a boolean is none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_bounds(kind: str, low: Any, high: Any) -> None:
    """Raise an InputError unless `low` < `high` are two finite numbers."""
    if not (is_number(low) and is_number(high) and abs(low) < math.inf and abs(high) < math.inf):
        raise InputError(f"{kind} needs two finite numbers, but got low={low!r}, high={high!r}; correct them")
    if max(abs(low), abs(high)) > LARGEST:
        raise InputError(
            f"{kind} needs a finite range, but got low={_shown(low)}, high={_shown(high)}; keep both within {LARGEST:g}"
        )
    if low == high:
        raise InputError(f"`low < high` must hold, but got low={low}, high={high}; leave a constant out of the space")
    if low > high:
        raise InputError(f"`low < high` must hold, but got low={low}, high={high}; swap them")


def _shown(end: Any) -> str:
    """A bound in a few characters; Python writes no whole number of thousands of digits."""
    return repr(end) if abs(end) < 10**30 or isinstance(end, float) else f"about 2**{end.bit_length()}"


def check_weights(law: Any, levels: int) -> None:
    """Raise an InputError unless `law` is None or gives each of the `levels` a weight above 0."""
    if law is not None and (len(law) != levels or any(not weight > 0 for weight in law)):
        raise InputError(
            f"a law must give each of the {levels} values a weight above 0, but got {list(law)}; "
            "leave out what cannot happen"
        )


def check_texts(choices: Sequence[Any]) -> None:
    """Raise an InputError unless every text among `choices` can be written into a file."""
    if any(isinstance(choice, str) and not is_text(choice) for choice in choices):
        raise InputError(f"choices must be texts that can be written as UTF-8, but got {list(choices)!a}; rename them")


def column_of(values: ArrayLike) -> NDArray[Any]:
    """Values (n,) of Python's own types; numbers in an array stay as they are."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.ravel()
    if isinstance(values, list | tuple):
        return np.array([*values, None], dtype=object)[:-1]  # None keeps choices that are lists from becoming rows
    return np.asarray(values, dtype=object).ravel()


def numbers_within(
    values: NDArray[Any], low: float, high: float, step: int | None, contains: Callable[[Any], bool]
) -> Floats:
    """The values (n,) as numbers.

    Parameters
    ----------
    values : array (n,)
    low, high : float
        Bounds, both included.
    step : int, optional
        Every value must be `low` plus a multiple of it.
    contains : callable
        Whether one value is allowed; an error names the first that is not.

    Raises
    ------
    InputError
        If a value is no number, lies outside the bounds or off the steps.
    """
    try:
        numbers = values.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)  # one of them is no number: the search below names it
    outside = ~((numbers >= low) & (numbers <= high))
    if step is not None:
        outside |= (numbers - low) % step != 0
    if outside.any():
        wrong = next((value for value in values.tolist() if not contains(value)), values[outside][0])
        steps = "" if step is None else f" in steps of {step}"
        raise InputError(
            f"a value must lie in [{low}, {high}]{steps}, but got {wrong!r}; correct it or widen the range"
        )
    return numbers
