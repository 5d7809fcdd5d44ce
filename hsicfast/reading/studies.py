"""Reads the trials of an Optuna study."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, first_line
from hsicfast.reading.found import Found, spread

if TYPE_CHECKING:
    import optuna


LOCKED_FOR = 3.0  # seconds to wait until another program has written to an SQLite file


@contextmanager
def opened_study(storage: str | Path, name: str | None = None) -> Iterator[optuna.Study]:
    """Context manager: a study of an Optuna storage, whose connection is closed at the end.

    Parameters
    ----------
    storage : str or Path
        A URL, or the path of an SQLite file.
    name : str, optional
        Of the study; not needed if the storage holds one study.

    Raises
    ------
    InputError
        If the storage cannot be read or written, with the reason, or the study is missing.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    from hsicfast.text import hide_password

    url = str(storage) if "://" in str(storage) else f"sqlite:///{storage}"
    held = None
    try:
        file = _sqlite_file(url)
        if file is not None:
            _check_sqlite(file, url)
        held = optuna.storages.RDBStorage(url)
        names = [study.study_name for study in optuna.get_all_study_summaries(held, include_best_trial=False)]
        if name is None and len(names) == 1:
            name = names[0]
        if name not in names:
            wanted = f"there is no {name!r}" if name else f"it holds {len(names)}"
            raise InputError(f"`study` must name a study of the storage, but {wanted}; choose one of {names}")
        yield optuna.load_study(study_name=name, storage=held)
    except (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, ImportError, RuntimeError) as error:
        raise InputError(
            f"an Optuna storage must be readable, but {hide_password(url)} gave: {first_line(error)}; see that it is "
            "whole and that nobody else holds it"
        ) from error
    finally:
        if held is not None:
            held.remove_session()
            held.engine.dispose()


def _sqlite_file(url: str) -> Path | None:
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    return Path(parts.database or "") if parts.get_backend_name() == "sqlite" else None


def _check_sqlite(file: Path, url: str) -> None:
    """Raise an InputError unless the file holds studies: Optuna would write its tables into any other database."""
    if not file.is_file():
        raise InputError(f"an Optuna storage must exist, but there is no file behind {url}; check the path")
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=LOCKED_FOR)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    finally:
        connection.close()
    if not {"studies", "trials"} <= tables:
        raise InputError(f"an Optuna storage must hold studies, but {url} is another database; check the path")


def from_study(study: optuna.Study) -> Found:
    """A row for each trial that ended: its values, parameters, state, duration and user attributes."""
    import optuna
    import pandas as pd

    if not isinstance(study, optuna.Study):
        raise InputError(
            f"trials come from a path, a URL, a DataFrame or an Optuna study, but got {type(study).__name__}; name one"
        )
    states = optuna.trial.TrialState
    trials = study.get_trials(deepcopy=False, states=(states.COMPLETE, states.FAIL, states.PRUNED))
    if not trials:
        raise InputError(f"a study needs finished trials, but {study.study_name!r} has none; run some first")
    if not any(trial.params for trial in trials):
        raise InputError(f"a study's trials need parameters, but those of {study.study_name!r} have none; suggest some")
    q = len(study.directions)
    names = [f"values_{name}" for name in study.metric_names or range(q)]
    if q == 1 and not study.metric_names:
        names = ["value"]
    values = [_values(trial, q) for trial in trials]
    columns: dict[str, Any] = {name: [row[k] for row in values] for k, name in enumerate(names)}
    columns |= spread("params_", [trial.params for trial in trials])
    columns["state"] = [trial.state.name.lower() for trial in trials]
    columns["duration"] = [math.nan if t.duration is None else t.duration.total_seconds() for t in trials]
    columns |= spread("user_attrs_", [trial.user_attrs for trial in trials])
    maximized = [direction == optuna.study.StudyDirection.MAXIMIZE for direction in study.directions]
    frame = pd.DataFrame(columns, index=[trial.number for trial in trials])
    return Found(frame, dict(zip(names, maximized, strict=True)), study.study_name)


def _values(trial: optuna.trial.FrozenTrial, q: int) -> list[float]:
    """The final values of a trial; for a pruned one, the last value that it reported."""
    import optuna

    if trial.state == optuna.trial.TrialState.COMPLETE:
        return list(trial.values)
    if trial.state == optuna.trial.TrialState.PRUNED and q == 1 and trial.intermediate_values:
        return [trial.intermediate_values[max(trial.intermediate_values)]]
    return [math.nan] * q
