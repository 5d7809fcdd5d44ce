"""Trials that somebody has already, from anywhere, as evidence for a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError
from hsicfast.files import jsonable
from hsicfast.formats.frames import read_frame
from hsicfast.reading.columns import typed
from hsicfast.reading.outcomes import PREFIXES
from hsicfast.reading.sources import read_trials
from hsicfast.runs.folder import RESULTS, SETTINGS
from hsicfast.runs.history import read_history
from hsicfast.runs.results import read_results
from hsicfast.space.search_space import Bool, Choice, SearchSpace
from hsicfast.trials.entries import as_choice
from hsicfast.trials.points import plain_space, points_of, same_law
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, SEARCH, Trial


@dataclass(frozen=True)
class Known:
    """Trials that somebody has already, for the argument `known` of :func:`hsicfast.minimize`.

    Parameters
    ----------
    source : TrialTable, Result, Reading, run folder, or what :func:`hsicfast.read_trials` reads
    prior : bool
        Whether they are of another task, such as another data set. They are weaker evidence then: the run trains the
        best configuration of each such source among its first trials, and learns nothing else from it.
    objective, cost, study, maximize
        As in :func:`hsicfast.read_trials`; a frame that does not say so is taken to have the run's direction.
    """

    source: Any
    prior: bool = False
    objective: str | None = None
    cost: str | None = None
    study: str | None = None
    maximize: bool | None = None


@dataclass(frozen=True)
class Evidence:
    """Trials from elsewhere, as points of a run's space.

    Attributes
    ----------
    trials : tuple of Trial
        Of the same task; with indices below 0, because they are no trials of the run. A trial of the design was drawn
        from the distributions of the space, as its table or run folder says; frames and studies do not say so.
    priors : tuple of dict
        The best configuration of each source of another task.
    notes : tuple of str
        How many trials of each source are used, and why the others are not.
    """

    trials: tuple[Trial, ...]
    priors: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A text that changes with the evidence."""
        told = [[own.params, own.objective, own.cost, own.status, own.origin] for own in self.trials]
        text = json.dumps(jsonable([told, self.priors]), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def known_trials(
    sources: Any, space: SearchSpace, minimize: bool = True, had: Mapping[str, Any] | None = None
) -> Evidence | None:
    """The trials of `sources` that are points of `space`; None if there are no sources.

    Parameters
    ----------
    sources : Known, what a Known takes, or a list of these
    space : SearchSpace
        Of the run.
    minimize : bool
        Whether small objectives are good in the run.
    had : mapping of str to value, optional
        For a hyperparameter that trials do not name, the value that they had.

    Raises
    ------
    InputError
        If a source cannot be read, has the other direction, or has no trial that is a point of the space.

    Examples
    --------
    >>> import pandas as pd
    >>> from hsicfast import Float
    >>> frame = pd.DataFrame({"rate": [0.1, 0.2, 5.0], "loss": [3.0, 1.0, 2.0]})
    >>> evidence = known_trials(Known(frame, objective="loss"), SearchSpace({"rate": Float(0, 1)}))
    >>> [trial.params for trial in evidence.trials], evidence.notes
    ([{'rate': 0.1}, {'rate': 0.2}], ('2 of 3 known trials are used; 1 has rate outside 0 to 1',))
    """
    if sources is None:
        return None
    listed = list(sources) if isinstance(sources, list | tuple) else [sources]
    if not listed:
        return None
    trials: list[Trial] = []
    priors, notes = [], []
    for source in listed:
        asked = source if isinstance(source, Known) else Known(source)
        points, note = _points(asked, space, minimize, had or {})
        if asked.prior:
            done = [point for point in points if point.status == DONE]
            if done:
                priors.append(TrialTable.from_trials(space, done, minimize).best().params)
            note = note.replace(" known trials", " trials of another task")
        else:
            trials += points
        notes.append(note)
    numbered = (replace(trial, index=place - len(trials)) for place, trial in enumerate(trials))
    return Evidence(tuple(numbered), tuple(priors), tuple(notes))


def _points(asked: Known, space: SearchSpace, minimize: bool, had: Mapping[str, Any]) -> tuple[list[Trial], str]:
    """The trials of one source that are points of `space`, and the sentence about them."""
    found, left_out = _found(asked, space, minimize, had)
    points, why = points_of(space, found, had)
    why = ", ".join(filter(None, [left_out, why]))
    total = len(found) + sum(int(part.split()[0]) for part in left_out.split(", ") if part)
    if not points:
        raise InputError(
            f"known trials must be points of the space, but none of the {total} is: {why}; widen the space, or leave "
            "them out of known="
        )
    return points, f"{len(points)} of {total} known trials are used" + (f"; {why}" if why else "")


def _found(
    asked: Known, space: SearchSpace, minimize: bool, had: Mapping[str, Any]
) -> tuple[list[tuple[Trial, bool]], str]:
    """The trials of a source, each with whether it was drawn from the law of `space`; and what was left out before."""
    source = asked.source
    table = source if isinstance(source, TrialTable) else getattr(source, "trials", None)
    if isinstance(table, TrialTable):
        _check_direction(table.minimize, minimize)
        # A reading does not know how its trials were drawn, and takes them for a design.
        lawful = not hasattr(source, "guess") and same_law(plain_space(table.space), plain_space(space))
        return [(trial, lawful) for trial in table], ""
    if isinstance(source, str | Path) and (Path(source) / RESULTS).is_dir() and (Path(source) / SETTINGS).is_file():
        return _of_folder(Path(source), space, minimize), ""
    return _of_frame(asked, space, minimize, had)


def _of_folder(folder: Path, space: SearchSpace, minimize: bool) -> list[tuple[Trial, bool]]:
    history, now = read_history(folder), plain_space(space)
    _check_direction(history[-1].settings.get("direction") == "minimize", minimize)
    lawful = [same_law(chapter.settings["space"], now) for chapter in history]
    return [
        (trial, lawful[max(place for place, own in enumerate(history) if own.first <= index)])
        for index, trial in read_results(folder).items()
    ]


def _of_frame(
    asked: Known, space: SearchSpace, minimize: bool, had: Mapping[str, Any]
) -> tuple[list[tuple[Trial, bool]], str]:
    found = read_frame(asked.source, asked.study)
    frame = found.frame.reset_index(drop=True)
    own = found.maximized or {}
    objective = asked.objective or next(iter(own), None)
    upside = asked.maximize
    if upside is None:
        upside = next((large for name, large in own.items() if objective in (name, None)), not minimize)
    _check_direction(not upside, minimize)
    columns: dict[str, str | None] = {
        name: next((own for own in map(str, frame) if re.fullmatch(rf"({PREFIXES})?{re.escape(name)}", own)), None)
        for name in {*space, *had}
    }
    for name, column in columns.items():
        if column is None and name in had and name in space:
            frame[name] = [had[name]] * len(frame)
            columns[name] = name
    rows = [
        Trial(row, {name: value for name, value in own.items() if value is not None}, 0.0)
        for row, own in enumerate(_rows(frame, columns, space))
    ]
    points, why = points_of(space, [(trial, True) for trial in rows], had)
    if not points:
        return [], why
    part = frame.iloc[[point.index for point in points]].reset_index(drop=True)
    table = read_trials(part, objective, cost=asked.cost, space=space, maximize=upside).table
    # A frame or study does not say how its trials were drawn.
    return [(replace(trial, origin=SEARCH), False) for trial in table], why


def _rows(frame: Any, columns: Mapping[str, str | None], space: SearchSpace) -> list[dict[str, Any]]:
    """The values of each row, None for gaps."""
    listed: dict[str, Sequence[Any]] = {}
    for name, column in columns.items():
        if column is None:
            continue
        series = frame[column]
        kind = space.get(name)
        values = list((series if isinstance(kind, Choice | Bool) else typed(series)).astype(object))
        gaps = series.isna().tolist()
        if isinstance(kind, Choice | Bool):
            values = [as_choice(kind.values, value) for value in values]
        listed[name] = [None if gap else value for value, gap in zip(values, gaps, strict=True)]
    return [{name: values[row] for name, values in listed.items()} for row in range(len(frame))]


def _check_direction(source: bool, run: bool) -> None:
    if source != run:
        words = {True: "minimized", False: "maximized"}
        raise InputError(
            f"known trials must have the direction of the run, but theirs is {words[source]} and the run's "
            f"{words[run]}; pass direction=, or Known(..., maximize=) if the source says it wrong"
        )
