"""What to try next: a design, drawn from the distributions of the space, or the proposals of an optimiser.

Everything here is a pure function of its arguments. A proposal depends on the trials that are passed and on (seed,
index), never on a sampler's memory or on the order in which workers finish, so that an interrupted run ends as an
uninterrupted one.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.errors import InputError, require
from hsicfast.proposals.coordinates import Coordinates
from hsicfast.proposals.nested import FEWEST_KNOWN, NestedSearch, has_conditions
from hsicfast.proposals.transforms import BEST, Lesson, Wish, log_excess, over_limit
from hsicfast.space.distributions import position, quiet, searched, suggested
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.costs import MOST_DRAWN, CostLimit
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import PROPOSAL, SPARE, Trial, stream_seed

if TYPE_CHECKING:
    import optuna

DESIGNS = ("random", "sobol", "latin")
OPTIMIZERS = ("gp", "tpe", "random")
# MOST_ASKED: an optimiser whose proposals are too expensive this many times in a row has not learnt the limit.
MOST_ASKED = 8


def design(
    space: SearchSpace, n: int, seed: int, method: str = "random", start: int = 0, costs: CostLimit | None = None
) -> list[dict[str, Any]]:
    """Params of the trials ``start, ..., start + n - 1``, drawn from the distributions of `space`.

    If no point is too expensive, trial i is the same whatever `n` and `start` are. This is not so in a Latin hypercube,
    whose points depend on both.

    Parameters
    ----------
    space : SearchSpace
        Its distributions map uniform points of the unit cube to values.
    n : int
        Number of trials.
    seed : int
        Seed of the run.
    method : {"random", "sobol", "latin"}
        Independent points, one scrambled Sobol sequence, or a Latin hypercube of `n` points: each hyperparameter has
        one value in each n-th of its range, in an order that is independent of the others.
    start : int
        Index of the first point.
    costs : CostLimit, optional
        Points that are too expensive are passed over, and the next ones taken. The distribution is then that of the
        space, given that the price is within the limit.

    Raises
    ------
    InputError
        If `method` is unknown, or if 1,000 points in a row are too expensive.

    Examples
    --------
    >>> from hsicfast import Float, Int
    >>> space = SearchSpace({"depth": Int(1, 4), "rate": Float(1e-4, 1.0, log=True)})
    >>> design(space, 3, seed=0)[2] == design(space, 1, seed=0, start=2)[0]
    True
    """
    check_method("design", method, DESIGNS)
    points = _points(len(space), seed, method, start, n)
    drawn: Iterator[dict[str, Any]] = map(space.from_unit, points)
    return list(islice(drawn if costs is None else costs.affordable(drawn), n))


def _points(d: int, seed: int, method: str, start: int, n: int) -> Iterator[Floats]:
    """The points (d,) of a design from the point `start` on, without end."""
    if method == "random":
        yield from (np.random.default_rng([seed, index]).random(d) for index in counter(start))
    elif method == "latin":
        from scipy.stats import qmc

        for cube in counter():  # further ones follow if points of the first are too expensive
            yield from qmc.LatinHypercube(d, seed=np.random.default_rng([seed, start, cube, n])).random(max(n, 1))
    else:
        from scipy.stats import qmc

        sequence = qmc.Sobol(d=d, scramble=True, seed=np.random.default_rng(seed))
        yield from sequence.random_base2(0)[start:]
        # scipy warns of any other number: the sequence is balanced at powers of two.
        for doublings in counter():
            ahead = min(max(start - 2**doublings, 0), 2**doublings)
            if ahead == 2**doublings:
                sequence.fast_forward(ahead)
            else:
                yield from sequence.random_base2(doublings)[ahead:]


def complete(space: SearchSpace, fixed: Mapping[str, Any], proposed: Mapping[str, Any]) -> dict[str, Any]:
    """Params of the whole `space` from the `fixed` and the `proposed` values; inactive names are left out."""
    return space.fill(lambda name: fixed[name] if name in fixed else proposed[name])


@dataclass(frozen=True)
class Turn:
    """Trials that are proposed together: none of them waits for the result of another.

    Parameters
    ----------
    seed : int
        Seed of the run.
    index : int
        Index of the first trial.
    count : int
        Number of trials.
    """

    seed: int
    index: int
    count: int = 1


def propose(
    space: SearchSpace,
    fixed: Mapping[str, Any],
    trials: TrialTable,
    turn: Turn,
    *,
    method: str = "gp",
    wish: Wish = BEST,
    costs: CostLimit | None = None,
) -> list[dict[str, Any]]:
    """Configurations for the trials of a `turn`, proposed by an optimiser that has seen `trials`.

    Parameters
    ----------
    space : SearchSpace
        The space to search: that of the `trials`, perhaps with narrower ranges.
    fixed : mapping of str to value
        Hyperparameters that are not searched, with their values; all others are searched.
    trials : TrialTable
        The trials that the optimiser learns from. A lost trial teaches it nothing, a diverged one counts as a bad
        objective, and one stopped early counts with its last value.
    turn : Turn
        The trials to propose.
    method : {"gp", "tpe", "random"}
        Gaussian process (needs torch), tree-structured Parzen estimator, or random search. The process is our own if
        some hyperparameters exist only under a condition (:mod:`hsicfast.proposals.nested`), else Optuna's. They search
        each range uniformly, or uniformly in the logarithm; the distribution of a hyperparameter shapes the design
        only.
    wish : Wish
        What the optimiser is to look for; "random" ignores it.
    costs : CostLimit, optional
        The optimiser learns the limit from the costs of `trials` and from its own proposals that are refused. After
        MOST_ASKED refusals in a row, the first affordable one of MOST_DRAWN configurations drawn from `space`, with
        the fixed values, is taken instead. If none of them is affordable, configurations are drawn from the space of
        the `trials`.

    Returns
    -------
    list of dict
        One configuration for each trial of the turn.

    Raises
    ------
    InputError
        If `method` is unknown, or is "gp" without torch, or if MOST_DRAWN configurations in a row, drawn from the whole
        space, are too expensive.
    """
    check_method("optimizer", method, OPTIMIZERS)
    left = space.fix(fixed)
    spare = _spare(space, fixed, left, trials.space, costs, turn) if costs else iter(())
    if left is None:
        alone = complete(space, fixed, {})
        return [alone if costs is None or costs.admits(alone) else next(spare) for _ in range(turn.count)]
    seed = stream_seed(turn.seed, turn.index, PROPOSAL)
    limits = [most for most in (wish.most, costs.most if costs else None) if most is not None]
    seen = [(trial.params, lesson) for trial, lesson in _lessons(trials.evidence, wish, min(limits, default=None))]
    search: Search
    if method == "gp" and has_conditions(trials.space):
        known = [(point, lesson) for params, lesson in seen if (point := _within(trials.space, params)) is not None]
        random = np.random.default_rng(seed)
        search = NestedSearch(Coordinates(trials.space), space, fixed, known, random)
        return [_ask(search, wish, costs) or next(spare) for _ in range(turn.count)]
    import optuna

    if method == "gp":
        _import_torch()
    with quiet(optuna):
        known = [(point, lesson) for params, lesson in seen if (point := _within(left, params)) is not None]
        study = optuna.create_study(sampler=_sampler(optuna, method, seed))
        search = _StudySearch(study, space, fixed, left, known)
        return [_ask(search, wish, costs) or next(spare) for _ in range(turn.count)]


def check_method(role: str, method: str, methods: Sequence[str]) -> None:
    """Raise an InputError unless `method` is one of `methods`, or if it is "gp" and torch is not installed."""
    if method not in methods:
        raise InputError(f"{role} must be one of {', '.join(methods)}, but got {method!r}; choose one of them")
    if method == "gp":
        require("torch", user='optimizer "gp"', way_out='choose optimizer "tpe"')


def _sampler(optuna: Any, method: str, seed: int) -> optuna.samplers.BaseSampler:
    tree = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    if method == "tpe":
        return tree
    if method == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=FEWEST_KNOWN)


def _lessons(trials: TrialTable, wish: Wish, most: float | None) -> list[tuple[Trial, Lesson]]:
    """The trials that teach something, and what of the `wish` and of the limit `most` each of them teaches."""
    values, constraints = wish.lessons(trials)
    if most is not None:
        constraints = [own | {"cost": x} for own, x in zip(constraints, over_limit(trials.cost, most), strict=True)]
    lessons = map(Lesson, values, constraints)
    return [(trial, lesson) for trial, lesson in zip(trials, lessons, strict=True) if math.isfinite(lesson.value)]


def _within(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of `params` that `space` has, or None if they are no point of it."""
    try:
        known = space.fill(params.__getitem__)
    except KeyError:  # a hyperparameter that exists in `space` has no value here
        return None
    return known if all(space[name].contains(value) for name, value in known.items()) else None


