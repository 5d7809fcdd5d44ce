"""The subsets that the permutations of a goal are."""

import math

import numpy as np

from hsicfast.engines.spectral import subset_membership


def test_subsets_are_uniform():
    draws = 4000
    member = subset_membership(20, 5, draws, np.uint64(0))
    # 5 standard deviations of the binomial; pairs as well as single places
    assert np.all(np.abs(member.mean(axis=1) - 0.25) < 5 * math.sqrt(0.25 * 0.75 / draws))
    together = (member @ member.T / draws)[np.triu_indices(20, 1)]
    p = 5 * 4 / (20 * 19)
    assert np.all(np.abs(together - p) < 5 * math.sqrt(p * (1 - p) / draws))
