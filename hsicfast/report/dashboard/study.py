"""Puts an analysis into optuna-dashboard: its pictures beside those of the study, the verdicts as the study's note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.errors import require
from hsicfast.indices.verdicts import trial_notes
from hsicfast.report.content import p_meaning
from hsicfast.report.dashboard.charts import charts
from hsicfast.text import one_line

if TYPE_CHECKING:
    import optuna

# The text between BEGIN and END is ours, and each push replaces it; the rest of a note belongs to whoever wrote it.
# Markdown does not show an unused link definition; the dashboard would show an HTML comment.
BEGIN, END = "[//]: # (hsicfast)", "[//]: # (/hsicfast)"


def push(study: optuna.Study, findings: Conclusions, *, metric: str = "objective", cost: str = "cost") -> None:
    """Put the pictures and the verdicts of an analysis into its study; a second push replaces those of the first.

    Parameters
    ----------
    study : optuna Study
        Its storage is one that the dashboard shows.
    findings : Conclusions
        The result of :func:`hsicfast.analyse` on the trials of the study.
    metric, cost : str
        Names of the objective and the cost.

    Raises
    ------
    InputError
        If optuna-dashboard or plotly is not installed.
    """
    require("optuna_dashboard", "plotly", user="a study with pictures", extra="dashboard")
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object

    best = findings.trials.best()
    for name, chart in charts(findings, findings.trials, best, metric=metric, cost=cost).items():
        save_plotly_graph_object(study, chart, graph_object_id=f"hsicfast-{name}")
    before, _, rest = get_note(study).partition(BEGIN)
    parts = [before.strip(), BEGIN, note(findings), END, rest.partition(END)[2].strip()]
    save_note(study, "\n\n".join(part for part in parts if part))


def note(findings: Conclusions) -> str:
    """The headline and the verdict on each hyperparameter, in Markdown."""
    rows = [f"| {_cell(v.name)} | {_cell(v.text)} | {_cell(v.evidence)} |" for v in findings.verdict_list]
    table = ["| hyperparameter | verdict | evidence |", "|---|---|---|", *rows]
    told = [f"**{_cell(findings.headline)}**", *trial_notes(findings), "\n".join(table), p_meaning(findings)]
    return "\n\n".join(told)


def _cell(text: str) -> str:
    """`text` escaped for a cell of a Markdown table."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>|~" else sign for sign in one_line(text))
