"""The analysis: groups, goals, pairs, cost; checked against the naive reference."""

import math

import naive
import numpy as np
import pytest
from builders import CONDITIONAL, FLAT, drawn, table

from hsicfast import Float, InputError, SearchSpace, Threshold, Trial, TrialTable, analyse
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.evidence.redraws import Redraws


class TestIndices:
    def test_each_index_is_the_naive_one_of_its_group(self):
        trials = table()
        found = analyse(CONDITIONAL, trials, goal=0.1, n_permutations=10)
        for name in CONDITIONAL:
            rows = trials.active(name)
            values = trials.values[name][rows]
            u, width = CONDITIONAL[name].to_unit(values), CONDITIONAL[name].width(values)
            z = naive.goal(trials.objective[rows], 0.1)
            w = z - z.mean()
            want = w @ naive.interval_gram(u, width, UNIFORM_MEDIAN) @ w / len(w) ** 2
            assert found[name].hsic == pytest.approx(want, rel=1e-12)
            assert found[name].n == rows.sum()
            assert found[name].group == ("optimizer=sgd" if name == "momentum" else "main")

    def test_what_matters_is_found_and_main_comes_first(self):
        found = analyse(CONDITIONAL, table())
        assert set(found.significant()) == {"rate", "momentum", "optimizer"}  # it has the momentum or not
        assert [index.group for index in found.indices] == ["main"] * 4 + ["optimizer=sgd"]
        assert found.indices[0].name == "rate"

    @pytest.mark.parametrize("test", ["joint", "permutation", "asymptotic", "gamma"])
    def test_noise_is_rejected_at_the_level(self, test):
        # 200 studies of 5 hyperparameters, Holm: family-wise error 5%, bound 3.5 standard deviations of the binomial
        rng = np.random.default_rng(1)
        rejected = 0
        for seed in range(200):
            trials = table(60, seed, objective=lambda p: rng.random())
            found = analyse(CONDITIONAL, trials, test=test, n_permutations=199, pairs=False)
            rejected += bool(found.significant())
        assert rejected / 200 < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 200)

    def test_divergence_is_evidence(self):
        trials = table(objective=lambda p: math.nan if p["rate"] > 0.01 else 1.0)
        found = analyse(CONDITIONAL, trials)
        assert found.indices[0].name == "rate"
        assert found.significant() == ["rate"]
        assert found.counts["diverged"] == sum(p["rate"] > 0.01 for p in drawn(CONDITIONAL, 200))

    def test_divergence_may_be_left_out(self):
        trials = table(objective=lambda p: math.nan if p["rate"] > 0.01 else 1.0 + p["rate"])
        found = analyse(CONDITIONAL, trials, failed="drop")
        assert len(found.trials) == found.counts["done"] < len(trials)
        assert found.indices == analyse(CONDITIONAL, trials.select(np.isfinite(trials.objective))).indices
        with pytest.raises(InputError, match=r"failed must be one of .* but got 'keep'"):
            analyse(CONDITIONAL, trials, failed="keep")
        with pytest.raises(InputError, match="at least one trial must end with a finite objective"):
            analyse(CONDITIONAL, table(objective=lambda p: math.nan), failed="drop")

    def test_lost_trials_are_not(self):
        params = drawn(CONDITIONAL, 60)
        trials = [Trial(i, p, p["rate"]) for i, p in enumerate(params)]
        lost = [Trial(60 + i, p, math.nan, status="lost") for i, p in enumerate(drawn(CONDITIONAL, 40, seed=5))]
        with_lost = analyse(CONDITIONAL, TrialTable.from_trials(CONDITIONAL, trials + lost))
        assert with_lost.counts == {"done": 60, "diverged": 0, "pruned": 0, "lost": 40}
        assert with_lost.indices == analyse(CONDITIONAL, TrialTable.from_trials(CONDITIONAL, trials)).indices

    def test_proposed_trials_are_left_out_with_a_warning(self):
        params = drawn(CONDITIONAL, 60)
        origins = ["design"] * 50 + ["search"] * 8 + ["final"] * 2
        trials = [Trial(i, p, p["rate"], origin=origins[i]) for i, p in enumerate(params)]
        with pytest.warns(UserWarning, match="10 of 60 trials were proposed by an optimiser"):
            found = analyse(CONDITIONAL, TrialTable.from_trials(CONDITIONAL, trials))
        assert len(found.trials) == 50

    def test_a_warning_names_the_line_that_asked(self):
        trials = [Trial(i, p, p["rate"], origin="search") for i, p in enumerate(drawn(CONDITIONAL, 20))]
        with pytest.warns(UserWarning, match="proposed by an optimiser") as caught:
            analyse(CONDITIONAL, TrialTable.from_trials(CONDITIONAL, trials), law="ranks")
        assert [warning.filename for warning in caught] == [__file__]

    def test_maximising(self):
        down = analyse(CONDITIONAL, table())
        trials = table()
        up = analyse(CONDITIONAL, TrialTable.from_arrays(CONDITIONAL, trials.values, -trials.objective), minimize=False)
        assert down.indices == up.indices
        assert down.threshold == -up.threshold

    def test_small_group_is_nan_and_not_counted_by_holm(self):
        params = [p | {"optimizer": "adam"} for p in drawn(CONDITIONAL, 40)]
        for p in params:
            p.pop("momentum", None)
        trials = TrialTable.from_trials(CONDITIONAL, [Trial(i, p, p["rate"]) for i, p in enumerate(params)])
        found = analyse(CONDITIONAL, trials, test="permutation", n_permutations=999)
        assert math.isnan(found["momentum"].pvalue_holm)
        assert math.isnan(analyse(CONDITIONAL, trials)["momentum"].pvalue_holm)
        assert found["rate"].pvalue_holm == pytest.approx(4 * found["rate"].pvalue)
        # a constant column: no effect, p exactly 1
        assert (found["optimizer"].hsic, found["optimizer"].pvalue) == (0.0, 1.0)

    def test_the_same_seed_gives_the_same_analysis(self):
        first, second, other = (analyse(CONDITIONAL, table(), seed=seed) for seed in (0, 0, 1))
        assert first.indices == second.indices
        assert first.pair_indices == second.pair_indices
        assert first.indices != other.indices


