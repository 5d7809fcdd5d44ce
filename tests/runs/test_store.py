import json
import math
import os
import sqlite3
from dataclasses import asdict, replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from hsicfast.errors import InputError
from hsicfast.files import plain
from hsicfast.runs.results import read_result, read_results, result_path, write_result
from hsicfast.runs.settings import as_kept, described
from hsicfast.runs.store import Store, check_writable
from hsicfast.search.orchestrator import minimize
from hsicfast.search.plan import RunPlan
from hsicfast.search.strategies import Random
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.store import main
from hsicfast.trials.trial import DESIGN, DIVERGED, LOST, PRUNED, Trial

SPACE = SearchSpace({"kind": Choice(["a", (1, 2), None]), "rate": Float(0, 1, active_if={"kind": "a"}), "on": Bool()})
SETTINGS = {"goal": 0.1, "space": {"rate": {"low": 0.0}}}
GOOD = Trial(12, {"kind": "a", "rate": 0.1 + 0.2, "on": True}, 1 / 3, 7.0, seed=5, metrics={"test": 0.5, "note": "x"})
BAD = Trial(3, {"kind": None, "on": False}, math.nan, status=DIVERGED, seed=6, message="RuntimeError: no")
GONE = Trial(4, {"kind": None, "on": False}, math.nan, status=LOST, seed=6, message="killed")


@pytest.fixture
def folder(tmp_path):
    check_writable(tmp_path / "results")
    return tmp_path


def opened(folder, **changes):
    return Store(SPACE, changes.pop("settings", SETTINGS), True, folder, **changes)


def study_of(folder):
    url = f"sqlite:///{folder}/study.db"
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


class TestResultFiles:
    def test_comes_back_as_it_went(self, folder):
        path = write_result(folder, GOOD)
        assert path == result_path(folder, 12) == folder / "results" / "000012.json"
        assert read_result(path) == GOOD
        assert [p.name for p in path.parent.iterdir()] == ["000012.json"]

    def test_the_curve_of_a_trial(self, folder):
        trial = replace(GOOD, curve=((0, 1.5), (7, math.nan), (9, 1 / 3)))
        path = write_result(folder, trial)
        assert json.loads(path.read_text(), parse_constant=pytest.fail)["curve"] == [[0, 1.5], [7, None], [9, 1 / 3]]
        np.testing.assert_equal(read_result(path).curve, trial.curve)

    def test_a_result_of_before_there_were_curves(self, folder):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text())
        del content["curve"], content["sha256"]
        path.write_text(json.dumps(content))
        assert read_result(path) == GOOD

    @pytest.mark.parametrize("curve", [5, [[1]], [[1, "low"]], None])
    def test_a_curve_that_is_none(self, folder, curve):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text()) | {"curve": curve}
        del content["sha256"]
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"000012\.json does not.*; .* sets it aside, and its trial runs again"):
            read_result(path)

    def test_json_is_strict(self, folder):
        trial = replace(BAD, metrics={"test": math.nan, "worst": math.inf, "n": np.int64(3), "x": np.float32(0.5)})
        content = json.loads(write_result(folder, trial).read_text(), parse_constant=pytest.fail)
        assert content["objective"] is None
        assert content["metrics"] == {"test": None, "worst": None, "n": 3, "x": 0.5}
        assert math.isnan(read_result(result_path(folder, 3)).metrics["test"])

    def test_all_by_index(self, folder):
        write_result(folder, GOOD)
        write_result(folder, BAD)
        (folder / "results" / ".000009.json.77.ab.part").write_text("{")
        assert sorted(read_results(folder)) == [3, 12]

    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"index": 12}', "\x00" * 40, "cut", "other", "status"])
    def test_broken_file_is_named_with_the_way_out(self, folder, damage):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text())
        del content["sha256"]
        whole = json.dumps(content)
        damaged = {
            "cut": whole[: len(whole) // 2],
            "other": whole.replace('"index": 12', '"index": 13'),
            "status": whole.replace('"done"', '"fine"'),
        }
        path.write_text(damaged.get(damage, damage))
        with pytest.raises(
            InputError, match=r"000012\.json does not.*; .* sets it aside, and its trial runs again"
        ) as error:
            read_results(folder)
        assert "\n" not in str(error.value)

    def test_failed_write_keeps_what_was_there(self, folder, monkeypatch):
        write_result(folder, GOOD)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InputError, match=r"must be writable, but .*000012\.json gave: No space left on device"):
            write_result(folder, replace(GOOD, objective=9.0))
        assert read_results(folder) == {12: GOOD}
        assert len(os.listdir(folder / "results")) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_plain_is_strict_json_and_stays(value):
    once = plain(value)
    assert plain(json.loads(json.dumps(once, allow_nan=False))) == once


