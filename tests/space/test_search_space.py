"""The conditions of a space, and the rules it refuses to break."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace

unit = st.floats(0, 1)


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

    def test_fill_asks_for_active_names_alone_parents_first(self):
        asked = []

        def value_of(name):
            asked.append(name)
            return {"optimizer": "adam", "rate": 0.1, "amsgrad": True, "beta": 0.5}[name]

        assert list(self.SPACE.fill(value_of)) == ["beta", "optimizer", "amsgrad", "rate"]
        assert asked == ["optimizer", "rate", "amsgrad", "beta"]

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
