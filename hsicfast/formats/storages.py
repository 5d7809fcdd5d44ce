"""Opens Optuna's storages: to read them without changing a byte of them, or to write into one of today's version."""

from __future__ import annotations

import contextlib
import logging
import shlex
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, first_line
from hsicfast.files import parsed_json
from hsicfast.urls import checked_url, shown_url

if TYPE_CHECKING:
    import optuna


LOCKED_FOR = 3.0  # seconds to wait until another program has written to an SQLite file
# Bytes 18 and 19 of an SQLite file whose latest transactions may stand in a file beside it, the write-ahead log.
WRITE_AHEAD = b"\x02\x02"
# Beside an SQLite file lie transactions that are not in it yet, or what takes half of one back.
COMPANIONS = ("", "-wal", "-journal")


@contextmanager
def read_study(storage: str | Path, name: str | None = None) -> Iterator[optuna.Study]:
    """Context manager: a study of an Optuna storage, to be read; the storage stays as it is, whatever its version.

    Opening an old SQLite file as a storage would make tables in it that stop Optuna's own upgrade. Therefore a file is
    copied, the copy is upgraded, and the study is that of the copy.

    Parameters
    ----------
    storage : str or Path
        A URL, or the path of an SQLite file or of a journal.
    name : str, optional
        Of the study; not needed if the storage holds one study.

    Raises
    ------
    InputError
        If the storage cannot be read, with the reason, or the study is missing.
    """
    url = _url(storage)
    with _in_one_sentence(storage if url is None else shown_url(url)), contextlib.ExitStack() as stack:
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hsicfast-"))
            held: Any = _journal(Path(shutil.copyfile(storage, Path(folder) / "journal.log")))
        else:
            held = stack.enter_context(_read(url))
        yield _study(held, name)


@contextmanager
def opened_study(storage: str | Path, name: str | None = None) -> Iterator[optuna.Study]:
    """Context manager: like :func:`read_study`, but the study may be written; a storage of an old version is refused.

    Parameters
    ----------
    storage : str or Path
        A URL, or the path of an SQLite file or of a journal.
    name : str, optional
        Of the study; not needed if the storage holds one study.

    Raises
    ------
    InputError
        If the storage cannot be read or written, or is of an old version, with the reason; or the study is missing.
    """
    url = _url(storage)
    with _in_one_sentence(storage if url is None else shown_url(url)), contextlib.ExitStack() as stack:
        if url is None:
            held: Any = _journal(Path(storage))
        else:
            if (file := _sqlite_file(url)) is not None:
                with _copied(file, url) as copy:
                    _check_tables(f"sqlite:///{copy}", url)
            held = stack.enter_context(_server(url))
        yield _study(held, name)


def is_journal(head: bytes) -> bool:
    """Whether a file that begins with `head` is a journal of Optuna: each line is an operation of a worker."""
    with contextlib.suppress(ValueError):
        first = parsed_json(head.partition(b"\n")[0])
        return isinstance(first, dict) and {"op_code", "worker_id"} <= set(first)
    return False


def _url(storage: str | Path) -> str | None:
    """The URL of a storage; None for a journal."""
    if "://" in str(storage):
        return checked_url(str(storage), "an Optuna storage")
    if Path(storage).is_file():
        with Path(storage).open("rb") as file:
            if is_journal(file.readline()):
                return None
    return f"sqlite:///{storage}"


@contextmanager
def _in_one_sentence(shown: str | Path) -> Iterator[None]:
    """Turn the errors of a storage, which is `shown` to people, into one sentence."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    broken = (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, ImportError, RuntimeError)
    try:
        yield
    except broken as error:
        raise InputError(
            f"an Optuna storage must be readable, but {shown} gave: {first_line(error)}; see that it is whole and that "
            "nobody else holds it"
        ) from error


def _study(held: Any, name: str | None) -> optuna.Study:
    import optuna

    names = [study.study_name for study in optuna.get_all_study_summaries(held, include_best_trial=False)]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        wanted = f"there is no {name!r}" if name else f"it holds {len(names)}"
        raise InputError(f"`study` must name a study of the storage, but {wanted}; choose one of {names}")
    return optuna.load_study(study_name=name, storage=held)


def _journal(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"a journal of Optuna must hold one operation a line, but {path.name} does not ({first_line(error)}); "
            "correct it"
        ) from error


@contextmanager
def _read(url: str) -> Iterator[Any]:
    """A storage to read: the copy of an SQLite file, upgraded if it is old; or a server's as it is."""
    file = _sqlite_file(url)
    if file is None:
        with _server(url) as held:
            yield held
        return
    with _copied(file, url) as copy, _held(f"sqlite:///{copy}") as held:
        current = held.get_current_version()
        if current != held.get_head_version():
            if current not in held.get_all_versions():
                raise _too_new(url)
            try:
                with _quiet_upgrade():
                    held.upgrade()
            except Exception as error:
                raise _too_old(url, current) from error
        yield held


