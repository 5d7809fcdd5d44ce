"""A trained network as a file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from lightning_tasks.fits.namespaces import usual


def write_network(folder: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `folder/network.pt`; it replaces an older file as a whole or not at all."""
    target = Path(folder) / "network.pt"
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".network-{os.getpid()}.pt")
    try:
        with partial.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def lightning_content(make: Callable[..., Any], hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a file one of Lightning's own checkpoints, and how to load it."""
    name = getattr(make, "__qualname__", type(make).__qualname__)
    load = f"{name}.load_from_checkpoint('network.pt')"
    if not inspect.isclass(make):
        load = (
            f"saved = torch.load('network.pt'); net = {name}(**saved['hyper_parameters']); "
            "net.load_state_dict(saved['state_dict']); net.eval()"
        )
    return {
        "hyper_parameters": dict(hyperparameters),
        "pytorch-lightning_version": usual().pytorch.__version__,
        "module": f"{make.__module__}.{name}",
        "how_to_load": load,
    }
