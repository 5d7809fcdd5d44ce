"""What to try next: the design, drawn from the law of the space, and the optimisers, which are Optuna's.

Everything here is a pure function of its arguments. A proposal depends on the trials it is shown and on (seed,
index), never on a sampler's memory or on the order in which workers came home, so that an interrupted run ends as
an uninterrupted one.
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
from hsicfast.search.transforms import BEST, Wish, log_excess, over_limit
from hsicfast.space.distributions import distribution, position, quiet, suggested
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.costs import MOST_DRAWN, CostLimit
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import PROPOSAL, SPARE, stream_seed

if TYPE_CHECKING:
    import optuna

DESIGNS = ("random", "sobol")
# With fewer trials a Gaussian process has nothing to say. Optuna's own 10 are for studies that begin without a design.
FEWEST_KNOWN = 4
OPTIMIZERS = ("gp", "tpe", "random")


# An optimiser that proposes what is too dear so often in a row has not understood the limit.
MOST_ASKED = 8


def design(
    space: SearchSpace, n: int, seed: int, method: str = "random", start: int = 0, costs: CostLimit | None = None
) -> list[dict[str, Any]]:
    """Params of the trials ``start, ..., start + n - 1``, drawn from the law of `space`.

    Trial i is the same whatever `n` and `start` are, where none is too dear.

    Parameters
    ----------
    space : SearchSpace
        Its law is uniform on the unit cube.
    n : int
        How many.
    seed : int
        Seed of the run.
    method : {"random", "sobol"}
        Independent points, or one scrambled Sobol sequence.
    start : int
        Index of the first point.
    costs : CostLimit, optional
        Points that are too dear are passed over, and the next ones taken: the law is then that of the space given that
        the price is within the limit.

    Raises
    ------
    InputError
        Where `method` is unknown, or 1,000 points in a row are too dear.

    Examples
    --------
    >>> from hsicfast import Float, Int
    >>> space = SearchSpace({"depth": Int(1, 4), "rate": Float(1e-4, 1.0, log=True)})
    >>> design(space, 3, seed=0)[2] == design(space, 1, seed=0, start=2)[0]
    True
    """
    check_method("design", method, DESIGNS)
    points = islice(_points(len(space), seed, method), start, None)
    drawn: Iterator[dict[str, Any]] = map(space.from_unit, points)
    return list(islice(drawn if costs is None else costs.affordable(drawn), n))


def _points(d: int, seed: int, method: str) -> Iterator[Floats]:
    """The points (d,) of a design, without end."""
    if method == "random":
        yield from (np.random.default_rng([seed, index]).random(d) for index in counter())
    else:
        from scipy.stats import qmc

        sequence = qmc.Sobol(d=d, scramble=True, seed=np.random.default_rng(seed))
        yield from sequence.random_base2(0)
        for doublings in counter():  # powers of two: the sequence is balanced there, and scipy warns elsewhere
            yield from sequence.random_base2(doublings)


def complete(space: SearchSpace, fixed: Mapping[str, Any], proposed: Mapping[str, Any]) -> dict[str, Any]:
    """Params of the whole `space` out of those fixed and those proposed; only active names."""
    return space.fill(lambda name: fixed[name] if name in fixed else proposed[name])


@dataclass(frozen=True)
class Turn:
    """Trials that are proposed together, none of which waits for another's result.

    Parameters
    ----------
    seed : int
        Of the run.
    index : int
        Of the first of them.
    count : int
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
        Where to search: that of the `trials`, perhaps with narrower ranges.
    fixed : mapping of str to value
        Hyperparameters that are not searched any more; the others are.
    trials : TrialTable
        Lost ones teach nothing; a diverged one counts as a bad objective, one stopped early by its last value.
    turn : Turn
    method : {"gp", "tpe", "random"}
        Gaussian process (needs torch), tree-structured Parzen estimator, or random search. The optimisers search each
        range uniformly, or uniformly in the logarithm: a hyperparameter's own distribution is the design's alone.
    wish : Wish
        What it is to look for; "random" looks for nothing.
    costs : CostLimit, optional
        The optimiser learns the limit from the costs of `trials` and from its proposals that are refused. After
        MOST_ASKED of these it is passed over for the first affordable of MOST_DRAWN configurations drawn from `space`,
        what is fixed kept, and if none is, of those drawn from the space of the `trials`.

    Raises
    ------
    InputError
        Where `method` is unknown, or is "gp" without torch; where MOST_DRAWN in a row drawn from the whole space cost
        too much.
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


def check_method(role: str, method: str, methods: Sequence[str]) -> None:
    """Raise an InputError unless `method` is one of `methods`; for "gp", unless torch is there."""
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
    # The process sees what every trial has; Parzen estimators see to what exists under a condition only.
    return optuna.samplers.GPSampler(
        seed=seed,
        n_startup_trials=FEWEST_KNOWN,
        independent_sampler=optuna.samplers.TPESampler(seed=seed),
        warn_independent_sampling=False,
    )


def _seen(
    optuna: Any, space: SearchSpace, trials: TrialTable, wish: Wish, most: float | None
) -> list[optuna.trial.FrozenTrial]:
    """The trials within `space` as the optimiser sees them."""
    distributions = {name: distribution(space[name]) for name in space}
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
    """What `params` say about `space`, or None where they are no point of it."""
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
    """The next proposal that may be trained; None where one after the other is too dear."""
    for _ in range(MOST_ASKED):
        trial = study.ask()
        params = complete(space, fixed, suggested(trial, left))
        if costs is None or costs.admits(params):
            return params
        # It counts as infeasible, so that the next goes elsewhere.
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
    """Affordable configurations drawn from the law of the space with what is fixed, and then of the whole space."""
    random = np.random.default_rng(stream_seed(turn.seed, turn.index, SPARE))
    if left is not None:
        inside = (complete(space, fixed, left.from_unit(random.random(len(left)))) for _ in range(MOST_DRAWN))
        yield from filter(costs.admits, inside)
    yield from costs.affordable(whole.from_unit(random.random(len(whole))) for _ in counter())


def _import_torch() -> None:
    """Import torch for one thread, unless somebody has imported it before.

    The matrices of a Gaussian process are small: on busy cores a proposal takes 20 times longer with a thread a core.
    OpenMP reads the variable when it is loaded, so that it need not stay set.
    """
    if "torch" in sys.modules or "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        importlib.import_module("torch")
    finally:
        del os.environ["OMP_NUM_THREADS"]
