"""Which changes carry the gain: counted by hand, the laws of shares, and intervals in studies whose truth is known."""

import math
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from builders import FLAT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace, Threshold, Trial, TrialTable, analyse

SWITCHED = SearchSpace(
    {
        "optimizer": Choice(["adam", "sgd"]),
        "beta": Float(0, 1, active_if={"optimizer": "adam"}),
        "momentum": Float(0, 1, active_if={"optimizer": "sgd"}),
        "nesterov": Bool(active_if={"optimizer": "sgd"}),
    }
)
ADAM = {"optimizer": "adam", "beta": 0.5}
SGD = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True}
ONE_IN_TEN = SearchSpace({name: Float(0, 1) for name in ("rate", "a", "b", "c")})
HIGH = dict.fromkeys(ONE_IN_TEN, 0.8)


def columns(space, n, seed=0):
    random = np.random.default_rng(seed)
    rows = [space.from_unit(random.random(len(space))) for _ in range(n)]
    return {name: np.array([row.get(name) for row in rows], dtype=object) for name in space}


def analysed(space, values, y, **options):
    options = {"test": "gamma", "pairs": False} | options
    return analyse(space, TrialTable.from_arrays(space, values, y), **options)


def bools(counts, **options):
    """Trials of Bools from {values: (good, all)}; the very first trial is the best, and left out if it is explained."""
    names = "xyz"[: len(next(iter(counts)))]
    space = SearchSpace({name: Bool() for name in names})
    rows = [(values, place >= good) for values, (good, n) in counts.items() for place in range(n)]
    values = {name: np.array([row[0][k] for row in rows], dtype=object) for k, name in enumerate(names)}
    y = np.array([float(row[1]) for row in rows])
    return analysed(space, values, y, goal=Threshold(0.5), **options)


