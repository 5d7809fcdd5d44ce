"""The report of a run: tables, JSON, figures and one page that opens anywhere, and tables in the terminal."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError, writing
from hsicfast.files import jsonable, write_atomically
from hsicfast.report.figures import draw_all
from hsicfast.report.page import PageContent, check_report_tools, page
from hsicfast.report.style import render
from hsicfast.report.summary import MOST_LINES, Configuration, of_rows, print_answer
from hsicfast.report.tables import print_table
from hsicfast.runs.folder import AGAIN, ANALYSIS, BEST, FIGURES, FRONT, PAGE, SETTINGS, TRIALS
from hsicfast.search.chosen import (
    best_sentence,
    cautions,
    chosen,
    finalist_rows,
    fresh_of,
    front_on_page,
    front_picture,
    front_shown,
    n_trials_text,
    read_test,
    saving_sentence,
    values_of,
)
from hsicfast.search.finals import network_to_keep
from hsicfast.search.result import Chapter, Result, chapters, values_yaml
from hsicfast.text import one_line
from hsicfast.trials.entries import csv_text
from hsicfast.trials.trial import PRUNED, STATUSES, Trial

# What things are called if nobody says: a plain function has no metric on test data.
PLAIN: dict[str, Any] = {
    "title": "Which hyperparameters decide",
    "metric": "objective",
    "test_metric": None,
    "cost": "cost",
}
# Lines of the terminal that are not the answer's: the title, and where the networks and the page lie.
BESIDE = 4
# The terminal shows up to MOST_OF_FRONT trials of the front of several objectives.
MOST_OF_FRONT = 5
# From a warning to whoever called minimize: this module, minimize, and the two that keyword_only_after adds.
CALLER = 5


def write_report(
    folder: Path,
    result: Result,
    *,
    title: str,
    metric: str,
    test_metric: str | None,
    cost: str,
    tests: Mapping[int, float],
    planned: int,
) -> tuple[Path, ...]:
    """Write the trials, the analysis, the best trial, the figures and the page into `folder`.

    A file is replaced as a whole or not at all. The page shows ``settings.json`` if the folder has one.

    Parameters
    ----------
    folder : Path
        Folder of the run; created if it is missing.
    result : Result
        The result of the run.
    title : str
        Heading of the page.
    metric, test_metric, cost : str
        Names, for people, of the objective, the metric on test data (None if there is none) and the cost.
    tests : mapping of int to float
        The test metric of the best and the economical trial, by the index of the trial; empty if it was not read.
    planned : int
        Number of trials that were planned.

    Returns
    -------
    tuple of Path
        The files: ``trials.csv``, ``sensitivity.json``, ``best.json``, ``figures/*.png``, ``report.html``.

    Raises
    ------
    InputError
        If a tool is missing.
    RunError
        If the folder cannot be written.
    """
    check_report_tools()
    metric = metric_of(result, metric)
    names = {"title": title, "metric": metric, "test_metric": test_metric, "cost": cost}
    contents: dict[str, str | bytes] = dict(_tables(result, names, tests, planned))
    figures = draw_all(result.sensitivity, result.trials, result.best, metric=metric, cost=cost)
    if result.objectives is not None:
        figures["front"] = result.plot("front")
    contents |= {f"{FIGURES}/{name}.png": render(figure, "png") for name, figure in figures.items()}
    contents[PAGE] = _page(result, names, tests, planned, folder)
    return tuple(_write(folder / name, content) for name, content in contents.items())


def leave_report(
    folder: Path, result: Result, *, title: str | None = None, again: Mapping[str, str] | None = None
) -> None:
    """Write what a run of a plain function leaves: the files of :func:`write_report`, and the chosen values as YAML.

    If the tools of a page are missing, a warning says so and the tables alone are written.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    result : Result
        The result of the run.
    title : str, optional
        Heading of the page; the name of the folder by default.
    again : mapping of str to str, optional
        The texts of the YAML files by their names, where they are more than values.

    Raises
    ------
    RunError
        If the folder cannot be written.
    """
    metric = metric_of(result, PLAIN["metric"])
    names = {"title": title or folder.resolve().name or PLAIN["title"], "metric": metric, "cost": "cost"}
    chosen_ones = (("best", result.best), ("economical", result.economical))
    for name, text in (again or {AGAIN[name]: values_yaml(trial.params) for name, trial in chosen_ones}).items():
        _write(folder / name, text)
    try:
        check_report_tools()
    except InputError as error:
        for name, content in _tables(result, PLAIN | names, {}, _planned(result)).items():
            _write(folder / name, content)
        warnings.warn(f"{folder} has tables but no page: {error}", stacklevel=CALLER)
        return
    write_report(folder, result, **(PLAIN | names), tests={}, planned=_planned(result))


def write_run_page(path: Path, result: Result, *, title: str, metric: str, cost: str) -> Path:
    """Write the page of a run alone to `path`.

    Parameters
    ----------
    path : Path
    result : Result
        The result of the run.
    title : str
        Heading of the page.
    metric, cost : str
        Names, for people, of the objective and the cost.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If a tool is missing.
    RunError
        If the page cannot be written.
    """
    check_report_tools()
    names = PLAIN | {"title": title, "metric": metric_of(result, metric), "cost": cost}
    return _write(path, _page(result, names, {}, _planned(result), None))


def metric_of(result: Result, metric: str) -> str:
    """What the objective of the tables is called: as people do, or as what stands for several."""
    return metric if result.objectives is None else result.objectives.metric


def _planned(result: Result) -> int:
    return len(result.trials) if result.planned is None else result.planned


def _tables(result: Result, names: Mapping[str, Any], tests: Mapping[int, float], planned: int) -> dict[str, str]:
    """The files of a report that need no tool: the trials, the analysis and the best trial."""
    called = {key: names[key] for key in ("metric", "test_metric", "cost")}
    several = {} if result.objectives is None else {"objectives": dict(result.objectives.directions)}
    front = {} if result.objectives is None else {FRONT: csv_text(result.front.to_frame())}
    return front | {
        TRIALS: csv_text(result.trials.to_frame()),
        ANALYSIS: _json(_analysis(result, planned, chapters(result))),
        BEST: _json(
            called
            | _trial(result, result.best, tests)
            | several
            | {
                "economical": _trial(result, result.economical, tests),
                "differs": {name: {"best": best, "economical": cheap} for name, best, cheap in values_of(result, True)},
                "tolerance": result.tolerance_used,
                "finals": [asdict(final) for final in result.finals],
                "front": [_trial(result, trial, tests) for trial in result.front],
            }
        ),
    }


def _page(
    result: Result,
    names: Mapping[str, Any],
    tests: Mapping[int, float],
    planned: int,
    folder: Path | None,
) -> str:
    """The page of a run; with a `folder`, its settings and the commands that it has."""
    title, metric, test_metric, cost = (names[key] for key in ("title", "metric", "test_metric", "cost"))
    content = PageContent(
        result.sensitivity,
        result.trials,
        result.best,
        title,
        metric,
        cost,
        notes=tuple(cautions(result)),
        economical=result.economical,
        chosen=_configuration(result, metric, test_metric, cost, tests),
    )
    return page(
        "report.html.j2",
        content,
        test_metric=test_metric,
        result=result,
        test=read_test(result.best, tests),
        fresh=fresh_of(result, result.best),
        network=network_to_keep(result.trials, result.best),
        finalists=finalist_rows(result),
        front=front_on_page(result, cost),
        front_picture=front_picture(result),
        commands={} if folder is None else _commands(folder),
        counts=_counts(result, planned),
        chapters=chapters(result),
        settings="" if folder is None else _settings(folder),
    )


def _configuration(
    result: Result, metric: str, test_metric: str | None, cost: str, tests: Mapping[int, float]
) -> Configuration:
    """The best and the economical configuration, as the page and the terminal show them."""
    rows = chosen(result, metric, test_metric, cost, tests)
    said = best_sentence(result, metric, test_metric, cost, tests)
    return of_rows(*rows, result.sensitivity, saving_sentence(result, metric, cost), said)


def print_report(
    result: Result,
    console: Console,
    *,
    title: str,
    metric: str,
    test_metric: str | None,
    cost: str,
    tests: Mapping[int, float],
) -> None:
    """Print the answer in at most 25 lines that fit 80 columns; the page and the files have the rest.

    Of several objectives a few trials of the front come first, as a table.

    Parameters
    ----------
    result : Result
        The result of the run.
    console : Console
        Where to print.
    title : str
        Heading.
    metric, test_metric, cost : str
    tests : mapping of int to float
        As in :func:`write_report`.
    """
    console.print(Text(one_line(title), style="bold"))
    front = front_shown(result, cost)
    if front is not None:
        shown = front.some(MOST_OF_FRONT)
        part = "" if len(shown) == len(front.rows) else f", {len(shown)} of them"
        console.print(Text(front.title + part))
        print_table(console, "", [f"{head}>" for head in front.heads[:-1]], [row[:-1] for row in shown])
    metric = metric_of(result, metric)
    print_answer(
        console,
        result.sensitivity,
        _configuration(result, metric, test_metric, cost, tests),
        metric,
        notes=cautions(result),
        after=[_rounds_text(result)],
        lines=MOST_LINES - BESIDE,
    )


def _rounds_text(result: Result) -> str:
    """How the run went, in one sentence."""
    parts = (f"{part.name}, {n_trials_text(part.last - part.first)}: {part.did}" for part in chapters(result))
    return f"Rounds: {'; '.join(parts)}."


def _counts(result: Result, planned: int) -> dict[str, int]:
    """The number of trials for each status, and of those that were planned but not run."""
    counts = {status: int((result.trials.status == status).sum()) for status in STATUSES}
    if not counts[PRUNED]:  # only a run with a pruner stops trials early
        del counts[PRUNED]
    return {"planned": planned} | counts | {"not run": max(planned - len(result.trials), 0)}


def _analysis(result: Result, planned: int, rounds: Sequence[Chapter]) -> dict[str, Any]:
    """The content of ``sensitivity.json``."""
    sensitivity = result.sensitivity
    return {
        "goal": sensitivity.goal,
        "minimize": sensitivity.question.minimize,
        "threshold": sensitivity.threshold,
        "trials": _counts(result, planned) | {"analysed": len(sensitivity.trials)},
        "interrupted": result.interrupted,
        "indices": [asdict(index) for index in sensitivity.indices],
        "cost_indices": [asdict(index) for index in sensitivity.cost_indices],
        **({} if result.objectives is None else {"objectives": _each_objective(result)}),
        "pairs": [asdict(pair) for pair in sensitivity.pair_indices],
        "rounds": [asdict(chapter) for chapter in rounds],
        "decisions": [asdict(decision) for decision in (result.reduction.decisions if result.reduction else ())],
    }


def _each_objective(result: Result) -> dict[str, Any]:
    """The indices of each of several objectives, and what the goal came to."""
    return {
        name: {
            "minimize": own.question.minimize,
            "threshold": own.threshold,
            "indices": [asdict(index) for index in own.indices],
        }
        for name, own in result.sensitivities.items()
    }


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _trial(result: Result, trial: Trial, tests: Mapping[int, float]) -> dict[str, Any]:
    """A trial as ``best.json`` holds it, with its test metric and the trial whose network was kept."""
    network = network_to_keep(result.trials, trial)
    trained = {"trial": network.index, "seed": network.seed, "objective": network.objective}
    return {"test": tests.get(trial.index)} | asdict(trial) | {"network": trained}


def _commands(folder: Path) -> dict[str, str]:
    """The commands that train the best and the economical configuration again, from the first lines of their files.

    The files of a plain function have values alone, and no command.
    """
    there = {name: folder / name for name in AGAIN.values() if (folder / name).is_file()}
    lines = {name: path.read_text(encoding="utf-8").partition("\n")[0] for name, path in there.items()}
    return {name: line.removeprefix("# ") for name, line in lines.items() if line.startswith("# ")}


def _settings(folder: Path) -> str:
    """The text of ``settings.json``; empty if the folder has none."""
    path = folder / SETTINGS
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _write(path: Path, content: str | bytes) -> Path:
    way_out = "make room or pass another folder, the results of the trials are kept"
    with writing("the folder of a report", path, way_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path
