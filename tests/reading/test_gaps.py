"""What empty cells are: each decision by hand, and each analysis against that of the table without these rows."""

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from hsicfast import Choice, Float, InputError, Int, SearchSpace, TrialTable, analyse, read_trials
from hsicfast.indices.stability import over_goals
from hsicfast.indices.verdicts import trial_notes
from hsicfast.reading.guess import guess_space
from hsicfast.reading.sources import read_large
from hsicfast.space.formats import write_space

N = 200
SEEDS = range(5)


def table(seed=0, n=N, **more):
    rng = np.random.default_rng((seed, 1))  # what a test draws from the seed itself does not depend on it
    return pd.DataFrame({"x": rng.random(n), "k": rng.choice([16, 32, 64], n), "loss": rng.random(n)} | more)


def judged(frame, **options):
    reading = read_trials(frame, "loss")
    return analyse(reading.space, reading.trials, law="ranks", **{"pairs": False} | options)


def same(one, other, names, share=1.0):
    """The indices agree, but for the p-values, which depend on how many are tested; `share` of the trials are known."""
    for name in names:
        for field in ("hsic", "r2", "ci_low", "ci_high", "noise_floor", "n"):
            assert getattr(one[name], field) == pytest.approx(getattr(other[name], field), rel=1e-9, abs=1e-12)
        assert one[name].importance == pytest.approx(share * other[name].importance, rel=1e-9, abs=1e-12)


