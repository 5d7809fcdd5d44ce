"""The pictures of an analysis as matplotlib figures, for print: indices, pairs, marginals; and all of them by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.report.content import (
    MOST_MARGINALS,
    Bars,
    bars,
    clearest,
    clearest_pairs,
    in_groups,
    ranked,
    relevance,
    strongest_paired,
)
from hsicfast.report.rankings import ranking_figure, relevance_figure
from hsicfast.report.scatters import cost_figure, goal_set_figure
from hsicfast.report.style import EVERYONE, FLOOR, GOOD, GREY, INK, MATTERS, OPEN, PALE, legend, sheet, shorten, styled
from hsicfast.text import p_text
from hsicfast.trials.goal import goal_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hsicfast.indices.findings import Findings, Index


def pictures(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Callable[[], Figure]]:
    """How each picture of an analysis is drawn, by its name; those that would have nothing to show are left out.

    `trials` are all of the run, analysed or not; `best` is the one to mark; `metric` and `cost` name the axes.
    """
    found: dict[str, Callable[[], Figure]] = {"indices": lambda: indices_figure(sensitivity)}
    if sensitivity.pair_indices:
        strongest = clearest_pairs(sensitivity.pair_indices)[0]
        found["pairs"] = lambda: pairs_figure(sensitivity)
        found["goal_set"] = lambda: goal_set_figure(sensitivity, strongest)
    found["marginals"] = lambda: marginals_figure(sensitivity)
    both = relevance(sensitivity)
    if both:
        found["relevance"] = lambda: relevance_figure(both, cost=cost)
    moves = ranked(sensitivity)
    if moves is not None:
        found["ranking"] = lambda: ranking_figure(sensitivity, *moves)
    found["error_against_cost"] = lambda: cost_figure(sensitivity, trials, best, metric=metric, cost=cost)
    return found


def draw_all(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Figure]:
    """All of :func:`pictures`, drawn."""
    return {name: draw() for name, draw in pictures(sensitivity, trials, best, metric=metric, cost=cost).items()}


@styled
def indices_figure(sensitivity: Findings) -> Figure:
    """HSIC of each hyperparameter with its interval, noise floor and p-value, the main group first."""
    headers: list[tuple[float, Index]] = []
    rows: list[tuple[float, Index]] = []
    bottom = 0.0
    for _, members in in_groups(sensitivity.indices):
        bottom += 0.5 if headers else 0.0
        headers.append((bottom, members[0]))
        rows += [(bottom + 1.0 + place, index) for place, index in enumerate(members)]
        bottom += 1.0 + len(members)
    figure = sheet(7.4, 1.9 + 0.27 * bottom)
    axes = figure.add_subplot()
    across = axes.get_yaxis_transform()
    for y, first in headers:
        where = "all trials" if first.group == "main" else f"only where {shorten(first.group, 60)}"
        axes.text(0.012, y, f"{where}, n = {first.n}", transform=across, va="center", color=GREY, style="italic")
        axes.axhline(y + 0.45, color=PALE, linewidth=0.8, zorder=0)
    for y, index in rows:
        look = MATTERS if index.matters else OPEN
        axes.hlines(y, index.ci_low, index.ci_high, color=look["color"], linewidth=1.6, zorder=2)
        axes.plot(index.noise_floor, y, zorder=1, **FLOOR)
        axes.plot(index.hsic, y, zorder=3, **look)
        axes.text(1.02, y, p_text(index.pvalue_holm), transform=across, va="center")
    axes.text(1.02, -0.9, "p (Holm)", transform=across, va="center", color=GREY)
    axes.set_yticks([y for y, _ in rows], [shorten(index.name) for _, index in rows])
    axes.set_ylim(bottom - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlim(left=min(axes.get_xlim()[0], -0.02 * axes.get_xlim()[1]))
    axes.set_xlabel(f"HSIC with ending {goal_text(sensitivity.goal, sensitivity.question.minimize)}")
    axes.set_title("What decides", pad=18)
    axes.plot([], [], label="matters: Holm p ≤ 0.05", **MATTERS)
    axes.plot([], [], label="no evidence either way", **OPEN)
    axes.plot([], [], label=f"{sensitivity.question.confidence:.0%} interval", color=GREY, linewidth=1.6)
    axes.plot([], [], label="noise floor: mean under independence", **FLOOR)
    legend(figure)
    return figure


@styled
def pairs_figure(sensitivity: Findings) -> Figure:
    """Matrix of pairs: the published index below the diagonal, the interaction alone above it."""
    names = strongest_paired(sensitivity)
    place = {name: i for i, name in enumerate(names)}
    published, pure = np.full((2, len(names), len(names)), np.nan)
    marked = np.zeros(published.shape, dtype=bool)
    for pair in sensitivity.pair_indices:
        if pair.first in place and pair.second in place:
            low, high = sorted((place[pair.first], place[pair.second]))
            published[high, low], pure[low, high] = pair.hsic, pair.pure
            marked[high, low], marked[low, high] = pair.pvalue <= 0.05, pair.pvalue_pure <= 0.05
    side = max(3.4, 0.34 * len(names)) + 1.6
    figure = sheet(side + 1.6, side + 0.9)
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 0.04])
    axes = figure.add_subplot(grid[:, 0])
    triangles = (
        (pure, "Oranges", "above: interaction alone"),
        (published, "Blues", "below: published index"),
    )
    for half, (values, colours, label) in enumerate(triangles):
        # Pairs of few trials are large by chance: where some are marked, these set the scale.
        top = np.nanmax(values[marked], initial=0.0) or np.nanmax(values, initial=0.0) or 1.0
        look: dict[str, Any] = {"cmap": colours, "vmin": 0.0, "vmax": top, "edgecolors": "white", "linewidth": 1.2}
        axes.pcolormesh(np.ma.masked_where(np.isnan(values) | marked, values), alpha=0.35, **look)
        cells = axes.pcolormesh(np.ma.masked_where(np.isnan(values) | ~marked, values), **look)
        bar = figure.colorbar(cells, cax=figure.add_subplot(grid[half, 1]))
        bar.set_label(label)
        bar.ax.spines[:].set_visible(False)
        bar.ax.locator_params(nbins=4)
        for row, column in np.argwhere(marked & np.isfinite(values)):
            colour = "white" if values[row, column] > 0.55 * top else INK
            axes.plot(column + 0.5, row + 0.5, marker="o", markersize=5, color=colour)
    judged = np.isfinite(published) | np.isfinite(pure)
    for row, column in np.argwhere(~judged & ~judged.T & ~np.eye(len(names), dtype=bool)):
        axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center", color=GREY)
    middles = np.arange(len(names)) + 0.5
    axes.set_xticks(middles, [shorten(name) for name in names], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, [shorten(name) for name in names])
    axes.set(aspect="equal", xlim=(0, len(names)), ylim=(len(names), 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    left_out = len({name for pair in sensitivity.pair_indices for name in (pair.first, pair.second)}) - len(names)
    axes.set_title("Which act together" + (f" (the clearest {len(names)}, {left_out} left out)" if left_out else ""))
    axes.plot(
        [],
        [],
        "o",
        markersize=5,
        color=INK,
        label="p ≤ 0.05, not adjusted for many pairs; the others pale",
    )
    legend(figure)
    return figure


@styled
def marginals_figure(sensitivity: Findings) -> Figure:
    """For the strongest hyperparameters: where all trials lie, and where the good ones do."""
    chosen = clearest(sensitivity)[:MOST_MARGINALS]
    columns = min(2, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = sheet(3.8 * columns + 0.4 * (columns == 1), 2.35 * rows + 0.8)
    for panel, index in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, panel + 1)
        shown = bars(sensitivity, index.name)
        _marginal(axes, shown)
        axes.set_title(shorten(index.name), fontsize=10.5, pad=16)
        note = f"n = {shown.everyone.sum()}, {shown.good.sum()} good, Holm p {p_text(index.pvalue_holm)}"
        note += "" if index.group == "main" else f", {shorten(index.group, 24)}"
        axes.text(0.0, 1.03, note, transform=axes.transAxes, color=GREY, fontsize=8.5)
        axes.set_ylabel("share of trials" if panel % columns == 0 else "")
    legend(figure, axes)
    return figure


def _marginal(axes: Axes, shown: Bars) -> None:
    labels = [shorten(label, 14) for label in shown.labels]
    axes.set_xticks(shown.ticks, labels)
    if sum(map(len, labels)) > 34:
        axes.tick_params(axis="x", rotation=20)
    for counts, inset, look, label in (
        (shown.everyone, 0.0, EVERYONE, "all trials"),
        (shown.good, 0.18, GOOD, "trials in the goal set"),
    ):
        left, width = shown.left + inset * shown.width, (1 - 2 * inset) * shown.width
        axes.bar(left, counts / max(counts.sum(), 1), width, align="edge", label=label, **look)
    axes.locator_params(axis="y", nbins=4)
