"""Writes an analysis as one self-contained HTML page: it opens from a file, loads nothing, and prints.

Names come from files and people, so the templates escape all texts. Only three things are marked as safe: the JSON of
the charts, whose brackets are escaped, plotly's script and ours. The browser runs no other script: the page lists the
hashes of these two.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.errors import require, writing
from hsicfast.files import write_atomically
from hsicfast.indices.findings import ALPHA
from hsicfast.indices.stability import RankInterval
from hsicfast.indices.verdicts import trial_notes
from hsicfast.reading.guess import Guess
from hsicfast.report.charts import charts
from hsicfast.report.content import clearest_pairs, good_end, group_goal, in_groups, p_meaning
from hsicfast.report.figures import draw_all
from hsicfast.report.style import render
from hsicfast.space.search_space import Float, Hyperparameter, Int
from hsicfast.text import number, p_text, ratio, share_text, value_text
from hsicfast.trials.goal import Threshold, goal_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hsicfast.trials.table import TrialTable
    from hsicfast.trials.trial import Trial

TOOLS = ("matplotlib", "jinja2", "plotly")
# The numbers of an analysis depend on the versions of these packages.
PACKAGES = ("hsicfast", "numpy", "scipy", "numba", "pandas", "optuna", "torch", "torchvision", "pytorch-lightning")


@dataclass(frozen=True)
class PageContent:
    """What every page shows.

    Attributes
    ----------
    findings : Conclusions
    figures : mapping of str to Figure
        The pictures for print, by name.
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
    """

    findings: Conclusions
    figures: Mapping[str, Figure]
    trials: TrialTable
    best: Trial
    title: str
    metric: str
    cost: str
    guess: Guess | None = None
    notes: tuple[str, ...] = ()


def check_report_tools() -> None:
    """Raise unless matplotlib, Jinja and plotly are installed; call this before the training, not after it.

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
    figures = draw_all(findings, trials, best, metric=metric, cost=cost)
    content = PageContent(findings, figures, trials, best, title, metric, cost, guess, tuple(notes))
    source = page("page.html.j2", content)
    path = Path(path)
    with writing("the place of a page", path, "make room or pass another path"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, source)
    return path


def page(template: str, content: PageContent, **rest: Any) -> str:
    """The page as HTML: the template filled with `content`, its charts and the `rest`.

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
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    # Names come from files and people: Jinja escapes everything that is not marked safe here.
    environment = Environment(
        loader=PackageLoader("hsicfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "p": p_text, "share": share_text, "value": value_text, "ratio": ratio}
    environment.filters |= {"goal": goal_text, "groups": in_groups, "rank": rank_text, "kind": kind_text}
    environment.filters |= {"clearest_pairs": clearest_pairs}
    findings, question = content.findings, content.findings.question
    found = findings.verdict_list
    drawn = charts(findings, content.trials, content.best, metric=content.metric, cost=content.cost)
    own = resources.files("hsicfast.report").joinpath("templates", "page.js")
    scripts = [get_plotlyjs(), own.read_text(encoding="utf-8")]
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
        verdicts=found,
        trial_notes=trial_notes(findings),
        p_means=p_meaning(findings),
        group_goal=group_goal(findings),
        ranks={index.name: findings.rank_intervals.get(index.name) for index in findings.indices},
        cheapest=findings.met.mean() if isinstance(question.goal, Threshold) else question.share(findings.n),
        pictures={name: _inline(render(figure, "svg")) for name, figure in content.figures.items()},
        charts=Markup(_as_data({name: chart.to_json(validate=False, engine="json") for name, chart in drawn.items()})),
        scripts=[Markup(script) for script in scripts],
        hashes=Markup(" ".join(f"'{fingerprint(script)}'" for script in scripts)),
        versions=_versions(),
        **rest,
    )


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


def _as_data(found: Mapping[str, str]) -> str:
    r"""One JSON object of these JSON texts for a script element: no bracket can end the element or begin a comment.

    Examples
    --------
    >>> _as_data({"pairs": '"</script>"'})
    '{"pairs":"\\u003c/script\\u003e"}'
    """
    text = "{" + ",".join(f'"{name}":{json}' for name, json in found.items()) + "}"
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _inline(svg: bytes) -> str:
    # A figure inside an image runs no script, and its identifiers cannot clash with those of the next figure.
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        if importlib.util.find_spec(package.replace("-", "_")) is not None:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = "from source"
    return versions
