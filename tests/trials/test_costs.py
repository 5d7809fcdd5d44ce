"""The hard limit of the cost."""

import itertools
import math

import numpy as np
import pytest

from hsicfast.errors import InputError
from hsicfast.trials.costs import CostLimit, check_max_cost, meets


def width(params):
    return params["width"]


@pytest.mark.parametrize("wrong", [0, -1.0, math.nan, math.inf, -math.inf, "much", True])
def test_a_limit_is_finite_and_above_0(wrong):
    with pytest.raises(InputError, match=r"^`max_cost > 0` must hold and be finite, but got .*; give it in the unit"):
        check_max_cost(wrong)


@pytest.mark.parametrize("right", [None, 1, 1e-9, np.float32(2)])
def test_what_may_be_a_limit(right):
    check_max_cost(right)


def test_what_is_known_to_be_within():
    costs = [0.0, 2.0, 2.0000001, math.nan, math.inf]
    assert meets(costs, 2.0).tolist() == [True, True, False, False, False]
    assert meets(costs, None).all()
    assert not meets(math.nan, 1e300)


@pytest.mark.parametrize(
    ("price", "admitted"),
    [(0, True), (10, True), (10.000001, False), (math.inf, False), (math.nan, True), (np.float32(11), False)],
)
def test_what_may_be_trained(price, admitted):
    limit = CostLimit(10.0, lambda params: price)
    assert limit.admits({}) is admitted
    assert limit.refused == (not admitted)
    assert limit.cheapest == (math.inf if math.isnan(price) else price)


def test_without_a_price_everything_may():
    limit = CostLimit(10.0)
    assert limit.admits({"width": 1e9})
    assert math.isnan(limit.price({}))


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (lambda p: -1, r"`price >= 0` must hold, but got -1 for {'width': 3}; correct it, or return NaN"),
        (lambda p: -math.inf, r"`price >= 0` must hold, but got -inf"),
        (
            lambda p: p["depth"],
            r"must be a number, but for {'width': 3} got KeyError: 'depth'; correct it, or return NaN",
        ),
        (lambda p: None, "must be a number, but for {'width': 3} got TypeError"),
        ("much", "must be a number, but for {'width': 3} got TypeError: 'str' object is not callable"),
    ],
)
def test_a_price_that_is_none_stops_the_run(price, said):
    with pytest.raises(InputError, match=said):
        CostLimit(10.0, price).admits({"width": 3})


def test_a_price_cannot_change_what_it_prices():
    params = {"width": 3}
    CostLimit(10.0, lambda p: p.pop("width")).admits(params)
    assert params == {"width": 3}


def test_affordable_passes_over_the_others():
    limit = CostLimit(2.0, width)
    drawn = ({"width": w % 5} for w in itertools.count())
    assert [p["width"] for p in itertools.islice(limit.affordable(drawn), 5)] == [0, 1, 2, 0, 1]
    assert (limit.refused, limit.cheapest) == (2, 0)


def test_too_many_in_a_row():
    limit = CostLimit(2.0, width)
    drawn = [{"width": 1.0}] + [{"width": w} for w in range(3000, 6000)]
    affordable = limit.affordable(drawn)
    assert next(affordable) == {"width": 1.0}
    with pytest.raises(
        InputError,
        match=r"^some configurations must cost at most max_cost=2, but 1,000 drawn in a row cost more, the cheapest "
        r"seen 1; raise max_cost, or narrow the space to cheaper ones$",
    ):
        next(affordable)
    assert limit.refused == 1000
