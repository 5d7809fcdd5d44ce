"""The table of trials: types, statuses, missing values, files."""

import csv
import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pytest

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace, Trial, TrialTable
from hsicfast.space.search_space import RESERVED
from hsicfast.trials.entries import csv_text
from hsicfast.trials.trial import COLUMNS, names_in

SPACE = SearchSpace(
    {
        "dropout": Bool(),
        "rate": Float(0, 1, active_if={"dropout": True}),
        "width": Int(1, 512),
        "activation": Choice(["relu", "None", 3]),
    }
)
TRIALS = [
    Trial(1, {"dropout": True, "rate": 0.5, "width": 8, "activation": "None"}, 0.3, 10.0, metrics={"test": 0.4}),
    Trial(0, {"dropout": False, "width": 512, "activation": 3}, math.nan, math.nan, "diverged", message="loss is NaN"),
    Trial(2, {"dropout": False, "width": 9, "activation": "relu"}, 0.1, 3.0, "done", "search", 7, {"test": 0.2}),
    Trial(3, {"dropout": True, "rate": 1.0, "width": 1, "activation": 3}, math.nan, 2.0, "lost", message="killed"),
]


def table():
    return TrialTable.from_trials(SPACE, TRIALS)


def test_trials_come_back_in_the_order_of_their_index():
    restored = list(table())
    for got, want in zip(restored, sorted(TRIALS, key=lambda trial: trial.index), strict=True):
        assert got.params == want.params
        assert [type(value) for value in got.params.values()] == [type(value) for value in want.params.values()]
        assert (got.index, got.status, got.origin, got.seed, got.message) == (
            want.index,
            want.status,
            want.origin,
            want.seed,
            want.message,
        )


def test_csv_round_trip(tmp_path):
    path = tmp_path / "trials.csv"
    table().to_frame().to_csv(path, index=False)
    pd.testing.assert_frame_equal(TrialTable.from_csv(SPACE, path).to_frame(), table().to_frame())


def test_what_went_wrong_has_a_column(tmp_path):
    space, path = SearchSpace({"x": Float(0, 1)}), tmp_path / "trials.csv"
    trials = [Trial(0, {"x": 0.5}, 1.0), Trial(1, {"x": 0.1}, np.nan, status="lost", failure="timed out")]
    made = TrialTable.from_trials(space, trials)
    made.to_frame().to_csv(path, index=False)
    read = TrialTable.from_csv(space, path)
    for table in (made, read):
        assert table.to_frame()["failure"].tolist() == ["", "timed out"]
        assert [trial.failure for trial in table] == ["", "timed out"]
    assert read.evidence[0].failure == ""


def test_fixed_columns_come_first():
    assert list(table().to_frame())[:7] == ["dropout", "rate", "width", "activation", "objective", "cost", "status"]
    assert table().to_frame()["rate"].isna().tolist() == [True, False, True, False]


def test_design_and_evidence():
    assert table().design.index.tolist() == [0, 1, 3]
    assert table().evidence.index.tolist() == [0, 1, 2]


def test_best_skips_what_failed():
    assert table().best().index == 2
    assert table().best(minimize=False).index == 1


def test_within_a_limit_of_the_cost():
    space = SearchSpace({"x": Float(0, 1)})
    priced = TrialTable.from_arrays(space, {"x": [0.1, 0.2, 0.3]}, [1.0, 2.0, 3.0], cost=[9.0, 5.0, math.nan])
    assert priced.within(5).index.tolist() == [1]
    assert priced.within(None).index.tolist() == [0, 1, 2]
    assert priced.within(5).best().index == 1
    assert len(priced.within(4)) == 0


def test_not_finite_means_diverged_and_only_done_has_an_objective():
    made = TrialTable.from_arrays(
        SearchSpace({"a": Float(0, 1)}), {"a": [0.1, 0.2, 0.3]}, [1.0, math.inf, 5.0], status=["done", "done", "lost"]
    )
    assert made.status.tolist() == ["done", "diverged", "lost"]
    assert np.isnan(made.objective).tolist() == [False, True, True]


def test_a_parent_after_its_child_is_read_from_text_too():
    space = SearchSpace({"rate": Float(0, 1, active_if={"on": True}), "on": Bool()})
    frame = pd.DataFrame({"rate": ["0.5", None], "on": ["True", "False"], "objective": [1.0, 2.0]})
    assert TrialTable.from_frame(space, frame).active("rate").tolist() == [True, False]


