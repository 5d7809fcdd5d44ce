"""The eight kernels as data: name, code, formula and domain."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hsicfast.arrays import Floats
from hsicfast.errors import InputError


@dataclass(frozen=True)
class Kernel:
    """A kernel k(x, y); d is the Euclidean distance of x and y, h the bandwidth.

    Attributes
    ----------
    name : str
        Its public name.
    code : int
        Its number in compiled code.
    formula : str
        k(x, y).
    has_bandwidth : bool
        Whether k depends on h.
    domain : (float, float)
        The interval that its arguments must lie in.
    """

    name: str
    code: int
    formula: str
    has_bandwidth: bool = True
    domain: tuple[float, float] = (-math.inf, math.inf)

    def check_domain(self, x: Floats, name: str) -> None:
        """Raise an InputError if values `x`, which the caller calls `name`, lie outside the domain."""
        low, high = self.domain
        if x.min() < low or x.max() > high:
            raise InputError(
                f"kernel {self.name!r} needs values in [{low:g}, {high:g}], but {name} runs from {x.min():.6g} to "
                f"{x.max():.6g}; carry them there by ranks or take kernel 'gaussian'"
            )


# How compiled code knows the kernels: numbers of their own, as it cannot read a Kernel.
GAUSSIAN_CODE, LAPLACE_CODE, MATERN32_CODE, MATERN52_CODE = range(4)
ENERGY_CODE, LINEAR_CODE, DIRAC_CODE, SOBOLEV_CODE = range(4, 8)

GAUSSIAN = Kernel("gaussian", GAUSSIAN_CODE, "exp(-d^2 / 2h^2)")
LAPLACE = Kernel("laplace", LAPLACE_CODE, "exp(-d / h)")
MATERN32 = Kernel("matern32", MATERN32_CODE, "(1 + sqrt(3) d / h) exp(-sqrt(3) d / h)")
MATERN52 = Kernel("matern52", MATERN52_CODE, "(1 + sqrt(5) d / h + 5 d^2 / 3h^2) exp(-sqrt(5) d / h)")
ENERGY = Kernel("energy", ENERGY_CODE, "-d", has_bandwidth=False)
LINEAR = Kernel("linear", LINEAR_CODE, "x . y", has_bandwidth=False)
DIRAC = Kernel("dirac", DIRAC_CODE, "1 where x = y, else 0", has_bandwidth=False)
SOBOLEV = Kernel(
    "sobolev",
    SOBOLEV_CODE,
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
        If no kernel has this name.

    Examples
    --------
    >>> find("laplace").formula
    'exp(-d / h)'
    """
    if name not in KERNELS:
        raise InputError(f"a kernel must be one of {sorted(KERNELS)}, but got {name!r}; choose one of them")
    return KERNELS[name]
