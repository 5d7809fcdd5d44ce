"""What can be expected to be gained: laws, a gradient by differences, and functions whose minimum is known."""

import numpy as np
import pytest

from hsicfast.evidence.improvement import _objective, still_to_gain

GRID = np.linspace(0, 1, 201)[:, None]


def drawn(seed, length=0.2):
    """A function of one variable from a Gaussian process with another kernel, on the grid."""
    random = np.random.default_rng(seed)
    covariance = np.exp(-0.5 * ((GRID - GRID.T) / length) ** 2)
    return np.linalg.cholesky(covariance + 1e-8 * np.eye(len(GRID))) @ random.standard_normal(len(GRID))


def gain(f, rows, left=50):
    return still_to_gain(GRID[rows], f[rows], GRID, left, seed=0)


def test_the_gradient_is_that_of_differences():
    random = np.random.default_rng(0)
    x = random.random((12, 3))
    squares, y = (x[:, None] - x[None]) ** 2, random.standard_normal(12)
    at = np.array([-0.5, 0.2, -1.0, -3.0])
    value = [
        (_objective(at + step, squares, y)[0] - _objective(at - step, squares, y)[0]) / 2e-6
        for step in 1e-6 * np.eye(4)
    ]
    np.testing.assert_allclose(_objective(at, squares, y)[1], value, rtol=1e-4)


def test_laws():
    f, rows = drawn(1), np.arange(0, 201, 25)
    assert gain(3 * f + 7, rows) == pytest.approx(3 * gain(f, rows), rel=1e-3)
    assert 0 < gain(f, rows, 1) <= gain(f, rows, 3) <= gain(f, rows, 1000)
    assert gain(np.ones(201), rows) == 0.0


def test_is_near_what_can_be_gained():
    """On 40 functions the mean of the estimates is that of the gains, within three standard errors of the latter."""
    rows = np.arange(0, 201, 20)
    functions = [drawn(seed, 0.1) for seed in range(40)]
    true = np.array([f[rows].min() - f.min() for f in functions])
    told = np.array([gain(f, rows) for f in functions])
    assert abs(told.mean() - true.mean()) < 3 * (true - told).std() / np.sqrt(len(true)) + 0.1 * true.mean()


def test_nothing_is_left_where_all_is_seen():
    f = drawn(2)
    assert gain(f, np.arange(0, 201, 5)) < 0.02 * np.ptp(f)
