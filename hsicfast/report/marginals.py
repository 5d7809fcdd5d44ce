"""The marginals of an analysis: bars of its clearest hyperparameters, of all trials and of the good ones."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.indices.findings import Findings, Index
from hsicfast.report.axes import level_of, levels, ticks
from hsicfast.report.content import clearest
from hsicfast.report.points import GOOD_TRIALS
from hsicfast.text import value_text

MOST_MARGINALS = 6
# The bars of a marginal grow with the square root of the good trials, so that each holds a few of them; below 5 bars no
# shape shows, beyond 20 the pattern does not fit into a bar.
BARS_BY_ROOT, FEWEST_BARS, MOST_BARS = 1.5, 5, 20
# A bar of good trials leaves this part of its width free on either side, so that the bar of all trials shows behind it.
INSET = 0.18


class Bars(NamedTuple):
    """Values of one hyperparameter in bars: their left ends, counts of all and of the good, ticks, what each spans."""

    left: Floats
    width: float
    everyone: Rows
    good: Rows
    ticks: Floats
    labels: list[str]
    spans: list[str]

    @property
    def layers(self) -> list[tuple[bool, str, float, Floats]]:
        """Whether it is of the good trials alone, label, inset and heights; the good ones lie before all trials."""
        kinds = ((False, "all trials", 0.0, self.everyone), (True, GOOD_TRIALS, INSET, self.good))
        return [(good, label, inset, counts / max(counts.sum(), 1)) for good, label, inset, counts in kinds]


class Marginals(NamedTuple):
    """The clearest hyperparameters with their bars, and in how many rows and columns they stand."""

    panels: list[tuple[Index, Bars]]
    rows: int
    columns: int


def marginals(sensitivity: Findings) -> Marginals:
    """The bars of the clearest hyperparameters."""
    chosen = clearest(sensitivity)[:MOST_MARGINALS]
    columns = min(2, len(chosen))
    panels = [(index, bars(sensitivity, index.name)) for index in chosen]
    return Marginals(panels, math.ceil(len(chosen) / columns), columns)


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
