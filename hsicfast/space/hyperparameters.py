"""The four types of hyperparameter: which values each may take, how they are distributed, and when it exists.

Every hyperparameter owns the map between its values and the unit interval. The map is its own distribution
function, so a value drawn from that distribution is mapped to a uniform one on [0, 1] whatever the type, and
indices of different hyperparameters can be compared (Novello et al. 2023, section 4). A discrete value stands
for an interval of [0, 1] as long as its probability: :meth:`Hyperparameter.to_unit` is the middle of that
interval, :meth:`Hyperparameter.width` its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.space.checks import check_bounds, check_texts, check_weights, column_of, is_number, numbers_within

# Up to MOST_VALUES numbers are listed one by one; a whole number may have billions.
MOST_VALUES = 1000


@dataclass(frozen=True)
class Hyperparameter:
    """What the four types share; use :class:`Float`, :class:`Int`, :class:`Choice` or :class:`Bool`."""

    @property
    def levels(self) -> int | None:
        """Number of values, or None for a continuum."""
        raise NotImplementedError

    @property
    def values(self) -> tuple[Any, ...]:
        """All values in order; empty for a continuum, and for more than MOST_VALUES numbers.

        Examples
        --------
        >>> Int(1, 5, step=2).values, Float(0, 1, step=0.5).values, Bool().values, Float(0, 1).values
        ((1, 3, 5), (0.0, 0.5, 1.0), (False, True), ())
        """
        levels = self.levels
        return () if levels is None or levels > MOST_VALUES else tuple(map(self._value, range(levels)))

    def to_unit(self, values: ArrayLike) -> Floats:
        """Map values (n,) to [0, 1] by the distribution function; a discrete one to the middle of its step."""
        low, high = self._interval(column_of(values))
        return (low + high) / 2

    def width(self, values: ArrayLike) -> Floats:
        """Length (n,) of the interval of [0, 1] that each value stands for; 0 for a continuum."""
        low, high = self._interval(column_of(values))
        return high - low

    def to_level(self, values: ArrayLike) -> NDArray[np.int64]:
        """Place (n,) of each value among the :attr:`levels`, from 0; not for a continuum."""
        return self._level(column_of(values)).astype(np.int64)

    def steps(self) -> tuple[Floats, Floats]:
        """Middle and length of the interval of [0, 1] for each of the :attr:`levels`; not for a continuum.

        Examples
        --------
        >>> Int(1, 4).steps()
        (array([0.125, 0.375, 0.625, 0.875]), array([0.25, 0.25, 0.25, 0.25]))
        """
        low, high = self._step(np.arange(self.levels or 0, dtype=np.float64))
        return (low + high) / 2, high - low

    def from_unit(self, u: float) -> Any:
        """Value at the quantile `u` in [0, 1]; the inverse of :meth:`to_unit`."""
        return self._value(level_at(u, self.levels or 0, self._weights))

    def contains(self, value: Any) -> bool:
        """Whether `value` is one this hyperparameter may take."""
        raise NotImplementedError

    def _interval(self, values: NDArray[Any]) -> tuple[Floats, Floats]:
        """Both ends (n,) of the intervals that the values (n,) stand for, which it checks."""
        return self._step(self._level(values))

    def _level(self, values: NDArray[Any]) -> Floats:
        raise NotImplementedError

    def _step(self, level: Floats) -> tuple[Floats, Floats]:
        return step_of(level, self.levels or 0, self._weights)

    def _value(self, level: int) -> Any:
        raise NotImplementedError

    @property
    def _weights(self) -> Sequence[float] | None:
        """Weight of each level; equal if None. A Float has levels only if it has no law."""
        law: Sequence[float] | None = getattr(self, "law", None)
        return law

    @property
    def conditions(self) -> dict[str, tuple[Any, ...]]:
        """For each parent, the values of it under which this hyperparameter exists."""
        active_if: Mapping[str, Any] | None = getattr(self, "active_if", None)
        return {
            name: tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
            for name, value in (active_if or {}).items()
        }


@dataclass(frozen=True)
class Float(Hyperparameter):
    """A real number in [low, high].

    Parameters
    ----------
    low, high : float
        Bounds, both included, ``low < high``.
    log : bool
        Uniform in the logarithm; needs ``low > 0`` and no `step`.
    step : float, optional
        Values ``low, low + step, ...`` up to `high`, equally likely.
    active_if : mapping, optional
        Parent name -> value or list of values under which this hyperparameter exists; all must hold.
    law : frozen scipy distribution, optional
        Another distribution (an object with ``cdf`` and ``ppf``), cut to [low, high].

    Raises
    ------
    InputError
        If a rule above is broken.

    Examples
    --------
    >>> rate = Float(1e-4, 1.0, log=True)
    >>> rate.to_unit([1e-4, 1e-2, 1.0])
    array([0. , 0.5, 1. ])
    >>> rate.from_unit(0.25)
    0.001
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    active_if: Mapping[str, Any] | None = None
    law: Any = None

    def __post_init__(self) -> None:
        check_bounds("Float", self.low, self.high)
        if self.log and self.low <= 0:
            raise InputError(f"`low > 0` must hold where log=True, but got low={self.low}; raise low or drop log")
        if self.step is not None and (self.log or self.law is not None):
            raise InputError(f"`step` goes with neither `log` nor `law`, but got step={self.step}; drop one of them")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise InputError(
                f"`0 < step <= high - low` must hold, but got step={self.step} on [{self.low}, {self.high}]; "
                "give a smaller step"
            )
        if self.law is not None and (self.log or not (hasattr(self.law, "cdf") and hasattr(self.law, "ppf"))):
            raise InputError(
                f"`law` must be a frozen scipy distribution and log=False, but got law={self.law!r}, log={self.log}; "
                "pass scipy.stats.loguniform(low, high) and the like"
            )

    @property
    def levels(self) -> int | None:
        # 1e-9 forgives the rounding of a step like 0.1.
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def contains(self, value: Any) -> bool:
        """Whether `value` is a number in [low, high], on a step or between two."""
        return is_number(value) and self.low <= value <= self.high

    def from_unit(self, u: float) -> float:
        """See :meth:`Hyperparameter.from_unit`."""
        if self.step is not None:
            return self._value(level_at(u, self.levels or 0, None))
        if self.law is not None:
            below, above = self.law.cdf(self.low), self.law.cdf(self.high)
            value = float(self.law.ppf(below + u * (above - below)))
        elif self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
            # 15 digits: the exponential of a logarithm should not turn 0.001 into 0.0009999999999999998.
            value = float(f"{value:.15g}")
        else:
            value = self.low + u * (self.high - self.low)
        return min(max(value, float(self.low)), float(self.high))

    def _interval(self, values: NDArray[Any]) -> tuple[Floats, Floats]:
        if self.step is not None:
            return super()._interval(values)
        x = self._numbers(values)
        if self.law is not None:
            below, above = self.law.cdf(self.low), self.law.cdf(self.high)
            u = (self.law.cdf(x) - below) / (above - below)
        elif self.log:
            u = (np.log(x) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            u = (x - self.low) / (self.high - self.low)
        u = np.clip(u, 0.0, 1.0)
        return u, u

    def _numbers(self, values: NDArray[Any]) -> Floats:
        return numbers_within(values, self.low, self.high, None, self.contains)

    def _level(self, values: NDArray[Any]) -> Floats:
        step, levels = self.step or math.nan, self.levels or 0
        return np.asarray(np.clip(np.rint((self._numbers(values) - self.low) / step), 0, levels - 1))

    def _value(self, level: int) -> float:
        return float(f"{self.low + (self.step or math.nan) * level:.15g}")


@dataclass(frozen=True)
class Int(Hyperparameter):
    """A whole number in low, low + step, ..., high.

    Parameters
    ----------
    low, high : int
        Bounds, both included, ``low < high``.
    log : bool
        Uniform in the logarithm: v has the probability of [v - 1/2, v + 1/2] under log-uniform; needs
        ``low >= 1`` and ``step = 1``.
    step : int
        Distance between neighbours.
    active_if : mapping, optional
        Parent name -> value or list of values under which this hyperparameter exists; all must hold.
    law : sequence of float, optional
        Weight of each value, in order.

    Raises
    ------
    InputError
        If a rule above is broken.

    Examples
    --------
    >>> depth = Int(1, 4)
    >>> depth.to_unit([1, 4])
    array([0.125, 0.875])
    >>> [depth.from_unit(u) for u in (0.0, 0.3, 1.0)]
    [1, 2, 4]
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    active_if: Mapping[str, Any] | None = None
    law: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_bounds("Int", self.low, self.high)
        if not all(float(v).is_integer() for v in (self.low, self.high, self.step)):
            raise InputError(
                f"Int takes whole numbers, but got low={self.low}, high={self.high}, step={self.step}; use Float"
            )
        if self.log and (self.low < 1 or self.step != 1 or self.law is not None):
            raise InputError(
                f"`low >= 1`, step=1 and no law must hold where log=True, but got low={self.low}, step={self.step}, "
                f"law={self.law}; change them or drop log"
            )
        if not 1 <= self.step <= self.high - self.low:
            raise InputError(
                f"`1 <= step <= high - low` must hold, but got step={self.step} on [{self.low}, {self.high}]; "
                "give a smaller step"
            )
        check_weights(self.law, self.levels)

    @property
    def levels(self) -> int:
        return (self.high - self.low) // self.step + 1

    def contains(self, value: Any) -> bool:
        """Whether `value` is one of low, low + step, ..., high."""
        return (
            is_number(value)
            and float(value).is_integer()
            and self.low <= value <= self.high
            and (int(value) - self.low) % self.step == 0
        )

    def from_unit(self, u: float) -> int:
        """See :meth:`Hyperparameter.from_unit`."""
        if self.log:
            start, stop = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = math.floor(math.exp(start + u * (stop - start)) + 0.5)
            return min(max(value, self.low), self.high)
        return self._value(level_at(u, self.levels, self.law))

    def _level(self, values: NDArray[Any]) -> Floats:
        return (numbers_within(values, self.low, self.high, self.step, self.contains) - self.low) / self.step

    def _step(self, level: Floats) -> tuple[Floats, Floats]:
        if self.log:
            start, stop = math.log(self.low - 0.5), math.log(self.high + 0.5)
            x = self.low + level
            return (np.log(x - 0.5) - start) / (stop - start), (np.log(x + 0.5) - start) / (stop - start)
        return super()._step(level)

    def _value(self, level: int) -> int:
        return self.low + self.step * level


@dataclass(frozen=True)
class Choice(Hyperparameter):
    """One of a few values in no particular order.

    Parameters
    ----------
    choices : sequence
        At least 2 different values (strings, numbers, booleans, None, tuples or lists). A condition on one that is a
        list or a tuple holds it in a list: ``active_if={"layers": [[64, 32]]}``.
    active_if : mapping, optional
        Parent name -> value or list of values under which this hyperparameter exists; all must hold.
    law : sequence of float, optional
        Weight of each choice, in order; equal by default.

    Raises
    ------
    InputError
        If there are fewer than 2 choices, two are equal, or the weights do not fit.

    Examples
    --------
    >>> Choice(["adam", "sgd"], law=[3, 1]).to_unit(["adam", "sgd"])
    array([0.375, 0.875])
    """

    choices: Sequence[Any]
    active_if: Mapping[str, Any] | None = None
    law: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.choices, str) or len(self.choices) < 2:
            raise InputError(
                f"a Choice needs at least 2 choices, but got {self.choices!r}; leave a constant out of the space"
            )
        object.__setattr__(self, "choices", tuple(self.choices))
        if _repeats(self.choices):
            raise InputError(f"choices must differ from each other, but got {list(self.choices)}; remove the repeated")
        check_texts(self.choices)
        check_weights(self.law, self.levels)

    @property
    def levels(self) -> int:
        return len(self.choices)

    @property
    def values(self) -> tuple[Any, ...]:
        """The choices in their order, however many they are."""
        return tuple(self.choices)

    def contains(self, value: Any) -> bool:
        """Whether `value` equals one of the choices."""
        return value in self.choices

    def _level(self, values: NDArray[Any]) -> Floats:
        try:
            position = {choice: level for level, choice in enumerate(self.choices)}.__getitem__
        except TypeError:  # lists have no hash, and are compared one by one
            position = self.choices.index
        try:
            return np.fromiter(map(position, values), dtype=np.float64, count=len(values))
        except (KeyError, TypeError, ValueError):  # TypeError: a list or the like, where no choice is one
            wrong = next(value for value in values.tolist() if not self.contains(value))
            raise InputError(
                f"a value must be one of {list(self.choices)}, but got {wrong!r}; correct it or add it to the choices"
            ) from None

    def _value(self, level: int) -> Any:
        return self.choices[level]


@dataclass(frozen=True)
class Bool(Hyperparameter):
    """False or True.

    Parameters
    ----------
    active_if : mapping, optional
        Parent name -> value or list of values under which this hyperparameter exists; all must hold.
    law : float, optional
        Probability of True, in (0, 1); one half by default.

    Raises
    ------
    InputError
        If `law` is not in (0, 1).

    Examples
    --------
    >>> Bool().to_unit([False, True])
    array([0.25, 0.75])
    """

    active_if: Mapping[str, Any] | None = None
    law: float | None = None

    def __post_init__(self) -> None:
        if self.law is not None and not 0 < self.law < 1:
            raise InputError(
                f"a Bool's law, its probability of True, must lie in (0, 1), but got {self.law}; "
                "leave a constant out of the space"
            )

    @property
    def choices(self) -> tuple[bool, bool]:
        """The two values, in the order of their intervals."""
        return False, True

    @property
    def levels(self) -> int:
        return 2

    @property
    def _weights(self) -> Sequence[float] | None:
        return None if self.law is None else [1 - self.law, self.law]

    def contains(self, value: Any) -> bool:
        """Whether `value` is a boolean; 0 and 1 are none."""
        return isinstance(value, bool | np.bool_)

    def _level(self, values: NDArray[Any]) -> Floats:
        if not set(map(type, values)) <= {bool, np.bool_}:
            wrong = next(value for value in values.tolist() if not self.contains(value))
            raise InputError(f"a Bool is False or True, but got {wrong!r}; correct the value or use Choice")
        return values.astype(np.float64)

    def _value(self, level: int) -> bool:
        return bool(level)


def level_at(u: float, levels: int, law: Sequence[float] | None) -> int:
    """The level whose step holds the quantile `u`; `law` gives each level's weight, equal if it is None."""
    if law is None:
        return min(int(u * levels), levels - 1)
    return min(int(np.searchsorted(_edges(law), u, side="right")) - 1, levels - 1)


def step_of(level: Floats, levels: int, law: Sequence[float] | None) -> tuple[Floats, Floats]:
    """Both ends (n,) of the steps of the levels (n,); `law` as in :func:`level_at`."""
    if law is None:
        return level / levels, (level + 1) / levels
    edges = _edges(law)
    position = level.astype(np.intp)
    return edges[position], edges[position + 1]


def _repeats(choices: Sequence[Any]) -> bool:
    """Whether two choices are equal."""
    try:
        if len(set(choices)) == len(choices):
            return False
    except TypeError:  # lists have no hash
        pass
    return any(a == b for i, a in enumerate(choices) for b in choices[:i])


def _edges(law: Sequence[float]) -> Floats:
    weights = np.asarray(law, dtype=np.float64)
    return np.concatenate(([0.0], np.cumsum(weights) / weights.sum()))
