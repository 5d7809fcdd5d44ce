"""Interactions of two hyperparameters: the published pair index, and what is left of it without the main effects.

- published: HSIC of the goal with the product of both kernels, the kernel on the couple (Novello et al. 2023, sect. 4);
- pure: the same with each kernel made orthogonal to constants under the uniform distribution (Durrande et al. 2013). It
  is zero if P(goal | first, second) is a sum of a function of each.

With features psi and phi of both hyperparameters, either index is the squared length of the r1 r2 numbers
``(1/n) sum_j w_j psi(u_j) x phi(v_j)``.

Two p-values stand against the pure index, and the larger counts:

- random signs of the terms are right for any main effects, but only if good trials have met the rare values, too. If
  one partner decides and all good trials have the usual value of the other, then the terms seem to vary too little;
- permutations of one partner's values among the trials, goal and other partner fixed, are exact if this partner has no
  effect at all. The partner with the weaker main effect is permuted.

Both take the partners as independent. If the partners move together, their pure index is not zero even if one of them
alone decides. So it gets no p-value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import inference
from hsicfast.dependence.features import gaussian_features, negligible, principal
from hsicfast.dependence.goal_oriented import permutation_pvalues

# Up to this many trials, permutations and random signs test a pair. Beyond it the limit distribution does: a weighted
# sum of chi-squares, whose cost does not grow with the number of permutations.
MOST_PERMUTED = 2000
# The weights of that sum are eigenvalues of a covariance. This many trials estimate them to a percent; the index itself
# uses all trials.
MOST_FOR_LAW = 16_384
# Partners count as dependent if their independence has a p-value of at most this. Where one of two decides alone, with
# correlations of 0.1 to 0.9 and 30 to 1000 trials, up to 8% of the pairs then interact at 5% (up to 100% without).
DEPENDENT = 0.01
# A p-value above this is no evidence of anything, and is not sharpened.
LARGE = 0.1
# Permutations of a partner stop after this many that reach the statistic (Besag and Clifford 1991).
REACHED = 50
# The limit distribution of a permuted partner holds if at least FEWEST_TERMS terms of its sums matter. If fewer do,
# permutations are drawn, for up to MOST_DRAWN trials.
FEWEST_TERMS, MOST_DRAWN = 50, 100_000
# Permutations come in blocks of at most so many, and of at most so many numbers.
BLOCK, BLOCK_NUMBERS = 100, 200_000


class _Coordinates(NamedTuple):
    """Features of one hyperparameter.

    Attributes
    ----------
    all : array (n, r)
        Features in all trials.
    few : array (m, s)
        Features in the trials for the limit distribution, along their principal axes; negligible axes are dropped.
    sizes : array (s,)
        Mean square of each column of `few`.
    """

    all: Floats
    few: Floats
    sizes: Floats

    @property
    def fewest(self) -> Floats:
        """Features in all trials, in the fewest columns."""
        return self.few if len(self.few) == len(self.all) else self.all


class _Spread(NamedTuple):
    """Mean (s,), eigenvalues (s,) and axes (s, s) of the covariance of features."""

    mean: Floats
    values: Floats
    axes: Floats

    @classmethod
    def of(cls, rows: Floats) -> _Spread:
        mean = rows.mean(axis=0)
        return cls(mean, *np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows)))


class _Known(NamedTuple):
    """What is known of one hyperparameter.

    Attributes
    ----------
    given, pure : _Coordinates
        For the kernel as it is, and for the kernel orthogonal to constants.
    centred : array (n, s)
        The first in the fewest columns, less their means.
    spread : _Spread
        Of these.
    alone : float
        P-value of the main effect, from its limit distribution.
    """

    given: _Coordinates
    pure: _Coordinates
    centred: Floats
    spread: _Spread
    alone: float


class Judged(NamedTuple):
    """Both indices of a pair, their p-values, and the p-value for partners that do not depend on each other."""

    hsic: float
    pure: float
    pvalue: float
    pvalue_pure: float
    dependence: float


class Draws:
    """Random signs and permutations of n trials, the same for all pairs that are judged among as many.

    Parameters
    ----------
    n, n_permutations, seed : int
    """

    def __init__(self, n: int, n_permutations: int, seed: int) -> None:
        self.n, self.n_permutations, self.seed = n, n_permutations, seed
        self._orders: list[Rows] = []

    @cached_property
    def signs(self) -> Floats:
        """Random signs (n_permutations, n)."""
        random = np.random.default_rng(self.seed)
        return random.choice(np.array([-1.0, 1.0]), (self.n_permutations, self.n))

    def permutations(self) -> Iterator[Rows]:
        """Permutations in blocks (n, b)."""
        size = max(1, min(BLOCK, BLOCK_NUMBERS // self.n))
        for place, start in enumerate(range(0, self.n_permutations, size)):
            if place < len(self._orders):
                yield self._orders[place]
                continue
            drawn = min(size, self.n_permutations - start)
            random = np.random.default_rng((self.seed, place))
            orders = np.ascontiguousarray(random.permuted(np.tile(np.arange(self.n), (drawn, 1)), axis=1).T)
            if self.n <= MOST_PERMUTED:
                self._orders.append(orders)
            yield orders


class PairJudge:
    """Judges pairs of hyperparameters that exist in the same trials.

    Parameters
    ----------
    features : callable
        From a name to the features (n, r) of that hyperparameter in these trials.
    z : bool array (n,)
        Which trials met the goal: some, but not all.
    bandwidth : float
        Bandwidth of the features.
    n_permutations, seed : int
    draws : Draws, optional
        Those of another judge of as many trials, which asks them again.
    """

    def __init__(
        self,
        features: Callable[[str], Floats],
        z: Bools,
        bandwidth: float,
        n_permutations: int,
        seed: int,
        draws: Draws | None = None,
    ) -> None:
        self.features, self.z, self.n_permutations, self.seed = features, z, n_permutations, seed
        self.n, self.w = len(z), z - z.mean()
        self.bandwidth = bandwidth
        self.limit = negligible(self.n)
        self.rows = np.arange(self.n)
        if self.n > MOST_FOR_LAW:
            self.rows = np.sort(np.random.default_rng(seed).choice(self.n, MOST_FOR_LAW, replace=False))
        self.known: dict[str, _Known] = {}
        self.draws = draws or Draws(self.n, n_permutations, seed)

    def pair(self, first: str, second: str) -> Judged:
        """Both indices and their evidence; ``pvalue_pure`` is NaN if the partners depend on each other.

        Parameters
        ----------
        first, second : str
        """
        one, two = self._coordinates(first), self._coordinates(second)
        index, pure_index = self._index(one.given, two.given), self._index(one.pure, two.pure)
        dependence = self._exchanged(one.centred, two.centred, one.spread, two.spread)
        psi = self._product(one.given, two.given)
        if self.n <= MOST_PERMUTED:
            pvalue = self._permuted(psi)
        else:
            centred = psi - psi.mean(axis=0)
            pvalue = self._limit(index, self.w @ self.w / self.n * (centred.T @ centred))
        pvalue_pure = math.nan if dependence <= DEPENDENT else self._pure(one, two, pure_index)
        return Judged(index, pure_index, pvalue, pvalue_pure, dependence)

    def _coordinates(self, name: str) -> _Known:
        if name not in self.known:
            psi = self.features(name)
            pure = orthogonal_to_constants(psi, self.bandwidth)
            given = _Coordinates(psi, *principal(psi[self.rows], self.limit))
            centred = given.fewest - given.fewest.mean(axis=0)
            spread, goal = _Spread.of(centred), self.w[:, None]
            self.known[name] = _Known(
                given,
                _Coordinates(pure, *principal(pure[self.rows], self.limit)),
                centred,
                spread,
                _exchanged_limit(self.n, goal.T @ centred, _Spread.of(goal), spread, self.limit),
            )
        return self.known[name]

    def _index(self, one: _Coordinates, two: _Coordinates) -> float:
        return float((((self.w[:, None] * one.all).T @ two.all) ** 2).sum()) / self.n**2

    def _product(self, one: _Coordinates, two: _Coordinates) -> Floats:
        """Products (m, r) of both features in the trials for the limit distribution; negligible ones are dropped."""
        sizes = np.outer(one.sizes, two.sizes)
        first, second = np.nonzero(sizes >= self.limit * sizes.sum())
        return one.few[:, first] * two.few[:, second]

    def _limit(self, index: float, covariance: Floats) -> float:
        """The p-value of an index; `covariance` is the sum of the squared terms in the trials for the limit."""
        return inference.weighted_chi2_pvalue(self.n * index, np.linalg.eigvalsh(covariance) / len(self.rows))

    def _permuted(self, psi: Floats) -> float:
        """The p-value under permutations of the goal."""
        return permutation_pvalues([psi], self.z, self.n_permutations, self.seed)[0]

    def _pure(self, one: _Known, two: _Known, index: float) -> float:
        """The p-value of the pure index of independent partners: the larger of two."""
        psi = self._product(one.pure, two.pure)
        if self.n <= MOST_PERMUTED:
            signed = self._signed(psi)
        else:
            terms = self.w[self.rows, None] * psi
            signed = self._limit(index, terms.T @ terms)
        if signed > LARGE:
            return signed
        weaker, stronger = sorted((one, two), key=lambda known: -known.alone)
        fixed, moved = self.w[:, None] * stronger.pure.fewest, weaker.pure.fewest
        return max(signed, self._exchanged(fixed, moved, _Spread.of(fixed), _Spread.of(moved)))

    def _signed(self, psi: Floats) -> float:
        """The p-value under random signs (a wild bootstrap).

        If there is a main effect, the terms w_j psi_j have mean zero but are not exchangeable: permutations of the goal
        reject up to three times too often if one hyperparameter alone decides. Random signs keep the size of each term,
        and so the spread.
        """
        terms = self.w[:, None] * psi / self.n
        drawn = ((self.draws.signs @ terms) ** 2).sum(axis=1)
        statistic = float((terms.sum(axis=0) ** 2).sum())
        pvalue = inference.permutation_pvalue(statistic, drawn)
        # One over the number of signs, adjusted for many pairs, would never be small.
        return pvalue if pvalue > 1 / (len(drawn) + 1) else inference.beyond_permutations(statistic, drawn)

    def _exchanged(self, x: Floats, y: Floats, of_x: _Spread, of_y: _Spread) -> float:
        """The p-value of ``|sum_j x_j x y_j|^2`` if the rows of y (n, s) are permuted and those of x (n, r) are not."""
        pvalue = _exchanged_limit(self.n, x.T @ y, of_x, of_y, self.limit)
        drawn = pvalue <= LARGE and self.n <= MOST_DRAWN and _terms(x) * _terms(y) / self.n < FEWEST_TERMS
        return self._drawn(x, y) if drawn else pvalue

    def _drawn(self, x: Floats, y: Floats) -> float:
        """The p-value of :meth:`_exchanged` from permutations, of which the first that decide are drawn."""
        statistic = float(((x.T @ y) ** 2).sum())
        least = statistic * (1 - 1e-9)  # as inference.permutation_pvalue counts ties
        fixed, moved = sorted((x, y), key=lambda rows: -rows.shape[1])  # it is all one which of both is permuted
        reached = drawn = 0
        permuted: list[Floats] = []
        for orders in self.draws.permutations():
            sums = (fixed.T @ moved[orders].reshape(self.n, -1)).reshape(fixed.shape[1], orders.shape[1], -1)
            permuted.append(np.einsum("rbs,rbs->b", sums, sums))
            places = np.flatnonzero(permuted[-1] >= least)
            if reached + len(places) >= REACHED:
                return REACHED / (drawn + int(places[REACHED - reached - 1]) + 1)
            reached, drawn = reached + len(places), drawn + orders.shape[1]
        if reached:
            return (1 + reached) / (1 + drawn)
        return inference.beyond_permutations(statistic, np.concatenate(permuted))


def orthogonal_to_constants(psi: Floats, bandwidth: float) -> Floats:
    """Features (n, r) of a Gaussian, made orthogonal to constants under the uniform distribution.

    With m(u) = E k(u, U) and M = E m(U) the kernel becomes k - m m^T / M: psi loses its part along E psi(U).
    """
    mean = gaussian_features(bandwidth).mean
    return np.asarray(psi - np.outer(psi @ mean, mean) / (mean @ mean))


def _exchanged_limit(n: int, sums: Floats, x: _Spread, y: _Spread, negligible: float) -> float:
    """The limit of :meth:`PairJudge._exchanged` for many trials, from ``sum_j x_j x y_j`` (r, s).

    The sum of the terms has mean n mean(x) x mean(y) and n^2 / (n - 1) times the product of the covariances of x and y
    as its covariance: both are exact.
    """
    weights = np.outer(x.values, y.values) * n**2 / (n - 1)
    means = n * np.outer(x.mean @ x.axes, y.mean @ y.axes)
    kept = weights > negligible * weights.sum()
    shifts = means[kept] ** 2 / weights[kept]
    return inference.weighted_chi2_pvalue(float((sums**2).sum()), weights[kept], shifts)


def _terms(x: Floats) -> float:
    """How many of the rows matter to their sum: all if they are of one length; few if a few are far longer."""
    squares = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    return float(squares.sum() ** 2 / max((squares**2).sum(), np.finfo(float).tiny))
