"""Tiny versions of the four tasks, built from the same yaml as the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from PIL import Image
from yaml_tasks import config

import lightning_tasks  # noqa: F401 -- before a test imports Lightning, which needs torchvision's operators declared

SIZES = {"train_size": 20, "validation_size": 10, "test_size": 10}


def write_idx(path: Path, values: np.ndarray) -> None:
    """An array of bytes in the format of MNIST: two zeros, type 8, rank, sizes (big endian), data."""
    header = bytes([0, 0, 8, values.ndim]) + np.asarray(values.shape, ">i4").tobytes()
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four idx files; image i of class c is filled with 20 c + i % 20."""
    root = tmp_path_factory.mktemp("mnist")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 60), ("t10k", 30)):
        labels = np.arange(count) % 10
        fill = 20 * labels + np.arange(count) // 10
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
        write_idx(raw / f"{part}-images-idx3-ubyte", np.broadcast_to(fill[:, None, None], (count, 28, 28)))
    return root


@pytest.fixture(scope="session")
def cifar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder of ten classes, inside root/cifar10; the red of class c is 20 c."""
    root = tmp_path_factory.mktemp("cifar")
    for part, count in (("train", 5), ("test", 2)):
        for label in range(10):
            folder = root / "cifar10" / part / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (32, 32), (20 * label, index, 7)).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def trainee(mnist_root: Path, cifar_root: Path) -> Callable[..., Any]:
    """`trainee(name, **evaluate)`: the Trainee of a yaml over tiny data, which trains plain networks."""
    data: dict[str, dict[str, Any]] = {
        "runge": {"points": 7, "validation_points": 5, "test_points": 5},
        "bateman": SIZES,
        "mnist": {**SIZES, "root": str(mnist_root)},
        "cifar": {**SIZES, "root": str(cifar_root)},
    }

    def make(name: str, **evaluate: Any) -> Any:
        whole = config(name)
        whole.merge_with({"task": {"data": data[name], "evaluate": {"epochs": 1, "training": "plain", **evaluate}}})
        return instantiate(whole.task.evaluate)

    return make


@pytest.fixture(scope="session")
def space() -> Callable[[str], Any]:
    """`space(name)`: the SearchSpace of a yaml."""
    return lambda name: instantiate(config(name).task.space)
