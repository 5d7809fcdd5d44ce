"""The result file of a trial: ``results/000012.json`` in a run folder is the truth about trial 12."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from hsicfast.errors import InputError, first_line, writing
from hsicfast.files import jsonable, read_json, seal_holds, sealed, write_atomically
from hsicfast.runs.folder import CHECKPOINTS, RESULTS
from hsicfast.trials.trial import COLUMNS, DEFAULTS, DONE, LATE, PRUNED, STATUSES, Trial


def result_path(folder: Path, index: int) -> Path:
    """The path of the result of trial `index` in a run folder."""
    return folder / RESULTS / f"{index:06d}.json"


def checkpoint_path(folder: Path, index: int) -> Path:
    """The path where the training of trial `index` may keep its state."""
    return folder / CHECKPOINTS / f"{index:06d}.ckpt"


def write_result(folder: Path, trial: Trial) -> Path:
    """Make the result of `trial` durable in the run folder `folder`; returns its file."""
    path = result_path(folder, trial.index)
    with writing("the run folder", path, "make room"):
        write_atomically(path, json.dumps(sealed(jsonable(asdict(trial))), indent=1, allow_nan=False) + "\n")
    for left in kept_states(folder):
        if first_of(left) == trial.index:
            left.unlink(missing_ok=True)
    return path


def kept_states(folder: Path) -> list[Path]:
    """Every file in which a training of the run folder keeps its state."""
    return list((folder / CHECKPOINTS).glob("*.ckpt"))


def first_of(checkpoint: Path) -> int | None:
    """The trial that a checkpoint belongs to, the first one of a group; None if it has another name.

    Once this trial has a result no training needs the checkpoint: its group will not train again as it was.

    >>> first_of(Path("000012.ckpt")), first_of(Path("000012.0a3f.ckpt")), first_of(Path("mine.ckpt"))
    (12, 12, None)
    """
    index = checkpoint.name.partition(".")[0]
    return int(index) if index.isdecimal() else None


def read_result(path: Path) -> Trial:
    """The trial in a result file; missing numbers are NaN.

    Raises
    ------
    InputError
        If the file is not one whole result.
    """
    try:
        content = read_json(path)
        if not seal_holds(content):  # results written before 0.1 have no seal
            raise ValueError("its checksum is another one")
        trial = trial_of(content)
        whole = result_path(Path(), trial.index).name == path.name and isinstance(trial.params, dict)
        whole &= trial.status in STATUSES
        whole &= trial.status == PRUNED or math.isfinite(trial.objective) == (trial.status == DONE)
        if not whole:
            raise ValueError("it is not the trial it is named after")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"a result file must hold one whole trial, but {path} does not ({first_line(error)}); "
            f"`{rebuild_command(path.parent.parent)}` sets it aside, and its trial runs again"
        ) from error
    return trial


def trial_of(content: Mapping[str, Any]) -> Trial:
    """The trial that ``jsonable(asdict(trial))`` describes; missing numbers are NaN."""
    known = {name: DEFAULTS[name] for name in LATE} | dict(content)  # results written before 0.1 lack these fields
    for name in (name for name, dtype in COLUMNS.items() if dtype is np.float64):
        known[name] = math.nan if known[name] is None else float(known[name])
    known["metrics"] = {key: _metric(value) for key, value in known["metrics"].items()}
    known["curve"] = tuple((step, math.nan if value is None else float(value)) for step, value in known["curve"])
    return Trial(**{field.name: known[field.name] for field in fields(Trial)})


def _metric(value: Any) -> Any:
    """A metric as a table can hold it: a text, or a number within the range of a float."""
    if value is None:
        return math.nan
    if not isinstance(value, str | int | float):
        raise ValueError(f"a metric is {type(value).__name__}")
    if not isinstance(value, str):
        float(value)  # an OverflowError if it is out of range
    return value


def rebuild_command(folder: Path) -> str:
    """The command that sets broken files of a run folder aside and builds its study again."""
    return f"python -m hsicfast.store rebuild {shlex.quote(str(folder))}"


def result_files(folder: Path) -> list[Path]:
    """Every result file in the run folder, in order."""
    # A half-written file of a killed worker has another name.
    return sorted(path for path in (folder / RESULTS).glob("*.json") if path.stem.isdigit())


def read_results(folder: Path) -> dict[int, Trial]:
    """Every trial with a result file in the run folder, by index."""
    return {trial.index: trial for trial in map(read_result, result_files(folder))}
