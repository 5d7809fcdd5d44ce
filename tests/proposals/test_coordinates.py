"""Coordinates of points: there and back, and what a Gaussian process sees of what does not exist."""

import numpy as np
import pytest
from builders import NESTED
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsicfast.proposals.coordinates import Coordinates
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace

SPACE = SearchSpace(
    {
        "optimizer": Choice(["adam", "sgd", "none"]),
        "rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.9, active_if={"optimizer": "sgd"}),
        "nesterov": Bool(active_if={"optimizer": "sgd"}),
        "depth": Int(2, 8, step=3),
        "width": Int(1, 300, log=True),
        "wide": Float(0.0, 0.3, step=0.1, active_if={"width": [1, 2, 3]}),
        "mixed": Choice([1, None, "1", (2, 3)]),
        "deep": Float(0.0, 1.0, active_if={"nesterov": True, "mixed": [(2, 3)]}),
    }
)
ALL = Coordinates(SPACE)
seeds = st.integers(0, 10**6)


def drawn(seed, n=20):
    return np.random.default_rng(seed).random((n, len(SPACE)))


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_there_and_back(seed):
    random = np.random.default_rng(seed)
    points = [ALL.params(row) for row in drawn(seed)]
    for point, again in zip(points, map(ALL.params, ALL.units(points, random)), strict=True):
        numbers = {name for name in point if isinstance(point[name], float)}
        assert {name: value for name, value in again.items() if name not in numbers} == {
            name: value for name, value in point.items() if name not in numbers
        }
        for name in numbers:
            assert again[name] == pytest.approx(point[name], rel=1e-9, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_what_exists_is_what_the_space_says(seed):
    units = drawn(seed)
    for row, exists in zip(units, ALL.active(units), strict=True):
        assert {name for name, here in zip(SPACE, exists, strict=True) if here} == set(ALL.params(row))


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_snapped_coordinates_are_of_the_same_point(seed):
    units = drawn(seed)
    snapped = ALL.snapped(units)
    assert list(map(ALL.params, snapped)) == list(map(ALL.params, units))
    np.testing.assert_allclose(ALL.snapped(snapped), snapped, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_hidden_coordinates_do_not_show(seed):
    units, others = drawn(seed), drawn(seed + 1)
    changed = np.where(ALL.active(units), units, others)
    np.testing.assert_array_equal(ALL.columns(units), ALL.columns(changed))


def test_columns_by_hand():
    units = ALL.units([{"optimizer": "none", "rate": 0.01, "depth": 5, "width": 300, "mixed": (2, 3)}], np.random)
    columns = ALL.columns(units)[0]
    own = {name: columns[ALL.owners == place].round(3).tolist() for place, name in enumerate(SPACE)}
    assert own["optimizer"] == [0.0, 0.0, 0.707]  # the root of a half: two values are at a distance of 1
    assert own["rate"] == own["depth"] == [0.5]
    assert own["momentum"] == own["wide"] == own["deep"] == [0.5]  # they do not exist
    assert own["nesterov"] == [0.5]  # does not exist; two values have one column
    assert own["mixed"] == [0.0, 0.0, 0.0, 0.707]


def test_a_law_does_not_shape_the_coordinates():
    space = SearchSpace({"x": Float(0, 1, law=stats.beta(8, 1)), "n": Int(1, 2, law=[9, 1]), "y": Float(0, 4)})
    assert Coordinates(space).params(np.array([0.25, 0.6, 0.5])) == {"x": 0.25, "n": 2, "y": 2.0}


def test_part_of_a_space():
    part = SearchSpace({**NESTED, "inner": Float(0.2, 0.4, active_if={"kind": ["a", "b"]})})
    coordinates = Coordinates(NESTED)
    low, high = coordinates.within(part, {"kind": "b", "norm": True})
    bounds = dict(zip(coordinates.names, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    assert bounds["inner"] == pytest.approx((0.2, 0.4))
    assert bounds["kind"] == (0.5, 0.5)
    assert bounds["norm"] == (0.75, 0.75)
    assert bounds["deep"] == bounds["switch"] == (0, 1)


@pytest.mark.parametrize(("log", "shares"), [(False, [1 / 3] * 3), (True, np.diff(np.log([2.5, 3.5, 4.5, 5.5])))])
def test_the_values_at_the_ends_of_a_part_are_as_likely_as_the_others(log, shares):
    whole, part = (SearchSpace({"n": Int(low, high, log=log)}) for low, high in ((1, 10), (3, 5)))
    coordinates = Coordinates(whole)
    (low,), (high,) = coordinates.within(part, {})
    found = [coordinates.params(np.array([unit]))["n"] for unit in np.linspace(low, high, 1001)]
    assert np.bincount(found)[3:].tolist() == pytest.approx(1001 * np.array(shares) / sum(shares), abs=1)
