"""``settings.json`` in a run folder: its format, how the settings of two runs differ, and the space they describe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError, first_line, writing
from hsicfast.files import jsonable, read_json, write_atomically
from hsicfast.runs.folder import SETTINGS
from hsicfast.space.formats import from_plain
from hsicfast.space.search_space import SearchSpace

# The format of run folders that this version writes; folders without a format number count as format 1.
FORMAT = 1
# The key of the chapters, beside the settings of the latest one.
CHAPTERS = "chapters"
# A sentence names up to MOST_DIFFERENCES of the settings that differ.
MOST_DIFFERENCES = 3


class NewerFormat(InputError):
    """A newer hsicfast wrote the run folder."""


def as_kept(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` as :func:`read_settings` returns them.

    Raises
    ------
    InputError
        If they hold the key ``format`` or ``chapters``.
    """
    for own in ("format", CHAPTERS):
        if own in settings:
            raise InputError(
                f"settings= may not say {own!r}, which is the run folder's own, but it does; call it something else"
            )
    return dict(json.loads(json.dumps(jsonable(settings))))


def write_settings(folder: Path, kept: Mapping[str, Any], chapters: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write the settings of a run into its folder, and what :mod:`hsicfast.runs.history` says of its chapters."""
    path = folder / SETTINGS
    with writing("the run folder", path, "make room"):
        content = {"format": FORMAT, **kept} | ({CHAPTERS: list(chapters)} if chapters else {})
        write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_settings(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings in a run folder, without its format; and its chapters, none if nothing is said of them.

    Raises
    ------
    NewerFormat
        If a newer version wrote the folder.
    InputError
        If the file is not whole.
    """
    path = folder / SETTINGS
    try:
        content = read_json(path)
        known = content.pop("format", 1)
        if not isinstance(known, int) or isinstance(known, bool) or known < 1:
            raise ValueError(f"its format is {known!r}")
        chapters = [dict(chapter) for chapter in content.pop(CHAPTERS, ())]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"the settings of a run must be readable, but {path} is not ({first_line(error)}); pass resume=force if "
            "you are sure that this is the run, for every stored trial is checked as well"
        ) from error
    if known > FORMAT:
        raise NewerFormat(
            f"a run folder must be of format {FORMAT} or older, but {folder} is of format {known}; upgrade hsicfast, "
            "or pass another hydra.run.dir="
        )
    return dict(content), chapters


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One text for each name whose value differs, with both values."""
    old, new = _flat(before), _flat(now)
    names = [*old, *(name for name in new if name not in old)]
    pairs = [(name, old.get(name, "absent"), new.get(name, "absent")) for name in names]
    return [f"{name} was {was} and is {is_now} now" for name, was, is_now in pairs if was != is_now]


def as_before(
    before: Mapping[str, Any], now: Mapping[str, Any], alike: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The settings `now`, with the value of `before` where both values give the same trials; and what that changed.

    Parameters
    ----------
    before, now : mapping
        Settings as :func:`as_kept` returns them.
    alike : mapping
        For the last part of a name, the values that give the same trials, whichever of them is set.

    Examples
    --------
    >>> as_before({"task": {"how": "slow", "n": 1}}, {"task": {"how": "fast", "n": 2}}, {"how": ("slow", "fast")})
    ({'task': {'how': 'slow', 'n': 2}}, ['task.how was "slow" and is "fast" now'])
    """
    settled: dict[str, Any] = {}
    changes: list[str] = []
    for name, value in now.items():
        was = before.get(name, value)
        if isinstance(value, Mapping) and isinstance(was, Mapping):
            settled[name], inner = as_before(was, value, alike)
            changes += [f"{name}.{change}" for change in inner]
        elif was != value and was in alike.get(name, ()) and value in alike[name]:
            settled[name] = was
            changes += differences({name: was}, {name: value})
        else:
            settled[name] = value
    return settled, changes


def refusal(folder: Path, changes: list[str]) -> InputError:
    """The error for a folder that was started with other settings; `changes` are those of :func:`differences`."""
    named, rest = changes[:MOST_DIFFERENCES], len(changes) - MOST_DIFFERENCES
    more = [f"and {rest} more"] if rest > 0 else []
    return InputError(
        f"a run folder keeps the settings it was started with, but {', '.join([*named, *more])} in {folder}; "
        "set back what changed, pass resume=force to plan it anew with what fits, or pass another hydra.run.dir="
    )


def study_name(kept: Mapping[str, Any]) -> str:
    """The name of the study of a run with these settings."""
    return "hsicfast-" + hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def space_and_direction(kept: Mapping[str, Any]) -> tuple[SearchSpace, bool]:
    """The space that settings describe, and whether a small objective is good.

    A choice that is no JSON value comes back as its name.

    Raises
    ------
    InputError
        If they describe no space or no direction.

    Examples
    --------
    >>> space = {"on": {"type": "Bool", "active_if": None, "law": 0.25}}
    >>> space_and_direction({"direction": "maximize", "space": space})
    (SearchSpace({'on': Bool(active_if=None, law=0.25)}), False)
    """
    try:
        space = SearchSpace({name: from_plain(dict(content)) for name, content in kept["space"].items()})
        return space, {"minimize": True, "maximize": False}[kept["direction"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"settings must describe the space of their run, but these do not ({type(error).__name__}: {error}); "
            "run the run's command again with resume=force, which writes them anew"
        ) from error


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(settings, Mapping) and settings:
        flat: dict[str, Any] = {}
        for key, value in settings.items():
            flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
        return flat
    return {prefix: json.dumps(settings)}
