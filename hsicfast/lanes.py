"""A request to the compiler: vectors of 512 bits in this function.

On processors that have them LLVM still takes 256 by default, as early ones slowed down under them. Loops of arithmetic
are up to 1.6 times as fast with 512 (measured); elsewhere the request changes nothing.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic, overload


def wide() -> None:
    """Call it in a kernel, in the body of its parallel loop where it has one: that is a function of its own."""


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
