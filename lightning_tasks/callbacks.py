"""A fit reports its learning curve while it trains, and stops if the answer is to stop."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl

from lightning_tasks import module
from lightning_tasks.devices.ranks import ALONE, Ranks

# `report(step, value)` receives the metric after `step` epochs, and answers whether the training should go on.
Report = Callable[[int, float], bool]


class Reports(pl.Callback):
    """Reports the metric after each validation, and stops the fit at the first answer that is False.

    Parameters
    ----------
    report
        Receives the metric.
    epochs
        Epochs of the whole training.
    ranks
        The processes that train together; the first one reports for all.

    Attributes
    ----------
    stopped : bool
        Whether an answer stopped the fit.
    curve : list of (int, float)
        The reported steps and values.
    """

    def __init__(self, report: Report, epochs: int, ranks: Ranks = ALONE) -> None:
        self.report = report
        self.ranks = ranks
        self.epochs = epochs
        self.stopped = False
        self.curve: list[tuple[int, float]] = []

    def replay(self, curve: list[tuple[int, float]]) -> None:
        """Report the values of an interrupted part of the fit again; the fit went on after each of them."""
        for step, value in curve:
            self.curve.append((step, value))
            if self.ranks.rank == 0:
                self.report(step, value)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning's hook, called when the metric is finished."""
        if not isinstance(pl_module, module.Training):
            raise TypeError(f"a `module.Training` reports its metric, but got {type(pl_module).__name__}; fit one.")
        # During the fit Lightning counts the epochs before the present one, after it all of them.
        step, value = min(trainer.current_epoch + 1, self.epochs), pl_module.validation
        self.curve.append((step, value))
        if not self.ranks.of_first(self.ranks.rank == 0 and self.report(step, value)):
            self.stopped = trainer.should_stop = True
