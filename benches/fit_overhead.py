"""What `lightning_tasks.Fit` costs beside Lightning's own loop: the same trainings in turn, and the ratio.

Usage: ``python -m benches.fit_overhead --seconds 5 --turns 5``. Both train the same module on the same data to the same
number; the CPU seconds of the process are compared, because other programs take turns on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import lightning_tasks  # isort: skip -- before Lightning, where torch and torchvision are of different builds
import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from lightning_tasks.fits.namespaces import quiet

SILENT = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Network(pl.LightningModule):
    """An MLP on 64 inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def loaders() -> tuple[DataLoader, DataLoader]:
    """1,200 samples to train on and 600 to validate."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.rand(1800, 64, generator=random), torch.randint(10, (1800,), generator=random)
    train, validation = TensorDataset(x[:1200], y[:1200]), TensorDataset(x[1200:], y[1200:])
    return DataLoader(train, 32, shuffle=True), DataLoader(validation, 600)


def bare(epochs: int) -> None:
    """Lightning's own loop."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", num_sanity_val_steps=0, **SILENT)
        trainer.fit(Network(64), *loaders())


def fitted(epochs: int) -> None:
    """The same as a trial that reports."""
    fit = lightning_tasks.Fit(Network, loaders, trainer={"max_epochs": epochs})
    fit({"width": 64}, 0, lambda step, value: True)


def seconds(deed: Callable[[int], None], epochs: int) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    deed(epochs)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a training takes")
    parser.add_argument("--turns", type=int, default=5)
    own = parser.parse_args()
    torch.set_num_threads(1)
    seconds(bare, 2), seconds(fitted, 2)  # whatever happens once
    epochs = max(1, round(own.seconds / (seconds(bare, 10) / 10)))
    ratios = []
    for turn in range(own.turns):
        first, second = (bare, fitted) if turn % 2 else (fitted, bare)
        taken = {deed: seconds(deed, epochs) for deed in (first, second)}
        ratios.append(taken[fitted] / taken[bare])
        print(f"bare {taken[bare]:.2f} s, Fit {taken[fitted]:.2f} s: {100 * (ratios[-1] - 1):+.2f}%")
    print(f"median of {own.turns}: {100 * (median(ratios) - 1):+.2f}% for a trial of {own.seconds:g} s")


if __name__ == "__main__":
    main()
