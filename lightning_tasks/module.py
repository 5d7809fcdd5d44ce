"""Every task trains with this LightningModule: network, loss, optimiser, weight regularisation and metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_tasks.devices.ranks import ALONE, Ranks
from lightning_tasks.fits.callbacks import Diverged

Loss = Callable[[Tensor, Tensor], Tensor]
Block = list[tuple[Tensor, Tensor]]

# The values of hyperparameters that the space does not hold.
DEFAULTS: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.999,
    "amsgrad": False,
    "momentum": 0.9,
    "nesterov": False,
    "rho": 0.99,
    "centered": False,
    "batch_size": 32,
    "regularisation": False,
    "l1": 0.0,
    "l2": 0.0,
}


def _log_cosh(output: Tensor, target: Tensor) -> Tensor:
    # log(cosh(d)) in a form that does not overflow for a large d
    difference = output - target
    return (difference + F.softplus(-2.0 * difference) - math.log(2.0)).mean()


def _smoothed_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, label_smoothing=0.1)


def _one_hot_mse(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, F.one_hot(target, output.shape[1]).to(output.dtype))


REGRESSION_LOSSES: dict[str, Loss] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.smooth_l1_loss,
    "log_cosh": _log_cosh,
}
CLASSIFICATION_LOSSES: dict[str, Loss] = {
    "cross_entropy": F.cross_entropy,
    "smoothed_cross_entropy": _smoothed_cross_entropy,
    "mse": _one_hot_mse,
    "hinge": F.multi_margin_loss,
}


@dataclass(frozen=True)
class Metric:
    """A metric adds `total(output, target)` over the batches, and ends as `finish(sum, number of targets)`."""

    total: Callable[[Tensor, Tensor], Tensor]
    finish: Callable[[float, int], float]


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    return (output.double() - target.double()).square().sum()


def _wrong(output: Tensor, target: Tensor) -> Tensor:
    # the argmax of NaN is a class like any other, so that a broken network would have an error rate without this
    if not torch.isfinite(output).all():
        return torch.tensor(math.nan)
    return (output.argmax(dim=1) != target).sum()


def _root_mean(total: float, count: int) -> float:
    return math.sqrt(total / count)


def _percent(total: float, count: int) -> float:
    return 100.0 * total / count


RMSE = Metric(_squared_error, _root_mean)
ERROR_PERCENT = Metric(_wrong, _percent)


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimiser of the name `settings["optimizer"]`, with its own hyperparameters alone.

    Raises
    ------
    ValueError
        If the name is none of adam, sgd, rmsprop, adagrad.
    """
    weights = list(parameters)
    name, rate = settings["optimizer"], settings["learning_rate"]
    # torch's fused CPU kernels save a third of a small network's step; on other devices torch chooses well by itself
    fused = True if all(weight.device.type == "cpu" for weight in weights) else None
    if name == "adam":
        betas = (settings["beta1"], settings["beta2"])
        return torch.optim.Adam(weights, lr=rate, betas=betas, amsgrad=settings["amsgrad"], fused=fused)
    if name == "sgd":
        momentum, nesterov = settings["momentum"], settings["nesterov"]
        return torch.optim.SGD(weights, lr=rate, momentum=momentum, nesterov=nesterov, fused=fused)
    if name == "rmsprop":
        momentum, centered = settings["momentum"], settings["centered"]
        return torch.optim.RMSprop(weights, lr=rate, alpha=settings["rho"], momentum=momentum, centered=centered)
    if name == "adagrad":
        return torch.optim.Adagrad(weights, lr=rate, fused=fused)
    raise ValueError(
        f"`optimizer` must be one of adam, sgd, rmsprop, adagrad, but got {name!r}; correct it in the space."
    )


class Training(pl.LightningModule):
    """One network in training.

    Parameters
    ----------
    net
        The network.
    settings
        Every hyperparameter of `DEFAULTS`.
    loss
        Loss of (output, target), without weight regularisation.
    metric
        The metric of validation and test.
    ranks
        The processes that train the network together.

    Attributes
    ----------
    steps : int
        Number of optimiser steps so far.
    validation, test_metric : float
        The metric on each split, NaN until it is computed.
    """

    def __init__(
        self, net: nn.Module, settings: Mapping[str, Any], loss: Loss, metric: Metric, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        # Lightning's loop around an automatic step costs as much as the step of a small network. So one training_step
        # gets a block of batches, and the optimiser steps inside it.
        self.automatic_optimization = False
        self.net = net
        self.settings = settings
        self.loss = loss
        self.metric = metric
        self.ranks = ranks
        self.steps = 0
        self.validation = math.nan
        self.test_metric = math.nan
        self._total = 0.0
        self._count = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Lightning's hook: the optimiser of the settings."""
        return make_optimizer(self.net.parameters(), self.settings)

    def penalty(self) -> Tensor:
        """`l1 * sum |w| + l2 * sum w^2` over the weights, without biases and batch norms."""
        weights = torch.cat([p.flatten() for p in self.net.parameters() if p.dim() > 1])
        return self.settings["l1"] * weights.abs().sum() + self.settings["l2"] * weights.square().sum()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: add the number of steps."""
        checkpoint["steps"] = self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: go on from the number of steps."""
        self.steps = checkpoint["steps"]

    def training_step(self, block: Block, index: int) -> None:
        """One optimiser step for each batch of the block.

        Raises
        ------
        Diverged
            At the first loss that is not a finite number.
        """
        optimizer = self.optimizers()
        if isinstance(optimizer, list):
            raise TypeError(f"one optimiser must be configured, but got {len(optimizer)}; keep the first alone.")
        for x, y in block:
            loss = self._loss(x, y)
            if self.settings["regularisation"]:
                loss = loss + self.penalty()
            (total,) = self.ranks.sums([loss.item()], self.device)
            value = total / self.ranks.size
            if not math.isfinite(value):
                raise Diverged(f"the loss was {value} at step {self.steps + 1}")
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.steps += 1

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        """This rank's part of the loss of a batch; the mean over the ranks, as DDP takes it, is the whole loss."""
        if self.ranks.size == 1:
            return self.loss(self.net(x), y)
        own_x, own_y = self.ranks.part(x), self.ranks.part(y)
        output = self.net(own_x)
        if len(own_x) == 0:
            return output.sum()  # zero, but DDP sees every parameter
        return self.loss(output, own_y) * (len(own_x) * self.ranks.size / len(x))

    def _add(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = map(self.ranks.part, batch)
        self._total += self.metric.total(self.net(x), y).item()
        self._count += y.numel()

    def _finish(self, name: str) -> float:
        total, count = self.ranks.sums([self._total, self._count], self.device)
        value = self.metric.finish(total, int(count))
        self._total, self._count = 0.0, 0
        self.log(name, torch.tensor(value, dtype=torch.float64, device=self.device))  # Lightning makes a float single
        return value

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Add a batch to the validation metric."""
        self._add(batch)

    def on_validation_epoch_end(self) -> None:
        """Finish the validation metric; the caller judges one that is not finite."""
        self.validation = self._finish("validation")

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Add a batch to the test metric."""
        self._add(batch)

    def on_test_epoch_end(self) -> None:
        """Finish the test metric."""
        self.test_metric = self._finish("test")
