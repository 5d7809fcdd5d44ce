"""A run in progress, as a strategy sees it: it proposes trials, trains them and analyses them.

A strategy (:mod:`hsicfast.search.strategies`) asks a :class:`Run` to propose, to train and to analyse. The
:class:`Trainer` takes trials that the store holds already, and has the executor train the others. The ledger keeps the
trials that have ended. None of them knows torch, Hydra or a terminal.
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
from dataclasses import replace
from typing import Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.files import jsonable
from hsicfast.indices.carried import Law
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search.ledger import Interrupted, Ledger, Round
from hsicfast.search.plan import RunPlan
from hsicfast.search.samplers import Turn, design, propose
from hsicfast.search.transforms import BEST, Wish
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.space.search_space import SearchSpace
from hsicfast.training.executors import Executor
from hsicfast.training.pruning import Pruning, with_curves
from hsicfast.training.worker import Evaluate, Job, accepts_seed
from hsicfast.trials.goal import Auto
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, EXCEPTION, LOST, SEARCH, Origin, Trial, trial_seed

# LEAST_TRIALS: an analysis of fewer trials says nothing.
LEAST_TRIALS = 4
# If the first FIRST_ALIKE trials all end with the same exception, the training itself is at fault.
FIRST_ALIKE = 10
# POLL: seconds between two looks at the results of other hosts.
POLL = 1.0


def alike(trials: Sequence[Trial]) -> bool:
    """Whether all `trials` ended with the same exception, apart from numbers in its message."""
    messages = {re.sub(r"\d+", "#", trial.message) for trial in trials}
    return len(messages) == 1 and all(trial.failure == EXCEPTION for trial in trials)


class Trainer:
    """Trains planned trials that the store does not hold, and waits for those that other hosts train.

    Parameters
    ----------
    evaluate : callable
        The training, as the trials call it.
    executor : Executor
        Runs the trainings.
    store : Store
        Keeps the results.
    ledger : Ledger
        Gets each trial when it ends.
    watcher : Watcher
        Is notified of each trial.
    should_stop : callable
        Returns whether no further trial may be started.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        executor: Executor,
        store: Store,
        ledger: Ledger,
        watcher: Watcher,
        should_stop: Callable[[], bool],
    ) -> None:
        self.evaluate, self.store, self.ledger, self.watcher = evaluate, store, ledger, watcher
        self._executor, self._should_stop = executor, should_stop
        self._alike: list[Trial] = []  # all trials so far, as long as each ended with the same exception

    def train(self, jobs: list[Job]) -> None:
        """Train the `jobs` that are not stored already."""
        missing, waiting = self._after_stored(jobs), 0
        while missing:
            claimed = self.store.claimed(missing)
            for trial in self._executor.run(self.evaluate, claimed, self.store.folder, self._should_stop):
                self._end(trial, stored=False)
            self._accept()
            missing = [job for job in missing if job.index not in self.ledger]
            if not missing or self._should_stop():
                return
            # Other hosts train the rest; if one of them stays silent for a minute, its trials are taken over.
            if len(missing) != waiting:
                waiting = len(missing)
                self.watcher.on_wait(waiting)
            time.sleep(POLL)
            self.store.elsewhere(self.ledger.indices())
            missing = self._after_stored(missing)

    def nothing_done(self, table: TrialTable) -> InputError:
        """The error to raise if no trial ended well."""
        if alike(self.ledger.in_order()):
            return self._hopeless(self.ledger.in_order())
        kind = "were lost" if (table.status == LOST).all() else "diverged"
        commonest = Counter(str(text) for text in table.message).most_common(1)[0][0]
        return InputError(
            f"at least one trial must end with a finite objective, but all {len(table)} {kind}, most often with "
            f"{commonest or 'no message'!r}; correct the space or the training{self.ledger.kept}"
        )

    def _after_stored(self, jobs: list[Job]) -> list[Job]:
        """Take the stored trials of `jobs` as ended; returns the jobs without one."""
        stored = [self._stored(job) for job in jobs]
        for trial in filter(None, stored):
            self._end(trial, stored=True)
        return [job for job, trial in zip(jobs, stored, strict=True) if trial is None]

    def _end(self, trial: Trial, stored: bool) -> None:
        """Add a trial that has ended to the ledger; stop the run if the first FIRST_ALIKE failed in the same way."""
        self.ledger.write(trial)
        self._alike.append(trial)
        suspicious = len(self._alike) == len(self.ledger) and alike(self._alike)
        if not suspicious:
            self._accept()
        self.watcher.on_trial(self.ledger[trial.index], stored)
        if suspicious and len(self._alike) == FIRST_ALIKE:
            raise self._hopeless(self._alike)

    def _accept(self) -> None:
        """Store the ended trials: they did not all fail with the same exception."""
        for trial in self._alike:
            # If another host has stored a result of this trial before, that result counts.
            self.ledger.write(replace(self.store.add(trial), params=trial.params))
        self._alike = []

    def _hopeless(self, trials: Sequence[Trial]) -> InputError:
        """The error to raise if every trial has ended with the same exception; the next run trains them again."""
        aside = self.store.set_aside_all()
        again = f", and the same command trains them again; {aside}" if aside else ""
        return InputError(
            f"a training must work for some hyperparameters, but the first {len(trials)} trials all ended with "
            f"{trials[0].message!r}; correct the training{again}"
        )

    def _stored(self, job: Job) -> Trial | None:
        """The stored trial of `job`, if any; a trial of another plan is refused, or replaced if `resume` is "force"."""
        trial = self.store.trials.get(job.index)
        if trial is None:
            return None
        names = dict.fromkeys([*job.params, *trial.params])
        places = [(name, trial.params.get(name, "absent"), job.params.get(name, "absent")) for name in names]
        places += [("seed", trial.seed, job.seed), ("origin", trial.origin, job.origin)]
        for name, old, new in places:
            if jsonable(old) != jsonable(new):
                if not self.store.forced:
                    raise self._another_plan(job, name, old, jsonable(new))
                self.store.replace(job.index)
                return None
        return replace(trial, params=job.params)

    def _another_plan(self, job: Job, name: str, old: Any, new: Any) -> InputError:
        return InputError(
            f"a stored trial must be what the strategy asks for at its place, but trial {job.index} has {name}={old!r} "
            f"where {new!r} is asked for in {self.store.folder}; set n_trials back to what the run was started with, "
            "pass resume=force to train what differs again, or pass another hydra.run.dir="
        )


