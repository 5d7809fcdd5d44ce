"""The examples run, find what they say they find, and have a picture for the gallery."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# They train for minutes: the gallery shows their code, and their tests below call parts of them.
TRAININGS = {"own_lightning_module", "lora"}


def run(name):
    """What the script leaves: its names."""
    left = runpy.run_path(str(next(path for path in EXAMPLES if path.stem == name)))
    assert isinstance(left["figure"], Figure)
    return left


def found(name):
    return run(name)["found"]


def test_each_has_a_test_here():
    text = Path(__file__).read_text()
    assert {path.stem for path in EXAMPLES if f'("{path.stem}")' not in text} == TRAININGS


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_begins_with_a_title_and_a_question(path):
    first, title, line, _, text = path.read_text().split("\n", 4)
    assert (first, len(line), set(line)) == ('"""', len(title), {"="})
    assert text.startswith("*")
    assert "?*" in text.split('"""')[0] or text.startswith("*I only need") or text.startswith("*My trials")


def test_own_csv(capsys):
    assert found("own_csv").significant() == ["lr"]
    assert "evenly in their logarithms" in capsys.readouterr().out


def test_reading_an_index():
    frame = found("reading_an_index").to_frame()
    assert list(frame.index) == ["decides", "helps", "nothing"]
    assert (frame["pvalue_holm"] <= 0.05).tolist() == [True, True, False]


def test_noise_floor():
    left = run("noise_floor")
    floors = [one.null_mean for one in left["noise"]]
    assert floors == sorted(floors, reverse=True)
    assert left["signal"][-1].pvalue < 0.01 < left["noise"][-1].pvalue


def test_noise_only(capsys):
    assert found("noise_only").significant() == []
    assert "no evidence either way with 200 trials" in " ".join(capsys.readouterr().out.split())


def test_conditional_space():
    sensitivity = found("conditional_space")
    assert set(sensitivity.significant()) == {"lr", "optimizer", "momentum"}
    assert sensitivity["momentum"].group == "optimizer=sgd"


def test_exclusive_or():
    sensitivity = found("exclusive_or")
    assert sensitivity.significant() == []
    pairs = sensitivity.pairs.set_index(["first", "second"])
    assert pairs["pvalue_pure"].idxmin() == ("a", "b")
    assert pairs.loc[("a", "b"), "pvalue_pure"] < 0.01


def test_several_edges():
    assert set(found("several_edges").significant()) == {"rate", "width"}


def test_safe_to_fix():
    verdicts = found("safe_to_fix").verdicts()
    assert verdicts.loc["rate", "kind"] == verdicts.loc["width", "kind"] == "matters"
    assert verdicts.loc["layers", "text"] == "safe to fix: 1"


def test_cost_against_error():
    left = run("cost_against_error")
    assert left["economical"].cost < left["best"].cost
    assert left["best"].objective <= left["economical"].objective <= left["best"].objective + 0.03


def test_several_objectives():
    left = run("several_objectives")
    result = left["result"]
    fast = [trial.params["library"] == "fast" for trial in left["front"]]
    assert len(fast) >= 8
    assert sum(fast) >= 0.7 * len(fast)
    assert sum(0.002 < trial.params["rate"] < 0.2 for trial in left["front"]) >= 0.7 * len(fast)
    assert left["decides"].keys() == {"error", "latency"}
    assert result.best.index in left["front"].index


def test_explain_the_best():
    kinds = run("explain_the_best")["told"].to_frame()["kind"]
    assert kinds["lr"] == "carries"
    assert kinds.get("layers", "unclear") == "unclear"


def test_learning_curves():
    curves = found("learning_curves").curves
    assert "decay" in curves.clear_from
    first, last = (dict(zip(curves.names, row, strict=True)) for row in (curves.r2[0], curves.r2[-1]))
    assert first["rate"] > first["decay"]
    assert last["decay"] > last["rate"]


def test_optuna_study():
    importances = found("optuna_study")
    assert next(iter(importances)) == "lr"
    assert importances["lr"] > 0.5


@pytest.mark.slow
def test_toy_search():
    result = found("toy_search")
    assert abs(result.best.params["rate"] - 0.3) < 0.05
    assert result.economical.cost < result.best.cost


@pytest.mark.slow
def test_going_on():
    left = run("going_on")
    assert left["found"].best.objective <= left["earlier"].best().objective


def test_stream():
    left = run("stream")
    assert left["found"].statistic == pytest.approx(left["everything"].statistic, rel=1e-12)


def test_anova_shares():
    shares = found("anova_shares")
    assert shares.first[0] > 0.5
    assert shares.total[1] - shares.first[1] > 0.2
    assert shares.total[3] < 0.05


