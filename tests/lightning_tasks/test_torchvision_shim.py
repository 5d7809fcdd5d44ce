"""The two torchvision operators: declared where the compiled ones are missing, and only there."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import torch

import lightning_tasks


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_torchvision_and_lightning_import_after_the_package() -> None:
    assert import_module("torchvision.datasets").MNIST.__name__ == "MNIST"
    assert import_module("pytorch_lightning").Trainer.__name__ == "Trainer"


def test_the_operators_exist_and_are_not_declared_twice() -> None:
    assert hasattr(torch.ops.torchvision, "nms")
    assert not lightning_tasks.declare_torchvision_operators()


def test_nothing_is_declared_where_the_compiled_operators_load() -> None:
    # the stand-in for a library that loads declares what the real one declares
    code = """
import torch
from importlib.machinery import ModuleSpec, PathFinder
kept = torch.library.Library("torchvision", "DEF")
PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, target=None, real=PathFinder.find_spec:
    ModuleSpec("_C", None, origin="compiled.so") if name == "_C" else real(name, path, target)
)
loaded = []
torch.ops.load_library = loaded.append
import lightning_tasks
print(loaded, lightning_tasks._declared)
"""
    assert run(code) == "['compiled.so'] []"


def test_nothing_is_declared_without_torchvision(monkeypatch) -> None:
    monkeypatch.setattr(lightning_tasks, "find_spec", lambda name: None)
    assert not lightning_tasks.declare_torchvision_operators()
