"""Where each network of a stack lies in its tensors, so that every operation has one contiguous part for each kind.

Networks differ in depth, activation, batch norm, dropout, loss and optimiser. The weights lie in the order of the
optimisers (`members` is sorted by them). The values of a layer lie in the order of the activations, those with a batch
norm first; the outputs in the order of the losses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from lightning_tasks.data import batch_sizes
from lightning_tasks.stacked.forms import Form, padded_ends, padded_rows, padded_width

Parts = list[tuple[str, slice]]


@dataclass(frozen=True)
class Member:
    """One network of a stack, before its training.

    Parameters
    ----------
    net
        The network with its initial weights.
    form
        Its form.
    settings
        Every hyperparameter of `module.DEFAULTS`.
    loss
        The name of its loss.
    shuffles
        The generator of the order of its samples.
    key
        The seed of its dropout, a number of 31 bits.
    samples
        Number of training samples.
    """

    net: nn.Sequential
    form: Form
    settings: Mapping[str, Any]
    loss: str
    shuffles: torch.Generator
    key: int
    samples: int

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The samples in each batch of an epoch."""
        return tuple(batch_sizes(self.samples, self.settings["batch_size"]))

    @property
    def variant(self) -> str:
        """The kind of its optimiser."""
        return variant(self.settings)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The padded sizes, which all networks of a stack share: inputs, width, outputs and rows."""
        form = self.form
        rows = padded_rows(max(self.sizes), form.width)
        return padded_ends(form.inputs), padded_width(form.width), padded_ends(form.outputs), rows


def variant(settings: Mapping[str, Any]) -> str:
    """The kind of an optimiser, which needs memory and steps of its own.

    >>> variant({"optimizer": "adam", "amsgrad": True}), variant({"optimizer": "sgd"})
    ('amsgrad', 'sgd')
    """
    name = settings["optimizer"]
    if name == "adam" and settings["amsgrad"]:
        return "amsgrad"
    return "centered" if name == "rmsprop" and settings["centered"] else str(name)


@dataclass(frozen=True)
class Layer:
    """The networks that have a hidden layer, and the orders of its weights and of its values.

    Attributes
    ----------
    rows : list of int
        The networks in the order of the weights.
    values : list of int
        The networks in the order of the values.
    parts : list of (str, slice)
        The part of the values of each activation.
    norms : int
        So many values, the first ones, have a batch norm.
    """

    rows: list[int]
    values: list[int]
    parts: Parts
    norms: int

    @cached_property
    def names(self) -> list[str]:
        """The activation of each part."""
        return [name for name, _ in self.parts]

    @cached_property
    def sizes(self) -> list[int]:
        """The number of networks in each part."""
        return [part.stop - part.start for _, part in self.parts]


class Layout:
    """The places of the networks of a stack.

    Parameters
    ----------
    members
        The networks; `sort` brings them into their order.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)
        self.size = len(self.members)
        self.inputs, self.width, self.outputs, self.batch_rows = self.members[0].shape
        self.depth = max(member.form.depth for member in self.members)
        self.layers = [self._layer(level) for level in range(self.depth)]
        everyone = range(self.size)
        self.normed = [index for index in everyone if self.members[index].form.batch_norm]
        self.dropped = [index for index in everyone if self.members[index].form.dropout > 0]
        self.by_loss = sorted(everyone, key=lambda index: self.members[index].loss)
        self.losses = parts([self.members[index].loss for index in self.by_loss])
        self.counts = [len(member.sizes) for member in self.members]
        self.steps = max(self.counts)

    def _layer(self, level: int) -> Layer:
        rows = [index for index, member in enumerate(self.members) if member.form.depth > level]
        kinds = [(not member.form.batch_norm, member.form.activation) for member in self.members]
        values = sorted(rows, key=lambda index: kinds[index])
        norms = sum(self.members[index].form.batch_norm for index in rows)
        return Layer(rows, values, parts([self.members[index].form.activation for index in values]), norms)

    def variants(self, step: int, rows: Sequence[int]) -> Parts:
        """The part of `rows` of each optimiser, without the networks whose epoch has no batch `step`."""
        found: Parts = []
        for name, own in parts([self.members[index].variant for index in rows]):
            active = sum(self.counts[index] > step for index in rows[own])
            if active:
                found.append((name, slice(own.start, own.start + active)))
        return found


def sort(members: Sequence[Member]) -> list[int]:
    """The order of the members in a stack: by optimiser, and by falling number of batches, so that idle ones end it."""
    return sorted(range(len(members)), key=lambda index: (members[index].variant, -len(members[index].sizes)))


def parts(names: Sequence[str]) -> Parts:
    """The slices of equal names in a row.

    >>> parts(["a", "a", "b"])
    [('a', slice(0, 2, None)), ('b', slice(2, 3, None))]
    """
    found: Parts = []
    start = 0
    for name, run in groupby(names):
        end = start + len(list(run))
        found.append((name, slice(start, end)))
        start = end
    return found


def places(wanted: Sequence[int], having: Sequence[int], device: torch.device) -> Tensor | None:
    """Where each of `wanted` lies in `having`; None if both are equal, so that nothing need be moved."""
    if list(wanted) == list(having):
        return None
    at = {index: place for place, index in enumerate(having)}
    return torch.tensor([at[index] for index in wanted], dtype=torch.long, device=device)
