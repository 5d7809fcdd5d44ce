"""How the columns of a table look: the evidence that rules on their roles go by.

A column is looked at in up to SAMPLE rows, and only if a rule asks about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.reading.columns import Read, typed
from hsicfast.reading.conventions import CONVENTIONS, MARKS, Convention, normal, words_of
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int
from hsicfast.trials.trial import names_in

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 2000
# A few settings are each in this many rows on average.
EACH = 4
# Values are spread evenly if their distribution is this near to the uniform, or the log-uniform, in units of 1/sqrt(n).
EVEN = 1.63
# Fewer rows than these show neither a correlation nor an order.
FEWEST_ROWS = 10


@dataclass(frozen=True)
class Asked:
    """What is known beside a table's values when its columns are judged.

    Attributes
    ----------
    beside : sequence of str
        The columns of objectives, cost and status; the first is the objective.
    ignore, only : sequence of str
        Patterns of columns that are no hyperparameters, and of those that alone are; of names without a prefix, too.
    stated : dict of str to Hyperparameter or None, optional
        See :class:`hsicfast.formats.found.Found`.
    others : mapping of str to str
        The columns that the source says are something else, and what.
    """

    beside: Sequence[str] = ()
    ignore: Sequence[str] = ()
    only: Sequence[str] = ()
    stated: Mapping[str, Hyperparameter | None] | None = None
    others: Mapping[str, str] = field(default_factory=dict)


class Table:
    """A table whose columns are judged: what several rules ask about it is computed once.

    Parameters
    ----------
    frame : DataFrame (n, c)
    asked : Asked
    open_to : callable
        Whether nothing but a tool's prefix speaks against a column as a hyperparameter.
    """

    def __init__(self, frame: pd.DataFrame, asked: Asked, open_to: Callable[[Column], bool]) -> None:
        self.frame, self.asked, self.open_to = frame, asked, open_to
        self.sample = frame.iloc[:: max(-(-len(frame) // SAMPLE), 1)]
        self.labels = list(map(str, frame.columns))

    @cached_property
    def own(self) -> frozenset[str]:
        """The hyperparameters of a table as :meth:`TrialTable.to_frame` writes it; empty if it is another table."""
        fixed = [name for name in names_in("frame") if name != "metrics"]
        places = [self.labels.index(name) for name in fixed if name in self.labels]
        is_own = len(places) == len(fixed) and places == sorted(places)
        return frozenset(self.labels[: places[0]] if is_own else ())

    @cached_property
    def marked(self) -> tuple[Convention, ...]:
        """The tools of which the table has bookkeeping columns."""
        plain = {normal(label) for label in self.labels}
        return tuple(own for own in CONVENTIONS if len(own.own & plain) >= MARKS)

    @cached_property
    def convention(self) -> tuple[Convention, dict[str, str]] | None:
        """The tool whose prefix marks the hyperparameters, and the prefix of each of their columns."""
        for own in CONVENTIONS:
            if not own.settings:
                continue
            found = {label: found[0] for label in self.labels if (found := re.match(own.settings, label))}
            found = {label: prefix for label, prefix in found.items() if label != prefix}
            if found and (own.sure or own in self.marked or self._has_results(own) or self._mostly(found)):
                return own, found
        return None

    def _has_results(self, own: Convention) -> bool:
        return any(map(beginning(own.results), self.labels))

    def _mostly(self, found: Mapping[str, str]) -> bool:
        """Whether most of the columns that may be hyperparameters have the prefix, which people use, too."""
        rest = [label for label in self.labels if label not in found and label not in self.asked.beside]
        others = sum(self.open_to(Column(self, label, label)) for label in rest)
        return len([label for label in found if label not in self.asked.beside]) > others

    @cached_property
    def objective(self) -> Floats | None:
        """The objective in the sampled rows (m,)."""
        return Column(self, self.asked.beside[0], "").numbers if self.asked.beside else None

    @cached_property
    def objective_place(self) -> int:
        return self.labels.index(self.asked.beside[0]) if self.asked.beside else len(self.labels)


class Column:
    """A column of a table, as the rules ask about it."""

    def __init__(self, table: Table, label: str, name: str) -> None:
        self.table, self.label, self.name = table, label, name
        self.short = normal(name)

    @cached_property
    def words(self) -> list[str]:
        return words_of(self.name)

    @cached_property
    def values(self) -> pd.Series[Any]:
        """The filled values in the sampled rows."""
        return self.table.sample[self.label].dropna()

    @cached_property
    def texts(self) -> list[str]:
        """The distinct texts among the values if all are texts and one of them is no number; otherwise empty."""
        values = self.values
        if values.dtype.kind in "biufmM" or self.numbers is not None or len(values) == 0:
            return []
        try:
            kinds = values.unique()
        except TypeError:  # lists
            return []
        return [kind.strip() for kind in kinds] if all(isinstance(kind, str) for kind in kinds) else []

    @cached_property
    def numbers(self) -> Floats | None:
        """The sampled rows as numbers (m,), NaN for gaps; None if the values are no numbers."""
        column = self.table.sample[self.label]
        if column.dtype.kind not in "iuf":
            if column.dtype.kind in "bmM" or _is_stated_choice(column):
                return None
            try:
                column = typed(column)
            except (TypeError, ValueError):
                return None
            if column.dtype.kind not in "iuf":
                return None
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers if np.isfinite(numbers).any() else None

    @cached_property
    def finite(self) -> Floats:
        return np.empty(0) if self.numbers is None else self.numbers[np.isfinite(self.numbers)]

    @cached_property
    def levels(self) -> int:
        return len(np.unique(self.finite))

    @cached_property
    def whole(self) -> bool:
        return len(self.finite) > 0 and bool((self.finite == np.rint(self.finite)).all())

    def few(self, most: int) -> bool:
        """Whether the numbers are a few settings, each of them in several rows."""
        return self.levels <= most and len(self.finite) >= EACH * self.levels

    @cached_property
    def even(self) -> bool:
        """Whether the numbers spread evenly over their range, or their logarithms do, as settings are drawn."""
        if self.levels < 2:
            return False
        low = self.finite.min()
        return _evenly(self.finite) or (low > 0 and _evenly(np.log(self.finite)))

    @cached_property
    def agreement(self) -> float:
        """The rank correlation with the objective, in size; 0 if nobody knows it."""
        from scipy import stats

        objective = self.table.objective
        if self.numbers is None or objective is None:
            return 0.0
        both = np.isfinite(self.numbers) & np.isfinite(objective)
        mine, other = self.numbers[both], objective[both]
        if len(mine) < FEWEST_ROWS or np.ptp(mine) == 0 or np.ptp(other) == 0:
            return 0.0
        return abs(float(np.corrcoef(stats.rankdata(mine), stats.rankdata(other))[0, 1]))


def matched(column: Column, patterns: Iterable[str]) -> bool:
    return any(
        name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in (column.label, column.name)
    )


def beginning(pattern: str) -> Callable[[str], bool]:
    return (lambda label: re.match(pattern, label) is not None) if pattern else lambda label: False


def _evenly(values: Floats) -> bool:
    """Whether values (n,) lie as near to evenly spread over their range as chance lets uniform ones."""
    u = np.sort((values - values.min()) / np.ptp(values))
    steps = np.arange(len(u) + 1) / len(u)
    # Ties of whole numbers make steps that a continuous distribution lacks.
    gap = 1.0 / max(len(np.unique(u)), 2)
    distance = max((steps[1:] - u).max(), (u - steps[:-1]).max())
    return bool(distance <= EVEN / np.sqrt(len(u)) + gap)


def _is_stated_choice(column: pd.Series[Any]) -> bool:
    """Whether a frame's dtype says that a column is a choice among texts."""
    import pandas as pd

    return isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.dtype.kind not in "iuf"


def as_stated(kind: Hyperparameter | None, column: pd.Series[Any]) -> Read | None:
    """The column as the hyperparameter that its source states; None if it states none that all values fit."""
    if kind is None or column.astype(str).nunique() < 2:
        return None
    column = column if isinstance(kind, Choice) else typed(column)
    filled = column.dropna()
    if isinstance(kind, Choice):
        fits = all(value in kind.choices for value in filled.unique())
    elif isinstance(kind, Bool):
        fits = all(isinstance(value, bool | np.bool_) for value in filled.unique())
    elif isinstance(kind, Float | Int):
        fits = filled.dtype.kind in "iuf" and bool(((filled >= kind.low) & (filled <= kind.high)).all())
        fits = fits and (isinstance(kind, Float) or bool((filled == np.rint(filled)).all()))
    else:
        return None
    return Read(kind, column, "as the study says") if fits else None
