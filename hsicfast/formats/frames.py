"""Reads a frame of trials from a file, a folder, a study or another tool's export, and checks it."""

from __future__ import annotations

import io
import lzma
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, text_of
from hsicfast.formats.exports import unfolded
from hsicfast.formats.folders import read_folder
from hsicfast.formats.found import Found, check_names, unreadable
from hsicfast.formats.objects import from_object
from hsicfast.formats.records import frame_of, is_history, parsed, read_history
from hsicfast.formats.storages import is_journal, read_study
from hsicfast.formats.studies import from_study
from hsicfast.formats.tables import as_text, read_csv, read_feather, read_parquet, unpacked
from hsicfast.urls import shown_url

if TYPE_CHECKING:
    import optuna
    import pandas as pd

# The first bytes of files, which show their format whatever their names are.
PARQUET, SQLITE, FEATHER = b"PAR1", b"SQLite format 3\x00", (b"ARROW1", b"FEA1")
# A pickle begins with its protocol, or in the oldest two with an opening such as `(lp0`.
PICKLE = re.compile(
    rb"\x80[\x02-\x05]|[\]}(]q\x00|\([ldi]p0\n|c(copy_reg|pandas|numpy|builtins|__builtin__|collections)[\w.]*\n"
)
# Addresses of files; those of databases are Optuna's storages.
ELSEWHERE = r"(https?|ftp|file|s3a?|gs|az|abfss?|hdfs|dbfs|wandb|mlflow-artifacts)://"
# What the readers of others raise for a file that is broken, too large or nested too deeply.
UNREADABLE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError, MemoryError),
)
PICKLES = (".pkl", ".pickle", ".joblib")


def read_frame(source: str | Path | pd.DataFrame | optuna.Study | Any, study: str | None = None) -> Found:
    """Trials as a frame.

    Parameters
    ----------
    source : str, Path, DataFrame, optuna Study or another object
        - A file: CSV or TSV in any encoding, JSON or JSON lines, Parquet, Feather, or one of them in zip, gz, bz2 or
          xz; SMAC's run history.
        - An Optuna storage: a URL such as ``sqlite:///study.db``, an SQLite file or a journal. It is only read.
        - A folder: of a run of this package; a Hydra multirun whose jobs each wrote a ``result.json`` (a number, or a
          mapping with the objective and other results); of KerasTuner, Ray Tune or SMAC.
        - An object: a frame of pandas, polars or Arrow, an Optuna study, a fitted ``GridSearchCV`` and the like, or a
          ``ResultGrid`` of Ray.

        Mappings in JSON are unfolded to dotted names, and the columns ``summary`` and ``config`` of W&B's export script
        to ``<key>`` and ``config/<key>``.
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
        found = from_object(source)
    if study is not None and found.study is None:
        raise InputError(
            f"`study` names a study of an Optuna storage, but got study={study!r} without one; leave it out"
        )
    frame = found.frame.set_axis(list(map(str, found.frame.columns)), axis=1)
    check_names(list(frame.columns), "the table")
    if len(frame) == 0:
        what = source if isinstance(source, str | Path) else "the frame"
        raise InputError(f"a table of trials needs rows, but {what} has none; run some trials first")
    return found._replace(frame=unfolded(frame))


def _from_path(source: str | Path, study: str | None) -> Found:
    if "://" in str(source):
        if re.match(ELSEWHERE, str(source)):
            raise unreadable(shown_url(str(source)), "a file elsewhere", "fetch it and name the copy")
        with read_study(source, study) as held:
            return from_study(held)
    path = Path(source)
    try:
        if path.is_dir():
            return read_folder(path)
        if not path.is_file():
            raise InputError(f"trials are read from a file, a folder or a URL, but {source} is none; check the path")
        with path.open("rb") as file:
            head = file.read(len(SQLITE))
        if head == SQLITE:
            with read_study(path, study) as held:
                return from_study(held)
        if head.startswith(PARQUET) or path.suffix.lower() in (".parquet", ".pq"):
            return Found(read_parquet(path, path))
        return _from_content(path.read_bytes(), path, study)
    except InputError:
        raise
    except UNREADABLE as error:
        reason = text_of(error).strip() or type(error).__name__
        raise InputError(f"a file must be readable, but {path} gave: {reason}; correct it") from error


def _from_content(content: bytes, path: Path, study: str | None) -> Found:
    """The trials in the content of a file; its first bytes show the format, whatever the file is called."""
    content = unpacked(content, path)
    if content.startswith(PARQUET):
        return Found(read_parquet(io.BytesIO(content), path))
    if content.startswith(FEATHER):
        return Found(read_feather(content, path))
    if PICKLE.match(content) or path.suffix.lower() in PICKLES:
        raise unreadable(path, "a pickle, which runs code when it is loaded", "load it yourself and pass the frame")
    if content.startswith(SQLITE):
        raise unreadable(path, "a packed SQLite file", "unpack it")
    text, note = as_text(content, path)
    if text.lstrip()[:1] == b"<":
        raise unreadable(path, "a page or XML", "export the trials as CSV")
    if text.lstrip()[:1] not in (b"{", b"["):
        return Found(read_csv(text, path), notes=(note,) if note else ())
    if is_journal(text):
        with read_study(path, study) as held:
            return from_study(held)
    held_in_it = parsed(text, path)
    return read_history(held_in_it, path) if is_history(held_in_it) else Found(frame_of(held_in_it, path))
