"""Who trains which trial where many hosts share one study: each trial is trained once, and has one result.

One row a trial in a table beside Optuna's: who has claimed it, when that host was last heard of by the database's own
clock, and, once it is there, the result. A claim whose host was silent for a minute may be taken over; of several
results the first one told is the trial's.
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

# A claim's host is heard of so often, and given up after so many seconds.
BEAT, LEASE = 10.0, 60.0
# The claim to write the study: one process writes it.
WRITER = -1


class Claims:
    """The claims of one process.

    Parameters
    ----------
    url : str
        Of the study's database.
    name : str
        Of the study.
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
        """Whether trial `index` is ours to train: nobody has claimed it, or whoever did is silent, or we did."""
        free = self._columns.result.is_(None)

        def take(connection: Any, now: float) -> bool:
            ours = (self._columns.owner == self._owner) | (self._columns.beat < now - LEASE)
            taken = self._update(index).where(free, ours).values(owner=self._owner, beat=now)
            return connection.execute(taken).rowcount == 1 or self._insert(connection, index, now, None)

        return self._transact(take)

    def accept(self, trial: Trial) -> Trial:
        """Tell the result of a trial; returns the one that counts, which is another one if that was told before."""
        text = json.dumps(jsonable(asdict(trial)), allow_nan=False)

        def tell(connection: Any, now: float) -> str:
            told = self._update(trial.index).where(self._columns.result.is_(None)).values(result=text, beat=now)
            if connection.execute(told).rowcount == 1 or self._insert(connection, trial.index, now, text):
                return text
            counts = self._sql.select(self._columns.result).where(*self._row(trial.index))
            return connection.scalar(counts)

        counts = self._transact(tell)
        return trial if counts == text else trial_of(json.loads(counts))

    def results(self, known: Iterable[int] = ()) -> list[Trial]:
        """The results that were told, by the index of their trial, but for those `known`."""
        asked = self._sql.select(self._columns.trial, self._columns.result).where(
            self._columns.study == self._name, self._columns.result.is_not(None)
        )
        left_out = set(known)
        rows = self._transact(lambda connection, now: connection.execute(asked.order_by(self._columns.trial)).all())
        return [trial_of(json.loads(text)) for index, text in rows if index not in left_out]

    def held(self) -> set[int]:
        """Trials that are claimed by others who are alive, or have their result."""

        def ask(connection: Any, now: float) -> set[int]:
            others = (self._columns.owner != self._owner) & (self._columns.beat >= now - LEASE)
            asked = self._sql.select(self._columns.trial).where(
                self._columns.study == self._name, others | self._columns.result.is_not(None)
            )
            return set(connection.scalars(asked))

        return self._transact(ask)

    def forget(self, indices: Iterable[int]) -> None:
        """Take results back: their trials are to be trained again."""
        gone = self._sql.delete(self._table).where(
            self._columns.study == self._name, self._columns.trial.in_(list(indices))
        )
        self._transact(lambda connection, now: connection.execute(gone))

    def close(self) -> None:
        """Give back what is claimed and has no result."""
        self._stop.set()
        self._heart.join()
        try:
            with self._engine.begin() as connection:
                connection.execute(self._sql.delete(self._table).where(*self._open))
        except self._sql.exc.SQLAlchemyError:
            pass  # A server that is away learns by our silence.
        finally:
            self._engine.dispose()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                with self._engine.begin() as connection:
                    alive = self._sql.update(self._table).where(*self._open)
                    connection.execute(alive.values(beat=self._now(connection)))
            except self._sql.exc.SQLAlchemyError:
                continue  # Away for a while: the next beat tells that we are still there.

    @property
    def _open(self) -> tuple[Any, Any, Any]:
        """What holds of the rows that are ours and have no result."""
        columns = self._columns
        return columns.study == self._name, columns.owner == self._owner, columns.result.is_(None)

    def _now(self, connection: Any) -> float:
        # The clocks of many hosts differ, the database has one.
        now = connection.scalar(self._sql.select(self._sql.func.current_timestamp()))
        return (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()

    def _row(self, index: int) -> tuple[Any, Any]:
        return self._columns.study == self._name, self._columns.trial == index

    def _update(self, index: int) -> Any:
        return self._sql.update(self._table).where(*self._row(index))

    def _insert(self, connection: Any, index: int, now: float, result: str | None) -> bool:
        """Whether the row was not there, and is ours now."""
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
