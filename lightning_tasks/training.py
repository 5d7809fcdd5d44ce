"""A `Trainee` trains one configuration of hyperparameters on a task as a Lightning fit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from lightning_tasks import module, nets
from lightning_tasks.data import Batches, Ordered, Pair, Split, to_device
from lightning_tasks.devices.machine import Machine, out_of_memory
from lightning_tasks.devices.ranks import ALONE, Ranks, norm_whole_batches
from lightning_tasks.fits import parts
from lightning_tasks.fits.callbacks import Report
from lightning_tasks.fits.counts import count_flops, count_parameters
from lightning_tasks.fits.fit import Fit
from lightning_tasks.fits.namespaces import namespace_of, quiet, versions
from lightning_tasks.fits.parts import Parts
from lightning_tasks.stacked import fit
from lightning_tasks.stacked.checkpoints import StackCheckpoints
from lightning_tasks.stacked.groups import MOST_WEIGHTS, Candidate, by_shape, group, measured

TRAININGS = ("auto", "stacked", "solo", "plain")
# The result of a training, and the weights of its network.
Trained = tuple[dict[str, Any], dict[str, torch.Tensor]]
_HOW_TO_LOAD = (
    "saved = torch.load('network.pt'); net = task.network({**task.defaults, **saved['params']}); "
    "net.load_state_dict(saved['state_dict']); net.eval()"
)


class Task(Protocol):
    """The interface of a task for `Trainee`; `runge.Runge` is an example."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The hyperparameters of the network, and their values if the space does not hold them."""

    @property
    def losses(self) -> Mapping[str, module.Loss]:
        """Losses by name; the first one is used if the space holds none."""

    @property
    def metric(self) -> module.Metric:
        """The metric of objective and test."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    def prepare(self) -> None:
        """Check the values, and download missing data."""

    def load(self) -> Split:
        """The data."""

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network of these hyperparameters."""


def _result(counts: Mapping[str, float], test: bool) -> dict[str, Any]:
    """The result of a training that has not begun."""
    return {
        "objective": math.nan,
        "cost": math.nan,
        **({"test": math.nan} if test else {}),
        **counts,
        "seconds": 0.0,
        "epochs": 0,
        "status": "diverged",
        "message": "",
    }


class Data(pl.LightningDataModule):
    """The data of a task on the device that trains."""

    def __init__(self, split: Split, batch_size: int) -> None:
        super().__init__()
        self.split = split
        self.batch_size = batch_size
        self.generator = torch.Generator()  # of the order of the samples; `Fit` seeds it

    def _here(self, pair: Pair) -> Pair:
        return to_device(pair, self.trainer.strategy.root_device)  # type: ignore[union-attr]

    def train_dataloader(self) -> Batches:
        """Lightning's hook: shuffled batches."""
        return Batches(*self._here(self.split.train), self.batch_size, self.generator)

    def val_dataloader(self) -> Ordered:
        """Lightning's hook: the validation part in order."""
        return Ordered(*self._here(self.split.validation))

    def test_dataloader(self) -> Ordered:
        """Lightning's hook: the test part in order."""
        return Ordered(*self._here(self.split.test))


