"""A network has the same numbers in a stack, alone, and, up to rounding, as a plain one."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from torch import nn
from torch.nn import functional as F

from hsicfast import minimize
from hsicfast.errors import InputError
from hsicfast.proposals.samplers import design
from hsicfast.training.repeats import repeated
from lightning_tasks import module, nets
from lightning_tasks.stacked import fit
from lightning_tasks.stacked.dropout import Dropout
from lightning_tasks.stacked.layout import Layout, Member, sort
from lightning_tasks.stacked.networks import NormBatch, Stack

# What every network of the two spaces may be; each is met among the networks that a test compares.
KINDS = (
    "optimizer",
    "amsgrad",
    "nesterov",
    "centered",
    "loss",
    "activation",
    "regularisation",
    "batch_norm",
    "dropout",
)


def drawn(space: Any, n: int, seed: int) -> list[dict[str, Any]]:
    """Random configurations of a space."""
    return design(space, n, seed, "random", 0, None)


def relative(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest distance of two networks' tensors, relative to their norms."""
    assert one.keys() == other.keys()
    apart = [0.0]
    for name, own in one.items():
        norm = float(own.double().norm())
        apart.append(float((own.double() - other[name].double()).norm()) / (norm or 1.0))
    return max(apart)


def apart(stacked: Any, alone: Any, configurations: list[dict[str, Any]], sample: list[int]) -> list[float]:
    """How far the networks of a sample, trained with all others, are from the same ones trained alone."""
    together = stacked.train_many(configurations, range(len(configurations)))
    found = []
    for place in sample:
        result, weights = alone.train(configurations[place], place, None, test=False)
        own, its = together[place]
        for name in ("status", "message", "epochs", "parameters", "flops", "cost"):
            assert own[name] == result[name]
        np.testing.assert_equal(own["objective"], result["objective"])
        found.append(relative(its, weights))
    return found


@pytest.mark.parametrize("task", ["runge", "bateman"])
def test_in_a_stack_and_alone_the_weights_are_the_same(task, trainee, space) -> None:
    configurations = drawn(space(task), 60, 1)
    sample = list(range(0, 60, 5))
    for kind in KINDS:
        assert len({configurations[place].get(kind) for place in sample}) >= 2
    stacked, alone = (trainee(task, epochs=4, training=training) for training in ("stacked", "solo"))
    assert max(apart(stacked, alone, configurations, sample)) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("task", "epochs"), [("runge", 300), ("bateman", 40)])
def test_so_they_are_after_a_whole_training(task, epochs, trainee, space) -> None:
    configurations = drawn(space(task), 24, 2)
    stacked, alone = (trainee(task, epochs=epochs, training=training) for training in ("stacked", "solo"))
    assert max(apart(stacked, alone, configurations, list(range(0, 24, 6)))) <= 1e-6


@pytest.mark.parametrize("task", ["runge", "bateman"])
def test_a_plain_network_has_the_same_weights_up_to_rounding(task, trainee, space) -> None:
    # Not those with a batch norm: the bias before it has a gradient of nothing but rounding, which Adam makes a step.
    # Their gradients are held to autograd's below. The masks of dropout are others.
    fixed = {"dropout": False, "batch_norm": False}
    configurations = [{**params, **fixed} for params in drawn(space(task), 60, 3)]
    for params in configurations:
        params.pop("dropout_rate", None)
    double = {"precision": "64-true"}
    stacked, plain = (trainee(task, epochs=3, training=each, trainer=double) for each in ("stacked", "plain"))
    together = stacked.train_many(configurations, range(len(configurations)))
    for place in range(0, 60, 4):
        own, its = together[place]
        result, weights = plain.train(configurations[place], place, None, test=False)
        assert own["status"] == result["status"]
        if result["status"] == "done":
            assert own["objective"] == pytest.approx(result["objective"], rel=1e-7)
            assert relative(its, weights) <= 1e-6


def members(space: Any, task: Any, n: int, samples: int) -> list[Member]:
    found = []
    for place, params in enumerate(drawn(space, n, 4)):
        settings = {**module.DEFAULTS, "loss": "mse", **task.defaults, **params, "batch_size": samples}
        settings["width"] = 5 + settings["width"] % 12
        torch.manual_seed(place)
        found.append(fit.member(task, settings, samples))
    return [found[place] for place in sort(found)]


