"""Two processes that train together end as one does; they are forked here, which takes a second less than torchrun."""

from __future__ import annotations

import math
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_tasks import module
from lightning_tasks.devices import ranks
from lightning_tasks.devices.ranks import Ranks

NOISY = {"dropout": True, "dropout_rate": 0.3, "batch_norm": True, "learning_rate": 1e-2, "batch_size": 3}
PLAIN = {"optimizer": "sgd", "learning_rate": 0.05, "loss": "mse"}


def together(deed: Any, size: int, folder: Path) -> list[Any]:
    """What `deed(ranks)` returns in each of `size` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(rank: int) -> None:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
        torch.save(deed(Ranks(rank, size)), folder / f"rank-{rank}")

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=run, args=(rank,)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * size
    return [torch.load(folder / f"rank-{rank}") for rank in range(size)]


def close(ours: Any, theirs: Any) -> None:
    """The result and the weights of one training are those of another, up to rounding."""
    numbers = ("objective", "test", "seconds")
    assert {k: v for k, v in ours[0].items() if k not in numbers} == {
        k: v for k, v in theirs[0].items() if k not in numbers
    }
    for name in ("objective", "test"):
        assert ours[0][name] == pytest.approx(theirs[0][name], rel=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    for name, value in theirs[1].items():
        torch.testing.assert_close(ours[1][name], value, rtol=1e-4, atol=1e-5)


# Seven points: batches that split evenly and not, smaller than the ranks are many, and one that takes what is left.
@pytest.mark.parametrize(
    ("task", "size", "params"),
    [
        ("runge", 2, {"batch_size": 4}),
        ("runge", 2, {"batch_size": 3}),
        ("runge", 2, {"batch_size": 1}),
        ("runge", 3, {"batch_size": 2}),
        ("runge", 2, {"batch_size": 3, "regularisation": True, "l1": 1e-3, "l2": 1e-3}),
        ("runge", 2, {"batch_size": 4, "batch_norm": True, "learning_rate": 1e-3}),
        ("runge", 5, {"batch_size": 4, "batch_norm": True, "learning_rate": 1e-3}),
        ("bateman", 2, {"batch_size": 7, "loss": "log_cosh"}),
        ("mnist", 2, {"batch_size": 7, "loss": "cross_entropy"}),
        ("mnist", 3, {"batch_size": 2, "loss": "hinge"}),
        ("mnist", 2, {"batch_size": 7, "batch_norm": True, "loss": "cross_entropy", "learning_rate": 1e-3}),
    ],
)
def test_together_they_train_the_network_of_one(trainee, tmp_path: Path, task: str, size: int, params: dict) -> None:
    train = trainee(task, epochs=3)
    both = together(lambda own: train.train({**PLAIN, **params}, 3, None, True, ranks=own), size, tmp_path)
    for outcome in both:
        close(outcome, train.train({**PLAIN, **params}, 3, None, True))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3, 2), (1, 4, 3, 2), (2, 4)])
def test_batch_norm_is_of_the_whole_batch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, weights = torch.randn(shape), torch.randn(shape)
    alone = torch.nn.Sequential(torch.nn.BatchNorm1d(4) if len(shape) == 2 else torch.nn.BatchNorm2d(4))
    torch.nn.init.uniform_(alone[0].weight)
    x.requires_grad_()
    expected = alone(x)
    (expected * weights).sum().backward()

    def normed(own: Ranks) -> Any:
        torch.distributed.init_process_group("gloo", rank=own.rank, world_size=own.size)
        net = torch.nn.Sequential(torch.nn.BatchNorm1d(4) if len(shape) == 2 else torch.nn.BatchNorm2d(4))
        net[0].weight.data.copy_(alone[0].weight.data)
        ranks.norm_whole_batches(net)
        part = own.part(x.detach()).requires_grad_()
        output = net(part)
        (output * own.part(weights)).sum().backward()
        return output.detach(), part.grad, net.state_dict(), net[0].weight.grad

    parts = together(normed, 3, tmp_path)
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), expected.detach())
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), x.grad, rtol=1e-4, atol=1e-6)
    for part in parts:
        torch.testing.assert_close(part[2], dict(alone.state_dict()))
    torch.testing.assert_close(sum(part[3] for part in parts), alone[0].weight.grad)


def test_a_batch_norm_of_one_value_is_refused_as_by_one_process(tmp_path: Path) -> None:
    def normed(own: Ranks) -> str:
        torch.distributed.init_process_group("gloo", rank=own.rank, world_size=own.size)
        net = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
        ranks.norm_whole_batches(net)
        with pytest.raises(ValueError, match="batch norm needs more than one value a channel to train, but got 1"):
            net(own.part(torch.ones(1, 4)))
        return "refused"

    assert together(normed, 2, tmp_path) == ["refused"] * 2


def test_a_loss_that_is_not_finite_in_one_rank_ends_all_alike(trainee, tmp_path: Path, monkeypatch) -> None:
    train = trainee("runge", epochs=3)
    split = train.task.load()
    # two samples a batch, one a rank: only one rank meets the point that overflows
    broken = type(split)((split.train[0], split.train[1].clone()), split.validation, split.test)
    broken.train[1][3] = math.inf
    monkeypatch.setattr(type(train.task), "load", lambda self: broken)
    params = {**PLAIN, "batch_size": 2}
    alone, _ = train.train(params, 3, None, False)
    for result, weights in together(lambda own: train.train(params, 3, None, False, ranks=own), 2, tmp_path):
        assert (result["status"], result["message"]) == ("diverged", alone["message"])
        assert result["message"].startswith("the loss was inf at step ")
        assert weights == {}


def test_a_validation_that_is_not_finite_diverges_in_all(trainee, tmp_path: Path) -> None:
    params = {"optimizer": "sgd", "learning_rate": 1e38, "momentum": 0.0, "batch_size": 20, "loss": "mae"}
    train = trainee("bateman")
    for result, _ in together(lambda own: train.train(params, 0, None, False, ranks=own), 2, tmp_path):
        assert (result["status"], result["message"][-13:]) == ("diverged", " after step 1")


def test_the_first_rank_reports_and_all_stop(trainee, tmp_path: Path) -> None:
    train = trainee("runge", epochs=9, checks=3)

    def pruned(own: Ranks) -> Any:
        told: list[tuple[int, float]] = []
        result, _ = train.train(PLAIN, 3, lambda step, value: told.append((step, value)) or step < 6, False, ranks=own)
        return result, told

    (first, told), (second, none) = together(pruned, 2, tmp_path)
    assert ([step for step, _ in told], none) == ([3, 6], [])
    for result in (first, second):
        assert (result["status"], result["epochs"], result["objective"]) == ("pruned", 6, told[-1][1])


def test_dropout_differs_from_rank_to_rank(trainee, tmp_path: Path, monkeypatch) -> None:
    real, drawn = module.Training.training_step, []

    def step(self, block, index) -> None:
        drawn.append(torch.rand(()).item())
        real(self, block, index)

    monkeypatch.setattr(module.Training, "training_step", step)
    train = trainee("runge")

    def draws(own: Ranks) -> list[float]:
        train.train(NOISY, 3, None, False, ranks=own)
        return drawn

    first, second = together(draws, 2, tmp_path)
    assert first != second


def test_out_of_memory_ends_the_rank(trainee, tmp_path: Path) -> None:
    def run(own: Ranks) -> str:
        def step(self, block, index) -> None:
            raise MemoryError

        module.Training.training_step = step
        with pytest.raises(MemoryError):
            trainee("runge").train(PLAIN, 3, None, False, ranks=own)
        return "raised"

    assert together(run, 2, tmp_path) == ["raised"] * 2


class Stop(Exception):
    pass


def test_interrupted_they_go_on_as_if_they_had_not_been(trainee, tmp_path: Path) -> None:
    train, path = trainee("runge", epochs=6, checkpoint_every=0), tmp_path / "3.ckpt"
    expected = together(lambda own: train.train(NOISY, 3, lambda *_: True, False, ranks=own), 2, tmp_path)

    def interrupted(own: Ranks) -> str:
        real = module.Training.training_step

        def step(self, block, index) -> None:
            if self.trainer.current_epoch == 4:
                raise Stop
            real(self, block, index)

        module.Training.training_step = step
        with pytest.raises(Stop):
            train.train(NOISY, 3, lambda *_: True, False, path, ranks=own)
        return "interrupted"

    def resumed(own: Ranks) -> Any:
        told: list[int] = []
        result, weights = train.train(NOISY, 3, lambda step, _: told.append(step) or True, False, path, ranks=own)
        return result, weights, told

    assert together(interrupted, 2, tmp_path) == ["interrupted"] * 2
    again = together(resumed, 2, tmp_path)
    assert [told for *_, told in again] == [[1, 2, 3, 4, 5, 6], []]
    for (result, weights, _), (whole, own) in zip(again, expected, strict=True):
        assert (result["resumed_at"], result["objective"]) == (4, whole["objective"])
        assert all(torch.equal(weights[name], value) for name, value in own.items())
