"""Real training tasks as PyTorch Lightning fits: Runge, Bateman, MNIST and CIFAR-10.

A task (`runge.Runge`, `bateman.Bateman`, `mnist.MNIST`, `cifar.CIFAR10`) holds its data and builds its network;
`training.Trainee` trains one configuration of hyperparameters on it and returns the result.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import find_spec

import torch

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
