"""The chapters of a run folder: which settings planned which of its trials.

The first chapter begins at trial 0. A call with another plan (more trials, another space or strategy) opens the next
one: it takes the trials that are there as given, and its own begin behind them. The same call again goes on in its
chapter, and ends as if it had never been interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError, first_line
from hsicfast.runs.folder import SETTINGS
from hsicfast.runs.settings import read_settings, space_and_direction, study_name, write_settings
from hsicfast.space.hyperparameters import Choice, Float, Hyperparameter, Int
from hsicfast.space.search_space import SearchSpace

# Settings that may change from chapter to chapter. The others say what a result means, or what chance does.
FREE = ("space", "strategy", "stop", "known", "had")


@dataclass(frozen=True)
class Chapter:
    """Trials of a run folder that were planned by the same settings.

    Attributes
    ----------
    settings : dict
        As :func:`hsicfast.runs.settings.as_kept` returns them.
    n_trials : int, optional
        The budget; None if the plan of a trial does not depend on it, or if an older version opened the folder.
    first : int
        Index of its first trial.
    holes : tuple of int
        Indices below `first` that had no result when the chapter was opened, and are not given.
    ended : bool
        Whether it was carried out to its end.
    """

    settings: dict[str, Any]
    n_trials: int | None = None
    first: int = 0
    holes: tuple[int, ...] = ()
    ended: bool = False

    def plans(self, settings: Mapping[str, Any], n_trials: int | None) -> bool:
        """Whether a call with these settings is this chapter's own."""
        return self.settings == settings and self.n_trials in (None, n_trials)

    @property
    def text(self) -> str:
        """The chapter as JSON."""
        return json.dumps(asdict(self))


def read_history(folder: Path) -> list[Chapter]:
    """The chapters of a run folder, the latest last.

    Raises
    ------
    InputError
        As :func:`hsicfast.runs.settings.read_settings` does, and if the chapters are no chapters.
    """
    settings, chapters = read_settings(folder)
    if not chapters:  # a folder in which n_trials does not matter, or that is older than chapters
        return [Chapter(settings)]
    try:
        return [chapter_of({"settings": settings, **chapter}) for chapter in chapters]
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the chapters of a run must be readable, but those in {folder / SETTINGS} are not ({first_line(error)}); "
            "pass resume=force to begin with a first one"
        ) from error


def write_history(folder: Path, history: Sequence[Chapter]) -> None:
    """Write the chapters of a run, and the settings of the latest one, into its folder."""
    *_, latest = history
    said = [asdict(chapter) for chapter in history]
    del said[-1]["settings"]
    plain = len(history) == 1 and latest == Chapter(latest.settings, ended=latest.ended)
    write_settings(folder, latest.settings, () if plain else said)


def chapter_of(content: Mapping[str, Any]) -> Chapter:
    """The chapter that a JSON object describes."""
    return Chapter(**{**content, "holes": tuple(content["holes"])})


def place_of(history: Sequence[Chapter], settings: Mapping[str, Any], n_trials: int | None) -> int | None:
    """The place of the chapter in which a call with these settings goes on; None if it opens a new one.

    It is the latest chapter, or an earlier one that was carried out to its end.
    """
    for place in reversed(range(len(history))):
        if history[place].plans(settings, n_trials) and (history[place].ended or place + 1 == len(history)):
            return place
    return None


def next_chapter(
    history: Sequence[Chapter],
    settings: dict[str, Any],
    n_trials: int | None,
    taken: Iterable[int],
    done: Iterable[int],
) -> Chapter:
    """The chapter that a call with these settings opens.

    Parameters
    ----------
    history : sequence of Chapter
    settings, n_trials
        As in :class:`Chapter`.
    taken : iterable of int
        Indices of trials that have begun.
    done : iterable of int
        Indices of trials with a result.
    """
    if not history:
        return Chapter(settings, n_trials)
    first = max([*taken, *done, *(chapter.first - 1 for chapter in history)], default=-1) + 1
    there = set(done)
    return Chapter(settings, n_trials, first, tuple(index for index in range(first) if index not in there))


def bound(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that every chapter of a folder must share."""
    return {key: value for key, value in settings.items() if key not in FREE}


def check_kinds(history: Sequence[Chapter], settings: Mapping[str, Any]) -> None:
    """Raise an InputError if a hyperparameter has another type than it had in an earlier chapter."""
    for name, now in settings.get("space", {}).items():
        for chapter in history:
            was = chapter.settings.get("space", {}).get(name, now)
            if was.get("type") != now.get("type"):
                raise InputError(
                    f"a hyperparameter keeps its type in a run folder, but {name!r} was a {was['type']} and is a "
                    f"{now['type']} now; give it another name, or pass another hydra.run.dir="
                )


def index_name(history: Sequence[Chapter], shared: bool) -> str:
    """The name of the study over the trials of all chapters.

    If processes share it, it cannot be built anew, and Optuna lets no study change its choices: there, a chapter that
    does begins another one.
    """
    name = study_name(history[0].settings)
    ends = range(1, len(history)) if shared else ()
    changes = sum(choices_of(history[: end + 1]) != choices_of(history[:end]) for end in ends)
    return f"{name}-{changes + 1}" if changes else name


def choices_of(history: Sequence[Chapter]) -> dict[str, Any]:
    """All choices that hyperparameters have in these chapters."""
    space, _ = joined(history)
    return {name: kind.choices for name, kind in space.items() if isinstance(kind, Choice)}


def joined(history: Sequence[Chapter]) -> tuple[SearchSpace, bool]:
    """A space that has every value of the chapters' spaces, for an index over their trials; and the direction."""
    spaces = [space_and_direction(chapter.settings) for chapter in history]
    names = dict.fromkeys(name for space, _ in reversed(spaces) for name in space)
    own = {name: [space[name] for space, _ in spaces if name in space] for name in names}
    latest, minimize = spaces[-1]
    if all(all(kind == kinds[0] for kind in kinds) for kinds in own.values()) and len(latest) == len(names):
        return latest, minimize
    return SearchSpace({name: _wide(kinds) for name, kinds in own.items()}), minimize


def _wide(kinds: Sequence[Hyperparameter]) -> Hyperparameter:
    """One hyperparameter, without condition, that has the values of all `kinds`."""
    latest = kinds[-1]
    if isinstance(latest, Choice):
        choices: list[Any] = []
        for kind in kinds:
            choices += [value for value in kind.values if value not in choices]
        return Choice(choices)
    if isinstance(latest, Float | Int):
        low, high = min(kind.low for kind in kinds), max(kind.high for kind in kinds)  # type: ignore[attr-defined]
        log = latest.log and low > 0
        return Float(low, high, log) if isinstance(latest, Float) else Int(int(low), int(high), log)
    return type(latest)()
