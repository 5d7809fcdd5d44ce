"""The entries of a table's columns: the types that they have there, in Python and in a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int

if TYPE_CHECKING:
    import pandas as pd

# The choice of no value, as tables of other tools write it: an empty cell.
NONE = "None"


def empty(column: NDArray[np.object_]) -> Bools:
    """Which entries (n,) are None or NaN."""
    import pandas as pd

    return np.asarray(pd.isna(pd.Series(column, dtype=object)), dtype=bool)


def scalar(value: Any) -> NDArray[np.object_]:
    """`value` as one object of shape (), which NumPy compares as a whole even if it is a tuple."""
    boxed = np.empty((), dtype=object)
    boxed[()] = value
    return boxed


def objects(values: Any) -> NDArray[np.object_]:
    """A column (n,) of Python's own values, a copy."""
    if isinstance(values, np.ndarray) or hasattr(values, "to_numpy"):
        return np.array(values, dtype=object)
    return np.array([*values, None], dtype=object)[:-1]  # None keeps tuples from becoming rows


def typed_column(values: list[Any], dtype: Any) -> NDArray[Any]:
    """A column (n,) of a table; objects stay as they are, tuples among them."""
    return objects(values) if dtype is np.object_ else np.asarray(values, dtype=dtype)


def objects_of_texts(column: NDArray[Any]) -> NDArray[Any]:
    """A column for pandas, which takes texts as objects; numbers stay as they are."""
    return column.astype(object) if column.dtype.kind == "U" else column


def from_frame_column(column: pd.Series[Any], dtype: Any) -> NDArray[Any]:
    """A column of a frame; a gap among texts is an empty text."""
    if dtype is not np.object_:
        return column.to_numpy()
    return column.where(column.notna(), "").astype(str).to_numpy(dtype=object)


def typed(hyperparameter: Hyperparameter, values: NDArray[np.object_]) -> NDArray[np.object_]:
    """Checks values and gives them their own types: a file turns 8 into 8.0 or "8", and True into "True"."""
    if isinstance(hyperparameter, Choice | Bool):
        # Look up each distinct value once, with its type: True and 1 are equal, but their texts are not.
        try:
            kinds = list(zip(map(type, values), values, strict=True))
            own = {kind: as_choice(hyperparameter.choices, kind[1]) for kind in dict.fromkeys(kinds)}
            typed = np.array([*map(own.__getitem__, kinds), None], dtype=object)[:-1]
        except TypeError:  # lists, which are no keys
            typed = np.array([*(as_choice(hyperparameter.choices, value) for value in values), None], dtype=object)[:-1]
        hyperparameter.to_unit(typed)
        return typed
    hyperparameter.to_unit(values)
    numbers = values.astype(np.float64)
    if isinstance(hyperparameter, Float):
        return numbers.astype(object)
    if np.abs(numbers).max(initial=0) < 2**53:
        return numbers.astype(np.int64).astype(object)
    return np.array(
        [int(value if isinstance(value, int | np.integer) else float(value)) for value in values], dtype=object
    )


def has_none(hyperparameter: Hyperparameter) -> bool:
    """Whether the text None is a choice that stands for empty cells."""
    return isinstance(hyperparameter, Choice) and NONE in hyperparameter.choices and None not in hyperparameter.choices


def with_none(hyperparameter: Hyperparameter, column: pd.Series[Any]) -> pd.Series[Any]:
    """The column with the text None in its empty cells, if that is a choice."""
    return column.astype(object).where(column.notna(), NONE) if has_none(hyperparameter) else column


def as_choice(choices: Sequence[Any], value: Any) -> Any:
    """The choice that equals `value` or has its text; `value` itself if there is none, and None for a gap."""
    if value in choices:
        return choices[list(choices).index(value)]
    if isinstance(value, float) and np.isnan(value):
        return None
    texts = {str(value), str(int(value))} if isinstance(value, float) and value.is_integer() else {str(value)}
    return next((choice for choice in choices if str(choice) in texts), value)


def metric_column(values: list[Any]) -> NDArray[Any]:
    """A reported number as float64 with NaN for gaps; texts as objects with None."""
    if any(isinstance(value, str) for value in values):
        return np.array([*values, None], dtype=object)[:-1]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def plain(hyperparameter: Hyperparameter, column: NDArray[np.object_]) -> NDArray[Any]:
    """A hyperparameter's column for pandas: numbers with NaN where inactive, otherwise objects with None."""
    if isinstance(hyperparameter, Float) or (isinstance(hyperparameter, Int) and None in column):
        return column.astype(np.float64)
    fits = isinstance(hyperparameter, Int) and max(-hyperparameter.low, hyperparameter.high) < 2**63
    return column.astype(np.int64) if fits else column
