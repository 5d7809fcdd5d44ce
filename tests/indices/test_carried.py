"""Values carried to [0, 1]."""

import math

import numpy as np
import pytest

from hsicfast import Bool, Float, SearchSpace, TrialTable
from hsicfast.indices.carried import ranked, unseen


def test_ties_share_an_interval():
    u, width = ranked(np.array([3.0, 1.0, 3.0, 3.0, 2.0]))
    assert u.tolist() == pytest.approx([0.7, 0.1, 0.7, 0.7, 0.3])
    assert width.tolist() == pytest.approx([0.6, 0.0, 0.6, 0.6, 0.0])


def test_values_that_no_trial_has_widen_the_interval():
    # P(good) of the rare value may be 0 or 1: with probability 0.05 it moves the difference of the means by up to 0.9.
    space = SearchSpace({"rare": Bool(law=0.05), "x": Float(0, 1)})
    n = 30
    table = TrialTable.from_arrays(space, {"rare": [False] * n, "x": np.arange(n) / n}, np.arange(n, dtype=float))
    h = 1 - 1 / math.sqrt(2)
    points = (np.arange(4000) + 0.5) / 4000
    low, high = points < 0.95, points >= 0.95
    kernel = np.exp(-((points[:, None] - points) ** 2) / (2 * h**2))
    apart = kernel[np.ix_(low, low)].mean() - 2 * kernel[np.ix_(low, high)].mean() + kernel[np.ix_(high, high)].mean()
    found = unseen(table, "rare", np.arange(n), 0.1, h)
    assert found == pytest.approx(0.9 * 0.05 * math.sqrt(apart), rel=1e-3)
    assert unseen(table, "x", np.arange(n), 0.1, h) == 0.0
    # 300 trials without it do not follow the distribution.
    many = TrialTable.from_arrays(space, {"rare": [False] * 300, "x": np.arange(300) / 300}, np.zeros(300))
    assert unseen(many, "rare", np.arange(300), 0.1, h) == 0.0
