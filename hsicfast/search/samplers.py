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
from itertools import count as counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.errors import InputError, require
from hsicfast.search.transforms import bounded, log_costs, log_excess, warped
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
    from scipy.stats import qmc

    sequence = qmc.Sobol(d=d, scramble=True, seed=np.random.default_rng(seed))
    yield from sequence.random_base2(0)
    for doublings in counter():  # powers of two: the sequence is balanced there, and scipy warns elsewhere
        yield from sequence.random_base2(doublings)


def complete(space: SearchSpace, fixed: Mapping[str, Any], proposed: Mapping[str, Any]) -> dict[str, Any]:
    """Params of the whole `space` out of those fixed and those proposed; only active names."""
    params: dict[str, Any] = {}
    for name in space.parents_first:
        if space.is_active(name, params):
            params[name] = fixed[name] if name in fixed else proposed[name]
    return {name: params[name] for name in space if name in params}


def propose(
    space: SearchSpace,
    fixed: Mapping[str, Any],
    trials: TrialTable,
    *,
    method: str = "gp",
    seed: int,
    index: int,
    count: int,
    limit: float | None = None,
    least: float = 0.0,
    most: float | None = None,
    costs: CostLimit | None = None,
    whole: SearchSpace | None = None,
    warp: bool = False,
) -> list[dict[str, Any]]:
    """Params of the trials ``index, ..., index + count - 1``, proposed by an optimiser that has seen `trials`.

    Parameters
    ----------
    space : SearchSpace
        The whole space.
    fixed : mapping of str to value
        Hyperparameters that are not searched any more; what is left is.
    trials : TrialTable
        Lost ones are no evidence; a diverged one counts as a bad objective, one stopped early by its last value.
    method : {"gp", "tpe", "random"}
        Gaussian process (needs torch), tree of Parzen estimators, or random search. The optimisers search each range
        uniformly, or uniformly in the logarithm: a hyperparameter's own `law` is the design's alone.
    seed, index : int
        Seed of the run, index of the first trial proposed.
    count : int
        Proposals that do not wait for each other's results.
    limit : float, optional
        What is minimised is then the cost, among what is expected to have a loss of at most this ("gp", "tpe").
    least : float
        With a `limit`: what costs less than this is worth no more than what costs this.
    most : float > 0, optional
        What is looked for is expected to cost at most this ("gp" and "tpe"), by the costs of `trials`.
    costs : CostLimit, optional
        The optimiser learns the limit from the costs of `trials` and from its proposals that are refused. After 8 of
        these it is passed over for the first affordable of 1,000 configurations drawn from the law of `space`, what is
        fixed kept, and where none is, of those drawn from the law of `whole`.
    whole : SearchSpace, optional
        Of which `space` is a part; `space` itself by default.
    warp : bool
        Whether the optimiser sees the objectives by the power that makes them most normal
        (:func:`~hsicfast.search.transforms.warped`), and a `limit` by the same, or as they are.

    Raises
    ------
    InputError
        Where `method` is unknown, or is "gp" without torch; where 1,000 in a row drawn from `whole` are too dear.
    """
    check_method("optimizer", method, OPTIMIZERS)
    left = space.fix(fixed)
    spare = _spare(space, fixed, left, whole or space, costs, stream_seed(seed, index, SPARE)) if costs else iter(())
    if left is None:
        alone = complete(space, fixed, {})
        return [alone if costs is None or costs.admits(alone) else next(spare) for _ in range(count)]
    import optuna

    if method == "gp":
        _import_torch()
    with quiet(optuna):
        study = optuna.create_study(
            sampler=_sampler(optuna, method, stream_seed(seed, index, PROPOSAL)),
        )
        if costs is not None:
            most = costs.most if most is None else min(most, costs.most)
        study.add_trials(_seen(optuna, left, trials, limit, most, least, warp))
        return [_ask(study, space, fixed, left, limit, costs) or next(spare) for _ in range(count)]


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
    optuna: Any,
    space: SearchSpace,
    trials: TrialTable,
    limit: float | None,
    most: float | None,
    least: float,
    warp: bool,
) -> list[optuna.trial.FrozenTrial]:
    evidence = trials.evidence
    distributions = {name: distribution(space[name]) for name in space}
    values = bounded(evidence)
    if warp and limit is not None:
        *values, limit = warped([*values, limit])
    elif warp:
        values = warped(values)
    excess: list[dict[str, float]] = [{} for _ in evidence]
    if limit is not None:
        excess = [{"objective": value - limit} for value in values]
        values = log_costs(evidence, least)
    if most is not None:
        over = log_excess(evidence.cost, most)
        # An unknown cost says nothing for or against the limit.
        usual = float(np.mean(over[np.isfinite(over)])) if np.isfinite(over).any() else 0.0
        excess = [own | {"cost": x} for own, x in zip(excess, np.nan_to_num(over, nan=usual).tolist(), strict=True)]
    seen = []
    for trial, value, constraints in zip(evidence, values, excess, strict=True):
        known = _within(space, trial.params)
        if known is not None and math.isfinite(value):
            inside = {name: position(space[name], known[name]) for name in known}
            own = {name: distributions[name] for name in known}
            seen.append(
                optuna.trial.create_trial(
                    params=inside, distributions=own, value=value, constraints=constraints or None
                )
            )
    return seen


def _within(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `params` say about `space`, or None where they are no point of it."""
    known: dict[str, Any] = {}
    for name in space.parents_first:
        if space.is_active(name, known):
            if name not in params or not space[name].contains(params[name]):
                return None
            known[name] = params[name]
    return known


def _ask(
    study: optuna.Study,
    space: SearchSpace,
    fixed: Mapping[str, Any],
    left: SearchSpace,
    limit: float | None,
    costs: CostLimit | None,
) -> dict[str, Any] | None:
    """The next proposal that may be trained; None where one after the other is too dear."""
    for _ in range(MOST_ASKED):
        trial = study.ask()
        params = complete(space, fixed, suggested(trial, left))
        if costs is None or costs.admits(params):
            return params
        # Told as infeasible, so that the next goes elsewhere. Nothing is known of its objective: the mean says least.
        known = [own for own in study.get_trials(deepcopy=False) if own.state.is_finished()]
        excess = float(log_excess([costs.price(params)], costs.most)[0])
        value = float(np.mean([own.value for own in known])) if known else 0.0
        if limit is not None:
            objectives = [own.constraints["objective"] for own in known]
            trial.set_constraint("objective", float(np.mean(objectives)) if known else 0.0)
            value = excess + math.log(costs.most)
        trial.set_constraint("cost", excess)
        study.tell(trial, value)
    return None


def _spare(
    space: SearchSpace,
    fixed: Mapping[str, Any],
    left: SearchSpace | None,
    whole: SearchSpace,
    costs: CostLimit,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Affordable configurations drawn from the law of the space with what is fixed, and then of the whole space."""
    random = np.random.default_rng(seed)
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
