"""Faults of a Ray cluster, each by its name; what every executor does is in test_executors.py."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from deeds import jobs, obey

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, read_results, result_path
from hsicfast.runs.store import check_writable
from hsicfast.training import cluster
from hsicfast.training.executors import Ray
from hsicfast.training.worker import Job
from hsicfast.trials.trial import DESIGN, DIED, DONE, LOST, TIMED_OUT

ray = pytest.importorskip("ray")
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def nodes(ray_folder):
    """A cluster whose first node has two cores and no GPU, and to which nodes may be added."""
    from ray.cluster_utils import Cluster

    several = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 0, **SMALL})
    ray.init(several.address, log_to_driver=False, logging_level="ERROR")
    yield several
    ray.shutdown()
    several.shutdown()


@pytest.fixture
def gpu_nodes(nodes):
    """Two more nodes with a GPU each, as far as Ray is told."""
    added = [nodes.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20) for _ in range(2)]
    nodes.wait_for_nodes()
    yield added
    for node in added:
        if node in nodes.list_all_nodes():
            nodes.remove_node(node, allow_graceful=False)


@pytest.fixture
def executor(nodes):
    executor = Ray()
    yield executor
    executor.close()


@pytest.fixture
def folder(tmp_path):
    check_writable(tmp_path / "results")
    return tmp_path


def by_index(trials):
    return sorted(trials, key=lambda trial: trial.index)


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


class TestFaults:
    def test_a_worker_that_kills_itself_every_time_is_lost_and_the_others_finish(self, executor, folder):
        trials = by_index(executor.run(obey, jobs("a", "kill", "b", note=folder / "note"), folder))
        assert [trial.status for trial in trials] == [DONE, LOST, DONE]
        assert (trials[1].message, trials[1].failure) == ("its process died, 3 times", DIED)
        assert len((folder / "note").read_text()) == 2 + 3
        assert read_results(folder)[1].status == LOST

    @pytest.mark.parametrize(
        ("end", "message"),
        [
            ("vanish", "its process died, 3 times"),  # with exit code 0
            ("fault", "its process died, 3 times"),
            ("exit", "it left its process (SystemExit 0), 3 times"),
        ],
    )
    def test_a_worker_that_ends_in_another_way(self, executor, end, message):
        lost, done = by_index(executor.run(obey, jobs(end, "a")))
        assert (lost.status, lost.message, lost.failure) == (LOST, message, DIED)
        assert done.status == DONE

    def test_one_death_is_forgiven(self, executor, folder):
        (trial,) = executor.run(obey, jobs("die once", note=folder / "note"), folder)
        assert trial.status == DONE
        assert (folder / "note").read_text() == "xx"

    def test_the_stored_result_of_a_dead_worker_counts(self, executor, folder):
        (first,) = executor.run(obey, jobs("a"), folder)
        (again,) = executor.run(obey, [Job(0, {"do": "die"}, 100, DESIGN)], folder)
        assert (again.status, again.objective) == (DONE, first.objective)

    def test_a_trial_that_takes_longer_than_the_timeout(self, nodes):
        trials = by_index(Ray(timeout=1).run(obey, jobs("sleep", "a", "b", seconds=60)))
        assert [trial.status for trial in trials] == [LOST, DONE, DONE]
        assert (trials[0].message, trials[0].failure) == ("it took longer than timeout=1 s", TIMED_OUT)

    def test_the_clock_of_the_timeout_starts_with_the_training(self, nodes):
        # Two of these fill the cluster: the others wait in Ray longer than they may train.
        eager = Ray(timeout=3, workers=8)
        eager._size = lambda: 8
        trials = list(eager.run(obey, jobs(*["sleep"] * 8, seconds=1)))
        assert [trial.status for trial in trials] == [DONE] * 8

    @pytest.mark.slow
    def test_a_worker_that_is_stopped_for_longer_than_the_timeout(self, nodes, monkeypatch):
        # It cannot hear that it is cancelled, and would keep its core for ever.
        monkeypatch.setattr(cluster, "CANCEL_GRACE", 0.5)
        trials = by_index(Ray(timeout=0.5).run(obey, jobs("stop", "stop", "a")))
        assert [trial.status for trial in trials] == [LOST, LOST, DONE]
        assert [trial.failure for trial in trials] == [TIMED_OUT, TIMED_OUT, ""]

    @pytest.mark.slow
    def test_a_node_is_killed_while_it_trains(self, nodes, gpu_nodes, folder):
        def evaluate(params):
            with Path(params["note"]).open("a") as file:
                file.write(f"{ray.get_runtime_context().get_node_id()}\n")
            if len(Path(params["note"]).read_text().split()) == 1:
                time.sleep(60)
            return 1.0

        def kill():
            assert wait_until(lambda: note.exists() and note.read_text().endswith("\n"))
            where = note.read_text().strip()
            nodes.remove_node(next(node for node in gpu_nodes if node.node_id == where), allow_graceful=False)

        note = folder / "note"
        killer = threading.Thread(target=kill)
        killer.start()
        (trial,) = Ray(gpus=1).run(evaluate, [Job(0, {"note": note}, 0, DESIGN)], folder)
        killer.join()
        first, second = note.read_text().split()
        assert (trial.status, read_result(result_path(folder, 0)).status) == (DONE, DONE)
        assert first != second

    @pytest.mark.slow
    def test_every_node_for_a_trial_is_gone(self, nodes, gpu_nodes, monkeypatch):
        monkeypatch.setattr(cluster, "NO_ROOM_PATIENCE", 1.0)
        run = Ray(gpus=1).run(obey, jobs("a", "a", "sleep", "sleep", seconds=60))
        assert next(run).status == DONE
        for node in gpu_nodes:
            nodes.remove_node(node, allow_graceful=False)
        with pytest.raises(InputError, match="it asks for cpus=1 and gpus=1 and the nodes have 2 CPUs and 0 GPUs"):
            list(run)

    def test_a_folder_that_the_nodes_do_not_share(self, executor, folder, monkeypatch):
        @contextmanager
        def unseen(folder):
            yield "no-such-file"

        def evaluate(params, checkpoint):
            return {"objective": 1.0, "kept": str(checkpoint)}

        monkeypatch.setattr(cluster, "_marked", unseen)
        for trial in executor.run(evaluate, jobs("a", "a"), folder):
            assert trial.metrics == {"kept": "None"}
            stored = read_result(result_path(folder, trial.index))  # before it was told
            assert (stored.status, stored.objective, stored.metrics) == (DONE, 1.0, trial.metrics)

    def test_a_folder_that_the_nodes_share(self, executor, folder):
        def evaluate(params, checkpoint):
            return {"objective": 1.0, "kept": str(checkpoint)}

        (trial,) = executor.run(evaluate, jobs("a"), folder)
        assert trial.metrics["kept"].startswith(str(folder))
        assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "results"]

    def test_what_the_nodes_cannot_import(self, executor):
        class Missing:
            def __reduce__(self):
                return __import__, ("nowhere",)

        with pytest.raises(InputError, match="one said: No module named 'nowhere'; install hsicfast and what evaluate"):
            list(executor.run(Missing(), jobs("a")))


class TestRefused:
    @pytest.mark.parametrize(
        ("asks", "asked"),
        [
            ({"gpus": 1}, "cpus=1 and gpus=1"),
            ({"accelerator": "gpu", "devices": 2}, "cpus=1 and gpus=2"),
            ({"cpus": 3}, "cpus=3 and gpus=0"),
            ({"threads": 2, "devices": 2}, "cpus=4 and gpus=0"),
        ],
    )
    def test_what_no_node_can_ever_hold(self, nodes, asks, asked):
        said = f"a trial must fit on one node of the Ray cluster, but it asks for {asked} and the nodes have 2 CPUs"
        with pytest.raises(InputError, match=said):
            list(Ray(**asks).run(obey, jobs("a")))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"workers": 0}, "`workers > 0` must hold, but got workers=0"),
            ({"cpus": -1}, "`cpus > 0` must hold, but got cpus=-1"),
            ({"timeout": 0}, "`timeout > 0` must hold, but got timeout=0"),
            ({"gpus": -1}, "`gpus >= 0` must hold, and `gpus > 0` with accelerator=gpu, but got gpus=-1"),
            ({"gpus": 0, "accelerator": "gpu"}, "`gpus > 0` with accelerator=gpu, but got gpus=0"),
            ({"gpus": 1.5}, "Ray deals whole gpus above 1, but got gpus=1.5"),
            ({"accelerator": "tpu"}, "an accelerator must be 'cpu' or 'gpu', but got 'tpu'"),
            ({"address": "ray://head:10001"}, "executor.address must be host:port, but got ray://head:10001"),
        ],
    )
    def test_wrong_values(self, changes, said):
        with pytest.raises(InputError, match=said):
            Ray(**changes)

    def test_ray_is_missing(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(
            InputError, match=r'executor=ray needs ray, but ray cannot be found; pip install "hsicfast\[ray\]"'
        ):
            Ray()


class TestWorkers:
    def test_they_last_and_see_their_threads_and_no_gpu(self, nodes):
        def evaluate(params):
            time.sleep(0.2)
            return {"objective": 0.0, "pid": os.getpid(), **{k: os.environ[k] for k in wanted}}

        wanted = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        executor = Ray(threads=2, cpus=1)
        trials = [*executor.run(evaluate, jobs("a", "a")), *executor.run(evaluate, jobs("a", "a"))]
        assert {(trial.metrics[wanted[0]], trial.metrics[wanted[1]]) for trial in trials} == {("2", "")}
        assert len({trial.metrics["pid"] for trial in trials}) <= 2

    def test_a_fraction_of_a_gpu(self, nodes, gpu_nodes):
        executor = Ray(cpus=0.1, gpus=1 / 3)
        assert executor.request == {"CPU": 0.1, "GPU": 1 / 3}
        (trial,) = executor.run(obey, jobs("devices"))
        assert trial.metrics["gpus"] == "0"
        assert executor._size() == 6

    @pytest.mark.slow
    def test_a_worker_that_began_on_another_gpu_is_replaced(self, nodes, gpu_nodes):
        def evaluate(params):
            sys.modules["hsicfast.training.cluster"]._worker["gpus"] = "another"
            return {"objective": 0.0, "pid": os.getpid()}

        first, second = Ray(gpus=1, workers=1).run(evaluate, jobs("a", "a"))
        assert (first.status, second.status) == (DONE, DONE)
        assert first.metrics["pid"] != second.metrics["pid"]

    @pytest.mark.slow
    def test_room_is_asked_again_as_nodes_come(self, nodes, executor, tmp_path, monkeypatch):
        def evaluate(params):
            (tmp_path / str(params["index"])).touch()
            deadline = time.monotonic() + 30
            while len(list(tmp_path.iterdir())) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            return {"objective": 1.0, "met": len(list(tmp_path.iterdir()))}

        added = []

        def grown():  # in this thread, from where alone Ray lets nodes be added
            if len(list(tmp_path.iterdir())) == 2 and not added:
                added.append(nodes.add_node(num_cpus=1, num_gpus=0, object_store_memory=80 * 2**20))
            return Ray._size(executor)

        monkeypatch.setattr(executor, "_size", grown)
        # Two cores are there, and none of the three trials ends before a third is.
        three = [Job(i, {"index": i}, 0, DESIGN) for i in range(3)]
        trials = list(executor.run(evaluate, three))
        for node in added:
            nodes.remove_node(node, allow_graceful=False)
        assert [trial.metrics["met"] for trial in trials] == [3, 3, 3]

    def test_workers_is_the_most_at_once(self, nodes):
        taken = []

        def lazily():
            for job in jobs(*["a"] * 6):
                taken.append(job.index)
                yield job

        run = Ray(workers=1).run(obey, lazily())
        next(run)
        assert len(taken) == 1
        run.close()


SCRIPT = """
import os, signal, sys, threading, time
from hsicfast.training.executors import Ray
from hsicfast.training.worker import Job
def evaluate(params):
    open(os.path.join(params["notes"], str(os.getpid())), "w").close()
    if params["kills"]:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(params["seconds"])
    return 1.0
