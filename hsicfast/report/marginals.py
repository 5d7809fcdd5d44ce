"""Sorts the values of the clearest hyperparameters into bars: of all trials, and of the good ones."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.indices.findings import Findings, Index
from hsicfast.indices.places import who_is_good
from hsicfast.report.axes import level_of, levels, ticks
from hsicfast.report.content import clearest
from hsicfast.report.points import GOOD_TRIALS
from hsicfast.text import clip, value_text

MOST_MARGINALS = 6
SHARE_LABEL = "share of trials"
# The number of bars grows with the square root of the number of good trials, so that each bar holds a few of them.
# Fewer than 5 bars show no shape, more than 20 are too narrow for a hatch.
BARS_BY_ROOT, FEWEST_BARS, MOST_BARS = 1.5, 5, 20
# A bar of good trials leaves this part of the width free on either side, so that the bar of all trials shows behind it.
INSET = 0.18


class Bars(NamedTuple):
    """Values of one hyperparameter in bars: left ends, counts of all and of good trials, ticks, what each bar spans."""

    left: Floats
    width: float
    everyone: Rows
    good: Rows
    ticks: Floats
    labels: list[str]
    spans: list[str]

    @property
    def layers(self) -> list[tuple[bool, str, float, Floats]]:
        """Bars of all trials, and of the good ones in front: whether they are the good ones, label, inset, heights."""
        kinds = ((False, "all trials", 0.0, self.everyone), (True, GOOD_TRIALS, INSET, self.good))
        return [(good, label, inset, counts / max(counts.sum(), 1)) for good, label, inset, counts in kinds]


class Marginals(NamedTuple):
    """The clearest hyperparameters with their bars, on a grid of rows and columns."""

    panels: list[tuple[Index, Bars]]
    rows: int
    columns: int


def marginals(sensitivity: Findings) -> Marginals:
    """The bars of the clearest hyperparameters."""
    chosen = clearest(sensitivity)[:MOST_MARGINALS]
    columns = min(2, len(chosen))
    panels = [(index, bars(sensitivity, index.name)) for index in chosen]
    return Marginals(panels, math.ceil(len(chosen) / columns), columns)


def judged_where(sensitivity: Findings, index: Index) -> str:
    """How many trials have the hyperparameter, and which of them count as good there."""
    who = who_is_good(sensitivity, index.name)
    where = "" if index.group == "main" else f" (only {clip(index.group, 40)})"
    good = np.count_nonzero(sensitivity.carried(index.name).z)
    return f"{good:,} good trials of {index.n:,}" if who == "the good trials" else f"{who}{where}"


def bars(sensitivity: Findings, name: str) -> Bars:
    """The values of one hyperparameter in bars: a bar for each level, or about equal steps on its own scale."""
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
