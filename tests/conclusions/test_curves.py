"""Importance over epochs: what counts as what, against the analysis at each step, and simulated pruned studies."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from builders import CONDITIONAL, FLAT, drawn
from scipy.stats import binom
from toys import RANDOMLY, SPACE, descend

from hsicfast import Choice, Float, InputError, SearchSpace, Threshold, Trial, TrialTable, analyse, minimize
from hsicfast.conclusions.curves import MOST_STEPS, Curves, over_steps

NAN = float("nan")
# The analysis would average equal rows; two that are all but equal weigh twice.
NOT_EQUAL = 1e-9 * np.arange(40)


def objects(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def table(space, values, curves, status=None, minimize=True):
    """Trials with these curves, each of which is a sequence of (step, value); the last value is the objective."""
    objective = [curve[-1][1] if curve else NAN for curve in curves]
    found = TrialTable.from_arrays(space, values, objective, status=status, minimize=minimize)
    return replace(found, curve=objects([tuple(curve) for curve in curves]))


def flat(curves, status=None, **options):
    """The curves of an analysis in which x and y are noise."""
    x, y = np.random.default_rng(7).random((2, len(curves)))
    trials = table(FLAT, {"x": x, "y": y}, curves, status)
    return analyse(FLAT, trials, **{"pairs": False, "n_permutations": 20, "goal": 0.25} | options).curves


def whole(values):
    """A curve for each row of the values (n, E), at steps 1 to E."""
    return [list(enumerate(row, 1)) for row in np.asarray(values).tolist()]


class TestEachStep:
    @pytest.mark.parametrize("minimize", [True, False])
    @pytest.mark.parametrize("goal", [0.1, 30])
    def test_without_stops_it_is_the_analysis_of_the_value_at_that_step(self, minimize, goal):
        random = np.random.default_rng(0)
        params = drawn(CONDITIONAL, 200)
        values = {name: [p.get(name) for p in params] for name in CONDITIONAL}
        rate = np.log10(np.array(values["rate"], dtype=float))
        y = random.random((200, 4)) + np.outer((rate + 2) ** 2, [0, 0.1, 0.5, 1])
        options = {"goal": goal, "pairs": False, "test": "permutation"}
        curves = analyse(CONDITIONAL, table(CONDITIONAL, values, whole(y), minimize=minimize), **options).curves
        assert curves.steps == (1, 2, 3, 4)
        for e in range(4):
            plain = TrialTable.from_arrays(CONDITIONAL, values, y[:, e], minimize=minimize)
            again = analyse(CONDITIONAL, plain, **options)
            for k, name in enumerate(curves.names):
                assert curves.r2[e, k] == pytest.approx(again[name].r2, rel=1e-3, abs=1e-6)
                # Two samples of 1,000 permutations; four standard deviations of their difference.
                off = 4 * np.sqrt(2 * again[name].pvalue / 1000) + 2e-3
                assert curves.pvalue[e, k] == pytest.approx(again[name].pvalue, abs=off)

    def test_a_threshold_becomes_its_share(self):
        y = np.random.default_rng(1).random((100, 3))
        reached = float((y[:, -1] <= 0.3).mean())
        one, other = flat(whole(y), goal=Threshold(0.3)), flat(whole(y), goal=reached)
        np.testing.assert_array_equal(one.r2, other.r2)

    def test_the_last_value_so_far_counts_where_steps_differ(self):
        y = np.random.default_rng(2).random((40, 4))
        sparse = [[(step, v) for step, v in curve if i % 2 or step in (1, 3)] for i, curve in enumerate(whole(y))]
        held = y.copy()
        held[::2, 1], held[::2, 3] = y[::2, 0], y[::2, 2]
        one, other = flat(sparse), flat(whole(held))
        assert one.steps == (1, 2, 3, 4)
        np.testing.assert_array_equal(one.r2, other.r2)

    def test_who_has_not_reported_yet_is_left_out(self):
        y = np.random.default_rng(3).random((40, 3))
        late = [curve[1 if i >= 3 else 0 :] for i, curve in enumerate(whole(y))]
        curves = flat(late)
        assert curves.known.tolist() == [3, 40, 40]
        assert np.isnan(curves.pvalue[0]).all()
        assert np.isnan(curves.agreement[0])
        assert np.isfinite(curves.pvalue[1:]).all()
        assert not curves.matters[0].any()

    def test_at_most_50_steps_with_both_ends(self):
        curves = flat(whole(np.random.default_rng(4).random((10, 333))))
        assert len(curves.steps) == MOST_STEPS == 50
        assert curves.steps[0] == 1
        assert curves.steps[-1] == 333
        assert set(np.diff(curves.steps)) <= {6, 7}

    def test_rank_agreement_with_the_end(self):
        y = np.arange(20.0)
        curves = flat(whole(np.column_stack([-y, np.zeros(20), np.exp(y), y])))
        assert curves.agreement[[0, 2, 3]] == pytest.approx([-1, 1, 1])
        assert np.isnan(curves.agreement[1])


class TestStops:
    # Of 8 trials the best 2 meet the goal; at step 1 these are the first two.
    FIRST = tuple(0.1 * k for k in range(1, 9))

    def found(self, curves, ends, **options):
        status = ["done"] * len(curves)
        for row, end in ends.items():
            status[row] = end
        return flat(curves, status, **options)

    def test_who_is_stopped_behind_misses_and_who_is_stopped_ahead_hands_on_its_weight(self):
        curves = [[(1, v), (2, v)] for v in self.FIRST]
        for row in (0, 7):
            del curves[row][1]
        found = self.found(curves, {0: "pruned", 7: "pruned"})
        assert found.known.tolist() == [8, 6]
        assert found.behind.tolist() == [0, 1]
        assert found.censored.tolist() == [0, 1]
        # The second trial stands for the first one, too: the same as if it was there twice and the first one never.
        x, y = np.random.default_rng(7).random((2, 8))
        twice = [1, 1, *range(2, 8)]
        values = {"x": x[twice] + NOT_EQUAL[:8], "y": y[twice]}
        plain = TrialTable.from_arrays(FLAT, values, np.array(self.FIRST)[twice])
        again = analyse(FLAT, plain, goal=0.25, pairs=False, n_permutations=20)
        expected = [again[name].r2 for name in found.names]
        assert found.r2[1] == pytest.approx(expected, rel=1e-3)

    def test_without_heirs_who_is_stopped_ahead_is_left_out(self):
        curves = [[(1, v), (2, v)] for v in self.FIRST]
        del curves[0][1], curves[1][1]
        found = self.found(curves, {0: "pruned", 1: "pruned"})
        assert found.censored.tolist() == [0, 2]
        assert found.r2[1] == pytest.approx(flat_rows(curves, range(2, 8)), rel=1e-3)

    def test_a_diverged_trial_misses_from_where_it_was_lost(self):
        curves = [[(step, v) for step in (1, 2, 3)] for v in self.FIRST]
        curves[0] = [(1, 0.1), (2, NAN), (3, 0.0)]  # whatever it says after that
        curves[1] = [(1, 0.2), (2, 0.2)]  # an exception
        curves[2] = []  # an exception before the first report
        found = self.found(curves, dict.fromkeys(range(3), "diverged"))
        assert found.diverged.tolist() == [1, 2, 3]
        assert found.known.tolist() == [7, 6, 5]
        assert (found.n, found.without) == (8, 0)
        for e, lost in enumerate(([2], [0, 2], [0, 1, 2])):
            values = np.array(self.FIRST)
            values[lost] = NAN
            expected = flat(whole(values[:, None]))
            assert found.r2[e] == pytest.approx(by_name(expected, found.names), rel=1e-3)

    def test_a_gap_in_a_finished_curve_misses_at_that_step_alone(self):
        y = np.tile(np.array(self.FIRST)[:, None], 3)
        y[0, 1] = NAN
        curves = [list(curve) for curve in whole(y)]
        found = self.found(curves, {})
        assert found.known.tolist() == [8, 8, 8]
        np.testing.assert_array_equal(found.r2[0], found.r2[2])
        assert (found.r2[0] != found.r2[1]).any()

    def test_trials_without_a_curve_are_left_out_with_their_number(self):
        curves = [[(1, v), (2, v)] for v in self.FIRST]
        trials = table(FLAT, {"x": self.FIRST, "y": self.FIRST}, curves)
        trials = replace(trials, curve=objects([*trials.curve[:6], (), ()]))
        found = analyse(FLAT, trials, pairs=False, n_permutations=20, goal=0.25).curves
        assert (found.n, found.without) == (6, 2)

    def test_a_step_between_those_shown_ends_a_trial_before_the_next(self):
        curves = whole(np.random.default_rng(5).random((20, 500)))
        curves[0] = curves[0][:3]
        curves[1] = curves[1][2:5]
        found = flat(curves, ["pruned"] * 2 + ["done"] * 18)
        assert found.steps[:2] == (1, 11)
        total = found.known + found.behind + found.diverged + found.censored
        assert total.tolist() == [19] + [20] * 49
        assert found.known.tolist() == [19] + [18] * 49

    def test_a_conditional_group_has_a_goal_of_its_own(self):
        # Every sgd trial is worse than every adam trial: among all trials one that is stopped is behind, among its own
        # it is the best, and another one stands for it.
        space = SearchSpace({"kind": Choice(["adam", "sgd"]), "momentum": Float(0, 1, active_if={"kind": "sgd"})})
        kind = ["adam"] * 20 + ["sgd"] * 20
        momentum = np.random.default_rng(6).random(40)
        y = np.arange(40) / 40
        curves = [[(1, v), (2, v)] for v in y]
        del curves[20][1]
        status = ["done"] * 40
        status[20] = "pruned"
        trials = table(space, {"kind": kind, "momentum": momentum}, curves, status)
        found = analyse(space, trials, goal=0.1, pairs=False, n_permutations=20).curves
        assert (found.behind[1], found.censored[1]) == (1, 0)
        rows = [21, 21, *range(22, 40)]  # two meet the goal among 20; the other of them counts twice
        values = {"x": momentum[rows] + NOT_EQUAL[:20], "y": momentum[rows]}
        alone = TrialTable.from_arrays(FLAT, values, y[rows])
        expected = analyse(FLAT, alone, goal=0.1, pairs=False, n_permutations=20)["x"].r2
        assert found.r2[1, found.names.index("momentum")] == pytest.approx(expected, rel=1e-3)


def flat_rows(curves, rows):
    """R2 of x and y, strongest first in the analysis of all 8 trials, at the last value of these rows alone."""
    x, y = np.random.default_rng(7).random((2, len(curves)))
    rows = list(rows)
    values = np.array([curves[row][-1][1] for row in rows])
    full = flat(curves, ["pruned" if len(curve) < 2 else "done" for curve in curves])
    found = analyse(FLAT, TrialTable.from_arrays(FLAT, {"x": x[rows], "y": y[rows]}, values), goal=0.25, pairs=False)
    return [found[name].r2 for name in full.names]


def by_name(curves, names):
    return [curves.r2[-1, curves.names.index(name)] for name in names]


class TestAnswers:
    def known(self, holm):
        holm = np.array(holm)
        zero = np.zeros(len(holm), dtype=int)
        steps = tuple(10 * k for k in range(1, len(holm) + 1))
        return Curves(steps, ("a", "b"), holm, holm, holm, *[zero] * 4, zero + 1.0, 9, 0)

    def test_from_where_on_it_stays_clear(self):
        found = self.known([[0.01, 0.9], [0.2, 0.9], [0.01, 0.04], [0.01, 0.01]])
        assert found.clear_from == {"a": 30, "b": 30}
        assert found.settled_from == 30
        assert found.answer == "What matters at the end (a, b) is known from step 30 of 40 on."

    def test_one_that_is_clear_for_a_while_alone_delays_the_answer(self):
        found = self.known([[0.01, 0.9], [0.01, 0.03], [0.01, 0.9], [0.01, NAN]])
        assert found.clear_from == {"a": 10}
        assert found.settled_from == 30

    def test_at_the_end_alone(self):
        found = self.known([[0.01, 0.9], [0.06, 0.01], [0.05, 0.06]])
        assert found.clear_from == {"a": 30}
        assert found.settled_from is None
        assert found.answer == "What matters at the end (a) is known at the last step alone, 30."

    def test_nothing_is_clear(self):
        found = self.known([[0.01, 0.9], [0.5, 0.9]])
        assert found.clear_from == {}
        assert found.settled_from is None
        assert "nothing stands out" in found.answer

    def test_the_answer_says_how_many_were_stopped(self):
        found = replace(self.known([[0.9, 0.9], [0.9, 0.9]]), behind=np.array([0, 3]))
        assert found.answer.endswith("(3 of 9 trials were stopped early and count as not good).")

    def test_frames(self):
        curves = flat(whole(np.random.default_rng(0).random((20, 3))))
        frame = curves.to_frame()
        assert frame.loc[(2, "x"), "r2"] == curves.r2[1, curves.names.index("x")]
        assert list(frame.columns) == ["r2", "pvalue", "pvalue_holm"]
        counts = curves.counts_frame()
        assert counts.loc[3].to_dict() == {"known": 20, "behind": 0, "diverged": 0, "censored": 0, "agreement": 1.0}


class TestDoor:
    def test_computed_once_and_by_the_same_seed_the_same(self):
        x, y = np.random.default_rng(0).random((2, 60))
        found = analyse(FLAT, table(FLAT, {"x": x, "y": y}, whole(np.column_stack([y, x]))), pairs=False)
        assert found.curves is found.curves
        np.testing.assert_array_equal(over_steps(found).pvalue, found.curves.pvalue)

    def test_too_few_curves(self):
        trials = TrialTable.from_trials(FLAT, [Trial(i, {"x": i / 9, "y": 0.5}, float(i)) for i in range(9)])
        with pytest.raises(InputError, match=r"at least 4 trials with a learning curve, but got 0 of 9; .*`report\("):
            analyse(FLAT, trials, pairs=False, goal=0.3).curves  # noqa: B018 -- asking is the test

    def test_stopped_trials_must_be_there(self):
        curves = whole(np.random.default_rng(0).random((20, 3)))
        status = ["pruned"] * 5 + ["done"] * 15
        with pytest.raises(InputError, match="pruned='drop' left out 5; analyse with pruned='miss'"):
            flat(curves, status, pruned="drop")
        assert flat(curves, status, pruned="last").n == 20

    def test_a_run_with_a_pruner(self):
        pruner = optuna.pruners.MedianPruner()
        found = minimize(descend, SPACE, n_trials=240, strategy=RANDOMLY, goal=0.3, seed=3, pruner=pruner)
        found = found.sensitivity
        curves = found.curves
        assert curves.steps == tuple(range(1, 11))
        assert curves.without == 0
        # The final order of the toy is there from step 1 on, and one that diverges does so before.
        assert curves.agreement == pytest.approx(np.ones(10))
        assert curves.diverged.tolist() == [found.counts["diverged"]] * 10
        assert curves.clear_from == {"rate": 1}
        assert found.significant() == ["rate"]


# Simulated studies: a decides always or from step 5 on, b and the skewed c never do.
STUDY = SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "c": Choice([0, 1], law=[9, 1])})
STEPS, FROM = 8, 5


def median_stops(y, wait):
    """After how many steps each of the trials (n, E) is stopped, by the rule of Optuna's MedianPruner."""
    stops, done = np.full(len(y), y.shape[1]), []
    for i, row in enumerate(y):
        if len(done) >= 5:
            worse = np.minimum.accumulate(row) > np.median(y[done], axis=0)
            worse[:wait] = False
            stops[i] = worse.argmax() + 1 if worse.any() else stops[i]
        if stops[i] == y.shape[1]:
            done.append(i)
    return stops


