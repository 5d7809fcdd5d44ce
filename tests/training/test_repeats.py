"""Several seeds a configuration: means by hand, divergence, and whole runs in every executor."""

import json
import math
import pickle
import statistics

import numpy as np
import pytest

from hsicfast.errors import InputError
from hsicfast.search.orchestrator import minimize
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.training.executors import Local, Processes
from hsicfast.training.groups import Group, grouped, run_group
from hsicfast.training.repeats import Repeated, RepeatedTogether, repeated, seeds_of
from hsicfast.training.worker import Job, NoResult
from hsicfast.trials.trial import trial_seed

SPACE = SearchSpace({"x": Float(-1, 1), "y": Float(0, 1)})


def noisy(params, seed):
    """One seed in five diverges above 0.8."""
    if params["y"] > 0.8 and seed % 5 == 0:
        raise FloatingPointError("loss is nan")
    return {"objective": params["x"] ** 2 + seed % 97 / 970, "cost": seed % 3, "own": seed}


def answers(*outcomes):
    """An evaluate that returns these one after the other."""
    waiting = iter(outcomes)
    return lambda params, seed: next(waiting)


class TestTheMean:
    def test_by_hand(self):
        one = {"objective": 1.0, "cost": 10, "epochs": 3, "net": "mlp", "said": "a", "first": 1.0}
        two = {"objective": 2.0, "cost": 20, "epochs": 4, "net": "mlp", "said": "b"}
        three = {"objective": 6.0, "cost": 30, "epochs": 5, "net": "mlp", "said": "a"}
        assert Repeated(answers(one, two, three), 3)({"x": 0.5}, seed=7) == {
            "objective": 3.0,
            "cost": 20.0,
            "epochs": 4.0,
            "net": "mlp",
            "objective_sd": math.sqrt(7),  # (4 + 1 + 9) / 2
        }

    def test_numbers_alone(self):
        found = Repeated(answers(0.25, 0.75), 2)({}, seed=0)
        assert (found.pop("objective"), found.pop("objective_sd")) == (0.5, math.sqrt(1 / 8))
        assert math.isnan(found.pop("cost"))
        assert found == {}

    def test_what_one_seed_does_not_know_the_mean_does_not(self):
        outcomes = ({"objective": 1.0, "cost": cost, "m": m} for cost, m in ((1.0, math.inf), (math.nan, -math.inf)))
        found = Repeated(answers(*outcomes), 2)({}, seed=0)
        assert found["objective"] == 1.0
        assert math.isnan(found["cost"])
        assert math.isnan(found["m"])

    def test_the_first_seed_is_the_trials_own(self):
        seen = []
        Repeated(lambda params, seed: seen.append(seed) or 0.0, 4)({}, seed=11)
        assert seen == seeds_of(11, 4) == [11, *(trial_seed(11, number) for number in (1, 2, 3))]
        assert len(set(seen)) == 4
        assert not set(seen) & set(seeds_of(12, 4))

    def test_an_evaluate_that_changes_its_params_changes_none_of_the_next(self):
        assert Repeated(lambda params, seed: params.pop("x"), 3)({"x": 2.0}, seed=0)["objective"] == 2.0


