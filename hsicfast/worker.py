"""One trial in one process: trained, checked, and made durable before anybody is told."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError
from hsicfast.pruning import Pruning, Report
from hsicfast.results import write_result
from hsicfast.space import RESERVED
from hsicfast.trials import DIVERGED, DONE, PRUNED, Trial

Evaluate = Callable[..., Any]


class NoResult(InputError):
    """What `evaluate` returned is no result: every other trial would end the same way."""


@dataclass(frozen=True)
class Job:
    """A trial that is planned: its place, values and seed, who proposed it, who may stop it, its price if known."""

    index: int
    params: dict[str, Any]
    seed: int
    origin: str
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


def _accepts(evaluate: Evaluate, name: str) -> bool:
    try:
        parameters = inspect.signature(evaluate).parameters
    except (TypeError, ValueError):  # builtins may have no signature
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def run_trial(evaluate: Evaluate, seeded: bool, job: Job, folder: Path | None) -> Trial:
    """Train one trial in this process and make its result durable.

    Raises
    ------
    NoResult
        Where what `evaluate` returns or reports is no result: every other trial would end the same way.
    """
    trial = Trial(job.index, job.params, math.nan, job.price, DIVERGED, job.origin, job.seed)
    report = Report(job.pruning, job.index)
    asked: dict[str, Any] = {"seed": job.seed} if seeded else {}
    if job.pruning is not None:
        asked["report"] = report
    try:
        outcome = evaluate(dict(job.params), **asked)
    except NoResult:  # from within: an evaluate that calls another one, as Repeated does
        raise
    except Exception as error:  # noqa: BLE001 -- whatever a training raises says that these params do not train
        lines = str(error).strip().splitlines()
        trial = replace(trial, message=f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__)
    else:
        trial = replace(trial, **_checked(outcome, job, report.message))
    if report.error is not None:
        raise report.error
    trial = replace(trial, curve=tuple(report.curve))
    if folder is not None:
        write_result(folder, trial)
    return trial


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
