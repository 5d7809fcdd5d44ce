"""Prospects: what is still to gain, and what harm another value does, where hyperparameters exist under conditions."""

import numpy as np

from hsicfast.proposals.prospects import expected_gain, expected_harm
from hsicfast.space.search_space import Choice, Float, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

# Two boosters share the rate; one of them has a depth, too.
BOOSTED = SearchSpace(
    {
        "booster": Choice(["linear", "tree"]),
        "rate": Float(0, 1),
        "idle": Float(0, 1),
        "depth": Float(0, 1, active_if={"booster": "tree"}),
    }
)


def loss(point):
    return (point["rate"] - 0.3) ** 2 + (0.1 * (point["depth"] - 0.8) ** 2 if "depth" in point else 0.05)


def table_of(points, value=loss):
    trials = [Trial(place, point, value(point), status="done", origin="search") for place, point in enumerate(points)]
    return TrialTable.from_trials(BOOSTED, trials, True)


def drawn(n, seed=0):
    random = np.random.default_rng(seed)
    return [BOOSTED.from_unit(random.random(len(BOOSTED))) for _ in range(n)]


def test_what_decides_does_most_harm():
    harm = expected_harm(BOOSTED, table_of(drawn(40)))
    assert harm.keys() == {"rate", "idle", "depth"}  # another booster is another configuration altogether
    # Of the values all over the range, (rate - 0.3)^2 is 0.13 on average, which is more than a standard deviation;
    # a tenth of (depth - 0.8)^2 is 0.02 on average.
    assert harm["rate"] > 5 * harm["depth"] > 0
    assert abs(harm["idle"]) < 0.1 * harm["rate"]


def test_where_all_are_equal_nothing_does_harm():
    assert expected_harm(BOOSTED, table_of(drawn(10), lambda point: 1.0)) == {}


def test_what_is_hidden_does_not_count(monkeypatch):
    """Points of one branch say the same wherever a hyperparameter of the other branch is put in them."""
    points = [point for point in drawn(60) if point["booster"] == "linear"]
    harm = expected_harm(BOOSTED, table_of(points))
    assert harm["depth"] == 0
    monkeypatch.setattr(np.random, "default_rng", lambda seed, own=np.random.default_rng: own(seed + 1))
    assert harm == expected_harm(BOOSTED, table_of(points))


def test_less_is_to_gain_where_more_is_known():
    many = drawn(80)
    few = [point for point in many if point["rate"] > 0.6][:12]  # the best is 0.09 and more worse than can be had
    gains = [expected_gain(BOOSTED, table_of(points), 20, seed=0) for points in (few, many)]
    assert 0 <= gains[1] < 0.02 < gains[0]
    assert gains[0] == expected_gain(BOOSTED, table_of(few), 20, seed=0)
    assert gains[0] > expected_gain(BOOSTED, table_of(few), 1, seed=0)
