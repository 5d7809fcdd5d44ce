"""Shares of a product kernel: they add up as a variance does."""

import naive
import numpy as np
import pytest

from hsicfast import InputError, anova_indices


def forms(u, w):
    """All quadratic forms from dense matrices."""
    grams = [naive.gram(column, "sobolev") for column in u.T]

    def form(kernels):
        return w @ np.prod(kernels, axis=0) @ w / len(w) ** 2

    everything = form(grams)
    alone = [form([gram - 1]) for gram in grams]
    without = [form(grams[:l] + grams[l + 1 :] or [np.ones_like(grams[0])]) for l in range(len(grams))]  # noqa: E741
    return everything, np.array(alone), np.array(without)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_reference(d):
    random = np.random.default_rng(d)
    u, y = random.random((80, d)), random.random(80)
    z = naive.goal(y, 0.2)
    together, alone, without = forms(u, z - z.mean())
    found = anova_indices(u, y, goal=0.2)
    assert found.hsic == pytest.approx(together, rel=1e-12)
    np.testing.assert_allclose(found.first, alone / together, rtol=1e-11)
    np.testing.assert_allclose(found.total, 1 - without / together, rtol=1e-9, atol=1e-14)


def test_one_alone_has_all_and_none_has_less_in_total():
    u = np.random.default_rng(0).random((400, 4))
    found = anova_indices(u, u[:, 2])
    assert found.first.argmax() == found.total.argmax() == 2
    assert found.first[2] > 0.8
    assert (found.total >= found.first - 1e-12).all()
    assert anova_indices(u[:, :1], u[:, 0]).first[0] == pytest.approx(1.0)


def of_levels(column):
    """The kernel of discrete values from distances: -D / 2, centred, with D the mean distance of draws from two levels.

    The ranks of level a are an interval of the width of its share. Draws from two levels lie as far apart as the
    middles on average, draws from one level a third of its width.
    """
    share = {value: np.mean(column == value) for value in column}
    middle = {value: np.mean(column < value) + share[value] / 2 for value in share}
    apart = np.array([[share[a] / 3 if a == b else abs(middle[a] - middle[b]) for b in column] for a in column])
    return naive.center(-apart / 2)


@pytest.mark.parametrize("levels", [2, 3, 7])
@pytest.mark.parametrize("carried", [lambda x: x, lambda x: 0.4 + 0.1 * x**3])
def test_equal_values_are_levels(levels, carried):
    rng = np.random.default_rng(levels)
    level = np.floor(levels * rng.random(90) ** 2) / levels
    u, y = np.stack((rng.random(90), level, np.full(90, 0.25)), axis=1), rng.random(90) + level
    w = naive.goal(y, 0.2) - naive.goal(y, 0.2).mean()
    one, two = naive.gram(u[:, 0], "sobolev"), 1 + of_levels(level)
    together, first, second = (w @ gram @ w / 90**2 for gram in (one * two, one, two))
    # The order of levels counts, not their values.
    found = anova_indices(np.stack((u[:, 0], carried(level), u[:, 2]), axis=1), y, goal=0.2)
    assert found.hsic == pytest.approx(together, rel=1e-12)
    np.testing.assert_allclose(found.first[:2], np.array([first, second]) / together, rtol=1e-11)
    np.testing.assert_allclose(found.total[:2], 1 - np.array([second, first]) / together, rtol=1e-9)
    assert (found.first[2], found.total[2]) == (0.0, 0.0)


@pytest.mark.parametrize("values", [(0.25, 0.75), (0.475, 0.975), (0, 1e-9)])
def test_two_levels_by_hand(values):
    # Middles lie 1/2 apart. -(D_aa + D_bb - 2 D_ab) / 2 = -((s + 1 - s) / 3 - 1) / 2 = 1/3: the kernel is 1/3 of the
    # product of the indicators less their shares, and HSIC is a third of their squared covariance with the goal.
    u = np.array(values)[[0] * 12 + [1] * 8]
    met = np.arange(20) % 4 == 3
    assert anova_indices(u, 1 - met, goal=0.25).hsic == pytest.approx(0.0, abs=1e-17)
    met = np.arange(20) >= 15
    found = anova_indices(u, 1 - met, goal=0.25)
    assert found.hsic == pytest.approx((5 / 20 - 8 / 20 * 5 / 20) ** 2 / 3, rel=1e-13)
    assert (found.first[0], found.total[0]) == pytest.approx((1.0, 1.0))
    # Either decides with the other alone; a third that is balanced against both decides nothing.
    a, b, c = np.array(values)[np.indices((2, 2, 2)).reshape(3, -1)]
    found = anova_indices(np.tile([a, b, c], 3).T, np.tile(a == b, 3), goal=0.5)
    assert found.hsic == pytest.approx((1 / 12) ** 2 / 4, rel=1e-12)
    np.testing.assert_allclose(found.first, 0, atol=1e-14)
    np.testing.assert_allclose(found.total, [1, 1, 0], atol=1e-12)


@pytest.mark.parametrize("shares", [(0.95, 0.05), (0.5, 0.5), (0.2, 0.3, 0.5)])
def test_a_discrete_hyperparameter_that_decides_nothing(shares):
    # The first decides, the total of the other is noise of order 1 / n; of order 1 if its kernel has a mean.
    middles, totals = np.cumsum(shares) - np.array(shares) / 2, []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        u = np.stack((rng.random(1500), rng.choice(middles, 1500, p=shares)), axis=1)
        totals.append(anova_indices(u, u[:, 0]).total[1])
    assert 0 <= np.mean(totals) < 0.01


def test_constant_columns_alone():
    found = anova_indices(np.full((6, 2), 0.25), np.arange(6))
    assert (found.first.tolist(), found.total.tolist(), found.hsic) == ([0.0, 0.0], [0.0, 0.0], 0.0)


def test_nothing_to_tell_apart():
    found = anova_indices(np.random.default_rng(0).random((6, 2)), [np.nan] * 6)
    assert np.isnan(found.first).all()
    assert found.hsic == 0.0


def test_bad_input():
    with pytest.raises(InputError, match=r"carried values must lie in \[0, 1\]"):
        anova_indices([[0.0], [1.0], [2.0], [0.5]], [1, 2, 3, 4])
    with pytest.raises(InputError, match=r"u and y must have one length, but got 4 and \(3,\)"):
        anova_indices([[0.0], [1.0], [0.2], [0.5]], [1, 2, 3])
