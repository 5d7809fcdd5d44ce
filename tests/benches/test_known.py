"""The arithmetic of the known answers, on answers made by hand, and what the peers get to see."""

import json
from itertools import combinations

import numpy as np
import optuna
import pytest
from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, PedAnovaImportanceEvaluator

from benches import known
from benches.functions import FUNCTIONS, NEW_FUNCTIONS, Function
from benches.known import (
    EVERYTHING,
    OURS,
    OURS_TUNED,
    Answer,
    Kept,
    answers,
    areas,
    be_quiet,
    by_branch,
    digest,
    mean_of,
    ours,
    ours_scores,
    peers,
    rows,
    study_of,
    with_worst,
)
from hsicfast import Bool, Float, Int, SearchSpace, TrialTable

NAMES = ("a", "b", "c", "d")


def forest():
    return MeanDecreaseImpurityImportanceEvaluator(n_trees=8, seed=0)


def table_of(formula, space, n=60):
    """Trials of a function that is none of the nine."""
    random = np.random.default_rng(0)
    space = SearchSpace(space)
    params = [space.from_unit(point) for point in random.random((n, len(space)))]
    columns = {name: [trial.get(name) for trial in params] for name in space}
    return TrialTable.from_arrays(space, columns, [formula(trial) for trial in params])


def answer(ours, scores, peers, function="f", relevant=("a", "b"), trials=""):
    return Answer(function, NAMES, frozenset(relevant), frozenset(ours), scores, peers, trials)


@pytest.fixture(autouse=True)
def quiet():
    be_quiet()
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_a_forest_labels_the_only_parameter_that_matters():
    """The names stand unsorted in the space; unsorted, they would get each other's importances."""
    pytest.importorskip("sklearn")
    table = table_of(lambda x: x["zeta"], {name: Float(0, 1) for name in ("zeta", "beta", "alpha", "gamma")})
    scores = by_branch(table, study_of(table), forest)
    assert scores["zeta"] > 0.9
    assert sum(scores.values()) == pytest.approx(1.0)


def test_a_forest_labels_a_parameter_within_its_branch():
    pytest.importorskip("sklearn")
    space = {"switch": Bool(), "zoom": Float(0, 1, active_if={"switch": True}), "angle": Float(0, 1)}
    table = table_of(lambda x: 5 * x.get("zoom", 0.5), space, 200)
    scores = by_branch(table, study_of(table), forest)
    assert scores["zoom"] > 0.9  # among the trials that have it
    assert max(scores["switch"], scores["angle"]) < scores["zoom"]


def test_a_branch_without_trials_gets_zero():
    pytest.importorskip("sklearn")
    space = {"switch": Bool(), "zoom": Float(0, 1, active_if={"switch": True}), "angle": Float(0, 1)}
    table = table_of(lambda x: x["angle"], space)
    scores = by_branch(none := table.select(~table.active("zoom")), study_of(none), forest)
    assert scores["zoom"] == 0.0
    assert scores["angle"] > 0.9


def test_a_diverged_trial_is_worse_than_all_others():
    table = table_of(lambda x: np.nan if x["a"] > 0.8 else x["b"], {"a": Float(0, 1), "b": Float(0, 1)})
    done = np.isfinite(table.objective)
    filled = with_worst(table).objective
    assert 0 < done.sum() < len(table)
    np.testing.assert_array_equal(filled[done], table.objective[done])
    low, high = table.objective[done].min(), table.objective[done].max()
    np.testing.assert_allclose(filled[~done], high + 0.1 * (high - low))


def test_forests_see_divergence_only_as_the_worst_value():
    pytest.importorskip("sklearn")
    space = {name: Float(0, 1) for name in ("d", "c", "b", "a")}
    found = peers(table_of(lambda x: np.nan if x["d"] > 0.7 else x["a"] - x["b"], space, 100))
    for who in ("fANOVA", "MDI"):
        assert found[who, "as it is, diverged as worst"]["d"] > 2 * found[who, "as it is"]["d"]


def test_without_diverged_trials_both_variants_agree():
    found = peers(table_of(lambda x: x["a"], {"a": Float(0, 1), "b": Float(0, 1)}))
    for who, how in found:
        if not how.endswith("diverged as worst"):
            assert found[who, how] == found[who, f"{how}, diverged as worst"]


