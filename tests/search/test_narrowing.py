"""Where to search: by hand, and on trials of which it is known what matters."""

import numpy as np
import pytest
from builders import drawn

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable, analyse
from hsicfast.indices.reduction import FIX, KEEP, NARROW, Decision, Reduction
from hsicfast.search.narrowing import decided, narrow

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1.0, log=True),
        "depth": Int(1, 20),
        "kind": Choice(["a", "b"]),
        "on": Bool(),
        "inner": Float(0, 1, active_if={"on": True}),
    }
)


def found(loss, n=120, goal=0.2, space=SPACE, seed=0):
    """The analysis of n trials drawn from the law of `space`."""
    rows = drawn(space, n, seed)
    values = {name: [row.get(name) for row in rows] for name in space}
    return analyse(space, TrialTable.from_arrays(space, values, [loss(row) for row in rows]), goal=goal)


def by_name(reduction):
    return {decision.name: decision for decision in reduction.decisions}


class TestRanges:
    def test_hold_every_good_trial_and_a_margin(self):
        findings = found(lambda p: abs(np.log10(p["rate"]) + 3))
        reduction = narrow(findings)
        decision = by_name(reduction)["rate"]
        u, _, z = findings.carried("rate")
        low, high = SPACE["rate"].to_unit(list(decision.value))
        assert decision.action == NARROW
        assert low < u[z].min() < u[z].max() < high
        assert high - low <= 0.8
        assert (reduction.space["rate"].low, reduction.space["rate"].high) == decision.value
        assert "all 24 good trials lie there" in decision.reason

    def test_are_values_also_where_the_analysis_goes_by_ranks(self):
        """The upper half of the rates was too dear to train."""
        rng = np.random.default_rng(0)
        rates = SPACE["rate"].from_unit
        space = SearchSpace({"rate": SPACE["rate"]})
        drawn = [rates(u) for u in rng.random(120) / 2]
        table = TrialTable.from_arrays(space, {"rate": drawn}, np.abs(np.log10(drawn) + 3))
        low, high = narrow(analyse(space, table, goal=0.2, law="ranks")).decisions[0].value
        assert 1e-3 < high < 1e-2 == pytest.approx(max(drawn), rel=0.1)
        assert 1e-4 < low < 1e-3

    def test_of_whole_numbers(self):
        decision = by_name(narrow(found(lambda p: p["depth"])))["depth"]
        assert decision.action == NARROW
        assert decision.value[0] == 1
        assert 4 <= decision.value[1] <= 7  # a fifth of the trials has a depth up to 4
        assert all(isinstance(value, int) for value in decision.value)

    def test_of_two_ends_nothing_is_left_out(self):
        """Good at both ends: it matters, and all of its range is searched."""
        findings = found(lambda p: -abs(np.log10(p["rate"]) + 2))
        assert findings["rate"].matters
        assert by_name(narrow(findings))["rate"].action == KEEP

    def test_of_choices_and_of_what_others_depend_on_stay(self):
        reduction = narrow(found(lambda p: (p["kind"] == "a") + (not p["on"]) + 1e-3 * p["depth"]))
        assert {by_name(reduction)[name].action for name in ("kind", "on")} == {KEEP}

    def test_of_few_good_trials_stay(self):
        findings = found(lambda p: p["rate"], n=60, goal=0.05)
        assert findings["rate"].matters
        assert by_name(narrow(findings))["rate"].action == KEEP

    def test_all_of_the_space_comes_back_with_them(self):
        reduction = narrow(found(lambda p: p["depth"]))
        whole = reduction.narrowed(SPACE)
        assert list(whole) == list(SPACE)
        assert whole["depth"] == reduction.space["depth"] != SPACE["depth"]
        assert whole["rate"] == SPACE["rate"]


@pytest.fixture(scope="module")
def many():
    """Enough trials for an upper bound: rate alone decides."""
    space = SearchSpace({name: SPACE[name] for name in ("rate", "depth", "kind")})
    # With seed 0 rates and depths move together by chance, so that a verdict leaves open what they do together.
    return narrow(found(lambda p: p["rate"], n=6000, goal=1 / 3, space=space, seed=1))


class TestFixing:
    def test_wants_an_upper_bound(self, many):
        decisions = by_name(many)
        assert decisions["rate"].action == NARROW
        assert {decisions[name].action for name in ("depth", "kind")} == {FIX}
        assert "95% confidence" in decisions["depth"].reason
        assert list(many.space) == ["rate"]
        assert many.fixed.keys() == {"depth", "kind"}

    def test_no_evidence_is_no_ground(self):
        reduction = narrow(found(lambda p: p["rate"]))
        assert reduction.fixed == {}
        assert {by_name(reduction)[name].action for name in ("depth", "kind")} == {KEEP}

    def test_is_told(self, many):
        said = decided(many)
        assert said.startswith("rate is searched from 0.0001 to ")
        assert "; depth is fixed to " in said

    def test_nothing_is_told_as_well(self):
        rng = np.random.default_rng(2)
        assert decided(narrow(found(lambda p: rng.random(), n=40))) == (
            "nothing is fixed or narrowed, for want of evidence"
        )


def test_what_shares_fate_and_reason_is_told_together():
    decisions = (
        Decision("rate", KEEP, None, "few trials"),
        Decision("size", FIX, 4, "few trials"),
        Decision("depth", KEEP, None, "few trials"),
        Decision("width", KEEP, None, "many trials"),
    )
    assert Reduction(SPACE, {"size": 4}, decisions, "").told == [
        ("rate, depth", "searched", "few trials"),
        ("size", "fixed to 4", "few trials"),
        ("width", "searched", "many trials"),
    ]
