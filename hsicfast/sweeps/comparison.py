"""The runs of one multirun, compared: which of what differs ended better, at what cost, and how it got there.

Runs that differ in nothing but seed and task are of one kind. Two kinds are compared where both ran the same task with
the same seed: the better best trial wins, and a tie is half a win for each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from hsicfast.arrays import Floats
from hsicfast.files import parsed_yaml, read_json, read_small, read_table
from hsicfast.report.tables import print_table
from hsicfast.runs.folder import ANALYSIS, BEST, FRONT, SETTINGS, TRIALS
from hsicfast.text import number
from hsicfast.trials.trial import DONE, FINAL

# Where Hydra keeps the overrides of a job, in the job's folder.
OVERRIDES = ".hydra/overrides.yaml"
SEED, TASK = "seed", "task"
# Only values of these letters may be part of a folder's name.
PLAIN_NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, as its folder tells.

    Attributes
    ----------
    folder : Path
    task, kind : str
        What it trained, and what else sets it apart from the others.
    seed : str
        As the command said it.
    metric : str
        Name of the objective.
    minimize : bool
    best, cost, economical, economical_cost : float
        Objective and cost of the best and of the economical trial.
    so_far : ndarray, shape (n,)
        The best objective after each trial; NaN before the first that ended well.
    """

    folder: Path
    task: str
    kind: str
    seed: str
    metric: str
    minimize: bool
    best: float
    cost: float
    economical: float
    economical_cost: float
    so_far: Floats


