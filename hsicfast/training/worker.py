"""A process trains one trial, checks its result, and makes it durable before anybody learns of it."""

from __future__ import annotations

import inspect
import math
import numbers
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError, text_of
from hsicfast.guard import foreign
from hsicfast.runs.results import checkpoint_path, write_result
from hsicfast.space.search_space import RESERVED
from hsicfast.text import kept
from hsicfast.training.pruning import CurveReporter, Pruning
from hsicfast.training.relaunch import Relaunched, no_relaunch
from hsicfast.trials.constraints import largest
from hsicfast.trials.trial import (
    DIVERGED,
    DONE,
    EXCEPTION,
    FAILURES,
    INFEASIBLE,
    INFEASIBLE_OBJECTIVE,
    LARGEST_CONSTRAINT,
    NOT_FINITE,
    OUT_OF_MEMORY,
    PRUNED,
    Origin,
    Trial,
)

Evaluate = Callable[..., Any]

# The name of a metric has at most about MOST_NAME characters.
MOST_NAME = 500
# A trial keeps the last TRACE_LINES lines of a traceback, which say what happened.
TRACE_LINES = 20


class NoResult(InputError):
    """`evaluate` returned something that is no result, and would do so in every other trial."""


@dataclass(frozen=True)
class Job:
    """A planned trial: its index, values and seed, its origin, the pruning that may stop it, and its price if known.

    Several `objectives` are named; a single one has no name.
    """

    index: int
    params: dict[str, Any]
    seed: int
    origin: Origin
    pruning: Pruning | None = None
    price: float = math.nan
    objectives: tuple[str, ...] = ()


def never() -> bool:
    """False: the `should_stop` of a run that nobody stops."""
    return False


