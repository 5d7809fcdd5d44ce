"""The index as one of Optuna's importances: Optuna's own suites, then what the method promises."""

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import get_param_importances
from optuna.samplers import RandomSampler, TPESampler
from optuna.testing.pytest_importance import (
    BasicImportanceEvaluatorTestCase,
    ConditionalImportanceEvaluatorTestCase,
    MultiObjectiveImportanceEvaluatorTestCase,
)
from optuna.trial import TrialState, create_trial

from hsicfast import InputError, Int, SearchSpace, TrialTable, analyse, goal_hsic, read_trials
from hsicfast.dependence.features import UNIFORM_MEDIAN
from hsicfast.optuna import HSICImportanceEvaluator


# NonConditionalImportanceEvaluatorTestCase is for evaluators that refuse ranges that change and know no branches.
class TestOptunasOwnSuites(
    BasicImportanceEvaluatorTestCase,
    ConditionalImportanceEvaluatorTestCase,
    MultiObjectiveImportanceEvaluatorTestCase,
):
    @pytest.fixture
    def evaluator(self):
        return HSICImportanceEvaluator


def run(objective, n=100, seed=0, sampler=RandomSampler, **study):
    made = optuna.create_study(sampler=sampler(seed=seed), **study)
    made.optimize(objective, n_trials=n)
    return made


def raw(study, goal=0.1, options=None, **asked):
    return HSICImportanceEvaluator(goal=goal, **(options or {})).evaluate(study, **asked)


def analysed(study, table=None, **options):
    """What an analysis of the study says, the most important first."""
    reading = read_trials(study)
    table = reading.table if table is None else table
    found = analyse(table.space, table, law="ranks", pairs=False, n_permutations=1, **options)
    return {index.name: index.importance for index in sorted(found.indices, key=lambda index: -index.importance)}


def same(found, wanted):
    """Whether two importances agree in their numbers and in their order, though one of them is never below 0."""
    return list(found) == list(wanted) and found == pytest.approx({k: max(v, 0) for k, v in wanted.items()}, abs=1e-12)


class Uneven:
    """A study with a condition whose trials end in all ways: done, failed, pruned, and beyond a constraint."""

    def __init__(self, seed, infeasible=False):
        self.random, self.infeasible = np.random.default_rng(seed), infeasible
        self.sign = (-1) ** seed
        direction = "minimize" if self.sign > 0 else "maximize"
        self.study = optuna.create_study(sampler=RandomSampler(seed=seed), direction=direction)
        self.study.optimize(self.objective, n_trials=60 + 20 * seed, catch=(FloatingPointError,))

    def objective(self, trial):
        rate, width = trial.suggest_float("rate", 1e-4, 1, log=True), trial.suggest_int("width", 1, 8)
        kind = trial.suggest_categorical("kind", ["sgd", "adam", "lion"])
        momentum = trial.suggest_float("momentum", 0, 1) if kind == "sgd" else 0.5
        trial.suggest_float("noise", 0, 1)
        trial.suggest_categorical("fixed", [3])
        loss = (math.log10(rate) + 2) ** 2 / 4 + 0.1 * (width > 3) + 0.3 * momentum**2
        if self.infeasible:
            trial.set_constraint("memory", width - 5.0)
        trial.report(self.sign * loss, 1)
        chance = self.random.random()
        if chance < 0.1:
            raise FloatingPointError
        if loss > 0.3 and chance < 0.7:
            raise optuna.TrialPruned
        return self.sign * loss


def told(columns, values, distributions, **study):
    """A study of trials made elsewhere: a column of values a name, None where it does not exist."""
    made = optuna.create_study(**study)
    for row, value in enumerate(values):
        params = {name: column[row] for name, column in columns.items() if column[row] is not None}
        own = {name: distributions[name] for name in params}
        value = list(value) if isinstance(value, tuple) else [value]
        made.add_trial(create_trial(params=params, distributions=own, values=value))
    return made


