"""Any LightningModule trains as it stands: same seed, same numbers; stopped, interrupted, diverged, loaded again."""

from __future__ import annotations

import copy
import math
import os
import pickle
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import clouds
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

import lightning_tasks
from lightning_tasks import Fit, ReportCallback
from lightning_tasks.fits import parts

KEYS = ["objective", "cost", "parameters", "flops", "seconds", "epochs", "status", "message"]
EPOCHS = 4


def fit(module: Any = clouds.Clouds, data: Any = clouds.loaders, **more: Any) -> Fit:
    trainer = {"max_epochs": EPOCHS, **more.pop("trainer", {})}
    return Fit(module, data, trainer=trainer, **more)


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("seconds", "resumed_at")}


def test_a_trial_by_hand() -> None:
    result = fit()({"width": 5, "batch_size": 10}, seed=3)
    assert list(result) == KEYS
    assert (result["parameters"], result["flops"]) == (2 * 5 + 5 + 5 * 2 + 2, 2 * (2 * 5 + 5 * 2))
    assert (result["cost"], result["epochs"], result["status"], result["message"]) == (40.0, EPOCHS, "done", "")
    assert 0 < result["objective"] < 0.8


def test_it_is_what_lightning_itself_trains() -> None:
    with parts.seeded(3, gpu=False):
        module, data = clouds.Clouds(width=5), clouds.CloudData()
        torch.randint(2**62, ())  # the draw for the generators of loaders
        trainer = pl.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, datamodule=data)
    assert fit(data=clouds.CloudData())({"width": 5}, 3)["objective"] == float(trainer.callback_metrics["val_loss"])


SHARED = clouds.loaders()


@pytest.mark.parametrize("data", [clouds.loaders, SHARED, SHARED[:2], clouds.CloudData, clouds.CloudData()])
def test_same_seed_same_numbers_whatever_ran_before(data: Any) -> None:
    train = fit(data=data)
    first = train({"dropout": 0.3}, seed=7)
    train({}, seed=8)
    assert without_time(pickle.loads(pickle.dumps(train))({"dropout": 0.3}, seed=7)) == without_time(first)
    assert train({"dropout": 0.3}, seed=9)["objective"] != first["objective"]


def test_the_random_states_of_the_caller_are_left_alone() -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit()({}, 1)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_hyperparameters_go_where_they_are_taken() -> None:
    train = fit()
    clipped, free = (train({"batch_size": 20, **more}, 0) for more in ({"gradient_clip_val": 1e-6}, {}))
    assert clipped["objective"] != free["objective"]
    assert train({"max_epochs": 2}, 0)["epochs"] == 2
    with pytest.raises(
        ValueError,
        match=r"must be an argument of the module, of the data or of Trainer, but got colour and the module takes "
        r"dropout, kind, rate, width; add the argument, or take it out of the space",
    ):
        train({"colour": "red"}, 0)
    with pytest.raises(ValueError, match="but got colour"):
        train.price({"colour": "red"})


def test_it_reports_and_stops_when_told() -> None:
    curve: list[tuple[int, float]] = []
    train = fit(monitor="val_acc")
    whole = train({}, 3, lambda step, value: curve.append((step, value)) or True)
    assert [step for step, _ in curve] == [1, 2, 3, 4]
    assert (curve[-1][1], without_time(whole)) == (whole["objective"], without_time(train({}, 3)))
    stopped = train({}, 3, lambda step, value: step < 2)
    assert (stopped["status"], stopped["epochs"], stopped["objective"]) == ("pruned", 2, curve[1][1])
    assert train({}, 3, lambda step, value: step < EPOCHS)["status"] == "done"


def test_checks_are_so_many_and_the_last_is_at_the_end() -> None:
    steps: list[int] = []
    train = fit(checks=2, trainer={"max_epochs": 5})
    assert train({}, 0, lambda step, value: steps.append(step) or True)["objective"] == train({}, 0)["objective"]
    assert steps == [3, 5]


def test_steps_count_if_there_are_several_validations_an_epoch() -> None:
    steps: list[int] = []
    fit(trainer={"max_epochs": 1, "val_check_interval": 2})({}, 0, lambda step, value: steps.append(step) or True)
    assert steps == [2, 4, 5]


