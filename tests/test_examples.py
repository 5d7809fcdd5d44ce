"""The examples run, and find what they say they find."""

import runpy
from pathlib import Path

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


def found(name):
    return runpy.run_path(str(next(path for path in EXAMPLES if path.stem == name)))["main"]()


def test_each_has_a_test_here():
    assert [path.stem for path in EXAMPLES] == [
        "conditional_space", "exclusive_or", "noise_only", "optuna_study", "own_csv",
    ]  # fmt: skip


def test_own_csv(capsys):
    assert found("own_csv").significant() == ["lr"]
    assert "evenly in their logarithms" in capsys.readouterr().out


def test_optuna_study():
    importances = found("optuna_study")
    assert next(iter(importances)) == "lr"
    assert importances["lr"] > 0.5


def test_conditional_space():
    sensitivity = found("conditional_space")
    assert set(sensitivity.significant()) == {"lr", "optimizer", "momentum"}
    assert sensitivity["momentum"].group == "optimizer=sgd"


def test_noise_only(capsys):
    assert found("noise_only").significant() == []
    assert "no evidence either way with 200 trials" in " ".join(capsys.readouterr().out.split())


def test_exclusive_or():
    sensitivity = found("exclusive_or")
    assert sensitivity.significant() == []
    pairs = sensitivity.pairs.set_index(["first", "second"])
    assert pairs["pvalue_pure"].idxmin() == ("a", "b")
    assert pairs.loc[("a", "b"), "pvalue_pure"] < 0.01