class TestByHand:
    def test_one_change_is_counted_and_the_best_trial_is_no_evidence(self):
        found = bools({(True,): (12, 31), (False,): (1, 20)})
        told = found.explain({"x": True}, {"x": False})["x"]
        assert (told.n_before, told.n_after) == (20, 30)  # the first of the best trials is left out
        assert (told.chance_before, told.chance_after) == (1 / 20, 11 / 30)
        assert told.gain == pytest.approx(11 / 30 - 1 / 20)
        assert told.objective_gain == 0  # in both more than half ended at 1
        assert (told.kind, told.before, told.after) == ("carries", False, True)

    def test_the_interval_is_that_of_two_beta_distributions(self):
        told = bools({(True,): (12, 31), (False,): (0, 20)}).explain({"x": True}, {"x": False})["x"]
        random = np.random.default_rng(5)
        drawn = stats.beta(12, 20).rvs(200_000, random_state=random)
        drawn -= stats.beta(1, 21).rvs(200_000, random_state=random)
        # 2,000 draws know a 2.5% quantile to 0.015: 4 standard deviations sqrt(0.025 0.975 / 2000) over a density of 1.
        assert (told.low, told.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.02)

    def test_two_changes_together_and_their_shares(self):
        # Alone neither changes the chance much, together they do.
        counts = {
            (True, True): (21, 41),
            (True, False): (2, 40),
            (False, True): (2, 40),
            (False, False): (2, 40),
        }
        told = bools(counts).explain({"x": True, "y": True}, {"x": False, "y": False})
        assert told.together.blocks == (("x", "y"),)
        assert (told.together.chance_before, told.together.chance_after) == pytest.approx((2 / 40, 20 / 40))
        alone = 22 / 80 - 4 / 80
        assert told["x"].gain == told["y"].gain == pytest.approx(alone)
        assert told["x"].share == told["y"].share == pytest.approx((20 / 40 - 2 / 40) / 2)

    def test_a_change_for_the_worse(self):
        told = bools({(True,): (3, 41), (False,): (20, 40)}).explain({"x": True}, {"x": False})
        assert told["x"].kind == told.together.kind == "loses"
        assert "x, False to True: loses: 5% of the 40 trials near the new value" in told.text
        assert told.text.endswith("It is the only change.")

    def test_numbers_near_by_a_window_that_the_middle_of_both_values_cuts(self):
        x = (np.arange(1000) + 0.5) / 1000
        y = np.abs(x - 0.3)
        found = analysed(FLAT, {"x": x, "y": x[::-1]}, y)
        told = found.explain({"x": 0.3, "y": 0.5}, {"x": 0.34, "y": 0.5})["x"]
        # 1000^(-1/3) = 0.1: from 0.25 to 0.32 and from 0.32 to 0.39. The best 10% lie from 0.25 to 0.35.
        assert (told.n_after, told.n_before) == (70, 70)
        assert (told.chance_after, told.chance_before) == pytest.approx((1, 30 / 70))
        # At the end of the range a window has the same width, but lies on one side.
        assert found.explain({"x": 0.3, "y": 0.5}, {"x": 1.0, "y": 0.5})["x"].n_before == 100
        assert told.objective_gain == pytest.approx(0.055 - 0.02, abs=2e-3)

    def test_by_ranks_a_window_holds_as_many_trials_wherever_they_crowd(self):
        x = ((np.arange(1000) + 0.5) / 1000) ** 4
        found = analysed(FLAT, {"x": x, "y": x}, x, law="ranks")
        told = found.explain({"x": 0.05**4, "y": 0.5}, {"x": 0.5, "y": 0.5})["x"]
        assert (told.n_after, told.n_before) == (100, 100)

    X = np.repeat((np.arange(100) + 0.5) / 100, 5)
    SIDES = ({"x": 0.2, "y": 0.5}, {"x": 0.8, "y": 0.5})

    def test_repeats_are_explained_by_their_mean(self):
        y = np.random.default_rng(2).random(500) + (self.X > 0.5)
        told = analysed(FLAT, {"x": self.X, "y": self.X}, y).explain(*self.SIDES)
        once = self.X[::5]
        assert told["x"].kind == "carries"
        means = analysed(FLAT, {"x": once, "y": once}, y.reshape(100, 5).mean(axis=1)).explain(*self.SIDES)
        pd.testing.assert_frame_equal(told.to_frame(), means.to_frame())

    def test_repeats_in_a_file_count_as_one_trial(self, tmp_path):
        good = np.tile([True, False, False, False, False], 100)
        rows = TrialTable.from_arrays(FLAT, {"x": self.X, "y": self.X}, (~good).astype(float))
        rows.to_frame().to_parquet(tmp_path / "trials.parquet")
        options = {"goal": Threshold(0.5), "test": "gamma", "pairs": False}
        told = analyse(FLAT, tmp_path / "trials.parquet", **options).explain(*self.SIDES)["x"]
        # 500^(-1/3) = 0.126
        assert (told.n_after, told.n_before, told.gain) == (12, 12, pytest.approx(0))
        once = analysed(FLAT, {"x": self.X[::5], "y": self.X[::5]}, (~good[:500:4][:100]).astype(float), **options)
        same = once.explain(*self.SIDES)["x"]
        assert told.high - told.low < same.high - same.low < 1

    def test_a_diverged_trial_is_the_worst(self):
        values = columns(ONE_IN_TEN, 200)
        rate = values["rate"].astype(float)
        found = analysed(ONE_IN_TEN, values, np.where(rate > 0.6, np.nan, np.abs(rate - 0.3)))
        told = found.explain(found.trials.best(), HIGH)["rate"]
        assert (told.kind, told.chance_before, told.objective_gain) == ("carries", 0, math.inf)
        assert "median objective" not in told.text