def studies(count, n, seed, late, wait=0, stopping=True):
    """P-values (count, E, 3) of a, b, c, the index of a (count, E), and the first clear step of a."""
    random = np.random.default_rng(seed)
    pvalue, r2, first = np.empty((count, STEPS, 3)), np.empty((count, STEPS)), []
    for k in range(count):
        a, b, other = random.random((3, n))
        values = {"a": a, "b": b, "c": (random.random(n) < 0.1).astype(int)}
        y = a[:, None] + 0.1 * random.normal(size=(n, STEPS)).cumsum(axis=1)
        if late:
            y[:, : FROM - 1] = other[:, None] + 0.1 * random.normal(size=(n, FROM - 1))
        y -= 0.1 * np.arange(STEPS)
        stops = median_stops(y, wait) if stopping else np.full(n, STEPS)
        curves = [curve[:stop] for curve, stop in zip(whole(y), stops, strict=True)]
        trials = table(STUDY, values, curves, np.where(stops < STEPS, "pruned", "done"))
        found = analyse(STUDY, trials, pairs=False, n_permutations=200).curves
        order = [found.names.index(name) for name in "abc"]
        pvalue[k], r2[k] = found.pvalue[:, order], found.r2[:, order[0]]
        first.append(found.clear_from.get("a"))
    return pvalue, r2, first


