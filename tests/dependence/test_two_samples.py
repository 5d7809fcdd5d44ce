"""Sums over pairs of two samples, against the naive reference."""

import naive
import numpy as np
import pytest
from builders import uniform

from hsicfast import hsic
from hsicfast.dependence import two_samples
from hsicfast.engines.kernels import KERNELS


class TestUStatistic:
    @pytest.mark.parametrize("kernel", KERNELS)
    def test_reference(self, kernel):
        x, y = uniform(61, 2), uniform(61, seed=1)
        y += x[:, 0]
        x, y = np.round(x, 1), np.round(y / 2, 1)
        want = naive.u_statistic(x, y, kernel, kernel, 0.4, 0.6)
        assert hsic(x, y, kernel_x=kernel, kernel_y=kernel, bandwidth_x=0.4, bandwidth_y=0.6).unbiased == pytest.approx(
            want, rel=1e-12
        )

    def test_is_unbiased(self):
        # the mean over all 4! orders of y is the mean under independence, 0
        from itertools import permutations

        x, y = np.array([0.0, 0.3, 0.4, 1.0]), np.array([2.0, 0.0, 0.5, 0.1])
        found = [hsic(x, y[list(order)], kernel_x="energy").unbiased for order in permutations(range(4))]
        assert np.mean(found) == pytest.approx(0.0, abs=1e-16)
        assert min(found) < 0


@pytest.mark.parametrize("kernels", [("gaussian", "laplace"), ("linear", "energy"), ("dirac", "matern52")])
def test_kept_and_made_anew(monkeypatch, kernels):
    x, y = np.round(uniform(2, 30), 1), np.round(uniform(1, 30, seed=1), 1)
    pair = two_samples.TwoSamples(x, y, *(KERNELS[kernel] for kernel in kernels), 0.3, 0.2)
    rng = np.random.default_rng(7)
    orders = [rng.permutation(30) for _ in range(19)]
    want = [naive.hsic(x.T, y[:, order].T, *kernels, 0.3, 0.2) for order in orders]
    assert np.allclose(pair.permuted(19, 7), want, rtol=1e-11)
    monkeypatch.setattr(two_samples, "MOST_KEPT", 0)
    assert np.allclose(pair.permuted(19, 7), want, rtol=1e-11)
