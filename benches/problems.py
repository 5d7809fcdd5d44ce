"""The study optimises these problems by name: each is a space and an `evaluate`.

``surrogate/31`` is OpenML task 31 of a surrogate of XGBoost's training, which lies in a file outside of the repository.
``flat/31`` is the same task with linear boosters alone, which leave almost nothing to gain. ``runge``, ``bateman``,
``mnist`` and ``cifar`` are our own trainings, as the command configures them.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from hsicfast import Choice, Float, Int, SearchSpace
from hsicfast.run import CONF
from hsicfast.space.search_space import Hyperparameter

TASKS = 20  # the first ones of the surrogate's list; the others are kept for a comparison on tasks that nobody tuned on
FLAT = {"booster": "gblinear"}


class Kind(NamedTuple):
    """The quantities in the table of one kind of problem.

    A value that is worse by at most `tolerance` counts as good: half a point of a percentage, and the same share,
    0.005, of quantities between 0 and 1.
    """

    metric: str  # of the trial that is best on validation: a test metric, or the regret of the objective
    cost: str
    tolerance: float
    tested: bool = True


KINDS = {
    "surrogate": Kind("regret in points", "seconds", 0.5, tested=False),
    "flat": Kind("regret in points", "seconds", 0.5, tested=False),
    "runge": Kind("test RMSE", "FLOPs", 0.005),
    "bateman": Kind("test RMSE", "FLOPs", 0.005),
    "mnist": Kind("test error in percent", "FLOPs", 0.5),
    "cifar": Kind("test error in percent", "FLOPs", 0.5),
}


class Problem(NamedTuple):
    """`evaluate` as :func:`hsicfast.minimize` takes it, lower is better."""

    space: SearchSpace
    evaluate: Callable[..., Any]


def kind_of(problem: str) -> str:
    return problem.split("/")[0]


def problems_of(kind: str, tasks: int, surrogate: Path | None) -> list[str]:
    """Names of the problems of a kind, in the order of the surrogate's list."""
    if KINDS[kind].tested or surrogate is None:
        return [kind]
    return [f"{kind}/{task}" for task in module_at(surrogate).TASKS[:tasks]]


@lru_cache(maxsize=1)
def problem_of(name: str, surrogate: Path | None, data: Path) -> Problem:
    """The problem of this name; our own trainings load their data once per process."""
    kind, _, task = name.partition("/")
    if surrogate is None or KINDS[kind].tested:
        return trained(kind, data)
    module = module_at(surrogate)
    space = SearchSpace({key: hyperparameter(*entry) for key, entry in module.SPACE.items()})
    evaluate = module.make_objective(task)
    if kind != "flat":
        return Problem(space, evaluate)
    left = cast(SearchSpace, space.fix(FLAT))  # a linear booster has hyperparameters of its own
    return Problem(left, lambda params: evaluate({**FLAT, **params}))


@lru_cache(maxsize=1)
def module_at(path: Path) -> ModuleType:
    """The module in a file outside of any package."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"the surrogate must be a Python file, but got {path}; correct --surrogate")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hyperparameter(kind: str, *entry: Any) -> Hyperparameter:
    """The hyperparameter in a line of the surrogate's SPACE: a range or choices, and last the condition."""
    active_if: Mapping[str, Any] | None = entry[-1]
    if kind == "choice":
        return Choice(entry[0], active_if=active_if)
    low, high, log = entry[:3]
    if kind == "int":
        return Int(low, high, log=log, active_if=active_if)
    return Float(float(low), float(high), log=log, active_if=active_if)


def trained(task: str, data: Path) -> Problem:
    """One of our own trainings, on one thread; every trial has the test metric, by which strategies are compared."""
    place = [f"task.data.root={data.absolute()}"] if task in ("mnist", "cifar") else []
    with initialize_config_dir(config_dir=CONF, version_base="1.3"):
        configured = compose("config", overrides=[f"+task={task}", "+task.evaluate.test_every_trial=true", *place]).task
    made = (instantiate(configured[key], _convert_="all") for key in ("space", "evaluate"))
    return Problem(*made)
