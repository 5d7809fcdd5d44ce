"""Bounds and power: effects built by hand, so that their size is known; how often a bound holds, by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from hsicfast.evidence import bounds
from hsicfast.evidence.bounds import MOST_CHOICES, found_share, lower_half, patterns, upper_bounds

STUDIES, N, P = 300, 300, 1 / 3


def sign(condition):
    return np.where(condition, 1.0, -1.0)


def part_of(u, count):
    return np.floor(count * u)


def only(u, count, which):
    """One part against the others, with mean 0 and variance 1."""
    share = 1 / count
    return (np.where(part_of(u, count) == which, 1.0, 0.0) - share) / math.sqrt(share * (1 - share))


def judged(seed, contrast, d, kinds="fff", n=N, chance=lambda u: P):
    """Bounds of the first of independent hyperparameters; each trial is good with a chance of (1 + d contrast)."""
    random = np.random.default_rng(seed)
    u = [random.random(n) if kind == "f" else (random.integers(0, int(kind), n) + 0.5) / int(kind) for kind in kinds]
    z = random.random(n) < chance(u) * (1 + d * contrast(u))
    parts = [patterns(values, ordered=kind == "f") for values, kind in zip(u, kinds, strict=True)]
    return upper_bounds(parts, [0], (), z, 0.95, 0)[0]


def strong(u):
    """The second hyperparameter alone makes a trial nine times as likely to be good."""
    return np.where(u[1] < 0.5, 0.6, 1 / 15)


EFFECTS = {
    "half": ("alone", lambda u: sign(u[0] < 0.5), {}),
    "eighths in turn": ("alone", lambda u: sign(part_of(u[0], 8) % 2), {}),
    "one of three choices": ("alone", lambda u: only(u[0], 3, 2), {"kinds": "3f"}),
    "halves of two": ("with_one", lambda u: sign((u[0] < 0.5) == (u[1] < 0.5)), {}),
    "quarters of two": ("with_one", lambda u: sign((part_of(u[0], 4) + part_of(u[1], 4)) % 2), {}),
    "a choice and quarters": ("with_one", lambda u: only(u[0], 3, 0) * sign(part_of(u[1], 4) % 2), {"kinds": "3f"}),
    "halves of three": ("with_two", lambda u: sign(sum(part_of(v, 2) for v in u) % 2), {}),
    "two beside a strong one": ("with_one", lambda u: sign((u[0] < 0.5) == (u[2] < 0.5)), {"chance": strong}),
    "three with a strong one": ("with_two", lambda u: sign(sum(part_of(v, 2) for v in u) % 2), {"chance": strong}),
}


class TestBounds:
    @pytest.mark.parametrize("name", EFFECTS)
    def test_a_bound_holds_in_95_of_100(self, name):
        which, contrast, options = EFFECTS[name]
        found = [getattr(judged(seed, contrast, 0.4, **options), which) for seed in range(STUDIES)]
        # three standard deviations of a binomial
        assert np.mean(np.array(found) < 0.4) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STUDIES)
        assert np.median(found) < 0.65

    @pytest.mark.parametrize(
        ("which", "contrast"),
        [("alone", lambda u: only(u[0], 8, 2)), ("with_one", lambda u: only(u[0], 4, 1) * only(u[1], 4, 2))],
    )
    def test_a_bound_on_an_effect_in_one_part_holds_in_90_of_100(self, which, contrast):
        found = [getattr(judged(seed, contrast, 0.33), which) for seed in range(STUDIES)]
        assert np.mean(np.array(found) < 0.33) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / STUDIES)

    @pytest.mark.parametrize("chance", [lambda u: P, strong])
    def test_half_of_those_without_effect_are_bounded_by_70_of_100(self, chance):
        # 12 hyperparameters and 300 trials: bounds on an effect of 0.4, which is (1 + 0.4) / 2 in one half
        small = [max(judged(seed, lambda u: 0.0, 0.0, "f" * 12, chance=chance)) <= 0.4 for seed in range(STUDIES)]
        assert np.mean(small) >= 0.5 - 3 * math.sqrt(0.25 / STUDIES)

    def test_pearsons_chi_square_with_few_good_trials_and_with_many(self):
        random = np.random.default_rng(3)
        u, z = random.random(500), random.random(500) < 0.2
        table = np.array([np.bincount((8 * u).astype(int)[rows], minlength=8) for rows in (z, ~z)])
        square = stats.chi2_contingency(table, correction=False).statistic
        p = z.mean()
        for met in (z, ~z):
            bound = upper_bounds([patterns(u, ordered=True)], [0], (), met, 0.95, 0)[0]
            # The variance p (1 - p) loses a degree of freedom, and may be a little larger along the effect.
            shift = bound.alone**2 * 499 * p / (1 - p)
            assert 0.04 < stats.ncx2.cdf(square * 499 / 500, 7, shift) < 0.055
            assert bound[1:] == (0.0, 0.0)

    def test_an_interaction_with_one_that_half_of_the_trials_have(self):
        random = np.random.default_rng(0)
        a, b = random.random((2, 400))
        b[:200] = np.nan
        z = np.where(np.isnan(b), random.random(400) < 0.5, (a < 0.5) == (b < 0.5))
        one, two = upper_bounds([patterns(u, ordered=True) for u in (a, b)], [0], (), z, 0.95, 0)[0][:2]
        # It decides half of the trials, and so explains half.
        assert one < 0.6 < math.sqrt(0.5) < two

    def test_a_child_that_decides_counts_as_an_effect_of_its_parent(self):
        random = np.random.default_rng(0)
        parent, child = (random.integers(0, 2, 400) + 0.5) / 2, random.random(400)
        z = np.where(parent < 0.5, random.random(400) < 0.5, child < 0.5)
        child[parent < 0.5] = np.nan
        parts = [patterns(parent, ordered=False), patterns(child, ordered=True)]
        assert upper_bounds(parts, [0], {(0, 1)}, z, 0.95, 0)[0].with_one > math.sqrt(0.5)
        assert upper_bounds(parts, [0], (), z, 0.95, 0)[0].with_one == 0

    def test_too_many_products_are_summed_over_some_trials(self, monkeypatch):
        def bound(seed):
            return judged(seed, EFFECTS["halves of three"][1], 0.4, n=1200).with_two

        whole = [bound(seed) for seed in range(60)]
        monkeypatch.setattr(bounds, "MOST_PRODUCTS", 9 * 300)
        some = [bound(seed) for seed in range(60)]
        assert np.median(whole) < np.median(some)
        assert np.mean(np.array(some) < 0.4) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)

    def test_one_value_has_no_effect(self):
        z = np.arange(40) < 20
        parts = [patterns(np.full(40, 0.5), ordered=True), patterns(np.full(40, np.nan), ordered=False)]
        assert upper_bounds(parts, [0], (), z, 0.95, 0) == [(0.0, 0.0, 0.0)]


class TestPatterns:
    def test_few_numbers_keep_their_values(self):
        found = patterns((np.arange(6) + 0.5) / 6, ordered=True)
        assert found.alone.tolist() == [0, 1, 2, 3, 4, 5]
        assert found.paired.tolist() == [0, 1, 1, 2, 3, 3]
        assert found.splits[:, 0].tolist() == [True] * 3 + [False] * 3

    def test_choices_keep_their_values_and_two_have_one_split(self):
        found = patterns(np.array([0.9, 0.1, 0.5, np.nan]), ordered=False)
        assert found.alone.tolist() == found.paired.tolist() == [2, 0, 1, -1]
        assert found.splits.tolist() == [[False, False, True], [True, False, False], [False, True, False], [False] * 3]
        assert patterns(np.array([0.2, 0.7]), ordered=False).splits.tolist() == [[True], [False]]

    def test_the_rarest_of_many_choices_count_as_one(self):
        often, rare = np.repeat(np.arange(MOST_CHOICES - 1), 2), np.arange(MOST_CHOICES - 1, 40)
        found = patterns(np.concatenate((rare, often)) / 40, ordered=False)
        assert set(found.alone[: len(rare)]) == {MOST_CHOICES - 1}
        assert len(set(found.alone[len(rare) :])) == MOST_CHOICES - 1

    def test_a_continuum_is_halved_in_the_middle_and_few_values_where_half_of_them_lie(self):
        u = np.linspace(0, 1, 50) ** 2
        assert (lower_half(u) == (u < 0.5)).all()
        assert lower_half(np.array([0.475] * 19 + [0.975])).sum() == 19


class TestPower:
    @pytest.mark.parametrize(("inside", "n", "good", "critical"), [(150, 300, 30, 21), (60, 300, 100, 29)])
    def test_it_is_that_of_fishers_noncentral_hypergeometric(self, inside, n, good, critical):
        part = np.arange(n) < inside
        share = found_share(part, good, lambda rows: (rows < inside).sum(axis=1) >= critical, 0.9, 0)
        chances = share * good / inside, (1 - share) * good / (n - inside)
        odds = chances[0] / (1 - chances[0]) / (chances[1] / (1 - chances[1]))
        power = stats.nchypergeom_fisher.sf(critical - 1, n, inside, good, odds)
        # the power rises by 0.02 at most from one share that is tried to the next, and draws have a grid of quantiles
        assert 0.9 - 0.01 <= power <= 0.9 + 0.03

    def test_draws_are_of_the_trials_of_either_part(self):
        seen = []
        part = np.arange(100) % 4 == 0

        def rejects(rows):
            seen.append(rows)
            return part[rows].sum(axis=1) >= 10

        found_share(part, 20, rejects, 0.9, 0)
        for rows in seen:
            assert all(len(set(row)) == 20 for row in rows.tolist())
        inside = part[np.concatenate(seen)]
        assert 0.25 < inside.mean() < 0.8

    def test_what_is_never_found(self):
        assert math.isinf(found_share(np.arange(20) < 10, 3, lambda rows: np.zeros(len(rows), dtype=bool), 0.9, 0))

    def test_many_trials_are_drawn_with_replacement(self):
        part = np.arange(100_000) < 50_000
        share = found_share(part, 50, lambda rows: (rows < 50_000).sum(axis=1) >= 33, 0.9, 0)
        assert abs(stats.binom.sf(32, 50, share) - 0.9) < 0.03
