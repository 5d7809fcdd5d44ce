"""A sample in other units has the same index; without a bandwidth the index grows with them."""

import math

import numpy as np
import pytest

from hsicfast import goal_hsic, hsic
from hsicfast.dependence.hsic import gram
from hsicfast.dependence.units import bandwidth_in

EXPONENTS = (-1000, -600, -111, 111, 500, 990)
SCALED = {"gaussian": 0, "laplace": 0, "matern32": 0, "matern52": 0, "dirac": 0, "energy": 1, "linear": 2}


def samples(n=60, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    return x, x[:, 0] + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("kernel", SCALED)
@pytest.mark.parametrize("columns", [1, 2])
def test_hsic_is_the_same_to_the_bit(kernel, exponent, columns):
    x, y = samples()
    x = x[:, :columns]
    options = {"test": "gamma", "confidence": 0.9}
    usual = hsic(x, y, kernel_x=kernel, **options)
    found = hsic(np.ldexp(x, exponent), y, kernel_x=kernel, **options)
    swapped = hsic(y, np.ldexp(x, exponent), kernel_y=kernel, **options)
    with np.errstate(over="ignore", under="ignore"):
        grown = np.ldexp([usual.statistic, usual.null_mean, usual.unbiased, *usual.ci], SCALED[kernel] * exponent)
    # A number that is no double in these units is 0 or inf; one below the least of full precision has fewer digits.
    for own in (found, swapped):
        got = [own.statistic, own.null_mean, own.unbiased, *own.ci]
        assert got == pytest.approx(grown, rel=1e-12, abs=1e-307)
        assert (own.r2, own.pvalue) == pytest.approx((usual.r2, usual.pvalue), rel=1e-11)
    if not SCALED[kernel]:
        assert (found.statistic, found.r2, found.pvalue) == (usual.statistic, usual.r2, usual.pvalue)
        h = usual.bandwidth[0]
        assert found.bandwidth[0] == (h if math.isnan(h) else math.ldexp(h, exponent)) or math.isnan(h)


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-160, 1e-155, 1e155, 1e200, 1e300])
def test_units_that_are_no_power_of_two(unit):
    x, y = samples(200)
    usual, options = hsic(x, y, test="permutation"), {"test": "permutation"}
    for found in (hsic(x * unit, y, **options), hsic(x, y * unit, **options), hsic(x * unit, y / unit / 10, **options)):
        assert found.statistic == pytest.approx(usual.statistic, rel=1e-12)
        assert found.r2 == pytest.approx(usual.r2, rel=1e-12)
        assert found.pvalue == usual.pvalue
    numbered = hsic(x * unit, y, bandwidth_x=0.3 * unit)
    assert numbered.statistic == pytest.approx(hsic(x, y, bandwidth_x=0.3).statistic, rel=1e-12)
    assert numbered.bandwidth[0] == pytest.approx(0.3 * unit, rel=1e-12)
    np.testing.assert_allclose(gram(x * unit), gram(x), rtol=1e-12)


def test_the_widest_range_of_doubles():
    x, y = samples(200)
    assert hsic((x - 0.5) * 1.7e308 * 2, y).statistic == pytest.approx(hsic(x - 0.5, y).statistic, rel=1e-12)


def test_bandwidths_that_no_double_holds():
    x, y = samples()
    assert hsic(x * 1e-300, y, bandwidth_x=1e300).statistic == pytest.approx(0.0, abs=1e-30)
    assert bandwidth_in("median", 300) == "median"
    assert bandwidth_in(True, 300) is True
    assert bandwidth_in(-1.0, 300) == -1.0
    assert bandwidth_in(4.0, 2) == 1.0
    assert 0 < bandwidth_in(1e-200, 900) < bandwidth_in(1e300, -900) < math.inf


@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-155])
@pytest.mark.parametrize("kernel", ["gaussian", "matern32"])
def test_goal_hsic_of_small_values(unit, kernel):
    x, y = samples(200)
    for u in (x[:, 0], x):
        usual = goal_hsic(u, y, kernel=kernel, test="permutation", n_permutations=200)
        found = goal_hsic(u * unit, y, kernel=kernel, test="permutation", n_permutations=200)
        assert found.statistic == pytest.approx(usual.statistic, rel=1e-11)
        assert (found.r2, found.pvalue) == pytest.approx((usual.r2, usual.pvalue), rel=1e-11)
        assert found.bandwidth == pytest.approx(usual.bandwidth * unit, rel=1e-12)
    width = np.full(200, 0.01)
    usual = goal_hsic(x[:, 0], y, width=width, bandwidth=0.3)
    found = goal_hsic(x[:, 0] * unit, y, width=width * unit, bandwidth=0.3 * unit)
    assert found.statistic == pytest.approx(usual.statistic, rel=1e-10)


@pytest.mark.parametrize("unit", [1e-300, 1e-155, 1e155, 1e300])
def test_goal_hsic_of_any_objective(unit):
    x, y = samples(200)
    assert goal_hsic(x[:, 0], y * unit).statistic == goal_hsic(x[:, 0], y).statistic


def test_a_few_values_far_closer_together_than_the_others():
    x, y = samples(200)
    x = x[:, 0] * 1e-200
    x[0] = 1.0
    found = hsic(x, y)  # the square of the median distance is 0
    assert 0 <= found.r2 <= 1
    assert math.isfinite(found.statistic)
