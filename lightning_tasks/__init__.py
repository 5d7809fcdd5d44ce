"""Your own LightningModule as a trial (`Fit`), and four training tasks: Runge, Bateman, MNIST and CIFAR-10.

`Fit` makes an `evaluate` of a LightningModule; `ReportCallback` reports from a training loop of your own. A task
(`runge.Runge`, `bateman.Bateman`, `mnist.MNIST`, `cifar.CIFAR10`) holds its data and builds its network;
`training.Trainee` is the `Fit` of a task.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

import torch

# The doors, which import Lightning when they are opened.
_DOORS = {"Fit": "lightning_tasks.fits.fit", "ReportCallback": "lightning_tasks.fits.callbacks"}

# Declarations live as long as the library object that made them.
_declared: list[torch.library.Library] = []

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def declare_torchvision_operators() -> bool:
    """Declare torchvision's `nms` and `qnms` if its compiled operators do not load.

    A torchvision wheel built for another torch (PyPI's beside a CPU torch) fails at import, because it registers
    shapes for operators that its library would have declared. With the two schemas declared, data sets, transforms and
    models work; only the detection operators stay without a kernel.

    Returns
    -------
    bool
        True if this call declared the schemas, False if there was nothing to do.
    """
    spec = find_spec("torchvision")
    if spec is None or hasattr(torch.ops.torchvision, "nms"):
        return False
    library = PathFinder.find_spec("_C", list(spec.submodule_search_locations or []))
    if library is not None and library.origin is not None:
        try:
            torch.ops.load_library(library.origin)
        except OSError:
            pass
        else:
            return False
    declared = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        declared.define(schema)
    _declared.append(declared)
    return True


declare_torchvision_operators()


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_DOORS[name]), name)
