"""What a source of trials holds: a frame, and what the source itself says about its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from hsicfast.errors import InputError
from hsicfast.space.search_space import Hyperparameter

if TYPE_CHECKING:
    import pandas as pd

# The hyperparameters of a folder are named as Optuna names them, so that nothing in the results is taken for one.
PREFIX = "params_"
# What trials are read from, as a person is told who has something else.
READABLE = (
    "a CSV, TSV, JSON, JSON lines, Parquet or Feather file (zip and gz, too), an Optuna study (SQLite, journal or "
    "URL), or the folder of a run of this package, of Hydra, KerasTuner, Ray Tune or SMAC"
)


class Found(NamedTuple):
    """A frame of trials (n, c) whose columns have different names, and what its source says about them.

    Attributes
    ----------
    frame : DataFrame
        Its index holds the trials' numbers.
    maximized : dict of str to bool, optional
        For each objective that the source names, by its column, whether large is good; None if it names none.
    study : str, optional
        Name of the Optuna study.
    stated : dict of str to Hyperparameter or None, optional
        The columns that the source says are hyperparameters, with their distributions where it knows them; None if it
        says nothing.
    beside : dict of str to str
        The columns that the source says are something else, and what.
    notes : tuple of str
        What a reader must know of how the source was read, such as what was skipped.
    cost : str, optional
        The column that the source says is what a trial costs.
    """

    frame: pd.DataFrame
    maximized: dict[str, bool] | None = None
    study: str | None = None
    stated: dict[str, Hyperparameter | None] | None = None
    beside: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    cost: str | None = None


def check_names(names: list[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"every column needs a name of its own, but {where} has {doubled} more than once; rename them")


def spread(prefix: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for each key: None if a row lacks the key, and the text None if its value is None."""
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {f"{prefix}{key}": ["None" if row.get(key, 0) is None else row.get(key) for row in rows] for key in keys}


def unreadable(path: Path | str, what: str, way_out: str) -> InputError:
    """The error for a file that is `what`, and nothing that is read."""
    return InputError(f"trials are read from {READABLE}, but {path} is {what}; {way_out}")


def flat(mapping: Mapping[str, Any], separator: str = ".", above: str = "") -> dict[str, Any]:
    """A mapping whose values may be mappings as one of names and values.

    Examples
    --------
    >>> flat({"opt": {"name": "sgd", "momentum": {}}, "lr": 0.1})
    {'opt.name': 'sgd', 'opt.momentum': {}, 'lr': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, separator, f"{above}{key}{separator}")
        else:
            found[f"{above}{key}"] = value
    return found
