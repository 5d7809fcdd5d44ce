"""The one error that speaks to a person."""

from typing import Any

import numpy as np


class InputError(ValueError):
    """Input that breaks a stated rule.

    Its text is one sentence: the rule, the value that broke it, the way out. Programs catch it as a
    ``ValueError``; the command line prints the text alone.
    """


def check_one_of(name: str, value: Any, options: tuple[Any, ...], way_out: str = "choose one of them") -> None:
    if value not in options:
        raise InputError(f"{name} must be one of {options}, but got {value!r}; {way_out}")


def check_share(name: str, value: Any, usual: float = 0.1, zero: bool = False) -> None:
    """Refuse a `value` outside (0, 1), or with `zero` outside [0, 1)."""
    inside = isinstance(value, int | float | np.number) and not isinstance(value, bool) and 0 <= value < 1
    if not inside or (value == 0 and not zero):
        raise InputError(
            f"`0 {'<=' if zero else '<'} {name} < 1` must hold, but got {name}={value}; give a fraction such as {usual}"
        )


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_seed(seed: Any) -> None:
    """Raise an InputError unless `seed` is a whole number from 0."""
    if not is_whole(seed) or seed < 0:
        raise InputError(f"`seed >= 0` must hold, but got seed={seed!r}; give a whole number")


def check_repeats(repeats: Any) -> None:
    """Raise an InputError unless `repeats` is a whole number from 1."""
    if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
        raise InputError(f"`repeats >= 1` must hold, but got repeats={repeats!r}; give a whole number")


def reason(error: BaseException) -> str:
    """The innermost error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
