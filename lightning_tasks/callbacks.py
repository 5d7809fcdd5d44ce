"""A fit tells its learning curve while it trains, and ends where nobody wants it to go on."""

from __future__ import annotations

from collections.abc import Callable

import pytorch_lightning as pl

from lightning_tasks import module
from lightning_tasks.ranks import ALONE, Ranks

# `report(step, value)`: what the metric is after so many epochs; whether the training should go on.
Report = Callable[[int, float], bool]


class Reports(pl.Callback):
    """Reports the metric after each validation, and stops the fit at the first answer that is False.

    Parameters
    ----------
    report
        Who is told.
    epochs
        Of the whole training.
    ranks
        With whom the fit trains; the first one reports for all.

    Attributes
    ----------
    stopped : bool
        Whether the fit was told to stop.
    curve : list of (int, float)
        What was reported.
    """

    def __init__(self, report: Report, epochs: int, ranks: Ranks = ALONE) -> None:
        self.report = report
        self.ranks = ranks
        self.epochs = epochs
        self.stopped = False
        self.curve: list[tuple[int, float]] = []

    def tell_again(self, curve: list[tuple[int, float]]) -> None:
        """Report what an interrupted part of the fit had reported; it went on after each of these."""
        for step, value in curve:
            self.curve.append((step, value))
            if self.ranks.rank == 0:
                self.report(step, value)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning's hook, once the metric is finished."""
        if not isinstance(pl_module, module.Training):
            raise TypeError(f"a `module.Training` reports its metric, but got {type(pl_module).__name__}; fit one.")
        # Lightning counts the epochs behind the present one, after the fit all of them.
        step, value = min(trainer.current_epoch + 1, self.epochs), pl_module.validation
        self.curve.append((step, value))
        if not self.ranks.of_first(self.ranks.rank == 0 and self.report(step, value)):
            self.stopped = trainer.should_stop = True
