"""Which branch is worth more trials: by hand."""

import math

import pytest
from builders import NESTED

from hsicfast.search.branches import MOST_BRANCHES, WHOLE_SPACE, Branch, branches_of, branching, least_tried, promising
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
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


def kinds(*values):
    return [Branch({"kind": value}) for value in values]


class TestBranching:
    def test_by_what_decides_over_most(self):
        assert branching(NESTED) == ("kind", ("a", "b", "c"))

    def test_whole_numbers_and_switches(self):
        space = {"depth": Int(1, 3), "width": Int(1, 9, active_if={"depth": [2, 3]})}
        assert branching(SearchSpace(space))[1] == (1, 2, 3)
        assert branching(SearchSpace({"norm": NESTED["norm"], "scale": NESTED["scale"]}))[1] == (False, True)

    def test_none_where_nothing_is_conditional_or_the_branches_are_too_many(self):
        assert branching(SearchSpace({"norm": Bool(), "rate": Float(0, 1)})) is None
        many = {"depth": Int(1, 9), "width": Int(1, 9, active_if={"depth": 9})}
        assert branching(SearchSpace(many)) is None

    def test_trials_of_a_branch(self):
        seen = table(trials(a=[1.0], b=[2.0, 3.0]))
        assert [t.index for t in Branch({"kind": "b"}).trials(seen)] == [1, 2]
        assert [t.index for t in Branch({"kind": "b", "norm": True}).trials(seen)] == []
        assert len(WHOLE_SPACE.trials(seen)) == 3


class TestTree:
    def test_conditions_inside_conditions_divide_the_branches(self):
        inner = {
            "learner": Choice(["tree", "boosted"]),
            "depth": Int(1, 9, active_if={"learner": "tree"}),
            "booster": Choice(["linear", "dart"], active_if={"learner": "boosted"}),
            "drop": Float(0, 1, active_if={"booster": "dart"}),
        }
        assert [branch.fixed for branch in branches_of(SearchSpace(inner))] == [
            {"learner": "tree"},
            {"learner": "boosted", "booster": "linear"},
            {"learner": "boosted", "booster": "dart"},
        ]

    def test_every_trial_lies_in_one_branch(self):
        found = branches_of(NESTED)
        seen = table(trials(a=[1.0, 2.0], b=[2.0, 3.0], c=[4.0]))
        assert sum(len(branch.trials(seen)) for branch in found) == len(seen)

    def test_there_are_never_too_many(self):
        switches = {f"on{i}": Bool() for i in range(5)}
        rates = {f"rate{i}": Float(0, 1, active_if={f"on{i}": True}) for i in range(5)}
        found = branches_of(SearchSpace({**switches, **rates}))
        assert len(found) == MOST_BRANCHES  # three switches of five
        assert {len(branch.fixed) for branch in found} == {3}

    def test_one_where_nothing_is_conditional(self):
        assert branches_of(SearchSpace({"norm": Bool(), "rate": Float(0, 1)})) == [WHOLE_SPACE]

    def test_the_least_tried(self):
        seen = table(trials(a=[1.0, 2.0, 3.0], b=[2.0, 3.0], c=[2.0, 3.0]))
        assert least_tried(kinds("a", "c", "b"), seen) == (Branch({"kind": "c"}), 2)


class TestWorthMore:
    def test_a_trial_stopped_early_is_none_of_the_best(self):
        # By its last value it would be one of the best fifth, and its branch would stay.
        early = [Trial(index, {**BESIDE, "kind": "a"}, 0.0, status="pruned") for index in range(90, 100)]
        seen = [*trials(a=[9.0], b=[1.0] * 10), *early]
        kept, why = promising(kinds("a", "b"), table(seen))
        assert kept == kinds("b")
        assert "a has 0 of the best fifth in 11 trials" in why

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_branch_with_the_best_trial_comes_first(self, sign):
        seen = trials(a=[sign * 5.0, sign * 3.0], b=[sign * 1.0, sign * 9.0], c=[sign * 2.0, sign * 4.0])
        kept, why = promising(kinds("a", "b", "c"), table(seen, minimize=sign == 1))
        assert kept == kinds("b", "c", "a")
        assert why == "kind b or kind c or kind a is visited further"

    def test_evidence_drops(self):
        seen = trials(a=[float(i) for i in range(20)], b=[100.0 + i for i in range(20)], c=[0.5 + i for i in range(20)])
        kept, why = promising(kinds("a", "b", "c"), table(seen))
        assert kept == kinds("a", "c")
        # 12 of 60 are good; none of 20 in b: C(40, 12) / C(60, 12) = 0.004
        assert why == "kind a or kind c is visited further: kind b has 0 of the best fifth in 20 trials (p 0.004)"

    @pytest.mark.parametrize("left", [["a", "b"], ["b", "a"]])
    def test_a_branch_that_always_diverges_goes_after_a_few_trials(self, left):
        for n, gone in ((3, False), (4, True)):
            kept, why = promising(kinds(*left), table(trials(a=[math.nan] * n, b=[7.0 + i for i in range(4)])))
            assert kept == kinds("b", *[] if gone else "a")
            assert why.endswith("none of 4 trials in kind a ended well") == gone

    def test_one_stays_where_all_diverge(self):
        assert promising(kinds("a", "b"), table(trials(a=[math.nan] * 9, b=[math.nan] * 5)))[0] == kinds("a")
