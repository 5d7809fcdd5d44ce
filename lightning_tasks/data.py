"""Tensors hold the data, and a fit draws batches from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Lightning gets this many batches at a time: its loop costs once for each block, and it notices a stop after one.
_BLOCK_BATCHES = 64
# Number of samples in an evaluation batch.
_EVALUATION_SAMPLES = 1000

Pair = tuple[Tensor, Tensor]


def batch_sizes(samples: int, size: int) -> list[int]:
    """The number of samples in each batch of an epoch; a last batch of one sample joins the batch before it.

    >>> batch_sizes(11, 5), batch_sizes(11, 4), batch_sizes(3, 1), batch_sizes(3, 8)
    ([5, 6], [4, 4, 3], [1, 1, 1], [3])
    """
    whole, rest = divmod(samples, size)
    count = max(1, whole + (rest > 1) if size > 1 else whole)
    return [size] * (count - 1) + [samples - size * (count - 1)]


def to_device(pair: Pair, device: torch.device) -> Pair:
    """Inputs and targets on the device."""
    return pair[0].to(device), pair[1].to(device)


@dataclass(frozen=True)
class Split:
    """Inputs and targets of the three parts of a data set."""

    train: Pair
    validation: Pair
    test: Pair


@dataclass(frozen=True)
class Batches:
    """Shuffled batches of one epoch, in blocks; `Trainer.fit` iterates over them as its train loader.

    Indexing a tensor costs a hundredth of a `DataLoader`, which costs more than the step of a small network. A last
    batch of one sample joins the batch before it, because batch norm cannot train on a single sample.

    Parameters
    ----------
    x, y
        Inputs and targets on the device that trains.
    size
        Number of samples in a batch.
    generator
        The generator of the shuffles; every epoch draws the next one.
    """

    x: Tensor
    y: Tensor
    size: int
    generator: torch.Generator

    @property
    def count(self) -> int:
        """The number of batches in an epoch."""
        return len(batch_sizes(len(self.x), self.size))

    def __len__(self) -> int:
        return -(-self.count // _BLOCK_BATCHES)

    def __iter__(self) -> Iterator[list[Pair]]:
        order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
        stride = self.size * _BLOCK_BATCHES
        for block in range(len(self)):
            last = block == len(self) - 1
            chosen = order[block * stride :] if last else order[block * stride : (block + 1) * stride]
            batches = self.count - block * _BLOCK_BATCHES if last else _BLOCK_BATCHES
            # the last batch takes all samples that are left, also a single one
            sizes = [self.size] * (batches - 1)
            sizes.append(len(chosen) - sum(sizes))
            yield list(zip(self.x[chosen].split(sizes), self.y[chosen].split(sizes), strict=True))


@dataclass(frozen=True)
class Ordered:
    """All samples in order, in large batches; Lightning iterates over them to validate and test."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return -(-len(self.x) // _EVALUATION_SAMPLES)

    def __iter__(self) -> Iterator[Pair]:
        yield from zip(self.x.split(_EVALUATION_SAMPLES), self.y.split(_EVALUATION_SAMPLES), strict=True)
