"""The kernels as data: name, formula, and what the spectral engine knows of the Gaussian in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hsicfast.errors import InputError

Floats = NDArray[np.float64]

# exp(-TAIL^2 / 2) is 1e-16: beyond TAIL bandwidths a Gaussian is zero in double precision.
TAIL = 8.6
# The coefficients c_k fall as exp(-2 (pi h k / P)^2); at k = TERMS * P / h this is 1e-16, too.
TERMS = 1.37
# Median of |U - V| for U, V independent and uniform on [0, 1].
UNIFORM_MEDIAN = 1 - 1 / math.sqrt(2)


@dataclass(frozen=True)
class Kernel:
    """A kernel k(x, y); d is the Euclidean distance of x and y, h the bandwidth.

    Attributes
    ----------
    name : str
        Its public name.
    code : int
        How the compiled tiles know it.
    formula : str
        k(x, y).
    has_bandwidth : bool
        Whether h enters.
    domain : (float, float)
        Where its arguments may lie.
    """

    name: str
    code: int
    formula: str
    has_bandwidth: bool = True
    domain: tuple[float, float] = (-math.inf, math.inf)

    def check_domain(self, x: Floats, name: str) -> None:
        """Refuse values `x` outside the domain."""
        low, high = self.domain
        if x.min() < low or x.max() > high:
            raise InputError(
                f"kernel {self.name!r} needs values in [{low:g}, {high:g}], but {name} runs from {x.min():.6g} to "
                f"{x.max():.6g}; carry them there by ranks or take kernel 'gaussian'"
            )


GAUSSIAN = Kernel("gaussian", 0, "exp(-d^2 / 2h^2)")
LAPLACE = Kernel("laplace", 1, "exp(-d / h)")
MATERN32 = Kernel("matern32", 2, "(1 + sqrt(3) d / h) exp(-sqrt(3) d / h)")
MATERN52 = Kernel("matern52", 3, "(1 + sqrt(5) d / h + 5 d^2 / 3h^2) exp(-sqrt(5) d / h)")
ENERGY = Kernel("energy", 4, "-d", has_bandwidth=False)
LINEAR = Kernel("linear", 5, "x . y", has_bandwidth=False)
DIRAC = Kernel("dirac", 6, "1 where x = y, else 0", has_bandwidth=False)
SOBOLEV = Kernel(
    "sobolev",
    7,
    "product over the coordinates of 1 + (x - 1/2)(y - 1/2) + (|x - y|^2 - |x - y| + 1/6) / 2, on [0, 1]",
    has_bandwidth=False,
    domain=(0.0, 1.0),
)
KERNELS = {k.name: k for k in (GAUSSIAN, LAPLACE, MATERN32, MATERN52, ENERGY, LINEAR, DIRAC, SOBOLEV)}


def find(name: str) -> Kernel:
    """The kernel called `name`.

    Raises
    ------
    InputError
        Where there is none of that name.

    Examples
    --------
    >>> find("laplace").formula
    'exp(-d / h)'
    """
    if name not in KERNELS:
        raise InputError(f"a kernel must be one of {sorted(KERNELS)}, but got {name!r}; choose one of them")
    return KERNELS[name]


def n_terms(bandwidth: float) -> int:
    """Number K of cosines in the series of a Gaussian, beside the constant."""
    return math.ceil(TERMS * (1 + TAIL * bandwidth) / bandwidth)


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
    """Coefficients c_0 to c_terms of :func:`gaussian_series`, of any period P >= 1 + 8.6 h."""
    k = np.arange(terms + 1)
    c = math.sqrt(2 * math.pi) * bandwidth / period * np.exp(-2 * (math.pi * bandwidth * k / period) ** 2)
    c[1:] *= 2
    return np.asarray(c)


@dataclass(frozen=True)
class FeatureMap:
    """The Gaussian on [0, 1] as an inner product, k(u, v) = psi(u) . psi(v), with few coordinates.

    The coordinates are the kernel's Mercer functions under the uniform law: sums of cosines (the even ones) and
    sines (the odd ones) of ``omega k (u - 1/2)``.

    Attributes
    ----------
    omega : float
        Base frequency.
    even : array (K + 1, r_even)
        Weights of the cosines, k = 0..K.
    odd : array (K + 1, r_odd)
        Weights of the sines; row 0 is zero.
    mean : array (r_even + r_odd,)
        E psi(U) for U uniform. An interval's mean feature has the same expectation, so it serves discrete values.
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
def gaussian_features(bandwidth: float, limit: float = 1e-16) -> FeatureMap:
    """Mercer functions of the Gaussian under the uniform law on [0, 1].

    With the features ``phi = (sqrt(c_k) cos, sqrt(c_k) sin)`` of the cosine series, the eigenvectors V of
    ``E phi phi^T`` (closed form; even and odd parts do not mix) turn phi into uncorrelated coordinates. Those of an
    eigenvalue below `limit` are left out; all of them sum to k(u, u) = 1, so that 1e-16 is the rounding of k.

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
    even = _principal(scale * (difference + total), np.sqrt(c), limit)
    odd = _principal((scale * (difference - total))[1:, 1:], np.sqrt(c[1:]), limit)
    odd = np.vstack((np.zeros(odd.shape[1]), odd))
    mean = np.concatenate((_mean_cosine(omega * k) @ even, np.zeros(odd.shape[1])))
    for array in (even, odd, mean):
        array.flags.writeable = False  # shared by every caller of the cache
    return FeatureMap(omega, even, odd, mean)


def _mean_cosine(frequency: NDArray[np.floating]) -> Floats:
    """E cos(f (U - 1/2)) for U uniform on [0, 1]: sin(f/2) / (f/2)."""
    return np.asarray(np.sinc(frequency / (2 * math.pi)), dtype=np.float64)


def _principal(covariance: Floats, scale: Floats, limit: float) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    kept = values > limit
    return np.ascontiguousarray(scale[:, None] * vectors[:, kept][:, ::-1])
