"""A run in progress, as a strategy sees it: it proposes trials, trains them and analyses them.

A strategy (:mod:`hsicfast.search.strategies`) asks a :class:`Run` to propose, to train and to analyse. The trainer
takes trials that the store holds already, and has the executor train the others. The ledger keeps the trials that have
ended. None of them knows torch, Hydra or a terminal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hsicfast.errors import InputError
from hsicfast.evidence.redraws import ASKED, Lots
from hsicfast.indices.carried import Law
from hsicfast.indices.pairs import MOST_OF_A_RUN
from hsicfast.proposals.prospects import expected_gain, expected_harm
from hsicfast.proposals.samplers import Turn, design, propose
from hsicfast.proposals.transforms import BEST, Wish
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search.finals import tolerance_of
from hsicfast.search.ledger import Interrupted, Ledger, Round
from hsicfast.search.plan import RunPlan
from hsicfast.search.trainer import Trainer
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import number
from hsicfast.training.executors import Executor
from hsicfast.training.pruning import Pruning, with_curves
from hsicfast.training.worker import Evaluate, Job, accepts_seed
from hsicfast.trials.goal import Auto
from hsicfast.trials.points import plain_space, points_of, same_law
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, DONE, FINAL, PROPOSAL, SEARCH, Origin, stream_seed, trial_seed

# LEAST_TRIALS: an analysis of fewer trials says nothing.
LEAST_TRIALS = 4
# PORTION: trials of the design are drawn this many at a time.
PORTION = 1000
# A run with stop="enough" looks every LOOK_EVERY trials at what can still be gained, if FEWEST_LOOKED_AT or more ended
# well, and stops after LOOKS looks in a row at which it was too little.
LOOK_EVERY, FEWEST_LOOKED_AT, LOOKS = 5, 20, 2
# A search asks whether a hyperparameter matters (hsicfast.evidence.redraws) from this share of the trials on, because
# only then a Gaussian process has seen enough to guess which ones are worth the question.
ASK_FROM = 1 / 3


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
        known = plan.known.trials if plan.known else ()
        self.ledger = Ledger(plan.space, plan.minimize, plan.max_cost, store.folder, known, plan.objectives)
        self.signals: list[int] = []  # that have arrived
        self.first = self.planned = store.chapter.first
        self.given = 0  # trials of earlier chapters
        self._former: list[int] = []  # those of them that were drawn from the distributions of another space
        self.truncated = False  # whether points of the design were too expensive
        self.timed_out = False
        self.ended = ""  # why the run ended before its budget was spent
        self._most = plan.n_trials  # the budget; less once the search has found enough
        self._until = math.inf if plan.timeout is None else time.monotonic() + plan.timeout
        self._next_point = 0  # of the design's sequence; ahead of `planned` if some points were too expensive
        self._next_look = 0  # index of a trial
        self._exhausted = 0  # looks in a row at which nothing more could be expected
        self._lots = Lots(plan.space, plan.seed)
        self._decided: frozenset[str] = frozenset()  # what the design alone has shown to matter
        self._trainer = Trainer(plan.trained(evaluate), executor, store, self.ledger, watcher, self.stopped)
        self._watcher = watcher
        self._take_up(store)
        self.budget = self.left

    @property
    def space(self) -> SearchSpace:
        """The hyperparameters and their ranges."""
        return self.plan.space

    @property
    def left(self) -> int:
        """Trials that are not planned yet."""
        return max(self._most - self.given - (self.planned - self.first), 0)

    @property
    def seeded(self) -> bool:
        """Whether another seed may choose another winner: the training takes one, and there is a single objective."""
        return accepts_seed(self._trainer.evaluate) and self.plan.objectives is None

    @property
    def interrupted(self) -> bool:
        """Whether a signal stops the run."""
        return len(self.signals) > 0

    def stopped(self) -> bool:
        """Whether no further trial may be started."""
        if not self.timed_out and time.monotonic() >= self._until and len(self.ledger) < self._most:
            self.ended = f"timeout={number(self.plan.timeout)} seconds were over after {len(self.ledger)} trials"
            self._most, self.timed_out = self._most - self.left, True
        return self.interrupted or self.timed_out

    def enough(self, spared: int = 0) -> bool:
        """Whether the search may end, because what it can still be expected to gain is below the tolerance.

        It is asked for with ``stop="enough"``. All but the `spared` trials that are left are then given up. The
        gain (:func:`~hsicfast.proposals.prospects.expected_gain`) has to be too small at LOOKS looks
        in a row, which are LOOK_EVERY trials apart.
        """
        left = self.left - spared
        if self.plan.stop is None or left <= 0 or self.planned < self._next_look:
            return False
        self._next_look = self.planned + LOOK_EVERY
        trials = self.evidence
        if (trials.status == DONE).sum() < FEWEST_LOOKED_AT:
            return False
        tolerance = tolerance_of(trials, ()) if self.plan.tolerance is None else self.plan.tolerance
        gain = expected_gain(self.space, trials, left, stream_seed(self.plan.seed, self.planned, PROPOSAL))
        self._exhausted = self._exhausted + 1 if gain < tolerance else 0
        if self._exhausted < LOOKS:
            return False
        self.ended = (
            f"enough: {left} further trials can be expected to gain {number(gain)}, which is below the tolerance of "
            f"{number(tolerance)}"
        )
        self._most -= left
        self.learn(self.ended)
        return True

    def affordable(self) -> TrialTable:
        """See :meth:`Ledger.affordable`."""
        return self.ledger.affordable(self.interrupted)

    def design_due(self, share: float) -> int:
        """How many trials to draw from the distributions of the space before any search.

        It is this `share` of the budget, less all that is known already, but as many as an analysis needs.
        """
        wanted = max(round(share * self.plan.n_trials), LEAST_TRIALS)
        evidence = self.ledger.evidence.evidence
        due = max(wanted - len(evidence), LEAST_TRIALS - len(evidence.design))
        return max(min(due, self.left - 1), 0)

    @property
    def evidence(self) -> TrialTable:
        """All that is known, judged by the limit of the cost, see :meth:`Ledger.judge`."""
        return self.ledger.judge(self.ledger.evidence)

    def admits(self, params: dict[str, Any]) -> bool:
        """Whether `params` may be trained, because they are not known to be too expensive."""
        return self.costs is None or self.costs.admits(params)

    def design(self, n: int, method: str) -> list[dict[str, Any]]:
        """The next `n` trials, drawn from the distributions of the space.

        `method` as in :func:`~hsicfast.proposals.samplers.design`.
        """
        start = max(self.planned, self._next_point)
        before = self.costs.refused if self.costs else 0
        drawn = design(self.space, n, self.plan.seed, method, start, self.costs)
        refused = self.costs.refused - before if self.costs else 0
        self._next_point = start + n + refused
        if self.costs and self.given:
            # An earlier chapter that passed over expensive points has drawn some that lie ahead of its trials.
            tried = [trial.params for trial in self.ledger.in_order() if trial.index < self.first]
            fresh = [params for params in drawn if params not in tried]
            drawn = fresh + (self.design(n - len(fresh), method) if len(fresh) < n else [])
        self.truncated |= refused > 0
        return drawn

    def draw(self, n: int, method: str, note: str) -> None:
        """Draw the next `n` trials as :meth:`design` does, and train them, PORTION at a time.

        So the first one begins at once, and a signal is heard between two, however many they are.
        """
        while n > 0 and not self.stopped():
            portion = min(n, PORTION)
            self.train("design", DESIGN, self.design(portion, method), note)
            n -= portion

    def propose(
        self,
        fixed: Mapping[str, Any],
        trials: TrialTable,
        count: int,
        wish: Wish = BEST,
        *,
        space: SearchSpace | None = None,
        method: str = "gp",
    ) -> list[dict[str, Any]]:
        """Proposals of an optimiser that has seen `trials`, see :func:`~hsicfast.proposals.samplers.propose`.

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
        """
        indices = range(self.planned, self.planned + count)
        kept = [self._kept(index) for index in indices]
        known = [params for params in kept if params is not None]
        if len(known) == count:
            return known
        space, several, seed = space or self.space, self.plan.objectives, self.plan.seed
        turns = [(Turn(seed, self.planned, count), trials)]
        if several is not None:  # each goes to a place of its own on the front
            turns = [(Turn(seed, index), several.weighed(trials, several.weights(seed, index))) for index in indices]
        proposals: list[dict[str, Any]] = []
        for turn, seen in turns:
            proposals += propose(space, fixed, seen, turn, method=method, wish=wish, costs=self.costs)
        return [old or new for old, new in zip(kept, proposals, strict=True)]

    def asked(self, proposals: list[dict[str, Any]], share: float) -> list[dict[str, Any]]:
        """The next trials of a search, in a few of which a hyperparameter is moved away to see whether it matters.

        The hyperparameters that a Gaussian process expects to do most harm if they are moved come first; those that
        the design alone has shown to matter are left out. If the cost is limited, none is moved, because the lot must
        not depend on what may be trained.

        Parameters
        ----------
        proposals : list of dict
        share : float in [0, 1)
            Share of the budget that may be spent on such questions.
        """
        most = int(share * self.plan.n_trials / ASKED)
        if self.costs or self.planned < ASK_FROM * self.plan.n_trials:
            return proposals
        asked = []
        for index, proposal in enumerate(proposals, self.planned):
            params = self._lots.ask(index, proposal, most, self._likely)
            asked.append(self._kept(index) or params)  # a stored trial has been moved already
        return asked

    def _kept(self, index: int) -> dict[str, Any] | None:
        """The configuration of trial `index` of a search that is stored already, as this chapter proposed it.

        It would be proposed again, as a proposal depends on the trials before it alone; but that takes longer than to
        read it, and on another machine the last digit of a sum may differ. Where the cost is limited it is proposed
        again nevertheless, as the report counts what was refused.
        """
        store = self._trainer.store
        stored = None if store.forced or self.costs else store.trials.get(index)
        if stored is None or stored.origin != SEARCH:
            return None
        points, _ = points_of(self.space, [(stored, True)], {})
        return points[0].params if points else None

    def _likely(self) -> list[str]:
        """The hyperparameters that may be asked about and were not yet, the most harmful first."""
        parents = {parent for name in self.space for parent in self.space[name].conditions}
        able = set(self.space) - parents - self._decided - self._lots.asked
        if not able:  # a guess takes a Gaussian process, and this is asked before each trial
            return []
        harm = expected_harm(self.space, self.evidence)
        return sorted(harm.keys() & able, key=lambda name: (-harm[name], name))

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
        if not proposals:
            return
        first, last = self.planned, self.planned + len(proposals)
        too_dear = self.costs.refused - sum(part.too_dear for part in self.rounds) if self.costs else 0
        self._begin(name, first, last, note, too_dear)
        self.planned = last
        pruning = self._pruning(origin)
        names = self.plan.objectives.names if self.plan.objectives else ()
        self._trainer.train(
            [
                Job(index, params, trial_seed(self.plan.seed, index), origin, pruning, self._price(params), names)
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

        If there are too few of them, those that were drawn from another space in an earlier chapter are analysed.

        `goal` is the fraction that counts as good, or "auto"; by default the run's.
        """
        drawn = self._analysed()
        evidence = drawn.evidence
        if self.stopped() and len(evidence) < LEAST_TRIALS:
            why = f"the run was interrupted after {len(evidence)}" if self.interrupted else self.ended
            raise (Interrupted if self.interrupted else InputError)(
                f"an analysis needs at least {LEAST_TRIALS} finished trials, but {why}; {self.ledger.go_on}"
            )
        done = drawn.select(drawn.status == DONE)
        if not len(done):
            raise self._trainer.nothing_done(self.ledger.table)
        if self.costs and not np.isfinite(done.cost).any():
            raise self.ledger.nothing_within(done, self.interrupted)
        # If the design passed over expensive points, its trials no longer follow the distributions of the space.
        law: Law = "ranks" if self.truncated or not self.decides else "space"
        # The answers to what a search has asked count at the end alone: what is asked must not depend on them.
        redraws = self._lots.redraws(self.ledger.table) if goal is None else ()
        found = analyse(
            self.space,
            drawn,
            goal=goal or self.plan.goal,
            seed=self.plan.seed,
            pairs=math.comb(len(self.space), 2) <= MOST_OF_A_RUN,
            law=law,
            redraws=redraws,
        )
        if goal is not None:
            self._decided = frozenset(found.significant())
        return found

    @property
    def decides(self) -> bool:
        """Whether there are enough trials drawn from the distributions of the space to decide where to search."""
        return len(self.ledger.evidence.design.evidence) >= LEAST_TRIALS or not self._former

    def _analysed(self) -> TrialTable:
        """The trials drawn from the distributions of the space; those of a former space as well if they are too few."""
        evidence = self.ledger.evidence
        if self.decides:
            return evidence.design
        former = evidence.select((evidence.origin == DESIGN) | np.isin(evidence.index, self._former))
        return replace(former, origin=np.full_like(former.origin, DESIGN))

    def _take_up(self, store: Store) -> None:
        """Take the stored trials of earlier chapters as given, if they are points of the space."""
        earlier, now = store.earlier(), plain_space(self.space)
        if not earlier:
            return
        laws = {id(chapter): same_law(chapter.settings.get("space", {}), now) for _, chapter in earlier}
        points, left_out = points_of(
            self.space, [(trial, laws[id(chapter)]) for trial, chapter in earlier], self.plan.had
        )
        self.given = len(points)
        designed = {trial.index for trial, _ in earlier if trial.origin == DESIGN}
        self._former = [trial.index for trial in points if trial.origin == SEARCH and trial.index in designed]
        drawn = sum(trial.origin == DESIGN for trial in points)
        for trial in points:
            # Fresh seeds of an earlier choice do not choose among the trials that are still to come.
            again = trial.origin == FINAL and self.left > 0
            self.ledger.write(replace(trial, origin=SEARCH) if again else trial)
        note = f"of before, {self.given} of {len(earlier)} used, {drawn} of them as drawn from the search space"
        self._begin("earlier", 0, self.first, note + (f"; {left_out}" if left_out else ""), 0)
        for trial in points:
            self._watcher.on_trial(self.ledger[trial.index], True)

    def recall(self) -> None:
        """Train the best configurations that are known from elsewhere: of this task, and of each other one.

        The best trial is then a trial of the run, whatever the sources are. Of other tasks they are at most a tenth of
        the trials.
        """
        if self.plan.known is None:
            return
        known, several = self.ledger.judge(self.ledger.tabled(self.ledger.known)), self.plan.objectives
        able = (known.status == DONE).any()
        best = [(several.compromise(known) if several else known.best()).params] if able else []
        priors = self.plan.known.priors[: max(self.budget // 10, 1)]
        tried = [trial.params for trial in self.ledger.in_order() if trial.index < self.first]
        proposals: list[dict[str, Any]] = []
        for params in (*best, *priors):
            if params not in [*tried, *proposals] and self.admits(params):
                proposals.append(params)
        note = "; ".join(self.plan.known.notes)
        self._begin("known", self.planned, self.planned, note, 0)
        self.train("known", SEARCH, proposals[: max(self.left - LEAST_TRIALS, 0)], note)

    def _begin(self, name: str, first: int, last: int, note: str, too_dear: int) -> None:
        """Add trials to the round `name`, and tell the watcher if it is a new one."""
        begun = self.ledger.open(name, first, last, note, too_dear)
        if begun is not None:
            self._watcher.on_round(name, begun.story)

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