class TestConditions:
    def found(self):
        values = columns(SWITCHED, 400)
        momentum = np.array([-1 if value is None else value for value in values["momentum"]])
        y = np.where(momentum < 0, 0.5, np.abs(momentum - 0.9)) + 0.01 * np.random.default_rng(1).random(400)
        return analysed(SWITCHED, values, y), values

    def test_what_one_side_has_belongs_to_the_parent(self):
        found, values = self.found()
        told = found.explain(SGD, ADAM)
        assert [change.name for change in told.changes] == ["optimizer"]
        assert "optimizer, adam (with beta 0.5) to sgd (with momentum 0.9, nesterov True): carries gain" in told.text
        n = np.count_nonzero((values["optimizer"] == "sgd") & (values["nesterov"] == True))  # noqa: E712
        u = np.array([-1 if value is None else value for value in values["momentum"]])
        half = n ** (-1 / 3) / 2  # its window ends at 1
        near = (values["nesterov"] == True) & (u >= min(0.9, 1 - half) - half)  # noqa: E712
        assert told["optimizer"].n_after == np.count_nonzero(near)

    def test_what_both_have_is_compared_where_it_exists(self):
        found, values = self.found()
        told = found.explain(SGD, SGD | {"nesterov": False})
        assert [change.name for change in told.changes] == ["nesterov"]
        assert told["nesterov"].n_before == sum(value is False for value in values["nesterov"])
        assert told.together.chance_after == pytest.approx(told["nesterov"].chance_after)

    def test_a_child_that_needs_two_changes_belongs_to_both_together(self):
        space = SearchSpace({"p": Bool(), "q": Bool(), "child": Bool(active_if={"p": True, "q": True})})
        values = columns(space, 400)
        found = analysed(space, values, np.random.default_rng(0).random(400))
        told = found.explain({"p": True, "q": True, "child": True}, {"p": False, "q": False})
        assert told["p"].n_after == np.count_nonzero(values["p"] == True)  # noqa: E712
        assert "child" not in told["p"].text

    def test_values_that_do_not_exist_are_ignored(self):
        found, _ = self.found()
        assert found.explain(SGD | {"beta": 7}, ADAM) == found.explain(SGD, ADAM)


class TestCannotBeTold:
    def test_no_trials_there_and_too_few(self):
        space = SearchSpace({name: Choice(["a", "b", "c", "d"], law=[0.498, 0.498, 0.002, 0.002]) for name in "xy"})
        values = {name: np.random.default_rng(k).choice(["a", "b"], 200) for k, name in enumerate("xy")}
        found = analysed(space, values, np.random.default_rng(2).random(200))
        told = found.explain({"x": "a", "y": "a"}, {"x": "c", "y": "b"})
        assert (told["x"].kind, told["y"].kind, told.together.kind) == ("unseen", "unclear", "unclear")
        assert "x, c to a: cannot be told from these trials, no trials there: 0 lie near the old" in told.text
        assert "Too few trials tell of x." in told.together.text
        assert math.isnan(told["x"].gain)
        assert math.isnan(told["x"].share)
        empty = found.explain({"x": "c", "y": "c"}, {"x": "d", "y": "d"})
        assert empty.together.kind == "unseen"
        assert empty.text.startswith("No change alone was seen to carry the gain.")
        assert empty.text.endswith("All together cannot be told from these trials: too few lie near the values.")

    def test_too_few_trials(self):
        told = bools({(True,): (2, 10), (False,): (1, 90)}, law="ranks").explain({"x": True}, {"x": False})
        assert (told["x"].kind, told["x"].n_after) == ("unseen", 9)
        assert "cannot be told from these trials, too few trials there: 90 lie near the old value and 9" in told.text

    def test_no_difference_seen(self):
        told = bools({(True,): (3, 31), (False,): (3, 30)}).explain({"x": True}, {"x": False})
        assert told["x"].kind == "unclear"
        assert told["x"].text == (
            "x, False to True: cannot be told from these trials, no difference seen: 7% of the 30 trials near the new "
            "value, and 10% of the 30 near the old one, ended at or below 0.5 "
            f"(-3 points, 95% interval {100 * told['x'].low:+.0f} to {100 * told['x'].high:+.0f})."
        )


