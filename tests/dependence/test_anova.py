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


def test_nothing_to_tell_apart():
    found = anova_indices(np.random.default_rng(0).random((6, 2)), [np.nan] * 6)
    assert np.isnan(found.first).all()
    assert found.hsic == 0.0


def test_bad_input():
    with pytest.raises(InputError, match=r"carried values must lie in \[0, 1\]"):
        anova_indices([[0.0], [1.0], [2.0], [0.5]], [1, 2, 3, 4])
    with pytest.raises(InputError, match=r"u and y must have one length, but got 4 and \(3,\)"):
        anova_indices([[0.0], [1.0], [0.2], [0.5]], [1, 2, 3])
