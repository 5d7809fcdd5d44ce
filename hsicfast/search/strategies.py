"""How a run spends its trials: random, two-step, hsic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from hsicfast.errors import InputError, check_share, is_whole
from hsicfast.indices.reduction import Reduction, reduce
from hsicfast.search.branches import Branching, best_of, branching, conditions_inside, promising
from hsicfast.search.economy import CostBisection, at_expensive_ends, cheap_enough, decades, expensive_ends
from hsicfast.search.finals import best_and_economical, final_plan, finalists, finals_of, seed_noise
from hsicfast.search.narrowing import DECIDING_GOAL, OUTSIDE_SHARE, decided, narrow
from hsicfast.search.plan import Strategy
from hsicfast.search.rounds import LEAST_TRIALS, Run
from hsicfast.search.samplers import DESIGNS, OPTIMIZERS, check_method
from hsicfast.search.transforms import Best, BestBelow, CheapAndAsGoodAs, Wish
from hsicfast.sensitivity import Sensitivity
from hsicfast.text import value_text
from hsicfast.trials.goal import as_good_as, losses_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, FINAL, SEARCH

# The two-step method needs trials to analyse, and as many again to search with.
LEAST_TWO_STEP = 2 * LEAST_TRIALS
# Of the proposals, by Parzen estimators where hyperparameters come and go inside the branches, too: these see them all,
# a process only those that are always there.
TREE_SHARE = 1 / 2
# Of the trials at most so many are spent on economy, however many decades the costs span.
MOST_ECONOMY = 0.2
_METHOD = {"gp": "a Gaussian process", "tpe": "a tree of Parzen estimators", "random": "random search"}
_DRAWN = {"random": "independently", "sobol": "along a Sobol sequence"}
# Losses are seen by the power that makes them most normal.
WARPED_BEST = Best(warp=True)


@dataclass(frozen=True)
class Random:
    """Draw every trial from the law of the space, then analyse.

    Parameters
    ----------
    design : {"random", "sobol"}
        How the trials are drawn.
    """

    design: str = "random"

    def __post_init__(self) -> None:
        check_method("strategy.design", self.design, DESIGNS)

    def check(self, n_trials: int) -> None:
        """See :meth:`~hsicfast.search.plan.Strategy.check`."""
        _check_trials("random", n_trials, LEAST_TRIALS)

    def conduct(self, run: Run) -> tuple[Sensitivity, Reduction | None]:
        """See :meth:`~hsicfast.search.plan.Strategy.conduct`."""
        proposals = run.design(run.left, self.design)
        run.train("design", DESIGN, proposals, f"drawn {_DRAWN[self.design]} from the law of the space")
        return run.analyse(), None


@dataclass(frozen=True)
class TwoStep:
    """The published method: sample and analyse, fix what shows no influence to a cheap value, optimise the rest.

    Parameters
    ----------
    design_share : float
        Share of the trials that are drawn from the law of the space, in (0, 1).
    design : {"random", "sobol"}
        How they are drawn.
    optimizer : {"gp", "tpe", "random"}
        Who proposes the others.
    alpha : float
        Level of the tests that decide what is searched on, in (0, 1).
    batch : int
        Trials proposed at a time. The proposals are the same whatever the number of workers.
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
        # 1. Sample the space by its own law, and train what was drawn.
        drawn = min(max(round(self.design_share * run.plan.n_trials), LEAST_TRIALS), run.plan.n_trials - 1)
        proposals = run.design(drawn, self.design)
        run.train("design", DESIGN, proposals, f"drawn {_DRAWN[self.design]} from the law of the space")
        # 2. Which hyperparameters decide who ends among the best?
        sensitivity = run.analyse()
        if run.stopped():
            return sensitivity, None
        # 3. Fix the others to a cheap good value.
        reduction = reduce(sensitivity, self.alpha)
        searched = f"{len(reduction.space)} of {len(run.space)} hyperparameters"
        note = f"proposed by {_METHOD[self.optimizer]} in the {searched} that are searched on"
        # 4. Optimise what is left, in batches, so that proposals do not depend on who is ready first.
        while run.left and not run.stopped():
            count = min(self.batch, run.left)
            proposals = run.propose(reduction.fixed, run.ledger.table, count, method=self.optimizer)
            run.train("optimise", SEARCH, proposals, note)
        return sensitivity, reduction