class TestFacts:
    def test_it_is_r2_less_its_mean_under_independence(self):
        rng = np.random.default_rng(0)
        x, y = rng.random(60), rng.random(60)
        found = raw(told({"x": x}, y, {"x": FloatDistribution(0, 1)}), goal=0.2)["x"]
        ranks, width = (x.argsort().argsort() + 0.5) / 60, np.full(60, 1 / 60)
        index = goal_hsic(ranks, y, goal=0.2, width=width, bandwidth=UNIFORM_MEDIAN)
        floor = index.null_mean * index.r2 / index.statistic
        assert found == pytest.approx(max(index.r2 - floor, 0), abs=1e-12)

    def test_a_choice_that_is_the_goal_has_all_but_the_floor(self):
        kinds, values = ["a"] * 10 + ["b"] * 90, [0.0] * 10 + [1.0] * 90
        study = told({"kind": kinds}, values, {"kind": CategoricalDistribution(["a", "b"])})
        assert raw(study)["kind"] == pytest.approx(1 - 1 / 99, abs=1e-12)

    def test_a_branch_counts_for_its_share_of_the_trials(self):
        rng = np.random.default_rng(1)
        x, y = list(rng.random(80)), list(rng.random(80))
        alone = raw(told({"x": x}, x, {"x": FloatDistribution(0, 1)}))
        study = told({"x": x + [None] * 20}, x + y[:20], {"x": FloatDistribution(0, 1)})
        assert raw(study)["x"] == pytest.approx(0.8 * alone["x"], rel=1e-12)

    def test_any_order_preserving_change_of_a_number_leaves_it_the_same(self):
        rng = np.random.default_rng(2)
        x, y = rng.random(50), rng.random(50)
        wide = FloatDistribution(-1e9, 1e9)
        assert raw(told({"x": x}, x + y, {"x": wide})) == raw(told({"x": np.exp(20 * x)}, x + y, {"x": wide}))

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_two_trials_tell_nothing(self, n):
        found = raw(run(lambda t: t.suggest_float("x", 0, 1), n))
        assert found == ({"x": 0.0} if n else {})

    def test_a_goal_that_all_meet_tells_nothing(self):
        assert raw(run(lambda t: 0 * t.suggest_float("x", 0, 1))) == {"x": 0.0}

    def test_what_permutations_cannot_change_is_exactly_zero(self):
        # each half of the choices would give the same index whichever single trial were the best
        study = told({"k": ["a", "b"] * 2}, [0.0, 1.0, 2.0, 3.0], {"k": CategoricalDistribution(["a", "b"])})
        assert raw(study) == {"k": 0.0}


