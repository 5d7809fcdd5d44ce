"""CIFAR-10: colour photographs of 32 x 32 pixels, from torchvision's files or from a folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets
from torchvision.transforms.functional import pil_to_tensor

from lightning_tasks.images import ImageTask, Source, fetch

_LAYOUT = "cifar-10-batches-py, or train/ and test/ with one folder of images per class"


def _array_source(dataset: Any) -> Source:
    def pixels(indices: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(dataset.data[indices]).permute(0, 3, 1, 2).contiguous()

    return Source(np.asarray(dataset.targets), pixels)


def _folder_source(dataset: datasets.ImageFolder) -> Source:
    def pixels(indices: np.ndarray) -> torch.Tensor:
        out = torch.empty(len(indices), *CIFAR10.shape, dtype=torch.uint8)
        for row, index in enumerate(indices):
            path, _ = dataset.samples[index]
            image = pil_to_tensor(dataset.loader(path))
            if image.shape != out.shape[1:]:
                channels, height, width = image.shape
                raise ValueError(
                    f"CIFAR-10 images must be 32 x 32 in 3 channels, but {path!r} is {width} x {height} in {channels}; "
                    "resize it, or pass another `task.data.root=`."
                )
            out[row] = image
        return out

    return Source(np.asarray(dataset.targets), pixels)


def _folders(root: Path) -> Path | None:
    """The folder that holds train/ and test/: `root` itself or `root/cifar10`."""
    for folder in (root, root / "cifar10"):
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return folder
    return None


@dataclass(frozen=True)
class CIFAR10(ImageTask):
    """Classify the photographs of CIFAR-10.

    `root` holds torchvision's `cifar-10-batches-py`, or an image folder (`train/` and `test/`, each with one folder of
    images per class; also inside `root/cifar10`). Only the images of the chosen subsets are decoded.
    """

    root: str = "data"
    train_size: int | None = 4000
    validation_size: int = 2000
    test_size: int | None = 2000

    shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    deviation: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    def sources(self) -> tuple[Source, Source]:
        """The training and the test part.

        Raises
        ------
        ValueError
            If train/ and test/ of an image folder have different classes, or not ten.
        """
        folder = None if (Path(self.root) / datasets.CIFAR10.base_folder).is_dir() else _folders(Path(self.root))
        if folder is None:
            train, test = fetch(datasets.CIFAR10, self.root, "CIFAR-10", _LAYOUT)
            return _array_source(train), _array_source(test)
        train, test = datasets.ImageFolder(folder / "train"), datasets.ImageFolder(folder / "test")
        if train.classes != test.classes or len(train.classes) != self.classes:
            raise ValueError(
                f"train/ and test/ must hold the same {self.classes} folders of classes, but {str(folder)!r} has "
                f"{len(train.classes)} and {len(test.classes)} of them; pass another `task.data.root=`."
            )
        return _folder_source(train), _folder_source(test)
