"""Data held as tensors, and the batches that a fit draws from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Batches handed to Lightning at a time: its loop costs once a block, and a stop is noticed after one.
_BLOCK_BATCHES = 64
# Samples in one evaluation batch.
_EVALUATION_SAMPLES = 1000

Pair = tuple[Tensor, Tensor]


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
    """Shuffled batches of one epoch, in blocks: what `Trainer.fit` iterates over as its train loader.

    Indexing one tensor costs a hundredth of a `DataLoader`, which costs more than the step of a small network. A last
    batch of one sample joins the batch before it: batch norm cannot train on it.

    Parameters
    ----------
    x, y
        Inputs and targets, on the device that trains.
    size
        Samples in a batch.
    generator
        Where the shuffles come from; every epoch draws the next one.
    """

    x: Tensor
    y: Tensor
    size: int
    generator: torch.Generator

    @property
    def count(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.x), self.size)
        return max(1, whole + (rest > 1) if self.size > 1 else whole)

    def __len__(self) -> int:
        return -(-self.count // _BLOCK_BATCHES)

    def __iter__(self) -> Iterator[list[Pair]]:
        order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
        stride = self.size * _BLOCK_BATCHES
        for block in range(len(self)):
            last = block == len(self) - 1
            chosen = order[block * stride :] if last else order[block * stride : (block + 1) * stride]
            batches = self.count - block * _BLOCK_BATCHES if last else _BLOCK_BATCHES
            # the last batch takes what is left, also a single sample
            sizes = [self.size] * (batches - 1)
            sizes.append(len(chosen) - sum(sizes))
            yield list(zip(self.x[chosen].split(sizes), self.y[chosen].split(sizes), strict=True))


@dataclass(frozen=True)
class Ordered:
    """All samples in order, in large batches: what Lightning iterates over to validate and test."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return -(-len(self.x) // _EVALUATION_SAMPLES)

    def __iter__(self) -> Iterator[Pair]:
        yield from zip(self.x.split(_EVALUATION_SAMPLES), self.y.split(_EVALUATION_SAMPLES), strict=True)