class TestPromises:
    @pytest.mark.parametrize("sampler", [RandomSampler, TPESampler])
    def test_what_matters_comes_first_though_its_range_changes(self, sampler):
        def objective(trial):
            x = trial.suggest_float("x", 0, 1 + 0.01 * trial.number)
            trial.suggest_float("noise", 0, 1 + 0.01 * trial.number)
            trial.suggest_int("count", 1, 5 + trial.number)
            trial.suggest_categorical("kind", ["a", "b", None])
            return (x - 0.5) ** 2

        found = get_param_importances(run(objective, sampler=sampler), evaluator=HSICImportanceEvaluator())
        assert next(iter(found)) == "x"
        assert list(found.values()) == sorted(found.values(), reverse=True)
        if sampler is RandomSampler:  # TPE moves the others with the best trials, which is no noise any more
            assert found["x"] > 0.8

    def test_noise_gets_little(self):
        # Under independence R2 less its mean is at its loudest for two choices, (chi-square of one degree - 1) / n, and
        # then above 2.84 / n in 5% of all cases; bound 3.5 standard deviations of the binomial.
        names, loud = ("a", "b", "kind"), 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            columns = {
                "a": rng.random(100),
                "b": rng.random(100) ** 3,
                "kind": rng.choice(["u", "v"], 100, p=[0.7, 0.3]),
            }
            kinds = {
                "a": FloatDistribution(0, 1),
                "b": FloatDistribution(0, 1),
                "kind": CategoricalDistribution(["u", "v"]),
            }
            columns["kind"] = columns["kind"].tolist()
            loud += sum(value > 2.84 / 100 for value in raw(told(columns, rng.random(100), kinds)).values())
        total = 60 * len(names)
        assert loud / total < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / total)

    def test_what_decides_within_its_branch_is_found(self):
        rng = np.random.default_rng(0)

        def objective(trial):
            trial.suggest_float("noise", 0, 1)
            if trial.suggest_categorical("optimizer", ["adam", "sgd"]) == "adam":
                trial.suggest_float("beta", 0, 1)
                return (rng.random() - 0.7) ** 2
            return (trial.suggest_float("momentum", 0, 1) - 0.7) ** 2

        found = raw(run(objective, 200))
        assert set(found) == {"noise", "optimizer", "beta", "momentum"}
        assert found.pop("momentum") > 3 * max(found.values())

    def test_a_small_branch_does_not_outshout_the_rest(self):
        rng = np.random.default_rng(3)
        x, wide = list(rng.random(100)), FloatDistribution(0, 1)
        rare = [0.1, 0.5, 0.6, 0.9] + [None] * 96
        x[:4] = [0.7, 0.8, 0.9, 1.0]  # the best of these four is at the end of `rare`
        found = raw(told({"x": x, "rare": rare}, x, {"x": wide, "rare": wide}))
        assert found["x"] > 10 * found["rare"] > 0

    def test_two_runs_give_the_same_numbers_in_the_same_order(self):
        study = run(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1) ** 2)
        assert list(raw(study).items()) == list(raw(study).items())

    def test_the_goal_is_the_question(self):
        study = run(lambda t: t.suggest_float("x", 0, 1) * (t.suggest_float("y", 0, 1) > 0.2))
        strict, easy = raw(study, goal=0.1), raw(study, goal=0.6)
        assert strict["y"] > 3 * strict["x"]  # y alone brings the best, and x the good ones
        assert easy["x"] > easy["y"]

    def test_the_direction_of_the_study_counts(self):
        down = run(lambda t: max(t.suggest_float("x", 0, 1) - 0.5, 0) + 0.1 * t.suggest_float("y", 0, 1))
        up = optuna.create_study(direction="maximize")
        up.add_trials(down.trials)
        assert raw(up) != raw(down)
        with pytest.warns(UserWarning, match="a small `target` is taken as good, though this study maximises"):
            assert raw(up, target=lambda trial: trial.value) == raw(down)

    def test_who_did_not_finish_counts_unless_it_is_left_out(self):
        study = run(lambda t: t.suggest_float("x", 0, 1))
        without = {"failed": "drop", "pruned": "drop"}
        before = raw(study)
        assert raw(study, options=without) == before
        study.add_trial(create_trial(state=TrialState.FAIL))
        pruned = {"params": {"x": 0.5}, "distributions": {"x": FloatDistribution(0, 1)}}
        study.add_trial(create_trial(state=TrialState.PRUNED, value=-1.0, intermediate_values={0: -1.0}, **pruned))
        study.add_trial(create_trial(state=TrialState.RUNNING, **pruned))
        assert raw(study, options=without) == before
        assert raw(study) != before
        assert raw(study, options={"pruned": "last"}) != raw(study)

    def test_a_parameter_whose_trials_all_ended_at_infinity_has_none(self):
        wide = FloatDistribution(0, 1)
        study = told(
            {"x": [0.1, 0.2, 0.3, 0.4], "y": [None] * 3 + [0.5]}, [1.0, 2.0, 3.0, math.inf], {"x": wide, "y": wide}
        )
        found = raw(study)
        assert found["y"] == 0.0 < found["x"]


