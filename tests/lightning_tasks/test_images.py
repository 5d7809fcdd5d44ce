"""Image tasks: where the data are found, which images are chosen and decoded, and what is said when they are absent."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_tasks import cifar, images
from lightning_tasks.cifar import CIFAR10
from lightning_tasks.mnist import MNIST

SIZES = {"train_size": 20, "validation_size": 10, "test_size": 10}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every download fails; the list holds what was asked for."""
    asked: list[str] = []

    def urlopen(request: urllib.request.Request, *args, **kwargs) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(0, 5))
def test_every_beginning_is_stratified(labels: list[int], seed: int) -> None:
    order = images.stratified_order(np.array(labels), seed)
    assert sorted(order) == list(range(len(labels)))
    counts = np.bincount(labels, minlength=4)
    for size in range(1, len(labels) + 1):
        share = np.bincount(np.array(labels)[order[:size]], minlength=4)
        # places (k + 1/2) / count of each class keep it within one of its share, and the size within two of its own
        assert (np.abs(share - counts * size / len(labels)) <= 2.5).all()


def test_the_seed_chooses_the_subset() -> None:
    labels = np.repeat(np.arange(10), 30)
    one, two, other = (images.stratified_order(labels, seed)[:50].tolist() for seed in (0, 0, 1))
    assert one == two != other
    assert np.bincount(labels[one]).tolist() == [5] * 10


def test_mnist_pixels_keep_their_labels(mnist_root: Path) -> None:
    split = MNIST(root=str(mnist_root), **SIZES).load()
    for (x, y), count in ((split.train, 20), (split.validation, 10), (split.test, 10)):
        assert (x.shape, x.dtype) == ((count, 1, 28, 28), torch.uint8)
        assert torch.equal(x[:, 0, 3, 5].long() // 20, y)
        assert torch.bincount(y).tolist() == [count // 10] * 10
    # pixel value and label name one image: no image lies in both
    assert not set(split.train[0][:, 0, 0, 0].tolist()) & set(split.validation[0][:, 0, 0, 0].tolist())


def test_none_takes_what_is_left(mnist_root: Path) -> None:
    split = MNIST(root=str(mnist_root), train_size=None, validation_size=10, test_size=None).load()
    assert [len(pair[1]) for pair in (split.train, split.validation, split.test)] == [50, 10, 30]


@pytest.mark.parametrize("below", ["", "cifar10"])
def test_an_image_folder_is_found_beside_or_below(cifar_root: Path, below: str) -> None:
    split = CIFAR10(root=str(cifar_root / below), **SIZES).load()
    x, y = split.train
    assert (x.shape, x.dtype) == ((20, 3, 32, 32), torch.uint8)
    assert torch.equal(x[:, 0, 0, 0].long(), 20 * y)
    assert (x[:, 2] == 7).all()
    assert not {*map(tuple, x[:, :2, 0, 0].tolist())} & {*map(tuple, split.validation[0][:, :2, 0, 0].tolist())}


def test_only_the_chosen_images_are_decoded_and_only_once(cifar_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    class Counting(cifar.datasets.ImageFolder):
        def __init__(self, root: Path) -> None:
            super().__init__(root, loader=self.count)

        def count(self, path: str) -> Image.Image:
            decoded.append(path)
            return cifar.datasets.folder.default_loader(path)

    monkeypatch.setattr(cifar.datasets, "ImageFolder", Counting)
    images._load.cache_clear()
    task = CIFAR10(root=str(cifar_root), train_size=10, validation_size=7, test_size=5)
    assert task.load() is task.load()
    assert len(decoded) == len(set(decoded)) == 22


def test_torchvision_files_are_preferred(cifar_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(cifar_root / "cifar10", tmp_path, dirs_exist_ok=True)
    (tmp_path / "cifar-10-batches-py").mkdir()
    rng = np.random.default_rng(0)
    parts = {}
    for train, count in ((True, 40), (False, 20)):
        data = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        data[:, 0, 0, 0] = np.arange(count) % 10
        parts[train] = SimpleNamespace(data=data, targets=[i % 10 for i in range(count)])

    def dataset(root: str, train: bool, download: bool) -> SimpleNamespace:
        return parts[train]

    dataset.base_folder = "cifar-10-batches-py"  # type: ignore[attr-defined]
    monkeypatch.setattr(cifar.datasets, "CIFAR10", dataset)
    split = CIFAR10(root=str(tmp_path), **SIZES).load()
    assert torch.equal(split.train[0][:, 0, 0, 0].long(), split.train[1])
    assert split.test[0].shape == (10, 3, 32, 32)


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (MNIST, r"MNIST must lie in '.*' or be downloadable, .*; pass `task.data.root=` a folder that holds MNIST/raw"),
        (
            CIFAR10,
            r"CIFAR-10 must lie in '.*' or be downloadable, .*; pass `task.data.root=` a folder that holds "
            r"cifar-10-batches-py, or train/ and test/",
        ),
    ],
)
def test_no_data_and_no_network_is_one_sentence(task: type, text: str, tmp_path: Path, no_network: list[str]) -> None:
    with pytest.raises(FileNotFoundError, match=text) as caught:
        task(root=str(tmp_path)).prepare()
    assert "\n" not in str(caught.value)
    assert no_network


def test_a_folder_that_cannot_be_written_is_the_same_sentence(tmp_path: Path, no_network: list[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"MNIST must lie in .*; pass `task\.data\.root=`"):
        MNIST(root=str(tmp_path / "file")).prepare()


def test_nothing_is_downloaded_where_the_files_are(mnist_root: Path, cifar_root: Path, no_network: list[str]) -> None:
    MNIST(root=str(mnist_root), **SIZES).prepare()
    CIFAR10(root=str(cifar_root), **SIZES).prepare()
    assert no_network == []


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        (
            {"train_size": 55, "validation_size": 6},
            r"`train_size \+ validation_size <= 60` must hold, but got 55 \+ 6",
        ),
        ({"train_size": None, "validation_size": 59}, r"<= 60` must hold, but got None \+ 59; pass smaller"),
        ({"test_size": 31}, "`test_size <= 30` must hold, but got 31; pass a smaller `task.data.test_size=`"),
        ({"train_size": 1}, "`train_size >= 2` must hold, but got train_size=1; pass a larger `task.data.train_size=`"),
        ({"validation_size": 0}, "`validation_size >= 1` must hold, but got validation_size=0"),
        ({"test_size": 0}, "`test_size >= 1` must hold, but got test_size=0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(mnist_root: Path, sizes: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MNIST(root=str(mnist_root), **{**SIZES, **sizes}).prepare()


def test_other_classes_and_other_shapes_are_refused(cifar_root: Path, tmp_path: Path) -> None:
    shutil.copytree(cifar_root / "cifar10", tmp_path, dirs_exist_ok=True)
    Image.new("RGB", (16, 8)).save(tmp_path / "test" / "class3" / "0.png")
    task = CIFAR10(root=str(tmp_path), train_size=10, validation_size=10, test_size=None)
    task.prepare()
    with pytest.raises(ValueError, match=r"must be 32 x 32 in 3 channels, but '.*0.png' is 16 x 8 in 3; resize it"):
        task.load()
    shutil.rmtree(tmp_path / "test" / "class3")
    with pytest.raises(ValueError, match=r"the same 10 folders of classes, but '.*' has 10 and 9 of them; pass"):
        task.prepare()


def test_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert MNIST(root="data").root == str(tmp_path / "data")
