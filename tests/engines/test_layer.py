"""Threading layers that are not safe: one sentence after a fork, one analysis at a time (issue 22, point 5)."""

import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from hsicfast import Float, RunError, SearchSpace, TrialTable, analyse, goal_hsic
from hsicfast.engines import layer, spectral

U = np.linspace(0, 1, 100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain Python has no parallel regions")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_fork_after_a_parallel_region_is_one_sentence():
    goal_hsic(U, U, goal=0.1)
    if numba.threading_layer() != "omp" or sys.platform != "linux":
        pytest.skip("another layer")
    child = os.fork()
    if child == 0:  # it must not come back into the suite
        try:
            goal_hsic(U, U, goal=0.1)
        except RunError as error:
            os._exit(7 if "start processes by" in str(error) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    goal_hsic(U, U, goal=0.1)  # the parent goes on


def test_one_at_a_time_where_the_layer_needs_it(monkeypatch):
    monkeypatch.setattr(layer, "_layer", lambda: "workqueue")
    inside, most = [], []

    def compute():
        with layer.safely():
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.01)
            inside.pop()

    threads = [threading.Thread(target=compute) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


class TestThreads:
    def test_a_short_loop_takes_one_and_leaves_the_number_as_it_was(self):
        before = numba.get_num_threads()
        with layer.threads_for(layer.WORTH_THREADS - 1):
            assert numba.get_num_threads() == 1
        with layer.threads_for(layer.WORTH_THREADS):
            assert numba.get_num_threads() == before
        with pytest.raises(KeyError), layer.threads_for(0):
            raise KeyError
        assert numba.get_num_threads() == before

    def test_a_loop_never_takes_more_than_it_is_given(self):
        with layer.threads(1), layer.threads_for(layer.WORTH_THREADS):
            assert numba.get_num_threads() == 1

    @pytest.mark.parametrize(("worth", "threads"), [(layer.WORTH_THREADS, 1), (0, numba.get_num_threads())])
    def test_120_trials_say_the_same_whatever_it_takes(self, monkeypatch, worth, threads):
        space = SearchSpace({name: Float(0, 1) for name in "abcdefgh"})
        columns = dict(zip(space, np.random.default_rng(0).random((8, 120)), strict=True))
        table = TrialTable.from_arrays(space, columns, columns["a"])
        expected, taken = analyse(space, table).to_frame(), set()
        for name in ("features", "nested_statistics", "permuted_statistics"):
            kernel = getattr(spectral, name)
            monkeypatch.setattr(spectral, name, lambda *a, own=kernel: taken.add(numba.get_num_threads()) or own(*a))
        monkeypatch.setattr(layer, "WORTH_THREADS", worth)
        assert analyse(space, table).to_frame().equals(expected)
        assert taken == {threads}


@pytest.mark.slow
def test_two_analyses_in_two_threads_under_workqueue():
    code = """
import threading, numpy as np, hsicfast
space = hsicfast.SearchSpace({k: hsicfast.Float(0, 1) for k in "abc"})
rng = np.random.default_rng(0)
table = hsicfast.TrialTable.from_arrays(space, {k: rng.random(800) for k in "abc"}, rng.random(800))
threads = [threading.Thread(target=lambda: [hsicfast.analyse(space, table, seed=s) for s in range(3)]) for _ in "xy"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