class TestWords:
    def test_all_lines(self):
        values = columns(ONE_IN_TEN, 300)
        found = analysed(ONE_IN_TEN, values, np.abs(values["rate"].astype(float) - 0.3))
        told = found.explain(found.trials.best(), HIGH)
        first, rate, *_, last = str(told).split("\n")
        assert first == (
            "rate carries the gain. Each interval is for one change: if none of these 4 had an effect, luck alone "
            "would name one in about 19 of 100 studies."
        )
        assert rate.startswith("rate, 0.8 to 0.")
        assert "ended among the best 10% (+" in rate
        assert "; the median objective is better by 0." in rate
        assert last.endswith("if the ratios multiply by which the changes raise or lower it.")

    def test_the_frame(self):
        told = bools({(True,): (12, 31), (False,): (1, 20)}).explain({"x": True}, {"x": False})
        frame = told.to_frame()
        assert frame.index.tolist() == ["x"]
        assert frame.index.name == "name"
        assert list(frame)[:2] == ["before", "after"]
        assert list(frame)[-2:] == ["kind", "text"]
        assert frame.loc["x", "gain"] == told["x"].gain

    @pytest.mark.parametrize(
        ("best", "against", "text"),
        [
            ({"x": 0.1, "y": 0.1, "z": 1}, {"x": 0, "y": 0}, r"`best` must name .*, but \['z'\] are none; choose"),
            ({"x": 0.1, "y": 0.1}, {"x": 0.2}, "`against` must give every .*, but 'y' has none; add it"),
            ({"x": 0.1, "y": 1.5}, {"x": 0, "y": 0}, r"in `best`, 'y': a value must lie in \[0, 1\], but got 1.5"),
            ({"x": 0.1, "y": None}, {"x": 0, "y": 0}, r"in `best`, 'y': a value must lie in \[0, 1\], but got None"),
            (
                {"x": 0, "y": 0},
                {"x": 0.0, "y": 0},
                "must differ in a hyperparameter that both have, but all values",
            ),
            (3, {"x": 0, "y": 0}, "`best` must be a Trial or a dict of values, but got int; give its params"),
        ],
    )
    def test_wrong_configurations(self, best, against, text):
        x = np.random.default_rng(0).random(50)
        found = analysed(FLAT, {"x": x, "y": x}, x)
        with pytest.raises(InputError, match=text):
            found.explain(best, against)


