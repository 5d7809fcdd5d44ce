"""Hyperparameters beside each other, for print: error against cost, and the ranking against the goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.indices.findings import ALPHA
from hsicfast.report.axes import place_labels
from hsicfast.report.content import QUADRANTS, noise_r2, quadrant
from hsicfast.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    legend,
    sheet,
    shorten,
    styled,
)
from hsicfast.text import share_text
from hsicfast.trials.goal import goal_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hsicfast.indices.findings import Findings, Index
    from hsicfast.indices.stability import Sweep

# What each quadrant's marks look like: in shape, fill and colour.
QUADRANT_LOOKS: dict[str, dict[str, Any]] = {
    "buys error": {"marker": "o", "ms": 9, "color": BLUE},
    "buys error and burns compute": {"marker": "^", "ms": 9.5, "color": GREEN},
    "only burns compute": {"marker": "s", "ms": 8.5, "color": VERMILION},
    "neither seen": {"marker": "D", "ms": 6.5, "color": GREY, "mfc": "white"},
}
# Lines that differ in dash and mark where they do not in a grey print.
LINES = tuple(
    zip(
        (BLUE, VERMILION, GREEN, INK, ORANGE, PURPLE, SKY, GREY),
        ("-", "--", "-.", ":", "-", "--", "-.", ":"),
        ("o", "s", "^", "D", "v", "P", "X", "p"),
        strict=True,
    )
)
R2_TICKS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)


@styled
def relevance_figure(both: list[tuple[Index, Index]], *, cost: str = "cost") -> Figure:
    """R2 of each hyperparameter for the goal against its R2 for being cheap."""
    at = np.sqrt([[c.r2, e.r2] for e, c in both])
    noise = np.sqrt([noise_r2(c for _, c in both), noise_r2(e for e, _ in both)])
    width, height = 7.4, 5.4
    figure = sheet(width, height)
    axes = figure.add_subplot()
    top = np.maximum(1.18 * at.max(axis=0), 2.5 * noise)
    axes.axvspan(-top[0], noise[0], color=PALE, alpha=0.5, linewidth=0, zorder=0)
    axes.axhspan(
        -top[1], noise[1], color=PALE, alpha=0.5, linewidth=0, zorder=0, label="what chance alone gives on average"
    )
    for kind in QUADRANTS.values():
        dots = [place for place, two in enumerate(both) if quadrant(*two) == kind]
        axes.plot(*at[dots].T, ls="none", label=kind, zorder=3, **QUADRANT_LOOKS[kind])
    low = -0.06 * top
    axes.set(xlim=(low[0], top[0]), ylim=(low[1], top[1]))
    # Who only burns compute often lies at the bottom: its name stands above the noise.
    for x, y, ha, va, text in (
        (low[0], top[1], "left", "top", " buys error"),
        (top[0], top[1], "right", "top", "buys error and burns compute"),
        (top[0], noise[1], "right", "bottom", "only burns compute"),
    ):
        axes.text(x, y, text, ha=ha, va=va, color=GREY, style="italic", fontsize=9.5)
    # The axes take about this much of the sheet; a letter is 5.6 points wide.
    inside = np.array([width - 0.9, height - 1.6]) * 72
    names = [shorten(e.name, 24) for e, _ in both]
    sides = place_labels((at - low) / (top - low) * inside, names, (inside[0], inside[1]), (5.6, 11.0), 8.0)
    for (x, y), name, side in zip(at, names, sides, strict=True):
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
    axes.set_xlabel(f"R² for being among the cheapest by {shorten(cost, 30)}")
    axes.set_ylabel("R² for the goal")
    axes.set_title("What buys error, and what only burns compute", pad=20)
    unnamed = sum(side is None for side in sides)
    note = "axes by the square root of R²" + (f"; {unnamed} without room for a name" if unnamed else "")
    axes.text(0.0, 1.02, note, transform=axes.transAxes, color=GREY, fontsize=9)
    legend(figure)
    return figure


@styled
def ranking_figure(sensitivity: Findings, sweep: Sweep, chosen: list[int]) -> Figure:
    """How the ranking of the main group moves with the share of trials that counts as good."""
    x = 100 * np.array(sweep.shares)
    lowest = int(sweep.rank[:, chosen].max())
    figure = sheet(7.4, 1.9 + 0.3 * lowest)
    axes = figure.add_subplot()
    asked = 100 * float(sensitivity.met.mean())
    if asked <= x[-1]:
        axes.axvline(asked, color=PALE, linewidth=6, zorder=0)
    for (colour, dash, marker), name in zip(LINES, chosen, strict=False):
        rank, seen = sweep.rank[:, name], sweep.pvalue[:, name] <= ALPHA
        axes.plot(x, rank, color=colour, linestyle=dash, linewidth=1.6, alpha=0.85 if seen.any() else 0.4, zorder=1)
        for rows, face in ((seen, colour), (~seen, "white")):
            axes.plot(x[rows], rank[rows], marker, ms=7, color=colour, mfc=face, mew=1.3, zorder=2)
        axes.text(x[-1] + 1.2, rank[-1], shorten(sweep.names[name], 24), va="center", color=INK)
    axes.set_xticks(x, [share_text(share) for share in sweep.shares])
    axes.set_xlim(x[0] - 1.5, x[-1] + 1)
    axes.set_yticks(range(1, lowest + 1))
    axes.set_ylim(lowest + 0.5, 0.5)
    axes.tick_params(length=0)
    axes.set_xlabel("share of trials that counts as good")
    axes.set_ylabel("rank by the index")
    left_out = len(sweep.names) - len(chosen)
    axes.set_title("How the ranking moves with the goal" + (f" ({left_out} left out)" if left_out else ""))
    axes.plot([], [], "o", ms=7, color=GREY, label=f"evidence that it decides: p ≤ {ALPHA}, not adjusted")
    axes.plot([], [], "o", ms=7, color=GREY, mfc="white", mew=1.3, label="none seen")
    if asked <= x[-1]:
        goal = goal_text(sensitivity.goal, sensitivity.question.minimize)
        axes.plot([], [], color=PALE, linewidth=6, label=f"asked here: {goal}")
    legend(figure)
    return figure
