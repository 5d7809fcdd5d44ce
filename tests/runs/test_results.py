"""A result file: back as it went, strict JSON, and named where it is broken."""

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from builders import BAD, GOOD

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, read_results, result_path, write_result


class TestResultFiles:
    def test_comes_back_as_it_went(self, folder):
        path = write_result(folder, GOOD)
        assert path == result_path(folder, 12) == folder / "results" / "000012.json"
        assert read_result(path) == GOOD
        assert [p.name for p in path.parent.iterdir()] == ["000012.json"]

    def test_the_curve_of_a_trial(self, folder):
        trial = replace(GOOD, curve=((0, 1.5), (7, math.nan), (9, 1 / 3)))
        path = write_result(folder, trial)
        assert json.loads(path.read_text(), parse_constant=pytest.fail)["curve"] == [[0, 1.5], [7, None], [9, 1 / 3]]
        np.testing.assert_equal(read_result(path).curve, trial.curve)

    def test_a_result_of_before_there_were_curves(self, folder):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text())
        del content["curve"], content["sha256"]
        path.write_text(json.dumps(content))
        assert read_result(path) == GOOD

    @pytest.mark.parametrize("curve", [5, [[1]], [[1, "low"]], None])
    def test_a_curve_that_is_none(self, folder, curve):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text()) | {"curve": curve}
        del content["sha256"]
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"000012\.json does not.*; .* sets it aside, and its trial runs again"):
            read_result(path)

    def test_json_is_strict(self, folder):
        trial = replace(BAD, metrics={"test": math.nan, "worst": math.inf, "n": np.int64(3), "x": np.float32(0.5)})
        content = json.loads(write_result(folder, trial).read_text(), parse_constant=pytest.fail)
        assert content["objective"] is None
        assert content["metrics"] == {"test": None, "worst": None, "n": 3, "x": 0.5}
        assert math.isnan(read_result(result_path(folder, 3)).metrics["test"])

    def test_all_by_index(self, folder):
        write_result(folder, GOOD)
        write_result(folder, BAD)
        (folder / "results" / ".000009.json.77.ab.part").write_text("{")
        assert sorted(read_results(folder)) == [3, 12]

    @pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"index": 12}', "\x00" * 40, "cut", "other", "status"])
    def test_broken_file_is_named_with_the_way_out(self, folder, damage):
        path = write_result(folder, GOOD)
        content = json.loads(path.read_text())
        del content["sha256"]
        whole = json.dumps(content)
        damaged = {
            "cut": whole[: len(whole) // 2],
            "other": whole.replace('"index": 12', '"index": 13'),
            "status": whole.replace('"done"', '"fine"'),
        }
        path.write_text(damaged.get(damage, damage))
        with pytest.raises(
            InputError, match=r"000012\.json does not.*; .* sets it aside, and its trial runs again"
        ) as error:
            read_results(folder)
        assert "\n" not in str(error.value)

    def test_failed_write_keeps_what_was_there(self, folder, monkeypatch):
        write_result(folder, GOOD)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(InputError, match=r"must be writable, but .*000012\.json gave: No space left on device"):
            write_result(folder, replace(GOOD, objective=9.0))
        assert read_results(folder) == {12: GOOD}
        assert len(os.listdir(folder / "results")) == 1
