"""Trials of a group train in one call, and nobody can tell from their results."""

import os
import signal

import numpy as np
import pytest

from hsicfast import Float, Random, SearchSpace, minimize
from hsicfast.errors import InputError
from hsicfast.runs.results import read_results
from hsicfast.training.executors import Local
from hsicfast.training.groups import Group, group_checkpoint, grouped, run_group
from hsicfast.training.pruning import Pruning
from hsicfast.training.worker import Job, NoResult
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, PRUNED


class Pairs:
    """x and the seed make the objective; neighbours train in pairs."""

    def __init__(self, deed="", size=2):
        self.deed, self.size, self.calls = deed, size, []

    def __call__(self, params, seed, report=None):
        for step in range(1, 4):
            if report is not None and not report(step, params["x"] / step):
                return {"objective": params["x"] / step, "cost": 1.0, "metric": seed}
        return {"objective": params["x"] / 3, "cost": 1.0, "metric": seed}

    def stray(self, configurations):
        os.chdir("/")
        np.seterr(all="raise")
        for params in configurations:
            params["sizes"].append(0)

    def groups(self, configurations):
        if self.deed == "stray":
            self.stray(configurations)
        places = range(len(configurations))
        return [list(places[start : start + self.size]) for start in range(0, len(places), self.size)]

    def evaluate_many(self, configurations, seeds, reports):
        self.calls.append(len(seeds))
        if self.deed == "raise":
            raise RuntimeError("one of them is odd")
        if self.deed == "die" and any(params["x"] == 1 for params in configurations):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed == "stray":
            self.stray(configurations)
        if self.deed == "forget":
            return [{"objective": 1.0}]
        return [self(*each) for each in zip(configurations, seeds, reports, strict=True)]


def jobs(n, pruning=None):
    return [Job(index, {"x": float(index)}, 10 + index, DESIGN, pruning) for index in range(n)]


def alone(n):
    return sorted(Local().run(Pairs(), jobs(n)), key=lambda trial: trial.index)


def test_jobs_in_groups():
    found = grouped(Pairs(), jobs(5))
    assert [[job.index for job in each.jobs] if isinstance(each, Group) else each.index for each in found] == [
        [0, 1],
        [2, 3],
        4,
    ]
    assert repr(grouped(Pairs(), jobs(1))) == repr(jobs(1))  # their prices are NaN
    assert repr(grouped(lambda params: 1.0, jobs(3))) == repr(jobs(3))


@pytest.mark.parametrize("groups", [[[0, 1]], [[0, 1], [1, 2]], [[0, 1], [3]]])
def test_groups_hold_every_place_once(groups):
    evaluate = Pairs()
    evaluate.groups = lambda configurations: groups
    with pytest.raises(InputError, match=r"evaluate.groups must hold each of the places 0 to 2 once, but got \[\["):
        grouped(evaluate, jobs(3))


