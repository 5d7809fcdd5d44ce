"""The results of a run, in memory or in a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hsicfast.errors import InputError, writing
from hsicfast.files import numbered, put_aside, write_atomically
from hsicfast.runs.claims import WRITER, Claims
from hsicfast.runs.folder import REPLACED, RESULTS, SETTINGS, STUDY
from hsicfast.runs.lock import Lock
from hsicfast.runs.results import read_results, result_files, result_path, write_result
from hsicfast.runs.settings import (
    NewerFormat,
    as_kept,
    differences,
    read_settings,
    refusal,
    study_name,
    write_settings,
)
from hsicfast.runs.study import Study
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.trial import Trial


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...


# Any planned trial; the store reads its index alone.
Planned = TypeVar("Planned", bound=_Indexed)


class Store:
    """The results of one run, in memory or in a run folder.

    Parameters
    ----------
    space : SearchSpace
        The space of the trials.
    settings : mapping
        What defines the run. A folder accepts only the settings that it was started with.
    minimize : bool
        Whether a small objective is good.
    folder : Path, optional
        The run folder, locked until :meth:`close`; without it results stay in memory.
    url : str, optional
        Optuna storage of the study; ``study.db`` in the run folder by default. All processes that open it with the
        same settings share one run: :meth:`claimed` distributes the trials, :meth:`elsewhere` collects their results.
    resume : {None, "force"}
        "force" goes on in a folder with other settings or another plan, and moves what does not fit to ``replaced/``.

    Raises
    ------
    RunError
        If the folder cannot be written, or another process writes in it.
    InputError
        If the folder belongs to a run with other settings or to a newer version, a result file is broken, or the study
        cannot be opened.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: Mapping[str, Any],
        minimize: bool,
        folder: Path | None = None,
        url: str | None = None,
        resume: str | None = None,
    ) -> None:
        check_resume(resume, url)
        self.folder = folder
        self.forced = resume is not None
        self.trials: dict[int, Trial] = {}
        self._study: Study | None = None
        self._claims: Claims | None = None
        self._writes = False  # one process of all that share the study writes it
        self._lock: Lock | None = None
        self._aside: Path | None = None
        if folder is None:
            if url is not None:
                raise InputError("store= indexes the results of a run folder, but folder=None; pass folder= as well")
            return
        kept = as_kept(settings)
        name = study_name(kept)
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(folder)
        try:
            check_writable(folder / RESULTS)
            self._keep(folder, kept)
            self.trials = read_results(folder)
            self._study = Study(space, minimize, name, folder, url)
            if url is not None:
                self._claims = Claims(url, name)
                known = {trial.index for trial in self.elsewhere()}
                for index in self.trials.keys() - known:  # this host was killed before it sent them
                    self.trials[index] = self._accepted(self.trials[index])
            elif not self._study.indices <= set(self.trials):
                # The study holds trials whose files are gone: they run again, and may end otherwise.
                self._study.close()
                self._put_aside(folder, folder / STUDY)
                self._study = Study(space, minimize, name, folder, url)
        except BaseException:
            self.close()
            raise

    def claimed(self, jobs: Iterable[Planned]) -> Iterator[Planned]:
        """Those of `jobs` that this process trains; each is claimed when it is taken."""
        if self._claims is None:
            yield from jobs
            return
        held = self._claims.held()
        yield from (job for job in jobs if job.index not in held and self._claims.claim(job.index))

    def elsewhere(self, ours: Iterable[int] = ()) -> list[Trial]:
        """The trials that have ended in any process of this run, without those whose indices are `ours`."""
        if self._claims is None or self.folder is None:
            return []
        trials = self._claims.results(ours)
        for trial in trials:
            if self.trials.get(trial.index) != trial:
                write_result(self.folder, trial)
                self.trials[trial.index] = trial
        return trials

    def add(self, trial: Trial) -> Trial:
        """Add a trial that has ended, now or in an earlier run; its result file exists already.

        Returns
        -------
        Trial
            The result that counts: an earlier one of another process if there is one.
        """
        if self._lock is not None:
            self._lock.check()
        trial = self.trials[trial.index] = self._accepted(trial)
        if self._study is None:
            return trial
        if self._claims is None:
            self._study.add(trial)
        elif not self._claims.claim(WRITER):
            self._writes = False
        elif self._writes:
            self._study.add(trial)
        else:  # the process that wrote it before is gone
            self._writes = True
            self._study.refresh()
            for known in self.trials.values():
                self._study.add(known)
        return trial

    def set_aside_all(self) -> str:
        """Set every result aside, so that all trials run again; returns in words where the files are now."""
        if self.folder is None:
            return ""
        paths = result_files(self.folder)
        for path in paths:
            self._put_aside(self.folder, path)
        if self._claims is not None and self._study is not None:
            self._claims.forget(int(path.stem) for path in paths)
            self._study.delete()
        self.trials = {}
        return f"what they left is in {self._aside}"

    def replace(self, index: int) -> None:
        """Set the result of trial `index` aside, because a forced run does not plan this trial as it was."""
        del self.trials[index]
        if self.folder is not None:
            self._put_aside(self.folder, result_path(self.folder, index))

    def close(self) -> None:
        """Close the study, give claims back, and unlock the folder."""
        try:
            if self._claims is not None:
                self._claims.close()
            if self._study is not None:
                self._study.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _keep(self, folder: Path, kept: dict[str, Any]) -> None:
        """Check that the folder has these settings, or write them; a forced run replaces other ones."""
        if (folder / SETTINGS).exists():
            try:
                changes = differences(read_settings(folder), kept)
            except NewerFormat:
                raise
            except InputError:
                if not self.forced:
                    raise
                changes = ["unreadable"]
            if changes and not self.forced:
                raise refusal(folder, changes)
            if changes:
                self._put_aside(folder, folder / SETTINGS)
        if self.forced and (folder / STUDY).exists():
            # The study may hold trials that are about to be replaced; it is built again from the files.
            self._put_aside(folder, folder / STUDY)
        if not (folder / SETTINGS).exists():
            write_settings(folder, kept)

    def _accepted(self, trial: Trial) -> Trial:
        if self._claims is None or self.folder is None:
            return trial
        counts = self._claims.accept(trial)
        if counts is not trial:
            write_result(self.folder, counts)
        return counts

    def _put_aside(self, folder: Path, path: Path) -> None:
        if self._aside is None:
            self._aside = numbered(folder / REPLACED)
        put_aside(path, folder, self._aside)


def check_resume(resume: Any, url: str | None = None) -> None:
    """Raise an InputError unless `resume` is None or "force", and force does not meet a shared study."""
    if resume not in (None, "force"):
        raise InputError(f"resume must be null or force, but got {resume!r}; choose one of them")
    if resume is not None and url is not None:
        raise InputError(
            "resume=force builds the study anew, which only one in the run folder can be, but store= puts it "
            "elsewhere; leave out store=, or pass another hydra.run.dir= instead of resume=force"
        )


def check_writable(folder: Path) -> None:
    """Create `folder` and raise a RunError unless a file can be written in it."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing("the run folder", folder, "pass another hydra.run.dir=")
