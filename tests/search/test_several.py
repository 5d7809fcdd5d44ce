"""Several objectives, from the word of a training to the front: memory, folder, study, page, terminal, command."""

import io
import json
import math
import sys
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from builders import study_of
from pages import Page, sketched
from rich.console import Console
from toys import Stopper, cut_short, same

from hsicfast import Choice, Float, InputError, Known, SearchSpace, TrialTable, minimize, read_trials, run
from hsicfast.runs.repair import inspect_run, rebuild
from hsicfast.runs.results import read_results
from hsicfast.search.run_report import print_report, write_report
from hsicfast.search.strategies import Hsic, Random, TwoStep
from hsicfast.text import number
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, PRUNED

SPACE = SearchSpace(
    {
        "kind": Choice(["plain", "deep"]),
        "width": Float(0, 1),
        "depth": Float(0, 1, active_if={"kind": "deep"}),
        "unused": Float(0, 1),
    }
)
BOTH = {"error": "minimize", "speed": "maximize"}
QUICK = TwoStep(design_share=0.5, optimizer="tpe", batch=3)
NAMES = {"title": "toy", "metric": "objective", "test_metric": None, "cost": "memory"}


def train(params, seed):
    """A wide one has a small error and is slow; depth alone is to be 0.5, and diverges above 0.9."""
    if params.get("depth", 0.0) > 0.9:
        raise FloatingPointError("loss is nan")
    waste = (params.get("depth", 0.2) - 0.5) ** 2 + (0.02 if params["kind"] == "plain" else 0.0)
    return {
        "objectives": {"error": (1 - params["width"]) ** 2 + waste, "speed": 100 * (1 - params["width"] ** 2 - waste)},
        "cost": 1 + params["width"],
        "seen": seed,
    }


def trained(n_trials=24, **more):
    given = {"strategy": QUICK, "seed": 1, "objectives": BOTH, "progress": False} | more
    return minimize(given.pop("evaluate", train), SPACE, n_trials=n_trials, **given)


def dominated(losses, row):
    others = (losses <= losses[row]).all(axis=1) & (losses < losses[row]).any(axis=1)
    return bool(others.any())


def hypervolume(front):
    """The area that a front dominates, up to an error of 1.3 and a speed of 0."""
    area, slowest = 0.0, 0.0
    for error, speed in sorted(zip(front.metrics["error"], front.metrics["speed"], strict=True)):
        if error < 1.3 and speed > slowest:
            area, slowest = area + (1.3 - error) * (speed - slowest), speed
    return area


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        sketched(patch)
        return trained(n_trials=40, folder=folder), folder


