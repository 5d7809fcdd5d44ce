"""Compiled Fourier sums over samples: moments in cells, from which spectra are read, and spectra themselves.

:mod:`hsicfast.dependence.spectrum` says what they are for. Kernels here trust their input. Threads as in
:mod:`hsicfast.engines.spectral`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import FASTMATH, cosine_and_sine, exp_negative, use_wide_vectors

POWERS = 16  # moments of each cell, enough for a phase of 0.6 either way: 0.6^16 / 16! = 1e-17
BLOCK = 128  # samples worked on at once, in the first-level cache
SLOT = 1024  # samples of a parallel iteration


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def cell_moments(u, w, cells, slots):
    """Moments of samples within the cells of a grid: ``out[c, q] = sum_j w_j t_j^q`` over the samples of cell c.

    ``t = cells u - c - 1/2``, in [-1/2, 1/2]. These moments are all that a spectrum needs to
    know of the samples, whatever its bandwidth, see :class:`hsicfast.dependence.spectrum.SpectralMoments`.

    Parameters
    ----------
    u : (n,) in [0, 1]
    w : (n,), or (0,) if all weigh 1
    cells : int
        Cells on [0, 1].
    slots : int
        Parallel iterations.

    Returns
    -------
    (cells, POWERS); cost O(n POWERS + slots cells POWERS)
    """
    n = u.shape[0]
    parts = np.zeros((slots, cells, POWERS))
    for slot in prange(slots):
        use_wide_vectors()
        for j in range(slot * n // slots, (slot + 1) * n // slots):
            _add_moments(parts[slot], u[j], w[j] if w.shape[0] > 0 else 1.0)
    return _total(parts)


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def met_moments(u, met, cells, slots):
    """:func:`cell_moments` of the samples that `met` the goal alone, each with weight 1.

    Parameters
    ----------
    u : (n,) in [0, 1]
    met : (n,) bool
    cells, slots : int
        As of :func:`cell_moments`.
    """
    n = u.shape[0]
    parts = np.zeros((slots, cells, POWERS))
    for slot in prange(slots):
        use_wide_vectors()
        chosen = np.empty(SLOT + 1)
        stop = (slot + 1) * n // slots
        for start in range(slot * n // slots, stop, SLOT):
            size = 0
            for j in range(start, min(start + SLOT, stop)):
                chosen[size] = u[j]  # without a branch, which no processor could predict
                size += met[j]
            for j in range(size):
                _add_moments(parts[slot], chosen[j], 1.0)
    return _total(parts)


@njit(cache=True, fastmath=FASTMATH)
def _add_moments(part, value, weight):
    cells = part.shape[0]
    place = value * cells
    cell = min(int(place), cells - 1)
    t = place - cell - 0.5
    t2 = t * t
    t4 = t2 * t2
    row = part[cell]
    a = weight  # four chains of products instead of one
    b = weight * t
    c = weight * t2
    d = b * t2
    for q in range(0, POWERS, 4):
        row[q] += a
        row[q + 1] += b
        row[q + 2] += c
        row[q + 3] += d
        a *= t4
        b *= t4
        c *= t4
        d *= t4


@njit(cache=True)
def _total(parts):
    out = parts[0]
    for part in range(1, parts.shape[0]):
        out += parts[part]
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def sorted_moments(ordered, cells):
    """Faster :func:`cell_moments` for sorted values of weight 1: neighbours share a cell, so that loops vectorise."""
    n = ordered.shape[0]
    ends = np.searchsorted(ordered, np.arange(1, cells) / cells)
    out = np.zeros((cells, POWERS))
    for cell in prange(cells):
        use_wide_vectors()
        start = ends[cell - 1] if cell > 0 else 0
        stop = ends[cell] if cell < cells - 1 else n
        t = np.empty(BLOCK)
        power = np.empty(BLOCK)
        for first in range(start, stop, BLOCK):
            size = min(BLOCK, stop - first)
            for j in range(size):
                t[j] = ordered[first + j] * cells - cell - 0.5
                power[j] = 1.0
            for q in range(0, POWERS, 4):  # four moments a turn save loads and stores
                zeroth = 0.0
                first_power = 0.0
                second = 0.0
                third = 0.0
                for j in range(size):
                    square = t[j] * t[j]
                    odd = power[j] * t[j]
                    zeroth += power[j]
                    first_power += odd
                    second += power[j] * square
                    third += odd * square
                    power[j] *= square * square
                out[cell, q] += zeroth
                out[cell, q + 1] += first_power
                out[cell, q + 2] += second
                out[cell, q + 3] += third
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def spectra(u, weights, omega, terms):
    """Spectra ``out[c, k] = sum_j weights[c, j] exp(-i omega k (u_j - 1/2))``, k < terms, sample by sample.

    The angle is stepped by one rotation a k instead of a cosine a k.

    Parameters
    ----------
    u : (n,) in [0, 1]
    weights : (T, n)

    Returns
    -------
    (T, terms) complex; cost O(n T terms)
    """
    n = u.shape[0]
    kinds = weights.shape[0]
    slots = (n + SLOT - 1) // SLOT
    parts = np.zeros((slots, 2, kinds, terms))
    for slot in prange(slots):
        use_wide_vectors()
        cos1 = np.empty(BLOCK)
        sin1 = np.empty(BLOCK)
        cosk = np.empty(BLOCK)
        sink = np.empty(BLOCK)
        for start in range(slot * SLOT, min(n, (slot + 1) * SLOT), BLOCK):
            size = min(BLOCK, min(n, (slot + 1) * SLOT) - start)
            for j in range(size):
                cos1[j], sin1[j] = cosine_and_sine(omega * (u[start + j] - 0.5))
                cosk[j] = 1.0
                sink[j] = 0.0
            for k in range(terms):
                for c in range(kinds):
                    w = weights[c, start : start + size]
                    real = 0.0
                    imaginary = 0.0
                    for j in range(size):
                        real += w[j] * cosk[j]
                        imaginary -= w[j] * sink[j]
                    parts[slot, 0, c, k] += real
                    parts[slot, 1, c, k] += imaginary
                for j in range(size):
                    c1 = cosk[j]
                    cosk[j] = c1 * cos1[j] - sink[j] * sin1[j]
                    sink[j] = sink[j] * cos1[j] + c1 * sin1[j]
    total = _total(parts)
    return total[0] + 1j * total[1]


@njit(cache=True, fastmath=FASTMATH)
def cosine_sums(powers, bandwidths, period):
    """``sum_k c_k powers_k`` (H,); powers (K + 1,).

    The c_k are those of :func:`hsicfast.dependence.features.gaussian_coefficients`.
    """
    use_wide_vectors()
    out = np.empty(bandwidths.shape[0])
    for b in range(bandwidths.shape[0]):
        step = math.pi * bandwidths[b] / period
        scale = -2.0 * step * step
        total = 0.0
        for k in range(powers.shape[0]):
            total += powers[k] * exp_negative(scale * (float(k) * float(k)))
        out[b] = math.sqrt(2.0 * math.pi) * bandwidths[b] / period * (2.0 * total - powers[0])
    return out
