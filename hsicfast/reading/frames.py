"""Reads a frame of trials from a file, a folder, a study or another tool's export, and checks it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from hsicfast.errors import InputError
from hsicfast.reading.exports import unfolded
from hsicfast.reading.folders import read_multirun
from hsicfast.reading.found import Found, check_names
from hsicfast.reading.studies import from_study, opened_study
from hsicfast.reading.tables import read_csv, read_parquet

if TYPE_CHECKING:
    import optuna
    import pandas as pd

# The first bytes of files, which show their format whatever their names are.
PARQUET, SQLITE = b"PAR1", b"SQLite format 3\x00"


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
        found = from_study(source)
    if study is not None and found.maximized is None:
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
        with opened_study(source, study) as held:
            return from_study(held)
    path = Path(source)
    if path.is_dir():
        return Found(read_multirun(path))
    if not path.is_file():
        raise InputError(f"trials are read from a file, a folder or a URL, but {source} is none; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(len(SQLITE))
        if head == SQLITE:
            with opened_study(path, study) as held:
                return from_study(held)
        if head.startswith(PARQUET) or path.suffix.lower() in (".parquet", ".pq"):
            return Found(read_parquet(path))
        return Found(read_csv(path))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"a file must be readable, but {path} gave: {error}; correct it") from error