class Search(Protocol):
    """What proposes points one after another, and learns of each before the next."""

    @property
    def lessons(self) -> Sequence[Lesson]:
        """Of the points that it knows."""

    def ask(self) -> dict[str, Any]:
        """The next proposal."""

    def tell(self, point: Mapping[str, Any], lesson: Lesson) -> None:
        """Learn the `lesson` of the latest proposal."""


class _StudySearch:
    """An Optuna study that searches what is `left` of the space, and has seen the points that are `known`."""

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        fixed: Mapping[str, Any],
        left: SearchSpace,
        known: Sequence[tuple[dict[str, Any], Lesson]],
    ) -> None:
        from optuna.trial import create_trial

        self._study, self._space, self._fixed, self._left = study, space, fixed, left
        distributions = {name: searched(left[name]) for name in left}
        study.add_trials(
            [
                create_trial(
                    params={name: position(left[name], point[name]) for name in point},
                    distributions={name: distributions[name] for name in point},
                    value=lesson.value,
                    constraints=lesson.constraints or None,
                )
                for point, lesson in known
            ]
        )
        self.lessons = [lesson for _, lesson in known]

    def ask(self) -> dict[str, Any]:
        """See :meth:`Search.ask`."""
        self._trial = self._study.ask()
        return complete(self._space, self._fixed, suggested(self._trial, self._left))

    def tell(self, point: Mapping[str, Any], lesson: Lesson) -> None:
        """See :meth:`Search.tell`."""
        for name, constraint in lesson.constraints.items():
            self._trial.set_constraint(name, constraint)
        self._study.tell(self._trial, lesson.value)
        self.lessons.append(lesson)


