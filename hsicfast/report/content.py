"""Decides what the pictures of an analysis show, once for print, page and dashboard: rows, cells, marks, words.

figures.py, drawings.py and dashboard/charts.py place what they get from here; they escape names and choose sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.indices.findings import ABOUT, ALPHA, JOINT, Findings, Index, Pair
from hsicfast.report.ranking import clearest_ranks
from hsicfast.report.style import BLUE, GREEN, GREY, INK, VERMILION, Mark
from hsicfast.text import clip, share_text
from hsicfast.trials.goal import AUTO, FEWEST_GOOD, USUAL_SHARE, Threshold, goal_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

# A pair matrix shows up to MOST_PAIRED names.
MOST_PAIRED = 15
# A dot on a cell is white if the cell is darker than this part of its colour scale.
DARK = 0.55
# The names of the highest marks need room above them, and the grey band of chance must not fill the picture.
ROOM_ABOVE_MARKS, ROOM_ABOVE_NOISE = 1.18, 2.5
# The axes of R2 begin this part of their length below 0, so that a mark at 0 is whole.
ROOM_BELOW = 0.06
R2_TICKS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)

# The keys of INDEX_ say whether there is evidence that a hyperparameter decides.
INDEX_LABELS = {True: f"matters: adjusted p ≤ {ALPHA}", False: "no evidence either way"}
INDEX_MARKS = {True: Mark("circle", BLUE), False: Mark("diamond", GREY, filled=False)}
FLOOR_LABEL = "noise floor: mean under independence"
CHANCE_LABEL = "what chance alone gives on average"
# The keys say whether there is evidence that a hyperparameter decides (error, cost).
QUADRANTS = {
    (True, False): "buys error",
    (True, True): "buys error and burns compute",
    (False, True): "only burns compute",
    (False, False): "neither seen",
}
QUADRANT_MARKS = {
    "buys error": Mark("circle", BLUE),
    "buys error and burns compute": Mark("triangle-up", GREEN),
    "only burns compute": Mark("square", VERMILION),
    "neither seen": Mark("diamond", GREY, filled=False),
}


class Heading(NamedTuple):
    """The heading of a group of indices: its height, the trials that judge the group, and their number."""

    y: float
    where: str
    n: int


class IndexRows(NamedTuple):
    """The indices as rows from the top down: headings and rows with their heights; the rows end at `bottom`."""

    headings: list[Heading]
    rows: list[tuple[float, Index]]
    bottom: float
    title: str
    across: str


class Half(NamedTuple):
    """One half of the pair matrix.

    Attributes
    ----------
    values : array (q, q)
        NaN outside the half and for pairs that were not judged.
    marked : array (q, q) of bool
        Whether there is evidence.
    top : float
        The colour scale runs from 0 to here.
    label, hue : str
    dots : list of tuple
        Row, column and colour of the dot on each marked cell.
    """

    values: Floats
    marked: Bools
    top: float
    label: str
    hue: str
    dots: list[tuple[int, int, str]]


class PairMatrix(NamedTuple):
    """The matrix of pairs: interaction alone above the diagonal, published index below it.

    `cells` holds row and column of the published index of each pair; the interaction alone lies at (column, row).
    `gaps` holds row and column of the pairs that were not judged.
    """

    names: list[str]
    above: Half
    below: Half
    cells: list[tuple[int, int, Pair]]
    gaps: Rows
    title: str
    note: str


class Corner(NamedTuple):
    """The name of a quadrant in its corner: a place, the ends of the text that lie there, the text."""

    x: float
    y: float
    across: str
    up: str
    text: str


class RelevanceMap(NamedTuple):
    """R2 for the goal (y) against R2 for being cheap (x), as square roots.

    Attributes
    ----------
    at : array (m, 2)
    ends : array (2, m, 2)
        Low and high ends of their intervals, long for those that few trials have.
    noise, low, top : array (2,)
        What chance alone gives, and the ends of the axes.
    marks : list of tuple
        Each quadrant with its mark and the positions that lie in it.
    names : list of str (m,)
    corners : list of Corner
    title, note, across, up : str
    """

    at: Floats
    ends: Floats
    noise: Floats
    low: Floats
    top: Floats
    marks: list[tuple[str, Mark, list[int]]]
    names: list[str]
    corners: list[Corner]
    title: str
    note: str
    across: str
    up: str


def pictured(
    sensitivity: Conclusions, trials: TrialTable, best: Trial, *, metric: str, cost: str
) -> dict[str, dict[str, Any]]:
    """The parameters that draw each picture, by its name; pictures with nothing to show are left out."""
    found: dict[str, dict[str, Any]] = {"indices": {"sensitivity": sensitivity}}
    if sensitivity.pair_indices:
        found["pairs"] = {"sensitivity": sensitivity}
        found["goal_set"] = {"sensitivity": sensitivity, "pair": clearest_pairs(sensitivity.pair_indices)[0]}
    found["marginals"] = {"sensitivity": sensitivity}
    both = relevance(sensitivity)
    if both:
        found["relevance"] = {"both": both, "cost": cost}
    moves = clearest_ranks(sensitivity)
    if moves is not None:
        found["ranking"] = {"sensitivity": sensitivity, "sweep": moves[0], "chosen": moves[1]}
    found["error_against_cost"] = {"sensitivity": sensitivity, "trials": trials, "best": best}
    found["error_against_cost"] |= {"metric": metric, "cost": cost}
    return found


def clearest(sensitivity: Findings) -> list[Index]:
    """The indices, the clearest evidence first: in a group of few trials chance alone makes an index large."""
    return sorted(sensitivity.indices, key=lambda index: (np.nan_to_num(index.pvalue, nan=2.0), -index.hsic))


def clearest_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs, the clearest interactions first: the published index is large beside any main effect."""
    return sorted(pairs, key=lambda pair: (np.nan_to_num(pair.pvalue_pure, nan=2.0), -pair.pure))


