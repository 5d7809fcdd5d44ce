"""One trial in one process: trained, checked, and made durable before anybody is told."""

from __future__ import annotations

import inspect
import math
import numbers
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError
from hsicfast.runs.results import checkpoint_path, write_result
from hsicfast.space.search_space import RESERVED
from hsicfast.space.trial import Origin
from hsicfast.training.pruning import Pruning, Report
from hsicfast.trials.trial import DIVERGED, DONE, EXCEPTION, FAILURES, NOT_FINITE, OUT_OF_MEMORY, PRUNED, Trial

Evaluate = Callable[..., Any]

# Of a traceback, its end tells what happened.
TRACE_LINES = 20


class NoResult(InputError):
    """What `evaluate` returned is no result: every other trial would end the same way."""


@dataclass(frozen=True)
class Job:
    """A trial that is planned: its place, values and seed, who proposed it, who may stop it, its price if known."""

    index: int
    params: dict[str, Any]
    seed: int
    origin: Origin
    pruning: Pruning | None = None
    price: float = math.nan


def never() -> bool:
    """The answer of a run that nobody stops."""
    return False


def accepts_seed(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``seed`` beside the params."""
    return _accepts(evaluate, "seed")


def accepts_report(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes a ``report`` beside the params."""
    return _accepts(evaluate, "report")


def accepts_checkpoint(evaluate: Evaluate) -> bool:
    """Whether `evaluate` takes by name a ``checkpoint``, the path of a file of its own, beside the params."""
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

    An `evaluate` that takes a ``checkpoint`` may keep its state in that file as it trains, and finds it there in
    another attempt; the file goes once the result is durable. It is None where there is no run folder.

    Raises
    ------
    NoResult
        Where what `evaluate` returns or reports is no result: every other trial would end the same way.
    Exception
        Whatever `evaluate` raises with an attribute ``lost`` that is True: the machine failed, not the training.
    """
    trial = Trial(job.index, job.params, math.nan, job.price, DIVERGED, job.origin, job.seed)
    report = Report(job.pruning, job.index)
    asked: dict[str, Any] = {"seed": job.seed} if seeded else {}
    if job.pruning is not None:
        asked["report"] = report
    if accepts_checkpoint(evaluate):
        asked["checkpoint"] = None if folder is None else checkpoint_path(folder, job.index)
        if folder is not None:
            asked["checkpoint"].parent.mkdir(exist_ok=True)
    try:
        outcome = evaluate(dict(job.params), **asked)
    except NoResult:  # from within: an evaluate that calls another one, as Repeated does
        raise
    except Exception as error:
        # Whatever else a training raises says that these params do not train.
        if is_lost(error):
            raise
        trial = replace(trial, **_raised(error))
    else:
        trial = replace(trial, **_checked(outcome, job, report.message))
    if report.error is not None:
        raise report.error
    trial = replace(trial, curve=tuple(report.curve))
    if folder is not None:
        write_result(folder, trial)
    return trial


def is_lost(error: Exception) -> bool:
    """Whether what a training raised is no result: it says that the machine failed, by its attribute ``lost``."""
    return getattr(error, "lost", False) is True


def _raised(error: Exception) -> dict[str, Any]:
    """The fields of a Trial whose training raised."""
    # torch's own class of this name is known without importing torch.
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return {
        "message": last_line(error),
        "failure": OUT_OF_MEMORY if out_of_memory else EXCEPTION,
        "trace": "\n".join("".join(traceback.format_exception(error)).splitlines()[-TRACE_LINES:]),
    }


def last_line(error: Exception) -> str:
    """The class of an error and the end of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def _checked(outcome: Any, job: Job, stopped: str) -> dict[str, Any]:
    """The fields of a Trial in what `evaluate` returned; `stopped` says where it was told to stop, if it was.

    Where no cost is returned, it is the price.
    """
    if not isinstance(outcome, Mapping):
        outcome = {"objective": outcome}
    if "objective" not in outcome:
        raise NoResult(
            f"evaluate must return a number or a dict with `objective`, but got the keys {list(map(str, outcome))}; "
            "add it"
        )
    rest = {str(key): value for key, value in outcome.items()}
    objective = _number("an objective", rest.pop("objective"))
    cost = _number("a cost", rest.pop("cost", math.nan))
    # Told to stop, a training that says nothing else has stopped.
    status = rest.pop("status", PRUNED if stopped and math.isfinite(objective) else DONE)
    message = str(rest.pop("message", "")) or (stopped if status == PRUNED else "")
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
        status, message = DIVERGED, message or f"the objective was {objective}"
    for key, value in rest.items():
        if key in job.params or key in RESERVED:
            raise NoResult(
                f"a metric may not have the name of a hyperparameter or one of {RESERVED}, but got {key!r}; rename it"
            )
        rest[key] = value if isinstance(value, str) else _number(f"the metric {key!r}", value)
    return {
        "objective": objective if status != DIVERGED and math.isfinite(objective) else math.nan,
        "cost": cost if math.isfinite(cost) else job.price,
        "status": status,
        "metrics": rest,
        "message": message,
        "failure": (failure or NOT_FINITE) if status == DIVERGED else "",
    }


def _number(what: str, value: Any) -> Any:
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a number of numpy or torch
        value = value.item()
    if value is None and what.startswith("the metric"):
        return math.nan
    if isinstance(value, bool) and what.startswith("the metric"):
        return int(value)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise NoResult(f"{what} must be a number, but got {value!r}; return a float (NaN for a diverged trial)")
    return int(value) if isinstance(value, int) and what.startswith("the metric") else float(value)