def test_plain_names_what_json_lacks():
    assert plain([math.sin, object(), Float]) == ["sin", "object", "Float"]


class TestFolder:
    def test_unwritable(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"must be writable, but .* gave: (Not a directory|File exists); pass ano"):
            opened(tmp_path / "file")

    def test_same_settings_go_on(self, folder):
        opened(folder).close()
        write_result(folder, GOOD)
        assert opened(folder).trials == {12: GOOD}

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"goal": 0.2, "space": {"rate": {"low": 0.0}}}, "goal was 0.1 and is 0.2 now"),
            ({"goal": 0.1, "space": {"rate": {"low": 0.5}}}, "space.rate.low was 0.0 and is 0.5 now"),
            ({"goal": 0.1, "space": {}}, "space.rate.low was 0.0 and is absent now"),
            ({**SETTINGS, "more": "x"}, 'more was absent and is "x" now'),
        ],
    )
    def test_other_settings_are_refused_with_the_first_difference(self, folder, settings, said):
        opened(folder).close()
        with pytest.raises(InputError, match="keeps the settings it was started with") as error:
            opened(folder, settings=settings)
        assert said in str(error.value)
        assert "pass another hydra.run.dir=" in str(error.value)

    def test_broken_settings_are_named(self, folder):
        (folder / "settings.json").write_text("{")
        with pytest.raises(InputError, match=r"settings\.json is not .* pass resume=force if you are sure"):
            opened(folder)

    def test_without_a_folder_results_stay_in_memory(self):
        kept = Store(SPACE, SETTINGS, True)
        kept.add(GOOD)
        kept.close()
        assert kept.trials == {12: GOOD}

    def test_url_without_a_folder_is_refused(self):
        with pytest.raises(InputError, match="folder=None; pass folder= as well"):
            Store(SPACE, SETTINGS, True, None, "sqlite://")


class TestStudy:
    def test_holds_what_the_files_hold(self, folder):
        kept = opened(folder)
        for trial in (GOOD, BAD, GONE, replace(GOOD, index=1, params={"kind": (1, 2), "on": True})):
            kept.add(trial)
        kept.close()
        by_index = {trial.user_attrs["index"]: trial for trial in study_of(folder).trials}
        assert sorted(by_index) == [1, 3, 4, 12]
        assert by_index[12].value == 1 / 3
        assert by_index[12].params == {"kind": "a", "rate": 0.1 + 0.2, "on": True}
        assert by_index[12].user_attrs == {
            "index": 12, "seed": 5, "origin": DESIGN, "status": "done", "cost": 7.0, "message": "",
            "failure": "", "metrics": {"test": 0.5, "note": "x"},
        }  # fmt: skip
        assert by_index[1].params["kind"] == "[1, 2]"
        assert [by_index[i].state.name for i in (3, 4)] == ["FAIL", "FAIL"]
        assert by_index[3].user_attrs["cost"] is None

    @pytest.mark.parametrize("objective", [0.5, math.nan])
    def test_a_pruned_trial(self, folder, objective):
        stopped = replace(GOOD, status=PRUNED, objective=objective, curve=((10, 0.75), (20, 0.5)))
        np.testing.assert_equal(asdict(read_result(write_result(folder, stopped))), asdict(stopped))
        kept = opened(folder)
        kept.add(stopped)
        kept.close()
        (trial,) = study_of(folder).trials
        assert trial.state.name == "PRUNED"
        assert trial.value == (0.5 if math.isfinite(objective) else None)
        assert trial.intermediate_values == {10: 0.75, 20: 0.5}

    def test_a_trial_is_added_once(self, folder):
        for _ in range(2):
            kept = opened(folder)
            kept.add(GOOD)
            kept.add(GOOD)
            kept.close()
        assert len(study_of(folder).trials) == 1

    def test_direction(self, folder):
        Store(SPACE, SETTINGS, False, folder).close()
        assert study_of(folder).direction.name == "MAXIMIZE"

    @pytest.mark.parametrize("damage", [b"no database, by a long way", b"SQLite format 3\x00" + b"\x07" * 99])
    def test_broken_study_says_what_to_delete(self, folder, damage):
        opened(folder).close()
        (folder / "study.db").write_bytes(damage)
        with pytest.raises(
            InputError, match=r"study\.db cannot be used .*; .*store rebuild .* sets it aside and builds it"
        ) as error:
            opened(folder)
        assert "\n" not in str(error.value)

    def test_database_of_somebody_else(self, folder):
        connection = sqlite3.connect(folder / "study.db")
        connection.execute("CREATE TABLE version_info (x INTEGER)")
        connection.close()
        with pytest.raises(InputError, match=r"study\.db cannot be used as one"):
            opened(folder)

    def test_study_elsewhere(self, folder, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "all.db"
        kept = opened(folder, url=f"sqlite:///{elsewhere}")
        kept.add(GOOD)
        kept.close()
        assert elsewhere.exists()
        assert not (folder / "study.db").exists()

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("postgresql+nodriver://me:secret@host/db", r"postgresql\+nodriver://me:\*\*\*@host/db"),
            ("mysql+secret", "a text that is no URL"),
            ("sqlite:////no/such/folder/secret.db", "correct it, or leave store= out"),
        ],
    )
    def test_url_that_does_not_work(self, folder, url, said):
        with pytest.raises(InputError, match=said) as error:
            opened(folder, url=url)
        assert "me:secret" not in str(error.value)
        assert "\n" not in str(error.value)


