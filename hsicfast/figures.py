"""The pictures of a run as matplotlib figures; no pyplot, no state, nothing is shown.

Colours are Okabe and Ito's, which the colour-blind tell apart; shape, fill or hatch tell the same in a grey print.
matplotlib, an extra, is imported by the first figure.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from hsicfast.space import Bool, Choice, Float, Hyperparameter, Int
from hsicfast.trials import DESIGN, DIVERGED, DONE, Trial, TrialTable
from hsicfast.words import goal_text, p_text, shorten, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hsicfast.findings import Findings, Index, Pair

Parameters = ParamSpec("Parameters")
Drawn = TypeVar("Drawn")

BLUE, VERMILION, INK, GREY, PALE = "#0072B2", "#D55E00", "#222222", "#767676", "#E3E3E3"
STYLE = {
    **{"font.size": 9.5, "axes.titlesize": 11.5, "axes.titlelocation": "left", "axes.titlepad": 10},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "text.color": INK},
    **{f"{axis}tick.{part}": tone for axis in "xy" for part, tone in (("color", GREY), ("labelcolor", INK))},
    **{"legend.frameon": False, "legend.fontsize": 9, "hatch.linewidth": 0.6},
    # Text as outlines looks alike everywhere; without a salt every SVG of the same figure differs.
    **{"svg.fonttype": "path", "svg.hashsalt": "hsicfast"},
}
MATTERS: dict[str, Any] = {"marker": "o", "ms": 7.5, "color": BLUE, "ls": "none"}
OPEN: dict[str, Any] = {"marker": "D", "ms": 5.5, "color": GREY, "mfc": "white", "ls": "none"}
FLOOR: dict[str, Any] = {"marker": "|", "ms": 12, "mew": 1.8, "color": VERMILION, "ls": "none"}
STAR: dict[str, Any] = {"marker": "*", "ms": 17, "color": VERMILION, "mec": "white", "ls": "none"}
EVERYONE: dict[str, Any] = {"color": PALE, "edgecolor": GREY, "linewidth": 0.8}
GOOD: dict[str, Any] = {"color": BLUE, "alpha": 0.75, "hatch": "///", "edgecolor": "white", "linewidth": 0.0}
MOST_PAIRED, MOST_MARGINALS, MOST_LEVELS = 15, 6, 12


def styled(draw: Callable[Parameters, Drawn]) -> Callable[Parameters, Drawn]:
    """Let `draw` work under our style alone, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Drawn:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return drawn


