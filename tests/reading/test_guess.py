"""A space from trials alone: each guess by hand."""

import numpy as np
import pandas as pd
import pytest
from builders import frame_with_gaps

from hsicfast import Bool, Choice, Float, InputError, Int
from hsicfast.reading.guess import guess_space

N = 200


def column(draw):
    return draw(np.random.default_rng(0))


KINDS = {
    "uniform": (column(lambda rng: rng.uniform(-1, 2, N)), Float, {"log": False}),
    "log": (column(lambda rng: 10 ** rng.uniform(-5, 0, N)), Float, {"log": True}),
    "wide but even": (column(lambda rng: rng.uniform(0.001, 2, N)), Float, {"log": False}),
    "whole": (column(lambda rng: rng.integers(1, 9, N)), Int, {"low": 1, "high": 8, "log": False}),
    "whole log": (column(lambda rng: 2 ** rng.integers(0, 11, N)), Int, {"low": 1, "high": 1024, "log": True}),
    "numbers as texts": (column(lambda rng: [str(v) for v in rng.integers(1, 9, N)]), Int, {"low": 1, "high": 8}),
    "texts": (column(lambda rng: rng.choice(["b", "a"], N)), Choice, {"choices": ("a", "b")}),
    "booleans": (column(lambda rng: rng.random(N) < 0.5), Bool, {}),
    "lists": ([[64, 64], [8]] * (N // 2), Choice, {"choices": ("[64, 64]", "[8]")}),
    "arrays": ([np.array([64, 64]), np.array([8])] * (N // 2), Choice, {"choices": ("[64, 64]", "[8]")}),
    "categories": (pd.Categorical([3, 5] * (N // 2)), Int, {"low": 3, "high": 5}),
    "nullable": (pd.array([3, 5] * (N // 2), dtype="Int64"), Int, {"low": 3, "high": 5}),
    "nullable booleans": (pd.array([True, False] * (N // 2), dtype="boolean"), Bool, {}),
    "the text None among texts": (["None", "cosine"] * (N // 2), Choice, {"choices": ("None", "cosine")}),
    "the text None among a few numbers": (["None", "3"] * (N // 2), Choice, {"choices": ("3", "None")}),
    "and among more": (["None", "3", "10", "5"] * (N // 4), Choice, {"choices": ("3", "5", "10", "None")}),
    "a few numbers and infinity": (np.where(np.arange(N) < 5, np.inf, 1.0), Choice, {"choices": (1, "inf")}),
    "the same as texts": (["inf", "1", "2", "3"] * (N // 4), Choice, {"choices": (1, 2, 3, "inf")}),
    "a few numbers and None": ([None, 10, 5, 7.5] * (N // 4), Choice, {"choices": (5, 7.5, 10, "None")}),
    "a few numbers and texts": ([0.1, "auto"] * (N // 2), Choice, {"choices": (0.1, "auto")}),
    "numbers and booleans": ([0.1, False] * (N // 2), Choice, {"choices": (0.1, False)}),
    "booleans as texts": (column(lambda rng: rng.choice(["True", "false"], N)), Bool, {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_types(name):
    values, kind, fields = KINDS[name]
    guess = guess_space(pd.DataFrame({"h": values, "loss": 1.0}), ["loss"])
    assert type(guess.space["h"]) is kind
    assert {key: getattr(guess.space["h"], key) for key in fields} == fields
    assert guess.left_out == {"loss": "not a hyperparameter"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([3] * N, "always 3"),
        ([None] * N, "empty"),
        ([f"run {i // 2}" for i in range(N)], "100 different texts are no choices"),
        ([f"run {i}" for i in range(N)], "200 texts that all differ are names"),
        ([f"run {i}" if i % 10 == 0 else None for i in range(N)], "20 texts that all differ are names"),
        (["a"] * (N - 1) + [None], "always a where it is not empty (1 of 200 trials)"),
        ([3.0] * 3 + [None] * (N - 3), "empty in 197 of 200 trials: too few have it to judge it"),
        ([f"{i:x}" for i in range(N)], "200 different texts are no choices"),
        (pd.date_range("2026-01-01", periods=N), "dates"),
        (pd.date_range("2026-01-01", periods=N, tz="UTC"), "dates"),
    ],
)
def test_left_out(values, reason):
    assert guess_space(pd.DataFrame({"h": values, "x": range(N)})).left_out == {"h": reason}


def test_a_text_among_many_numbers_is_a_slip():
    values = [str(i / 7) for i in range(N)]
    values[16] = "0,5"
    guess = guess_space(pd.DataFrame({"h": values, "x": range(N)}))
    assert "; row 17 holds '0,5': no number, so that it is missing" in guess.reasons["h"]
    assert np.flatnonzero(guess.frame["h"].isna()).tolist() == [16]
    assert guess.frame["h"].drop(16).tolist() == [i / 7 for i in range(N) if i != 16]
    values[3], values[16], values[-1] = "?", "7.5", "oops"
    guess = guess_space(pd.DataFrame({"h": values, "x": range(N)}))
    assert "; row 4 holds '?' and 1 more rows hold texts: no number" in guess.reasons["h"]
    assert np.flatnonzero(guess.frame["h"].isna()).tolist() == [3, N - 1]


class TestConditions:
    def test_filled_exactly_where_another_has_certain_values(self):
        guess = guess_space(frame_with_gaps(N))
        assert guess.space["momentum"].conditions == {"optimizer": ("rmsprop", "sgd")}
        assert guess.space["other"].conditions == {}
        assert guess.reasons["momentum"].endswith("; filled exactly where optimizer is rmsprop or sgd")

    def test_numbers_as_texts_with_none_for_what_does_not_exist(self):
        frame = frame_with_gaps(N)
        texts = frame.assign(momentum=[str(v) if v == v else "None" for v in frame["momentum"]])
        guess = guess_space(texts)
        assert repr(dict(guess.space)) == repr(dict(guess_space(frame).space))
        pd.testing.assert_frame_equal(guess.frame, guess_space(frame).frame)
        constant = guess_space(
            frame.assign(momentum=frame["optimizer"].map(lambda o: "None" if o == "adam" else "0.9"))
        )
        assert constant.left_out == {"momentum": "always 0.9"}

    def test_a_value_inside_and_outside_explains_nothing(self):
        # Once inside and twice outside: counts that have no bit in common.
        frame = pd.DataFrame({"a": ["x", "x", "x", "y"], "b": [0.1, None, None, 0.2], "c": [0.1, 0.2, 0.3, 0.4]})
        assert guess_space(frame).left_out == {"b": "empty in 2 of 4 trials: too few have it to judge it"}

    def test_what_is_missing_itself_explains_nothing(self):
        frame = pd.DataFrame({"b": [0.1, 0.2, None, None], "a": ["x", None, "y", "y"], "c": ["on", "off", "on", "on"]})
        guess = guess_space(frame)
        assert guess.space["a"].conditions == {"c": ("on",)}
        assert list(guess.left_out) == ["b"]

    def test_what_is_left_out_explains_nothing(self):
        frame = pd.DataFrame({"b": [0.1, 0.2, None, None], "a": ["x", None, None, None], "c": [0.1, 0.2, 0.3, 0.4]})
        assert set(guess_space(frame).left_out) == {"a", "b"}

    def test_the_text_none_may_be_a_condition(self):
        rng = np.random.default_rng(2)
        first, second = rng.choice(["None", "3", "5"], (2, N))
        frame = pd.DataFrame({"a": first, "b": second, "x": np.where(second == "None", rng.random(N), np.nan)})
        space = guess_space(frame).space
        assert space["x"].conditions == {"b": ("None",)}
        assert space["a"].choices == space["b"].choices == ("3", "5", "None")

    def test_one_gap_too_many_is_a_missing_value(self):
        frame = frame_with_gaps(N)
        row = frame.index[frame["momentum"].notna()][0]
        frame.loc[row, "momentum"] = np.nan
        guess = guess_space(frame)
        assert guess.space["momentum"].conditions == {"optimizer": ("rmsprop", "sgd")}
        assert guess.reasons["momentum"].endswith(
            "; filled only where optimizer is rmsprop or sgd, but empty in 1 of these trials"
        )

    def test_one_value_too_many_is_no_condition(self):
        frame = frame_with_gaps(N)
        row = frame.index[frame["optimizer"] == "adam"][0]
        frame.loc[row, "momentum"] = 0.5
        space = guess_space(frame).space
        assert space["momentum"].choices == ("None", "a number")
        assert space["momentum (number)"].conditions == {"momentum": ("a number",)}

    def test_a_parent_that_is_missing_once(self):
        frame = frame_with_gaps(N)
        row = frame.index[frame["optimizer"] == "sgd"][0]
        frame.loc[row, "optimizer"] = None
        guess = guess_space(frame)
        assert guess.space["momentum"].conditions == {"optimizer": ("rmsprop", "sgd")}
        assert guess.reasons["optimizer"] == "3 different texts; empty in 1 of 200 trials; judged among the others"

    def test_of_two_that_are_empty_together_one_is_the_condition(self):
        rng = np.random.default_rng(0)
        some = rng.random(N) < 0.4
        a, b = np.where(some, np.nan, rng.random((2, N)))
        guess = guess_space(pd.DataFrame({"a": a, "b": b}))
        assert guess.space["a"].choices == ("None", "a number")
        assert guess.space["b"].conditions == {"a": ("a number",)}

    def test_one_level_below_another(self):
        frame = frame_with_gaps(N)
        frame["nesterov"] = np.where(frame["optimizer"] == "sgd", frame["other"] == "x", None)
        deeper = np.where(frame["nesterov"].eq(True), np.arange(N) / N, np.nan)
        space = guess_space(frame.assign(deeper=deeper)).space
        assert space["deeper"].conditions == {"nesterov": (True,)}
        assert space["nesterov"].conditions == {"optimizer": ("sgd",)}


@pytest.mark.parametrize("prefix", ["config/", "params_", "params."])
def test_prefixes_of_other_tools(prefix):
    frame = pd.DataFrame({f"{prefix}lr": np.arange(N), "_runtime": np.arange(N), "val_loss": np.arange(N)})
    guess = guess_space(frame, ["val_loss"])
    assert list(guess.space) == ["lr"]
    assert list(guess.frame) == ["lr"]


def test_nothing_to_judge():
    with pytest.raises(InputError, match="needs a column with at least two different values"):
        guess_space(pd.DataFrame({"a": [1, 1], "loss": [1, 2]}), ["loss"])
