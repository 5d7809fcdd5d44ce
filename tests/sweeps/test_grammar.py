"""Hydra's sweep grammar as a search space."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from hsicfast.errors import InputError
from hsicfast.space.search_space import Bool, Choice, Float, Int
from hsicfast.sweeps.grammar import swept_space


def swept(*arguments, params=None, active_if=None):
    return swept_space(OverridesParser.create(), params or {}, arguments, active_if or {})


class TestSpace:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("interval(0,1)", Float(0.0, 1.0)),
            ("tag(log,interval(1e-5,1e-1))", Float(1e-5, 1e-1, log=True)),
            ("int(interval(1,9))", Int(1, 9)),
            ("tag(int,interval(1,9))", Int(1, 9)),
            ("tag(log,int(interval(1,64)))", Int(1, 64, log=True)),
            ("tag(log,int,interval(1,64))", Int(1, 64, log=True)),
            ("range(1,10)", Int(1, 9)),
            ("range(0,10,3)", Int(0, 9, step=3)),
            ("range(10,0,-3)", Int(1, 10, step=3)),
            ("range(0,1,0.25)", Float(0.0, 0.75, step=0.25)),
            ("tag(log,range(1,9))", Int(1, 8, log=True)),
            ("adam,sgd", Choice(["adam", "sgd"])),
            ("choice(8,16,32)", Choice([8, 16, 32])),
            ("shuffle(choice(8,16,32))", Choice([8, 16, 32])),
            ("true,false", Bool()),
            ("true,false,null", Choice([True, False, None])),
            ("'a b','c=d'", Choice(["a b", "c=d"])),
            ("[8,8],[16]", Choice([[8, 8], [16]])),
            ("{a:1},{a:2}", Choice(["{a:1}", "{a:2}"])),
        ],
    )
    def test_each_sweep_is_a_hyperparameter(self, written, read):
        assert swept(f"x={written}").space["x"] == read

    def test_the_command_replaces_a_param(self):
        params = {"lr": "interval(0,1)", "optimizer": "adam,sgd", "epochs": 3, "note": None}
        found = swept("optimizer=sgd", "+model.width=range(1,4)", "~extra", params=params)
        assert list(found.space) == ["lr", "model.width"]
        assert found.fixed == ("optimizer=sgd", "epochs=3", "note=null", "~extra")
        assert found.overrides({"lr": 0.5, "model.width": 2})[-2:] == ["lr=0.5", "+model.width=2"]

    def test_a_sweep_of_one_value_is_fixed(self):
        assert swept("x=choice(3)", "y=interval(0,1)").fixed == ("x=3",)

    def test_conditions(self):
        conditions = {"momentum": {"optimizer": "sgd"}, "damp": {"momentum": [0, 1], "optimizer": ["sgd", "rms"]}}
        three = ("optimizer=adam,sgd,rms", "momentum=range(0,3)", "damp=interval(0,1)")
        space = swept(*three, active_if=conditions).space
        assert space["momentum"].conditions == {"optimizer": ("sgd",)}
        assert space["damp"].conditions == {"momentum": (0, 1), "optimizer": ("sgd", "rms")}

    def test_conditions_on_what_is_fixed(self):
        conditions = {"momentum": {"optimizer": "sgd"}, "damp": {"momentum": 1}}
        for optimizer, names in (("sgd", ["momentum", "damp", "lr"]), ("adam", ["lr"])):
            arguments = (f"optimizer={optimizer}", "momentum=range(0,3)", "damp=interval(0,1)", "lr=interval(0,1)")
            space = swept(*arguments, active_if=conditions).space
            assert list(space) == names
        assert "optimizer" not in dict(swept("optimizer=sgd", *three_of(), active_if=conditions).space)

    @pytest.mark.parametrize(
        ("arguments", "active_if", "said"),
        [
            (["x=3"], {}, "a sweep must say what to try, but every override has one value; write 'lr=tag"),
            (["x=tag(lgo,interval(1,2))"], {}, "x: interval() takes the tag log or int, but got 'lgo'; did you mean"),
            (["x=tag(log,choice(1,2))"], {}, "x: choice() takes no tag, but got 'log'; leave it out"),
            (["x=tag(int,range(1,3))"], {}, "x: range() takes the tag log, but got 'int'; choose one of log"),
            (["x=tag(log,interval(0,1))"], {}, "x: `low > 0` must hold where log=True, but got low=0.0"),
            (["x=tag(int,interval(0.5,1))"], {}, "x: Int takes whole numbers, but got low=0.5"),
            (["x=range(1,2)"], {}, "x: a range must have at least 2 values, but got [1] of range(1,2,1)"),
            (["x=a,a"], {}, "x: choices must differ from each other"),
            (["x=a,b"], {"y": {"x": "a"}}, "active_if must name a swept key, but got 'y'; choose one of x"),
            (["x=a,b", "y=range(1,3)"], {"y": "x"}, "must say for 'y' which values of which key, but got 'x'"),
            (["x=a,b", "y=range(1,3)"], {"y": {"z": 1}}, "must name a hyperparameter of the space, but 'y' depends"),
        ],
    )
    def test_refusals(self, arguments, active_if, said):
        with pytest.raises(InputError) as refused:
            swept(*arguments, active_if=active_if)
        assert said in str(refused.value)


def three_of():
    return "momentum=range(0,3)", "damp=interval(0,1)", "lr=interval(0,1)"


WORDS = [
    "2",
    "-2.5",
    "1e-05",
    "true",
    "null",
    "a",
    "'a, b'",
    "'it\\'s'",
    "[1,2]",
    "[]",
    "{a:1}",
    "'{x}'",
    "'a=b'",
    "x.y",
]


class TestOverrides:
    @given(st.lists(st.sampled_from(WORDS), min_size=2, max_size=6, unique=True), st.integers(0, 5))
    def test_a_choice_comes_back_as_it_was_written(self, words, place):
        found = swept(f"x={','.join(words)}")
        own = found.space["x"]
        if isinstance(own, Bool):
            return
        place %= len(words)
        override = found.overrides({"x": own.choices[place]})[0]
        parser = OverridesParser.create()
        assert parser.parse_override(override).value() == parser.parse_override(f"x={words[place]}").value()

    @given(st.floats(0, 1), st.sampled_from(["interval(1e-300,1e300)", "interval(-1,1)", "range(0,2000,3)"]))
    def test_a_number_comes_back_as_itself(self, u, written):
        found = swept(f"x={written}")
        value = found.space["x"].from_unit(u)
        again = OverridesParser.create().parse_override(found.overrides({"x": value})[0]).value()
        assert again == value
        assert type(again) is type(value)
