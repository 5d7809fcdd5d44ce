"""The image tasks share this: stratified subsets, decoded once per process into one uint8 tensor."""

from __future__ import annotations

import os
import socket
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lightning_tasks import module, nets
from lightning_tasks.data import Pair, Split

# A network that drops packets must not hold up a run for minutes.
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Source:
    """A labelled collection of images, not decoded yet: `pixels(indices)` is (n, channels, height, width), uint8."""

    labels: np.ndarray
    pixels: Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class ImageTask:
    """Classify images; the metric is the error in percent.

    Parameters
    ----------
    root
        Folder of the data set; missing files are downloaded into it.
    train_size, validation_size
        Images taken from the training part, stratified by class; None takes what is left.
    test_size
        Images taken from the test part, stratified by class; None takes all.
    seed
        Seed of the choice of these images.
    """

    root: str
    train_size: int | None
    validation_size: int
    test_size: int | None
    seed: int = 0

    defaults: ClassVar[Mapping[str, Any]] = nets.CNN_DEFAULTS
    losses: ClassVar[Mapping[str, module.Loss]] = module.CLASSIFICATION_LOSSES
    metric: ClassVar[module.Metric] = module.ERROR_PERCENT
    classes: ClassVar[int] = 10
    shape: ClassVar[tuple[int, int, int]]
    mean: ClassVar[tuple[float, ...]]
    deviation: ClassVar[tuple[float, ...]]

    def __post_init__(self) -> None:
        # absolute, because workers may stand in another folder
        object.__setattr__(self, "root", os.path.abspath(os.path.expanduser(self.root)))

    @abstractmethod
    def sources(self) -> tuple[Source, Source]:
        """The training and the test part, downloaded if they are missing."""

    def prepare(self) -> None:
        """Check that the data are there, or download them, and that the subsets fit.

        Raises
        ------
        ValueError
            If a size is impossible.
        FileNotFoundError
            If the data are absent and cannot be downloaded.
        """
        for name, least in (("train_size", 2), ("validation_size", 1), ("test_size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(
                    f"`{name} >= {least}` must hold, but got {name}={value}; pass a larger `task.data.{name}=`."
                )
        train, test = self.sources()
        wanted, there = self.validation_size + (self.train_size or 2), len(train.labels)
        if wanted > there:
            raise ValueError(
                f"`train_size + validation_size <= {there}` must hold, but got {self.train_size} + "
                f"{self.validation_size}; pass smaller `task.data.train_size=` and `task.data.validation_size=`."
            )
        if (self.test_size or 1) > len(test.labels):
            raise ValueError(
                f"`test_size <= {len(test.labels)}` must hold, but got {self.test_size}; "
                "pass a smaller `task.data.test_size=`."
            )

    def load(self) -> Split:
        """The three parts, decoded once per process."""
        return _load(self)

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """A CNN from bytes to one number per class."""
        return nn.Sequential(nets.Normalise(self.mean, self.deviation), nets.cnn(self.shape, self.classes, settings))


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order of all samples; any first part of it has the classes in their proportions.

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> np.bincount(labels[stratified_order(labels, seed=0)[:3]]).tolist()
    [2, 1]
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    # the second key breaks the ties between classes of one size
    return np.lexsort((rng.random(len(labels)), place))


@contextmanager
def _impatient() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch(dataset: Callable[..., Any], root: str, name: str, layout: str) -> tuple[Any, Any]:
    """The training and the test part of a torchvision data set, downloaded only if they are not in `root`.

    Parameters
    ----------
    dataset
        The class of the data set.
    root
        Its folder.
    name
        Its name in an error.
    layout
        The files that `root` must hold, for an error.

    Raises
    ------
    FileNotFoundError
        If the files are absent and cannot be downloaded.
    """
    try:
        return dataset(root, train=True, download=False), dataset(root, train=False, download=False)
    except RuntimeError:
        pass  # torchvision's way to say that files are absent
    try:
        with _impatient():
            return dataset(root, train=True, download=True), dataset(root, train=False, download=False)
    except (OSError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise FileNotFoundError(
            f"{name} must lie in {root!r} or be downloadable, but neither holds ({reason}); "
            f"pass `task.data.root=` a folder that holds {layout}."
        ) from error


@lru_cache(maxsize=1)
def _load(task: ImageTask) -> Split:
    train, test = task.sources()
    order = stratified_order(train.labels, task.seed)
    held_out, rest = order[: task.validation_size], order[task.validation_size :]

    def pair(source: Source, indices: np.ndarray) -> Pair:
        return source.pixels(indices), torch.as_tensor(source.labels[indices], dtype=torch.int64)

    return Split(
        train=pair(train, rest[: task.train_size]),
        validation=pair(train, held_out),
        test=pair(test, stratified_order(test.labels, task.seed)[: task.test_size]),
    )