def test_gradients_are_those_of_autograd(trainee, space) -> None:
    task, rows = trainee("runge").task, 3
    own = members(space("runge"), task, 40, rows)
    layout = Layout(own)
    stack = Stack(layout, torch.device("cpu"), torch.float64)
    stack.fill()
    torch.manual_seed(0)
    x, target = torch.randn(2, layout.size, rows, 1, dtype=torch.float64)
    padding = (0, layout.inputs - 1, 0, layout.batch_rows - rows)
    sizes = torch.full((layout.size,), rows)
    batch = [
        NormBatch.of(sizes[: layer.norms], layout.batch_rows, stack.device, stack.dtype) for layer in layout.layers
    ]
    masks = Dropout(stack).masks(epoch=2, step=0)
    outputs = stack.forward(F.pad(x, padding), batch, masks)
    gradient = torch.zeros_like(outputs)
    gradient[:, :rows, :1] = target[layout.by_loss]
    stack.backward(gradient)
    for place, member in enumerate(layout.members):
        net = member.net.train()
        value, level = x[place], 0
        for layer in net:
            if not isinstance(layer, nn.Dropout):
                value = layer(value)
            if type(layer) in {type(make()) for make in nets.ACTIVATIONS.values()}:
                at = layout.layers[level].values.index(place)
                factors = None if masks is None else masks[level]
                if factors is not None:
                    value = value * factors[at, :rows, : member.form.width]
                level += 1
        at = layout.by_loss.index(place)
        torch.testing.assert_close(outputs[at, :rows, :1], value.detach(), rtol=1e-9, atol=1e-9)
        (value * target[place]).sum().backward()
        linear = [layer for layer in net if isinstance(layer, nn.Linear)]
        for level, layer in enumerate(linear):
            last = level == len(linear) - 1
            rows_of = range(layout.size) if last else layout.layers[level].rows
            matrix = stack.gradients.last if last else stack.gradients.matrices[level]
            found = matrix[list(rows_of).index(place)]
            wanted = layer.weight.grad.T
            torch.testing.assert_close(found[: wanted.shape[0], : wanted.shape[1]], wanted, rtol=1e-8, atol=1e-9)
            found = found.clone()
            found[: wanted.shape[0], : wanted.shape[1]] = 0
            assert not found.any()  # what is padded stays zero
        norms = [layer for layer in net if isinstance(layer, nn.BatchNorm1d)]
        for level, norm in enumerate(norms):
            found = stack.gradients.norm(level, shift=False)[place, : member.form.width]
            torch.testing.assert_close(found, norm.weight.grad, rtol=1e-8, atol=1e-9)
            at = layout.layers[level].values.index(place)
            torch.testing.assert_close(stack.running[level][0, at, 0, : member.form.width], norm.running_mean)
            torch.testing.assert_close(stack.running[level][1, at, 0, : member.form.width], norm.running_var)


def test_dropout_drops_its_share(trainee, space) -> None:
    own = [member for member in members(space("runge"), trainee("runge").task, 40, 3) if member.form.dropout]
    stack = Stack(Layout(own), torch.device("cpu"), torch.float32)
    dropout = Dropout(stack)
    kept = torch.zeros(len(own), dtype=torch.float64)
    steps = 300
    for step in range(steps):
        masks = dropout.masks(epoch=step, step=0)
        kept += (
            torch.stack([masks[0][stack.layout.layers[0].values.index(place)] for place in range(len(own))])
            .gt(0)
            .double()
            .mean(dim=(1, 2))
        )
    count = steps * stack.layout.batch_rows * stack.layout.width
    for place, member in enumerate(own):
        rate = member.form.dropout
        # five standard deviations of a binomial share, for some twenty networks: one false alarm in 80,000
        assert abs(float(kept[place]) / steps - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / count)


def test_a_network_that_diverges_leaves_the_others_alone(trainee) -> None:
    calm = {"width": 8, "depth": 2, "optimizer": "sgd", "learning_rate": 1e-2, "batch_size": 3}
    wild = {**calm, "learning_rate": 1e9, "batch_norm": False}
    stacked = trainee("runge", epochs=6, training="stacked")
    together = stacked.train_many([calm, wild, wild, {**calm, "depth": 3}], [1, 2, 3, 4])
    assert [result["status"] for result, _ in together] == ["done", "diverged", "diverged", "done"]
    result, weights = together[1]
    assert weights == {}
    assert math.isnan(result["objective"])
    assert result["message"].startswith(("the loss was inf at step", "the loss was nan at step"))
    assert result["message"] == stacked.train(wild, 2, None, test=False)[0]["message"]
    for place, (params, seed) in ((0, (calm, 1)), (3, ({**calm, "depth": 3}, 4))):
        _, alone = stacked.train(params, seed, None, test=False)
        assert relative(together[place][1], alone) == 0.0


def test_a_network_whose_report_says_so_stops(trainee) -> None:
    stacked = trainee("runge", epochs=6, checks=6, training="stacked")
    params = {"width": 8, "depth": 2, "batch_size": 3}
    curves: list[list[tuple[int, float]]] = [[], [], []]

    def report(own: int, last: int) -> Any:
        def add(step: int, value: float) -> bool:
            curves[own].append((step, value))
            return step < last

        return add

    results = stacked.evaluate_many([params] * 3, [1, 2, 3], [report(0, 2), report(1, 9), None])
    assert [(result["status"], result["epochs"]) for result in results] == [("pruned", 2), ("done", 6), ("done", 6)]
    assert [len(curve) for curve in curves] == [2, 6, 0]
    assert results[0]["objective"] == curves[0][-1][1]
    whole: list[tuple[int, float]] = []
    stacked(params, 2, lambda step, value: whole.append((step, value)) or True)
    assert curves[1] == whole


