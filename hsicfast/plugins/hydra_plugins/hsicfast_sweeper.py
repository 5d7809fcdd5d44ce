"""Hydra's door to :mod:`hsicfast.sweeps.sweep`: ``hydra/sweeper=hsicfast`` in any Hydra program.

Hydra imports this module in every program of the environment, so that it imports nothing of hsicfast until it sweeps.
The folder above ``hydra_plugins`` lies on Python's path, and in a wheel ``hydra_plugins`` itself.
"""

# No `from __future__ import annotations`: Hydra runs this module before sys.modules has it, where dataclasses look up
# texts. OmegaConf reads the types of the knobs.
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class HsicfastSweeperConf:
    """The knobs ``hydra.sweeper.*``; those without a comment are as in :func:`hsicfast.minimize`."""

    _target_: str = "hydra_plugins.hsicfast_sweeper.HsicfastSweeper"
    n_trials: int = 100
    strategy: Any = "hsic"  # hsic, two_step, random, or {_target_: hsicfast.TwoStep, optimizer: tpe}
    seed: int = 0
    goal: Any = "auto"
    direction: str = "minimize"
    tolerance: float | None = None
    max_cost: float | None = None
    timeout: float | None = None
    stop: str | None = None
    known: Any = None
    had: dict[str, Any] = field(default_factory=dict)
    resume: str | None = None
    store: str | None = None
    # The most jobs that the launcher gets at once; null is all that the strategy plans at once, and 1 for basic.
    max_batch_size: int | None = None
    # The key of the program that takes the seed of a trial, such as seed; finalists are then trained with fresh ones.
    seed_key: str | None = None
    # What to try, for each key, as on the command line: {lr: "tag(log,interval(1e-5,1e-1))"}. The command line adds to
    # mappings, which `had` and the next one are, too, by +: '+hydra.sweeper.active_if={momentum:{optimizer:sgd}}'.
    params: dict[str, Any] = field(default_factory=dict)
    # When a key exists: {momentum: {optimizer: sgd}}.
    active_if: dict[str, Any] = field(default_factory=dict)


ConfigStore.instance().store(group="hydra/sweeper", name="hsicfast", node=HsicfastSweeperConf, provider="hsicfast")


class HsicfastSweeper(Sweeper):
    """Goal-oriented search and analysis as a Hydra sweeper."""

    def __init__(self, **knobs: Any) -> None:
        self._knobs = knobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See :meth:`Sweeper.setup`."""
        from hsicfast.sweeps.sweep import Program

        self.hydra_context, self.config = hydra_context, config
        self._program = Program.of(hydra_context, config, task_function)
        self.launcher = self._program.launcher

    def sweep(self, arguments: list[str]) -> Any:
        """See :meth:`Sweeper.sweep`; returns a :class:`hsicfast.Result`."""
        from hsicfast.errors import InputError
        from hsicfast.sweeps.sweep import knobs_of, sweep

        try:
            return sweep(self._program, knobs_of(self._knobs), arguments)
        except InputError as error:
            raise CompactHydraException(str(error)) from error
