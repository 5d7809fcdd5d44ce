"""Errors whose text is one sentence for a person, checks that many modules share, and helpers that word the texts."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
# REFUSED_FROM: from this release on, keyword-only parameters are refused by position.
REFUSED_FROM = "0.3"


class InputError(ValueError):
    """Input that breaks a stated rule.

    Its text is one sentence: the rule, the value that broke it, the way out. Programs catch it as a
    ``ValueError``; the command line prints the text alone.
    """


class RunError(InputError):
    """A failure of something that a run needs, not of its input: a disk, a database, a lock, a cluster, a worker.

    It lets a program tell "try again" from "correct your input": the same command goes on once the cause that the text
    names is repaired, and the results of the trials that have ended are kept.

    Examples
    --------
    >>> def in_words(action):
    ...     try:
    ...         return action()
    ...     except RunError:
    ...         return "try again"
    ...     except InputError:
    ...         return "correct your input"
    >>> def fail(error):
    ...     raise error
    >>> in_words(lambda: fail(RunError("the disk is full"))), in_words(lambda: fail(InputError("goal is 2")))
    ('try again', 'correct your input')
    """


def unwritable(what: str, path: Path | str, error: BaseException, way_out: str) -> RunError:
    """The error to raise if `error` prevented that `what` was written to `path`.

    Parameters
    ----------
    what : str
        The thing to write, as the subject of the sentence.
    path : Path or str
    error : BaseException
        Its first line becomes part of the sentence.
    way_out : str
        What a person can do about it.
    """
    return RunError(f"{what} must be writable, but {path} gave: {first_line(error)}; {way_out}")


@contextmanager
def writing(what: str, path: Path | str, way_out: str) -> Iterator[None]:
    """Turn an error of the system inside the block, such as a full disk, into one sentence.

    Parameters
    ----------
    what : str
        The thing that the block writes, as the subject of the sentence.
    path : Path or str
        Where the block writes it.
    way_out : str
        What a person can do about it.

    Raises
    ------
    RunError
        If the system refuses; the text gives its reason.

    Examples
    --------
    >>> import pytest
    >>> with pytest.raises(RunError, match="the log must be writable, but /none/log gave: .*; make room"):
    ...     with writing("the log", "/none/log", "make room"):
    ...         open("/none/log", "w")
    """
    try:
        yield
    except OSError as error:
        raise unwritable(what, path, error, way_out) from error


def require(*packages: str, user: str, extra: str = "", way_out: str = "") -> None:
    """Check that packages are installed, without importing them.

    Parameters
    ----------
    *packages : str
        Their names, as a program imports them.
    user : str
        The thing that needs them, as the subject of the sentence.
    extra : str
        The extra of hsicfast that installs them; by default the text names the packages themselves.
    way_out : str
        What a person can do instead of installing them.

    Raises
    ------
    InputError
        If one is missing; the text names it and the command that installs it.

    Examples
    --------
    >>> require("numpy", user="a matrix")
    >>> require("numpy", "oracle", user="a forecast", extra="future")
    Traceback (most recent call last):
    ...
    hsicfast.errors.InputError: a forecast needs numpy and oracle, but oracle cannot be found; pip install
    "hsicfast[future]"
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        wanted = f'"hsicfast[{extra}]"' if extra else " ".join(missing)
        raise InputError(
            f"{user} needs {_listed(packages)}, but {_listed(missing)} cannot be found; pip install {wanted}"
            + (f", or {way_out}" if way_out else "")
        )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(names[:-1])]), names[-1]])


def check_one_of(name: str, value: Any, options: tuple[Any, ...], way_out: str = "choose one of them") -> None:
    """Raise an InputError unless `value` is one of `options`.

    Parameters
    ----------
    name : str
        Name of the value, as the subject of the sentence.
    value : object
    options : tuple
    way_out : str
        What a person can do about it.
    """
    if value not in options:
        raise InputError(f"{name} must be one of {options}, but got {value!r}; {way_out}")


def check_share(name: str, value: Any, usual: float = 0.1, zero: bool = False) -> None:
    """Raise an InputError unless `value` is a number in (0, 1).

    Parameters
    ----------
    name : str
        Name of the value, as the subject of the sentence.
    value : object
    usual : float
        A value that the text suggests.
    zero : bool
        Whether 0 is allowed, too.
    """
    inside = isinstance(value, int | float | np.number) and not isinstance(value, bool) and 0 <= value < 1
    if not inside or (value == 0 and not zero):
        raise InputError(
            f"`0 {'<=' if zero else '<'} {name} < 1` must hold, but got {name}={value}; give a fraction such as {usual}"
        )


def is_whole(value: Any) -> bool:
    """Whether `value` is a Python integer; True and False do not count."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_seed(seed: Any) -> None:
    """Raise an InputError unless `seed` is a whole number from 0 to 2**64 - 1."""
    if not is_whole(seed) or seed < 0:
        raise InputError(f"`seed >= 0` must hold, but got seed={seed!r}; give a whole number")
    if seed >= 2**64:
        raise InputError(f"`seed < 2**64` must hold, but got a number of {seed.bit_length()} bits; use a smaller one")


def check_repeats(repeats: Any) -> None:
    """Raise an InputError unless `repeats` is a whole number of at least 1."""
    if not is_whole(repeats) or repeats < 1:
        raise InputError(f"`repeats >= 1` must hold, but got repeats={repeats!r}; give a whole number")


def first_line(error: BaseException) -> str:
    """The first line of the innermost error; the path is left out of a system error, as our sentence names it already.

    >>> first_line(FileNotFoundError(2, "No such file or directory", "trials.csv"))
    'No such file or directory'
    >>> first_line(KeyError())
    'KeyError'
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "strerror", None) or text_of(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """The text of an error; empty if the error of somebody else cannot say it.

    >>> class Mute(Exception):
    ...     def __str__(self):
    ...         raise RuntimeError
    >>> text_of(KeyError("x")), text_of(Mute())
    ("'x'", '')
    """
    try:
        return str(error)
    except Exception:  # noqa: BLE001 -- code of somebody else
        return ""


def keyword_only_after(
    first: int, last: str
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Let a function that has become keyword-only still accept parameters by position, with a warning.

    Signature, docstring and types stay those of the function as it is written.

    Parameters
    ----------
    first : int
        Number of parameters that the function takes by position.
    last : str
        The last of the other parameters that callers may still pass by position.

    Warns
    -----
    FutureWarning
        If a parameter behind the `first` ones is passed by position; the text names its keyword.

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

        # doctest tests a function only if its globals are those of the tested module, which a plain wrapper's are not.
        of_module = types.FunctionType(
            caller.__code__, getattr(function, "__globals__", globals()), name, None, caller.__closure__
        )
        return cast(Callable[Parameters, Returned], functools.wraps(function)(of_module))

    return decorate
