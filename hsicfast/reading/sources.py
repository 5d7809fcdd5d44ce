"""Reads trials from files, studies, folders or frames, and finds their objective, statuses and hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.formats.exports import cleaned
from hsicfast.formats.found import Found
from hsicfast.formats.frames import read_frame
from hsicfast.indices.carried import Law
from hsicfast.reading.columns import MOST_CHOICES, columns_of
from hsicfast.reading.guess import Guess, guess_space, widened
from hsicfast.reading.looks import Asked
from hsicfast.reading.outcomes import (
    PREFIXES,
    Ends,
    RowsName,
    check_rows,
    column_called,
    directions,
    ended,
    ends_of,
    kept_rows,
    log_in,
    non_domination,
    numbers_in,
    own_objectives,
    repeat_of,
    rows_note,
    spoken,
)
from hsicfast.reading.roles import Roles, roles_of
from hsicfast.space.formats import read_space
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.constraints import broken, check_constraints, set_apart
from hsicfast.trials.parquet import Opened, ParquetTrials, open_parquet, read
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, LOST

if TYPE_CHECKING:
    import optuna
    import pandas as pd

Trials: TypeAlias = "TrialTable | pd.DataFrame | str | Path | ParquetTrials"
# Number of rows from which a space is guessed if a table is too large to read whole.
GUESSED = 1 << 16


@dataclass(frozen=True)
class Reading:
    """Trials as they were read, and the guesses about them.

    Attributes
    ----------
    table : TrialTable
        With several objectives, its objective is the number of trials that dominate each.
    guess : Guess, optional
        The space with its reasons; None if the space was given.
    objective : str
        Its name for people.
    cost : str, optional
        Its name for people; None if there is no cost.
    study : str, optional
        Name of the Optuna study that the trials come from; a study does not record how they were drawn.
    notes : tuple of str
        What a reader must know of how the trials were read, a sentence each.

    Examples
    --------
    >>> import pandas as pd
    >>> from hsicfast import analyse
    >>> rate, accuracy = np.random.default_rng(0).random(50), np.linspace(0.5, 0.9, 50)
    >>> reading = read_trials(pd.DataFrame({"rate": rate, "accuracy": accuracy}), "accuracy")
    >>> reading.minimize, analyse(reading).question.minimize
    (False, False)
    """

    table: TrialTable
    guess: Guess | None
    objective: str
    cost: str | None
    study: str | None
    notes: tuple[str, ...] = ()

    @property
    def minimize(self) -> bool:
        """Whether a small objective is good."""
        return self.table.minimize

    @property
    def space(self) -> SearchSpace:
        """The space of the trials."""
        return self.table.space

    @property
    def trials(self) -> TrialTable:
        """The trials as :func:`hsicfast.analyse` takes them."""
        return self.table


@dataclass(frozen=True)
class LargeReading:
    """Like :class:`Reading`, for trials that stay in their Parquet files.

    Attributes
    ----------
    space : SearchSpace
    trials : ParquetTrials
        As :func:`hsicfast.analyse` takes them.
    minimize, guess, objective, cost, study, notes
        As in :class:`Reading`.
    """

    space: SearchSpace
    trials: ParquetTrials
    minimize: bool
    guess: Guess | None
    objective: str
    cost: str | None
    study: None = None
    notes: tuple[str, ...] = ()


def parts_of(
    reading: Reading | LargeReading, trials: Trials | None, minimize: bool | None, law: Law | None
) -> tuple[SearchSpace, Trials, bool | None, Law]:
    """Space, trials, direction and law of an analysis: those given, and where one is None that of the reading.

    The law of a space that was guessed, or of a study, whose sampler nobody knows, is "ranks".
    """
    own = reading.trials if trials is None else trials
    if minimize is None and not isinstance(own, TrialTable):  # a table has its own direction; files have none
        minimize = reading.minimize
    guessed = reading.guess is not None or reading.study is not None
    return reading.space, own, minimize, law or ("ranks" if guessed else "space")


def read_large(
    source: str | Path,
    objective: str | Sequence[str] | None = None,
    *,
    cost: str | None = None,
    space: SearchSpace | str | Path | None = None,
    maximize: str | Sequence[str] | bool | None = None,
    ignore: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    rows: RowsName = "last",
) -> LargeReading:
    """Like :func:`read_trials`, for Parquet files larger than memory.

    A space is guessed from up to 65,536 rows, evenly spaced in the files; ranges and choices are those of all rows.

    Parameters
    ----------
    source : str or Path
        A Parquet file, or a folder of them.
    objective, cost, space, maximize, ignore, only
        As in :func:`read_trials`.
    rows : {"last", "all"}
        Each row is a trial: a table that is a log is refused, unless every row of it is to count ("all").

    Raises
    ------
    InputError
        As in :func:`read_trials`, and if several objectives are named.
    """
    check_rows(rows)
    opened = open_parquet(source)
    frame, ends = _evenly(opened, GUESSED if space is None else 1)
    asked = [objective] if isinstance(objective, str) else list(objective or own_objectives(frame, None))
    if len(asked) > 1:
        raise InputError(
            f"trials that stay in their files have one objective, but got {asked}; name one, or read fewer trials"
        )
    label = column_called(frame, asked[0], "objective")
    priced = None if cost is None else column_called(frame, cost, "cost")
    taken = [name for name in (label, priced) if name]
    outcomes = ends_of(frame, taken)
    beside = [*taken, *filter(None, [outcomes.label])]
    shown = frame[outcomes.looked_at]
    roles = roles_of(shown, _asked(beside, ignore, only, space))
    log = None if rows == "all" else log_in(frame, roles, beside)
    if log is not None:
        raise InputError(
            f"trials that stay in their files have one row each, but rows with the same {log.label!r} are a log of one "
            "trial; keep one row of each, or pass --rows all if each is a trial"
        )
    upside = directions(frame, [label], maximize, {})
    guess, prefix = None, roles.prefix
    if space is None:
        guess = guess_space(shown, beside, roles)
        guess = widened(guess, {name: ends[prefix + name] for name in guess.space if prefix + name in ends})
        whole = guess.space
    else:
        whole = space if isinstance(space, SearchSpace) else read_space(space)
        prefix = "" if all(name in frame for name in whole) else prefix
    trials = ParquetTrials(source, label, priced, prefix, outcomes.label, unknown_is_lost=True)
    notes = (*outcomes.notes, *upside.notes)
    return LargeReading(whole, trials, not upside.large[0], guess, spoken(asked[0]), cost, notes=notes)


def _evenly(opened: Opened, most: int) -> tuple[pd.DataFrame, dict[str, list[Any]]]:
    """At most `most` rows, evenly spaced in the files, and for each column the ends of its numbers or its texts.

    If `most` is 1, the ends are not needed: only the first portion is read, and they are empty.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = opened.schema.names
    stride = max(-(-opened.rows // most), 1)
    rows, ends = [], {name: set[Any]() for name in names}
    for portion in opened.portions[: 1 if most == 1 else None]:
        start = portion.start
        for batch in read(portion, names):
            rows.append(pa.Table.from_batches([batch.take(pa.array(range(-start % stride, len(batch), stride)))]))
            start += len(batch)
            for name, column in zip(names, batch.columns, strict=True) if most > 1 else ():
                if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                    ends[name] |= set(pc.min_max(column).as_py().values())
                elif len(ends[name]) <= MOST_CHOICES:
                    ends[name] |= set(pc.unique(column).to_pylist())
    frame = pa.concat_tables(rows).to_pandas().reset_index(drop=True)
    return frame, {name: [value for value in found if value is not None] for name, found in ends.items()}


def read_trials(
    source: str | Path | pd.DataFrame | optuna.Study,
    objective: str | Sequence[str] | None = None,
    *,
    cost: str | None = None,
    study: str | None = None,
    space: SearchSpace | str | Path | None = None,
    maximize: str | Sequence[str] | bool | None = None,
    ignore: str | Sequence[str] = (),
    only: str | Sequence[str] = (),
    rows: RowsName = "last",
    constraints: Literal["miss", "ignore"] = "miss",
) -> Reading:
    """Read trials that somebody already has into a table that :func:`hsicfast.analyse` takes.

    Which columns are hyperparameters is decided by :data:`hsicfast.reading.roles.RULES`: by what the source states, by
    the prefixes of the tool that wrote it, and by names and values that show bookkeeping, seeds and metrics. A column
    ``state`` or ``status`` in the words of a tool says how each trial ended: one that failed is diverged, one that
    still runs or was killed is lost. Where a ``trial_id`` or ``run_id`` repeats, the rows are a log of one trial.

    Parameters
    ----------
    source : str, Path, DataFrame or optuna Study
        See :func:`hsicfast.formats.frames.read_frame`.
    objective : str or sequence of str, optional
        Names of columns; ``metrics.``, ``summary/``, ``values_`` and ``user_attrs_`` may be left out. By default a
        study's own, or ``value`` or ``objective``. With several, a trial is the better the fewer others dominate it.
    cost : str, optional
        Name of the column of what a trial costs.
    study : str, optional
        Name of the study in a storage; not needed if the storage holds one study.
    space : SearchSpace or path, optional
        The space, or a YAML file of it, instead of a guess.
    maximize : str, sequence of str or bool, optional
        Names of the objectives that are good if large, or whether all are. By default as the study has it, or as their
        names say, such as ``val_acc``; small is good of all others.
    ignore : str or sequence of str
        Columns that are no hyperparameters, as names or patterns such as ``sys/*``; their prefix may be left out.
    only : str or sequence of str
        The columns that alone are hyperparameters, as names or patterns.
    rows : {"last", "best", "all"}
        Of a log, the row of each trial that counts, or that each row is a trial.
    constraints : {"miss", "ignore"}
        A trial of a study that breaks a constraint is not good: its status is diverged, its failure "infeasible", and
        its objective the metric ``infeasible_objective``. Choose "ignore" to take it for a trial like others.

    Returns
    -------
    Reading

    Raises
    ------
    InputError
        If something cannot be read, with the reason; if a column is missing, a text stands where a number belongs, or
        a value lies outside the given space.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"lr": [0.1, 0.2, 0.3], "loss": [3.0, 1.0, None], "seconds": [5, 9, 7]})
    >>> reading = read_trials(frame, "loss", cost="seconds")
    >>> reading.table.status.tolist(), reading.table.best().params
    (['done', 'done', 'diverged'], {'lr': 0.2})
    >>> both = read_trials(frame, ["loss", "seconds"])
    >>> both.objective, both.table.objective.tolist()
    ('non-domination of loss and seconds', [0.0, 0.0, nan])
    """
    check_rows(rows)
    found = cleaned(read_frame(source, study))
    frame, own = found.frame, found.maximized
    cost = found.cost if cost is None else cost
    # 1. Which columns hold the objectives, the cost and the status.
    asked = [objective] if isinstance(objective, str) else list(objective or own_objectives(frame, own))
    names = {column_called(frame, name, "objective"): name for name in asked}
    priced = None if cost is None else column_called(frame, cost, "cost")
    taken = [*names, *filter(None, [priced])]
    ends = ends_of(frame, taken)
    beside = [*taken, *filter(None, [ends.label])]
    upside = directions(frame, list(names), maximize, own or {})
    losses = np.column_stack([numbers_in(frame, label, "objective") for label in names])
    losses = np.where(upside.large, -losses, losses)
    # 2. Which of the others are hyperparameters, and which rows are trials.
    about = _asked(beside, ignore, only, space, found)
    roles = roles_of(frame[ends.looked_at] if ends.looked_at.any() else frame, about)
    trials = _trials(frame, losses, ends, roles, rows, beside)
    if (trials.status == LOST).all():
        raise InputError(
            f"a table of trials needs some that ended, but all {len(frame)} are lost by their {ends.label!r}; run some"
        )
    if trials.note:
        frame, losses = frame.iloc[trials.rows], losses[trials.rows]
        roles = roles_of(frame[trials.status != LOST], about)
    # 3. Their space.
    status, guess = trials.status, None
    if space is None:
        guess = guess_space(frame[status != LOST], beside, roles)
        whole = guess.space
        columns = {name: guess.frame[name].reindex(frame.index) for name in whole}
    else:
        whole = space if isinstance(space, SearchSpace) else read_space(space)
        columns = columns_of(whole, lambda name: frame[column_called(frame, name, "hyperparameter", PREFIXES)])
    # 4. One objective for each trial, and the table.
    minimize = len(names) > 1 or not upside.large[0]
    limits = _largest_constraints(found, frame, constraints)
    infeasible = broken(limits, status, losses)
    status = np.where(infeasible, DIVERGED, status)
    judged = losses[:, 0] if minimize else -losses[:, 0]
    if len(names) > 1:
        judged, status = non_domination(losses, status)
    costs = None if priced is None else numbers_in(frame, priced, "cost")
    table = TrialTable.from_arrays(whole, columns, judged, costs, status.tolist(), minimize, gaps=True)
    table = set_apart(table, infeasible, np.where(upside.large, -losses, losses), limits)
    table = replace(table, index=frame.index.to_numpy(dtype=np.int64), seed=repeat_of(frame, roles))
    called = [spoken(name) for name in names.values()]
    said = called[0] if len(called) == 1 else f"non-domination of {', '.join(called[:-1])} and {called[-1]}"
    notes = (*found.notes, *ends.notes, *filter(None, [trials.note]), *upside.notes)
    return Reading(table, guess, said, cost, found.study, notes)


class _Trials(NamedTuple):
    """The rows that are trials, how each trial ended, and what a reader must know of it; no note if all rows are."""

    rows: NDArray[np.intp]
    status: NDArray[np.str_]
    note: str = ""


def _trials(
    frame: pd.DataFrame, losses: Floats, ends: Ends, roles: Roles, rows: RowsName, beside: Sequence[str]
) -> _Trials:
    log = None if rows == "all" else log_in(frame, roles, beside)
    if log is None or rows == "all":
        kept = np.arange(len(frame))
        return _Trials(kept, ended(frame, ends, None, kept))
    if rows == "best" and losses.shape[1] > 1:
        raise InputError(f"the best row of a trial needs one objective, but got {losses.shape[1]}; name one")
    kept = kept_rows(log, rows, losses[:, 0])
    return _Trials(kept, ended(frame, ends, log, kept), rows_note(log, rows, len(frame), len(kept)))


def _asked(
    beside: Sequence[str],
    ignore: str | Sequence[str],
    only: str | Sequence[str],
    space: SearchSpace | str | Path | None,
    found: Found | None = None,
) -> Asked:
    ignored, alone = ([own] if isinstance(own, str) else list(own) for own in (ignore, only))
    if space is not None and (ignored or alone):
        raise InputError(
            "`ignore` and `only` choose columns for a guess, but with a space nothing is guessed; drop one of the two"
        )
    if found is None:
        return Asked(beside, ignored, alone)
    return Asked(beside, ignored, alone, found.stated, found.beside)


def _largest_constraints(found: Found, frame: pd.DataFrame, constraints: str) -> Floats:
    """The largest constraint of each trial (n,); NaN if it has none, or if `constraints` are to be ignored."""
    check_constraints(constraints)
    if constraints == "ignore" or "constraint" not in found.beside:
        return np.full(len(frame), np.nan)
    return frame["constraint"].to_numpy(dtype=np.float64)
