"""The total-order test: what acts with any others is found, and what does nothing is not."""

from itertools import permutations
from math import sqrt

import naive
import numpy as np
import pytest

from hsicfast.dependence.features import UNIFORM_MEDIAN, carried_features
from hsicfast.evidence import total
from hsicfast.evidence.interactions import orthogonal_to_constants
from hsicfast.evidence.total import total_order


def pure(u):
    return orthogonal_to_constants(carried_features(u, np.empty(0), UNIFORM_MEDIAN), UNIFORM_MEDIAN)


def study(seed, n, d, decides, share):
    random = np.random.default_rng(seed)
    u = random.random((d, n))
    y = decides(u > 0.5, u) + 0.3 * random.random(n)
    return [pure(row) for row in u], (y <= np.quantile(y, share))[None]


def nothing(high, u):
    return 0.0 * u[0]


def exclusive_or_of_three(high, u):
    return 1.0 * (high[0] ^ high[1] ^ high[2])


def naive_total(kernels, w, which):
    """The sum over pairs of different trials, term by term."""
    weight = min(max(13 / (len(kernels) - 1), 1), 3)
    n = len(w)
    found = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                others = [1 + weight * k[i, j] for place, k in enumerate(kernels) if place != which]
                found += w[i] * w[j] * kernels[which][i, j] * np.prod(others)
    return found / (n * (n - 1))


def test_index_and_pvalue_against_all_permutations():
    random = np.random.default_rng(2)
    u, z = random.random((3, 6)), np.array([True, False, True, False, False, True])
    kernels = [naive.orthogonal_to_constants(row, UNIFORM_MEDIAN) for row in u]
    w = (z - z.mean()) / z.std()
    for which in range(3):
        found = total_order([pure(row) for row in u], z[None], which, 4000)
        expected = naive_total(kernels, w, which)
        assert found.hsic == pytest.approx(expected, rel=1e-3, abs=1e-6)  # without the negligible coordinates
        moved = []
        for order in permutations(range(6)):
            permuted = list(kernels)
            permuted[which] = kernels[which][np.ix_(order, order)]
            moved.append(naive_total(permuted, w, which))
        exact = np.mean(np.array(moved) >= expected - 1e-9)
        assert abs(found.pvalue - exact) < 4 * exact / sqrt(50) + 4 * sqrt(exact / 4000)


@pytest.mark.parametrize(("n", "share"), [(30, 0.2), (100, 0.1)])
@pytest.mark.parametrize("decides", [nothing, exclusive_or_of_three])
def test_level(n, share, decides):
    # 400 studies of five, of which the last does nothing; 3.5 standard deviations of the binomial
    rejected = sum(total_order(*study(seed, n, 5, decides, share), 4, 99).pvalue <= 0.05 for seed in range(400))
    assert abs(rejected / 400 - 0.05) < 3.5 * sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("d", "least"), [(3, 20), (10, 16)])
def test_an_exclusive_or_of_three_is_found(d, least):
    # 20 studies; 97% at ten hyperparameters leaves fewer than 16 of 20 with a probability below 1e-4
    found = [total_order(*study(seed, 300, d, exclusive_or_of_three, 0.3), 0, 199).pvalue for seed in range(20)]
    assert np.count_nonzero(np.array(found) <= 0.05) >= least


def test_a_hyperparameter_that_does_not_exist_is_a_factor_of_one():
    features, met = study(0, 80, 4, exclusive_or_of_three, 0.3)
    w = (met[0] - met[0].mean()) / met[0].std()
    present = np.arange(80) < 40
    gone = [*features[:3], np.where(present[:, None], features[3], 0.0)]
    kernels = [psi @ psi.T for psi in gone]
    assert total_order(gone, met, 0, 9).hsic == pytest.approx(naive_total(kernels, w, 0), rel=1e-2)
    assert (kernels[3][~present] == 0).all()


def test_several_goals_have_the_mean_of_their_indices():
    features, met = study(0, 60, 3, exclusive_or_of_three, 0.3)
    other = np.random.default_rng(1).random((1, 60)) < 0.5
    apart = [total_order(features, goal, 0, 9).hsic for goal in (met, other)]
    assert total_order(features, np.vstack((met, other)), 0, 9).hsic == pytest.approx(np.mean(apart))


def test_a_constant_does_nothing():
    features, z = study(0, 50, 3, nothing, 0.3)
    assert total_order([*features, np.zeros_like(features[0])], z, 3) == (0.0, 1.0)


def test_many_trials_are_judged_by_some(monkeypatch):
    features, z = study(1, 600, 3, exclusive_or_of_three, 0.3)
    monkeypatch.setattr(total, "MOST_TRIALS", 300)
    first, again = total_order(features, z, 0, 199, seed=5), total_order(features, z, 0, 199, seed=5)
    assert first == again
    assert first.pvalue <= 0.05
    rows = np.random.default_rng(5).choice(600, 300, replace=False)
    assert first.hsic == pytest.approx(total_order([psi[rows] for psi in features], z[:, rows], 0, 9).hsic, rel=1e-3)
