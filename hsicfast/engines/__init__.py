"""Sums that trust their input: Numba, and torch on a GPU."""
