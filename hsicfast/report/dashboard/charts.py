"""Draws the pictures of an analysis as plotly figures, for the screen: as in print, with texts for the pointer.

Names are data: a chart shows them letter by letter. The first chart imports plotly, an extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.report.axes import place_labels
from hsicfast.report.content import (
    CHANCE_LABEL,
    FLOOR_LABEL,
    INDEX_LABELS,
    INDEX_MARKS,
    R2_TICKS,
    Half,
    clearest,
    index_rows,
    interval_seen,
    pair_matrix,
    pictured,
    relevance_map,
    where_text,
)
from hsicfast.report.dashboard.plotly_style import (
    chart,
    dress,
    escape,
    look_of,
    note_at,
    number_axis,
    point_look,
    read_of,
    shorten,
    side_of,
    template,
    value_axis,
)
from hsicfast.report.marginals import SHARE_LABEL, Bars, marginals
from hsicfast.report.points import EDGE_LABEL, cloud, crowding, plane
from hsicfast.report.ranking import RANK_LABELS, rank_lines
from hsicfast.report.style import BLUE, GREY, PALE, VERMILION
from hsicfast.text import number, p_text, ratio, share_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hsicfast.conclusions.conclusions import Conclusions
    from hsicfast.indices.findings import Findings, Index, Pair
    from hsicfast.indices.stability import Sweep

COLOUR_SCALES = {"Blues": [[0.0, "#F3F7FB"], [1.0, "#08519C"]], "Oranges": [[0.0, "#FEF3E8"], [1.0, "#A63603"]]}
# Sizes of the marks in the relevance picture. The shapes look equally large; the diamond, for no evidence, is smaller.
SIZES = {"circle": 11, "triangle-up": 12, "square": 11, "diamond": 9}
# The keys say whether the bars are of the good trials.
BARS: dict[bool, dict[str, Any]] = {
    False: {"color": PALE, "line": {"color": GREY, "width": 1}},
    True: {
        "color": BLUE,
        "opacity": 0.8,
        "pattern": {"shape": "/", "size": 6, "solidity": 0.2, "fillmode": "overlay"},
    },
}
# The pointer reads a trial's values of up to MOST_HOVERED hyperparameters, the clearest ones.
MOST_HOVERED = 8


def charts(
    sensitivity: Conclusions, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Figure]:
    """The charts of an analysis, with the names and the parameters of :func:`hsicfast.report.figures.pictures`."""
    draw: dict[str, Callable[..., Figure]] = {
        "indices": indices_chart,
        "pairs": pairs_chart,
        "goal_set": goal_set_chart,
        "marginals": marginals_chart,
        "relevance": relevance_chart,
        "ranking": ranking_chart,
        "error_against_cost": cost_chart,
    }
    found = pictured(sensitivity, trials, best, metric=metric, cost=cost)
    return {name: draw[name](**given) for name, given in found.items()}


def indices_chart(sensitivity: Findings) -> Figure:
    """HSIC of each hyperparameter with its interval, noise floor and p-value, the main group first."""
    seen = index_rows(sensitivity)
    rows = seen.rows
    notes = [
        note_at(f"<i>{escape(where)}, n = {n:,}</i>", xref="paper", x=0, xanchor="left", y=y, font={"color": GREY})
        for y, where, n in seen.headings
    ]
    notes.append(note_at("p (adjusted)", xref="paper", x=1.01, xanchor="left", y=0, font={"color": GREY}))
    notes += [note_at(p_text(i.pvalue_holm), xref="paper", x=1.01, xanchor="left", y=y) for y, i in rows]
    figure = chart(seen.title, 170 + 25 * seen.bottom)
    looks = {True: look_of(INDEX_MARKS[True], 10), False: look_of(INDEX_MARKS[False], 8)}
    for matters in (True, False):
        those = [(y, index) for y, index in rows if index.matters == matters]
        lows_highs = [x for _, index in those for x in (*interval_seen(index), None)]
        line = {"color": INDEX_MARKS[matters].colour, "width": 2}
        heights = [at for y, _ in those for at in (y, y, None)]
        figure.add_scatter(x=lows_highs, y=heights, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    floor = {"symbol": "line-ns-open", "size": 13, "color": VERMILION, "line": {"width": 2}}
    x, y = [index.noise_floor for _, index in rows], [y for y, _ in rows]
    figure.add_scatter(x=x, y=y, mode="markers", marker=floor, name=FLOOR_LABEL, hoverinfo="skip")
    for matters, label in INDEX_LABELS.items():
        those = [(y, index) for y, index in rows if index.matters == matters]
        figure.add_scatter(
            x=[index.hsic for _, index in those],
            y=[y for y, _ in those],
            mode="markers",
            marker=looks[matters],
            name=label,
            hovertext=[_index_text(sensitivity, index) for _, index in those],
            hoverinfo="text",
        )
    figure.update_layout(annotations=notes, margin={"r": 95})
    ends = [at for _, i in rows for at in (i.hsic, *interval_seen(i), i.noise_floor) if math.isfinite(at)]
    least, most = min(ends, default=0.0), max(ends, default=0.0) or 1.0
    figure.update_xaxes(title=seen.across, range=[min(least, 0.0) - 0.015 * most, 1.04 * most], nticks=7)
    figure.update_yaxes(
        range=[seen.bottom - 0.4, -0.6], tickvals=[y for y, _ in rows], ticktext=[shorten(i.name, 24) for _, i in rows]
    )
    figure.update_yaxes(ticks="", showgrid=False)
    return figure


def pairs_chart(sensitivity: Findings) -> Figure:
    """Matrix of pairs: the published index below the diagonal, the interaction alone above it."""
    seen = pair_matrix(sensitivity)
    names = seen.names
    above, below = np.full((2, len(names), len(names)), "", dtype=object)
    for row, column, pair in seen.cells:
        below[row, column] = above[column, row] = _pair_text(pair)
    figure = chart(seen.title, 250 + 30 * len(names), f"dot and full colour: {seen.note}")
    for half, texts, height in ((seen.above, above, 0.78), (seen.below, below, 0.22)):
        _half(figure, half, texts, height)
    dashes = [note_at("–", x=column, y=row, font={"color": GREY}) for row, column in seen.gaps]
    figure.update_layout(annotations=dashes)
    middles, shown = list(range(len(names))), [shorten(name, 20) for name in names]
    figure.update_xaxes(tickvals=middles, ticktext=shown, tickangle=-45, range=[-0.5, len(names) - 0.5])
    figure.update_yaxes(tickvals=middles, ticktext=shown, range=[len(names) - 0.5, -0.5], scaleanchor="x")
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(ticks="", showgrid=False, showline=False, constrain="domain")
    return figure


def _half(figure: Figure, half: Half, texts: Any, height: float) -> None:
    """Add one half of the matrix, with a text for each cell, and the scale of its colours at this height."""
    bar = {
        "title": {"text": half.label, "side": "right", "font": {"size": 12}},
        "len": 0.48,
        "y": height,
        "thickness": 12,
    }
    bar |= {"nticks": 5, "exponentformat": "e"}
    for cells, opacity in ((~half.marked, 0.35), (half.marked, 1.0)):
        figure.add_heatmap(
            z=np.where(cells, half.values, np.nan),
            hovertext=texts,
            hoverinfo="text",
            hoverongaps=False,
            colorscale=COLOUR_SCALES[half.hue],
            zmin=0.0,
            zmax=half.top,
            opacity=opacity,
            showscale=opacity == 1.0,
            colorbar=bar,
            xgap=2,
            ygap=2,
        )
    at = np.array([dot[:2] for dot in half.dots], dtype=np.int64).reshape(-1, 2)
    look = {"size": 7, "color": [colour for *_, colour in half.dots]}
    figure.add_scatter(x=at[:, 1], y=at[:, 0], mode="markers", marker=look, hoverinfo="skip", showlegend=False)


def goal_set_chart(sensitivity: Findings, pair: Pair) -> Figure:
    """Good trials and the others in the plane of a pair."""
    seen, names = cloud(sensitivity, pair), [pair.first, pair.second]
    figure = chart(escape(seen.title), 490, seen.note.replace("\n", "<br>"))
    figure.update_layout(margin={"t": 90})
    crowd = crowding(len(seen.rows))
    for label, mark, those in seen.layers:
        figure.add_scatter(
            x=seen.first.at[those],
            y=seen.second.at[those],
            mode="markers",
            name=label,
            marker=point_look(mark, crowd),
            customdata=read_of(sensitivity.trials, seen.rows[those], names),
            hovertemplate=template(["trial", "objective", *names], label),
        )
    figure.update_xaxes(title=shorten(pair.first), **value_axis(seen.first))
    figure.update_yaxes(title=shorten(pair.second), **value_axis(seen.second))
    return figure


def marginals_chart(sensitivity: Findings) -> Figure:
    """Values of the clearest hyperparameters, in all trials and in the good ones."""
    from plotly.subplots import make_subplots

    seen = marginals(sensitivity)
    rows, columns = seen.rows, seen.columns
    titles = [
        f"<b>{shorten(index.name)}</b><br><span style='font-size:11px'>{_marginal_note(index, bars)}</span>"
        for index, bars in seen.panels
    ]
    gap = {"vertical_spacing": 0.34 / rows, "horizontal_spacing": 0.1 if columns == 2 else 0}
    figure = make_subplots(rows, columns, subplot_titles=titles, **gap)
    dress(figure, "", 110 + 210 * rows)
    for panel, (index, bars) in enumerate(seen.panels):
        at = {"row": 1 + panel // columns, "col": 1 + panel % columns}
        texts = _bar_texts(index, bars)
        for good, label, inset, heights in bars.layers:
            figure.add_bar(
                x=bars.left + bars.width / 2,
                y=heights,
                width=(1 - 2 * inset) * bars.width,
                marker=BARS[good],
                name=label,
                legendgroup=label,
                showlegend=panel == 0,
                hovertext=texts,
                hoverinfo="text",
                **at,
            )
        labels = [shorten(label, 14) for label in bars.labels]
        figure.update_xaxes(tickvals=bars.ticks, ticktext=labels, showgrid=False, automargin=False, **at)
        figure.update_yaxes(tickformat=".0%", nticks=5, **at)
        if panel % columns == 0:
            figure.update_yaxes(title=SHARE_LABEL, **at)
    figure.update_layout(barmode="overlay", margin={"t": 72, "b": 70, "l": 60})
    for title, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=False):
        title.update(x=axis.domain[0], xanchor="left", align="left", font={"size": 13})
    return figure


def relevance_chart(both: list[tuple[Index, Index]], *, cost: str = "cost") -> Figure:
    """R2 of each hyperparameter for the goal against its R2 for being cheap."""
    seen = relevance_map(both, cost)
    at, noise, low, top = seen.at, seen.noise, seen.low, seen.top
    figure = chart(seen.title, 480, f"{seen.note}; grey: {CHANCE_LABEL}")
    # The chart is about 740 by 290 points; a letter is 7 points wide.
    sides = place_labels((at - low) / (top - low) * (740, 290), seen.names, (740.0, 290.0), (7.0, 15.0), 9.0)
    places = [side_of(side) for side in sides]
    spans = np.abs(seen.ends - at)
    for kind, mark, dots in seen.marks:
        errors = (
            {
                "array": spans[1, dots, axis],
                "arrayminus": spans[0, dots, axis],
                "thickness": 0.6,
                "width": 0,
                "color": GREY,
            }
            for axis in (0, 1)
        )
        figure.add_scatter(
            **dict(zip(("error_x", "error_y"), errors, strict=True)),
            x=at[dots, 0],
            y=at[dots, 1],
            mode="markers+text",
            marker=look_of(mark, SIZES[mark.shape]),
            name=kind,
            text=[escape(seen.names[k]) if sides[k] is not None else "" for k in dots],
            textposition=[places[k] for k in dots],
            hovertext=[_relevance_text(*both[k], cost) for k in dots],
            hoverinfo="text",
            cliponaxis=False,
        )
    for x1, y1 in ((noise[0], top[1]), (top[0], noise[1])):
        figure.add_shape(
            type="rect", x0=low[0], y0=low[1], x1=x1, y1=y1, fillcolor=PALE, opacity=0.5, line_width=0, layer="below"
        )
    for x, y, across, up, text in seen.corners:
        look = {"color": GREY, "size": 12}
        figure.add_annotation(note_at(f"<i>{text}</i>", x=x, y=y, xanchor=across, yanchor=up, font=look))
    marks = {"tickvals": np.sqrt(R2_TICKS), "ticktext": [f"{r2:g}" for r2 in R2_TICKS], "zeroline": False}
    figure.update_xaxes(title=escape(seen.across), range=[low[0], top[0]], showgrid=False, **marks)
    figure.update_yaxes(title=seen.up, range=[low[1], top[1]], showgrid=False, **marks)
    return figure


def ranking_chart(sensitivity: Findings, sweep: Sweep, chosen: list[int]) -> Figure:
    """Ranks of the main group against the share of trials that counts as good."""
    moves = rank_lines(sensitivity, sweep, chosen)
    x = moves.x
    note = f"grey bar: what was asked, {moves.goal}" if moves.asked is not None else ""
    figure = chart(moves.title, 190 + 28 * moves.lowest, note)
    for found, label in RANK_LABELS.items():
        mark = {"size": 9, "color": GREY if found else "white", "line": {"color": GREY, "width": 1.5}}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, name=label)
    for line in moves.lines:
        filled = [line.colour if found else "white" for found in line.seen]
        edge = {"color": line.colour, "width": 1.5}
        figure.add_scatter(
            x=x,
            y=line.rank,
            yaxis="y2",
            mode="lines+markers",
            line={"color": line.colour, "dash": line.dash, "width": 2},
            marker={"symbol": line.shape, "size": 9, "color": filled, "line": edge},
            opacity=1.0 if line.seen.any() else 0.5,
            showlegend=False,
            hovertext=[
                f"<b>{shorten(line.name, 60)}</b><br>best {share}: rank {place} of {moves.of}"
                f"<br>R² {ratio(r2)}, p {p_text(p)} (not adjusted)"
                for share, place, r2, p in zip(moves.shares, line.rank, line.r2, line.pvalue, strict=True)
            ],
            hoverinfo="text",
        )
    if moves.asked is not None:
        figure.add_vline(moves.asked, line={"color": PALE, "width": 8}, layer="below")
    figure.update_xaxes(title=moves.across, tickvals=x, ticktext=moves.shares, showgrid=False)
    figure.update_xaxes(range=[x[0] - 1.5, x[-1] + 1.5])
    ranks = {"range": [moves.lowest + 0.5, 0.5], "ticks": "", "showgrid": False, "zeroline": False}
    ends = np.array([line.rank[-1] for line in moves.lines])
    figure.update_layout(
        yaxis=ranks | {"title": moves.up, "tickvals": list(range(1, moves.lowest + 1))},
        yaxis2=ranks
        | {
            **{"overlaying": "y", "side": "right", "matches": "y", "automargin": True, "showline": False},
            **{"tickvals": ends, "ticktext": [shorten(line.name, 20) for line in moves.lines]},
        },
    )
    return figure


def cost_chart(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> Figure:
    """Objective against cost, with the goal set and the best trial; against trial number if no cost is known."""
    seen = plane(sensitivity, trials, best, metric, cost)
    figure = chart(escape(seen.title), 470, seen.note)
    hovered = [index.name for index in clearest(sensitivity)][:MOST_HOVERED]
    crowd = crowding(seen.n_shown)
    named = ["trial", metric, *([cost] if seen.known else []), *hovered]
    for label, mark, those in seen.layers:
        figure.add_scatter(
            x=seen.x[those],
            y=seen.y[those],
            mode="markers",
            name=label,
            marker=point_look(mark, crowd),
            customdata=read_of(trials, those, hovered, with_cost=seen.known),
            hovertemplate=template(named, label),
        )
    if seen.edge is not None:
        line = {"color": BLUE, "width": 1.2, "dash": "dash"}
        figure.add_hline(seen.edge, line=line, name=EDGE_LABEL, showlegend=True)
    if seen.best is not None:
        x, y = seen.best
        star = {"symbol": "star", "size": 16, "color": VERMILION, "line": {"color": "white", "width": 1}}
        text = f"<b>best: trial {best.index}</b><br>{shorten(metric)} {number(y)}"
        figure.add_scatter(x=[x], y=[y], mode="markers", marker=star, name="best", hovertext=[text], hoverinfo="text")
    figure.update_xaxes(title=escape(seen.across), **number_axis(seen.along_x, seen.log_x))
    figure.update_yaxes(title=escape(seen.up), **number_axis(seen.along_y, seen.log_y))
    return figure


def _index_text(sensitivity: Findings, index: Index) -> str:
    ends = f"{number(index.ci_low, 3)} to {number(index.ci_high, 3)}"
    where = escape(where_text(index.group))
    return (
        f"<b>{shorten(index.name, 60)}</b><br>HSIC {number(index.hsic, 3)}, {sensitivity.question.confidence:.0%} "
        f"interval {ends}<br>noise floor {number(index.noise_floor, 3)}, R² {ratio(index.r2)}<br>"
        f"p (adjusted) {p_text(index.pvalue_holm)}, p {p_text(index.pvalue)}<br>{where}, n = {index.n:,}"
    )


def _pair_text(pair: Pair) -> str:
    return (
        f"<b>{shorten(pair.first, 60)} × {shorten(pair.second, 60)}</b><br>interaction alone {number(pair.pure, 3)}, "
        f"p {p_text(pair.pvalue_pure)}<br>published index {number(pair.hsic, 3)}, p {p_text(pair.pvalue)}"
    )


def _relevance_text(error: Index, cost: Index, named: str) -> str:
    lines = (
        f"{what}: R² {ratio(index.r2)}, p (adjusted) {p_text(index.pvalue_holm)}, n = {index.n:,}"
        for what, index in (("for the goal", error), (f"by {shorten(named)}", cost))
    )
    return "<br>".join([f"<b>{shorten(error.name, 60)}</b>", *lines])


def _marginal_note(index: Index, bars: Bars) -> str:
    note = f"n = {index.n:,}, {bars.good.sum():,} good, adjusted p {escape(p_text(index.pvalue_holm))}"
    return note + ("" if index.group == "main" else f", {shorten(index.group, 24)}")


def _bar_texts(index: Index, bars: Bars) -> list[str]:
    n, good = int(bars.everyone.sum()), int(bars.good.sum())
    return [
        f"<b>{shorten(index.name)}</b>: {shorten(span)}<br>{a:,} of {n:,} trials ({share_text(a / max(n, 1))})<br>"
        f"{g:,} of {good:,} good ones ({share_text(g / max(good, 1))})"
        for span, a, g in zip(bars.spans, bars.everyone, bars.good, strict=True)
    ]
