"""How much further trials can be expected to gain, by a Gaussian process that has seen the losses of the others.

The process has a Matern kernel (5/2) with a length scale for each column, and a noise, all at the mode of their
posterior. With mean m, standard deviation s and the smallest mean f at the trials, one trial at a point is expected to
improve on f by ``(f - m) Phi(z) + s phi(z)``, z = (f - m) / s. As many trials as may be gain no more than what the
smallest value of a function drawn from the process is below f, on average. The smaller of this and of the largest
improvement, as often as trials are left, bounds what can be gained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats

# Prior of the logarithms: of the length scales (about half a range, wide), and of the noise (a hundredth, wide).
LENGTH, NOISE = (math.log(0.5), 1.0), (math.log(1e-2), 2.0)
# The noise has at least this share of the variance, so that equal rows do not make the matrix singular.
LEAST_NOISE = 1e-6
# A point is never known better than this, so that its standard deviation can be divided by.
LEAST_VARIANCE = 1e-10
# MOST_FITTED: at most so many trials, evenly over their order, find the length scales and the noise, which takes a
# hundred factorisations; all trials count in what is expected.
MOST_FITTED = 150
# DRAWS: number of functions that are drawn from the process.
DRAWS = 200
_ROOT = math.sqrt(5)


@dataclass(frozen=True)
class Process:
    """A Gaussian process that has seen losses.

    Attributes
    ----------
    x : array (n, d)
    scales : array (d,)
        Length scale of each column.
    factor : array (n, n)
        Lower Cholesky factor of the covariance of the losses.
    weights : array (n,)
        The inverse covariance times the losses.
    """

    x: Floats
    scales: Floats
    factor: Floats
    weights: Floats

    def at(self, points: Floats) -> tuple[Floats, Floats]:
        """Means (m,) and covariances (m, m) of the loss at `points` (m, d), without noise."""
        mean, own, part = self._seen(points)
        return mean, _matern(_distances(own, own)) - part.T @ part

    def each(self, points: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations (m,) of the loss at each of the `points` (m, d), without noise."""
        mean, _, part = self._seen(points)
        return mean, np.sqrt(np.maximum(1 - (part**2).sum(axis=0), LEAST_VARIANCE))

    def _seen(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Means (m,), scaled points (m, d), and what the trials tell of them (n, m)."""
        from scipy.linalg import solve_triangular

        own = points / self.scales
        cross = _matern(_distances(own, self.x / self.scales))
        return cross @ self.weights, own, solve_triangular(self.factor, cross.T, lower=True)


def fit(x: Floats, losses: Floats, owners: NDArray[np.int64] | None = None) -> Process:
    """The process that has seen standardised `losses` (n,) at the rows of `x` (n, c) in [0, 1].

    Columns with the same number among `owners` (c,), which are 0, 1, ..., share a length scale; by default each column
    has its own.
    """
    from scipy.optimize import minimize

    some = evenly(len(x), MOST_FITTED)
    squares = (x[some, None, :] - x[None, some, :]) ** 2
    if owners is not None:
        firsts = np.flatnonzero(np.diff(owners, prepend=-1))
        squares = np.add.reduceat(squares, firsts, axis=2)
    d = squares.shape[2]
    start = np.append(np.full(d, LENGTH[0]), NOISE[0])
    bounds = [(math.log(0.02), math.log(50))] * d + [(math.log(LEAST_NOISE), math.log(0.9))]
    found = minimize(_objective, start, (squares, losses[some]), jac=True, bounds=bounds, options={"maxiter": 60})
    scales, noise = np.exp(found.x[:-1]), float(np.exp(found.x[-1]))
    scales = scales if owners is None else scales[owners]
    factor = np.linalg.cholesky(_matern(_distances(x / scales, x / scales)) + noise * np.eye(len(x)))
    weights: Floats = np.linalg.solve(factor.T, np.linalg.solve(factor, losses))
    return Process(x, scales, np.asarray(factor, dtype=np.float64), weights)


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """At most `most` of n places, evenly spaced from the first to the last.

    >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def still_to_gain(
    x: Floats, losses: Floats, candidates: Floats, left: int, seed: int, owners: NDArray[np.int64] | None = None
) -> float:
    """What `left` further trials can be expected to gain, in the unit of the losses.

    Parameters
    ----------
    x : array (n, d)
        The trials, in [0, 1].
    losses : array (n,)
    candidates : array (m, d)
        Where further trials may lie.
    left : int
    seed : int
        Of the functions that are drawn.
    owners : int array (d,), optional
        Of the columns, as in :func:`fit`.

    Examples
    --------
    >>> x, grid = np.linspace(0, 1, 12)[:, None], np.linspace(0, 1, 101)[:, None]
    >>> seen = still_to_gain(x, (x[:, 0] - 0.5) ** 2, grid, 20, seed=0)
    >>> half = still_to_gain(x[:6], (x[:6, 0] - 0.7) ** 2, grid, 20, seed=0)
    >>> seen < 0.005 < half
    True
    """
    from scipy.stats import norm

    spread = float(losses.std())
    if spread == 0:
        return 0.0
    process = fit(x, (losses - losses.mean()) / spread, owners)
    mean, covariance = process.at(np.concatenate((x, candidates)))
    best = float(mean[: len(x)].min())
    mean, covariance = mean[len(x) :], covariance[len(x) :, len(x) :]
    sd = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    z = (best - mean) / sd
    one = float((sd * (z * norm.cdf(z) + norm.pdf(z))).max())
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = mean + np.random.default_rng(seed).standard_normal((DRAWS, len(mean))) @ root.T
    most = float(np.maximum(best - drawn.min(axis=1), 0.0).mean())
    return min(left * one, most) * spread


def _objective(logs: Floats, squares: Floats, y: Floats) -> tuple[float, Floats]:
    """Negative logarithm of the posterior of the settings, without constants, and its gradient."""
    inverse, noise = np.exp(-2 * logs[:-1]), math.exp(logs[-1])
    distance = np.sqrt(squares @ inverse)
    n = len(y)
    factor = np.linalg.cholesky(_matern(distance) + noise * np.eye(n))
    half = np.linalg.solve(factor, np.eye(n))
    inverted = half.T @ half
    weights = inverted @ y
    # The derivative of the kernel by the logarithm of a length scale is 5/3 (1 + sqrt5 r) exp(-sqrt5 r) d^2 / l^2.
    slope = 5 / 3 * (1 + _ROOT * distance) * np.exp(-_ROOT * distance)
    pull = np.outer(weights, weights) - inverted
    gradient = np.append(
        -0.5 * np.einsum("ij,ijk->k", pull * slope, squares) * inverse, -0.5 * noise * float(np.trace(pull))
    )
    means = np.append(np.full(len(logs) - 1, LENGTH[0]), NOISE[0])
    spreads = np.append(np.full(len(logs) - 1, LENGTH[1]), NOISE[1])
    away = (logs - means) / spreads
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(away @ away)
    return value, gradient + away / spreads


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (m, n) between the rows of a and b."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0))


def _matern(distance: Floats) -> Floats:
    scaled = _ROOT * distance
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
