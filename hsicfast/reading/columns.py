"""What the values of one column are: numbers, whole numbers, true or false, a few texts, or numbers and a few texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools
from hsicfast.space.formats import python_value
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int, SearchSpace
from hsicfast.trials.entries import NONE, with_none

if TYPE_CHECKING:
    import pandas as pd

BOOLEANS = {"true": True, "false": False}
# Texts that mean "missing" among numbers and booleans; among other texts they are values.
GAPS = ("", "none", "nan", "null")
# A text column with more than MOST_CHOICES distinct values holds names or notes, not choices; so does one with at
# least FEWEST_NAMES values that are all distinct.
MOST_CHOICES = 30
FEWEST_NAMES = 4
# Up to FEW_NUMBERS different numbers beside texts are choices; more are, if a number occurs at least twice on average.
FEW_NUMBERS = 8
# Texts in a single row each among many numbers are slips if they are at most this share of the rows.
STRAY_SHARE = 0.05
LOG_FROM = 50.0  # a positive range may be logarithmic if high / low is at least this
# The choice that stands for all numbers of a hyperparameter that is a number or one of a few texts.
A_NUMBER = "a number"


class Read(NamedTuple):
    """A column as a hyperparameter.

    Attributes
    ----------
    kind : Hyperparameter, optional
        None if the column is none.
    values : Series
        Typed like it; missing where the column is empty.
    reason : str
    spelled : Series, optional
        The column with texts such as None as values, if it has them in place of gaps.
    """

    kind: Hyperparameter | None
    values: pd.Series[Any]
    reason: str
    spelled: pd.Series[Any] | None = None


def read_column(column: pd.Series[Any], name: str) -> dict[str, Read]:
    """What a column is: one hyperparameter, or two if numbers stand among a few texts.

    A column such as scikit-learn's ``gamma``, "scale" or any number, is a Choice of "scale" or a number, and the number
    a hyperparameter under it.

    Examples
    --------
    >>> import pandas as pd
    >>> gamma = pd.Series(["scale", "scale", *(f"{k / 7}" for k in range(40))])
    >>> [own.kind for own in read_column(gamma, "gamma").values()][0]
    Choice(choices=('a number', 'scale'), active_if=None, law=None)
    >>> list(read_column(gamma, "gamma"))
    ['gamma', 'gamma (number)']
    """
    values = typed(column)
    parts = _parts(values)
    if parts is None:
        spelled = column if values.isna().any() and (column.notna() & values.isna()).any() else None
        kind, reason = kind_of(values)
        return {name: Read(kind, values, reason, spelled)}
    numbers, words, slips = parts
    if words.nunique() < 2:
        kind, reason = kind_of(numbers)
        return {name: Read(kind, numbers, reason + slips)}
    return mixed(name, words, numbers, slips)


def mixed(name: str, words: pd.Series[Any], numbers: pd.Series[Any], why: str = "") -> dict[str, Read]:
    """A Choice of texts or a number, and the number under it.

    Parameters
    ----------
    name : str
    words : Series
        The texts; A_NUMBER for a number, and missing where the column is empty.
    numbers : Series
    why : str
        What follows the reason of the Choice.
    """
    choice = _choice([A_NUMBER, *(word for word in kinds_in(words)[1] if word != A_NUMBER)])
    *most, last = [A_NUMBER, *(str(word) for word in choice.choices if word != A_NUMBER)]
    kind, reason = kind_of(numbers)
    under = replace(kind, active_if={name: [A_NUMBER]})  # type: ignore[type-var]
    return {
        name: Read(choice, words, f"{', '.join(most)} or {last}{why}"),
        number_name(name): Read(under, numbers, f"{reason}; where {name} is a number"),
    }


def number_name(name: str) -> str:
    """What the number of a hyperparameter is called that is a number or one of a few texts."""
    return f"{name} (number)"


def _parts(column: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any], str] | None:
    """The numbers of a typed column, its words, and what is said of slips; None if it is not many numbers and words.

    An infinite number is a word: it lies beyond all others, and has no place on their scale.
    """
    import pandas as pd

    if column.dtype.kind in "mM" or (column.dtype.kind in "iufb" and not np.isinf(column).any()):
        return None
    place, kinds = kinds_in(column)
    counts = np.bincount(place[place >= 0], minlength=len(kinds))
    numbers = _numbers(kinds)
    word = ~np.isfinite(numbers)
    if not word.any() or not is_many(counts[~word], FEW_NUMBERS):
        return None
    slip = np.isnan(numbers) & (counts == 1)
    if np.sum(slip) > max(1, STRAY_SHARE * len(column)) or np.sum(word & ~slip) > MOST_CHOICES:
        return None
    rows = np.flatnonzero(np.append(slip, False)[place])
    said = ""
    if len(rows):
        more = f" and {len(rows) - 1} more rows hold texts" if len(rows) > 1 else ""
        said = f"; {row_text(column, rows[0])} holds {column.iloc[rows[0]]!r}{more}: no number, so that it is missing"
    numbers = np.append(np.where(word, np.nan, numbers), np.nan)[place]
    words = np.array([*map(_whole, kinds), None], dtype=object)[:-1]
    words[~word], words[slip] = A_NUMBER, None
    words = np.append(words, np.array([None]))[place]
    index, name = column.index, column.name
    return pd.Series(numbers, index=index, name=name), pd.Series(words, index=index, name=name), said


def row_text(column: pd.Series[Any], place: int) -> str:
    """How people call a row: by its number from 1, or by its name."""
    row = column.index[place]
    return f"row {row + 1 if isinstance(row, int | np.integer) else row}"


def is_many(counts: NDArray[Any], few: int = 0) -> bool:
    """Whether numbers are drawn from a range and not from a few: they seldom repeat, or very many are different.

    `counts` (k,) says how often each occurs. Up to `few` different ones are few in any case.
    """
    return len(counts) > MOST_CHOICES or (len(counts) > few and 2 * len(counts) > counts.sum())


def choice_with_none(column: pd.Series[Any], gaps: Bools) -> tuple[Choice, pd.Series[Any]]:
    """The Choice among the values of a typed column and None for its gaps, and the column of these choices."""
    import pandas as pd

    place, kinds = kinds_in(column)
    kinds = np.array([*map(_whole, kinds), NONE, None], dtype=object)[:-1]
    place = np.where(gaps, len(kinds) - 1, place)
    return _choice(kinds), pd.Series(kinds[place], index=column.index, name=column.name, dtype=object)


def _whole(value: Any) -> Any:
    """A number without its useless point, which pandas writes beside gaps; the name of an infinite one."""
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def typed(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column with numbers and booleans in place of texts that spell them; texts such as None become gaps."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.dtype.kind in "biufmM":
        return column
    if pd.api.types.infer_dtype(column, skipna=True) == "string":
        # Numbers written as texts mostly all differ: converting the column at once is faster than one by one.
        whole = as_numbers(column)
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


def as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column as floats, missing for whatever is no number; texts keep the digits that pandas before 3.1 loses.

    Examples
    --------
    >>> import pandas as pd
    >>> as_numbers(pd.Series(["0.14285714285714285", 2, "two", None], dtype=object)).tolist()
    [0.14285714285714285, 2.0, nan, nan]
    """
    import pandas as pd

    whole = pd.to_numeric(column, errors="coerce")
    numbers = pd.Series(whole.to_numpy(dtype=np.float64, na_value=np.nan), column.index, name=column.name, copy=True)
    if column.dtype.kind not in "biuf":
        texts = numbers.notna() & column.map(lambda value: isinstance(value, str)).astype(bool)
        numbers[texts] = [float(text) for text in column[texts]]
    return numbers


