"""The way back from settings.json."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from hsicfast.errors import InputError
from hsicfast.runs.settings import as_kept, space_and_direction
from hsicfast.search.plan import RunPlan
from hsicfast.search.strategies import Random
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace


class TestSpaceOfSettings:
    """The way back from settings.json."""

    def back(self, space, direction="minimize"):
        return space_and_direction(as_kept(RunPlan(space, 8, Random(), direction=direction).description))

    def test_is_the_space(self):
        space = SearchSpace(
            {
                "kind": Choice(["a", 2, None, 0.5], law=[1, 2, 3, 4]),
                "on": Bool(active_if={"kind": ["a", 2]}, law=0.25),
                "n": Int(1, 9, step=2, active_if={"on": True}, law=[1, 1, 2, 2, 3]),
                "width": Int(16, 512, log=True),
                "rate": Float(1e-5, 0.1, log=True, active_if={"kind": None, "width": [16, 17]}),
                "drop": Float(0, 0.9, step=0.1),
            }
        )
        again, minimize = self.back(space)
        assert list(again) == list(space)
        for name in space:
            # A tuple is a list in JSON.
            assert again[name].conditions == space[name].conditions
            np.testing.assert_equal(
                [again[name].from_unit(u) for u in (0.0, 0.3, 0.71, 1.0)],
                [space[name].from_unit(u) for u in (0.0, 0.3, 0.71, 1.0)],
            )
        assert minimize
        assert not self.back(space, "maximize")[1]

    def test_what_json_lacks_goes_by_its_name(self):
        space = SearchSpace(
            {
                "act": Choice([math.tanh, (1, 2), {"a": 1}]),
                "rate": Float(0, 1, law=norm(0.5, 0.1)),
                "more": Bool(active_if={"act": [(1, 2), math.tanh]}),
            }
        )
        again, _ = self.back(space)
        assert list(again["act"].choices) == ["tanh", [1, 2], {"a": 1}]
        assert again["more"].conditions == {"act": ([1, 2], "tanh")}
        assert again["rate"].law is None

    @pytest.mark.parametrize(
        ("kept", "why"),
        [
            ({}, "KeyError: 'space'"),
            ({"space": {"x": {"type": "Real"}}, "direction": "minimize"}, "KeyError: 'Real'"),
            ({"space": {"on": {"type": "Bool"}}, "direction": "down"}, "KeyError: 'down'"),
            (
                {"space": {"x": {"type": "Float", "low": 1, "high": 0}}, "direction": "minimize"},
                "`low < high` must hold",
            ),
            ({"space": []}, "AttributeError"),
        ],
    )
    def test_what_describes_none(self, kept, why):
        with pytest.raises(
            InputError, match=r"settings must describe the space of their run, .*; run the run's"
        ) as error:
            space_and_direction(kept)
        assert why in str(error.value)
