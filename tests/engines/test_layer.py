"""Threading layers that are not safe: one sentence after a fork, one analysis at a time (issue 22, point 5)."""

import os
import subprocess
import sys
import threading

import numba
import numpy as np
import pytest

from hsicfast import RunError, goal_hsic
from hsicfast.engines import layer

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
