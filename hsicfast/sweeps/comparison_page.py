"""What a comparison leaves: a table, and a page with the best so far after each trial, which needs no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from hsicfast.errors import writing
from hsicfast.files import write_atomically
from hsicfast.report.page import templates
from hsicfast.report.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, render, sheet, shorten, styled
from hsicfast.report.style import legend as add_legend
from hsicfast.runs.folder import FRONT, PAGE
from hsicfast.sweeps.comparison import HEADS, EndedRun, Kind, kinds_of, print_kinds, read_runs, row_of
from hsicfast.text import number
from hsicfast.trials.entries import csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSV, COMPARISON = "comparison.csv", "comparison.html"

# Colours and dashes of the kinds in turn: they tell apart on a grey print, too.
LINES = [(BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (ORANGE, ":"), (PURPLE, "-"), (SKY, "--")]
# A logarithmic axis shows best objectives that spread by more than this factor.
SPREAD = 20


def leave_comparison(folder: Path, console: Console) -> None:
    """Compare the runs in the folder of a multirun, if they are several: on the terminal, as CSV and as a page.

    Parameters
    ----------
    folder : Path
    console : Console
        Where to print.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    runs, fronts = read_runs(folder), list(folder.glob(f"*/{FRONT}"))
    if fronts:
        console.print(Text(f"runs with several objectives are not compared: {len(fronts)} left a {FRONT}"))
    if len(runs) < 2:
        return
    kinds = kinds_of(runs)
    print_kinds(console, kinds)
    for name, content in ((CSV, _csv(folder, runs)), (COMPARISON, comparison_page(folder, kinds))):
        with writing("the folder of a multirun", folder / name, "make room, the runs themselves are kept"):
            write_atomically(folder / name, content)
    console.print(Text(f"the comparison is {folder / COMPARISON}"), soft_wrap=True)


def comparison_page(folder: Path, kinds: Sequence[Kind]) -> str:
    """The page as HTML.

    Parameters
    ----------
    folder : Path
        That of the multirun, relative to which the page links the reports.
    kinds : sequence of Kind

    Returns
    -------
    str
    """
    tasks = [
        {
            "name": task,
            "sentence": sentence(own),
            "rows": [row_of(kind) for kind in own],
            "runs": [(kind.name, run, f"{run.folder.relative_to(folder)}/{PAGE}") for kind in own for run in kind.runs],
            "metric": own[0].runs[0].metric,
            "picture": base64.b64encode(render(draw_curves(own), "svg")).decode(),
        }
        for task, own in _by_task(kinds)
    ]
    heads = [head.rstrip(">") for head in HEADS]
    return templates().get_template("comparison.html.j2").render(title=folder.name, heads=heads, tasks=tasks)


def sentence(kinds: Sequence[Kind]) -> str:
    """Who won most, in a sentence.

    `kinds` are those of one task.
    """
    if len(kinds) == 1:
        runs = len(kinds[0].runs)
        return f"{runs} runs of one kind: they differ in the seed alone, so that the quartiles are its scatter."
    ahead = max(kinds, key=lambda kind: kind.wins / kind.pairs if kind.pairs else 0.0)
    if not ahead.pairs:
        return "No two kinds ran with the same seed, so that no pair can be compared."
    seeds = len({run.seed for run in ahead.runs})
    few = "" if seeds >= 5 else f" With {seeds} seed{'s' * (seeds > 1)} this may well be chance."
    return f"{ahead.name} has the better best trial in {number(ahead.wins)} of {ahead.pairs} pairs of equal seed.{few}"


@styled
def draw_curves(kinds: Sequence[Kind]) -> Figure:
    """The best so far after each trial: the median over the runs of each kind, in a band from quartile to quartile."""
    figure = sheet(7.2, 4.2)
    axes = figure.subplots()
    shown: list[Any] = []
    for place, kind in enumerate(kinds):
        colour, dash = LINES[place % len(LINES)]
        low, middle, high = kind.curves()
        steps = range(1, len(middle) + 1)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0, step="post")
        axes.step(steps, middle, where="post", color=colour, ls=dash, lw=1.8, label=shorten(kind.name, 40))
        shown += [value for value in middle if value == value]
    first = kinds[0].runs[0]
    axes.set_xlabel("trials")
    axes.set_ylabel(f"best {shorten(first.metric)} so far")
    if shown and min(shown) > 0 and max(shown) > SPREAD * min(shown):
        axes.set_yscale("log")
    add_legend(figure)
    return figure


def _by_task(kinds: Sequence[Kind]) -> list[tuple[str, list[Kind]]]:
    return [
        (task, [kind for kind in kinds if kind.task == task]) for task in dict.fromkeys(kind.task for kind in kinds)
    ]


def _csv(folder: Path, runs: Sequence[EndedRun]) -> str:
    rows = [
        {
            "folder": str(run.folder.relative_to(folder)),
            "task": run.task,
            "what": run.kind,
            "seed": run.seed,
            "best": run.best,
            "cost": run.cost,
            "economical": run.economical,
            "economical_cost": run.economical_cost,
            "trials": len(run.so_far),
        }
        for run in runs
    ]
    return csv_text(pd.DataFrame(rows))
