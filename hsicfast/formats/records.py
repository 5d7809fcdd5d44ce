"""Reads a table of trials from JSON: records, columns, pandas' split form, lines, and the run history of SMAC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.errors import InputError, first_line
from hsicfast.files import parsed_json
from hsicfast.formats.found import PREFIX, Found, flat, spread, unreadable
from hsicfast.space.formats import read_space
from hsicfast.trials.trial import DIVERGED, DONE, LOST, PRUNED

if TYPE_CHECKING:
    import pandas as pd

    from hsicfast.space.search_space import Hyperparameter

# The columns in which W&B's export script keeps its mappings, which are unfolded elsewhere.
FOLDED = ("config", "summary")
# SMAC's ends of a trial by their names, and by the numbers that version 2 writes.
SMAC_WORDS = {
    **dict.fromkeys(("SUCCESS", "DONOTADVANCE", "1"), DONE),
    **dict.fromkeys(("CRASHED", "TIMEOUT", "MEMORYOUT", "MEMOUT", "ABORT", "2", "3", "4"), DIVERGED),
    "CAPPED": PRUNED,
    **dict.fromkeys(("RUNNING", "STOP", "0"), LOST),
}
SMAC_ROW = ("config_id", "instance", "seed", "budget", "cost", "time", "status", "starttime", "endtime")


def parsed(content: bytes, path: Path) -> Any:
    """What a JSON file holds; a list of the lines of a file that holds a value a line."""
    try:
        return parsed_json(content)
    except ValueError as error:
        whole = first_line(error)
        lines = [line for line in content.splitlines() if line.strip()]
        values = []
        for number, line in enumerate(lines, start=1):
            try:
                values.append(parsed_json(line))
            except ValueError as error:
                if number == 1:  # a value of several lines
                    raise InputError(f"a JSON file must be whole, but {path}: {whole}; correct it") from error
                raise InputError(
                    f"a file of JSON lines must hold a record a line, but line {number} of {path}: "
                    f"{first_line(error)}; correct it"
                ) from error
        return values


def frame_of(content: Any, path: Path) -> pd.DataFrame:
    """The table that the content of a JSON file is, with a row a trial.

    Examples
    --------
    >>> frame_of([{"lr": 0.1, "opt": {"name": "sgd"}}], Path("trials.json"))
        lr opt.name
    0  0.1      sgd
    """
    import pandas as pd

    if isinstance(content, list):
        return pd.DataFrame(_columns(_rows(content, path)))
    if not isinstance(content, Mapping):
        raise _no_table(path)
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        try:
            return pd.DataFrame(content["data"], columns=content["columns"])
        except ValueError as error:
            raise InputError(
                f"a JSON table needs a value for each column in each row, but {path}: {first_line(error)}; correct it"
            ) from error
    values = list(content.values())
    if all(isinstance(value, list) for value in values) and len(set(map(len, values))) == 1 and not _records(values[0]):
        return pd.DataFrame(dict(content))
    if values and all(isinstance(value, Mapping) and value for value in values):
        if all(str(key).isdigit() for value in values for key in value):
            return pd.DataFrame({name: list(column.values()) for name, column in _aligned(content).items()})
        if all(str(key).isdigit() for key in content):
            return pd.DataFrame(_columns(values))
    lists = {key: value for key, value in content.items() if isinstance(value, list) and _records(value)}
    if len(lists) != 1:
        raise _no_table(path, f" with {len(lists)} lists of trials" if lists else "")
    (rows,) = lists.values()
    return pd.DataFrame(_columns(rows))


def _no_table(path: Path, what: str = "") -> InputError:
    return unreadable(path, f"JSON{what} and no table", "write a list with a record a trial")


def _records(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(isinstance(value, Mapping) for value in values)


def _rows(values: list[Any], path: Path) -> list[Mapping[str, Any]]:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, Mapping):
            raise InputError(
                f"a JSON table needs a record a trial, but entry {number} of {path} is {str(value)[:40]!r}; correct it"
            )
    return values


def _aligned(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Columns by their rows' numbers, each with all rows in order."""
    rows = sorted({row for column in columns.values() for row in column}, key=int)
    return {name: {row: column.get(row) for row in rows} for name, column in columns.items()}


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """A column for each dotted name in the rows.

    A null inside a mapping is the value None. So it is beside rows that leave a name out, which is how those say that
    something is missing; if all rows have all names, a null is the only gap that they can have.
    """
    ours = all(all(isinstance(row.get(key), Mapping) for key in FOLDED) for row in rows)
    plain = [dict(row) if ours else flat(row) for row in rows]
    columns = spread("", plain)
    complete = [name for name in columns if all(name in own for own in plain)]
    if len(complete) == len(columns):
        for name in complete:
            if all(name in row for row in rows):
                columns[name] = [own[name] for own in plain]
    return columns


