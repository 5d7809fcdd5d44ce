"""Networks are built from hyperparameters: an MLP or a CNN with stages, and its initial weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# The values of hyperparameters that the space does not hold.
MLP_DEFAULTS: dict[str, Any] = {
    "depth": 2,
    "width": 32,
    "activation": "relu",
    "batch_norm": False,
    "dropout": False,
    "dropout_rate": 0.5,
    "initialiser": "he_uniform",
}
CNN_DEFAULTS: dict[str, Any] = {
    "stem": "3x3",
    "stages": 2,
    "filters": 16,
    "filter_growth": 2.0,
    "kernel_size": 3,
    "pool_size": 2,
    "activation": "relu",
    "batch_norm": False,
    "dropout": False,
    "dropout_rate": 0.5,
    "initialiser": "he_uniform",
}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "he_uniform": nn.init.kaiming_uniform_,
    "he_normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}
# Kernel size and stride of the first convolution.
STEMS: dict[str, tuple[int, int]] = {
    "3x3": (3, 1),
    "5x5": (5, 1),
    "3x3 stride 2": (3, 2),
    "5x5 stride 2": (5, 2),
    "7x7 stride 2": (7, 2),
}
# The head gets at most 4 x 4 pixels, so that its size does not explode if there was little pooling.
_HEAD_SIZE = 4


def pick(kind: str, choices: Mapping[str, Any], name: str) -> Any:
    """`choices[name]`.

    Raises
    ------
    ValueError
        If there is no such choice.
    """
    if name not in choices:
        raise ValueError(f"`{kind}` must be one of {', '.join(choices)}, but got {name!r}; correct it in the space.")
    return choices[name]


class Normalise(nn.Module):
    """Scales the bytes of each channel to zero mean and unit deviation: `(x / 255 - mean) / deviation`."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        scale = torch.tensor(deviation).reciprocal().reshape(1, -1, 1, 1)
        self.register_buffer("scale", scale / 255.0)
        self.register_buffer("shift", torch.tensor(mean).reshape(1, -1, 1, 1) * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images, float, of the shape of `x` (n, channels, height, width)."""
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        return (x.to(scale.dtype) * scale - shift).contiguous(memory_format=torch.channels_last)


def _dropout(settings: Mapping[str, Any]) -> list[nn.Module]:
    return [nn.Dropout(settings["dropout_rate"])] if settings["dropout"] else []


def mlp(inputs: int, outputs: int, settings: Mapping[str, Any]) -> nn.Sequential:
    """`depth` hidden layers of `width` units, each: linear, batch norm if on, activation, dropout if on."""
    activation = pick("activation", ACTIVATIONS, settings["activation"])
    layers: list[nn.Module] = []
    width = inputs
    for _ in range(settings["depth"]):
        layers.append(nn.Linear(width, settings["width"]))
        width = settings["width"]
        if settings["batch_norm"]:
            layers.append(nn.BatchNorm1d(width))
        layers += [activation(), *_dropout(settings)]
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)


def _convolution(channels: int, filters: int, kernel: int, stride: int, settings: Mapping[str, Any]) -> list[nn.Module]:
    activation = pick("activation", ACTIVATIONS, settings["activation"])
    layers: list[nn.Module] = [nn.Conv2d(channels, filters, kernel, stride=stride, padding=kernel // 2)]
    if settings["batch_norm"]:
        layers.append(nn.BatchNorm2d(filters))
    return [*layers, activation()]


def cnn(shape: tuple[int, int, int], classes: int, settings: Mapping[str, Any]) -> nn.Sequential:
    """A first convolution, stages, and a linear head.

    Stage i (from 0) is: convolution to `filters * filter_growth**i` maps, batch norm if on, activation, max pooling,
    dropout if on. A pooling that is larger than the map is skipped, so that any number of stages fits any image.

    Parameters
    ----------
    shape
        Channels, height and width of an image (height = width).
    classes
        Number of outputs.
    settings
        Every hyperparameter of `CNN_DEFAULTS`.
    """
    channels, size, _ = shape
    kernel, stride = pick("stem", STEMS, settings["stem"])
    filters, pool = settings["filters"], settings["pool_size"]
    layers = _convolution(channels, filters, kernel, stride, settings)
    channels, size = filters, (size - 1) // stride + 1
    for stage in range(settings["stages"]):
        maps = max(1, round(filters * settings["filter_growth"] ** stage))
        layers += _convolution(channels, maps, settings["kernel_size"], 1, settings)
        if 1 < pool <= size:
            layers.append(nn.MaxPool2d(pool))
            size //= pool
        layers += _dropout(settings)
        channels = maps
    if size > _HEAD_SIZE:
        layers.append(nn.AdaptiveAvgPool2d(_HEAD_SIZE))
        size = _HEAD_SIZE
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, classes))
    # channels last trains these small convolutions 1.4 to 1.6 times as fast on a CPU
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


def initialise(net: nn.Module, name: str) -> None:
    """Draw every weight of a linear or convolution layer anew; biases keep torch's own draw."""
    draw = pick("initialiser", INITIALISERS, name)
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            # drawn in a tensor of its own: torch cannot make a weight orthogonal in place if channels are last
            layer.weight.data.copy_(draw(torch.empty(layer.weight.shape)))
