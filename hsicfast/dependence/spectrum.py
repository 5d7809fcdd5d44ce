"""Spectra: all that HSIC needs to know of values in [0, 1] with a number for each, at any bandwidth.

The spectrum of values u_j with weights w_j is ``W_k = sum_j w_j exp(-2 pi i k u_j / P)``. With the cosine series c_k of
the kernel (:func:`hsicfast.dependence.features.gaussian_series`) every sum over pairs is one over frequencies:

- the index, ``S = (1/n^2) sum_k c_k |D_k|^2`` with D the spectrum of ``w_j - mean(w)``;
- the trace of the centred kernel, ``1 - sum_k c_k |A_k|^2 / n^2`` with A the spectrum of weights 1;
- sums of squares, as the square of a trigonometric polynomial of degree K is one of degree 2 K.

Spectra of any period come from the moments of the samples within the cells of a fine grid
(:func:`hsicfast.engines.fourier.cell_moments`): ``exp`` is expanded around the middle of each cell, and each moment
takes one Fourier transform. The moments cost O(n), each bandwidth costs O(K log K), even if K is in the ten thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Complexes, Floats, Rows
from hsicfast.dependence.estimate import Estimate, ceiling, influence, unbiased
from hsicfast.dependence.features import TAIL, TERMS, gaussian_coefficients
from hsicfast.dependence.gram import dot
from hsicfast.engines import fourier
from hsicfast.engines.layer import threads_for
from hsicfast.errors import InputError

# In a spectrum to frequency K = 1.37 P / h from C cells, half a cell is an angle of pi 1.37 / (h C): 0.6 with C = CELLS
# / h.
CELLS = 7.2
FEWEST_CELLS = 4
# A parallel iteration should see at least SLOT samples.
SLOT = 50_000
MOST_SLOTS = 16
# A sample turns by one frequency in 0.15 ns on two cores; moments and their transforms take
# as long as MOST_TURNS turns.
MOST_TURNS = 1_000_000
# Polynomials of up to MOST_PRODUCTS coefficients are squared by multiplying all pairs.
MOST_PRODUCTS = 100
# The eigenvalues of a matrix of 2 MOST_TERMS columns take some tenths of a second.
MOST_TERMS = 400


class SpectralMoments:
    """Moments of samples that came in batches, and estimates from them; :class:`hsicfast.Spectrum` checks the input.

    Parameters
    ----------
    smallest : float > 0
        Smallest bandwidth that will be asked for.
    """

    def __init__(self, smallest: float = 0.1) -> None:
        # Squares have frequencies to 2 K. A power of two lets neighbouring cells merge.
        self.cells = 1 << math.ceil(math.log2(max(2 * CELLS / smallest, FEWEST_CELLS)))
        self.smallest = smallest
        self.n = 0
        self.sum = self.sum_of_squares = 0.0
        # Moments of weights 1, w and w^2.
        self.moments = np.zeros((3, self.cells, fourier.POWERS))

    def update(self, u: Floats, w: NDArray[Any], ordered: Floats | None = None) -> Self:
        """Add samples: values `u` (n,) in [0, 1], and for each a number `w`, such as whether it met the goal.

        The same values in ascending order, as `ordered`, save time.
        """
        ones = (
            moments_of(u, np.empty(0), self.cells) if ordered is None else fourier.sorted_moments(ordered, self.cells)
        )
        self.moments[0] += ones
        if w.dtype == bool:  # its own square
            self.moments[1:] += fourier.met_moments(u, w, self.cells, _slots(len(u), self.cells))
            met = int(np.count_nonzero(w))
            self.sum += met
            self.sum_of_squares += met
        else:
            self.moments[1] += moments_of(u, w, self.cells)
            self.moments[2] += moments_of(u, w * w, self.cells)
            self.sum += float(w.sum())
            self.sum_of_squares += float(dot(w, w))
        self.n += len(u)
        return self

    def merge(self, other: Self) -> Self:
        """Add the samples of another spectrum."""
        if other.cells != self.cells:
            raise InputError(
                f"spectra merge where they were made for one smallest bandwidth, but got {self.smallest} and "
                f"{other.smallest}; make both with the smaller"
            )
        self.moments += other.moments
        self.n += other.n
        self.sum += other.sum
        self.sum_of_squares += other.sum_of_squares
        return self

    def estimate(self, h: float, edge: Floats | None = None) -> Estimate:
        """The estimate at bandwidth `h`, in O(K log K) whatever the number of samples.

        `edge` holds the values of the samples at the edge of a goal, see
        :class:`hsicfast.dependence.estimate.Influence`.
        """
        self._check(h)
        moments = [*self._centred()]
        if edge is not None and len(edge):
            moments.append(moments_of(edge, np.empty(0), self.cells) / len(edge))
        # Only a goal is its own square.
        goal = ceiling(self.sum / self.n) if self.sum == self.sum_of_squares else 1.0
        return _estimate(h, self.n, self._weight(), goal, *read(np.stack(moments), h, h, 2))

    def _weight(self) -> float:
        """Sum of ``(w - mean(w))^2``."""
        return self.sum_of_squares - self.sum**2 / self.n

    def _centred(self) -> Floats:
        """Moments of weights w - mean(w), 1 and (w - mean(w))^2, centred first to keep digits."""
        ones, first, second = self.moments
        mean = self.sum / self.n
        return np.stack((first - mean * ones, ones, second - 2 * mean * first + mean**2 * ones))

    def _check(self, h: float) -> None:
        if h < self.smallest:
            raise InputError(
                f"`bandwidth >= smallest` must hold, but got bandwidth={h}, smallest={self.smallest}; "
                "make the Spectrum with a smaller one"
            )


def moments_of(u: Floats, w: NDArray[Any], cells: int) -> Floats:
    """Moments (cells, POWERS) of samples with weights `w`, or 1 if `w` is empty."""
    with threads_for(len(u) * fourier.POWERS):
        return fourier.cell_moments(u, w, cells, _slots(len(u), cells))


def _slots(n: int, cells: int) -> int:
    """Number of parallel iterations. It depends on sizes alone, so that any number of threads gives the same bits."""
    return min(max(n // max(SLOT, cells), 1), MOST_SLOTS)


def goal_estimate(u: Floats, z: Bools, h: float, edge: Rows | None, ordered: Floats | None) -> Estimate:
    """The estimate that :class:`SpectralMoments` gives, for a goal; directly from the samples if that is cheaper.

    Parameters
    ----------
    u : array (n,) in [0, 1]
    z : bool array (n,)
        Which samples met the goal.
    h : float
        Bandwidth.
    edge : int array or None
        Samples at the edge of the goal, see :class:`hsicfast.dependence.estimate.Influence`.
    ordered : array (n,) or None
        The same values in ascending order.
    """
    n, period = len(u), 1 + TAIL * h
    terms = _terms(period, h, 2)
    if n * terms > MOST_TURNS:
        return SpectralMoments(h).update(u, z, ordered).estimate(h, None if edge is None else u[edge])
    share = int(np.count_nonzero(z)) / n
    weights = [z - share, np.ones(n)]
    if edge is not None and len(edge):
        weights.append(np.zeros(n))
        weights[2][edge] = 1 / len(edge)
    centred, ones, *rest = _spectra(u, np.stack(weights), period, terms)
    # A goal less its mean takes two values, 1 - p and -p: its square is linear in it.
    squared = (1 - 2 * share) * centred + share * (1 - share) * ones
    return _estimate(h, n, n * share * (1 - share), ceiling(share), period, np.stack((centred, ones, squared, *rest)))


def statistics(u: Floats, w: Floats, low: float, high: float) -> Callable[[Floats], Floats]:
    """S at bandwidths (H,) in [low, high], as a function; one spectrum serves all.

    Parameters
    ----------
    u : array (n,) in [0, 1]
    w : array (n,)
        Weights that sum to 0.
    low, high : float
    """
    period = 1 + TAIL * high
    terms = _terms(period, low, 1)
    if len(u) * terms <= MOST_TURNS:
        (spectrum,) = _spectra(u, w[None], period, terms)
    else:
        cells = max(math.ceil(CELLS / low), FEWEST_CELLS)
        period, (spectrum,) = read(moments_of(u, w, cells)[None], low, high, 1)
    powers = np.abs(spectrum) ** 2 / len(u) ** 2
    return lambda bandwidths: np.asarray(fourier.cosine_sums(powers, bandwidths, period))


def _spectra(u: Floats, weights: Floats, period: float, terms: int) -> Complexes:
    """Spectra (T, terms) of samples (n,) with weights (T, n), sample by sample."""
    with threads_for(weights.size * terms):
        return fourier.spectra(u, weights, 2 * math.pi / period, terms)


def _terms(period: float, h: float, times: int) -> int:
    return times * math.ceil(TERMS * period / h) + 1


def _estimate(h: float, n: int, weight: float, most: float, period: float, spectra: Complexes) -> Estimate:
    """The estimate from spectra (3 or 4, 2 K + 1): of weights w that sum to 0, of 1, of w^2, and of the edge as a mean.

    `weight` is the sum of w^2, `most` the ceiling; :class:`hsicfast.dependence.estimate.Influence` says what the edge
    is for.
    """
    centred, ones, squared = spectra[:3]
    edge = spectra[3] if len(spectra) == 4 else ones / n
    degree = len(ones) // 2
    low = slice(degree + 1)
    c = gaussian_coefficients(h, period, degree)
    statistic = float(dot(c, np.abs(centred[low]) ** 2)) / n**2
    total = float(dot(c, np.abs(ones[low]) ** 2))
    # g_i = (1/n) sum_j w_j k(u_i, u_j) and r_i = (1/n) sum_j k(u_i, u_j) are trigonometric polynomials in u_i. So is
    # e_i, the mean of k(u_i, u_j) over the edge.
    pull, rows, near = (_polynomial(c, spectrum) for spectrum in (centred[low] / n, ones[low] / n, edge[low]))
    pull[0] -= _sum_over(pull, ones) / n
    pulls, at_edge = _square(pull), _sum_over(pull, edge)
    scatter = (weight * (1 + _sum_over(near, edge)) - 2 * _sum_over(near, squared)) / n
    along = (_sum_over(pulls, squared) - 2 * at_edge * _sum_over(pull, squared) + at_edge**2 * weight) / n
    # k^2 is the Gaussian of bandwidth h / sqrt(2).
    square = float(dot(gaussian_coefficients(h / math.sqrt(2), period, 2 * degree), np.abs(ones) ** 2))
    squares = square / n**2 - 2 * _sum_over(_square(rows), ones) / n + (total / n**2) ** 2
    return Estimate(
        n=n,
        statistic=statistic,
        unbiased=unbiased(n, n**2 * statistic, total, n, weight, weight, n * _sum_over(rows, squared)),
        trace=1 - total / n**2,
        squares=max(squares, 0.0),
        variance=weight / n,
        influence=influence(statistic, scatter, along, _sum_over(pulls, ones) / n),
        ceiling=most,
        engine="spectral",
        eigenvalues=lambda: _eigenvalues(c, ones / n),
    )


def read(moments: Floats, low: float, high: float, times: int) -> tuple[float, Complexes]:
    """Spectra from the moments of cells, for every bandwidth in [low, high].

    ``W_k = sum_c exp(-2 pi i k c / N) sum_q (-2 pi i k / N)^q / q! M_cq`` with C cells on [0, 1] and N on a period
    P = N / C, up to a phase that cancels in sums over pairs.

    Parameters
    ----------
    moments : array (T, cells, POWERS)
    low, high : float, 0 < low <= high
    times : int
        The spectra reach frequency `times` K, with K = 1.37 P / low.

    Returns
    -------
    period : float
    spectra : complex array (T, times K + 1)
    """
    while moments.shape[1] >= 2 * max(times * CELLS / low, FEWEST_CELLS):
        moments = moments[:, ::2] @ _LEFT + moments[:, 1::2] @ _RIGHT
    cells = moments.shape[1]
    steps = _fast_length(math.ceil((1 + TAIL * high) * cells))
    k = np.arange(times * math.ceil(TERMS * steps / cells / low) + 1)
    turn = -2j * math.pi / steps * k
    powers_first = np.ascontiguousarray(moments.swapaxes(1, 2))
    if cells * len(k) <= steps:  # a large bandwidth has few frequencies of a long period
        transformed = powers_first @ np.exp(np.outer(np.arange(cells), turn))
    else:
        transformed = np.fft.rfft(powers_first, steps)[:, :, : len(k)]
    spectra = transformed[:, -1]
    for q in range(fourier.POWERS - 2, -1, -1):
        spectra = transformed[:, q] + turn / (q + 1) * spectra
    return steps / cells, spectra


def _fast_length(least: int) -> int:
    """A length of at least `least` with few and small factors, whose Fourier transform is fast: m 2^a, m <= 16."""
    unit = 1 << max(least.bit_length() - 4, 0)
    return -(-least // unit) * unit


def _merging(offset: float) -> Floats:
    """Moments of half a cell as moments of the whole, whose middle is `offset` away: ``t' = t / 2 + offset``."""
    powers = range(fourier.POWERS)
    return np.array([[math.comb(q, r) * 0.5**r * offset ** max(q - r, 0) for q in powers] for r in powers])


