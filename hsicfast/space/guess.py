"""Guesses a search space from trials alone: types, ranges, log scales and conditions, each with its reason.

The guess is shown; a person can write it as YAML, correct it there and pass it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.space.formats import python_value
from hsicfast.space.search_space import RESERVED, Bool, Choice, Float, Hyperparameter, Int, SearchSpace

if TYPE_CHECKING:
    import pandas as pd

# Prefixes of hyperparameters' names in the exports of Ray and W&B, Optuna, MLflow.
PREFIXES = ("config/", "params_", "params.")
BOOLEANS = {"true": True, "false": False}
# Texts that mean "missing" among numbers and booleans; among other texts they are values.
GAPS = ("", "none", "nan", "null")
# A text column with more than MOST_CHOICES distinct values holds names or notes, not choices; so does one with at
# least FEWEST_NAMES values that are all distinct.
MOST_CHOICES = 30
FEWEST_NAMES = 4
LOG_FROM = 50.0  # a positive range may be logarithmic if high / low is at least this


@dataclass(frozen=True)
class Guess:
    """A guessed space with its reasons.

    Attributes
    ----------
    space : SearchSpace
    frame : DataFrame
        The columns of the hyperparameters, named and typed like them; missing = inactive.
    reasons : dict of str to str
        Why each hyperparameter is what it is.
    left_out : dict of str to str
        Why each of the other columns is no hyperparameter.
    """

    space: SearchSpace
    frame: pd.DataFrame
    reasons: dict[str, str]
    left_out: dict[str, str]


def guess_space(frame: pd.DataFrame, beside: Sequence[str] = ()) -> Guess:
    """The space whose trials are the rows of `frame`.

    Numbers become Float or Int, with log=True if their logarithms are spread more evenly; numbers written as texts
    count as numbers. If a column is filled exactly in the trials in which another has certain values, it exists under
    that condition; if no condition explains the text None among a few numbers, the column is a Choice. If some columns
    begin with ``config/``, ``params_`` or ``params.``, only those are hyperparameters.

    Parameters
    ----------
    frame : DataFrame (n, c)
    beside : sequence of str
        Columns that are no hyperparameters, such as the objective.

    Raises
    ------
    InputError
        If no column can be a hyperparameter, or one holds a few texts among many different numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"opt": ["sgd", "adam", "sgd"], "mom": [0.9, None, 0.1], "loss": [1.0, 2.0, 3.0]})
    >>> guess = guess_space(frame, ["loss"])
    >>> guess.space["mom"]
    Float(low=0.1, high=0.9, log=False, step=None, active_if={'opt': ['sgd']}, law=None)
    >>> guess.reasons["mom"]
    'numbers from 0.1 to 0.9; filled exactly where opt is sgd'
    """
    prefix = next((p for p in PREFIXES if any(str(name).startswith(p) for name in frame.columns)), "")
    found: dict[str, Hyperparameter] = {}
    columns: dict[str, pd.Series[Any]] = {}
    spelled: dict[str, tuple[Choice, pd.Series[Any], np.ndarray[Any, Any]]] = {}
    reasons: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for label in frame.columns:
        name = str(label).removeprefix(prefix)
        if label in beside or name in RESERVED or not str(label).startswith(prefix):
            left_out[str(label)] = "not a hyperparameter"
            continue
        column = typed(frame[label])
        kind, reason = _kind(column)
        choice = _spelled_out(frame[label]) if column.isna().any() else None
        if choice is not None:
            spelled[name] = choice, frame[label], column.notna().to_numpy()
        if kind is None:
            left_out[str(label)] = reason
        else:
            found[name], columns[name], reasons[name] = kind, column, reason
    levels = _Levels(columns)
    for name, (choice, column, filled) in spelled.items():
        # A text None that no condition explains is a value: a depth may be 3, 5 or None.
        if _condition(name, filled, found, levels) is None:
            found[name], columns[name], reasons[name] = choice, column, f"{choice.levels} different values"
            left_out.pop(str(column.name), None)
            levels.pop(name, None)
    gaps = {name: filled for name in found if not (filled := columns[name].notna().to_numpy()).all()}
    while gaps:
        conditions = {name: _condition(name, filled, found, levels) for name, filled in gaps.items()}
        explained = {name: condition for name, condition in conditions.items() if condition is not None}
        for name in [name for name in gaps if name not in explained]:
            left_out[name] = f"empty in {np.count_nonzero(~gaps[name])} trials, and no other column says why"
            del found[name], columns[name], reasons[name], gaps[name]
        if len(explained) == len(conditions):  # otherwise once more: a column that was left out cannot explain another
            break
    for name in gaps:
        parent, values = explained[name]
        found[name] = replace(found[name], active_if={parent: values})  # type: ignore[call-arg]
        reasons[name] += f"; filled exactly where {parent} is {' or '.join(map(str, values))}"
    if not found:
        raise InputError(
            f"a table of trials needs a column with at least two different values beside {list(beside)}, but among "
            f"{list(map(str, frame.columns))} there is none; name the objective with --objective"
        )
    import pandas as pd

    return Guess(SearchSpace(found), pd.DataFrame(columns), reasons, left_out)


def widened(guess: Guess, ends: Mapping[str, Sequence[Any]]) -> Guess:
    """The guess from some of the trials, with ranges and choices widened to all of them.

    Parameters
    ----------
    guess : Guess
    ends : mapping of str to sequence
        For each hyperparameter, its smallest and largest numbers or its distinct values in all trials.

    Examples
    --------
    >>> import pandas as pd
    >>> some = guess_space(pd.DataFrame({"depth": [2, 3, 5], "loss": [1.0, 2.0, 3.0]}), ["loss"])
    >>> widened(some, {"depth": [1, 9]}).reasons["depth"]
    'whole numbers from 2 to 5; in all trials from 1 to 9'
    """
    found, reasons = dict(guess.space), dict(guess.reasons)
    for name, kind in guess.space.items():
        if isinstance(kind, Float | Int):
            low, high = min(kind.low, *ends[name]), max(kind.high, *ends[name])
            if (low, high) != (kind.low, kind.high):
                ints = isinstance(kind, Int) and float(low).is_integer() and float(high).is_integer()
                found[name] = replace(kind, low=int(low) if ints else low, high=int(high) if ints else high)
                reasons[name] += f"; in all trials from {low:.6g} to {high:.6g}"
        elif isinstance(kind, Choice) and (more := [value for value in ends[name] if value not in kind.choices]):
            found[name] = replace(kind, choices=sorted((*kind.choices, *more), key=str))
            reasons[name] += f"; in all trials also {', '.join(sorted(map(str, more)))}"
    return replace(guess, space=SearchSpace(found), reasons=reasons)


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
    place, kinds = _kinds(column)
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


def _spelled_out(column: pd.Series[Any]) -> Choice | None:
    """The Choice among all texts of a column, None included, if every trial has one of a few."""
    kinds = _kinds(column)[1]
    return _choice(kinds) if column.notna().all() and 2 <= len(kinds) <= MOST_CHOICES else None


def _kinds(column: pd.Series[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
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


def _kind(column: pd.Series[Any]) -> tuple[Hyperparameter | None, str]:
    """The hyperparameter that fits the values of a column, or None if none does; and the reason."""
    if column.dtype.kind in "mM":
        return None, "dates"
    if column.dtype.kind in "iuf":
        return _number_kind(column.dropna().to_numpy(dtype=np.float64))
    place, kinds = _kinds(column)
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


class _Levels(dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]):
    """The distinct values of each column, computed on demand: few columns can be a condition."""

    def __init__(self, columns: Mapping[str, pd.Series[Any]]) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        self[name] = _kinds(self._columns[name])
        return self[name]


def _condition(
    name: str, filled: np.ndarray[Any, Any], found: Mapping[str, Hyperparameter], levels: _Levels
) -> tuple[str, list[Any]] | None:
    """The parent and its values under which a column is filled; if several fit, the one with the fewest values."""
    fits = []
    for parent, kind in found.items():
        if parent == name or kind.levels is None:
            continue
        place, kinds = levels[parent]
        # A column whose values all differ would explain every other.
        if len(kinds) > MOST_CHOICES or (place[filled] < 0).any():
            continue
        inside, outside = (
            np.bincount(place[rows & (place >= 0)], minlength=len(kinds)) > 0 for rows in (filled, ~filled)
        )
        if inside.any() and outside.any() and not (inside & outside).any():
            fits.append((len(kinds), parent, sorted(kinds[inside], key=str)))
    if not fits:
        return None
    _, parent, values = min(fits, key=lambda fit: fit[0])
    return parent, [int(v) if isinstance(found[parent], Int) else v for v in values]