class TestWithAnAnalysis:
    """It ranks as ``python -m hsicfast.analyze`` does."""

    @pytest.mark.parametrize("seed", range(8))
    def test_the_same_numbers_whatever_became_of_the_trials(self, seed):
        study = Uneven(seed).study
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED}
        wanted = analysed(study)
        found = raw(study, goal=None)
        assert found.pop("fixed") == 0.0  # an analysis leaves it out
        assert same(found, wanted)

    @pytest.mark.parametrize("options", [{"failed": "drop"}, {"pruned": "drop"}, {"pruned": "last", "failed": "drop"}])
    def test_the_same_options(self, options):
        study = Uneven(3).study
        found = raw(study, goal=None, options=options)
        del found["fixed"]
        assert same(found, analysed(study, **options))

    @pytest.mark.parametrize("seed", range(4))
    def test_infeasible_trials_are_not_good(self, seed):
        study = Uneven(seed, infeasible=True).study
        table = read_trials(study).table
        beyond = np.array([study.trials[row].params["width"] > 5 for row in table.index])
        table = replace(table, objective=np.where(beyond, np.nan, table.objective))
        table = replace(table, status=np.where(np.isnan(table.objective), "diverged", table.status))
        found = raw(study, goal=None)
        del found["fixed"]
        assert same(found, analysed(study, table))
        ignored = raw(study, goal=None, options={"constraints": "ignore"})
        assert ignored == raw(Uneven(seed).study, goal=None) != raw(study, goal=None)

    def test_several_objectives(self):
        def objective(trial):
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
            kind = trial.suggest_categorical("kind", ["b", "a"])
            z = trial.suggest_float("z", 0, 1) if kind == "a" else 0.3
            if x + z > 1.4:
                raise optuna.TrialPruned
            return x + y, z - x

        study = run(objective, 120, directions=["minimize", "maximize"])
        assert same(raw(study, goal=None), analysed(study))

    def test_repeated_configurations_are_one_trial(self):
        rng = np.random.default_rng(0)
        columns = {"x": np.repeat(rng.integers(0, 50, 20), 10).tolist(), "y": np.repeat(rng.random(20), 10).tolist()}
        kinds = {"x": IntDistribution(0, 50), "y": FloatDistribution(0, 1)}
        study = told(columns, (np.array(columns["x"]) + 20 * rng.standard_normal(200)).tolist(), kinds)
        assert same(raw(study, goal=None), analysed(study))

    def test_a_completed_trial_at_infinity_has_failed_if_asked(self):
        study = Uneven(1).study
        worst = max(study.get_trials(states=[TrialState.COMPLETE]), key=lambda trial: trial.value)
        for value in (math.inf, -math.inf):
            study.add_trial(create_trial(params=worst.params, distributions=worst.distributions, value=value))
        found = raw(study, goal=None, options={"infinite": "miss"})
        del found["fixed"]
        assert same(found, analysed(study))
        assert found.keys() < raw(study, goal=None).keys()
        assert same(raw(study, goal=None), raw(Uneven(1).study, goal=None))

    def test_what_decides_who_is_pruned_comes_first(self):
        # Pruned are 113 of 150 trials: those whose rate is not among the lowest quarter. What is left is noise.
        random, rates = np.random.default_rng(0), np.random.default_rng(1).permutation(150) / 150
        study = optuna.create_study()
        for rate in rates:
            params = {"rate": rate, **{name: random.random() for name in "abc"}}
            kinds = dict.fromkeys(params, FloatDistribution(0, 1))
            end = {"value": random.random()} if rate < 0.2434 else {"state": TrialState.PRUNED}
            study.add_trial(create_trial(params=params, distributions=kinds, **end))
        assert sum(trial.state == TrialState.PRUNED for trial in study.trials) == 113
        found = raw(study, goal=None)
        assert found["rate"] > 3 * max(found[name] for name in "abc")
        dropped = raw(study, goal=None, options={"pruned": "drop"})
        assert dropped["rate"] < found["rate"] / 3

    def test_a_parameter_that_was_added_later_is_judged_where_it_is(self):
        rng = np.random.default_rng(5)
        wide, x, late = FloatDistribution(0, 1), list(rng.random(90)), [None] * 30 + list(rng.random(60))
        y = [u if v is None else v for u, v in zip(x, late, strict=True)]
        found = raw(told({"x": x, "late": late}, y, {"x": wide, "late": wide}), goal=None)
        alone = told({"late": late[30:]}, y[30:], {"late": wide})
        assert found["late"] == pytest.approx(2 / 3 * analysed(alone)["late"], rel=1e-12)

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_few_trials_whatever_became_of_them(self, n):
        study = run(lambda t: t.suggest_float("x", 0, 1), n)
        assert list(raw(study, goal=None)) == ["x"]
        study.add_trial(create_trial(state=TrialState.FAIL))
        assert list(raw(study, goal=None)) == ["x"]

    def test_all_infeasible_or_all_failed(self):
        def objective(trial):
            trial.set_constraint("c", math.inf if trial.number % 2 else 1.0)
            return trial.suggest_float("x", 0, 1)

        assert raw(run(objective, 10), goal=None) == {"x": 0.0}
        assert raw(run(objective, 10), goal=None, options={"constraints": "ignore"})["x"] > 0

    def test_a_target_is_not_known_of_who_did_not_finish(self):
        study = run(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1))
        kinds = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
        for x in (0.91, 0.93, 0.95):  # the best by the target, if one were asked for
            study.add_trial(create_trial(params={"x": x, "y": 0.5}, distributions=kinds, state=TrialState.PRUNED))
        found = raw(study, target=lambda trial: -trial.params["x"])
        assert next(iter(found)) == "x"
        loss = [math.nan if t.state == TrialState.PRUNED else -t.params["x"] for t in study.trials]
        space = SearchSpace({"x": Int(0, 10**6)})
        table = TrialTable.from_arrays(space, {"x": [int(1e6 * t.params["x"]) for t in study.trials]}, loss)
        assert raw(study, goal=None, target=lambda trial: -trial.params["x"])["x"] == pytest.approx(
            analysed(study, table)["x"], abs=1e-12
        )


