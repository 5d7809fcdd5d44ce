"""The LightningModule: optimisers with their own hyperparameters, losses and metrics by hand, the penalty."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lightning_tasks import module

WEIGHT = [nn.Parameter(torch.zeros(2))]


def optimizer(**settings) -> torch.optim.Optimizer:
    return module.make_optimizer(WEIGHT, {**module.DEFAULTS, **settings})


def training(net: nn.Module | None = None, metric: module.Metric = module.RMSE, **settings) -> module.Training:
    return module.Training(
        net or nn.Linear(2, 1), {**module.DEFAULTS, **settings}, module.REGRESSION_LOSSES["mse"], metric
    )


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (
            torch.optim.Adam,
            {"optimizer": "adam", "beta1": 0.7, "beta2": 0.95, "amsgrad": True},
            {"lr": 0.5, "betas": (0.7, 0.95), "amsgrad": True},
        ),
        (
            torch.optim.SGD,
            {"optimizer": "sgd", "momentum": 0.3, "nesterov": True},
            {"lr": 0.5, "momentum": 0.3, "nesterov": True},
        ),
        (
            torch.optim.RMSprop,
            {"optimizer": "rmsprop", "rho": 0.8, "momentum": 0.2, "centered": True},
            {"lr": 0.5, "alpha": 0.8, "momentum": 0.2, "centered": True},
        ),
        (torch.optim.Adagrad, {"optimizer": "adagrad"}, {"lr": 0.5}),
    ],
)
def test_each_optimizer_gets_its_own_hyperparameters(kind: type, settings: dict, expected: dict) -> None:
    made = optimizer(learning_rate=0.5, **settings)
    assert type(made) is kind
    assert {name: made.param_groups[0][name] for name in expected} == expected
    assert made.param_groups[0].get("weight_decay", 0) == 0


def test_an_unknown_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match="`optimizer` must be one of adam, sgd, rmsprop, adagrad, but got 'lion'"):
        optimizer(optimizer="lion")


def test_regression_losses_by_hand() -> None:
    output, target = torch.tensor([0.0, 3.0]), torch.tensor([0.5, 1.0])
    found = {name: loss(output, target).item() for name, loss in module.REGRESSION_LOSSES.items()}
    assert found == pytest.approx(
        {
            "mse": (0.25 + 4.0) / 2,
            "mae": (0.5 + 2.0) / 2,
            "huber": (0.125 + 1.5) / 2,
            "log_cosh": (math.log(math.cosh(0.5)) + math.log(math.cosh(2.0))) / 2,
        },
        rel=1e-5,
    )
    far = module.REGRESSION_LOSSES["log_cosh"](torch.tensor([-300.0]), torch.tensor([0.0]))
    assert far.item() == pytest.approx(300.0 - math.log(2.0))


def test_classification_losses_by_hand() -> None:
    output, target = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([1])
    found = {name: loss(output, target).item() for name, loss in module.CLASSIFICATION_LOSSES.items()}
    assert found == pytest.approx(
        {
            "cross_entropy": math.log(4 / 3),
            "smoothed_cross_entropy": 0.95 * math.log(4 / 3) + 0.05 * math.log(4),
            "mse": (math.log(3.0) - 1.0) ** 2 / 2,
            "hinge": 0.0,
        },
        rel=1e-5,
        abs=1e-7,
    )


def test_penalty_by_hand_leaves_biases_and_batch_norms_free() -> None:
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    nn.init.constant_(net[0].bias, 9.0)
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -3.0]]))
    made = training(net, regularisation=True, l1=0.5, l2=0.1)
    assert made.penalty().item() == pytest.approx(0.5 * 4.0 + 0.1 * 10.0)


def test_rmse_over_unequal_batches() -> None:
    made = training(nn.Identity())
    made.validation_step((torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])), 0)
    made.validation_step((torch.tensor([[3.0]]), torch.tensor([[0.0]])), 1)
    made.on_validation_epoch_end()
    assert made.validation == pytest.approx(math.sqrt(14 / 3))
    made.test_step((torch.tensor([[3.0]]), torch.tensor([[1.0]])), 0)
    made.on_test_epoch_end()
    assert made.test_metric == 2.0


def test_error_is_in_percent() -> None:
    made = training(nn.Identity(), module.ERROR_PERCENT)
    outputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    made.validation_step((outputs, torch.tensor([0, 1, 1, 1])), 0)
    made.on_validation_epoch_end()
    assert made.validation == 25.0


def test_a_network_of_nan_has_no_error_rate() -> None:
    made = training(nn.Identity(), module.ERROR_PERCENT)
    made.validation_step((torch.tensor([[math.nan, 0.0]]), torch.tensor([0])), 0)
    made.on_validation_epoch_end()
    assert math.isnan(made.validation)
