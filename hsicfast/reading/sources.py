"""Reads trials from files, studies, folders or frames, and finds their objective, statuses and hyperparameters."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.reading.columns import GAPS, MOST_CHOICES, columns_of
from hsicfast.reading.frames import read_frame
from hsicfast.reading.guess import Guess, guess_space, widened
from hsicfast.reading.roles import PREFIXES
from hsicfast.space.formats import read_space
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.goal import dominated_by
from hsicfast.trials.parquet import Opened, ParquetTrials, open_parquet, read
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, LOST, WORDS

if TYPE_CHECKING:
    import optuna
    import pandas as pd

# Prefixes of results' names in the exports of MLflow, W&B and Optuna.
FOUND_PREFIXES = ("metrics.", "summary/", "values_", "user_attrs_")
OWN_OBJECTIVES = ("value", "objective")
# Number of rows from which a space is guessed if a table is too large to read whole.
GUESSED = 1 << 16
STATUS_COLUMNS = ("state", "State", "status", "Status")


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
    """

    table: TrialTable
    guess: Guess | None
    objective: str
    cost: str | None
    study: str | None

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
    minimize, guess, objective, cost, study
        As in :class:`Reading`.
    """

    space: SearchSpace
    trials: ParquetTrials
    minimize: bool
    guess: Guess | None
    objective: str
    cost: str | None
    study: None = None


def read_large(
    source: str | Path,
    objective: str | Sequence[str] | None = None,
    *,
    cost: str | None = None,
    space: SearchSpace | str | Path | None = None,
    maximize: str | Sequence[str] | bool | None = None,
) -> LargeReading:
    """Like :func:`read_trials`, for Parquet files larger than memory.

    A space is guessed from up to 65,536 rows, evenly spaced in the files; ranges and choices are those of all rows.

    Parameters
    ----------
    source : str or Path
        A Parquet file, or a folder of them.
    objective, cost, space, maximize
        As in :func:`read_trials`.

    Raises
    ------
    InputError
        As in :func:`read_trials`, and if several objectives are named.
    """
    opened = open_parquet(source)
    frame, ends = _evenly(opened, GUESSED if space is None else 1)
    asked = [objective] if isinstance(objective, str) else list(objective or _own_objectives(frame, None))
    if len(asked) > 1:
        raise InputError(
            f"trials that stay in their files have one objective, but got {asked}; name one, or read fewer trials"
        )
    label = _column(frame, asked[0], "objective")
    priced = None if cost is None else _column(frame, cost, "cost")
    status, ended = _statuses(frame)
    guess, prefix = None, ""
    if space is None:
        guess = guess_space(frame[status != LOST], [name for name in (label, priced, ended) if name])
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in frame.columns)), "")
        guess = widened(guess, {name: ends[prefix + name] for name in guess.space if prefix + name in ends})
        whole = guess.space
    else:
        whole = space if isinstance(space, SearchSpace) else read_space(space)
    trials = ParquetTrials(source, label, priced, prefix, ended)
    (upside,) = _maximized(frame, [label], maximize, {})
    return LargeReading(whole, trials, not upside, guess, _called(asked[0]), cost)


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
) -> Reading:
    """Read trials that somebody already has into a table that :func:`hsicfast.analyse` takes.

    A column ``state`` or ``status`` in the words of Optuna, W&B, MLflow or Ray says how each trial ended: one that
    failed is diverged, one that still runs or was killed is lost. If columns begin with ``config/``, ``params_`` or
    ``params.``, those are the hyperparameters; otherwise all columns without another role are.

    Parameters
    ----------
    source : str, Path, DataFrame or optuna Study
        See :func:`hsicfast.reading.frames.read_frame`.
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
        Names of the objectives that are good if large, or whether all are. By default as the study has it, or none.

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
    found = read_frame(source, study)
    frame, own, named = found.frame, found.maximized, found.study
    # 1. Which columns hold the objectives, the cost and the status.
    asked = [objective] if isinstance(objective, str) else list(objective or _own_objectives(frame, own))
    names = {_column(frame, name, "objective"): name for name in asked}
    priced = None if cost is None else _column(frame, cost, "cost")
    status, ended = _statuses(frame)
    if (status == LOST).all():
        raise InputError(
            f"a table of trials needs some that ended, but all {len(frame)} are lost by their {ended!r}; run some"
        )
    # 2. Which of the others are hyperparameters, and their space.
    beside = [*names, *(label for label in (priced, ended) if label)]
    guess = None
    if space is None:
        guess = guess_space(frame[status != LOST], beside)
        whole = guess.space
        columns = {name: guess.frame[name].reindex(frame.index) for name in whole}
    else:
        whole = space if isinstance(space, SearchSpace) else read_space(space)
        columns = columns_of(whole, lambda name: frame[_column(frame, name, "hyperparameter", PREFIXES)])
    # 3. One objective for each trial, and the table.
    upside = _maximized(frame, list(names), maximize, own or {})
    losses = np.column_stack([_numbers(frame, label, "objective") for label in names])
    judged, minimize = losses[:, 0], not upside[0]
    if len(names) > 1:
        judged, status = _non_domination(np.where(upside, -losses, losses), status)
        minimize = True
    costs = None if priced is None else _numbers(frame, priced, "cost")
    table = TrialTable.from_arrays(whole, columns, judged, costs, status.tolist(), minimize, gaps=True)
    called = [_called(name) for name in names.values()]
    spoken = called[0] if len(called) == 1 else f"non-domination of {', '.join(called[:-1])} and {called[-1]}"
    return Reading(replace(table, index=frame.index.to_numpy(dtype=np.int64)), guess, spoken, cost, named)


