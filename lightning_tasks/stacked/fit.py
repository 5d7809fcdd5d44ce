"""Configurations of a task become a stack, train in one Lightning fit, and come apart again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_tasks import module, nets
from lightning_tasks.data import Ordered, Split, batch_sizes, to_device
from lightning_tasks.fits.callbacks import Report
from lightning_tasks.stacked.checkpoints import StackCheckpoints
from lightning_tasks.stacked.forms import Form, form_of, loss_name
from lightning_tasks.stacked.layout import Member, sort
from lightning_tasks.stacked.training import Course, Epochs, StackedTraining

OPTIMIZERS = ("adam", "sgd", "rmsprop", "adagrad")
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


def form_in(task: Task, net: nn.Module, settings: Mapping[str, Any], samples: int) -> Form | None:
    """The form of a network if a stack can train it with these hyperparameters, or None."""
    form, loss = form_of(net), loss_name(nets.pick("loss", task.losses, settings["loss"]))
    if form is None or loss is None or not form.dropout < 1.0:
        return None
    if settings["optimizer"] not in OPTIMIZERS:
        return None
    # A plain network refuses to normalise a batch of one sample, and says why.
    alone = form.batch_norm and 1 in batch_sizes(samples, settings["batch_size"])
    return None if alone else form


def member(task: Task, settings: Mapping[str, Any], samples: int) -> Member:
    """The network of these hyperparameters as one of a stack, drawn by torch's generator.

    The draws are those of a network that trains as a plain one: weights, then the seed of the shuffles.

    Raises
    ------
    ValueError
        If a stack cannot train it.
    """
    net = task.network(settings)
    form, loss = form_in(task, net, settings, samples), loss_name(task.losses[settings["loss"]])
    if form is None or loss is None or not isinstance(net, nn.Sequential):
        raise ValueError(f"a stack trains MLPs of one width, but got {net}; train it alone.")
    nets.initialise(net, settings["initialiser"])
    shuffles = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    return Member(net, form, settings, loss, shuffles, int(torch.randint(2**31, ())), samples)


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
