"""Mercer features: kernels on [0, 1] as inner products of a few numbers, and their principal axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.engines import spectral
from hsicfast.engines.layer import threads_for

# exp(-TAIL^2 / 2) is 1e-16: beyond TAIL bandwidths a Gaussian is zero in double precision.
TAIL = 8.6
# The coefficients c_k fall as exp(-2 (pi h k / P)^2), which is 1e-16 at k = TERMS * P / h.
TERMS = 1.37
# The rounding of eigenvalues that sum to 1.
LEAST_EIGENVALUE = 1e-16
# Median of |U - V| for U, V independent and uniform on [0, 1].
UNIFORM_MEDIAN = 1 - 1 / math.sqrt(2)


def n_terms(bandwidth: float) -> int:
    """Number K of cosines, without the constant, in the series of a Gaussian."""
    return math.ceil(TERMS * (1 + TAIL * bandwidth) / bandwidth)


def smallest_bandwidth(terms: int) -> float:
    """The smallest bandwidth whose series has at most `terms` cosines, see :func:`n_terms`.

    Examples
    --------
    >>> n_terms(smallest_bandwidth(400) * 1.0001), n_terms(smallest_bandwidth(400) * 0.999)
    (400, 401)
    """
    return TERMS / (terms - TERMS * TAIL)


def gaussian_series(bandwidth: float) -> tuple[float, Floats]:
    """The Gaussian on [-1, 1] as a cosine series.

    ``exp(-d^2/2h^2) = sum_k c_k cos(omega k d)`` to 1e-16 for |d| <= 1, with ``omega = 2 pi / P``,
    ``P = 1 + 8.6 h`` and ``c_k = sqrt(2 pi) h / P exp(-2 (pi h k / P)^2)``, doubled for k >= 1.

    Returns
    -------
    omega : float
        Base frequency.
    coefficients : array (K + 1,)
        c_0 to c_K, all positive.

    Examples
    --------
    >>> omega, c = gaussian_series(0.3)
    >>> float(abs(np.cos(omega * np.arange(len(c)) * 0.5) @ c - np.exp(-(0.5**2) / (2 * 0.3**2)))) < 1e-15
    True
    """
    period = 1 + TAIL * bandwidth
    return 2 * math.pi / period, gaussian_coefficients(bandwidth, period, n_terms(bandwidth))


def gaussian_coefficients(bandwidth: float, period: float, terms: int) -> Floats:
    """Coefficients c_0 to c_terms of :func:`gaussian_series` for any period P >= 1 + 8.6 h."""
    k = np.arange(terms + 1)
    c = math.sqrt(2 * math.pi) * bandwidth / period * np.exp(-2 * (math.pi * bandwidth * k / period) ** 2)
    c[1:] *= 2
    return np.asarray(c)


@dataclass(frozen=True)
class FeatureMap:
    """The Gaussian on [0, 1] as an inner product, k(u, v) = psi(u) . psi(v), with few coordinates.

    The coordinates are the Mercer functions of the kernel under the uniform distribution: sums of cosines (the even
    ones) and sines (the odd ones) of ``omega k (u - 1/2)``.

    Attributes
    ----------
    omega : float
        Base frequency.
    even : array (K + 1, r_even)
        Weights of the cosines, k = 0..K.
    odd : array (K + 1, r_odd)
        Weights of the sines; row 0 is zero.
    mean : array (r_even + r_odd,)
        E psi(U) for U uniform. The mean feature of an interval has the same expectation, so that it serves discrete
        values, too.
    """

    omega: float
    even: Floats
    odd: Floats
    mean: Floats

    @property
    def rank(self) -> int:
        """Number of coordinates r = r_even + r_odd."""
        return len(self.mean)


@lru_cache(maxsize=64)
def gaussian_features(bandwidth: float, limit: float = LEAST_EIGENVALUE) -> FeatureMap:
    """Mercer functions of the Gaussian under the uniform distribution on [0, 1].

    With the features ``phi = (sqrt(c_k) cos, sqrt(c_k) sin)`` of the cosine series, the eigenvectors V of
    ``E phi phi^T`` (closed form; even and odd parts do not mix) turn phi into uncorrelated coordinates. Those
    whose eigenvalue is below `limit` are left out. All eigenvalues sum to k(u, u) = 1, so that 1e-16 is the rounding of
    k. A large bandwidth has one that is nearly 1, for constants, which HSIC does not see: the limit then falls in
    powers of ten with ``1 - E k(U, V)``, the sum of the others.

    Examples
    --------
    >>> gaussian_features(0.3).rank < 20 < 2 * n_terms(0.3)
    True
    """
    omega, c = gaussian_series(bandwidth)
    k = np.arange(len(c))
    difference = _mean_cosine(omega * (k[:, None] - k[None, :]))
    total = _mean_cosine(omega * (k[:, None] + k[None, :]))
    scale = np.sqrt(c[:, None] * c[None, :]) / 2
    spread = 1 - float(c @ _mean_cosine(omega * k) ** 2)
    limit = max(limit * 10.0 ** math.ceil(math.log10(max(spread, LEAST_EIGENVALUE))), LEAST_EIGENVALUE)
    even = _mercer(scale * (difference + total), np.sqrt(c), limit)
    odd = _mercer((scale * (difference - total))[1:, 1:], np.sqrt(c[1:]), limit)
    odd = np.vstack((np.zeros(odd.shape[1]), odd))
    mean = np.concatenate((_mean_cosine(omega * k) @ even, np.zeros(odd.shape[1])))
    for array in (even, odd, mean):
        array.flags.writeable = False  # all callers of the cache share it
    return FeatureMap(omega, even, odd, mean)


def _mean_cosine(frequency: NDArray[np.floating]) -> Floats:
    """E cos(f (U - 1/2)) for U uniform on [0, 1]: sin(f/2) / (f/2)."""
    return np.asarray(np.sinc(frequency / (2 * math.pi)), dtype=np.float64)


def _mercer(covariance: Floats, scale: Floats, limit: float) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    kept = values > limit
    return np.ascontiguousarray(scale[:, None] * vectors[:, kept][:, ::-1])


def negligible(n: int) -> float:
    """Eigenvalue whose coordinate cannot matter to a test with `n` samples.

    The coordinate adds at most var(w) times the eigenvalue to S, whatever the data. The mean of S under independence is
    var(w) trace / n. The limit is a thousandth of that, rounded down to a power of ten so that the cache of feature
    maps serves many n.
    """
    return 10.0 ** math.floor(math.log10(1e-3 / n))


def carried_features(u: Floats, width: Floats, h: float, limit: float = LEAST_EIGENVALUE) -> Floats:
    """Features (n, r) of values in the unit interval under a Gaussian.

    Parameters
    ----------
    u : array (n,) in [0, 1]
    width : array (n,) or (0,)
        Lengths of the intervals that values stand for; (0,) for points.
    h : float
        Bandwidth.
    limit : float
        Coordinates whose eigenvalue is below it are left out, see :func:`gaussian_features`.
    """
    feature_map = gaussian_features(float(h), limit)
    with threads_for(len(u) * (feature_map.even.size + feature_map.odd.size)):
        return spectral.features(u, width, feature_map.omega, feature_map.even, feature_map.odd)


def product_features(first: Floats, second: Floats) -> Floats:
    """Features (n, r1 r2) of the product of two kernels: the products of a feature of one and one of the other."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)


def principal(psi: Floats, limit: float, counts: Floats | None = None) -> tuple[Floats, Floats]:
    """Features rotated to their principal axes: the same inner products in the fewest columns.

    Parameters
    ----------
    psi : array (n, r)
    limit : float
        Axes whose share of the mean square is below it are left out.
    counts : array (n,), optional
        How many samples have each row; one by default.

    Returns
    -------
    few : array (n, s), s >= 1
    sizes : array (s,)
        Mean square of each column.

    Examples
    --------
    >>> few, sizes = principal(np.array([[1.0, 2.0], [2.0, 4.0]]), 1e-12)
    >>> few.shape, round(float(sizes[0]), 6)
    ((2, 1), 12.5)
    """
    weighted = psi if counts is None else counts[:, None] * psi
    values, vectors = np.linalg.eigh(weighted.T @ psi / (len(psi) if counts is None else counts.sum()))
    kept = values > limit * values.sum()
    kept[-1] = True
    return psi @ vectors[:, kept], values[kept]
