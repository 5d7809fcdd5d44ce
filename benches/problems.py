"""The study optimises these problems by name: each is a space and an `evaluate`.

``conditional/31`` is OpenML task 31 of a surrogate of XGBoost's training, half of whose hyperparameters depend on the
booster. ``flat/31`` is the same task with linear boosters alone, which leave almost nothing to gain. ``cash/31``
chooses between that training and a decision tree first: conditions inside conditions. The surrogates lie in a folder
outside of the repository. ``runge``, ``bateman``, ``mnist`` and ``cifar`` are our own trainings, as the command
configures them.
"""

import sys
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

TASKS = 20  # the first ones of a surrogate's list; the others are kept for a comparison on tasks that nobody tuned on
FLAT = {"booster": "gblinear"}


class Kind(NamedTuple):
    """The quantities in the tables of one kind of problem, and the file of its surrogate; our own trainings have none.

    The tables say how often an objective is at most `close` behind another one: half a point of a percentage, and the
    same share, 0.005, of quantities between 0 and 1.
    """

    metric: str  # of the trial that is best on validation: a test metric, or the regret of the objective
    cost: str
    close: float
    surrogate: str | None = None

    @property
    def tested(self) -> bool:
        """Whether strategies are compared by a test metric."""
        return self.surrogate is None


KINDS = {
    "cash": Kind("regret in points", "seconds", 0.5, "cash_surrogate.py"),
    "conditional": Kind("regret in points", "seconds", 0.5, "xgboost_surrogate.py"),
    "flat": Kind("regret in points", "seconds", 0.5, "xgboost_surrogate.py"),
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


def problems_of(kind: str, tasks: int, surrogates: Path | None) -> list[str]:
    """Names of the problems of a kind, in the order of its surrogate's list."""
    file = KINDS[kind].surrogate
    if file is None or surrogates is None:
        return [kind]
    return [f"{kind}/{task}" for task in module_at(surrogates / file).TASKS[:tasks]]


@lru_cache(maxsize=1)
def problem_of(name: str, surrogates: Path | None, data: Path) -> Problem:
    """The problem of this name; our own trainings load their data once per process."""
    kind, _, task = name.partition("/")
    file = KINDS[kind].surrogate
    if file is None or surrogates is None:
        return trained(kind, data)
    module = module_at(surrogates / file)
    space = SearchSpace({key: hyperparameter(*entry) for key, entry in module.SPACE.items()})
    evaluate = module.make_objective(task)
    if kind != "flat":
        return Problem(space, evaluate)
    left = cast(SearchSpace, space.fix(FLAT))  # a linear booster has hyperparameters of its own
    return Problem(left, lambda params: evaluate({**FLAT, **params}))


@lru_cache
def module_at(path: Path) -> ModuleType:
    """The module in a file outside of any package, which may import its neighbours."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"a surrogate must be a Python file, but there is no {path}; correct --surrogates")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hyperparameter(kind: str, *entry: Any) -> Hyperparameter:
    """The hyperparameter in a line of a surrogate's SPACE: a range or choices, and last the condition."""
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
