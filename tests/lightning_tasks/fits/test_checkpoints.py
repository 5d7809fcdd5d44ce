"""Whatever is killed when, the same training again ends as one that was never interrupted."""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_tasks import module
from lightning_tasks.devices.errors import Lost
from lightning_tasks.fits import checkpoints

NOISY = {"dropout": True, "dropout_rate": 0.3, "batch_norm": True, "learning_rate": 1e-2, "batch_size": 3}
EPOCHS = 6


class Stop(Exception):
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "000003.ckpt"


@pytest.fixture
def train(trainee) -> Any:
    """Six epochs, and a checkpoint after each of them but the last."""
    return trainee("runge", epochs=EPOCHS, checkpoint_every=0)


def stripped(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("seconds", "resumed_at", "not_resumed")}


def at_epoch(epoch: int, deed: Callable[[], None]) -> None:
    """Do it in the middle of an epoch, counted from 0."""
    real = module.Training.training_step

    def step(self, block, index) -> None:
        if self.trainer.current_epoch == epoch:
            deed()
        real(self, block, index)

    module.Training.training_step = step


def at_call(name: str, number: int, deed: Callable[[], None]) -> None:
    """Do it instead of the so many-th call of `os.name`."""
    real, calls = getattr(os, name), []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return deed() if len(calls) == number else real(*args)

    setattr(os, name, counted)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    raise Stop


