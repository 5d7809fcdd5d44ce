"""Pairs: both ways to test them say the same, and neither claims what is not there."""

import math

import numpy as np
import pytest

from hsicfast import Float, SearchSpace, TrialTable, analyse
from hsicfast.dependence.features import carried_features, principal
from hsicfast.evidence import interactions
from hsicfast.evidence.interactions import PairJudge

SPACE = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})


def judge(columns, z, n_permutations=999):
    psi = {name: carried_features(u, np.empty(0), 0.3) for name, u in columns.items()}
    return PairJudge(psi.__getitem__, z, 0.3, n_permutations, 0)


def trial(seed, n, decides):
    """Two uniform columns and who met a goal of 20%, decided by a function of both and noise."""
    random = np.random.default_rng(seed)
    a, b, noise = random.random((3, n))
    y = decides(a, b) + noise
    return {"a": a, "b": b}, y <= np.quantile(y, 0.2)


class TestBothTests:
    @pytest.mark.parametrize("decides", [lambda a, b: 0 * a, lambda a, b: 0.3 * a, lambda a, b: 0.2 * (a - b) ** 2])
    def test_the_limit_is_that_of_permutations_and_signs(self, monkeypatch, decides):
        for seed in range(4):
            columns, z = trial(seed, 1500, decides)
            drawn = judge(columns, z, 1999).pair("a", "b")
            with monkeypatch.context() as patch:
                patch.setattr(interactions, "MOST_PERMUTED", 0)
                limit = judge(columns, z).pair("a", "b")
            assert drawn[:2] == limit[:2]
            for p, q in zip(drawn[2:], limit[2:], strict=True):
                # 4 standard deviations of the drawn one, and what n = 1500 lacks to the limit
                assert abs(p - q) < 4 * math.sqrt(q * (1 - q) / 2000) + 0.015

    def test_the_law_of_some_trials_is_that_of_all(self, monkeypatch):
        for seed in range(3):
            columns, z = trial(seed, 8000, lambda a, b: 0.3 * a + 0.1 * (a - b) ** 2)
            monkeypatch.setattr(interactions, "MOST_FOR_LAW", 8000)
            of_all = judge(columns, z).pair("a", "b")
            monkeypatch.setattr(interactions, "MOST_FOR_LAW", 4000)
            of_some = judge(columns, z).pair("a", "b")
            assert of_some[:2] == of_all[:2]
            assert of_some[3] != of_all[3]
            # The largest weights are known to some percent, and so is the logarithm of a p-value.
            np.testing.assert_allclose(np.log(of_some[2:]), np.log(of_all[2:]), rtol=0.1, atol=0.1)

    @pytest.mark.parametrize("most", [0, 2000])
    @pytest.mark.parametrize("strength", [0.0, 3.0])
    def test_level_of_the_pure_interaction(self, monkeypatch, most, strength):
        # 500 independent data sets without interaction, the second kind decided by one column alone;
        # within 3.5 standard deviations of the binomial
        monkeypatch.setattr(interactions, "MOST_PERMUTED", most)
        found = 0
        for seed in range(500):
            columns, z = trial(seed, 200, lambda a, b: strength * a)
            found += judge(columns, z, 99).pair("a", "b")[3] <= 0.05
        assert abs(found / 500 - 0.05) < 3.5 * math.sqrt(0.05 * 0.95 / 500)

    @pytest.mark.parametrize("most", [0, 2000])
    def test_exclusive_or(self, monkeypatch, most):
        monkeypatch.setattr(interactions, "MOST_PERMUTED", most)
        columns, z = trial(0, 400, lambda a, b: 1.0 * ((a > 0.5) == (b > 0.5)))
        _, _, _, pvalue = judge(columns, z).pair("a", "b")
        assert pvalue <= 0.001


def test_principal_axes_keep_inner_products():
    psi = np.random.default_rng(0).random((30, 2)) @ np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]])
    few, sizes = principal(psi, 1e-12)
    assert few.shape == (30, 2)
    np.testing.assert_allclose(few @ few.T, psi @ psi.T, rtol=1e-12)
    np.testing.assert_allclose((few**2).mean(axis=0), sizes, rtol=1e-9)


def test_pairs_only_where_asked_for():
    columns, z = trial(0, 50, lambda a, b: a)
    table = TrialTable.from_arrays(SPACE, columns, np.where(z, 0.0, 1.0))
    assert analyse(SPACE, table, pairs=False).pair_indices == ()
    assert len(analyse(SPACE, table).pair_indices) == 1
