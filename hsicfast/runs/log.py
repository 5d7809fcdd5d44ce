"""``log.jsonl`` in a run folder has one line for each event of the run, for people with grep and for programs."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hsicfast.errors import writing
from hsicfast.files import jsonable
from hsicfast.runs.folder import LOG
from hsicfast.runs.watcher import Watcher
from hsicfast.trials.trial import Trial, names_in


class Log(Watcher):
    """Appends a line to ``log.jsonl`` for the start, every round, trial and decision, and the end of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG

    def on_start(self, planned: int) -> None:
        """See :meth:`Watcher.on_start`."""
        self._write("start", planned=planned, host=socket.gethostname(), pid=os.getpid())

    def on_round(self, name: str, note: str) -> None:
        """See :meth:`Watcher.on_round`."""
        self._write("round", name=name, note=note)

    def on_learnt(self, text: str) -> None:
        """See :meth:`Watcher.on_learnt`."""
        self._write("learnt", text=text)

    def on_trial(self, trial: Trial, stored: bool) -> None:
        """See :meth:`Watcher.on_trial`; a trial that an earlier run has logged is not logged again."""
        if stored:
            return
        self._write("trial", **{name: getattr(trial, name) for name in names_in("log")})

    def on_wait(self, others: int) -> None:
        """See :meth:`Watcher.on_wait`."""
        self._write("wait", others=others)

    def on_stop(self) -> None:
        """See :meth:`Watcher.on_stop`."""
        self._write("stop")

    def on_end(self, problem: str) -> None:
        """See :meth:`Watcher.on_end`."""
        self._write("end", problem=problem)

    def _write(self, event: str, **what: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **jsonable(what)}
        text = json.dumps(line, allow_nan=False) + "\n"
        with writing("the log", self._path, "make room and run again"), self._path.open("ab") as file:
            # One write for each line: a killed run may leave half a line, and then the next event begins a new one.
            file.write((b"" if self._whole() else b"\n") + text.encode())

    def _whole(self) -> bool:
        with self._path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return True
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"