class TestDivergence:
    @pytest.mark.parametrize(
        ("second", "why"),
        [
            (math.nan, "the objective was nan"),
            (
                {"objective": math.nan, "cost": 4, "status": "diverged", "message": "the loss was inf"},
                "the loss was inf",
            ),
        ],
    )
    def test_in_one_seed_is_divergence(self, second, why):
        found = Repeated(answers({"objective": 1.0, "cost": 2}, second, 3.0), 3)({}, seed=5)
        assert math.isnan(found["objective"])
        assert found["status"] == "diverged"
        assert found["message"] == f"with seed {seeds_of(5, 3)[1]}, 2 of 3: {why}"
        assert "objective_sd" not in found

    def test_a_constraint_that_one_seed_breaks(self):
        second = {"objective": 2.0, "constraints": 0.5}
        found = Repeated(answers({"objective": 1.0, "constraints": -1}, second, 3.0), 3)({}, seed=5)
        assert math.isnan(found.pop("objective"))
        assert math.isnan(found.pop("cost"))
        assert found == {
            "status": "diverged",
            "failure": "infeasible",
            "message": f"with seed {seeds_of(5, 3)[1]}, 2 of 3: a constraint is above 0",
            "infeasible_objective": 2.0,
            "largest_constraint": 0.5,
        }

    def test_by_an_exception_and_no_seed_after_it(self):
        seen = []

        def fail(params, seed):
            seen.append(seed)
            raise FloatingPointError("loss is nan")

        found = Repeated(fail, 3)({}, seed=5)
        assert (found["message"], seen) == ("with seed 5, 1 of 3: FloatingPointError: loss is nan", [5])

    @pytest.mark.parametrize("executor", [Local(), Processes(workers=1)])
    def test_no_result_at_all_stops_the_run(self, executor):
        with pytest.raises(NoResult, match="a dict with `objective`, but got the keys"):
            minimize(nothing, SPACE, n_trials=8, strategy="random", repeats=2, executor=executor)


def nothing(params, seed):
    return {"loss": 1.0}


@pytest.fixture(scope="module")
def whole():
    return minimize(noisy, SPACE, n_trials=20, strategy="random", seed=3, repeats=3)


class TestRuns:
    def test_a_trial_is_the_mean_of_its_seeds(self, whole):
        for trial in whole.trials:
            seeds = seeds_of(trial.seed, 3)
            if trial.status == "diverged":
                assert trial.params["y"] > 0.8
                continue
            objectives = [noisy(trial.params, seed)["objective"] for seed in seeds]
            assert trial.objective == statistics.fmean(objectives)
            assert trial.cost == statistics.fmean(seed % 3 for seed in seeds)
            assert trial.metrics["objective_sd"] == statistics.stdev(objectives)
        assert 0 < (whole.trials.status == "diverged").sum() < 10

    def test_the_same_in_processes_and_in_a_folder_that_goes_on(self, whole, tmp_path):
        frame = whole.trials.to_frame()
        with_two = minimize(
            noisy, SPACE, n_trials=20, strategy="random", seed=3, repeats=3, executor=Processes(workers=2)
        )
        assert with_two.trials.to_frame().equals(frame)
        minimize(noisy, SPACE, n_trials=12, strategy="random", seed=3, repeats=3, folder=tmp_path)
        assert (
            minimize(noisy, SPACE, n_trials=20, strategy="random", seed=3, repeats=3, folder=tmp_path)
            .trials.to_frame()
            .equals(frame)
        )

    def test_a_folder_keeps_to_its_repeats_and_one_without_them_goes_on(self, tmp_path):
        minimize(noisy, SPACE, n_trials=8, strategy="random", folder=tmp_path)
        assert "repeats" not in json.loads((tmp_path / "settings.json").read_text())
        assert len(minimize(noisy, SPACE, n_trials=12, strategy="random", folder=tmp_path, repeats=1).trials) == 12
        with pytest.raises(InputError, match="but repeats was absent and is 2 now"):
            minimize(noisy, SPACE, n_trials=12, strategy="random", folder=tmp_path, repeats=2)

    def test_its_scatter_replaces_no_metric(self):
        with pytest.raises(InputError, match="may return no metric 'objective_sd', which is the standard deviation"):
            Repeated(lambda params, seed: {"objective": 1.0, "objective_sd": 3.0}, repeats=2)({}, seed=0)
        with pytest.raises(InputError, match="may return no metric 'error_sd'"):
            Repeated(
                lambda params, seed: {"objectives": {"error": 1.0, "size": 2.0}, "error_sd": 3.0},
                repeats=2,
                objectives=("error", "size"),
            )({}, seed=0)

    def test_less_noise(self):
        def spread(repeats):
            def flat(params, seed):
                return np.random.default_rng(seed).normal()

            return np.std(minimize(flat, SPACE, n_trials=200, strategy="random", repeats=repeats).trials.objective)

        # The sd of a mean of 9 is a third; each sd is known to 5% (1 / sqrt(2 n)), their ratio to 7%.
        assert spread(9) / spread(1) == pytest.approx(1 / 3, rel=0.21)