@contextmanager
def _server(url: str) -> Iterator[Any]:
    """A storage as it is; one of another version is refused, and nothing is made in it."""
    _check_tables(url, url)
    with _held(url) as held:
        yield held


@contextmanager
def _held(url: str) -> Iterator[Any]:
    """A storage in which no tables are made, whose connections are closed at the end."""
    import optuna

    held = optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    try:
        yield held
    finally:
        held.remove_session()
        held.engine.dispose()


def _check_tables(url: str, shown: str) -> None:
    """Raise an InputError unless the database holds studies in today's version; only its tables' names are read.

    Optuna would note its version in a database that lacks one, so that it is not asked before this is known.
    """
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        _check_studies(tables, shown)
        noted = {"version_info", "alembic_version"} <= tables
        with engine.connect() as connection:
            rows = [
                connection.execute(sqlalchemy.text(f"SELECT {column} FROM {table}")).first() if noted else None
                for table, column in (("version_info", "version_info_id"), ("alembic_version", "version_num"))
            ]
    finally:
        engine.dispose()
    if rows[0] is None or rows[1] is None:
        raise _too_old(shown, "v0.9")
    with _held(url) as held:
        if rows[1][0] not in held.get_all_versions():
            raise _too_new(shown)
        if rows[1][0] != held.get_head_version():
            raise _too_old(shown, rows[1][0])


def _check_studies(tables: set[str], url: str) -> None:
    if not {"studies", "trials"} <= tables:
        raise InputError(
            f"an Optuna storage must hold studies, but {shown_url(url)} is another database; check the path"
        )


def _too_old(url: str, version: str) -> InputError:
    import optuna

    shown = shown_url(url)
    return InputError(
        f"an Optuna storage must be of the version that Optuna {optuna.__version__} uses, but {shown} is of "
        f"{version}; keep a copy and run `optuna storage upgrade --storage {shlex.quote(shown)}`"
    )


def _too_new(url: str) -> InputError:
    import optuna

    return InputError(
        f"an Optuna storage must be of a version that Optuna {optuna.__version__} knows, but {shown_url(url)} is "
        "newer; run `pip install --upgrade optuna`"
    )


def _sqlite_file(url: str) -> Path | None:
    """The file behind the URL of an SQLite database; None for a server."""
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    return Path(parts.database or "") if parts.get_backend_name() == "sqlite" else None


@contextmanager
def _copied(file: Path, url: str) -> Iterator[Path]:
    """A copy of an SQLite file that holds studies; it is removed at the end."""
    if not file.is_file():
        raise InputError(f"an Optuna storage must exist, but there is no file behind {shown_url(url)}; check the path")
    with tempfile.TemporaryDirectory(prefix="hsicfast-") as folder:
        copy = Path(folder) / "study.db"
        _copy(file, copy)
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        _check_studies(tables, url)
        if "version_info" not in tables:
            raise InputError(
                f"an Optuna storage must come from Optuna 0.9 or newer, but {shown_url(url)} is older, and Optuna "
                "cannot upgrade it; export its trials to CSV with the Optuna that wrote it"
            )
        yield copy


def _copy(file: Path, copy: Path) -> None:
    """Copy an SQLite file as its last whole transaction left it; nothing is made or changed beside it."""
    with file.open("rb") as source:
        ahead = source.read(20)[18:] == WRITE_AHEAD
    if ahead:  # even a connection that only reads would leave two files beside it
        _copy_files(file, copy)
        return
    held = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=LOCKED_FOR)
    with contextlib.closing(held), contextlib.closing(sqlite3.connect(copy)) as target:
        try:
            # This waits for a writer, and keeps the next one away: `backup` alone would wait for ever.
            held.execute("BEGIN")
            held.execute("SELECT name FROM sqlite_master").fetchall()
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or not file.with_name(f"{file.name}-journal").exists():
                raise
        else:
            held.backup(target)
            return
    # A writer was killed: SQLite takes its half transaction back, but would do so in the file itself.
    _copy_files(file, copy)


def _copy_files(file: Path, copy: Path) -> None:
    """Copy an SQLite file and what lies beside it, again if somebody wrote meanwhile."""
    deadline = time.monotonic() + LOCKED_FOR
    while True:
        before = _stamps(file)
        for end in COMPANIONS:
            target = copy.with_name(copy.name + end)
            target.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(file.with_name(file.name + end), target)
        if _stamps(file) == before:
            return
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")
        time.sleep(0.05)


def _stamps(file: Path) -> list[tuple[int, int]]:
    """Size and time of an SQLite file and of what lies beside it."""
    beside = [file.with_name(file.name + end) for end in COMPANIONS]
    found = []
    for path in beside:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found.append((stat.st_size, stat.st_mtime_ns))
    return found


@contextmanager
def _quiet_upgrade() -> Iterator[None]:
    """Keep what the upgrade of a copy says from the terminal, and the caller's logging as it is."""
    # Without a handler at the root, the upgrade would configure all logging of the process.
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of distributions that had other names then
            yield
    finally:
        root.removeHandler(handler)
