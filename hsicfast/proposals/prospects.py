"""Prospects: what further trials can be expected to gain, and what harm another value can be expected to do."""

from __future__ import annotations

import numpy as np

from hsicfast.evidence.improvement import evenly, fit, still_to_gain
from hsicfast.proposals.coordinates import Coordinates
from hsicfast.proposals.transforms import bounded
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.table import TrialTable

# What can still be gained is judged at CANDIDATES points of the space, and as many near the LEADERS best trials: two of
# their hyperparameters or AT_LEAST a fifth are moved, numbers by about STEP of their range.
CANDIDATES, LEADERS, AT_LEAST, STEP = 256, 5, 0.2, 0.1
# What harm another value does is judged at PLACES of its range, by up to MOST_SEEN trials.
PLACES, MOST_SEEN = 8, 200


def expected_gain(space: SearchSpace, trials: TrialTable, left: int, seed: int) -> float:
    """What `left` further trials can be expected to gain on the best of `trials`, in the unit of the loss.

    A Gaussian process sees the losses, those worse than the median as the median, because how bad a bad trial is says
    nothing of what can be gained. The candidates are drawn from the space, half of them near the best trials.

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
    random, coordinates = np.random.default_rng(seed), Coordinates(space)
    units = coordinates.units([trial.params for trial in seen], random)
    leaders = units[np.argsort(losses, kind="stable")[:LEADERS]]
    near = leaders[np.arange(CANDIDATES) % len(leaders)]
    moved = near + STEP * random.standard_normal(near.shape)
    moved = np.where(coordinates.numeric, np.clip(moved, 0, 1), random.random(near.shape))
    near = np.where(random.random(near.shape) < max(2 / len(space), AT_LEAST), moved, near)
    candidates = coordinates.snapped(np.concatenate((random.random(near.shape), near)))
    columns, owners = coordinates.columns, coordinates.owners
    return still_to_gain(columns(units), losses, columns(candidates), left, seed, owners)


def expected_harm(space: SearchSpace, trials: TrialTable) -> dict[str, float]:
    """How much worse the best of `trials` are expected to be with another value of one hyperparameter, by its name.

    It is a guess, on which no finding may rest: the mean of a Gaussian process that has seen the losses, over the
    LEADERS best trials and PLACES values all over the range, in standard deviations of the losses. One on which others
    depend has none, because another value of it makes another configuration altogether.
    """
    seen = trials.evidence
    seen = seen.select(evenly(len(seen), MOST_SEEN))
    losses = np.array(bounded(seen))
    spread = float(losses.std())
    if spread == 0:
        return {}
    coordinates = Coordinates(space)
    units = coordinates.snapped(coordinates.units([trial.params for trial in seen], np.random.default_rng(0)))
    process = fit(coordinates.columns(units), (losses - losses.mean()) / spread, coordinates.owners)
    parents = {parent for name in space for parent in space[name].conditions}
    harm = {name: 0.0 for name in space if name not in parents}
    exists = coordinates.active(units)
    for row in np.argsort(losses, kind="stable")[:LEADERS]:
        for place, name in enumerate(coordinates.names):
            if name not in harm or not exists[row, place]:
                continue
            others = np.repeat(units[row : row + 1], PLACES + 1, axis=0)
            others[1:, place] = (np.arange(PLACES) + 0.5) / PLACES
            others = coordinates.snapped(others)
            means = process.each(coordinates.columns(others))[0]
            away = others[1:, place] != others[0, place]
            if away.any():
                harm[name] += float((means[1:][away] - means[0]).mean())
    return harm