def test_a_persons_own_callbacks_start_afresh_in_each_trial() -> None:
    patient = EarlyStopping("val_loss", patience=1, min_delta=10.0)
    train = fit(trainer={"callbacks": [patient], "max_epochs": 9})
    assert [train({}, seed)["epochs"] for seed in (0, 0)] == [2, 2]
    assert patient.wait_count == 0


def test_a_loss_that_is_not_a_number_ends_the_trial() -> None:
    result = fit()({"kind": "nan"}, 0)
    assert (result["status"], result["message"], result["epochs"]) == ("diverged", "the loss was nan at step 11", 2)
    assert math.isnan(result["objective"])
    assert (result["cost"], result["parameters"]) == (32.0, 22)


def test_an_error_of_the_module_reaches_the_caller() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        fit()({"kind": "raises"}, 0)


def test_an_interrupted_trial_goes_on_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, path = fit(checkpoint_every=0), tmp_path / "3.ckpt"
    params = {"dropout": 0.3}
    curves: list[list[tuple[int, float]]] = [[], []]
    whole = train(params, 3, lambda *point: curves[0].append(point) or True)
    real = clouds.Clouds.training_step

    def stop(self: Any, batch: Any, index: int) -> Any:
        if self.current_epoch == 2 and index == 1:
            raise InterruptedError
        return real(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(clouds.Clouds, "training_step", stop)
        with pytest.raises(InterruptedError):
            train(params, 3, None, path)
    again = train(params, 3, lambda *point: curves[1].append(point) or True, path)
    assert again["resumed_at"] == 2
    assert without_time(again) == without_time(whole)
    assert curves[1] == curves[0]
    assert "not_resumed" in train({"dropout": 0.2}, 3, None, path)


LOAD = """
import sys, clouds
net = clouds.Clouds.load_from_checkpoint(sys.argv[1]).eval()
x, y = clouds.pair(30, 1)[:]
print((net(x).argmax(1) == y).float().mean().item())
"""


@pytest.mark.slow
def test_the_network_loads_in_a_fresh_process(tmp_path: Path) -> None:
    train = fit(monitor="val_acc")
    params = {"width": 3, "batch_size": 10}
    kept = train.save_best(params, 5, tmp_path / "best")
    assert without_time(kept) == without_time(train(params, 5))  # there is no test_acc
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", LOAD, str(tmp_path / "best" / "network.pt")]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(said.stdout) == kept["objective"]


def test_the_file_of_a_network_says_what_it_is(tmp_path: Path) -> None:
    kept = fit().save_best({"width": 3, "batch_size": 10}, 5, tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "network.pt"]
    saved = torch.load(tmp_path / "network.pt", weights_only=True)
    assert (saved["hyper_parameters"], saved["params"]) == ({"width": 3}, {"width": 3, "batch_size": 10})
    assert (saved["metrics"], saved["seed"], saved["module"]) == (kept, 5, "clouds.Clouds")
    assert 0 < kept["test"] < 1


def test_a_module_without_forward_has_parameters_alone() -> None:
    train = fit(clouds.NoForward, cost="parameters")
    result = train({}, 0)
    assert (result["parameters"], math.isnan(result["flops"]), result["cost"]) == (10, True, 10.0)
    with pytest.raises(ValueError, match="set its `example_input_array`, or pass `cost='parameters'`"):
        fit(clouds.NoForward)({}, 0)


def test_the_price_is_what_the_trial_costs() -> None:
    assert fit().price({"width": 7, "batch_size": 5}) == fit()({"width": 7, "batch_size": 5}, 0)["cost"]
    assert math.isnan(fit(cost="seconds").price({}))
    assert math.isnan(fit().price({"width": -1}))


def test_it_says_nothing(recwarn: pytest.WarningsRecorder, caplog: Any, capfd: Any) -> None:
    fit(data=clouds.CloudData)({}, 0)
    assert [str(warning.message) for warning in recwarn] == []
    assert (caplog.records, capfd.readouterr()) == ([], ("", ""))


def test_a_metric_that_is_not_logged_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"that the module logs in validation, but got 'val_f1' and it logs val_acc, val_"
    ):
        fit(monitor="val_f1")({}, 0)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"trainer": {}}, r"must say how long a training is by one of max_epochs, .*, but got nothing; pass trainer="),
        (
            {"trainer": {"max_epochs": 1, "colour": 1}},
            "holds arguments of Lightning's Trainer, but got colour; take it",
        ),
        ({"trainer": {"max_epochs": 1, "precision": "3"}}, "Precision '3' is invalid"),
        ({"cost": "money"}, "`cost` must be one of flops, parameters, seconds, but got 'money'; pass `cost='flops'`"),
        ({"checks": 0}, "`checks >= 1` must hold, but got 0; pass `checks=10`"),
        ({"checkpoint_every": -1}, "`checkpoint_every >= 0` must hold, but got -1; pass `checkpoint_every=60`"),
        ({"checks": 3, "trainer": {"max_steps": 5}}, "`checks` are spread over max_epochs, but got 3 and none"),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Fit(clouds.Clouds, clouds.loaders, **{"trainer": {"max_epochs": 1}, **values})