class Stack:
    """`noisy`, of which up to `size` configurations train in one call."""

    def __init__(self, size=100, broken=False):
        self.size, self.broken, self.calls, self.alone = size, broken, [], 0

    def __call__(self, params, seed):
        self.alone += 1
        return noisy(params, seed)

    def groups(self, configurations):
        places = range(len(configurations))
        return [list(places[start : start + self.size]) for start in range(0, len(places), self.size)]

    def evaluate_many(self, configurations, seeds, reports, checkpoint=None):
        self.calls.append((len(seeds), checkpoint))
        if self.broken:
            raise RuntimeError("one of them is odd")
        return [self.result(*each) for each in zip(configurations, seeds, strict=True)]

    def result(self, params, seed):
        try:
            return noisy(params, seed)
        except FloatingPointError as error:
            return {"objective": math.nan, "status": "diverged", "message": f"FloatingPointError: {error}"}


class TestTogether:
    @pytest.mark.parametrize("size", [1, 3, 7, 100])
    @pytest.mark.parametrize("broken", [False, True])
    def test_the_run_is_the_same(self, whole, size, broken):
        stack = Stack(size, broken)
        found = minimize(stack, SPACE, n_trials=20, strategy="random", seed=3, repeats=3)
        for name in ("objective", "status"):
            np.testing.assert_array_equal(getattr(found.trials, name), getattr(whole.trials, name))
        assert [trial.message for trial in found.trials] == [trial.message for trial in whole.trials]
        assert (stack.alone == 0) == (size > 1 and not broken)

    def test_each_seed_is_one_more_network(self, tmp_path):
        stack = Stack(size=7)
        own = [Job(index, {"x": 0.5, "y": 0.5}, index, "design") for index in range(5)]
        evaluate = repeated(stack, 3)
        assert type(evaluate) is RepeatedTogether
        # The seeds of trials 2 and 4 go two ways: a trial goes where its first seed does.
        planned = grouped(evaluate, own)
        assert [[job.index for job in each.jobs] for each in planned] == [[0, 1, 2], [3, 4]]
        (tmp_path / "results").mkdir()
        run_group(evaluate, planned[1], tmp_path)
        ((networks, checkpoint),) = stack.calls
        assert (networks, checkpoint.parent) == (6, tmp_path / "checkpoints")

    def test_a_trial_alone_trains_its_seeds_in_one_call(self):
        stack = Stack()
        assert repeated(stack, 4)({"x": 0.5, "y": 0.5}, seed=2) == Repeated(noisy, 4)({"x": 0.5, "y": 0.5}, seed=2)
        assert ([networks for networks, _ in stack.calls], stack.alone) == ([4], 0)

    def test_a_group_that_forgets_one_is_no_result(self):
        stack = Stack()
        stack.evaluate_many = lambda configurations, seeds, reports: [1.0]
        with pytest.raises(NoResult, match="a result for each configuration, but got 1 for 4; correct it"):
            run_group(repeated(stack, 2), Group(tuple(Job(i, {}, i, "design") for i in range(2))), None)


class TestRefused:
    @pytest.mark.parametrize("repeats", [0, -1, 1.5, True, "2", None])
    def test_what_is_no_number_of_seeds(self, repeats):
        with pytest.raises(InputError, match=r"^`repeats >= 1` must hold, but got repeats=.*; give a whole number$"):
            minimize(noisy, SPACE, n_trials=20, repeats=repeats)

    def test_an_evaluate_without_a_seed_before_anything_runs(self, tmp_path):
        with pytest.raises(
            InputError, match="takes a seed, but got repeats=2 and an evaluate of the params alone; give"
        ):
            minimize(
                lambda params: pytest.fail("something ran"), SPACE, n_trials=20, repeats=2, folder=tmp_path / "run"
            )
        assert not (tmp_path / "run").exists()

    def test_one_is_the_evaluate_itself(self):
        assert repeated(abs, 1) is abs
        assert pickle.loads(pickle.dumps(repeated(noisy, 2))) == Repeated(noisy, 2)