def test_ped_anova_gets_the_study_without_diverged_trials_as_optuna_would():
    table = NEW_FUNCTIONS[1].trials(60, 0)
    laws = {name: known.law(hyperparameter) for name, hyperparameter in table.space.items()}
    study = optuna.create_study()
    for trial in table:
        done = bool(np.isfinite(trial.objective))
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.params,
                distributions={name: laws[name] for name in trial.params},
                value=trial.objective if done else None,
                state=optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.FAIL,
            )
        )
    own = PedAnovaImportanceEvaluator(target_quantile=0.2).evaluate(study)
    assert peers(table)["PED-ANOVA", "goal 0.2"] == pytest.approx(own)


def test_quantiles_follow_the_law_and_leave_choices_alone():
    space = {"rate": Float(1e-4, 1.0, log=True), "width": Int(1, 4), "on": Bool()}
    table = table_of(lambda x: x["rate"], space, 5)
    for trial, other in zip(table, study_of(table, quantiles=True).trials, strict=True):
        assert other.params["rate"] == pytest.approx(np.log10(trial.params["rate"]) / 4 + 1)
        assert other.params["width"] == pytest.approx((trial.params["width"] - 0.5) / 4)
        assert other.params["on"] == trial.params["on"]


def test_the_area_counts_ties_as_halves_and_ignores_fillers():
    """By hand: of a, b against c, d the pairs above are (1 + 1/2 + 0 + 0) / 4; and -inf loses to all but itself."""
    scores = np.array([[3.0, 0.0, 3.0, 1.0, -np.inf], [3.0, -np.inf, -np.inf, 1.0, -np.inf]])
    truth = np.array([[True, True, False, False, False]] * 2)
    there = np.array([[True] * 4 + [False]] * 2)
    np.testing.assert_allclose(areas(scores, truth, there), [1.5 / 4, 2.5 / 4])


def test_the_error_of_a_mean_holds_the_functions_fixed():
    """f: 0, 2 (variance 2), g: 10, 10, 10; their sum of 5 has the variance 2 * 2, and the mean its root by 5."""
    functions = np.array(["f", "g", "f", "g", "g"])
    assert mean_of(np.array([0.0, 10.0, 2.0, 10.0, 10.0]), functions) == pytest.approx((6.4, 2 / 5))


def test_the_error_of_a_mean_is_the_spread_of_such_means():
    """Of 2,000 means the standard deviation has a relative error of 1 / sqrt(4,000) = 1.6%; four of these are 6.3%."""
    random = np.random.default_rng(0)
    functions = np.repeat(["f", "g"], 10)
    found = [mean_of(random.normal(np.where(functions == "f", 0, 5), 1.5), functions) for _ in range(2000)]
    assert np.std([mean for mean, _ in found]) == pytest.approx(np.mean([error for _, error in found]), rel=0.063)


def test_rows_on_two_answers_made_by_hand():
    """Ours is right once and once half right; the peer's second way is perfect, its first one is not."""
    worse = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0}
    best = {"a": 0.9, "b": 0.8, "c": 0.1, "d": 0.0}
    told = {("peer", "badly"): worse, ("peer", "well"): best}
    found = [
        answer("ab", {"a": 2.0, "b": 1.0, "c": 0.0, "d": 0.0}, told),
        answer("ac", {"a": 2.0, "b": 0.0, "c": 1.0, "d": 0.0}, told),
    ]
    ours, everything, tuned, peer = rows("two", 50, found)
    assert [row.who for row in (ours, everything, tuned, peer)] == [OURS, EVERYTHING, OURS_TUNED, "peer"]
    assert tuned.f1.value == pytest.approx((1 + 1 / 2) / 2)  # from 1.0 on: both, then one right of two
    assert tuned.auc == ours.auc
    assert ours.f1 == pytest.approx((0.75, 0.25))
    assert ours.auc == pytest.approx(((1 + 2.5 / 4) / 2, 1.5 / 8))
    assert ours.f1_ahead is None
    assert (everything.precision.value, everything.recall.value) == (0.5, 1.0)
    assert everything.f1 == pytest.approx((2 / 3, 0.0))
    assert everything.auc == pytest.approx((0.5, 0.0))
    assert (peer.f1.value, peer.auc.value, peer.threshold, peer.variant) == (1.0, 1.0, "0.8000, well", "well")
    assert peer.f1_ahead == pytest.approx((-0.25, 0.25))  # paired: the peer's F1 is the same in both
    assert peer.auc_ahead == pytest.approx((-1.5 / 8, 1.5 / 8))


