"""What the values of one column are: numbers, whole numbers, true or false, or a few texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.space.formats import python_value
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int

if TYPE_CHECKING:
    import pandas as pd

BOOLEANS = {"true": True, "false": False}
# Texts that mean "missing" among numbers and booleans; among other texts they are values.
GAPS = ("", "none", "nan", "null")
# A text column with more than MOST_CHOICES distinct values holds names or notes, not choices; so does one with at
# least FEWEST_NAMES values that are all distinct.
MOST_CHOICES = 30
FEWEST_NAMES = 4
LOG_FROM = 50.0  # a positive range may be logarithmic if high / low is at least this


def typed(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column with numbers and booleans in place of texts that spell them; texts such as None become gaps."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype.kind in "biufmM":
        return column
    if pd.api.types.infer_dtype(column, skipna=True) == "string":
        # Numbers written as texts mostly all differ: converting the column at once is faster than one by one.
        whole = pd.to_numeric(column, errors="coerce").astype(np.float64)
        others = column[whole.isna() & column.notna()].unique()
        if whole.notna().any() and all(str(text).strip().lower() in GAPS for text in others):
            return whole
    place, kinds = kinds_in(column)
    texts = pd.Series([str(kind).strip().lower() for kind in kinds], dtype=object)
    filled = ~texts.isin(GAPS).to_numpy()
    numbers = _numbers(kinds)
    plain = kinds
    if filled.any() and texts[filled].isin(list(BOOLEANS)).all():
        plain = np.array([BOOLEANS.get(text) for text in texts], dtype=object)
    elif filled.any() and not np.isnan(numbers[filled]).any():
        plain = numbers
    gap = np.array([np.nan if plain is numbers else None], dtype=plain.dtype)
    return pd.Series(np.concatenate((plain, gap))[place], index=column.index, name=column.name)


def spelled_out(column: pd.Series[Any]) -> Choice | None:
    """The Choice among all texts of a column, None included, if every trial has one of a few."""
    kinds = kinds_in(column)[1]
    return _choice(kinds) if column.notna().all() and 2 <= len(kinds) <= MOST_CHOICES else None


def kinds_in(column: pd.Series[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The place (n,) of each value among the distinct ones (k,), -1 for a gap; unhashable values go by their text."""
    import pandas as pd

    try:
        place, kinds = pd.factorize(column)
    except TypeError:  # lists, such as the widths of layers
        place, kinds = pd.factorize(column.map(lambda value: str(python_value(value)), na_action="ignore"))
    return place, np.array([*map(python_value, kinds), None], dtype=object)[:-1]


def _numbers(kinds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values (k,) as numbers; NaN for whatever is no number, such as True."""
    import pandas as pd

    plain = [None if isinstance(kind, bool) else kind for kind in kinds]
    return pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").to_numpy(dtype=np.float64)


def kind_of(column: pd.Series[Any]) -> tuple[Hyperparameter | None, str]:
    """The hyperparameter that fits the values of a column, or None if none does; and the reason."""
    if column.dtype.kind in "mM":
        return None, "dates"
    if column.dtype.kind in "iuf":
        return _number_kind(column.dropna().to_numpy(dtype=np.float64))
    place, kinds = kinds_in(column)
    if len(kinds) < 2:
        return None, f"always {kinds[0]!s}" if len(kinds) else "empty"
    if all(isinstance(kind, bool) for kind in kinds):
        return Bool(), "true or false"
    numeric = ~np.isnan(_numbers(kinds))
    if FEWEST_NAMES <= len(kinds) == np.count_nonzero(place >= 0) and not numeric.any():
        return None, f"{len(kinds)} texts that all differ are names"
    if len(kinds) <= MOST_CHOICES:
        return _choice(kinds), f"{len(kinds)} different {'values' if numeric.any() else 'texts'}"
    if 2 * np.count_nonzero(numeric[place[place >= 0]]) > np.count_nonzero(place >= 0):
        row = int(np.argmax((place >= 0) & ~numeric[place]))
        shown = column.index[row] + 1 if isinstance(column.index[row], int | np.integer) else column.index[row]
        raise InputError(
            f"a hyperparameter must be a number or one of a few texts, but row {shown} of {str(column.name)!r} is "
            f"{kinds[place[row]]!r} among {np.count_nonzero(numeric)} different numbers; correct it"
        )
    return None, f"{len(kinds)} different texts are no choices"


def _choice(kinds: np.ndarray[Any, Any]) -> Choice:
    return Choice(sorted(kinds, key=str))


def _number_kind(numbers: np.ndarray[Any, Any]) -> tuple[Hyperparameter | None, str]:
    if len(numbers) == 0:
        return None, "empty"
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return None, f"always {low:.15g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return None, "holds infinite numbers"
    log = low > 0 and high / low >= LOG_FROM and _unevenness(np.log(numbers)) < _unevenness(numbers)
    scale = ", evenly in their logarithms" if log else ""
    if max(-low, high) < 2**53 and (numbers == np.rint(numbers)).all():
        return Int(int(low), int(high), log=log), f"whole numbers from {int(low)} to {int(high)}{scale}"
    return Float(low, high, log=log), f"numbers from {low:.6g} to {high:.6g}{scale}"


def _unevenness(values: np.ndarray[Any, Any]) -> float:
    """Largest distance between the distribution functions of the values and of the uniform on their range."""
    u = np.sort((values - values.min()) / np.ptp(values))
    steps = np.arange(len(u) + 1) / len(u)
    return float(max((steps[1:] - u).max(), (u - steps[:-1]).max()))
