"""Unit maps of every type and the conditions of a space."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace

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


class TestSpace:
    SPACE = SearchSpace(
        {
            "beta": Float(0, 1, active_if={"amsgrad": True}),
            "optimizer": Choice(["adam", "sgd", "rmsprop"]),
            "amsgrad": Bool(active_if={"optimizer": "adam"}),
            "momentum": Float(0, 0.99, active_if={"optimizer": ["sgd", "rmsprop"]}),
            "rate": Float(1e-5, 1, log=True),
        }
    )

    def test_only_active_names_are_drawn_in_the_order_of_the_space(self):
        assert list(self.SPACE.from_unit([0.5, 0.1, 0.9, 0.5, 0.5])) == ["beta", "optimizer", "amsgrad", "rate"]
        assert list(self.SPACE.from_unit([0.5, 0.1, 0.1, 0.5, 0.5])) == ["optimizer", "amsgrad", "rate"]
        assert list(self.SPACE.from_unit([0.5, 0.9, 0.9, 0.5, 0.5])) == ["optimizer", "momentum", "rate"]

    def test_groups_name_all_conditions(self):
        groups = {name: self.SPACE.group(name) for name in self.SPACE}
        assert groups["rate"] == groups["optimizer"] == "main"
        assert groups["beta"] == "optimizer=adam and amsgrad=True"
        assert groups["momentum"] == "optimizer=sgd|rmsprop"

    def test_depends_runs_through_parents(self):
        assert self.SPACE.depends("beta", "optimizer")
        assert not self.SPACE.depends("optimizer", "beta")

    def test_fix_settles_conditions(self):
        left = self.SPACE.fix({"optimizer": "adam"})
        assert list(left) == ["beta", "amsgrad", "rate"]
        assert left["amsgrad"].conditions == {}
        assert list(self.SPACE.fix({"optimizer": "sgd"})) == ["momentum", "rate"]
        assert SearchSpace({"a": Bool()}).fix({"a": True}) is None
        with pytest.raises(InputError, match="'optimizer' must be one of its own values, but got 'lion'"):
            self.SPACE.fix({"optimizer": "lion"})

    @given(st.lists(unit, min_size=5, max_size=5))
    def test_params_are_active_exactly_where_conditions_hold(self, point):
        params = self.SPACE.from_unit(point)
        assert set(params) == {name for name in self.SPACE if self.SPACE.is_active(name, params)}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Float(2, 1), "`low < high` must hold, but got low=2, high=1; swap them"),
        (lambda: Int(3, 3), "`low < high` must hold, but got low=3, high=3; leave a constant out"),
        (lambda: Float(0, float("inf")), "Float needs two finite numbers, but got low=0, high=inf"),
        (lambda: Float("0", 1), "Float needs two finite numbers, but got low='0'"),
        (lambda: Float(0, 1, log=True), "`low > 0` must hold where log=True, but got low=0"),
        (lambda: Float(0, 1, step=2), "`0 < step <= high - low` must hold, but got step=2"),
        (lambda: Float(1, 2, log=True, step=0.5), "`step` goes with neither `log` nor `law`, but got step=0.5"),
        (lambda: Float(1, 2, law="normal"), "`law` must be a frozen scipy distribution"),
        (lambda: Int(0.5, 3), "Int takes whole numbers, but got low=0.5"),
        (lambda: Int(0, 5, log=True), "`low >= 1`, step=1 and no law must hold where log=True, but got low=0"),
        (lambda: Int(0, 5, step=6), "`1 <= step <= high - low` must hold, but got step=6"),
        (lambda: Int(0, 1, law=[1]), "a law must give each of the 2 values a weight above 0"),
        (lambda: Choice(["a"]), "a Choice needs at least 2 choices"),
        (lambda: Choice("adam"), "a Choice needs at least 2 choices, but got 'adam'"),
        (lambda: Choice([1, True]), "choices must differ from each other"),
        (lambda: Choice(["a", "b"], law=[1, 0]), "a law must give each of the 2 values a weight above 0"),
        (lambda: Bool(law=1), r"a Bool's law, its probability of True, must lie in \(0, 1\), but got 1"),
        (lambda: SearchSpace({}), "a search space needs at least one hyperparameter"),
        (lambda: SearchSpace({"a": 3}), "a hyperparameter must be Float, Int, Choice or Bool, but 'a' is 3"),
        (lambda: SearchSpace({"cost": Bool()}), "a hyperparameter may not be named one of .* but got 'cost'"),
        (
            lambda: SearchSpace({"a": Bool(active_if={"b": True})}),
            "a condition must name a hyperparameter of the space, but 'a' depends on 'b'",
        ),
        (
            lambda: SearchSpace({"a": Bool(active_if={"b": True}), "b": Bool(active_if={"a": True})}),
            r"conditions may not run in a circle, but these depend on each other: \['a', 'b'\]",
        ),
        (
            lambda: SearchSpace({"a": Float(0, 1), "b": Bool(active_if={"a": 0.5})}),
            "a condition needs a parent of single values, but 'b' depends on the Float 'a'",
        ),
        (
            lambda: SearchSpace({"a": Choice(["x", "y"]), "b": Bool(active_if={"a": "z"})}),
            "a condition must name a value its parent can take, but 'b' wants a='z'",
        ),
        (lambda: Float(0, 1).to_unit([0.5, 2]), r"a value must lie in \[0, 1\], but got 2"),
        (lambda: Float(0, 1).to_unit([None]), r"a value must lie in \[0, 1\], but got None"),
        (lambda: Int(0, 4, step=2).to_unit([1]), r"a value must lie in \[0, 4\] in steps of 2, but got 1"),
        (lambda: Choice(["a", "b"]).to_unit(["c"]), r"a value must be one of \['a', 'b'\], but got 'c'"),
        (lambda: Bool().to_unit(["yes"]), "a Bool is False or True, but got 'yes'"),
    ],
)
def test_each_broken_rule_is_said_in_one_sentence(make, text):
    with pytest.raises(InputError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)
