"""Configurations of a task become a stack, train in one Lightning fit, and come apart again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_tasks import module, nets
from lightning_tasks.callbacks import Report
from lightning_tasks.data import Ordered, Split, batch_sizes, to_device
from lightning_tasks.stacked.checkpoints import StackCheckpoints
from lightning_tasks.stacked.forms import form_of, loss_name
from lightning_tasks.stacked.layout import Member, sort
from lightning_tasks.stacked.training import Course, Epochs, StackedTraining

PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64}


class Task(Protocol):
    """What a stack needs of a task."""

    @property
    def losses(self) -> Mapping[str, module.Loss]:
        """Losses by name."""

    @property
    def metric(self) -> module.Metric:
        """The metric of validation and test."""

    def load(self) -> Split:
        """The data."""

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network of these hyperparameters."""


@dataclass(frozen=True)
class Assignment:
    """A configuration to train: every hyperparameter, its seed, and its report if it has one."""

    settings: Mapping[str, Any]
    seed: int
    report: Report | None = None


def member(task: Task, settings: Mapping[str, Any], samples: int) -> Member | None:
    """The network of these hyperparameters as one of a stack, drawn by torch's generator; None if it does not fit.

    The draws are those of a network that trains alone as a plain one: weights, then the seed of the shuffles.
    """
    net = task.network(settings)
    form, loss = form_of(net), loss_name(nets.pick("loss", task.losses, settings["loss"]))
    if form is None or loss is None or not isinstance(net, nn.Sequential):
        return None
    if form.batch_norm and 1 in batch_sizes(samples, settings["batch_size"]):
        return None  # a plain network refuses it, and says why
    if form.dropout >= 1.0 or settings["optimizer"] not in ("adam", "sgd", "rmsprop", "adagrad"):
        return None
    if net[0].weight.device.type == "meta":
        return Member(net, form, settings, loss, torch.Generator(), 0, samples)
    nets.initialise(net, settings["initialiser"])
    shuffles = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    key = int(torch.randint(2**31, ()))
    return Member(net, form, settings, loss, shuffles, key, samples)


def train(
    task: Task,
    members: Sequence[Member],
    reports: Sequence[Report | None],
    trainer_of: Callable[[list[pl.Callback]], pl.Trainer],
    every: int,
    precision: str,
    test: bool,
    checkpoint: StackCheckpoints | None,
) -> tuple[list[Course], list[dict[str, Tensor]], float, dict[str, Any]]:
    """Train a stack in one fit.

    Parameters
    ----------
    task
        Its data and metric.
    members, reports
        The networks, of one padded shape, and the report of each.
    trainer_of
        Makes the trainer with these callbacks.
    every
        Epochs from one validation to the next.
    precision
        A key of PRECISIONS.
    test
        Whether to read the test metric at the end.
    checkpoint
        Keeps the state of the stack while it trains.

    Returns
    -------
    list of Course, list of dict, float, dict
        What has become of each network; its weights as those of a plain network, none if it diverged; the seconds of
        the fit; and what was found in the checkpoint.
    """
    order = sort(members)
    split = task.load()
    trainer = trainer_of([] if checkpoint is None else [checkpoint])
    device, epochs = trainer.strategy.root_device, int(trainer.max_epochs or 0)
    training = StackedTraining(
        [members[index] for index in order],
        task.metric,
        [reports[index] for index in order],
        device,
        PRECISIONS[precision],
        epochs,
    )
    found: dict[str, Any] = {} if checkpoint is None else checkpoint.look(training)
    start_from = checkpoint.path if checkpoint is not None and "resumed_at" in found else None
    batches = Epochs(training, *to_device(split.train, device))
    validation = Ordered(*to_device(split.validation, device))
    start = time.perf_counter()
    trainer.fit(training, batches, validation, ckpt_path=start_from)
    if training.alive and epochs % every:  # no check was due after the last epoch
        trainer.validate(training, validation, verbose=False)
    training.end()
    seconds = (0.0 if checkpoint is None else checkpoint.seconds) + time.perf_counter() - start
    if test and any(course.status == "done" for course in training.courses):
        trainer.test(training, Ordered(*to_device(split.test, device)), verbose=False)
    courses: list[Course] = [Course()] * len(members)
    weights: list[dict[str, Tensor]] = [{} for _ in members]
    for network, index in enumerate(order):
        courses[index] = training.courses[network]
        if network in training.networks and courses[index].status != "diverged":
            place = training.networks.index(network)
            own = training.layout.members[place]
            training.stack.unload(place, courses[index].epochs * len(own.sizes))
            weights[index] = own.net.state_dict()
    return courses, weights, seconds, found