def draw_all(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> dict[str, Figure]:
    """The figures of a run by file name, without those that have nothing to show.

    `trials` are all of the run, analysed or not; `best` is the one to mark; `metric` and `cost` name the axes.
    """
    drawn = {"indices": indices_figure(sensitivity)}
    if sensitivity.pair_indices:
        drawn["pairs"] = pairs_figure(sensitivity)
    drawn["marginals"] = marginals_figure(sensitivity)
    drawn["error_against_cost"] = cost_figure(sensitivity, trials, best, metric=metric, cost=cost)
    return drawn


@styled
def render(figure: Figure, kind: str) -> bytes:
    """The figure as a ``png`` (150 dpi) or ``svg`` file, the same bytes every time."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that matplotlib's font lacks is drawn as boxes; the tables spell it out.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


@styled
def indices_figure(sensitivity: Findings) -> Figure:
    """HSIC of each hyperparameter with its interval, noise floor and p-value, the main group first."""
    headers: list[tuple[float, Index]] = []
    rows: list[tuple[float, Index]] = []
    bottom = 0.0
    for index in sensitivity.indices:
        if not headers or index.group != headers[-1][1].group:
            bottom += 0.5 if headers else 0.0
            headers.append((bottom, index))
            bottom += 1.0
        rows.append((bottom, index))
        bottom += 1.0
    figure = _canvas(7.4, 1.9 + 0.27 * bottom)
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
    _legend(figure)
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
    figure = _canvas(side + 1.6, side + 0.9)
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
    _legend(figure)
    return figure


@styled
def marginals_figure(sensitivity: Findings) -> Figure:
    """For the strongest hyperparameters: where all trials lie, and where the good ones do."""
    chosen = clearest(sensitivity)[:MOST_MARGINALS]
    columns = min(2, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = _canvas(3.8 * columns + 0.4 * (columns == 1), 2.35 * rows + 0.8)
    for panel, index in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, panel + 1)
        u, _, z = sensitivity.carried(index.name)
        _marginal(axes, sensitivity.trials.space[index.name], u, z)
        axes.set_title(shorten(index.name), fontsize=10.5, pad=16)
        note = f"n = {len(u)}, {int(np.sum(z))} good, Holm p {p_text(index.pvalue_holm)}"
        note += "" if index.group == "main" else f", {shorten(index.group, 24)}"
        axes.text(0.0, 1.03, note, transform=axes.transAxes, color=GREY, fontsize=8.5)
        axes.set_ylabel("share of trials" if panel % columns == 0 else "")
    _legend(figure, axes)
    return figure


@styled
def cost_figure(
    sensitivity: Findings, trials: TrialTable, best: Trial, *, metric: str = "objective", cost: str = "cost"
) -> Figure:
    """Objective against cost, with the goal set and the best trial; against trial number where costs are unknown."""
    done = trials.status == DONE
    known = bool(np.isfinite(trials.cost[done]).any())
    x = trials.cost if known else trials.index.astype(np.float64)
    y = trials.objective
    shown = done & np.isfinite(x)
    good = y <= sensitivity.threshold if sensitivity.question.minimize else y >= sensitivity.threshold
    designed = trials.origin == DESIGN
    figure = _canvas(7.4, 4.6)
    axes = figure.add_subplot()
    for origin, marker, rows in (("design", "o", designed), ("search", "s", ~designed)):
        for members, face, edge, place in ((~good, "none", GREY, ""), (good, BLUE, "white", ", in the goal set")):
            dots = shown & rows & members
            if dots.any():
                # As a bitmap, so that a page with 100,000 trials stays small.
                cloud = axes.scatter(x[dots], y[dots], s=26, marker=marker, linewidths=0.7, rasterized=True)
                cloud.set(facecolor=face, edgecolor=edge, label=origin + place)
    if math.isfinite(sensitivity.threshold):
        axes.axhline(sensitivity.threshold, color=BLUE, linewidth=1, linestyle="--", label="edge of the goal set")
    best_x = best.cost if known else float(best.index)
    if math.isfinite(best_x):
        axes.plot(best_x, best.objective, zorder=5, label="best", **STAR)
    axes.set_xscale("log" if known and wide(x[shown]) else "linear")
    axes.set_yscale("log" if wide(y[shown]) else "linear")
    across = shorten(cost, 60) if known else "trial number"
    axes.set_xlabel(across if known else "trial number (costs are unknown)")
    axes.set_ylabel(shorten(metric, 60))
    axes.set_title(f"{shorten(metric, 40)} against {across}", pad=20)
    axes.text(0.0, 1.025, _left_out(trials, shown), transform=axes.transAxes, color=GREY, fontsize=9)
    _legend(figure)
    return figure


def strongest_paired(sensitivity: Findings, most: int = MOST_PAIRED) -> list[str]:
    """Up to `most` names for the pair matrix, in the order of the indices.

    They are taken in turn from the clearest interactions and from the clearest main effects: by main effects alone the
    partners of an exclusive-or would be left out.
    """
    pairs = clearest_pairs(sensitivity.pair_indices)
    by_pure = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    by_main = [index.name for index in clearest(sensitivity) if index.name in by_pure]
    turns = [name for turn in zip(by_pure, by_main, strict=True) for name in turn]
    chosen = list(dict.fromkeys(turns))[:most]
    return [index.name for index in sensitivity.indices if index.name in chosen]


def clearest(sensitivity: Findings) -> list[Index]:
    """The indices by their evidence: in a group of few trials chance alone makes an index large."""
    return sorted(sensitivity.indices, key=lambda index: (np.nan_to_num(index.pvalue, nan=2.0), -index.hsic))


def clearest_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs by the evidence for their interaction: the published index is large beside any main effect."""
    return sorted(pairs, key=lambda pair: (pair.pvalue_pure, -pair.pure))


def ticks(hyperparameter: Hyperparameter) -> tuple[NDArray[np.float64], list[str]]:
    """Positions on [0, 1] and the hyperparameter's own values there.

    Examples
    --------
    >>> ticks(Float(1e-4, 1.0, log=True))
    (array([0.  , 0.25, 0.5 , 0.75, 1.  ]), ['0.0001', '0.001', '0.01', '0.1', '1'])
    """
    if isinstance(hyperparameter, Float) and hyperparameter.log:
        first, last = math.ceil(math.log10(hyperparameter.low)), math.floor(math.log10(hyperparameter.high))
        decades = [float(f"1e{k}") for k in range(first, last + 1, max(1, math.ceil((last - first) / 4)))]
        if len(decades) >= 3:
            return hyperparameter.to_unit(decades), [value_text(value) for value in decades]
    quarters = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    return quarters, [value_text(hyperparameter.from_unit(float(u))) for u in quarters]


def levels(hyperparameter: Hyperparameter) -> list[Any]:
    """The values of a discrete hyperparameter; none where they are too many to be told apart on an axis."""
    if hyperparameter.levels is None or hyperparameter.levels > MOST_LEVELS:
        return []
    if isinstance(hyperparameter, Choice | Bool):
        return list(hyperparameter.choices)
    if isinstance(hyperparameter, Int):
        return list(range(hyperparameter.low, hyperparameter.high + 1, hyperparameter.step))
    middles = (np.arange(hyperparameter.levels) + 0.5) / hyperparameter.levels
    return [hyperparameter.from_unit(float(u)) for u in middles]


def wide(values: NDArray[np.float64]) -> bool:
    """Whether a logarithmic axis serves: everything positive, over more than a factor of ten."""
    return bool(len(values) and values.min() > 0 and values.max() > 10 * values.min())


def _marginal(axes: Axes, hyperparameter: Hyperparameter, u: NDArray[np.float64], z: NDArray[np.bool_]) -> None:
    values = levels(hyperparameter)
    if values:
        level = np.abs(u[:, None] - hyperparameter.to_unit(values)).argmin(axis=1)
        everyone, good = (np.bincount(level[rows], minlength=len(values)) for rows in (slice(None), z))
        left, width = np.arange(len(values)) - 0.4, 0.8
        labels = [shorten(value_text(value), 14) for value in values]
        axes.set_xticks(np.arange(len(values)), labels)
        if sum(map(len, labels)) > 34:
            axes.tick_params(axis="x", rotation=20)
    else:
        edges = np.linspace(0.0, 1.0, 1 + int(np.clip(1.5 * math.sqrt(np.sum(z)), 5, 20)))  # a few good trials a bar
        everyone, good = (np.histogram(u[rows], edges)[0] for rows in (slice(None), z))
        left, width = edges[:-1], edges[1]
        axes.set_xticks(*ticks(hyperparameter))
        axes.set_xlim(-0.02, 1.02)
    axes.bar(left, everyone / max(everyone.sum(), 1), width, align="edge", label="all trials", **EVERYONE)
    inner = left + 0.18 * width
    axes.bar(inner, good / max(good.sum(), 1), 0.64 * width, align="edge", label="trials in the goal set", **GOOD)
    axes.locator_params(axis="y", nbins=4)


def _left_out(trials: TrialTable, shown: NDArray[np.bool_]) -> str:
    diverged, unknown = (trials.status == DIVERGED).sum(), ((trials.status == DONE) & ~shown).sum()
    text = f"{shown.sum()} trials; {diverged} diverged and have no value to show"
    return text + (f"; {unknown} of unknown cost" if unknown else "")


def _canvas(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _legend(figure: Figure, axes: Axes | None = None) -> None:
    """One legend below everything, of what is labelled in `axes`, the first by default."""
    handles, labels = (axes or figure.axes[0]).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handletextpad=0.5)
