"""The hard limit on the cost: the most that a configuration may cost, and its price before it is trained.

A configuration that is known to be too expensive is never trained. One without a price is trained, and may be the best
if its measured cost turns out to be within the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Bools
from hsicfast.errors import InputError
from hsicfast.text import number, one_line

Price = Callable[[dict[str, Any]], float]

# If MOST_DRAWN configurations in a row are too expensive, then with 95% confidence less than 0.3% of the distribution
# is within the limit.
MOST_DRAWN = 1000


def check_max_cost(max_cost: Any) -> None:
    """Raise an InputError unless `max_cost` is None (no limit) or a finite number above 0."""
    if max_cost is None:
        return
    is_number = isinstance(max_cost, int | float | np.number) and not isinstance(max_cost, bool)
    if not is_number or not 0 < max_cost < math.inf:
        raise InputError(
            f"`max_cost > 0` must hold and be finite, but got {max_cost!r}; give it in the unit of the cost, or leave "
            "it out for no limit"
        )


def meets(cost: ArrayLike, max_cost: float | None) -> Bools:
    """Which costs are known to be within the limit; unknown costs are not, and without a limit all are.

    Examples
    --------
    >>> meets([2.0, 3.0, float("nan")], 2.5), meets([2.0, 3.0, float("nan")], None)
    (array([ True, False, False]), array([ True,  True,  True]))
    """
    costs = np.asarray(cost, dtype=np.float64)
    return np.ones(costs.shape, dtype=bool) if max_cost is None else costs <= max_cost


class CostLimit:
    """The most that a configuration may cost, and the function that gives its price before it is trained.

    Parameters
    ----------
    most : float > 0
    price : callable, optional
        ``price(params)`` in the unit of the cost, NaN if it is unknown; without one no price is known.

    Attributes
    ----------
    refused : int
        Number of configurations that were too expensive so far.
    cheapest : float
        The lowest price seen; infinite before.

    Examples
    --------
    >>> limit = CostLimit(10.0, lambda params: params["width"] ** 2)
    >>> limit.admits({"width": 3}), limit.admits({"width": 4}), limit.refused, limit.cheapest
    (True, False, 1, 9.0)
    """

    def __init__(self, most: float, price: Price | None = None) -> None:
        self.most, self._price = most, price
        self.refused, self.cheapest = 0, math.inf

    def price(self, params: Mapping[str, Any]) -> float:
        """What `params` cost, NaN if that is unknown.

        Raises
        ------
        InputError
            If the price is negative or no number, or computing it raises: to train a configuration that may be too
            expensive would break the limit in silence.
        """
        if self._price is None:
            return math.nan
        try:
            price = float(self._price(dict(params)))
        except Exception as error:
            raise InputError(
                f"a price must be a number, but for {dict(params)} got {type(error).__name__}: {one_line(str(error))}; "
                "correct it, or return NaN where it is unknown"
            ) from error
        if price < 0:
            raise InputError(
                f"`price >= 0` must hold, but got {price:g} for {dict(params)}; correct it, or return NaN where it is "
                "unknown"
            )
        self.cheapest = min(self.cheapest, price if price >= 0 else math.inf)
        return price

    def admits(self, params: Mapping[str, Any]) -> bool:
        """Whether `params` may be trained: they are not known to be too expensive."""
        too_expensive = self.price(params) > self.most
        self.refused += too_expensive
        return not too_expensive

    def affordable(self, drawn: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Those of `drawn` that may be trained.

        Raises
        ------
        InputError
            If MOST_DRAWN in a row may not.
        """
        in_a_row = 0
        for params in drawn:
            if self.admits(params):
                in_a_row = 0
                yield params
                continue
            in_a_row += 1
            if in_a_row == MOST_DRAWN:
                raise InputError(
                    f"some configurations must cost at most max_cost={number(self.most)}, but {number(MOST_DRAWN)} "
                    f"drawn in a row cost more, the cheapest seen {number(self.cheapest)}; raise max_cost, or narrow "
                    "the space to cheaper ones"
                )
