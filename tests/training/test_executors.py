"""One conformance suite for all executors, then what only some can do."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from optuna.pruners import MedianPruner

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, read_results, result_path
from hsicfast.runs.store import check_writable
from hsicfast.training import processes as local_processes
from hsicfast.training.executors import Local, Processes, Ray
from hsicfast.training.pruning import Pruning
from hsicfast.training.worker import Job, accepts_report, accepts_seed, run_trial
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
    SEARCH,
    TIMED_OUT,
    Trial,
)


class Odd(Exception):
    """An exception that pickle refuses."""

    def __init__(self, held, said):
        super().__init__(held, said)

    def __str__(self):
        return "odd"


class MachineFailed(Exception):
    """What a training raises that ended through no fault of its own."""

    lost = True

    def __init__(self, said, held):  # pickle refuses it
        super().__init__(said)
        self.held = held


def obey(params, seed):
    """Do what the params say, in whatever process."""
    deed = params["do"]
    if "note" in params:
        with Path(params["note"]).open("a") as file:
            file.write("x")
    if deed == "raise":
        raise RuntimeError("some long story\nout of paper")
    if deed == "exit":
        sys.exit(0)
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die" or (deed == "die once" and len(Path(params["note"]).read_text()) == 1):
        os._exit(3)
    if deed == "vanish":
        os._exit(0)
    if deed == "fault":
        ctypes.string_at(0)
    if deed == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if deed == "odd":
        raise Odd(lambda: 0, "it holds a lambda")
    if deed == "lose" or (deed == "lose once" and len(Path(params["note"]).read_text()) == 1):
        raise MachineFailed("the story\nrank 1 died (SIGKILL)", lambda: 0)
    if deed == "memory":
        raise MemoryError
    if deed == "die late":
        time.sleep(1.5)
        os._exit(3)
    if deed == "sleep":
        time.sleep(params["seconds"])
    if deed == "threads":
        return {"objective": 0.0, "omp": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
    if deed == "devices":
        time.sleep(0.5)  # long enough for every worker to take one
        return {"objective": 0.0, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "untouched")}
    if deed == "text":
        return "good"
    return {"objective": math.nan if deed == "nan" else float(len(deed)), "cost": 2.0, "seed_seen": seed}


# Typed at a prompt, as in a notebook: nothing that is defined here can be imported.
INTERACTIVE = textwrap.dedent("""
    from hsicfast.training.executors import Processes
    from hsicfast.training.worker import Job
    def evaluate(params):
        return params["x"]
    pool = Processes(workers=2)
    trials = list(pool.run(evaluate, [Job(i, {"x": float(i)}, 0, "design") for i in range(2)]))
    pool.close()
    print(sorted(trial.objective for trial in trials))
    """)


KNOWN = tuple(Trial(i, {}, 1.0, curve=((0, 2.0), (1, 1.0))) for i in range(5))
MEDIAN = Pruning(MedianPruner(), True, KNOWN)


def descend(params, report):
    """Report the values until told to stop, and return the last one."""
    for step, value in enumerate(params["values"]):
        if not report(step, value):
            break
    return value


def planned(*values, pruning=MEDIAN):
    return [Job(i, {"values": several}, i, SEARCH, pruning) for i, several in enumerate(values, start=5)]


def jobs(*deeds, **more):
    return [Job(i, {"do": deed, **more}, seed=100 + i, origin=DESIGN) for i, deed in enumerate(deeds)]


@pytest.fixture(scope="module")
def processes():
    pool = Processes(workers=2)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def on_ray(small_cluster):
    executor = Ray()
    yield executor
    executor.close()


@pytest.fixture(params=["local", "processes", "on_ray"])
def executor(request):
    return Local() if request.param == "local" else request.getfixturevalue(request.param)


@pytest.fixture
def folder(tmp_path):
    check_writable(tmp_path / "results")
    return tmp_path


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


class TestProcesses:
    def test_dead_workers_cost_their_own_trial_only(self, processes, folder):
        trials = {
            t.index: t for t in processes.run(obey, jobs("a", "kill", "b", "die", "c", note=folder / "note"), folder)
        }
        assert [trials[i].status for i in range(5)] == [DONE, LOST, DONE, LOST, DONE]
        assert trials[1].message == "its process died (SIGKILL), 3 times"
        assert trials[3].message == "its process died (exit code 3), 3 times"
        assert len((folder / "note").read_text()) == 3 + 2 * 3
        assert read_results(folder)[3].status == LOST

    def test_a_worker_that_leaves_with_code_0_and_no_result(self, processes):
        lost, done = sorted(processes.run(obey, jobs("vanish", "a")), key=lambda trial: trial.index)
        assert (lost.status, lost.failure) == (LOST, DIED)
        assert lost.message == "its process died (exit code 0, without a result), 3 times"
        assert done.status == DONE

    def test_a_segmentation_fault(self, processes):
        lost, done = sorted(processes.run(obey, jobs("fault", "a")), key=lambda trial: trial.index)
        assert (lost.status, lost.message) == (LOST, "its process died (SIGSEGV), 3 times")
        assert done.status == DONE

    def test_a_worker_that_is_stopped_for_longer_than_the_timeout(self):
        pool = Processes(workers=1, timeout=1)
        try:
            lost, done = pool.run(obey, jobs("stop", "a"))
        finally:
            pool.close()
        assert (lost.status, lost.failure) == (LOST, TIMED_OUT)
        assert done.status == DONE

    def test_one_death_is_forgiven(self, processes, folder):
        (trial,) = processes.run(obey, jobs("die once", note=folder / "note"), folder)
        assert trial.status == DONE
        assert (folder / "note").read_text() == "xx"

    @pytest.mark.slow
    def test_trial_that_leaves_its_process(self, processes):
        lost, done = sorted(processes.run(obey, jobs("exit", "a")), key=lambda trial: trial.index)
        assert (lost.status, lost.message) == (LOST, "it left its process (SystemExit 0), 3 times")
        assert done.status == DONE

    def test_stored_result_of_a_dead_worker_counts(self, processes, folder, monkeypatch):
        # It dies between making its result durable and telling: the first result stands, nothing is trained again.
        (first,) = processes.run(obey, jobs("a"), folder)
        (again,) = processes.run(obey, [Job(0, {"do": "die"}, 100, DESIGN)], folder)
        assert (again.status, again.objective) == (DONE, first.objective)

    def test_timeout(self):
        pool = Processes(workers=2, timeout=0.5)
        try:
            trials = {t.index: t for t in pool.run(obey, jobs("sleep", "a", "b", seconds=60))}
        finally:
            pool.close()
        assert [trials[i].status for i in range(3)] == [LOST, DONE, DONE]
        assert (trials[0].message, trials[0].failure) == ("it took longer than timeout=0.5 s", TIMED_OUT)

    def test_lost_while_stopping_is_left_for_the_next_run(self, processes, folder):
        planned = [jobs("a")[0], Job(1, {"do": "die late", "note": folder / "note"}, 101, DESIGN)]
        stop = []
        run = processes.run(obey, planned, folder, lambda: bool(stop))
        assert next(run).index == 0
        stop.append(1)
        assert list(run) == []
        assert (folder / "note").read_text() == "x"
        assert list(read_results(folder)) == [0]

    def test_threads_and_lasting_workers(self):
        pool = Processes(workers=1, threads=2)
        try:
            first = list(pool.run(obey, jobs("threads", "threads")))
            second = list(pool.run(obey, jobs("threads")))
        finally:
            pool.close()
        assert {trial.metrics["omp"] for trial in first} == {"2"}
        assert len({trial.metrics["pid"] for trial in first + second}) == 1

    def test_ctrl_c_of_the_terminal_does_not_reach_workers(self, processes):
        pids = set()
        for trial in processes.run(obey, jobs(*["threads"] * 6)):
            os.kill(trial.metrics["pid"], signal.SIGINT)
            pids.add(trial.metrics["pid"])
        assert len(pids) <= 2

    def test_ctrl_c_while_workers_start_does_not_reach_them_either(self, tmp_path):
        script = tmp_path / "guarded.py"
        script.write_text(
            textwrap.dedent("""
            import os, signal, threading, time
            from hsicfast.training.executors import Processes
            from hsicfast.training.worker import Job
            def evaluate(params):
                return 1.0
            def interrupt():
                while True:
                    time.sleep(0.02)
                    os.killpg(0, signal.SIGINT)
            if __name__ == "__main__":
                signal.signal(signal.SIGINT, lambda *_: None)
                threading.Thread(target=interrupt, daemon=True).start()
                jobs = [Job(0, {}, 0, "design")]
                print([trial.status for trial in Processes(workers=2).run(evaluate, jobs)], flush=True)
                os._exit(0)
            """)
        )
        ended = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=120, check=False, start_new_session=True
        )
        assert "KeyboardInterrupt" not in ended.stderr
        assert ended.stdout == "['done']\n"

    def test_what_cannot_be_pickled_is_refused(self, processes):
        with pytest.raises(InputError, match=r"evaluate must be picklable .*; define it at the top of a module"):
            list(processes.run(threading.Lock().acquire, jobs("a")))

    def test_what_no_module_holds_travels_by_value(self, processes):
        (trial,) = processes.run(lambda params: {"objective": 1.5, "done": params["do"]}, jobs("a"))
        assert (trial.objective, trial.metrics["done"]) == (1.5, "a")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"workers": 0}, "`workers > 0` must hold, but got workers=0"),
            ({"workers": 1.5}, "`workers > 0` must hold, but got workers=1.5"),
            ({"timeout": -1}, "`timeout > 0` must hold, but got timeout=-1"),
            ({"threads": None}, "`threads > 0` must hold, but got threads=None"),
            ({"threads": True}, "`threads > 0` must hold, but got threads=True"),
            ({"devices": 0}, "`devices > 0` must hold, but got devices=0"),
            ({"accelerator": "tpu"}, "an accelerator must be 'cpu' or 'gpu', but got 'tpu'"),
        ],
    )
    def test_wrong_values(self, changes, said):
        with pytest.raises(InputError, match=said):
            Processes(**changes)

    def test_size(self):
        cores = len(os.sched_getaffinity(0))
        assert Processes().size == cores
        assert Processes(threads=10 * cores).size == 1
        assert Processes(workers=7, threads=cores).size == 7
        assert Processes(devices=cores).size == 1

    @pytest.mark.parametrize(
        ("devices", "workers", "shares"),
        [
            (1, None, ["0", "1", "2", "3"]),
            (2, None, ["0,1", "2,3"]),
            (3, None, ["0,1,2"]),
            (2, 4, ["0,1", "0,1", "2,3", "2,3"]),
            (1, 2, ["0", "1"]),
        ],
    )
    def test_each_worker_has_its_own_gpus(self, monkeypatch, devices, workers, shares):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 1,2,3")
        pool = Processes(workers, accelerator="gpu", devices=devices)
        assert pool.size == len(shares)
        try:
            seen = [trial.metrics["gpus"] for trial in pool.run(obey, jobs(*["devices"] * 3 * len(shares)))]
        finally:
            pool.close()
        assert sorted(set(seen)) == sorted(set(shares))

    @pytest.mark.parametrize("end", ["kill", "fault", "vanish"])
    def test_gpus_of_a_dead_worker_come_back(self, monkeypatch, end):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        pool = Processes(accelerator="gpu")
        try:
            trials = list(pool.run(obey, jobs(end, end, *["devices"] * 4)))
        finally:
            pool.close()
        assert {trial.metrics["gpus"] for trial in trials if trial.status == DONE} == {"GPU-a", "GPU-b"}
        assert [trial.status for trial in trials].count(DONE) == 4

    def test_on_cpus_nobody_touches_the_gpus(self, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        pool = Processes(workers=1)
        try:
            (trial,) = pool.run(obey, jobs("devices"))
        finally:
            pool.close()
        assert trial.metrics["gpus"] == "7"

    @pytest.mark.slow
    def test_script_without_a_main_guard(self, tmp_path):
        script = tmp_path / "unguarded.py"
        script.write_text(
            textwrap.dedent("""
            from hsicfast.training.executors import Processes
            from hsicfast.training.worker import Job
            def evaluate(params): return 1.0
            print(list(Processes(workers=1).run(evaluate, [Job(0, {}, 0, "design")])))
            """)
        )
        ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
        assert 'call hsicfast under `if __name__ == "__main__":`, or run with executor=local' in ended.stderr

    @pytest.mark.slow
    def test_from_standard_input(self):
        ended = subprocess.run([sys.executable, "-"], input=INTERACTIVE, capture_output=True, text=True, timeout=120)
        assert ended.stdout == "[0.0, 1.0]\n", ended.stderr

    @pytest.mark.slow
    def test_from_standard_input_the_main_module_keeps_its_file(self):
        program = textwrap.dedent("""
            import os, signal
            from hsicfast.training.executors import Processes
            from hsicfast.training.worker import Job
            def evaluate(params):
                if params["x"] == 0.0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return params["x"]
            pool = Processes(workers=1)
            trials = list(pool.run(evaluate, [Job(i, {"x": float(i)}, 0, "design") for i in range(3)]))
            running = __file__
            pool.close()
            print([trial.status for trial in trials], running, __file__)
            """)
        ended = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, timeout=120)
        # The worker that replaces the killed one starts as the first did.
        assert ended.stdout == "['lost', 'done', 'done'] <stdin> <stdin>\n", ended.stderr

    @pytest.mark.slow
    def test_from_a_notebook_kernel(self, monkeypatch):
        manager = pytest.importorskip("jupyter_client").manager
        said = []
        kernel, client = manager.start_new_kernel(kernel_name="python3")
        try:
            client.execute_interactive(INTERACTIVE, timeout=120, output_hook=lambda message: said.append(message))
        finally:
            client.stop_channels()
            kernel.shutdown_kernel(now=True)
        assert [m["content"]["text"] for m in said if m["msg_type"] == "stream"] == ["[0.0, 1.0]\n"]

    @pytest.mark.slow
    def test_no_worker_outlives_a_killed_parent(self, tmp_path):
        script = tmp_path / "guarded.py"
        script.write_text(
            textwrap.dedent("""
            import os, time
            from hsicfast.training.executors import Processes
            from hsicfast.training.worker import Job
            def evaluate(params):
                print(os.getpid(), flush=True)
                time.sleep(60)
            if __name__ == "__main__":
                list(Processes(workers=2).run(evaluate, [Job(i, {}, 0, "design") for i in range(2)]))
            """)
        )
        with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
            workers = [int(parent.stdout.readline()) for _ in range(2)]
            parent.kill()
        deadline = time.monotonic() + 10
        while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(_alive(pid) for pid in workers)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def finished(outcome, params=None):
    return run_trial(lambda _: outcome, False, Job(5, params or {"x": 1}, 9, SEARCH), None)


class TestRunTrial:
    @pytest.mark.parametrize("outcome", [2, 2.0, np.float32(2), np.array(2.0), {"objective": 2}])
    def test_numbers(self, outcome):
        trial = finished(outcome)
        assert (trial.objective, trial.status, trial.origin) == (2.0, DONE, SEARCH)
        assert isinstance(trial.objective, float)
        assert math.isnan(trial.cost)

    @pytest.mark.parametrize(
        ("outcome", "cost"),
        [
            (1.0, 7.0),
            ({"objective": 1.0, "cost": math.nan}, 7.0),
            ({"objective": 1.0, "cost": 3.0}, 3.0),
            (math.nan, 7.0),
        ],
    )
    def test_the_price_is_the_cost_where_none_is_told(self, outcome, cost):
        assert run_trial(lambda _: outcome, False, Job(5, {"x": 1}, 9, SEARCH, price=7.0), None).cost == cost

    def test_what_raises_has_its_price(self):
        assert run_trial(lambda _: 1 / 0, False, Job(5, {"x": 1}, 9, SEARCH, price=7.0), None).cost == 7.0

    @pytest.mark.parametrize("outcome", [math.nan, math.inf, -math.inf, {"objective": math.inf, "cost": 3}])
    def test_not_finite_is_diverged(self, outcome):
        trial = finished(outcome)
        assert trial.status == DIVERGED
        assert math.isnan(trial.objective)
        assert trial.message.startswith("the objective was ")

    def test_diverged_by_its_own_word(self):
        trial = finished({"objective": 1.0, "status": "diverged", "message": "exploded"})
        assert (trial.status, trial.message) == (DIVERGED, "exploded")
        assert math.isnan(trial.objective)

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            (None, "an objective must be a number, but got None"),
            ("x", "an objective must be a number, but got 'x'"),
            (True, "an objective must be a number, but got True"),
            ([1.0], r"an objective must be a number, but got \[1.0\]"),
            ({"cost": 1}, r"a dict with `objective`, but got the keys \['cost'\]; add it"),
            ({"objective": 1, "cost": -1}, "`cost >= 0` must hold, but got cost=-1.0"),
            ({"objective": 1, "cost": "much"}, "a cost must be a number, but got 'much'"),
            ({"objective": 1, "status": "ok"}, "a status must be 'done', 'diverged' or 'pruned', but got 'ok'"),
            ({"objective": 1, "curve": [1, 2]}, r"the metric 'curve' must be a number, but got \[1, 2\]"),
            ({"objective": 1, "x": 1}, "may not have the name of a hyperparameter .* but got 'x'; rename it"),
            ({"objective": 1, "seed": 1}, "may not have the name of a hyperparameter .* but got 'seed'; rename it"),
        ],
    )
    def test_no_result(self, outcome, said):
        with pytest.raises(InputError, match=said):
            finished(outcome)

    @pytest.mark.parametrize(
        ("returned", "status", "objective", "message"),
        [
            (3.0, PRUNED, 3.0, "stopped at step 0 with 9 by MedianPruner, which knew 5 curves"),
            ({"objective": 3.0, "message": "enough"}, PRUNED, 3.0, "enough"),
            ({"objective": 3.0, "status": "done"}, DONE, 3.0, ""),  # it trained to its end all the same
            ({"objective": math.nan, "status": "pruned", "message": "x"}, PRUNED, math.nan, "x"),
            (math.nan, DIVERGED, math.nan, "the objective was nan"),
            ({"objective": 1.0, "status": "diverged"}, DIVERGED, math.nan, ""),
        ],
    )
    def test_told_to_stop(self, returned, status, objective, message):
        def evaluate(params, report):
            assert not report(0, 9.0)
            return returned

        trial = run_trial(evaluate, False, planned([])[0], None)
        np.testing.assert_equal((trial.status, trial.objective, trial.message), (status, objective, message))

    def test_stopped_by_its_own_word(self):
        trial = finished({"objective": 1.0, "status": "pruned", "message": "no hope"})
        assert (trial.status, trial.objective, trial.message) == (PRUNED, 1.0, "no hope")

    def test_raising_once_told_to_stop_is_diverged(self):
        def evaluate(params, report):
            report(0, 9.0)
            raise RuntimeError("no")

        trial = run_trial(evaluate, False, planned([])[0], None)
        assert (trial.status, trial.message, trial.curve) == (DIVERGED, "RuntimeError: no", ((0, 9.0),))

    def test_an_error_of_a_report_that_was_swallowed(self):
        def evaluate(params, report):
            try:
                report("first", 1.0)
            except InputError:
                return 1.0

        with pytest.raises(InputError, match="a reported step must be a whole number above -1, but got 'first'"):
            run_trial(evaluate, False, planned([])[0], None)

    def test_metrics(self):
        trial = finished(
            {"objective": 1, "n": np.int64(3), "ok": True, "note": "x", "none": None, "f": np.float32(0.5)}
        )
        assert trial.metrics.pop("none") != 0
        assert trial.metrics == {"n": 3, "ok": 1, "note": "x", "f": 0.5}
        assert isinstance(trial.metrics["n"], int)

    def test_exception_without_words(self):
        def evaluate(params):
            params.clear()
            raise MemoryError

        trial = run_trial(evaluate, False, Job(0, {"x": 1}, 0, DESIGN), None)
        assert (trial.status, trial.message, trial.params) == (DIVERGED, "MemoryError", {"x": 1})

    def test_a_failure_of_the_machine_is_no_trial(self, folder):
        def evaluate(params):
            raise MachineFailed("gone", None)

        with pytest.raises(MachineFailed):
            run_trial(evaluate, False, jobs("a")[0], folder)
        assert read_results(folder) == {}

    @pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_process_is_no_trial(self, ending):
        def evaluate(params):
            raise ending

        with pytest.raises(ending):
            list(Local().run(evaluate, jobs("a")))


def test_accepts_seed():
    class Trainee:
        def __call__(self, params, seed):
            return 0.0

    assert accepts_seed(Trainee())
    assert accepts_seed(lambda params, **rest: 0)
    assert not accepts_seed(lambda params: 0)
    assert not accepts_seed(max)


def test_accepts_report():
    assert accepts_report(descend)
    assert accepts_report(lambda params, **rest: 0)
    assert not accepts_report(obey)


def test_exit_reasons():
    assert local_processes._exit_reason(-11) == "SIGSEGV"
    assert local_processes._exit_reason(9) == "exit code 9"
