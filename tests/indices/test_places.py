"""Where the good trials lie, in words that say something."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast import Float, Int, SearchSpace, TrialTable, analyse
from hsicfast.indices.places import _emptiest, _lift, _of_numbers, where_good


def test_few_levels_with_good_trials_at_both_ends():
    layers = np.repeat([1, 2, 3, 4], 50)
    random = np.random.default_rng(0)
    loss = np.where(np.isin(layers, (1, 4)), 0, 1) + 0.01 * random.random(200)
    space = SearchSpace({"layers": Int(1, 4), "x": Float(0, 1)})
    found = analyse(
        space, TrialTable.from_arrays(space, {"layers": layers, "x": random.random(200)}, loss), pairs=False
    )
    assert where_good(found, "layers") == "100% of the good trials, and 50% of all, lie up to 1 or from 4 on"


def test_numbers_with_good_trials_at_both_ends():
    values = np.arange(100) / 100
    good = (values < 0.1) | (values >= 0.9)
    assert _of_numbers(values, good) == "100% of the good trials, and 20% of all, lie up to 0.09 or from 0.9 on"


@pytest.mark.parametrize("good", [slice(0, 20), slice(40, 60), slice(80, 100)])
def test_good_trials_in_one_range(good):
    z = np.zeros(100, dtype=bool)
    z[good] = True
    assert "lie from" in _of_numbers(np.arange(100.0), z)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=3, max_size=30))
def test_no_other_gap_is_emptier(rows):
    values, z = (np.array(column) for column in zip(*rows, strict=True))
    different = np.unique(values)
    if not z.any() or len(different) < 3:
        return
    last, first = _emptiest(values.astype(float), z)
    got = _lift((values <= last) | (values >= first), z)
    pairs = [(a, b) for place, a in enumerate(different) for b in different[place + 1 :]]
    assert got == pytest.approx(max(_lift((values <= a) | (values >= b), z) for a, b in pairs))