class TestSpaceOfSettings:
    """The way back from settings.json."""

    def back(self, space, direction="minimize"):
        return described(as_kept(RunPlan(space, 8, Random(), direction=direction).description))

    def test_is_the_space(self):
        space = SearchSpace(
            {
                "kind": Choice(["a", 2, None, 0.5], law=[1, 2, 3, 4]),
                "on": Bool(active_if={"kind": ["a", 2]}, law=0.25),
                "n": Int(1, 9, step=2, active_if={"on": True}, law=[1, 1, 2, 2, 3]),
                "width": Int(16, 512, log=True),
                "rate": Float(1e-5, 0.1, log=True, active_if={"kind": None, "width": [16, 17]}),
                "drop": Float(0, 0.9, step=0.1),
            }
        )
        again, minimize = self.back(space)
        assert list(again) == list(space)
        for name in space:
            # A tuple is a list in JSON.
            assert again[name].conditions == space[name].conditions
            np.testing.assert_equal(
                [again[name].from_unit(u) for u in (0.0, 0.3, 0.71, 1.0)],
                [space[name].from_unit(u) for u in (0.0, 0.3, 0.71, 1.0)],
            )
        assert minimize
        assert not self.back(space, "maximize")[1]

    def test_what_json_lacks_goes_by_its_name(self):
        space = SearchSpace(
            {
                "act": Choice([math.tanh, (1, 2), {"a": 1}]),
                "rate": Float(0, 1, law=norm(0.5, 0.1)),
                "more": Bool(active_if={"act": [(1, 2), math.tanh]}),
            }
        )
        again, _ = self.back(space)
        assert list(again["act"].choices) == ["tanh", [1, 2], {"a": 1}]
        assert again["more"].conditions == {"act": ([1, 2], "tanh")}
        assert again["rate"].law is None

    @pytest.mark.parametrize(
        ("kept", "why"),
        [
            ({}, "KeyError: 'space'"),
            ({"space": {"x": {"type": "Real"}}, "direction": "minimize"}, "KeyError: 'Real'"),
            ({"space": {"on": {"type": "Bool"}}, "direction": "down"}, "KeyError: 'down'"),
            (
                {"space": {"x": {"type": "Float", "low": 1, "high": 0}}, "direction": "minimize"},
                "`low < high` must hold",
            ),
            ({"space": []}, "AttributeError"),
        ],
    )
    def test_what_describes_none(self, kept, why):
        with pytest.raises(
            InputError, match=r"settings must describe the space of their run, .*; run the run's"
        ) as error:
            described(kept)
        assert why in str(error.value)

    def test_a_study_that_is_rebuilt_is_the_study(self, tmp_path):
        space = SearchSpace(
            {
                "act": Choice([math.tanh, (1, 2), None]),
                "n": Int(1, 64, log=True),
                "drop": Float(0, 0.9, step=0.3, active_if={"act": [math.tanh, None]}),
                "rate": Float(0, 1, law=norm(0.5, 0.1)),
                "on": Bool(),
            }
        )

        def evaluate(params):
            if params["n"] > 32:
                raise FloatingPointError("loss is nan")
            return {"objective": params["rate"], "cost": params["n"], "test": math.inf if params["on"] else 1.0}

        def trials():
            return [(t.state, t.values, t.params, t.distributions, t.user_attrs) for t in study_of(tmp_path).trials]

        minimize(evaluate, space, 12, "random", folder=tmp_path, direction="maximize")
        before = trials()
        (tmp_path / "study.db").unlink()
        main(["rebuild", str(tmp_path)])
        assert trials() == before
        assert study_of(tmp_path).direction.name == "MAXIMIZE"


