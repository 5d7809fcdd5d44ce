"""The plan of a run: one frozen object with its settings, checked once, before data are loaded or trials trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hsicfast.errors import InputError, check_repeats, check_seed
from hsicfast.indices.reduction import Reduction
from hsicfast.reading.known import Evidence
from hsicfast.sensitivity import Sensitivity
from hsicfast.space.formats import to_plain
from hsicfast.space.search_space import SearchSpace
from hsicfast.training.pruning import check_pruner, pruner_settings
from hsicfast.training.repeats import repeated
from hsicfast.training.worker import accepts_report
from hsicfast.trials.costs import CostLimit, Price, check_max_cost
from hsicfast.trials.goal import AUTO, Auto, check_share_or_auto
from hsicfast.trials.objectives import DIRECTIONS, Objectives
from hsicfast.trials.trial import DONE

if TYPE_CHECKING:
    import optuna

# MOST_CHOICES: Optuna keeps all choices of a hyperparameter beside each value of it: with so many a trial takes 1 MB.
MOST_CHOICES = 100_000
# STOPS: what stops a run before its budget is spent, besides the time.
STOPS = ("enough",)


class Strategy(Protocol):
    """How a run spends its trials.

    A strategy whose trials do not depend on the budget has an attribute ``grows``, which is true: a run of more trials
    begins with those of a shorter one.
    """

    def check(self, n_trials: int) -> None:
        """Raise an InputError if the strategy cannot be conducted with `n_trials`."""

    def conduct(self, run: Any) -> tuple[Sensitivity, Reduction | None]:
        """Spend the trials of `run`; returns the final analysis, and what was fixed or narrowed (None if nothing was).

        `run` is a :class:`hsicfast.search.rounds.Run`. Its type cannot be named here, because that module imports this
        one.
        """


@dataclass(frozen=True)
class RunPlan:
    """The settings of a run.

    Parameters
    ----------
    space : SearchSpace
        The hyperparameters and their ranges.
    n_trials : int
        Budget of trials.
    strategy : Strategy
        How the budget is spent.
    seed : int >= 0
    goal : float in (0, 1) or "auto"
        The fraction of the trials, the best ones, that counts as good; "auto" is the best tenth, but at least 15 trials
        and at most a third of them.
    direction : {"minimize", "maximize"}
        Whether small or large objectives are good.
    tolerance : float >= 0, optional
        How far from the best objective a cheaper trial may be to be the economical one, in the unit of the objective.
    max_cost : float > 0, optional
        The most that the best trial may cost.
    price : callable, optional
        Returns what a configuration costs before it is trained; by default the method ``price`` of `evaluate`, if it
        has one.
    pruner : optuna.pruners.BasePruner, optional
        Stops hopeless trials early.
    repeats : int >= 1
        Number of seeds with which each trial trains its configuration.
    resume : {None, "force"}
        "force" plans a run folder whose settings differ anew, from its first trial.
    timeout : float > 0, optional
        Seconds of this call after which no new trial starts.
    stop : {None, "enough"}
        "enough" ends the search once what can still be expected to be gained is below the tolerance.
    known : Evidence, optional
        Trials from elsewhere, as points of the space (:func:`hsicfast.reading.known.known_trials`).
    had : mapping of str to value
        For a hyperparameter that earlier trials do not name, the value that they had.
    objectives : Objectives, optional
        Several objectives, if there is more than one.

    Raises
    ------
    InputError
        If one of these rules is broken, or if the strategy needs more trials.

    Examples
    --------
    >>> from hsicfast import Float, Random
    >>> plan = RunPlan(SearchSpace({"x": Float(0, 1)}), 20, Random(), direction="maximize")
    >>> plan.minimize, plan.description["strategy"]
    (False, {'name': 'Random', 'design': 'random'})
    """

    space: SearchSpace
    n_trials: int
    strategy: Strategy
    seed: int = 0
    goal: float | Auto = AUTO
    direction: str = "minimize"
    tolerance: float | None = None
    max_cost: float | None = None
    price: Price | None = None
    pruner: optuna.pruners.BasePruner | None = None
    repeats: int = 1
    resume: str | None = None
    timeout: float | None = None
    stop: str | None = None
    known: Evidence | None = None
    had: Mapping[str, Any] = field(default_factory=dict)
    objectives: Objectives | None = None

    def __post_init__(self) -> None:
        check_share_or_auto(self.goal)
        choices = sum(len(getattr(self.space[name], "choices", ())) for name in self.space)
        if choices > MOST_CHOICES:
            raise InputError(
                f"a run has at most {MOST_CHOICES:,} choices in all, as each trial in the study names "
                f"them, but got {choices:,}; make them the numbers of an Int, and look them up in evaluate"
            )
        if self.direction not in DIRECTIONS:
            raise InputError(f"direction must be minimize or maximize, but got {self.direction!r}; choose one of them")
        check_seed(self.seed)
        if self.tolerance is not None and not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError(
                f"`tolerance >= 0` must hold, but got {self.tolerance}; give it in the unit of the objective"
            )
        check_max_cost(self.max_cost)
        if self.max_cost is None and self.price is not None:
            raise InputError("price= is asked where max_cost= limits the cost, but max_cost=None; give both or neither")
        if self.pruner is not None:
            check_pruner(self.pruner)
            if self.repeats != 1:
                raise InputError(
                    f"a pruner judges single trainings, but got repeats={self.repeats!r}; leave one of both out"
                )
        check_repeats(self.repeats)
        if self.timeout is not None and not self.timeout > 0:
            raise InputError(f"`timeout > 0` must hold, but got {self.timeout}; give it in seconds, or leave it out")
        if self.stop is not None and self.stop not in STOPS:
            raise InputError(f"stop must be null or {' or '.join(STOPS)}, but got {self.stop!r}; choose one of them")
        for name, value in self.had.items():
            if name in self.space and not self.space[name].contains(value):
                raise InputError(
                    f"had= gives a value of the space, but {name!r} is {self.space[name]!r} and got {value!r}; widen "
                    "the range, or correct the value"
                )
        self._check_objectives()
        self.strategy.check(self.n_trials)

    def _check_objectives(self) -> None:
        """Raise an InputError if something is asked for that only a single objective has."""
        if self.objectives is None:
            return
        usual = {"direction": "minimize", "tolerance": None, "pruner": None, "stop": None}
        for name in (name for name, value in usual.items() if getattr(self, name) != value):
            raise InputError(
                f"{name}= needs a single objective, but the run has {self.objectives.text}; leave it out"
                + (", and give each its direction in objectives=" if name == "direction" else "")
            )
        for trial in self.known.trials if self.known else ():
            missing = [name for name in self.objectives.names if name not in trial.metrics]
            if missing and trial.status == DONE:
                raise InputError(
                    f"known trials must have the objectives {self.objectives.text} among their metrics, but some lack "
                    f"{', '.join(missing)}; pass a run folder, a Result or a TrialTable that has them"
                )

    @property
    def minimize(self) -> bool:
        """Whether small objectives are good."""
        return self.direction == "minimize"

    @property
    def description(self) -> dict[str, Any]:
        """The settings, as a run folder stores them, on which trials and indices depend besides `evaluate`."""
        known: dict[str, Any] = {
            "goal": self.goal,
            "seed": self.seed,
            "direction": self.direction,
            "strategy": {"name": type(self.strategy).__name__, **_fields(self.strategy)},
            "space": {name: to_plain(self.space[name]) for name in self.space},
        }
        if self.pruner is not None:
            known["pruner"] = pruner_settings(self.pruner)
        if self.repeats > 1:  # so that folders written before `repeats` existed still match
            known["repeats"] = self.repeats
        if self.max_cost is not None:
            known["max_cost"] = float(self.max_cost)
        if self.stop is not None:
            known["stop"] = self.stop
        if self.known is not None:
            known["known"] = self.known.digest
        if self.had:
            known["had"] = dict(self.had)
        if self.objectives is not None:
            known["objectives"] = self.objectives.described
        return known

    @property
    def extent(self) -> int | None:
        """The budget if the plan of a trial depends on it, else None."""
        return None if getattr(self.strategy, "grows", False) else int(self.n_trials)

    def trained(self, evaluate: Callable[..., Any]) -> Callable[..., Any]:
        """`evaluate` as the trials call it: with `repeats` seeds each.

        Raises
        ------
        InputError
            If `evaluate` lacks a parameter that the plan needs: `seed` for repeats, `report` for a pruner.
        """
        if self.pruner is not None and not accepts_report(evaluate):
            raise InputError(
                "a pruner needs an evaluate that takes `report` beside the params, but this one does not; add it, call "
                "`report(step, value)` as the training goes on, and return once it answers False"
            )
        return repeated(evaluate, self.repeats, self.objectives.names if self.objectives else ())

    def cost_limit(self, evaluate: Callable[..., Any]) -> CostLimit | None:
        """The limit of the cost, with the function that prices a configuration before training; None without one."""
        if self.max_cost is None:
            return None
        return CostLimit(float(self.max_cost), self.price or getattr(evaluate, "price", None))


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by their names; none of any other object."""
    return {field.name: getattr(value, field.name) for field in fields(value)} if is_dataclass(value) else {}
