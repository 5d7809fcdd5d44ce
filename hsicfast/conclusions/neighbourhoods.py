"""The trials near the values of two configurations, and the chances of these neighbourhoods to meet the goal.

An interval comes from a bootstrap with exponential weights, and each neighbourhood gets a trial that met the goal and
one that missed it. So the chance of a neighbourhood has the distribution Beta(k + 1, n - k + 1), which is no point even
if all its n trials met the same fate, and neighbourhoods that share trials move together. For the difference of two
chances one trial of either fate keeps the confidence (Agresti and Caffo 2000). A product of many chances would pile up
what they add, so half a trial of either fate must do there. Repeats of one configuration share a weight and count as
one trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.indices.findings import Findings
from hsicfast.space.search_space import Bool, Choice, SearchSpace
from hsicfast.trials.table import TrialTable

# A neighbourhood says something if it holds at least this many trials.
FEWEST = 10
# Along one axis a neighbourhood holds at most this share of the trials, however many axes it has.
WIDEST = 0.5
# An interval of 95% leaves out 50 draws at either end.
DRAWS = 2000
# Weights drawn at once: 32 MiB.
WEIGHTS = 1 << 22
BEFORE, AFTER = 0, 1


class Near(NamedTuple):
    """The trials near some values: their rows, how many they are, and the share of them that met the goal."""

    rows: Rows
    n: int
    chance: float


class Neighbourhoods:
    """The trials near the values of two configurations.

    Parameters
    ----------
    findings : Findings
    sides : tuple of two dicts
        The configuration before the changes, and the one after.
    left_out : int array
        Rows of trials that are no evidence, because a configuration was chosen for what became of them.
    """

    def __init__(self, findings: Findings, sides: tuple[dict[str, Any], dict[str, Any]], left_out: Rows) -> None:
        self.findings, self.sides = findings, sides
        self.trials, self.space = findings.trials, findings.trials.space
        self.kept = np.ones(len(self.trials), dtype=bool)
        self.kept[left_out] = False
        both = [name for name in sides[AFTER] if name in sides[BEFORE]]
        self.names = [
            name
            for name in both
            if unit_of(self.space, name, sides[BEFORE][name]) != unit_of(self.space, name, sides[AFTER][name])
        ]
        self.repeat = self._repeats()
        self.weight = 1 / np.maximum(np.bincount(self.repeat[self.kept], minlength=len(self.kept)), 1)[self.repeat]
        self.loss = np.where(np.isfinite(self.trials.losses), self.trials.losses, np.inf)
        self._near: dict[tuple[tuple[str, ...], int], Near] = {}
        self._units: dict[str, Floats] = {}
        # First what was counted, then DRAWS draws: chances for products, chances for differences, median losses.
        self.chances: dict[tuple[tuple[str, ...], int], Floats] = {}
        self.differing: dict[tuple[tuple[str, ...], int], Floats] = {}
        self.medians: dict[tuple[str, int], Floats] = {}

    def _repeats(self) -> Rows:
        """A number for each trial (n,), the same for repeats of one configuration.

        Equal values mean a repeat if few configurations were possible only by intent: in a small space of single values
        independent trials are equal by chance.
        """
        n = len(self.trials)
        units, possible = np.full((n, len(self.space)), -1.0), np.ones(n)
        for column, name in enumerate(self.space):
            active = self.trials.active(name)
            units[active, column] = self.findings.carried(name).u
            possible[active] *= self.space[name].levels or math.inf
        _, number_of = np.unique(units, axis=0, return_inverse=True)
        first = np.full(n, n)
        np.minimum.at(first, number_of, np.arange(n))
        return np.where(possible > n, first[number_of], np.arange(n))

    def setting(self, names: Iterable[str]) -> Bools:
        """The trials (n,) in which these changed hyperparameters exist, and those of the changed that need them."""
        names = tuple(names)
        rows = self.kept.copy()
        for other in self.names:
            if other in names or any(self.space.depends(other, name) for name in names):
                rows &= self.trials.active(other)
        return rows

    def base(self, names: Iterable[str]) -> float:
        """The chance to meet the goal in the setting of these changes, with half a trial of either fate."""
        rows = self.setting(names)
        weight = self.weight[rows]
        return float((weight @ self.findings.met[rows] + 0.5) / (weight.sum() + 1))

    def axes(self, names: tuple[str, ...], side: int) -> list[str]:
        """These changes, and what only this side has because of them."""
        own, other = self.sides[side], self.sides[1 - side]
        return [*names, *(c for c in own if c not in other and _switches(self.space, c, other) <= set(names))]

    def near(self, names: tuple[str, ...], side: int) -> Near:
        """The trials near one side's values of these changes."""
        if (names, side) not in self._near:
            rows = self.setting(names)
            numbers = []
            for name in self.axes(names, side):
                if is_number(self.space, name):
                    numbers.append(name)
                else:
                    rows &= self._unit_values(name) == unit_of(self.space, name, self.sides[side][name])
            if numbers:
                # n^(2/3) of n trials: fewer would be too uncertain, more would lie too far away.
                share = min(max(int(rows.sum()), 1) ** (-1 / (3 * len(numbers))), WIDEST)
                for name in numbers:
                    rows &= self._around(name, side, share)
            found = np.flatnonzero(rows)
            n = len(np.unique(self.repeat[found]))
            weight = self.weight[found]
            chance = float(weight @ self.findings.met[found] / weight.sum()) if n else math.nan
            self._near[names, side] = Near(found, n, chance)
        return self._near[names, side]

    def seen(self, names: tuple[str, ...]) -> bool:
        """Whether enough trials lie near either side's values."""
        return min(self.near(names, BEFORE).n, self.near(names, AFTER).n) >= FEWEST

    def _around(self, name: str, side: int, share: float) -> Bools:
        """The trials (n,) in a window around one side's value of a number, on this side of the middle of both values.

        The window holds `share` of [0, 1], at its ends, too.
        """
        u, at = self._unit_values(name), self._position(name, side)
        inside: Bools = np.abs(u - np.clip(at, share / 2, 1 - share / 2)) <= share / 2
        if name in self.sides[1 - side]:
            other = self._position(name, 1 - side)
            inside &= (u - (at + other) / 2) * (at - other) > 0
        return inside

    def _unit_values(self, name: str) -> Floats:
        """The values of the trials (n,) on [0, 1], of numbers by the analysis's law; NaN if the trial lacks it."""
        if name not in self._units:
            active = self.trials.active(name)
            u = np.full(len(active), np.nan)
            if is_number(self.space, name):
                u[active] = self.findings.carried(name).u
            else:
                u[active] = self.space[name].to_unit(self.trials.values[name][active])
            self._units[name] = u
        return self._units[name]

    def _position(self, name: str, side: int) -> float:
        """Where on [0, 1] one side's value of a number lies among the trials."""
        at = unit_of(self.space, name, self.sides[side][name])
        active = self.trials.active(name)
        if self.findings.question.law == "space" or not active.any():
            return at
        u = self.space[name].to_unit(self.trials.values[name][active])
        return float((u < at).mean() + (u <= at).mean()) / 2

    def draw(self, parts: Iterable[tuple[str, ...]]) -> None:
        """Draw the chances near both sides' values of each part, and the median losses of single changes."""
        places = [(names, side) for names in dict.fromkeys(parts) if self.seen(names) for side in (BEFORE, AFTER)]
        random = np.random.default_rng(self.findings.question.seed)
        step = max(WEIGHTS // len(self.trials), 1)
        hits, totals = (np.empty((len(places), DRAWS)) for _ in range(2))
        medians: dict[tuple[str, int], list[Floats]] = {}
        for start in range(0, DRAWS, step):
            drawn = slice(start, min(start + step, DRAWS))
            weights = random.exponential(size=(drawn.stop - drawn.start, len(self.trials)))
            for place, (names, side) in enumerate(places):
                rows = self.near(names, side).rows
                own = weights[:, self.repeat[rows]] * self.weight[rows]
                hits[place, drawn], totals[place, drawn] = own @ self.findings.met[rows], own.sum(axis=1)
                if len(names) == 1:
                    medians.setdefault((names[0], side), []).append(medians_of(self.loss[rows], own))
        half, rest = random.gamma(0.5, size=(2, 2, len(places), DRAWS))
        for place, (names, side) in enumerate(places):
            counted = self.near(names, side).chance
            for own, into in ((half, self.chances), (half + rest, self.differing)):
                met, missed = own[:, place]
                into[names, side] = np.append(counted, (hits[place] + met) / (totals[place] + met + missed))
        for (name, side), found in medians.items():
            rows = self.near((name,), side).rows
            self.medians[name, side] = np.concatenate((medians_of(self.loss[rows], self.weight[None, rows]), *found))


def own_rows(trials: TrialTable, params: Mapping[str, Any], index: int | None) -> Rows:
    """The row of the trial that a configuration was taken from, for what became of it; empty if it is not known.

    Parameters
    ----------
    trials : TrialTable
    params : mapping
        The configuration.
    index : int, optional
        Of the trial that is meant if several have these values; without it none of several is.
    """
    same = np.ones(len(trials), dtype=bool)
    for name, kind in trials.space.items():
        active = trials.active(name)
        same &= active == (name in params)
        if name in params:
            same[active] &= kind.to_unit(trials.values[name][active]) == unit_of(trials.space, name, params[name])
    rows = np.flatnonzero(same)
    return rows if len(rows) <= 1 else rows[trials.index[rows] == index]


def _switches(space: SearchSpace, name: str, lacking: Mapping[str, Any]) -> set[str]:
    """The hyperparameters because of whose values a configuration lacks `name`."""
    found: set[str] = set()
    for parent, allowed in space[name].conditions.items():
        if parent not in lacking:
            found |= _switches(space, parent, lacking)
        elif lacking[parent] not in allowed:
            found.add(parent)
    return found


def medians_of(loss: Floats, weights: Floats) -> Floats:
    """Weighted medians (B,) of losses (n,) under weights (B, n)."""
    order = np.argsort(loss, kind="stable")
    cumulated = np.cumsum(weights[:, order], axis=1)
    found: Floats = loss[order][np.argmax(cumulated >= cumulated[:, -1:] / 2, axis=1)]
    return found


def unit_of(space: SearchSpace, name: str, value: Any) -> float:
    """One value on [0, 1] by the distribution in the space, which checks it."""
    boxed = np.empty(1, dtype=object)  # a tuple stays one value
    boxed[0] = value
    return float(space[name].to_unit(boxed)[0])


def is_number(space: SearchSpace, name: str) -> bool:
    """Whether values of `name` lie near each other or far apart; those of a Choice or Bool are equal or not."""
    return not isinstance(space[name], Choice | Bool)