def accepts_seed(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``seed`` beside the params."""
    return _accepts(evaluate, "seed")


def accepts_report(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``report`` beside the params."""
    return _accepts(evaluate, "report")


def accepts_checkpoint(evaluate: Evaluate) -> bool:
    """Whether `evaluate` has a parameter named ``checkpoint``, the path of a file for this trial alone."""
    return "checkpoint" in _parameters(evaluate)


def _accepts(evaluate: Evaluate, name: str) -> bool:
    parameters = _parameters(evaluate)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _parameters(evaluate: Evaluate) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(evaluate).parameters
    except (TypeError, ValueError):  # builtins may have no signature
        return {}


def run_trial(evaluate: Evaluate, seeded: bool, job: Job, folder: Path | None) -> Trial:
    """Train one trial in this process and make its result durable.

    An `evaluate` that takes a ``checkpoint`` may keep its state in that file while it trains, and finds it there in
    another attempt; the file is deleted once the result is durable. It is None if there is no run folder.

    Parameters
    ----------
    evaluate : callable
        Trains one configuration.
    seeded : bool
        Whether `evaluate` takes a seed.
    job : Job
        The planned trial.
    folder : Path, optional
        The run folder.

    Raises
    ------
    NoResult, Relaunched
        If `evaluate` returns or reports something that is no result, or starts this program again; every other trial
        would end the same way.
    Exception
        An error of `evaluate` whose attribute ``lost`` is True: the machine failed, not the training.
    """
    trial = Trial(job.index, job.params, math.nan, job.price, DIVERGED, job.origin, job.seed)
    report = CurveReporter(job.pruning, job.index)
    asked: dict[str, Any] = {"seed": job.seed} if seeded else {}
    if job.pruning is not None:
        asked["report"] = report
    if accepts_checkpoint(evaluate):
        asked["checkpoint"] = None if folder is None else checkpoint_path(folder, job.index)
        if folder is not None:
            asked["checkpoint"].parent.mkdir(exist_ok=True)
    try:
        with foreign(), no_relaunch():
            outcome = evaluate(own_params(job), **asked)
    except (NoResult, Relaunched):  # every other trial would end the same way
        raise
    except Exception as error:
        # Any other error of a training means that these params do not train.
        if is_lost(error):
            raise
        trial = replace(trial, **_raised(error), curve=tuple(report.curve))
        if report.error is not None:
            raise report.error from error
    else:
        trial = ended(job, outcome, report)
    if folder is not None:
        write_result(folder, trial)
    return trial


def own_params(job: Job) -> dict[str, Any]:
    """The params of a job for its training alone, lists too: what it does to them is not what was tried."""
    return {name: list(value) if isinstance(value, list) else value for name, value in job.params.items()}


def ended(job: Job, outcome: Any, report: CurveReporter) -> Trial:
    """The trial of which `evaluate` returned `outcome`, and reported to `report`.

    Raises
    ------
    NoResult, InputError
        If what it returned is no result, or what it reported no step or number.
    """
    trial = Trial(job.index, job.params, math.nan, job.price, DIVERGED, job.origin, job.seed)
    trial = replace(trial, **_checked(outcome, job, report.message), curve=tuple(report.curve))
    if report.error is not None:
        raise report.error
    return trial


def is_lost(error: Exception) -> bool:
    """Whether the attribute ``lost`` of an error says that the machine failed, not the training."""
    return getattr(error, "lost", False) is True


def _raised(error: Exception) -> dict[str, Any]:
    """The fields of a Trial whose training raised `error`."""
    # We know torch's class by its name, without importing torch.
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return {
        "message": last_line(error),
        "failure": OUT_OF_MEMORY if out_of_memory else EXCEPTION,
        "trace": kept("\n".join("".join(traceback.format_exception(error)).splitlines()[-TRACE_LINES:])),
    }


def last_line(error: Exception) -> str:
    """The class of an error and the last line of its text."""
    lines = text_of(error).strip().splitlines()
    return kept(f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__)


def _checked(outcome: Any, job: Job, stopped: str) -> dict[str, Any]:
    """The fields of a Trial from what `evaluate` returned; `stopped` is the message of the pruner if it stopped it.

    The cost is the price if `evaluate` returns none.
    """
    if not isinstance(outcome, Mapping):
        outcome = {"objective": outcome}
    rest = {kept(str(key), MOST_NAME): value for key, value in outcome.items()}
    objective, several = _objectives(rest, job.objectives)
    cost = _number("a cost", rest.pop("cost", math.nan))
    constraints = _constraints(rest.pop("constraints", ()))
    # A training that the pruner stopped is pruned unless it returns another status.
    status = rest.pop("status", PRUNED if stopped and math.isfinite(objective) else DONE)
    message = kept(str(rest.pop("message", ""))) or (stopped if status == PRUNED else "")
    failure = rest.pop("failure", "")
    if failure not in FAILURES:
        raise NoResult(f"a failure must be one of {FAILURES}, but got {failure!r}; correct it or leave it out")
    if cost < 0:
        raise NoResult(f"`cost >= 0` must hold, but got cost={cost}; return what the network costs, or leave it out")
    if status not in (DONE, DIVERGED, PRUNED):
        raise NoResult(
            f"a status must be {DONE!r}, {DIVERGED!r} or {PRUNED!r}, but got {status!r}; correct it or leave it out"
        )
    if status == DONE and not math.isfinite(objective):
        named = next((f" {name}" for name, value in several.items() if not math.isfinite(value)), "")
        status, message = DIVERGED, message or f"the objective{named} was {objective}"
    infeasible = status != DIVERGED and largest(constraints) > 0
    if infeasible:
        status, failure = DIVERGED, INFEASIBLE
        message = message or "a constraint is above 0"
    for key, value in rest.items():
        if key in job.params or key in RESERVED or key in several:
            raise NoResult(
                f"a metric may not have the name of a hyperparameter or an objective or one of {RESERVED}, but got "
                f"{key!r}; rename it"
            )
        rest[key] = kept(value) if isinstance(value, str) else _number(f"the metric {key!r}", value)
    if constraints:
        rest[LARGEST_CONSTRAINT] = largest(constraints)
    if infeasible:
        rest[INFEASIBLE_OBJECTIVE] = objective
    return {
        "objective": objective if status != DIVERGED and math.isfinite(objective) else math.nan,
        "cost": cost if math.isfinite(cost) else job.price,
        "status": status,
        "metrics": several | rest,
        "message": message,
        "failure": (failure or NOT_FINITE) if status == DIVERGED else "",
    }


def _objectives(rest: dict[str, Any], names: tuple[str, ...]) -> tuple[float, dict[str, float]]:
    """Takes the objective out of what `evaluate` returned; or those with these `names`, of which the first stands.

    If one of several is not finite, it stands.
    """
    found = rest.get("objectives")
    if names:
        rest.pop("objectives", None)
        if not isinstance(found, Mapping) or {*found} != {*names}:
            said = f"the names {list(found)}" if isinstance(found, Mapping) else f"objectives={found!r}"
            raise NoResult(
                f"evaluate must return a dict with `objectives`, a number for each of {list(names)}, but got {said}; "
                "return these, or correct objectives="
            )
        numbers = {name: _number("an objective", found[name]) for name in names}
        several = {name: own if math.isfinite(own) else math.nan for name, own in numbers.items()}
        return next((own for own in numbers.values() if not math.isfinite(own)), numbers[names[0]]), several
    if isinstance(found, Mapping) and found:
        raise NoResult(
            f"several objectives must be named before the run, but evaluate returned {list(map(str, found))}; pass "
            f"objectives={dict.fromkeys(map(str, found), 'minimize')} or 'maximize' (in conf/, as task.objectives)"
        )
    if "objective" not in rest:
        raise NoResult(
            f"evaluate must return a number or a dict with `objective`, but got the keys {list(rest)}; add it"
        )
    return _number("an objective", rest.pop("objective")), {}


def _constraints(value: Any) -> list[float]:
    """The constraints that `evaluate` returned: one number, or several."""
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    return [_number("a constraint", own) for own in (value if isinstance(value, list | tuple) else [value])]


def _number(what: str, value: Any) -> Any:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if value is None and what.startswith("the metric"):
        return math.nan
    if isinstance(value, bool) and what.startswith("the metric"):
        return int(value)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        way_out = "at most 0 if it is kept" if what == "a constraint" else "NaN for a diverged trial"
        raise NoResult(f"{what} must be a number, but got {value!r}; return a float ({way_out})")
    try:
        number = float(value)
    except OverflowError:
        raise NoResult(
            f"{what} must be a number within 1.8e308, but got a larger one; return its logarithm, or a text"
        ) from None
    return int(value) if isinstance(value, int) and what.startswith("the metric") else number
