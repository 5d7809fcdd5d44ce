"""Several objectives: the front of small tables by hand, its law, the compromise, and a weighted proposal."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hsicfast.errors import InputError
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.trials.objectives import AUGMENT, Objectives
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, LOST, PRUNED, Trial

SPACE = SearchSpace({"x": Float(0, 1)})
BOTH = Objectives({"error": "minimize", "speed": "maximize"})
THREE = Objectives({"a": "minimize", "b": "minimize", "c": "minimize"})


def table_of(objectives, reached, status=None):
    trials = [
        Trial(i, {"x": 0.5}, own[0], status=how, metrics=dict(zip(objectives.names, own, strict=True)))
        for i, (own, how) in enumerate(zip(reached, status or [DONE] * len(reached), strict=True))
    ]
    return TrialTable.from_trials(SPACE, trials)


def dominates(one, other):
    """By the definition, on losses."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


class TestByHand:
    @pytest.mark.parametrize(
        ("reached", "front", "counts"),
        [
            ([(1, 1)], [0], [0]),
            ([(1, 1), (2, 2)], [0, 1], [0, 0]),  # the slower is better in its error
            ([(1, 2), (2, 1)], [0], [0, 1]),
            ([(2, 1), (1, 2), (1, 2)], [1], [2, 0, 0]),  # the earliest stands for equal ones
            ([(3, 9), (2, 5), (1, 1), (3, 5)], [2, 1, 0], [0, 0, 0, 2]),
            ([(1, 5), (1, 6), (0, 6)], [2], [2, 1, 0]),  # equal in one objective
        ],
    )
    def test_front_and_counts(self, reached, front, counts):
        table = table_of(BOTH, reached)
        assert BOTH.front(table).index.tolist() == front
        assert BOTH.judged(table).objective.tolist() == counts

    def test_what_did_not_end_well_is_on_no_front_and_dominates_nobody(self):
        reached = [(0, 9), (0, 9), (0, 9), (math.nan, 9), (1, 1)]
        table = BOTH.judged(table_of(BOTH, reached, [DIVERGED, PRUNED, LOST, DONE, DONE]))
        assert BOTH.front(table).index.tolist() == [4]
        np.testing.assert_equal(table.objective, [math.nan] * 4 + [0.0])
        assert BOTH.compromise(table).index == 4

    def test_nothing_is_done(self):
        table = BOTH.judged(TrialTable.from_trials(SPACE, [Trial(0, {"x": 0.1}, math.nan, status=DIVERGED)]))
        assert len(BOTH.front(table)) == 0
        with pytest.raises(InputError, match="at least one trial must end with a finite objective"):
            BOTH.compromise(table)
        assert np.isnan(BOTH.weighed(table, np.array([0.5, 0.5])).objective).all()

    def test_one_objective_alone(self):
        table = table_of(BOTH, [(3, 9), (2, 5)], [DONE, DIVERGED])
        alone = BOTH.alone(table, "speed")
        assert (alone.minimize, alone.objective[0], alone.best().index) == (False, 9.0, 0)
        assert math.isnan(alone.objective[1])
        assert BOTH.alone(table, "error").minimize

    @pytest.mark.parametrize(
        ("reached", "compromise"),
        [
            ([(0, 0), (1, 6), (10, 10)], 1),  # at (0.1, 0.4) of the front's range
            ([(0, 0), (5, 5), (10, 10)], 1),
            ([(0, 0), (9, 9.5), (10, 10)], 1),  # at (0.9, 0.05): nearer than an end
            ([(0, 0), (10, 10)], 0),  # both ends are as far: the earliest
            ([(1, 1), (0, 2)], 1),  # a front of one trial
            ([(3, 7), (3, 7)], 0),
        ],
    )
    def test_the_compromise(self, reached, compromise):
        assert BOTH.compromise(table_of(BOTH, reached)).index == compromise

    def test_the_weighted_distance(self):
        weights = np.array([0.25, 0.75])
        table = BOTH.weighed(table_of(BOTH, [(0, 0), (10, 10), (20, 5)]), weights)
        # The errors reach from 0 to 20 and the speeds from 0 to 10.
        wanted = [0.75 * (1 + AUGMENT), 0.125 * (1 + AUGMENT), 0.375 + AUGMENT * (0.25 + 0.375)]
        np.testing.assert_allclose(table.objective, wanted)
        assert table.minimize

    def test_an_extreme_outlier_does_not_hide_the_others(self):
        reached = [(error, 10.0 * (error % 2)) for error in range(10)]
        table = BOTH.weighed(table_of(BOTH, [*reached, (1e9, 0)]), np.array([1.0, 0.0]))
        assert table.objective[9] - table.objective[0] > 0.3
        assert np.isfinite(table.objective).all()

    @pytest.mark.parametrize("unit", [1e-6, 1e6])
    def test_a_rare_loss_counts_in_any_unit(self, unit):
        table = table_of(THREE, [(0, 0, 0)] * 9 + [(unit, 0, 0)])
        assert THREE.weighed(table, np.full(3, 1 / 3)).objective[9] == pytest.approx((1 + AUGMENT) / 3)

    def test_weights_depend_on_seed_and_index_alone(self):
        drawn = np.array([THREE.weights(3, index) for index in range(200)])
        assert np.array_equal(drawn[7], THREE.weights(3, 7))
        assert not np.array_equal(drawn[7], THREE.weights(4, 7))
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        # Each is uniform on the simplex: its first weight is above 1/2 with probability 1/4, so that of 200 more than
        # 74 or fewer than 29 are with a probability below 1e-4 (binomial).
        assert 29 <= (drawn[:, 0] > 0.5).sum() <= 74

    def test_what_people_read(self):
        assert (THREE.text, BOTH.metric) == ("a, b and c", "non-domination of error and speed")
        assert BOTH.reached(Trial(0, {}, 0.0, metrics={"error": 0.25, "speed": 3000})) == "error 0.25, speed 3,000"


