"""The subsets that the permutations of a goal are."""

import math

import numpy as np

from hsicfast.engines import spectral
from hsicfast.engines.spectral import subset_membership


def test_subsets_are_uniform():
    draws = 4000
    member = subset_membership(20, 5, draws, np.uint64(0))
    # 5 standard deviations of the binomial; pairs as well as single places
    assert np.all(np.abs(member.mean(axis=1) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / draws))
    together = (member @ member.T / draws)[np.triu_indices(20, 1)]
    p = 5 * 4 / (20 * 19)
    assert np.all(np.abs(together - p) < 5 * math.sqrt(p * (1 - p) / draws))


def test_nested_statistics_are_those_of_the_subsets_that_permuted_statistics_draws():
    # One goal of one group: the same random subsets, whose features sum to 0 over all samples.
    psi = np.random.default_rng(0).standard_normal((30, 4))
    psi -= psi.mean(axis=0)
    exists = np.ones((1, 30), dtype=bool)
    found = spectral.nested_statistics(
        psi, np.ones((1, 2)), exists, np.array([0, 0]), np.array([[0, 8]]), 20, np.uint64(3)
    )
    wanted = spectral.permuted_statistics(psi, np.array([0, 2, 4]), 8, 20, np.uint64(3)) * 30**2
    assert (found[:, :, 0] == 0).all()
    np.testing.assert_allclose(found[:, :, 1, 0], wanted, rtol=1e-12)


def test_a_group_of_nested_statistics_counts_its_own_samples():
    random = np.random.default_rng(1)
    exists = np.vstack((np.ones(24, dtype=bool), np.arange(24) < 10))
    psi = np.where(exists.T, random.standard_normal((24, 2)), 0.0)
    found = spectral.nested_statistics(
        psi, np.ones((1, 1)), exists, np.array([0, 1]), np.array([[4, 12], [3, 10]]), 6, np.uint64(0)
    )
    # The best 10 of 10 are all of them, in whatever order.
    np.testing.assert_allclose(found[:, 1, 1, 0], psi[:, 1].sum() ** 2, rtol=1e-12)
