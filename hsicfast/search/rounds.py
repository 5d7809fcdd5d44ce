"""A run in progress: the trials so far, the rounds they came in, and the door to more of them.

A strategy (:mod:`hsicfast.search.orchestrator`) asks a :class:`Run` to train and to analyse; the run asks the store
what is there already and the executor for the rest. Neither knows torch, Hydra or a terminal.
"""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.files import jsonable
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search.samplers import design, propose
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import number
from hsicfast.training.executors import Executor
from hsicfast.training.pruning import Pruning, with_curves
from hsicfast.training.worker import Job, accepts_seed
from hsicfast.trials.costs import CostLimit, meets
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, EXCEPTION, FINAL, LOST, SEARCH, Trial, trial_seed

if TYPE_CHECKING:
    import optuna

# An analysis of fewer trials says nothing.
LEAST_TRIALS = 4
# So many trials that end with the same exception, before any ends otherwise, are a mistake in the training.
FIRST_ALIKE = 10
# Seconds between two questions after what other hosts have done.
POLL = 1.0


def alike(trials: Sequence[Trial]) -> bool:
    """Whether all of them ended with the same exception, numbers in its words aside."""
    said = {re.sub(r"\d+", "#", trial.message) for trial in trials}
    return len(said) == 1 and all(trial.failure == EXCEPTION for trial in trials)


class Interrupted(InputError):
    """A run was stopped by a signal before it had enough trials for a report; what is stored stays."""


