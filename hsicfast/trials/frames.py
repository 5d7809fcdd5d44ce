"""Reads a frame of trials from a file, a folder, a study or another tool's export, and checks it."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import math
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hsicfast.errors import InputError, first_line, require

if TYPE_CHECKING:
    import optuna
    import pandas as pd

RESULT = "result.json"
# The first bytes of files, which show their format whatever their names are.
GZIP, PARQUET, SQLITE = b"\x1f\x8b", b"PAR1", b"SQLite format 3\x00"
# Texts that mean "missing" in a CSV file. The text None may be a choice: the code that types the column decides.
GAPS = ("", "NaN", "nan", "-NaN", "-nan", "NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
LOCKED_FOR = 3.0  # seconds to wait until another program has written to an SQLite file


class Found(NamedTuple):
    """A frame of trials (n, c) whose columns have different names, and what its source knows about objectives.

    Attributes
    ----------
    frame : DataFrame
        Its index holds the trials' numbers.
    maximized : dict of str to bool, optional
        For each objective of an Optuna study, by its column, whether large is good; None if there is no study.
    study : str, optional
        Name of that study.
    """

    frame: pd.DataFrame
    maximized: dict[str, bool] | None = None
    study: str | None = None


def read_frame(source: str | Path | pd.DataFrame | optuna.Study, study: str | None = None) -> Found:
    """Trials as a frame.

    Parameters
    ----------
    source : str, Path, DataFrame or optuna Study
        A CSV or Parquet file; an Optuna storage, by a URL such as ``sqlite:///study.db`` or as an SQLite file; the
        folder of a Hydra multirun whose jobs each wrote a ``result.json`` (a number, or a mapping with the objective
        and other results); or a frame or study itself. The columns ``summary`` and ``config`` of W&B's
        export script are unfolded to ``<key>`` and ``config/<key>``.
    study : str, optional
        Name of the study in a storage; not needed if the storage holds one study.

    Raises
    ------
    InputError
        If something cannot be read, with the reason; if a study or the rows are missing, or a name occurs twice.

    Examples
    --------
    >>> import pandas as pd
    >>> read_frame(pd.DataFrame({"config": [{"lr": 0.1}], "summary": [{"loss": 2.0}], "name": ["run"]})).frame
       config/lr  loss name
    0        0.1   2.0  run
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        found = Found(source.reset_index(drop=True))
    elif isinstance(source, str | Path):
        found = _from_path(source, study)
    else:
        found = _from_study(source)
    if study is not None and found.maximized is None:
        raise InputError(
            f"`study` names a study of an Optuna storage, but got study={study!r} without one; leave it out"
        )
    frame = found.frame.set_axis(list(map(str, found.frame.columns)), axis=1)
    _check_names(list(frame.columns), "the table")
    if len(frame) == 0:
        what = source if isinstance(source, str | Path) else "the frame"
        raise InputError(f"a table of trials needs rows, but {what} has none; run some trials first")
    return found._replace(frame=_unfolded(frame))


def _from_path(source: str | Path, study: str | None) -> Found:
    if "://" in str(source):
        with opened_study(source, study) as held:
            return _from_study(held)
    path = Path(source)
    if path.is_dir():
        return Found(_multirun(path))
    if not path.is_file():
        raise InputError(f"trials are read from a file, a folder or a URL, but {source} is none; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(len(SQLITE))
        if head == SQLITE:
            with opened_study(path, study) as held:
                return _from_study(held)
        if head.startswith(PARQUET) or path.suffix.lower() in (".parquet", ".pq"):
            return Found(_parquet(path))
        return Found(_csv(path))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"a file must be readable, but {path} gave: {error}; correct it") from error


def _check_names(names: list[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"every column needs a name of its own, but {where} has {doubled} more than once; rename them")


def _csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    content = path.read_bytes()
    if content.startswith(GZIP):
        content = gzip.decompress(content)
    if not content.strip():
        raise InputError(f"a CSV file needs a line of names and a row a trial, but {path} is empty; write it again")
    if b"\x00" in content[:4096]:
        raise InputError(f"a CSV file must be text in UTF-8, but {path} is in UTF-16 or no text; save it as UTF-8")
    separator, decimal = _dialect(content[:65536].decode("utf-8", errors="replace"))
    try:
        names = _check_rows(path, content, separator)
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            decimal=decimal,
            encoding="utf-8-sig",
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(GAPS),
            low_memory=False,  # each column gets one type for all rows
        )
    except (pd.errors.ParserError, csv.Error, UnicodeDecodeError) as error:
        reason = first_line(error).split("error: ")[-1]
        raise InputError(
            f"a CSV file needs a line of names and a row a trial in UTF-8, but {path}: {reason}; correct it"
        ) from error
    nameless = [place for place, name in enumerate(names) if not name]
    for place in nameless:
        # pandas writes row numbers into a nameless first column; a separator that ends each line makes an empty one.
        if place and frame.iloc[:, place].notna().any():
            raise InputError(f"every column needs a name, but column {place + 1} of {path} has none; name it")
    numbers = nameless or [0] * (names[0] == "Unnamed: 0")
    return frame.drop(columns=frame.columns[numbers])


