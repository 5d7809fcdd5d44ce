"""Who may write in a run folder: one process at a time, and the living."""

import fcntl
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import psutil
import pytest

from hsicfast.errors import InputError, RunError
from hsicfast.files import sealed
from hsicfast.runs import lock
from hsicfast.runs.lock import Holder, Lock, check_free, look


def holder_of(process, **changes):
    """What the lock of a process of this machine says."""
    here = Holder(process.pid, socket.gethostname(), lock._namespace(), process.create_time(), "ab")
    return replace(here, **changes)


def leave(folder, holder, silent=0.0):
    """A lock as `holder` left it so many seconds ago."""
    path = folder / "lock"
    path.write_text(json.dumps(sealed(asdict(holder))))
    age(path, silent)
    return path


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture
def neighbour():
    """A process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.communicate(b"\n")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "EMPTY_LOCK_PATIENCE", 0.0)


def taken(folder):
    """Whether the folder's lock can be taken."""
    try:
        Lock(folder).release()
    except InputError:
        return False
    return True


class TestHeld:
    def test_says_who_and_is_gone_in_the_end(self, tmp_path):
        with Lock(tmp_path):
            content = json.loads((tmp_path / "lock").read_text())
            assert (content["pid"], content["host"]) == (os.getpid(), socket.gethostname())
            assert content["started"] == psutil.Process().create_time()
            assert os.listdir(tmp_path) == ["lock"]
        assert os.listdir(tmp_path) == []

    def test_gone_after_an_error(self, tmp_path):
        with pytest.raises(ZeroDivisionError), Lock(tmp_path):
            raise ZeroDivisionError
        assert os.listdir(tmp_path) == []

    def test_twice_in_one_process_is_refused(self, tmp_path):
        with Lock(tmp_path), pytest.raises(InputError, match=f"is held by process {os.getpid()} on "):
            Lock(tmp_path)
        assert taken(tmp_path)

    def test_a_live_holder_is_named_with_the_way_out(self, tmp_path, neighbour):
        leave(tmp_path, holder_of(neighbour), silent=1e6)  # frozen or not, it is there
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(neighbour.create_time()))
        with pytest.raises(InputError) as error:
            Lock(tmp_path)
        assert str(error.value) == (
            f"a run folder has one writer at a time, but {tmp_path} is held by process {neighbour.pid} on "
            f"{socket.gethostname()} since {since}; wait for it, end it, or pass another hydra.run.dir="
        )
        assert os.listdir(tmp_path) == ["lock"]

    def test_a_look_says_the_same_and_changes_nothing(self, tmp_path, neighbour):
        assert look(tmp_path) is None
        check_free(tmp_path)
        path = leave(tmp_path, holder_of(neighbour))
        before = path.read_bytes(), path.stat()
        seen = look(tmp_path)
        assert (seen.holder.pid, seen.alive) == (neighbour.pid, True)
        with pytest.raises(InputError, match=f"is held by process {neighbour.pid} "):
            check_free(tmp_path)
        assert (path.read_bytes(), path.stat()) == before

    def test_a_child_does_not_let_go_for_its_parent(self, tmp_path):
        with Lock(tmp_path) as held:
            child = multiprocessing.get_context("fork").Process(target=held.release)
            child.start()
            child.join()
            assert child.exitcode == 0
            held.check()

    def test_it_is_touched_again_and_again(self, tmp_path, monkeypatch):
        monkeypatch.setattr(lock, "REFRESH", 0.01)
        with Lock(tmp_path):
            age(tmp_path / "lock", 1000)
            deadline = time.monotonic() + 5
            while time.time() - (tmp_path / "lock").stat().st_mtime > 100:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def test_a_lock_that_is_lost_is_noticed_and_the_new_holders_stays(self, tmp_path, neighbour):
        held = Lock(tmp_path)
        (tmp_path / "lock").unlink()
        with pytest.raises(InputError, match=r"is not this run's any more .*; see who writes there"):
            held.check()
        leave(tmp_path, holder_of(neighbour))
        with pytest.raises(InputError, match="is not this run's any more"):
            held.check()
        held.release()
        assert look(tmp_path).holder.pid == neighbour.pid

    def test_full_disk_leaves_no_lock(self, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(lock, "sealed", full)
        with pytest.raises(InputError, match=r"lock gave: No space left on device; make room, or pass another"):
            Lock(tmp_path)
        assert os.listdir(tmp_path) == []


class TestDead:
    def test_its_place_is_taken(self, tmp_path):
        process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        gone = holder_of(process)
        process.communicate(b"\n")
        leave(tmp_path, gone)
        seen = look(tmp_path)
        assert not seen.alive
        assert seen.text.startswith(f"left by process {gone.pid} on ")
        with Lock(tmp_path):
            assert look(tmp_path).holder.pid == os.getpid()

    def test_a_zombie_is_dead(self, tmp_path):
        process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        leave(tmp_path, holder_of(process))
        assert not taken(tmp_path)
        process.kill()
        deadline = time.monotonic() + 5
        while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        assert taken(tmp_path)
        process.wait()

    def test_a_number_that_is_used_again_is_another_process(self, tmp_path, neighbour):
        leave(tmp_path, holder_of(neighbour, started=neighbour.create_time() - 60))
        assert taken(tmp_path)


class TestElsewhere:
    @pytest.mark.parametrize("changes", [{"host": "far"}, {"namespace": "pid:[7]"}])
    @pytest.mark.parametrize(("silent", "alive"), [(0, True), (50, True), (61, False), (1e6, False)])
    def test_is_alive_as_long_as_it_is_heard(self, tmp_path, neighbour, changes, silent, alive):
        leave(tmp_path, holder_of(neighbour, **changes), silent)
        assert look(tmp_path).alive == alive
        assert taken(tmp_path) != alive

    def test_is_refused_with_how_long_ago(self, tmp_path, neighbour):
        leave(tmp_path, holder_of(neighbour, host="far"), silent=12.2)
        with pytest.raises(InputError, match=r"on far since .*, last heard 12 s ago; after 60 s of silence its place"):
            Lock(tmp_path)

    @pytest.mark.parametrize("off", [-3600, 3600])
    def test_by_the_clock_of_the_files(self, tmp_path, neighbour, monkeypatch, off):
        now = time.time
        leave(tmp_path, holder_of(neighbour, host="far"))
        monkeypatch.setattr(time, "time", lambda: now() + off)
        assert not taken(tmp_path)
        age(tmp_path / "lock", off + 61)
        assert taken(tmp_path)


class TestDamaged:
    DAMAGE = ("", "{", "[]", "null", '{"pid": 1}', "\x00" * 50, "nonsense")

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_counts_as_dead_after_the_silence(self, tmp_path, damage):
        path = tmp_path / "lock"
        path.write_text(damage)
        age(path, 10.2)
        with pytest.raises(InputError, match=r"cannot be read, written 10 s ago; delete .*lock if nobody .* wait 50 s"):
            Lock(tmp_path)
        age(path, 61)
        assert taken(tmp_path)

    def test_no_flipped_bit_kills_a_live_holder(self, tmp_path, neighbour):
        path = leave(tmp_path, holder_of(neighbour))
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            assert look(tmp_path).alive, path.read_bytes()

    @pytest.mark.parametrize("changes", [{"pid": -1}, {"pid": 10**30}, {"started": float("nan")}, {"started": 1e300}])
    def test_impossible_numbers(self, tmp_path, neighbour, changes):
        leave(tmp_path, holder_of(neighbour, **changes))
        assert look(tmp_path).holder is None

    def test_a_folder_in_its_place(self, tmp_path):
        (tmp_path / "lock").mkdir()
        with pytest.raises(InputError, match=r"must be writable, but .*lock gave: Is a directory"):
            Lock(tmp_path)
        with pytest.raises(InputError, match=r"must be readable, but .*lock gave: Is a directory; see whose it is"):
            check_free(tmp_path)

    def test_one_that_is_being_written_is_waited_for(self, tmp_path, neighbour, monkeypatch):
        monkeypatch.setattr(lock, "EMPTY_LOCK_PATIENCE", 5.0)
        (tmp_path / "lock").touch()
        owner = threading.Timer(0.1, leave, (tmp_path, holder_of(neighbour)))
        owner.start()
        with pytest.raises(InputError, match=f"is held by process {neighbour.pid} "):
            Lock(tmp_path)
        owner.join()


class TestRace:
    def test_who_waited_to_clear_a_lock_does_not_clear_the_next(self, tmp_path, neighbour):
        path = leave(tmp_path, holder_of(neighbour, started=1.0))
        seen = []

        def wait():
            with lock._alone(path) as there:
                seen.append(there)

        with path.open("r+") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            waiting = threading.Thread(target=wait)
            waiting.start()
            time.sleep(0.1)
            assert seen == []
            (tmp_path / "other").write_text("another's")
            os.replace(tmp_path / "other", path)
        waiting.join()
        assert seen == [False]

    @pytest.mark.parametrize("before", ["none", "dead", "nonsense"])
    def test_exactly_one_wins(self, tmp_path, neighbour, monkeypatch, before):
        monkeypatch.setattr(lock, "EMPTY_LOCK_PATIENCE", 5.0)
        fork = multiprocessing.get_context("fork")
        count, rounds = 6, 15
        gate, said = fork.Barrier(count + 1), fork.Queue()

        def contend():
            for number in range(rounds):
                folder = tmp_path / str(number)
                gate.wait(30)
                try:
                    Lock(folder)  # and never let go of, until this process ends
                    said.put(number)
                except InputError as error:
                    if "is held by process" not in str(error):
                        said.put(str(error))
                gate.wait(30)

        contenders = [fork.Process(target=contend) for _ in range(count)]
        for process in contenders:
            process.start()
        wins = []
        for number in range(rounds):
            folder = tmp_path / str(number)
            folder.mkdir()
            if before == "dead":
                leave(folder, holder_of(neighbour, started=1.0))
            elif before == "nonsense":
                (folder / "lock").touch()
                age(folder / "lock", 100)
            gate.wait(30)
            gate.wait(30)
            wins.append(said.get(timeout=10))
        for process in contenders:
            process.join()
        assert wins == list(range(rounds))
        assert said.empty()
        assert all(os.listdir(tmp_path / str(number)) == ["lock"] for number in range(rounds))


@pytest.mark.parametrize("kind", ["dangling link", "pipe"])
def test_a_lock_that_is_no_file_is_one_sentence(tmp_path, kind):
    """Issue 22, point 7: a dangling link looped for ever, and a pipe hung."""
    path = tmp_path / "lock"
    {"dangling link": lambda: path.symlink_to("gone"), "pipe": lambda: os.mkfifo(path)}[kind]()
    for door in (Lock, look):
        with pytest.raises(RunError, match=r"must be a file, but .*lock is a link or a pipe; see whose it is"):
            door(tmp_path)


def test_a_clock_that_was_set_does_not_free_a_live_lock(tmp_path, neighbour):
    """Issue 22, point 7: the start time of a process moves with the clock, its ticks since the boot do not."""
    moved = holder_of(neighbour, started=holder_of(neighbour).started - 3600, boot=lock._boot())
    leave(tmp_path, replace(moved, ticks=lock._ticks(neighbour.pid)))
    assert look(tmp_path).alive
    for other in (replace(moved, ticks=1), replace(moved, ticks=lock._ticks(neighbour.pid), boot="another")):
        leave(tmp_path, other)
        assert not look(tmp_path).alive


def test_a_lock_that_is_dated_ahead_is_taken_over(tmp_path, neighbour):
    """Issue 22, point 7: a live holder has touched its lock just now, whatever the clock says."""
    leave(tmp_path, holder_of(neighbour, host="far"), silent=-1e6)
    assert not look(tmp_path).alive
    Lock(tmp_path).release()
