"""What drives the cost, and what comes of more of it, or less.

What makes a training dear (width, depth, rounds of boosting) often makes it better as well, out to the end of its
range, where a design of few trials has nothing: :func:`dearer` goes there at once. And often it does not, or not so
far: :func:`cheaper` goes to the cheap end of one range at a time, and where that is not as good any more half way back.
What drives the cost and not the error is thereby at its cheapest value after one trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hsicfast.hyperparameters import Float, Int
from hsicfast.inference import holm
from hsicfast.space import SearchSpace
from hsicfast.trials import Trial

ALPHA, FEWEST = 0.05, 5
# Between values closer than this share of the range, carried to [0, 1], there is no half way worth a trial.
CLOSE = 0.04


class Driver(NamedTuple):
    """A number that the cost rises or falls with, and the ends of its range."""

    name: str
    cheap: Any
    dear: Any


def drivers(space: SearchSpace, trials: Sequence[Trial]) -> list[Driver]:
    """The numbers that the cost rises or falls with (Spearman, Holm's p <= 5%).

    Parameters
    ----------
    space : SearchSpace
    trials : sequence of Trial
        A hyperparameter is judged by those that have it and a known cost, from 5 on. One on which others depend is
        left alone: another value of it is another configuration altogether.

    Returns
    -------
    list of Driver
        The clearest first.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9), "rate": Float(0, 1)})
    >>> trials = [Trial(w, {"width": w, "rate": w * 0.6 % 1}, 0.0, cost=float(w * w)) for w in range(1, 10)]
    >>> drivers(space, trials)
    [Driver(name='width', cheap=1, dear=9)]
    """
    parents = {parent for name in space for parent in space[name].conditions}
    found: list[tuple[float, float, Driver]] = []
    for name in space:
        kind = space[name]
        if not isinstance(kind, Float | Int) or name in parents:
            continue
        rho, pvalue = _correlation([(t.params[name], t.cost) for t in trials if name in t.params])
        ends = (kind.low, kind.high) if rho > 0 else (kind.high, kind.low)
        found.append((pvalue, -abs(rho), Driver(name, *ends)))
    found.sort()
    adjusted = holm(np.array([pvalue for pvalue, _, _ in found]))
    return [driver for p, (_, _, driver) in zip(adjusted, found, strict=True) if p <= ALPHA]


def dearer(params: dict[str, Any], ends: Sequence[Driver]) -> dict[str, Any]:
    """`params` with the dear ends of those of the drivers that they have."""
    return params | {driver.name: driver.dear for driver in ends if driver.name in params}


def cheaper(space: SearchSpace, start: Trial, ends: Sequence[Driver], trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The params of `start` with one driver at a cheaper value; None where there is nothing left to try.

    Parameters
    ----------
    space : SearchSpace
    start : Trial
        The cheapest so far that is as good as the best.
    ends : sequence of Driver
        Each goes to its cheap end before one goes half way back.
    trials : sequence of Trial
        What was tried. One that is as `start` but for the drivers, of which this one has a cheaper value, was not as
        good, or it would be the start. Where `start` with nothing but a cheaper value costs no less, that is no driver
        here.

    Examples
    --------
    >>> space = SearchSpace({"width": Int(1, 9)})
    >>> width, start = [Driver("width", cheap=1, dear=9)], Trial(0, {"width": 9}, 0.1)
    >>> cheaper(space, start, width, [start])
    {'width': 1}
    >>> cheaper(space, start, width, [start, Trial(1, {"width": 1}, 0.9)])
    {'width': 5}
    """
    tried = [trial.params for trial in trials]
    line = [trial for trial in trials if _without(trial.params, ends) == _without(start.params, ends)]
    moves: list[tuple[int, dict[str, Any]]] = []
    for driver in ends:
        if driver.name not in start.params:
            continue
        own = [trial for trial in line if driver.name in trial.params]
        kind = space[driver.name]
        values = [start.params[driver.name], driver.cheap, *(trial.params[driver.name] for trial in own)]
        here, end, *places = kind.to_unit(values).tolist()
        beyond = [(place, t) for place, t in zip(places, own, strict=True) if (place - here) * (end - here) > 0]
        alone = [t for _, t in beyond if _without(t.params, [driver]) == _without(start.params, [driver])]
        nearest = min((place for place, _ in beyond), key=lambda place: abs(place - here), default=end)
        target = kind.from_unit((here + nearest) / 2) if beyond else driver.cheap
        moved = start.params | {driver.name: target}
        saves = all(trial.cost < start.cost for trial in alone if np.isfinite(trial.cost))
        if saves and abs(nearest - here) >= CLOSE and moved not in tried:
            moves.append((len(beyond), moved))
    return min(moves, key=lambda move: move[0], default=(0, None))[1]


def _without(params: dict[str, Any], ends: Sequence[Driver]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in {driver.name for driver in ends}}


def _correlation(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Spearman's, of the finite pairs, and its p; no correlation of fewer than 5, or where one side is all alike."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if np.isfinite(pair[1])], dtype=np.float64)
    if len(known) < FEWEST or (np.ptp(known, axis=0) == 0).any():
        return 0.0, 1.0
    found = spearmanr(known[:, 0], known[:, 1])
    return float(found.statistic), float(found.pvalue)
