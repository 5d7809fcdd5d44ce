"""Who ended among the best: few trials, and many, where a sample says about where the edge lies."""

import naive
import numpy as np
import pytest

from hsicfast import InputError
from hsicfast.trials import goal

OBJECTIVES = {
    "smooth": lambda rng, n: rng.standard_normal(n),
    "sorted": lambda rng, n: np.sort(rng.random(n)),  # a sample at even steps knows nothing of chance
    "waves": lambda rng, n: np.arange(n) % 4.0,  # the sample meets one value alone
    "levels": lambda rng, n: rng.integers(0, 5, n) / 4,
    "failed": lambda rng, n: np.where(rng.random(n) < 0.4, np.nan, rng.random(n)),
    "endless": lambda rng, n: np.where(rng.random(n) < 0.3, rng.choice([np.inf, -np.inf, np.nan], n), rng.random(n)),
    "all failed": lambda rng, n: np.full(n, np.nan),
}


def met_by_sorting(y, share, minimize):
    loss = np.where(np.isfinite(y), y if minimize else -y, np.inf)
    finite = np.sort(loss[np.isfinite(loss)])
    if len(finite) == 0:
        return np.zeros(len(y), dtype=bool)
    return loss <= finite[min(max(round(share * len(y)), 1), len(finite)) - 1]


@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("law", OBJECTIVES)
@pytest.mark.parametrize("many", [10**9, 100])
def test_best_fraction(monkeypatch, many, law, minimize):
    monkeypatch.setattr(goal, "SAMPLED_FROM", many)
    monkeypatch.setattr(goal, "EDGE_SAMPLE", 100)
    y = OBJECTIVES[law](np.random.default_rng(0), 400)
    for share in (0.001, 0.1, 0.5, 0.999):
        found = goal.best_fraction(goal.losses_of(y, minimize), share)
        assert np.array_equal(found.met, met_by_sorting(y, share, minimize))
        worst = goal.losses_of(y, minimize)[found.met].max(initial=-np.inf)
        assert found.threshold == worst if found.met.any() else np.isnan(found.threshold)


def test_a_sample_finds_the_edge_of_smooth_objectives(monkeypatch):
    monkeypatch.setattr(goal, "EDGE_SAMPLE", 100)
    y = np.random.default_rng(1).standard_normal(400)
    assert goal._smallest(y, 40) == np.sort(y)[40]


class TestAuto:
    def test_the_best_tenth_but_15_trials_and_at_most_a_third(self):
        for n in range(1, 2000):
            assert n * goal.auto_share(n) == pytest.approx(min(max(0.1 * n, 15), n / 3))
        assert goal.auto_share(0) == goal.auto_share(1) == goal.auto_share(45) == 1 / 3
        assert goal.auto_share(46) == 15 / 46
        assert goal.auto_share(150) == goal.auto_share(10**9) == 0.1

    def test_as_people_read_it(self):
        assert [goal.stated("auto", n) for n in (1000, 150, 149, 60, 45, 30, 4, 1)] == [0.1, 0.1, 15, 15, 15, 10, 1, 1]
        for given in (0.2, 20, goal.Threshold(0.5)):
            assert goal.stated(given, 60) is given
        assert goal.share_or_threshold("auto", 60) == "auto"
        with pytest.raises(InputError, match=r"goal must be .*auto.* but got 'best'"):
            goal.share_or_threshold("best", 60)

    @pytest.mark.parametrize("law", OBJECTIVES)
    @pytest.mark.parametrize("n", [5, 30, 60, 400])
    def test_without_ties_it_is_the_best_fraction_and_with_them_the_nearer_one(self, n, law):
        for seed in range(10):
            y = OBJECTIVES[law](np.random.default_rng(seed), n)
            found, wanted = goal.goal_of(y, "auto"), n * goal.auto_share(n)
            with_ties = met_by_sorting(y, goal.auto_share(n), True)
            assert not found.met[~np.isfinite(y)].any()
            if not with_ties.any():
                assert not found.met.any()
                assert np.isnan(found.threshold)
                continue
            worst = y[with_ties].max()
            without = with_ties & (y < worst)
            out = without.any() and wanted - without.sum() <= with_ties.sum() - wanted
            out &= with_ties.sum() > wanted + 1  # a whole number of trials cannot come nearer
            assert np.array_equal(found.met, without if out else with_ties)
            assert found.threshold == y[found.met].max()

    @pytest.mark.parametrize(
        ("zeros", "ones", "met"),
        [
            (5, 10, 15),
            (14, 40, 14),
            (0, 40, 40),
            (4, 12, 16),
            (1, 56, 1),
            (1, 28, 1),
            (3, 25, 3),
            (3, 23, 26),
            (60, 0, 60),
        ],
    )
    def test_ties_at_the_edge_of_15_of_60(self, zeros, ones, met):
        y = np.concatenate((np.zeros(zeros), np.ones(ones), np.full(60 - zeros - ones, 2.0)))
        y = np.random.default_rng(0).permutation(y)
        assert goal.goal_of(y, "auto").met.sum() == met
        assert goal.goal_of(y, 0.25).met.sum() == zeros + (ones if zeros < 15 else 0)


class TestDomination:
    @pytest.mark.parametrize("pairs", [1, 1000, 10**6])
    @pytest.mark.parametrize("q", [1, 2, 3])
    def test_against_the_definition(self, monkeypatch, q, pairs):
        monkeypatch.setattr(goal, "PAIRS", pairs)
        rng = np.random.default_rng(q)
        for n in (1, 2, 60):
            assert goal.dominated_by(losses := rng.random((n, q))).tolist() == naive.dominated_by(losses)
            # Many ties in one loss and in all of them, and both zeros.
            assert goal.dominated_by(losses := rng.integers(-1, 3, (n, q)) * 1.0).tolist() == naive.dominated_by(losses)
            assert goal.dominated_by(losses := rng.choice([-0.0, 0.0, 1.0], (n, q))).tolist() == naive.dominated_by(
                losses
            )

    def test_no_trials(self):
        assert goal.dominated_by(np.empty((0, 2))).tolist() == []

    @pytest.mark.parametrize(
        ("losses", "message"),
        [
            ([1.0, 2.0], r"losses must have shape \(n, q\), but got \(2,\); give a column for each objective"),
            (np.empty((3, 0)), r"but got \(3, 0\)"),
            ([[1.0, np.nan], [np.inf, 0.0]], "losses must be finite, but 2 are not; leave their trials out"),
        ],
    )
    def test_refused(self, losses, message):
        with pytest.raises(InputError, match=message):
            goal.dominated_by(losses)