class TestResult:
    def test_the_front_is_what_nobody_dominates(self, whole):
        result, _ = whole
        done = result.trials.select(result.trials.status == DONE)
        losses = np.column_stack([done.metrics["error"], -done.metrics["speed"]])
        on = [int(index) for row, index in enumerate(done.index) if not dominated(losses, row)]
        assert sorted(result.front.index.tolist()) == on
        assert np.array_equal(done.objective == 0, np.isin(done.index, on))
        assert (np.diff(result.front.metrics["error"]) > 0).all()
        assert (np.diff(result.front.metrics["speed"]) > 0).all()
        assert (result.trials.status == DIVERGED).any()

    def test_the_best_is_a_compromise_on_the_front(self, whole):
        result, _ = whole
        assert result.best.index in result.front.index
        assert result.best.index not in result.front.index[[0, -1]]
        assert result.economical.index == result.best.index
        assert result.best.objective == 0

    def test_an_analysis_for_each_objective(self, whole):
        result, _ = whole
        assert list(result.sensitivities) == ["error", "speed"]
        error, speed = result.sensitivities.values()
        assert (error.question.minimize, speed.question.minimize) == (True, False)
        assert error.significant() == speed.significant() == ["width"]
        assert error.threshold == np.sort(error.trials.metrics["error"])[error.n_met - 1]
        # A wide one is as near to the front as a narrow one.
        assert "width" not in result.sensitivity.significant()

    def test_of_one_objective_there_is_one(self):
        single = minimize(lambda params: params["x"], {"x": Float(0, 1)}, n_trials=8, strategy="random")
        assert single.sensitivities == {"objective": single.sensitivity}

    def test_what_it_says(self, whole):
        result, _ = whole
        assert repr(result).startswith(f"Result(40 trials; {len(result.front)} on the front of error and speed; ")
        assert "compromise error 0." in repr(result)
        assert len(repr(result)) < 300
        assert "<th>error</th><th>speed</th><th>cost</th>" in result._repr_html_()
        assert result._repr_html_().count("<tr>") == 6

    @pytest.mark.parametrize("strategy", [Random(), QUICK, TwoStep(optimizer="random"), Hsic(design_share=0.3)])
    def test_every_strategy_spends_its_trials(self, strategy):
        result = trained(strategy=strategy)
        assert len(result.trials) == 24
        assert FINAL not in result.trials.origin
        assert "economise" not in [part.name for part in result.rounds]

    def test_the_search_beats_chance_all_along_the_front(self):
        """Seeds 1 to 4 gave 107.0 to 108.8 against 100.6 to 105.7, of at most 113.3."""
        found, drawn = trained(n_trials=30, strategy=Hsic(ask_share=0)), trained(n_trials=40, strategy=Random())
        width = found.front.values["width"].astype(float)
        assert width.min() < 0.2
        assert width.max() > 0.8
        assert hypervolume(found.front) > hypervolume(drawn.front)

    def test_many_objectives_that_nobody_is_dominated_in(self):
        names = list("abcdef")

        def evaluate(params):
            return {"objectives": {name: (params["x"] - place / 5) ** 2 for place, name in enumerate(names)}}

        result = minimize(evaluate, {"x": Float(0, 1)}, n_trials=16, strategy=QUICK, objectives=names)
        assert len(result.front) == 16
        assert result.sensitivity.significant() == []
        assert abs(result.best.params["x"] - 0.5) < 0.15

    def test_constraints_and_a_limit_of_the_cost(self):
        def limited(params, seed):
            return train(params, seed) | {"constraints": 0.5 - params["width"]}

        result = trained(evaluate=limited, max_cost=1.8)
        width = result.trials.values["width"].astype(float)
        assert (width[result.trials.status == DONE] >= 0.5).all()
        assert (result.front.cost <= 1.8).all()
        assert result.front.cost.max() > 1.7  # who is too expensive dominates nobody
        assert (width > 0.8).any()


