"""Reads a search space from YAML, JSON and the JSON of ConfigSpace, and writes it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from hsicfast.errors import InputError, first_line
from hsicfast.files import parsed_json, parsed_yaml, read_small
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int, SearchSpace

TYPES = {"Float": Float, "Int": Int, "Choice": Choice, "Bool": Bool}
CONFIGSPACE_TYPES = ("uniform_float", "uniform_int", "categorical", "ordinal", "constant", "unparametrized")


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

    A file that ConfigSpace wrote as JSON is read, too; its constants are left out.

    Raises
    ------
    InputError
        If the file is missing or no YAML, or has an unknown type or field, or breaks a rule of the hyperparameter; if a
        ConfigSpace has what a space cannot express, such as a forbidden combination.
    """
    try:
        entries = _parsed(read_small(Path(path)))
    except OSError as error:
        raise InputError(
            f"a space is read from a YAML file, but {path} gave: {first_line(error)}; correct it"
        ) from error
    except ValueError as error:
        raise InputError(
            f"a space is read from a YAML file, but {path} is none ({first_line(error)}); correct it"
        ) from error
    if not isinstance(entries, Mapping):
        raise InputError(
            f"a space maps names to hyperparameters, but {path} holds {type(entries).__name__}; correct it"
        )
    if isinstance(entries.get("hyperparameters"), list):
        return _from_configspace(entries, path)
    try:
        return SearchSpace({str(name): _from_yaml(str(name), entry) for name, entry in entries.items()})
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(
            f"a space must be as the documentation says, but {path} is not ({type(error).__name__}: "
            f"{first_line(error)}); correct it"
        ) from error


def _parsed(text: str) -> Any:
    """What a text in JSON or YAML holds."""
    # JSON first: YAML takes its 1e-05 for a text.
    with contextlib.suppress(ValueError):
        return parsed_json(text)
    return parsed_yaml(text)


def _from_configspace(content: Mapping[str, Any], path: str | Path) -> SearchSpace:
    if content.get("forbiddens"):
        raise InputError(
            f"a space has no forbidden combinations, but {path} has {len(content['forbiddens'])}; take them out of a "
            "copy, or let the space be guessed"
        )
    try:
        entries = {str(entry["name"]): entry for entry in content["hyperparameters"]}
        found = {name: _configspace_kind(name, entry) for name, entry in entries.items()}
        kinds = {name: kind for name, kind in found.items() if kind is not None}
        constants = {name: _constant(entries[name]) for name in entries if name not in kinds}
        conditions: dict[str, dict[str, list[Any]]] = {}
        for entry in content.get("conditions") or ():
            own = _condition(entry, kinds, constants)
            child = str(entry["child"])
            conditions[child] = _both(conditions.get(child, {}), own)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"a ConfigSpace must be as ConfigSpace writes it, but {path} is not ({type(error).__name__}: "
            f"{first_line(error)}); write it again"
        ) from error
    for name, own in conditions.items():
        if name in kinds and own:
            kinds[name] = replace(kinds[name], active_if=own)  # type: ignore[call-arg]
    return SearchSpace(kinds)


def _configspace_kind(name: str, entry: Mapping[str, Any]) -> Hyperparameter | None:
    """The hyperparameter of an entry of a ConfigSpace; None for a constant."""
    kind, log, step = entry["type"], bool(entry.get("log")), entry.get("q")
    if kind == "uniform_float":
        return Float(entry["lower"], entry["upper"], log=log, step=step)
    if kind == "uniform_int":
        return Int(entry["lower"], entry["upper"], log=log, step=step or 1)
    if kind in ("categorical", "ordinal"):
        choices = entry["choices"] if kind == "categorical" else entry["sequence"]
        weights = entry.get("weights") or entry.get("probabilities")
        law = None if weights is None or len(set(weights)) == 1 else list(weights)
        if len(choices) < 2:
            return None
        return Bool() if law is None and all(isinstance(own, bool) for own in choices) else Choice(choices, law=law)
    if kind in ("constant", "unparametrized"):
        return None
    raise InputError(
        f"a hyperparameter of a ConfigSpace must be one of {CONFIGSPACE_TYPES}, but {name!r} is {kind!r}; give its "
        "range in a YAML file"
    )


def _constant(entry: Mapping[str, Any]) -> Any:
    """The only value of an entry of a ConfigSpace."""
    values = entry.get("choices") or entry.get("sequence") or [entry.get("value")]
    return values[0]


def _condition(
    entry: Mapping[str, Any], kinds: Mapping[str, Hyperparameter], constants: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """For each parent, the values under which a condition of a ConfigSpace holds."""
    kind = entry["type"]
    parts = [_condition(part, kinds, constants) for part in entry.get("conditions") or ()]
    if kind == "AND":
        return functools.reduce(_both, parts, {})
    if kind == "OR":
        parents = {parent for part in parts for parent in part}
        if len(parents) != 1 or not all(parts):
            raise _inexpressible(entry, "it holds under one parent or another")
        (parent,) = parents
        return {parent: list(dict.fromkeys(value for part in parts for value in part[parent]))}
    parent = str(entry["parent"])
    known = [constants[parent]] if parent in constants else list(kinds[parent].values)
    wanted = entry["values"] if kind == "IN" else [entry["value"]]
    if kind in ("EQ", "IN"):
        values = list(wanted)
    elif kind == "NEQ" and known:
        values = [value for value in known if value not in wanted]
    elif kind in ("LT", "GT") and known and wanted[0] in known:
        place = known.index(wanted[0])
        values = known[:place] if kind == "LT" else known[place + 1 :]
    else:
        raise _inexpressible(entry, f"it is a {kind} of {parent!r}")
    if parent not in constants:
        return {parent: values}
    if constants[parent] not in values:
        raise _inexpressible(entry, f"the constant {parent!r} never fulfils it")
    return {}


def _inexpressible(entry: Mapping[str, Any], why: str) -> InputError:
    return InputError(
        f"a hyperparameter exists if its parents have some of their values, but the condition of {entry['child']!r} "
        f"says more: {why}; give the space in a YAML file"
    )


def _both(one: Mapping[str, list[Any]], other: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Two conditions that must hold together."""
    common = {name: [value for value in one[name] if value in other[name]] for name in one if name in other}
    return {**one, **other, **common}


def _from_yaml(name: str, entry: Any) -> Hyperparameter:
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str) or kind not in TYPES:
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
