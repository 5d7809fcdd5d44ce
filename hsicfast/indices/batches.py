"""Record batches of a Parquet file decoded as trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.errors import InputError
from hsicfast.indices.carried import Law
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials.entries import NONE, as_choice, has_none
from hsicfast.trials.parquet import Opened, ParquetTrials
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, LOST, PRUNED, STATUSES, status_of

if TYPE_CHECKING:
    import pyarrow as pa


# A hyperparameter with more single values counts as a continuum: steps this short do not show in the index (1e-8).
MOST_LEVELS = 1 << 16
OUTCOME_COLUMNS = ("objective", "cost", "status", "origin")


class Rules(NamedTuple):
    """Which trials count: the options of these names that :func:`hsicfast.analyse` takes, and what files know."""

    law: Law
    failed: str
    pruned: str
    unknown_is_lost: bool = False


class Outcomes(NamedTuple):
    """How the trials of a batch ended.

    Attributes
    ----------
    objective, cost : array (m,)
    status : int array (m,)
        Positions in STATUSES.
    kept : bool array (m,)
        Whether the trial is judged.
    searched : bool array (m,)
        Whether an optimiser proposed it.
    """

    objective: Floats
    cost: Floats
    status: NDArray[np.int8]
    kept: Bools
    searched: Bools

    def at(self, rows: Rows) -> Outcomes:
        """The outcomes of the trials at these rows."""
        objective, cost, status, kept, searched = self
        return Outcomes(objective[rows], cost[rows], status[rows], kept[rows], searched[rows])


def is_level(space: SearchSpace, name: str) -> bool:
    """Whether each value of a hyperparameter is counted separately."""
    levels = space[name].levels
    return isinstance(space[name], Choice | Bool) or (levels is not None and levels <= MOST_LEVELS)


def labels_of(space: SearchSpace, source: ParquetTrials, opened: Opened) -> dict[str, str]:
    """The column of each hyperparameter and the objective, and of cost, status and origin if the file has them."""
    import pyarrow as pa

    columns = opened.schema.names
    needed = {name: source.prefix + name for name in space} | {"objective": source.objective}
    optional = {"cost": source.cost, "status": source.status, "origin": "origin"}
    needed |= {
        name: label for name, label in optional.items() if label is not None and (label in columns or label != name)
    }
    missing = [label for label in needed.values() if label not in columns]
    if missing:
        raise InputError(
            f"a table of trials needs a column for each hyperparameter and the objective, but {missing[0]!r} is "
            f"missing in {source.source}; its columns are {columns}"
        )
    for name in ("objective", "cost"):
        kind = opened.schema.field(needed[name]).type if name in needed else pa.float64()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise InputError(
                f"the {name} must be a number, but {needed[name]!r} in {source.source} holds {kind}; "
                "name another column"
            )
    return needed


def outcomes_of(batch: pa.RecordBatch, labels: dict[str, str], rules: Rules) -> Outcomes:
    """The outcome of each trial, read as :meth:`TrialTable.from_arrays` reads it, and whether the rules judge it."""
    n = len(batch)
    objective = _numbers(batch, labels["objective"]).copy()
    cost = _numbers(batch, labels["cost"]) if "cost" in labels else np.full(n, np.nan)
    finite = np.isfinite(objective)
    done, diverged, pruned, lost = map(STATUSES.index, (DONE, DIVERGED, PRUNED, LOST))
    status = np.full(n, done, dtype=np.int8)
    if "status" in labels:
        place, kinds = _texts(batch, labels["status"])
        means = list(map(status_of, kinds))
        unknown = [kind for kind, meant in zip(kinds, means, strict=True) if meant is None]
        if unknown and not rules.unknown_is_lost:
            raise InputError(f"a status must be one of {STATUSES}, but got {unknown}; correct it")
        status = np.array([STATUSES.index(meant or LOST) for meant in means] + [done], np.int8)[place]
    status[(status == done) & ~finite] = diverged
    kept = status != lost
    searched = np.zeros(n, dtype=bool)
    if "origin" in labels:
        place, kinds = _texts(batch, labels["origin"])
        searched = np.array([kind != DESIGN for kind in kinds] + [False])[place]
        kept &= ~searched | (rules.law != "space")
    kept &= (status != diverged) | (rules.failed != "drop")
    kept &= (status != pruned) | (rules.pruned != "drop")
    says = (status == done) | ((status == pruned) & (rules.pruned == "last"))
    objective[~says | ~finite] = np.nan
    return Outcomes(objective, cost, status, kept, searched)


def existing(space: SearchSpace, labels: dict[str, str], batch: pa.RecordBatch, kept: Bools) -> dict[str, Bools]:
    """The trials in which each hyperparameter exists.

    Parameters
    ----------
    space : SearchSpace
    labels : dict
        Name -> column.
    batch : RecordBatch of m trials
        Only the columns of hyperparameters on which others depend are read.
    kept : bool array (m,)
        Whether the trial is judged; a hyperparameter exists in no other trial.

    Returns
    -------
    dict
        Name -> bool array (m,).
    """
    masks: dict[str, Bools] = {}
    levels: dict[str, NDArray[np.int64]] = {}
    for name in space.parents_first:
        masks[name] = kept
        for parent, allowed in space[name].conditions.items():
            if parent not in levels:
                levels[parent] = np.full(len(batch), -1)
                levels[parent][masks[parent]] = _values(space, labels, batch, parent, masks[parent], True)
            own = space[parent].to_level(np.array([*allowed, None], dtype=object)[:-1])
            masks[name] = masks[name] & np.isin(levels[parent], own)
    return masks


def carried_columns(
    space: SearchSpace, labels: dict[str, str], batch: pa.RecordBatch, kept: Bools
) -> Iterator[tuple[str, tuple[Bools, NDArray[Any]]]]:
    """The values of each hyperparameter in the trials where it exists.

    Parameters
    ----------
    space : SearchSpace
    labels : dict
        Name -> column.
    batch : RecordBatch of m trials
    kept : bool array (m,)
        Whether the trial is judged.

    Yields
    ------
    tuple
        The name, and a pair: where the hyperparameter exists (m,), and its levels or values mapped to [0, 1] there.
    """
    masks = existing(space, labels, batch, kept)
    for name in space:
        yield name, (masks[name], _values(space, labels, batch, name, masks[name], is_level(space, name)))


def _values(
    space: SearchSpace, labels: dict[str, str], batch: pa.RecordBatch, name: str, exists: Bools, level: bool
) -> NDArray[Any]:
    """Levels of a hyperparameter, or its values mapped to [0, 1], where it `exists`; an error names the column."""
    hyperparameter = space[name]
    everywhere = bool(exists.all())
    try:
        if isinstance(hyperparameter, Choice | Bool):
            place, kinds = _texts(batch, labels[name])
            gap = NONE if has_none(hyperparameter) else None
            own = np.array([*(as_choice(hyperparameter.choices, kind) for kind in kinds), gap, None], dtype=object)[:-1]
            place = place if everywhere else place[exists]
            seen = np.bincount(place, minlength=len(own)) > 0  # position -1 is the last
            known = np.zeros(len(own), dtype=np.int64)
            known[seen] = hyperparameter.to_level(own[seen])
            return known[place]
        numbers = _numbers(batch, labels[name])
        numbers = numbers if everywhere else numbers[exists]
        lacking = int(np.count_nonzero(np.isnan(numbers)))
        if lacking and isinstance(hyperparameter, Float | Int):
            raise InputError(
                f"a value must lie in [{hyperparameter.low}, {hyperparameter.high}], but got nan in {lacking} of "
                f"{len(numbers)} trials, and in files none may be missing; read them with read_trials, or fill them"
            )
        return hyperparameter.to_level(numbers) if level else hyperparameter.to_unit(numbers)
    except InputError as error:
        raise InputError(f"in column {labels[name]!r}, {error}") from None


def _numbers(batch: pa.RecordBatch, label: str) -> Floats:
    """A column of numbers (m,); a gap is NaN."""
    import pyarrow as pa

    column = batch.column(label)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"its values must be numbers, but the file holds {column.type}; correct it, or use Choice")
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(batch: pa.RecordBatch, label: str) -> tuple[Rows, list[Any]]:
    """The position (m,) of each value in the list of different values, and this list; a gap lies beyond its end."""
    import pyarrow as pa

    column = batch.column(label)
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    kinds = coded.dictionary.to_pylist()
    return np.asarray(coded.indices.fill_null(len(kinds)).to_numpy(zero_copy_only=False), dtype=np.intp), kinds