class TestKept:
    @pytest.fixture(autouse=True)
    def _without_figures(self, monkeypatch):
        sketched(monkeypatch)
        monkeypatch.setattr("hsicfast.search.run_report.draw_all", lambda *_, **__: {})

    def test_stopped_and_resumed_it_ends_as_uninterrupted(self, whole, tmp_path):
        for after in (7, 22):
            cut_short(
                train, SPACE, n_trials=40, strategy=QUICK, seed=1, objectives=BOTH, folder=tmp_path,
                watcher=Stopper(after),
            )  # fmt: skip
        resumed = trained(n_trials=40, folder=tmp_path)
        same(resumed, whole[0])
        assert resumed.front.index.tolist() == whole[0].front.index.tolist()

    def test_in_processes_the_same(self, whole):
        same(trained(n_trials=40, executor="processes"), whole[0])

    def test_other_objectives_are_another_run(self, whole):
        turned = dict(reversed(BOTH.items()))  # the study's values have no names, only an order
        for other in ({"error": "minimize", "speed": "minimize"}, ["error", "seen"], turned, None):
            with pytest.raises(InputError, match="a run folder keeps the settings it was started with, but objectives"):
                trained(n_trials=40, folder=whole[1], objectives=other)

    def test_a_forced_run_with_one_objective_leaves_no_front(self, tmp_path):
        trained(n_trials=8, folder=tmp_path, strategy=Random())
        (tmp_path / "front.csv").write_text("as a report leaves it")
        trained(
            n_trials=8, folder=tmp_path, strategy=Random(), resume="force", objectives=None,
            evaluate=lambda params: params["width"],
        )  # fmt: skip
        assert [path.parent.parent.name for path in tmp_path.rglob("front.csv")] == ["replaced"]

    def test_more_trials_take_up_the_earlier_ones(self, tmp_path):
        first = trained(n_trials=8, folder=tmp_path, strategy=Random())
        more = trained(n_trials=12, folder=tmp_path, strategy=Random())
        assert np.array_equal(more.trials.metrics["error"][:8], first.trials.metrics["error"], equal_nan=True)
        assert len(more.trials) == 12

    def test_files(self, whole):
        result, folder = whole
        trial = read_results(folder)[result.best.index]
        assert trial.metrics["error"] == result.best.metrics["error"]
        assert trial.objective == trial.metrics["error"]  # the first of them
        front = pd.read_csv(folder / "front.csv")
        assert front["index"].tolist() == result.front.index.tolist()
        best = json.loads((folder / "best.json").read_text())
        assert best["objectives"] == BOTH
        assert [own["index"] for own in best["front"]] == result.front.index.tolist()
        assert best["metrics"]["speed"] == result.best.metrics["speed"]
        analysed = json.loads((folder / "sensitivity.json").read_text())
        assert list(analysed["objectives"]) == ["error", "speed"]
        assert [check for check in inspect_run(folder) if not check.whole] == []

    @pytest.mark.parametrize("source", ["folder", "study.db", "trials.csv"])
    def test_read_again(self, whole, source):
        result, folder = whole
        reading = read_trials(folder if source == "folder" else folder / source)
        said = "objective" if source == "trials.csv" else "non-domination of error and speed"
        assert reading.objective == said
        assert np.array_equal(np.sort(reading.table.objective), np.sort(result.trials.objective), equal_nan=True)

    def test_a_table_from_its_csv(self, whole):
        result, folder = whole
        table = TrialTable.from_csv(SPACE, folder / "trials.csv")
        assert result.objectives.front(table).index.tolist() == result.front.index.tolist()

    def test_the_study_has_both_directions(self, whole, tmp_path):
        result, folder = whole
        study = study_of(folder)
        assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
        assert study.metric_names == ["error", "speed"]
        numbers = {trial.user_attrs["index"] for trial in study.best_trials}
        assert set(result.front.index.tolist()) <= numbers

    def test_a_study_is_built_again(self, tmp_path):
        trained(n_trials=8, folder=tmp_path, strategy=Random())
        (tmp_path / "study.db").write_text("broken")
        rebuild(tmp_path)
        assert [check for check in inspect_run(tmp_path) if not check.whole] == []
        assert len(study_of(tmp_path).directions) == 2

    def test_known_trials(self, whole, tmp_path):
        result, folder = whole
        told = []

        def evaluate(params, seed):
            told.append(params)
            return train(params, seed)

        for source in (result, folder, result.trials):
            more = trained(n_trials=8, evaluate=evaluate, known=source)
            assert told[0] == result.best.params
            assert len(more.trials) == 8
            told.clear()
        columns = {"width": [0.1] * 4, "unused": [0.1] * 4, "kind": ["deep"] * 4, "depth": [0.2] * 4}
        frame = pd.DataFrame(columns | {"error": range(4)})
        with pytest.raises(InputError, match="known trials must have the objectives error and speed among their"):
            trained(known=Known(frame, objective="error"))

    def test_one_that_its_training_gave_up(self, tmp_path):
        def evaluate(params):
            return {
                "objectives": {"error": params["width"], "speed": 1.0},
                "status": "pruned" if "depth" in params else DONE,
            }

        result = trained(n_trials=12, evaluate=evaluate, strategy=Random(), folder=tmp_path)
        early = result.trials.status == PRUNED
        assert early.any()
        assert np.isnan(result.trials.objective[early]).all()
        assert not np.isin(result.front.index, result.trials.index[early]).any()
        assert [check for check in inspect_run(tmp_path) if not check.whole] == []

    def test_several_seeds_a_trial(self):
        def noisy(params, seed):
            return {"objectives": {"error": seed % 7, "speed": seed % 5}}

        result = trained(n_trials=8, evaluate=noisy, repeats=2, strategy=Random())
        assert set(result.trials.metrics) == {"error", "speed", "error_sd", "speed_sd"}
        assert (result.trials.metrics["error"] % 0.5 == 0).all()


