"""Faults by name: a full disk, a folder that is read only, files that are cut, flipped, empty or gone, another version.

Each is said in one sentence, nothing that was there is lost, and the same command goes on once the fault is gone, or
after a rebuild, and ends as an uninterrupted run.
"""

import errno
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import builders
import pytest
import sqlalchemy.exc
from builders import CONDITIONAL, SMALL_N, After, small_run, small_train
from sqlalchemy.orm import Session

from hsicfast.errors import InputError, RunError
from hsicfast.runs.repair import inspect_run, rebuild
from hsicfast.runs.results import read_result, read_results
from hsicfast.search.orchestrator import minimize
from hsicfast.search.run_report import write_report
from hsicfast.search.strategies import Random


@pytest.fixture(scope="module")
def whole():
    return small_run()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "run"
    small_run(folder)
    return folder


@pytest.fixture
def done(kept, tmp_path):
    """A finished run's folder."""
    return shutil.copytree(kept, tmp_path / "run")


def ends_as(whole, folder, **more):
    """The same command goes on and ends as an uninterrupted run; the study, too, holds each trial once."""
    again = small_run(folder, **more)
    assert again.trials.to_frame().equals(whole.trials.to_frame())
    assert again.sensitivity.to_frame().equals(whole.sensitivity.to_frame())
    assert again.rounds == whole.rounds
    assert study_rows(folder) == [(i, trial.objective) for i, trial in enumerate(whole.trials)]
    assert all(check.whole for check in inspect_run(folder)), inspect_run(folder)


def study_rows(folder):
    """(index, value) of every trial of the study, in order of the index."""
    connection = sqlite3.connect(f"file:{folder}/study.db?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT CAST(a.value_json AS INTEGER) AS i, v.value FROM trial_user_attributes a "
            "JOIN trial_values v USING (trial_id) WHERE a.key = 'index' ORDER BY i"
        ).fetchall()
    finally:
        connection.close()


