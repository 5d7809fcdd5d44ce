"""The one error that speaks to a person, the checks that raise it, and positions that a function no longer takes."""

import functools
import inspect
import types
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
# The release that takes no more positions beyond the first ones.
REFUSED_FROM = "0.3"


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


def keyword_only_after(
    first: int, last: str
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Let a function whose signature has become keyword-only still take the positions it used to take, with a warning.

    Signature, docstring and types stay those of the function as it is written.

    Parameters
    ----------
    first : int
        How many parameters the function takes by position.
    last : str
        The last of those behind them that callers may still give by position.

    Warns
    -----
    FutureWarning
        Names the keywords of the positions in use.

    Examples
    --------
    >>> @keyword_only_after(1, last="power")
    ... def raised(x, *, power=2):
    ...     return x**power
    >>> raised(3, power=3), str(inspect.signature(raised))
    (27, '(x, *, power=2)')
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        names = list(inspect.signature(function).parameters)
        moved = names[first : names.index(last) + 1]
        name = getattr(function, "__name__", "function")

        def with_keywords(arguments: tuple[Any, ...], options: dict[str, Any]) -> Returned:
            given = moved[: max(len(arguments) - first, 0)]
            if not given or len(arguments) > first + len(moved):
                return function(*arguments, **options)
            spelt = ", ".join(f"{key}=..." for key in given)
            warnings.warn(
                f"{name} takes at most {first} arguments by position, but got {len(arguments)}; write {spelt}, as "
                f"release {REFUSED_FROM} refuses them by position",
                FutureWarning,
                stacklevel=3,
            )
            twice = [key for key in given if key in options]
            if twice:
                raise TypeError(f"{name}() got multiple values for argument {twice[0]!r}")
            return function(*arguments[:first], **dict(zip(given, arguments[first:], strict=True)), **options)

        def caller(*arguments: Any, **options: Any) -> Any:
            return with_keywords(arguments, options)

        # doctest looks only at functions whose globals are those of its module, and skips any other wrapper.
        of_module = types.FunctionType(
            caller.__code__, getattr(function, "__globals__", globals()), name, None, caller.__closure__
        )
        return cast(Callable[Parameters, Returned], functools.wraps(function)(of_module))

    return decorate
