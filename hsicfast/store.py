"""The results of a run, in memory or in a run folder.

A run folder holds ``settings.json`` (what the run is), ``results/000012.json`` (what came of trial 12, written by
whoever trained it) and ``study.db`` (written by the parent alone, completed from the files whenever it lacks some).
Where many hosts share a study by its URL, each has a run folder of its own, which ends with the results of all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hsicfast.claims import WRITER, Claims
from hsicfast.errors import InputError
from hsicfast.files import write_atomically
from hsicfast.results import RESULTS, SET_ASIDE, plain, read_results, reason, result_paths, write_result
from hsicfast.space import SearchSpace
from hsicfast.study import Study
from hsicfast.trials import Trial
from hsicfast.worker import Job


class Store:
    """The results of one run, in memory or in a run folder.

    Parameters
    ----------
    space : SearchSpace
        Of the trials.
    settings : mapping
        What the run is. A folder keeps to the settings it was started with.
    minimize : bool
        Direction of the objective.
    folder : Path, optional
        The run folder; without it results stay in memory.
    url : str, optional
        Optuna storage of the study; ``study.db`` in the run folder by default. Every process that opens it with the
        same settings has a part in the same run: :meth:`claimed` deals the trials, :meth:`elsewhere` collects them.

    Raises
    ------
    InputError
        A folder that cannot be written, or that belongs to a run with other settings; a broken result file; a
        study that cannot be opened.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: Mapping[str, Any],
        minimize: bool,
        folder: Path | None = None,
        url: str | None = None,
    ) -> None:
        self.folder = folder
        self.trials: dict[int, Trial] = {}
        self._study: Study | None = None
        self._claims: Claims | None = None
        self._writes = False  # of many processes one writes the study
        if folder is None:
            if url is not None:
                raise InputError("store= indexes the results of a run folder, but folder=None; pass folder= as well")
            return
        check_writable(folder / RESULTS)
        known = json.loads(json.dumps(plain(settings)))
        _keep_settings(folder / "settings.json", known)
        self.trials = read_results(folder)
        name = "hsicfast-" + hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
        self._study = Study(space, minimize, name, folder, url)
        if url is not None:
            self._claims = Claims(url, name)
            told = {trial.index for trial in self.elsewhere()}
            for index in self.trials.keys() - told:  # a host that was killed before it told them
                self.trials[index] = self._accepted(self.trials[index])

    def claimed(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Those of `jobs` that are for this process to train, each claimed as it is asked for."""
        if self._claims is None:
            yield from jobs
            return
        held = self._claims.held()
        yield from (job for job in jobs if job.index not in held and self._claims.claim(job.index))

    def elsewhere(self, ours: Iterable[int] = ()) -> list[Trial]:
        """The trials that have ended in any process with a part in this run, but for those of the indices `ours`."""
        if self._claims is None or self.folder is None:
            return []
        trials = self._claims.results(ours)
        for trial in trials:
            if self.trials.get(trial.index) != trial:
                write_result(self.folder, trial)
                self.trials[trial.index] = trial
        return trials

    def add(self, trial: Trial) -> Trial:
        """Take up a trial that has ended, now or in an earlier run; its result file lies there already.

        Returns
        -------
        Trial
            What counts: where another process has told its result before, that one.
        """
        trial = self.trials[trial.index] = self._accepted(trial)
        if self._study is None:
            return trial
        if self._claims is None:
            self._study.add(trial)
        elif not self._claims.claim(WRITER):
            self._writes = False
        elif self._writes:
            self._study.add(trial)
        else:  # whoever wrote it before is gone
            self._writes = True
            self._study.refresh()
            for known in self.trials.values():
                self._study.add(known)
        return trial

    def set_aside_all(self) -> str:
        """Take back every result, so that all trials run again; returns where they lie now, in words."""
        if self.folder is None:
            return ""
        aside = self.folder / SET_ASIDE
        aside.mkdir(exist_ok=True)
        for path in result_paths(self.folder):
            os.replace(path, aside / path.name)
        if self._claims is not None:
            self._claims.forget(self.trials)
        if self._study is not None:
            self._study.delete()
        self.trials = {}
        return f"what they left is in {aside}"

    def close(self) -> None:
        """Let go of the study, and of what was claimed."""
        if self._claims is not None:
            self._claims.close()
        if self._study is not None:
            self._study.close()

    def _accepted(self, trial: Trial) -> Trial:
        if self._claims is None or self.folder is None:
            return trial
        counts = self._claims.accept(trial)
        if counts is not trial:
            write_result(self.folder, counts)
        return counts


def check_writable(folder: Path) -> None:
    """Create `folder` and raise an InputError unless a file can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise InputError(
            f"the run folder must be writable, but {folder} gave: {reason(error)}; pass another hydra.run.dir="
        ) from error


def _keep_settings(path: Path, settings: Mapping[str, Any]) -> None:
    if not path.exists():
        write_atomically(path, json.dumps(settings, indent=1) + "\n")
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        before, now = _flat(kept), _flat(settings)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the settings of a run must be readable, but {path} is not ({reason(error)}); delete it if you are sure "
            "that this is the run, for every stored trial is checked as well"
        ) from error
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name, "absent"), now.get(name, "absent")
        if old != new:
            raise InputError(
                f"a run folder keeps the settings it was started with, but {name} was {old} and is {new} now in "
                f"{path.parent}; set it back, or pass another hydra.run.dir="
            )


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(settings, dict) and settings:
        flat: dict[str, Any] = {}
        for key, value in settings.items():
            flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
        return flat
    return {prefix: json.dumps(settings)}
