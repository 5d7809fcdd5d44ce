"""Many hosts share one study: each trial is trained by one of them, and has one result.

A table beside Optuna's has one row for each trial: who has claimed it, when that host last signed by the database's
own clock, and the result once there is one. A claim may be taken over if its host was silent for a minute. If several
results arrive, the first one counts.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC
from typing import Any, TypeVar

from hsicfast.files import jsonable
from hsicfast.runs.database import engine_options, made_together, patiently
from hsicfast.runs.results import trial_of
from hsicfast.trials.trial import Trial

Answer = TypeVar("Answer")

# The host of a claim signs every BEAT seconds, and loses its claims after LEASE seconds without a sign.
BEAT, LEASE = 10.0, 60.0
# The row that claims the writing of the study: one process writes it.
WRITER = -1
# The rows from CHAPTER downwards hold the chapters of the run (hsicfast.runs.history), the first one first.
CHAPTER = -2


class Claims:
    """The claims of one process.

    Parameters
    ----------
    url : str
        The URL of the study's database.
    name : str
        The name of the study.
    """

    def __init__(self, url: str, name: str) -> None:
        import sqlalchemy as sql

        self._sql, self._url, self._name = sql, url, name
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._engine = sql.create_engine(url, **engine_options(url))
        table = sql.Table(
            "hsicfast_claims",
            sql.MetaData(),
            sql.Column("study", sql.String(64), primary_key=True),
            sql.Column("trial", sql.Integer, primary_key=True, autoincrement=False),
            sql.Column("owner", sql.String(255)),
            sql.Column("beat", sql.Float(53)),
            sql.Column("result", sql.Text),
        )
        made_together(lambda: table.create(self._engine, checkfirst=True), (sql.exc.SQLAlchemyError,))
        self._table, self._columns = table, table.c
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def claim(self, index: int) -> bool:
        """Claim trial `index`; returns whether this process trains it.

        It does if nobody has claimed the trial, if the host that did is silent, or if this process claimed it before.
        """
        free = self._columns.result.is_(None)

        def take(connection: Any, now: float) -> bool:
            ours = (self._columns.owner == self._owner) | (self._columns.beat < now - LEASE)
            taken = self._update(index).where(free, ours).values(owner=self._owner, beat=now)
            return connection.execute(taken).rowcount == 1 or self._insert(connection, index, now, None)

        return self._transact(take)

    def accept(self, trial: Trial) -> Trial:
        """Store the result of a trial; returns the one that counts, an earlier one if there is one."""
        text = json.dumps(jsonable(asdict(trial)), allow_nan=False)
        counts = self._agreed(trial.index, text)
        return trial if counts == text else trial_of(json.loads(counts))

    def open_chapter(self, place: int, text: str) -> str:
        """Store the chapter at this `place`, from 0; returns the one that counts, an earlier one if there is one."""
        return self._agreed(CHAPTER - place, text)

    def chapters(self) -> list[str]:
        """The chapters that the processes of this run have opened."""
        asked = self._sql.select(self._columns.result).where(
            self._columns.study == self._name, self._columns.trial <= CHAPTER
        )
        return self._transact(
            lambda connection, now: list(connection.scalars(asked.order_by(self._columns.trial.desc())))
        )

    def taken(self) -> set[int]:
        """The indices of the trials that a process has claimed or that have a result."""
        asked = self._sql.select(self._columns.trial).where(self._columns.study == self._name, self._columns.trial >= 0)
        return self._transact(lambda connection, now: set(connection.scalars(asked)))

    def _agreed(self, row: int, text: str) -> str:
        """Store a text in an open row; returns the one that counts, an earlier one if there is one."""

        def store(connection: Any, now: float) -> str:
            stored = self._update(row).where(self._columns.result.is_(None)).values(result=text, beat=now)
            if connection.execute(stored).rowcount == 1 or self._insert(connection, row, now, text):
                return text
            return connection.scalar(self._sql.select(self._columns.result).where(*self._row(row)))

        return self._transact(store)

    def results(self, known: Iterable[int] = ()) -> list[Trial]:
        """The stored results, in the order of their trials, without those whose indices are `known`."""
        asked = self._sql.select(self._columns.trial, self._columns.result).where(
            self._columns.study == self._name, self._columns.result.is_not(None), self._columns.trial >= 0
        )
        left_out = set(known)
        rows = self._transact(lambda connection, now: connection.execute(asked.order_by(self._columns.trial)).all())
        return [trial_of(json.loads(text)) for index, text in rows if index not in left_out]

    def held(self) -> set[int]:
        """The indices of the trials that another live host has claimed or that have a result."""

        def ask(connection: Any, now: float) -> set[int]:
            others = (self._columns.owner != self._owner) & (self._columns.beat >= now - LEASE)
            asked = self._sql.select(self._columns.trial).where(
                self._columns.study == self._name, others | self._columns.result.is_not(None)
            )
            return set(connection.scalars(asked))

        return self._transact(ask)

    def forget(self, indices: Iterable[int]) -> None:
        """Delete the rows of these trials, so that they are trained again."""
        gone = self._sql.delete(self._table).where(
            self._columns.study == self._name, self._columns.trial.in_(list(indices))
        )
        self._transact(lambda connection, now: connection.execute(gone))

    def close(self) -> None:
        """Give back the claims of this process on trials without a result."""
        self._stop.set()
        self._heart.join()
        try:
            with self._engine.begin() as connection:
                connection.execute(self._sql.delete(self._table).where(*self._open))
        except self._sql.exc.SQLAlchemyError:
            pass  # If the server is away, the claims end after LEASE seconds of silence.
        finally:
            self._engine.dispose()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                with self._engine.begin() as connection:
                    alive = self._sql.update(self._table).where(*self._open)
                    connection.execute(alive.values(beat=self._now(connection)))
            except self._sql.exc.SQLAlchemyError:
                continue  # The server is away for a while: the next beat renews the claims.

    @property
    def _open(self) -> tuple[Any, Any, Any]:
        """The conditions that select the rows of this process that have no result."""
        columns = self._columns
        return columns.study == self._name, columns.owner == self._owner, columns.result.is_(None)

    def _now(self, connection: Any) -> float:
        # The clocks of many hosts differ, so everybody takes the database's.
        now = connection.scalar(self._sql.select(self._sql.func.current_timestamp()))
        return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()

    def _row(self, index: int) -> tuple[Any, Any]:
        return self._columns.study == self._name, self._columns.trial == index

    def _update(self, index: int) -> Any:
        return self._sql.update(self._table).where(*self._row(index))

    def _insert(self, connection: Any, index: int, now: float, result: str | None) -> bool:
        """Insert a row of this process; returns False if the trial has a row already."""
        row = {"study": self._name, "trial": index, "owner": self._owner, "beat": now, "result": result}
        try:
            with connection.begin_nested():
                connection.execute(self._sql.insert(self._table).values(row))
        except self._sql.exc.IntegrityError:
            return False
        return True

    def _transact(self, action: Callable[[Any, float], Answer]) -> Answer:
        def once() -> Answer:
            with self._engine.begin() as connection:
                return action(connection, self._now(connection))

        return patiently(once, self._url)
