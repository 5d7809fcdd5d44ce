"""What failed, in one sentence: its words, and the class that tells "try again" from "correct your input"."""

from __future__ import annotations

import doctest
import errno
import importlib.util
import inspect
import os
import pickle
import warnings

import pytest

import hsicfast
from hsicfast import errors, goal_hsic, hsic
from hsicfast.dependence import hsic as faces
from hsicfast.errors import (
    InputError,
    RunError,
    check_one_of,
    check_repeats,
    check_seed,
    first_line,
    is_whole,
    keyword_only_after,
    require,
    unwritable,
    writing,
)
from hsicfast.runs import database
from hsicfast.runs.database import patiently
from hsicfast.runs.lock import Lock, check_free
from hsicfast.runs.log import Log
from hsicfast.runs.results import write_result
from hsicfast.runs.settings import write_settings
from hsicfast.runs.store import check_writable
from hsicfast.runs.study import Study
from hsicfast.search.run_report import _write
from hsicfast.space.search_space import Float, SearchSpace
from hsicfast.training import cluster
from hsicfast.training.processes import BROKEN_STARTS, Processes
from hsicfast.trials.trial import Trial

TRIAL = Trial(0, {"x": 0.5}, 1.0)


def caused(error, cause):
    error.__cause__ = cause
    return error


class TestFirstLine:
    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ValueError("one\ntwo"), "one"),
            (ValueError("\n  one  \ntwo"), "one  "),
            (ValueError(), "ValueError"),
            (ValueError(" \n"), "ValueError"),
            (KeyError(0), "0"),
            (OSError(errno.ENOSPC, "No space left on device", "/disk"), "No space left on device"),
            (OSError("torn"), "torn"),
            (caused(RuntimeError("outer"), caused(ValueError("inner"), OSError(errno.EIO, "I/O error"))), "I/O error"),
            (caused(RuntimeError("outer"), TimeoutError()), "TimeoutError"),
        ],
    )
    def test_of_the_innermost(self, error, said):
        assert first_line(error) == said


class TestWriting:
    def test_what_the_system_refuses_is_one_sentence(self, tmp_path):
        path = tmp_path / "none" / "log"
        with pytest.raises(RunError) as refused, writing("the log", path, "make room"):
            path.write_text("")
        assert str(refused.value) == f"the log must be writable, but {path} gave: No such file or directory; make room"
        assert isinstance(refused.value.__cause__, FileNotFoundError)
        assert str(unwritable("the log", path, refused.value.__cause__, "make room")) == str(refused.value)

    @pytest.mark.parametrize("error", [ValueError("ours"), RunError("ours"), KeyboardInterrupt("ours")])
    def test_any_other_error_passes(self, error):
        with pytest.raises(type(error), match=r"^ours$"), writing("the log", "log", "make room"):
            raise error

    def test_nothing_is_in_the_way(self, tmp_path):
        with writing("the log", tmp_path / "log", "make room"):
            (tmp_path / "log").write_text("whole")
        assert (tmp_path / "log").read_text() == "whole"


class TestRequire:
    @pytest.mark.parametrize(
        ("missing", "told", "said"),
        [
            ("b", {}, "u needs a, b and c, but b cannot be found; pip install b"),
            ("bc", {}, "u needs a, b and c, but b and c cannot be found; pip install b c"),
            ("abc", {"extra": "e"}, 'u needs a, b and c, but a, b and c cannot be found; pip install "hsicfast[e]"'),
            ("a", {"way_out": "do without"}, "u needs a, b and c, but a cannot be found; pip install a, or do without"),
        ],
    )
    def test_names_what_is_missing_and_the_way_out(self, monkeypatch, missing, told, said):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else object())
        with pytest.raises(InputError) as refused:
            require("a", "b", "c", user="u", **told)
        assert str(refused.value) == said
        assert not isinstance(refused.value, RunError)

    def test_one_package(self, monkeypatch):
        require("numpy", user="u")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"^u needs numpy, but numpy cannot be found; pip install numpy$"):
            require("numpy", user="u")


class TestChecks:
    @pytest.mark.parametrize("value", [True, 1.0, "1", None])
    def test_what_is_no_whole_number(self, value):
        assert not is_whole(value)
        with pytest.raises(InputError, match=f"`seed >= 0` must hold, but got seed={value!r}; give a whole number"):
            check_seed(value)
        with pytest.raises(InputError, match=f"`repeats >= 1` must hold, but got repeats={value!r}; give a whole"):
            check_repeats(value)

    def test_ends(self):
        check_seed(0)
        check_repeats(1)
        for check, value in ((check_seed, -1), (check_repeats, 0)):
            with pytest.raises(InputError, match=f"={value}; give a whole number"):
                check(value)

    def test_one_of(self):
        check_one_of("workers", None, (None, "ray"))
        with pytest.raises(InputError, match=r"^w must be one of \(None, 'ray'\), but got 'dask'; leave it out$"):
            check_one_of("w", "dask", (None, "ray"), "leave it out")