class TestGoals:
    def test_a_position_is_still_taken_with_a_warning(self):
        with pytest.warns(FutureWarning, match="analyse takes at most 2 arguments by position, but got 3; write goal="):
            found = analyse(CONDITIONAL, table(), 0.2)
        assert found.goal == 0.2

    def test_a_count_is_the_fraction_it_makes(self):
        trials = table(200)
        count, fraction = analyse(CONDITIONAL, trials, goal=30), analyse(CONDITIONAL, trials, goal=0.15)
        assert count.met.sum() == 30
        assert count.indices == fraction.indices
        assert (count.goal, count.question.goal) == (30, 0.15)

    @pytest.mark.parametrize("minimize", [True, False])
    def test_a_threshold_is_met_by_what_reaches_it_in_every_group(self, minimize):
        trials = table(200)
        edge = float(np.median(trials.objective))
        sensitivity = analyse(CONDITIONAL, trials, goal=Threshold(edge), minimize=minimize)
        reached = trials.objective <= edge if minimize else trials.objective >= edge
        np.testing.assert_array_equal(sensitivity.met, reached)
        rows = trials.active("momentum")
        np.testing.assert_array_equal(sensitivity.carried("momentum").z, reached[rows])

    def test_with_a_threshold_the_cheapest_are_as_many_as_the_good(self):
        trials = table(300, cost=lambda p: 2.0 ** p["depth"])
        edge = float(np.quantile(trials.objective, 0.3))
        by_threshold = analyse(CONDITIONAL, trials, goal=Threshold(edge)).cost_indices
        assert by_threshold == analyse(CONDITIONAL, trials, goal=float((trials.objective <= edge).mean())).cost_indices

    @pytest.mark.parametrize(("value", "who"), [(-1.0, "none"), (1e9, "all")])
    def test_a_threshold_must_part_the_trials(self, value, who):
        with pytest.raises(InputError, match=rf"must part the trials, but {who} of 50 reach .* choose another"):
            analyse(CONDITIONAL, table(50), goal=Threshold(value))


class TestQuestion:
    def studies(self, worst):
        """Studies in which b orders the worse half alone, by `worst` of it; who ends in the better half is chance."""
        for seed in range(20):
            a, b, y = np.random.default_rng(seed).random((3, 200))
            yield TrialTable.from_arrays(FLAT, {"x": a, "y": b}, np.where(y > 0.5, worst(b), y))

    @pytest.mark.parametrize("worst", [lambda b: 0.5 + b / 2, lambda b: np.where(b > 0.6, np.nan, 0.5 + b / 9)])
    def test_what_decides_only_who_ends_worst_is_found_by_the_objective(self, worst):
        of_objective, of_goal = (
            [analyse(FLAT, trials, question=question, pairs=False, n_permutations=199).significant() for trials in own]
            for question, own in (("objective", self.studies(worst)), ("goal", self.studies(worst)))
        )
        assert all("y" in found for found in of_objective)
        # By chance 5%, and more than 6 of 20 with a probability below 1e-4
        assert sum("y" in found for found in of_goal) <= 6
        assert sum("x" in found for found in of_objective) <= 6

    def test_what_decides_who_ends_best_is_found_by_both(self):
        for question in ("goal", "objective"):
            assert "rate" in analyse(CONDITIONAL, table(), question=question, pairs=False).significant()

    def test_another_question_is_refused(self):
        with pytest.raises(InputError, match=r"question must be one of .* but got 'cost'"):
            analyse(CONDITIONAL, table(50), question="cost")


