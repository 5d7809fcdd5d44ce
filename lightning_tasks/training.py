"""A `Trainee` trains one configuration of hyperparameters on a task as a Lightning fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from lightning_tasks import module, nets
from lightning_tasks.data import Batches, Ordered, Pair, Split, to_device
from lightning_tasks.devices.machine import Machine
from lightning_tasks.devices.ranks import Ranks, norm_whole_batches
from lightning_tasks.fits.counts import count_flops, count_parameters
from lightning_tasks.fits.fit import Fit
from lightning_tasks.fits.namespaces import versions
from lightning_tasks.fits.parts import Parts

_HOW_TO_LOAD = (
    "saved = torch.load('network.pt'); net = task.network({**task.defaults, **saved['params']}); "
    "net.load_state_dict(saved['state_dict']); net.eval()"
)


class Task(Protocol):
    """The interface of a task for `Trainee`; `runge.Runge` is an example."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The hyperparameters of the network, and their values if the space does not hold them."""

    @property
    def losses(self) -> Mapping[str, module.Loss]:
        """Losses by name; the first one is used if the space holds none."""

    @property
    def metric(self) -> module.Metric:
        """The metric of objective and test."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    def prepare(self) -> None:
        """Check the values, and download missing data."""

    def load(self) -> Split:
        """The data."""

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network of these hyperparameters."""


class Data(pl.LightningDataModule):
    """The data of a task on the device that trains."""

    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self.split = split
        self.batch_size = batch_size
        self.generator = torch.Generator()  # of the order of the samples; `Fit` seeds it

    def _here(self, pair: Pair) -> Pair:
        return to_device(pair, self.trainer.strategy.root_device)  # type: ignore[union-attr]

    def train_dataloader(self) -> Batches:
        """Lightning's hook: shuffled batches."""
        return Batches(*self._here(self.split.train), self.batch_size, self.generator)

    def val_dataloader(self) -> Ordered:
        """Lightning's hook: the validation part in order."""
        return Ordered(*self._here(self.split.validation))

    def test_dataloader(self) -> Ordered:
        """Lightning's hook: the test part in order."""
        return Ordered(*self._here(self.split.test))


class Trainee(Fit):
    """Trains configurations on a task: `trainee(params, seed)` is one Lightning fit.

    The same params, seed and one CPU thread give the same numbers, whatever was trained before in the process. With
    several devices torchrun starts a process for each, and the trial is that of one device up to rounding and dropout:
    the processes share every batch, and batch norm sees all of it.

    Parameters
    ----------
    task
        Data and network, for example `runge.Runge()`. It checks and downloads here, and loads at the first trial.
    trainer
        Values of `Machine` by name.
    epochs
        Passes over the training data.
    cost
        Which result is the cost: flops (of one inference), parameters or seconds.
    checks
        A training that reports is validated at most this often, evenly over the epochs and after the last one; other
        trainings are validated after the last epoch alone.
    test_every_trial
        Whether every trial reads the test metric, for benches, which compare strategies by it. A search or a person
        that used it to choose would have no unseen data left to judge the chosen network.
    checkpoint_every
        Seconds between two checkpoints of a trial, from 0; each is written at the end of an epoch.

    Raises
    ------
    ValueError, FileNotFoundError
        If a value is impossible or the data are absent.
    """

    knobs: ClassVar[Mapping[str, str]] = {
        "cost": "`task.cost=flops`",
        "checks": "`+task.evaluate.checks=10`",
        "checkpoint_every": "`+task.evaluate.checkpoint_every=60`",
    }

    def __init__(
        self,
        task: Task,
        trainer: Mapping[str, Any],
        epochs: int,
        cost: str = "flops",
        checks: int = 10,
        test_every_trial: bool = False,
        checkpoint_every: float = 60.0,
    ) -> None:
        if epochs < 1:
            raise ValueError(f"`epochs >= 1` must hold, but got {epochs}; pass `task.evaluate.epochs=1` or more.")
        known = Machine.__dataclass_fields__
        unknown = [str(name) for name in trainer if name not in known]
        if unknown:
            raise ValueError(f"the trainer knows {', '.join(known)}, but got {', '.join(unknown)}; take it out.")
        arguments = {str(name): value for name, value in trainer.items()}
        threads = arguments.pop("threads", 1)
        super().__init__(
            module.Training,
            monitor="validation",
            trainer={**arguments, "max_epochs": epochs},
            threads=threads,
            cost=cost,
            checks=checks,
            checkpoint_every=checkpoint_every,
        )
        self.task = task
        self.epochs = epochs
        self.test_every_trial = test_every_trial
        task.prepare()

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        known = {**module.DEFAULTS, "loss": next(iter(self.task.losses)), **self.task.defaults}
        unknown = sorted(params.keys() - known.keys())
        if unknown:
            raise ValueError(
                f"every hyperparameter must be one of {', '.join(sorted(known))}, but got {', '.join(unknown)}; "
                "take it out of the space."
            )
        return {**known, **params}

    def _check(self, params: Mapping[str, Any]) -> None:
        self._settings(params)

    def _on_paper(self, params: Mapping[str, Any]) -> dict[str, float]:
        with torch.device("meta"):
            net = self.task.network(self._settings(params))
        example = torch.empty(1, *self.task.shape, device="meta")
        return {"parameters": count_parameters(net), "flops": count_flops(net, example)}

    def _parts(self, params: Mapping[str, Any], ranks: Ranks) -> Parts:
        settings = self._settings(params)
        loss = nets.pick("loss", self.task.losses, settings["loss"])
        split = self.task.load()
        net = self.task.network(settings)
        nets.initialise(net, settings["initialiser"])
        strategy: dict[str, Any] = {}
        if ranks.size > 1:
            norm_whole_batches(net)
            strategy["strategy"] = DDPStrategy(broadcast_buffers=False)  # they are alike on all ranks
        training = module.Training(net, settings, loss, self.task.metric, ranks)
        return Parts(training, {"datamodule": Data(split, settings["batch_size"])}, strategy)

    def _every(self, reporting: bool) -> int:
        """Epochs from one validation to the next; without reports only the last validation is needed."""
        return math.ceil(self.epochs / self.checks) if reporting and self.checks else self.epochs

    def _owner(self, params: Mapping[str, Any], seed: int, made: Parts, every: int | None) -> dict[str, Any]:
        return {
            "params": repr(sorted(self._settings(params).items())),
            "seed": seed,
            "epochs": self.epochs,
            "task": repr(self.task),
            "network": repr(made.module.net),
            "checks": every,
            "machine": repr(self.machine),
            "versions": versions(),
        }

    def _network(self, module: Any) -> nn.Module:
        return module.net

    def _described(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"task": repr(self.task), "how_to_load": _HOW_TO_LOAD}