def _ask(search: Search, wish: Wish, costs: CostLimit | None) -> dict[str, Any] | None:
    """The next proposal that may be trained; None if MOST_ASKED in a row are too expensive."""
    for _ in range(MOST_ASKED):
        known = list(search.lessons)
        params = search.ask()
        if costs is None or costs.admits(params):
            return params
        # The refused proposal counts as infeasible, so that the next one lies elsewhere.
        excess = float(log_excess([costs.price(params)], costs.most)[0])
        value, constraints = wish.refused(known, excess, costs.most)
        search.tell(params, Lesson(value, constraints | {"cost": excess}))
    return None


def _spare(
    space: SearchSpace,
    fixed: Mapping[str, Any],
    left: SearchSpace | None,
    whole: SearchSpace,
    costs: CostLimit,
    turn: Turn,
) -> Iterator[dict[str, Any]]:
    """Affordable random configurations: first those of `space` with the fixed values, then those of all of `whole`."""
    random = np.random.default_rng(stream_seed(turn.seed, turn.index, SPARE))
    if left is not None:
        inside = (complete(space, fixed, left.from_unit(random.random(len(left)))) for _ in range(MOST_DRAWN))
        yield from filter(costs.admits, inside)
    yield from costs.affordable(whole.from_unit(random.random(len(whole))) for _ in counter())


def _import_torch() -> None:
    """Import torch with one thread, unless the program has imported it already.

    The matrices of a Gaussian process are small: on busy cores a proposal takes 20 times longer with one thread for
    each core. OpenMP reads the variable only when it is loaded, so that the variable need not stay set.
    """
    if "torch" in sys.modules or "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        importlib.import_module("torch")
    finally:
        del os.environ["OMP_NUM_THREADS"]
