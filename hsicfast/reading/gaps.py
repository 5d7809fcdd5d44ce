"""What the empty cells of a column are, if no other column explains them: the value None, or values nobody knows.

A column that is often empty has the value None there: sklearn's ``class_weight`` is None or "balanced", and a table
shows None as an empty cell. If cells are empty now and then, or in the first or the last trials alone, which were made
before the hyperparameter came in or after it went, then nobody knows what these trials had: they are left out of this
hyperparameter, and of no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools
from hsicfast.reading.columns import A_NUMBER, Read, choice_with_none, is_many, kind_of, kinds_in, mixed, row_text
from hsicfast.trials.entries import NONE

if TYPE_CHECKING:
    import pandas as pd

# Cells that are empty are a value if they are at least this share of all: one of a few values, and one beside many
# numbers, which makes two hyperparameters.
LEVEL_SHARE, BESIDE_NUMBERS = 0.05, 0.1
# A hyperparameter that fewer trials have is not judged.
FEWEST = 4
# The order in which gaps are settled: what becomes a Choice may explain the gaps of others, and a text does so rather
# than a number.
TEXTS, FEW, MANY, UNKNOWN = range(4)


class Settled(NamedTuple):
    """What the gaps of a column are.

    Attributes
    ----------
    order : {TEXTS, FEW, MANY, UNKNOWN}
    reads : dict of str to Read
        The hyperparameters that the column is; empty if it is none.
    reason : str
        Why it is none.
    """

    order: int
    reads: dict[str, Read]
    reason: str = ""


def settled(name: str, read: Read) -> Settled:
    """What the gaps of a column are that no other column explains.

    Examples
    --------
    >>> import pandas as pd
    >>> from hsicfast.reading.columns import read_column
    >>> weighting = pd.Series(["balanced", None, None, "balanced"])
    >>> settled("weighting", read_column(weighting, "weighting")["weighting"]).reads["weighting"].kind
    Choice(choices=('None', 'balanced'), active_if=None, law=None)
    """
    values = read.values
    gaps = values.isna().to_numpy()
    n, empty = len(values), int(np.count_nonzero(gaps))
    place, kinds = kinds_in(values)
    number = values.dtype.kind in "iuf"
    many = number and is_many(np.bincount(place[~gaps], minlength=len(kinds)))
    if n - empty < (FEWEST if many or n >= 2 * FEWEST else 2):
        return Settled(UNKNOWN, {}, f"empty in {empty} of {n} trials: too few have it to judge it")
    left = f"; empty in {empty} of {n} trials"
    none = f"{left}, which no other column explains: the value None"
    if read.spelled is not None:
        return _spelled(name, read, read.spelled, many)
    later = _at_an_end(gaps)
    frequent = empty >= max(2, LEVEL_SHARE * n) and NONE not in kinds
    if not many and frequent and not (later and not _in_blocks(place)):
        choice, column = choice_with_none(values, gaps)
        order = FEW if number else TEXTS
        what = f"{read.reason} or None" if A_NUMBER in choice.choices else f"{choice.levels} different values"
        return Settled(order, {name: Read(choice, column, what + none)})
    if many and BESIDE_NUMBERS * n <= empty <= (1 - BESIDE_NUMBERS) * n and not later:
        words = values.astype(object).where(~gaps, NONE).mask(~gaps, A_NUMBER)
        return Settled(MANY, mixed(name, words, values, none))
    if read.kind is None:
        return Settled(UNKNOWN, {}, f"{read.reason} where it is not empty ({empty} of {n} trials)")
    return Settled(UNKNOWN, {name: read._replace(reason=f"{read.reason}{left}; judged among the others")})


def half_empty(read: Read) -> bool:
    """Whether a column holds one value and gaps, which may be a value, too."""
    return bool(read.values.isna().any()) and len(kinds_in(read.values)[1]) == 1


def _spelled(name: str, read: Read, texts: pd.Series[Any], many: bool) -> Settled:
    """What a column is in which the text None is a value, however seldom: a depth may be 3, 5 or None."""
    spelled = (texts.notna() & read.values.isna()).to_numpy()
    if not many:
        kind, reason = kind_of(texts)
        return Settled(FEW, {name: Read(kind, texts, reason)})
    if np.count_nonzero(spelled) == 1:
        said = f"; {row_text(texts, int(spelled.argmax()))} holds None; judged among the others"
        return Settled(UNKNOWN, {name: read._replace(reason=read.reason + said, spelled=None)})
    words = texts.where(spelled, None).mask(read.values.notna(), A_NUMBER)
    return Settled(MANY, mixed(name, words, read.values))


def _at_an_end(gaps: Bools) -> bool:
    """Whether the first trials are empty, or the last, and few others."""
    filled = np.flatnonzero(~gaps)
    return int(np.count_nonzero(gaps[filled[0] : filled[-1]])) < LEVEL_SHARE * len(gaps)


def _in_blocks(place: NDArray[np.intp]) -> bool:
    """Whether each value (n,) stands in one block of rows, as in the outer loop of a grid."""
    return int(np.count_nonzero(np.diff(place))) + 1 == len(np.unique(place))
