"""Holds the look of every chart on the screen: layout, marks, axes, escaped text, the pointer's text for a trial.

The first chart imports plotly, an extra.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.report.axes import Scale, few_ticks
from hsicfast.report.style import GREY, INK, Mark
from hsicfast.text import clip, number, value_text
from hsicfast.trials.table import TrialTable

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif'


def shorten(text: object, most: int = 30) -> str:
    """`text` clipped and escaped for plotly."""
    return escape(clip(str(text), most))


def escape(text: str) -> str:
    """`text` escaped so that plotly shows it letter by letter: no tag, no entity, no template, no formula.

    Examples
    --------
    >>> escape("<b>%{x}</b> & co")
    '&lt;b&gt;&#37;{x}&lt;/b&gt; &amp; co'
    """
    return html.escape(text, quote=False).replace("%", "&#37;").replace("$", "&#36;")


def chart(title: str, height: float, note: str = "") -> Figure:
    """An empty chart of this height in pixels, as wide as the page."""
    from plotly.graph_objects import Figure

    figure = Figure()
    dress(figure, title, height, note)
    return figure


def dress(figure: Figure, title: str, height: float, note: str = "") -> None:
    """Give `figure` the look that all charts share."""
    heading = {"text": title, "x": 0, "xref": "container", "xanchor": "left", "font": {"size": 16}}
    heading |= {"subtitle": {"text": note, "font": {"size": 12, "color": GREY}}} if note else {}
    figure.update_layout(
        template="none",
        height=round(height),
        font={"family": FONT, "size": 13, "color": INK},
        title=heading,
        margin={"l": 10, "r": 10, "t": (72 if note else 52) if title else 30, "b": 10},
        hovermode="closest",
        hoverlabel={"bgcolor": "white", "bordercolor": GREY, "align": "left", "font": {"family": FONT, "color": INK}},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "y": 0, "yanchor": "bottom"},
    )
    lines: dict[str, Any] = {"showline": True, "linecolor": GREY, "gridcolor": "#EEEEEE", "zeroline": False}
    lines |= {"ticks": "outside", "tickcolor": GREY, "exponentformat": "e", "title_font_size": 13, "title_standoff": 8}
    figure.update_xaxes(automargin=True, **lines)
    figure.update_yaxes(automargin=True, **lines)


def look_of(mark: Mark, size: float) -> dict[str, Any]:
    """The options of plotly for a mark of this size in pixels."""
    if mark.filled:
        return {"symbol": mark.shape, "size": size, "color": mark.colour}
    return {"color": "white", "line": {"color": mark.colour, "width": 1.3}, "symbol": mark.shape, "size": size}


def point_look(mark: Mark, crowd: float) -> dict[str, Any]:
    """The options of plotly for a mark among many, shrunk by `crowd`; marks that are not filled are transparent."""
    if mark.filled:
        look = {"size": 8 * crowd, "color": mark.colour, "line": {"color": "white", "width": 0.7}}
    else:
        look = {"size": 6 * crowd, "opacity": 0.8, "line": {"color": mark.colour, "width": 1}, "color": "rgba(0,0,0,0)"}
    return look | {"symbol": mark.shape}


def note_at(text: str, **place: Any) -> dict[str, Any]:
    """The annotation `text` without an arrow; `place` holds options of plotly."""
    return {"text": text, "showarrow": False, "yanchor": "middle"} | place


def read_of(table: TrialTable, rows: Any, names: Sequence[str], with_cost: bool = False) -> list[tuple[str, ...]]:
    """The texts that the pointer shows for each trial at `rows`: number, objective, cost if asked for, values."""
    columns = [[str(k) for k in table.index[rows]], [number(y) for y in table.objective[rows]]]
    if with_cost:
        columns.append([number(c) for c in table.cost[rows]])
    for name in names:
        exists = table.active(name)[rows]
        values = zip(table.values[name][rows], exists, strict=True)
        columns.append([shorten(value_text(value)) if there else "–" for value, there in values])
    return list(zip(*columns, strict=True))


def template(names: Sequence[str], label: str) -> str:
    """The pointer's text for a trial: `names`, each before its text from :func:`read_of`."""
    lines = [f"{shorten(name)} %{{customdata[{place}]}}" for place, name in enumerate(names)]
    return "<br>".join([f"<b>{lines[0]}</b>, {label}", *lines[1:]]) + "<extra></extra>"


def value_axis(its: Scale) -> dict[str, Any]:
    """The options of plotly for the axis of a hyperparameter on its own scale."""
    if not its.levels:
        return number_axis(its.at, its.log)
    kept = few_ticks(its.levels)
    return {"type": "linear", "tickvals": kept, "ticktext": [shorten(its.levels[k], 14) for k in kept]}


def number_axis(values: Any, log: bool) -> dict[str, Any]:
    """The options of plotly for an axis of numbers.

    A logarithmic axis has a label at up to eight decades, and at 2 and 5 of each if there are less than 2.5 decades.
    """
    if not log:
        return {"type": "linear"}
    decades = float(np.log10(values.max() / values.min()))
    return {"type": "log", "exponentformat": "power", "dtick": "D2" if decades < 2.5 else math.ceil(decades / 8)}


def side_of(side: tuple[int, int] | None) -> str:
    """The side of a point in plotly's words; any if there is no room, because nothing is written then."""
    across, up = side or (1, 0)
    return f"{('bottom', 'middle', 'top')[up + 1]} {('left', 'center', 'right')[across + 1]}"
