"""What lets a loop use the whole width of the processor: a request for vectors of 512 bits, an exponential."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

# exp: ln 2 in two parts, the first with 21 zeros at its end so that its multiples are exact; a number whose last bit
# is worth 1, so that adding it rounds to a whole number kept in the low bits; (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2,
# fitted on Chebyshev nodes to 2e-17 of e^r.
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
ROUND = 6755399441055744.0
# fmt: off
SERIES = (
    0.5000000000000002, 0.16666666666666669, 0.04166666666661635, 0.00833333333331969, 0.0013888888920749168,
    0.0001984126990557761, 2.4801515759645965e-05, 2.7557218342511846e-06, 2.7622750062750383e-07,
    2.5118623069513083e-08,
)
# fmt: on


def wide() -> None:
    """Ask for vectors of 512 bits in the kernel that calls this, or in the body of its parallel loop.

    On processors that have them LLVM still takes 256 by default, as early ones slowed down under them. Loops of
    arithmetic are up to 1.6 times as fast with 512 (measured); elsewhere the request changes nothing.
    """


@intrinsic
def _widen(typing_context):
    def generate(context, builder, signature, arguments):
        # llvmlite's own add() knows attributes without a value only.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@overload(wide, inline="always")
def _wide():
    return lambda: _widen()


# Reassociation would undo the reduction by ln 2, so this one goes without. The C library's exp is called one value at
# a time; this one vectorises, at a fifth of the time.
@njit(cache=True, fastmath={"contract"})
def exp_negative(x):
    """``exp(x)`` for x <= 0 with relative error below 2e-16; 0 below -708, where doubles lose digits; NaN stays.

    ``exp(x) = 2^k exp(r)`` with k = x / ln 2 rounded and r = x - k ln 2; 2^k is written as bits.
    """
    kept = -708.0 if x < -708.0 else x
    rounded = kept * LOG2_E + ROUND
    k = rounded - ROUND
    r = (kept - k * LN2_HIGH) - k * LN2_LOW
    q = SERIES[9]
    for p in range(8, -1, -1):
        q = SERIES[p] + r * q
    power = np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)
    return 0.0 if x < -708.0 else (1.0 + (r + r * r * q)) * power