def test_two_samples():
    left = run("two_samples")
    assert left["found"].pvalue < 0.01
    assert left["pvalues"]["linear"] > 0.05


class TestOwnProject:
    """A project outside the repository: a file of YAML and a module, found from its folder."""

    @pytest.fixture
    def project(self, tmp_path):
        return Path(shutil.copytree(ROOT / "examples" / "own_project", tmp_path / "project"))

    def test_is_as_short_as_it_says(self):
        assert len((ROOT / "examples/own_project/conf/task/curve.yaml").read_text().splitlines()) <= 15

    @pytest.mark.slow
    @pytest.mark.parametrize("way", ["module", "script"])
    def test_runs_from_its_folder(self, project, way):
        script = Path(sys.executable).parent / "hsicfast"
        command = [str(script)] if way == "script" else [sys.executable, "-m", "hsicfast.run"]
        arguments = ["--config-dir", "conf", "+task=curve", "strategy=random", "executor=local", "hydra.run.dir=run"]
        places = [path for path in sys.path if path and "examples" not in path]
        ran = subprocess.run(
            [*command, *arguments], cwd=project, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert "everything is in" in ran.stdout
        assert len(pd.read_csv(project / "run" / "trials.csv")) == 40

    def test_in_this_process(self, project, monkeypatch, capfd):
        from hsicfast import run

        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        arguments = ["--config-dir", "conf", "+task=curve", "params={width: 8, rate: 0.3, optimizer: plain}"]
        monkeypatch.setattr(sys, "argv", ["hsicfast", *arguments, "hydra.run.dir=once"])
        run.main()
        assert "objective 0." in capfd.readouterr().out
        sys.modules.pop("mylib")


def test_own_lightning_module(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    path = next(path for path in EXAMPLES if path.stem == "own_lightning_module")
    names = runpy.run_path(str(path))
    result = names["main"](n_trials=8, epochs=2, folder=str(tmp_path))
    net = names["Digits"].load_from_checkpoint(tmp_path / "network.pt").eval()
    x, y = next(iter(names["data"](64)[1]))
    assert (net(x).argmax(1) == y).float().mean().item() == result.best.objective
    assert torch.load(tmp_path / "network.pt")["metrics"]["objective"] == result.best.objective


def test_own_lightning_module_is_short_beside_the_module():
    lines = next(path for path in EXAMPLES if path.stem == "own_lightning_module").read_text().splitlines()
    imports = [line for line in lines if line.startswith(("from lightning_tasks", "from hsicfast", "from optuna"))]
    search = lines[next(i for i, line in enumerate(lines) if line.startswith("def main")) :]
    search = search[: next(i for i, line in enumerate(search) if not line)]  # up to the main guard
    assert len(imports) == 3
    assert len(imports + search) <= 12


ACCURACY = """
import sys
from own_lightning_module import Digits, data
net = Digits.load_from_checkpoint(sys.argv[1]).eval()
x, y = next(iter(data(64)[1]))
print((net(x).argmax(1) == y).float().mean().item())
"""


@pytest.mark.slow
def test_the_network_of_own_lightning_module_loads_in_a_fresh_process(tmp_path):
    pytest.importorskip("sklearn")
    path = next(path for path in EXAMPLES if path.stem == "own_lightning_module")
    result = runpy.run_path(str(path))["main"](n_trials=8, epochs=2, folder=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path.parent), *filter(None, sys.path)])}
    said = subprocess.run(
        [sys.executable, "-c", ACCURACY, str(tmp_path / "network.pt")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(said.stdout) == result.best.objective > 0.2


def test_the_notebook_of_a_module_of_ones_own(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("lightning_tasks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES[0].parent)
    cells = json.loads((EXAMPLES[0].parent / "own_lightning_module.ipynb").read_text())["cells"]
    search, shown, loaded = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len([line for line in search.splitlines() if line]) <= 12
    names = {}
    exec(search.replace("n_trials=60", "n_trials=8").replace('"max_epochs": 10', '"max_epochs": 1'), names)
    assert "8 trials" in repr(eval(shown, names))
    *steps, same = loaded.splitlines()
    exec("\n".join(steps), names)
    assert eval(same, names)


def test_lora(capsys):
    pytest.importorskip("torch")
    path = next(path for path in EXAMPLES if path.stem == "lora")
    names = runpy.run_path(str(path))
    result = names["main"](n_trials=8, steps=6, base_steps=20)
    assert result.best.objective < names["untuned"](20)
    assert result.economical.cost <= result.best.cost
    # two layers, each with A and B of 32 numbers a rank
    smallest = [trial for trial in result.trials if trial.params["targets"] == "query"]
    assert all(trial.cost == 2 * 2 * 32 * trial.params["rank"] for trial in smallest)
    assert "as good and cheapest" in capsys.readouterr().out