@given(st.integers(0, 30).flatmap(lambda n: arrays(np.float64, (n, 3), elements=st.integers(-2, 2).map(float))))
def test_the_front_is_what_nobody_dominates(losses):
    table = THREE.judged(table_of(THREE, losses.tolist()))
    front = THREE.front(table).index.tolist()
    for row, own in enumerate(losses):
        beaten = [other for other in range(len(losses)) if dominates(losses[other], own)]
        assert table.objective[row] == len(beaten)
        equal = next(other for other in range(len(losses)) if np.array_equal(losses[other], own))
        assert (row in front) == (not beaten and equal == row)
        # Whoever is off the front is dominated by somebody on it, or is equal to one.
        assert row in front or any(dominates(losses[o], own) or np.array_equal(losses[o], own) for o in front)
    if len(losses):
        assert THREE.compromise(table).index in front
        assert losses[front].tolist() == sorted(losses[front].tolist())


@given(arrays(np.float64, (12, 2), elements=st.floats(-1e6, 1e6)), st.integers(0, 1000))
def test_a_weighted_distance_prefers_who_dominates(losses, seed):
    two = Objectives({"a": "minimize", "b": "minimize"})
    weights = two.weights(seed, 0)
    distance = two.weighed(table_of(two, losses.tolist()), weights).objective
    for one in range(12):
        for other in range(12):
            if dominates(losses[one], losses[other]):
                assert distance[one] <= distance[other]


class TestOf:
    def test_as_people_give_them(self):
        assert Objectives.of(None) is None
        assert Objectives.of(BOTH) is BOTH
        assert Objectives.of(["a", "b"]) == Objectives.of({"a": "minimize", "b": "minimize"})
        assert Objectives.of({"b": "maximize", "a": "minimize"}).names == ("b", "a")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (
                "error",
                "objectives must be a dict of names to minimize or maximize, or a list of names, but got 'error'",
            ),
            (2, "but got 2; write"),
            (["a"], r"at least two names, each once, but got \['a'\]; for a single one leave objectives= out"),
            (["a", "a"], "at least two names, each once"),
            ({}, "at least two names"),
            (["a", "x"], "no hyperparameter's nor one of .*, but got 'x'; rename it"),
            (["a", "cost"], "but got 'cost'; rename it"),
            (["a", ""], "must be a text"),
            (["a", 1], "must be a text"),
            ([{"a": "minimize"}, {"b": "minimize"}], "must be a text, .* but got {'a': 'minimize'}"),
            (["a", "largest_constraint"], "but got 'largest_constraint'; rename it"),
            ({"a": "minimize", "b": "max"}, "must be minimize or maximize, but that of 'b' is 'max'; choose one"),
        ],
    )
    def test_refused(self, given, message):
        with pytest.raises(InputError, match=message):
            Objectives.of(given, SPACE)
