"""Whole Gram matrices, against numpy alone."""

import numpy as np
from builders import uniform

from hsicfast.engines import matrices


def test_products():
    x, y = uniform(20, 20), uniform(20, 20, seed=1)
    x, y = x + x.T, y + y.T
    orders = np.array([np.random.default_rng(seed).permutation(20) for seed in range(3)])
    want = [(x * y[np.ix_(order, order)]).sum() for order in orders]
    assert np.allclose(matrices.permuted_products(x, y, orders), want, rtol=1e-13)
