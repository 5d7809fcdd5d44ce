"""The tables of an analysis."""

from builders import CONDITIONAL, table

from hsicfast import analyse


def test_columns_are_the_published_ones():
    found = analyse(CONDITIONAL, table(cost=lambda p: p["depth"]))
    evidence = ["hsic", "r2", "pvalue", "pvalue_holm", "pvalue_bh", "ci_low", "ci_high", "noise_floor"]
    columns = [*evidence, "n", "group", "importance"]
    assert list(found.to_frame()) == list(found.cost_frame()) == columns
    assert found.to_frame().index.name == "name"
    assert list(found.pairs) == ["first", "second", "hsic", "pure", "pvalue", "pvalue_pure", "dependence"]
