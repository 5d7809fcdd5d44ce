"""Rows that repeat a configuration become one trial, and rows that agree by chance do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable, analyse
from hsicfast.trials.repeats import merged, scatter_text
from hsicfast.trials.trial import DIVERGED, DONE, PRUNED

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1, log=True),
        "depth": Int(1, 6),
        "kind": Choice(["a", "b", "c"]),
        "momentum": Float(0, 1, active_if={"kind": "b"}),
    }
)
SMALL = SearchSpace({"depth": Int(1, 4), "kind": Choice(["a", "b", "c"]), "on": Bool()})
LONE = SearchSpace({"rate": Float(0, 1)})


def configurations(n, seed=0):
    random = np.random.default_rng(seed)
    kind = random.choice(["a", "b", "c"], n)
    return {
        "rate": 10 ** random.uniform(-4, 0, n),
        "depth": random.integers(1, 7, n),
        "kind": kind,
        "momentum": np.where(kind == "b", random.random(n), np.nan),
    }


def small_configurations(n, seed):
    random = np.random.default_rng(seed)
    return {"depth": random.integers(1, 5, n), "kind": random.choice(list("abc"), n), "on": random.random(n) < 0.5}


def rows_of(space, columns, rows, objective, **more):
    return TrialTable.from_arrays(space, {name: own[rows] for name, own in columns.items()}, objective, **more)


def equal(one, other):
    np.testing.assert_array_equal(one.objective, other.objective)
    for name in one.space:
        assert one.values[name][one.active(name)].tolist() == other.values[name][other.active(name)].tolist()


class TestRepeats:
    @pytest.mark.parametrize("even", [True, False])
    def test_each_configuration_is_one_trial_with_the_mean(self, even):
        columns, random = configurations(30), np.random.default_rng(1)
        counts = np.full(30, 5) if even else random.integers(1, 9, 30)
        rows = random.permutation(np.repeat(np.arange(30), counts))
        objective, cost = random.random((2, len(rows)))
        found = merged(rows_of(SPACE, columns, rows, objective, cost=cost))
        assert found.rows == len(rows)
        assert len(found.table) == 30
        # in the order in which they first occur
        first = list(dict.fromkeys(rows.tolist()))
        assert found.table.values["rate"].tolist() == columns["rate"][first].tolist()
        for place, own in enumerate(first):
            assert found.table.objective[place] == pytest.approx(objective[rows == own].mean())
            assert found.table.cost[place] == pytest.approx(cost[rows == own].mean())
            spread = found.table.metrics["objective_sd"][place]
            if counts[own] == 1:
                assert np.isnan(spread)
            else:
                assert spread == pytest.approx(objective[rows == own].std(ddof=1))

    def test_one_diverged_row_makes_a_diverged_configuration(self):
        columns, rows = configurations(12), np.repeat(np.arange(12), 3)
        objective = np.random.default_rng(2).random(36)
        objective[[4, 30, 31, 32]] = np.nan  # one row of the second, all of the eleventh
        status = np.where(np.isnan(objective), DIVERGED, DONE)
        status[[3, 9]] = PRUNED
        found = merged(rows_of(SPACE, columns, rows, objective, status=status.tolist())).table
        expected = [DONE, DIVERGED, DONE, PRUNED, *[DONE] * 6, DIVERGED, DONE]
        assert found.status.tolist() == expected
        np.testing.assert_array_equal(np.isnan(found.objective), np.array(expected) == DIVERGED)

    def test_a_conditional_hyperparameter_parts_configurations(self):
        # The same but for a momentum, which half of them have
        columns = {
            "rate": np.repeat(np.linspace(0.01, 0.9, 12), 2),
            "depth": np.full(24, 3),
            "kind": np.full(24, "b"),
            "momentum": np.linspace(0, 1, 24),
        }
        rows = np.repeat(np.arange(24), 4)
        found = merged(rows_of(SPACE, columns, rows, np.random.default_rng(0).random(96))).table
        assert len(found) == 24
        assert found.values["momentum"].tolist() == columns["momentum"].tolist()
        # Where it does not exist, what stands in its place does not count.
        columns |= {"kind": np.full(24, "a"), "momentum": np.full(24, np.nan)}
        assert len(merged(rows_of(SPACE, columns, rows, np.random.default_rng(0).random(96))).table) == 12

    @pytest.mark.parametrize("seeds", [2, 10])
    def test_a_single_column(self, seeds):
        rates, random = np.random.default_rng(3).random(15), np.random.default_rng(4)
        rows = np.repeat(np.arange(15), seeds)
        found = merged(rows_of(LONE, {"rate": rates}, rows, random.random(len(rows)))).table
        assert found.values["rate"].tolist() == rates.tolist()

    def test_merged_again_it_stays(self):
        columns, rows = configurations(20), np.repeat(np.arange(20), 3)
        once = merged(rows_of(SPACE, columns, rows, np.random.default_rng(0).random(60))).table
        assert merged(once).table is once


class TestSeeds:
    """Of a space that is used up only the seeds tell repeats from trials that agree."""

    def table(self, seed, n=96):
        columns = small_configurations(n, 0)
        rows = np.arange(n)
        table = rows_of(SMALL, columns, rows, np.random.default_rng(1).random(n))
        return replace(table, seed=np.asarray(seed))

    def test_each_configuration_with_each_seed(self):
        columns = {"depth": np.tile([1, 2, 3, 4], 6), "kind": np.repeat(list("abc"), 8)}
        columns["on"] = np.tile(np.repeat([True, False], 4), 3)
        table = rows_of(SMALL, columns, np.repeat(np.arange(24), 3), np.random.default_rng(0).random(72))
        few = table.select(np.arange(12))
        assert len(merged(few).table) == 12
        assert len(merged(replace(few, seed=np.tile([1, 2, 3], 4))).table) == 4

    def test_seeds_that_a_configuration_uses_once(self):
        plain = self.table(np.zeros(96, dtype=int))
        kinds = [tuple(plain.values[name][row] for name in SMALL) for row in range(96)]
        seen: dict = {}
        once = [seen.setdefault(kind, []).append(0) or len(seen[kind]) for kind in kinds]
        assert len(merged(plain).table) == 96
        assert len(merged(replace(plain, seed=np.array(once))).table) == len(set(kinds))

    def test_seeds_of_their_own_say_nothing(self):
        for seed in (np.arange(96), np.random.default_rng(0).integers(0, 5, 96)):
            assert len(merged(self.table(seed)).table) == 96

    def test_the_scatter_in_words(self):
        assert scatter_text(self.table(np.zeros(96))) == ""
        rates = np.repeat(np.linspace(0.1, 0.9, 12), 2)
        objective = rates + np.tile([-0.1, 0.1], 12)
        table = merged(rows_of(LONE, {"rate": rates}, np.arange(24), objective)).table
        spread = np.linspace(0.1, 0.9, 12).std(ddof=1)
        expected = f"within a configuration (standard deviation), and the means by {spread:.4g}."
        assert scatter_text(table) == f" They scatter by {0.1 * np.sqrt(2):.4g} {expected}"


class TestCopies:
    def test_doubled_rows_are_one(self):
        columns, objective = configurations(40), np.random.default_rng(5).random(40)
        plain = rows_of(SPACE, columns, np.arange(40), objective)
        doubled = rows_of(SPACE, columns, np.tile(np.arange(40), 2), np.tile(objective, 2))
        equal(merged(doubled).table, plain)
        assert (merged(doubled).table.metrics["objective_sd"] == 0).all()

    def test_of_a_small_space_only_the_copies(self):
        # 24 configurations, of which 60 trials drew most several times: those are trials of their own, with a noise.
        columns, objective = small_configurations(60, 0), np.random.default_rng(6).random(60)
        rows = np.concatenate((np.arange(60), np.arange(30)))
        found = merged(rows_of(SMALL, columns, rows, objective[rows]))
        assert found.rows == 90
        equal(found.table, rows_of(SMALL, columns, np.arange(60), objective))

    @pytest.mark.parametrize("value", [0.1, 0.9, 1 / 3, 1e17 + 16])
    def test_trials_that_tie_still_do(self, value):
        # however often each was copied
        columns, counts = configurations(40), np.random.default_rng(0).integers(1, 12, 40)
        rows = np.repeat(np.arange(40), counts)
        found = merged(rows_of(SPACE, columns, rows, np.full(len(rows), value))).table
        assert len(found) == 40
        assert (found.objective == value).all()

    def test_failed_ones_too(self):
        columns, objective = configurations(40), np.random.default_rng(7).random(40)
        objective[::4] = np.nan
        equal(
            merged(rows_of(SPACE, columns, np.tile(np.arange(40), 3), np.tile(objective, 3))).table,
            rows_of(SPACE, columns, np.arange(40), objective),
        )


class TestChance:
    @pytest.mark.parametrize("noise", ["continuous", "of few values", "none"])
    @pytest.mark.parametrize("n", [20, 100, 400])
    def test_a_small_space_is_left_alone(self, n, noise):
        for seed in range(40):
            columns, random = small_configurations(n, seed), np.random.default_rng(seed + 1000)
            objective = {
                "continuous": random.random(n),
                "of few values": random.integers(0, 5, n) / 4,
                "none": columns["depth"] + 0.5 * columns["on"],
            }[noise]
            table = rows_of(SMALL, columns, np.arange(n), objective)
            found = merged(table)
            assert found.table is table
            assert found.rows == n

    def test_a_single_column_of_levels_is_left_alone(self):
        space = SearchSpace({"depth": Int(1, 30)})
        for seed in range(40):
            random = np.random.default_rng(seed)
            table = TrialTable.from_arrays(space, {"depth": random.integers(1, 31, 200)}, random.random(200))
            assert merged(table).table is table

    def test_a_conditional_small_space_is_left_alone(self):
        space = SearchSpace({"on": Bool(), "depth": Int(1, 8, active_if={"on": True}), "kind": Choice(list("abcd"))})
        for seed in range(40):
            random = np.random.default_rng(seed)
            on = random.random(200) < 0.5
            columns = {"on": on, "depth": np.where(on, random.integers(1, 9, 200), np.nan)}
            columns["kind"] = random.choice(list("abcd"), 200)
            table = TrialTable.from_arrays(space, columns, random.random(200))
            assert merged(table).table is table

    def test_different_trials_stay_as_they_are(self):
        table = rows_of(SPACE, configurations(50), np.arange(50), np.zeros(50))
        assert merged(table).table is table


class TestAnalysis:
    def test_ten_seeds_of_each_configuration_are_no_evidence(self):
        # 200 studies of 30 configurations, whose means differ for no reason that the hyperparameters could tell;
        # a binomial of 5% has more rejections with a probability below 1e-4
        rejected = 0
        for seed in range(200):
            columns, random = configurations(30, seed), np.random.default_rng(seed + 500)
            rows = np.repeat(np.arange(30), 10)
            objective = random.random(30)[rows] + 0.1 * random.random(300)
            found = analyse(SPACE, rows_of(SPACE, columns, rows, objective), pairs=False, n_permutations=199, seed=seed)
            assert (found.n, found.repeats) == (30, 270)
            rejected += bool(found.significant())
        assert rejected <= stats.binom.isf(1e-4, 200, 0.05)

    def test_copied_rows_change_nothing(self):
        columns, objective = configurations(60), np.random.default_rng(9).random(60)
        plain = analyse(SPACE, rows_of(SPACE, columns, np.arange(60), objective))
        copied = analyse(SPACE, rows_of(SPACE, columns, np.repeat(np.arange(60), 3), np.repeat(objective, 3)))
        assert copied.repeats == 120
        for one, other in zip(plain.indices, copied.indices, strict=True):
            assert (one.name, one.pvalue, one.pvalue_holm) == (other.name, other.pvalue, other.pvalue_holm)
            assert one.hsic == pytest.approx(other.hsic, rel=1e-12)
