"""Early stopping judges a trial by the learning curves of the trials that had ended when it was planned.

Any pruner of Optuna decides. It decides in the process that trains the trial, over a study of the trials known at
planning and no others: trials side by side are ignored, so that the answer does not depend on the workers.
"""

from __future__ import annotations

import copy
import math
import operator
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, first_line
from hsicfast.space.distributions import quiet
from hsicfast.trials.trial import DONE, PRUNED, Trial

if TYPE_CHECKING:
    import optuna

# These pruners look at values alone. Others, such as successive halving, mark each trial that they judge and read the
# marks later, so they must judge the known trials again: 300 curves of 10 steps take 0.1 to 0.4 s instead of 0.01 s.
_UNMARKED = ("MedianPruner", "PercentilePruner", "ThresholdPruner", "WilcoxonPruner", "NopPruner")


@dataclass(frozen=True)
class Pruning:
    """The pruner that may stop a trial early, and the trials to compare it with.

    Parameters
    ----------
    pruner : optuna.pruners.BasePruner, optional
        None never stops the trial; its curve is recorded all the same.
    minimize : bool
        Whether small reported values are good.
    known : tuple of Trial
        Trials with a curve that had ended when this one was planned, by their index.
    """

    pruner: optuna.pruners.BasePruner | None
    minimize: bool = True
    known: tuple[Trial, ...] = ()


class CurveReporter:
    """A training calls ``report(step, value)`` after each check; the answer says whether it should go on.

    Parameters
    ----------
    pruning : Pruning, optional
        Every trial goes on without it, or without its pruner.
    index : int
        The index of the trial, above those of the known ones.

    Attributes
    ----------
    curve : list of (int, float)
        The reported steps and values; NaN for a value that was not finite.
    message : str
        The step at which the trial was stopped, and the pruner; empty until then.
    error : InputError, optional
        The error of a call or of the pruner, because the training may have swallowed it.

    Examples
    --------
    >>> import optuna
    >>> known = tuple(Trial(i, {}, 0.1 * i, curve=((1, 0.5), (2, 0.1 * i))) for i in range(5))
    >>> report = CurveReporter(Pruning(optuna.pruners.MedianPruner(), True, known), index=5)
    >>> report(1, 0.5), report(2, 0.3), report.message
    (True, False, 'stopped at step 2 with 0.3 by MedianPruner, which knew 5 curves')
    """

    def __init__(self, pruning: Pruning | None, index: int) -> None:
        self.curve: list[tuple[int, float]] = []
        self.message = ""
        self.error: InputError | None = None
        self._pruning, self._index = pruning, index
        self._trial: optuna.Trial | None = None

    def __call__(self, step: int, value: float) -> bool:
        """Record `value` after `step`, a whole number above the last one.

        Raises
        ------
        InputError
            If `step` is no such number, `value` is no number, or the pruner raises.
        """
        try:
            self.curve.append(self._checked(step, value))
            if self._pruning is not None and self._pruning.pruner is not None and not self.message:
                self._ask(self._pruning, self._pruning.pruner)
        except InputError as error:
            self.error = error
            raise
        return not self.message

    def _checked(self, step: Any, value: Any) -> tuple[int, float]:
        last = self.curve[-1][0] if self.curve else -1
        try:
            whole = operator.index(step)
        except TypeError:
            whole = last
        if whole <= last:
            raise InputError(f"a reported step must be a whole number above {last}, but got {step!r}; count them up")
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise InputError(f"a reported value must be a number, but got {value!r}; report a float") from error
        return whole, number if math.isfinite(number) else math.nan

    def _ask(self, pruning: Pruning, pruner: optuna.pruners.BasePruner) -> None:
        step, value = self.curve[-1]
        name = type(pruner).__name__
        try:
            if self._trial is None:
                self._trial = _among(pruning.known, self._index, pruner, pruning.minimize)
            self._trial.report(value, step)
            hopeless = self._trial.should_prune()
        except Exception as error:  # a pruner may be anybody's code
            lines = str(error).splitlines() or [type(error).__name__]
            raise InputError(
                f"a pruner must answer, but {name} raised {type(error).__name__}: {lines[-1]}; correct it or leave "
                "the pruner out"
            ) from error
        if hopeless:
            curves = "1 curve" if len(pruning.known) == 1 else f"{len(pruning.known)} curves"
            self.message = f"stopped at step {step} with {value:.6g} by {name}, which knew {curves}"


def check_pruner(pruner: Any) -> None:
    """Raise an InputError unless `pruner` is a pruner of Optuna's kind, can be pickled, and answers."""
    import optuna

    if not isinstance(pruner, optuna.pruners.BasePruner):
        raise InputError(
            f"a pruner must be an optuna.pruners.BasePruner, but got {pruner!r}; pass one such as "
            "optuna.pruners.MedianPruner()"
        )
    try:
        pickle.dumps(pruner)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"a pruner must be picklable, but got: {first_line(error)}; define it at the top of a module"
        ) from error
    CurveReporter(Pruning(pruner, True, (Trial(0, {}, 0.0, curve=((1, 0.0),)),)), 1)(1, 1.0)


def pruner_settings(pruner: Any) -> dict[str, Any]:
    """The name and the arguments of a pruner, and those of a pruner inside it.

    Examples
    --------
    >>> import optuna
    >>> pruner_settings(optuna.pruners.ThresholdPruner(upper=1.0))
    {'name': 'ThresholdPruner', 'lower': -inf, 'upper': 1.0, 'n_warmup_steps': 0, 'interval_steps': 1}
    """
    import optuna

    own = {key.removeprefix("_"): value for key, value in vars(pruner).items()}
    inner = {key: pruner_settings(value) for key, value in own.items() if isinstance(value, optuna.pruners.BasePruner)}
    return {"name": type(pruner).__name__} | own | inner


def with_curves(trials: list[Trial]) -> tuple[Trial, ...]:
    """Those of `trials` that are done or stopped early and have a curve, so that others can be compared with them."""
    return tuple(trial for trial in trials if trial.status in (DONE, PRUNED) and trial.curve)


def _among(known: tuple[Trial, ...], index: int, pruner: optuna.pruners.BasePruner, minimize: bool) -> optuna.Trial:
    """A running Optuna trial with the number `index`, in a study that holds the known trials under their numbers."""
    import optuna

    with quiet(optuna):
        study = optuna.create_study(
            study_name="hsicfast",  # Hyperband chooses the bracket by this name and the number of the trial
            direction="minimize" if minimize else "maximize",
            # A sampler that uses no trials, and a fresh pruner that remembers nothing of another trial.
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=copy.deepcopy(pruner),
        )
        asked = type(pruner) not in [getattr(optuna.pruners, name) for name in _UNMARKED]
        ended = {trial.index: trial for trial in known}
        for number in range(index):
            if number not in ended:  # diverged, lost, or side by side with this one: it has no known curve
                study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
            else:
                _tell(study, ended[number], asked)
        return study.ask()


def _tell(study: optuna.Study, trial: Trial, asked: bool) -> None:
    """Add a known trial to the study: as it ended, or, if `asked`, with the pruner judging each of its steps."""
    import optuna

    states = optuna.trial.TrialState
    state = states.COMPLETE if trial.status == DONE else states.PRUNED
    value = trial.objective if math.isfinite(trial.objective) else None
    if not asked:
        study.add_trial(optuna.trial.create_trial(state=state, value=value, intermediate_values=dict(trial.curve)))
        return
    running = study.ask()
    for step, reported in trial.curve:
        running.report(reported, step)
        running.should_prune()
    study.tell(running, value if trial.status == DONE else None, state=state)
