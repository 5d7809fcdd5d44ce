"""Decides which trials a picture shows as points, where they lie, and what it says about those it leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.indices.findings import Findings, Pair
from hsicfast.report.axes import Scale, fits_log_axis, scale
from hsicfast.report.style import BLUE, GREY, Mark
from hsicfast.text import clip, p_text
from hsicfast.trials.goal import within_fence
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, FINAL, INFEASIBLE, PRUNED, SEARCH, Trial

GOOD_TRIALS = "trials in the goal set"
EDGE_LABEL = "edge of the goal set"
GOOD, OTHER = Mark("triangle-up", BLUE), Mark("circle", GREY, filled=False)
KIND_SHAPES = {
    "trials": "circle",
    "design": "circle",
    "search": "square",
    "finalists again": "diamond",
    "stopped early": "triangle-down",
}
# Up to MOST_POINTS points can be told apart on a picture, and they keep a page of 100,000 trials small.
MOST_POINTS = 5000
# Up to FREE_POINTS points keep their full size; more points shrink so that together they cover the same area.
FREE_POINTS = 600
# Values that would make an axis more than MOST_STRETCHED times as long are not shown.
MOST_STRETCHED = 3.0


class Layer(NamedTuple):
    """Points of one kind: their label, their mark, and their positions or a mask of them."""

    label: str
    mark: Mark
    points: Rows | Bools


class Cloud(NamedTuple):
    """The trials in which both hyperparameters of a pair exist, in the plane of the two.

    Attributes
    ----------
    first, second : Scale
        Axes of the shown trials (m,).
    rows : array (m,)
        Rows of the table.
    layers : list of Layer
        As masks (m,).
    title, note : str
        The note has two lines.
    """

    first: Scale
    second: Scale
    rows: Rows
    layers: list[Layer]
    title: str
    note: str


class Plane(NamedTuple):
    """Objective against cost, or against the number of the trial if no cost is known.

    Attributes
    ----------
    x, y : array (n,)
        Values of all trials of the table.
    layers : list of Layer
        As rows of the table; each has a point.
    n_shown : int
    known : bool
        Whether `x` is the cost.
    along_x, along_y : array
        All values that can be shown; `log_x` and `log_y` say whether their axes are logarithmic.
    edge : float or None
        Edge of the goal set; None if it is not finite.
    best : tuple of float, or None
        Place of the best trial; None if its cost is unknown.
    title, note, across, up : str
    """

    x: Floats
    y: Floats
    layers: list[Layer]
    n_shown: int
    known: bool
    along_x: Floats
    along_y: Floats
    log_x: bool
    log_y: bool
    edge: float | None
    best: tuple[float, float] | None
    title: str
    note: str
    across: str
    up: str


def some_of(good: Bools, seed: int, most: int = MOST_POINTS) -> Rows:
    """Positions of at most `most` trials, drawn at random: up to half of them are good, more if there are few others.

    Examples
    --------
    >>> some_of(np.array([False, True, False, False, True]), seed=0, most=4)
    array([0, 1, 3, 4])
    """
    inside, outside = np.flatnonzero(good), np.flatnonzero(~good)
    places = min(len(inside), max(most // 2, most - len(outside)))
    random = np.random.default_rng(seed)
    kept = (random.permutation(inside)[:places], random.permutation(outside)[: most - places])
    return np.sort(np.concatenate(kept))


def crowding(n: int) -> float:
    """The factor by which points shrink if there are n of them.

    Examples
    --------
    >>> crowding(300), crowding(5000)
    (1.0, 0.5)
    """
    return min(1.0, max(0.5, math.sqrt(FREE_POINTS / max(n, 1))))


def some_text(good: Bools, shown: Rows) -> str:
    """How many trials a picture shows, in words.

    Examples
    --------
    >>> some_text(np.array([True, False]), np.array([0, 1]))
    '2 trials, 1 good'
    >>> some_text(np.array([True, False, False]), np.array([0, 2]))
    '1 of 1 good and 1 of 2 other trials, drawn at random'
    """
    if len(shown) == len(good):
        return f"{len(good):,} trials, {np.count_nonzero(good):,} good"
    inside, outside = int(good[shown].sum()), int((~good[shown]).sum())
    n_good = int(good.sum())
    return f"{inside:,} of {n_good:,} good and {outside:,} of {len(good) - n_good:,} other trials, drawn at random"


def cloud(sensitivity: Findings, pair: Pair) -> Cloud:
    """The trials that judged a pair."""
    table, seed = sensitivity.trials, sensitivity.question.seed
    rows = np.flatnonzero(table.active(pair.first) & table.active(pair.second))
    good = sensitivity.question.met(table.objective[rows]).met
    shown = some_of(good, seed)
    random = np.random.default_rng(seed)
    first, second = (
        scale(table.space[name], table.values[name][rows[shown]], random) for name in (pair.first, pair.second)
    )
    z = good[shown]
    layers = [Layer("other trials", OTHER, ~z), Layer(GOOD_TRIALS, GOOD, z)]
    title = f"Goal set: {clip(pair.first, 24)} × {clip(pair.second, 24)}"
    note = f"{some_text(good, shown)}{_among(sensitivity, pair, rows, good)}\n{pair_note(sensitivity, pair)}"
    return Cloud(first, second, rows[shown], layers, title, note)


def _among(sensitivity: Findings, pair: Pair, rows: Rows, good: Bools) -> str:
    """Which trials a picture of a pair is of, if not all, and whose best they are if that is another goal."""
    if len(rows) == len(sensitivity.trials):
        return ""
    best = "" if np.array_equal(good, sensitivity.met[rows]) else ": the best of these"
    return f" (only trials that have both{best})"


def pair_note(sensitivity: Findings, pair: Pair) -> str:
    """What the test says about the clearest pair."""
    beside = len(sensitivity.pair_indices)
    chosen = f"the clearest of {beside} pairs, " if beside > 1 else ""
    return f"{chosen}interaction alone: p {p_text(pair.pvalue_pure)}" + (", not adjusted" if beside > 1 else "")


def plane(
    sensitivity: Findings, trials: TrialTable, best: Trial, metric: str, cost: str, *, by_cost: bool | None = None
) -> Plane:
    """Objective against cost of `trials`, with the edge of the goal set and the best trial.

    A trial stopped early has an objective to show only if the analysis judged it by that. Unless `by_cost` says which,
    the number of the trial takes the place of the cost where no cost is known.
    """
    finished = np.isfinite(trials.objective) & (trials.status != DIVERGED)
    if sensitivity.pruned != "last":
        finished &= trials.status != PRUNED
    known = bool(np.isfinite(trials.cost[finished]).any()) if by_cost is None else by_cost
    x = trials.cost if known else trials.index.astype(np.float64)
    y, edge = trials.objective, sensitivity.threshold
    good = sensitivity.question.losses(y) <= sensitivity.question.losses(edge)
    able = finished & np.isfinite(x)
    far = far_off(y, able, sensitivity.question.losses) & ~good
    able &= ~far
    shown = np.flatnonzero(able)[some_of(good[able], sensitivity.question.seed)]
    layers = [
        Layer(kind + inside, Mark(KIND_SHAPES[kind], colour, filled=met), shown[rows[shown] & (good[shown] == met)])
        for kind, rows in trial_kinds(trials)
        for met, colour, inside in ((False, OTHER.colour, ""), (True, GOOD.colour, ", in the goal set"))
    ]
    best_x = best.cost if known else float(best.index)
    across = clip(cost, 60) if known else "trial number"
    return Plane(
        x=x,
        y=y,
        layers=[layer for layer in layers if len(layer.points)],
        n_shown=len(shown),
        known=known,
        along_x=x[able],
        along_y=y[able],
        log_x=known and fits_log_axis(x[able]),
        log_y=fits_log_axis(y[able]),
        edge=edge if math.isfinite(edge) else None,
        best=(best_x, best.objective) if math.isfinite(best_x) else None,
        title=f"{clip(metric, 40)} against {across}",
        note=plane_note(trials, good, able, far, shown, sensitivity.n_met),
        across=across if known or by_cost is not None else "trial number (costs are unknown)",
        up=clip(metric, 60),
    )


def front_plane(objectives: Objectives, trials: TrialTable, compromise: Trial) -> Plane:
    """The second of several objectives against the first, with the front and the compromise on it."""
    across, up = objectives.names[:2]
    able = objectives.done(trials)
    x, y = (np.where(able, trials.metrics[name].astype(np.float64), np.nan) for name in (across, up))
    front = np.isin(trials.index, objectives.front(trials).index)
    shown = np.flatnonzero(able)[some_of(front[able], seed=0)]
    ends = {name: "small" if objectives.minimizes(name) else "large" for name in (across, up)}
    good = " and ".join(f"{end} {clip(name, 30)}" for name, end in ends.items())
    layers = [Layer("other trials", OTHER, shown[~front[shown]]), Layer("the front", GOOD, shown[front[shown]])]
    said = f"{len(shown):,} of {np.count_nonzero(able):,} trials, {np.count_nonzero(front):,} on the front"
    return Plane(
        x=x,
        y=y,
        layers=[layer for layer in layers if len(layer.points)],
        n_shown=len(shown),
        known=True,
        along_x=x[able],
        along_y=y[able],
        log_x=fits_log_axis(x[able]),
        log_y=fits_log_axis(y[able]),
        edge=None,
        best=(float(compromise.metrics[across]), float(compromise.metrics[up])),
        title=f"{clip(up, 40)} against {clip(across, 40)}",
        note=f"{said}; {good} are good",
        across=clip(across, 60),
        up=clip(up, 60),
    )


def trial_kinds(trials: TrialTable) -> list[tuple[str, Bools]]:
    """The kinds of trials: finished ones of the design, the search and the finals, and those stopped early."""
    early, searched, final = trials.status == PRUNED, trials.origin == SEARCH, trials.origin == FINAL
    return [
        ("design" if searched.any() else "trials", ~early & ~searched & ~final),
        ("search", ~early & searched),
        ("finalists again", ~early & final),
        ("stopped early", early),
    ]


def far_off(values: Floats, known: Bools, losses: Callable[[Floats], Floats]) -> Bools:
    """Whether objectives (n,) are so far from the best that a picture of all that are `known` would show nothing else.

    These are the ones beyond Tukey's outer fence, on the axis that suits the values, if they make it more than
    MOST_STRETCHED times as long.

    Examples
    --------
    >>> values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 1e14, np.nan])
    >>> far_off(values, np.isfinite(values), np.positive).tolist()
    [False, False, False, False, False, True, False]
    """
    if not known.any():
        return np.zeros_like(known)
    at = np.log10(values, where=known, out=np.full(len(values), np.nan)) if fits_log_axis(values[known]) else values
    away = losses(at)
    far = known & (away > within_fence(away[known]))
    stretched = np.ptp(at[known]) > MOST_STRETCHED * np.ptp(at[known & ~far])
    return far if stretched else np.zeros_like(far)


def plane_note(trials: TrialTable, good: Bools, able: Bools, far: Bools, shown: Rows, analysed: int) -> str:
    """How many trials are `shown`, and why those that are not `able` to be shown are missing.

    Those that lie `far` off are named by how many they are.

    The optimiser's trials are not analysed; if some of them are good, too, `analysed` says how many of the good are.
    """
    parts = [some_text(good[able], np.searchsorted(np.flatnonzero(able), shown))]
    if (trials.origin[good & able] != DESIGN).any():
        parts[0] += f", {analysed:,} of them analysed"
    infeasible = trials.failure == INFEASIBLE
    for rows, what in (
        ((trials.status == DIVERGED) & ~infeasible, "diverged (nothing to show)"),
        (infeasible, "infeasible"),
        (trials.status == PRUNED, "were stopped early"),
        (far, "beyond the axis"),
    ):
        missing = int(np.count_nonzero(rows & ~able))
        if missing:
            parts.append(f"{missing:,} {what}")
    unknown = int(np.count_nonzero((trials.status == DONE) & ~able & ~far))
    return "; ".join([*parts, *([f"{unknown:,} of unknown cost"] if unknown else [])])