def stopped(training: Callable[[], Any], epoch: int) -> None:
    """A training that raises in the middle of an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Training, "training_step", module.Training.training_step)
        at_epoch(epoch, stop)
        with pytest.raises(Stop):
            training()


def killed(train: Any, path: Path, place: tuple[Any, ...]) -> None:
    """A training that is killed with SIGKILL at a place, in a process of its own."""

    def training() -> None:
        where, *which = place
        {"epoch": at_epoch, "call": at_call}[where](*which, kill)
        train(NOISY, 7, lambda step, value: True, path)

    process = multiprocessing.get_context("fork").Process(target=training)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


# Each save syncs the file, renames it and syncs the folder.
@pytest.mark.parametrize(
    ("place", "resumed_at"),
    [
        (("epoch", 0), None),
        (("call", "fsync", 1), None),
        (("call", "replace", 1), None),
        (("call", "fsync", 2), 1),
        (("epoch", 3), 3),
        (("call", "fsync", 7), 3),
        (("call", "replace", 4), 3),
        (("call", "fsync", 8), 4),
        (("epoch", 5), 5),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_killed_and_trained_again_it_is_as_never_interrupted(train, path: Path, place, resumed_at) -> None:
    whole: list[Any] = []
    expected = train(NOISY, 7, lambda step, value: whole.append((step, value)) or True)
    killed(train, path, place)
    assert path.exists() == (resumed_at is not None)
    again: list[Any] = []
    result = train(NOISY, 7, lambda step, value: again.append((step, value)) or True, path)
    assert stripped(result) == stripped(expected)
    assert again == whole
    assert result.get("resumed_at") == resumed_at
    assert "not_resumed" not in result
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # the half-written one is gone


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adagrad"])
@pytest.mark.parametrize("reporting", [False, True])
def test_the_weights_are_the_same_to_the_bit(train, path: Path, optimizer: str, reporting: bool) -> None:
    params = {**NOISY, "optimizer": optimizer}
    report = (lambda step, value: True) if reporting else None
    _, expected = train.train(params, 7, report, test=False)
    stopped(lambda: train.train(params, 7, report, test=False, checkpoint=path), 4)
    result, weights = train.train(params, 7, report, test=False, checkpoint=path)
    assert result["resumed_at"] == 4
    for name, value in expected.items():
        assert torch.equal(value, weights[name]), name


def test_other_tasks_go_on(trainee, path: Path) -> None:
    params = {"dropout": True, "batch_norm": True, "batch_size": 4}
    train = trainee("mnist", epochs=3, checkpoint_every=0)
    stopped(lambda: train(params, 7, None, path), 2)
    result = train(params, 7, None, path)
    assert result["resumed_at"] == 2
    assert stripped(result) == stripped(train(params, 7))


@pytest.fixture
def interrupted(train, path: Path, monkeypatch) -> Path:
    """The checkpoint of a training that was stopped in its fourth epoch, and took a while before."""
    with monkeypatch.context() as patch:
        patch.setattr(module.Training, "training_step", module.Training.training_step)
        at_epoch(1, lambda: time.sleep(0.3))
        stopped(lambda: train(NOISY, 7, None, path), 3)
    return path


def test_the_seconds_before_the_interruption_count(train, interrupted: Path) -> None:
    assert train(NOISY, 7)["seconds"] < 0.3
    assert train(NOISY, 7, None, interrupted)["seconds"] > 0.3


def test_a_training_that_diverges_later_diverges(train, interrupted: Path, monkeypatch) -> None:
    def diverge() -> None:
        raise module.Diverged("the loss was nan")

    monkeypatch.setattr(module.Training, "training_step", module.Training.training_step)
    at_epoch(4, diverge)
    result = train(NOISY, 7, None, interrupted)
    assert (result["status"], result["message"], result["epochs"], result["resumed_at"]) == (
        "diverged",
        "the loss was nan",
        4,
        3,
    )


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zero bytes": lambda content: b"",
    "ten bytes": lambda content: content[:10],
    "half": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
    "a bit of the digest": lambda content: flipped(content, 0),
    "a bit of the head": lambda content: flipped(content, 40),
    "a bit of the weights": lambda content: flipped(content, len(content) // 2),
    "the last bit": lambda content: flipped(content, len(content) - 1),
}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_not_used(train, interrupted: Path, damage: str) -> None:
    interrupted.write_bytes(DAMAGES[damage](interrupted.read_bytes()))
    result = train(NOISY, 7, None, interrupted)
    assert result["not_resumed"] == "the checkpoint was not used: it is damaged"
    assert "resumed_at" not in result
    assert stripped(result) == stripped(train(NOISY, 7))


def test_what_is_no_checkpoint_of_ours_is_not_used(train, path: Path) -> None:
    checkpoints.WholeFile().save_checkpoint({"epoch": 3}, path)
    assert train(NOISY, 7, None, path)["not_resumed"] == "the checkpoint was not used: 'lightning_tasks'"


@pytest.mark.parametrize(
    ("task", "evaluate", "params", "seed", "others"),
    [
        ("runge", {}, {}, 8, "seed"),
        ("runge", {}, {"learning_rate": 2e-2}, 7, "params"),
        ("runge", {}, {"width": 5}, 7, "params, network"),
        ("runge", {"epochs": 7}, {}, 7, "epochs, checks"),
        ("runge", {"trainer": {"precision": "bf16-mixed"}}, {}, 7, "machine"),
        ("bateman", {}, {}, 7, "task, network"),
    ],
)
def test_a_checkpoint_of_another_training_is_not_used(
    trainee, interrupted: Path, task: str, evaluate: dict, params: dict, seed: int, others: str
) -> None:
    other = trainee(task, **{"epochs": EPOCHS, **evaluate})
    result = other({**NOISY, **params}, seed, None, interrupted)
    assert result["not_resumed"] == f"the checkpoint was not used: it is of other {others}"
    assert stripped(result) == stripped(other({**NOISY, **params}, seed))


@pytest.mark.parametrize(("name", "number"), [("fsync", 5), ("replace", 3)])
def test_a_full_disk_is_named_and_leaves_the_old_checkpoint(train, path: Path, name: str, number: int) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, getattr(os, name))
        at_call(name, number, full)
        with pytest.raises(Lost, match=f"a checkpoint must be writable, but {path} gave: No space left on device"):
            train(NOISY, 7, None, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    result = train(NOISY, 7, None, path)
    assert result["resumed_at"] == 2
    assert stripped(result) == stripped(train(NOISY, 7))


def test_a_short_training_writes_none(trainee, path: Path) -> None:
    train = trainee("runge", epochs=EPOCHS)
    assert train.checkpoint_every == 60
    result = train(NOISY, 7, None, path)
    assert list(result) == list(train(NOISY, 7))
    assert list(path.parent.iterdir()) == []


def test_saves_are_so_many_seconds_apart(trainee, path: Path, monkeypatch) -> None:
    now, saved = [0.0], []
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: now[0])

    def save(self, content, path, storage_options=None) -> None:
        saved.append(content["epoch"])

    monkeypatch.setattr(checkpoints.WholeFile, "save_checkpoint", save)
    monkeypatch.setattr(module.Training, "training_step", module.Training.training_step)
    for epoch in range(12):
        at_epoch(epoch, lambda: now.__setitem__(0, now[0] + 20.0))
    trainee("runge", epochs=12)(NOISY, 7, None, path)
    # 60, 120 and 180 s after the start; after the twelfth and last epoch the result comes at once
    assert saved == [2, 5, 8]


def test_a_training_told_to_stop_leaves_no_checkpoint_behind_its_end(train, path: Path) -> None:
    result = train(NOISY, 7, lambda step, value: step < 2, path)
    assert (result["status"], result["epochs"]) == ("pruned", 2)
    assert checkpoints.WholeFile().load_checkpoint(path)["lightning_tasks"]["epochs"] == 1
    again = train(NOISY, 7, lambda step, value: step < 2, path)
    assert stripped(again) == stripped(result)
    assert math.isfinite(again["objective"])
