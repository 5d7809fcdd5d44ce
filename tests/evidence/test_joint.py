"""The joint test: its statistic from the definition, its p-values from all orders of few trials, its level."""

import math
from functools import cache
from itertools import combinations, permutations, product

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from hsicfast import Bool, Float, Int, SearchSpace, TrialTable, analyse
from hsicfast.evidence import joint
from hsicfast.evidence.joint import (
    ALL_SHARES,
    BANDWIDTHS,
    GOOD_SHARES,
    Detector,
    Group,
    features,
    importances,
    joint_test,
    resampled_importances,
)
from hsicfast.evidence.stepdown import critical_statistic
from hsicfast.trials.goal import goal_of

# The probability of a binomial beyond the bounds on a level.
BEYOND = 1e-4
SHARES_OF_8 = [0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05]


def points(u):
    u = np.asarray(u, dtype=np.float64)
    return u, np.zeros(len(u))


def of_levels(shares, level):
    """The middles and widths of the intervals of these levels."""
    edges = np.concatenate(([0.0], np.cumsum(shares)))
    return ((edges[1:] + edges[:-1]) / 2)[level], np.diff(edges)[level]


def draw(kind, n, random):
    shares = {"three": [1 / 3] * 3, "eight": SHARES_OF_8, "rare": [0.95, 0.05]}
    return (
        points(random.random(n))
        if kind == "float"
        else of_levels(shares[kind], random.choice(len(shares[kind]), n, p=shares[kind]))
    )


def everywhere(n):
    return np.ones(n, dtype=bool)


def goals_of(objective, shares=GOOD_SHARES):
    """Goals of different sizes which at least three trials met and three missed."""
    found = {}
    for share in shares:
        met = goal_of(objective, share).met
        if 3 <= met.sum() <= len(met) - 3:
            found[int(met.sum())] = met
    return np.array(list(found.values()))


def study(seed, n, decides, kinds=("float", "three", "eight", "rare"), shares=GOOD_SHARES):
    random = np.random.default_rng(seed)
    columns = [draw(kind, n, random) for kind in kinds]
    return [Group(everywhere(n), goals_of(decides([u for u, _ in columns], random), shares), columns)]


def first_decides(strength):
    return lambda u, random: strength * (u[0] - 0.3) ** 2 + random.random(len(u[0]))


# The definitions, with sums that are written out.


def naive_features(u, width):
    psi = np.zeros((len(u), 12))
    for a in range(1, 13):
        cosine = np.sqrt(2) * np.cos(np.pi * a * u) * np.sinc(a * width / 2)
        psi[:, a - 1] = cosine - cosine.mean()
    return psi


def naive_weights(h):
    return np.array([np.exp(-((np.pi * a * h) ** 2) / 2) for a in range(1, 13)])


def naive_kernel(u, width, h):
    psi = naive_features(u, width)
    return sum(weight * np.outer(column, column) for weight, column in zip(naive_weights(h), psi.T, strict=True))


def naive_statistics(u, width, met):
    """Sums of the kernel over pairs of trials that met the goal (G, H)."""
    return np.array([[naive_kernel(u, width, h)[np.ix_(own, own)].sum() for h in BANDWIDTHS] for own in met])


def naive_joint(u, width, met, reached=None):
    """``T`` from the exact mean over permutations, three moments, and the cube root of Wilson and Hilferty."""
    m = len(u)
    reached = naive_statistics(u, width, met) if reached is None else reached
    inverse = []
    for place, h in enumerate(BANDWIDTHS):
        kernel = naive_kernel(u, width, h) / m
        first, second, third = (np.trace(np.linalg.matrix_power(kernel, power)) for power in (1, 2, 3))
        for goal, own in enumerate(met):
            size = own.sum()
            if second <= 1e-30:
                inverse.append(2.0)
                continue
            mean_over_orders = size * (m - size) / (m - 1)
            freedom = second**3 / third**2
            off = (reached[goal, place] / mean_over_orders - first) / np.sqrt(2 * second)
            chi_square = max(freedom + off * np.sqrt(2 * freedom), 0.0)
            mean, variance = 1 - 2 / (9 * freedom), 2 / (9 * freedom)
            inverse.append(1 / stats.norm.sf((np.cbrt(chi_square / freedom) - mean) / np.sqrt(variance)))
    return np.log(np.mean(inverse))


