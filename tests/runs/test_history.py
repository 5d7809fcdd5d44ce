"""The chapters of a run folder, by hand."""

import json

import pytest

from hsicfast.errors import InputError
from hsicfast.runs.history import (
    Chapter,
    bound,
    check_kinds,
    joined,
    next_chapter,
    place_of,
    read_history,
    write_history,
)
from hsicfast.runs.settings import as_kept
from hsicfast.search.plan import RunPlan
from hsicfast.search.strategies import TwoStep
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace


def kept(space, **more):
    return as_kept(RunPlan(SearchSpace(space), 8, TwoStep(optimizer="tpe"), **more).description)


A = kept({"x": Float(0, 1), "kind": Choice(["a", "b"]), "on": Bool(), "n": Int(2, 8, log=True)})
B = kept({"x": Float(0.5, 2), "kind": Choice(["b", "c"]), "m": Float(0, 1, active_if={"kind": "c"})})


def test_a_call_finds_its_chapter():
    history = [Chapter(A, 20, ended=True), Chapter(A, 40, 20), Chapter(B, 40, 40)]
    assert place_of(history, A, 20) == 0
    assert place_of(history, A, 40) is None  # it was not carried out, and cannot go on where another has its trials
    assert place_of(history, B, 40) == 2
    assert place_of(history, B, 41) is None
    assert place_of([Chapter(A)], A, 20) == 0  # nobody knows of which number it is


def test_the_next_begins_behind_all_that_has_begun():
    history = [Chapter(A, 20)]
    assert next_chapter(history, B, 40, [21], [0, 1, 3]) == Chapter(B, 40, 22, (2, *range(4, 22)))
    assert next_chapter([], B, 40, (), [5]) == Chapter(B, 40)


def test_what_may_change():
    assert bound(A).keys() == {"goal", "seed", "direction"}
    assert bound(A) == bound(B)


def test_there_and_back(tmp_path):
    history = [Chapter(A, 20, ended=True), Chapter(B, 40, 20, (3, 7))]
    write_history(tmp_path, history)
    assert read_history(tmp_path) == history
    assert json.loads((tmp_path / "settings.json").read_text())["space"] == B["space"]


@pytest.mark.parametrize("chapters", [[{"first": 0, "nonsense": 1}], [{"first": 0}], 5, [[1, 2]]])
def test_that_are_damaged(tmp_path, chapters):
    (tmp_path / "settings.json").write_text(json.dumps(A | {"chapters": chapters}))
    with pytest.raises(InputError, match=r"must be readable, but .*; pass resume=force"):
        read_history(tmp_path)


def test_one_space_for_an_index_over_all():
    space, minimize = joined([Chapter(A), Chapter(B, first=20)])
    assert minimize
    assert space["x"] == Float(0, 2)
    assert space["kind"] == Choice(["a", "b", "c"])
    assert (space["on"], space["n"], space["m"]) == (Bool(), Int(2, 8, log=True), Float(0, 1))
    assert joined([Chapter(A), Chapter(A, first=20)])[0]["n"] == Int(2, 8, log=True)


def test_a_type_stays():
    with pytest.raises(InputError, match="'x' was a Float and is a Int now"):
        check_kinds([Chapter(A)], kept({"x": Int(0, 1)}))
