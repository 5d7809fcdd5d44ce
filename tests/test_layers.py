"""The rooms of the house: imports run one way, and the front hall stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "torch",
    "torchvision",
    "pytorch_lightning",
    "optuna",
    "hydra",
    "pandas",
    "matplotlib",
    "plotly",
    "jinja2",
    "rich",
    "pebble",
    "ray",
}


def rooms():
    """Modules of hsicfast in the order of the list in CONTRIBUTING.md, top first."""
    block = re.search(r"```rooms\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL).group(1)
    return [line.split(".py")[0].strip() for line in block.splitlines() if ".py" in line]


def imported(path):
    """Names of the modules a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_list_is_the_folder():
    assert sorted(rooms()) == sorted(path.stem for path in (ROOT / "hsicfast").glob("*.py"))


def test_a_room_imports_only_from_rooms_above_it():
    order = rooms()
    wrong = []
    for place, room in enumerate(order):
        if room == "__init__":
            continue
        for module in imported(ROOT / "hsicfast" / f"{room}.py"):
            parts = module.split(".")
            if parts[0] == "hsicfast" and len(parts) > 1 and parts[1] in order and order.index(parts[1]) >= place:
                wrong.append(f"{room} imports {parts[1]}")
    assert not wrong


def test_the_two_packages_do_not_know_each_other():
    for package, other in (("hsicfast", "lightning_tasks"), ("lightning_tasks", "hsicfast")):
        for path in (ROOT / package).rglob("*.py"):
            assert not [module for module in imported(path) if module.split(".")[0] == other], path


def test_import_hsicfast_brings_nothing_heavy():
    code = f"import sys, hsicfast; print(*sorted({HEAVY!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == ""