def is_history(content: Any) -> bool:
    """Whether the content of a JSON file is SMAC's run history."""
    return isinstance(content, dict) and isinstance(content.get("configs"), dict) and "data" in content


def read_history(content: Any, path: Path) -> Found:
    """A row for each run in SMAC's history; its cost is the objective, and a small one is good."""
    import pandas as pd

    try:
        runs = [_smac_run(run) for run in content["data"]]
        configs = [content["configs"][str(run["config_id"])] for run in runs]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"a run history of SMAC must list runs and their configurations, but {path} does not "
            f"({type(error).__name__}: {first_line(error)}); write it again"
        ) from error
    settings = spread(PREFIX, configs)
    costs = [run["cost"] if isinstance(run["cost"], list) else [run["cost"]] for run in runs]
    q = max(map(len, costs), default=1)
    goals = ["cost"] if q == 1 else [f"cost_{k}" for k in range(q)]
    columns = settings | {name: [cost[k] if k < len(cost) else None for cost in costs] for k, name in enumerate(goals)}
    columns["status"] = [SMAC_WORDS.get(run["status"], run["status"]) for run in runs]
    beside = {"status": "how a trial ended", "time": "a time"}
    columns["time"] = [run["time"] for run in runs]
    for name, what in (("instance", "an instance"), ("seed", "a seed"), ("budget", "a budget")):
        if len({str(run[name]) for run in runs}) > 1:
            columns[name], beside[name] = [run[name] for run in runs], what
    stated, notes = _smac_space(path.parent / "configspace.json", configs)
    return Found(
        pd.DataFrame(columns),
        dict.fromkeys(goals, False),
        stated={name: stated.get(name.removeprefix(PREFIX)) for name in settings},
        beside=beside,
        notes=notes,
    )


def _smac_run(run: Any) -> dict[str, Any]:
    """A run of the history: a mapping or a list in version 2, a key and a value in version 1."""
    if isinstance(run, list) and len(run) == 2 and isinstance(run[0], list):
        (identity, instance, seed, *budget), (cost, time, status, *_) = run
        if isinstance(status, dict):
            status = str(status.get("__enum__")).split(".")[-1]
        run = [identity, instance, seed, *(budget or [0]), cost, time, status]
    elif isinstance(run, list):
        run = run[:6] + run[6 + (len(run) > 10) :]  # version 2.2 writes the processor's time, too
    given = run if isinstance(run, dict) else dict(zip(SMAC_ROW, run, strict=False))
    return {**{name: given[name] for name in SMAC_ROW[:6]}, "status": str(given["status"])}


def _smac_space(path: Path, configs: list[dict[str, Any]]) -> tuple[dict[str, Hyperparameter], tuple[str, ...]]:
    """The hyperparameters that all runs have, as the ConfigSpace beside the history states them; and a note."""
    if not path.is_file():
        return {}, ()
    try:
        space = read_space(path)
    except InputError as error:
        return {}, (f"The space beside the history was not used, and is guessed from the runs: {error}.",)
    return {name: kind for name, kind in space.items() if all(name in config for config in configs)}, ()
