"""Proposals in a space whose hyperparameters partly exist only under conditions.

One Gaussian process sees all trials, in whatever branch they lie: those of every branch teach it what the
hyperparameters do that the branches share (:class:`~hsicfast.proposals.coordinates.Coordinates`). A proposal has the
largest expected improvement, times the probability of each constraint, that a local search finds from random points and
from the best trials. Optuna's Gaussian process knows only what all trials have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.evidence.improvement import evenly, fit
from hsicfast.proposals.coordinates import Coordinates
from hsicfast.proposals.transforms import Lesson
from hsicfast.space.search_space import SearchSpace

# FEWEST_KNOWN: with fewer trials a Gaussian process has learnt nothing. Optuna waits for 10, because its studies begin
# without a design.
FEWEST_KNOWN = 4
# The local search begins at the STARTS best of DRAWN random points and of MOVED ones around the STARTS best trials. In
# each of ROUNDS rounds each of them looks at NEAR neighbours, at distances that shrink from the first of STEPS to the
# last, and moves to the best of them if that is better.
DRAWN, MOVED, STARTS, ROUNDS, NEAR, STEPS = 512, 256, 6, 15, 24, (0.3, 0.01)
# A Gaussian process sees at most MOST_SEEN trials: it takes the cube of their number, for each proposal.
MOST_SEEN = 400
# FAR: below this, phi(z) + z Phi(z) is a small difference of large numbers. FURTHEST: below this it counts as there.
FAR, FURTHEST = -1.0, -1e6
# On average one, two or four of the hyperparameters that exist are moved at once.
AT_ONCE = (1, 2, 4)


def has_conditions(space: SearchSpace) -> bool:
    """Whether some hyperparameters exist only under a condition."""
    return any(space[name].conditions for name in space)


class NestedSearch:
    """A search that proposes points of a `part` of the space, with `fixed` values.

    Parameters
    ----------
    coordinates : Coordinates
        Of the whole space.
    part : SearchSpace
        The space, perhaps with narrower ranges.
    fixed : mapping of str to value
    known : sequence of (dict, Lesson)
        Points of the whole space, and what they teach.
    random : numpy.random.Generator
    """

    def __init__(
        self,
        coordinates: Coordinates,
        part: SearchSpace,
        fixed: Mapping[str, Any],
        known: Sequence[tuple[dict[str, Any], Lesson]],
        random: np.random.Generator,
    ) -> None:
        self.points: list[Mapping[str, Any]] = [point for point, _ in known]
        self.lessons = [lesson for _, lesson in known]
        self._coordinates, self._random = coordinates, random
        self._units = coordinates.units(self.points, random)
        self._low, self._high = coordinates.within(part, fixed)

    def ask(self) -> dict[str, Any]:
        """The next proposal, which then counts as a trial with what is expected of it."""
        if len(self.points) < FEWEST_KNOWN:
            return self._coordinates.params(self._draw(1)[0])
        row, lesson = self._best()
        point = self._coordinates.params(row)
        self.tell(point, lesson)
        return point

    def tell(self, point: Mapping[str, Any], lesson: Lesson) -> None:
        """Learn the `lesson` of a `point`, instead of an earlier one of the same point."""
        if point in self.points[-1:]:
            self.lessons[-1] = lesson
            return
        self.points.append(point)
        self.lessons.append(lesson)
        self._units = np.concatenate((self._units, self._coordinates.units([point], self._random)))

    def _best(self) -> tuple[Floats, Lesson]:
        """The coordinates of the most promising new point, and what is expected of it."""
        exists = self._coordinates.active(self._units)
        within = (self._units >= self._low) & (self._units <= self._high) | ~exists
        seen = telling([lesson.value for lesson in self.lessons], MOST_SEEN)
        units, lessons = self._units[seen], [self.lessons[row] for row in seen]
        inside: Bools = np.asarray(within[seen].all(axis=1))
        sight = _Sight(self._coordinates, units, lessons, inside if inside.any() else ~inside)
        leaders = self._placed(units[sight.leaders])
        around = self._moved(leaders, STEPS[0] / 3, -(-MOVED // len(leaders)))
        rows = np.concatenate((self._draw(DRAWN), around))
        worth = sight.worth(rows)
        top = np.argsort(-worth, kind="stable")[:STARTS]
        rows, worth = rows[top], worth[top]
        for step in np.geomspace(*STEPS, ROUNDS):
            near = self._moved(rows, float(step), NEAR)
            found = sight.worth(near).reshape(len(rows), NEAR)
            better = found.max(axis=1) > worth
            rows[better] = near.reshape(len(rows), NEAR, -1)[better, found.argmax(axis=1)[better]]
            worth = np.maximum(worth, found.max(axis=1))
        for row in rows[np.argsort(-worth, kind="stable")]:
            if self._coordinates.params(row) not in self.points:
                return row, sight.expected(row)
        row = self._draw(1)[0]
        return row, sight.expected(row)

    def _draw(self, n: int) -> Floats:
        """Coordinates (n, d) of random points."""
        low, high = self._low, self._high
        return self._placed(low + (high - low) * self._random.random((n, len(low))))

    def _moved(self, rows: Floats, step: float, times: int) -> Floats:
        """Neighbours of `rows`, as many `times` each: numbers move by about `step`, choices to any value."""
        rows = np.repeat(rows, times, axis=0)
        exists = self._coordinates.active(rows).sum(axis=1)
        share = np.array(AT_ONCE)[self._random.integers(len(AT_ONCE), size=len(rows))] / np.maximum(exists, 1)
        moves = self._random.random(rows.shape) < share[:, None]
        near = rows + step * self._random.standard_normal(rows.shape)
        near = np.where(self._coordinates.numeric, near, self._random.random(rows.shape))
        return self._placed(np.where(moves, near, rows))

    def _placed(self, units: Floats) -> Floats:
        """The coordinates (n, d) nearest to `units` that are searched."""
        return self._coordinates.snapped(np.clip(units, self._low, self._high))


def telling(values: Sequence[float], most: int) -> NDArray[np.intp]:
    """Places of at most `most` trials that tell a search most: the best half, the newest quarter, and others evenly.

    Examples
    --------
    >>> telling([5.0, 1.0, 9.0, 8.0, 2.0, 7.0, 6.0, 4.0, 3.0, 10.0], 8).tolist()
    [0, 1, 3, 4, 6, 7, 8, 9]
    >>> telling([3.0, 2.0], 8).tolist()
    [0, 1]
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    chosen = np.zeros(n, dtype=bool)
    chosen[np.argsort(values, kind="stable")[: most // 2]] = True
    chosen[n - most // 4 :] = True
    others = np.flatnonzero(~chosen)
    chosen[others[evenly(len(others), most - int(chosen.sum()))]] = True
    return np.flatnonzero(chosen)


class _Sight:
    """What Gaussian processes see of the value and of each constraint.

    The incumbent, on which a point is to improve, is the best mean at a trial that lies where the search looks
    (`inside`) and meets every constraint. If there is none, only the constraints count.
    """

    def __init__(self, coordinates: Coordinates, units: Floats, lessons: Sequence[Lesson], inside: Bools) -> None:
        self._coordinates = coordinates
        columns = coordinates.columns(units)
        self._value = _Guess(columns, np.array([lesson.value for lesson in lessons]), coordinates)
        self._constraints = {
            name: _Guess(columns, np.array([lesson.constraints[name] for lesson in lessons]), coordinates)
            for name in lessons[0].constraints
        }
        means = self._value.at(columns)[0]
        met = np.array([all(own <= 0 for own in lesson.constraints.values()) for lesson in lessons])
        self._incumbent = float(np.min(means[inside & met], initial=np.inf))
        rows = np.flatnonzero(inside)
        self.leaders = rows[np.lexsort((means[rows], ~met[rows]))][:STARTS]

    def worth(self, rows: Floats) -> Floats:
        """Logarithms (n,) of the expected improvement times the probability of each constraint."""
        from scipy.special import log_ndtr

        columns = self._coordinates.columns(rows)
        worth = np.zeros(len(rows))
        if np.isfinite(self._incumbent):
            worth += log_improvement(*self._value.at(columns), self._incumbent)
        for guess in self._constraints.values():
            mean, sd = guess.at(columns)
            worth += log_ndtr(-mean / sd)
        return worth

    def expected(self, row: Floats) -> Lesson:
        """What is expected of a point."""
        columns = self._coordinates.columns(row[None])
        constraints = {name: float(guess.at(columns)[0][0]) for name, guess in self._constraints.items()}
        return Lesson(float(self._value.at(columns)[0][0]), constraints)


class _Guess:
    """A Gaussian process of values (n,), in their unit."""

    def __init__(self, columns: Floats, values: Floats, coordinates: Coordinates) -> None:
        self._mean, self._scale = float(values.mean()), float(values.std()) or 1.0
        self._process = fit(columns, (values - self._mean) / self._scale, coordinates.owners)

    def at(self, columns: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations (m,)."""
        mean, sd = self._process.each(columns)
        return self._mean + self._scale * mean, self._scale * sd


def log_improvement(mean: Floats, sd: Floats, incumbent: float) -> Floats:
    """Logarithms (n,) of the expected improvement on the `incumbent`, however small it is.

    With z = (incumbent - mean) / sd it is ``log(sd (phi(z) + z Phi(z)))``; far below 0 it is taken from the scaled
    complementary error function, ``log(sd phi(z) (1 + z sqrt(pi / 2) erfcx(-z / sqrt(2))))``.

    Examples
    --------
    >>> log_improvement(np.array([0.0, 60.0]), np.ones(2), 0.0).round(1).tolist()
    [-0.9, -1809.1]
    """
    from scipy.special import erfcx, ndtr

    z = (incumbent - mean) / sd
    near, far = np.maximum(z, FAR), np.clip(z, FURTHEST, FAR)
    log_density = -0.5 * math.log(2 * math.pi)
    inside = np.log(np.exp(log_density - near**2 / 2) + near * ndtr(near))
    outside = log_density - far**2 / 2 + np.log1p(far * math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2)))
    return np.log(sd) + np.where(z > FAR, inside, outside)