def jobs(seconds, kills=False):
    params = {"notes": sys.argv[1], "seconds": seconds}
    return [Job(i, {**params, "kills": kills and i == 0}, 0, "design") for i in range(2)]
"""


def script(tmp_path, body):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + textwrap.dedent(body))
    (tmp_path / "notes").mkdir()
    return [sys.executable, str(path), str(tmp_path / "notes")]


@pytest.fixture
def own_folder(ray_folder, tmp_path_factory, monkeypatch):
    """For clusters that are started here: every process of theirs has this path in its environment."""
    path = Path(ray_folder) / "own"
    path.mkdir(exist_ok=True)
    monkeypatch.setenv("RAY_TMPDIR", str(path))
    return path


def left_behind(path):
    """The processes, but for zombies, that began with `path` in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(path).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:  # it has ended, or is another user's
            continue
    return [command for command in found if command]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
class TestDriver:
    def test_killed_it_leaves_nothing_of_the_cluster_it_started(self, own_folder, tmp_path):
        command = script(tmp_path, "list(Ray().run(evaluate, jobs(60)))")
        with subprocess.Popen(command) as driver:
            assert wait_until(lambda: list((tmp_path / "notes").iterdir()))
            assert len(left_behind(own_folder)) > 3
            driver.kill()
        workers = [int(path.name) for path in (tmp_path / "notes").iterdir()]
        assert wait_until(lambda: not any(alive(pid) for pid in workers), 20)
        assert wait_until(lambda: not any(b"/ray/core/src/" in command for command in left_behind(own_folder)), 20)
        # Ray's agents, which only watch, may take a minute: they first try to tell the cluster that it is gone.
        assert wait_until(lambda: not left_behind(own_folder), 90), left_behind(own_folder)

    def test_killed_it_leaves_no_worker_in_a_cluster_that_stays(self, nodes, tmp_path):
        command = script(tmp_path, f"list(Ray({nodes.address!r}).run(evaluate, jobs(60)))")
        with subprocess.Popen(command) as driver:
            assert wait_until(lambda: len(list((tmp_path / "notes").iterdir())) == 2)
            pids = [int(path.name) for path in (tmp_path / "notes").iterdir()]
            assert all(alive(pid) for pid in pids)
            driver.kill()
        assert wait_until(lambda: not any(alive(pid) for pid in pids), 20)

    def test_ctrl_c_of_the_terminal_reaches_neither_cluster_nor_workers(self, own_folder, tmp_path):
        body = """
        def interrupt():
            while True:
                time.sleep(0.02)
                os.killpg(0, signal.SIGINT)
        signal.signal(signal.SIGINT, lambda *_: None)
        threading.Thread(target=interrupt, daemon=True).start()
        executor = Ray()
        print([trial.status for trial in executor.run(evaluate, jobs(1))], flush=True)
        executor.close()
        os._exit(0)
        """
        ended = subprocess.run(
            script(tmp_path, body), capture_output=True, text=True, timeout=120, check=False, start_new_session=True
        )
        assert "KeyboardInterrupt" not in ended.stderr
        assert ended.stdout == "['done', 'done']\n"
        assert len(list((tmp_path / "notes").iterdir())) == 2  # none had to be trained again
        assert wait_until(lambda: not left_behind(own_folder), 20)

    def test_the_terminal_stays_quiet_and_sigterm_is_the_runs_own(self, own_folder, tmp_path):
        body = """
        signal.signal(signal.SIGTERM, lambda *_: print("told to stop", flush=True))
        executor = Ray()
        print(sorted(trial.status for trial in executor.run(evaluate, jobs(1, kills=True))))
        os.kill(os.getpid(), signal.SIGTERM)
        executor.close()
        """
        ended = subprocess.run(script(tmp_path, body), capture_output=True, text=True, timeout=120, check=False)
        assert ended.stdout == "['done', 'lost']\ntold to stop\n"
        assert ended.stderr == ""
        assert wait_until(lambda: not left_behind(own_folder), 20)

    def test_an_address_where_nothing_answers(self, own_folder, tmp_path):
        body = """
        try:
            list(Ray("127.0.0.1:9").run(evaluate, jobs(1)))
        except ValueError as error:
            print(error)
        """
        ended = subprocess.run(script(tmp_path, body), capture_output=True, text=True, timeout=120, check=False)
        assert ended.stdout.startswith("executor.address must lead to a Ray cluster, but 127.0.0.1:9 gave: ")
        assert ended.stdout.endswith("; start one by `ray start --head`, or leave the address out\n")
