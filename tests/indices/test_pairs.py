"""Pairs of a table: which of them get a p-value for their interaction, and what the verdicts say of the others."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from hsicfast import Choice, Float, Random, SearchSpace, TrialTable, analyse, minimize
from hsicfast.errors import InputError
from hsicfast.indices.verdicts import trial_notes, verdicts
from hsicfast.search.run_report import leave_report

SPACE = SearchSpace({name: Float(0, 1) for name in "abc"})


def studies(decides, a_in_c, b_in_c, n=300, seeds=range(10)):
    """Studies in which c follows a and b with these weights, and a function of the three decides."""
    for seed in seeds:
        a, b, own = np.random.default_rng(seed).standard_normal((3, n))
        c = a_in_c * a + b_in_c * b + math.sqrt(1 - a_in_c**2 - b_in_c**2) * own
        columns = {"a": norm.cdf(a), "b": norm.cdf(b), "c": norm.cdf(c)}
        table = TrialTable.from_arrays(SPACE, columns, decides(**columns))
        yield analyse(SPACE, table, n_permutations=499)


def by_names(found):
    return {pair.first + pair.second: pair for pair in sorted(found.pair_indices, key=lambda p: (p.first, p.second))}


def test_two_that_move_with_a_third_do_not_interact():
    for found in studies(lambda a, b, c: c, 0.7, 0.7):
        pairs = {"".join(sorted(names)): pair for names, pair in by_names(found).items()}
        assert pairs["ab"].dependence > 0.001
        assert all(math.isnan(pair.pvalue_pure) for pair in pairs.values())
        assert not any(verdict.kind == "together" or "acts together" in verdict.evidence for verdict in verdicts(found))


def test_verdicts_say_what_moves_together():
    for found in studies(lambda a, b, c: a, 0.8, 0.0):
        why = {verdict.name: verdict.evidence for verdict in verdicts(found)}
        assert why["a"].endswith(" It moves together with c, so whether they act together cannot be judged.")
        assert why["c"].endswith(" It moves together with a, so whether they act together cannot be judged.")
        assert "moves together" not in why["b"]


def test_independent_hyperparameters_hardly_ever_move_together():
    # 40 studies; 1% of them say so by chance, and more than 3 of 40 with a probability below 1e-3
    said = [
        any("moves together" in verdict.evidence for verdict in verdicts(found))
        for found in studies(lambda a, b, c: a, 0.0, 0.0, seeds=range(40))
    ]
    assert sum(said) <= 3


def test_a_run_judges_no_pairs_of_more_than_a_hundred_hyperparameters():
    space = {f"x{k}": Float(0, 1) for k in range(101)}
    found = minimize(lambda params: params["x0"], space, n_trials=8, strategy=Random(), goal=0.5).sensitivity
    assert found.pair_indices == ()
    assert trial_notes(found) == [
        "No pair was judged: a run judges up to 4,950, and these hyperparameters have 5,050; hsicfast.analyse, or "
        "python -m hsicfast.analyze, judges them all."
    ]


@pytest.mark.slow
def test_300_hyperparameters_one_of_10_000_choices(tmp_path):
    space = {f"x{k}": Float(0, 1) for k in range(299)} | {"many": Choice([f"v{j}" for j in range(10_000)])}
    found = minimize(lambda params: int(params["many"][1:]), space, n_trials=20, strategy=Random(), folder=tmp_path)
    assert len(found.trials) == 20
    leave_report(tmp_path, found)
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 1_000_000
    assert "No pair was judged" in page


def test_300_hyperparameters_of_10_000_choices_are_refused(tmp_path):
    space = {f"x{k}": Choice(range(10_000)) for k in range(300)}
    with pytest.raises(InputError, match=r"at most 100,000 choices in all, .* but got 3,000,000; make"):
        minimize(lambda params: 0.0, space, n_trials=8, strategy=Random(), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
