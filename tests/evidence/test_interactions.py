"""Pairs: both ways to test them say the same, and neither claims what is not there."""

import math

import naive
import numpy as np
import pytest
from scipy.stats import norm

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
        assert judge(columns, z).pair("a", "b").pvalue_pure <= 0.001


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


def sampled_pvalue(x, y, n_permutations):
    """P-value of sum(x * y) with rows and columns of the matrix y permuted, from the definition."""
    random = np.random.default_rng(9)
    reached = 0
    for _ in range(n_permutations):
        order = random.permutation(len(y))
        reached += (x * y[np.ix_(order, order)]).sum() >= (x * y).sum() * (1 - 1e-9)
    return (1 + reached) / (1 + n_permutations)


class TestPartners:
    def test_pvalues_against_permuted_gram_matrices(self):
        columns, z = trial(3, 40, lambda a, b: 1.5 * ((a > 0.5) == (b > 0.5)))
        found = judge(columns, z, 3999).pair("a", "b")
        gram = {name: naive.gram(u, "gaussian", 0.3) for name, u in columns.items()}
        pure = {name: naive.orthogonal_to_constants(u, 0.3) for name, u in columns.items()}
        w = np.outer(z - z.mean(), z - z.mean())
        partners = [sampled_pvalue(w * pure[a], pure[b], 4000) for a, b in ("ab", "ba")]
        # either partner may be permuted; 4 standard deviations of both samples, which stop after 50 successes
        assert 0.0025 < found.pvalue_pure < 0.1
        assert min(abs(found.pvalue_pure / p - 1) for p in partners) < 4 * math.sqrt(
            1 / 50 + 1 / (4000 * min(partners))
        )
        weak = np.where(np.arange(40) < 16, columns["a"], columns["b"])
        found = judge({"a": columns["a"], "b": weak}, z, 3999).pair("a", "b")
        expected = sampled_pvalue(naive.center(gram["a"]), naive.gram(weak, "gaussian", 0.3), 4000)
        assert 0.0025 < expected < 0.1
        assert abs(found.dependence / expected - 1) < 4 * math.sqrt(1 / 50 + 1 / (4000 * expected))

    def test_the_limit_of_a_permuted_partner_is_that_of_permutations(self, monkeypatch):
        for seed in range(4):
            columns, z = trial(seed, 1500, lambda a, b: a + 0.3 * (a - 0.5) * (b - 0.5))
            limit = judge(columns, z).pair("a", "b")
            monkeypatch.setattr(interactions, "FEWEST_TERMS", math.inf)
            drawn = judge(columns, z, 1999).pair("a", "b")
            monkeypatch.undo()
            for p, q in zip(drawn[3:], limit[3:], strict=True):
                # 4 standard deviations of a sample that stops after 50 successes, and what n = 1500 lacks to the limit
                assert abs(p - q) < 4 * q / math.sqrt(min(50, 2000 * q)) + 0.015

    @pytest.mark.parametrize("n", [100, 300])
    def test_a_rare_value_that_does_nothing(self, n):
        # 300 studies in which a alone decides, and b is true in 5% of the trials; 3.5 standard deviations of the
        # binomial. With signs alone 43% were rejected at 100 trials.
        rejected = np.zeros(2)
        for seed in range(300):
            columns, z = trial(seed, n, lambda a, b: 5 * a)
            columns["b"] = np.where(columns["b"] > 0.95, 0.975, 0.475)
            rejected += np.array([0.05, 0.1]) >= judge(columns, z, 199).pair("a", "b").pvalue_pure
        assert (rejected / 300 < [0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 300), 0.1 + 3.5 * math.sqrt(0.09 / 300)]).all()

    def test_many_trials_of_which_few_have_both_the_goal_and_the_rare_value(self):
        # 150 studies as above, n beyond permutations of every pair: 7 good trials have the rare value, by chance
        rejected = 0
        for seed in range(150):
            columns, _ = trial(seed, 2400, lambda a, b: a)
            columns["b"] = np.where(columns["b"] > 0.985, 0.9925, 0.4925)
            y = columns["a"] + 0.1 * np.random.default_rng(seed + 1000).random(2400)
            rejected += judge(columns, y <= np.quantile(y, 0.2), 199).pair("a", "b").pvalue_pure <= 0.05
        assert rejected / 150 < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 150)

    def test_independent_partners_are_not_refused(self):
        # 300 studies: 1% of them are refused by chance; 3.5 standard deviations
        refused = sum(
            math.isnan(judge(*trial(seed, 60, lambda a, b: a)).pair("a", "b").pvalue_pure) for seed in range(300)
        )
        assert refused / 300 < 0.01 + 3.5 * math.sqrt(0.01 * 0.99 / 300)

    @pytest.mark.parametrize("correlation", [0.6, 0.9, 1.0])
    @pytest.mark.parametrize("most", [0, 2000])
    def test_partners_that_move_together_do_not_interact(self, monkeypatch, most, correlation):
        monkeypatch.setattr(interactions, "MOST_PERMUTED", most)
        for seed in range(20):
            first, second = np.random.default_rng(seed).standard_normal((2, 300))
            second = correlation * first + math.sqrt(1 - correlation**2) * second
            columns = {"a": norm.cdf(first), "b": norm.cdf(second)}
            found = judge(columns, columns["a"] <= np.quantile(columns["a"], 0.1)).pair("a", "b")
            assert math.isnan(found.pvalue_pure)
            assert found.dependence <= 0.01

    def test_a_constant_is_no_partner(self):
        columns, z = trial(0, 50, lambda a, b: a)
        psi = carried_features(columns["a"], np.empty(0), 0.3)
        known = {"a": psi, "b": np.zeros_like(psi)}
        found = PairJudge(known.__getitem__, z, 0.3, 99, 0).pair("a", "b")
        assert found[1:] == (0.0, 1.0, 1.0, 1.0)
