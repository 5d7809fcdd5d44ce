"""The public doors: names and commands that other programs rely on, wherever their code lies."""

import importlib
import inspect
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import optuna
import pytest
import yaml

import hsicfast

ROOT = Path(__file__).resolve().parents[1]
CALLABLE = (
    "goal_hsic",
    "hsic",
    "gram",
    "center",
    "analyse",
    "read_trials",
    "minimize",
    "anova_indices",
)
CLASSES = (
    "Spectrum",
    "HSICResult",
    "SearchSpace",
    "Float",
    "Int",
    "Choice",
    "Bool",
    "Sensitivity",
    "Known",
    "Reading",
    "Trial",
    "TrialTable",
    "Result",
    "AnovaIndices",
    "Threshold",
    "ParquetTrials",
    "InputError",
    "Interrupted",
    "RunError",
    "TwoStep",
    "Hsic",
    "Random",
    "Local",
    "Processes",
    "Ray",
)


@pytest.mark.parametrize("name", CALLABLE)
def test_functions(name):
    assert inspect.isfunction(getattr(hsicfast, name))


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    assert inspect.isclass(getattr(hsicfast, name))


def test_all_is_what_is_promised_and_tab_finds_it():
    assert sorted(hsicfast.__all__) == sorted([*CALLABLE, *CLASSES, "__version__"])
    assert set(hsicfast.__all__) <= set(dir(hsicfast))
    assert not {"Any", "TYPE_CHECKING", "import_module"} & set(dir(hsicfast))


def test_version():
    assert hsicfast.__version__ == version("hsicfast")


def test_no_other_name():
    with pytest.raises(AttributeError, match="module 'hsicfast' has no attribute 'maximise'"):
        hsicfast.maximise  # noqa: B018 -- asking is the test


def test_types_ship():
    assert files("hsicfast").joinpath("py.typed").is_file()


def test_optuna_evaluator():
    from hsicfast.optuna import HSICImportanceEvaluator

    assert issubclass(HSICImportanceEvaluator, optuna.importance.BaseImportanceEvaluator)


@pytest.mark.parametrize("command", ["run", "analyze", "analyse", "store"])
def test_commands(command):
    arguments = [sys.executable, "-m", f"hsicfast.{command}", "--help"]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_both_spellings_whatever_was_imported_before():
    program = (
        "import hsicfast, inspect\n"
        "assert callable(hsicfast.analyze)\n"
        "from hsicfast.analyze import main\n"
        "import hsicfast.analyze as command\n"
        "assert command is hsicfast.analyze and callable(main)\n"
        "assert inspect.signature(hsicfast.analyze) == inspect.signature(hsicfast.analyse)\n"
        "space = {'x': hsicfast.Float(0, 1)}\n"
        "values = [i / 40 for i in range(40)]\n"
        "table = hsicfast.TrialTable.from_arrays(hsicfast.SearchSpace(space), {'x': values}, values)\n"
        "found = hsicfast.analyze(table.space, table)\n"
        "assert found.to_frame().equals(hsicfast.analyse(table.space, table).to_frame())\n"
        "from hsicfast.analyse import main as same\n"
        "import hsicfast.analyse\n"
        "assert same is main\n"
        "assert found.to_frame().equals(hsicfast.analyse(table.space, table).to_frame())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_faces_take_two_by_position():
    # goal_hsic(u, y), hsic(x, y), analyse(space, trials), minimize(evaluate, space): the rest is named.
    for name in ("goal_hsic", "hsic", "analyse", "minimize"):
        kinds = [p.kind for p in inspect.signature(getattr(hsicfast, name)).parameters.values()]
        assert kinds[:2] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2
        assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}


def test_configuration_names_doors_alone():
    def targets(entry):
        if isinstance(entry, dict):
            for key, value in entry.items():
                yield from [value] if key == "_target_" else targets(value)
        elif isinstance(entry, list):
            for value in entry:
                yield from targets(value)

    named = {name for path in (ROOT / "conf").rglob("*.yaml") for name in targets(yaml.safe_load(path.read_text()))}
    ours = {name for name in named if name.startswith("hsicfast.")}
    assert ours - {"hsicfast.run.CheckFirst"} <= {f"hsicfast.{name}" for name in hsicfast.__all__}
    for name in sorted(named):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
