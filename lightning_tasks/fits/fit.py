"""`Fit` trains one configuration of any LightningModule, and says what it cost and how it ended."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from lightning_tasks.devices.machine import Machine, out_of_memory
from lightning_tasks.devices.ranks import ALONE, Ranks
from lightning_tasks.devices.torchrun import pickled, train_together
from lightning_tasks.fits import parts
from lightning_tasks.fits.callbacks import Diverged, Finite, Report, ReportCallback
from lightning_tasks.fits.checkpoints import Checkpoints
from lightning_tasks.fits.counts import Counter
from lightning_tasks.fits.namespaces import namespace_of, quiet, versions
from lightning_tasks.fits.networks import lightning_content, write_network
from lightning_tasks.fits.parts import Parts
from lightning_tasks.fits.trainers import Trainers, is_over

COSTS = ("flops", "parameters", "seconds")


class Fit:
    """Trains configurations of a LightningModule: `fit(params, seed)` is one Lightning fit, and an `evaluate`.

    The same params, seed and one CPU thread give the same numbers, whatever was trained before in the process. With
    several devices torchrun starts a process for each, and every process draws its own share of each epoch, as in
    Lightning's DDP.

    Parameters
    ----------
    module
        A LightningModule class, or a function that returns a module. Its arguments are hyperparameters.
    data
        A LightningDataModule, a pair (train, validation) of loaders or a triple with test, or a class or function
        whose arguments are hyperparameters and which makes one of these; None if the module has them itself. A
        hyperparameter that neither takes is an argument of the Trainer, such as ``gradient_clip_val``.
    monitor
        The metric that is the objective, as the module logs it in validation; its last value counts.
    trainer
        Arguments of Lightning's Trainer; its length (`max_epochs`, `max_steps` or `max_time`) is one. Every trial has
        its own copy of callbacks and loggers. With ``devices=2`` a trial trains in two processes of this machine. By
        default a trial trains on one CPU, without logger, progress bar and files.
    threads
        Threads of torch for each process.
    cost
        Which result is the cost: flops (of one inference), parameters (trainable ones) or seconds.
    checks
        A training is validated at most this often, evenly over its epochs and after the last one; by default as the
        Trainer says.
    checkpoint_every
        Seconds between two checkpoints of a trial, from 0; each is written at the end of an epoch.

    Raises
    ------
    ValueError
        If a value is impossible.

    Examples
    --------
    >>> import torch
    >>> from pytorch_lightning import LightningModule
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> class Line(LightningModule):
    ...     def __init__(self, rate):
    ...         super().__init__()
    ...         self.rate, self.net = rate, torch.nn.Linear(1, 1)
    ...     def forward(self, x):
    ...         return self.net(x)
    ...     def training_step(self, batch, index):
    ...         return torch.nn.functional.mse_loss(self(batch[0]), batch[1])
    ...     def validation_step(self, batch, index):
    ...         self.log("val_loss", self.training_step(batch, index))
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), self.rate)
    >>> x = torch.linspace(-1, 1, 8)[:, None]
    >>> loader = DataLoader(TensorDataset(x, 2 * x), batch_size=4)
    >>> fit = Fit(Line, (loader, loader), trainer={"max_epochs": 20})
    >>> result = fit({"rate": 0.3}, seed=0)
    >>> result["status"], result["epochs"], result["parameters"], result["cost"], result["objective"] < 0.01
    ('done', 20, 2, 2.0, True)
    """

    # Whether every trial reads the test metric.
    test_every_trial: bool = False
    # How a person passes a value that was refused.
    knobs: ClassVar[Mapping[str, str]] = {
        "cost": "`cost='flops'`",
        "checks": "`checks=10`",
        "checkpoint_every": "`checkpoint_every=60`",
    }

    def __init__(
        self,
        module: Callable[..., Any],
        data: Any = None,
        monitor: str = "val_loss",
        *,
        trainer: Mapping[str, Any] | None = None,
        threads: int = 1,
        cost: str = "flops",
        checks: int | None = None,
        checkpoint_every: float = 60.0,
    ) -> None:
        if cost not in COSTS:
            raise ValueError(f"`cost` must be one of {', '.join(COSTS)}, but got {cost!r}; pass {self.knobs['cost']}.")
        if checks is not None and checks < 1:
            raise ValueError(f"`checks >= 1` must hold, but got {checks}; pass {self.knobs['checks']}.")
        if not checkpoint_every >= 0:
            raise ValueError(
                f"`checkpoint_every >= 0` must hold, but got {checkpoint_every}; pass {self.knobs['checkpoint_every']}."
            )
        self.module = module
        self.data = data
        self.monitor = monitor
        self.cost = cost
        self.checks = checks
        self.checkpoint_every = checkpoint_every
        given = dict(trainer or {})
        machine = {name: given.pop(name) for name in ("accelerator", "devices", "precision") if name in given}
        self.machine = Machine(**machine, threads=threads)
        if self.machine.devices > 1:
            pickled((module, data))  # else every trial would be refused
        self.trainers = Trainers(self.machine, given)
        self._count = Counter(data)
        if checks is not None and given.get("max_epochs") is None:
            raise ValueError(f"`checks` are spread over max_epochs, but got {checks} and none; leave `checks` out.")
        with quiet():
            self.trainers.check(namespace_of(module))

    def price(self, params: Mapping[str, Any]) -> float:
        """The cost of a configuration before it is trained; NaN for seconds, and for a network that cannot be built.

        Parameters
        ----------
        params
            The active hyperparameters.

        Raises
        ------
        ValueError
            If a hyperparameter is unknown.
        """
        self._check(params)
        if self.cost == "seconds":
            return math.nan
        try:
            counts = self._on_paper(params)
            if math.isnan(counts["parameters"]):
                with parts.seeded(0, gpu=False):
                    made = self._parts(params, ALONE)
                counts = self._count(made.module, made.of_data)
        except Exception:  # noqa: BLE001 -- a person's module raises anything, and its trial gives the reason
            return math.nan
        return float(counts[self.cost])

    def __call__(
        self, params: Mapping[str, Any], seed: int, report: Report | None = None, checkpoint: Path | None = None
    ) -> dict[str, Any]:
        """Train one configuration.

        Parameters
        ----------
        params
            The active hyperparameters.
        seed
            Seed of the initial weights, the order of the samples and dropout.
        report
            `report(step, metric)` receives the validation metric after each validation, and answers whether to go on.
            A training that goes on to its end has the same numbers with and without it.
        checkpoint
            A file for this trial alone, in a folder that exists. A long training keeps its state there. If it finds its
            state there it goes on from it, with the same numbers as without the interruption.

        Returns
        -------
        dict
            objective (validation metric, the last one if pruned, NaN if diverged), cost, parameters, flops (NaN if they
            cannot be counted), seconds (of the fit, with its interrupted parts up to their checkpoints), epochs
            (finished), status (done, pruned or diverged), message (why it diverged, or else empty). With a checkpoint
            also resumed_at (epochs finished before), or not_resumed (why the checkpoint was not used and the training
            began anew).

        Raises
        ------
        Lost
            If the checkpoint cannot be written, or a process of several was killed.
        RankFailed
            If one of several processes raised an error.
        """
        result, _ = self.train(params, seed, report, test=self.test_every_trial, checkpoint=checkpoint)
        return result

    def save_best(self, params: Mapping[str, Any], seed: int, folder: str | os.PathLike[str]) -> dict[str, Any]:
        """Train a configuration again, read the test metric, and write the network to `folder/network.pt`.

        The file holds state_dict, hyperparameters, params, seed, metrics and a text that says how to load it; for a
        LightningModule class it is `Class.load_from_checkpoint("network.pt")`, in any process. It replaces an older
        file as a whole or not at all.

        Returns
        -------
        dict
            As `fit(params, seed)`, and test (the metric on the test data, NaN if diverged). The test metric is the one
            whose name is `monitor` with test for val; without test data or such a metric there is none.
        """
        result, weights = self.train(params, seed, None, test=True)
        content = {
            "state_dict": weights,
            "params": dict(params),
            "seed": seed,
            "metrics": result,
            **self._described(params),
        }
        write_network(folder, content)
        return result

    def train(
        self,
        params: Mapping[str, Any],
        seed: int,
        report: Report | None,
        test: bool,
        checkpoint: Path | None = None,
        ranks: Ranks = ALONE,
    ) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Train one configuration as one of `ranks`, or start the ranks if the machine has more devices than ranks.

        Parameters
        ----------
        params, seed, report, checkpoint
            As in `fit(params, seed)`.
        test
            Whether to read the test metric at the end.
        ranks
            The processes that train together.

        Returns
        -------
        dict, dict
            The result of `fit(params, seed)`, with test if `test`; and the weights, none if diverged.
        """
        self._check(params)
        result: dict[str, Any] = {
            "objective": math.nan,
            "cost": math.nan,
            **({"test": math.nan} if test else {}),
            **self._on_paper(params),
            "seconds": 0.0,
            "epochs": 0,
            "status": "diverged",
            "message": "",
        }
        weights: dict[str, torch.Tensor] = {}
        start = time.perf_counter()
        try:
            if ranks.size < self.machine.devices:
                assignment = {"params": dict(params), "seed": seed, "report": report, "test": test}
                return train_together(
                    self, {**assignment, "checkpoint": checkpoint}, self.machine.devices, self.machine.threads
                )
            if torch.get_num_threads() != self.machine.threads:
                torch.set_num_threads(self.machine.threads)
            with parts.seeded(seed, self.machine.accelerator == "gpu"), quiet():
                net = self._fit(params, seed, result, report, checkpoint, ranks)
            weights = {name: value.cpu() for name, value in net.state_dict().items()}
        except Diverged as error:
            result["message"] = str(error)
        except (MemoryError, RuntimeError) as error:
            # The other ranks wait for one that has raised an error, so it has to end.
            if ranks.size > 1 or not out_of_memory(error):
                raise
            result["failure"] = "out of memory"
            known = not math.isnan(result["parameters"])
            result["message"] = f"{result['parameters']} parameters did not fit" if known else "it did not fit"
            result["seconds"] = result["seconds"] or time.perf_counter() - start
        result["cost"] = float(result[self.cost])
        return result, weights

    def _fit(
        self,
        params: Mapping[str, Any],
        seed: int,
        result: dict[str, Any],
        report: Report | None,
        checkpoint: Path | None,
        ranks: Ranks,
    ) -> torch.nn.Module:
        made = self._parts(params, ranks)
        if math.isnan(result["parameters"]):
            result.update(self._count(made.module, made.of_data))
        if self.cost == "flops" and math.isnan(result["flops"]):
            raise ValueError(
                "`cost='flops'` counts forward(x) of one sample, but the module has no such forward; set its "
                "`example_input_array`, or pass `cost='parameters'`"
            )
        order = int(torch.randint(2**62, ()))
        for generator in made.generators:  # else they would go on from the trial before
            generator.manual_seed(order)
        if ranks.rank > 0:  # the ranks are alike in all but dropout
            torch.manual_seed(int(torch.randint(2**62, ())) + ranks.rank)
        reports = ReportCallback(report, self.monitor)
        every = self._every(report is not None)
        callbacks: list[Any] = [reports, Finite()]
        before, start_from = 0.0, None
        if checkpoint is not None:
            owner = self._owner(params, seed, made, every)
            saves = Checkpoints(checkpoint, self.checkpoint_every, owner, made.generators, reports, ranks)
            found = saves.look()
            result.update(found)
            before = saves.seconds
            start_from = checkpoint if "resumed_at" in found else None
            callbacks.append(saves)
        trainer = self.trainers.make(namespace_of(made.module), made.trainer, callbacks, ranks, every, seed % 2**32)
        start = time.perf_counter()
        try:
            trainer.fit(made.module, **made.fits, ckpt_path=start_from)
            stopped = reports.stopped and not is_over(trainer)
            if not stopped and reports.at != trainer.global_step:  # no check was due after the last epoch
                trainer.validate(made.module, **made.validates, verbose=False)
        finally:
            result["seconds"] = before + time.perf_counter() - start
            result["epochs"] = trainer.current_epoch
            if "datamodule" in made.data:
                made.data["datamodule"].trainer = None  # else it would travel to other processes with its last trainer
        # Only the last validation decides: an earlier one must not end a training that would have ended well.
        objective = reports.curve[-1][1]
        if not math.isfinite(objective):
            raise Diverged(f"the validation metric was {objective} after step {trainer.global_step}")
        result.update(objective=objective, status="pruned" if stopped else "done")
        if "test" in result and not stopped:
            self._test(trainer, made, result)
        return self._network(made.module)

    def _test(self, trainer: Any, made: Parts, result: dict[str, Any]) -> None:
        """Read the test metric, and drop it from the result if there is none."""
        del result["test"]
        loaders = made.tests
        if loaders is None:
            return
        trainer.test(made.module, **loaders, verbose=False)
        name = self.monitor.replace("validation", "test").replace("val", "test")
        if name in trainer.callback_metrics:
            result["test"] = float(trainer.callback_metrics[name])

    def _check(self, params: Mapping[str, Any]) -> None:
        """Raise a ValueError if a hyperparameter is unknown."""
        parts.shared_out(params, self.module, self.data)

    def _parts(self, params: Mapping[str, Any], ranks: Ranks) -> Parts:
        """The module, its data and its Trainer of these hyperparameters, in one of `ranks`."""
        of_module, of_data, of_trainer = parts.shared_out(params, self.module, self.data)
        module = self.module(**of_module)
        data = self.data(**of_data) if callable(self.data) else self.data
        return Parts(module, parts.placed(data), of_trainer, of_data)

    def _on_paper(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Parameters and FLOPs without the network, NaN if they are counted once it is there."""
        return {"parameters": math.nan, "flops": math.nan}

    def _every(self, reporting: bool) -> int | None:
        """Epochs from one validation to the next; None if the Trainer's own say so."""
        return None if self.checks is None else math.ceil(self.trainers.given["max_epochs"] / self.checks)

    def _owner(self, params: Mapping[str, Any], seed: int, made: Parts, every: int | None) -> dict[str, Any]:
        """Everything that the numbers of a fit depend on, as far as it can be told."""
        plain = {name: value for name, value in self.trainers.given.items() if isinstance(value, int | float | str)}
        return {
            "params": repr(sorted(params.items())),
            "seed": seed,
            "trainer": repr(sorted(plain.items())),
            "network": repr(made.module),
            "checks": every,
            "machine": repr(self.machine),
            "versions": versions(),
        }

    def _network(self, module: Any) -> torch.nn.Module:
        """The part of the module whose weights are kept."""
        return module

    def _described(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What the file of a network says beside weights and numbers."""
        of_module, _, _ = parts.shared_out(params, self.module, self.data)
        return lightning_content(self.module, of_module)
