"""A stack keeps its state in one file while it trains, and goes on from there if it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_tasks.fits.checkpoints import kept_state
from lightning_tasks.stacked.training import StackedTraining

# The key of our part in Lightning's dictionary.
_KEY = "lightning_tasks.stacked"


class StackCheckpoints(pl.Callback):
    """Saves a stack at the end of an epoch if at least `every` seconds have passed since the last save or the start.

    Parameters
    ----------
    path
        The file, whose folder exists.
    every
        Seconds from one save to the next.
    owner
        What defines the fit: a checkpoint of another fit is not used.

    Attributes
    ----------
    seconds : float
        Seconds of the fit before it was interrupted.
    """

    def __init__(self, path: Path, every: float, owner: Mapping[str, Any]) -> None:
        self.path, self.every, self.owner = path, every, dict(owner)
        self.seconds = 0.0
        self._start = self._last = time.perf_counter()

    def look(self, training: StackedTraining) -> dict[str, Any]:
        """Look for a checkpoint to go on from, and report its learning curves again.

        Returns
        -------
        dict
            resumed_at (finished epochs) if there is one, not_resumed (the reason) if there is one that cannot be used,
            or else nothing.
        """
        state, said = kept_state(self.path, _KEY, self.owner)
        if state is None:
            return said
        self.seconds = state["seconds"]
        for course, report in zip(state["courses"], training.reports, strict=True):
            if report is not None:
                for step, value in course["curve"]:
                    report(step, value)
        return {"resumed_at": state["epochs"]}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning's hook, called after the validation if one was due."""
        over = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if over or time.perf_counter() - self._last < self.every:
            return
        trainer.save_checkpoint(self.path, weights_only=False)
        self._last = time.perf_counter()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning's hook: add the state of the stack."""
        checkpoint[_KEY] = {
            **_stacked(pl_module).state(),
            "owner": self.owner,
            "epochs": trainer.current_epoch + 1,
            "seconds": self.seconds + time.perf_counter() - self._start,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lightning's hook, called before it asks for the first batches."""
        _stacked(pl_module).load(checkpoint[_KEY])


def _stacked(pl_module: pl.LightningModule) -> StackedTraining:
    if not isinstance(pl_module, StackedTraining):
        raise TypeError(f"a `StackedTraining` has the state of a stack, but got {type(pl_module).__name__}; fit one.")
    return pl_module
