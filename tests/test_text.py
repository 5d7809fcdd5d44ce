"""Values, URLs and passwords as texts."""

import math

from hsicfast.text import has_password, hide_password, value_text


def test_value_text():
    assert [value_text(value) for value in (0.123456, 3, True, None, "a", math.inf)] == [
        "0.1235", "3", "True", "None", "a", "unknown",
    ]  # fmt: skip


def test_passwords():
    assert has_password("postgresql+psycopg://u:secret@h/d")
    assert not has_password("postgresql+psycopg://u@h/d")
    assert not has_password("no URL")
    assert has_password("postgresql+psycopg://u@h/d?password=secret")
    assert "secret" not in hide_password("postgresql+psycopg://u:secret@h/d")
    assert "secret" not in hide_password("postgresql+psycopg://u@h/d?password=secret")
