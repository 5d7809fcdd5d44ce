"""Numbers, goals and names as people read them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hsicfast.goal import Threshold


def goal_text(goal: float | int | Threshold, minimize: bool = True) -> str:
    """What a good trial is, after "ends".

    Examples
    --------
    >>> goal_text(0.1), goal_text(20), goal_text(Threshold(0.05)), goal_text(Threshold(0.9), minimize=False)
    ('among the best 10%', 'among the best 20', 'at or below 0.05', 'at or above 0.9')
    """
    if isinstance(goal, Threshold):
        return f"at or {'below' if minimize else 'above'} {number(goal.value)}"
    if isinstance(goal, int | np.integer):
        return f"among the best {goal}"
    return f"among the best {share_text(goal)}"


def number(value: Any, digits: int = 4) -> str:
    """A measured number as people read it.

    Examples
    --------
    >>> number(0.0123456), number(1234567.0), number(None), number(float("nan"))
    ('0.01235', '1,234,567', 'unknown', 'unknown')
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool | np.bool_ | str):
        return str(value)
    value = 0.0 if abs(value) < 1e-12 else value  # what rounding leaves of zero
    whole = math.isfinite(value) and float(value).is_integer() and abs(value) < 1e12
    return f"{int(value):,}" if whole else value_text(float(value), digits)


def ratio(value: float) -> str:
    """A number around 0 to 1 with three decimals, so that a column of them compares at a glance."""
    return f"{value:z.3f}" if math.isfinite(value) else "unknown"


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, which would upset a figure or a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def clip(name: str, most: int = 30) -> str:
    """`name` in one line of at most `most` characters, of which both ends are kept.

    Examples
    --------
    >>> clip("a_very_long_name_of_a_hyperparameter", 20)
    'a_very_lon…parameter'
    """
    name = one_line(name)
    if len(name) > most:
        name = f"{name[: most // 2]}…{name[len(name) - (most - most // 2 - 1) :]}"
    return name


def shorten(name: str, most: int = 30) -> str:
    """`name` clipped as matplotlib may draw it: its dollar signs start no formula."""
    return clip(name, most).replace("$", r"\$")


def value_text(value: Any, digits: int = 4) -> str:
    """A value in few characters: `digits` digits of a number, everything else as it is."""
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
    """A p-value as people read it.

    Examples
    --------
    >>> p_text(0.0004), p_text(0.03217), p_text(float("nan"))
    ('<0.001', '0.032', 'unknown')
    """
    if not math.isfinite(pvalue):
        return "unknown"
    return "<0.001" if pvalue < 0.001 else f"{pvalue:.3f}"
