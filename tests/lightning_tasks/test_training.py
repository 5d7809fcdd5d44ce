"""Trainee: every choice of every yaml trains, the same seed gives the same numbers, and divergence ends as a result."""

from __future__ import annotations

import itertools
import math
import pickle
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from yaml_tasks import TASKS, config

from lightning_tasks import module, training
from lightning_tasks.devices import machine

KEYS = ["objective", "cost", "parameters", "flops", "seconds", "epochs", "status", "message"]


def without_time(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "seconds"}


def choices(name: str, hyperparameter: str) -> list[str]:
    return list(config(name).task.space.hyperparameters[hyperparameter].choices)


CASES = [
    (task, kind, choice)
    for task in TASKS
    for kind in ("optimizer", "activation", "loss", "initialiser", *(["stem"] if task in ("mnist", "cifar") else []))
    for choice in choices(task, kind)
]


@pytest.mark.parametrize(("task", "kind", "choice"), CASES)
def test_every_choice_of_every_space_trains(trainee, task: str, kind: str, choice: str) -> None:
    result = trainee(task)({kind: choice, "batch_size": 8, "learning_rate": 1e-3}, seed=0)
    assert list(result) == KEYS
    assert (result["status"], result["epochs"], result["message"]) == ("done", 1, "")
    assert math.isfinite(result["objective"])


