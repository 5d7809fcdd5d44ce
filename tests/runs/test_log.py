"""What happened when, a line an event."""

import json
import math

import pytest
from builders import FLAT

from hsicfast.errors import InputError
from hsicfast.runs.log import Log
from hsicfast.search.orchestrator import minimize
from hsicfast.trials.trial import DIVERGED, Trial

BAD = Trial(2, {"x": 0.5}, math.nan, status=DIVERGED, message="no", failure="exception", trace="line 1\nline 2")


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_of_a_run_and_of_its_going_on(tmp_path):
    run = lambda n: minimize(lambda params: params["x"], FLAT, n_trials=n, strategy="random", folder=tmp_path)  # noqa: E731
    run(6)
    run(8)
    told = [(line["event"], line.get("index")) for line in lines(tmp_path)]
    assert told == [
        ("start", None), ("round", None), *(("trial", i) for i in range(6)), ("end", None),
        ("start", None), ("round", None), ("trial", 6), ("trial", 7), ("end", None),
    ]  # fmt: skip
    trial = lines(tmp_path)[2]
    assert (trial["status"], trial["objective"], trial["cost"]) == ("done", trial["params"]["x"], None)


def test_of_a_setting_that_changed_without_another_trial(tmp_path):
    def train(params):
        return params["x"]

    def run(how):
        more = {"folder": tmp_path, "settings": {"task": {"how": how}}}
        return minimize(train, FLAT, n_trials=6, strategy="random", **more)

    train.alike = {"how": ("fast", "slow")}

    first, again = run("fast"), run("slow")
    assert again.trials.to_frame().equals(first.trials.to_frame())
    told = [line["text"] for line in lines(tmp_path) if line["event"] == "learnt"]
    assert told == ['task.how was "fast" and is "slow" now, which trains the same trials']
    with pytest.raises(InputError, match=r'but task\.how was "fast" and is "other" now in .*; set back what changed'):
        run("other")
    train.alike = True
    with pytest.raises(InputError, match=r"`alike` of evaluate must be a dict .*, but got True; rename it"):
        run("slow")


def test_of_a_failure_with_its_last_lines(tmp_path):
    Log(tmp_path).on_trial(BAD, stored=False)
    (line,) = lines(tmp_path)
    assert (line["failure"], line["message"], line["trace"]) == ("exception", "no", "line 1\nline 2")


def test_what_ended_a_run(tmp_path):
    with pytest.raises(InputError, match="first 4 trials all ended"):
        minimize(lambda params: 1 / 0, FLAT, n_trials=4, strategy="random", folder=tmp_path)
    assert "ZeroDivisionError" in lines(tmp_path)[-1]["problem"]


def test_a_torn_line_stays_alone(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"event": "tri')
    Log(tmp_path).on_stop()
    torn, whole, *rest = (tmp_path / "log.jsonl").read_text().split("\n")
    assert (torn, json.loads(whole)["event"], rest) == ('{"event": "tri', "stop", [""])


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(
        InputError, match=r"the log must be writable, but .*log\.jsonl gave: .*; make room and run again"
    ):
        Log(tmp_path).on_stop()


class TestATrainingThatCannotWork:
    def test_is_told_after_ten_trials_and_trained_again_once_it_is_corrected(self, tmp_path):
        tried = []

        def broken(params):
            tried.append(params)
            raise FileNotFoundError(f"no data in folder {len(tried)}")

        said = (
            r"first 10 trials all ended with 'FileNotFoundError: no data in folder 1'; correct the training, and the "
        )
        with pytest.raises(InputError, match=said):
            minimize(broken, FLAT, n_trials=20, strategy="random", folder=tmp_path)
        assert len(tried) == 10
        assert len(list(tmp_path.glob("replaced/1/results/*.json"))) == 10
        result = minimize(lambda params: params["x"], FLAT, n_trials=20, strategy="random", folder=tmp_path)
        assert set(result.trials.status) == {"done"}

    def test_one_that_works_somewhere_goes_on(self):
        def sometimes(params):
            if params["x"] < 0.6:
                raise ValueError("too small")
            return params["x"]

        result = minimize(sometimes, FLAT, n_trials=60, strategy="random", seed=1)
        assert (result.trials.status == DIVERGED).sum() > 20

    def test_different_exceptions_are_no_one_mistake(self):
        kinds = iter([ValueError, TypeError] * 10)

        def broken(params):
            raise next(kinds)("no")

        with pytest.raises(InputError, match="all 12 diverged"):
            minimize(broken, FLAT, n_trials=12, strategy="random")
