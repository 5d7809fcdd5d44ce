"""The pictures of an analysis as plotly figures, for the screen: the same as in print, with what a pointer asks for.

Names are data: whatever they hold stands on a chart as text. plotly, an extra, is imported by the first chart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.indices.findings import ALPHA
from hsicfast.report.axes import place_labels, wide
from hsicfast.report.content import (
    MOST_MARGINALS,
    QUADRANTS,
    Bars,
    bars,
    clearest,
    clearest_pairs,
    in_groups,
    noise_r2,
    quadrant,
    ranked,
    relevance,
    strongest_paired,
)
from hsicfast.report.plotly_style import chart, dress, note_at, numbers, own_values, plain, read_of, side_of, template
from hsicfast.report.points import cloud, crowding, kinds, pair_note, plane, plane_note, some_text
from hsicfast.report.rankings import LINES, R2_TICKS
from hsicfast.report.style import BLUE, GREEN, GREY, INK, PALE, VERMILION
from hsicfast.text import clip, number, p_text, ratio, share_text
from hsicfast.trials.goal import goal_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from hsicfast.indices.findings import Findings, Index, Pair
    from hsicfast.indices.stability import Sweep

BLUES, ORANGES = [[0.0, "#F3F7FB"], [1.0, "#08519C"]], [[0.0, "#FEF3E8"], [1.0, "#A63603"]]
OTHER: dict[str, Any] = {"size": 6, "opacity": 0.8, "line": {"color": GREY, "width": 1}, "color": "rgba(0,0,0,0)"}
MET: dict[str, Any] = {"size": 8, "color": BLUE, "line": {"color": "white", "width": 0.7}}
HOLLOW: dict[str, Any] = {"color": "white", "line": {"color": GREY, "width": 1.3}}
QUADRANT_LOOKS: dict[str, dict[str, Any]] = {
    "buys error": {"symbol": "circle", "size": 11, "color": BLUE},
    "buys error and burns compute": {"symbol": "triangle-up", "size": 12, "color": GREEN},
    "only burns compute": {"symbol": "square", "size": 11, "color": VERMILION},
    "neither seen": {**HOLLOW, "symbol": "diamond", "size": 9},
}
DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot"}
SYMBOLS = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"},
    **{"v": "triangle-down", "P": "cross", "X": "x", "p": "pentagon"},
}
KINDS = {
    "trials": "circle",
    "design": "circle",
    "search": "square",
    "finalists again": "diamond",
    "stopped early": "triangle-down",
}
MOST_HOVERED = 8


def charts(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Figure]:
    """The charts of an analysis by the names of :func:`hsicfast.report.figures.pictures`, those with something to show.

    `trials` are all of the run, analysed or not; `best` is the one to mark; `metric` and `cost` name the axes.
    """
    drawn = {"indices": indices_chart(sensitivity)}
    if sensitivity.pair_indices:
        drawn["pairs"] = pairs_chart(sensitivity)
        drawn["goal_set"] = goal_set_chart(sensitivity, clearest_pairs(sensitivity.pair_indices)[0])
    drawn["marginals"] = marginals_chart(sensitivity)
    both = relevance(sensitivity)
    if both:
        drawn["relevance"] = relevance_chart(both, cost=cost)
    moves = ranked(sensitivity)
    if moves is not None:
        drawn["ranking"] = ranking_chart(sensitivity, *moves)
    drawn["error_against_cost"] = cost_chart(sensitivity, trials, best, metric=metric, cost=cost)
    return drawn


def indices_chart(sensitivity: Findings) -> Figure:
    """HSIC of each hyperparameter with its interval, noise floor and p-value, the main group first."""
    rows: list[tuple[float, Index]] = []
    headers: list[dict[str, Any]] = []
    bottom = 0.0
    for group, members in in_groups(sensitivity.indices):
        bottom += 0.5 if headers else 0.0
        where = "all trials" if group == "main" else f"only where {plain(group, 60)}"
        text = f"<i>{where}, n = {members[0].n:,}</i>"
        headers.append(note_at(text, xref="paper", x=0, xanchor="left", y=bottom, font={"color": GREY}))
        rows += [(bottom + 1.0 + place, index) for place, index in enumerate(members)]
        bottom += 1.0 + len(members)
    headers.append(note_at("p (Holm)", xref="paper", x=1.01, xanchor="left", y=0, font={"color": GREY}))
    headers += [note_at(p_text(i.pvalue_holm), xref="paper", x=1.01, xanchor="left", y=y) for y, i in rows]
    figure = chart("What decides", 170 + 25 * bottom)
    looks = (
        (True, f"matters: Holm p ≤ {ALPHA}", {"symbol": "circle", "size": 10, "color": BLUE}),
        (False, "no evidence either way", HOLLOW | {"symbol": "diamond", "size": 8}),
    )
    for matters in (True, False):
        those = [(y, index) for y, index in rows if index.matters == matters]
        lows_highs = [x for _, index in those for x in (index.ci_low, index.ci_high, None)]
        line = {"color": BLUE if matters else GREY, "width": 2}
        heights = [at for y, _ in those for at in (y, y, None)]
        figure.add_scatter(x=lows_highs, y=heights, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    floor = {"symbol": "line-ns-open", "size": 13, "color": VERMILION, "line": {"width": 2}}
    named = "noise floor: mean under independence"
    x, y = [index.noise_floor for _, index in rows], [y for y, _ in rows]
    figure.add_scatter(x=x, y=y, mode="markers", marker=floor, name=named, hoverinfo="skip")
    for matters, label, look in looks:
        those = [(y, index) for y, index in rows if index.matters == matters]
        figure.add_scatter(
            x=[index.hsic for _, index in those],
            y=[y for y, _ in those],
            mode="markers",
            marker=look,
            name=label,
            hovertext=[_index_text(sensitivity, index) for _, index in those],
            hoverinfo="text",
        )
    goal = goal_text(sensitivity.goal, sensitivity.question.minimize)
    figure.update_layout(annotations=headers, margin={"r": 70})
    ends = [at for _, i in rows for at in (i.hsic, i.ci_low, i.ci_high, i.noise_floor) if math.isfinite(at)]
    least, most = min(ends, default=0.0), max(ends, default=0.0) or 1.0
    figure.update_xaxes(title=f"HSIC with ending {goal}", range=[min(least, 0.0) - 0.015 * most, 1.04 * most], nticks=7)
    figure.update_yaxes(
        range=[bottom - 0.4, -0.6], tickvals=[y for y, _ in rows], ticktext=[plain(i.name, 24) for _, i in rows]
    )
    figure.update_yaxes(ticks="", showgrid=False)
    return figure


def pairs_chart(sensitivity: Findings) -> Figure:
    """Matrix of pairs: the published index below the diagonal, the interaction alone above it."""
    names = strongest_paired(sensitivity)
    place = {name: i for i, name in enumerate(names)}
    shape = (len(names), len(names))
    published, pure = np.full((2, *shape), np.nan)
    marked, texts = np.zeros((2, *shape), dtype=bool), np.full((2, *shape), "", dtype=object)
    for pair in sensitivity.pair_indices:
        if pair.first in place and pair.second in place:
            low, high = sorted((place[pair.first], place[pair.second]))
            published[high, low], pure[low, high] = pair.hsic, pair.pure
            marked[0, high, low], marked[1, low, high] = pair.pvalue <= ALPHA, pair.pvalue_pure <= ALPHA
            texts[0, high, low] = texts[1, low, high] = _pair_text(pair)
    left_out = len({name for pair in sensitivity.pair_indices for name in (pair.first, pair.second)}) - len(names)
    title = "Which act together" + (f" (the clearest {len(names)}, {left_out} left out)" if left_out else "")
    note = f"dot and full colour: p ≤ {ALPHA}, not adjusted for many pairs"
    figure = chart(title, 250 + 30 * len(names), note)
    halves = (
        (pure, marked[1], texts[1], ORANGES, "above: interaction alone", 0.78),
        (published, marked[0], texts[0], BLUES, "below: published index", 0.22),
    )
    for values, full, text, colours, label, height in halves:
        # Pairs of few trials are large by chance: where some are marked, these set the scale.
        top = np.nanmax(values[full], initial=0.0) or np.nanmax(values, initial=0.0) or 1.0
        bar = {
            "title": {"text": label, "side": "right", "font": {"size": 12}},
            "len": 0.48,
            "y": height,
            "thickness": 12,
        }
        bar |= {"nticks": 5, "exponentformat": "e"}
        for rows, opacity in ((~full, 0.35), (full, 1.0)):
            figure.add_heatmap(
                z=np.where(rows, values, np.nan),
                hovertext=text,
                hoverinfo="text",
                hoverongaps=False,
                colorscale=colours,
                zmin=0.0,
                zmax=top,
                opacity=opacity,
                showscale=opacity == 1.0,
                colorbar=bar,
                xgap=2,
                ygap=2,
            )
        dots = np.argwhere(full & np.isfinite(values))
        shade = ["white" if values[row, column] > 0.55 * top else INK for row, column in dots]
        look = {"size": 7, "color": shade}
        figure.add_scatter(x=dots[:, 1], y=dots[:, 0], mode="markers", marker=look, hoverinfo="skip", showlegend=False)
    judged = np.isfinite(published) | np.isfinite(pure)
    gaps = np.argwhere(~judged & ~judged.T & ~np.eye(len(names), dtype=bool))
    figure.update_layout(annotations=[note_at("–", x=column, y=row, font={"color": GREY}) for row, column in gaps])
    middles, shown = list(range(len(names))), [plain(name, 20) for name in names]
    figure.update_xaxes(tickvals=middles, ticktext=shown, tickangle=-45, range=[-0.5, len(names) - 0.5])
    figure.update_yaxes(tickvals=middles, ticktext=shown, range=[len(names) - 0.5, -0.5], scaleanchor="x")
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(ticks="", showgrid=False, showline=False, constrain="domain")
    return figure


def goal_set_chart(sensitivity: Findings, pair: Pair) -> Figure:
    """Where in the plane of a pair the good trials lie, and where the others do."""
    seen, table = cloud(sensitivity, pair), sensitivity.trials
    first, second = plain(pair.first), plain(pair.second)
    note = f"{some_text(seen.good, seen.shown)}<br>{pair_note(sensitivity, pair)}"
    figure = chart(f"Goal set: {plain(pair.first, 24)} × {plain(pair.second, 24)}", 490, note)
    figure.update_layout(margin={"t": 90})
    good, shown = seen.good[seen.shown], seen.rows[seen.shown]
    crowd = crowding(len(shown))
    for rows, symbol, look, label in (
        (~good, "circle", OTHER, "other trials"),
        (good, "triangle-up", MET, "trials in the goal set"),
    ):
        figure.add_scatter(
            x=seen.first.at[rows],
            y=seen.second.at[rows],
            mode="markers",
            name=label,
            marker=look | {"symbol": symbol, "size": crowd * look["size"]},
            customdata=read_of(table, shown[rows], [pair.first, pair.second]),
            hovertemplate=template(["trial", "objective", pair.first, pair.second], label),
        )
    figure.update_xaxes(title=first, **own_values(seen.first))
    figure.update_yaxes(title=second, **own_values(seen.second))
    return figure


def marginals_chart(sensitivity: Findings) -> Figure:
    """For the strongest hyperparameters: where all trials lie, and where the good ones do."""
    from plotly.subplots import make_subplots

    chosen = clearest(sensitivity)[:MOST_MARGINALS]
    columns = min(2, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    seen = [bars(sensitivity, index.name) for index in chosen]
    titles = [
        f"<b>{plain(index.name)}</b><br><span style='font-size:11px'>{_marginal_note(index, shown)}</span>"
        for index, shown in zip(chosen, seen, strict=True)
    ]
    gap = {"vertical_spacing": 0.34 / rows, "horizontal_spacing": 0.1 if columns == 2 else 0}
    figure = make_subplots(rows, columns, subplot_titles=titles, **gap)
    dress(figure, "", 110 + 210 * rows)
    filled = {
        "color": BLUE,
        "opacity": 0.8,
        "pattern": {"shape": "/", "size": 6, "solidity": 0.2, "fillmode": "overlay"},
    }
    looks: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("all trials", 0.0, {"color": PALE, "line": {"color": GREY, "width": 1}}),
        ("trials in the goal set", 0.18, filled),
    )
    for panel, (index, shown) in enumerate(zip(chosen, seen, strict=True)):
        at = {"row": 1 + panel // columns, "col": 1 + panel % columns}
        n, good = int(shown.everyone.sum()), int(shown.good.sum())
        texts = [
            f"<b>{plain(index.name)}</b>: {plain(span)}<br>{a:,} of {n:,} trials ({share_text(a / max(n, 1))})<br>"
            f"{g:,} of {good:,} good ones ({share_text(g / max(good, 1))})"
            for span, a, g in zip(shown.spans, shown.everyone, shown.good, strict=True)
        ]
        for counts, (label, inset, look) in zip((shown.everyone, shown.good), looks, strict=True):
            figure.add_bar(
                x=shown.left + shown.width / 2,
                y=counts / max(counts.sum(), 1),
                width=(1 - 2 * inset) * shown.width,
                marker=look,
                name=label,
                legendgroup=label,
                showlegend=panel == 0,
                hovertext=texts,
                hoverinfo="text",
                **at,
            )
        labels = [plain(label, 14) for label in shown.labels]
        figure.update_xaxes(tickvals=shown.ticks, ticktext=labels, showgrid=False, automargin=False, **at)
        figure.update_yaxes(tickformat=".0%", nticks=5, **at)
        if panel % columns == 0:
            figure.update_yaxes(title="share of trials", **at)
    figure.update_layout(barmode="overlay", margin={"t": 72, "b": 70, "l": 60})
    for title, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=False):
        title.update(x=axis.domain[0], xanchor="left", align="left", font={"size": 13})
    return figure


def relevance_chart(both: list[tuple[Index, Index]], *, cost: str = "cost") -> Figure:
    """R2 of each hyperparameter for the goal against its R2 for being cheap."""
    at = np.sqrt([[c.r2, e.r2] for e, c in both])
    noise = np.sqrt([noise_r2(c for _, c in both), noise_r2(e for e, _ in both)])
    top = np.maximum(1.18 * at.max(axis=0), 2.5 * noise)
    low = -0.06 * top
    note = "axes by the square root of R²; grey: what chance alone gives on average"
    figure = chart("What buys error, and what only burns compute", 480, note)
    names = [clip(e.name, 24) for e, _ in both]
    # The chart is about 740 by 290 points; a letter is 7 wide.
    sides = place_labels((at - low) / (top - low) * (740, 290), names, (740.0, 290.0), (7.0, 15.0), 9.0)
    places = [side_of(side) for side in sides]
    for kind in QUADRANTS.values():
        dots = [place for place, two in enumerate(both) if quadrant(*two) == kind]
        figure.add_scatter(
            x=at[dots, 0],
            y=at[dots, 1],
            mode="markers+text",
            marker=QUADRANT_LOOKS[kind],
            name=kind,
            text=[plain(names[k]) if sides[k] is not None else "" for k in dots],
            textposition=[places[k] for k in dots],
            hovertext=[_relevance_text(*both[k], cost) for k in dots],
            hoverinfo="text",
            cliponaxis=False,
        )
    for x1, y1 in ((noise[0], top[1]), (top[0], noise[1])):
        figure.add_shape(
            type="rect", x0=low[0], y0=low[1], x1=x1, y1=y1, fillcolor=PALE, opacity=0.5, line_width=0, layer="below"
        )
    # Who only burns compute often lies at the bottom: its name stands above the noise.
    corners = (
        (low[0], top[1], "left", "top", "buys error"),
        (top[0], top[1], "right", "top", "buys error and burns compute"),
        (top[0], noise[1], "right", "bottom", "only burns compute"),
    )
    for x, y, across, up, text in corners:
        look = {"color": GREY, "size": 12}
        figure.add_annotation(note_at(f"<i>{text}</i>", x=x, y=y, xanchor=across, yanchor=up, font=look))
    marks = {"tickvals": np.sqrt(R2_TICKS), "ticktext": [f"{r2:g}" for r2 in R2_TICKS], "zeroline": False}
    title = f"R² for being among the cheapest by {plain(cost)}"
    figure.update_xaxes(title=title, range=[low[0], top[0]], showgrid=False, **marks)
    figure.update_yaxes(title="R² for the goal", range=[low[1], top[1]], showgrid=False, **marks)
    return figure


def ranking_chart(sensitivity: Findings, sweep: Sweep, chosen: list[int]) -> Figure:
    """How the ranking of the main group moves with the share of trials that counts as good."""
    x = 100 * np.array(sweep.shares)
    lowest = int(sweep.rank[:, chosen].max())
    left_out = len(sweep.names) - len(chosen)
    asked = 100 * float(sensitivity.met.mean())
    goal = goal_text(sensitivity.goal, sensitivity.question.minimize)
    note = f"grey bar: what was asked, {goal}" if asked <= x[-1] else ""
    title = "How the ranking moves with the goal" + (f" ({left_out} left out)" if left_out else "")
    figure = chart(title, 190 + 28 * lowest, note)
    for fill, label in ((GREY, f"evidence that it decides: p ≤ {ALPHA}, not adjusted"), ("white", "none seen")):
        mark = {"size": 9, "color": fill, "line": {"color": GREY, "width": 1.5}}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, name=label)
    for (colour, dash, marker), name in zip(LINES, chosen, strict=False):
        rank, seen = sweep.rank[:, name], sweep.pvalue[:, name] <= ALPHA
        filled = [colour if found else "white" for found in seen]
        figure.add_scatter(
            x=x,
            y=rank,
            yaxis="y2",
            mode="lines+markers",
            line={"color": colour, "dash": DASHES[dash], "width": 2},
            marker={"symbol": SYMBOLS[marker], "size": 9, "color": filled, "line": {"color": colour, "width": 1.5}},
            opacity=1.0 if seen.any() else 0.5,
            showlegend=False,
            hovertext=[
                f"<b>{plain(sweep.names[name], 60)}</b><br>best {share_text(share)}: rank {place} of {len(sweep.names)}"
                f"<br>R² {ratio(r2)}, p {p_text(p)} (not adjusted)"
                for share, place, r2, p in zip(
                    sweep.shares, rank, sweep.r2[:, name], sweep.pvalue[:, name], strict=True
                )
            ],
            hoverinfo="text",
        )
    if asked <= x[-1]:
        figure.add_vline(asked, line={"color": PALE, "width": 8}, layer="below")
    shares = [share_text(share) for share in sweep.shares]
    figure.update_xaxes(title="share of trials that counts as good", tickvals=x, ticktext=shares, showgrid=False)
    figure.update_xaxes(range=[x[0] - 1.5, x[-1] + 1.5])
    ranks = {"range": [lowest + 0.5, 0.5], "ticks": "", "showgrid": False, "zeroline": False}
    figure.update_layout(
        yaxis=ranks | {"title": "rank by the index", "tickvals": list(range(1, lowest + 1))},
        yaxis2=ranks
        | {
            **{"overlaying": "y", "side": "right", "matches": "y", "automargin": True, "showline": False},
            **{"tickvals": sweep.rank[-1, chosen], "ticktext": [plain(sweep.names[name], 20) for name in chosen]},
        },
    )
    return figure


def cost_chart(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> Figure:
    """Objective against cost, with the goal set and the best trial; against trial number where costs are unknown."""
    seen = plane(sensitivity, trials)
    x, y = seen.x, trials.objective
    across = plain(cost, 60) if seen.known else "trial number"
    figure = chart(f"{plain(metric, 40)} against {across}", 470, plane_note(trials, seen))
    hovered = [index.name for index in clearest(sensitivity)][:MOST_HOVERED]
    crowd = crowding(len(seen.shown))
    named = ["trial", metric, *([cost] if seen.known else []), *hovered]
    for kind, rows in kinds(trials):
        for met, look, inside in ((False, OTHER, ""), (True, MET, ", in the goal set")):
            dots = seen.shown[rows[seen.shown] & (seen.good[seen.shown] == met)]
            if len(dots):
                figure.add_scatter(
                    x=x[dots],
                    y=y[dots],
                    mode="markers",
                    name=kind + inside,
                    marker=look | {"symbol": KINDS[kind], "size": crowd * look["size"]},
                    customdata=read_of(trials, dots, hovered, with_cost=seen.known),
                    hovertemplate=template(named, kind + inside),
                )
    on_x, on_y = numbers(x[seen.able], seen.known and wide(x[seen.able])), numbers(y[seen.able], wide(y[seen.able]))
    if math.isfinite(sensitivity.threshold):
        line = {"color": BLUE, "width": 1.2, "dash": "dash"}
        figure.add_hline(sensitivity.threshold, line=line, name="edge of the goal set", showlegend=True)
    best_x = best.cost if seen.known else float(best.index)
    if math.isfinite(best_x):
        star = {"symbol": "star", "size": 16, "color": VERMILION, "line": {"color": "white", "width": 1}}
        text = f"<b>best: trial {best.index}</b><br>{plain(metric)} {number(best.objective)}"
        figure.add_scatter(
            x=[best_x], y=[best.objective], mode="markers", marker=star, name="best", hovertext=[text], hoverinfo="text"
        )
    figure.update_xaxes(title=across if seen.known else "trial number (costs are unknown)", **on_x)
    figure.update_yaxes(title=plain(metric, 60), **on_y)
    return figure


def _index_text(sensitivity: Findings, index: Index) -> str:
    ends = f"{number(index.ci_low, 3)} to {number(index.ci_high, 3)}"
    where = "all trials" if index.group == "main" else f"only where {plain(index.group, 60)}"
    return (
        f"<b>{plain(index.name, 60)}</b><br>HSIC {number(index.hsic, 3)}, {sensitivity.question.confidence:.0%} "
        f"interval {ends}<br>noise floor {number(index.noise_floor, 3)}, R² {ratio(index.r2)}<br>"
        f"p (Holm) {p_text(index.pvalue_holm)}, p {p_text(index.pvalue)}<br>{where}, n = {index.n:,}"
    )


def _pair_text(pair: Pair) -> str:
    return (
        f"<b>{plain(pair.first, 60)} × {plain(pair.second, 60)}</b><br>interaction alone {number(pair.pure, 3)}, "
        f"p {p_text(pair.pvalue_pure)}<br>published index {number(pair.hsic, 3)}, p {p_text(pair.pvalue)}"
    )


def _relevance_text(error: Index, cost: Index, named: str) -> str:
    told = (
        f"{what}: R² {ratio(index.r2)}, p (Holm) {p_text(index.pvalue_holm)}, n = {index.n:,}"
        for what, index in (("for the goal", error), (f"by {plain(named)}", cost))
    )
    return "<br>".join([f"<b>{plain(error.name, 60)}</b>", *told])


def _marginal_note(index: Index, shown: Bars) -> str:
    note = f"n = {index.n:,}, {shown.good.sum():,} good, Holm p {plain(p_text(index.pvalue_holm))}"
    return note + ("" if index.group == "main" else f", {plain(index.group, 24)}")
