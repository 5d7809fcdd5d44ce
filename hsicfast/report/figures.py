"""Draws the pictures of an analysis as matplotlib figures, for print."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.report.axes import Scale, few_ticks, place_labels
from hsicfast.report.content import (
    CHANCE_LABEL,
    FLOOR_LABEL,
    INDEX_LABELS,
    INDEX_MARKS,
    R2_TICKS,
    Half,
    index_rows,
    interval_seen,
    pair_matrix,
    pictured,
    relevance_map,
)
from hsicfast.report.marginals import SHARE_LABEL, Bars, marginals
from hsicfast.report.points import EDGE_LABEL, Plane, cloud, crowding, front_plane, plane
from hsicfast.report.ranking import RANK_LABELS, rank_lines
from hsicfast.report.style import (
    BARS,
    BLUE,
    DASHES,
    FLOOR,
    GREY,
    INK,
    MARKERS,
    PALE,
    STAR,
    Mark,
    escape,
    legend,
    look_of,
    sheet,
    shorten,
    styled,
)
from hsicfast.text import p_text
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from hsicfast.conclusions.conclusions import Conclusions
    from hsicfast.indices.findings import Findings, Index, Pair
    from hsicfast.indices.stability import Sweep

# Sizes of the marks in the relevance picture. The shapes look equally large; the diamond, for no evidence, is smaller.
SIZES = {"circle": 9, "triangle-up": 9.5, "square": 8.5, "diamond": 6.5}
# The keys say whether a point is filled.
POINTS: dict[bool, dict[str, Any]] = {
    False: {"s": 16, "facecolor": "none", "linewidths": 0.7, "alpha": 0.8},
    True: {"s": 30, "edgecolor": "white", "linewidths": 0.6},
}


def pictures(
    sensitivity: Conclusions, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Callable[[], Figure]]:
    """Functions that draw the pictures of an analysis, by name; pictures with nothing to show are left out.

    `trials` are all trials of the run, analysed or not; `best` is marked; `metric` and `cost` name the axes.
    """
    draw: dict[str, Callable[..., Figure]] = {
        "indices": indices_figure,
        "pairs": pairs_figure,
        "goal_set": goal_set_figure,
        "marginals": marginals_figure,
        "relevance": relevance_figure,
        "ranking": ranking_figure,
        "error_against_cost": cost_figure,
    }
    found = pictured(sensitivity, trials, best, metric=metric, cost=cost)
    return {name: functools.partial(draw[name], **given) for name, given in found.items()}


def picture(name: str, sensitivity: Conclusions, trials: TrialTable, best: Trial) -> Figure:
    """The one of :func:`pictures` with this name.

    Raises
    ------
    InputError
        If the name is none of these or has nothing to show.
    """
    found = pictures(sensitivity, trials, best)
    if name not in found:
        raise InputError(
            f"a picture must be one that this analysis has something to show on, but got {name!r}; choose one of "
            f"{list(found)}"
        )
    return found[name]()


def draw_all(
    sensitivity: Conclusions, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Figure]:
    """All of :func:`pictures`, drawn."""
    return {name: draw() for name, draw in pictures(sensitivity, trials, best, metric=metric, cost=cost).items()}


@styled
def indices_figure(sensitivity: Findings) -> Figure:
    """HSIC of each hyperparameter with its interval, noise floor and p-value, the main group first."""
    seen = index_rows(sensitivity)
    looks = {True: look_of(INDEX_MARKS[True], 7.5), False: look_of(INDEX_MARKS[False], 5.5)}
    figure = sheet(7.4, 1.9 + 0.27 * seen.bottom)
    axes = figure.add_subplot()
    across = axes.get_yaxis_transform()
    for y, where, n in seen.headings:
        axes.text(0.012, y, f"{escape(where)}, n = {n}", transform=across, va="center", color=GREY, style="italic")
        axes.axhline(y + 0.45, color=PALE, linewidth=0.8, zorder=0)
    for y, index in seen.rows:
        look = looks[index.matters]
        axes.hlines(y, *interval_seen(index), color=look["color"], linewidth=1.6, zorder=2)
        axes.plot(index.noise_floor, y, zorder=1, **FLOOR)
        axes.plot(index.hsic, y, zorder=3, **look)
        axes.text(1.02, y, p_text(index.pvalue_holm), transform=across, va="center")
    axes.text(1.02, -0.9, "p (adjusted)", transform=across, va="center", color=GREY)
    axes.set_yticks([y for y, _ in seen.rows], [shorten(index.name) for _, index in seen.rows])
    axes.set_ylim(seen.bottom - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlim(left=min(axes.get_xlim()[0], -0.02 * axes.get_xlim()[1]))
    axes.set_xlabel(seen.across)
    axes.set_title(seen.title, pad=18)
    for matters, label in INDEX_LABELS.items():
        axes.plot([], [], label=label, **looks[matters])
    axes.plot([], [], label=f"{sensitivity.question.confidence:.0%} interval", color=GREY, linewidth=1.6)
    axes.plot([], [], label=FLOOR_LABEL, **FLOOR)
    legend(figure)
    return figure


@styled
def pairs_figure(sensitivity: Findings) -> Figure:
    """Matrix of pairs: the published index below the diagonal, the interaction alone above it."""
    seen = pair_matrix(sensitivity)
    side = max(3.4, 0.34 * len(seen.names)) + 1.6
    figure = sheet(side + 1.6, side + 0.9)
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 0.04])
    axes = figure.add_subplot(grid[:, 0])
    for place, half in enumerate((seen.above, seen.below)):
        _half(axes, figure.add_subplot(grid[place, 1]), half)
    for row, column in seen.gaps:
        axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center", color=GREY)
    middles = np.arange(len(seen.names)) + 0.5
    names = [shorten(name) for name in seen.names]
    axes.set_xticks(middles, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names)
    axes.set(aspect="equal", xlim=(0, len(names)), ylim=(len(names), 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(seen.title)
    axes.plot([], [], "o", markersize=5, color=INK, label=f"{seen.note}; the others pale")
    legend(figure)
    return figure


def _half(axes: Axes, beside: Axes, half: Half) -> None:
    """Draw one half of the matrix, and the scale of its colours into `beside`."""
    absent = np.isnan(half.values)
    look: dict[str, Any] = {"cmap": half.hue, "vmin": 0.0, "vmax": half.top, "edgecolors": "white", "linewidth": 1.2}
    axes.pcolormesh(np.ma.masked_where(absent | half.marked, half.values), alpha=0.35, **look)
    cells = axes.pcolormesh(np.ma.masked_where(absent | ~half.marked, half.values), **look)
    bar = beside.figure.colorbar(cells, cax=beside)
    bar.set_label(half.label)
    bar.ax.spines[:].set_visible(False)
    bar.ax.locator_params(nbins=4)
    for row, column, colour in half.dots:
        axes.plot(column + 0.5, row + 0.5, marker="o", markersize=5, color=colour)


@styled
def goal_set_figure(sensitivity: Findings, pair: Pair) -> Figure:
    """Good trials and the others in the plane of a pair."""
    seen = cloud(sensitivity, pair)
    figure = sheet(6.4, 5.4)
    axes = figure.add_subplot()
    for label, mark, those in seen.layers:
        _points(axes, seen.first.at[those], seen.second.at[those], mark, label, len(seen.rows))
    _own_values(axes.xaxis, axes.set_xscale, pair.first, seen.first)
    _own_values(axes.yaxis, axes.set_yscale, pair.second, seen.second)
    axes.set_title(escape(seen.title), pad=34)
    axes.text(0.0, 1.02, seen.note, transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


@styled
def marginals_figure(sensitivity: Findings) -> Figure:
    """Values of the clearest hyperparameters, in all trials and in the good ones."""
    seen = marginals(sensitivity)
    figure = sheet(3.8 * seen.columns + 0.4 * (seen.columns == 1), 2.35 * seen.rows + 0.8)
    for panel, (index, bars) in enumerate(seen.panels):
        axes = figure.add_subplot(seen.rows, seen.columns, panel + 1)
        _bars(axes, bars)
        axes.set_title(shorten(index.name), fontsize=10.5, pad=16)
        note = f"n = {bars.everyone.sum()}, {bars.good.sum()} good, adjusted p {p_text(index.pvalue_holm)}"
        note += "" if index.group == "main" else f", {shorten(index.group, 24)}"
        axes.text(0.0, 1.03, note, transform=axes.transAxes, color=GREY, fontsize=8.5)
        axes.set_ylabel(SHARE_LABEL if panel % seen.columns == 0 else "")
    legend(figure, axes)
    return figure


def _bars(axes: Axes, bars: Bars) -> None:
    labels = [shorten(label, 14) for label in bars.labels]
    axes.set_xticks(bars.ticks, labels)
    if sum(map(len, labels)) > 34:
        axes.tick_params(axis="x", rotation=20)
    for good, label, inset, heights in bars.layers:
        left, width = bars.left + inset * bars.width, (1 - 2 * inset) * bars.width
        axes.bar(left, heights, width, align="edge", label=label, **BARS[good])
    axes.locator_params(axis="y", nbins=4)


@styled
def relevance_figure(both: list[tuple[Index, Index]], *, cost: str = "cost") -> Figure:
    """R2 of each hyperparameter for the goal against its R2 for being cheap."""
    seen = relevance_map(both, cost)
    low, top = seen.low, seen.top
    width, height = 7.4, 5.4
    figure = sheet(width, height)
    axes = figure.add_subplot()
    band: dict[str, Any] = {"color": PALE, "alpha": 0.5, "linewidth": 0, "zorder": 0}
    axes.axvspan(-top[0], seen.noise[0], **band)
    axes.axhspan(-top[1], seen.noise[1], label=CHANCE_LABEL, **band)
    span: dict[str, Any] = {"color": GREY, "linewidth": 0.6, "alpha": 0.6, "zorder": 1}
    axes.hlines(seen.at[:, 1], seen.ends[0, :, 0], seen.ends[1, :, 0], **span)
    axes.vlines(seen.at[:, 0], seen.ends[0, :, 1], seen.ends[1, :, 1], **span)
    for kind, mark, dots in seen.marks:
        axes.plot(*seen.at[dots].T, label=kind, zorder=3, **look_of(mark, SIZES[mark.shape]))
    axes.set(xlim=(low[0], top[0]), ylim=(low[1], top[1]))
    for x, y, across, up, text in seen.corners:
        # A blank keeps a text off the axis on its left.
        shown = f" {text}" if across == "left" else text
        axes.text(x, y, shown, ha=across, va=up, color=GREY, style="italic", fontsize=9.5)
    # The axes take up the sheet but for about 0.9 by 1.6 inches; a letter is 5.6 points wide.
    inside = np.array([width - 0.9, height - 1.6]) * 72
    names = [escape(name) for name in seen.names]
    sides = place_labels((seen.at - low) / (top - low) * inside, names, (inside[0], inside[1]), (5.6, 11.0), 8.0)
    for (x, y), name, side in zip(seen.at, names, sides, strict=True):
        if side is not None:
            axes.annotate(
                name,
                (x, y),
                xytext=(7 * side[0], 7 * side[1]),
                textcoords="offset points",
                ha=("right", "center", "left")[side[0] + 1],
                va=("top", "center", "bottom")[side[1] + 1],
                fontsize=9,
                zorder=4,
            )
    for axis, most in ((axes.xaxis, top[0]), (axes.yaxis, top[1])):
        marks = [r2 for r2 in R2_TICKS if np.sqrt(r2) <= most]
        axis.set_ticks(np.sqrt(marks), [f"{r2:g}" for r2 in marks])
    axes.set_xlabel(escape(seen.across))
    axes.set_ylabel(seen.up)
    axes.set_title(seen.title, pad=20)
    unnamed = sum(side is None for side in sides)
    note = seen.note + (f"; {unnamed} without room for a name" if unnamed else "")
    axes.text(0.0, 1.02, note, transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


@styled
def ranking_figure(sensitivity: Findings, sweep: Sweep, chosen: list[int]) -> Figure:
    """Ranks of the main group against the share of trials that counts as good."""
    moves = rank_lines(sensitivity, sweep, chosen)
    x = moves.x
    figure = sheet(7.4, 1.9 + 0.3 * moves.lowest)
    axes = figure.add_subplot()
    if moves.asked is not None:
        axes.axvline(moves.asked, color=PALE, linewidth=6, zorder=0)
    for line in moves.lines:
        look: dict[str, Any] = {"color": line.colour, "linestyle": DASHES[line.dash], "linewidth": 1.6}
        axes.plot(x, line.rank, alpha=0.85 if line.seen.any() else 0.4, zorder=1, **look)
        for rows, face in ((line.seen, line.colour), (~line.seen, "white")):
            marker = MARKERS[line.shape]
            axes.plot(x[rows], line.rank[rows], marker, ms=7, color=line.colour, mfc=face, mew=1.3, zorder=2)
        axes.text(x[-1] + 1.2, line.rank[-1], shorten(line.name, 24), va="center", color=INK)
    axes.set_xticks(x, moves.shares)
    axes.set_xlim(x[0] - 1.5, x[-1] + 1)
    axes.set_yticks(range(1, moves.lowest + 1))
    axes.set_ylim(moves.lowest + 0.5, 0.5)
    axes.tick_params(length=0)
    axes.set_xlabel(moves.across)
    axes.set_ylabel(moves.up)
    axes.set_title(moves.title)
    axes.plot([], [], "o", ms=7, color=GREY, label=RANK_LABELS[True])
    axes.plot([], [], "o", ms=7, color=GREY, mfc="white", mew=1.3, label=RANK_LABELS[False])
    if moves.asked is not None:
        axes.plot([], [], color=PALE, linewidth=6, label=f"asked here: {moves.goal}")
    legend(figure)
    return figure


@styled
def cost_figure(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> Figure:
    """Objective against cost, with the goal set and the best trial; against trial number if no cost is known."""
    return _plane_figure(plane(sensitivity, trials, best, metric, cost), "best")


@styled
def front_figure(objectives: Objectives, trials: TrialTable, compromise: Trial) -> Figure:
    """The second of several objectives against the first, with the front and the compromise on it."""
    return _plane_figure(front_plane(objectives, trials, compromise), "compromise")


def _plane_figure(seen: Plane, star: str) -> Figure:
    figure = sheet(7.4, 4.8)
    axes = figure.add_subplot()
    for label, mark, those in seen.layers:
        _points(axes, seen.x[those], seen.y[those], mark, label, seen.n_shown)
    if seen.edge is not None:
        axes.axhline(seen.edge, color=BLUE, linewidth=1, linestyle="--", label=EDGE_LABEL)
    if seen.best is not None:
        axes.plot(*seen.best, zorder=5, label=star, **STAR)
    axes.set_xscale("log" if seen.log_x else "linear")
    axes.set_yscale("log" if seen.log_y else "linear")
    axes.set_xlabel(escape(seen.across))
    axes.set_ylabel(escape(seen.up))
    axes.set_title(escape(seen.title), pad=20)
    axes.text(0.0, 1.025, seen.note, transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


def _points(axes: Axes, x: Floats, y: Floats, mark: Mark, label: str, among: int) -> None:
    """Draw some of `among` points as a bitmap, so that a page with 100,000 trials stays small."""
    look = POINTS[mark.filled] | {"facecolor" if mark.filled else "edgecolor": mark.colour}
    size = crowding(among) ** 2 * look.pop("s")
    axes.scatter(x, y, s=size, marker=MARKERS[mark.shape], label=label, rasterized=True, **look)


def _own_values(axis: Axis, set_scale: Callable[[str], None], name: str, its: Scale) -> None:
    """Label an axis with the values of a hyperparameter on its own scale."""
    set_scale("log" if its.log else "linear")
    if its.levels:
        kept = few_ticks(its.levels)
        axis.set_ticks(np.array(kept, dtype=np.float64), [shorten(its.levels[k], 14) for k in kept])
    axis.set_label_text(shorten(name))
