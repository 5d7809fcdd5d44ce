"""Spectra: what HSIC with a number per sample needs to know of carried values, whatever the bandwidth and their number.

The spectrum of values u_j with weights w_j is ``W_k = sum_j w_j exp(-2 pi i k u_j / P)``. With the cosine series c_k of the
kernel (:func:`hsicfast.kernels.gaussian_series`) every sum over pairs is one over frequencies:

- the index, ``S = (1/n^2) sum_k c_k |D_k|^2`` with D the spectrum of ``w_j - mean(w)``;
- the trace of the centred kernel, ``1 - sum_k c_k |A_k|^2 / n^2`` with A the spectrum of weights 1;
- sums of squares, as the square of a trigonometric polynomial of degree K is one of degree 2 K.

Spectra of any period are in turn read off the moments of the samples within the cells of a fine grid
(:func:`hsicfast.spectral.cell_moments`), by expanding ``exp`` around the middle of each cell and one Fourier transform a
moment: O(n) for the moments and O(K log K) a bandwidth, also where K is in the ten thousands.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import comb

from hsicfast import kernels, spectral
from hsicfast.engines import Evidence
from hsicfast.errors import InputError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

# With 2 K = 2.74 P / h frequencies read off a grid of C cells, half a cell turns by at most pi 2.74 / (h C): 0.6 here.
CELLS_PER_BANDWIDTH = 14.4
# Two threads pay from here on.
SLOT = 50_000
MOST_SLOTS = 16
