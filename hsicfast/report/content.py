"""What of an analysis a picture shows: which names, in which order.

Here and not in the pictures, so that those in print and those on the screen show the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.indices.findings import ALPHA, Findings, Index, Pair
from hsicfast.indices.stability import Sweep, over_goals
from hsicfast.report.axes import level_of, levels, ticks
from hsicfast.text import value_text

MOST_PAIRED, MOST_MARGINALS, MOST_RANKED = 15, 6, 8
# The bars of a marginal grow with the square root of the good trials, so that each holds a few of them; below 5 bars no
# shape shows, beyond 20 the pattern does not fit into a bar.
BARS_BY_ROOT, FEWEST_BARS, MOST_BARS = 1.5, 5, 20
# Whether a hyperparameter was seen to decide (error, cost).
QUADRANTS = {
    (True, False): "buys error",
    (True, True): "buys error and burns compute",
    (False, True): "only burns compute",
    (False, False): "neither seen",
}


class Bars(NamedTuple):
    """Values of one hyperparameter in bars: their left ends, counts of all and of the good, ticks, what each spans."""

    left: Floats
    width: float
    everyone: Rows
    good: Rows
    ticks: Floats
    labels: list[str]
    spans: list[str]


def clearest(sensitivity: Findings) -> list[Index]:
    """The indices by their evidence: in a group of few trials chance alone makes an index large."""
    return sorted(sensitivity.indices, key=lambda index: (np.nan_to_num(index.pvalue, nan=2.0), -index.hsic))


def clearest_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs by the evidence for their interaction: the published index is large beside any main effect."""
    return sorted(pairs, key=lambda pair: (pair.pvalue_pure, -pair.pure))


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


def in_groups(indices: Iterable[Index]) -> list[tuple[str, list[Index]]]:
    """The indices group by group."""
    groups: dict[str, list[Index]] = {}
    for index in indices:
        groups.setdefault(index.group, []).append(index)
    return list(groups.items())


def bars(sensitivity: Findings, name: str) -> Bars:
    """Where all trials of a hyperparameter lie, and where the good ones do."""
    hyperparameter, table = sensitivity.trials.space[name], sensitivity.trials
    values, z = table.values[name][table.active(name)], sensitivity.carried(name).z
    known = levels(hyperparameter)
    if known:
        level = level_of(hyperparameter, values, known)
        everyone, good = (np.bincount(level[rows], minlength=len(known)) for rows in (slice(None), z))
        middles, labels = np.arange(len(known), dtype=np.float64), [value_text(value) for value in known]
        return Bars(middles - 0.4, 0.8, everyone, good, middles, labels, labels)
    u = hyperparameter.to_unit(values)
    edges = np.linspace(0.0, 1.0, 1 + int(np.clip(BARS_BY_ROOT * math.sqrt(np.sum(z)), FEWEST_BARS, MOST_BARS)))
    everyone, good = (np.histogram(u[rows], edges)[0] for rows in (slice(None), z))
    ends = [value_text(hyperparameter.from_unit(float(edge))) for edge in edges]
    spans = [f"{low} to {high}" for low, high in pairwise(ends)]
    return Bars(edges[:-1], float(edges[1]), everyone, good, *ticks(hyperparameter), spans)


def relevance(sensitivity: Findings) -> list[tuple[Index, Index]]:
    """Each hyperparameter's index for the goal and for being cheap, where both were judged; the seen ones first."""
    cost = {index.name: index for index in sensitivity.cost_indices}
    both = [(index, cost[index.name]) for index in sensitivity.indices if index.name in cost]
    judged = [(e, c) for e, c in both if math.isfinite(e.r2) and math.isfinite(c.r2)]
    return sorted(judged, key=lambda two: (not (two[0].matters or two[1].matters), -(two[0].r2 + two[1].r2)))


def quadrant(error: Index, cost: Index) -> str:
    """What a hyperparameter does, by the evidence for it."""
    return QUADRANTS[error.matters, cost.matters]


def noise_r2(indices: Iterable[Index]) -> float:
    """Where the R2 of these indices would lie by chance alone: the median of their noise floors as R2."""
    floors = [index.r2 * index.noise_floor / index.hsic for index in indices if index.hsic > 0]
    return float(np.median(floors)) if floors else 0.0


def ranked(sensitivity: Findings, most: int = MOST_RANKED) -> tuple[Sweep, list[int]] | None:
    """The ranking against the goal, and up to `most` of its names: those seen at some goal first, then the highest.

    None where there is no ranking to move: one hyperparameter, or none that was judged.
    """
    sweep = over_goals(sensitivity)
    if sweep is None or len(sweep.names) < 2:
        return None
    never = (sweep.pvalue > ALPHA).all(axis=0)
    chosen = np.lexsort((sweep.rank.mean(axis=0), never))[:most]
    return sweep, sorted(chosen.tolist())