class TestPruned:
    def trials(self):
        random = np.random.default_rng(0)
        params = drawn(CONDITIONAL, 90)
        # Every third was stopped early, half of those at a value better than any other.
        rows = [
            Trial(i, p, p["rate"] if i % 3 else (-1.0 if i % 2 else math.nan), status="done" if i % 3 else "pruned")
            for i, p in enumerate(params)
        ]
        random.shuffle(rows)
        return TrialTable.from_trials(CONDITIONAL, rows)

    def test_miss_by_default(self):
        trials = self.trials()
        sensitivity = analyse(CONDITIONAL, trials)
        assert sensitivity.counts == {"done": 60, "diverged": 0, "pruned": 30, "lost": 0}
        assert len(sensitivity.trials) == 90
        assert not sensitivity.met[trials.status == "pruned"].any()

    def test_by_their_last_value(self):
        trials = self.trials()
        met = analyse(CONDITIONAL, trials, goal=15, pruned="last").met
        np.testing.assert_array_equal(met, trials.objective == -1.0)

    def test_left_out(self):
        trials = self.trials()
        done = analyse(CONDITIONAL, trials.select(trials.status == "done"))
        assert analyse(CONDITIONAL, trials, pruned="drop").indices == done.indices


class TestRanks:
    # the law a file does not tell: rates uniform in their logarithm, under a space that takes them for uniform
    UNKNOWN = SearchSpace({**CONDITIONAL, "rate": Float(0, 1)})

    def known(self, **options):
        trials = table()
        return analyse(CONDITIONAL, trials, law="ranks", **options), analyse(
            self.UNKNOWN, TrialTable.from_arrays(self.UNKNOWN, trials.values, trials.objective), law="ranks", **options
        )

    def test_know_what_the_law_would(self):
        right, unknown = self.known()
        assert unknown.indices == right.indices
        assert unknown.pair_indices == right.pair_indices
        assert set(unknown.significant()) == {"rate", "momentum", "optimizer"}
        np.testing.assert_array_equal(unknown.carried("rate").u, right.carried("rate").u)

    def test_are_the_law_but_for_chance(self):
        right = analyse(CONDITIONAL, table(), goal=0.1)
        for index in self.known(goal=0.1)[1].indices:
            assert index.hsic == pytest.approx(right[index.name].hsic, abs=0.15 * right["rate"].hsic)

    def test_an_optimisers_trials_are_judged_with_a_warning(self):
        trials = [Trial(i, p, p["rate"], origin="search") for i, p in enumerate(drawn(CONDITIONAL, 60))]
        with pytest.warns(UserWarning, match="60 of 60 trials were proposed by an optimiser and crowd"):
            found = analyse(CONDITIONAL, TrialTable.from_trials(CONDITIONAL, trials), law="ranks")
        assert len(found.trials) == 60

    def test_redraws_are_seen_beside_by_the_joint_test_alone(self):
        trials = table(60, objective=lambda p: p["rate"])
        asked = Redraws("momentum", np.arange(12.0), np.arange(12) >= 9)
        alone, both = analyse(CONDITIONAL, trials), analyse(CONDITIONAL, trials, redraws=[asked])
        assert both["momentum"].pvalue_holm < 0.05 < alone["momentum"].pvalue_holm
        assert (both.redraws, both["momentum"].hsic) == ((asked,), alone["momentum"].hsic)
        with pytest.raises(
            InputError, match="the joint test alone sees redraws, but got test='gamma' and those of mom"
        ):
            analyse(CONDITIONAL, trials, redraws=[asked], test="gamma")

    def test_another_law_is_refused(self):
        with pytest.raises(InputError, match=r"law must be one of .* but got 'uniform'"):
            analyse(CONDITIONAL, table(), law="uniform")


