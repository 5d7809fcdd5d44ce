"""All pairs of hyperparameters of a table, judged among the trials that have both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.evidence.interactions import DEPENDENT, Draws, PairJudge
from hsicfast.indices.carried import carry, features
from hsicfast.indices.findings import Pair, Question
from hsicfast.indices.streaming import MIN_TRIALS
from hsicfast.trials.table import TrialTable

# MOST_OF_A_RUN: the report of a run judges up to so many pairs, those of 100 hyperparameters. Of 300 they would take
# minutes at its end, and few trials cannot tell one of so many from chance.
MOST_OF_A_RUN = 4950


def judged_pairs(table: TrialTable, question: Question, progress: Callable[[str, float], None]) -> tuple[Pair, ...]:
    """All pairs that exist together in at least 4 trials, unless one decides whether the other exists.

    Parameters
    ----------
    table : TrialTable
    question : Question
    progress : callable
        It is called with "pairs" and the share of the pairs that are done.

    Returns
    -------
    tuple of Pair
        Strongest first.
    """
    found: dict[int, Pair] = {}
    draws = Draws(0, question.n_permutations, question.seed)
    done, pairs = 0, list(combinations(table.space, 2))
    for both, places in _together(table, pairs):
        rows = np.flatnonzero(both)
        if len(rows) != draws.n:
            draws = Draws(len(rows), question.n_permutations, question.seed)
        judge = _judge(table, rows, question, draws)
        for place in places:
            progress("pairs", done / len(pairs))
            done += 1
            if judge is not None:
                first, second = pairs[place]
                found[place] = Pair(first, second, *judge.pair(first, second))
    in_order = [found[place] for place in sorted(found)]
    return tuple(sorted(_without_go_betweens(in_order), key=lambda pair: -pair.hsic))


def _together(table: TrialTable, pairs: list[tuple[str, str]]) -> list[tuple[Bools, list[int]]]:
    """The pairs, by their places, that both exist in the same trials (n,), unless one decides on the other's existence.

    Those of as many trials follow each other: they share what is drawn at random, which need not be kept for others.
    """
    active = {name: table.active(name) for name in table.space}
    places: dict[bytes, list[int]] = {}
    masks: dict[bytes, Bools] = {}
    for place, (first, second) in enumerate(pairs):
        if not (table.space.depends(first, second) or table.space.depends(second, first)):
            both = active[first] & active[second]
            masks.setdefault(both.tobytes(), both)
            places.setdefault(both.tobytes(), []).append(place)
    return [(masks[key], places[key]) for key in sorted(places, key=lambda key: -np.count_nonzero(masks[key]))]


def _without_go_betweens(pairs: list[Pair]) -> list[Pair]:
    """The pairs, but without a p-value for the interaction of two that both depend on a third.

    If the third alone decides and goes by both, then the goal goes by both together. They seem to interact, although
    they do not depend on each other.
    """
    beside: dict[str, set[str]] = {}
    for pair in pairs:
        if pair.dependence <= DEPENDENT:
            beside.setdefault(pair.first, set()).add(pair.second)
            beside.setdefault(pair.second, set()).add(pair.first)
    return [
        replace(pair, pvalue_pure=math.nan) if beside.get(pair.first, set()) & beside.get(pair.second, set()) else pair
        for pair in pairs
    ]


def _judge(table: TrialTable, rows: Rows, question: Question, draws: Draws) -> PairJudge | None:
    """The judge of the pairs that exist together in these trials; None if they are too few, or all alike."""
    z = question.met(table.objective[rows]).met
    if len(rows) < MIN_TRIALS or z.all() or not z.any():
        return None

    def of(name: str) -> Floats:
        psi, level = features(*carry(table, name, rows, question.law), question.bandwidth)
        return psi[level]

    return PairJudge(of, z, question.bandwidth, question.n_permutations, question.seed, draws)
