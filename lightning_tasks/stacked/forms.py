"""The form of a network says whether it can be stacked, and to which size it is padded when it is.

Rounding depends on the sizes of a matrix product. So the padded sizes of a network follow from its own hyperparameters
alone, and never from its neighbours: a network of a stack then has the same numbers as one that is trained alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_tasks import module
from lightning_tasks.nets import ACTIVATIONS

# Widths are padded to one of these, or to a multiple of the last one. A product of 32 is hardly dearer than one of 8
# (2.1 and 2.0 microseconds), and fewer widths make larger stacks.
_WIDTHS = (16, 32, 64, 96, 128, 160, 192, 224, 256)
# Rows of a batch likewise; networks of a small width have the coarse ones, because their time is that of the calls.
_ROWS = (4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128)
_COARSE_ROWS, _COARSE_WIDTH = (4, 8, 12, 16, 32, 64, 128), 64
# Inputs and outputs are padded to a multiple: MKL multiplies by a single column in another order if it is alone.
_ENDS = 4

_LOSSES: dict[module.Loss, str] = {
    F.mse_loss: "mse",
    F.l1_loss: "mae",
    F.smooth_l1_loss: "huber",
    module.REGRESSION_LOSSES["log_cosh"]: "log_cosh",
}


@dataclass(frozen=True)
class Form:
    """An MLP with `depth` hidden layers of one width and one activation.

    Parameters
    ----------
    inputs, outputs, depth, width
        Its sizes.
    activation
        A name of `ACTIVATIONS`.
    batch_norm
        Whether each hidden layer has one.
    dropout
        The rate after each hidden layer, 0 for none.
    """

    inputs: int
    outputs: int
    depth: int
    width: int
    activation: str
    batch_norm: bool
    dropout: float

    @property
    def parameters(self) -> int:
        """What `nets.count_parameters` counts."""
        vectors = self.depth * self.width * (3 if self.batch_norm else 1) + self.outputs
        return self._products + vectors

    @property
    def flops(self) -> int:
        """What `nets.count_flops` counts, in some milliseconds."""
        return 2 * self._products

    @property
    def _products(self) -> int:
        return self.width * (self.inputs + (self.depth - 1) * self.width + self.outputs)


def form_of(net: nn.Module) -> Form | None:
    """The form of a network; None if it is no MLP of this kind.

    >>> from lightning_tasks.nets import MLP_DEFAULTS, mlp
    >>> form_of(mlp(1, 2, {**MLP_DEFAULTS, "depth": 3}))
    Form(inputs=1, outputs=2, depth=3, width=32, activation='relu', batch_norm=False, dropout=0.0)
    >>> form_of(nn.Sequential(nn.Linear(1, 2), nn.Softmax(dim=1), nn.Linear(2, 1))) is None
    True
    """
    if not isinstance(net, nn.Sequential):
        return None
    layers, head = list(net)[:-1], net[-1]
    linear = [index for index, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    if not linear or linear[0] != 0 or not isinstance(head, nn.Linear):
        return None
    blocks: list[list[Any]] = [layers[start:end] for start, end in zip(linear, [*linear[1:], len(layers)], strict=True)]
    kinds = {tuple(map(_kind, block)) for block in blocks}
    if len(kinds) > 1 or len({block[0].out_features for block in blocks}) > 1:
        return None
    kind = list(kinds.pop())[1:]
    batch_norm = bool(kind) and kind[0] == "norm"
    rest = kind[1:] if batch_norm else kind
    if not rest or rest[0] not in ACTIVATIONS or (len(rest) > 1 and rest[1:] != ["dropout"]):
        return None
    rate = blocks[0][-1].p if rest[1:] else 0.0
    first = blocks[0][0]
    return Form(first.in_features, head.out_features, len(blocks), first.out_features, rest[0], batch_norm, float(rate))


_KINDS: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.BatchNorm1d: "norm",
    nn.Dropout: "dropout",
    **{build().__class__: name for name, build in ACTIVATIONS.items()},
}


def _kind(layer: nn.Module) -> str:
    return _KINDS.get(type(layer), "other")


def loss_name(loss: module.Loss) -> str | None:
    """The name of a loss that stacks can compute; None for another one."""
    return _LOSSES.get(loss)


def padded_width(width: int) -> int:
    """The units of a padded hidden layer.

    >>> [padded_width(width) for width in (4, 17, 100, 300)]
    [16, 32, 128, 512]
    """
    return _up(width, _WIDTHS)


def padded_rows(rows: int, width: int) -> int:
    """The rows of a padded batch.

    >>> padded_rows(35, width=20), padded_rows(35, width=200), padded_rows(300, width=20)
    (64, 40, 384)
    """
    return _up(rows, _COARSE_ROWS if width <= _COARSE_WIDTH else _ROWS)


def padded_ends(size: int) -> int:
    """The inputs or outputs of a padded network.

    >>> padded_ends(1), padded_ends(6)
    (4, 8)
    """
    return -(-size // _ENDS) * _ENDS


def _up(size: int, steps: tuple[int, ...]) -> int:
    return next((step for step in steps if step >= size), math.ceil(size / steps[-1]) * steps[-1])


Activate = Callable[[Tensor, Tensor], object]
aten = torch.ops.aten

# `activate(z, h)` writes the activation of z into h.
FORWARD: dict[str, Activate] = {
    "relu": lambda z, h: torch.clamp_min(z, 0.0, out=h),
    "leaky_relu": lambda z, h: aten.leaky_relu.out(z, 0.01, out=h),
    "elu": lambda z, h: aten.elu.out(z, 1.0, 1.0, 1.0, out=h),
    "silu": lambda z, h: aten.silu.out(z, out=h),
    "tanh": lambda z, h: torch.tanh(z, out=h),
    "sigmoid": lambda z, h: torch.sigmoid(z, out=h),
}
# `differentiate(gradient, z, h, result)` writes the gradient of z into the result.
BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], object]] = {
    "relu": lambda g, z, h, d: aten.threshold_backward.grad_input(g, z, 0.0, grad_input=d),
    "leaky_relu": lambda g, z, h, d: aten.leaky_relu_backward.grad_input(g, z, 0.01, False, grad_input=d),
    "elu": lambda g, z, h, d: aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, False, z, grad_input=d),
    "silu": lambda g, z, h, d: aten.silu_backward.grad_input(g, z, grad_input=d),
    "tanh": lambda g, z, h, d: aten.tanh_backward.grad_input(g, h, grad_input=d),
    "sigmoid": lambda g, z, h, d: aten.sigmoid_backward.grad_input(g, h, grad_input=d),
}


def loss_and_gradient(name: str, difference: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of output minus target, element by element, and its derivative."""
    if name == "mse":
        return difference * difference, difference * 2.0
    if name == "mae":
        return difference.abs(), difference.sign()
    if name == "huber":
        inside = difference.clamp(-1.0, 1.0)
        return (difference - 0.5 * inside) * inside, inside
    return difference + F.softplus(-2.0 * difference) - math.log(2.0), difference.tanh()