def above_chance(index: Index) -> tuple[float, float, float, float]:
    """R² of an index, the ends of its interval and what chance alone gives, all on one scale.

    A group of few trials shows by its interval, and by what chance gives there, that a large index says little.
    """
    scale = index.r2 / index.hsic if index.hsic > 0 else 0.0
    low, high = interval_seen(index)
    return index.r2, scale * low, scale * high, scale * index.noise_floor


def interval_seen(index: Index) -> tuple[float, float]:
    """The interval of an index as it is drawn beside the index, which it then holds.

    The interval is of what lies above chance, so its ends move up by the noise floor; an interval that holds no effect
    at all begins at 0.
    """
    low = index.ci_low + index.noise_floor if index.ci_low > 0 else 0.0
    return min(low, index.hsic), max(index.ci_high + index.noise_floor, index.hsic)


def in_groups(indices: Iterable[Index]) -> list[tuple[str, list[Index]]]:
    """The indices group by group."""
    groups: dict[str, list[Index]] = {}
    for index in indices:
        groups.setdefault(index.group, []).append(index)
    return list(groups.items())


def where_text(group: str) -> str:
    """The trials that judge a group, in words.

    Examples
    --------
    >>> where_text("main"), where_text("optimizer=sgd")
    ('all trials', 'only where optimizer=sgd')
    """
    return "all trials" if group == "main" else f"only where {clip(group, 60)}"


def p_meaning(sensitivity: Findings) -> str:
    """What the p-values of the hyperparameters say, in two sentences."""
    question = sensitivity.question
    if question.test != JOINT:
        said = "p is how often chance alone would give an index this large."
    else:
        shares = ABOUT[question.about]
        named = ", ".join(f"{100 * share:.0f}" for share in shares[:-1]) + f" or {100 * shares[-1]:.0f}"
        asked = "" if sensitivity.goal in shares else f"{goal_text(sensitivity.goal, question.minimize)}, or "
        said = (
            "p is how often chance alone would give as clear a relation at any of several goals: to end "
            f"{asked}among the best {named}%."
        )
    return f"{said} The adjusted p is corrected for the number of hyperparameters."


def good_end(sensitivity: Findings, metric: str) -> str:
    """Which end of the objective is good, and how many trials lie there.

    Parameters
    ----------
    sensitivity : Findings
    metric : str
        Name of the objective.
    """
    reached = goal_text(Threshold(sensitivity.threshold), sensitivity.question.minimize)
    return f"{metric} {reached} is good: {sensitivity.n_met:,} of {sensitivity.n:,}."


def group_goal(sensitivity: Findings) -> str:
    """The goal of a conditional group, as a text that continues "ends"."""
    goal = sensitivity.question.goal
    if goal == AUTO:
        return f"among the best {share_text(USUAL_SHARE)} of those, or the best {FEWEST_GOOD}, but at most a third"
    text = goal_text(goal, sensitivity.question.minimize)
    return text if isinstance(goal, Threshold) else f"{text} of those"


def index_rows(sensitivity: Findings) -> IndexRows:
    """The rows of the indices, the main group first."""
    headings: list[Heading] = []
    rows: list[tuple[float, Index]] = []
    bottom = 0.0
    for group, members in in_groups(sensitivity.indices):
        bottom += 0.5 if headings else 0.0
        headings.append(Heading(bottom, where_text(group), max(index.n for index in members)))
        rows += [(bottom + 1.0 + place, index) for place, index in enumerate(members)]
        bottom += 1.0 + len(members)
    goal = goal_text(sensitivity.goal, sensitivity.question.minimize)
    return IndexRows(headings, rows, bottom, "What decides", f"HSIC with ending {goal}")


