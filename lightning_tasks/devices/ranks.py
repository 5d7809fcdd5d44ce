"""Several processes (ranks) train one network together, and exchange sums and values.

Together they compute what one process would: they share every batch, and losses, metrics and batch norm are those of
the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Ranks:
    """One of `size` processes that train together, the `rank`-th from 0; by default the only one."""

    rank: int = 0
    size: int = 1

    def part(self, batch: Tensor) -> Tensor:
        """This rank's samples of a batch; there may be none if the batch has fewer samples than there are ranks.

        >>> [Ranks(rank, 3).part(torch.arange(5)).tolist() for rank in range(3)]
        [[0, 1], [2, 3], [4]]
        """
        return batch if self.size == 1 else batch.tensor_split(self.size)[self.rank]

    def sums(self, values: Sequence[float], device: torch.device) -> list[float]:
        """The sum of each number over the ranks, in double precision."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(numbers)
        return [float(number) for number in numbers.tolist()]

    def of_first(self, value: Any) -> Any:
        """The value of the first rank, on all ranks."""
        if self.size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]

    def of_all(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values


ALONE = Ranks()


class _WholeBatchNorm(_BatchNorm):
    """Batch norm over the samples of all ranks, even if this one has none; torch's own does not run on a CPU."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # any input will do: the layer that this one replaces knew its own

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float()
        over = [0, *range(2, x.dim())]
        shape = (1, -1, *(1,) * (x.dim() - 2))
        samples = torch.tensor(float(x.numel() // x.shape[1]), device=x.device)
        torch.distributed.all_reduce(samples)
        count = samples.item()
        if count == 1:
            raise ValueError(f"batch norm needs more than one value a channel to train, but got {count:g}; enlarge it")
        mean = all_reduce(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance = all_reduce(centred.square().sum(over)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)  # type: ignore[union-attr, arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)


def norm_whole_batches(net: nn.Module) -> None:
    """Replace every batch norm in `net` by one over the samples of all ranks."""
    for parent in list(net.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm):
                whole = _WholeBatchNorm(layer.num_features, layer.eps, layer.momentum)
                whole.load_state_dict(layer.state_dict())
                setattr(parent, name, whole)