class Together:
    """Trains all configurations of a batch in one call."""

    def __init__(self):
        self.sizes = []

    def __call__(self, params, seed):
        return train(params, seed)

    def groups(self, configurations):
        return [range(len(configurations))]

    def evaluate_many(self, configurations, seeds, reports):
        self.sizes.append(len(configurations))
        return [train(params, seed) for params, seed in zip(configurations, seeds, strict=True)]


@pytest.mark.parametrize("repeats", [1, 2])
def test_trained_together_the_same(repeats):
    def gentle(params):
        return params | {"depth": 0.4} if "depth" in params else params

    class Gentle(Together):
        def __call__(self, params, seed):
            return train(gentle(params), seed)

        def evaluate_many(self, configurations, seeds, reports):
            return super().evaluate_many(list(map(gentle, configurations)), seeds, reports)

    together = Gentle()
    result = trained(evaluate=together, repeats=repeats)
    assert max(together.sizes) > 1
    same(result, trained(evaluate=lambda params, seed: train(gentle(params), seed), repeats=repeats))


class TestCommand:
    TASK = """
name: both
n_trials: 12
cost: memory
objectives: {error: minimize, speed: maximize}
evaluate: {_target_: both.train, _partial_: true}
space:
  _target_: hsicfast.SearchSpace
  _convert_: all
  hyperparameters:
    width: {_target_: hsicfast.Float, low: 0.0, high: 1.0}
    unused: {_target_: hsicfast.Float, low: 0.0, high: 1.0}
"""
    MODULE = """
def train(params):
    width = params["width"]
    waste = 0.3 * params["unused"]
    return {"objectives": {"error": (1 - width) ** 2 + waste, "speed": 1 - width**2 - waste}, "cost": 1 + width}
"""

    @pytest.fixture
    def command(self, tmp_path, monkeypatch, capfd):
        (tmp_path / "conf" / "task").mkdir(parents=True)
        (tmp_path / "conf" / "task" / "both.yaml").write_text(self.TASK)
        (tmp_path / "both.py").write_text(self.MODULE)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

        def call(*arguments):
            given = ["+task=both", "strategy=random", "executor=local", "hydra.run.dir=run", *arguments]
            monkeypatch.setattr("sys.argv", ["hsicfast", "--config-dir", "conf", *given])
            capfd.readouterr()
            try:
                run.main()
            except SystemExit as ended:
                return ended.code, *capfd.readouterr()
            return 0, *capfd.readouterr()

        sketched(monkeypatch)
        yield call
        sys.modules.pop("both", None)

    def test_a_run_and_its_compromise_again(self, command, tmp_path):
        code, out, err = command()
        assert code == 0, err
        front = len(pd.read_csv(tmp_path / "run" / "front.csv"))
        assert f"The front of error and speed: {front} trials" in out
        assert f"{front} on the front" in err
        best = json.loads((tmp_path / "run" / "best.json").read_text())
        once = ", ".join(f"{name}: {value}" for name, value in best["params"].items())
        code, out, err = command(f"params={{{once}}}", "hydra.run.dir=once")
        assert code == 0, err
        assert f"error {number(best['metrics']['error'])}, speed {number(best['metrics']['speed'])}" in out

    def test_refused_in_a_line(self, command):
        code, _, err = command("tolerance=0.1")
        assert (code, err.count("\n")) == (2, 1)
        assert "tolerance= needs a single objective, but the run has error and speed" in err
        code, _, err = command("task.objectives.speed=large")
        assert code == 2
        assert "the direction of an objective must be minimize or maximize, but that of 'speed' is 'large'" in err


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"direction": "maximize"}, "direction= needs a single objective, but the run has error and speed; leave"),
            ({"tolerance": 0.1}, "tolerance= needs a single objective"),
            ({"stop": "enough"}, "stop= needs a single objective"),
            ({"pruner": optuna.pruners.MedianPruner()}, "pruner= needs a single objective"),
            ({"objectives": ["error", "width"]}, "no hyperparameter's nor one of .*, but got 'width'"),
            ({"objectives": ["error", "latency"]}, r"a number for each of \['error', 'latency'\], but got the names"),
            ({"settings": {"objectives": 2}}, "settings= may not say 'objectives', as objectives= does"),
            ({"objectives": None}, "several objectives must be named before the run, but evaluate returned"),
            ({"evaluate": lambda params: 1.0}, "but got objectives=None; return these, or correct objectives="),
            ({"evaluate": lambda params: {"objectives": {"error": "x", "speed": 1}}}, "an objective must be a number"),
            (
                {"evaluate": lambda params: {"objectives": {"error": 1, "speed": 1}, "error": 2}},
                "the name of a hyperparameter or an objective .*, but got 'error'; rename it",
            ),
        ],
    )
    def test_in_one_sentence(self, given, message):
        with pytest.raises(InputError, match=message) as refused:
            trained(**given)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_one_that_is_not_finite_has_diverged(self, bad):
        def evaluate(params):
            return {"objectives": {"error": params["width"], "speed": bad if params["width"] > 0.5 else 1.0}}

        trials = trained(evaluate=evaluate, strategy=Random()).trials
        wide = trials.values["width"].astype(float) > 0.5
        assert (trials.status[wide] == DIVERGED).all()
        assert np.isnan(trials.metrics["speed"][wide]).all()
        assert set(trials.message[wide]) == {f"the objective speed was {bad}"}