class TestPairs:
    EXCLUSIVE = SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})

    def test_indices_against_the_naive_kernels(self):
        trials = table(80, space=self.EXCLUSIVE, objective=lambda p: abs(p["a"] - p["b"]))
        found = analyse(self.EXCLUSIVE, trials, goal=0.1, n_permutations=10)
        pair = next(pair for pair in found.pair_indices if {pair.first, pair.second} == {"a", "b"})
        a, b = (trials.values[name].astype(float) for name in "ab")
        z = naive.goal(trials.objective, 0.1)
        w = z - z.mean()
        couple = naive.gram(np.column_stack((a, b)), "gaussian", UNIFORM_MEDIAN)
        assert pair.hsic == pytest.approx(w @ couple @ w / 80**2, rel=1e-12)
        pure = naive.orthogonal_to_constants(a, UNIFORM_MEDIAN) * naive.orthogonal_to_constants(b, UNIFORM_MEDIAN)
        assert pair.pure == pytest.approx(w @ pure @ w / 80**2, rel=1e-9)

    def test_exclusive_or_has_no_main_effect_but_a_pure_one(self):
        trials = table(400, space=self.EXCLUSIVE, objective=lambda p: float((p["a"] < 0.5) == (p["b"] < 0.5)))
        found = analyse(self.EXCLUSIVE, trials, goal=0.4)
        assert found.significant() == []
        pure = {(pair.first, pair.second): pair.pvalue_pure for pair in found.pair_indices}
        assert pure["a", "b"] < 0.002
        assert min(pure["a", "c"], pure["b", "c"]) > 0.01

    def test_no_pure_effect_where_only_one_matters(self):
        # 100 studies in which a alone decides: pure p-values of (a, b) stay at their level (16 of 100 were
        # rejected while the test permuted the goal)
        rejected = 0
        for seed in range(100):
            trials = table(100, seed, space=self.EXCLUSIVE, objective=lambda p: p["a"])
            found = analyse(self.EXCLUSIVE, trials, goal=0.3, n_permutations=99)
            rejected += next(p for p in found.pair_indices if {p.first, p.second} == {"a", "b"}).pvalue_pure <= 0.05
        assert rejected / 100 < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 100)

    def test_a_parent_and_its_child_are_no_pair(self):
        pairs = {frozenset((pair.first, pair.second)) for pair in analyse(CONDITIONAL, table()).pair_indices}
        assert frozenset(("optimizer", "momentum")) not in pairs
        assert frozenset(("rate", "momentum")) in pairs


class TestCost:
    def test_what_drives_cost(self):
        found = analyse(CONDITIONAL, table(cost=lambda p: 2.0 ** p["depth"]))
        assert [index.name for index in found.cost_indices if index.pvalue_holm <= 0.05] == ["depth"]

    def test_no_costs_no_cost_indices(self):
        assert analyse(CONDITIONAL, table()).cost_indices == ()
        assert analyse(CONDITIONAL, table(cost=lambda p: 3.0)).cost_indices == ()


class TestFrames:
    def test_verdicts_and_ranks_have_a_row_each(self):
        sensitivity = analyse(CONDITIONAL, table(300))
        names = [index.name for index in sensitivity.indices]
        assert list(sensitivity.verdicts().index) == list(sensitivity.ranks().index) == names
        assert sensitivity.verdicts().loc["rate", ["kind", "text"]].tolist() == ["matters", "matters"]
        assert sensitivity.ranks().loc["rate"].to_dict() == {"rank": 1, "low": 1, "high": 1, "of": 4}

    def test_a_frame_is_as_good_as_a_table(self):
        assert analyse(CONDITIONAL, table().to_frame()).indices == analyse(CONDITIONAL, table()).indices


@pytest.mark.parametrize(
    ("trials", "options", "text"),
    [
        (lambda: table(3), {}, "an analysis needs at least 4 trials drawn from the space, but got 3"),
        (lambda: table(9, objective=lambda p: math.nan), {}, "at least one trial must end with a finite objective"),
        (table, {"goal": 0}, "`0 < goal < 1` must hold, but got goal=0"),
        (table, {"goal": 1.5}, "`0 < goal < 1` must hold, but got goal=1.5"),
        (table, {"goal": 200}, "the best so many of 200 trials must be fewer than all, but got goal=200; give less"),
        (table, {"goal": Threshold(math.inf)}, "a threshold must be finite, but got inf"),
        (table, {"pruned": "last value"}, "pruned must be one of"),
        (table, {"bandwidth": -1}, "`bandwidth > 0` must hold, but got bandwidth=-1"),
        (table, {"test": "f"}, "test must be one of"),
    ],
)
def test_bad_input(trials, options, text):
    with pytest.raises(InputError, match=text):
        analyse(CONDITIONAL, trials(), **options)
