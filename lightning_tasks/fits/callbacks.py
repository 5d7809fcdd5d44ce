"""A fit reports its learning curve while it trains, and stops if the answer is to stop."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lightning_tasks.fits.namespaces import usual

# `report(step, value)` receives the metric after `step` epochs, and answers whether the training should go on.
Report = Callable[[int, float], bool]

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:
    # A Trainer asks no callback for its class, so that either namespace's will do for both.
    Callback = usual().pytorch.Callback

_ORDER = "PL_GLOBAL_SEED"
# A look at the loss waits for the device that computes it.
_LOOK_STEPS = 20


Kind = TypeVar("Kind")
# The hooks that Lightning calls at each step.
_EACH_STEP = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_validation_batch_start",
    "on_validation_batch_end",
)


def light(kind: type[Kind]) -> type[Kind]:
    """A class of callbacks without the hooks of each step that it does not use, whose calls take a small network 5%."""
    for name in _EACH_STEP:
        if name not in vars(kind):
            setattr(kind, name, None)  # Lightning leaves out what it cannot call
    return kind


class Diverged(Exception):
    """The loss or the validation metric is no longer a finite number."""


def monitored(trainer: Any, monitor: str) -> float:
    """The value of a logged metric.

    Raises
    ------
    ValueError
        If no metric of this name has been logged.
    """
    metrics = trainer.callback_metrics
    if monitor not in metrics:
        logged = ", ".join(sorted(map(str, metrics))) or "none"
        raise ValueError(
            f"`monitor` must be a metric that the module logs in validation, but got {monitor!r} and it logs {logged}; "
            f"log it with self.log({monitor!r}, ...) in validation_step, or pass another `monitor`"
        )
    value = metrics[monitor].detach().double()
    return float(trainer.strategy.reduce(value, reduce_op="mean"))  # each device may have validated its own share


@light
class ReportCallback(Callback):
    """Reports a metric after each validation, and stops the fit at the first answer that is False.

    For a training loop of your own; :class:`lightning_tasks.Fit` has it in already.

    Parameters
    ----------
    report
        ``report(step, value)`` receives the metric and answers whether to go on; None never stops. The step is the
        number of finished epochs, or of optimiser steps if there are several validations an epoch. Of several devices
        the first one reports, and all stop.
    monitor
        The name of the metric, as the module logs it.

    Attributes
    ----------
    stopped : bool
        Whether an answer stopped the fit.
    curve : list of (int, float)
        The reported steps and values.
    at : int
        Number of optimiser steps before the last value.

    Examples
    --------
    ::

        def evaluate(params, seed, report):
            trainer = Trainer(max_epochs=20, callbacks=[ReportCallback(report, monitor="val_loss")])
            trainer.fit(Digits(**params), train, validation)
            return float(trainer.callback_metrics["val_loss"])
    """

    def __init__(self, report: Report | None, monitor: str = "val_loss") -> None:
        self.report = report
        self.monitor = monitor
        self.stopped = False
        self.curve: list[tuple[int, float]] = []
        self.at = -1

    def replay(self, curve: list[tuple[int, float]], first: bool) -> None:
        """Report the values of an interrupted part of the fit again; the fit went on after each of them."""
        for step, value in curve:
            self.curve.append((step, value))
            if first and self.report is not None:
                self.report(step, value)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook, called when the metric is finished."""
        if trainer.sanity_checking:
            return
        value = monitored(trainer, self.monitor)
        # During the fit Lightning counts the epochs before the present one, after it all of them.
        step = trainer.current_epoch + (trainer.state.fn == "fit")
        if trainer.val_check_interval != 1.0 or trainer.check_val_every_n_epoch is None:
            step = trainer.global_step
        self.curve.append((step, value))
        self.at = trainer.global_step
        go_on = not trainer.is_global_zero or self.report is None or self.report(step, value)
        if not trainer.strategy.broadcast(bool(go_on)):
            self.stopped = trainer.should_stop = True


@light
class Finite(Callback):
    """Ends a fit whose loss is no longer finite: such a training does not recover."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lightning's hook, called after each step."""
        if batch_idx % _LOOK_STEPS or not isinstance(outputs, dict) or "loss" not in outputs:
            return
        # all devices end together, because each waits for the others
        loss = trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="sum")
        if not math.isfinite(float(loss)):
            raise Diverged(f"the loss was {float(loss)} at step {trainer.global_step}")


@light
class Rank(Callback):
    """What each of several processes needs.

    Parameters
    ----------
    seed
        Seed of the order in which Lightning shares the samples out, the same for all.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook, called before it makes its sampler, which reads this variable."""
        os.environ[_ORDER] = str(self.seed)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook, called after it has set its handlers and made its sampler."""
        # End at once when torchrun terminates this process; Lightning's own handler would first wait for the others.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        del os.environ[_ORDER]  # else Lightning would start all ranks at this seed again