class TestLaws:
    MIXED = SearchSpace({"u": Float(0, 1), "n": Int(1, 6), "kind": Choice(["a", "b"]), "on": Bool()})

    @settings(max_examples=15)
    @given(seed=st.integers(0, 10_000))
    def test_shares_add_up_and_intervals_hold_what_was_counted(self, seed):
        values = columns(self.MIXED, 120, seed)
        y = np.random.default_rng(seed).random(120) + values["u"].astype(float) + (values["kind"] == "a")
        found = analysed(self.MIXED, values, y, goal=0.2)
        told = found.explain({"u": 0.1, "n": 2, "kind": "b", "on": True}, {"u": 0.9, "n": 5, "kind": "a", "on": False})
        judged = [change for change in told.changes if change.kind != "unseen"]
        assert told.together.names == tuple(change.name for change in judged)
        assert math.fsum(change.share for change in judged) == pytest.approx(told.together.gain, abs=1e-9)
        for part in (*judged, told.together):
            assert -1 <= part.low <= part.gain <= part.high <= 1

    @settings(max_examples=15)
    @given(seed=st.integers(0, 10_000))
    def test_back_and_forth_and_the_other_direction(self, seed):
        values = columns(self.MIXED, 80, seed)
        y = np.random.default_rng(seed).random(80)
        one, other = {"u": 0.1, "n": 2, "kind": "b", "on": True}, {"u": 0.9, "n": 5, "kind": "b", "on": False}
        found = analysed(self.MIXED, values, y, goal=0.2)
        there, back = found.explain(one, other), found.explain(other, one)
        maximised = analysed(self.MIXED, values, -y, goal=0.2, minimize=False).explain(one, other)
        for name in ("u", "n", "on"):
            numbers = there[name].gain, there[name].share, there[name].objective_gain
            assert numbers == pytest.approx(
                (-back[name].gain, -back[name].share, -back[name].objective_gain), nan_ok=True
            )
            assert numbers == pytest.approx(
                (maximised[name].gain, maximised[name].share, maximised[name].objective_gain), nan_ok=True
            )

    def test_shares_are_the_mean_over_all_orders(self):
        keys = product([True, False], repeat=3)
        good = {key: 2 + 3 * sum(key) + 9 * (key[0] and key[1]) + 2 * all(key) for key in keys}
        counts = {key: (n, 40) for key, n in good.items()}
        counts[True, True, True] = (counts[True, True, True][0] + 1, 41)
        told = bools(counts).explain(dict.fromkeys("xyz", True), dict.fromkeys("xyz", False))

        def gain(part):
            def chance(side):
                keys = [key for key in good if all(key["xyz".index(name)] == side for name in part)]
                return sum(good[key] for key in keys) / (40 * len(keys))

            return chance(True) - chance(False) if part else 0

        for name in "xyz":
            orders = [order[: order.index(name)] for order in permutations("xyz")]
            expected = np.mean([gain({*before, name}) - gain(before) for before in orders])
            assert told[name].share == pytest.approx(expected)

    def test_many_changes_have_a_joint_gain_without_shares(self):
        space = SearchSpace({f"h{k}": Float(0, 1) for k in range(9)})
        values = columns(space, 400)
        found = analysed(space, values, values["h0"].astype(float))
        told = found.explain(dict.fromkeys(space, 0.1), dict.fromkeys(space, 0.9))
        assert told["h0"].kind == "carries"
        assert all(math.isnan(change.share) for change in told.changes)
        assert len(told.together.blocks) == 9
        assert told.together.gain > 0

    def test_the_trial_itself_is_no_evidence_as_trial_or_dict(self):
        values = columns(ONE_IN_TEN, 100)
        found = analysed(ONE_IN_TEN, values, np.random.default_rng(3).random(100))
        best = found.trials.best()
        told = found.explain(best, HIGH)
        assert repr(told) == repr(found.explain(best.params, HIGH))  # shares may be NaN
        a = values["a"].astype(float)
        half = 99 ** (-1 / 3) / 2
        centre = min(max(best.params["a"], half), 1 - half)
        near = (np.abs(a - centre) <= half) & ((a < (best.params["a"] + 0.8) / 2) == (best.params["a"] < 0.8))
        assert told["a"].n_after == np.count_nonzero(near) - 1
        assert repr(found.explain(Trial(500, best.params, 0.0), HIGH)) == repr(told)

    def test_of_many_trials_with_the_values_only_the_one_meant_is_left_out(self):
        found = bools({(True,): (12, 31), (False,): (1, 20)})
        first, second = {"x": True}, {"x": False}
        assert found.explain(Trial(3, first, 0.0), second)["x"].chance_after == 11 / 30
        assert found.explain(Trial(30, first, 1.0), second)["x"].chance_after == 12 / 30
        # The best trial has the values compared with: nobody chose them for how it ended.
        assert found.explain(second, first)["x"].chance_before == 12 / 31
        assert found.explain(second, Trial(3, first, 0.0))["x"].chance_before == 11 / 30


