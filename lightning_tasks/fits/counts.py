"""What a network costs before it is trained: its trainable parameters, and the FLOPs of one inference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lightning_tasks.fits.parts import placed, seeded


def count_parameters(net: torch.nn.Module) -> int:
    """The number of trainable numbers."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def count_flops(net: torch.nn.Module, *example: Any) -> int:
    """FLOPs of one inference, `net(*example)`; we count products alone, a multiply-add as two."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval()(*example)
    return int(counter.get_total_flops())


class Counter:
    """Counts modules that are there; a person's module may keep what it computes as it is built, so that none is built
    on the meta device.

    Parameters
    ----------
    data
        The data of a `Fit`: the first sample of validation is an example of the input.
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        self._examples: dict[str, tuple[torch.Tensor, ...]] = {}

    def __call__(self, module: Any, of_data: Mapping[str, Any]) -> dict[str, float]:
        """Parameters, and FLOPs or NaN if the module has no forward of one sample; neither it nor chance changes.

        Parameters
        ----------
        module
            The LightningModule.
        of_data
            The hyperparameters that the data take.
        """
        counts: dict[str, float] = {"parameters": count_parameters(module), "flops": math.nan}
        modes = [(layer, layer.training) for layer in module.modules()]
        with torch.random.fork_rng(devices=[]), suppress(Exception):  # a person's forward raises anything
            counts["flops"] = count_flops(module, *self._example(module, of_data))
        for layer, mode in modes:
            layer.training = mode
        return counts

    def _example(self, module: Any, of_data: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
        """The arguments of one inference by a module."""
        own = getattr(module, "example_input_array", None)
        if own is not None:
            return own if isinstance(own, tuple) else (own,)
        key = repr(sorted((name, value) for name, value in of_data.items() if name != "batch_size"))
        if key not in self._examples:  # its first batch may take a loader seconds
            with seeded(0, gpu=False):
                data = self.data(**of_data) if callable(self.data) else self.data
                self._examples[key] = first_sample(module, placed(data))
        return self._examples[key]


def first_sample(module: Any, data: Mapping[str, Any]) -> tuple[torch.Tensor, ...]:
    """The input of the first sample of validation; empty if a batch is no tensor and no sequence that begins with one.

    Parameters
    ----------
    module
        The module, which may have the loaders itself.
    data
        Arguments of `Trainer.fit`.
    """
    source = data.get("datamodule", module)
    if "val_dataloaders" in data:
        loader = data["val_dataloaders"]
    else:
        source.prepare_data()
        source.setup("fit")
        loader = source.val_dataloader()
    batch = next(iter(loader), None)
    while isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    return (batch[:1],) if isinstance(batch, torch.Tensor) else ()
