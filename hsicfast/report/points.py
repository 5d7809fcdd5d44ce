"""Trials as points: which of them a picture shows, where they lie, what it says about those it leaves out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.indices.findings import Findings, Pair
from hsicfast.report.axes import Scale, scale
from hsicfast.text import p_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, PRUNED, SEARCH

# Up to MOST_POINTS points can be told apart on a picture, and they keep a page of 100,000 trials small.
MOST_POINTS = 5000
# Points keep their full size up to FREE_POINTS of them; beyond, their area shrinks so that together they cover as much.
FREE_POINTS = 600


class Cloud(NamedTuple):
    """The trials in which both of a pair exist: rows of the table, who is good, and which of them are shown."""

    rows: Rows
    good: Bools
    shown: Rows
    first: Scale
    second: Scale


class Plane(NamedTuple):
    """Objective against cost: which rows of the table can be shown, which are, who is good, whether costs are known."""

    x: Floats
    good: Bools
    able: Bools
    shown: Rows
    known: bool


def some_of(good: Bools, seed: int, most: int = MOST_POINTS) -> Rows:
    """Positions of at most `most` trials: the good ones as far as half of them goes, others drawn at random.

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
    """By how much points shrink where there are many of them.

    Examples
    --------
    >>> crowding(300), crowding(5000)
    (1.0, 0.5)
    """
    return min(1.0, max(0.5, math.sqrt(FREE_POINTS / max(n, 1))))


def some_text(good: Bools, shown: Rows) -> str:
    """Which trials a picture shows.

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
    return Cloud(rows, good, shown, first, second)


def pair_note(sensitivity: Findings, pair: Pair) -> str:
    """What the tests say about the strongest of the pairs."""
    beside = len(sensitivity.pair_indices)
    chosen = f"the clearest of {beside} pairs, " if beside > 1 else ""
    return f"{chosen}interaction alone: p {p_text(pair.pvalue_pure)}" + (", not adjusted" if beside > 1 else "")


def plane(sensitivity: Findings, trials: TrialTable) -> Plane:
    """Objective against cost of `trials`; against their number where costs are unknown.

    A trial stopped early has an objective to show only where the analysis judged it by that.
    """
    finished = np.isfinite(trials.objective) & (trials.status != DIVERGED)
    if sensitivity.pruned != "last":
        finished &= trials.status != PRUNED
    known = bool(np.isfinite(trials.cost[finished]).any())
    x = trials.cost if known else trials.index.astype(np.float64)
    y, edge = trials.objective, sensitivity.threshold
    good = y <= edge if sensitivity.question.minimize else y >= edge
    able = finished & np.isfinite(x)
    positions = np.flatnonzero(able)
    return Plane(x, good, able, positions[some_of(good[able], sensitivity.question.seed)], known)


def kinds(trials: TrialTable) -> list[tuple[str, Bools]]:
    """Trials by what they are: finished ones of the design, the search and the finals, and those stopped early."""
    early, searched, final = trials.status == PRUNED, trials.origin == SEARCH, trials.origin == FINAL
    return [
        ("design" if searched.any() else "trials", ~early & ~searched & ~final),
        ("search", ~early & searched),
        ("finalists again", ~early & final),
        ("stopped early", early),
    ]


def plane_note(trials: TrialTable, seen: Plane) -> str:
    """Which trials are shown, and why the others are not."""
    parts = [some_text(seen.good[seen.able], np.searchsorted(np.flatnonzero(seen.able), seen.shown))]
    for status in (DIVERGED, PRUNED):
        missing = int(np.count_nonzero((trials.status == status) & ~seen.able))
        if missing:
            what = "diverged and have no value to show" if status == DIVERGED else "were stopped early"
            parts.append(f"{missing:,} {what}")
    unknown = int(np.count_nonzero((trials.status == DONE) & ~seen.able))
    return "; ".join([*parts, *([f"{unknown:,} of unknown cost"] if unknown else [])])
