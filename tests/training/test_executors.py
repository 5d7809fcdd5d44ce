"""One conformance suite for all executors."""

import math

import pytest
from deeds import descend, jobs, obey, planned

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, read_results, result_path
from hsicfast.training.executors import Local, Ray
from hsicfast.training.pruning import Pruning
from hsicfast.training.worker import Job
from hsicfast.trials.trial import (
    DESIGN,
    DIED,
    DIVERGED,
    DONE,
    EXCEPTION,
    LOST,
    NOT_FINITE,
    OUT_OF_MEMORY,
    PRUNED,
)


@pytest.fixture(scope="module")
def on_ray(small_cluster):
    executor = Ray()
    yield executor
    executor.close()


@pytest.fixture(params=["local", "processes", "on_ray"])
def executor(request):
    return Local() if request.param == "local" else request.getfixturevalue(request.param)


class TestConformance:
    def test_every_job_ends_once_with_its_own_seed(self, executor):
        trials = {trial.index: trial for trial in executor.run(obey, jobs("a", "bb", "ccc", "dddd"))}
        assert sorted(trials) == [0, 1, 2, 3]
        for index, trial in trials.items():
            assert (trial.objective, trial.cost, trial.status, trial.origin) == (index + 1.0, 2.0, DONE, DESIGN)
            assert trial.seed == trial.metrics["seed_seen"] == 100 + index

    def test_no_jobs(self, executor):
        assert list(executor.run(obey, [])) == []

    def test_result_is_durable_before_it_is_told(self, executor, folder):
        for trial in executor.run(obey, jobs("a", "raise", "nan"), folder):
            stored = read_result(result_path(folder, trial.index))
            assert (stored.params, stored.status, stored.message) == (trial.params, trial.status, trial.message)
        assert len(read_results(folder)) == 3

    def test_exception_is_a_diverged_trial(self, executor):
        trials = {trial.index: trial for trial in executor.run(obey, jobs("a", "raise", "nan", "b"))}
        assert [trials[i].status for i in range(4)] == [DONE, DIVERGED, DIVERGED, DONE]
        assert trials[1].message == "RuntimeError: out of paper"
        assert trials[2].message == "the objective was nan"
        assert math.isnan(trials[2].objective)
        assert trials[2].cost == 2.0
        assert [trials[i].failure for i in range(4)] == ["", EXCEPTION, NOT_FINITE, ""]
        assert trials[1].trace.endswith("RuntimeError: some long story\nout of paper")
        assert trials[2].trace == ""

    def test_an_exception_that_cannot_be_pickled(self, executor):
        (trial,) = executor.run(obey, jobs("odd"))
        assert (trial.status, trial.failure, trial.message) == (DIVERGED, EXCEPTION, "Odd: odd")

    def test_out_of_memory(self, executor):
        (trial,) = executor.run(obey, jobs("memory"))
        assert (trial.status, trial.failure, trial.message) == (DIVERGED, OUT_OF_MEMORY, "MemoryError")

    def test_what_the_machine_did_is_tried_again_twice_and_then_lost(self, executor, folder):
        trials = list(executor.run(obey, jobs("lose", note=folder / "note"), folder))
        trials += executor.run(obey, [Job(1, {"do": "a"}, 101, DESIGN)], folder)
        assert [(trial.status, trial.failure) for trial in trials] == [(LOST, DIED), (DONE, "")]
        assert trials[0].message == "MachineFailed: rank 1 died (SIGKILL), 3 times"
        assert math.isnan(trials[0].objective)
        assert (folder / "note").read_text() == "xxx"
        assert read_results(folder)[0].status == LOST

    def test_one_failure_of_the_machine_is_forgiven(self, executor, folder):
        (trial,) = executor.run(obey, jobs("lose once", note=folder / "note"), folder)
        assert (trial.status, trial.failure, trial.seed) == (DONE, "", 100)
        assert (folder / "note").read_text() == "xx"

    def test_what_is_lost_while_stopping_is_left_for_the_next_run(self, executor, folder):
        stopping = (folder / "note").exists
        assert list(executor.run(obey, jobs("lose", note=folder / "note"), folder, stopping)) == []
        assert (folder / "note").read_text() == "x"
        assert read_results(folder) == {}

    def test_stop_ends_those_in_flight_and_starts_no_other(self, executor):
        taken, ended = [], []

        def lazily():
            for job in jobs(*["a"] * 50):
                taken.append(job.index)
                yield job

        ended += (t.index for t in executor.run(obey, lazily(), should_stop=lambda: len(ended) >= 5))
        assert sorted(ended) == sorted(taken)
        assert 5 <= len(ended) <= 7

    def test_jobs_are_taken_as_there_is_room(self, executor):
        taken = []

        def lazily():
            for job in jobs(*["a"] * 20):
                taken.append(job.index)
                yield job

        run = executor.run(obey, lazily())
        next(run)
        assert len(taken) <= 3
        run.close()

    def test_no_result_at_all_stops_the_run_and_loses_nothing(self, executor, folder):
        with pytest.raises(InputError, match="an objective must be a number, but got 'good'; return a float"):
            for _ in executor.run(obey, jobs("a", "b", "text", "c"), folder):
                pass
        assert {0, 1} <= set(read_results(folder)) <= {0, 1, 3}

    def test_hopeless_trials_are_stopped_and_every_curve_is_durable(self, executor, folder):
        several = planned([1.5, 0.5, 0.25], [3.0, 2.0, 0.0], [2.0, 2.0, 0.0])
        trials = {trial.index: trial for trial in executor.run(descend, several, folder)}
        assert [(trials[i].status, trials[i].objective) for i in (5, 6, 7)] == [
            (DONE, 0.25),
            (PRUNED, 3.0),
            (PRUNED, 2.0),
        ]
        assert trials[5].curve == ((0, 1.5), (1, 0.5), (2, 0.25))
        assert (trials[6].curve, trials[7].curve) == (((0, 3.0),), ((0, 2.0), (1, 2.0)))
        assert trials[7].message == "stopped at step 1 with 2 by MedianPruner, which knew 5 curves"
        stored = read_results(folder)
        assert {i: (stored[i].status, stored[i].curve) for i in stored} == {
            i: (trials[i].status, trials[i].curve) for i in trials
        }

    def test_a_curve_is_recorded_where_nobody_stops(self, executor):
        (trial,) = executor.run(descend, planned([9.0, 8.0], pruning=Pruning(None)))
        assert (trial.status, trial.curve) == (DONE, ((0, 9.0), (1, 8.0)))

    def test_what_is_no_report_stops_the_run(self, executor):
        with pytest.raises(InputError, match="a reported value must be a number, but got 'low'"):
            list(executor.run(descend, planned([1.0, "low"])))

    def test_works_again_after_an_error(self, executor):
        with pytest.raises(InputError):
            list(executor.run(obey, jobs("text")))
        assert len(list(executor.run(obey, jobs("a", "b")))) == 2
