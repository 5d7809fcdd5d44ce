"""Lightning comes as `lightning` and as `pytorch_lightning`; a Trainer of one refuses a module of the other."""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

_PACKAGES = {"pytorch_lightning": "lightning_fabric", "lightning.pytorch": "lightning.fabric"}


@dataclass(frozen=True)
class Namespace:
    """One of the two, by the name of its package: ``pytorch_lightning`` or ``lightning.pytorch``."""

    package: str

    @property
    def pytorch(self) -> Any:
        """The package of Trainer, LightningModule and Callback."""
        return import_module(self.package)

    @property
    def environments(self) -> Any:
        """The package of the cluster environments."""
        return import_module(f"{self.package}.plugins.environments")

    @property
    def strategies(self) -> Any:
        """The package of the strategies."""
        return import_module(f"{self.package}.strategies")

    @property
    def checkpoint_io(self) -> Any:
        """The abstract class of writers of checkpoints."""
        return import_module(f"{_PACKAGES[self.package]}.plugins").CheckpointIO


def usual() -> Namespace:
    """The namespace that the program has imported, or else the one that is installed, `pytorch_lightning` first.

    Raises
    ------
    ImportError
        If neither is installed.
    """
    for package in _PACKAGES:
        if package in sys.modules:
            return Namespace(package)
    for package in _PACKAGES:
        if find_spec(package.partition(".")[0]) is not None:
            return Namespace(package)
    raise ImportError('a fit needs Lightning, but it is not installed; run pip install "hsicfast[tasks]"')


def namespace_of(module: object) -> Namespace:
    """The namespace of a LightningModule or of its class; the usual one for a function.

    Raises
    ------
    TypeError
        If it is an object or a class that is no LightningModule.
    """
    kind = module if inspect.isclass(module) else type(module)
    for base in kind.__mro__:
        for package in _PACKAGES:
            if base.__module__ == f"{package}.core.module":
                return Namespace(package)
    if callable(module) and not inspect.isclass(module) and not isinstance(module, torch.nn.Module):
        return usual()
    raise TypeError(f"a fit needs a LightningModule, but got {kind.__name__}; let `module` be one or return one")


def versions() -> str:
    """The versions that the numbers of a fit depend on."""
    return f"torch {torch.__version__}, pytorch-lightning {usual().pytorch.__version__}"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's messages about every fit: its devices, why it stopped, its recommendations."""
    loggers = [logging.getLogger(root) for pair in _PACKAGES.items() for root in pair]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|lightning)\.")
        # torch's complaint about Lightning itself, which names whatever called it
        warnings.filterwarnings("ignore", message="`isinstance.treespec, LeafSpec.` is deprecated")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
