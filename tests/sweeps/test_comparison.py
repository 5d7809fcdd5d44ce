"""The runs of a multirun, compared, from folders written by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from hsicfast.sweeps.comparison import folder_name, kinds_of, read_runs
from hsicfast.sweeps.comparison_page import leave_comparison, sentence


def leave_run(folder, number, objectives, overrides, *, cost=10.0, minimize=True, task="toy", origins=None):
    own = folder / f"{number}_run"
    (own / ".hydra").mkdir(parents=True)
    (own / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    n = len(objectives)
    best = (np.nanmin if minimize else np.nanmax)(objectives)
    economical = {"objective": best, "cost": cost / 2}
    (own / "best.json").write_text(
        json.dumps({"metric": "loss", "objective": best, "cost": cost, "economical": economical})
    )
    (own / "settings.json").write_text(json.dumps({"task": {"name": task}, "strategy": {"name": "Hsic"}}))
    (own / "sensitivity.json").write_text(json.dumps({"minimize": minimize}))
    statuses = ["diverged" if math.isnan(value) else "done" for value in objectives]
    columns = {"objective": objectives, "status": statuses, "index": range(n), "origin": origins or ["search"] * n}
    pd.DataFrame(columns).to_csv(own / "trials.csv", index=False)


@pytest.fixture
def folder(tmp_path):
    """Two strategies with two seeds each."""
    nan = math.nan
    leave_run(tmp_path, 0, [nan, 3.0, 2.0, 2.5], ["+task=toy", "strategy=hsic", "seed=1"], cost=10.0)
    leave_run(tmp_path, 1, [4.0, 1.0, 2.0, 0.5], ["+task=toy", "strategy=hsic", "seed=2"], cost=30.0)
    leave_run(tmp_path, 2, [3.0, 3.0, 3.0], ["+task=toy", "strategy=random", "seed=1"], cost=5.0)
    leave_run(tmp_path, 10, [4.0, 2.0, 0.5], ["+task=toy", "strategy=random", "seed=2"], cost=5.0)
    return tmp_path


class TestKinds:
    def test_by_hand(self, folder):
        runs = read_runs(folder)
        assert [run.folder.name for run in runs] == ["0_run", "1_run", "2_run", "10_run"]
        assert [(run.kind, run.seed) for run in runs] == [
            ("hsic", "1"), ("hsic", "2"), ("random", "1"), ("random", "2"),
        ]  # fmt: skip
        np.testing.assert_array_equal(runs[0].so_far, [math.nan, 3.0, 2.0, 2.0])
        hsic, random = kinds_of(runs)
        assert (hsic.wins, hsic.pairs, random.wins, random.pairs) == (1.5, 2, 0.5, 2)
        assert hsic.quartiles("best") == (0.875, 1.25, 1.625)
        assert hsic.quartiles("cost") == (15.0, 20.0, 25.0)
        np.testing.assert_array_equal(random.curves()[1], [3.5, 2.5, 1.75])
        assert sentence([hsic, random]) == (
            "hsic has the better best trial in 1.5 of 2 pairs of equal seed. With 2 seeds this may well be chance."
        )

    def test_large_is_better(self, tmp_path):
        for number, (strategy, values) in enumerate([("hsic", [1.0, 3.0]), ("random", [2.0, 1.0])]):
            leave_run(tmp_path, number, values, [f"strategy={strategy}", "seed=0"], minimize=False)
        hsic, random = kinds_of(read_runs(tmp_path))
        assert (hsic.wins, random.wins) == (1.0, 0.0)
        np.testing.assert_array_equal(random.runs[0].so_far, [2.0, 2.0])

    def test_finals_are_no_progress(self, tmp_path):
        leave_run(tmp_path, 0, [2.0, 1.0, 0.5], ["seed=0"], origins=["design", "search", "final"])
        np.testing.assert_array_equal(read_runs(tmp_path)[0].so_far, [2.0, 1.0])

    def test_other_tasks_are_other_questions(self, tmp_path):
        for number, (task, strategy) in enumerate([("a", "hsic"), ("a", "random"), ("b", "hsic"), ("b", "random")]):
            leave_run(tmp_path, number, [float(number)], [f"+task={task}", f"strategy={strategy}"], task=task)
        kinds = kinds_of(read_runs(tmp_path))
        assert [(kind.task, kind.name, kind.wins, kind.pairs) for kind in kinds] == [
            ("a", "hsic", 1.0, 1), ("a", "random", 0.0, 1), ("b", "hsic", 1.0, 1), ("b", "random", 0.0, 1),
        ]  # fmt: skip

    def test_seeds_alone(self, tmp_path):
        for seed in (0, 1):
            leave_run(tmp_path, seed, [1.0], [f"seed={seed}"])
        (kind,) = kinds_of(read_runs(tmp_path))
        assert (kind.name, kind.pairs) == ("Hsic", 0)
        assert sentence([kind]).startswith("2 runs of one kind")

    def test_numbers_and_defaults_have_their_names(self, tmp_path):
        for number, overrides in enumerate([["goal=0.1"], ["goal=0.2"], ["strategy.batch=3", "goal=0.1"]]):
            leave_run(tmp_path, number, [1.0], overrides)
        assert [run.kind for run in read_runs(tmp_path)] == [
            "goal=0.1, strategy.batch=default", "goal=0.2, strategy.batch=default", "goal=0.1, strategy.batch=3",
        ]  # fmt: skip


class TestFiles:
    def test_terminal_csv_and_page(self, folder):
        console = Console(record=True, width=80)
        leave_comparison(folder, console)
        said = console.export_text()
        assert "toy: 4 runs compared" in said
        assert "1.5 of 2" in said
        table = pd.read_csv(folder / "comparison.csv")
        assert list(table.columns) == [
            "folder", "task", "what", "seed", "best", "cost", "economical", "economical_cost", "trials",
        ]  # fmt: skip
        assert list(table["best"]) == [2.0, 0.5, 3.0, 0.5]
        page = (folder / "comparison.html").read_text()
        assert 'href="10_run/report.html"' in page
        assert "data:image/svg+xml;base64," in page
        assert "<script" not in page

    def test_one_run_is_no_comparison(self, tmp_path):
        leave_run(tmp_path, 0, [1.0], ["seed=0"])
        leave_comparison(tmp_path, Console(record=True))
        assert not (tmp_path / "comparison.csv").exists()

    def test_runs_with_several_objectives_are_left_out(self, folder, capsys):
        (folder / "2_run" / "front.csv").write_text("x")
        assert [run.folder.name for run in read_runs(folder)] == ["0_run", "1_run", "10_run"]
        leave_comparison(folder, Console(width=200))
        assert "runs with several objectives are not compared: 1 left a front.csv" in capsys.readouterr().out

    def test_names_are_text(self, tmp_path):
        for number, name in enumerate(["<b>", "[red]"]):
            leave_run(tmp_path, number, [1.0], [f"known={name}", "seed=0"], task="<i>")
        console = Console(record=True, width=100)
        leave_comparison(tmp_path, console)
        assert "[red]" in console.export_text()
        assert "<b>" not in (tmp_path / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["+task=toy", "seed=1"], None),
        (["seed=1,2"], "${hydra.job.num}_seed${seed}"),
        (["task=a,b", "strategy.batch=1,2"], "${hydra.job.num}_${hydra.runtime.choices.task}_batch${strategy.batch}"),
        (["known=[a],[b]", "seed=1,2"], "${hydra.job.num}_seed${seed}"),
        (["known=a b,c"], None),
    ],
)
def test_folders_are_named_by_what_differs(overrides, name):
    assert folder_name(overrides, ["task", "strategy"]) == name