class Run:
    """A run in progress, as a strategy sees it.

    Parameters
    ----------
    plan : RunPlan
        The settings of the run.
    evaluate : callable
        The user's training.
    executor : Executor
        Runs the trainings.
    store : Store
        Keeps the results.
    watcher : Watcher
        Is notified of each round and trial.
    """

    def __init__(self, plan: RunPlan, evaluate: Evaluate, executor: Executor, store: Store, watcher: Watcher) -> None:
        self.plan, self.costs = plan, plan.cost_limit(evaluate)
        self.ledger = Ledger(plan.space, plan.minimize, plan.max_cost, store.folder)
        self.signals: list[int] = []  # that have arrived
        self.planned = 0
        self.truncated = False  # whether points of the design were too expensive
        self._next_point = 0  # of the design's sequence; ahead of `planned` if some points were too expensive
        self._trainer = Trainer(plan.trained(evaluate), executor, store, self.ledger, watcher, self.stopped)
        self._watcher = watcher

    @property
    def space(self) -> SearchSpace:
        """The hyperparameters and their ranges."""
        return self.plan.space

    @property
    def left(self) -> int:
        """Trials that are not planned yet."""
        return self.plan.n_trials - self.planned

    @property
    def seeded(self) -> bool:
        """Whether a training takes a seed, so that another seed may give another result."""
        return accepts_seed(self._trainer.evaluate)

    def stopped(self) -> bool:
        """Whether no further trial may be started."""
        return len(self.signals) > 0

    def affordable(self) -> TrialTable:
        """See :meth:`Ledger.affordable`."""
        return self.ledger.affordable(self.stopped())

    def admits(self, params: dict[str, Any]) -> bool:
        """Whether `params` may be trained, because they are not known to be too expensive."""
        return self.costs is None or self.costs.admits(params)

    def design(self, n: int, method: str) -> list[dict[str, Any]]:
        """The next `n` trials, drawn from the distributions of the space.

        `method` as in :func:`~hsicfast.search.samplers.design`.
        """
        start = max(self.planned, self._next_point)
        before = self.costs.refused if self.costs else 0
        drawn = design(self.space, n, self.plan.seed, method, start, self.costs)
        refused = self.costs.refused - before if self.costs else 0
        self._next_point = start + n + refused
        self.truncated |= refused > 0
        return drawn

    def propose(
        self,
        fixed: Mapping[str, Any],
        trials: TrialTable,
        count: int,
        wish: Wish = BEST,
        *,
        space: SearchSpace | None = None,
        method: str = "gp",
        ahead: int = 0,
    ) -> list[dict[str, Any]]:
        """Proposals of an optimiser that has seen `trials`, see :func:`~hsicfast.search.samplers.propose`.

        Parameters
        ----------
        fixed : mapping of str to value
            Hyperparameters that are not searched.
        trials : TrialTable
            The trials that the optimiser learns from.
        count : int
            Number of proposals.
        wish : Wish
            What the optimiser is to look for.
        space : SearchSpace, optional
            The space of the run, by default, or the same with narrower ranges.
        method : {"gp", "tpe", "random"}
        ahead : int
            Number of trials that are to be planned before these.
        """
        turn = Turn(self.plan.seed, self.planned + ahead, count)
        return propose(space or self.space, fixed, trials, turn, method=method, wish=wish, costs=self.costs)

    def train(self, name: str, origin: Origin, proposals: list[dict[str, Any]], note: str) -> None:
        """Plan `proposals` as the next trials, and train those that are not stored already.

        Parameters
        ----------
        name : str
            Name of the round; trials in a row with the same name form one round.
        origin : {"design", "search", "final"}
            How the trials were chosen.
        proposals : list of dict
            Their configurations.
        note : str
            How the trials were chosen, in words for people.
        """
        first, last = self.planned, self.planned + len(proposals)
        too_dear = self.costs.refused - sum(part.too_dear for part in self.rounds) if self.costs else 0
        begun = self.ledger.open(name, first, last, note, too_dear)
        if begun is not None:
            self._watcher.on_round(name, begun.story)
        self.planned = last
        pruning = self._pruning(origin)
        self._trainer.train(
            [
                Job(index, params, trial_seed(self.plan.seed, index), origin, pruning, self._price(params))
                for index, params in enumerate(proposals, start=first)
            ]
        )

    @property
    def rounds(self) -> list[Round]:
        """The rounds so far."""
        return self.ledger.rounds

    def learn(self, text: str) -> None:
        """Add to the ledger what was learnt from the latest round, and what is decided by it."""
        self.ledger.learn(text)
        self._watcher.on_learnt(text)

    def analyse(self, goal: float | Auto | None = None) -> Sensitivity:
        """Which hyperparameters decide, by the trials that were drawn from the distributions of the space.

        `goal` is the fraction that counts as good, or "auto"; by default the run's.
        """
        drawn = self.ledger.table.design
        evidence = drawn.evidence
        if self.stopped() and len(evidence) < LEAST_TRIALS:
            raise Interrupted(
                f"an analysis needs at least {LEAST_TRIALS} finished trials, but the run was interrupted after "
                f"{len(evidence)}; {self.ledger.go_on}"
            )
        done = drawn.select(drawn.status == DONE)
        if not len(done):
            raise self._trainer.nothing_done(self.ledger.table)
        if self.costs and not np.isfinite(done.cost).any():
            raise self.ledger.nothing_within(done, self.stopped())
        # If the design passed over expensive points, its trials no longer follow the distributions of the space.
        law: Law = "ranks" if self.truncated else "space"
        return analyse(self.space, drawn, goal=goal or self.plan.goal, seed=self.plan.seed, law=law)

    def _price(self, params: dict[str, Any]) -> float:
        return math.nan if self.costs is None else self.costs.price(params)

    def _pruning(self, origin: Origin) -> Pruning | None:
        """The pruner of the next trials, with the learning curves that are known now; None if the run has no pruner.

        Only trials of the search are stopped early. A trial of the design goes on to its end, because the analysis
        needs its final objective.
        """
        if self.plan.pruner is None:
            return None
        if origin != SEARCH:
            return Pruning(None)
        return Pruning(self.plan.pruner, self.plan.minimize, with_curves(self.ledger.in_order()))


@contextmanager
def stop_on_signals(run: Run, watcher: Watcher) -> Iterator[None]:
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

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: own for number, own in before.items() if own not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except SystemExit:
        # Lightning turns a KeyboardInterrupt inside a fit in this process into SystemExit(1).
        if len(run.signals) > 1:
            raise Interrupted(run.ledger.at_once, number=run.signals[-1]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
