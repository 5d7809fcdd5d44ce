"""Text for people: numbers, shares, p-values and names."""

from __future__ import annotations

import difflib
import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# A text that a training leaves, such as a message, is stored with at most about MOST_KEPT characters.
MOST_KEPT = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def number(value: Any, digits: int = 4) -> str:
    """A measured number with `digits` digits; whole numbers get thousands separators, unknown ones a word.

    Examples
    --------
    >>> number(0.0123456), number(1234567.0), number(None), number(float("nan"))
    ('0.01235', '1,234,567', 'unknown', 'unknown')
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool | np.bool_ | str):
        return str(value)
    value = 0.0 if abs(value) < 1e-12 else value  # a value this small is a rounding error of zero
    whole = math.isfinite(value) and float(value).is_integer() and abs(value) < 1e12
    return f"{int(value):,}" if whole else value_text(float(value), digits)


def ratio(value: float) -> str:
    """A number between about 0 and 1 with three decimals, so that the numbers in a column are easy to compare."""
    return f"{value:z.3f}" if math.isfinite(value) else "unknown"


def one_line(text: str) -> str:
    """`text` with a space for each line break and control character, which would break a figure or a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def kept(text: str, most: int = MOST_KEPT) -> str:
    """`text` as it is stored: at most about `most` characters, in whole lines that every format can hold.

    A longer text loses its middle. A carriage return ends a line; other control characters, and halves of characters
    that no encoding can write, become their escapes.

    Examples
    --------
    >>> kept("epoch 1\\repoch 2\\x1b[31m\\udc80")
    'epoch 1\\nepoch 2\\\\x1b[31m\\\\udc80'
    >>> kept("a" * 50 + "b" * 50, most=10)
    'aaaaa … 90 characters … bbbbb'
    """
    if len(text) > most:
        text = f"{text[: most // 2]} … {len(text) - 2 * (most // 2):,} characters … {text[-(most // 2) :]}"
    if text.isprintable() and text.isascii():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def is_text(value: Any) -> bool:
    """Whether `value` is a text that can be written as UTF-8: half a character of a file's name cannot.

    >>> is_text("é"), is_text("\\udc80"), is_text(1)
    (True, False, False)
    """
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value


def clip(name: str, most: int = 30) -> str:
    """`name` in one line of at most `most` characters; a longer name loses its middle.

    Examples
    --------
    >>> clip("a_very_long_name_of_a_hyperparameter", 20)
    'a_very_lon…parameter'
    """
    name = one_line(name)
    if len(name) > most:
        name = f"{name[: most // 2]}…{name[len(name) - (most - most // 2 - 1) :]}"
    return name


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Names with commas between them; of more than `most`, the first and how many more.

    Examples
    --------
    >>> listed("abc"), listed(range(400), most=3)
    ('a, b, c', '0, 1, 2, … and 397 more')
    """
    texts = list(map(str, names))
    if len(texts) <= most + 1:  # "and 1 more" is no shorter than its name
        return ", ".join(texts)
    return f"{', '.join(texts[:most])}, … and {len(texts) - most:,} more"


def html_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A small table for a notebook: plain HTML without scripts, with every text escaped.

    Examples
    --------
    >>> html_table("<1", ["name"], [["a&b"]])
    '<p>&lt;1</p><table><tr><th>name</th></tr><tr><td>a&amp;b</td></tr></table>'
    """

    def line(cells: Iterable[Any], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(one_line(str(cell)))}</{tag}>' for cell in cells)}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<p>{html.escape(one_line(title))}</p><table>{line(heads, 'th')}{body}</table>"


def named(names: Iterable[str], most: int = 5) -> str:
    """Names for one short line: each clipped, of many the first and how many more.

    Examples
    --------
    >>> named(["rate", "width"]), len(named(["long" * 100] * 1000)) < 200
    ('rate, width', True)
    """
    return listed((clip(name) for name in names), most)


def value_text(value: Any, digits: int = 4) -> str:
    """A value in a few characters: a float with `digits` digits, any other value unchanged."""
    if not isinstance(value, float | np.floating):
        return str(value)
    return f"{value:.{digits}g}" if math.isfinite(value) else "unknown"


def share_text(share: float) -> str:
    """A fraction in percent.

    Examples
    --------
    >>> share_text(0.1), share_text(0.125)
    ('10%', '12.5%')
    """
    return f"{100 * share:.3g}%"


def p_text(pvalue: float) -> str:
    """A p-value with three decimals, or "<0.001".

    Examples
    --------
    >>> p_text(0.0004), p_text(0.03217), p_text(float("nan"))
    ('<0.001', '0.032', 'unknown')
    """
    if not math.isfinite(pvalue):
        return "unknown"
    return "<0.001" if pvalue < 0.001 else f"{pvalue:.3f}"


def nearest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A question for the one of `known` that was probably meant by `word`; else all of them, or what `otherwise` says.

    Examples
    --------
    >>> nearest("n_trails", ["seed", "n_trials"]), nearest("strategy.desing", ["strategy.design", "design"])
    ('did you mean n_trials?', 'did you mean strategy.design?')
    >>> nearest("x", ["seed", "n_trials"]), nearest("x", []), nearest("x", ["seed"], "leave it out")
    ('choose one of seed, n_trials', 'leave it out', 'leave it out')
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return otherwise or (f"choose one of {listed(names)}" if names else "leave it out")