def strongest_paired(sensitivity: Findings, most: int = MOST_PAIRED) -> list[str]:
    """Up to `most` names for the pair matrix, in the order of the indices.

    The clearest interactions and the clearest main effects give a name in turn: main effects alone would leave out the
    partners of an exclusive-or.
    """
    pairs = clearest_pairs(sensitivity.pair_indices)
    by_pure = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    by_main = [index.name for index in clearest(sensitivity) if index.name in by_pure]
    turns = [name for turn in zip(by_pure, by_main, strict=True) for name in turn]
    chosen = list(dict.fromkeys(turns))[:most]
    return [index.name for index in sensitivity.indices if index.name in chosen]


def pair_matrix(sensitivity: Findings) -> PairMatrix:
    """The pairs of the strongest names; the cells with p at most ALPHA are marked."""
    names = strongest_paired(sensitivity)
    place = {name: i for i, name in enumerate(names)}
    shape = (len(names), len(names))
    published, pure = np.full((2, *shape), np.nan)
    below, above = np.zeros((2, *shape), dtype=bool)
    cells = []
    for pair in sensitivity.pair_indices:
        if pair.first in place and pair.second in place:
            low, high = sorted((place[pair.first], place[pair.second]))
            cells.append((high, low, pair))
            published[high, low], pure[low, high] = pair.hsic, pair.pure
            below[high, low], above[low, high] = pair.pvalue <= ALPHA, pair.pvalue_pure <= ALPHA
    judged = np.isfinite(published) | np.isfinite(pure)
    left_out = len({name for pair in sensitivity.pair_indices for name in (pair.first, pair.second)}) - len(names)
    return PairMatrix(
        names=names,
        above=_half(pure, above, "above: interaction alone", "Oranges"),
        below=_half(published, below, "below: published index", "Blues"),
        cells=cells,
        gaps=np.argwhere(~judged & ~judged.T & ~np.eye(len(names), dtype=bool)),
        title="Which act together" + (f" (the clearest {len(names)}, {left_out} left out)" if left_out else ""),
        note=f"p ≤ {ALPHA}, not adjusted for many pairs",
    )


def _half(values: Floats, marked: Bools, label: str, hue: str) -> Half:
    # Pairs of few trials are large by chance: if some are marked, these set the scale.
    top = np.nanmax(values[marked], initial=0.0) or np.nanmax(values, initial=0.0) or 1.0
    cells = np.argwhere(marked & np.isfinite(values))
    dots = [(row, column, "white" if values[row, column] > DARK * top else INK) for row, column in cells]
    return Half(values, marked, top, label, hue, dots)


def relevance(sensitivity: Findings) -> list[tuple[Index, Index]]:
    """Each hyperparameter's index for the goal and for being cheap if both were judged, those that matter first."""
    cost = {index.name: index for index in sensitivity.cost_indices}
    both = [(index, cost[index.name]) for index in sensitivity.indices if index.name in cost]
    judged = [(e, c) for e, c in both if math.isfinite(e.r2) and math.isfinite(c.r2)]
    return sorted(judged, key=lambda two: (not (two[0].matters or two[1].matters), -(two[0].r2 + two[1].r2)))


def quadrant(error: Index, cost: Index) -> str:
    """The quadrant in which the evidence puts a hyperparameter."""
    return QUADRANTS[error.matters, cost.matters]


def noise_r2(indices: Iterable[Index]) -> float:
    """The R2 that chance alone gives on average: the median of the noise floors of these indices, as R2."""
    floors = [index.r2 * index.noise_floor / index.hsic for index in indices if index.hsic > 0]
    return float(np.median(floors)) if floors else 0.0


def relevance_map(both: list[tuple[Index, Index]], cost: str) -> RelevanceMap:
    """The hyperparameters of :func:`relevance` in the plane of their two R2."""
    at = np.sqrt([[c.r2, e.r2] for e, c in both])
    noise = np.sqrt([noise_r2(c for _, c in both), noise_r2(e for e, _ in both)])
    top = np.maximum(ROOM_ABOVE_MARKS * at.max(axis=0), ROOM_ABOVE_NOISE * noise)
    low = -ROOM_BELOW * top
    marks = [
        (kind, mark, [place for place, two in enumerate(both) if quadrant(*two) == kind])
        for kind, mark in QUADRANT_MARKS.items()
    ]
    # Hyperparameters that only burn compute often lie at the bottom: the name of their quadrant stands above the noise.
    corners = [
        Corner(low[0], top[1], "left", "top", "buys error"),
        Corner(top[0], top[1], "right", "top", "buys error and burns compute"),
        Corner(top[0], noise[1], "right", "bottom", "only burns compute"),
    ]
    spans = [[above_chance(c)[k], above_chance(e)[k]] for k in (1, 2) for e, c in both]
    return RelevanceMap(
        at=at,
        ends=np.sqrt(np.nan_to_num(spans)).reshape(2, len(both), 2),
        noise=noise,
        low=low,
        top=top,
        marks=marks,
        names=[clip(error.name, 24) for error, _ in both],
        corners=corners,
        title="What buys error, and what only burns compute",
        note="axes by the square root of R²",
        across=f"R² for being among the cheapest by {clip(cost)}",
        up="R² for the goal",
    )