def columns_of(space: SearchSpace, column_of: Callable[[str], pd.Series[Any]]) -> dict[str, pd.Series[Any]]:
    """The columns of the hyperparameters of a given space; the texts of a choice stay texts.

    Parameters
    ----------
    space : SearchSpace
    column_of : callable
        The column called so in the table, which need not hold the number of a hyperparameter that is a number or one of
        a few texts: it stands among these texts.
    """
    beside = {number_name(name): name for name, kind in space.items() if _has_number(kind)}
    found = {}
    for name, kind in space.items():
        column = column_of(beside.get(name, name))
        numbers = _finite(column) if _has_number(kind) or name in beside else None
        if numbers is not None and (column == A_NUMBER).any():  # as this package writes it, in two columns
            column, numbers = column_of(name), None
        if _has_number(kind) and numbers is not None:
            column = column.astype(object).mask(numbers.notna(), A_NUMBER)
        elif numbers is not None:
            column = numbers
        found[name] = with_none(kind, column) if isinstance(kind, Choice) else typed(column)
    return found


def _has_number(kind: Hyperparameter) -> bool:
    return isinstance(kind, Choice) and A_NUMBER in kind.choices


def _finite(column: pd.Series[Any]) -> pd.Series[Any]:
    """The finite numbers of a column, also those written as texts; missing for whatever is none."""
    numbers = as_numbers(column)
    return numbers.where(np.isfinite(numbers))


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
    return as_numbers(pd.Series(plain, dtype=object)).to_numpy()


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
    return None, f"{len(kinds)} different texts are no choices"


def _choice(kinds: Iterable[Any]) -> Choice:
    """The Choice of these values: numbers ascend, also those written as texts, and the others follow by their texts."""
    ordered = np.array([*kinds, None], dtype=object)[:-1]
    numbers = _numbers(ordered)
    places = np.lexsort((ordered.astype(str), numbers))  # NaN, for whatever is no number, comes last
    return Choice(ordered[places].tolist())


def _number_kind(numbers: np.ndarray[Any, Any]) -> tuple[Hyperparameter | None, str]:
    if len(numbers) == 0:
        return None, "empty"
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return None, f"always {low:.15g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        choice = _choice(map(_whole, np.unique(numbers).tolist()))
        return choice, f"{choice.levels} different numbers"
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
