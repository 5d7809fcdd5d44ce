"""The report of a run: tables, JSON, figures and one page that opens anywhere, and tables in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.text import Text

from hsicfast.errors import writing
from hsicfast.files import jsonable, write_atomically
from hsicfast.report.content import p_meaning
from hsicfast.report.figures import draw_all
from hsicfast.report.page import PageContent, check_report_tools, page
from hsicfast.report.style import render
from hsicfast.report.tables import print_indices, print_pairs, print_table
from hsicfast.runs.folder import AGAIN, ANALYSIS, BEST, FIGURES, PAGE, SETTINGS, TRIALS
from hsicfast.search.chosen import (
    best_sentence,
    chosen,
    finalist_rows,
    fresh_of,
    n_trials_text,
    read_test,
    values_of,
)
from hsicfast.search.finals import best_and_economical, network_to_keep
from hsicfast.text import number, one_line
from hsicfast.trials.costs import meets
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, INFEASIBLE, PRUNED, SEARCH, STATUSES, Trial

if TYPE_CHECKING:
    from hsicfast.search.orchestrator import Result


@dataclass(frozen=True)
class Chapter:
    """One round of a run, and the best trial after it.

    Attributes
    ----------
    name : str
    first, last : int
        Its trials are ``first, ..., last - 1``.
    did : str
        How its trials were chosen, and how many of them did not end well.
    objective, cost : float
        Objective and cost of the best trial so far; NaN before there is one.
    cheapest : float
        Cost of the cheapest trial that is as good within the tolerance; NaN if no cost is known.
    learnt : tuple of str
        What was learnt from its trials, and what was decided by it.
    """

    name: str
    first: int
    last: int
    did: str
    objective: float
    cost: float
    cheapest: float
    learnt: tuple[str, ...]


def chapters(result: Result) -> tuple[Chapter, ...]:
    """The rounds of a run in their order, each with the best trial after it.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, minimize
    >>> space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
    >>> result = minimize(lambda params: params["x"] ** 2, space, n_trials=16, strategy="random")
    >>> [(chapter.name, chapter.objective < 0.1) for chapter in chapters(result)]
    [('design', True)]
    """
    rounds = []
    affordable = result.trials.within(result.max_cost)
    for part in result.rounds:
        own = result.trials.select((result.trials.index >= part.first) & (result.trials.index < part.last))
        infeasible = own.failure == INFEASIBLE
        ends = {DIVERGED: (own.status == DIVERGED) & ~infeasible, INFEASIBLE: infeasible, PRUNED: own.status == PRUNED}
        failed = [f"{np.count_nonzero(rows)} {end}" for end, rows in ends.items() if rows.any()]
        did = ", ".join([part.story, *failed])
        so_far = affordable.select(affordable.index < part.last)
        left_at = (np.nan, np.nan, np.nan)
        if (so_far.contenders.status == DONE).any():
            finals = result.finals if (so_far.origin == FINAL).any() else ()
            best, cheap = best_and_economical(so_far, finals, result.tolerance)
            left_at = (best.objective, best.cost, cheap.cost)
        rounds.append(Chapter(part.name, part.first, part.last, did, *left_at, part.learnt))
    return tuple(rounds)


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
    names = {"metric": metric, "test_metric": test_metric, "cost": cost}
    rounds = chapters(result)
    figures = draw_all(result.sensitivity, result.trials, result.best, metric=metric, cost=cost)
    content = PageContent(
        result.sensitivity, figures, result.trials, result.best, title, metric, cost, notes=tuple(cautions(result))
    )
    contents: dict[str, str | bytes] = {
        TRIALS: result.trials.to_frame().to_csv(index=False, lineterminator="\n"),
        ANALYSIS: _json(_analysis(result, planned, rounds)),
        BEST: _json(
            names
            | _trial(result, result.best, tests)
            | {
                "economical": _trial(result, result.economical, tests),
                "differs": {name: {"best": best, "economical": cheap} for name, best, cheap in values_of(result, True)},
                "tolerance": result.tolerance_used,
                "finals": [asdict(final) for final in result.finals],
                "front": [_trial(result, trial, tests) for trial in result.front],
            }
        ),
        **{f"{FIGURES}/{name}.png": render(figure, "png") for name, figure in figures.items()},
        PAGE: page(
            "report.html.j2",
            content,
            test_metric=test_metric,
            result=result,
            test=read_test(result.best, tests),
            fresh=fresh_of(result, result.best),
            network=network_to_keep(result.trials, result.best),
            finalists=finalist_rows(result),
            best_sentence=best_sentence(result, metric, test_metric, cost, tests),
            chosen=chosen(result, metric, test_metric, cost, tests),
            commands=_commands(folder),
            counts=_counts(result, planned),
            chapters=rounds,
            settings=_settings(folder),
        ),
    }
    return tuple(_write(folder / name, content) for name, content in contents.items())


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
    """Print the findings as tables that fit 80 columns: what was chosen, indices, pairs, decisions, rounds, finalists.

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
    best = best_sentence(result, metric, test_metric, cost, tests)
    for sentence in (result.sensitivity.headline, best, *cautions(result)):
        console.print(Text(one_line(sentence)))
    title, heads, rows = chosen(result, metric, test_metric, cost, tests)
    print_table(console, title, heads, rows)
    print_indices(console, "What decides", result.sensitivity.indices)
    console.print(Text(p_meaning(result.sensitivity)))
    print_pairs(console, result.sensitivity.pair_indices)
    rows = list(result.reduction.told) if result.reduction else []
    print_table(console, "What was fixed or narrowed, to what, and why", ("name", "decision", "reason"), rows)
    rows = [
        (c.name, c.last - c.first, number(c.objective), number(c.cheapest), "; ".join([c.did, *c.learnt]))
        for c in chapters(result)
    ]
    heads = ("round", "trials>", "best>", f"{cost}, as good>", "what it did, and what was learnt")
    print_table(console, "How the run went", heads, rows)
    columns = ("trial", "mean>", "sd>", "fresh trials>", "when chosen>", "cost>")
    print_table(console, "The finalists, trained again with fresh seeds", columns, finalist_rows(result))


