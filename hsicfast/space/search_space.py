"""The search space: named hyperparameters and the conditions under which each exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.errors import InputError
from hsicfast.space.hyperparameters import Bool, Choice, Float, Hyperparameter, Int
from hsicfast.text import clip, html_table, is_text, named

# Columns that every table of trials has beside the hyperparameters: the fields of a Trial that a frame shows. The space
# lies below the trials and cannot ask them, so that a test holds the two together.
RESERVED = ("objective", "cost", "status", "index", "origin", "seed", "failure", "message")
# A representation is the whole space up to so many characters; a notebook shows so many hyperparameters, so wide.
LONGEST, SHOWN, WIDEST = 380, 20, 80

__all__ = ["RESERVED", "Bool", "Choice", "Float", "Hyperparameter", "Int", "SearchSpace"]


class SearchSpace(Mapping[str, Hyperparameter]):
    """Named hyperparameters and the conditions under which each exists.

    Parameters
    ----------
    hyperparameters : mapping of str to Float, Int, Choice or Bool
        In the order of columns and tables.

    Raises
    ------
    InputError
        No hyperparameter; a reserved name; a condition on a name or value that does not exist, on a Float, or
        in a circle.

    Examples
    --------
    >>> space = SearchSpace({
    ...     "optimizer": Choice(["adam", "sgd"]),
    ...     "momentum": Float(0.0, 0.99, active_if={"optimizer": "sgd"}),
    ... })
    >>> space.from_unit([0.2, 0.5])
    {'optimizer': 'adam'}
    >>> space.from_unit([0.7, 0.5])
    {'optimizer': 'sgd', 'momentum': 0.495}
    >>> space.group("momentum")
    'optimizer=sgd'
    """

    def __init__(self, hyperparameters: Mapping[str, Hyperparameter]) -> None:
        self._hyperparameters = dict(hyperparameters)
        if not self._hyperparameters:
            raise InputError("a search space needs at least one hyperparameter, but got none; add one")
        for name, hyperparameter in self._hyperparameters.items():
            if not isinstance(hyperparameter, Hyperparameter):
                raise InputError(
                    f"a hyperparameter must be Float, Int, Choice or Bool, but {name!r} is {hyperparameter!r}; wrap it"
                )
            if not is_text(name):
                raise InputError(
                    f"a hyperparameter's name must be a text that can be written as UTF-8, but got {name!a}; rename it"
                )
            if name in RESERVED:
                raise InputError(f"a hyperparameter may not be named one of {RESERVED}, but got {name!r}; rename it")
            self._check_conditions(name)
        self.parents_first = self._parents_first()

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._hyperparameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hyperparameters)

    def __len__(self) -> int:
        return len(self._hyperparameters)

    def __repr__(self) -> str:
        whole = f"SearchSpace({self._hyperparameters!r})"
        return whole if len(whole) <= LONGEST else f"SearchSpace of {len(self)} hyperparameters: {named(self)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = [(clip(name), clip(repr(self[name]), WIDEST)) for name in islice(self, SHOWN)]
        more = f", the first {SHOWN}" if len(self) > SHOWN else ""
        title = f"{len(self)} hyperparameter{'s' if len(self) > 1 else ''}{more}"
        return html_table(title, ("name", "kind"), rows)

    def is_active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Whether `name` exists given the values in `params`."""
        return all(
            parent in params and params[parent] in values and self.is_active(parent, params)
            for parent, values in self[name].conditions.items()
        )

    def from_unit(self, point: ArrayLike) -> dict[str, Any]:
        """Params at a `point` (d,) of the unit cube, one coordinate a hyperparameter; only active names.

        Inactive hyperparameters have an unused coordinate: the others keep theirs, whatever is active.
        """
        coordinate = dict(zip(self, np.asarray(point, dtype=np.float64), strict=True))
        return self.fill(lambda name: self[name].from_unit(float(coordinate[name])))

    def fill(self, value_of: Callable[[str], Any]) -> dict[str, Any]:
        """Params with ``value_of(name)`` for each active name, in the order of the space.

        `value_of` is called for parents first, and only for hyperparameters that exist given their parents' values.

        Examples
        --------
        >>> space = SearchSpace({"momentum": Float(0, 1, active_if={"sgd": True}), "sgd": Bool()})
        >>> space.fill({"sgd": False}.__getitem__), space.fill({"sgd": True, "momentum": 0.9}.__getitem__)
        ({'sgd': False}, {'momentum': 0.9, 'sgd': True})
        """
        params: dict[str, Any] = {}
        for name in self.parents_first:
            if self.is_active(name, params):
                params[name] = value_of(name)
        return {name: params[name] for name in self if name in params}

    def group(self, name: str) -> str:
        """The conditional group of `name`: ``main``, or the conditions of `name` and its parents as text."""
        conditions = self._all_conditions(name)
        if not conditions:
            return "main"
        return " and ".join(
            f"{parent}={'|'.join(map(str, conditions[parent]))}" for parent in self if parent in conditions
        )

    def depends(self, name: str, parent: str) -> bool:
        """Whether the value of `parent` decides, directly or through others, if `name` exists."""
        return parent in self._all_conditions(name)

    def fix(self, values: Mapping[str, Any]) -> SearchSpace | None:
        """The space that is left once `values` are fixed, or None if nothing is left.

        A condition on a fixed name is settled: if it holds, it is dropped; if it cannot hold, the hyperparameter is
        dropped.
        """
        for name, value in values.items():
            if not self[name].contains(value):
                raise InputError(f"{name!r} must be one of its own values, but got {value!r}; fix it to another")
        left: dict[str, Hyperparameter] = {}
        gone = set()
        for name in self.parents_first:
            conditions = self[name].conditions
            if any(p in gone or (p in values and values[p] not in allowed) for p, allowed in conditions.items()):
                gone.add(name)
            elif name not in values:
                open_conditions = {p: allowed for p, allowed in conditions.items() if p not in values}
                left[name] = replace(self[name], active_if=open_conditions or None)  # type: ignore[call-arg]
        return SearchSpace({name: left[name] for name in self if name in left}) if left else None

    def _check_conditions(self, name: str) -> None:
        for parent, values in self[name].conditions.items():
            if parent not in self:
                raise InputError(
                    f"a condition must name a hyperparameter of the space, but {name!r} depends on {parent!r}; "
                    f"choose among {sorted(set(self) - {name})}"
                )
            if self[parent].levels is None:
                raise InputError(
                    f"a condition needs a parent of single values, but {name!r} depends on the Float {parent!r}; "
                    "use an Int, Choice or Bool"
                )
            for value in values:
                if not self[parent].contains(value):
                    raise InputError(
                        f"a condition must name a value its parent can take, but {name!r} wants {parent}={value!r}; "
                        f"{parent!r} is {self[parent]!r}"
                    )

    def _parents_first(self) -> list[str]:
        order: list[str] = []
        waiting = list(self)
        while waiting:
            ready = [name for name in waiting if all(parent in order for parent in self[name].conditions)]
            if not ready:
                raise InputError(
                    f"conditions may not run in a circle, but these depend on each other: {sorted(waiting)}; "
                    "remove one of their conditions"
                )
            order += ready
            waiting = [name for name in waiting if name not in ready]
        return order

    def _all_conditions(self, name: str) -> dict[str, tuple[Any, ...]]:
        conditions: dict[str, tuple[Any, ...]] = {}
        for parent, values in self[name].conditions.items():
            conditions |= self._all_conditions(parent)
            conditions[parent] = values
        return conditions