class TestSeveralObjectives:
    def objective(self, trial):
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.suggest_float("noise", 0, 1)
        return x + 2 * y, 1 - x + 2 * y  # x trades one for the other; y is bad for both

    def test_what_moves_the_front_comes_first(self):
        found = raw(run(self.objective, 200, directions=["minimize", "minimize"]))
        assert next(iter(found)) == "y"
        assert found["y"] > 5 * max(found["x"], found["noise"])

    def test_each_direction_counts(self):
        study = run(self.objective, directions=["minimize", "minimize"])
        signed = run(lambda t: tuple(np.multiply(self.objective(t), (1, -1))), directions=["minimize", "maximize"])
        assert raw(study) == raw(signed)

    def test_a_target_asks_for_one_of_them(self):
        study = run(self.objective, 200, directions=["minimize", "minimize"])
        assert next(iter(raw(study, target=lambda trial: 1 - trial.params["x"]))) == "x"


class TestRefusals:
    @pytest.mark.parametrize("goal", [0, 1, -0.1, 1.5, math.nan, "0.1", True])
    def test_a_goal_outside_its_range(self, goal):
        with pytest.raises(InputError, match="`0 < goal < 1` must hold, but got goal="):
            HSICImportanceEvaluator(goal=goal)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"failed": "last"}, r"failed must be one of \('miss', 'drop'\), but got 'last'; 'miss' counts them"),
            ({"pruned": "no"}, r"pruned must be one of \('miss', 'last', 'drop'\), but got 'no'; 'miss' counts them"),
            ({"constraints": None}, r"constraints must be one of \('miss', 'ignore'\), but got None; 'miss' counts"),
            ({"infinite": "last"}, r"infinite must be one of \('drop', 'miss'\), but got 'last'; 'drop' leaves"),
        ],
    )
    def test_an_option_that_there_is_not(self, options, message):
        with pytest.raises(InputError, match=message):
            HSICImportanceEvaluator(**options)

    def test_a_name_that_no_trial_has(self):
        study = run(lambda t: t.suggest_float("x", 0, 1), 5)
        with pytest.raises(InputError, match=r"but \['z'\] are in none; choose among \['x'\]"):
            raw(study, params=["x", "z"])

    def test_a_target_that_is_no_number(self):
        study = run(lambda t: t.suggest_float("x", 0, 1), 5)
        with pytest.raises(InputError, match="`target` must return a number, but got None for trial 0"):
            raw(study, target=lambda trial: trial.user_attrs.get("seconds"))

    def test_choices_that_change(self):
        study = optuna.create_study()
        for choices in (["a", "b"], ["b", "c"]):
            kinds = {"k": CategoricalDistribution(choices)}
            study.add_trial(create_trial(params={"k": "b"}, distributions=kinds, value=1.0))
        with pytest.raises(InputError, match="a categorical parameter must keep its choices, but 'k' is"):
            raw(study)
