"""Samples prepared for sums over Gram matrices, what rounding does to these, and eigenvalues of small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.engines import kernels, matrices, tiles
from hsicfast.engines.kernels import Kernel
from hsicfast.errors import InputError

# An (n, n) matrix of this size is 128 MiB; its eigenvalues take some seconds.
MOST_EIGENVALUES = 4000
# How far rounding may move the mean of many kernel entries: half a unit in the last place below 1.
ENTRY_ROUNDING, SINGLE_ENTRY_ROUNDING = float(np.finfo(np.float64).eps) / 4, float(np.finfo(np.float32).eps) / 4


def anchored(x: Floats, kernel: Kernel) -> Floats:
    """`x` (d, n), around 0 if the kernel would square an offset; HSIC stays the same, as it centres the kernel."""
    return x - x.mean(axis=1, keepdims=True) if kernel is kernels.LINEAR else x


def tiled(x: Floats, kernel: Kernel, precision: str) -> NDArray[Any]:
    """Coordinates for the tile engine; in single precision around their middle, if only differences matter."""
    if precision == "double" or kernel is kernels.DIRAC:  # different values must stay different
        return x
    least, most = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    if (most - least).max() > 1e18:  # its square is too large for single precision
        raise InputError(
            f"precision='single' needs values within 1e18, but got a range of {(most - least).max():.3g}; use 'double'"
        )
    moved = kernel.has_bandwidth or kernel is kernels.ENERGY
    return (x - (least + most) / 2 if moved else x).astype(np.float32)


def typical(x: Floats, kernel: Kernel, h: float) -> float:
    """Mean entry of the first Gram row. Taken off before sums, it saves digits and changes nothing else."""
    row = np.empty(x.shape[1])
    tiles.fill_row(x, 0, 0, row, kernel.code, h)
    return float(row.mean())


def dot(a: Floats, b: Floats) -> Floats:
    """Sums of products along the last axis, with the same bits on any number of threads.

    The BLAS behind ``a @ b`` cuts long vectors by its threads: with OpenBLAS, those of more than 10,000 numbers.

    Examples
    --------
    >>> float(dot(np.array([1.0, 2.0]), np.array([3.0, 4.0])))
    11.0
    """
    return np.asarray((a * b).sum(axis=-1))


def entry_rounding(x: Floats, kernel: Kernel, h: float, precision: str) -> float:
    """How far rounding may move the mean of many kernel entries: ENTRY_ROUNDING, times their usual size if it is not 1.

    Parameters
    ----------
    x : array (d, n)
    kernel : Kernel
    h : float
        Bandwidth.
    precision : {"double", "single"}
    """
    size = 1.0
    if not kernel.has_bandwidth:
        usual = typical(x, kernel, h)
        size = abs(usual) + float(np.abs(tiles.diagonal(x, kernel.code, h, usual)).mean())
    return size * (ENTRY_ROUNDING if precision == "double" else SINGLE_ENTRY_ROUNDING)


def eigenvalues(x: Floats, kernel: Kernel, h: float) -> Floats:
    """Eigenvalues of the centred kernel under the empirical distribution of `x` (d, n)."""
    n = x.shape[1]
    if n > MOST_EIGENVALUES:
        raise InputError(
            f"the asymptotic test needs at most {MOST_EIGENVALUES} samples outside the spectral engine, but got {n}; "
            "use test='gamma' or 'permutation'"
        )
    matrix = np.empty((n, n))
    tiles.gram(x, kernel.code, h, matrix)
    matrices.center(matrix)
    return np.linalg.eigvalsh(matrix) / n
