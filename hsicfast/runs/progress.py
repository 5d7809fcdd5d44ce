"""The progress of a run: a bar on a terminal, or else a line for every tenth of the trials."""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from typing import Any, Self, TextIO

from rich.console import Console
from rich.errors import LiveError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from hsicfast.runs.watcher import Watcher
from hsicfast.trials.costs import meets
from hsicfast.trials.goal import dominated_by, losses_of
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.trial import DONE, FINAL, STATUSES, Trial

# Not on a terminal, a run prints about PLAIN_LINES lines.
PLAIN_LINES = 10
# Seconds between two writings of the line of a notebook.
LINE_INTERVAL = 0.2


class ProgressBar(Watcher):
    """Shows how many of the planned trials are done, the best so far, diverged and lost trials, and the time left.

    Parameters
    ----------
    console : rich Console
        A terminal shows a live bar; any other output gets plain lines without control characters.
    metric : str
        The name of the objective for readers.
    minimize : bool
        Whether a small objective is good.
    max_cost : float, optional
        Limit of the cost; a trial that is not known to be within it is never the best.
    objectives : Objectives, optional
        Of several, the number of trials on the front is shown instead of the best.
    """

    def __init__(
        self,
        console: Console,
        metric: str,
        minimize: bool,
        max_cost: float | None = None,
        objectives: Objectives | None = None,
    ) -> None:
        self._console, self._metric, self._minimize, self._max_cost = console, metric, minimize, max_cost
        self._objectives, self._front = objectives, list[tuple[float, ...]]()  # the losses of the trials on the front
        self._best = math.nan
        self._ended = dict.fromkeys(STATUSES, 0)
        self._planned = self._stored = 0
        self._round = "starting"
        self._clock = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: Any = None

    def __enter__(self) -> Self:
        with suppress(LiveError):  # the program has a live display of its own, which goes on alone
            self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def on_start(self, planned: int) -> None:
        """See :meth:`Watcher.on_start`."""
        self._planned = planned
        self._task = self._bar.add_task(self._round, total=planned, state="")

    def on_round(self, name: str, note: str) -> None:
        """See :meth:`Watcher.on_round`."""
        self._round = name
        self._say(f"{name}: trials {note}")
        self._bar.update(self._task, description=name)

    def on_trial(self, trial: Trial, stored: bool) -> None:
        """See :meth:`Watcher.on_trial`."""
        self._ended[trial.status] += 1
        self._stored += stored
        # A final trial has a fresh seed and counts only in the mean of its configuration, never by itself.
        eligible = trial.status == DONE and trial.origin != FINAL and meets(trial.cost, self._max_cost)
        if eligible and self._objectives is not None:
            known = list(dict.fromkeys([*self._front, self._objectives.losses_of(trial)]))
            self._front = [own for own, beaten_by in zip(known, dominated_by(known), strict=True) if not beaten_by]
        elif eligible and not self._is_worse(trial.objective):
            self._best = trial.objective
        rate = f"{60 * self._rate:.3g}/min"
        self._bar.update(self._task, completed=self._total, state=f"{self._state}, {rate}")
        if self._bar.disable and not stored:
            self._tell()

    def _tell(self) -> None:
        """Say where the run is, in a line for every tenth of the trials."""
        step = max(1, self._planned // PLAIN_LINES)
        if self._total % step == 0 or self._total == self._planned:
            self._say(f"{self._round}: {self._total} of {self._planned} trials, {self._state}{self._left}")

    def on_wait(self, others: int) -> None:
        """See :meth:`Watcher.on_wait`."""
        self._say(f"{self._round}: waiting for {others} trials that others train")

    def on_stop(self) -> None:
        """See :meth:`Watcher.on_stop`."""
        self._say("stopping: the trials in flight end, no other is started; once more stops at once")

    @property
    def _total(self) -> int:
        return sum(self._ended.values())

    @property
    def _state(self) -> str:
        parts = [f"best {self._metric} {self._best:.4g}"] if math.isfinite(self._best) else []
        parts += [f"{len(self._front)} on the front"] if self._front else []
        parts += [f"{self._ended[status]} {status}" for status in STATUSES[1:] if self._ended[status]]
        return ", ".join(parts) or "no result yet"

    @property
    def _left(self) -> str:
        if not self._rate or self._total >= self._planned:
            return ""
        seconds = (self._planned - self._total) / self._rate
        left = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f", about {left} left at {60 * self._rate:.3g} trials a minute"

    @property
    def _rate(self) -> float:
        """Trials that this run trains per second; 0 before the first one."""
        return (self._total - self._stored) / max(time.monotonic() - self._clock, 1e-9)

    def _is_worse(self, objective: float) -> bool:
        if math.isnan(self._best):
            return False
        return losses_of(objective, self._minimize) >= losses_of(self._best, self._minimize)

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class ProgressLine(ProgressBar):
    """The progress in one line that is written over again: for a notebook, which shows it without a widget.

    Parameters
    ----------
    file : text stream
        Where the line goes.
    metric, minimize, max_cost, objectives
        As in :class:`ProgressBar`.
    """

    def __init__(
        self,
        file: TextIO,
        metric: str,
        minimize: bool,
        max_cost: float | None = None,
        objectives: Objectives | None = None,
    ) -> None:
        console = Console(file=file, force_terminal=False, force_jupyter=False)
        super().__init__(console, metric, minimize, max_cost, objectives)
        self._file, self._width, self._told = file, 0, -math.inf

    def __exit__(self, *_: Any) -> None:
        if self._width:
            self._tell(last=True)
            self._file.write("\n")
            self._file.flush()

    def _tell(self, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._told >= LINE_INTERVAL:
            self._told = now
            self._say(f"{self._round}: {self._total} of {self._planned} trials, {self._state}{self._left}")

    def _say(self, text: str) -> None:
        self._file.write(f"\r{text.ljust(self._width)}")
        self._file.flush()
        self._width = len(text)


def usual_progress(
    wanted: bool | None, minimize: bool, max_cost: float | None = None, objectives: Objectives | None = None
) -> ProgressBar | None:
    """What shows the progress of a call from Python; None if nothing does.

    Parameters
    ----------
    wanted : bool or None
        Whether to show it; None shows it in a notebook and on a terminal, by the standard error.
    minimize, max_cost, objectives
        As in :class:`ProgressBar`.
    """
    if wanted is False:
        return None
    console = Console(stderr=True)
    if console.is_jupyter:
        return ProgressLine(sys.stderr, "objective", minimize, max_cost, objectives)
    if not wanted and not console.is_terminal:
        return None
    return ProgressBar(console, "objective", minimize, max_cost, objectives)