def _dialect(head: str) -> tuple[str, str]:
    """The separator of fields and the decimal mark, guessed from the first lines of a file."""
    first = re.sub(r'"[^"]*"', "", head.lstrip().partition("\n")[0])
    separator = max(",;\t", key=first.count)  # the first of equals
    comma = rf"(^|{separator})\s*-?\d+,\d+\s*({separator}|$)"
    return separator, "," if separator != "," and re.search(comma, head, re.MULTILINE) else "."


def _check_rows(path: Path, content: bytes, separator: str) -> list[str]:
    """The names in the first line of a CSV file; every other line must have as many fields."""
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    names: list[str] = []
    for row in reader:
        if not names:
            names = row
        elif len(row) != len(names) and row and (len(row) > 1 or row[0].strip()):
            raise InputError(
                f"a CSV file needs a line of names and a row a trial, but {path}: line {reader.line_num} has "
                f"{len(row)} fields where the first has {len(names)}; correct it"
            )
    _check_names([name for name in names if name], str(path))
    if 2 * sum(NUMBER.fullmatch(name) is not None for name in names) >= len(names):
        raise InputError(
            f"the first line of a CSV file must name its columns, but {path} begins with {names}; add names"
        )
    return names


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except ImportError:
        require("pyarrow", user="a Parquet file")
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"a Parquet file must be whole, but {path}: {first_line(error)}; write it again") from error


def _multirun(folder: Path) -> pd.DataFrame:
    """A row for each job: its overrides, and the content of its result file; a job without one failed."""
    import pandas as pd
    import yaml

    rows = []
    for overrides in sorted(folder.glob("*/.hydra/overrides.yaml")):
        result = overrides.parents[1] / RESULT
        try:
            given = [str(text).lstrip("+").partition("=") for text in yaml.safe_load(overrides.read_text()) or ()]
            # Named as Optuna names them, so that nothing in the result is taken for a hyperparameter.
            row = {f"params_{name}": yaml.safe_load(value) for name, _, value in given if not name.startswith("~")}
            found = json.loads(result.read_text()) if result.is_file() else {}
        except yaml.YAMLError as error:
            raise InputError(
                f"a job's overrides must be YAML, but {overrides}: {first_line(error)}; correct it"
            ) from error
        except ValueError as error:
            raise InputError(f"a job's {RESULT} must hold JSON, but {result}: {error}; correct it") from error
        rows.append(row | (found if isinstance(found, dict) else {"objective": found}))
    if not rows:
        raise InputError(
            f"a multirun folder holds jobs with .hydra/overrides.yaml, but {folder} has none; name the one above them"
        )
    return pd.DataFrame(rows)


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


def _from_study(study: optuna.Study) -> Found:
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
    columns |= _spread("params_", [trial.params for trial in trials])
    columns["state"] = [trial.state.name.lower() for trial in trials]
    columns["duration"] = [math.nan if t.duration is None else t.duration.total_seconds() for t in trials]
    columns |= _spread("user_attrs_", [trial.user_attrs for trial in trials])
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


def _spread(prefix: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for each key: None if a row lacks the key, and the text None if its value is None."""
    rows = list(rows)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {f"{prefix}{key}": ["None" if row.get(key, 0) is None else row.get(key) for row in rows] for key in keys}


def _unfolded(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with W&B's mappings spread into columns; keys that begin with an underscore, its own, are left out."""
    import pandas as pd

    folded = {"config": "config/", "summary": ""}
    if not all(name in frame and _is_mapping(frame[name]) for name in folded):
        return frame
    columns: dict[str, Any] = {}
    for name, prefix in folded.items():
        rows = [dict(_leaves(_mapping(value, name, row))) for row, value in enumerate(frame[name])]
        columns |= _spread(prefix, rows)
    unfolded = pd.concat([pd.DataFrame(columns, index=frame.index), frame.drop(columns=list(folded))], axis=1)
    _check_names(list(unfolded.columns), "the table with what `summary` and `config` hold")
    return unfolded


def _is_mapping(column: pd.Series[Any]) -> bool:
    filled = column.dropna()
    return len(filled) > 0 and (isinstance(filled.iloc[0], dict) or str(filled.iloc[0]).lstrip().startswith("{"))


def _mapping(value: Any, name: str, row: int) -> dict[str, Any]:
    """The mapping in a cell, which may be its text as Python writes it."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(_Numbers().visit(ast.parse(value.strip(), mode="eval")))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            value = f"{value[:40]} ..."
    if isinstance(value, dict):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {}
    raise InputError(
        f"a run's {name} must be a mapping as Python writes it, but row {row + 1} holds {value!r}; correct it"
    )


class _Numbers(ast.NodeTransformer):
    """Turns the names nan and inf, as Python writes them, into numbers."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The number that `node` names; any other name as it is."""
        return ast.Constant(float(node.id)) if node.id in ("nan", "inf") else node


def _leaves(mapping: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Dotted names and values of a mapping that may hold mappings."""
    for key, value in mapping.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
