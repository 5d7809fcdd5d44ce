"""The knobs of the command, and how one is answered that it does not have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hsicfast.errors import InputError, first_line
from hsicfast.text import listed, nearest


def check_knobs(cfg: DictConfig, known: Iterable[str], task: Iterable[str]) -> None:
    """Raise an InputError if a key of the configuration is read by nobody, as it is misspelt.

    Hydra refuses ``n_trails=60``, but takes ``+n_trails=60`` and a line ``n_trails: 60`` of a file. A key that another
    value refers to, as ``evaluate.path: ${data_path}`` to ``data_path``, is somebody's own.

    Parameters
    ----------
    cfg : DictConfig
        The configuration of a run.
    known : iterable of str
        The keys that the command reads.
    task : iterable of str
        The keys of a task that it reads.
    """
    plain = OmegaConf.to_container(cfg, resolve=False)
    values = list(_texts(plain))
    for prefix, node, names in (("", cfg, list(known)), ("task.", cfg.get("task") or {}, list(task))):
        for key in map(str, node):
            if key not in names and not _is_named(key, values):
                raise InputError(
                    f"a knob must be read by something, but nothing reads {prefix}{key}; {_meant(key, prefix, names)}"
                )


def nearest_knob(error: BaseException) -> str:
    """What was probably meant by a knob that Hydra could not override; empty if `error` does not tell.

    Siblings of the key come first, then keys of the same name anywhere.
    """
    cause = error.__cause__
    if not isinstance(cause, OmegaConfBaseException) or cause.parent_node is None or not cause.full_key:
        return ""
    key, parent = str(cause.full_key), cause.parent_node
    prefix, _, last = key.rpartition(".")
    prefix = f"{prefix}." if prefix else ""
    siblings = [str(name) for name in parent if name not in ("hydra", "_target_")] if OmegaConf.is_dict(parent) else []
    meant = nearest(last, siblings, "no")
    if meant == "no":
        found = [path for path in _paths(parent._get_root()) if path.rpartition(".")[2] == last]
        if found:
            return f"did you mean {listed(found, 3)}?"
    return _meant(last, prefix, siblings)


def _meant(key: str, prefix: str, names: Iterable[str]) -> str:
    text = nearest(key, names)
    return text.replace("did you mean ", f"did you mean {prefix}") if prefix else text


def _texts(node: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _is_named(key: str, values: Iterable[str]) -> bool:
    """Whether an interpolation in one of `values` names `key`."""
    return any(re.search(rf"\$\{{[^}}]*\b{re.escape(key)}\b", value) for value in values)


def _paths(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted path of every key below `node`, without Hydra's own."""
    for key in node if OmegaConf.is_dict(node) else ():
        if prefix or key != "hydra":
            yield f"{prefix}{key}"
            if not OmegaConf.is_missing(node, key):
                yield from _paths(node._get_node(key), f"{prefix}{key}.")


def missing_name(place: str, target: str) -> str:
    """What is missing where a ``_target_`` cannot be imported: the file, the name in it, or a package that it needs.

    Parameters
    ----------
    place : str
        Where the configuration has it, such as ``task.evaluate``.
    target : str
        What it says, such as ``mylib.train``.

    Examples
    --------
    >>> missing_name("task.evaluate", "json.laods")
    'task.evaluate names json.laods, but json has no laods; did you mean json.loads?'
    >>> print(missing_name("task.evaluate", "nolib.train"))
    task.evaluate names nolib.train, but Python says No module named 'nolib'; start in the folder where nolib.py lies
    (now ...), install it, or correct _target_ there
    """
    parts = target.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                continue  # the module itself is not there; its package may be
            way_out = 'run pip install "hsicfast[tasks]"' if parts[0] == "lightning_tasks" else f"install {error.name}"
            return f"{place} names {target}, but {name} needs a package: {first_line(error)}; {way_out}"
        except Exception as error:  # noqa: BLE001 -- somebody's module may raise anything as it is imported
            return f"{place} names {target}, but {name} cannot be imported: {first_line(error)}; correct it"
        public = [own for own in dir(module) if not own.startswith("_")]
        meant = nearest(parts[count], public, f"write it there, or correct _target_ of {place}")
        return f"{place} names {target}, but {_file(module)} has no {parts[count]}; {_with(name, meant)}"
    return (
        f"{place} names {target}, but Python says No module named {parts[0]!r}; start in the folder where "
        f"{parts[0]}.py lies (now {Path.cwd()}), install it, or correct _target_ there"
    )


def unknown_argument(target: Any, error: TypeError) -> str:
    """What was probably meant by an argument that a ``_target_`` does not take; empty if that is not the error."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if found is None:
        return ""
    try:
        module, _, name = str(target).rpartition(".")
        names = list(inspect.signature(getattr(import_module(module), name)).parameters)
    except (ImportError, AttributeError, ValueError, TypeError):
        return ""
    return f"; {nearest(found[1], names)}"


def _with(module: str, meant: str) -> str:
    return meant.replace("did you mean ", f"did you mean {module}.")


def _file(module: Any) -> str:
    """The module as a person finds it: its file, if that lies in the working folder."""
    path = getattr(module, "__file__", None)
    if path is not None and Path(path).is_relative_to(Path.cwd()):
        return str(Path(path).relative_to(Path.cwd()))
    return str(module.__name__)
