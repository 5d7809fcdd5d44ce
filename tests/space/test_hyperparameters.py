"""Unit maps of every type: by hand, and their laws."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from hsicfast import Bool, Choice, Float, InputError, Int

unit = st.floats(0, 1)


@st.composite
def ints(draw):
    low = draw(st.integers(1, 50))
    log = draw(st.booleans())
    step = 1 if log else draw(st.integers(1, 5))
    high = low + step * draw(st.integers(1, 200))
    levels = (high - low) // step + 1
    law = None
    if not log and levels < 12 and draw(st.booleans()):
        law = draw(st.lists(st.floats(0.1, 5), min_size=levels, max_size=levels))
    return Int(low, high, log=log, step=step, law=law)


@st.composite
def choices(draw):
    values = draw(st.lists(st.one_of(st.text(max_size=3), st.integers()), min_size=2, max_size=8, unique=True))
    law = draw(st.none() | st.lists(st.floats(0.1, 5), min_size=len(values), max_size=len(values)))
    return Choice(values, law=law)


bools = st.builds(Bool, law=st.none() | st.floats(0.01, 0.99))


def values_of(hyperparameter):
    if isinstance(hyperparameter, Int):
        return list(range(hyperparameter.low, hyperparameter.high + 1, hyperparameter.step))
    return list(hyperparameter.choices)


class TestFacts:
    def test_a_step_that_is_no_binary_fraction_keeps_its_decimals(self):
        rate = Float(0.0, 0.3, step=0.1)
        assert [rate.from_unit(u) for u in (0.0, 0.3, 0.6, 1.0)] == [0.0, 0.1, 0.2, 0.3]
        assert rate.to_unit([0.3]).tolist() == [0.875]

    def test_int_shares_the_unit_interval_equally(self):
        assert Int(1, 4).to_unit([1, 2, 3, 4]).tolist() == [0.125, 0.375, 0.625, 0.875]
        assert Int(1, 4).width([1, 4]).tolist() == [0.25, 0.25]

    def test_log_int_is_log_uniform_on_half_integers(self):
        edges = np.log([0.5, 1.5, 2.5])
        assert np.allclose(Int(1, 2, log=True).width([1, 2]), np.diff(edges) / (edges[-1] - edges[0]))

    def test_weighted_choice(self):
        hyperparameter = Choice(["a", "b", "c"], law=[1, 2, 1])
        assert hyperparameter.to_unit(["a", "b", "c"]).tolist() == [0.125, 0.5, 0.875]
        assert hyperparameter.width(["a", "b", "c"]).tolist() == [0.25, 0.5, 0.25]
        assert [hyperparameter.from_unit(u) for u in (0, 0.24, 0.25, 0.74, 0.75, 1)] == ["a", "a", "b", "b", "c", "c"]

    def test_stepped_float_reaches_both_ends(self):
        hyperparameter = Float(0.1, 0.5, step=0.1)
        assert hyperparameter.levels == 5
        assert [round(hyperparameter.from_unit(u), 12) for u in (0, 0.5, 1)] == [0.1, 0.3, 0.5]

    def test_float_with_a_law_of_its_own_is_cut_to_its_range(self):
        hyperparameter = Float(-1, 1, law=stats.norm(0, 1))
        assert hyperparameter.to_unit([-1, 0, 1]) == pytest.approx([0, 0.5, 1])
        assert hyperparameter.from_unit(0.5) == pytest.approx(0, abs=1e-12)

    def test_log_float(self):
        assert Float(1e-4, 1, log=True).to_unit([1e-4, 1e-3, 1e-2, 1e-1, 1]) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


class TestLaws:
    @given(st.one_of(ints(), choices(), bools))
    def test_from_unit_inverts_to_unit_for_discrete_types(self, hyperparameter):
        values = values_of(hyperparameter)
        assert [hyperparameter.from_unit(u) for u in hyperparameter.to_unit(values)] == values

    @given(st.one_of(ints(), choices(), bools))
    def test_intervals_tile_the_unit_interval(self, hyperparameter):
        values = values_of(hyperparameter)
        middle, width = hyperparameter.to_unit(values), hyperparameter.width(values)
        assert np.allclose(np.cumsum(width) - width / 2, middle, atol=1e-12)
        assert width.sum() == pytest.approx(1, abs=1e-12)

    @given(st.one_of(ints(), choices(), bools), unit)
    def test_a_drawn_value_stands_for_an_interval_around_its_quantile(self, hyperparameter, u):
        value = hyperparameter.from_unit(u)
        distance = abs(hyperparameter.to_unit([value])[0] - u)
        assert distance <= hyperparameter.width([value])[0] / 2 + 1e-9

    @given(st.floats(1e-6, 1e3), st.floats(1.001, 1e6), st.booleans(), unit)
    def test_float_maps_are_inverse(self, low, factor, log, u):
        hyperparameter = Float(low, low * factor, log=log)
        value = hyperparameter.from_unit(u)
        assert low <= value <= low * factor
        assert hyperparameter.to_unit([value])[0] == pytest.approx(u, abs=1e-9)

    def test_carried_values_are_uniform_under_the_law(self):
        rng = np.random.default_rng(0)
        for hyperparameter in (Float(1e-3, 10, log=True), Float(0, 2, law=stats.expon()), Float(-3, 5)):
            values = [hyperparameter.from_unit(u) for u in rng.random(2000)]
            assert stats.kstest(hyperparameter.to_unit(values), "uniform").pvalue > 0.01


@given(ints() | choices() | bools)
def test_values_are_those_of_the_levels_in_order(hyperparameter):
    assert hyperparameter.values == tuple(values_of(hyperparameter))
    assert hyperparameter.to_level(list(hyperparameter.values)).tolist() == list(range(hyperparameter.levels))


def test_a_continuum_and_very_many_numbers_are_not_listed():
    assert Float(0, 1).values == Int(0, 10**9).values == Float(0, 1, step=1e-6).values == ()
    assert Float(0, 1, step=0.1).values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert len(Choice(list(range(5000))).values) == 5000


@pytest.mark.parametrize("choices", [([64], [64, 32], []), ((64,), (64, 32), ()), ([1, [2, 3]], {"a": 1}, None)])
def test_choices_may_be_lists(choices):
    layers = Choice(choices)
    drawn = [layers.from_unit(u) for u in (0.1, 0.5, 0.9)]
    assert drawn == list(choices)
    assert [type(own) for own in drawn] == [type(own) for own in choices]
    boxed = np.array([*choices, None], dtype=object)[:-1]
    np.testing.assert_allclose(layers.to_unit(boxed), [1 / 6, 1 / 2, 5 / 6])
    with pytest.raises(InputError, match=r"a value must be one of .*, but got \[9\]"):
        layers.to_unit(np.array([[9], None], dtype=object)[:-1])


def test_a_range_that_no_double_holds():
    with pytest.raises(InputError, match=r"Float needs a finite range, but got low=-1.7e\+308, high=1.7e\+308"):
        Float(-1.7e308, 1.7e308)
    with pytest.raises(InputError, match=r"Int needs a finite range, but got low=0, high=about 2\*\*16610; keep both"):
        Int(0, 10**5000)


def test_lists_in_a_list_are_values():
    """Issue 22, point 4: they were taken for rows, and the report of a trained run was impossible."""
    np.testing.assert_allclose(Choice([[1], [2]]).to_unit([[1], [2], [1]]), [0.25, 0.75, 0.25])