@pytest.mark.parametrize("task", TASKS)
def test_the_space_is_as_the_issue_asks(space, task: str) -> None:
    made = space(task)
    assert 12 <= len(made) <= 25
    conditions = {name: dict(made[name].conditions) for name in made if made[name].conditions}
    assert conditions == {
        "beta1": {"optimizer": ("adam",)},
        "beta2": {"optimizer": ("adam",)},
        "amsgrad": {"optimizer": ("adam",)},
        "rho": {"optimizer": ("rmsprop",)},
        "centered": {"optimizer": ("rmsprop",)},
        "momentum": {"optimizer": ("sgd", "rmsprop")},
        "nesterov": {"optimizer": ("sgd",)},
        "dropout_rate": {"dropout": (True,)},
        "l1": {"regularisation": (True,)},
        "l2": {"regularisation": (True,)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_random_configurations_train(trainee, space, task: str) -> None:
    made, train = space(task), trainee(task)
    rng = np.random.default_rng(0)
    for seed in range(60):
        params = made.from_unit(rng.random(len(made)))
        assert ("beta1" in params) == (params["optimizer"] == "adam")
        result = train(params, seed)
        assert (result["status"] == "done") == math.isfinite(result["objective"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adagrad"])
def test_same_seed_same_numbers_whatever_ran_before(trainee, task: str, optimizer: str) -> None:
    train = trainee(task, epochs=2)
    params = {"optimizer": optimizer, "dropout": True, "batch_norm": True, "batch_size": 4, "learning_rate": 1e-3}
    first = train(params, seed=7)
    train(params, seed=8)
    again = pickle.loads(pickle.dumps(train))(params, seed=7)
    assert without_time(first) == without_time(again)


@pytest.mark.parametrize("task", ["runge", "bateman"])
def test_another_seed_gives_another_network(trainee, task: str) -> None:
    train = trainee(task)
    assert train({}, seed=0)["objective"] != train({}, seed=1)["objective"]


def test_the_random_state_of_the_caller_is_left_alone(trainee) -> None:
    before = torch.get_rng_state()
    trainee("runge")({}, seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_longer_training_is_better(trainee) -> None:
    params = {"learning_rate": 0.01, "batch_size": 4}
    assert trainee("bateman", epochs=60)(params, 0)["objective"] < 0.8 * trainee("bateman")(params, 0)["objective"]


@pytest.mark.parametrize("task", TASKS)
def test_a_huge_learning_rate_diverges_at_once(trainee, task: str) -> None:
    params = {"optimizer": "sgd", "learning_rate": 1e12, "batch_size": 2, "loss": "mse"}
    result = trainee(task, epochs=500)(params, 0)
    assert result["status"] == "diverged"
    assert math.isnan(result["objective"])
    assert result["message"].startswith("the loss was ")
    assert result["cost"] == result["flops"] > 0
    assert result["epochs"] < 20


def test_a_validation_that_is_not_finite_diverges(trainee) -> None:
    # one step with a finite loss, to weights whose output overflows
    params = {"optimizer": "sgd", "learning_rate": 1e38, "momentum": 0.0, "batch_size": 20, "loss": "mae"}
    result = trainee("bateman")(params, 0)
    assert result["status"] == "diverged"
    assert math.isnan(result["objective"])
    assert result["message"].endswith("after step 1")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_is_divergence(trainee, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def step(self, block, index) -> None:
        raise error

    monkeypatch.setattr(module.Training, "training_step", step)
    result = trainee("runge")({"depth": 1, "width": 4}, 0)
    assert (result["status"], result["message"]) == ("diverged", "13 parameters did not fit")
    assert math.isnan(result["objective"])


def test_a_network_larger_than_the_memory_diverges(trainee) -> None:
    result = trainee("runge")({"depth": 2, "width": 2**24}, 0)
    assert (result["status"], result["cost"]) == ("diverged", float(2 * (2**24 + 2**48 + 2**24)))
    assert result["failure"] == "out of memory"


def test_other_errors_reach_the_caller(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self, block, index) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(module.Training, "training_step", step)
    with pytest.raises(RuntimeError, match="a bug"):
        trainee("runge")({}, 0)


def test_each_step_is_counted(trainee) -> None:
    steps: list[int] = []
    real = module.Training.training_step

    def step(self, block, index) -> None:
        real(self, block, index)
        steps.append(self.trainer.global_step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Training, "training_step", step)
        result = trainee("runge", epochs=3)({"batch_size": 2}, 0)
    # seven points in twos: three batches an epoch, the last of three points
    assert steps == [3, 6, 9]
    assert result["epochs"] == 3


@pytest.mark.parametrize(("cost", "kind"), [("flops", int), ("parameters", int), ("seconds", float)])
def test_the_cost_is_the_result_it_names(trainee, cost: str, kind: type) -> None:
    result = trainee("runge", cost=cost)({"depth": 2, "width": 5}, 0)
    assert (result["parameters"], result["flops"]) == (10 + 30 + 6, 2 * (5 + 25 + 5))
    assert result["cost"] == result[cost]
    assert isinstance(result[cost], kind)
    assert isinstance(result["cost"], float)


NOISY = {"dropout": True, "dropout_rate": 0.3, "batch_norm": True, "learning_rate": 1e-3, "batch_size": 4}


@pytest.mark.parametrize(("epochs", "steps"), [(1, [1]), (4, [1, 2, 3, 4]), (25, [*range(3, 25, 3), 25])])
def test_a_training_that_reports_has_the_same_numbers(trainee, epochs: int, steps: list[int]) -> None:
    # Dropout draws and batch norm remembers: a check on the way must touch neither.
    train, curve = trainee("runge", epochs=epochs), []
    reported = train(NOISY, 7, lambda step, value: curve.append((step, value)) or True)
    assert without_time(reported) == without_time(train(NOISY, 7))
    assert [step for step, _ in curve] == steps
    assert curve[-1][1] == reported["objective"]


@pytest.mark.parametrize("task", ["bateman", "mnist"])
def test_other_tasks_report_the_same_numbers(trainee, task: str) -> None:
    train = trainee(task, epochs=3)
    assert without_time(train(NOISY, 7, lambda step, value: True)) == without_time(train(NOISY, 7))


def test_the_curve_is_that_of_shorter_trainings(trainee) -> None:
    curve: dict[int, float] = {}
    trainee("bateman", epochs=4)(NOISY, 7, lambda step, value: curve.setdefault(step, value) > 0)
    for epochs, value in curve.items():
        assert trainee("bateman", epochs=epochs)(NOISY, 7)["objective"] == value


def test_checks_are_so_many(trainee) -> None:
    steps: list[int] = []
    trainee("runge", epochs=12, checks=3)(NOISY, 7, lambda step, value: steps.append(step) or True)
    assert steps == [4, 8, 12]


@pytest.mark.parametrize("after", [3, 6, 24])
def test_a_training_stops_when_told(trainee, after: int) -> None:
    told: list[float] = []
    train = trainee("runge", epochs=25)
    result = train(NOISY, 7, lambda step, value: told.append(value) or step < after)
    assert (result["status"], result["epochs"], result["message"]) == ("pruned", after, "")
    assert (result["objective"], len(told)) == (told[-1], after // 3)
    assert "test" not in result  # nobody reads it on the way
    assert result["cost"] == result["flops"]
    assert list(result) == KEYS


@pytest.mark.parametrize("epochs", [4, 25])
def test_told_to_stop_at_its_end_it_is_done(trainee, epochs: int) -> None:
    train = trainee("runge", epochs=epochs)
    assert without_time(train(NOISY, 7, lambda step, value: step < epochs)) == without_time(train(NOISY, 7))


def test_a_check_on_the_way_that_is_not_finite_ends_nothing(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    real, checks = module.Training.on_validation_epoch_end, []

    def first_is_infinite(self) -> None:
        real(self)
        checks.append(self.validation)
        if len(checks) == 1:
            self.validation = math.inf

    monkeypatch.setattr(module.Training, "on_validation_epoch_end", first_is_infinite)
    result = trainee("runge", epochs=2)(NOISY, 7, lambda step, value: True)
    assert (result["status"], result["objective"]) == ("done", checks[1])


def test_what_the_reporter_raises_reaches_the_caller(trainee) -> None:
    def refuse(step: int, value: float) -> bool:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        trainee("runge", epochs=2)({}, 0, refuse)


def test_save_best_repeats_the_trial_and_can_be_loaded(trainee, tmp_path: Path) -> None:
    train = trainee("mnist", epochs=2)
    params = {"batch_norm": True, "filters": 4, "batch_size": 5}
    result = train.save_best(params, 3, tmp_path / "best")
    assert without_time(result) == without_time(train(params, 3)) | {"test": result["test"]}
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["network.pt"]
    saved = torch.load(tmp_path / "best" / "network.pt")
    assert (saved["params"], saved["seed"], saved["metrics"]) == (params, 3, result)
    net = train.task.network({**train.task.defaults, **saved["params"]})
    net.load_state_dict(saved["state_dict"])
    x, y = train.task.load().test
    assert 100 * (net.eval()(x).argmax(1) != y).float().mean().item() == pytest.approx(result["test"])


def test_save_best_keeps_the_old_file_when_writing_fails(trainee, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "network.pt").write_bytes(b"old")

    def full(content, file) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        trainee("runge").save_best({}, 0, tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("network.pt", b"old")]


def test_a_fit_says_nothing(trainee, recwarn: pytest.WarningsRecorder, caplog, capfd) -> None:
    trainee("cifar")({"dropout": True}, 0)
    trainee("runge")({"optimizer": "sgd", "learning_rate": 1e30}, 0)
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_handler_survives_a_fit_and_is_called(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)

    real = module.Training.training_step

    def step(self, block, index) -> None:
        signal.raise_signal(signal.SIGINT)
        real(self, block, index)

    monkeypatch.setattr(module.Training, "training_step", step)
    before = signal.signal(signal.SIGINT, handler)
    try:
        result = trainee("runge", epochs=3)({}, 0)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] * 3
    assert (result["status"], result["epochs"]) == ("done", 3)


def test_a_fit_runs_outside_the_main_thread(trainee) -> None:
    train, results = trainee("runge"), []
    thread = threading.Thread(target=lambda: results.append(train({}, 5)))
    thread.start()
    thread.join()
    assert without_time(results[0]) == without_time(train({}, 5))


def test_threads_are_those_of_the_trainer(trainee) -> None:
    before = torch.get_num_threads()
    try:
        trainee("runge", trainer={"threads": 2})({}, 0)
        assert torch.get_num_threads() == 2
        trainee("runge", trainer={"threads": 1})({}, 0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_trial_is_a_lightning_fit(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[Any] = []
    real = pl.Trainer.fit
    monkeypatch.setattr(
        pl.Trainer, "fit", lambda self, *args, **more: (fits.append(args[0]), real(self, *args, **more))
    )
    trainee("runge")({}, 0)
    assert [isinstance(model, pl.LightningModule) for model in fits] == [True]


class FakeTask:
    def prepare(self) -> None:
        raise ValueError("the data are asked for")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"checks": 0}, r"`checks >= 1` must hold, but got 0; pass `\+task\.evaluate\.checks=10`"),
        (
            {"checkpoint_every": -1},
            r"`checkpoint_every >= 0` must hold, but got -1; pass `\+task\.evaluate\.checkpoint",
        ),
        ({"epochs": 0}, "`epochs >= 1` must hold, but got 0; pass `task.evaluate.epochs=1`"),
        (
            {"cost": "money"},
            "`cost` must be one of flops, parameters, seconds, but got 'money'; pass `task.cost=",
        ),
        ({"trainer": {"threads": 0}}, "`threads >= 1` must hold, but got 0; pass `trainer.threads=1`"),
        ({"trainer": {"accelerator": "abacus"}}, "`accelerator` must be cpu or gpu, but got 'abacus'"),
        ({"trainer": {"devices": 0}}, "`devices >= 1` must hold, but got 0; pass `trainer.devices=1`"),
        ({"trainer": {"devices": "auto"}}, "`devices >= 1` must hold, but got 'auto'; pass `trainer.devices=1`"),
        ({"trainer": {"colour": "red"}}, "the trainer knows accelerator, .*, but got colour; take it out"),
        ({"trainer": {"precision": "3"}}, "Precision '3' is invalid"),
        ({}, "the data are asked for"),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(values: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        training.Trainee(FakeTask(), **{"trainer": {}, "epochs": 1, **values})  # type: ignore[arg-type]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="`trainer=gpu` needs a CUDA device, but torch sees none; pass `trainer=cpu`"):
        machine.Machine(**config("runge", trainer="gpu").trainer)


def test_more_gpus_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(
        ValueError, match="at most the 1 CUDA devices that torch sees, but got devices=2; pass `trainer"
    ):
        machine.Machine(**config("runge", trainer="ddp").trainer)


def test_an_unknown_hyperparameter_or_loss_is_named(trainee) -> None:
    with pytest.raises(ValueError, match=r"every hyperparameter must be one of .*, but got colour; take it out"):
        trainee("runge")({"colour": "red"}, 0)
    with pytest.raises(ValueError, match="`loss` must be one of mse, mae, huber, log_cosh, but got 'hinge'"):
        trainee("runge")({"loss": "hinge"}, 0)


@pytest.mark.parametrize("batch_size", range(2, 9))
def test_batch_norm_meets_no_batch_of_one(trainee, batch_size: int) -> None:
    result = trainee("runge")({"batch_norm": True, "batch_size": batch_size}, 0)
    assert result["status"] == "done"


def test_the_test_part_decides_nothing(trainee, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    train = trainee("runge", epochs=2)
    first = train({}, 0)
    split = train.task.load()
    broken = type(split)(split.train, split.validation, (split.test[0], split.test[1] + math.nan))
    monkeypatch.setattr(type(train.task), "load", lambda self: broken)
    second = train.save_best({}, 0, tmp_path)
    assert math.isnan(second["test"])
    assert (second["status"], second["objective"]) == ("done", first["objective"])


def test_a_trial_does_not_touch_the_test_part(trainee, monkeypatch: pytest.MonkeyPatch) -> None:
    train = trainee("runge")
    split = train.task.load()
    monkeypatch.setattr(type(train.task), "load", lambda self: type(split)(split.train, split.validation, None))
    assert train({}, 0)["status"] == "done"


def test_benches_may_read_the_test_metric_of_every_trial(trainee, tmp_path: Path) -> None:
    every = trainee("runge", test_every_trial=True)
    assert every({}, 0)["test"] == trainee("runge").save_best({}, 0, tmp_path)["test"]
    diverged = every({"optimizer": "sgd", "learning_rate": 1e12, "batch_size": 2}, 0)
    assert math.isnan(diverged["test"])


@pytest.mark.parametrize("threshold", list(itertools.product([True, False], [0.0, 1e-3])))
def test_regularisation_acts_only_when_on(trainee, threshold: tuple[bool, float]) -> None:
    on, strength = threshold
    train = trainee("bateman", epochs=3)
    plain = train({"learning_rate": 0.01}, 0)["objective"]
    changed = train({"learning_rate": 0.01, "regularisation": on, "l1": strength, "l2": strength}, 0)["objective"]
    assert (changed != plain) == (on and strength > 0)


@pytest.mark.parametrize("cost", ["flops", "parameters"])
@pytest.mark.parametrize("task", TASKS)
def test_the_price_is_what_the_trial_will_cost(trainee, task: str, cost: str) -> None:
    train = trainee(task, cost=cost)
    params = {"batch_norm": True, "batch_size": 8, "learning_rate": 1e-3}
    assert train.price(params) == train(params, seed=0)["cost"] > 0


def test_the_price_of_a_trial_that_diverges(trainee) -> None:
    params = {"optimizer": "sgd", "learning_rate": 1e12, "batch_size": 2, "loss": "mse"}
    result = trainee("runge")(params, 0)
    assert result["status"] == "diverged"
    assert trainee("runge").price(params) == result["cost"]


def test_seconds_and_networks_that_cannot_be_built_have_no_price(trainee) -> None:
    assert math.isnan(trainee("runge", cost="seconds").price({}))
    assert math.isnan(trainee("runge").price({"activation": "none"}))
    assert math.isnan(trainee("runge").price({"width": -1}))
    with pytest.raises(ValueError, match=r"every hyperparameter must be one of .*, but got nonsense"):
        trainee("runge").price({"nonsense": 1})
