"""Which branch is worth more trials: by hand."""

import math

import pytest
from builders import NESTED

from hsicfast.search.branches import branching, promising
from hsicfast.space.search_space import Bool, Float, Int, SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

# What else a trial of each kind has; it plays no part here.
BESIDE = {"norm": False, "inner": 0.5, "switch": False}


def trials(**objectives):
    """A trial for each objective of each kind."""
    flat = [(kind, objective) for kind, several in objectives.items() for objective in several]
    return [
        Trial(index, {**BESIDE, "kind": kind}, objective, status="done" if math.isfinite(objective) else "diverged")
        for index, (kind, objective) in enumerate(flat)
    ]


def table(trials, minimize=True):
    return TrialTable.from_trials(NESTED, trials, minimize)


class TestBranching:
    def test_by_what_decides_over_most(self):
        found = branching(NESTED)
        assert (found.name, found.values) == ("kind", ("a", "b", "c"))

    def test_whole_numbers_and_switches(self):
        space = {"depth": Int(1, 3), "width": Int(1, 9, active_if={"depth": [2, 3]})}
        assert branching(SearchSpace(space)).values == (1, 2, 3)
        assert branching(SearchSpace({"norm": NESTED["norm"], "scale": NESTED["scale"]})).values == (False, True)

    def test_none_where_nothing_is_conditional_or_the_branches_are_too_many(self):
        assert branching(SearchSpace({"norm": Bool(), "rate": Float(0, 1)})) is None
        many = {"depth": Int(1, 9), "width": Int(1, 9, active_if={"depth": 9})}
        assert branching(SearchSpace(many)) is None

    def test_trials_of_a_branch(self):
        assert [t.index for t in branching(NESTED).trials("b", table(trials(a=[1.0], b=[2.0, 3.0])))] == [1, 2]


class TestWorthMore:
    def test_a_trial_stopped_early_is_none_of_the_best(self):
        # By its last value it would be one of the best fifth, and its branch would stay.
        early = [Trial(index, {**BESIDE, "kind": "a"}, 0.0, status="pruned") for index in range(90, 100)]
        seen = [*trials(a=[9.0], b=[1.0] * 10), *early]
        kept, why = promising(branching(NESTED), ["a", "b"], table(seen), 2)
        assert kept == ["b"]
        assert "a has 0 of the best fifth in 11 trials" in why

    def test_the_worst_best_goes_until_so_many_are_left(self):
        seen = trials(a=[5.0, 3.0], b=[1.0, 9.0], c=[2.0, 4.0])
        kept, why = promising(branching(NESTED), ["a", "b", "c"], table(seen), 2)
        assert kept == ["b", "c"]
        assert why == "kind b or c is searched on: a has a worse best (3)"

    def test_maximising(self):
        seen = trials(a=[5.0, 3.0], b=[1.0, 9.0], c=[2.0, 4.0])
        kept, why = promising(branching(NESTED), ["a", "b", "c"], table(seen, minimize=False), 1)
        assert kept == ["b"]
        assert why == "kind b is searched on: a has a worse best (5); c has a worse best (4)"

    def test_evidence_drops_more_than_was_asked_for(self):
        seen = trials(a=[float(i) for i in range(20)], b=[100.0 + i for i in range(20)], c=[0.5 + i for i in range(20)])
        kept, why = promising(branching(NESTED), ["a", "b", "c"], table(seen), 3)
        assert kept == ["a", "c"]
        # 12 of 60 are good; none of 20 in b: C(40, 12) / C(60, 12) = 0.004
        assert why == "kind a or c is searched on: b has 0 of the best fifth in 20 trials (p 0.004)"

    def test_all_are_kept_where_there_is_room_and_no_evidence(self):
        seen = trials(a=[1.0, 4.0], b=[2.0, 5.0], c=[3.0, 6.0])
        assert promising(branching(NESTED), ["a", "b", "c"], table(seen), 3)[1] == ("kind a or b or c is searched on")

    @pytest.mark.parametrize("left", [["a", "b"], ["b", "a"]])
    def test_a_branch_that_always_diverges_is_the_last(self, left):
        seen = trials(a=[math.nan, math.nan], b=[7.0, 8.0])
        kept, why = promising(branching(NESTED), left, table(seen), 1)
        assert kept == ["b"]
        assert why.endswith("a has a worse best (none)")
