"""Reads a search space from YAML and JSON, and writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from hsicfast.errors import InputError, first_line
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int, SearchSpace

TYPES = {"Float": Float, "Int": Int, "Choice": Choice, "Bool": Bool}


def write_space(space: SearchSpace, path: str | Path, reasons: Mapping[str, str]) -> None:
    """Write the space as YAML that :func:`read_space` reads, each line with its reason as a comment."""
    import yaml

    lines = ["# Guessed from the trials; correct what is wrong and pass this file back with --space."]
    for name, hyperparameter in space.items():
        given = {
            key: value for key, value in to_plain(hyperparameter).items() if value is not None and value is not False
        }
        entry = {name: _as_yaml(given)}
        lines += [f"# {reasons[name]}", yaml.safe_dump(entry, sort_keys=False, allow_unicode=True).rstrip()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_space(path: str | Path) -> SearchSpace:
    """The space in a YAML file: ``name: {type: Float, low: 0.1, high: 1, log: true, active_if: {other: [value]}}``.

    Raises
    ------
    InputError
        If the file is missing or no YAML, or has an unknown type or field, or breaks a rule of the hyperparameter.
    """
    import yaml

    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"a space is read from a YAML file, but {path} gave: {first_line(error)}; correct it"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(
            f"a space is read from a YAML file, but {path} is none ({first_line(error)}); correct it"
        ) from error
    if not isinstance(entries, Mapping):
        raise InputError(
            f"a space maps names to hyperparameters, but {path} holds {type(entries).__name__}; correct it"
        )
    return SearchSpace({str(name): _from_yaml(str(name), entry) for name, entry in entries.items()})


def _from_yaml(name: str, entry: Any) -> Hyperparameter:
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if kind not in TYPES:
        raise InputError(
            f"a hyperparameter's type must be one of {sorted(TYPES)}, but {name!r} has {kind!r}; correct it"
        )
    try:
        hyperparameter: Hyperparameter = TYPES[kind](**{key: value for key, value in entry.items() if key != "type"})
    except TypeError as error:
        reason = str(error).split("() ")[-1].replace("__init__", kind)
        raise InputError(f"a {kind} has the fields of hsicfast.{kind}, but {name!r} {reason}; correct it") from error
    return hyperparameter


def python_value(value: Any) -> Any:
    """A NumPy value as Python's own type; other values as they are."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _as_yaml(value: Any) -> Any:
    """Tuples become lists and NumPy's numbers Python's: YAML knows no others."""
    if isinstance(value, Mapping):
        return {key: _as_yaml(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_as_yaml(entry) for entry in value]
    return python_value(value)


def to_plain(hyperparameter: Hyperparameter) -> dict[str, Any]:
    """The type and the fields of a hyperparameter, as :func:`from_plain` reads them once JSON holds them.

    >>> to_plain(Int(1, 8))["type"], from_plain(to_plain(Int(1, 8)))
    ('Int', Int(low=1, high=8, log=False, step=1, active_if=None, law=None))
    """
    return {
        "type": type(hyperparameter).__name__,
        **{field.name: getattr(hyperparameter, field.name) for field in fields(hyperparameter)},
    }


def from_plain(content: dict[str, Any]) -> Hyperparameter:
    """The hyperparameter whose type and fields a JSON object holds; its ``type`` is taken out of `content`."""
    kind = TYPES[content.pop("type")]
    if isinstance(content.get("law"), str):  # the name of a scipy distribution, which cannot be rebuilt from it
        del content["law"]
    return kind(**content)