def columns_of_each_kind(n, seed=0):
    random = np.random.default_rng(seed)
    return [draw(kind, n, random) for kind in ("float", "three", "eight", "rare")]


class TestStatistic:
    def test_features(self):
        for u, width in columns_of_each_kind(40):
            np.testing.assert_allclose(features(u, width), naive_features(u, width), atol=1e-12)
        # The mean of a cosine over an interval, by a rule of many points
        u, width = of_levels(SHARES_OF_8, np.arange(8))
        inside = u[:, None] + width[:, None] * ((np.arange(2000) + 0.5) / 2000 - 0.5)
        for a in (1, 5, 12):
            means = np.sqrt(2) * np.cos(np.pi * a * inside).mean(axis=1)
            np.testing.assert_allclose(features(u, width)[:, a - 1], means - means.mean(), atol=1e-5)

    def test_statistic_mean_and_score(self):
        random = np.random.default_rng(1)
        met = goals_of(random.random(60))
        columns = columns_of_each_kind(60)
        sample = joint._Sample(Group(everywhere(60), met[::-1], columns))
        reached = sample.reached
        score = sample.harmonic(reached[None])[0]
        for place, (u, width) in enumerate(columns):
            np.testing.assert_allclose(reached[place], naive_statistics(u, width, met), rtol=1e-9, atol=1e-12)
            assert score[place] == pytest.approx(naive_joint(u, width, met), rel=1e-9)

    def test_the_mean_is_that_of_all_goals_of_one_size(self):
        u, width = of_levels([0.2, 0.3, 0.5], np.array([0, 1, 1, 2, 2, 2, 0]))
        met = np.array([[True, True, False, False, False, False, True]])
        sample = joint._Sample(Group(everywhere(7), met, [(u, width), points(u**2)]))
        for place, (values, own) in enumerate([(u, width), points(u**2)]):
            every = np.array([np.isin(np.arange(7), chosen) for chosen in combinations(range(7), 3)])
            mean = naive_statistics(values, own, every).mean(axis=0)
            np.testing.assert_allclose(sample.moments[0][place, 0] * sample.pairs[0], mean, rtol=1e-9)

    def test_importances(self):
        columns, exists = columns_of_each_kind(40), np.arange(50) < 40
        met = goals_of(np.random.default_rng(4).random(40))
        found = importances([Group(exists, met, columns)])
        for place, (u, width) in enumerate(columns):
            excess = []
            for kernel, own in product([naive_kernel(u, width, h) for h in BANDWIDTHS], met):
                size = own.sum()
                mean = size * (40 - size) / 39 * np.trace(kernel) / 40
                hsic_z = (size * (40 - size) / 40**2) ** 2
                excess.append((kernel[np.ix_(own, own)].sum() - mean) / 40**2 / np.sqrt((kernel**2).mean() * hsic_z))
            assert found[place] == pytest.approx(0.8 * np.mean(excess), rel=1e-9)

    def test_resampled_importances(self):
        random = np.random.default_rng(5)
        columns, objective = [points(random.random(60)), points(random.random(60))], random.random(60)
        group = Group(everywhere(60), goals_of(objective), columns)
        # Each trial once
        once = resampled_importances(group, [(own - own.mean())[None] for own in group.met * 1.0])
        np.testing.assert_allclose(once[0], importances([group]), rtol=1e-9)


