"""Writing files so that they are complete or absent, moving them aside, and checking that they are unchanged."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Files of settings and results are read up to this size (64 MiB); larger ones are not what they seem.
MOST_READ = 1 << 26


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write `content` so that `path` holds either all of it or its former content, even if the process is killed."""
    # The temporary file has a unique name, because a worker that counts as dead may still be writing the same result.
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            # A half of a character, from a file's name, cannot be encoded.
            file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_table(source: Any, **options: Any) -> pd.DataFrame:
    """``pandas.read_csv`` with all digits of a number: before pandas 3.1 it loses the last ones unless it is told."""
    import pandas as pd

    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        options["float_precision"] = "round_trip"
    return pd.read_csv(source, **options)


def read_small(path: Path, most: int = MOST_READ) -> str:
    """The text of a file that is small by its kind: it is read only if it is a file of at most `most` bytes.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no file (a pipe would never end), larger, or no UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # a folder says so itself
        raise ValueError("it is no file")
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes, and at most {most:,} are read")
    return path.read_text(encoding="utf-8")


def read_json(path: Path) -> Any:
    """What the small JSON file `path` holds; an OSError or a ValueError says why it cannot be read."""
    return parsed_json(read_small(path))


def parsed_json(text: str | bytes) -> Any:
    """What a text in JSON holds; a ValueError says what is wrong with it, such as a nesting that is too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parsed_yaml(text: str) -> Any:
    """What a text in YAML holds; a ValueError says what is wrong with it, such as a value that holds itself.

    Raises
    ------
    ValueError
        If it is no YAML, nested too deeply, or refers to itself.
    """
    import yaml

    try:
        content = yaml.safe_load(text)
        json.dumps(content, default=str, skipkeys=True)  # finds a value that holds itself
    except (RecursionError, ValueError) as error:
        named = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError("it holds itself" if "Circular" in named else named) from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error
    return content


def numbered(folder: Path) -> Path:
    """The path of the next numbered folder (``1``, ``2``, ...) in `folder`; it does not exist yet."""
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return folder / str(max(taken, default=0) + 1)


def put_aside(path: Path, root: Path, aside: Path) -> Path:
    """Move the file `path` from the folder `root` to the same place in `aside`; returns its new path."""
    target = aside / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, target)
    return target


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content`, which has JSON types only, with its checksum as the entry ``sha256``.

    >>> seal_holds(sealed({"a": 1})), seal_holds(sealed({"a": 1}) | {"a": 2}), seal_holds({"a": 1})
    (True, False, True)
    """
    return {**content, "sha256": _checksum(content)}


def seal_holds(content: Mapping[str, Any]) -> bool:
    """Whether `content` is unchanged since it was sealed; content without a seal counts as unchanged."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return "sha256" not in content or content["sha256"] == _checksum(rest)


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    # A rename is durable once its folder is on disk. Windows cannot open a folder, and does not need this.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def jsonable(value: Any) -> Any:
    """`value` in JSON types: NaN and inf become null, and an object that JSON lacks becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        return jsonable(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if type(value).__repr__ is object.__repr__:  # its text would hold a memory address, which differs in every process
        value = getattr(value, "__qualname__", type(value).__qualname__)
    return str(getattr(value, "__qualname__", value))