class TestNone:
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_text_or_nothing_is_a_choice(self, tmp_path, share, seed):
        empty = np.random.default_rng(seed).random(N) < share
        frame = table(seed, weighting=np.where(empty, None, "balanced"))
        frame["loss"] = frame["loss"] + empty  # all good trials are balanced, if there are enough
        frame.to_csv(tmp_path / "trials.csv", index=False)
        reading = read_trials(tmp_path / "trials.csv", "loss")
        assert reading.space["weighting"] == Choice(["None", "balanced"])
        assert reading.guess.reasons["weighting"] == (
            f"2 different values; empty in {empty.sum()} of 200 trials, which no other column explains: the value None"
        )
        assert reading.table.values["weighting"].tolist() == ["None" if gap else "balanced" for gap in empty]
        spelled = judged(frame.assign(weighting=np.where(empty, "None", "balanced")))
        same(analyse(reading.space, reading.trials, law="ranks", pairs=False), spelled, reading.space)

    @pytest.mark.parametrize(
        ("values", "choices"),
        [
            ([None, 5, 10], (5, 10, "None")),
            ([None, 0.5, 100.0, 3.0], (0.5, 3, 100, "None")),
            ([None, True, False], (False, "None", True)),
            ([None, "linear", "step"], ("None", "linear", "step")),
            ([None, 1.0, np.inf], (1, "inf", "None")),
        ],
    )
    def test_a_few_values_or_nothing(self, values, choices):
        drawn = [values[place] for place in np.random.default_rng(3).integers(0, len(values), N)]
        space = guess_space(table(h=pd.Series(drawn, dtype=object)), ["loss"]).space
        assert space["h"].choices == choices

    @pytest.mark.parametrize("first", ["None", "balanced"])
    def test_a_grid_whose_outer_loop_it_is(self, first):
        values = np.repeat([None, "balanced"] if first == "None" else ["balanced", None], N // 2)
        assert guess_space(table(h=values), ["loss"]).space["h"].choices == ("None", "balanced")
        thirds = pd.Series(np.repeat([None, 5, 10], N // 3).tolist(), dtype=object)
        assert guess_space(table(n=len(thirds), h=thirds), ["loss"]).space["h"].choices == (5, 10, "None")

    def test_few_gaps_are_no_value(self):
        values = np.random.default_rng(0).choice(["adam", "sgd"], N).astype(object)
        values[[3, 90]] = None
        reading = read_trials(table(opt=values), "loss")
        assert reading.space["opt"].choices == ("adam", "sgd")
        assert reading.guess.reasons["opt"] == "2 different texts; empty in 2 of 200 trials; judged among the others"
        assert np.flatnonzero(reading.table.missing["opt"]).tolist() == [3, 90]


class TestMissing:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_one_empty_cell_leaves_one_row_out_of_one_hyperparameter(self, seed):
        rng = np.random.default_rng(seed)
        h, row = rng.random(N), int(rng.integers(N))
        frame = table(seed, h=h)
        frame["loss"] = np.abs(h - 0.4) + 0.1 * frame["loss"]
        gap = frame.assign(h=frame["h"].mask(np.arange(N) == row))
        found = judged(gap)
        assert found["h"].matters
        assert {name: found[name].n for name in ("h", "x", "k")} == {"h": N - 1, "x": N, "k": N}
        same(found, judged(gap.drop(index=row)), ["h"], share=(N - 1) / N)
        same(found, judged(frame), ["x", "k"])
        (note,) = trial_notes(found)
        assert note == "Not known: h in 1 of 200 trials, which are left out of that hyperparameter alone."

    @pytest.mark.parametrize("late", [True, False])
    def test_added_later_or_given_up(self, late):
        rng = np.random.default_rng(1)
        has = np.arange(120) >= 40 if late else np.arange(120) < 80
        smooth = np.where(has, rng.uniform(0, 0.3, 120), np.nan)
        frame = table(1, 120, smooth=smooth)
        frame["loss"] = np.where(has, np.abs(smooth - 0.1) * 3, 0.6) + 0.05 * frame["loss"]
        reading = read_trials(frame, "loss")
        assert reading.guess.reasons["smooth"].endswith("; empty in 40 of 120 trials; judged among the others")
        assert reading.space["smooth"].conditions == {}
        found = judged(frame)
        assert (found["smooth"].n, found["smooth"].matters) == (80, True)
        same(found, judged(frame[has]), ["smooth"], share=80 / 120)
        same(found, judged(frame.drop(columns="smooth")), ["x", "k"])

    def test_added_later_with_a_few_holes(self):
        h = np.random.default_rng(0).random(N)
        h[:60] = h[[70, 110]] = np.nan
        guess = guess_space(table(h=h), ["loss"])
        assert isinstance(guess.space["h"], Float)
        assert guess.reasons["h"].endswith("; empty in 62 of 200 trials; judged among the others")

    def test_of_noise_nothing_is_claimed_because_it_is_missing(self):
        # At level 0.05 with 40 tables P(more than 7) is 0.0007 by the binomial.
        claims = 0
        for seed in range(40):
            rng = np.random.default_rng(seed)
            columns = {f"h{k}": np.where(rng.random(60) < 0.06 * k, np.nan, rng.random(60)) for k in range(6)}
            claims += bool(judged(table(seed, 60, **columns), n_permutations=200).significant())
        assert claims <= 7

    def test_what_a_condition_explains_may_be_missing_too(self):
        rng = np.random.default_rng(0)
        opt = rng.choice(["adam", "sgd"], N)
        momentum = np.where(opt == "sgd", rng.random(N), np.nan)
        momentum[np.flatnonzero(opt == "sgd")[4]] = np.nan
        found = judged(table(opt=opt, momentum=momentum))
        assert (found["momentum"].group, found["momentum"].n) == ("opt=sgd", (opt == "sgd").sum() - 1)
        without = table(opt=opt, momentum=momentum).drop(index=np.flatnonzero(opt == "sgd")[4])
        assert found["momentum"].hsic == pytest.approx(judged(without)["momentum"].hsic, rel=1e-9)

    def test_many_columns_with_a_gap_each(self):
        columns = {f"h{k}": np.random.default_rng(k).random(N) for k in range(8)}
        frame = table(**columns)
        frame["loss"] = columns["h2"] + 0.2 * frame["loss"]
        full = judged(frame, pairs=True)
        for k in range(8):
            frame.loc[5 * k, f"h{k}"] = np.nan
        found = judged(frame, pairs=True)
        assert found.significant() == full.significant() == ["h2"]
        assert found.rank_intervals["h2"].high == 1
        assert set(found.rank_intervals) == set(full.rank_intervals)
        pairs = {(pair.first, pair.second): pair for pair in found.pair_indices}
        assert len(pairs) == len(full.pair_indices)
        assert over_goals(found).rank[:, over_goals(found).names.index("h2")].max() == 1
        reduced = judged(frame.drop(index=[5, 15]), pairs=True)
        own = next(pair for pair in reduced.pair_indices if (pair.first, pair.second) == ("h1", "h3"))
        assert pairs["h1", "h3"] == own
        assert len(found.verdict_list) == len(found.total_list) == 10

    def test_too_few_have_it(self):
        h = np.where(np.arange(N) % 80 == 3, 1.0 + np.arange(N), np.nan)
        assert guess_space(table(h=h), ["loss"]).left_out["h"] == (
            "empty in 197 of 200 trials: too few have it to judge it"
        )


class TestMixed:
    @pytest.mark.parametrize("word", ["scale", "None", "inf"])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_numbers_and_a_word(self, tmp_path, word, seed):
        rng = np.random.default_rng(seed)
        worded = rng.random(N) < 0.3
        gamma = 10 ** rng.uniform(-4, 1, N)
        frame = table(seed, gamma=[word if w else repr(float(g)) for w, g in zip(worded, gamma, strict=True)])
        frame["loss"] = frame["loss"] + np.where(worded, 0.5, np.abs(np.log10(gamma) + 2))
        frame.to_csv(tmp_path / "trials.csv", index=False)
        reading = read_trials(tmp_path / "trials.csv", "loss")
        assert set(reading.space["gamma"].choices) == {"a number", word}
        number = reading.space["gamma (number)"]
        assert (number.low, number.high, number.log) == (gamma[~worded].min(), gamma[~worded].max(), True)
        assert number.conditions == {"gamma": ("a number",)}
        assert reading.guess.reasons["gamma"].startswith(f"a number or {word}")
        assert reading.table.active("gamma (number)").tolist() == (~worded).tolist()
        found = analyse(reading.space, reading.trials, law="ranks", pairs=True)
        assert found["gamma (number)"].matters
        two = frame.assign(gamma=np.where(worded, word, "number"), number=np.where(worded, np.nan, gamma))
        other = judged(two)
        for own, name in (("gamma", "gamma"), ("gamma (number)", "number")):
            assert found[own].r2 == pytest.approx(other[name].r2, rel=1e-9)
            assert found[own].n == other[name].n
        assert found.report(tmp_path / "page.html").read_text().count("gamma (number)") > 0
        # The saved space reads the same trials, also as this package writes them.
        write_space(reading.space, tmp_path / "space.yaml", reading.guess.reasons)
        again = read_trials(tmp_path / "trials.csv", "loss", space=tmp_path / "space.yaml")
        pd.testing.assert_frame_equal(again.table.to_frame(), reading.table.to_frame())
        reading.table.to_frame().drop(columns=["cost"]).to_csv(tmp_path / "own.csv", index=False)
        own = read_trials(tmp_path / "own.csv", "objective", space=tmp_path / "space.yaml")
        pd.testing.assert_frame_equal(own.table.to_frame(), reading.table.to_frame())

    def test_empty_among_many_numbers_may_be_the_value_none(self):
        rng = np.random.default_rng(0)
        empty = rng.random(N) < 0.4
        frame = table(depth=np.where(empty, np.nan, rng.integers(1, 90, N)))
        frame["loss"] = frame["loss"] + ~empty
        reading = read_trials(frame, "loss")
        assert reading.space["depth"].choices == ("None", "a number")
        assert isinstance(reading.space["depth (number)"], Int)
        assert f"empty in {empty.sum()} of 200 trials" in reading.guess.reasons["depth"]
        assert judged(frame).significant() == ["depth"]

    def test_a_few_numbers_and_a_word_stay_one_choice(self):
        values = np.random.default_rng(0).choice(["auto", "0.1", "1", "10"], N)
        assert guess_space(table(h=values), ["loss"]).space["h"].choices == ("0.1", "1", "10", "auto")

    def test_infinity_lies_beyond_the_largest(self):
        rng = np.random.default_rng(0)
        clip = rng.choice([0.1, 1.0, 5.0, np.inf], N)
        frame = table(clip=clip)
        found, finite = judged(frame), judged(frame.assign(clip=np.where(np.isinf(clip), 99.0, clip)))
        assert found["clip"].hsic == pytest.approx(finite["clip"].hsic, rel=1e-9)
        assert read_trials(frame, "loss").space["clip"].choices == (0.1, 1, 5, "inf")


class TestTables:
    SPACE = SearchSpace({"a": Choice(["x", "y"]), "b": Float(0, 1, active_if={"a": "x"}), "c": Int(1, 9)})
    VALUES: ClassVar = {"a": ["x", "x", None, "y"], "b": [0.1, None, 0.3, None], "c": [1, 2, 3, float("nan")]}

    def test_what_is_missing_is_known(self):
        read = TrialTable.from_arrays(self.SPACE, self.VALUES, [1, 2, 3, 4], gaps=True)
        assert {name: rows.tolist() for name, rows in read.missing.items()} == {
            "a": [False, False, True, False],
            "b": [False, True, False, False],
            "c": [False, False, False, True],
        }
        assert [read[row].params for row in range(4)] == [
            {"a": "x", "b": 0.1, "c": 1},
            {"a": "x", "c": 2},
            {"c": 3},
            {"a": "y"},
        ]
        assert read.active("b").tolist() == [True, False, False, False]
        assert read.select(np.array([1, 3])).missing["c"].tolist() == [False, True]
        frame = read.to_frame()
        assert frame["c"].isna().tolist() == [False, False, False, True]
        assert json.loads(frame["a"].to_json()) == {"0": "x", "1": "x", "2": None, "3": "y"}

    def test_a_table_of_own_runs_lacks_nothing(self):
        with pytest.raises(InputError, match="in column 'a', a value must be one of"):
            TrialTable.from_arrays(self.SPACE, self.VALUES, [1, 2, 3, 4])
        with pytest.raises(InputError, match=r"in column 'c', a value must lie in \[1, 9\]"):
            TrialTable.from_arrays(self.SPACE, self.VALUES | {"a": ["y"] * 4}, [1, 2, 3, 4])

    def test_none_may_be_a_choice(self):
        space = SearchSpace({"a": Choice([None, 3]), "b": Float(0, 1, active_if={"a": [None]})})
        read = TrialTable.from_arrays(space, {"a": [None, 3], "b": [0.5, None]}, [1, 2], gaps=True)
        assert not read.missing
        assert read[0].params == {"a": None, "b": 0.5}


class TestFiles:
    def frame(self):
        rng = np.random.default_rng(0)
        empty = rng.random(3000) < 0.5
        frame = table(n=3000, w=np.where(empty, None, "on"), depth=rng.choice([5, 10, np.nan], 3000))
        frame["gamma"] = [f"{value}" if value > 0.3 else "scale" for value in rng.random(3000)]
        frame["hole"] = np.where(np.arange(3000) == 7, np.nan, rng.random(3000))
        return frame

    def test_none_is_streamed_and_what_is_missing_is_left_out(self, tmp_path):
        self.frame().to_parquet(tmp_path / "trials.parquet")
        large = read_large(tmp_path / "trials.parquet", "loss")
        assert set(large.space) == {"x", "k", "w", "depth"}
        for name in ("gamma", "hole"):
            assert large.guess.left_out[name] == (
                "trials that stay in their files need a column of their own for it, without gaps"
            )
        streamed = analyse(large.space, large.trials, law="ranks", pairs=False)
        whole = read_trials(tmp_path / "trials.parquet", "loss")
        assert set(whole.space) == {"x", "k", "w", "depth", "gamma", "gamma (number)", "hole"}
        kept = analyse(whole.space, whole.trials, law="ranks", pairs=False)
        for name in large.space:
            assert streamed[name].hsic == pytest.approx(kept[name].hsic, rel=1e-6)

    def test_a_gap_in_a_file_is_said(self, tmp_path):
        self.frame().to_parquet(tmp_path / "trials.parquet")
        with pytest.raises(InputError, match=r"in column 'hole', .*, but got nan in 1 of 3000 trials"):
            analyse(
                SearchSpace({"hole": Float(0, 1)}),
                read_large(tmp_path / "trials.parquet", "loss").trials,
                law="ranks",
            )
