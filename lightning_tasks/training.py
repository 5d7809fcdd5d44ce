"""A `Trainee` trains one configuration of hyperparameters on a task as a Lightning fit."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import nn

from lightning_tasks import module, nets
from lightning_tasks.callbacks import Report, Reports
from lightning_tasks.checkpoints import Checkpoints, WholeFile
from lightning_tasks.data import Batches, Ordered, Split, to_device
from lightning_tasks.devices.machine import Machine, out_of_memory
from lightning_tasks.devices.ranks import ALONE, Mortal, Ranks, norm_whole_batches
from lightning_tasks.devices.torchrun import train_together
from lightning_tasks.stacked import fit
from lightning_tasks.stacked.checkpoints import StackCheckpoints
from lightning_tasks.stacked.groups import Candidate, by_shape, group

COSTS = ("flops", "parameters", "seconds")
TRAININGS = ("auto", "stacked", "solo")
# The result of a training, and the weights of its network.
Trained = tuple[dict[str, Any], dict[str, torch.Tensor]]
_LIGHTNING_LOGGERS = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.rank_zero")
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's messages about every fit: its devices, why it stopped, its recommendations."""
    loggers = [logging.getLogger(name) for name in _LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning\.|lightning_fabric\.")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _blank(counts: Mapping[str, int], test: bool) -> dict[str, Any]:
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


class Trainee:
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
        fit of its own; "auto", as is measured to be faster. The numbers of a configuration are the same. Only MLPs on
        one device in full precision are stacked.

    Raises
    ------
    ValueError, FileNotFoundError
        If a value is impossible or the data are absent.
    """

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
        if cost not in COSTS:
            raise ValueError(f"`cost` must be one of {', '.join(COSTS)}, but got {cost!r}; pass `task.cost=flops`.")
        if checks < 1:
            raise ValueError(f"`checks >= 1` must hold, but got {checks}; pass `+task.evaluate.checks=10`.")
        if not checkpoint_every >= 0:
            raise ValueError(
                f"`checkpoint_every >= 0` must hold, but got {checkpoint_every}; pass "
                "`+task.evaluate.checkpoint_every=60`."
            )
        if training not in TRAININGS:
            raise ValueError(
                f"`training` must be one of {', '.join(TRAININGS)}, but got {training!r}; pass training=auto."
            )
        self.training = training
        self.task = task
        known = Machine.__dataclass_fields__
        unknown = [str(name) for name in trainer if name not in known]
        if unknown:
            raise ValueError(f"the trainer knows {', '.join(known)}, but got {', '.join(unknown)}; take it out.")
        self.machine = Machine(**{str(name): value for name, value in trainer.items()})
        self.epochs = epochs
        self.cost = cost
        self.checks = checks
        self.test_every_trial = test_every_trial
        self.checkpoint_every = checkpoint_every
        with _quiet():
            self._trainer(self.epochs, [])  # Lightning refuses a wrong precision here, not in every trial
        task.prepare()

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
        settings = self._settings(params)
        if self.cost == "seconds":
            return math.nan
        try:
            _, counts = self._on_paper(settings)
        except (ValueError, RuntimeError):  # its trial gives the reason
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
            `report(epochs, metric)` receives the validation metric about `checks` times, and answers whether to go on.
            A training that goes on to its end has the same numbers with and without it.
        checkpoint
            A file for this trial alone, in a folder that exists. A long training keeps its state there. If it finds its
            state there it goes on from it, with the same numbers as without the interruption.

        Returns
        -------
        dict
            objective (validation metric, the last one if pruned, NaN if diverged), cost, parameters, flops, seconds (of
            the fit, with its interrupted parts up to their checkpoints), epochs (finished), status (done, pruned or
            diverged), message (why it diverged, or else empty). With a checkpoint also resumed_at (epochs finished
            before), or not_resumed (why the checkpoint was not used and the training began anew).

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

        The file holds state_dict, params, seed, metrics and a text that says how to load it. It replaces an older file
        as a whole or not at all.

        Returns
        -------
        dict
            As `trainee(params, seed)`, and test (the metric on the test data, NaN if diverged).
        """
        result, weights = self.train(params, seed, None, test=True)
        content = {
            "state_dict": weights,
            "params": dict(params),
            "seed": seed,
            "metrics": result,
            "task": repr(self.task),
            "how_to_load": _HOW_TO_LOAD,
        }
        target = Path(folder) / "network.pt"
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".network-{os.getpid()}.pt")
        try:
            with partial.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return result

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        known = {**module.DEFAULTS, "loss": next(iter(self.task.losses)), **self.task.defaults}
        unknown = sorted(params.keys() - known.keys())
        if unknown:
            raise ValueError(
                f"every hyperparameter must be one of {', '.join(sorted(known))}, but got {', '.join(unknown)}; "
                "take it out of the space."
            )
        return {**known, **params}

    def _drawn(self, settings: Mapping[str, Any]) -> nn.Module:
        """The network without its weights."""
        with torch.device("meta"):
            return self.task.network(settings)

    def _on_paper(self, settings: Mapping[str, Any]) -> tuple[nn.Module, dict[str, int]]:
        """The network without its weights, and its parameters and FLOPs."""
        net = self._drawn(settings)
        return net, {"parameters": nets.count_parameters(net), "flops": nets.count_flops(net, self.task.shape)}

    def train(
        self,
        params: Mapping[str, Any],
        seed: int,
        report: Report | None,
        test: bool,
        checkpoint: Path | None = None,
        ranks: Ranks = ALONE,
    ) -> Trained:
        """Train one configuration as one of `ranks`, or start the ranks if the machine has more devices than ranks.

        Parameters
        ----------
        params, seed, report, checkpoint
            As in `trainee(params, seed)`.
        test
            Whether to read the test metric at the end.
        ranks
            The processes that train together.

        Returns
        -------
        dict, dict
            The result of `trainee(params, seed)`, with test if `test`; and the weights, none if diverged.
        """
        settings = self._settings(params)
        loss = nets.pick("loss", self.task.losses, settings["loss"])
        net, counts = self._on_paper(settings)
        result = _blank(counts, test)
        weights: dict[str, torch.Tensor] = {}
        start = time.perf_counter()
        try:
            if ranks.size < self.machine.devices:
                assignment = {"params": dict(params), "seed": seed, "report": report, "test": test}
                return train_together(
                    self, {**assignment, "checkpoint": checkpoint}, self.machine.devices, self.machine.threads
                )
            if ranks.size == 1 and self._candidate(settings, net) is not None:
                # The arithmetic of a stack also if it is one of one network, so that both have the same numbers.
                ((result, weights),) = self._fit_stack([params], [seed], [report], test, checkpoint)
                return result, weights
            with self._seeded(seed), _quiet():
                net = self._fit(settings, seed, loss, result, report, checkpoint, ranks)
            weights = {name: value.cpu() for name, value in net.state_dict().items()}
        except module.Diverged as error:
            result["message"] = str(error)
        except (MemoryError, RuntimeError) as error:
            # The other ranks wait for one that has raised an error, so it has to end.
            if ranks.size > 1 or not out_of_memory(error):
                raise
            result["failure"] = "out of memory"
            result["message"] = f"{result['parameters']} parameters did not fit"
            result["seconds"] = result["seconds"] or time.perf_counter() - start
        result["cost"] = float(result[self.cost])
        return result, weights

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
        if self.training == "solo":
            return [[place] for place in range(len(configurations))]
        return group(self._candidates(configurations), self.training == "auto", self.machine.accelerator)

    def _candidates(self, configurations: Sequence[Mapping[str, Any]]) -> list[Candidate | None]:
        candidates: list[Candidate | None] = []
        for params in configurations:
            try:
                settings = self._settings(params)
                candidates.append(self._candidate(settings, self._drawn(settings)))
            except (ValueError, RuntimeError):  # its trial gives the reason
                candidates.append(None)
        return candidates

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

    def _candidate(self, settings: Mapping[str, Any], net: nn.Module) -> Candidate | None:
        """The network, on paper, as one of a stack; None if it has to train alone."""
        if self.machine.devices > 1 or self.machine.precision not in fit.PRECISIONS:
            return None
        samples = len(self.task.load().train[0])
        form = fit.form_in(self.task, net, settings, samples)
        return None if form is None else Candidate(form, settings, samples, self.epochs)

    def _fit_stack(
        self,
        configurations: Sequence[Mapping[str, Any]],
        seeds: Sequence[int],
        reports: Sequence[Report | None],
        test: bool,
        checkpoint: Path | None,
    ) -> list[Trained]:
        """The results and weights of configurations of one padded shape, trained in one fit."""
        settings = [self._settings(params) for params in configurations]
        samples, members = len(self.task.load().train[0]), []
        with self._seeded(0):
            for own, seed in zip(settings, seeds, strict=True):
                torch.manual_seed(seed)
                members.append(fit.member(self.task, own, samples))
        every = self._every(None if all(report is None for report in reports) else True)
        saves = None
        if checkpoint is not None:
            parts = [
                self._owner(*each, every) for each in zip(settings, seeds, (one.net for one in members), strict=True)
            ]
            owner = {name: [part[name] for part in parts] for name in parts[0]}
            saves = StackCheckpoints(checkpoint, self.checkpoint_every, owner)
        with _quiet(), self._seeded(0):
            courses, weights, seconds, found = fit.train(
                self.task,
                members,
                reports,
                lambda callbacks: self._trainer(every, callbacks),
                every,
                self.machine.precision,
                test,
                saves,
            )
        results = []
        for one, course, its in zip(members, courses, weights, strict=True):
            result = _blank({"parameters": one.form.parameters, "flops": one.form.flops}, test) | found
            result.update(status=course.status, message=course.message, epochs=course.epochs)
            result["seconds"] = seconds / len(members)
            if course.status != "diverged":
                result["objective"] = course.validation
            if test and course.status == "done":
                result["test"] = course.test
            result["cost"] = float(result[self.cost])
            results.append((result, {name: value.cpu() for name, value in its.items()}))
        return results

    @contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Start torch's random numbers at the seed, and set the threads of the machine."""
        if torch.get_num_threads() != self.machine.threads:
            torch.set_num_threads(self.machine.threads)
        # without the list a CPU trial would wake every GPU to save its random state
        gpus = [torch.cuda.current_device()] if self.machine.accelerator == "gpu" else []
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(seed)
            yield

    def _fit(
        self,
        settings: Mapping[str, Any],
        seed: int,
        loss: module.Loss,
        result: dict[str, Any],
        report: Report | None,
        checkpoint: Path | None,
        ranks: Ranks,
    ) -> nn.Module:
        split = self.task.load()
        net = self.task.network(settings)
        nets.initialise(net, settings["initialiser"])
        shuffles = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        if ranks.size > 1:
            norm_whole_batches(net)
            if ranks.rank > 0:  # the ranks are alike in all but dropout
                torch.manual_seed(int(torch.randint(2**62, ())) + ranks.rank)
        training = module.Training(net, settings, loss, self.task.metric, ranks)
        reports = None if report is None else Reports(report, self.epochs, ranks)
        every = self._every(reports)
        callbacks: list[pl.Callback] = [] if reports is None else [reports]
        before, start_from = 0.0, None
        if checkpoint is not None:
            owner = self._owner(settings, seed, net, every)
            saves = Checkpoints(checkpoint, self.checkpoint_every, owner, shuffles, reports, ranks)
            found = saves.look()
            result.update(found)
            before = saves.seconds
            start_from = checkpoint if "resumed_at" in found else None
            callbacks.append(saves)
        trainer = self._trainer(every, callbacks, ranks)
        device = trainer.strategy.root_device
        train, validation = to_device(split.train, device), to_device(split.validation, device)
        batches = Batches(*train, settings["batch_size"], shuffles)
        start = time.perf_counter()
        try:
            trainer.fit(training, batches, Ordered(*validation), ckpt_path=start_from)
            stopped = reports is not None and reports.stopped and trainer.current_epoch < self.epochs
            if not stopped and self.epochs % every:  # no check was due after the last epoch
                trainer.validate(training, Ordered(*validation), verbose=False)
        finally:
            result["seconds"] = before + time.perf_counter() - start
            result["epochs"] = training.steps // batches.count
        # Only the last validation decides: an earlier one must not end a training that would have ended well.
        if not math.isfinite(training.validation):
            raise module.Diverged(f"the validation metric was {training.validation} after step {training.steps}")
        if stopped:
            result.update(objective=training.validation, status="pruned")
            return net
        if "test" in result:
            trainer.test(training, Ordered(*to_device(split.test, device)), verbose=False)
            result["test"] = training.test_metric
        result.update(objective=training.validation, status="done")
        return net

    def _every(self, reports: Any) -> int:
        """Epochs from one validation to the next; without reports only the last validation is needed."""
        return self.epochs if reports is None else math.ceil(self.epochs / self.checks)

    def _owner(self, settings: Mapping[str, Any], seed: int, net: nn.Module, every: int) -> dict[str, Any]:
        """Everything that the numbers of a fit depend on."""
        return {
            "params": repr(sorted(settings.items())),
            "seed": seed,
            "epochs": self.epochs,
            "task": repr(self.task),
            "network": repr(net),
            "checks": every,
            "machine": repr(self.machine),
            "versions": f"torch {torch.__version__}, pytorch-lightning {pl.__version__}",
        }

    def _trainer(self, every: int, callbacks: list[pl.Callback], ranks: Ranks = ALONE) -> pl.Trainer:
        # one process even inside a SLURM job, whose number of tasks Lightning would otherwise take for ranks
        environment: ClusterEnvironment = LightningEnvironment()
        strategy: Strategy | str = "auto"
        if ranks.size > 1:
            environment = TorchElasticEnvironment()
            strategy = DDPStrategy(broadcast_buffers=False)  # they are alike on all ranks
            callbacks = [*callbacks, Mortal()]
        return pl.Trainer(
            accelerator=self.machine.accelerator,
            devices=ranks.size,
            strategy=strategy,
            precision=self.machine.precision,  # type: ignore[arg-type]
            plugins=[environment, WholeFile()],
            max_epochs=self.epochs,
            check_val_every_n_epoch=every,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