def test_a_module_of_the_script_is_refused_before_any_trial_on_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfTheScript(clouds.Clouds):
        pass

    OfTheScript.__module__, OfTheScript.__qualname__ = "__main__", "OfTheScript"
    monkeypatch.setattr(sys.modules["__main__"], "OfTheScript", OfTheScript, raising=False)
    fit(OfTheScript)  # on one device it may be
    with pytest.raises(ValueError, match="defined in the script that runs; put it into a module of its own and import"):
        fit(OfTheScript, trainer={"devices": 2})
    with pytest.raises(ValueError, match=r"must be picklable, but got: .*lambda.*; put it into a module of its own"):
        fit(data=lambda: clouds.loaders(), trainer={"devices": 2})


def test_what_is_no_module_and_no_data_is_named() -> None:
    with pytest.raises(TypeError, match="a fit needs a LightningModule, but got Linear; let `module` be one or return"):
        fit(torch.nn.Linear)
    with pytest.raises(TypeError, match="a fit needs a LightningModule, but got Linear"):
        fit(lambda: torch.nn.Linear(1, 1), cost="parameters")({}, 0)
    with pytest.raises(TypeError, match=r"`data` must be a LightningDataModule, a pair .*, but got dict; pass one"):
        fit(data={}, cost="parameters")({}, 0)


class TestReportCallback:
    def test_it_serves_a_loop_of_ones_own(self) -> None:
        told: list[tuple[int, float]] = []
        callback = ReportCallback(lambda *point: told.append(point) or point[0] < 2, monitor="val_acc")
        silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(max_epochs=5, accelerator="cpu", callbacks=callback, **silent)
        trainer.fit(clouds.Clouds(), *clouds.loaders()[:2])  # its sanity check is no report
        assert ([step for step, _ in told], trainer.current_epoch, callback.stopped) == ([1, 2], 2, True)
        assert callback.curve == told

    def test_without_a_report_it_never_stops(self) -> None:
        callback = ReportCallback(None)
        fit(trainer={"callbacks": [copy.copy(callback)]})({}, 0)
        assert callback.stopped is False


OTHER = """
import lightning_tasks, clouds
from lightning_tasks import Fit, ReportCallback
import sys
assert clouds.L.__name__ == "lightning.pytorch", clouds.L
fit = Fit(clouds.Clouds, clouds.loaders, trainer={"max_epochs": 4}, checkpoint_every=0)
assert "pytorch_lightning" not in sys.modules
from pathlib import Path
told = []
result = fit({"dropout": 0.3}, 7, lambda step, value: told.append(step) or step < 3, Path(sys.argv[1]) / "1.ckpt")
assert (result["status"], told) == ("pruned", [1, 2, 3]), result
kept = fit.save_best({"dropout": 0.3}, 7, sys.argv[1])
clouds.Clouds.load_from_checkpoint(sys.argv[1] + "/network.pt")
print(kept["objective"], kept["test"])
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("lightning") is None, reason="the package lightning is not installed")
def test_the_other_namespace_trains_to_the_same_numbers(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CLOUDS_NAMESPACE": "lightning"}
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    kept = fit().save_best({"dropout": 0.3}, 7, tmp_path)
    assert said.stdout.split() == [str(kept["objective"]), str(kept["test"])]


def test_an_unknown_door_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'lightning_tasks' has no attribute 'Fits'"):
        lightning_tasks.Fits  # noqa: B018