@dataclass(frozen=True)
class Round:
    """Trials ``first, ..., last - 1`` of a run, and in words how they were chosen and what was learnt from them.

    `too_dear` configurations were passed over on the way, since they were known to exceed the limit of the cost.
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
        """The note, and what was passed over."""
        return f"{self.note}; passed over as dearer than max_cost: {self.too_dear:,}" if self.too_dear else self.note


class Run:
    """A run in progress, as a strategy sees it."""

    def __init__(
        self,
        evaluate: Callable[..., Any],
        space: SearchSpace,
        n_trials: int,
        seed: int,
        goal: float,
        minimize: bool,
        executor: Executor,
        store: Store,
        watcher: Watcher,
        tolerance: float | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        costs: CostLimit | None = None,
    ) -> None:
        self.tolerance, self.costs = tolerance, costs
        self.space, self.n_trials, self.seed, self.goal, self.minimize = space, n_trials, seed, goal, minimize
        self.trials: dict[int, Trial] = {}
        self._table: TrialTable | None = None  # of `trials`, until another one ends
        self.rounds: list[Round] = []
        self.signals = 0
        self.planned = 0
        self.truncated = False  # whether points of the design were too dear
        self._next_point = 0  # of the design's sequence; ahead of `planned` where some were too dear
        self._evaluate, self._executor, self._store, self._watcher = evaluate, executor, store, watcher
        self._pruner = pruner
        self._alike: list[Trial] = []  # the trials so far, while they all end with one and the same exception

    @property
    def left(self) -> int:
        """Trials that are not planned yet."""
        return self.n_trials - self.planned

    @property
    def seeded(self) -> bool:
        """Whether a training takes a seed, so that with another one it may end otherwise."""
        return accepts_seed(self._evaluate)

    def stopped(self) -> bool:
        """Whether no trial may be started any more."""
        return self.signals > 0

    def table(self) -> TrialTable:
        """All trials that have ended."""
        if self._table is None or len(self._table) != len(self.trials):
            self._table = TrialTable.from_trials(self.space, self.in_order(), self.minimize)
        return self._table

    def in_order(self) -> list[Trial]:
        """All trials that have ended, by their index."""
        return [self.trials[index] for index in sorted(self.trials)]

    def judged(self) -> TrialTable:
        """All trials that have ended; what is not known to be within the limit has no objective.

        What a finalist makes of a fresh seed stays: the trial by which it was chosen is within the limit.
        """
        table = self.table()
        over = (table.status == DONE) & (table.origin != FINAL) & ~meets(table.cost, self.max_cost)
        status = np.where(over, DIVERGED, table.status)
        return replace(table, objective=np.where(over, np.nan, table.objective), status=status)

    @property
    def max_cost(self) -> float | None:
        """The limit of the cost."""
        return None if self.costs is None else self.costs.most

    def affordable(self) -> TrialTable:
        """The trials that have ended and are known to be within the limit of the cost: the best is among them.

        Raises
        ------
        InputError
            Where trials ended well, but none of these is.
        """
        table = self.table()
        done, within = table.select(table.status == DONE), table.within(self.max_cost)
        if len(done) and not (within.status == DONE).any():
            raise self._nothing_within(done)
        return within

    def admits(self, params: dict[str, Any]) -> bool:
        """Whether `params` may be trained: they are not known to be too dear."""
        return self.costs is None or self.costs.admits(params)

    def design(self, n: int, method: str) -> list[dict[str, Any]]:
        """The next `n` trials, drawn from the law of the space.

        `method` as in :func:`~hsicfast.search.samplers.design`.
        """
        start = max(self.planned, self._next_point)
        before = self.costs.refused if self.costs else 0
        drawn = design(self.space, n, self.seed, method, start, self.costs)
        refused = self.costs.refused - before if self.costs else 0
        self._next_point = start + n + refused
        self.truncated |= refused > 0
        return drawn

    def propose(
        self,
        fixed: Mapping[str, Any],
        trials: TrialTable,
        count: int,
        *,
        space: SearchSpace | None = None,
        method: str = "gp",
        ahead: int = 0,
        limit: float | None = None,
        least: float = 0.0,
        most: float | None = None,
        warp: bool = False,
    ) -> list[dict[str, Any]]:
        """The `count` trials after the next `ahead`, by an optimiser that has seen `trials`.

        `space` may have narrower ranges than the run's, which is the default.
        The rest as in :func:`~hsicfast.search.samplers.propose`.
        """
        return propose(
            space or self.space,
            fixed,
            trials,
            method=method,
            seed=self.seed,
            index=self.planned + ahead,
            count=count,
            limit=limit,
            least=least,
            most=most,
            costs=self.costs,
            whole=self.space,
            warp=warp,
        )

    def train(self, name: str, origin: str, proposals: list[dict[str, Any]], note: str) -> None:
        """Plan `proposals` as the next trials, and train those that are not stored already."""
        first, last = self.planned, self.planned + len(proposals)
        too_dear = self.costs.refused - sum(part.too_dear for part in self.rounds) if self.costs else 0
        if self.rounds and self.rounds[-1].name == name:
            self.rounds[-1] = replace(self.rounds[-1], last=last, too_dear=self.rounds[-1].too_dear + too_dear)
        else:
            self.rounds.append(Round(len(self.rounds) + 1, name, first, last, note, too_dear=too_dear))
            self._watcher.on_round(name, self.rounds[-1].story)
        self.planned = last
        pruning = self._pruning(origin)
        jobs = [
            Job(index, params, trial_seed(self.seed, index), origin, pruning, self._price(params))
            for index, params in enumerate(proposals, start=first)
        ]
        missing, waiting = self._after_stored(jobs), 0
        while missing:
            claimed = self._store.claimed(missing)
            for trial in self._executor.run(self._evaluate, claimed, self._store.folder, self.stopped):
                self._end(trial, stored=False)
            self._believe()
            missing = [job for job in missing if job.index not in self.trials]
            if not missing or self.stopped():
                return
            # Others train the rest; what they leave undone for a minute is taken over.
            if len(missing) != waiting:
                waiting = len(missing)
                self._watcher.on_wait(waiting)
            time.sleep(POLL)
            self._store.elsewhere(self.trials)
            missing = self._after_stored(missing)

    def learn(self, text: str) -> None:
        """Write down what the latest round said, and what is decided by it."""
        self.rounds[-1] = replace(self.rounds[-1], learnt=(*self.rounds[-1].learnt, text))
        self._watcher.on_learnt(text)

    def analyse(self, goal: float | None = None) -> Sensitivity:
        """Which hyperparameters decide, by the trials that were drawn from the law of the space.

        The goal is the run's by default.
        """
        table = self.table()
        evidence = table.design.evidence
        if self.stopped() and len(evidence) < LEAST_TRIALS:
            raise Interrupted(
                f"an analysis needs at least {LEAST_TRIALS} finished trials, but the run was interrupted after "
                f"{len(evidence)}; {self._go_on()}"
            )
        done = table.design.select(table.design.status == DONE)
        if not len(done):
            raise self._nothing_done(table)
        if self.costs and not np.isfinite(done.cost).any():
            raise self._nothing_within(done)
        # Where the design passed over what is too dear, no law of the space is known any more.
        law = "ranks" if self.truncated else "space"
        return analyse(self.space, table.design, goal or self.goal, seed=self.seed, law=law)

    def _price(self, params: dict[str, Any]) -> float:
        return math.nan if self.costs is None else self.costs.price(params)

    def _pruning(self, origin: str) -> Pruning | None:
        """Who may stop the next trials early, by the curves known now.

        A trial of the design goes on to its end: an index of trials cut short would not speak of the law.
        """
        if self._pruner is None:
            return None
        if origin != SEARCH:
            return Pruning(None)
        return Pruning(self._pruner, self.minimize, with_curves(self.in_order()))

    def _after_stored(self, jobs: list[Job]) -> list[Job]:
        """End those of `jobs` whose trials are stored; returns the others."""
        stored = [self._stored(job) for job in jobs]
        for trial in filter(None, stored):
            self._end(trial, stored=True)
        return [job for job, trial in zip(jobs, stored, strict=True) if trial is None]

    def _end(self, trial: Trial, stored: bool) -> None:
        self.trials[trial.index] = trial
        self._table = None
        self._alike.append(trial)
        suspicious = len(self._alike) == len(self.trials) and alike(self._alike)
        if not suspicious:
            self._believe()
        self._watcher.on_trial(self.trials[trial.index], stored)
        if suspicious and len(self._alike) == FIRST_ALIKE:
            raise self._hopeless(self._alike)

    def _believe(self) -> None:
        """Tell the store what has ended: it is no mistake in the training that ends all trials alike."""
        for trial in self._alike:
            # Another host may have told its result before: that one counts.
            self.trials[trial.index] = replace(self._store.add(trial), params=trial.params)
            self._table = None
        self._alike = []

    def _hopeless(self, trials: Sequence[Trial]) -> InputError:
        """What to say where every trial has ended with the same exception; they are trained again next time."""
        aside = self._store.set_aside_all()
        again = f", and the same command trains them again; {aside}" if aside else ""
        return InputError(
            f"a training must work for some hyperparameters, but the first {len(trials)} trials all ended with "
            f"{trials[0].message!r}; correct the training{again}"
        )

    def _stored(self, job: Job) -> Trial | None:
        """The stored trial of `job`, if there is one; another plan's is refused, or replaced where that is forced."""
        trial = self._store.trials.get(job.index)
        if trial is None:
            return None
        names = dict.fromkeys([*job.params, *trial.params])
        places = [(name, trial.params.get(name, "absent"), job.params.get(name, "absent")) for name in names]
        places += [("seed", trial.seed, job.seed), ("origin", trial.origin, job.origin)]
        for name, old, new in places:
            if jsonable(old) != jsonable(new):
                if not self._store.forced:
                    raise self._another_plan(job, name, old, jsonable(new))
                self._store.replace(job.index)
                return None
        return replace(trial, params=job.params)

    def _another_plan(self, job: Job, name: str, old: Any, new: Any) -> InputError:
        return InputError(
            f"a stored trial must be what the strategy asks for at its place, but trial {job.index} has {name}={old!r} "
            f"where {new!r} is asked for in {self._store.folder}; set n_trials back to what the run was started with, "
            "pass resume=force to train what differs again, or pass another hydra.run.dir="
        )

    def _go_on(self) -> str:
        return "run the same command in the same folder to go on" if self._store.folder else "pass folder= to keep them"

    def _nothing_done(self, table: TrialTable) -> InputError:
        if alike(self.in_order()):
            return self._hopeless(self.in_order())
        kind = "were lost" if (table.status == LOST).all() else "diverged"
        commonest = Counter(str(text) for text in table.message).most_common(1)[0][0]
        return InputError(
            f"at least one trial must end with a finite objective, but all {len(table)} {kind}, most often with "
            f"{commonest or 'no message'!r}; correct the space or the training{self._kept()}"
        )

    def _nothing_within(self, done: TrialTable) -> InputError:
        """What to say where none of the trials that ended well is known to be within the limit of the cost."""
        limit = f"max_cost={number(self.max_cost)}"
        if not np.isfinite(done.cost).any():
            return InputError(
                f"{limit} needs the costs of the trials, but none of the {len(done)} that ended well has one; return "
                f"`cost` from evaluate, or pass price={self._kept()}"
            )
        said = (
            f"at least one trial must cost at most {limit}, but the cheapest of the {len(done)} that ended well costs "
            f"{number(np.nanmin(done.cost))}"
        )
        if self.stopped():
            return Interrupted(f"{said}, and the run was interrupted; {self._go_on()}")
        return InputError(f"{said}; raise max_cost, or make the space cheaper{self._kept()}")

    def _kept(self) -> str:
        return f"; their results stay in {self._store.folder}" if self._store.folder else ""


@contextmanager
def stop_on_signals(run: Run, watcher: Watcher) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM stop the run in good order, and the second at once."""
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread's owner
        yield
        return

    def stop(number: int, frame: Any) -> None:
        run.signals += 1
        if run.signals > 1:
            raise KeyboardInterrupt
        watcher.on_stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:
        # Lightning turns a KeyboardInterrupt inside a fit in this process into SystemExit(1).
        if run.signals > 1:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
