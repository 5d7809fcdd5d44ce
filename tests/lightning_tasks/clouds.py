"""A person's own module and data: logistic regression of two overlapping clouds, in either namespace of Lightning."""

from __future__ import annotations

import os
from typing import Any

import lightning_tasks  # noqa: F401 -- before Lightning, which needs torchvision's operators declared

if os.environ.get("CLOUDS_NAMESPACE") == "lightning":
    import lightning.pytorch as L
else:
    import pytorch_lightning as L  # type: ignore[no-redef]

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Clouds(L.LightningModule):
    """Two classes; `kind` says what goes wrong."""

    def __init__(self, width: int = 4, rate: float = 0.05, dropout: float = 0.0, kind: str = "") -> None:
        super().__init__()
        self.rate, self.kind = rate, kind
        self.net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, index: int) -> Tensor:
        if self.kind == "raises":
            raise RuntimeError("a bug")
        loss = F.cross_entropy(self(batch[0]), batch[1])
        return loss * float("nan") if self.kind == "nan" and self.current_epoch == 2 else loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean(), sync_dist=True)

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", F.cross_entropy(self(batch[0]), batch[1]), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.rate)


class NoForward(L.LightningModule):
    """A module without a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Clouds()
        self.net.requires_grad_(False)
        self.net.net[3].requires_grad_(True)

    def training_step(self, batch: Any, index: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.net[3].parameters(), 0.1)


def pair(size: int, seed: int) -> TensorDataset:
    """Samples and classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(size) % 2
    return TensorDataset(torch.randn(size, 2, generator=generator) + 1.5 * y[:, None], y)


def loaders(batch_size: int = 8) -> tuple[DataLoader, DataLoader, DataLoader]:
    """Loaders of training, validation and test; the first has a generator of its own."""
    own = torch.Generator()
    train = DataLoader(pair(40, 0), batch_size, shuffle=True, generator=own)
    return train, DataLoader(pair(30, 1), 30), DataLoader(pair(30, 2), 30)


class CloudData(L.LightningDataModule):
    """The same as a LightningDataModule."""

    def __init__(self, batch_size: int = 8) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(pair(40, 0), self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(pair(30, 1), 30)
