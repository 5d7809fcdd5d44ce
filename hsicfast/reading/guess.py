"""Guesses a search space from trials alone: types, ranges, log scales and conditions, each with its reason.

The guess is shown; a person can write it as YAML, correct it there and pass it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.reading.columns import MOST_CHOICES, kind_of, kinds_in, spelled_out, typed
from hsicfast.reading.looks import as_stated
from hsicfast.reading.roles import Roles, roles_in
from hsicfast.space.search_space import Choice, Float, Hyperparameter, Int, SearchSpace
from hsicfast.text import listed

if TYPE_CHECKING:
    import pandas as pd


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


def guess_space(frame: pd.DataFrame, beside: Sequence[str] = (), roles: Roles | None = None) -> Guess:
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
    roles : Roles, optional
        What the columns are; by default only a tool's prefix tells them apart.

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
    found: dict[str, Hyperparameter] = {}
    columns: dict[str, pd.Series[Any]] = {}
    spelled: dict[str, tuple[Choice, pd.Series[Any], np.ndarray[Any, Any]]] = {}
    reasons: dict[str, str] = {}
    roles = roles or roles_in(frame, beside)
    left_out = dict(roles.left_out)
    for label, name in roles.names.items():
        stated = as_stated(roles.stated.get(label), frame[label])
        column, kind, reason = stated or (typed(frame[label]), None, "")
        if stated is None:
            kind, reason = kind_of(column)
        choice = spelled_out(frame[label]) if stated is None and column.isna().any() else None
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
            f"{listed(frame.columns)} there is none; name the objective with --objective"
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


class _Levels(dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]):
    """The distinct values of each column, computed on demand: few columns can be a condition."""

    def __init__(self, columns: Mapping[str, pd.Series[Any]]) -> None:
        super().__init__()
        self._columns = columns

    def __missing__(self, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        self[name] = kinds_in(self._columns[name])
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