class TestShown:
    def test_page(self, whole):
        result, folder = whole
        page = Page((folder / "report.html").read_text())
        text = " ".join(page.text)
        assert f"The front of error and speed: {len(result.front)} trials" in text
        assert "What decides each objective" in text
        assert any(label.startswith("speed against error; ") for label in page.pictures)
        assert "A compromise on the front" in text
        assert "Best so far" not in text

    def test_markup_in_a_name_is_text(self, tmp_path, monkeypatch):
        name = "<script>x"
        sketched(monkeypatch)

        def evaluate(params):
            return {"objectives": {name: params["x"], "b": -params["x"]}}

        result = minimize(evaluate, {"x": Float(0, 1)}, n_trials=8, strategy=Random(), objectives=[name, "b"])
        write_report(tmp_path, result, **NAMES, tests={}, planned=8)
        assert name not in (tmp_path / "report.html").read_text()

    def test_pictures(self, whole):
        result, folder = whole
        assert (folder / "figures" / "front.png").is_file()
        (axes,) = result.plot("front").axes
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("error", "speed")
        with pytest.raises(InputError, match="but got 'front'"):
            replace(result, objectives=None).plot("front")

    def test_terminal(self, whole):
        console = Console(file=io.StringIO(), width=80)
        print_report(whole[0], console, **NAMES, tests={})
        lines = console.file.getvalue().splitlines()
        assert lines[1].startswith(f"The front of error and speed: {len(whole[0].front)} trials")
        assert lines[3].split() == ["trial", "error", "speed", "memory"]
        assert max(map(len, lines)) <= 80
        assert any("a compromise: error 0." in line for line in lines)

    def test_progress_counts_the_front(self, capsys):
        result = trained(progress=True, strategy=Random())
        assert f"24 of 24 trials, {len(result.front)} on the front" in capsys.readouterr().err
