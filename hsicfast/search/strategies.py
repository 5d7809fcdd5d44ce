"""The three strategies, which decide how a run spends its trials: random, two-step and hsic.

Each has a method ``conduct`` that reads as its method, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from hsicfast.errors import InputError, check_share, is_whole
from hsicfast.indices.reduction import Reduction, reduce
from hsicfast.proposals.samplers import DESIGNS, OPTIMIZERS, check_method
from hsicfast.proposals.transforms import Best, BestBelow, CheapAndAsGoodAs, Wish
from hsicfast.search.branches import FEWEST, WHOLE_SPACE, Branch, best_of, branches_of, least_tried, promising
from hsicfast.search.economy import CostBisection, at_expensive_ends, cheap_enough, decades, expensive_ends
from hsicfast.search.finals import best_and_economical, final_plan, finalists, finals_of, tolerance_of
from hsicfast.search.narrowing import DECIDING_GOAL, OUTSIDE_SHARE, as_it_is, decided, narrow
from hsicfast.search.plan import Strategy
from hsicfast.search.rounds import LEAST_TRIALS, LOOK_EVERY, Run
from hsicfast.sensitivity import Sensitivity
from hsicfast.text import share_text, value_text
from hsicfast.trials.goal import as_good_as, losses_of
from hsicfast.trials.trial import DESIGN, FINAL, SEARCH

# LEAST_TWO_STEP: a strategy that analyses and then searches needs LEAST_TRIALS trials for each of the two.
LEAST_TWO_STEP = 2 * LEAST_TRIALS
# MOST_FIRST: until every branch has its first few trials, at most this share of the search is spent on them.
MOST_FIRST = 1 / 2
# MOST_ECONOMY: the search for cheaper trials gets at most this share of the budget, however widely the costs differ.
MOST_ECONOMY = 0.2
# Wording of the notes of a round.
_METHOD = {"gp": "a Gaussian process", "tpe": "a tree-structured Parzen estimator", "random": "random search"}
_DRAWN = {"random": "independently", "sobol": "along a Sobol sequence", "latin": "as a Latin hypercube"}
# MOST_SHARED: the shares of the hsic strategy are of at most this many trials. What a budget has beyond them is drawn
# from the distributions of the space: a Gaussian process hardly gains from more than 2,000, and the analysis does.
# PER_BATCH: unless `batch` says another number, one trial is proposed at a time for each PER_BATCH of them.
MOST_SHARED, PER_BATCH = 2_500, 100
# WARPED_BEST: the strategy hsic looks for the best loss. The optimiser sees the losses after the power transform that
# makes them most normal.
WARPED_BEST = Best(warp=True)


@dataclass(frozen=True)
class Random:
    """Draw every trial from the distributions of the space, then analyse.

    Parameters
    ----------
    design : {"random", "sobol", "latin"}
        How the trials are drawn.
    """

    design: str = "random"

    def __post_init__(self) -> None:
        check_method("strategy.design", self.design, DESIGNS)

    @property
    def grows(self) -> bool:
        """See :class:`~hsicfast.search.plan.Strategy`: the points of a Latin hypercube depend on their number."""
        return self.design != "latin"

    def check(self, n_trials: int) -> None:
        """See :meth:`~hsicfast.search.plan.Strategy.check`."""
        _check_trials("random", n_trials, LEAST_TRIALS)

    def conduct(self, run: Run) -> tuple[Sensitivity, Reduction | None]:
        """See :meth:`~hsicfast.search.plan.Strategy.conduct`."""
        while run.left and not run.stopped() and not run.enough():
            portion = run.left if run.plan.stop is None else min(run.left, LOOK_EVERY)
            run.draw(portion, self.design, f"drawn {_DRAWN[self.design]} from the search space")
        return run.analyse(), None


@dataclass(frozen=True)
class TwoStep:
    """The published method: sample and analyse, fix what shows no influence to a cheap value, optimise the rest.

    Parameters
    ----------
    design_share : float
        Share of the trials that are drawn from the distributions of the space, in (0, 1).
    design : {"random", "sobol", "latin"}
        How these trials are drawn.
    optimizer : {"gp", "tpe", "random"}
        The optimiser that proposes the other trials: a Gaussian process, a tree-structured Parzen estimator, or random
        search.
    alpha : float
        Level of the tests that decide which hyperparameters are searched, in (0, 1).
    batch : int
        Number of trials that are proposed together. The proposals do not depend on the number of workers.
    """

    design_share: float = 2 / 3
    design: str = "random"
    optimizer: str = "gp"
    alpha: float = 0.05
    batch: int = 4

    def __post_init__(self) -> None:
        check_method("strategy.design", self.design, DESIGNS)
        check_share("strategy.design_share", self.design_share, usual=0.5)
        check_share("strategy.alpha", self.alpha, usual=0.05)
        _check_batch(self.batch)

    def check(self, n_trials: int) -> None:
        """See :meth:`~hsicfast.search.plan.Strategy.check`."""
        _check_trials("two_step", n_trials, LEAST_TWO_STEP)
        check_method("strategy.optimizer", self.optimizer, OPTIMIZERS)

    def conduct(self, run: Run) -> tuple[Sensitivity, Reduction | None]:
        """See :meth:`~hsicfast.search.plan.Strategy.conduct`."""
        # 1. Draw trials from the distributions of the space, and train them.
        run.recall()
        due = run.design_due(self.design_share)
        run.draw(due, self.design, f"drawn {_DRAWN[self.design]} from the search space")
        # 2. Find out which hyperparameters decide whether a trial ends among the best.
        sensitivity = run.analyse()
        if run.stopped():
            return sensitivity, None
        # 3. Fix each of the others to a cheap good value.
        reduction = reduce(sensitivity, self.alpha)
        searched = f"{len(reduction.space)} of {len(run.space)} hyperparameters"
        note = f"proposed by {_METHOD[self.optimizer]} in the {searched} that are searched on"
        # 4. Optimise the remaining ones in batches, so that proposals do not depend on which worker is ready first.
        while run.left and not run.stopped() and not run.enough():
            count = min(self.batch, run.left)
            proposals = run.propose(reduction.fixed, run.ledger.evidence, count, method=self.optimizer)
            run.train("optimise", SEARCH, proposals, note)
        return sensitivity, reduction


@dataclass(frozen=True)
class Hsic:
    """Visit every branch, search all of them at once; look for a cheaper one as good; train the best again.

    Parameters
    ----------
    design_share : float
        Share of the trials that are drawn from the distributions of the space before any search, in (0, 1).
    branch_share : float
        Share of the search that is spent on the promising branch with the fewest trials, in (0, 1). The rest goes
        wherever the optimiser expects most.
    economy_share : float
        Share of the trials that look for cheaper ones as good as the winner, in (0, 1). It is multiplied by the number
        of factors of 10 that the costs of the design span; the product is at most a fifth of the trials.
    honest_share : float
        Share of the search that is drawn from the distributions of the space before an optimiser proposes the rest, in
        (0, 1), because the analysis describes these distributions.
    batch : int, optional
        Number of trials that are proposed together; by default one for each 100 of the budget. They train side by
        side, so that more workers than that have nothing to do while the search goes on; but of trials proposed
        together none learns from another. The proposals do not depend on the number of workers.
    final_share : float
        Share of the trials that train the best few configurations again with fresh seeds, in [0, 1). Each
        configuration gets two seeds if there are at least 4 such trials, else one. There are no such trials if they
        would suffice for fewer than two configurations, if `evaluate` takes no seed, or if there are several
        objectives, whose front has no single winner.
    ask_share : float
        Share of the trials, in [0, 1), in which the search asks whether a hyperparameter matters, one hyperparameter
        after another, in 12 trials each. In 3 of these, drawn by lot, its value is moved away from the one proposed, so
        that these trials count in the analysis, too (:mod:`hsicfast.evidence.redraws`).

    Notes
    -----
    Shares are of at most 2,500 trials. What a budget has beyond them is drawn from the distributions of the space.
    """

    design_share: float = 0.2
    branch_share: float = 0.25
    economy_share: float = 0.1
    honest_share: float = 0.1
    batch: int | None = None
    final_share: float = 0.06
    ask_share: float = 0.3

    def __post_init__(self) -> None:
        for name, usual in (("design", 0.2), ("branch", 0.25), ("economy", 0.1), ("honest", 0.1)):
            check_share(f"strategy.{name}_share", getattr(self, f"{name}_share"), usual)
        check_share("strategy.final_share", self.final_share, usual=0.06, zero=True)
        check_share("strategy.ask_share", self.ask_share, usual=0.3, zero=True)
        if self.batch is not None:
            _check_batch(self.batch)

    def check(self, n_trials: int) -> None:
        """See :meth:`~hsicfast.search.plan.Strategy.check`."""
        _check_trials("hsic", n_trials, LEAST_TWO_STEP)
        check_method("strategy", "gp", OPTIMIZERS)

    def conduct(self, run: Run) -> tuple[Sensitivity, Reduction | None]:
        """See :meth:`~hsicfast.search.plan.Strategy.conduct`."""
        # 1. Train a design; its analysis decides which hyperparameters to fix or to narrow. In a Latin hypercube
        #    hyperparameters are independent. In the first points of a Sobol sequence some two of them go together, and
        #    the one that does nothing would be named for the other.
        run.recall()
        shared = _shared(run)
        due = run.design_due(self.design_share + (1 - self.design_share) * (1 - shared))
        run.draw(due, "latin", f"drawn {_DRAWN['latin']} from the search space")
        reduction = _learn(run)
        # Of several objectives the cost may be one; what is left for it otherwise goes to the front.
        share = 0.0 if run.plan.objectives else min(self.economy_share * decades(run.evidence.cost), MOST_ECONOMY)
        economy = round(share * shared * run.budget)
        # The finals judge all trials, those of earlier chapters among them.
        again = round(self.final_share * shared * run.plan.n_trials)
        again = min(again, run.left // 2) if run.given else again
        candidates, seeds = final_plan(again) if run.seeded else (0, 0)
        spared = min(economy + candidates * seeds, run.left)
        # 2. Train a few trials in each branch: in each the most promising ones, by what all trials have shown.
        branches = branches_of(run.space)
        if len(branches) > 1:
            self._visit(run, branches, spared, reduction)
            branches, learnt = promising(branches, run.evidence)
            run.learn(learnt)
        # 3. Find out whether higher cost helps: repeat the best trial of each branch at the expensive ends of the
        #    hyperparameters that drive the cost.
        self._spend(run, branches, spared)
        # 4. Search all branches at once. A share of the trials goes to the branch that has been tried least, because
        #    its best ones may lie where nobody has looked. Half way through, find out again whether higher cost helps.
        self._search(run, branches, spared, reduction)
        reduction = _learn(run, reduction)
        # 5. Economise: look for a cheaper trial that is as good as the best within the tolerance.
        self._economise(run, reduction, candidates * seeds)
        # 6. Train the best few configurations again with fresh seeds, because the best of many trials was lucky as well
        #    as good. What economising has found is among them. The same trials show how far seeds scatter.
        if candidates:
            self._choose(run, candidates, seeds)
        return run.analyse(), reduction

    def _spend(self, run: Run, left: list[Branch], spared: int) -> None:
        """Train one expensive trial for each branch of `left`, if numbers are known to drive the cost."""
        trials = run.evidence
        ends = expensive_ends(run.space, trials)
        tried = [trial.params for trial in trials]
        proposals = []
        for branch in left:
            best = best_of(branch.trials(trials))
            if best is None:
                continue
            expensive = at_expensive_ends(best.params, ends)
            if expensive not in tried and run.admits(expensive):
                proposals.append(expensive)
        if proposals and not run.stopped():
            shown = ", ".join(f"{name}={value_text(end)}" for name, end in ends.items())
            note = f"that repeat the best of each branch at the expensive end ({shown})"
            run.train("spend", SEARCH, proposals[: max(run.left - spared, 0)], note)

    def _economise(self, run: Run, reduction: Reduction, spared: int) -> None:
        """Look for cheaper trials that are as good as the best, in all branches; leave `spared` trials.

        Two wishes take turns: the cheapest trial that is expected to be as good, and the best trial at a lower cost
        (:class:`~hsicfast.search.economy.CostBisection`). The first wish suffices if the Gaussian process has learnt
        which trials are good; if it has not, the second wish trains trials that teach it.
        """
        bisection, in_turns = CostBisection(), cycle((True, False))
        while run.left > spared and not run.stopped():
            trials, able = run.ledger.judged, run.affordable()
            tolerance = tolerance_of(able, ()) if run.plan.tolerance is None else run.plan.tolerance
            best, cheap = best_and_economical(able, (), tolerance)
            limit = as_good_as(losses_of(best.objective, run.plan.minimize), tolerance)
            wish: Wish
            if next(in_turns):
                wish = CheapAndAsGoodAs(limit, cheap_enough(cheap.cost, trials), warp=True)
            else:
                wish = BestBelow(warp=True, most=bisection.most(cheap.cost, trials))
            count = min(self._together(run), run.left - spared)
            proposals = self._propose(run, WHOLE_SPACE, count, reduction, wish)
            note = f"proposed to be cheap, with an objective as good as {losses_of(limit, run.plan.minimize):.6g}"
            run.train("economise", SEARCH, proposals, note)

    def _choose(self, run: Run, candidates: int, seeds: int) -> None:
        """Train `candidates` configurations again with fresh seeds, `seeds` times each, until no trial is left.

        Two thirds of them are the best ones. Each further place goes to the trial that is economical by what the fresh
        seeds before it have shown, or to the next best if that trial has had its own.
        """
        able = run.affordable()
        ranked = finalists(able, candidates)
        tried = ranked[: candidates - max(candidates // 3, 1)]
        turns = [trial.params for trial in tried] * seeds
        note = f"that train the best {candidates} configurations again, with fresh seeds"
        while run.left and not run.stopped():
            run.train("finals", FINAL, turns[: run.left], note)
            known = [trial.params for trial in tried]
            cheap = best_and_economical(able, finals_of(run.ledger.judged), run.plan.tolerance)[1]
            others = [trial for trial in (cheap, *ranked) if trial.params not in known]
            if others and len(tried) < candidates and run.left >= seeds:
                tried.append(others[0])
                turns = [others[0].params] * seeds
            else:
                turns = known

    def _visit(self, run: Run, branches: list[Branch], spared: int, reduction: Reduction) -> None:
        """Train trials in the branch with the fewest, until each has FEWEST or half of the search is spent."""
        most = round(MOST_FIRST * (run.left - spared))
        stop = run.left - most
        while run.left > stop and not run.stopped():
            branch, tried = least_tried(branches, run.evidence)
            if tried >= FEWEST:
                return
            count = min(self._together(run), run.left - stop)
            note = f"proposed in the branch with the fewest trials, until each has {FEWEST}"
            run.train("branches", SEARCH, self._propose(run, branch, count, reduction), note)

    def _search(self, run: Run, branches: list[Branch], spared: int, reduction: Reduction) -> None:
        """Search until only `spared` trials are left, or nothing more can be expected to be gained.

        Those that are spared are for the rounds after the search, which take place even if it has found enough
        (:meth:`~hsicfast.search.rounds.Run.enough`). The first few trials are drawn from the distributions of the
        space. Half way through, higher cost is tried again: the best trials are others by then, more trials show what
        drives the cost, and a process that has seen cheap trials around the best is sure of the expensive end, too.
        """
        several = branches != [WHOLE_SPACE]
        together = self._together(run)
        note = f"proposed {'one' if together == 1 else together} at a time, in the whole space"
        if several:
            note += f", {share_text(self.branch_share)} of them in the branch with the fewest trials"
        honest = round(self.honest_share * (run.left - spared))
        if any(trial.origin == DESIGN for trial in run.ledger.known):
            honest = 0  # enough trials for the analysis are known
        if honest and not run.stopped():
            run.train("search", DESIGN, run.design(honest, "random"), note)
        half = (run.left + spared) // 2
        while run.left > spared and not run.stopped() and not run.enough(spared):
            if run.left <= half:
                half = 0
                self._spend(run, promising(branches, run.evidence)[0], spared)
                continue
            branch = WHOLE_SPACE
            if several and np.random.default_rng([run.plan.seed, run.planned, 1]).random() < self.branch_share:
                branch = least_tried(promising(branches, run.evidence)[0], run.evidence)[0]
            count = min(together, run.left - spared)
            proposals = self._propose(run, branch, count, reduction)
            run.train("search", SEARCH, run.asked(proposals, self.ask_share * _shared(run)), note)

    def _together(self, run: Run) -> int:
        """How many trials are proposed together."""
        return self.batch or max(min(run.plan.n_trials, MOST_SHARED) // PER_BATCH, 1)

    def _propose(
        self, run: Run, branch: Branch, count: int, reduction: Reduction, wish: Wish = WARPED_BEST
    ) -> list[dict[str, Any]]:
        """The next `count` trials, which an optimiser that has seen all others proposes in the `branch`."""
        draw = np.random.default_rng([run.plan.seed, run.planned])
        space = run.space if draw.random() < OUTSIDE_SHARE else reduction.narrowed(run.space)
        return run.propose(reduction.fixed | branch.fixed, run.ledger.evidence, count, wish, space=space)


def _shared(run: Run) -> float:
    """The part of the budget that is divided by the shares of a strategy: all, or MOST_SHARED trials of it."""
    return min(1.0, MOST_SHARED / run.plan.n_trials)


def _learn(run: Run, before: Reduction | None = None) -> Reduction:
    """Decide where to search, by the trials drawn from the space; written down if it differs from the one `before`."""
    findings = run.analyse(DECIDING_GOAL)
    reduction = narrow(findings) if run.decides else as_it_is(findings)
    if before is None or decided(reduction) != decided(before):
        run.learn(decided(reduction))
    return reduction


def _check_batch(batch: Any) -> None:
    """Raise an InputError unless `batch` is a whole number of at least 1."""
    if not is_whole(batch) or batch < 1:
        raise InputError(f"`strategy.batch >= 1` must hold, but got {batch!r}; give a whole number")


def _check_trials(strategy: str, n_trials: Any, least: int) -> None:
    """Raise an InputError unless `n_trials` is a whole number of at least `least`."""
    if not is_whole(n_trials) or n_trials < least:
        raise InputError(
            f"`n_trials >= {least}` must hold for the strategy {strategy}, but got n_trials={n_trials!r}; "
            "give a whole number that is large enough"
        )


STRATEGIES: dict[str, Callable[[], Strategy]] = {"hsic": Hsic, "two_step": TwoStep, "random": Random}


def strategy_of(given: str | Strategy) -> Strategy:
    """The strategy of this name, with its default settings; a strategy object is returned as it is.

    Raises
    ------
    InputError
        If no strategy has the name.
    """
    if not isinstance(given, str):
        return given
    if given not in STRATEGIES:
        raise InputError(f"strategy must be one of {', '.join(STRATEGIES)}, but got {given!r}; choose one of them")
    return STRATEGIES[given]()
