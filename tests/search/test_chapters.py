"""A run round by round: by hand, on a run whose every number is known."""

from dataclasses import replace

import pytest

from hsicfast import Float, SearchSpace, TrialTable, minimize
from hsicfast.search.rounds import Round
from hsicfast.search.run_report import chapters
from hsicfast.search.strategies import Random
from hsicfast.trials.trial import FINAL, Trial

SPACE = SearchSpace({"x": Float(0, 1)})


@pytest.fixture(scope="module")
def result():
    """Three rounds: nothing works, then a good dear one, then a cheap one as good, and a final."""
    rows = [("diverged", float("nan"), 1.0), ("done", 0.5, 9.0), ("pruned", 0.6, 1.0), ("done", 0.52, 3.0)]
    trials = [Trial(i, {"x": 0.1 * i}, y, cost=c, status=status) for i, (status, y, c) in enumerate(rows)]
    trials.append(Trial(4, {"x": 0.1}, 0.3, cost=9.0, origin=FINAL))
    rounds = (
        Round(1, "design", 0, 1, "drawn"),
        Round(2, "search", 1, 3, "proposed", ("x is searched",)),
        Round(3, "economise", 3, 4, "cheaper"),
        Round(4, "finals", 4, 5, "again"),
    )
    made = minimize(lambda params: params["x"], SPACE, n_trials=8, strategy=Random(), seed=0)
    return replace(made, trials=TrialTable.from_trials(SPACE, trials), rounds=rounds, tolerance=0.05)


def test_each_round_says_where_it_left_things(result):
    assert [(c.objective, c.cost, c.cheapest) for c in chapters(result)][1:] == [
        (0.5, 9.0, 9.0),
        (0.5, 9.0, 3.0),
        (0.5, 9.0, 3.0),  # a final is another seed of the best, and no better network
    ]


def test_before_anything_works_nothing_is_known(result):
    first = chapters(result)[0]
    assert str((first.objective, first.cost, first.cheapest)) == "(nan, nan, nan)"


def test_what_did_not_end_well_is_counted(result):
    assert [c.did for c in chapters(result)] == ["drawn, 1 diverged", "proposed, 1 pruned", "cheaper", "again"]
    assert chapters(result)[1].learnt == ("x is searched",)


def test_within_the_limit_of_the_cost(result):
    assert [c.objective for c in chapters(replace(result, max_cost=5.0))][2:] == [0.52, 0.52]


def test_the_front_is_from_the_cheapest_to_the_best(result):
    assert result.front.index.tolist() == [3, 1]
    assert replace(result, max_cost=5.0).front.index.tolist() == [3]