class TestPermutations:
    # Three hyperparameters of seven trials, and one of those five that have it: all 5,040 orders of the objective
    U = (0.05, 0.9, 0.3, 0.62, 0.11, 0.48, 0.77)
    LEVELS = (0, 1, 1, 0, 1, 2, 2)
    EXISTS = (True, True, False, True, True, True, False)

    @classmethod
    def groups(cls, order):
        """`order`: the trials from the best to the worst."""
        rank = np.argsort(order)
        exists = np.array(cls.EXISTS)
        child = np.argsort(np.argsort(rank[exists]))
        columns = [points(cls.U), of_levels([0.3, 0.3, 0.4], np.array(cls.LEVELS)), points(np.full(7, 0.5))]
        return [
            Group(everywhere(7), np.array([rank < 2, rank < 4]), columns),
            Group(exists, np.array([child < 1, child < 3]), [points(np.array(cls.U)[exists] ** 2)]),
        ]

    @classmethod
    def statistics(cls, order):
        return [naive_joint(*column, group.met) for group in cls.groups(order) for column in group.columns]

    @classmethod
    @cache
    def of_all_orders(cls):
        """Statistics of all orders; equal goals are computed once."""
        known, found = {}, []
        for order in permutations(range(7)):
            child = [trial for trial in order if cls.EXISTS[trial]]
            whole, own = (frozenset(order[:2]), frozenset(order[2:4])), (child[0], frozenset(child[1:3]))
            if whole not in known or own not in known:
                statistics = cls.statistics(order)
                known[whole], known[own] = statistics[:3], statistics[3:]
            found.append([*known[whole], *known[own]])
        return np.array(found)

    @pytest.mark.parametrize("order", [(0, 4, 2, 5, 3, 6, 1), (1, 3, 6, 2, 0, 5, 4), (3, 0, 5, 2, 1, 4, 6)])
    def test_pvalues_are_those_of_all_orders(self, order):
        all_orders = self.of_all_orders()
        reached = np.array(self.statistics(order))
        single = (all_orders >= reached - 1e-9).mean(axis=0)
        # Westfall and Young: the largest among those that are left, made monotone
        adjusted, least = np.empty(4), 0.0
        left = sorted(range(4), key=lambda place: -reached[place])
        while left:
            largest = all_orders[:, left].max(axis=1)
            least = max(least, (largest >= reached[left[0]] - 1e-9).mean())
            adjusted[left.pop(0)] = least
        found = joint_test(self.groups(order), 20_000, seed=3)
        for exact, drawn in ((single, found.pvalue), (adjusted, found.adjusted)):
            np.testing.assert_array_less(np.abs(drawn - exact), 4.5 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
        assert found.pvalue[2] == found.adjusted[2] == 1.0  # a constant

    def test_six_trials_and_one_goal(self):
        u, met = points([0.1, 0.2, 0.35, 0.6, 0.8, 0.95]), np.array([[True, True, True, False, False, False]])
        every = [np.isin(np.arange(6), chosen)[None] for chosen in combinations(range(6), 3)]
        exact = np.mean([naive_joint(*u, own) >= naive_joint(*u, met) - 1e-9 for own in every])
        assert exact == 0.1  # those three, or the other three
        found = joint_test([Group(everywhere(6), met, [u])], 20_000, seed=0)
        assert abs(found.pvalue[0] - exact) < 4.5 * math.sqrt(exact * (1 - exact) / 20_000)

    def test_a_conditional_group_has_the_pvalue_that_it_has_alone(self):
        random = np.random.default_rng(8)
        exists, objective = random.random(200) < 0.4, random.random(200)
        child = random.random(exists.sum())
        objective[exists] += 0.8 * child
        beside = [
            Group(everywhere(200), goals_of(objective), [points(random.random(200))]),
            Group(exists, goals_of(objective[exists]), [points(child), points(random.random(len(child)))]),
        ]
        alone = [beside[1]._replace(exists=everywhere(len(child)))]
        first, second = joint_test(beside, 5000, 0).pvalue[1:], joint_test(alone, 5000, 1).pvalue
        assert first[0] < 0.01
        np.testing.assert_array_less(np.abs(first - second), 4.5 * np.sqrt(2 * second * (1 - second) / 5000) + 1e-3)

    def test_constants(self):
        groups = study(0, 60, first_decides(3.0), ("float",))
        constant = points(np.full(60, 0.7))
        beside = [groups[0]._replace(columns=[*groups[0].columns, constant, (constant[0], np.full(60, 0.2))])]
        found = joint_test(beside, 199, 0)
        assert found.pvalue[1:].tolist() == found.adjusted[1:].tolist() == [1.0, 1.0]
        assert found.adjusted[0] == found.pvalue[0] <= 0.005
        assert importances(beside)[1:].tolist() == [0.0, 0.0]

    def test_the_same_seed(self):
        groups = study(0, 60, first_decides(1.0))
        first, again, other = (joint_test(groups, 199, seed) for seed in (5, 5, 6))
        for one, same in zip(first, again, strict=True):
            assert one.tolist() == same.tolist()
        assert first.largest.tolist() != other.largest.tolist()


class TestLevel:
    STUDIES = 400

    @pytest.mark.parametrize("shares", [GOOD_SHARES, ALL_SHARES])
    @pytest.mark.parametrize("n", [30, 100])
    def test_noise_with_ties_and_failures(self, n, shares):
        def noise(u, random):
            return np.where(random.random(n) < 0.3, np.nan, np.round(random.random(n), 1 if n == 30 else 2))

        found = [joint_test(study(seed, n, noise, shares=shares), 199, seed) for seed in range(self.STUDIES)]
        single = np.array([own.pvalue for own in found])
        family = np.array([own.adjusted.min() for own in found])
        for alpha in (0.01, 0.05, 0.1):
            most = stats.binom.isf(BEYOND, self.STUDIES, alpha)
            assert ((single <= alpha).sum(axis=0) <= most).all()
            assert (family <= alpha).sum() <= most
            # The p-value of a continuous hyperparameter is as likely to be small as it says.
            assert (single[:, 0] <= alpha).sum() >= stats.binom.ppf(BEYOND, self.STUDIES, alpha)

    def test_of_those_that_do_nothing_beside_one_that_decides(self):
        found = np.array(
            [joint_test(study(seed, 60, first_decides(8.0)), 199, seed).adjusted for seed in range(self.STUDIES)]
        )
        assert (found[:, 0] <= 0.05).mean() > 0.9
        assert (found[:, 1:].min(axis=1) <= 0.05).sum() <= stats.binom.isf(BEYOND, self.STUDIES, 0.05)


class TestAdjusted:
    def test_never_below_the_single_one_and_monotone_in_the_statistic(self):
        for seed in range(20):
            group = study(seed, 60, first_decides(1.0))[0]
            found = joint_test([group], 199, seed)
            assert (found.adjusted >= found.pvalue).all()
            statistic = np.array([naive_joint(*column, group.met) for column in group.columns])
            assert (np.diff(found.adjusted[np.argsort(-statistic)]) >= 0).all()

    def test_of_60_the_one_that_decides_is_found(self):
        groups = study(0, 500, first_decides(2.0), ("float",) * 60)
        found = joint_test(groups, 1000, 0)
        assert found.adjusted[0] <= 0.005
        assert (found.adjusted[1:] > 0.05).all()
        assert np.argmax(importances(groups)) == 0


class TestTail:
    def test_falls_with_the_effect(self):
        u = (np.arange(200) + 0.5) / 200
        noise = np.random.default_rng(0).random(200)
        found = [
            joint_test([Group(everywhere(200), goals_of(strength * u + noise), [points(u)])], 199, 0).pvalue[0]
            for strength in (0.5, 1.0, 2.0, 4.0)
        ]
        assert found[0] < 1 / 200
        assert (np.diff(found) < 0).all()
        assert found[-1] < 1e-6

    @pytest.mark.parametrize(("n", "strength"), [(30, 2.0), (100, 1.2), (400, 0.6)])
    def test_is_that_of_many_more_permutations_or_above_it(self, n, strength):
        # 199 permutations reach 0.005, and their tenth largest, from which the tail goes on, is known to about a third.
        # The true tail of few trials falls faster than in proportion, so that the p-value errs upwards.
        ratios = []
        for seed in range(12):
            groups = study(seed, n, first_decides(strength), ("float",))
            many = joint_test(groups, 20_000, seed).pvalue[0]
            if 2e-4 < many < 2e-3:
                ratios += [joint_test(groups, 199, own).pvalue[0] / many for own in range(20)]
        assert len(ratios) >= 40
        assert 1 / 1.5 < np.exp(np.mean(np.log(ratios))) < 5

    @pytest.mark.parametrize("n", [30, 100])
    def test_its_level(self, n):
        # 0.001 is a fifth of what 199 permutations reach
        found = [
            joint_test(study(seed, n, lambda u, random: random.random(n), ("float", "three")), 199, seed).pvalue
            for seed in range(1000)
        ]
        assert ((np.array(found) <= 0.001).sum(axis=0) <= stats.binom.isf(BEYOND, 1000, 0.001)).all()


class TestLimit:
    @pytest.mark.parametrize("shares", [GOOD_SHARES, ALL_SHARES])
    def test_is_that_of_permutations(self, monkeypatch, shares):
        found_small = 0
        for seed in range(6):
            groups = study(seed, 1500, first_decides(0.25), ("float", "three"), shares)
            exists = groups[0].columns[0][0] < 0.6
            own = np.random.default_rng(seed).random(1500)
            own += np.where(exists, 0.1 * groups[0].columns[0][0], 0.0)
            groups.append(Group(exists, goals_of(own[exists], shares), [points(groups[0].columns[0][0][exists] / 0.6)]))
            drawn = joint_test(groups, 4000, seed)
            with monkeypatch.context() as patch:
                patch.setattr(joint, "MOST_PERMUTED", 1000)
                limit = joint_test(groups, 4000, seed + 100)
            assert limit.largest.tolist() != drawn.largest.tolist()
            for p, q in ((drawn.pvalue, limit.pvalue), (drawn.adjusted, limit.adjusted)):
                # 4.5 standard deviations of the difference, and what n = 1500 lacks to the limit
                np.testing.assert_array_less(np.abs(p - q), 4.5 * np.sqrt(2 * q * (1 - q) / 4000) + 0.01)
            found_small += int((drawn.pvalue < 0.1).sum())
        assert found_small >= 3

    def test_rare_values_are_permuted_at_any_number_of_trials(self, monkeypatch):
        groups = study(0, 300, first_decides(0.5))
        permuted = joint_test(groups, 199, 0)
        monkeypatch.setattr(joint, "MOST_PERMUTED", 100)
        assert joint_test(groups, 199, 0).largest.tolist() == permuted.largest.tolist()


class TestCritical:
    @pytest.mark.parametrize("n_permutations", [19, 99, 199, 1000])
    @pytest.mark.parametrize("alpha", [0.05, 0.1])
    def test_from_it_on_the_adjusted_pvalue_is_at_most_alpha(self, n_permutations, alpha):
        for seed in range(30):
            groups = study(seed, 40, first_decides(1.5))
            found = joint_test(groups, n_permutations, seed)
            statistic = max(naive_joint(*column, groups[0].met) for column in groups[0].columns)
            assert (statistic >= critical_statistic(found.largest, alpha)) == (found.adjusted.min() <= alpha)

    def test_too_few_permutations_find_nothing(self):
        groups = study(0, 40, first_decides(9.0))
        found = joint_test(groups, 9, 0)
        assert found.adjusted.min() == 0.1
        assert critical_statistic(found.largest, 0.05) == math.inf

    def test_a_detector_finds_no_more_than_the_test(self):
        both = np.zeros(2, dtype=int)
        for seed in range(60):
            group = study(seed, 60, first_decides(2.0))[0]
            found = joint_test([group], 199, seed)
            critical = critical_statistic(found.largest, 0.05)
            for place, (u, width) in enumerate(group.columns):
                detector = Detector(u, width, len(group.met), critical)
                claimed = [bool(detector.finds(np.flatnonzero(own)[None])[0]) for own in group.met]
                assert not any(claimed) or found.adjusted[place] <= 0.05
                both += [any(claimed), found.adjusted[place] <= 0.05]
        assert 10 <= both[0] <= both[1] < 60 * 4

    def test_a_detector_at_one_goal_is_the_test(self):
        u, width = draw("three", 60, np.random.default_rng(0))
        random = np.random.default_rng(1)
        good = np.array([random.permutation(60)[:12] for _ in range(50)])
        statistic = [naive_joint(u, width, np.isin(np.arange(60), own)[None]) for own in good]
        critical = float(np.median(statistic))
        np.testing.assert_array_equal(Detector(u, width, 1, critical).finds(good), np.array(statistic) >= critical)


SPACE = SearchSpace({"a": Float(0, 1), "b": Int(1, 3), "c": Bool(), "d": Float(0, 1, active_if={"c": True})})


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=21, max_size=21, unique=True),
    st.integers(0, 2**16),
    st.sampled_from(["goal", "objective"]),
)
def test_only_the_order_of_the_objectives_counts(values, seed, question):
    random = np.random.default_rng(seed)
    u = random.random((3, 60))
    columns = {"a": u[0], "b": random.integers(1, 4, 60), "c": u[1] < 0.5, "d": np.where(u[1] < 0.5, u[2], np.nan)}
    level = random.integers(0, 21, 60)
    level[:10] = 20 * (u[0, :10] > 0.5)
    failed = random.random(60) < 0.1

    def analysed(objectives):
        objective = np.where(failed, np.nan, np.asarray(objectives, dtype=np.float64)[level])
        return analyse(
            SPACE,
            TrialTable.from_arrays(SPACE, columns, objective),
            question=question,
            pairs=False,
            n_permutations=99,
        )

    plain, other = analysed(range(21)), analysed(sorted(values))
    assert plain.indices == other.indices
    assert plain.critical == other.critical
