"""Faults of processes on this machine, each by its name; what every executor does is in test_executors.py."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from deeds import jobs, obey

from hsicfast.errors import InputError
from hsicfast.runs.results import read_results
from hsicfast.training import processes as local_processes
from hsicfast.training.executors import Processes
from hsicfast.training.worker import Job
from hsicfast.trials.trial import (
    DESIGN,
    DIED,
    DONE,
    LOST,
    TIMED_OUT,
)

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


def test_exit_reasons():
    assert local_processes._exit_reason(-11) == "SIGSEGV"
    assert local_processes._exit_reason(9) == "exit code 9"
