"""What to try next: a design, drawn from the distributions of the space, or the proposals of Optuna's optimisers.

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
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.errors import InputError, require
from hsicfast.proposals.transforms import BEST, Wish, bounded, log_excess, over_limit
from hsicfast.space.distributions import position, quiet, searched, suggested
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.costs import MOST_DRAWN, CostLimit
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import PROPOSAL, SPARE, stream_seed

if TYPE_CHECKING:
    import optuna

DESIGNS = ("random", "sobol")
# FEWEST_KNOWN: with fewer trials a Gaussian process has learnt nothing. Optuna waits for 10, because its studies begin
# without a design.
FEWEST_KNOWN = 4
OPTIMIZERS = ("gp", "tpe", "random")
# MOST_ASKED: an optimiser whose proposals are too expensive this many times in a row has not learnt the limit.
MOST_ASKED = 8

# What can still be gained is judged at CANDIDATES points of the space, and as many near the LEADERS best trials.
CANDIDATES, LEADERS = 256, 5
# What harm another value does is judged at PLACES of its range, by up to MOST_SEEN trials.
PLACES, MOST_SEEN = 8, 200


def design(
    space: SearchSpace, n: int, seed: int, method: str = "random", start: int = 0, costs: CostLimit | None = None
) -> list[dict[str, Any]]:
    """Params of the trials ``start, ..., start + n - 1``, drawn from the distributions of `space`.

    If no point is too expensive, trial i is the same whatever `n` and `start` are.

    Parameters
    ----------
    space : SearchSpace
        Its distributions map uniform points of the unit cube to values.
    n : int
        Number of trials.
    seed : int
        Seed of the run.
    method : {"random", "sobol"}
        Independent points, or one scrambled Sobol sequence.
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
    points = _points(len(space), seed, method, start)
    drawn: Iterator[dict[str, Any]] = map(space.from_unit, points)
    return list(islice(drawn if costs is None else costs.affordable(drawn), n))


def _points(d: int, seed: int, method: str, start: int) -> Iterator[Floats]:
    """The points (d,) of a design from the point `start` on, without end."""
    if method == "random":
        yield from (np.random.default_rng([seed, index]).random(d) for index in counter(start))
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
        Gaussian process (needs torch), tree-structured Parzen estimator, or random search. They search each range
        uniformly, or uniformly in the logarithm; the distribution of a hyperparameter shapes the design only.
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
    import optuna

    if method == "gp":
        _import_torch()
    with quiet(optuna):
        study = optuna.create_study(sampler=_sampler(optuna, method, stream_seed(turn.seed, turn.index, PROPOSAL)))
        limits = [most for most in (wish.most, costs.most if costs else None) if most is not None]
        study.add_trials(_seen(optuna, left, trials.evidence, wish, min(limits, default=None)))
        return [_ask(study, space, fixed, left, wish, costs) or next(spare) for _ in range(turn.count)]


def expected_gain(space: SearchSpace, trials: TrialTable, left: int, seed: int) -> float:
    """What `left` further trials can be expected to gain on the best of `trials`, in the unit of the loss.

    A Gaussian process sees the losses, those worse than the median as the median, because how bad a bad trial is says
    nothing of what can be gained. A hyperparameter that does not exist in a trial has a position of its own. The
    candidates are drawn from the space, half of them near the best trials.

    Parameters
    ----------
    space : SearchSpace
    trials : TrialTable
        Points of the space, some of them done.
    left : int
    seed : int
        Of the candidates.
    """
    from hsicfast.evidence.improvement import still_to_gain

    seen = trials.evidence
    losses = np.array(bounded(seen))
    losses = np.minimum(losses, np.median(losses))
    random = np.random.default_rng(seed)
    wide = [space.from_unit(random.random(len(space))) for _ in range(CANDIDATES)]
    units = positions(space, [trial.params for trial in seen])
    leaders = [seen[row].params for row in np.argsort(losses, kind="stable")[:LEADERS]]
    near = []
    for turn in range(CANDIDATES):
        leader = leaders[turn % len(leaders)]
        moved = [name for name in space if random.random() < max(2 / len(space), 0.2)]
        near.append(space.fill(lambda name: _moved(space, name, leader, moved, random)))  # noqa: B023
    return still_to_gain(units, losses, positions(space, [*wide, *near]), left, seed)


