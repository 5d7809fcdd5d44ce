"""MNIST: handwritten digits of 28 x 28 pixels in one channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets

from lightning_tasks.images import ImageTask, Source, fetch


def _source(dataset: Any) -> Source:
    def pixels(indices: np.ndarray) -> torch.Tensor:
        return dataset.data[torch.from_numpy(indices)].unsqueeze(1)

    return Source(dataset.targets.numpy(), pixels)


@dataclass(frozen=True)
class MNIST(ImageTask):
    """Classify the digits of MNIST; `root` holds `MNIST/raw` with the four files, as torchvision lays them out."""

    root: str = "data"
    train_size: int | None = 4000
    validation_size: int = 2000
    test_size: int | None = 2000

    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    mean: ClassVar[tuple[float, ...]] = (0.1307,)
    deviation: ClassVar[tuple[float, ...]] = (0.3081,)

    def sources(self) -> tuple[Source, Source]:
        """The 60,000 training and the 10,000 test images."""
        train, test = fetch(datasets.MNIST, self.root, "MNIST", "MNIST/raw with the four idx files")
        return _source(train), _source(test)
