"""Trials are jobs of a Hydra launcher: one more executor, whatever the launcher is.

The launcher gets the user's program in a :class:`Durable`, so that the process that runs a job makes its result durable
before anybody learns of it. Job n of the sweep is trial n.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import TaskFunction
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, result_path
from hsicfast.training.attempts import Loss, attempted, side_by_side
from hsicfast.training.worker import Evaluate, Job, NoResult, accepts_seed, last_line, never, run_trial
from hsicfast.trials.trial import Trial


@dataclass
class Durable:
    """A Hydra program as a launcher runs it: what a job returns or raises is written before it is handed back.

    Attributes
    ----------
    program : callable
        The user's program, which takes a configuration.
    folder : Path or None
        The sweep's folder.
    jobs : dict of int to Job
        The trials in flight by their index, which is the number of the job.
    """

    program: TaskFunction
    folder: Path | None = None
    jobs: dict[int, Job] = field(default_factory=dict)

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job; returns what the program returns, and raises what it raises."""
        ended: dict[str, Any] = {"value": None, "error": None}

        def evaluate(_: dict[str, Any]) -> Any:
            try:
                ended["value"] = self.program(cfg)
            except Exception as error:
                ended["error"] = error
                raise
            return ended["value"]

        run_trial(evaluate, False, self.jobs[int(HydraConfig.get().job.num)], self.folder)
        if ended["error"] is not None:
            raise ended["error"]
        return ended["value"]


class Launched:
    """Runs trials as jobs of a launcher.

    A launcher answers once all jobs of a batch have ended. A batch that breaks, as one of its workers was killed, runs
    again job by job, so that only a job that breaks the launcher three times is lost.

    Parameters
    ----------
    launcher : Launcher
        Set up with `program`.
    program : Durable
        The user's program.
    most : int, optional
        Jobs in one batch; by default all that a strategy plans at once.
    """

    def __init__(self, launcher: Launcher, program: Durable, most: int | None = None) -> None:
        self._launcher, self._program, self._most = launcher, program, most or sys.maxsize
        self._alone = 0  # jobs that still run one by one

    def run(
        self,
        evaluate: Evaluate,
        jobs: Iterable[Job],
        folder: Path | None = None,
        should_stop: Any = never,
    ) -> Iterator[Trial]:
        """See :meth:`hsicfast.training.executors.Executor.run`; `evaluate` returns the overrides of a job."""
        seeded = accepts_seed(evaluate)
        flying: dict[int, Job] = {}
        self._program.folder = None if folder is None else folder.resolve()

        def launch(job: Job) -> int:
            flying[job.index] = job
            return job.index

        def ended(tickets: list[int]) -> Iterator[tuple[int, Trial | Loss]]:
            # Jobs in a row have numbers in a row, and the launcher numbers them itself.
            first = min(tickets)
            row = [index for place, index in enumerate(sorted(tickets), start=first) if index == place]
            batch = [flying.pop(index) for index in row]
            words = [evaluate(job.params, **({"seed": job.seed} if seeded else {})) for job in batch]
            yield from zip(row, self._outcomes(batch, words, folder), strict=True)

        yield from side_by_side(jobs, self._size, launch, ended, folder, should_stop)

    def close(self) -> None:
        """Nothing to end: a launcher ends its workers itself."""

    def _size(self) -> int:
        return 1 if self._alone else self._most

    def _outcomes(self, jobs: list[Job], words: list[list[str]], folder: Path | None) -> list[Trial | Loss]:
        """What came of a batch."""
        self._program.jobs = {job.index: job for job in jobs}
        self._alone = max(self._alone - len(jobs), 0)
        try:
            returned = self._launcher.launch(words, initial_job_idx=jobs[0].index)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(
                f"a job must be a configuration of the program, but {' '.join(words[0])} is none: "
                f"{str(error).splitlines()[0].rstrip('.')}; "
                "correct the sweep, or say with hydra.sweeper.active_if when a key exists"
            ) from error
        except Exception as error:  # noqa: BLE001 -- a worker of any launcher was killed, or its cluster is gone
            if len(jobs) == 1:
                return [Loss(last_line(error))]
            self._alone = len(jobs)
            return [Loss(last_line(error), counts=False) for _ in jobs]
        return [self._outcome(job, back, folder) for job, back in zip(jobs, returned, strict=True)]

    def _outcome(self, job: Job, back: JobReturn, folder: Path | None) -> Trial | Loss:
        def again(_: dict[str, Any]) -> Any:
            return back.return_value

        if back.status == JobStatus.FAILED:
            try:
                again({})  # Hydra says which job failed
            except NoResult:
                raise
            except Exception:  # noqa: BLE001 -- an error of the training, which its trial has
                pass
        if folder is not None and result_path(folder, job.index).exists():
            return replace(read_result(result_path(folder, job.index)), params=job.params)
        # The job ran on a machine that does not see the folder.
        return attempted(again, False, job, folder)