def _own_objectives(frame: pd.DataFrame, own: dict[str, bool] | None) -> list[str]:
    """The objectives if none is named: a study's own, or the columns that a study or this package writes."""
    if own is not None:
        return list(own)
    names = list(map(str, frame.columns))
    single = [name for name in OWN_OBJECTIVES if name in names][:1]
    several = [name for name in names if re.fullmatch(r"values_\d+", name)]
    if not single and not several:
        raise InputError(
            f"the objective must be a column of the trials, but none was named; choose among {', '.join(names)}"
        )
    return single or several


def _column(frame: pd.DataFrame, name: str, role: str, prefixes: Sequence[str] = FOUND_PREFIXES) -> str:
    """The column called `name`, or the only one called so after a prefix of another tool."""
    if name in frame:
        return name
    fits = [prefix + name for prefix in prefixes if prefix + name in frame]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise InputError(f"the {role} must be one column of the trials, but {name!r} may be any of {fits}; choose one")
    names = list(map(str, frame.columns))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    raise InputError(f"the {role} must be a column of the trials, but there is no {name!r}; nearest: {', '.join(near)}")


def _called(name: str) -> str:
    """An objective's name without the prefix of Optuna, unless only a number is left."""
    short = name.removeprefix("values_")
    return name if short.isdigit() else short


def _statuses(frame: pd.DataFrame) -> tuple[NDArray[np.str_], str | None]:
    """The statuses (n,), and the column they come from; all are done if there is no such column."""
    for label in STATUS_COLUMNS:
        if label not in frame or not frame[label].notna().any():
            continue
        words = frame[label].astype(str).str.strip().str.lower().map(WORDS).where(frame[label].notna(), DONE)
        if words.notna().all():
            return words.to_numpy(dtype=str), label
    return np.full(len(frame), DONE), None


def _numbers(frame: pd.DataFrame, label: str, role: str) -> Floats:
    """A column (n,) as numbers, NaN for gaps; durations in seconds."""
    import pandas as pd

    column = frame[label]
    if column.dtype.kind == "M":
        raise InputError(f"the {role} must be a number, but {label!r} holds dates; name another column")
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    wrong[wrong] = ~column[wrong].astype(str).str.strip().str.lower().isin(GAPS).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"the {role} must be a number or empty, but row {row + 1} of {label!r} is {column.iloc[row]!r}; correct it"
        )
    return numbers


def _maximized(
    frame: pd.DataFrame, labels: list[str], maximize: str | Sequence[str] | bool | None, own: dict[str, bool]
) -> list[bool]:
    """Whether large is good, for each objective."""
    if maximize is None:
        return [own.get(label, False) for label in labels]
    if isinstance(maximize, bool):
        return [maximize] * len(labels)
    named = {}
    for name in [maximize] if isinstance(maximize, str) else maximize:
        named[_column(frame, name, "objective to maximise")] = name
    foreign = [name for label, name in named.items() if label not in labels]
    if foreign:
        raise InputError(f"`maximize` must name objectives, but {foreign} are none; choose among {labels}")
    return [label in named for label in labels]


def _non_domination(losses: Floats, status: NDArray[np.str_]) -> tuple[Floats, NDArray[np.str_]]:
    """The number of trials that dominate each done trial, NaN for the others; done needs all losses (n, q) finite."""
    status = np.where((status == DONE) & ~np.isfinite(losses).all(axis=1), DIVERGED, status)
    judged = np.full(len(losses), np.nan)
    judged[status == DONE] = dominated_by(losses[status == DONE])
    return judged, status