class Trainee(Fit):
    """Trains configurations on a task: `trainee(params, seed)` is one Lightning fit.

    The same params, seed and one CPU thread give the same numbers, whatever was trained before in the process. With
    several devices torchrun starts a process for each, and the trial is that of one device up to rounding and dropout:
    the processes share every batch, and batch norm sees all of it.

    Parameters
    ----------
    task
        Data and network, for example `runge.Runge()`. It checks and downloads here, and loads at the first trial.
    trainer
        Values of `Machine` by name.
    epochs
        Passes over the training data.
    cost
        Which result is the cost: flops (of one inference), parameters or seconds.
    checks
        A training that reports is validated at most this often, evenly over the epochs and after the last one; other
        trainings are validated after the last epoch alone.
    test_every_trial
        Whether every trial reads the test metric, for benches, which compare strategies by it. A search or a person
        that used it to choose would have no unseen data left to judge the chosen network.
    checkpoint_every
        Seconds between two checkpoints of a trial, from 0; each is written at the end of an epoch.
    training
        How several configurations train (`groups`): "stacked", those of one padded shape in one fit; "solo", each in a
        fit of its own; "auto", as is measured to be faster. The numbers of a configuration are the same to the bit, on
        a GPU up to rounding. A network that no stack can train (it is no MLP of one width, or trains on several devices
        or in mixed precision) trains as a plain one; "stacked" refuses several devices, and "auto" warns if they cost
        stacks. "plain" trains all so, by autograd and torch's own optimisers: the same up to rounding, which a long
        training magnifies, and to dropout.

    Raises
    ------
    ValueError, FileNotFoundError
        If a value is impossible or the data are absent.
    """

    # Values that give a trial the same numbers, on a GPU up to rounding: a run may go on with another of them.
    alike: ClassVar[Mapping[str, Sequence[str]]] = {"training": ("auto", "stacked", "solo")}
    knobs: ClassVar[Mapping[str, str]] = {
        "cost": "`task.cost=flops`",
        "checks": "`+task.evaluate.checks=10`",
        "checkpoint_every": "`+task.evaluate.checkpoint_every=60`",
    }

    def __init__(
        self,
        task: Task,
        trainer: Mapping[str, Any],
        epochs: int,
        cost: str = "flops",
        checks: int = 10,
        test_every_trial: bool = False,
        checkpoint_every: float = 60.0,
        training: str = "auto",
    ) -> None:
        if epochs < 1:
            raise ValueError(f"`epochs >= 1` must hold, but got {epochs}; pass `task.evaluate.epochs=1` or more.")
        if training not in TRAININGS:
            raise ValueError(
                f"`training` must be one of {', '.join(TRAININGS)}, but got {training!r}; pass `task.training=auto`."
            )
        known = Machine.__dataclass_fields__
        unknown = [str(name) for name in trainer if name not in known]
        if unknown:
            raise ValueError(f"the trainer knows {', '.join(known)}, but got {', '.join(unknown)}; take it out.")
        arguments = {str(name): value for name, value in trainer.items()}
        threads = arguments.pop("threads", 1)
        super().__init__(
            module.Training,
            monitor="validation",
            trainer={**arguments, "max_epochs": epochs},
            threads=threads,
            cost=cost,
            checks=checks,
            checkpoint_every=checkpoint_every,
        )
        self.task = task
        self.training = training
        self.epochs = epochs
        self.test_every_trial = test_every_trial
        task.prepare()
        self._check_devices()

    def _check_devices(self) -> None:
        """Refuse several devices for stacks, and warn where `auto` would stack networks on one."""
        devices = self.machine.devices
        if devices == 1 or self.training not in ("auto", "stacked"):
            return
        instead = f"`trainer.devices=1 executor=processes executor.workers={devices}` trains a stack in each worker"
        if self.training == "stacked":
            raise ValueError(f"a stack trains on one device, but got training='stacked' and {devices=}; {instead}.")
        with torch.device("meta"):
            usual = self.task.network(self._settings({}))
        if fit.form_of(usual) is not None:
            warnings.warn(
                f"with {devices=} each trial starts {devices} processes, which takes seconds, and trains by itself; "
                f"{instead}, and `task.training=plain` says that this is meant",
                stacklevel=3,
            )

    def groups(self, configurations: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """Which of the configurations should train together, by their places; each group is one stack.

        Parameters
        ----------
        configurations
            The active hyperparameters of each.

        Returns
        -------
        list of lists of int
            Every place once; a configuration that trains alone is a group of its own.
        """
        if self.training in ("solo", "plain"):
            return [[place] for place in range(len(configurations))]
        on_cpu = self.machine.accelerator == "cpu"  # a GPU is the faster, the more it gets at once
        speed = measured() if self.training == "auto" and on_cpu else None
        return group(self._candidates(configurations), speed, MOST_WEIGHTS if on_cpu else None)

    def evaluate_many(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Report | None] | None = None,
        checkpoint: Path | None = None,
    ) -> list[dict[str, Any]]:
        """Train several configurations, those of one padded shape in one fit.

        Parameters
        ----------
        configurations, seeds, reports
            Of each trial, as in `trainee(params, seed, report)`.
        checkpoint
            A file for these trials together, used if they have one shape.

        Returns
        -------
        list of dict
            What `trainee(params, seed, report)` returns for each; `seconds` is its share of the fit.
        """
        trained = self.train_many(configurations, seeds, reports, self.test_every_trial, checkpoint)
        return [result for result, _ in trained]

    def train_many(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Report | None] | None = None,
        test: bool = False,
        checkpoint: Path | None = None,
    ) -> list[Trained]:
        """As `evaluate_many`, with the weights of each network, none if it diverged, and the test metric if `test`."""
        reports = [None] * len(seeds) if reports is None else reports
        trained: dict[int, Trained] = {}
        groups = by_shape(self._candidates(configurations))
        for places in groups:
            kept = checkpoint if len(groups) == 1 else None
            if len(places) == 1:
                (place,) = places
                trained[place] = self.train(configurations[place], seeds[place], reports[place], test, kept)
            else:
                stack = self._fit_stack(
                    [configurations[place] for place in places],
                    [seeds[place] for place in places],
                    [reports[place] for place in places],
                    test,
                    kept,
                )
                trained.update(zip(places, stack, strict=True))
        return [trained[place] for place in range(len(seeds))]

    def train(
        self,
        params: Mapping[str, Any],
        seed: int,
        report: Report | None,
        test: bool,
        checkpoint: Path | None = None,
        ranks: Ranks = ALONE,
    ) -> Trained:
        """See `Fit.train`; a network that stacks can train is a stack of one, so that it has the same numbers."""
        if ranks.size > 1 or self._candidates([params]) == [None]:
            return super().train(params, seed, report, test, checkpoint, ranks)
        try:
            (trained,) = self._fit_stack([params], [seed], [report], test, checkpoint)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            counts = self._on_paper(params)
            result = _result(counts, test) | {
                "failure": "out of memory",
                "message": f"{counts['parameters']} parameters did not fit",
            }
            return {**result, "cost": float(result[self.cost])}, {}
        return trained

    def _candidates(self, configurations: Sequence[Mapping[str, Any]]) -> list[Candidate | None]:
        """Each network, on paper, as one of a stack; None if it trains as a plain one."""
        candidates: list[Candidate | None] = []
        for params in configurations:
            try:
                candidates.append(self._candidate(self._settings(params)))
            except (ValueError, RuntimeError):  # its trial gives the reason
                candidates.append(None)
        return candidates

    def _candidate(self, settings: Mapping[str, Any]) -> Candidate | None:
        machine = self.machine
        if self.training == "plain" or machine.devices > 1 or machine.precision not in fit.PRECISIONS:
            return None
        with torch.device("meta"):
            net = self.task.network(settings)
        samples = len(self.task.load().train[0])
        form = fit.form_in(self.task, net, settings, samples)
        return None if form is None else Candidate(form, settings, samples)

    def _fit_stack(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Report | None],
        test: bool,
        checkpoint: Path | None,
    ) -> list[Trained]:
        """The results and weights of configurations of one padded shape, trained in one fit."""
        if torch.get_num_threads() != self.machine.threads:
            torch.set_num_threads(self.machine.threads)
        samples, members = len(self.task.load().train[0]), []
        every = self._every(any(report is not None for report in reports))
        with parts.seeded(0, self.machine.accelerator == "gpu"), quiet():
            for params, seed in zip(configurations, seeds, strict=True):
                torch.manual_seed(seed)
                members.append(fit.member(self.task, self._settings(params), samples))
            saves = None
            if checkpoint is not None:
                owners = [
                    self._owner_of(params, seed, one.net, every)
                    for params, seed, one in zip(configurations, seeds, members, strict=True)
                ]
                together = {name: [owner[name] for owner in owners] for name in owners[0]}
                saves = StackCheckpoints(checkpoint, self.checkpoint_every, together)
            courses, weights, seconds, found = fit.train(
                self.task,
                members,
                reports,
                lambda callbacks: self.trainers.make(
                    namespace_of(module.Training), {}, callbacks, ALONE, every, seeds[0] % 2**32
                ),
                every,
                self.machine.precision,
                test,
                saves,
            )
        trained = []
        for one, course, its in zip(members, courses, weights, strict=True):
            result = _result({"parameters": one.form.parameters, "flops": one.form.flops}, test) | found
            result.update(status=course.status, message=course.message, epochs=course.epochs)
            result["seconds"] = seconds / len(members)
            if course.status != "diverged":
                result["objective"] = course.validation
            if test and course.status == "done":
                result["test"] = course.test
            result["cost"] = float(result[self.cost])
            trained.append((result, {name: value.cpu() for name, value in its.items()}))
        return trained

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        known = {**module.DEFAULTS, "loss": next(iter(self.task.losses)), **self.task.defaults}
        unknown = sorted(params.keys() - known.keys())
        if unknown:
            raise ValueError(
                f"every hyperparameter must be one of {', '.join(sorted(known))}, but got {', '.join(unknown)}; "
                "take it out of the space."
            )
        return {**known, **params}

    def _check(self, params: Mapping[str, Any]) -> None:
        self._settings(params)

    def _on_paper(self, params: Mapping[str, Any]) -> dict[str, float]:
        with torch.device("meta"):
            net = self.task.network(self._settings(params))
        example = torch.empty(1, *self.task.shape, device="meta")
        return {"parameters": count_parameters(net), "flops": count_flops(net, example)}

    def _parts(self, params: Mapping[str, Any], ranks: Ranks) -> Parts:
        settings = self._settings(params)
        loss = nets.pick("loss", self.task.losses, settings["loss"])
        split = self.task.load()
        net = self.task.network(settings)
        nets.initialise(net, settings["initialiser"])
        strategy: dict[str, Any] = {}
        if ranks.size > 1:
            norm_whole_batches(net)
            strategy["strategy"] = DDPStrategy(broadcast_buffers=False)  # they are alike on all ranks
        training = module.Training(net, settings, loss, self.task.metric, ranks)
        return Parts(training, {"datamodule": Data(split, settings["batch_size"])}, strategy)

    def _every(self, reporting: bool) -> int:
        """Epochs from one validation to the next; without reports only the last validation is needed."""
        return math.ceil(self.epochs / self.checks) if reporting and self.checks else self.epochs

    def _owner(self, params: Mapping[str, Any], seed: int, made: Parts, every: int | None) -> dict[str, Any]:
        return self._owner_of(params, seed, made.module.net, every)

    def _owner_of(self, params: Mapping[str, Any], seed: int, net: nn.Module, every: int | None) -> dict[str, Any]:
        return {
            "params": repr(sorted(self._settings(params).items())),
            "seed": seed,
            "epochs": self.epochs,
            "task": repr(self.task),
            "network": repr(net),
            "checks": every,
            "machine": repr(self.machine),
            "versions": versions(),
        }

    def _network(self, module: Any) -> nn.Module:
        return module.net

    def _described(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"task": repr(self.task), "how_to_load": _HOW_TO_LOAD}
