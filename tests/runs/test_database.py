"""A database that is away for a while."""

import time

import pytest
import sqlalchemy as sql

from hsicfast.errors import InputError
from hsicfast.runs import database
from hsicfast.runs.database import patiently


class TestPatience:
    def test_a_server_that_is_away_is_waited_for(self, monkeypatch):
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        away = sql.exc.OperationalError("select", {}, ConnectionError("gone"))
        answers = iter([away, away, "there"])

        def ask():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert patiently(ask, "postgresql://u:secret@h/d") == "there"

    def test_but_not_for_ever(self, monkeypatch):
        monkeypatch.setattr(database, "SERVER_PATIENCE", 0.0)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

        def ask():
            raise sql.exc.OperationalError("select", {}, ConnectionError("gone"))

        with pytest.raises(InputError, match=r"must answer, but postgresql://u:\*\*\*@h/d has not for 0 s; bring it"):
            patiently(ask, "postgresql://u:secret@h/d")

    def test_what_is_no_absence_is_raised(self):
        def ask():
            raise sql.exc.ProgrammingError("selct", {}, ValueError("syntax"))

        with pytest.raises(sql.exc.ProgrammingError):
            patiently(ask, "postgresql://h/d")