def said(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def names(checks):
    return [check.what for check in checks if not check.whole]


@contextmanager
def refusing(monkeypatch, module, function, number, path=""):
    """What the file system says from now on to everything that touches `path`."""
    before = getattr(module, function)

    def refused(target, *rest, **more):
        if path in str(target):
            raise OSError(number, os.strerror(number))
        return before(target, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, function, refused)
        yield


def become_read_only(monkeypatch, folder):
    """From now on no file of the folder can be written, made, renamed or removed."""
    own = str(folder)

    def guarded(module, function, writes):
        before = getattr(module, function)

        def call(target, *rest, **more):
            if str(target).startswith(own) and writes(*rest, **more):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
            return before(target, *rest, **more)

        monkeypatch.setattr(module, function, call)

    guarded(io, "open", lambda mode="r", *_, **__: set(mode) & set("wax+"))
    guarded(os, "open", lambda flags, *_, **__: flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    for function in ("replace", "unlink", "mkdir", "rmdir", "link", "rename", "utime"):
        guarded(os, function, lambda *_, **__: True)

    def commit(*_, **__):
        raise sqlalchemy.exc.OperationalError(
            "INSERT", {}, sqlite3.OperationalError("attempt to write a readonly database")
        )

    monkeypatch.setattr(Session, "commit", commit)


@contextmanager
def mounted(folder, options):
    """A file system in memory; skipped where this process may mount none."""
    folder.mkdir(exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mounting needs root and CAP_SYS_ADMIN: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Leave no room."""
    filler = folder / "filler"
    ended = subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], capture_output=True, text=True)
    assert "No space left" in ended.stderr
    return filler


class TestDiskFull:
    @pytest.mark.parametrize(
        ("function", "path", "named"),
        [
            ("replace", "settings.json", r"settings\.json gave: No space left on device; make room"),
            ("replace", "000005.json", r"results/000005\.json gave: No space left on device; make room"),
        ],
    )
    def test_of_a_file_that_is_replaced(self, whole, tmp_path, monkeypatch, function, path, named):
        with refusing(monkeypatch, os, function, errno.ENOSPC, path), pytest.raises(InputError, match=named) as error:
            small_run(tmp_path)
        said(error)
        assert not list(tmp_path.rglob("*.part"))
        assert not (tmp_path / "lock").exists()
        ends_as(whole, tmp_path)

    def test_of_every_write(self, whole, tmp_path, monkeypatch):
        def fill_up():
            monkeypatch.setattr(os, "fsync", full)

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.raises(InputError, match=r"000004\.json gave: No space left on device; make room") as error:
            small_run(tmp_path, watcher=After(4, fill_up))
        said(error)
        assert sorted(read_results(tmp_path)) == [0, 1, 2, 3]
        monkeypatch.undo()
        ends_as(whole, tmp_path)

    @pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error"])
    def test_of_the_study(self, whole, tmp_path, monkeypatch, words):
        import sqlalchemy.exc
        from sqlalchemy.orm import Session

        def full(*_, **__):
            error = sqlite3.OperationalError(words)
            raise sqlalchemy.exc.OperationalError("INSERT", {}, error) from error

        with pytest.raises(InputError) as error:
            small_run(tmp_path, watcher=After(4, lambda: monkeypatch.setattr(Session, "commit", full)))
        assert f"study.db gave: {words}; make room, " in said(error)
        assert "rebuild" not in said(error)
        monkeypatch.undo()
        ends_as(whole, tmp_path)

    def test_of_a_small_disk(self, whole, tmp_path):
        with mounted(tmp_path / "disk", "size=2m") as disk:
            folder = disk / "run"
            fillers = []
            with pytest.raises(InputError, match=r"/disk/run/.* gave: .*; make room") as error:
                small_run(folder, watcher=After(3, lambda: fillers.append(fill(disk))))
            assert "store rebuild" not in said(error)
            assert len(read_results(folder)) in (3, 4)
            # No room for as much as the lock.
            with pytest.raises(InputError, match=r"/disk/run/.* gave: .*; (make room|pass another)") as error:
                small_run(folder)
            said(error)
            assert not (folder / "lock").exists()
            fillers[0].unlink()
            ends_as(whole, folder)

    @pytest.mark.parametrize("name", ["trials.csv", "best.json", "report.html"])
    def test_of_the_report(self, whole, tmp_path, monkeypatch, name):
        monkeypatch.setattr("hsicfast.search.run_report.draw_all", lambda *_, **__: {})
        told = {"title": "t", "metric": "m", "test_metric": None, "cost": "c", "tests": {}, "planned": SMALL_N}
        write_report(tmp_path, whole, **told)
        before = (tmp_path / name).read_bytes()
        full = re.escape(f"but {tmp_path / name} gave: No space left on device; make room")
        with refusing(monkeypatch, os, "replace", errno.ENOSPC, name), pytest.raises(InputError, match=full) as error:
            write_report(tmp_path, whole, **told)
        said(error)
        assert (tmp_path / name).read_bytes() == before
        assert not list(tmp_path.rglob("*.part"))
        write_report(tmp_path, whole, **told)
        assert (tmp_path / name).read_bytes() == before


class TestReadOnly:
    @pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
    def test_folder_that_refuses(self, done, monkeypatch, number):
        with refusing(monkeypatch, os, "open", number, str(done)), pytest.raises(InputError) as error:
            small_run(done)
        assert f"the run folder must be writable, but {done}" in said(error)
        assert f"gave: {os.strerror(number)}; " in said(error)
        assert "pass another hydra.run.dir=" in said(error)

    def test_file_system(self, tmp_path, whole):
        with mounted(tmp_path / "disk", "size=4m") as disk:
            small_run(disk / "run")
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            assert all(check.whole for check in inspect_run(disk / "run"))
            run, new = disk / "run", disk / "new"
            for refused in (lambda: small_run(run), lambda: small_run(new), lambda: rebuild(run)):
                with pytest.raises(
                    InputError, match=r"must be writable, but .* gave: Read-only file system; "
                ) as error:
                    refused()
                said(error)

    @pytest.mark.parametrize("when", ["during a trial", "after a trial"])
    def test_that_comes_in_mid_run(self, whole, tmp_path, monkeypatch, when):
        """A disk with errors becomes read only while files are open, which a remount by hand refuses."""
        calls = []

        def evaluate(params, seed):
            calls.append(params)
            if when == "during a trial" and len(calls) == 5:
                become_read_only(monkeypatch, tmp_path)
            return small_train(params, seed)

        watcher = After(4, lambda: become_read_only(monkeypatch, tmp_path)) if when == "after a trial" else None
        with pytest.raises(RunError, match=r"must be writable, but .* gave: Read-only file system; make room") as error:
            small_run(tmp_path, train=evaluate, watcher=watcher)
        said(error)
        assert len(calls) in (4, 5)
        monkeypatch.undo()
        assert sorted(read_results(tmp_path)) == [0, 1, 2, 3]
        ends_as(whole, tmp_path)


class TestResult:
    @pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
    def test_that_is_damaged(self, whole, done, damage):
        path = done / "results" / "000004.json"
        text = path.read_text()
        path.write_text(
            {
                "empty": "",
                "cut": text[: len(text) // 2],
                "flipped": text.replace("as it was", "as it wAs"),
                "foreign": (done / "results" / "000005.json").read_text(),
            }[damage]
        )
        with pytest.raises(
            InputError, match=r"000004\.json does not .*`python -m hsicfast\.store rebuild .*run`"
        ) as error:
            small_run(done)
        said(error)
        # The study holds it, but nothing stands behind that any more.
        assert names(inspect_run(done)) == ["results/000004.json", "study.db"]
        assert rebuild(done)[0].startswith("results/000004.json was set aside: ")
        assert (done / "broken" / "1" / "results" / "000004.json").exists()
        assert names(inspect_run(done)) == ["results"]
        ends_as(whole, done)

    def test_no_flipped_bit_goes_unseen(self, done):
        path = done / "results" / "000004.json"
        whole, trial = path.read_bytes(), read_result(path)
        refused = 0
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
            try:
                assert read_result(path) == trial
            except InputError:
                refused += 1
        assert refused > len(whole) / 2

    def test_that_is_missing(self, whole, done):
        (done / "results" / "000004.json").unlink()
        assert names(inspect_run(done)) == ["results", "study.db"]
        ends_as(whole, done)

    def test_that_is_missing_and_ends_otherwise(self, done):
        (done / "results" / "000004.json").unlink()
        small_run(done, train=lambda p, seed: small_train(p, seed) | {"note": "later"})
        assert read_results(done)[4].metrics["note"] == "later"
        assert names(inspect_run(done)) == []
        assert (done / "replaced" / "1" / "study.db").exists()


class TestStudy:
    @pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "foreign", "older"])
    def test_that_is_damaged(self, whole, done, damage):
        path = done / "study.db"
        content = path.read_bytes()
        if damage == "foreign":
            path.unlink()
            with sqlite3.connect(path) as connection:
                connection.execute("CREATE TABLE version_info (x INTEGER)")
            connection.close()
        elif damage == "older":
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
                connection.execute("UPDATE version_info SET schema_version = 1")
            connection.close()
        else:
            half = len(content) // 2
            path.write_bytes({"empty": b"", "cut": content[:half], "garbage": content[:100] + b"\x07" * half}[damage])
        assert names(inspect_run(done)) == ["study.db"]
        if damage != "empty":  # which SQLite takes for a new one
            with pytest.raises(InputError, match=r"study\.db cannot be used .*`python -m hsicfast\.store rebuild") as e:
                small_run(done)
            said(e)
        done_by = rebuild(done)
        assert done_by[0].startswith("study.db was set aside: ")
        assert done_by[1:] == [f"study.db was built from {SMALL_N} results"]
        assert (done / "broken" / "1" / "study.db").exists()
        ends_as(whole, done)

    def test_that_is_missing_is_built_by_the_same_command(self, whole, done):
        (done / "study.db").unlink()
        assert names(inspect_run(done)) == ["study.db"]
        ends_as(whole, done)

    def test_whose_writer_died_in_the_middle_of_a_write(self, whole, done):
        code = (
            "import os, sqlite3; c = sqlite3.connect('study.db', isolation_level=None); "
            "c.execute('PRAGMA cache_size=0'); c.execute('BEGIN'); "
            " c.execute('UPDATE trial_user_attributes SET value_json = 7'); os.abort()"
        )
        subprocess.run([sys.executable, "-c", code], cwd=done, capture_output=True, check=False)
        journal = done / "study.db-journal"
        assert journal.stat().st_size > 0
        assert names(inspect_run(done)) == []
        assert journal.stat().st_size > 0  # a look leaves even that
        ends_as(whole, done)

    def test_that_cannot_be_copied(self, done, monkeypatch):
        monkeypatch.setattr(shutil, "copy", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for act in (inspect_run, rebuild):
            with pytest.raises(InputError, match="gave: No space left on device; make room for it in /"):
                act(done)
        assert (done / "study.db").exists()

    def test_that_is_missing_is_built(self, whole, done):
        (done / "study.db").unlink()
        assert rebuild(done) == [f"study.db was built from {SMALL_N} results"]
        assert rebuild(done) == []
        ends_as(whole, done)

    @pytest.mark.parametrize(
        ("statement", "fault"),
        [
            ("UPDATE trial_values SET value = value + 1 WHERE trial_id = 3", "holds trial 2 otherwise than the result"),
            ("UPDATE trial_params SET param_value = 0 WHERE param_name = 'rate'", "otherwise than the result file"),
            (
                "UPDATE trial_user_attributes SET value_json = '4' WHERE key = 'index' AND trial_id = 4",
                "lacks trial 3, ",
            ),
            ("UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'index' AND trial_id = 4", "did not write"),
            ("DELETE FROM trials WHERE trial_id = 8", "lacks trial 7"),
            ("UPDATE studies SET study_name = 'mine'", "holds no study of these settings"),
        ],
    )
    def test_that_is_another_index(self, whole, done, statement, fault):
        connection = sqlite3.connect(done / "study.db")
        connection.execute(statement)
        connection.commit()
        connection.close()
        (check,) = [check for check in inspect_run(done) if not check.whole]
        assert fault in check.state
        assert fault in rebuild(done)[0]
        ends_as(whole, done)


class TestSettings:
    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": "new"}', '{"format": 0}', "\x00" * 9])
    def test_that_are_damaged(self, whole, done, damage):
        path = done / "settings.json"
        path.write_text(damage)
        with pytest.raises(InputError, match=r"settings\.json is not .*; pass resume=force if you are sure") as error:
            small_run(done)
        said(error)
        assert names(inspect_run(done))[0] == "settings.json"
        (told,) = rebuild(done)
        assert told.startswith("settings.json was set aside: cannot be read (")
        ends_as(whole, done)

    def test_that_are_damaged_where_the_user_is_sure(self, whole, done):
        (done / "settings.json").write_text("{")
        ends_as(whole, done, resume="force")
        assert (done / "replaced" / "1" / "settings.json").read_text() == "{"

    def test_that_are_missing(self, whole, done):
        (done / "settings.json").unlink()
        assert names(inspect_run(done)) == ["settings.json", "study.db"]
        assert rebuild(done) == ["settings.json is missing; the run's command writes it again, and sees to the study"]
        ends_as(whole, done)

    def test_of_before_there_were_formats(self, whole, done):
        kept = json.loads((done / "settings.json").read_text())
        assert kept.pop("format") == 1
        (done / "settings.json").write_text(json.dumps(kept))
        for path in (done / "results").iterdir():
            content = json.loads(path.read_text())
            del content["sha256"]
            path.write_text(json.dumps(content))
        ends_as(whole, done)

    @pytest.mark.parametrize("act", [small_run, lambda f: small_run(f, resume="force"), rebuild, inspect_run])
    def test_of_a_newer_version(self, done, act):
        kept = json.loads((done / "settings.json").read_text())
        (done / "settings.json").write_text(json.dumps(kept | {"format": 2}))
        before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
        with pytest.raises(InputError) as error:
            act(done)
        assert said(error) == (
            f"a run folder must be of format 1 or older, but {done} is of format 2; upgrade hsicfast, or pass another "
            "hydra.run.dir="
        )
        assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == before


class TestForced:
    def test_goes_on_with_other_settings_and_loses_nothing(self, done):
        before = {path.relative_to(done): path.read_bytes() for path in done.rglob("*") if path.is_file()}
        changes = {"n_trials": 6, "strategy": Random(), "goal": 0.2, "seed": 2, "settings": {"epochs": 3}}
        with pytest.raises(InputError) as error:
            minimize(small_train, CONDITIONAL, folder=done, **changes)
        assert 'but goal was "auto" and is 0.2 now, seed was 1 and is 2 now, epochs was absent and is 3 now' in said(
            error
        )
        assert f" in {done}; set back what changed, pass resume=force to plan it anew" in said(error)
        forced = minimize(small_train, CONDITIONAL, folder=done, resume="force", **changes)
        fresh = minimize(small_train, CONDITIONAL, **changes)
        assert forced.trials.to_frame().equals(fresh.trials.to_frame())
        kept = {path.relative_to(done / "replaced" / "1") for path in (done / "replaced").rglob("*") if path.is_file()}
        replaced = {Path("settings.json"), Path("study.db"), *(Path(f"results/{i:06d}.json") for i in range(6))}
        assert kept == replaced
        for path in kept:
            assert (done / "replaced" / "1" / path).read_bytes() == before[path]
        assert [index for index, _ in study_rows(done)] == list(range(6))
        # It is the folder of the new run now.
        again = minimize(small_train, CONDITIONAL, folder=done, **changes)
        assert again.trials.to_frame().equals(fresh.trials.to_frame())

    def test_plans_more_trials_anew(self, done):
        forced = small_run(done, 2 * SMALL_N, resume="force")
        assert forced.trials.to_frame().equals(small_run(n=2 * SMALL_N).trials.to_frame())
        aside = [path.name for path in sorted((done / "replaced" / "1" / "results").iterdir())]
        assert aside == [f"{index:06d}.json" for index in range(4, 8)]
        assert [index for index, _ in study_rows(done)] == list(range(2 * SMALL_N))

    def test_says_what_it_takes(self, tmp_path):
        with pytest.raises(InputError, match="resume must be null or force, but got 'yes'; choose one of them"):
            small_run(tmp_path, resume="yes")
        with pytest.raises(InputError, match="but store= puts it elsewhere; leave out store="):
            small_run(tmp_path, resume="force", store="sqlite://")
        assert os.listdir(tmp_path) == []


class TestLock:
    def test_is_held_by_a_run_and_gone_after_it(self, tmp_path):
        seen = []
        small_run(tmp_path, watcher=After(3, lambda: seen.append(json.loads((tmp_path / "lock").read_text())["pid"])))
        assert seen == [os.getpid()]
        assert not (tmp_path / "lock").exists()

    def test_a_second_run_is_refused_and_the_first_goes_on(self, whole, tmp_path):
        errors = []

        def second():
            for act in (small_run, rebuild):
                with pytest.raises(InputError, match=f"is held by process {os.getpid()} on ") as error:
                    act(tmp_path)
                errors.append(said(error))
            # A look is free, and what is in flight is no damage.
            assert names(inspect_run(tmp_path)) == []

        first = small_run(tmp_path, watcher=After(3, second))
        assert len(errors) == 2
        assert first.trials.to_frame().equals(whole.trials.to_frame())
        ends_as(whole, tmp_path)

    def test_a_run_that_lost_its_lock_stops(self, whole, tmp_path):
        with pytest.raises(InputError, match="lock is not this run's any more"):
            small_run(tmp_path, watcher=After(3, (tmp_path / "lock").unlink))
        ends_as(whole, tmp_path)

    @pytest.mark.parametrize("cause", ["settings", "result", "study"])
    def test_is_gone_after_a_refusal(self, done, cause):
        damaged = {"settings": "settings.json", "result": "results/000003.json", "study": "study.db"}[cause]
        (done / damaged).write_text("nonsense, and a lot of it")
        with pytest.raises(InputError):
            small_run(done)
        assert not (done / "lock").exists()

    def test_of_a_killed_run_is_taken_over(self, whole, tmp_path):
        code = (
            "import os, sys; from builders import After, small_run; small_run(sys.argv[1], watcher=After(3, os.abort))"
        )
        place = Path(builders.__file__).parent
        killed = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=place, capture_output=True)
        assert killed.returncode < 0, killed.stderr
        assert (tmp_path / "lock").exists()
        assert not names(inspect_run(tmp_path))
        ends_as(whole, tmp_path)
        assert not (tmp_path / "lock").exists()