@dataclass(frozen=True)
class Hsic:
    """Search what all trials share, then inside the branches worth it, with evidence; try the best again; economise.

    Parameters
    ----------
    design_share : float
        Share of the trials that are drawn from the law of the space before any search, in (0, 1).
    shared_share : float
        Share of the trials that search what every trial has, over all branches, in (0, 1).
    economy_share : float
        Share of the trials that look for cheaper ones as good as the winner, in (0, 1), for each factor of 10 that the
        costs of the design span, and a fifth of the trials at most.
    honest_share : float
        Share of each round that is drawn from the law of the space, in (0, 1), for the analysis speaks of that law.
    batch : int
        Trials proposed at a time in each branch. The proposals are the same whatever the number of workers.
    final_share : float
        Share of the trials that train the best few configurations again with fresh seeds, in [0, 1): two seeds each
        from 4 such trials on, else one. There are none where that is less than two configurations, or where `evaluate`
        takes no seed.
    """

    design_share: float = 0.2
    shared_share: float = 0.3
    economy_share: float = 0.1
    honest_share: float = 0.1
    batch: int = 1
    final_share: float = 0.06

    def __post_init__(self) -> None:
        for name, usual in (("design", 0.2), ("shared", 0.3), ("economy", 0.1), ("honest", 0.1)):
            check_share(f"strategy.{name}_share", getattr(self, f"{name}_share"), usual)
        check_share("strategy.final_share", self.final_share, usual=0.06, zero=True)
        _check_batch(self.batch)

    def check(self, n_trials: int) -> None:
        """See :meth:`~hsicfast.search.plan.Strategy.check`."""
        _check_trials("hsic", n_trials, LEAST_TWO_STEP)
        check_method("strategy", "gp", OPTIMIZERS)

    def conduct(self, run: Run) -> tuple[Sensitivity, Reduction | None]:
        """See :meth:`~hsicfast.search.plan.Strategy.conduct`."""
        # 1. A Sobol design, and what it says.
        drawn = min(max(round(self.design_share * run.plan.n_trials), LEAST_TRIALS), run.plan.n_trials - 1)
        run.train("design", DESIGN, run.design(drawn, "sobol"), "drawn along a Sobol sequence")
        reduction = _learn(run)
        economy = round(min(self.economy_share * decades(run.ledger.judged.cost), MOST_ECONOMY) * run.plan.n_trials)
        candidates, seeds = final_plan(round(self.final_share * run.plan.n_trials)) if run.seeded else (0, 0)
        spared = economy + candidates * seeds
        # 2. What every trial has, over all branches; a process that knows every trial chooses among them.
        branches = branching(run.space)
        aside = ", half of them in all there is" if conditions_inside(run.space) else ""
        if branches:
            stop = run.left - min(round(self.shared_share * run.plan.n_trials), run.left - spared)
            note = f"proposed in what every trial has, over all branches{aside}"
            self._search(run, "shared", None, [None], stop, reduction, note)
            reduction = _learn(run, reduction)
        # 3. Does spending more help? The best of each branch again, with what drives the cost at its dear end.
        left: list[Any] = list(branches.values) if branches else [None]
        self._spend(run, branches, left, spared)
        # 4. Rounds inside the branches: equal turns for those that are left, half of which go after each.
        rounds = math.ceil(math.log2(len(left))) + 1
        note = f"proposed inside each {branches.name} in turns{aside}" if branches else "proposed in the whole space"
        for number in range(rounds):
            # The last is twice as long as the others.
            stop = spared if number + 1 == rounds else run.left - (run.left - spared) // (rounds - number + 1)
            self._search(run, f"search {number + 1}", branches, left, stop, reduction, note)
            reduction = _learn(run, reduction)
            if branches and number + 1 < rounds:
                left, learnt = promising(branches, left, run.ledger.judged, math.ceil(len(left) / 2))
                run.learn(learnt)
        # 5. The best few again with fresh seeds: the best of many was lucky, too. They also say how far seeds scatter.
        if candidates and run.left and not run.stopped():
            few = finalists(run.affordable(), candidates)
            turns = max(run.left - economy, min(run.left, candidates * seeds))
            proposals = [few[turn % len(few)].params for turn in range(turns)]
            note = f"that train the best {len(few)} configurations again, with fresh seeds"
            run.train("finals", FINAL, proposals, note)
        # 6. Economise: as good as the winner within the tolerance, and cheaper.
        self._economise(run, branches, reduction)
        return run.analyse(), reduction

    def _spend(self, run: Run, branches: Branching | None, left: list[Any], spared: int) -> None:
        """One dear trial a branch, where the cost is known to depend on numbers."""
        trials = run.ledger.judged
        ends = expensive_ends(run.space, trials)
        tried = [trial.params for trial in trials]
        proposals = []
        for value in left:
            best = best_of(_inside(branches, value, trials))
            if best is None:
                continue
            dear = at_expensive_ends(best.params, ends)
            if dear not in tried and run.admits(dear):
                proposals.append(dear)
        if proposals and not run.stopped():
            told = ", ".join(f"{name}={value_text(end)}" for name, end in ends.items())
            note = f"that repeat the best of each branch at the dear end ({told})"
            run.train("spend", SEARCH, proposals[: max(run.left - spared, 0)], note)

    def _economise(self, run: Run, branches: Branching | None, reduction: Reduction) -> None:
        """Look for cheaper trials in the branch of the cheapest one that is as good as the winner.

        Two wishes take turns: the cheapest trial that is expected to be as good, and the best trial at a lower cost
        (:class:`~hsicfast.search.economy.CostBisection`). The first gets to the end if the Gaussian process knows what
        is good; the second teaches it that if it does not.
        """
        bisection, in_turns = CostBisection(), cycle((True, False))
        while run.left and not run.stopped():
            trials = run.ledger.judged
            finals = finals_of(trials)
            best, cheap = best_and_economical(run.affordable(), finals, run.plan.tolerance)
            limit = as_good_as(losses_of(best.objective, run.plan.minimize), run.plan.tolerance, seed_noise(finals))
            value = cheap.params[branches.name] if branches else None
            wish: Wish
            if next(in_turns):
                wish = CheapAndAsGoodAs(limit, cheap_enough(cheap.cost, _inside(branches, value, trials)), warp=True)
            else:
                wish = BestBelow(warp=True, most=bisection.most(cheap.cost, trials))
            proposals = self._propose(run, branches, value, 1, reduction, wish=wish)
            note = f"proposed to be cheap, with an objective as good as {losses_of(limit, run.plan.minimize):.6g}"
            run.train("economise", SEARCH, proposals, note)

    def _search(
        self,
        run: Run,
        name: str,
        branches: Branching | None,
        left: list[Any],
        stop: int,
        reduction: Reduction,
        note: str,
    ) -> None:
        """Spend the trials beyond `stop`: a few drawn from the law, the others in turns for the branches of `left`."""
        honest = max(round(self.honest_share * (run.left - stop)), 0)
        if honest and not run.stopped():
            run.train(name, DESIGN, run.design(honest, "sobol"), note)
        while run.left > stop and not run.stopped():
            turn = left[: run.left - stop]
            count = min(self.batch, (run.left - stop) // len(turn))
            proposals = [
                params
                for place, value in enumerate(turn)
                for params in self._propose(run, branches, value, count, reduction, place * count)
            ]
            run.train(name, SEARCH, proposals, note)

    def _propose(
        self,
        run: Run,
        branches: Branching | None,
        value: Any,
        count: int,
        reduction: Reduction,
        ahead: int = 0,
        wish: Wish = WARPED_BEST,
    ) -> list[dict[str, Any]]:
        """What an optimiser proposes in a branch by the trials there; a share outside the narrowed ranges."""
        fixed = reduction.fixed | ({branches.name: value} if branches else {})
        seen = _inside(branches, value, run.ledger.table)
        draw = np.random.default_rng([run.plan.seed, run.planned + ahead])
        space = run.space if draw.random() < OUTSIDE_SHARE else reduction.narrowed(run.space)
        # Of what is cheap and as good Parzen estimators know next to nothing, for few trials are.
        anything = isinstance(wish, Best) and wish.most is None
        trees = anything and conditions_inside(run.space) and draw.random() < TREE_SHARE
        return run.propose(fixed, seen, count, wish, space=space, method="tpe" if trees else "gp", ahead=ahead)


def _inside(branches: Branching | None, value: Any, trials: TrialTable) -> TrialTable:
    """Those in the branch of `value`; all where there are no branches."""
    return branches.trials(value, trials) if branches else trials


def _learn(run: Run, before: Reduction | None = None) -> Reduction:
    """What the trials drawn from the law say about where to search; told where it is not what they said `before`."""
    reduction = narrow(run.analyse(DECIDING_GOAL))
    if before is None or decided(reduction) != decided(before):
        run.learn(decided(reduction))
    return reduction


def _check_batch(batch: Any) -> None:
    if not is_whole(batch) or batch < 1:
        raise InputError(f"`strategy.batch >= 1` must hold, but got {batch!r}; give a whole number")


def _check_trials(strategy: str, n_trials: Any, least: int) -> None:
    if not is_whole(n_trials) or n_trials < least:
        raise InputError(
            f"`n_trials >= {least}` must hold for the strategy {strategy}, but got n_trials={n_trials!r}; "
            "give a whole number that is large enough"
        )


STRATEGIES: dict[str, Callable[[], Strategy]] = {"hsic": Hsic, "two_step": TwoStep, "random": Random}
