"""How the pairs i < j of n samples are dealt to parallel iterations: rows of a triangle, ROWS at a time."""

from __future__ import annotations

from numba import njit

ROWS = 16  # rows that share a stretch of samples while it is in the cache
SLOTS = 16  # parallel iterations, whatever the number of threads


@njit(cache=True)
def turns(n):
    """How many times each slot gets rows."""
    return (n + ROWS * SLOTS - 1) // (ROWS * SLOTS)


@njit(cache=True)
def first_row(slot, turn):
    """First of the ROWS rows a slot works on in a turn; dealt forth and back, as later rows have fewer pairs."""
    return ROWS * (turn * SLOTS + (slot if turn % 2 == 0 else SLOTS - 1 - slot))