@dataclass(frozen=True)
class Kind:
    """The runs of one kind on one task, together.

    Attributes
    ----------
    task, name : str
    runs : tuple of EndedRun
    wins, pairs : float, int
        Number of pairs with other kinds that it won, a tie counting half, and number of pairs.
    """

    task: str
    name: str
    runs: tuple[EndedRun, ...]
    wins: float
    pairs: int

    def quartiles(self, attribute: str) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of an attribute of the runs; NaN if no run has it."""
        values = np.array([getattr(run, attribute) for run in self.runs], dtype=float)
        values = values[np.isfinite(values)]
        low, middle, high = np.percentile(values, [25, 50, 75]) if len(values) else [math.nan] * 3
        return float(low), float(middle), float(high)

    def curves(self) -> Floats:
        """The quartiles (3, n) of the best so far after each trial that all runs have."""
        n = min(len(run.so_far) for run in self.runs)
        return np.percentile([run.so_far[:n] for run in self.runs], [25, 50, 75], axis=0)


def folder_name(overrides: Sequence[str], groups: Iterable[str]) -> str | None:
    """The pattern of the folders of a multirun: the number of the job, and what differs; None if nothing does.

    Parameters
    ----------
    overrides : sequence of str
        Those of the command.
    groups : iterable of str
        The configuration groups; the choice of a group stands for itself.

    Examples
    --------
    >>> folder_name(["+task=runge", "strategy=hsic,random", "seed=range(3)", "task.data.root=/a,/b"], ["strategy"])
    '${hydra.job.num}_${hydra.runtime.choices.strategy}_seed${seed}'
    """
    parts = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        if not override.is_sweep_override() or not override.is_discrete_sweep() or key.startswith("hydra"):
            continue
        if key in groups:
            parts.append(f"${{hydra.runtime.choices.{key}}}")
        elif all(PLAIN_NAME.fullmatch(word) for word in override.sweep_string_iterator()):
            last = key.rpartition(".")[2]
            parts.append(f"{last}${{{key}}}")
    return "_".join(["${hydra.job.num}", *parts]) if parts else None


def read_runs(folder: Path) -> list[EndedRun]:
    """The runs in the folder of a multirun that have left a report, in the order of their numbers.

    Those with several objectives are left out: of two fronts neither need be the better one.
    """
    found = [path.parent for path in folder.glob(f"*/{BEST}") if (path.parent / OVERRIDES).is_file()]
    found = [own for own in found if not (own / FRONT).is_file()]
    found.sort(key=lambda own: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", own.name)])
    said = [_said(own) for own in found]
    differ = [
        key for key in dict.fromkeys(key for own in said for key in own) if len({own.get(key) for own in said}) > 1
    ]
    return [_run(own, words, differ) for own, words in zip(found, said, strict=True)]


def kinds_of(runs: Sequence[EndedRun]) -> list[Kind]:
    """The kinds of runs on each task, with their wins over each other."""
    kinds = []
    for task in dict.fromkeys(run.task for run in runs):
        of_task = [run for run in runs if run.task == task]
        for name in dict.fromkeys(run.kind for run in of_task):
            own = tuple(run for run in of_task if run.kind == name)
            rivals = [(a, b) for a in own for b in of_task if b.kind != name and b.seed == a.seed]
            kinds.append(Kind(task, name, own, sum(_win(a, b) for a, b in rivals), len(rivals)))
    return kinds


def print_kinds(console: Console, kinds: Sequence[Kind]) -> None:
    """Print a table for each task: what each kind reached, at what cost, and how often it was better."""
    for task in dict.fromkeys(kind.task for kind in kinds):
        own = [kind for kind in kinds if kind.task == task]
        print_table(
            console, f"{task}: {sum(len(kind.runs) for kind in own)} runs compared", HEADS, list(map(row_of, own))
        )


HEADS = ("what", "runs>", "best>", "quartiles", "its cost>", "economical>", "its cost>", "wins>")


def row_of(kind: Kind) -> tuple[str, ...]:
    """One row of the table: medians over the runs, quartiles of the best objective, pairs won."""
    low, middle, high = kind.quartiles("best")
    cost, cheap, cheap_cost = (kind.quartiles(name)[1] for name in ("cost", "economical", "economical_cost"))
    wins = f"{number(kind.wins)} of {kind.pairs}" if kind.pairs else "–"
    texts = (number(middle), f"{number(low)} to {number(high)}", *map(number, (cost, cheap, cheap_cost)), wins)
    return (kind.name, str(len(kind.runs)), *texts)


def _win(one: EndedRun, other: EndedRun) -> float:
    if one.best == other.best:
        return 0.5
    return float((one.best < other.best) == one.minimize)


def _said(folder: Path) -> dict[str, str]:
    """The overrides of a job as a mapping."""
    words = parsed_yaml(read_small(folder / OVERRIDES)) or []
    parted = (str(word).lstrip("+").partition("=") for word in words)
    return {key: value for key, _, value in parted}


def _run(folder: Path, said: dict[str, str], differ: Sequence[str]) -> EndedRun:
    best, settings, analysis = (read_json(folder / name) for name in (BEST, SETTINGS, ANALYSIS))
    minimize = bool(analysis["minimize"])
    apart = [f"{key}={said.get(key, 'default')}" for key in differ if key not in (SEED, TASK)]
    # A choice such as strategy=random speaks for itself.
    kind = ", ".join(part.partition("=")[2] if "." not in part.partition("=")[0] and not _is_number(part) else part
                     for part in apart)  # fmt: skip
    economical = best["economical"]
    return EndedRun(
        folder=folder,
        task=str(settings.get("task", {}).get("name", said.get(TASK, ""))),
        kind=kind or str(settings["strategy"]["name"]),
        seed=said.get(SEED, "0"),
        metric=best["metric"],
        minimize=minimize,
        best=_number(best["objective"]),
        cost=_number(best["cost"]),
        economical=_number(economical["objective"]),
        economical_cost=_number(economical["cost"]),
        so_far=_so_far(read_table(folder / TRIALS), minimize),
    )


def _is_number(part: str) -> bool:
    return re.fullmatch(r"[-+.\de]+", part.partition("=")[2]) is not None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _so_far(trials: pd.DataFrame, minimize: bool) -> Floats:
    """The best objective after each trial; finals train again what was there, and do not count."""
    trials = trials[trials["origin"] != FINAL].sort_values("index")
    worst = math.inf if minimize else -math.inf
    values = np.where(trials["status"] == DONE, trials["objective"], worst)
    found = (np.minimum if minimize else np.maximum).accumulate(values)
    return np.where(np.isfinite(found), found, np.nan)
