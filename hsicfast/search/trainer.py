"""Has planned trials trained that the store does not hold yet, and waits for those that other hosts train."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hsicfast.errors import InputError
from hsicfast.files import jsonable
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search.ledger import Ledger
from hsicfast.training.executors import Executor
from hsicfast.training.groups import Group, grouped
from hsicfast.training.worker import Evaluate, Job
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import EXCEPTION, LOST, Trial

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
            claimed = self._claimed(missing)
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

    def _claimed(self, jobs: list[Job]) -> Iterator[Any]:
        """The jobs that this process trains, in the groups that train together; claimed when they are taken."""
        planned = grouped(self.evaluate, jobs) if getattr(self._executor, "takes_groups", False) else list(jobs)
        if not any(isinstance(each, Group) for each in planned):
            yield from self.store.claimed(jobs)
            return
        for each in planned:
            own = tuple(self.store.claimed(each.jobs if isinstance(each, Group) else (each,)))
            if own:
                yield Group(own) if len(own) > 1 else own[0]

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
            f"where {new!r} is asked for in {self.store.folder}; set n_trials back to what the run was started with "
            "and raise it after that, pass resume=force to train what differs again, or pass another hydra.run.dir="
        )
