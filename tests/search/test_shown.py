"""What a prompt and a notebook show: short, whatever the size, and no text of others as markup."""

import pytest

from hsicfast import Choice, Float, SearchSpace, TrialTable, analyse, goal_hsic, minimize

MARKUP = "<script>x"


def loss(params):
    return {"objective": next(iter(params.values())) ** 2, "cost": 1.0 + next(reversed(params.values()))}


def spaced(n):
    return SearchSpace({f"{MARKUP}{'long' * 20}{i}": Float(0, 1) for i in range(n)})


@pytest.fixture(scope="module")
def shown():
    space = spaced(30)
    result = minimize(loss, space, n_trials=40, strategy="random")
    u = result.trials.objective
    measured = goal_hsic((u - u.min()) / (u.max() - u.min()), u)
    return [space, result, result.trials, result.sensitivity, measured]


@pytest.mark.parametrize("which", range(5))
def test_short(shown, which):
    assert 0 < len(repr(shown[which])) < 400


@pytest.mark.parametrize("which", range(5))
def test_a_notebook_gets_a_table_of_escaped_text(shown, which):
    page = shown[which]._repr_html_()
    assert "<table>" in page
    assert "<script" not in page
    assert page.count("<tr>") <= 21


def test_a_small_space_is_shown_whole():
    space = SearchSpace({"kind": Choice(["a", "b"])})
    assert repr(space) == f"SearchSpace({dict(space)!r})"


def test_what_is_said():
    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    result = minimize(lambda params: params["x"] ** 2, space, n_trials=60, strategy="random")
    assert repr(result.trials).startswith("TrialTable(60 trials of 2 hyperparameters (x, y): 60 done; best objective ")
    assert repr(result.sensitivity).startswith("Sensitivity(60 trials, 15 of them good; of 2 hyperparameters decide: x")
    assert repr(result).startswith("Result(60 trials; best ")
    assert repr(result).endswith("; decide: x)")


def test_trials_that_all_failed():
    space = SearchSpace({"x": Float(0, 1)})
    table = TrialTable.from_arrays(space, {"x": [0.1, 0.2]}, [float("nan")] * 2)
    assert repr(table) == "TrialTable(2 trials of 1 hyperparameter (x): 2 diverged)"
    assert "unknown" in table._repr_html_()


def test_of_nothing_decides():
    space = SearchSpace({"x": Float(0, 1)})
    table = TrialTable.from_arrays(space, {"x": [0.1, 0.7, 0.2, 0.9]}, [0.1, 0.3, 0.4, 0.2])
    assert repr(analyse(space, table)).endswith("decide: nothing that was found)")