class TestCommand:
    @pytest.fixture
    def told(self, capsys):
        def call(*arguments):
            try:
                main([str(argument) for argument in arguments])
                code = 0
            except SystemExit as ended:
                code = ended.code
            captured = capsys.readouterr()
            assert "\x1b" not in captured.out + captured.err
            return code, captured.out, captured.err

        return call

    @pytest.fixture
    def done(self, tmp_path):
        space = SearchSpace({"x": Float(0, 1), "on": Bool()})
        minimize(lambda params: params["x"], space, 5, "random", folder=tmp_path)
        return tmp_path

    def files(self, folder):
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}

    def test_check_of_a_whole_folder_changes_nothing(self, told, done):
        before = self.files(done), done.stat().st_mtime_ns
        code, out, err = told("check", done)
        assert (code, err) == (0, "")
        assert out.splitlines()[1:] == [
            "whole   lock: nobody writes in the folder",
            "whole   results: 5 whole (5 done)",
            "whole   study.db: holds each of the 5 results once",
            "whole   leftovers: none",
            "whole   report: none yet",
        ]
        assert out.startswith("whole   settings.json: format 1, study hsicfast-")
        assert (self.files(done), done.stat().st_mtime_ns) == before

    def test_check_of_what_is_not(self, told, done):
        (done / "results" / "000001.json").write_text("")
        (done / "results" / "000002.json").unlink()
        (done / "study.db").unlink()
        (done / "checkpoints").mkdir()
        (done / "checkpoints" / "000003.ckpt").touch()
        (done / "checkpoints" / "000009.ckpt").touch()
        (done / "results" / ".000007.json.4194305.ab.part").touch()
        (done / "best.json").touch()
        code, out, err = told("check", done)
        assert (code, err) == (1, "")
        lines = out.splitlines()
        assert lines[2:5] == [
            "whole   results: 3 whole (3 done)",
            "NOT     results/000001.json: is broken: Expecting value: line 1 column 1 (char 0)",
            "NOT     results: trial 2 missing; the run's command trains them",
        ]
        assert lines[5:7] == [
            "NOT     study.db: is missing",
            "whole   leftovers: results/.000007.json.4194305.ab.part, checkpoints/000003.ckpt: 2 in all, harmless",
        ]
        assert (
            lines[8]
            == f"`python -m hsicfast.store rebuild {done}` sets aside what is broken, the run's command does the rest"
        )
        assert lines[7].startswith(
            "NOT     report: trials.csv is missing; sensitivity.json is missing; report.html is mis"
        )
        assert "best.json is broken; the run's command writes it again" in lines[7]
        assert not (done / "study.db").exists()
        assert told("check", done, "--elsewhere")[1].count("study.db") == 0

    def test_rebuild_says_what_it_did(self, told, done):
        (done / "results" / "000001.json").write_text("")
        (done / "results" / ".000007.json.4194305.ab.part").touch()
        code, out, err = told("rebuild", done)
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "results/000001.json was set aside: Expecting value: line 1 column 1 (char 0); "
            "the run's command trains its trial again",
            "study.db was set aside: holds 1 without a result file",
            "study.db was built from 4 results",
            "results/.000007.json.4194305.ab.part was removed: a dead writer left it",
        ]
        assert sorted(trial.user_attrs["index"] for trial in study_of(done).trials) == [0, 2, 3, 4]
        assert told("rebuild", done) == (0, "everything was whole, and nothing was done\n", "")
        (done / "study.db").unlink()
        assert told("rebuild", done, "--elsewhere")[1] == "everything was whole, and nothing was done\n"

    def test_a_file_that_is_being_written_is_left_alone(self, told, done):
        part = done / "results" / f".000007.json.{os.getpid()}.ab.part"
        part.touch()
        assert "leftovers: none" in told("check", done)[1]
        os.utime(part, (0, 0))
        assert "1 in all, harmless" in told("check", done)[1]
        part.rename(done / "results" / ".somebody-elses.part")
        assert "leftovers: none" in told("check", done)[1]

    @pytest.mark.parametrize("command", ["check", "rebuild"])
    def test_no_run_folder(self, told, tmp_path, command):
        for folder in (tmp_path, tmp_path / "none"):
            code, out, err = told(command, folder)
            assert (code, out) == (2, "")
            assert err == (
                f"a run folder holds settings.json and results/, but {folder} holds neither; name the folder that the "
                "run said everything is in\n"
            )
            assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("arguments", [[], ["check"], ["mend", "."], ["check", ".", "--now"]])
    def test_wrong_use(self, told, arguments):
        code, out, err = told(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("usage: python -m hsicfast.store")

    def test_help_says_what_they_do(self, told):
        code, out, _ = told("--help")
        assert code == 0
        text = " ".join(out.split())
        assert "Its result files are the truth, its study is an index over them." in text
        assert "say what is whole and what is not, and change nothing; exits with 1" in text
        assert "set broken files aside in RUN/broken, build the study from the results" in text
        assert "the study is where store= said" in " ".join(told("check", "--help")[1].split())
