"""The command that checks a run's folder, builds its study again and sets aside what is broken."""

import os

import pytest
from builders import study_of

from hsicfast.search.orchestrator import minimize
from hsicfast.space.search_space import Bool, Float, SearchSpace
from hsicfast.store import main


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
        minimize(lambda params: params["x"], space, n_trials=5, strategy="random", folder=tmp_path)
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
        (done / "checkpoints" / "000004.3f0a.ckpt").touch()  # of a group whose first trial has a result
        (done / "checkpoints" / "000009.3f0a.ckpt").touch()
        (done / "checkpoints" / ".000009.ckpt.4194305.part").touch()
        (done / "checkpoints" / ".000009.12.ckpt.4194305.part").touch()
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
            "whole   leftovers: checkpoints/.000009.12.ckpt.4194305.part, checkpoints/.000009.ckpt.4194305.part, "
            "results/.000007.json.4194305.ab.part, checkpoints/000003.ckpt, checkpoints/000004.3f0a.ckpt: 5 in all, "
            "harmless",
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
