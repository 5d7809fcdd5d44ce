"""Writes an analysis as one self-contained HTML page: it opens from a file, loads nothing, folds, and prints.

The pictures are SVG, drawn here (drawings.py): a few kilobytes each, painted at once, in the colours of the page by
day, at night and in print, read by a screen reader, and there without scripts. A small script of ours adds what needs
one: folding, sorting, searching, brushing, and the pointer's text.

Names come from files and people, so the templates escape all texts. Marked as safe are only the pictures, which escape
their texts themselves, our style sheet and our two scripts. The browser runs no other script: the page lists the hashes
of these two.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.errors import require, writing
from hsicfast.files import write_atomically
from hsicfast.indices.findings import ALPHA
from hsicfast.indices.stability import RankInterval
from hsicfast.indices.verdicts import SAFE, interacting, trial_notes
from hsicfast.reading.guess import Guess
from hsicfast.report import drawings
from hsicfast.report.content import clearest, clearest_pairs, good_end, group_goal, in_groups, p_meaning
from hsicfast.report.points import some_of
from hsicfast.report.ranking import clearest_ranks, rank_lines
from hsicfast.report.summary import Action, Configuration, actions, configuration_of, others, without_verdict
from hsicfast.space.search_space import Float, Hyperparameter, Int
from hsicfast.text import number, p_text, ratio, share_text, value_text
from hsicfast.trials.goal import Threshold, goal_text

if TYPE_CHECKING:
    from jinja2 import Environment

    from hsicfast.indices.findings import Index
    from hsicfast.trials.table import TrialTable
    from hsicfast.trials.trial import Trial

TOOLS = ("matplotlib", "jinja2")
# A head script, so that nothing is painted unfolded and then folds.
AT_ONCE = 'document.documentElement.classList.add("js");'
# Up to MOST_SHOWN rows stand in "what decides" before the folded rest; up to MOST_PAIRS pairs are listed at all.
MOST_SHOWN, MOST_PAIRS = 12, 300
# Up to MOST_SAFE that are safe to fix have a row each; of more the reasons are folded.
MOST_SAFE = 4
# The table of trials holds up to MOST_CELLS cells, some 300 KB.
MOST_CELLS = 10_000
# The numbers of an analysis depend on the versions of these packages.
PACKAGES = ("hsicfast", "numpy", "scipy", "numba", "pandas", "optuna", "torch", "torchvision", "pytorch-lightning")


@dataclass(frozen=True)
class PageContent:
    """What every page shows.

    Attributes
    ----------
    findings : Conclusions
    trials : TrialTable
        All trials of the run, analysed or not.
    best : Trial
        The pictures mark it.
    title : str
        Heading of the page.
    metric, cost : str
        Names of the objective and the cost.
    guess : Guess or None
        Types of the columns and the reasons for them, if they were guessed.
    notes : tuple of str
        What a reader must know before believing the numbers, a sentence each.
    economical : Trial or None
        The pictures mark it, too, if it is another than the best.
    chosen : Configuration or None
        What a run chose; by default the best trial.
    """

    findings: Conclusions
    trials: TrialTable
    best: Trial
    title: str
    metric: str
    cost: str
    guess: Guess | None = None
    notes: tuple[str, ...] = ()
    economical: Trial | None = None
    chosen: Configuration | None = None

    @property
    def starred(self) -> drawings.Chosen:
        """The trials that pictures mark."""
        other = self.economical
        alone = other is None or other.index == self.best.index
        return drawings.Chosen([(self.best, "best"), *([] if alone or other is None else [(other, "economical")])])


def check_report_tools() -> None:
    """Raise unless matplotlib and Jinja are installed; call this before the training, not after it.

    Raises
    ------
    InputError
        Names what is missing and the command that installs it.
    """
    require(*TOOLS, user="a report", extra="report")


def write_page(
    path: str | Path,
    findings: Conclusions,
    *,
    title: str,
    metric: str,
    cost: str,
    guess: Guess | None = None,
    notes: Iterable[str] = (),
) -> Path:
    """Write an analysis as a page to `path`, as a whole or not at all.

    Parameters
    ----------
    path : str or Path
        Place of the page; its folder is created if it is missing.
    findings : Conclusions
    title : str
        Heading of the page.
    metric, cost : str
        Names of the objective and the cost.
    guess : Guess, optional
        Types of the columns and the reasons for them, if they were guessed.
    notes : iterable of str
        What a reader must know before believing the numbers, a sentence each.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If a tool is missing or the page cannot be written.
    """
    check_report_tools()
    trials, best = findings.trials, findings.trials.best()
    content = PageContent(findings, trials, best, title, metric, cost, guess, tuple(notes))
    source = page("page.html.j2", content)
    path = Path(path)
    with writing("the place of a page", path, "make room or pass another path"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, source)
    return path


def page(template: str, content: PageContent, **rest: Any) -> str:
    """The page as HTML: the template filled with `content`, its pictures and the `rest`.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``.
    content : PageContent
    **rest
        Further variables of this template.

    Returns
    -------
    str
    """
    from markupsafe import Markup

    environment = templates()
    environment.filters |= {
        "p": p_text,
        "share": share_text,
        "value": value_text,
        "ratio": ratio,
    }
    environment.filters |= {"goal": goal_text, "groups": in_groups, "rank": rank_text, "kind": kind_text}
    environment.filters |= {"strip_top": drawings.strip_top, "strip": lambda *row: Markup(drawings.strip(*row))}
    findings, question = content.findings, content.findings.question
    scripts = [AT_ONCE, _file("page.js")]
    return environment.get_template(template).render(
        title=content.title,
        metric=content.metric,
        cost=content.cost,
        guess=content.guess,
        notes=content.notes,
        good_end=good_end(findings, content.metric),
        findings=findings,
        best=content.best,
        alpha=ALPHA,
        headline=findings.headline,
        chosen=content.chosen or configuration_of(findings, content.metric, content.cost),
        **_what_to_do(findings),
        others=others(findings),
        open_ones=without_verdict(findings),
        trial_notes=trial_notes(findings),
        p_means=p_meaning(findings),
        group_goal=group_goal(findings),
        ranks={index.name: findings.rank_intervals.get(index.name) for index in findings.indices},
        shown=_shown(clearest(findings)),
        cost_shown=_shown(sorted(findings.cost_indices, key=lambda index: (not index.matters, -index.r2)), 6),
        ranking=_ranking(findings),
        pairs=clearest_pairs(findings.pair_indices),
        found_pairs=interacting(findings),
        most_pairs=MOST_PAIRS,
        cheapest=findings.met.mean() if isinstance(question.goal, Threshold) else question.share(findings.n),
        table=_trials(content),
        **{name: _marked(Markup, picture) for name, picture in _pictures(content).items()},
        scripts=[Markup(script) for script in scripts],
        hashes=Markup(" ".join(f"'{fingerprint(script)}'" for script in scripts)),
        versions=_versions(),
        **{name: _marked(Markup, value) for name, value in rest.items()},
    )


def templates() -> Environment:
    """The templates of all pages, with our style sheet.

    Returns
    -------
    jinja2.Environment
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    # Names come from files and people: Jinja escapes everything that is not marked as safe.
    environment = Environment(
        loader=PackageLoader("hsicfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.globals["style"] = Markup(_file("page.css"))
    return environment


def _what_to_do(findings: Conclusions) -> dict[str, list[Action]]:
    """What to do, row by row; many that are safe to fix stand together."""
    found = actions(findings)
    safe = [action for action in found if action.kind == SAFE]
    few = len(safe) <= MOST_SAFE
    return {"actions": found if few else [a for a in found if a.kind != SAFE], "safe": [] if few else safe}


def _pictures(content: PageContent) -> dict[str, Any]:
    """The pictures of the page, by name: one, a list of them, or None if there is nothing to show."""
    findings, trials, metric, cost = content.findings, content.trials, content.metric, content.cost
    starred = content.starred
    order = clearest(findings)
    deciding = [index for index in order if index.matters]
    acting = {name for pair, _ in interacting(findings) for name in (pair.first, pair.second)}
    chosen = deciding + [index for index in order if index.name in acting and not index.matters]
    panels = [index for index in (chosen or order) if not np.isnan(index.pvalue)][: drawings.MOST_PANELS]
    known = bool(np.isfinite(trials.cost[np.isfinite(trials.objective)]).any())
    first = drawings.answer(findings, trials, starred, metric)
    course = drawings.course(findings, trials, starred, metric)
    return {
        "answer": first,
        "deciding": bool(chosen),
        "marginals": [drawings.marginal(findings, index) for index in panels],
        "together": [drawings.together(findings, pair) for pair, _ in interacting(findings)[:2]],
        "against_cost": drawings.against_cost(findings, trials, starred, metric, cost) if known else None,
        "course": None if course == first else course,
        "parallel": drawings.parallel(findings, [index.name for index in order], metric),
    }


def _marked(safe: type, picture: Any) -> Any:
    """A picture whose SVG is marked as safe: it escaped its texts itself."""
    if isinstance(picture, list):
        return [_marked(safe, one) for one in picture]
    return picture._replace(svg=safe(picture.svg)) if isinstance(picture, drawings.Picture) else picture


def _shown(indices: Sequence[Index], most: int = MOST_SHOWN) -> list[Index]:
    """The indices that stand unfolded: all if these are few, else those that matter and the clearest of the rest."""
    return list(indices[: max(most, sum(index.matters for index in indices))])


def _ranking(findings: Conclusions) -> dict[str, Any] | None:
    """How the ranking moves with the goal, as a table; None if there is nothing to rank."""
    moves = clearest_ranks(findings)
    if moves is None:
        return None
    seen = rank_lines(findings, *moves)
    lines = [
        {"name": line.name, "cells": list(zip(line.rank, map(p_text, line.pvalue), line.seen, strict=True))}
        for line in seen.lines
    ]
    return {"shares": seen.shares, "lines": lines}


def _trials(content: PageContent) -> dict[str, Any]:
    """The table of all trials, the best first; of too many half good ones, and others drawn at random."""
    table = content.trials
    names = list(table.space)
    losses = content.findings.question.losses(table.objective)
    good = losses <= content.findings.question.losses(content.findings.threshold)
    shown = some_of(good, content.findings.question.seed, max(MOST_CELLS // (len(names) + 4), 50))
    shown = shown[np.argsort(np.nan_to_num(losses[shown], nan=np.inf), kind="stable")]
    columns: list[tuple[str, list[str]]] = [
        ("trial", [str(index) for index in table.index[shown]]),
        (content.metric, [number(value) for value in table.objective[shown]]),
    ]
    if np.isfinite(table.cost).any():
        columns.append((content.cost, [number(value) for value in table.cost[shown]]))
    if len(set(table.status)) > 1:
        columns.append(("status", list(map(str, table.status[shown]))))
    if len(set(table.origin)) > 1:
        columns.append(("origin", list(map(str, table.origin[shown]))))
    for name in names:
        exists = zip(table.values[name][shown], table.active(name)[shown], strict=True)
        columns.append((name, [value_text(value) if there else "" for value, there in exists]))
    rows = list(zip(*(texts for _, texts in columns), strict=True))
    return {"heads": [head for head, _ in columns], "rows": rows, "n": len(table)}


def _file(name: str) -> str:
    return resources.files("hsicfast.report").joinpath("templates", name).read_text(encoding="utf-8")


def fingerprint(script: str) -> str:
    """The hash of a script as a content security policy writes it.

    Examples
    --------
    >>> fingerprint("alert(1)")
    'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def rank_text(rank: RankInterval | None) -> str:
    """A rank, and the range it has in 90% of resamples if that is wider.

    Examples
    --------
    >>> rank_text(RankInterval(1, 1, 3, of=5)), rank_text(RankInterval(1, 1, 1, of=5)), rank_text(None)
    ('1 (1 to 3)', '1', '–')
    """
    if rank is None:
        return "–"
    return str(rank.rank) if rank.low == rank.high == rank.rank else f"{rank.rank} ({rank.low} to {rank.high})"


def kind_text(hyperparameter: Hyperparameter) -> str:
    """The type of a hyperparameter and its range, in words.

    Examples
    --------
    >>> kind_text(Float(0.001, 1.0, log=True))
    'Float from 0.001 to 1, log'
    """
    kind = type(hyperparameter).__name__
    if not isinstance(hyperparameter, Float | Int):
        return kind
    ends = f"{value_text(hyperparameter.low)} to {value_text(hyperparameter.high)}"
    return f"{kind} from {ends}" + (", log" if hyperparameter.log else "")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        if importlib.util.find_spec(package.replace("-", "_")) is not None:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = "from source"
    return versions
