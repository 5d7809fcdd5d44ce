"""Distances of pairs, against numpy alone."""

import numpy as np
from builders import uniform

from hsicfast.engines import distances


def test_squares_of_pairs():
    x = uniform(3, 9)
    expected = [((x - np.roll(x, -lag, axis=1)) ** 2).sum(axis=0) for lag in (1, 2)]
    assert np.allclose(distances.squares_along(x, 2), expected)
