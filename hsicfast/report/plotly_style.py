"""The look of every chart on the screen: text that stays text, axes, what a pointer reads of a trial.

plotly, an extra, is imported by the first chart.
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
    """`text` clipped and escaped."""
    return escape(clip(str(text), most))


def escape(text: str) -> str:
    """`text` as plotly shows it letter by letter: no tag, no entity, no template, no formula.

    Examples
    --------
    >>> escape("<b>%{x}</b> & co")
    '&lt;b&gt;&#37;{x}&lt;/b&gt; &amp; co'
    """
    return html.escape(text, quote=False).replace("%", "&#37;").replace("$", "&#36;")


def chart(title: str, height: float, note: str = "") -> Figure:
    """An empty chart of this height in pixels; its width is the page's."""
    from plotly.graph_objects import Figure

    figure = Figure()
    dress(figure, title, height, note)
    return figure


def dress(figure: Figure, title: str, height: float, note: str = "") -> None:
    """The look that all charts share."""
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
    """A mark of this size in pixels, in plotly's words."""
    if mark.filled:
        return {"symbol": mark.shape, "size": size, "color": mark.colour}
    return {"color": "white", "line": {"color": mark.colour, "width": 1.3}, "symbol": mark.shape, "size": size}


def point_look(mark: Mark, crowd: float) -> dict[str, Any]:
    """A mark among many, shrunk by `crowd`; one that is not filled lets others shine through."""
    if mark.filled:
        look = {"size": 8 * crowd, "color": mark.colour, "line": {"color": "white", "width": 0.7}}
    else:
        look = {"size": 6 * crowd, "opacity": 0.8, "line": {"color": mark.colour, "width": 1}, "color": "rgba(0,0,0,0)"}
    return look | {"symbol": mark.shape}


def note_at(text: str, **place: Any) -> dict[str, Any]:
    """A text without an arrow, at a place in plotly's words."""
    return {"text": text, "showarrow": False, "yanchor": "middle"} | place


def read_of(table: TrialTable, rows: Any, names: Sequence[str], with_cost: bool = False) -> list[tuple[str, ...]]:
    """What the pointer reads of each trial at `rows`: number, objective, cost where it is known, values."""
    columns = [[str(k) for k in table.index[rows]], [number(y) for y in table.objective[rows]]]
    if with_cost:
        columns.append([number(c) for c in table.cost[rows]])
    for name in names:
        exists = table.active(name)[rows]
        values = zip(table.values[name][rows], exists, strict=True)
        columns.append([shorten(value_text(value)) if there else "–" for value, there in values])
    return list(zip(*columns, strict=True))


def template(names: Sequence[str], label: str) -> str:
    """What a pointer shows of a trial: `names` before what :func:`read_of` gave each."""
    lines = [f"{shorten(name)} %{{customdata[{place}]}}" for place, name in enumerate(names)]
    return "<br>".join([f"<b>{lines[0]}</b>, {label}", *lines[1:]]) + "<extra></extra>"


def value_axis(its: Scale) -> dict[str, Any]:
    """The axis of a hyperparameter on its own scale."""
    if not its.levels:
        return number_axis(its.at, its.log)
    kept = few_ticks(its.levels)
    return {"type": "linear", "tickvals": kept, "ticktext": [shorten(its.levels[k], 14) for k in kept]}


def number_axis(values: Any, log: bool) -> dict[str, Any]:
    """The axis of numbers; a logarithmic one has a label at every decade, and where those are few at 2 and 5, too."""
    if not log:
        return {"type": "linear"}
    decades = float(np.log10(values.max() / values.min()))
    return {"type": "log", "exponentformat": "power", "dtick": "D2" if decades < 2.5 else math.ceil(decades / 8)}


def side_of(side: tuple[int, int] | None) -> str:
    """Where plotly writes the text of a point; nothing is written where there is no room."""
    across, up = side or (1, 0)
    return f"{('bottom', 'middle', 'top')[up + 1]} {('left', 'center', 'right')[across + 1]}"
