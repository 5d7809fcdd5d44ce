"""A space to YAML and back, and from ConfigSpace's JSON."""

import json

import numpy as np
import pytest
from builders import frame_with_gaps

from hsicfast import Bool, Choice, Float, InputError, Int, SearchSpace
from hsicfast.reading.guess import guess_space
from hsicfast.space.formats import read_space, write_space


class TestYaml:
    def test_there_and_back(self, tmp_path):
        guess = guess_space(frame_with_gaps(200).assign(lr=10.0 ** -np.arange(200), n=range(200)))
        write_space(guess.space, tmp_path / "space.yaml", guess.reasons)
        space = read_space(tmp_path / "space.yaml")
        assert isinstance(space, SearchSpace)
        assert {name: repr(kind) for name, kind in space.items()} == {n: repr(k) for n, k in guess.space.items()}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("- 1\n", "maps names to hyperparameters, but .* holds list"),
            ("a: [\n", "but .* is none"),
            ("a: {type: Flot, low: 0, high: 1}\n", "must be one of .* but 'a' has 'Flot'"),
            ("a: {type: Float, low: 0, hihg: 1}\n", "a Float has the fields of hsicfast.Float, but 'a' "),
            ("a: {type: Float, low: 2, high: 1}\n", "low"),
        ],
    )
    def test_refused(self, tmp_path, text, message):
        (tmp_path / "space.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            read_space(tmp_path / "space.yaml")

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match=r"none.yaml gave: No such file or directory"):
            read_space(tmp_path / "none.yaml")


CONFIGSPACE = {
    "name": None,
    "hyperparameters": [
        {"type": "uniform_float", "name": "rate", "lower": 1e-05, "upper": 0.1, "default_value": 0.001, "log": True},
        {"type": "uniform_int", "name": "layers", "lower": 1, "upper": 4, "default_value": 2, "log": False},
        {"type": "categorical", "name": "opt", "choices": ["sgd", "adam", "lion"], "weights": None},
        {"type": "ordinal", "name": "size", "sequence": ["small", "medium", "large"], "default_value": "small"},
        {"type": "categorical", "name": "nesterov", "choices": [True, False], "weights": [0.5, 0.5]},
        {"type": "uniform_float", "name": "momentum", "lower": 0, "upper": 1, "default_value": 0.5, "log": False},
        {"type": "uniform_float", "name": "beta", "lower": 0, "upper": 1, "log": False, "q": 0.25},
        {"type": "constant", "name": "batch", "value": 64},
        {"type": "categorical", "name": "weighted", "choices": ["a", "b"], "weights": [0.75, 0.25]},
    ],
    "conditions": [
        {"child": "momentum", "parent": "opt", "type": "EQ", "value": "sgd"},
        {"child": "beta", "parent": "opt", "type": "IN", "values": ["adam", "lion"]},
        {
            "child": "nesterov",
            "type": "AND",
            "conditions": [
                {"child": "nesterov", "parent": "opt", "type": "NEQ", "value": "lion"},
                {"child": "nesterov", "parent": "size", "type": "GT", "value": "small"},
                {"child": "nesterov", "parent": "layers", "type": "LT", "value": 3},
                {"child": "nesterov", "parent": "batch", "type": "EQ", "value": 64},
            ],
        },
    ],
    "forbiddens": [],
    "format_version": 0.4,
}


class TestConfigSpace:
    def read(self, folder, **changed):
        (folder / "configspace.json").write_text(json.dumps(CONFIGSPACE | changed))
        return read_space(folder / "configspace.json")

    def test_read(self, tmp_path):
        space = self.read(tmp_path)
        assert {name: repr(kind) for name, kind in space.items()} == {
            "rate": repr(Float(1e-5, 0.1, log=True)),
            "layers": repr(Int(1, 4)),
            "opt": repr(Choice(["sgd", "adam", "lion"])),
            "size": repr(Choice(["small", "medium", "large"])),
            "nesterov": repr(
                Bool(active_if={"opt": ["sgd", "adam"], "size": ["medium", "large"], "layers": [1, 2]}),
            ),
            "momentum": repr(Float(0, 1, active_if={"opt": ["sgd"]})),
            "beta": repr(Float(0, 1, step=0.25, active_if={"opt": ["adam", "lion"]})),
            "weighted": repr(Choice(["a", "b"], law=[0.75, 0.25])),
        }

    def test_one_parent_or_the_same(self, tmp_path):
        parts = [{"child": "beta", "parent": "opt", "type": "EQ", "value": value} for value in ("adam", "lion")]
        space = self.read(tmp_path, conditions=[{"child": "beta", "type": "OR", "conditions": parts}])
        assert space["beta"].conditions == {"opt": ("adam", "lion")}

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (
                {"hyperparameters": [{"type": "normal_float", "name": "x", "mu": 0, "sigma": 1}]},
                "must be one of .*, but 'x' is 'normal_float'; give its range in a YAML file",
            ),
            ({"forbiddens": [{"type": "EQ"}]}, "has no forbidden combinations, but .* has 1; take them out"),
            (
                {"conditions": [{"child": "beta", "parent": "rate", "type": "GT", "value": 0.1}]},
                "the condition of 'beta' says more: it is a GT of 'rate'; give",
            ),
            (
                {
                    "conditions": [
                        {
                            "child": "beta",
                            "type": "OR",
                            "conditions": [
                                {"child": "beta", "parent": "opt", "type": "EQ", "value": "adam"},
                                {"child": "beta", "parent": "size", "type": "EQ", "value": "small"},
                            ],
                        }
                    ]
                },
                "the condition of 'beta' says more: it holds under one parent or another",
            ),
            (
                {"conditions": [{"child": "beta", "parent": "batch", "type": "EQ", "value": 65}]},
                "'beta' says more: the constant 'batch' never fulfils it",
            ),
            ({"hyperparameters": [{"type": "uniform_float"}]}, r"must be as ConfigSpace writes it, but .* \(KeyError"),
            (
                {"conditions": [{"child": "beta", "parent": "gone", "type": "EQ", "value": 1}]},
                r"must be as ConfigSpace writes it, but .* is not \(KeyError: 'gone'\)",
            ),
        ],
    )
    def test_refused(self, tmp_path, changed, message):
        with pytest.raises(InputError, match=message):
            self.read(tmp_path, **changed)


def test_our_own_space_as_json(tmp_path):
    (tmp_path / "space.json").write_text('{"rate": {"type": "Float", "low": 1e-05, "high": 1e-01, "log": true}}')
    assert repr(read_space(tmp_path / "space.json")["rate"]) == repr(Float(1e-5, 0.1, log=True))
