"""The parts of a fit, made of hyperparameters: the module, its data, arguments of the Trainer."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lightning_tasks.fits.namespaces import usual

# numpy seeds are below this.
_SEEDS = 2**32


@dataclass(frozen=True)
class Parts:
    """A module, arguments of `Trainer.fit` that hold its data, further arguments of the Trainer, those of the data."""

    module: Any
    data: Mapping[str, Any]
    trainer: Mapping[str, Any] = field(default_factory=dict)
    of_data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> dict[str, Any] | None:
        """Arguments of `Trainer.test`, or None if the module has no test step or there are no test data."""
        source = self.data.get("datamodule", self.module)
        if not hooked(self.module, "test_step"):
            return None
        if "val_dataloaders" in self.data:
            loaders = self.data.get("test_dataloaders")
            return None if loaders is None else {"dataloaders": loaders}
        return dict(self.data) if hooked(source, "test_dataloader") else None

    @property
    def fits(self) -> dict[str, Any]:
        """Arguments of `Trainer.fit`."""
        return {name: value for name, value in self.data.items() if name != "test_dataloaders"}

    @property
    def validates(self) -> dict[str, Any]:
        """Arguments of `Trainer.validate`."""
        if "datamodule" in self.data:
            return dict(self.data)
        return {"dataloaders": self.data["val_dataloaders"]} if self.data else {}

    @property
    def generators(self) -> list[torch.Generator]:
        """The generators of the training data's own order, which would go on from trial to trial."""
        holders = [self.data.get("train_dataloaders"), self.data.get("datamodule")]
        holders += [getattr(holders[0], name, None) for name in ("sampler", "batch_sampler")]
        found = [getattr(holder, "generator", None) for holder in holders]
        return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def hooked(holder: Any, name: str) -> bool:
    """Whether a module or data module has a hook of its own, not Lightning's empty one."""
    return not getattr(holder, name).__module__.endswith((".core.hooks", ".core.module"))


def accepts(make: Callable[..., Any]) -> tuple[set[str], bool]:
    """The names of the arguments that `make` takes, and whether it takes any other one."""
    parameters = inspect.signature(make).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def shared_out(
    params: Mapping[str, Any], module: Callable[..., Any], data: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The hyperparameters that module, data and Trainer take; module and data may both take one.

    Raises
    ------
    ValueError
        If nothing takes a hyperparameter.
    """
    named, any_other = accepts(module)
    by_data, any_data = accepts(data) if callable(data) else (set(), False)
    of_trainer, _ = accepts(usual().pytorch.Trainer)
    to_data = {name: value for name, value in params.items() if name in by_data or (any_data and name not in named)}
    to_trainer = {
        name: value
        for name, value in params.items()
        if name in of_trainer and name not in named and name not in to_data
    }
    left = params.keys() - to_data.keys() - to_trainer.keys()
    to_module = {name: value for name, value in params.items() if name in named or (any_other and name in left)}
    unknown = sorted(left - to_module.keys())
    if unknown:
        raise ValueError(
            "every hyperparameter must be an argument of the module, of the data or of Trainer, but got "
            f"{', '.join(unknown)} and the module takes {', '.join(sorted(named)) or 'none'}; add the argument, or "
            "take it out of the space"
        )
    return to_module, to_data, to_trainer


def placed(data: Any) -> dict[str, Any]:
    """Data as the arguments of `Trainer.fit`, and `test_dataloaders`.

    Raises
    ------
    TypeError
        If they are neither a LightningDataModule nor loaders.
    """
    if data is None:  # the module has hooks of its own
        return {}
    if hasattr(data, "train_dataloader"):
        return {"datamodule": data}
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return dict(zip(("train_dataloaders", "val_dataloaders", "test_dataloaders"), data, strict=False))
    raise TypeError(
        "`data` must be a LightningDataModule, a pair (train, validation) of loaders or a triple with test, or a class "
        f"or function that makes one of hyperparameters, but got {type(data).__name__}; pass one of these"
    )


@contextmanager
def seeded(seed: int, gpu: bool) -> Iterator[None]:
    """Start the random numbers of torch, numpy and Python at a seed, and put them back afterwards."""
    # without the list a CPU trial would wake every GPU to save its random state
    gpus = [torch.cuda.current_device()] if gpu else []
    of_numpy, of_python = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        np.random.seed(seed % _SEEDS)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(of_numpy)
            random.setstate(of_python)
