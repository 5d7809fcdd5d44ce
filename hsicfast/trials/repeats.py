"""Rows that repeat a configuration are one trial: with other seeds, or copied.

Rows of one configuration share whatever its hyperparameters do together, so that they are not independent: counted as
trials, ten seeds of each configuration make pure noise look ten times as sure.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats, Rows
from hsicfast.space.search_space import Float
from hsicfast.text import number
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, PRUNED

# In a small space independent draws agree by chance. How often they do is seen in tables whose columns are shuffled;
# rows repeat if the different ones are fewer than there by more than this many standard deviations.
SHUFFLES, FAR = 20, 5
# Chance does not draw each of EVEN configurations equally often.
EVEN = 10
# How far the objectives of a repeated configuration scatter, as hsicfast.training.repeats calls it.
SCATTER = "objective_sd"


class Merged(NamedTuple):
    """Trials, and how many rows they had.

    Attributes
    ----------
    table : TrialTable
        One row for each configuration, if rows repeated them.
    rows : int
    """

    table: TrialTable
    rows: int


def merged(table: TrialTable) -> Merged:
    """The table with repeated configurations as one trial each: its objective is their mean.

    A configuration of which one row diverged has diverged, as if it had been trained with several seeds in one trial.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace
    >>> space = SearchSpace({"rate": Float(0, 1)})
    >>> rates = np.repeat(np.arange(1, 13) / 16, 2)
    >>> found = merged(TrialTable.from_arrays(space, {"rate": rates}, rates + np.tile([-0.5, 0.5], 12)))
    >>> found.rows, found.table.objective[:3].tolist()
    (24, [0.0625, 0.125, 0.1875])
    """
    if _plainly_different(table):
        return Merged(table, len(table))
    units = _units(table)
    random = np.random.default_rng(0)
    same = _labels(units, random)
    if same.max(initial=-1) + 1 == len(table):
        return Merged(table, len(table))
    strata = _labels(_conditions(table), random)
    counts = np.bincount(same)
    if _differ_in_seeds(same, table.seed, random):
        return Merged(_averaged(table, same), len(table))
    if (len(counts) >= EVEN and np.ptp(counts) == 0) or _fewer_than_by_chance(units, strata, random):
        return Merged(_averaged(table, same), len(table))
    # Copied rows agree in the objective, too, though configurations do not decide it alone.
    objective = np.where(np.isfinite(table.objective), table.objective, np.inf)[:, None]
    known = len(np.unique(objective)) > same.max() + 1
    if known and _fewer_than_by_chance(np.hstack((units, objective)), strata, random):
        return Merged(_averaged(table, _labels(np.hstack((units, objective)), random)), len(table))
    return Merged(table, len(table))


def scatter_text(table: TrialTable) -> str:
    """How far the objectives of one configuration scatter, and their means; empty if nobody knows it.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace
    >>> rates = np.repeat(np.arange(1, 13) / 16, 2)
    >>> table = TrialTable.from_arrays(SearchSpace({"rate": Float(0, 1)}), {"rate": rates}, np.tile([1.0, 2.0], 12))
    >>> scatter_text(merged(table).table)
    ' They scatter by 0.7071 within a configuration (standard deviation), and the means by 0.'
    """
    within = np.asarray(table.metrics.get(SCATTER, ()), dtype=np.float64)
    within, means = within[np.isfinite(within)], table.objective[np.isfinite(table.objective)]
    if len(within) == 0 or len(means) < 2:
        return ""
    return (
        f" They scatter by {number(float(np.sqrt(np.mean(within**2))))} within a configuration (standard deviation), "
        f"and the means by {number(float(np.std(means, ddof=1)))}."
    )


def _plainly_different(table: TrialTable) -> bool:
    """Whether the values of one hyperparameter, a real number that all trials have, are all different."""
    name = next((name for name, own in table.space.items() if isinstance(own, Float) and not own.conditions), None)
    return name is not None and len(np.unique(table.values[name].astype(np.float64))) == len(table)


def _units(table: TrialTable) -> Floats:
    """Values (n, q) mapped to [0, 1], and -1 where a hyperparameter does not exist."""
    units = np.full((len(table), len(table.space)), -1.0)
    for place, name in enumerate(table.space):
        active = table.active(name)
        units[active, place] = table.space[name].to_unit(table.values[name][active])
    return units


def _conditions(table: TrialTable) -> Floats:
    """Which conditions of the space the trials meet (n, c).

    Where they agree, the same hyperparameters exist and independent ones stay so. Where only the same ones exist they
    do not: if what needs two conditions is missing, one of these is met only if the other is not.
    """
    met = [table.among(parent, allowed) for own in table.space.values() for parent, allowed in own.conditions.items()]
    return np.array([np.zeros(len(table), dtype=bool), *met], dtype=np.float64).T


def _labels(columns: Floats, random: np.random.Generator) -> Rows:
    """Labels (n,) from 0: equal rows of the columns (n, q) have one label.

    Equal rows have equal weighted sums, and different ones almost surely other sums.
    """
    finite = np.where(np.isinf(columns), 2 * np.abs(columns[np.isfinite(columns)]).max(initial=0.5), columns)
    sums = finite @ random.random(columns.shape[1])
    return np.asarray(np.unique(sums, return_inverse=True)[1])


def _differ_in_seeds(same: Rows, seed: NDArray[np.int64], random: np.random.Generator) -> bool:
    """Whether the rows of one configuration (n,) have different seeds (n,), which chance does not give them.

    In a grid, which uses up its space, configurations repeat as often as by chance; their seeds tell.
    """
    seeds = np.unique(seed, return_inverse=True)[1]
    pairs = len(np.unique(same * (seeds.max() + 1) + seeds))
    # Seeds that no two configurations share tell nothing: each trial of a search may have one of its own.
    if not 1 <= seeds.max() < len(same) // 2 or pairs < len(same):
        return False
    if pairs == (same.max() + 1) * (seeds.max() + 1):  # each configuration with each seed
        return True
    counts = [len(np.unique(same * (seeds.max() + 1) + random.permutation(seeds))) for _ in range(SHUFFLES)]
    return bool(pairs > np.mean(counts) + FAR * np.std(counts) + 1e-9)


def _fewer_than_by_chance(columns: Floats, strata: Rows, random: np.random.Generator) -> bool:
    """Whether the different rows are fewer than if each column was shuffled among trials of one stratum (n,)."""
    order = np.argsort(strata, kind="stable")
    ordered = columns[order]
    edges = np.flatnonzero(np.diff(strata[order], prepend=-1, append=strata.max() + 1))
    counts = []
    for _ in range(SHUFFLES):
        shuffled = np.empty_like(ordered)
        for start, stop in pairwise(edges):
            shuffled[start:stop] = random.permuted(ordered[start:stop], axis=0)
        counts.append(_labels(shuffled, random).max() + 1)
    return bool(_labels(columns, random).max() + 1 < np.mean(counts) - FAR * np.std(counts) - 1e-9)


def _averaged(table: TrialTable, same: Rows) -> TrialTable:
    """One row for each label, the first with it: means of objective, cost and other numbers, and the worst status."""
    first = np.sort(np.unique(same, return_index=True)[1])
    place = np.empty(len(first), dtype=np.intp)
    place[same[first]] = np.arange(len(first))
    label = place[same]
    counts = np.bincount(label)
    objective = _means(table.objective, label)
    squares = np.bincount(label, (table.objective - objective[label]) ** 2)
    scatter = np.sqrt(np.where(counts > 1, squares, np.nan) / np.maximum(counts - 1, 1))
    diverged, pruned = (np.bincount(label, table.status == status) > 0 for status in (DIVERGED, PRUNED))
    kept = table.select(first)
    numbers = {
        name: _means(column.astype(np.float64), label)
        for name, column in table.metrics.items()
        if column.dtype.kind in "biuf"
    }
    return replace(
        kept,
        objective=np.where(diverged, np.nan, objective),
        cost=_means(table.cost, label),
        status=np.where(diverged, DIVERGED, np.where(pruned, PRUNED, DONE)),
        metrics={SCATTER: scatter, **kept.metrics, **numbers},
    )


def _means(column: Floats, label: NDArray[np.intp]) -> Floats:
    """The mean of each label; copies have exactly their value, so that trials that tie still do."""
    first = column[np.unique(label, return_index=True)[1]]
    base = np.where(np.isfinite(first), first, 0.0)
    return np.asarray(base + np.bincount(label, column - base[label]) / np.bincount(label))
