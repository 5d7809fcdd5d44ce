"""The tile engine on a CUDA device: torch makes the sums of :mod:`hsicfast.engines.tiles`, a block of rows at a time.

All numbers are doubles. torch is imported once a device is asked for, never by ``import hsicfast``.
"""

from __future__ import annotations

import math
import sys
from functools import reduce
from operator import imul
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.engines.kernels import (
    DIRAC_CODE,
    GAUSSIAN_CODE,
    LAPLACE_CODE,
    LINEAR_CODE,
    MATERN32_CODE,
    MATERN52_CODE,
    SOBOLEV_CODE,
)
from hsicfast.errors import InputError

if TYPE_CHECKING:
    import torch


ENTRIES = 2**24  # entries of a block of Gram rows; a few blocks are alive at once, 128 MiB each
# With fewer samples copying to the device and starting its kernels takes longer than the processor needs.
MIN_GPU_SAMPLES = 10_000


def pays(n: int) -> bool:
    """Whether to use the device unasked: this program has imported torch, torch sees a device, and n is large."""
    torch = sys.modules.get("torch")
    return n >= MIN_GPU_SAMPLES and torch is not None and bool(torch.cuda.is_available())


def check() -> None:
    """Raise an InputError if torch sees no device."""
    try:
        import torch

        seen = torch.cuda.is_available()
    except ImportError:
        seen = False
    if not seen:
        raise InputError("engine='gpu' needs a CUDA device that torch sees, but there is none; use engine='auto'")


def paired_rows(
    x: Floats,
    y: Floats,
    kernel_x: tuple[int, float, float],
    kernel_y: tuple[int, float, float],
    device: str = "cuda",
) -> tuple[Floats, Floats]:
    """:func:`hsicfast.engines.tiles.paired_rows` on a device.

    Parameters
    ----------
    x, y : array (d, n), array (e, n)
    kernel_x, kernel_y : (int, float, float)
        Code, bandwidth, and the shift that is taken off every entry.
    device : str
        As torch names it.
    """
    import torch

    code_x, bandwidth_x, shift_x = kernel_x
    code_y, bandwidth_y, shift_y = kernel_y
    a, b = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (x, y))
    n = x.shape[1]
    rows, squares = torch.empty((n, 3), dtype=a.dtype, device=device), torch.zeros(2, dtype=a.dtype, device=device)
    for start, stop in _blocks(n):
        k = _gram_rows(a, start, stop, code_x, bandwidth_x).sub_(shift_x)
        values = _gram_rows(b, start, stop, code_y, bandwidth_y).sub_(shift_y)
        own = torch.arange(stop - start, device=device)
        k[own, own + start] = values[own, own + start] = 0.0  # pairs i != j
        rows[start:stop] = torch.stack((torch.linalg.vecdot(k, values), k.sum(1), values.sum(1)), 1)
        squares += torch.stack([torch.linalg.vecdot(part.ravel(), part.ravel()) for part in (k, values)])
    return rows.cpu().numpy(), squares.cpu().numpy()


def weighted_rows(x: Floats, w: Floats, code: int, bandwidth: float, shift: float, device: str = "cuda") -> Floats:
    """:func:`hsicfast.engines.tiles.weighted_rows` on a device; here column 2 holds the sums of whole rows of squares.

    Parameters
    ----------
    x : array (d, n)
    w : array (n,)
    code : int
        Of the kernel, see :mod:`hsicfast.engines.kernels`.
    bandwidth, shift : float
        `shift` is taken off every entry.
    device : str
        As torch names it.
    """
    import torch

    a, weights = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (x, w))
    n = x.shape[1]
    out = torch.empty((n, 4), dtype=a.dtype, device=device)
    for start, stop in _blocks(n):
        k = _gram_rows(a, start, stop, code, bandwidth).sub_(shift)
        own = torch.arange(stop - start, device=device)
        out[start:stop] = torch.stack((k @ weights, k.sum(1), torch.linalg.vecdot(k, k), k[own, own + start]), 1)
    return np.asarray(out.cpu().numpy())


def _blocks(n: int) -> list[tuple[int, int]]:
    size = max(ENTRIES // n, 1)
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def _gram_rows(x: torch.Tensor, start: int, stop: int, code: int, h: float) -> Any:
    """Gram rows start to stop of `x` (d, n), a tensor of its own; codes as in :mod:`hsicfast.engines.kernels`.

    The device waits for its memory, not for its arithmetic: each pass over the block that is saved is time saved.
    """
    if code == LINEAR_CODE:
        return x[:, start:stop].T @ x
    if code in (DIRAC_CODE, SOBOLEV_CODE):
        return reduce(imul, (_factor(c[start:stop, None], c[None, :], code) for c in x))
    distance = _distances(x, start, stop)
    if code == GAUSSIAN_CODE:
        return distance.square_().mul_(-0.5 / h**2).exp_()
    if code == LAPLACE_CODE:
        return distance.mul_(-1 / h).exp_()
    if code == MATERN32_CODE:
        s = distance.mul_(math.sqrt(3) / h)
        return (1 + s).mul_(s.neg_().exp_())
    if code == MATERN52_CODE:
        s = distance.mul_(math.sqrt(5) / h)
        return (s * s).div_(3).add_(s).add_(1).mul_(s.neg_().exp_())
    return distance.neg_()  # energy


def _factor(a: torch.Tensor, b: torch.Tensor, code: int) -> Any:
    """One column's factor of a product kernel."""
    if code == DIRAC_CODE:
        return (a == b).to(a.dtype)
    gap = (a - b).abs_()
    return (gap * gap).sub_(gap).add_(1 / 6).mul_(0.5).add_((a - 0.5) * (b - 0.5)).add_(1)


def _distances(x: torch.Tensor, start: int, stop: int) -> Any:
    """Distances of the samples start to stop to all."""
    gaps = (c[start:stop, None] - c[None, :] for c in x)
    if len(x) == 1:
        return next(gaps).abs_()
    return reduce(lambda total, gap: total.addcmul_(gap, gap), gaps, x.new_zeros(stop - start, x.shape[1])).sqrt_()
