"""Prospects: what further trials can be expected to gain, and what harm another value can be expected to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.evidence.improvement import fit, still_to_gain
from hsicfast.proposals.transforms import bounded
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.table import TrialTable

# What can still be gained is judged at CANDIDATES points of the space, and as many near the LEADERS best trials.
CANDIDATES, LEADERS = 256, 5
# What harm another value does is judged at PLACES of its range, by up to MOST_SEEN trials.
PLACES, MOST_SEEN = 8, 200


def expected_gain(space: SearchSpace, trials: TrialTable, left: int, seed: int) -> float:
    """What `left` further trials can be expected to gain on the best of `trials`, in the unit of the loss.

    A Gaussian process sees the losses, those worse than the median as the median, because how bad a bad trial is says
    nothing of what can be gained. A hyperparameter that does not exist in a trial has a position of its own. The
    candidates are drawn from the space, half of them near the best trials.

    Parameters
    ----------
    space : SearchSpace
    trials : TrialTable
        Points of the space, some of them done.
    left : int
    seed : int
        Of the candidates.
    """
    seen = trials.evidence
    losses = np.array(bounded(seen))
    losses = np.minimum(losses, np.median(losses))
    random = np.random.default_rng(seed)
    wide = [space.from_unit(random.random(len(space))) for _ in range(CANDIDATES)]
    units = positions(space, [trial.params for trial in seen])
    leaders = [seen[row].params for row in np.argsort(losses, kind="stable")[:LEADERS]]
    near = []
    for turn in range(CANDIDATES):
        leader = leaders[turn % len(leaders)]
        moved = [name for name in space if random.random() < max(2 / len(space), 0.2)]
        near.append(space.fill(lambda name: _moved(space, name, leader, moved, random)))  # noqa: B023
    return still_to_gain(units, losses, positions(space, [*wide, *near]), left, seed)


def expected_harm(space: SearchSpace, trials: TrialTable) -> dict[str, float]:
    """How much worse the best of `trials` are expected to be with another value of one hyperparameter, by its name.

    It is a guess, on which no finding may rest: the mean of a Gaussian process that has seen the losses, over the
    LEADERS best trials and PLACES values all over the range, in standard deviations of the losses.
    """
    seen = trials.evidence
    seen = seen.select(np.unique(np.linspace(0, len(seen) - 1, min(len(seen), MOST_SEEN)).astype(np.intp)))
    losses = np.array(bounded(seen))
    spread = float(losses.std())
    if spread == 0:
        return {}
    process = fit(positions(space, [trial.params for trial in seen]), (losses - losses.mean()) / spread)
    values = {name: [space[name].from_unit((place + 0.5) / PLACES) for place in range(PLACES)] for name in space}
    harm = dict.fromkeys(space, 0.0)
    for row in np.argsort(losses, kind="stable")[:LEADERS]:
        best = seen[row].params
        points = [(name, {**best, name: value}) for name in best for value in values[name] if value != best[name]]
        means = process.at(positions(space, [best, *(point for _, point in points)]))[0]
        names = [name for name, _ in points]
        for (name, _), mean in zip(points, means[1:], strict=True):
            harm[name] += float(mean - means[0]) / names.count(name)
    return harm


def _moved(
    space: SearchSpace, name: str, leader: Mapping[str, Any], moved: Sequence[str], random: np.random.Generator
) -> Any:
    """The value of `leader`, or one a little away from it if the hyperparameter is `moved` or absent there."""
    if name not in leader:
        return space[name].from_unit(random.random())
    if name not in moved:
        return leader[name]
    if not isinstance(space[name], Float | Int):
        return space[name].from_unit(random.random())
    at = float(space[name].to_unit([leader[name]])[0])
    return space[name].from_unit(float(np.clip(at + 0.1 * random.standard_normal(), 0, 1)))


def positions(space: SearchSpace, points: Sequence[Mapping[str, Any]]) -> Floats:
    """Positions (n, d) of points in [0, 1]: a column for each number, and one for each value of a choice."""
    columns = []
    for name, kind in space.items():
        own = [point.get(name) for point in points]
        there = np.array([name in point for point in points])
        if isinstance(kind, Float | Int):
            unit = np.full(len(points), -0.5)
            unit[there] = kind.to_unit(np.array([point[name] for point in points if name in point], dtype=np.float64))
            columns.append(unit)
        else:
            values = kind.values if len(kind.values) > 2 else kind.values[:1]
            columns += [
                np.array([float(is_there and value == of) for value, is_there in zip(own, there, strict=True)])
                for of in values
            ]
    return np.column_stack(columns)