def test_everything_has_an_f1_of_two_thirds_on_the_six():
    """Its precision is the share of the relevant: 3/8, 4/8, 5/10, 4/8, 5/9 and 7/11."""
    found = [
        Answer(
            function.name,
            tuple(function.space),
            function.relevant,
            frozenset(),
            dict.fromkeys(function.space, 0.0),
            {},
            "",
        )
        for function in FUNCTIONS
    ]
    shares = np.array([3 / 8, 4 / 8, 5 / 10, 4 / 8, 5 / 9, 7 / 11])
    everything = rows("the six", 50, found)[1]
    assert everything.precision.value == pytest.approx(shares.mean())
    assert everything.f1.value == pytest.approx((2 * shares / (1 + shares)).mean())
    assert round(everything.f1.value, 3) == 0.673


def test_our_choice_has_the_largest_expected_f1():
    scores = {"a": 6.0, "b": 1.5, "c": 0.1, "d": 0.0}
    odds = {name: 0.1 * np.exp(own) ** 0.9 for name, own in scores.items()}
    chance = {name: own / (1 + own) for name, own in odds.items()}

    def expected(names):
        return 2 * sum(chance[name] for name in names) / (len(names) + sum(chance.values()))

    sets = [set(names) for size in range(1, 5) for names in combinations(scores, size)]
    assert ours(scores) == max(sets, key=expected)


def test_our_scores_rank_what_we_choose_above_the_rest():
    for function in (*FUNCTIONS, *NEW_FUNCTIONS):
        table = function.trials(50, 0)
        scores = ours_scores(table)
        chosen = ours(scores)
        assert list(scores) == list(function.space)
        assert all(np.isfinite(score) and score >= 0 for score in scores.values())
        rest = [score for name, score in scores.items() if name not in chosen]
        assert chosen
        assert not rest or min(scores[name] for name in chosen) >= max(rest)


@pytest.fixture
def made(monkeypatch):
    """One small set of one small function, and a count of how often the peers are asked."""
    function = FUNCTIONS[0]
    asked = []
    monkeypatch.setattr(known, "SETS", {"one": (function,)})
    monkeypatch.setattr(known, "peers", lambda table: asked.append(1) or {("peer", "1"): {"x1": 1 / 3, "x2": 1e-17}})
    return function, asked


def test_kept_answers_are_not_asked_again(tmp_path, made):
    _, asked = made
    path = tmp_path / "peers.jsonl"
    first = answers(20, 4, {})
    Kept(path).add(20, 4, first)
    assert len(asked) == 1
    assert answers(20, 4, Kept(path).of(20, 4)) == first
    assert len(asked) == 1
    assert Kept(path).of(20, 5) == Kept(path).of(50, 4) == {}


def test_adding_twice_writes_once(tmp_path, made):
    path = tmp_path / "peers.jsonl"
    kept, found = Kept(path), answers(20, 4, {})
    kept.add(20, 4, found)
    kept.add(20, 4, found)
    Kept(path).add(20, 4, found)
    assert len(path.read_text().splitlines()) == 1


def test_other_trials_are_asked_again(tmp_path, made, monkeypatch):
    function, asked = made
    path = tmp_path / "peers.jsonl"
    Kept(path).add(20, 4, answers(20, 4, {}))
    other = function.trials(20, 5)
    monkeypatch.setattr(Function, "trials", lambda self, n, seed: other)
    Kept(path).add(20, 4, answers(20, 4, Kept(path).of(20, 4)))
    assert len(asked) == 2
    assert Kept(path).of(20, 4)["Ishigami"][0] == digest(other)
    answers(20, 4, Kept(path).of(20, 4))
    assert len(asked) == 2


def test_a_torn_line_is_asked_again(tmp_path, made):
    path = tmp_path / "peers.jsonl"
    found = answers(20, 4, {})
    Kept(path).add(20, 4, found)
    Kept(path).add(20, 5, answers(20, 5, {}))
    whole, other = path.read_text().splitlines()
    path.write_text(whole[:40] + "\n" + other + "\n")
    assert Kept(path).of(20, 4) == {}
    assert set(Kept(path).of(20, 5)) == {"Ishigami"}
    assert json.loads(other)["seed"] == 5


def test_without_a_path_nothing_is_kept(made):
    kept = Kept(None)
    kept.add(20, 4, answers(20, 4, {}))
    assert kept.of(20, 4) == {}
