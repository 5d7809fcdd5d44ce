"""Which rows repeat a configuration, and which are equal by chance in a small space."""

import numpy as np
import pytest

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable
from hsicfast.trials.repeats import merged

SMALL = {
    "flat": SearchSpace({"p": Bool(), "kind": Choice(["a", "b", "c"])}),
    "two conditions": SearchSpace({"p": Bool(), "q": Bool(), "child": Bool(active_if={"p": True, "q": True})}),
    "nested": SearchSpace(
        {
            "kind": Choice(["a", "b", "c"]),
            "size": Int(1, 3, active_if={"kind": ["a", "b"]}),
            "deep": Bool(active_if={"kind": "a", "size": [1, 2]}),
        }
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_independent_draws_of_a_small_space_are_no_repeats(name):
    space = SMALL[name]
    for seed in range(10):
        random = np.random.default_rng(seed)
        rows = [space.from_unit(random.random(len(space))) for _ in range(200)]
        values = {own: [row.get(own) for row in rows] for own in space}
        found = merged(TrialTable.from_arrays(space, values, random.random(200)))
        assert len(found.table) == found.rows == 200


@pytest.mark.parametrize("counts", [[3] * 40, [1, 2, 3, 4] * 10])
def test_repeats_below_two_conditions_are_one_trial(counts):
    child = Float(0, 1, active_if={"p": True, "q": True})
    space = SearchSpace({"p": Bool(), "q": Bool(), "child": child, "n": Int(1, 99)})
    random = np.random.default_rng(0)
    rows = [space.from_unit(random.random(4)) for _ in counts]
    different = len({tuple(row.items()) for row in rows})
    values = {own: np.repeat(np.array([row.get(own) for row in rows], dtype=object), counts) for own in space}
    found = merged(TrialTable.from_arrays(space, values, random.random(sum(counts))))
    assert (len(found.table), found.rows) == (different, sum(counts))