_LEFT, _RIGHT = _merging(-0.25), _merging(0.25)


def _polynomial(c: Floats, spectrum: Complexes) -> Complexes:
    """Coefficients a_k of ``sum_j w_j k(u, u_j) = sum_k a_k exp(2 pi i k u / P)``, k >= 0; -k has the conjugate."""
    a = c * spectrum / 2
    a[0] *= 2
    return a


def _sum_over(a: Complexes, spectrum: Complexes) -> float:
    """Sum of a trigonometric polynomial over the samples, each with its weight."""
    pairs = (a * spectrum[: len(a)].conj()).real
    return float(2 * pairs.sum() - pairs[0])


def _square(a: Complexes) -> Complexes:
    """Coefficients of the square of a trigonometric polynomial.

    It is a sum of products. If there are many, it comes from values on a grid fine enough for all coefficients.
    """
    if len(a) <= MOST_PRODUCTS:
        both = np.concatenate((a[:0:-1].conj(), a))
        return np.convolve(both, both)[len(both) - 1 :]
    points = _fast_length(4 * len(a))
    values = np.fft.irfft(a, points) * points
    return np.fft.rfft(values**2)[: 2 * len(a) - 1] / points


def _eigenvalues(c: Floats, mean: Complexes) -> Floats:
    """Eigenvalues of the centred kernel from ``mean_k = E exp(-2 pi i k U / P)``.

    They are the eigenvalues of the covariance of the features sqrt(c_k) cos and sqrt(c_k) sin.
    """
    if len(c) > MOST_TERMS:
        raise InputError(
            f"the asymptotic test needs a bandwidth of at most {MOST_TERMS} cosines, but this one takes {len(c)}; "
            "use test='gamma' or 'permutation'"
        )
    k = np.arange(len(c))
    difference, total = k[:, None] - k[None, :], k[:, None] + k[None, :]
    cosine = mean.real[np.abs(difference)], mean.real[total]
    sine = -np.sign(difference) * mean.imag[np.abs(difference)], -mean.imag[total]
    means = np.concatenate((mean.real[k], -mean.imag[k]))
    covariance = np.block([[cosine[0] + cosine[1], sine[1] - sine[0]], [sine[1] + sine[0], cosine[0] - cosine[1]]]) / 2
    covariance -= np.outer(means, means)
    scale = np.sqrt(np.concatenate((c, c)))
    return np.asarray(np.linalg.eigvalsh(scale[:, None] * covariance * scale[None, :]))