def test_a_stack_that_was_interrupted_goes_on(trainee, tmp_path, monkeypatch) -> None:
    from lightning_tasks.stacked.training import StackedTraining

    stacked = trainee("runge", epochs=6, training="stacked", checkpoint_every=0)
    params = {"width": 8, "depth": 2, "batch_size": 3, "dropout": True, "batch_norm": True}
    configurations = [params, {**params, "optimizer": "sgd", "learning_rate": 1e9, "batch_norm": False}, params]
    expected = stacked.train_many(configurations, [1, 2, 3])
    real = StackedTraining.training_step

    def step(self: Any, block: Any, index: int) -> None:
        if self.current_epoch == 4:
            raise KeyError("power")
        real(self, block, index)

    path = tmp_path / "group.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(StackedTraining, "training_step", step)
        with pytest.raises(KeyError):
            stacked.train_many(configurations, [1, 2, 3], checkpoint=path)
    again = stacked.train_many(configurations, [1, 2, 3], checkpoint=path)
    for (result, weights), (whole, others) in zip(again, expected, strict=True):
        assert result["resumed_at"] == 4
        assert (result["status"], result["epochs"]) == (whole["status"], whole["epochs"])
        assert relative(weights, others) == 0.0
    other = stacked.train_many(configurations, [1, 2, 4], checkpoint=path)
    assert other[0][0]["not_resumed"] == "the checkpoint was not used: it is of other seed"


def test_the_best_is_what_the_trial_was(trainee, tmp_path) -> None:
    stacked = trainee("runge", epochs=3, training="stacked")
    (one, _) = stacked.evaluate_many([{"width": 8}, {"width": 9}], [1, 2])
    assert stacked.save_best({"width": 8}, 1, tmp_path)["objective"] == one["objective"]
    saved = torch.load(tmp_path / "network.pt")
    net = stacked.task.network({**stacked.task.defaults, **saved["params"]})
    net.load_state_dict(saved["state_dict"])


def test_a_training_is_named(trainee) -> None:
    with pytest.raises(InstantiationException, match="must be one of auto, stacked, solo, plain, but got 'both'; pass"):
        trainee("runge", training="both")


def test_several_devices_train_no_stack(trainee) -> None:
    two = {"trainer": {"devices": 2}}
    with pytest.raises(InstantiationException, match="a stack trains on one device, but got training='stacked' and"):
        trainee("runge", training="stacked", **two)
    way_out = r"`trainer.devices=1 executor=processes executor.workers=2` trains a stack in each worker"
    with pytest.warns(UserWarning, match=f"with devices=2 each trial starts 2 processes, .*; {way_out}, and `task.tr"):
        auto = trainee("runge", training="auto", **two)
    assert auto.groups([{}, {}]) == [[0], [1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainee("runge", training="plain", **two)
        trainee("mnist", training="auto", **two)


def test_a_folder_goes_on_with_another_training(trainee, space, tmp_path) -> None:
    def run(training: str, n: int) -> Any:
        more = {"folder": tmp_path, "settings": {"task": {"training": training}}}
        evaluate = trainee("runge", training=training)
        return minimize(evaluate, space("runge"), n_trials=n, strategy="random", **more).trials

    first = run("stacked", 6)
    both = run("solo", 9)
    np.testing.assert_array_equal(both.objective[:6], first.objective)
    with pytest.raises(
        InputError, match=r'task\.training was "stacked" and is "plain" now in .*; set back what changed'
    ):
        run("plain", 9)


def test_the_seeds_of_a_trial_are_networks_of_its_stack(trainee) -> None:
    stacked, solo = (repeated(trainee("runge", epochs=3, training=each), 3) for each in ("stacked", "solo"))
    params = {"width": 8, "depth": 2, "batch_size": 3, "dropout": True, "batch_norm": True}
    wild = {**params, "optimizer": "sgd", "learning_rate": 1e9, "batch_norm": False}
    configurations, seeds = [params, wild, {**params, "activation": "tanh"}], [5, 6, 7]
    assert stacked.groups(configurations) == [[0, 1, 2]]
    assert solo.groups(configurations) == [[0], [1], [2]]
    together = stacked.evaluate_many(configurations, seeds, [None] * 3)
    for own, params, seed in zip(together, configurations, seeds, strict=True):
        for other in (stacked(params, seed), solo(params, seed)):
            assert own.keys() == other.keys()
            for name in own.keys() - {"seconds"}:
                np.testing.assert_equal(own[name], other[name])


def test_other_networks_train_alone(trainee) -> None:
    train = trainee("mnist", training="stacked")
    assert train.groups([{}, {}]) == [[0], [1]]
    alone = trainee("runge", training="solo")
    assert alone.groups([{}, {}]) == [[0], [1]]
