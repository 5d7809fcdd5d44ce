"""What a call of `minimize` from Python takes, shows and leaves."""

import io
import json
import subprocess
import sys
import textwrap

import pandas as pd
import pytest
import yaml
from toys import SPACE, Stopper, cut_short, train

from hsicfast import InputError, Processes, minimize
from hsicfast.runs.progress import ProgressBar, ProgressLine, usual_progress
from hsicfast.runs.watcher import Watcher
from hsicfast.training.executors import Local, Ray, executor_of

CALL = {"n_trials": 24, "strategy": "random"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mine")
    minimize(train, SPACE, **CALL, folder=place)
    return place


@pytest.fixture(scope="module")
def result():
    return minimize(train, SPACE, **CALL)


class TestResult:
    def test_frame(self, result):
        pd.testing.assert_frame_equal(result.to_frame(), result.trials.to_frame())

    def test_best_yaml(self, result):
        assert yaml.safe_load(result.best_yaml()) == result.best.params

    def test_plot(self, result):
        assert result.plot("indices").savefig(io.BytesIO()) is None
        with pytest.raises(InputError, match="but got 'pie'; choose one of"):
            result.plot("pie")

    def test_report(self, result, tmp_path):
        path = result.report(tmp_path / "new" / "mine.html", title="Mine & yours", metric="loss")
        text = path.read_text(encoding="utf-8")
        assert "Mine &amp; yours" in text
        assert "How the run went" in text
        assert [own.name for own in path.parent.iterdir()] == ["mine.html"]


class TestFolder:
    def test_what_the_command_leaves(self, folder):
        left = {path.name for path in folder.iterdir()}
        assert {"report.html", "trials.csv", "sensitivity.json", "best.json", "figures", "best.yaml"} <= left
        assert "economical.yaml" in left

    def test_the_values(self, folder):
        best = json.loads((folder / "best.json").read_text())
        assert yaml.safe_load((folder / "best.yaml").read_text()) == best["params"]
        assert yaml.safe_load((folder / "economical.yaml").read_text()) == best["economical"]["params"]

    def test_the_page_has_no_command_that_does_not_exist(self, folder):
        assert "trains its configuration again" not in (folder / "report.html").read_text(encoding="utf-8")

    def test_an_interrupted_run_leaves_it_as_well(self, tmp_path):
        result = cut_short(train, SPACE, **CALL, folder=tmp_path, watcher=Stopper(12))
        assert "interrupted" in (tmp_path / "report.html").read_text(encoding="utf-8")
        assert json.loads((tmp_path / "sensitivity.json").read_text())["trials"]["planned"] == CALL["n_trials"]
        assert len(pd.read_csv(tmp_path / "trials.csv")) == len(result.trials)

    def test_the_same_call_again_writes_the_same(self, folder):
        before = {name: (folder / name).read_bytes() for name in ("trials.csv", "sensitivity.json", "best.json")}
        minimize(train, SPACE, **CALL, folder=folder)
        assert {name: (folder / name).read_bytes() for name in before} == before

    def test_without_the_tools_the_tables(self, tmp_path, monkeypatch):
        def missing():
            raise InputError('a report needs plotly, but plotly cannot be found; pip install "hsicfast[report]"')

        monkeypatch.setattr("hsicfast.search.run_report.check_report_tools", missing)
        with pytest.warns(UserWarning, match=r"has tables but no page: a report needs plotly.*pip install") as seen:
            result = minimize(train, SPACE, **CALL, folder=tmp_path)
        assert seen[0].filename == __file__
        assert len(result.trials) == len(pd.read_csv(tmp_path / "trials.csv")) == CALL["n_trials"]
        left = {path.name for path in tmp_path.iterdir()}
        assert {"trials.csv", "sensitivity.json", "best.json", "best.yaml"} <= left
        assert not {"report.html", "figures"} & left


class TestExecutor:
    @pytest.mark.parametrize(("name", "kind"), [("local", Local), ("processes", Processes), (None, Local)])
    def test_by_name(self, name, kind):
        assert type(executor_of(name)) is kind

    def test_ray_by_name(self):
        pytest.importorskip("ray")
        assert type(executor_of("ray")) is Ray

    def test_an_object_is_itself(self):
        own = Processes(workers=2)
        assert executor_of(own) is own

    @pytest.mark.parametrize("wrong", ["threads", 3, Processes])
    def test_a_wrong_one(self, wrong):
        with pytest.raises(InputError, match=r"^executor must be one of local, processes, ray or an object") as error:
            minimize(train, SPACE, **CALL, executor=wrong)
        assert "\n" not in str(error.value)

    def test_processes(self, result):
        again = minimize(train, SPACE, **CALL, executor="processes")
        assert again.to_frame().equals(result.to_frame())


class TestSpace:
    def test_a_dict(self, result):
        assert minimize(train, dict(SPACE), **CALL).to_frame().equals(result.to_frame())

    @pytest.mark.parametrize("wrong", [3, ["x"], None])
    def test_neither(self, wrong):
        with pytest.raises(InputError, match="a space must be a SearchSpace or a dict of names to Float, Int"):
            minimize(train, wrong, **CALL)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def shown(self, monkeypatch, stream, **options):
        monkeypatch.setattr(sys, "stderr", stream)
        minimize(train, SPACE, **CALL, **options)
        return stream.getvalue()

    def test_nothing_where_nobody_looks(self, monkeypatch):
        assert self.shown(monkeypatch, io.StringIO()) == ""

    def test_a_bar_on_a_terminal(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        assert "24/24" in self.shown(monkeypatch, Terminal())

    def test_silent(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        assert self.shown(monkeypatch, Terminal(), progress=False) == ""

    def test_lines_where_asked_for(self, monkeypatch):
        text = self.shown(monkeypatch, io.StringIO(), progress=True)
        assert "design: 24 of 24 trials, best objective" in text
        assert "\r" not in text

    def test_a_notebook_gets_one_line_without_widgets(self, monkeypatch):
        monkeypatch.setattr("rich.console.Console.is_jupyter", True, raising=False)
        monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
        text = self.shown(monkeypatch, io.StringIO())
        assert text.count("\n") == 1
        assert text.startswith("\r")
        assert "24 of 24 trials, best objective" in text.rpartition("\r")[2]
        assert "\x1b" not in text

    def test_which(self, monkeypatch):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert usual_progress(None, True) is None
        assert type(usual_progress(True, True)) is ProgressBar
        monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
        assert type(usual_progress(None, True)) is ProgressLine
        assert usual_progress(False, True) is None

    def test_the_users_own_live_display_goes_on(self, monkeypatch):
        from rich.console import Console
        from rich.progress import Progress

        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", Terminal())
        with Progress(console=Console(stderr=True)):
            assert len(minimize(train, SPACE, **CALL).trials) == CALL["n_trials"]

    def test_a_watcher_sees_the_trials_all_the_same(self):
        class Counter(Watcher):
            seen = 0

            def on_trial(self, trial, stored):
                self.seen += 1

        own = Counter()
        minimize(train, SPACE, **CALL, watcher=own, progress=False)
        assert own.seen == CALL["n_trials"]


@pytest.mark.slow
def test_a_missing_main_guard_is_answered_in_one_sentence(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent("""
        import hsicfast
        def evaluate(params): return params["x"]
        space = {"x": hsicfast.Float(0, 1)}
        hsicfast.minimize(evaluate, space, n_trials=8, strategy="random", executor=hsicfast.Processes(workers=2),
                          folder="run")
        """)
    )
    ended = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.count("Traceback") == 1, ended.stderr
    assert 'call hsicfast under `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]
