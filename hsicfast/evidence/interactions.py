"""Interactions of two hyperparameters: the published pair index, and what is left of it without the main effects.

- published: HSIC of the goal with the product of both kernels, the kernel on the couple (Novello et al. 2023, sect. 4);
- pure: the same with each kernel made orthogonal to constants under the uniform distribution (Durrande et al. 2013). It
  is zero if P(goal | first, second) is a sum of a function of each.

With features psi and phi of both hyperparameters, either index is the squared length of the r1 r2 numbers
``(1/n) sum_j w_j psi(u_j) x phi(v_j)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats
from hsicfast.dependence import inference
from hsicfast.dependence.features import gaussian_features, negligible, principal
from hsicfast.dependence.goal_oriented import permutation_pvalues

# Up to this many trials, permutations and random signs test a pair. Beyond it the limit distribution does: a weighted
# sum of chi-squares, whose cost does not grow with the number of permutations.
MOST_PERMUTED = 2000
# The weights of that sum are eigenvalues of a covariance. This many trials estimate them to a percent; the index itself
# uses all trials.
MOST_FOR_LAW = 16_384


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
    """

    def __init__(
        self, features: Callable[[str], Floats], z: Bools, bandwidth: float, n_permutations: int, seed: int
    ) -> None:
        self.features, self.z, self.n_permutations, self.seed = features, z, n_permutations, seed
        self.n, self.w = len(z), z - z.mean()
        self.mean = gaussian_features(bandwidth).mean
        self.limit = negligible(self.n)
        self.rows = np.arange(self.n)
        if self.n > MOST_FOR_LAW:
            self.rows = np.sort(np.random.default_rng(seed).choice(self.n, MOST_FOR_LAW, replace=False))
        self.known: dict[str, tuple[_Coordinates, _Coordinates]] = {}
        self.signs: Floats | None = None

    def pair(self, first: str, second: str) -> tuple[float, float, float, float]:
        """The published index, the pure index, and their p-values."""
        (one, pure_one), (two, pure_two) = self._coordinates(first), self._coordinates(second)
        psi, pure = self._product(one, two), self._product(pure_one, pure_two)
        index, pure_index = self._index(one, two), self._index(pure_one, pure_two)
        if self.n <= MOST_PERMUTED:
            return index, pure_index, self._permuted(psi), self._signed(pure)
        centred = psi - psi.mean(axis=0)
        terms = self.w[self.rows, None] * pure
        limits = (self.w @ self.w / self.n * (centred.T @ centred), terms.T @ terms)
        pvalues = [
            inference.weighted_chi2_pvalue(self.n * s, np.linalg.eigvalsh(covariance) / len(self.rows))
            for s, covariance in zip((index, pure_index), limits, strict=True)
        ]
        return index, pure_index, pvalues[0], pvalues[1]

    def _coordinates(self, name: str) -> tuple[_Coordinates, _Coordinates]:
        """Coordinates for the kernel as it is, and for the kernel orthogonal to constants."""
        if name not in self.known:
            psi = self.features(name)
            # k - m m^T / M, orthogonal to constants, has the features of k less their part along E psi(U).
            pure = psi - np.outer(psi @ self.mean, self.mean) / (self.mean @ self.mean)
            self.known[name] = (
                _Coordinates(psi, *principal(psi[self.rows], self.limit)),
                _Coordinates(pure, *principal(pure[self.rows], self.limit)),
            )
        return self.known[name]

    def _index(self, one: _Coordinates, two: _Coordinates) -> float:
        return float((((self.w[:, None] * one.all).T @ two.all) ** 2).sum()) / self.n**2

    def _product(self, one: _Coordinates, two: _Coordinates) -> Floats:
        """Products (m, r) of both features in the trials for the limit distribution; negligible ones are dropped."""
        sizes = np.outer(one.sizes, two.sizes)
        first, second = np.nonzero(sizes >= self.limit * sizes.sum())
        return one.few[:, first] * two.few[:, second]

    def _permuted(self, psi: Floats) -> float:
        """The p-value under permutations of the goal."""
        return permutation_pvalues([psi], self.z, self.n_permutations, self.seed)[0]

    def _signed(self, psi: Floats) -> float:
        """The p-value under random signs (a wild bootstrap).

        If there is a main effect, the terms w_j psi_j have mean zero but are not exchangeable: permutations of the goal
        reject up to three times too often if one hyperparameter alone decides. Random signs keep the size of each term,
        and so the spread.
        """
        if self.signs is None:
            random = np.random.default_rng(self.seed)
            self.signs = random.choice(np.array([-1.0, 1.0]), (self.n_permutations, self.n))
        terms = self.w[:, None] * psi / self.n
        drawn = ((self.signs @ terms) ** 2).sum(axis=1)
        return inference.permutation_pvalue(float((terms.sum(axis=0) ** 2).sum()), drawn)
