"""Proposals where hyperparameters exist only under conditions: what is learnt in one branch serves in another."""

import numpy as np
import pytest
from builders import FLAT, NESTED
from scipy.integrate import quad
from scipy.stats import norm

from hsicfast.proposals import nested
from hsicfast.proposals.coordinates import Coordinates
from hsicfast.proposals.nested import FEWEST_KNOWN, NestedSearch, has_conditions, log_improvement
from hsicfast.proposals.transforms import Lesson
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace

# Two boosters share the rate; one of them has a depth, too.
BOOSTED = SearchSpace(
    {
        "booster": Choice(["linear", "tree"]),
        "rate": Float(0, 1),
        "depth": Float(0, 1, active_if={"booster": "tree"}),
    }
)


def loss(point):
    return (point["rate"] - 0.3) ** 2 + (0.05 + (point["depth"] - 0.8) ** 2 if "depth" in point else 0.0)


def points_of(space, n, seed=0, **fixed):
    random = np.random.default_rng(seed)
    found = []
    while len(found) < n:
        point = space.from_unit(random.random(len(space)))
        if all(point.get(name) == value for name, value in fixed.items()):
            found.append(point)
    return found


def search(space, known, fixed=None, part=None, seed=0):
    return NestedSearch(Coordinates(space), part or space, fixed or {}, known, np.random.default_rng(seed))


def taught(points, value=loss, **constraints):
    return [(p, Lesson(value(p), {name: own(p) for name, own in constraints.items()})) for p in points]


def test_whether_there_are_conditions():
    assert has_conditions(NESTED)
    assert not has_conditions(FLAT)


@pytest.mark.parametrize("z", [-30.0, -9.0, -1.1, -1.0, -0.9, 0.0, 2.0])
def test_expected_improvement_is_an_integral(z):
    # Of t phi(z - t) over t > 0; phi(z) is taken out, so that nothing is too small for a number.
    value = quad(lambda t: t * np.exp(z * t - t**2 / 2), 0, 40)[0]
    found = log_improvement(np.array([1.0 - 0.4 * z]), np.array([0.4]), 1.0)[0]
    assert found == pytest.approx(np.log(0.4) + norm.logpdf(z) + np.log(value), abs=1e-6)


def test_worth_falls_however_far():
    z = np.concatenate((-np.geomspace(1e5, 1e-3, 200), np.linspace(0, 5, 50)))
    assert (np.diff(log_improvement(-z, np.ones(250), 0.0)) > 0).all()


def test_what_one_branch_has_shown_serves_in_the_other():
    """Nobody has tried a rate in "tree" below 0.6: that 0.3 is best there is known from "linear" alone."""
    linear = points_of(BOOSTED, 12, booster="linear")
    tree = [point | {"rate": 0.6 + 0.4 * point["rate"]} for point in points_of(BOOSTED, 5, seed=1, booster="tree")]
    found = [search(BOOSTED, taught([*linear, *tree]), {"booster": "tree"}, seed=seed).ask() for seed in range(5)]
    assert {point["booster"] for point in found} == {"tree"}
    assert max(abs(point["rate"] - 0.3) for point in found) < 0.1


def test_the_branch_with_the_best_prospect_is_chosen():
    known = taught([*points_of(BOOSTED, 8, booster="linear"), *points_of(BOOSTED, 8, booster="tree")])
    assert [search(BOOSTED, known, seed=seed).ask()["booster"] for seed in range(4)] == ["linear"] * 4


def test_constraints_are_kept():
    known = taught(points_of(BOOSTED, 24), value=lambda p: p["rate"], cost=lambda p: 0.5 - p["rate"])
    found = [search(BOOSTED, known, seed=seed).ask()["rate"] for seed in range(5)]
    assert min(found) > 0.45
    assert max(found) < 0.6


def test_where_no_trial_meets_a_constraint_it_looks_for_one():
    known = taught(points_of(BOOSTED, 12), value=lambda p: -p["rate"], cost=lambda p: 1 + p["rate"])
    assert np.mean([search(BOOSTED, known, seed=seed).ask()["rate"] for seed in range(5)]) < 0.2


def test_a_refused_proposal_moves_the_next_one():
    searching = search(BOOSTED, taught(points_of(BOOSTED, 12), cost=lambda p: -1.0))
    first = searching.ask()
    searching.tell(first, Lesson(1.0, {"cost": 5.0}))
    assert len(searching.lessons) == len(searching.points) == 13
    second = searching.ask()
    assert abs(second["rate"] - first["rate"]) > 0.05 or second["booster"] != first["booster"]


def test_proposals_of_one_turn_differ():
    searching = search(BOOSTED, taught(points_of(BOOSTED, 12)))
    asked = [searching.ask() for _ in range(3)]
    assert all(one != other for place, one in enumerate(asked) for other in asked[:place])


def test_narrowed_ranges_are_kept_and_what_lies_outside_is_known():
    part = SearchSpace({**BOOSTED, "rate": Float(0.5, 0.6)})
    found = [search(BOOSTED, taught(points_of(BOOSTED, 16)), part=part, seed=seed).ask() for seed in range(4)]
    assert all(0.5 <= point["rate"] <= 0.6 for point in found)
    assert np.mean([point["rate"] for point in found]) < 0.53  # no trial has to lie in it to know where it is best


def test_with_few_trials_it_draws():
    known = taught(points_of(BOOSTED, FEWEST_KNOWN - 1))
    assert search(BOOSTED, known, seed=0).ask() != search(BOOSTED, known, seed=1).ask()


def test_where_all_is_tried_it_goes_on():
    space = SearchSpace({"on": Bool(), "n": Int(1, 2, active_if={"on": True})})
    known = taught([{"on": False}, {"on": True, "n": 1}, {"on": True, "n": 2}] * 2, value=len)
    assert search(space, known).ask() in [point for point, _ in known]


def test_of_many_trials_it_sees_those_that_tell_most(monkeypatch):
    """It finds the best rate by 24 of 2,000 trials, and sees those of this turn: three proposals differ."""
    monkeypatch.setattr(nested, "MOST_SEEN", 24)
    searching = search(BOOSTED, taught(points_of(BOOSTED, 2000)), {"booster": "linear"})
    asked = [searching.ask()["rate"] for _ in range(3)]
    assert max(abs(rate - 0.3) for rate in asked) < 0.1
    assert len(set(asked)) == 3
