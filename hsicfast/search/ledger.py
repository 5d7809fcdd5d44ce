"""The trials of a run that have ended, and the rounds they came in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hsicfast.errors import InputError
from hsicfast.runs.watcher import Watcher
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import number
from hsicfast.trials.costs import meets
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, Trial


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; what is stored stays, and the same call in the same folder goes on.

    Attributes
    ----------
    result : Result or None
        The result of the trials that had ended; None if they are too few to be analysed (fewer than 4), or if a second
        signal stopped the run at once.
    number : int
        The signal.
    """

    def __init__(self, message: str, result: Any = None, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.result, self.number = result, number


@dataclass(frozen=True)
class Round:
    """Trials ``first, ..., last - 1`` of a run, how they were chosen, and what was learnt from them.

    Attributes
    ----------
    number : int
        The first round is 1.
    name : str
    first, last : int
    note : str
        How the trials were chosen.
    learnt : tuple of str
        What was learnt from them.
    too_dear : int
        Number of configurations that were passed over, because they were known to exceed the limit of the cost.
    """

    number: int
    name: str
    first: int
    last: int
    note: str
    learnt: tuple[str, ...] = ()
    too_dear: int = 0

    @property
    def story(self) -> str:
        """The note, and the number of configurations that were passed over."""
        over = f"; passed over as more expensive than max_cost: {self.too_dear:,}" if self.too_dear else ""
        return f"{self.note}{over}"


class Ledger:
    """The trials of a run that have ended, by their index, and its rounds.

    Parameters
    ----------
    space : SearchSpace
    minimize : bool
        Whether small objectives are good.
    max_cost : float, optional
        The limit of the cost.
    folder : Path, optional
        Where the results are kept; error messages name it.
    known : sequence of Trial
        Trials from elsewhere. They are evidence, but no trials of the run.
    objectives : Objectives, optional
        If there are several, the objective of a trial in a table is the number of trials that dominate it.
    """

    def __init__(
        self,
        space: SearchSpace,
        minimize: bool,
        max_cost: float | None = None,
        folder: Path | None = None,
        known: Sequence[Trial] = (),
        objectives: Objectives | None = None,
    ) -> None:
        self.space, self.minimize, self.max_cost, self.folder, self.known = space, minimize, max_cost, folder, known
        self.objectives = objectives
        self.rounds: list[Round] = []
        self._trials: dict[int, Trial] = {}
        self._table: TrialTable | None = None  # of the trials; None if one was added since
        self._evidence: TrialTable | None = None  # the same with the known ones

    def __contains__(self, index: int) -> bool:
        return index in self._trials

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, index: int) -> Trial:
        return self._trials[index]

    def write(self, trial: Trial) -> None:
        """Add a trial that has ended; it replaces an earlier version of the same trial."""
        self._trials[trial.index] = trial
        self._table = self._evidence = None

    def indices(self) -> list[int]:
        """Indices of the trials that have ended."""
        return sorted(self._trials)

    def in_order(self) -> list[Trial]:
        """The trials that have ended, by their index."""
        return [self._trials[index] for index in self.indices()]

    @property
    def table(self) -> TrialTable:
        """The trials that have ended, as a table."""
        if self._table is None:
            self._table = self.tabled(self.in_order())
        return self._table

    @property
    def evidence(self) -> TrialTable:
        """The trials that have ended and those that were known before: what the search learns from."""
        if not self.known:
            return self.table
        if self._evidence is None:
            self._evidence = self.tabled([*self.known, *self.in_order()])
        return self._evidence

    def tabled(self, trials: Sequence[Trial]) -> TrialTable:
        """These trials as a table; of several objectives, the fewer dominate a trial the better it is."""
        table = TrialTable.from_trials(self.space, trials, self.minimize)
        return table if self.objectives is None else self.objectives.judged(table)

    @property
    def judged(self) -> TrialTable:
        """The trials that have ended; one that is not known to be within the limit of the cost has no objective.

        A trial of a finalist with a fresh seed keeps its objective, because the trial that chose it is within the
        limit.
        """
        return self.judge(self.table)

    def judge(self, table: TrialTable) -> TrialTable:
        """The trials of `table`, those without an objective that are not known to be within the limit of the cost."""
        over = (table.status == DONE) & (table.origin != FINAL) & ~meets(table.cost, self.max_cost)
        status = np.where(over, DIVERGED, table.status)
        judged = replace(table, objective=np.where(over, np.nan, table.objective), status=status)
        # Whom an expensive trial dominates may be on the front of the others.
        return self.objectives.judged(judged) if self.objectives is not None and over.any() else judged

    def affordable(self, interrupted: bool = False) -> TrialTable:
        """The trials that have ended and are known to be within the limit of the cost; the best is chosen among them.

        Raises
        ------
        InputError
            If trials ended well, but none of these is known to be within the limit.
        Interrupted
            If the same happens in a run that was stopped.
        """
        done, within = self.table.select(self.table.status == DONE), self.table.within(self.max_cost)
        if len(done) and not (within.status == DONE).any():
            raise self.nothing_within(done, interrupted)
        return within

    def open(self, name: str, first: int, last: int, note: str, too_dear: int) -> Round | None:
        """Add the planned trials ``first, ..., last - 1`` to the round `name`; returns the round if it is a new one.

        Parameters
        ----------
        name : str
            If the latest round has this name, it is extended.
        first, last : int
        note : str
            How the trials were chosen.
        too_dear : int
            Number of configurations that were passed over.
        """
        if self.rounds and self.rounds[-1].name == name:
            before = self.rounds[-1]
            self.rounds[-1] = replace(before, last=last, too_dear=before.too_dear + too_dear)
            return None
        self.rounds.append(Round(len(self.rounds) + 1, name, first, last, note, too_dear=too_dear))
        return self.rounds[-1]

    def learn(self, text: str) -> None:
        """Add what was learnt from the latest round, and what is decided by it."""
        self.rounds[-1] = replace(self.rounds[-1], learnt=(*self.rounds[-1].learnt, text))

    def nothing_within(self, done: TrialTable, interrupted: bool) -> InputError | Interrupted:
        """The error to raise if no trial that ended well is known to be within the limit of the cost."""
        limit = f"max_cost={number(self.max_cost)}"
        if not np.isfinite(done.cost).any():
            return InputError(
                f"{limit} needs the costs of the trials, but none of the {len(done)} that ended well has one; return "
                f"`cost` from evaluate, or pass price={self.kept}"
            )
        said = (
            f"at least one trial must cost at most {limit}, but the cheapest of the {len(done)} that ended well costs "
            f"{number(np.nanmin(done.cost))}"
        )
        if interrupted:
            return Interrupted(f"{said}, and the run was interrupted; {self.go_on}")
        return InputError(f"{said}; raise max_cost, or make the space cheaper{self.kept}")

    @property
    def kept(self) -> str:
        """Where the results stay, as the end of a sentence."""
        return f"; their results stay in {self.folder}" if self.folder else ""

    @property
    def go_on(self) -> str:
        """How a run that was interrupted goes on, as a command to its caller."""
        return "run the same command in the same folder to go on" if self.folder else "pass folder= to keep them"

    @property
    def at_once(self) -> str:
        """What a run says that a second signal stops."""
        kept = f"the results so far stay in {self.folder}, and " if self.folder else ""
        return f"stopped at once; {kept}{self.go_on}"


class Stoppable(Protocol):
    """What a signal stops: a run."""

    signals: list[int]
    ledger: Ledger


@contextmanager
def stop_on_signals(run: Stoppable, watcher: Watcher) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM stop the run after the trials in flight, and the second one at once.

    The handlers of the caller are back at the end. One who ignores a signal goes on ignoring it, and a handler that was
    not set by Python stays, because it could not be set back.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield
        return

    def stop(number: int, frame: Any) -> None:
        run.signals.append(number)
        if len(run.signals) > 1:
            raise Interrupted(run.ledger.at_once, number=number)
        watcher.on_stop()

    before = {held: signal.getsignal(held) for held in (signal.SIGINT, signal.SIGTERM)}
    before = {held: own for held, own in before.items() if own not in (signal.SIG_IGN, None)}
    for held in before:
        signal.signal(held, stop)
    try:
        yield
    except SystemExit:
        # Lightning turns a KeyboardInterrupt inside a fit in this process into SystemExit(1).
        if len(run.signals) > 1:
            raise Interrupted(run.ledger.at_once, number=run.signals[-1]) from None
        raise
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)
