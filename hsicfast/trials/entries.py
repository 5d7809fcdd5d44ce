"""The entries of a table's columns: the types that they have there, in Python and in a frame."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools
from hsicfast.errors import InputError
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int

if TYPE_CHECKING:
    import pandas as pd

# What a spreadsheet runs as a formula: it begins with one of these, perhaps behind apostrophes.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
# The choice of no value, as tables of other tools write it: an empty cell.
NONE = "None"


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as the text of a CSV file, in which no text is a formula and none breaks its line.

    A text, or a column's name, that a spreadsheet would run gets an apostrophe before it, which :func:`without_guard`
    takes off.
    """
    import pandas as pd

    guarded = {name: [with_guard(cell) for cell in frame[name]] for name in _with_texts(frame)}
    torn = any(isinstance(cell, str) and "\r" in cell for column in guarded.values() for cell in column)
    columns = [with_guard(name) for name in frame.columns]
    torn |= any("\r" in str(name) for name in columns)
    safe = frame.copy()
    for name, cells in guarded.items():
        safe[name] = objects(cells)
    safe.columns = pd.Index(columns)
    # pandas quotes what holds the end of a line as it writes it, and only that.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if torn else csv.QUOTE_MINIMAL
    return safe.to_csv(index=False, lineterminator="\n", quoting=quoting)


def with_guard(cell: Any) -> Any:
    """A cell with an apostrophe before a text that a spreadsheet would run as a formula.

    >>> with_guard("=1+1"), with_guard("'=1"), with_guard("a=1"), with_guard(-1), without_guard("'=1+1")
    ("'=1+1", "''=1", 'a=1', -1, '=1+1')
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def without_guard(cell: Any) -> Any:
    """A cell without the apostrophe of :func:`with_guard`."""
    return cell[1:] if isinstance(cell, str) and cell[:1] == "'" and _FORMULA.match(cell) else cell


def unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame that was read from :func:`csv_text`, with the texts as they were."""
    bare = frame.copy()
    for name in _with_texts(frame):
        bare[name] = frame[name].map(without_guard)
    return bare.rename(columns=without_guard)


def _with_texts(frame: pd.DataFrame) -> list[Any]:
    """The columns of a frame that may hold texts."""
    return [name for name, dtype in frame.dtypes.items() if dtype.kind not in "biufmM"]


def check_told_apart(space: Mapping[str, Hyperparameter]) -> None:
    """Raise an InputError if choices have the same text, as in [1, "1"]: a CSV file would change one into the other."""
    for name, kind in space.items():
        if isinstance(kind, Choice):
            texts = [_as_text(choice) for choice in kind.choices]
            alike = [choice for choice, text in zip(kind.choices, texts, strict=True) if texts.count(text) > 1]
            if alike:
                raise InputError(
                    f"choices must differ as texts where trials are read from a CSV file, but {name!r} has {alike}; "
                    "keep the table as Parquet, or read the run folder"
                )


def _as_text(choice: Any) -> str:
    """A choice as it stands in a CSV file, numbers and truths in one spelling."""
    text = "" if choice is None else str(choice)
    try:
        return repr(float(text))
    except ValueError:
        return text.lower() if text.lower() in ("true", "false") else text


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