def cautions(result: Result) -> list[str]:
    """Sentences on what a reader must know before believing the numbers."""
    sentences = []
    if result.interrupted:
        sentences.append(
            "Interrupted: the analysis speaks of the trials finished so far; the same command with the same run "
            "folder goes on."
        )
    never_trained = sum(part.too_dear for part in result.rounds)
    if never_trained:
        sentences.append(
            f"Configurations never trained, since they are known to cost more than {number(result.max_cost)}: "
            f"{never_trained:,}."
        )
    if result.max_cost is not None and result.sensitivity.question.law == "ranks":
        sentences.append(
            "The analysis speaks of the configurations within that cost; hyperparameters that decide the cost go "
            "together there, which may look like an interaction."
        )
    too_dear = int(((result.trials.status == DONE) & ~meets(result.trials.cost, result.max_cost)).sum())
    if too_dear:
        sentences.append(
            f"{n_trials_text(too_dear)} {'is' if too_dear == 1 else 'are'} not known to cost at most "
            f"{number(result.max_cost)}: evidence in the analysis, but not the best."
        )
    searched = int((result.trials.origin == SEARCH).sum())
    if searched:
        sentences.append(
            f"{n_trials_text(searched)} proposed by the optimiser {'is' if searched == 1 else 'are'} left out of the "
            "analysis, which uses the design alone: they were not drawn from the law of the space."
        )
    if (result.trials.status == PRUNED).any():
        sentences.append(_stopped_early(result.trials))
    return sentences


def _stopped_early(trials: TrialTable) -> str:
    """A sentence on the trials that were stopped early: how many they are, and how many training steps that saved."""
    early = trials.select(trials.status == PRUNED)
    whole = max((curve[-1][0] for curve in trials.curve[trials.status == DONE] if curve), default=0)
    left = [whole - curve[-1][0] for curve in early.curve if curve]
    text = (
        f"{n_trials_text(len(early))} of {len(trials)} {'was' if len(early) == 1 else 'were'} stopped early as hopeless"
    )
    if sum(left) > 0:
        text += f", which saved {sum(left):,} of their {whole * len(left):,} steps"
    return f"{text}; no such trial is called the best."


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
        "pairs": [asdict(pair) for pair in sensitivity.pair_indices],
        "rounds": [asdict(chapter) for chapter in rounds],
        "decisions": [asdict(decision) for decision in (result.reduction.decisions if result.reduction else ())],
    }


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _trial(result: Result, trial: Trial, tests: Mapping[int, float]) -> dict[str, Any]:
    """A trial as ``best.json`` holds it, with its test metric and the trial whose network was kept."""
    network = network_to_keep(result.trials, trial)
    trained = {"trial": network.index, "seed": network.seed, "objective": network.objective}
    return {"test": tests.get(trial.index)} | asdict(trial) | {"network": trained}


def _commands(folder: Path) -> dict[str, str]:
    """The commands that train the best and the economical configuration again, from the first lines of their files."""
    there = {name: folder / name for name in AGAIN.values() if (folder / name).is_file()}
    lines = {name: path.read_text(encoding="utf-8").partition("\n")[0] for name, path in there.items()}
    return {name: line.removeprefix("# ") for name, line in lines.items()}


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