def expected_harm(space: SearchSpace, trials: TrialTable) -> dict[str, float]:
    """How much worse the best of `trials` are expected to be with another value of one hyperparameter, by its name.

    It is a guess, on which no finding may rest: the mean of a Gaussian process that has seen the losses, over the
    LEADERS best trials and PLACES values all over the range, in standard deviations of the losses.
    """
    from hsicfast.evidence.improvement import fit

    seen = trials.evidence
    seen = seen.select(np.unique(np.linspace(0, len(seen) - 1, min(len(seen), MOST_SEEN)).astype(np.intp)))
    losses = np.array(bounded(seen))
    spread = float(losses.std())
    if spread == 0:
        return {}
    process = fit(positions(space, [trial.params for trial in seen]), (losses - losses.mean()) / spread)
    values = {name: [space[name].from_unit((place + 0.5) / PLACES) for place in range(PLACES)] for name in space}
    harm = dict.fromkeys(space, 0.0)
    for row in np.argsort(losses, kind="stable")[:LEADERS]:
        best = seen[row].params
        points = [(name, {**best, name: value}) for name in best for value in values[name] if value != best[name]]
        means = process.at(positions(space, [best, *(point for _, point in points)]))[0]
        names = [name for name, _ in points]
        for (name, _), mean in zip(points, means[1:], strict=True):
            harm[name] += float(mean - means[0]) / names.count(name)
    return harm


def _moved(
    space: SearchSpace, name: str, leader: Mapping[str, Any], moved: Sequence[str], random: np.random.Generator
) -> Any:
    """The value of `leader`, or one a little away from it if the hyperparameter is `moved` or absent there."""
    if name not in leader:
        return space[name].from_unit(random.random())
    if name not in moved:
        return leader[name]
    if not isinstance(space[name], Float | Int):
        return space[name].from_unit(random.random())
    at = float(space[name].to_unit([leader[name]])[0])
    return space[name].from_unit(float(np.clip(at + 0.1 * random.standard_normal(), 0, 1)))


def positions(space: SearchSpace, points: Sequence[Mapping[str, Any]]) -> Floats:
    """Positions (n, d) of points in [0, 1]: a column for each number, and one for each value of a choice."""
    columns = []
    for name, kind in space.items():
        own = [point.get(name) for point in points]
        there = np.array([name in point for point in points])
        if isinstance(kind, Float | Int):
            unit = np.full(len(points), -0.5)
            unit[there] = kind.to_unit(np.array([point[name] for point in points if name in point], dtype=np.float64))
            columns.append(unit)
        else:
            values = kind.values if len(kind.values) > 2 else kind.values[:1]
            columns += [
                np.array([float(is_there and value == of) for value, is_there in zip(own, there, strict=True)])
                for of in values
            ]
    return np.column_stack(columns)


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
    # The Gaussian process models what every trial has; a tree-structured Parzen estimator proposes the values of
    # hyperparameters that exist only under a condition.
    return optuna.samplers.GPSampler(
        seed=seed,
        n_startup_trials=FEWEST_KNOWN,
        independent_sampler=optuna.samplers.TPESampler(seed=seed),
        warn_independent_sampling=False,
    )


def _seen(
    optuna: Any, space: SearchSpace, trials: TrialTable, wish: Wish, most: float | None
) -> list[optuna.trial.FrozenTrial]:
    """The trials that lie in `space`, as Optuna trials that teach an optimiser the `wish` and the limit `most`."""
    distributions = {name: searched(space[name]) for name in space}
    values, constraints = wish.lessons(trials)
    if most is not None:
        constraints = [own | {"cost": x} for own, x in zip(constraints, over_limit(trials.cost, most), strict=True)]
    seen = []
    for trial, value, own in zip(trials, values, constraints, strict=True):
        known = _within(space, trial.params)
        if known is not None and math.isfinite(value):
            seen.append(
                optuna.trial.create_trial(
                    params={name: position(space[name], known[name]) for name in known},
                    distributions={name: distributions[name] for name in known},
                    value=value,
                    constraints=own or None,
                )
            )
    return seen


def _within(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of `params` that `space` has, or None if they are no point of it."""
    try:
        known = space.fill(params.__getitem__)
    except KeyError:  # a hyperparameter that exists in `space` has no value here
        return None
    return known if all(space[name].contains(value) for name, value in known.items()) else None


def _ask(
    study: optuna.Study,
    space: SearchSpace,
    fixed: Mapping[str, Any],
    left: SearchSpace,
    wish: Wish,
    costs: CostLimit | None,
) -> dict[str, Any] | None:
    """The next proposal that may be trained; None if MOST_ASKED in a row are too expensive."""
    for _ in range(MOST_ASKED):
        trial = study.ask()
        params = complete(space, fixed, suggested(trial, left))
        if costs is None or costs.admits(params):
            return params
        # The refused proposal counts as infeasible, so that the next one lies elsewhere.
        known = [own for own in study.get_trials(deepcopy=False) if own.state.is_finished()]
        excess = float(log_excess([costs.price(params)], costs.most)[0])
        value, constraints = wish.refused(known, excess, costs.most)
        for name, constraint in constraints.items():
            trial.set_constraint(name, constraint)
        trial.set_constraint("cost", excess)
        study.tell(trial, value)
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