def test_what_a_group_changes_in_its_process_and_params_is_put_back(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = [Job(index, {"x": 0.5, "sizes": [4]}, index, DESIGN) for index in range(2)]
    with np.errstate(all="warn"):
        (group,) = grouped(Pairs("stray"), own)
        trials = run_group(Pairs("stray"), group, None)
        assert os.getcwd() == str(tmp_path)
        assert set(np.geterr().values()) == {"warn"}
    assert [trial.params["sizes"] for trial in trials] == [[4], [4]]


def test_the_results_are_those_of_trials_alone(folder):
    trials = list(Local().run(Pairs(), grouped(Pairs(), jobs(5)), folder))
    assert trials == alone(5)
    stored = read_results(folder)
    assert [stored[index].objective for index in range(5)] == [trial.objective for trial in trials]
    assert [stored[index].seed for index in range(5)] == [10, 11, 12, 13, 14]


def test_processes_take_groups(processes, folder):
    trials = sorted(processes.run(Pairs(), grouped(Pairs(), jobs(5)), folder), key=lambda trial: trial.index)
    assert trials == alone(5)


def test_a_group_that_raises_trains_one_by_one():
    assert list(Local().run(Pairs("raise"), grouped(Pairs(), jobs(4)))) == alone(4)


def test_a_group_whose_worker_dies_trains_one_by_one(processes, folder):
    trials = sorted(processes.run(Pairs("die"), grouped(Pairs(), jobs(4)), folder), key=lambda trial: trial.index)
    assert trials == alone(4)
    assert sorted(read_results(folder)) == [0, 1, 2, 3]


def test_every_configuration_has_a_result():
    with pytest.raises(NoResult, match="evaluate_many must return a result for each configuration, but got 1 for 2"):
        run_group(Pairs("forget"), Group(tuple(jobs(2))), None)


def test_a_pruner_stops_one_of_a_group():
    import optuna

    pruning = Pruning(optuna.pruners.ThresholdPruner(upper=1.5), True, ())
    trials = run_group(Pairs(size=4), Group(tuple(jobs(4, pruning))), None)
    assert [trial.status for trial in trials] == [DONE, DONE, PRUNED, PRUNED]
    assert [len(trial.curve) for trial in trials] == [3, 3, 1, 1]
    assert trials[2].message == "stopped at step 1 with 2 by ThresholdPruner, which knew 0 curves"


def test_a_network_of_a_group_may_diverge():
    class Odd(Pairs):
        def evaluate_many(self, configurations, seeds, reports):
            return [{"objective": float("nan"), "status": DIVERGED, "message": "it was odd"}, {"objective": 1.0}]

    one, two = run_group(Odd(), Group(tuple(jobs(2))), None)
    assert (one.status, one.message, two.status, two.objective) == (DIVERGED, "it was odd", DONE, 1.0)


def test_a_checkpoint_is_that_of_the_group(folder):
    class Keeps(Pairs):
        def evaluate_many(self, configurations, seeds, reports, checkpoint):
            checkpoint.write_text("state")
            return super().evaluate_many(configurations, seeds, reports)

    group = Group(tuple(jobs(3)))
    run_group(Keeps(), group, folder)
    path = group_checkpoint(folder, group)
    assert list(path.parent.iterdir()) == []  # the results are durable
    assert path != group_checkpoint(folder, Group(group.jobs[:2]))


@pytest.mark.parametrize("deed", ["raise", "die"])
def test_what_a_group_left_goes_with_its_first_result(deed, processes, folder):
    group = Group(tuple(jobs(3)))
    path = group_checkpoint(folder, group)
    path.parent.mkdir()
    other = group_checkpoint(folder, Group(tuple(jobs(9)[5:7])))  # has no result yet
    for left in (path, other):
        left.write_text("state")
    assert len(list(processes.run(Pairs(deed), [group], folder))) == 3
    assert list(path.parent.iterdir()) == [other]


def test_a_run_is_the_same_in_groups_and_without(tmp_path):
    space = SearchSpace({"x": Float(0.0, 1.0)})
    pairs, lone = Pairs(), Pairs(size=1)
    together = minimize(pairs, space, n_trials=9, strategy=Random(), folder=tmp_path / "pairs")
    apart = minimize(lone, space, n_trials=9, strategy=Random(), folder=tmp_path / "lone")
    assert (pairs.calls, lone.calls) == ([2, 2, 2, 2], [])
    assert together.trials.to_frame().equals(apart.trials.to_frame())


def test_an_executor_of_ones_own_gets_no_groups():
    class Mine:
        def run(self, evaluate, jobs, folder=None, should_stop=lambda: False):
            for job in jobs:
                assert isinstance(job, Job)
                yield from Local().run(evaluate, [job], folder, should_stop)

        def close(self):
            pass

    pairs = Pairs()
    minimize(pairs, SearchSpace({"x": Float(0.0, 1.0)}), n_trials=8, strategy="random", executor=Mine())
    assert pairs.calls == []