def test_a_curve_stays_with_its_trial_and_out_of_the_frame():
    space = SearchSpace({"x": Float(0, 1)})
    curves = [((0, 1.0), (1, 0.5)), (), ((0, 2.0), (1, 1.5))]
    made = TrialTable.from_trials(space, [Trial(i, {"x": 0.5}, 1.0, curve=curve) for i, curve in enumerate(curves)])
    assert [trial.curve for trial in made] == curves
    assert made.select(np.array([2, 0]))[0].curve == curves[2]
    assert "curve" not in made.to_frame()
    assert TrialTable.from_frame(space, made.to_frame())[0].curve == ()


def test_a_pruned_trial_keeps_its_last_value_and_is_never_the_best():
    made = TrialTable.from_arrays(
        SearchSpace({"a": Float(0, 1)}),
        {"a": [0.1, 0.2, 0.3, 0.4]},
        [2.0, 1.0, math.inf, 3.0],
        status=["done", "pruned", "pruned", "done"],
    )
    assert made.status.tolist() == ["done", "pruned", "pruned", "done"]
    np.testing.assert_array_equal(made.objective, [2.0, 1.0, math.nan, 3.0])
    assert made.best().index == 0
    assert made.best(minimize=False).index == 3
    assert made.evidence.index.tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"but got 0 done, 0 diverged, 2 pruned, 0 lost \(the first said"):
        made.select(made.status == "pruned").best()


def test_what_a_lost_trial_lacks_is_no_error():
    space = SearchSpace({"on": Bool(), "rate": Float(0, 1, active_if={"on": True})})
    columns = {"on": [True, None, True, True], "rate": [0.5, 0.5, 7.0, 0.25]}
    made = TrialTable.from_arrays(space, columns, [1.0] * 4, status=["done", "lost", "lost", "lost"])
    assert made.values["on"].tolist() == [True, None, True, True]
    assert made.values["rate"].tolist() == [0.5, None, None, 0.25]
    with pytest.raises(InputError, match=r"in column 'rate', a value must lie in .* but got 7.0"):
        TrialTable.from_arrays(space, columns | {"on": [True] * 4}, [1.0] * 4)


@pytest.mark.parametrize(
    ("kind", "given", "want"),
    [
        (Float(0, 10), [1, "2.5", np.float32(3)], [1.0, 2.5, 3.0]),
        (Int(0, 10), [1.0, "2", np.int8(3)], [1, 2, 3]),
        (Int(0, 2**60), [2**60 - 1, "4", np.int64(2**59 + 1)], [2**60 - 1, 4, 2**59 + 1]),
        (Bool(), ["True", np.bool_(False), True], [True, False, True]),
        (Choice(["8", 4.0, "None"]), [8.0, 4, "None"], ["8", 4.0, "None"]),
        (Choice(["True", "1"]), [True, 1, 1.0], ["True", "1", "1"]),
        (Choice([(64,), (64, 64), None]), [(64, 64), None, (64,)], [(64, 64), None, (64,)]),
    ],
)
@pytest.mark.parametrize("make", [list, lambda values: pd.Series(values, dtype=object)])
def test_values_get_the_type_of_their_hyperparameter(kind, given, want, make):
    got = TrialTable.from_arrays(SearchSpace({"h": kind}), {"h": make(given)}, [1.0] * 3)
    params = [trial.params["h"] for trial in got]
    assert params == want
    assert [type(value) for value in params] == [type(value) for value in want]