class TestRunError:
    """A disk, a database, a lock, a cluster, a worker that does not start: nothing that was given is wrong."""

    def test_is_an_input_error_that_travels(self):
        assert issubclass(hsicfast.RunError, hsicfast.InputError)
        error = pickle.loads(pickle.dumps(RunError("away")))
        assert (type(error), str(error)) == (RunError, "away")

    @pytest.mark.parametrize(
        "write",
        [
            lambda folder: write_result(folder, TRIAL),
            lambda folder: write_settings(folder, {}),
            lambda folder: Lock(folder),
            lambda folder: Log(folder).on_stop(),
            lambda folder: check_writable(folder),
            lambda folder: Study(SearchSpace({"x": Float(0, 1)}), True, "s", folder, None),
            lambda folder: _write(folder / "best.json", "{}"),
        ],
        ids=["result", "settings", "lock", "log", "folder", "study", "report"],
    )
    def test_a_file_stands_where_the_folder_belongs(self, tmp_path, write):
        (tmp_path / "run").write_text("")
        with pytest.raises(RunError, match=r"must be writable, but .*run.* gave: "):
            write(tmp_path / "run")

    def test_lock_is_held_or_lost(self, tmp_path):
        with Lock(tmp_path) as lock:
            with pytest.raises(RunError, match="one writer at a time"):
                Lock(tmp_path)
            with pytest.raises(RunError, match="one writer at a time"):
                check_free(tmp_path)
            os.remove(tmp_path / "lock")
            with pytest.raises(RunError, match="is not this run's any more"):
                lock.check()

    def test_database_is_away(self, monkeypatch):
        monkeypatch.setattr(database, "SERVER_PATIENCE", -1.0)
        monkeypatch.setattr(database, "_is_away", lambda error: True)

        def ask():
            raise ConnectionError("refused")

        with pytest.raises(RunError, match=r"must answer, but postgresql://me:\*+@host/db has not for"):
            patiently(ask, "postgresql://me:secret@host/db")

    def test_cluster_has_no_room(self, monkeypatch):
        pytest.importorskip("ray")
        monkeypatch.setattr(cluster, "_nodes", lambda: [{"Resources": {"CPU": 1.0}}])
        executor = cluster.Ray(cpus=2)
        executor._had_room = -1e9
        with pytest.raises(RunError, match=r"a trial must fit on one node .*cpus=2 .* have 1 CPUs and 0 GPUs"):
            executor._size()

    def test_workers_die_at_their_start(self):
        executor = Processes(workers=1)
        for _ in range(BROKEN_STARTS - 1):
            assert not executor._after_broken_pool().counts
        with pytest.raises(RunError, match="must survive their start, but they died 3 times in a row"):
            executor._after_broken_pool()

    def test_a_wrong_value_is_none(self, tmp_path):
        for wrong in (lambda: check_seed(-1), lambda: Processes(workers=0), lambda: require("oracle", user="u")):
            with pytest.raises(InputError) as refused:
                wrong()
            assert not isinstance(refused.value, RunError)


@keyword_only_after(2, last="d")
def joined(a, b, *, c=3, d=4, e=5):
    """Its arguments.

    >>> joined(1, 2)
    (1, 2, 3, 4, 5)
    """
    return a, b, c, d, e


class TestKeywordOnlyAfter:
    def test_keywords_raise_no_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert joined(1, 2) == (1, 2, 3, 4, 5)
            assert joined(1, b=0, e=9, c=7) == (1, 0, 7, 4, 9)

    def test_positions_are_taken_and_their_keywords_named(self):
        text = r"joined takes at most 2 arguments by position, but got 4; write c=..., d=..., as release 0.3 refuses"
        with pytest.warns(FutureWarning, match=text) as caught:
            assert joined(1, 2, 7, 8, e=0) == (1, 2, 7, 8, 0)
        assert [warning.filename for warning in caught] == [__file__]

    def test_what_was_never_a_position_is_none_now(self):
        with pytest.raises(TypeError, match="takes 2 positional arguments but 5 were given"):
            joined(1, 2, 3, 4, 5)

    def test_twice_the_same(self):
        with (
            pytest.warns(FutureWarning, match="write c="),
            pytest.raises(TypeError, match="got multiple values for argument 'c'"),
        ):
            joined(1, 2, 3, c=3)

    def test_signature_and_doctest_are_those_of_the_function(self):
        assert str(inspect.signature(joined)) == "(a, b, *, c=3, d=4, e=5)"
        assert joined.__name__ == "joined"
        found = {test.name for test in doctest.DocTestFinder().find(faces) if test.examples}
        assert {f"{faces.__name__}.goal_hsic", f"{faces.__name__}.hsic"} <= found

    @pytest.mark.parametrize("face", [goal_hsic, hsic])
    def test_faces(self, face):
        kinds = [parameter.kind for parameter in inspect.signature(face).parameters.values()]
        assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}
        assert errors.REFUSED_FROM == "0.3"

    def test_a_face_by_position(self):
        u, y = [0.1, 0.2, 0.8, 0.9], [1.0, 2.0, 3.0, 4.0]
        with pytest.warns(FutureWarning, match="goal_hsic takes .* write goal=..., kernel=..., bandwidth=..."):
            assert goal_hsic(u, y, 0.5, "laplace", 0.3) == goal_hsic(u, y, goal=0.5, kernel="laplace", bandwidth=0.3)
