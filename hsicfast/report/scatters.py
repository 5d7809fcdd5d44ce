"""Trials as points, for print: the goal set in the plane of a pair, and objective against cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.report.axes import Scale, few_ticks, wide
from hsicfast.report.points import cloud, crowding, kinds, pair_note, plane, plane_note, some_text
from hsicfast.report.style import BLUE, GREY, STAR, legend, sheet, shorten, styled
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from hsicfast.indices.findings import Findings, Pair

OTHER: dict[str, Any] = {"s": 16, "facecolor": "none", "edgecolor": GREY, "linewidths": 0.7, "alpha": 0.8}
MET: dict[str, Any] = {"s": 30, "facecolor": BLUE, "edgecolor": "white", "linewidths": 0.6}
MARKERS = {"trials": "o", "design": "o", "search": "s", "finalists again": "D", "stopped early": "v"}


@styled
def goal_set_figure(sensitivity: Findings, pair: Pair) -> Figure:
    """Where in the plane of a pair the good trials lie, and where the others do."""
    seen = cloud(sensitivity, pair)
    figure = sheet(6.4, 5.4)
    axes = figure.add_subplot()
    good = seen.good[seen.shown]
    for rows, marker, look, label in (
        (~good, "o", OTHER, "other trials"),
        (good, "^", MET, "trials in the goal set"),
    ):
        _points(axes, seen.first.at[rows], seen.second.at[rows], len(good), marker=marker, label=label, **look)
    _own_values(axes.xaxis, axes.set_xscale, pair.first, seen.first)
    _own_values(axes.yaxis, axes.set_yscale, pair.second, seen.second)
    axes.set_title(f"Goal set: {shorten(pair.first, 24)} × {shorten(pair.second, 24)}", pad=34)
    note = f"{some_text(seen.good, seen.shown)}\n{pair_note(sensitivity, pair)}"
    axes.text(0.0, 1.02, note, transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


@styled
def cost_figure(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> Figure:
    """Objective against cost, with the goal set and the best trial; against trial number where costs are unknown."""
    seen = plane(sensitivity, trials)
    x, y = seen.x, trials.objective
    figure = sheet(7.4, 4.8)
    axes = figure.add_subplot()
    for kind, rows in kinds(trials):
        for met, look, place in ((False, OTHER, ""), (True, MET, ", in the goal set")):
            dots = seen.shown[rows[seen.shown] & (seen.good[seen.shown] == met)]
            if len(dots):
                _points(axes, x[dots], y[dots], len(seen.shown), marker=MARKERS[kind], label=kind + place, **look)
    if math.isfinite(sensitivity.threshold):
        axes.axhline(sensitivity.threshold, color=BLUE, linewidth=1, linestyle="--", label="edge of the goal set")
    best_x = best.cost if seen.known else float(best.index)
    if math.isfinite(best_x):
        axes.plot(best_x, best.objective, zorder=5, label="best", **STAR)
    axes.set_xscale("log" if seen.known and wide(x[seen.able]) else "linear")
    axes.set_yscale("log" if wide(y[seen.able]) else "linear")
    across = shorten(cost, 60) if seen.known else "trial number"
    axes.set_xlabel(across if seen.known else "trial number (costs are unknown)")
    axes.set_ylabel(shorten(metric, 60))
    axes.set_title(f"{shorten(metric, 40)} against {across}", pad=20)
    axes.text(0.0, 1.025, plane_note(trials, seen), transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


def _points(axes: Axes, x: Floats, y: Floats, among: int, *, s: float, **look: Any) -> None:
    """Points `among` so many, as a bitmap: a page with 100,000 trials stays small."""
    axes.scatter(x, y, s=crowding(among) ** 2 * s, rasterized=True, **look)


def _own_values(axis: Axis, set_scale: Callable[[str], None], name: str, its: Scale) -> None:
    """The values of a hyperparameter on its own scale."""
    set_scale("log" if its.log else "linear")
    if its.levels:
        kept = few_ticks(its.levels)
        axis.set_ticks(np.array(kept, dtype=np.float64), [shorten(its.levels[k], 14) for k in kept])
    axis.set_label_text(shorten(name))
