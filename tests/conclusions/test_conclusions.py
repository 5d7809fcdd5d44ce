"""What follows from findings is computed once, and never kept for other findings."""

from dataclasses import replace

import numpy as np
import pytest
from builders import FLAT

from hsicfast import TrialTable, analyse
from hsicfast.conclusions import conclusions
from hsicfast.indices import findings
from hsicfast.indices.stability import over_goals, rank_intervals
from hsicfast.indices.verdicts import verdicts
from hsicfast.report.ranking import clearest_ranks
from hsicfast.search.narrowing import narrow


@pytest.fixture
def found():
    x, y = np.random.default_rng(0).random((2, 100))
    return analyse(FLAT, TrialTable.from_arrays(FLAT, {"x": x, "y": y}, (x - 0.3) ** 2), law="ranks")


def test_they_are_those_of_the_functions(found):
    assert found.verdict_list == verdicts(found)
    assert found.rank_intervals == rank_intervals(found)
    np.testing.assert_array_equal(found.sweep.r2, over_goals(found).r2)


def test_each_is_computed_once(found, monkeypatch):
    calls = []

    def counted(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.append(name) or function(*given))

    counted(conclusions, "verdicts")
    counted(conclusions, "rank_intervals")
    counted(conclusions, "over_goals")
    counted(findings, "carry")
    for _ in range(2):
        found.verdicts()
        found.ranks()
        narrow(found)
        clearest_ranks(found)
    assert sorted(calls) == ["carry", "carry", "over_goals", "rank_intervals", "verdicts"]  # carry: once a name


def test_other_findings_compute_their_own(found):
    before = found.carried("x"), found.verdict_list
    half = found.trials.select(np.arange(50))
    other = replace(found, trials=half, met=found.met[:50])
    assert (len(before[0].u), len(other.carried("x").u)) == (100, 50)
    assert other.verdict_list is not before[1]
