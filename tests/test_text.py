"""Values as texts."""

import math

from hsicfast.text import value_text


def test_value_text():
    assert [value_text(value) for value in (0.123456, 3, True, None, "a", math.inf)] == [
        "0.1235", "3", "True", "None", "a", "unknown",
    ]  # fmt: skip
