"""Samples in units in which squares neither overflow nor vanish.

A power of two divides without rounding. So an index with a bandwidth, which goes along, is the same to the bit; one
under the energy or the linear kernel is that in the samples' own units once it is multiplied back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence.estimate import HSICResult, times_power
from hsicfast.engines import kernels
from hsicfast.engines.kernels import Kernel

# Samples up to 2^USUAL and down to its inverse stay as they are: the eighth power of neither is beyond the doubles, and
# nothing is multiplied more often than the linear kernels of two samples.
USUAL = 110
# How the kernels without a bandwidth grow with their samples.
POWERS = {kernels.ENERGY: 1, kernels.LINEAR: 2}
B = TypeVar("B", bound=str | float)


class Sized(NamedTuple):
    """A sample (d, n) over 2^exponent, and the exponent."""

    x: Floats
    exponent: int


def sized(x: Floats, kernel: Kernel) -> Sized:
    """The sample in units of about its largest value, if that is not of usual size.

    Examples
    --------
    >>> found = sized(np.array([[0.5, 3.0]]) * 2.0**600, kernels.GAUSSIAN)
    >>> found.x.tolist(), found.exponent
    ([[0.125, 0.75]], 602)
    """
    exponent = math.frexp(float(np.abs(x).max()))[1]
    if abs(exponent) <= USUAL or not (kernel.has_bandwidth or kernel in POWERS):
        return Sized(x, 0)
    return Sized(np.ldexp(x, -exponent), exponent)


def bandwidth_in(bandwidth: B, exponent: int) -> B | float:
    """A bandwidth over 2^exponent; a word, and whatever is no number above 0, stays as it is."""
    if exponent == 0 or isinstance(bandwidth, str | bool) or not 0 < bandwidth < math.inf:
        return bandwidth
    # Beyond the doubles the kernel is that of the largest or the smallest one.
    return float(np.clip(times_power(float(bandwidth), -exponent), np.finfo(float).tiny, np.finfo(float).max))


def in_own_units(result: HSICResult, bandwidth: float | tuple[float, float], exponent: int) -> HSICResult:
    """The result of samples that were sized.

    Parameters
    ----------
    result : HSICResult
    bandwidth : float or (float, float)
        In the samples' own units.
    exponent : int
        Of the power of two that the kernels lost, see :func:`lost`.
    """
    sought = result.sought
    return replace(
        result,
        statistic=times_power(result.statistic, exponent),
        null_mean=times_power(result.null_mean, exponent),
        unbiased=times_power(result.unbiased, exponent),
        sought=None if sought is None else sought._replace(exponent=exponent),
        bandwidth=bandwidth,
    )


def lost(kernel: Kernel, exponent: int) -> int:
    """The exponent of the power of two by which a kernel is smaller in samples over 2^exponent."""
    return POWERS.get(kernel, 0) * exponent
