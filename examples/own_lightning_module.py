"""
Your own LightningModule
========================

*Which hyperparameters of my module decide?* The module stays as it is. ``Fit`` trains one configuration of it, and
``minimize`` searches; the best network ends in a file. It takes some minutes, so that the site shows the script alone.
"""

from lightning_tasks import Fit  # isort: skip -- before Lightning, if torch and torchvision are of different builds
import pytorch_lightning as pl
import torch
from optuna.pruners import MedianPruner
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from hsicfast import Choice, Float, Int, Result, minimize


class Digits(pl.LightningModule):
    """Scikit-learn's digits; nothing in here knows of hsicfast."""

    def __init__(self, width: int, depth: int, activation: str, dropout: float, optimizer: str, rate: float) -> None:
        super().__init__()
        self.optimizer, self.rate = optimizer, rate
        layers: list[torch.nn.Module] = []
        for inputs in [64, *[width] * (depth - 1)]:
            layers += [torch.nn.Linear(inputs, width), getattr(torch.nn, activation)(), torch.nn.Dropout(dropout)]
        self.net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return getattr(torch.optim, self.optimizer)(self.parameters(), self.rate)


def data(batch_size: int) -> tuple[DataLoader, DataLoader]:
    """Two thirds of the 1,797 digits to train on, and the rest to validate."""
    x, y = load_digits(return_X_y=True)
    whole = TensorDataset(torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y))
    train, validation = torch.utils.data.random_split(whole, [1200, 597], torch.Generator().manual_seed(0))
    return DataLoader(train, batch_size, shuffle=True), DataLoader(validation, 597)


def main(n_trials: int = 60, epochs: int = 10, folder: str = "best") -> Result:
    space = {"width": Int(4, 256, log=True), "depth": Int(1, 4), "activation": Choice(["ReLU", "Tanh", "Sigmoid"])}
    space |= {"dropout": Float(0, 0.7), "optimizer": Choice(["Adam", "SGD"]), "rate": Float(1e-4, 1, log=True)}
    space |= {"batch_size": Int(16, 256, log=True)}  # an argument of `data`
    fit = Fit(Digits, data, monitor="val_acc", trainer={"max_epochs": epochs})
    result = minimize(fit, space, n_trials=n_trials, direction="maximize", pruner=MedianPruner())
    fit.save_best(result.best.params, result.best.seed, folder)  # Digits.load_from_checkpoint("best/network.pt")
    return result


if __name__ == "__main__":
    main()
