"""A sweep over any Hydra program that returns a number: ``python train.py -m hydra/sweeper=hsicfast ...``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError
from hsicfast.reading.known import known_trials
from hsicfast.runs.folder import AGAIN
from hsicfast.runs.progress import usual_progress
from hsicfast.runs.watcher import Watcher
from hsicfast.search.finals import network_to_keep
from hsicfast.search.ledger import Interrupted
from hsicfast.search.orchestrator import execute
from hsicfast.search.plan import RunPlan
from hsicfast.search.result import Result, values_yaml
from hsicfast.search.run_report import PLAIN, leave_report, print_report
from hsicfast.search.strategies import strategy_of
from hsicfast.sweeps.grammar import SweptSpace, swept_space
from hsicfast.sweeps.launched import Durable, Launched
from hsicfast.trials.trial import Trial

# The exit status of a command that a signal ended, as a shell reports it.
SIGNALLED = 128
MULTIRUN = "multirun.yaml"
# Options of a Hydra program that say which configuration it has, with their short forms.
OPTIONS = {"--config-path": "-cp", "--config-name": "-cn", "--config-dir": "-cd"}
# Knobs of the sweeper that are settings of the run as they are.
PLANNED = ("n_trials", "seed", "goal", "direction", "tolerance", "max_cost", "timeout", "stop", "resume")


@dataclass(frozen=True)
class Program:
    """A Hydra program that is swept.

    Attributes
    ----------
    context : HydraContext
        Loads its configurations.
    config : DictConfig
        That of the sweep.
    launcher : Launcher
        Runs its jobs.
    durable : Durable
        The program as the launcher has it.
    """

    context: HydraContext
    config: DictConfig
    launcher: Launcher
    durable: Durable

    @classmethod
    def of(cls, context: HydraContext, config: DictConfig, function: TaskFunction) -> Program:
        """The program of `function`, with the launcher that its configuration names."""
        durable = Durable(function)
        launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=durable, config=config)
        return cls(context, config, launcher, durable)

    @property
    def folder(self) -> Path:
        """The folder of the sweep."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @property
    def name(self) -> str:
        """The name of the program."""
        return str(self.config.hydra.job.name)


def sweep(program: Program, knobs: Mapping[str, Any], arguments: Sequence[str]) -> Result:
    """Try configurations of a program, and leave in the sweep's folder what a run leaves.

    Parameters
    ----------
    program : Program
    knobs : mapping of str to value
        ``hydra.sweeper``, see ``hydra_plugins/hsicfast_sweeper.py``.
    arguments : sequence of str
        The overrides of the command.

    Returns
    -------
    Result

    Raises
    ------
    InputError, RunError
        As :func:`hsicfast.minimize`, or if the sweep's grammar is broken.
    SystemExit
        If a signal ended the sweep: its status is 128 and the signal's number, and what was trained is reported.
    """
    parser = OverridesParser.create(config_loader=program.context.config_loader)
    swept = swept_space(parser, knobs["params"], arguments, knobs["active_if"])
    minimized = knobs["direction"] == "minimize"
    plan = RunPlan(
        space=swept.space,
        strategy=strategy_of(knobs["strategy"]),
        known=known_trials(knobs["known"], swept.space, minimized, knobs["had"]),
        had=knobs["had"],
        **{name: knobs[name] for name in PLANNED},
    )
    folder, number, problem = program.folder, 0, ""
    fixed = {key: value for key, _, value in (override.partition("=") for override in swept.fixed)}
    # By name: if Hydra is started once more in a process, it loads its plugins again, and the class is another one.
    one_by_one = type(program.launcher).__name__ == BasicLauncher.__name__
    most = knobs["max_batch_size"] or (1 if one_by_one else None)
    executor = Launched(program.launcher, program.durable, most)
    settings = {"program": program.name, **({"overrides": fixed} if fixed else {})}
    shown: AbstractContextManager[Watcher] = usual_progress(None, minimized, plan.max_cost) or nullcontext(Watcher())
    with shown as watcher:
        try:
            result = execute(
                plan, _configured(swept, knobs["seed_key"]), executor,
                folder=folder, store=knobs["store"], settings=settings, watcher=watcher,
            )  # fmt: skip
        except Interrupted as stop:
            number, problem = stop.number, str(stop)
            if stop.result is None:
                Console(stderr=True).print(Text(problem), soft_wrap=True)
                sys.exit(SIGNALLED + number)
            result = stop.result
    OmegaConf.save(program.config, folder / MULTIRUN)
    _report(program, swept, knobs["seed_key"], result)
    if number:
        Console(stderr=True).print(Text(problem), soft_wrap=True)
        sys.exit(SIGNALLED + number)
    return result


def _configured(swept: SweptSpace, seed_key: str | None) -> Callable[..., list[str]]:
    """The function that gives a job's overrides; it takes a seed if the program has a key for one."""
    if seed_key is None:
        return swept.overrides

    def seeded(params: Mapping[str, Any], seed: int) -> list[str]:
        return [*swept.overrides(params), f"{seed_key}={seed}"]

    return seeded


def _report(program: Program, swept: SweptSpace, seed_key: str | None, result: Result) -> None:
    """Write the report of a sweep, and print it."""
    folder, configured = program.folder, _configured(swept, seed_key)
    again, commands = {}, {}
    for name, trial in (("best", result.best), ("economical", result.economical)):
        commands[name] = shlex.join([*_command(), *_of(configured, seed_key, result, trial)])
        again[AGAIN[name]] = f"# {commands[name]}\n{values_yaml(trial.params)}"
    leave_report(folder, result, title=program.name, again=again)
    console = Console()
    print_report(result, console, **(PLAIN | {"title": program.name}), tests={})
    console.print(Text(f"the best again: {commands['best']}"), soft_wrap=True)
    console.print(Text(f"everything is in {folder}"), soft_wrap=True)


def _of(configured: Callable[..., list[str]], seed_key: str | None, result: Result, trial: Trial) -> list[str]:
    """The overrides with which a chosen trial ran, with the seed of its best network."""
    if seed_key is None:
        return configured(trial.params)
    return configured(trial.params, network_to_keep(result.trials, trial).seed)


def _command() -> list[str]:
    """How this program was called, without its overrides."""
    program = sys.argv[0]
    words = ["python", program] if program.endswith(".py") else [os.path.basename(program)]
    rest = iter(sys.argv[1:])
    for word in rest:
        if word in (*OPTIONS, *OPTIONS.values()):
            words += [word, next(rest, "")]
        elif word.partition("=")[0] in OPTIONS:
            words.append(word)
    return words


def knobs_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of the sweeper as plain values; those of ``params`` and ``active_if`` without OmegaConf's types.

    Raises
    ------
    InputError
        If a number is out of its range.
    """
    plain: dict[str, Any] = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in given.items()
    }
    most = plain["max_batch_size"]
    if most is not None and most < 1:
        raise InputError(f"`hydra.sweeper.max_batch_size >= 1` must hold, but got {most}; leave it out for no limit")
    return plain
