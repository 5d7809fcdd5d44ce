"""What JSON knows of a value."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from hsicfast.files import jsonable
from hsicfast.space.search_space import Float


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_plain_is_strict_json_and_stays(value):
    once = jsonable(value)
    assert jsonable(json.loads(json.dumps(once, allow_nan=False))) == once


def test_plain_names_what_json_lacks():
    assert jsonable([math.sin, object(), Float]) == ["sin", "object", "Float"]