def test_an_exclusive_or_is_nothing_alone_and_everything_together():
    # Of three values each, a pair is good if its sum is a multiple of 3: any value of one has its good partner.
    space = SearchSpace({"a": Choice([0, 1, 2]), "b": Choice([0, 1, 2])})
    a, b = np.repeat(np.indices((3, 3)).reshape(2, 9), 30, axis=1)
    values = {"a": a.astype(object), "b": b.astype(object)}
    found = analysed(space, values, ((a + b) % 3).astype(float), goal=Threshold(0.5))
    told = found.explain({"a": 1, "b": 2}, {"a": 0, "b": 1})
    assert {told["a"].kind, told["b"].kind} == {"unclear"}
    assert told["a"].gain == told["b"].gain == 0
    assert (told.together.kind, told.together.gain) == ("carries", 1)
    assert told["a"].share == told["b"].share == pytest.approx(0.5)


def test_numbers_that_interact_are_judged_together():
    x, y = np.random.default_rng(0).random((2, 600))
    apart = ((x > 0.5) == (y > 0.5)) + 0.1 * np.random.default_rng(1).random(600)
    options = {"pairs": True, "n_permutations": 200, "goal": Threshold(0.5)}
    told = analysed(FLAT, {"x": x, "y": y}, apart, **options).explain({"x": 0.25, "y": 0.75}, {"x": 0.75, "y": 0.8})
    assert told.together.blocks == (("x", "y"),)
    assert told["x"].kind == "unclear"
    assert told.together.kind == "carries"
    separate = analysed(FLAT, {"x": x, "y": y}, apart, goal=Threshold(0.5))
    assert separate.explain({"x": 0.25, "y": 0.75}, {"x": 0.75, "y": 0.8}).together.blocks == (("x",), ("y",))


STUDIES = 80


def near_in_law(at, other, n):
    """The interval that counts as near `at` among n trials of a uniform law."""
    half = n ** (-1 / 3) / 2
    low, high = (min(max(at, half), 1 - half) + side for side in (-half, half))
    middle = (at + other) / 2
    return (max(low, middle), high) if at > other else (low, min(high, middle))


@pytest.mark.parametrize("n", [100, 300])
def test_intervals_cover_and_the_inert_are_rarely_named(n):
    # Objective |rate - 0.3| + noise; the best trial against 0.8 everywhere. The truth is counted in a million trials.
    random = np.random.default_rng(12345)
    rate = np.sort(random.random(1_000_000))
    loss = np.abs(rate - 0.3) + 0.1 * random.standard_normal(len(rate))
    good = np.append(0, np.cumsum(loss <= np.quantile(loss, 0.1)))

    def chance(low, high):
        first, stop = np.searchsorted(rate, (low, high))
        return (good[stop] - good[first]) / (stop - first)

    covered, named = dict.fromkeys(ONE_IN_TEN, 0), dict.fromkeys(ONE_IN_TEN, 0)
    for seed in range(STUDIES):
        random = np.random.default_rng(seed)
        values = {name: random.random(n) for name in ONE_IN_TEN}
        found = analysed(ONE_IN_TEN, values, np.abs(values["rate"] - 0.3) + 0.1 * random.standard_normal(n))
        best = found.trials.best()
        at = best.params["rate"]
        truth = dict.fromkeys(ONE_IN_TEN, 0.0)
        truth["rate"] = chance(*near_in_law(at, 0.8, n - 1)) - chance(*near_in_law(0.8, at, n - 1))
        for change in found.explain(best, HIGH).changes:
            covered[change.name] += change.kind == "unseen" or change.low <= truth[change.name] <= change.high
            named[change.name] += change.kind in ("carries", "loses")
    # 95% less, and 5% more, than 3 standard deviations of the binomial; the inert are three independent looks a study.
    assert covered["rate"] / STUDIES >= 0.95 - 3 * math.sqrt(0.0475 / STUDIES)
    inert = [name for name in ONE_IN_TEN if name != "rate"]
    looks = STUDIES * len(inert)
    assert sum(covered[name] for name in inert) / looks >= 0.95 - 2 * math.sqrt(0.0475 / looks)
    assert sum(named[name] for name in inert) / looks <= 0.05 + 2 * math.sqrt(0.0475 / looks)
    assert named["rate"] / STUDIES >= (0.6 if n == 100 else 0.95)
