"""One trial in whatever process: what an outcome makes of it."""

import math

import numpy as np
import pytest
from deeds import MachineFailed, descend, jobs, obey, planned

from hsicfast.errors import InputError
from hsicfast.runs.results import read_results
from hsicfast.training.executors import Local
from hsicfast.training.worker import Job, NoResult, accepts_report, accepts_seed, run_trial
from hsicfast.trials.trial import (
    DESIGN,
    DIVERGED,
    DONE,
    INFEASIBLE,
    NOT_FINITE,
    PRUNED,
    SEARCH,
)


def finished(outcome, params=None):
    return run_trial(lambda _: outcome, False, Job(5, params or {"x": 1}, 9, SEARCH), None)


class TestRunTrial:
    @pytest.mark.parametrize("outcome", [2, 2.0, np.float32(2), np.array(2.0), {"objective": 2}])
    def test_numbers(self, outcome):
        trial = finished(outcome)
        assert (trial.objective, trial.status, trial.origin) == (2.0, DONE, SEARCH)
        assert isinstance(trial.objective, float)
        assert math.isnan(trial.cost)

    @pytest.mark.parametrize(
        ("outcome", "cost"),
        [
            (1.0, 7.0),
            ({"objective": 1.0, "cost": math.nan}, 7.0),
            ({"objective": 1.0, "cost": 3.0}, 3.0),
            (math.nan, 7.0),
        ],
    )
    def test_the_price_is_the_cost_where_none_is_told(self, outcome, cost):
        assert run_trial(lambda _: outcome, False, Job(5, {"x": 1}, 9, SEARCH, price=7.0), None).cost == cost

    def test_what_raises_has_its_price(self):
        assert run_trial(lambda _: 1 / 0, False, Job(5, {"x": 1}, 9, SEARCH, price=7.0), None).cost == 7.0

    @pytest.mark.parametrize("outcome", [math.nan, math.inf, -math.inf, {"objective": math.inf, "cost": 3}])
    def test_not_finite_is_diverged(self, outcome):
        trial = finished(outcome)
        assert trial.status == DIVERGED
        assert math.isnan(trial.objective)
        assert trial.message.startswith("the objective was ")

    def test_diverged_by_its_own_word(self):
        trial = finished({"objective": 1.0, "status": "diverged", "message": "exploded"})
        assert (trial.status, trial.message) == (DIVERGED, "exploded")
        assert math.isnan(trial.objective)

    @pytest.mark.parametrize(
        ("outcome", "said"),
        [
            (None, "an objective must be a number, but got None"),
            ("x", "an objective must be a number, but got 'x'"),
            (True, "an objective must be a number, but got True"),
            ([1.0], r"an objective must be a number, but got \[1.0\]"),
            ({"cost": 1}, r"a dict with `objective`, but got the keys \['cost'\]; add it"),
            ({"objective": 1, "cost": -1}, "`cost >= 0` must hold, but got cost=-1.0"),
            ({"objective": 1, "cost": "much"}, "a cost must be a number, but got 'much'"),
            ({"objective": 1, "status": "ok"}, "a status must be 'done', 'diverged' or 'pruned', but got 'ok'"),
            ({"objective": 1, "curve": [1, 2]}, r"the metric 'curve' must be a number, but got \[1, 2\]"),
            ({"objective": 1, "x": 1}, "may not have the name of a hyperparameter .* but got 'x'; rename it"),
            (
                {"objective": 1, "constraints": "no"},
                r"a constraint must be a number, but got 'no'; return .* \(at",
            ),
            ({"objective": 1, "constraints": [0.1, None]}, "a constraint must be a number, but got None; return a"),
            ({"objective": 1, "constraints": True}, "a constraint must be a number, but got True; return a float"),
            ({"objective": 1, "constraints": {"memory": 1}}, r"a constraint must be a number, but got {'memory': 1};"),
            ({"objective": 1, "constraints": np.ones((1, 2))}, r"a constraint must be a number, but got \[1.0, 1.0\];"),
            ({"objective": 1, "seed": 1}, "may not have the name of a hyperparameter .* but got 'seed'; rename it"),
        ],
    )
    def test_no_result(self, outcome, said):
        with pytest.raises(InputError, match=said):
            finished(outcome)

    @pytest.mark.parametrize(
        ("returned", "status", "objective", "message"),
        [
            (3.0, PRUNED, 3.0, "stopped at step 0 with 9 by MedianPruner, which knew 5 curves"),
            ({"objective": 3.0, "message": "enough"}, PRUNED, 3.0, "enough"),
            ({"objective": 3.0, "status": "done"}, DONE, 3.0, ""),  # it trained to its end all the same
            ({"objective": math.nan, "status": "pruned", "message": "x"}, PRUNED, math.nan, "x"),
            (math.nan, DIVERGED, math.nan, "the objective was nan"),
            ({"objective": 1.0, "status": "diverged"}, DIVERGED, math.nan, ""),
        ],
    )
    def test_told_to_stop(self, returned, status, objective, message):
        def evaluate(params, report):
            assert not report(0, 9.0)
            return returned

        trial = run_trial(evaluate, False, planned([])[0], None)
        np.testing.assert_equal((trial.status, trial.objective, trial.message), (status, objective, message))

    @pytest.mark.parametrize(
        ("constraints", "most"),
        [
            *((1, 1.0), ([-1, 0.3], 0.3), (np.array([0.3, 0.1]), 0.3), (np.float32(2), 2.0), ((1e-9,), 1e-9)),
            *((math.nan, math.inf), ([-1.0, math.nan], math.inf), (math.inf, math.inf)),
        ],
    )
    def test_infeasible(self, constraints, most):
        trial = finished({"objective": 5, "constraints": constraints, "cost": 2, "note": "x"})
        assert (trial.status, trial.failure, trial.cost) == (DIVERGED, INFEASIBLE, 2.0)
        assert trial.message == "a constraint is above 0"
        assert math.isnan(trial.objective)
        assert trial.metrics == {"note": "x", "infeasible_objective": 5.0, "largest_constraint": most}

    @pytest.mark.parametrize(("constraints", "most"), [(0, 0.0), ([-1, -0.5], -0.5), (-math.inf, -math.inf)])
    def test_feasible(self, constraints, most):
        trial = finished({"objective": 5, "constraints": constraints})
        assert (trial.status, trial.failure, trial.objective) == (DONE, "", 5.0)
        assert trial.metrics == {"largest_constraint": most}

    def test_no_constraints(self):
        # As text: from Python 3.13 on no two dataclasses with a NaN, such as an unknown cost, are equal.
        assert repr(finished({"objective": 5, "constraints": []})) == repr(finished(5))

    @pytest.mark.parametrize(
        ("outcome", "failure"),
        [
            ({"objective": math.nan, "constraints": 1}, NOT_FINITE),
            ({"objective": 1.0, "status": "diverged", "constraints": 1}, NOT_FINITE),
            ({"objective": 1.0, "status": "pruned", "constraints": 1}, INFEASIBLE),
            ({"objective": 1.0, "message": "too large", "constraints": 1}, INFEASIBLE),
        ],
    )
    def test_another_end_and_a_constraint(self, outcome, failure):
        trial = finished(outcome)
        assert (trial.status, trial.failure) == (DIVERGED, failure)
        assert trial.message == outcome.get("message", trial.message)
        assert trial.metrics["largest_constraint"] == 1.0

    def test_stopped_by_its_own_word(self):
        trial = finished({"objective": 1.0, "status": "pruned", "message": "no hope"})
        assert (trial.status, trial.objective, trial.message) == (PRUNED, 1.0, "no hope")

    def test_raising_once_told_to_stop_is_diverged(self):
        def evaluate(params, report):
            report(0, 9.0)
            raise RuntimeError("no")

        trial = run_trial(evaluate, False, planned([])[0], None)
        assert (trial.status, trial.message, trial.curve) == (DIVERGED, "RuntimeError: no", ((0, 9.0),))

    def test_an_error_of_a_report_that_was_swallowed(self):
        def evaluate(params, report):
            try:
                report("first", 1.0)
            except InputError:
                return 1.0

        with pytest.raises(InputError, match="a reported step must be a whole number above -1, but got 'first'"):
            run_trial(evaluate, False, planned([])[0], None)

    def test_metrics(self):
        trial = finished(
            {"objective": 1, "n": np.int64(3), "ok": True, "note": "x", "none": None, "f": np.float32(0.5)}
        )
        assert trial.metrics.pop("none") != 0
        assert trial.metrics == {"n": 3, "ok": 1, "note": "x", "f": 0.5}
        assert isinstance(trial.metrics["n"], int)
        assert finished({"objective": 1, "objectives": 3}).metrics == {"objectives": 3}  # a number of them, say

    def test_exception_without_words(self):
        def evaluate(params):
            params.clear()
            raise MemoryError

        trial = run_trial(evaluate, False, Job(0, {"x": 1}, 0, DESIGN), None)
        assert (trial.status, trial.message, trial.params) == (DIVERGED, "MemoryError", {"x": 1})

    def test_a_failure_of_the_machine_is_no_trial(self, folder):
        def evaluate(params):
            raise MachineFailed("gone", None)

        with pytest.raises(MachineFailed):
            run_trial(evaluate, False, jobs("a")[0], folder)
        assert read_results(folder) == {}

    def test_texts_are_capped_and_cleaned(self):
        """Issue 22, points 2 and 9: one text of 2 MB cost 2.9 GB, and half a character broke the files."""

        def evaluate(params):
            if params["x"]:
                raise ValueError("z" * 2_000_000 + "\x1b[31m\udc80")
            return {"objective": 1.0, "note": "a\rb" + "z" * 2_000_000, "n" * 9999: 1}

        trials = [run_trial(evaluate, False, Job(x, {"x": x}, 0, DESIGN), None) for x in (0, 1)]
        assert trials[0].metrics["note"].startswith("a\nbzz")
        assert trials[1].message.endswith("\\x1b[31m\\udc80")
        texts = [*trials[0].metrics, trials[0].metrics["note"], trials[1].message, trials[1].trace]
        assert max(map(len, texts)) < 10_100

    def test_an_error_that_cannot_say_itself(self):
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError

        def evaluate(params):
            raise Mute

        trial = run_trial(evaluate, False, Job(0, {"x": 1}, 0, DESIGN), None)
        assert (trial.status, trial.message) == (DIVERGED, "Mute")

    @pytest.mark.parametrize(
        "outcome", [10**400, {"objective": 1.0, "m": 10**400}, {"objective": 1.0, "cost": 10**400}]
    )
    def test_a_number_that_no_table_holds_is_refused_before_it_is_written(self, folder, outcome):
        """Issue 22, point 4."""
        with pytest.raises(
            NoResult, match=r"must be a number within 1.8e308, but got a larger one; return its logarithm"
        ):
            run_trial(lambda params: outcome, False, jobs("a")[0], folder)
        assert read_results(folder) == {}

    @pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_process_is_no_trial(self, ending):
        def evaluate(params):
            raise ending

        with pytest.raises(ending):
            list(Local().run(evaluate, jobs("a")))


def test_accepts_seed():
    class Trainee:
        def __call__(self, params, seed):
            return 0.0

    assert accepts_seed(Trainee())
    assert accepts_seed(lambda params, **rest: 0)
    assert not accepts_seed(lambda params: 0)
    assert not accepts_seed(max)


def test_accepts_report():
    assert accepts_report(descend)
    assert accepts_report(lambda params, **rest: 0)
    assert not accepts_report(obey)
