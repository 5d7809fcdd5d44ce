"""What compiled loops share: fast-math flags, wide vectors, exponential, cosine and sine, and pairs dealt to threads.

The C library computes its exponential, cosine and sine one value at a time. Those of this file vectorise and take a
fifth of the time.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

# The fast-math flags of every kernel that does not say otherwise. Reassociation lets sums vectorise, contraction joins
# a product and a sum, arcp divides by multiplying, nsz lets 0 and -0 be one. Left out are:
# - nnan and ninf, as they would let the compiler assume away the NaN and infinity that a broken input must show;
# - afn, as approximate functions would differ from one processor to the next.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
# How the pairs i < j of n samples are dealt to parallel iterations: rows of a triangle, ROWS at a time.
ROWS = 16  # rows that share a stretch of samples while it is in the cache
SLOTS = 16  # parallel iterations, whatever the number of threads

# For exp. ln 2 has two parts; the first ends in 21 zero bits, so that its multiples are exact. The last bit of ROUND is
# worth 1, so that adding ROUND leaves a number rounded to a whole one in the low bits. SERIES is (e^r - 1 - r) / r^2 on
# |r| <= ln 2 / 2, fitted on Chebyshev nodes to 2e-17 of e^r.
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
SINGLE_LOG2_E = np.float32(LOG2_E)
SINGLE_LN2_HIGH = np.float32(0.693359375)
SINGLE_LN2_LOW = np.float32(-2.12194440e-4)
SINGLE_ROUND = np.float32(12582912.0)
SINGLE_SERIES = tuple(np.float32(1 / math.factorial(k)) for k in range(2, 8))
# For cos and sin. pi / 2 has two parts in the same way; SINE and COSINE are the Taylor series of (sin r - r) / r^3 and
# (cos r - 1 + r^2 / 2) / r^4 on |r| <= pi / 4, where the rest is below 1e-17.
QUARTER = 2 / math.pi
QUARTER_HIGH = 1.5707963109016418
QUARTER_LOW = 1.5893254773528196e-08
SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(1, 9))
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(2, 10))


def use_wide_vectors() -> None:
    """Ask for vectors of 512 bits in the kernel that calls this, or in the body of its parallel loop.

    LLVM uses 256 bits by default even on processors that have 512, because early ones slowed down under them. Loops of
    arithmetic run up to 1.6 times as fast with 512 (measured). On other processors the request changes nothing.
    """


@intrinsic
def _prefer_512_bits(typing_context):
    def generate(context, builder, signature, arguments):
        # llvmlite's own add() accepts only attributes without a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@overload(use_wide_vectors, inline="always")
def _use_wide_vectors():
    return lambda: _prefer_512_bits()


def exp_negative(x):
    """``exp(x)`` for x <= 0 in the precision of x, double or single; NaN stays NaN.

    ``exp(x) = 2^k exp(r)`` with k = x / ln 2 rounded and r = x - k ln 2; 2^k is written as bits. The relative error is
    below 2e-16 for doubles and below 1.2e-7 for singles. The result is 0 below -708 and -87, where digits would be
    lost.
    """
    return _exp_single(x) if isinstance(x, np.float32) else _exp_double(x)


@overload(exp_negative, inline="always")
def _exp_negative(x):
    if x == types.float32:
        return lambda x: _exp_single(x)
    return lambda x: _exp_double(x)


# Reassociation would undo the reductions by ln 2 and pi / 2, so these three have contract alone.
@njit(cache=True, fastmath={"contract"})
def _exp_double(x):
    kept = -708.0 if x < -708.0 else x
    rounded = kept * LOG2_E + ROUND
    k = rounded - ROUND
    r = (kept - k * LN2_HIGH) - k * LN2_LOW
    q = SERIES[9]
    for p in range(8, -1, -1):
        q = SERIES[p] + r * q
    power = np.int64((np.float64(rounded).view(np.int64) + 1023) << 52).view(np.float64)
    return 0.0 if x < -708.0 else (1.0 + (r + r * r * q)) * power


@njit(cache=True, fastmath={"contract"})
def _exp_single(x):
    kept = np.float32(-87.0) if x < np.float32(-87.0) else x
    rounded = kept * SINGLE_LOG2_E + SINGLE_ROUND
    k = rounded - SINGLE_ROUND
    r = (kept - k * SINGLE_LN2_HIGH) - k * SINGLE_LN2_LOW
    q = SINGLE_SERIES[5]
    for p in range(4, -1, -1):
        q = SINGLE_SERIES[p] + r * q
    power = np.int32((np.float32(rounded).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(0.0) if x < np.float32(-87.0) else (np.float32(1.0) + (r + r * r * q)) * power


@njit(cache=True, fastmath={"contract"})
def cosine_and_sine(x):
    """Cosine and sine of an angle |x| <= 3.2, each within 1.2e-16.

    ``x = k pi / 2 + r`` with k a whole number from -2 to 2: a quarter turn swaps the two, a half turn changes their
    signs.
    """
    k = (x * QUARTER + ROUND) - ROUND
    r = (x - k * QUARTER_HIGH) - k * QUARTER_LOW
    square = r * r
    s = SINE[7]
    c = COSINE[7]
    for p in range(6, -1, -1):
        s = SINE[p] + square * s
        c = COSINE[p] + square * c
    s = r + r * square * s
    c = 1.0 + square * (-0.5 + square * c)
    quarter = k * k == 1.0
    half = k * k == 4.0
    cosine = s if quarter else c
    sine = c if quarter else s
    return (-cosine if half | (k == 1.0) else cosine), (-sine if half | (k == -1.0) else sine)


@njit(cache=True)
def turns(n):
    """How many times each of the SLOTS parallel iterations gets ROWS rows of n."""
    return (n + ROWS * SLOTS - 1) // (ROWS * SLOTS)


@njit(cache=True)
def first_row(slot, turn):
    """First of the ROWS rows that a slot works on in a turn.

    Slots take turns in ascending, then in descending order, because later rows have fewer pairs.
    """
    return ROWS * (turn * SLOTS + (slot if turn % 2 == 0 else SLOTS - 1 - slot))
