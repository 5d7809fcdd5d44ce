"""A stack of networks trains as one LightningModule; each network has its own batches, loss, optimiser and end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_tasks import module
from lightning_tasks.data import Pair
from lightning_tasks.fits.callbacks import Report
from lightning_tasks.stacked.dropout import Dropout
from lightning_tasks.stacked.forms import loss_and_gradient
from lightning_tasks.stacked.layout import Layout, Member
from lightning_tasks.stacked.networks import NormBatch, Stack
from lightning_tasks.stacked.optimizers import Optimizers

# Networks that have ended are taken out of the stack once they are this share of it.
_LEAVE = 0.25


@dataclass
class Course:
    """What has become of one network.

    Attributes
    ----------
    status : {"", "done", "pruned", "diverged"}
        Empty while it trains.
    message : str
        Why it diverged.
    validation, test : float
        The metric on each split, NaN until it is computed.
    epochs : int
        Finished epochs.
    curve : list of (int, float)
        What it has reported.
    """

    status: str = ""
    message: str = ""
    validation: float = math.nan
    test: float = math.nan
    epochs: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)


class Epochs:
    """The batches of an epoch for all networks of a stack; Lightning gets each epoch as one block.

    Parameters
    ----------
    training
        The networks, each with a generator that shuffles its samples.
    x, y
        Inputs and targets on the device that trains.
    """

    def __init__(self, training: StackedTraining, x: Tensor, y: Tensor) -> None:
        self.training, self.x, self.y = training, x, y

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Pair]:
        layout, schedule = self.training.layout, self.training.schedule
        samples = len(self.x)
        shuffles = [torch.randperm(samples, generator=member.shuffles) for member in layout.members]
        order = torch.full((layout.size, layout.steps * layout.batch_rows), samples)
        order.scatter_(1, schedule.columns, torch.stack(shuffles))
        order = order.view(layout.size, layout.steps, layout.batch_rows).transpose(0, 1).to(self.x.device)
        x = nn.functional.pad(self.x, (0, layout.inputs - self.x.shape[1], 0, 1))
        y = nn.functional.pad(self.y, (0, layout.outputs - self.y.shape[1], 0, 1))
        yield x.to(self.training.stack.dtype)[order], y.to(self.training.stack.dtype)[order[:, layout.by_loss]]


class Schedule:
    """Which rows of the padded batches are samples, and how much each output counts.

    Attributes
    ----------
    columns : (N, samples)
        Where the samples of an epoch lie among its padded rows.
    norms : list of lists of NormBatch
        For each step and layer.
    taken : (steps, N)
        Whether a network takes a step, in the order of the losses.
    weights : (steps, N, rows, outputs)
        Of the losses, in their order.
    """

    def __init__(self, stack: Stack) -> None:
        layout, device, dtype = stack.layout, stack.device, stack.dtype
        rows, outputs = layout.batch_rows, layout.members[0].form.outputs
        sizes = torch.zeros(layout.steps, layout.size, dtype=torch.long)
        columns = []
        for index, member in enumerate(layout.members):
            sizes[: len(member.sizes), index] = torch.tensor(member.sizes)
            columns.append(torch.cat([step * rows + torch.arange(size) for step, size in enumerate(member.sizes)]))
        self.columns = torch.stack(columns)
        shares = torch.where(sizes > 0, 1.0 / sizes.double(), 0.0)
        samples = (torch.arange(rows) < sizes[..., None])[..., None]
        weights = samples * (shares / outputs)[..., None, None] * (torch.arange(layout.outputs) < outputs)
        normed = [torch.tensor(layer.values[: layer.norms], dtype=torch.long) for layer in layout.layers]
        self.norms = [[NormBatch.of(own[places], rows, device, dtype) for places in normed] for own in sizes]
        self.taken = (sizes > 0)[:, layout.by_loss].to(device)
        self.weights = weights[:, layout.by_loss].to(device, dtype).contiguous()


class StackedTraining(pl.LightningModule):
    """Networks of one padded shape in training.

    Parameters
    ----------
    members
        The networks, in the order of `layout.sort`.
    metric
        The metric of validation and test.
    reports
        For each network a report of its validation metric, or None. If it answers False, the network stops.
    device, dtype
        Where the networks train, and in which precision.
    epochs
        Passes over the training data.

    Attributes
    ----------
    courses : list of Course
        What has become of each network.
    """

    def __init__(
        self,
        members: Sequence[Member],
        metric: module.Metric,
        reports: Sequence[Report | None],
        device: torch.device,
        dtype: torch.dtype,
        epochs: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.metric, self.reports, self.epochs = metric, list(reports), epochs
        self.courses = [Course() for _ in members]
        self.networks = list(range(len(members)))  # that are in the stack
        self._place, self._type = device, dtype
        self._outputs: list[Tensor] = []
        self._totals: list[float] = []
        self._count = 0
        self._build(Layout(members))
        self.stack.fill()

    def _build(self, layout: Layout) -> None:
        self.layout = layout
        self.stack = Stack(layout, self._place, self._type)
        self.optimizer, self.dropout = Optimizers(self.stack), Dropout(self.stack)
        self.schedule = Schedule(self.stack)

    def keep(self, networks: Sequence[int]) -> None:
        """Take all other networks out of the stack."""
        places = [self.networks.index(network) for network in networks]
        stack, memory = self.stack, self.optimizer.memory
        self._build(Layout([self.layout.members[place] for place in places]))
        self.stack.take(stack, places)
        for own, other in zip(self.optimizer.memory, memory, strict=False):
            own.take(other, self.layout, stack.layout, places)
        self.networks = list(networks)

    def configure_optimizers(self) -> None:
        """Lightning's hook: the stack has optimisers of its own."""

    @property
    def alive(self) -> list[int]:
        """The networks that still train."""
        return [network for network in self.networks if not self.courses[network].status]

    @torch.inference_mode()  # which spares each operation what autograd would note
    def training_step(self, block: Pair, index: int) -> None:
        """The steps of all networks in one epoch."""
        (x, y), schedule, epoch = block, self.schedule, self.current_epoch
        losses = torch.empty(self.layout.steps, self.layout.size, device=self._place, dtype=self._type)
        self.optimizer.begin(epoch)
        for step in range(self.layout.steps):
            outputs = self.stack.forward(x[step], schedule.norms[step], self.dropout.masks(epoch, step))
            difference = outputs.sub_(y[step])
            found = [loss_and_gradient(name, difference[part]) for name, part in self.layout.losses]
            values, gradients = zip(*found, strict=True)
            weights = schedule.weights[step]
            torch.sum((_joined(values) * weights).flatten(1), dim=1, out=losses[step])
            self.stack.backward(_joined(gradients) * weights)
            self.optimizer.step(step)
        self._judge(losses)

    def _judge(self, losses: Tensor) -> None:
        """Mark the networks whose loss was no finite number, at its first step."""
        broken = ~torch.isfinite(losses) & self.schedule.taken
        for place in torch.nonzero(broken.any(dim=0)).flatten().tolist():
            member, network = self.layout.by_loss[place], self.networks[self.layout.by_loss[place]]
            course = self.courses[network]
            if course.status:
                continue
            step = int(broken[:, place].nonzero()[0])
            course.status = "diverged"
            course.epochs = self.current_epoch
            steps = self.current_epoch * self.layout.counts[member] + step + 1
            course.message = f"the loss was {losses[step, place].item()} at step {steps}"

    def on_train_epoch_end(self) -> None:
        """Lightning's hook, called after the validation if one was due."""
        alive = self.alive
        for network in alive:
            self.courses[network].epochs = self.current_epoch + 1
        if not alive:
            self.trainer.should_stop = True
        elif len(alive) <= (1.0 - _LEAVE) * len(self.networks):
            self.keep(alive)

    def _add(self, batch: Pair) -> None:
        x, y = batch
        self._totals = self._totals or [0.0] * self.layout.size
        self._count += y.numel()
        x = nn.functional.pad(x, (0, self.layout.inputs - x.shape[1])).to(self._type)
        outputs = self.stack.forward(x.expand(self.layout.size, *x.shape).contiguous(), None, None)
        for output, member in zip(outputs[..., : y.shape[1]], self.layout.by_loss, strict=True):
            self._totals[member] += self.metric.total(output, y).item()

    def _finish(self) -> dict[int, float]:
        values = {
            network: self.metric.finish(total, self._count)
            for network, total in zip(self.networks, self._totals, strict=True)
        }
        self._totals, self._count = [], 0
        return values

    def validation_step(self, batch: Pair, index: int) -> None:
        """Add a batch to the validation metrics."""
        self._add(batch)

    def on_validation_epoch_end(self) -> None:
        """Finish the validation metrics, and report them."""
        # During the fit Lightning counts the epochs before the present one, after it all of them.
        step = min(self.current_epoch + 1, self.epochs)
        for network, value in self._finish().items():
            course, report = self.courses[network], self.reports[network]
            if course.status:
                continue
            course.validation = value
            if report is None:
                continue
            course.curve.append((step, value))
            if not report(step, value) and step < self.epochs:
                course.status, course.epochs = "pruned", step

    def test_step(self, batch: Pair, index: int) -> None:
        """Add a batch to the test metrics."""
        self._add(batch)

    def on_test_epoch_end(self) -> None:
        """Finish the test metrics."""
        for network, value in self._finish().items():
            self.courses[network].test = value

    def end(self) -> None:
        """Judge the networks that have trained to their end by their last validation metric."""
        for network in self.alive:
            course = self.courses[network]
            steps = course.epochs * self.layout.counts[self.networks.index(network)]
            if math.isfinite(course.validation):
                course.status = "done"
            else:
                course.status = "diverged"
                course.message = f"the validation metric was {course.validation} after step {steps}"

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "networks": self.networks,
            "courses": [vars(course) for course in self.courses],
            "tensors": self._tensors(),
            "shuffles": [member.shuffles.get_state() for member in self.layout.members],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.keep(state["networks"])
        self.courses = [Course(**course) for course in state["courses"]]
        for own, other in zip(self._tensors(), state["tensors"], strict=True):
            own.copy_(other)
        for member, shuffles in zip(self.layout.members, state["shuffles"], strict=True):
            member.shuffles.set_state(shuffles)

    def _tensors(self) -> list[Tensor]:
        memory = [tensor for own in self.optimizer.memory for tensor in own.tensors]
        return [*self.stack.weights.tensors, *memory, *self.stack.running]


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
