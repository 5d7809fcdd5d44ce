"""Dropout of a stack: the mask of a network follows from its key, the step and the place by a hash.

No generator has to be asked for each network, and its masks are the same on every device and beside any neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_tasks.stacked.layout import Layout
from lightning_tasks.stacked.networks import Stack

# The 32-bit finaliser "lowbias32" of C. Wellons's hash prospector, and odd numbers that spread steps and places.
_FIRST, _SECOND = 0x7FEB352D, -0x7B935975  # 0x846CA68B as a signed number
_STEP, _PLACE = -0x61C88647, 0x3C6EF35F


def mix(numbers: Tensor) -> Tensor:
    """Hash 32-bit integers, in place; each of the 2^32 values has its own hash."""
    numbers.bitwise_xor_(numbers >> 16).mul_(_FIRST)
    numbers.bitwise_xor_(numbers >> 15).mul_(_SECOND)
    return numbers.bitwise_xor_(numbers >> 16)


class Dropout:
    """The factors of the values in each step: 0, or one over the probability to keep.

    Parameters
    ----------
    stack
        The networks.
    """

    def __init__(self, stack: Stack) -> None:
        layout: Layout = stack.layout
        self.stack, self.dropped = stack, layout.dropped
        if not self.dropped:
            return
        device, dtype = stack.device, stack.dtype
        members = [layout.members[index] for index in self.dropped]
        self._keys = torch.tensor([member.key for member in members], device=device, dtype=torch.int32)
        rates = torch.tensor([member.form.dropout for member in members], dtype=torch.float64)
        thresholds = (rates * 2.0**32 - 2.0**31).clamp(max=2.0**31 - 1)
        self._thresholds = thresholds.to(torch.int32).to(device)[:, None]
        self._factors = (1.0 / (1.0 - rates)).to(device, dtype)[:, None]
        self._counts = torch.tensor([len(member.sizes) for member in members], device=device, dtype=torch.int32)
        # A place is that of the largest network, so that it has the same number in every stack.
        shape = (layout.depth, layout.batch_rows, layout.width)
        places = torch.arange(shape[0] * shape[1] * shape[2], device=device, dtype=torch.int32)
        self._offsets, self._shape = places * _PLACE, shape
        self._full, self._from, self._to = [], [], []
        for layer in layout.layers:
            own = [(self.dropped.index(index), at) for at, index in enumerate(layer.values) if index in self.dropped]
            self._from.append(torch.tensor([source for source, _ in own], device=device, dtype=torch.long))
            self._to.append(torch.tensor([target for _, target in own], device=device, dtype=torch.long))
            ones = torch.ones(len(layer.rows), *shape[1:], device=device, dtype=dtype)
            self._full.append(ones if own else None)

    def masks(self, epoch: int, step: int) -> list[Tensor | None] | None:
        """The factors of the values of each layer; None where no network drops any."""
        if not self.dropped:
            return None
        # Epochs may be many, but steps stay below 2^31; a product that overflows wraps, which is as good.
        steps = mix(self._keys + (self._counts * epoch + step) * _STEP)
        hashed = mix(steps[:, None] + self._offsets)
        factors = (hashed >= self._thresholds) * self._factors
        factors = factors.view(len(self.dropped), *self._shape)
        found: list[Tensor | None] = []
        for level, full in enumerate(self._full):
            if full is not None:
                full.index_copy_(0, self._to[level], factors[:, level].index_select(0, self._from[level]))
            found.append(full)
        return found
