"""Batches: every sample once an epoch, in blocks, and no batch of one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_tasks.data import Batches, Ordered


def batches(n: int, size: int, seed: int = 0) -> Batches:
    x = torch.arange(n)
    return Batches(x, -x, size, torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(1, 40))
def test_every_sample_once_and_no_lonely_one(n: int, size: int) -> None:
    loader = batches(n, size)
    blocks = list(loader)
    drawn = [x for block in blocks for x, _ in block]
    assert len(blocks) == len(loader)
    assert len(drawn) == loader.count
    assert sorted(torch.cat(drawn).tolist()) == list(range(n))
    assert all((x == -y).all() for block in blocks for x, y in block)
    assert all(len(x) == size for x in drawn[:-1])
    assert size == 1 or n == 1 or min(len(x) for x in drawn) > 1


def test_a_last_sample_joins_the_batch_before() -> None:
    assert [len(x) for x, _ in next(iter(batches(9, 4)))] == [4, 5]
    assert [len(x) for x, _ in next(iter(batches(10, 4)))] == [4, 4, 2]


def test_epochs_differ_and_the_seed_repeats_them() -> None:
    def order(loader: Batches) -> list[int]:
        return torch.cat([x for block in loader for x, _ in block]).tolist()

    first, second = batches(50, 8), batches(50, 8)
    epochs = [order(first), order(first)]
    assert epochs[0] != epochs[1]
    assert epochs == [order(second), order(second)]
    assert order(batches(50, 8, seed=1)) != epochs[0]


def test_evaluation_keeps_the_order() -> None:
    x = torch.arange(2500)
    loader = Ordered(x, x)
    assert [len(part) for part, _ in loader] == [1000, 1000, 500]
    assert len(loader) == 3
    assert torch.equal(torch.cat([part for part, _ in loader]), x)
