"""Guesses a search space from trials alone: types, ranges, log scales and conditions, each with its reason.

The guess is shown; a person can write it as YAML, correct it there and pass it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hsicfast.errors import InputError
from hsicfast.reading.columns import MOST_CHOICES, Read, kinds_in, read_column
from hsicfast.reading.gaps import LEVEL_SHARE, UNKNOWN, Settled, half_empty, settled
from hsicfast.reading.looks import as_stated
from hsicfast.reading.roles import Roles, roles_in
from hsicfast.space.search_space import Choice, Float, Hyperparameter, Int, SearchSpace
from hsicfast.text import listed

if TYPE_CHECKING:
    import pandas as pd

# A single empty cell among so many trials is a value that nobody knows, and no condition.
MANY_TRIALS = 20


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
    that condition. If no condition explains its empty cells, they are the value None or values that nobody knows, as
    :mod:`hsicfast.reading.gaps` says. If some columns begin with ``config/``, ``params_`` or ``params.``, only those
    are hyperparameters.

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
        If no column can be a hyperparameter.

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
    roles = roles or roles_in(frame, beside)
    names, left_out = roles.names, dict(roles.left_out)
    # 1. What each column is, as its source states or by its values.
    reads: dict[str, Read] = {}
    labels: dict[str, str] = {}
    for label, name in names.items():
        stated = as_stated(roles.stated.get(label), frame[label])
        for own, read in ({name: stated} if stated else read_column(frame[label], name)).items():
            labels[own] = str(label)
            if read.kind is None and not half_empty(read):
                left_out[labels[own]] = read.reason
            else:
                reads[own] = read
    # 2. What its gaps are. What is known of one column may explain the gaps of another, so that all are asked again.
    levels = _Levels(reads)
    judged: set[str] = set()
    while True:
        gaps = [name for name, read in reads.items() if name not in judged and _has_gaps(read)]
        conditions = {name: _condition(name, reads, levels) for name in gaps}
        unexplained = {name: settled(name, reads[name]) for name in gaps if conditions[name] is None}
        if not unexplained:
            break
        for name, found_out in _first(unexplained, reads).items():
            levels.pop(name, None)
            del reads[name]
            reads |= found_out.reads
            labels |= dict.fromkeys(found_out.reads, labels[name])
            if found_out.order == UNKNOWN:
                judged.add(name)
            if not found_out.reads:
                left_out[labels[name]] = found_out.reason
    # 3. The space, in the order of the columns.
    places = {str(label): place for place, label in enumerate(names)}
    found: dict[str, Hyperparameter] = {}
    columns: dict[str, pd.Series[Any]] = {}
    reasons: dict[str, str] = {}
    for name in sorted(reads, key=lambda name: (places[labels[name]], len(name))):
        kind, values, reason, _ = reads[name]
        if kind is None:
            left_out[labels[name]] = reason
            continue
        condition = conditions.get(name)
        if condition is not None:
            kind = replace(kind, active_if={condition.parent: condition.values})  # type: ignore[call-arg]
        found[name], columns[name], reasons[name] = kind, values, reason + (condition.reason if condition else "")
    if not found:
        raise InputError(
            f"a table of trials needs a column with at least two different values beside {list(beside)}, but among "
            f"{listed(frame.columns)} there is none; name the objective with --objective"
        )
    import pandas as pd

    return Guess(SearchSpace(found), pd.DataFrame(columns), reasons, left_out)


def _has_gaps(read: Read) -> bool:
    """Whether a column has gaps that are not those of a number beside texts."""
    return bool(read.values.isna().any()) and not (read.kind is not None and read.kind.conditions)


def _first(unexplained: Mapping[str, Settled], reads: Mapping[str, Read]) -> dict[str, Settled]:
    """The columns whose gaps are settled before those of others: of several with the same gaps one alone.

    What it becomes may be the condition of the others.
    """
    order = min(own.order for own in unexplained.values())
    firsts = {name: own for name, own in unexplained.items() if own.order == order}
    if order == UNKNOWN:
        return firsts
    one_each = {reads[name].values.isna().to_numpy().tobytes(): name for name in reversed(firsts)}
    return {name: firsts[name] for name in one_each.values()}


def widened(guess: Guess, ends: Mapping[str, Sequence[Any]]) -> Guess:
    """The guess from some of the trials, with ranges and choices widened to all of them, which stay in their files.

    A hyperparameter with values that nobody knows is left out: which trials lack them shows only once all are read.

    Parameters
    ----------
    guess : Guess
    ends : mapping of str to sequence
        For each hyperparameter with a column of its own, its smallest and largest numbers or its distinct values in all
        trials.

    Examples
    --------
    >>> import pandas as pd
    >>> some = guess_space(pd.DataFrame({"depth": [2, 3, 5], "loss": [1.0, 2.0, 3.0]}), ["loss"])
    >>> widened(some, {"depth": [1, 9]}).reasons["depth"]
    'whole numbers from 2 to 5; in all trials from 1 to 9'
    """
    guess = _without_unknown(guess, ends)
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


def _without_unknown(guess: Guess, ends: Mapping[str, Sequence[Any]]) -> Guess:
    """The guess without what needs trials that have been read: gaps, and numbers that stand among texts."""
    space, unknown = guess.space, set()
    exists: dict[str, np.ndarray[Any, Any]] = {}
    for name in space.parents_first:
        exists[name] = np.ones(len(guess.frame), dtype=bool)
        for parent, allowed in space[name].conditions.items():
            exists[name] &= exists[parent] & guess.frame[parent].isin(allowed).to_numpy()
        if name not in ends:
            unknown |= {name, *space[name].conditions}
        elif (exists[name] & guess.frame[name].isna().to_numpy()).any():
            unknown.add(name)
    unknown |= {name for name in space if any(space.depends(name, parent) for parent in unknown)}
    reason = "trials that stay in their files need a column of their own for it, without gaps"
    left_out = {name: reason for name in guess.space if name in unknown and name in ends}
    return replace(
        guess,
        space=SearchSpace({name: kind for name, kind in space.items() if name not in unknown}),
        reasons={name: reason for name, reason in guess.reasons.items() if name not in unknown},
        left_out=guess.left_out | left_out,
    )


class _Levels(dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]):
    """The distinct values of each column, computed on demand: few columns can be a condition."""

    def __init__(self, reads: Mapping[str, Read]) -> None:
        super().__init__()
        self._reads = reads

    def __missing__(self, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        self[name] = kinds_in(self._reads[name].values)
        return self[name]


class _Condition(NamedTuple):
    """The parent and its values under which a column is filled, but for some of its trials; and how to say so."""

    parent: str
    values: list[Any]
    reason: str


def _condition(name: str, reads: Mapping[str, Read], levels: _Levels) -> _Condition | None:
    """The condition under which a column is filled; if several fit, the one with the fewest values.

    A few values may be missing, as in a column that always exists: then it is filled under its condition alone, but not
    everywhere there.
    """
    filled = reads[name].values.notna().to_numpy()
    n = len(filled)
    few = LEVEL_SHARE * n
    if n >= MANY_TRIALS and np.count_nonzero(~filled) == 1:
        return None
    fits = []
    for parent, read in reads.items():
        if parent == name or read.kind is None or read.kind.levels is None:
            continue
        place, kinds = levels[parent]
        # A column whose values all differ would explain every other.
        if len(kinds) > MOST_CHOICES:
            continue
        known = place >= 0
        if (~known & filled).any() and np.count_nonzero(~known) >= few:
            continue
        inside, outside = (np.bincount(place[rows & known], minlength=len(kinds)) for rows in (filled, ~filled))
        within = inside > 0
        apart, missing = int(outside[~within].sum()), int(outside[within].sum())
        if not within.any() or not apart or (missing and (missing >= LEVEL_SHARE * inside.sum() or apart < few)):
            continue
        values = sorted(kinds[within], key=str)
        fits.append((missing, len(kinds), parent, [int(v) if isinstance(read.kind, Int) else v for v in values]))
    if not fits:
        return None
    missing, _, parent, values = min(fits, key=lambda fit: fit[:2])
    exactly = "only" if missing else "exactly"
    but = f", but empty in {missing} of these trials" if missing else ""
    return _Condition(parent, values, f"; filled {exactly} where {parent} is {' or '.join(map(str, values))}{but}")
