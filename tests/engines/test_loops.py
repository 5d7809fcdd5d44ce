"""What the compiled loops compute by themselves: the exponential, the cosine and the sine."""

import math

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given

from hsicfast.engines import loops

INTERPRETED = bool(numba.config.DISABLE_JIT)


@numba.njit
def exponentials(values):
    out = np.empty_like(values)
    for t in range(values.shape[0]):
        out[t] = loops.exp_negative(values[t])
    return out


class TestExponential:
    def test_dense_grid(self):
        x = -np.concatenate((np.linspace(0, 700, 701 if INTERPRETED else 2_000_001), np.geomspace(1e-300, 1, 1001)))
        want = np.exp(x.astype(np.longdouble))
        assert float(np.max(np.abs(exponentials(x) - want) / want)) < 2e-16

    @given(st.floats(-700, 0))
    def test_agrees_with_numpy(self, x):
        assert exponentials(np.array([x]))[0] == pytest.approx(np.exp(x), rel=4e-16, abs=0)

    def test_single_precision(self):
        x = -np.concatenate((np.linspace(0, 87, 701 if INTERPRETED else 200_001), [0.0])).astype(np.float32)
        want = np.exp(x.astype(float))
        assert float(np.max(np.abs(exponentials(x) - want) / want)) < 1.2e-7
        got = exponentials(np.array([0, -88, -1e30, -np.inf, np.nan], dtype=np.float32))
        assert got[:4].tolist() == [1.0, 0.0, 0.0, 0.0]
        assert math.isnan(got[4])

    def test_ends(self):
        got = exponentials(np.array([0.0, -0.0, -708.5, -1e300, -math.inf, math.nan]))
        assert got[:5].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
        assert math.isnan(got[5])


class TestCosineAndSine:
    def test_all_the_way_round(self):
        for x in np.linspace(-3.2, 3.2, 1001):
            assert loops.cosine_and_sine(x) == pytest.approx((math.cos(x), math.sin(x)), abs=1.3e-16)
