"""The results of a run, in memory or in a run folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hsicfast.errors import InputError, writing
from hsicfast.files import numbered, put_aside, write_atomically
from hsicfast.runs.claims import WRITER, Claims
from hsicfast.runs.folder import FRONT, REPLACED, RESULTS, SETTINGS, STUDY
from hsicfast.runs.history import (
    Chapter,
    bound,
    chapter_of,
    check_kinds,
    choices_of,
    index_name,
    joined,
    next_chapter,
    place_of,
    read_history,
    write_history,
)
from hsicfast.runs.lock import Lock
from hsicfast.runs.results import read_results, result_files, result_path, write_result
from hsicfast.runs.settings import NewerFormat, as_before, as_kept, differences, refusal, study_name
from hsicfast.runs.study import Study
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.trial import Trial
from hsicfast.urls import checked_url


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
        What defines the run. Settings that plan other trials (:data:`~hsicfast.runs.history.FREE`) open a new chapter
        of the folder; of all others it accepts only those that it was started with.
    minimize : bool
        Whether a small objective is good.
    folder : Path, optional
        The run folder, locked until :meth:`close`; without it results stay in memory.
    url : str, optional
        Optuna storage of the study; ``study.db`` in the run folder by default. All processes that open it with the
        same settings share one run: :meth:`claimed` distributes the trials, :meth:`elsewhere` collects their results.
    resume : {None, "force"}
        "force" plans a folder of other settings or another plan anew from trial 0, and moves what does not fit to
        ``replaced/``.
    n_trials : int, optional
        The budget; another one opens a new chapter. None if the plan of a trial does not depend on it.
    alike : mapping, optional
        Settings by the last part of their name, each with values that give the same trials: a folder that was started
        with one of them goes on with another.

    Attributes
    ----------
    trials : dict of int to Trial
        All results, by index.
    history : list of Chapter
    place : int
        Of this run's chapter in the history.
    changed : list of str
        In words, the settings that differ from the folder's, but give the same trials.

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
        n_trials: int | None = None,
        alike: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        check_resume(resume, url)
        url = None if url is None else checked_url(url)  # before a folder is made
        self.folder = folder
        self.forced = resume is not None
        self.trials: dict[int, Trial] = {}
        self._study: Study | None = None
        self._claims: Claims | None = None
        self._writes = False  # one process of all that share the study writes it
        self._lock: Lock | None = None
        self._aside: Path | None = None
        kept = as_kept(settings)
        self._objectives = Objectives.of_settings(kept)
        self.changed: list[str] = []
        self._alike = alike or {}
        self.history, self.place, self._n_trials = [Chapter(kept, n_trials)], 0, n_trials
        if folder is None:
            if url is not None:
                raise InputError("store= indexes the results of a run folder, but folder=None; pass folder= as well")
            return
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(folder)
        try:
            check_writable(folder / RESULTS)
            before = self._known_history(folder)
            self.trials = read_results(folder)
            if url is not None:
                name = study_name(before[0].settings if before else kept)
                Study(space, minimize, name, folder, url, self._objectives).close()  # refuses a URL that does not work
                self._claims = Claims(url, name)
                known = {trial.index for trial in self.elsewhere()}
                for index in self.trials.keys() - known:  # this host was killed before it sent them
                    self.trials[index] = self._accepted(self.trials[index])
            self._open_chapter(folder, before)
            self._open_study(space, minimize, folder, url)
        except BaseException:
            self.close()
            raise

    @property
    def chapter(self) -> Chapter:
        """The chapter of this run."""
        return self.history[self.place]

    def earlier(self) -> list[tuple[Trial, Chapter]]:
        """The trials of earlier chapters that this one takes as given, each with the chapter that planned it."""
        given = sorted(index for index in self.trials if index < self.chapter.first)
        chapters = self.history[: self.place]
        return [
            (self.trials[index], [chapter for chapter in chapters if chapter.first <= index][-1])
            for index in given
            if index not in self.chapter.holes
        ]

    def end_chapter(self) -> None:
        """Note that this run's chapter was carried out to its end, so that the same call finds it again."""
        if self.folder is not None and not self.chapter.ended:
            self.history[self.place] = replace(self.chapter, n_trials=self._n_trials, ended=True)
            write_history(self.folder, self.history)

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

    def _known_history(self, folder: Path) -> list[Chapter]:
        """The chapters of the folder, after a check that this run may go on there; none if it begins anew."""
        if not (folder / SETTINGS).exists():
            return []
        kept = self.chapter.settings
        try:
            history = read_history(folder)
            kept, self.changed = as_before(history[-1].settings, kept, self._alike)
            self.history = [replace(self.chapter, settings=kept)]
            changes = differences(bound(history[-1].settings), bound(kept))
        except NewerFormat:
            raise
        except InputError:
            if not self.forced:
                raise
            history, changes = [], ["unreadable"]
        if changes and not self.forced:
            raise refusal(folder, changes)
        anew = bool(self.forced and (changes or not history[-1].plans(kept, self.chapter.n_trials)))
        if anew and (changes or history[-1].settings != kept):
            self._put_aside(folder, folder / SETTINGS)
            self._put_aside(folder, folder / FRONT)  # a run with a single objective leaves no other in its place
        if self.forced:
            # The study may hold trials that are about to be replaced; it is built again from the files.
            self._put_aside(folder, folder / STUDY)
        if not anew:
            check_kinds(history, kept)
        return [] if anew else history

    def _open_chapter(self, folder: Path, before: list[Chapter]) -> None:
        """Find this run's chapter in the history, or add it."""
        kept, n_trials, history = self.chapter.settings, self.chapter.n_trials, before
        if self._claims is not None:
            for number, chapter in enumerate(before):
                self._claims.open_chapter(number, chapter.text)
            history = self._shared_history()
        place = place_of(history, kept, n_trials)
        while place is None:
            if self._claims is None:
                # A chapter without trials of its own, such as one that was refused, makes room for the next one.
                while history and not any(index >= history[-1].first for index in self.trials):
                    history = history[:-1]
                history = [*history, next_chapter(history, kept, n_trials, (), self.trials)]
            else:
                # Other processes may still train what they have planned: the chapter begins behind it.
                taken = [*self._claims.taken(), *(own.first + (own.n_trials or 0) - 1 for own in history)]
                new = next_chapter(history, kept, n_trials, taken, self.trials)
                self._claims.open_chapter(len(history), new.text)
                history = self._shared_history()
            place = place_of(history, kept, n_trials)
        self.history, self.place = history, place
        if history == before:
            return
        if self._claims is None and len(history) > 1 and before and choices_of(history) != choices_of(before):
            # Optuna lets no study change its choices, so that it is built again from the files.
            self._put_aside(folder, folder / STUDY)
        write_history(folder, history)

    def _shared_history(self) -> list[Chapter]:
        """The chapters that the processes of this run share."""
        return [] if self._claims is None else [chapter_of(json.loads(text)) for text in self._claims.chapters()]

    def _open_study(self, space: SearchSpace, minimize: bool, folder: Path, url: str | None) -> None:
        """Open the study, the index over all results; it gets the trials of earlier chapters that it lacks."""
        name = index_name(self.history, shared=url is not None)
        if len(self.history) > 1:
            space, minimize = joined(self.history)
        self._study = Study(space, minimize, name, folder, url, self._objectives)
        if url is None and not self._study.indices <= set(self.trials):
            # The study holds trials whose files are gone: they run again, and may end otherwise.
            self._study.close()
            self._put_aside(folder, folder / STUDY)
            self._study = Study(space, minimize, name, folder, url, self._objectives)
        if url is None:
            for trial, _ in self.earlier():
                self._study.add(trial)

    def _accepted(self, trial: Trial) -> Trial:
        if self._claims is None or self.folder is None:
            return trial
        counts = self._claims.accept(trial)
        if counts is not trial:
            write_result(self.folder, counts)
        return counts

    def _put_aside(self, folder: Path, path: Path) -> None:
        if not path.exists():
            return
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
