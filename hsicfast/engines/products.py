"""Compiled sums over product kernels: what decomposes HSIC as a variance is decomposed."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import FASTMATH

SLOTS = 64  # parallel iterations; they take rows in turn, because later rows have fewer pairs


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def product_forms(x, width, w):
    """Quadratic forms of `w` (n,) with the product kernels of `x` (d, n).

    ``k(x, y) = (x - 1/2)(y - 1/2) + ((x - y)^2 - |x - y| + 1/6) / 2``, or its mean over two intervals that are equal or
    do not overlap. Such a mean adds the variances of both to ``(x - y)^2``; within one interval the mean of ``|x - y|``
    is a third of its width.

    Parameters
    ----------
    x, width : (d, n) in [0, 1]
        Middles and widths of intervals; the width of a point is 0.
    w : (n,)

    Returns
    -------
    (2, 1 + d): in row 0 of ``prod (1 + k)`` and of the products without l; in row 1, from column 1, of k_l.
    """
    d, n = x.shape
    parts = np.zeros((SLOTS, 2, 1 + d))
    for slot in prange(SLOTS):
        alone = np.empty(d)
        after = np.empty(d + 1)
        for i in range(slot, n, SLOTS):
            for j in range(i, n):
                weight = w[i] * w[j] * (1.0 if i == j else 2.0)
                for l in range(d):  # noqa: E741 -- as in the formula
                    gap = abs(x[l, i] - x[l, j])
                    variances = (width[l, i] * width[l, i] + width[l, j] * width[l, j]) / 12.0
                    apart = gap if gap > 0.0 else width[l, i] / 3.0
                    alone[l] = (x[l, i] - 0.5) * (x[l, j] - 0.5) + 0.5 * (gap * gap + variances - apart + 1.0 / 6.0)
                    parts[slot, 1, 1 + l] += weight * alone[l]
                after[d] = 1.0
                for l in range(d - 1, -1, -1):  # noqa: E741
                    after[l] = after[l + 1] * (1.0 + alone[l])
                before = 1.0
                for l in range(d):  # noqa: E741
                    parts[slot, 0, 1 + l] += weight * before * after[l + 1]
                    before *= 1.0 + alone[l]
                parts[slot, 0, 0] += weight * before
    out = np.zeros((2, 1 + d))
    for slot in range(SLOTS):
        out += parts[slot]
    return out