def test_a_tuple_may_be_a_condition():
    space = SearchSpace({"shape": Choice([(64,), (64, 64)]), "x": Float(0, 1, active_if={"shape": [(64, 64)]})})
    columns = {"shape": [(64,), (64, 64)], "x": [None, 0.5]}
    assert TrialTable.from_arrays(space, columns, [1.0, 2.0]).active("x").tolist() == [False, True]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TrialTable.from_arrays(SPACE, {"width": [1]}, [0.1]), "every hyperparameter needs a column, but"),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Float(0, 1)}), {"a": [0.1]}, [1, 2]),
            "columns must have one length, but got .*'objective': 2.*'a': 1",
        ),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Float(0, 1)}), {"a": [0.1, 3.0]}, [1, 2]),
            r"in column 'a', a value must lie in \[0, 1\], but got 3.0",
        ),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Float(0, 1)}), {"a": [0.1]}, [1], status=["ok"]),
            r"a status must be one of .* but got \['ok'\]",
        ),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Choice(["x", "y"])}), {"a": [[1], [2]]}, [1, 2]),
            r"in column 'a', a value must be one of .* but got \[1\]",
        ),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Bool()}), {"a": [True, "yes"]}, [1, 2]),
            "in column 'a', a Bool is False or True, but got 'yes'",
        ),
        (
            lambda: TrialTable.from_arrays(SearchSpace({"a": Int(1, 3)}), {"a": [1, 1.5]}, [1, 2]),
            r"in column 'a', a value must lie in \[1, 3\] in steps of 1, but got 1.5",
        ),
        (
            lambda: TrialTable.from_frame(SPACE, pd.DataFrame({"dropout": [True], "objective": [1.0]})),
            "a table of trials needs a column for each hyperparameter and `objective`, but 'rate' is missing",
        ),
        (
            lambda: TrialTable.from_trials(SPACE, [TRIALS[1], TRIALS[3]]).best(),
            r"at least one trial must end with a finite objective, but got 0 done, 1 diverged, 1 lost \(the first said",
        ),
    ],
)
def test_broken_tables(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_every_field_of_a_trial_is_a_column_or_declared_to_be_none():
    columns = {column.name for column in dataclasses.fields(TrialTable)} - {"space", "values", "minimize", "missing"}
    assert columns == {*COLUMNS, "metrics"}
    assert {field.name for field in dataclasses.fields(Trial)} - columns == {"params", "trace"}


def test_every_field_of_a_trial_comes_back_from_the_table():
    given = {"curve": ((1, 0.5),), "failure": "exception", "message": "no", "seed": 5, "origin": "search", "cost": 2.0}
    trial = Trial(4, {"dropout": False, "width": 3, "activation": 3}, 0.5, metrics={"test": 1.0}, **given)
    (back,) = TrialTable.from_trials(SPACE, [trial])
    (selected,) = TrialTable.from_trials(SPACE, [trial]).select(np.array([True]))
    assert back == selected == trial


def test_a_frame_shows_what_the_fields_declare_in_their_order():
    shown = [name for name in table().to_frame().columns if name not in SPACE]
    assert shown == ["test" if name == "metrics" else name for name in names_in("frame")]
    assert set(RESERVED) == set(names_in("frame")) - {"metrics"}


@pytest.mark.parametrize("place", ["frame", "study", "log"])
def test_no_two_fields_of_a_trial_share_a_position(place):
    declared = [field.metadata["places"].get(place) for field in dataclasses.fields(Trial)]
    positions = [position for position in declared if position is not None]
    assert sorted(positions) == list(range(len(positions)))


def test_whole_numbers_beyond_64_bits():
    space = SearchSpace({"a": Int(0, 2**70)})
    frame = TrialTable.from_arrays(space, {"a": [1, 2**69]}, [1, 2]).to_frame()
    assert frame["a"].tolist() == [1, 2**69]


@pytest.mark.parametrize("choices", [([64], [64, 32]), ((64,), (64, 32))])
def test_lists_and_tuples_come_back(tmp_path, choices):
    space = SearchSpace({"a": Choice(choices), "b": Float(0, 1, active_if={"a": [choices[1]]})})
    params = [{"a": choices[0]}, {"a": choices[1], "b": 0.5}]
    made = TrialTable.from_trials(space, [Trial(place, own, 1.0) for place, own in enumerate(params)])
    assert [trial.params for trial in made] == params
    made.to_frame().to_csv(tmp_path / "t.csv", index=False)
    assert [trial.params for trial in TrialTable.from_csv(space, tmp_path / "t.csv")] == params


def test_trials_csv_is_safe_and_comes_back(tmp_path):
    """Issue 22, point 6: formulas of spreadsheets, carriage returns, and choices with the same text."""
    choices = ["=cmd|'/C calc'!A0", "'=x", "+1", "a\rb", "-5", "@x", "plain", "1,2"]
    space, path = SearchSpace({"=name": Choice(choices), "x": Float(-1, 1)}), tmp_path / "trials.csv"
    values = {"=name": choices, "x": [-0.5] * len(choices)}
    made = TrialTable.from_arrays(space, values, np.arange(len(choices)) - 3.5)
    path.write_bytes(csv_text(made.to_frame()).encode())
    back = TrialTable.from_csv(space, path)
    assert back.values["=name"].tolist() == choices
    assert back.objective.tolist() == made.objective.tolist()
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    numbers = re.compile(r"-?[\d.]+")
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r") and not numbers.fullmatch(cell)]


@pytest.mark.parametrize("choices", [[1, "1"], [1.0, "1"], [True, "true"], [None, ""]])
def test_choices_that_a_csv_file_would_mix_up_are_refused(tmp_path, choices):
    space, path = SearchSpace({"c": Choice(choices)}), tmp_path / "trials.csv"
    TrialTable.from_arrays(space, {"c": choices}, [1, 2]).to_frame().to_csv(path, index=False)
    with pytest.raises(
        InputError, match="choices must differ as texts where trials are read from a CSV file, but 'c' has"
    ):
        TrialTable.from_csv(space, path)
