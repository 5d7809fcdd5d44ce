"""A Trainer for each trial: Lightning's, with the devices of the machine, and silent unless it is told otherwise."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_tasks.devices.machine import Machine
from lightning_tasks.devices.ranks import Ranks
from lightning_tasks.fits.callbacks import Rank
from lightning_tasks.fits.checkpoints import WholeFile
from lightning_tasks.fits.namespaces import Namespace
from lightning_tasks.fits.parts import accepts

_SILENT = {
    "num_sanity_val_steps": 0,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
# Arguments that say how long a training is.
LENGTHS = ("max_epochs", "max_steps", "max_time")


@dataclass(frozen=True)
class Trainers:
    """Makes the Trainer of each trial.

    Parameters
    ----------
    machine
        Its devices.
    given
        Arguments of the Trainer beside those of the machine.
    """

    machine: Machine
    given: Mapping[str, Any]

    def check(self, namespace: Namespace) -> None:
        """Refuse arguments that no trial could train with.

        Raises
        ------
        ValueError
            If an argument is unknown or impossible, or the length of the training is missing.
        """
        known, _ = accepts(namespace.pytorch.Trainer)
        unknown = sorted(self.given.keys() - known)
        if unknown:
            raise ValueError(
                f"`trainer` holds arguments of Lightning's Trainer, but got {', '.join(unknown)}; take it out."
            )
        if not any(self.given.get(name) is not None for name in LENGTHS):
            raise ValueError(
                f"`trainer` must say how long a training is by one of {', '.join(LENGTHS)}, but got "
                f"{', '.join(sorted(self.given)) or 'nothing'}; pass trainer={{'max_epochs': 20}}."
            )
        # Lightning itself refuses a precision that there is not.
        namespace.pytorch.Trainer(
            accelerator=self.machine.accelerator, precision=self.machine.precision, devices=1, **_SILENT
        )

    def make(
        self,
        namespace: Namespace,
        more: Mapping[str, Any],
        callbacks: Sequence[Any],
        ranks: Ranks,
        every: int | None,
        seed: int,
    ) -> Any:
        """The Trainer of one trial.

        Parameters
        ----------
        namespace
            The namespace of the module.
        more
            Further arguments of this trial.
        callbacks
            Callbacks after the person's own.
        ranks
            The processes that train together.
        every
            Epochs from one validation to the next, if they are not the person's.
        seed
            Seed of the order of the samples, if there are several ranks.
        """
        given = copy.deepcopy(dict(self.given)) | dict(more)  # a callback or logger remembers the trial before
        own = [given.pop(name, None) or [] for name in ("callbacks", "plugins")]
        mine, plugins = (list(value) if isinstance(value, list | tuple) else [value] for value in own)
        # one process even inside a SLURM job, whose number of tasks Lightning would otherwise take for ranks
        environment = namespace.environments.LightningEnvironment()
        if ranks.size > 1:
            environment = namespace.environments.TorchElasticEnvironment()
            given.setdefault("strategy", "ddp")
            callbacks = [*callbacks, Rank(seed)]
        elif isinstance(given.get("strategy"), str):
            del given["strategy"]  # one device needs none
        namespace.checkpoint_io.register(WholeFile)
        if every is not None:
            given["check_val_every_n_epoch"] = every
        # files of its own only if the person asks for them
        saves = any(isinstance(callback, namespace.pytorch.callbacks.Checkpoint) for callback in mine)
        return namespace.pytorch.Trainer(
            **{**_SILENT, "enable_checkpointing": saves, **given},
            accelerator=self.machine.accelerator,
            devices=ranks.size,
            precision=self.machine.precision,
            plugins=[environment, WholeFile(), *plugins],
            callbacks=[*mine, *callbacks],
        )


def is_over(trainer: Any) -> bool:
    """Whether a training has come to its planned end."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    return (epochs not in (None, -1) and trainer.current_epoch >= epochs) or (
        steps != -1 and trainer.global_step >= steps
    )
