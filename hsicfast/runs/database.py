"""The database of a study: how to open it, and how long to wait for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hsicfast.errors import RunError
from hsicfast.urls import shown_url

Answer = TypeVar("Answer")

# Seconds for which a database that has answered once may be away: long enough for a restart.
SERVER_PATIENCE = 300.0
_LONGEST_PAUSE = 10.0


def engine_options(url: str) -> dict[str, Any]:
    """The arguments of SQLAlchemy's engine for `url`."""
    # SQLite lets one process write at a time, and the others wait. A server may close a connection that is idle.
    return {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True}


def made_together(make: Callable[[], Answer], broken: tuple[type[Exception], ...], tries: int = 10) -> Answer:
    """``make()``, which makes tables unless they exist, tried again if it fails.

    If many hosts make the same tables at once, all but one of them fail, and find the tables at the next try.

    Parameters
    ----------
    make : callable
        Makes the tables.
    broken : tuple of exception classes
        Errors after which another try may succeed.
    tries : int
        The error is raised after this many tries.
    """
    while True:
        tries -= 1
        try:
            return make()
        except broken:
            if not tries:
                raise
            time.sleep(random.uniform(0.1, 0.5))


def patiently(action: Callable[[], Answer], url: str) -> Answer:
    """``action()``, repeated while the server at `url` is away.

    Raises
    ------
    RunError
        If it stays away for `SERVER_PATIENCE` seconds.
    """
    deadline, pause = time.monotonic() + SERVER_PATIENCE, 0.1
    while True:
        try:
            return action()
        except Exception as error:
            if not _is_away(error):
                raise
            if time.monotonic() > deadline:
                raise RunError(
                    f"the database of the study must answer, but {shown_url(url)} has not for "
                    f"{SERVER_PATIENCE:g} s; bring it back, and the same command in the same folder goes on with the "
                    "results, which are kept"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _is_away(error: BaseException) -> bool:
    import sqlalchemy.exc

    while error.__cause__ is not None and not isinstance(error, sqlalchemy.exc.DBAPIError):
        error = error.__cause__  # Optuna wraps the errors of the database
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    # SQLite's file exists or does not: the driver's own time-out is patience enough.
    server = "sqlite" not in type(error.orig).__module__
    return server and (error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError))