@pytest.mark.slow
class TestSimulated:
    # A share of 5% is exceeded by more than this in one of 10,000 simulations.
    COUNT = 60
    MOST = binom.ppf(1 - 1e-4, COUNT, 0.05)

    @pytest.mark.parametrize(("n", "late", "wait"), [(100, False, 0), (200, True, 0), (200, True, FROM)])
    def test_noise_stays_noise_whatever_stops_trials(self, n, late, wait):
        pvalue, _, _ = studies(self.COUNT, n, 11, late, wait)
        assert ((pvalue[:, :, 1:] <= 0.05).sum(axis=0) <= self.MOST).all()
        if late:  # until then a is noise, too
            assert ((pvalue[:, : FROM - 1, 0] <= 0.05).sum(axis=0) <= self.MOST).all()

    def test_the_first_step_is_found(self):
        _, _, first = studies(self.COUNT, 200, 12, late=True, wait=FROM)
        # To be clear earlier by chance takes p <= 5% at the step before.
        assert sum(step is not None and step < FROM for step in first) <= self.MOST
        assert first.count(FROM) >= self.COUNT - self.MOST

    def test_stops_do_not_hide_what_decides(self):
        _, stopped, first = studies(36, 200, 13, late=False)
        _, whole_, _ = studies(36, 200, 13, late=False, stopping=False)
        assert first.count(1) >= 33
        # Heirs are the better ones of the good, so that the index becomes larger, here by a third.
        ratio = stopped.mean(axis=0) / whole_.mean(axis=0)
        assert (ratio > 0.9).all()
        assert (ratio < 1.5).all()
