"""The front hall stays light. That imports run one way is import-linter's: the layers stand in pyproject.toml."""

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


def test_import_hsicfast_brings_nothing_heavy():
    code = f"import sys, hsicfast; print(*sorted({HEAVY!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == ""
