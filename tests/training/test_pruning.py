"""Who is stopped early: by hand, and beside a study of Optuna's that lived through the same trials."""

import math
import pickle

import numpy as np
import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)

from hsicfast.errors import InputError
from hsicfast.training.pruning import CurveReporter, Pruning, check_pruner, pruner_settings, with_curves
from hsicfast.trials.trial import DIVERGED, LOST, PRUNED, Trial

# After step 10 the median of the values is 3, after step 20 it is 2.
KNOWN = tuple(
    Trial(index, {}, last, curve=((10, first), (20, last)))
    for index, (first, last) in enumerate([(1.0, 1.0), (2.0, 0.5), (3.0, 2.0), (4.0, 3.0), (5.0, 4.0)])
)
MEDIAN = Pruning(MedianPruner(), True, KNOWN)


class Broken(BasePruner):
    def prune(self, study, trial):
        raise RuntimeError("some long story\nno idea")


class Seventh(BasePruner):
    def prune(self, study, trial):
        return trial.number == 7


class TestReport:
    def test_median_by_hand(self):
        report = CurveReporter(MEDIAN, 5)
        assert report(10, 2.9)
        assert report(20, 2.0)
        assert (report.curve, report.message) == ([(10, 2.9), (20, 2.0)], "")
        assert not CurveReporter(MEDIAN, 5)(10, 3.1)

    def test_says_where_and_stays_with_it(self):
        report = CurveReporter(MEDIAN, 5)
        assert not report(20, 2.5)
        assert not report(30, 0.0)
        assert report.message == "stopped at step 20 with 2.5 by MedianPruner, which knew 5 curves"
        assert report.curve == [(20, 2.5), (30, 0.0)]

    def test_maximising(self):
        assert CurveReporter(Pruning(MedianPruner(), False, KNOWN), 5)(10, 3.1)
        assert not CurveReporter(Pruning(MedianPruner(), False, KNOWN), 5)(10, 2.9)

    @pytest.mark.parametrize("pruning", [None, Pruning(None), Pruning(None, True, KNOWN), Pruning(MedianPruner())])
    def test_goes_on_where_nobody_or_nothing_says_otherwise(self, pruning):
        report = CurveReporter(pruning, 5)
        assert report(10, 1e9)
        assert report(20, math.inf)
        np.testing.assert_equal(report.curve, [(10, 1e9), (20, math.nan)])

    def test_trials_stopped_early_are_not_among_the_median(self):
        early = tuple(Trial(index, {}, 9.0, status=PRUNED, curve=((10, 9.0),)) for index in range(5, 9))
        assert not CurveReporter(Pruning(MedianPruner(), True, KNOWN + early), 9)(10, 3.1)

    def test_a_trial_has_its_own_number(self):
        # Of 5 and 6 nothing is known; Hyperband deals brackets by the number.
        assert not CurveReporter(Pruning(Seventh(), True, KNOWN), 7)(10, 0.0)

    def test_numbers_of_all_kinds(self):
        report = CurveReporter(None, 0)
        assert report(np.int64(0), np.float32(0.5))
        assert report.curve == [(0, 0.5)]
        assert [type(x) for x in report.curve[0]] == [int, float]

    @pytest.mark.parametrize(
        ("calls", "said"),
        [
            ([(-1, 0.0)], "a reported step must be a whole number above -1, but got -1; count them up"),
            ([(3, 0.0), (3, 0.0)], "a reported step must be a whole number above 3, but got 3; count them up"),
            ([(0.5, 0.0)], r"a reported step must be a whole number above -1, but got 0\.5"),
            ([(0, "low")], "a reported value must be a number, but got 'low'; report a float"),
            ([(0, None)], "a reported value must be a number, but got None"),
        ],
    )
    def test_what_is_no_report(self, calls, said):
        report = CurveReporter(None, 0)
        for call in calls[:-1]:
            report(*call)
        with pytest.raises(InputError, match=said):
            report(*calls[-1])
        assert report.error is not None

    def test_a_pruner_that_raises(self):
        report = CurveReporter(Pruning(Broken()), 0)
        with pytest.raises(InputError, match="a pruner must answer, but Broken raised RuntimeError: no idea; correct"):
            report(0, 1.0)
        assert "Broken" in str(report.error)


def curves(n=24, steps=27):
    random = np.random.default_rng(3)
    ends, starts = random.random(n), 1 + random.random(n)
    return [
        [(step, float(end + start * math.exp(-step / 6))) for step in range(1, steps + 1)]
        for end, start in zip(ends, starts, strict=True)
    ]


def lived_through(pruner):
    """At which step Optuna itself stops each of the curves, one trial after the other."""
    study = optuna.create_study(study_name="hsicfast", pruner=pruner)
    stopped = []
    for curve in curves():
        trial = study.ask()
        for step, value in curve:
            trial.report(value, step)
            if trial.should_prune():
                break
        whole = step == curve[-1][0]
        study.tell(trial, value if whole else None, state=None if whole else optuna.trial.TrialState.PRUNED)
        stopped.append(step)
    return stopped


PRUNERS = [
    (MedianPruner, {"n_startup_trials": 3}),
    (PercentilePruner, {"percentile": 25.0, "n_warmup_steps": 4, "interval_steps": 3}),
    (SuccessiveHalvingPruner, {}),
    (SuccessiveHalvingPruner, {"min_resource": 2, "reduction_factor": 3}),
    (HyperbandPruner, {"min_resource": 1, "max_resource": 27}),
    (HyperbandPruner, {}),
    (PatientPruner, {"wrapped_pruner": SuccessiveHalvingPruner(), "patience": 0}),
    (WilcoxonPruner, {}),
    (ThresholdPruner, {"upper": 2.5}),
    (NopPruner, {}),
]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("kind", "values"), PRUNERS)
def test_decides_as_a_study_that_lived_through_the_trials(kind, values):
    known, stopped, mine = [], [], kind(**values)
    for index, curve in enumerate(curves()):
        # Through pickle, as to a worker: no memory but what is known.
        pruning = pickle.loads(pickle.dumps(Pruning(mine, True, tuple(known))))
        report = CurveReporter(pruning if index % 2 else Pruning(mine, True, tuple(known)), index)
        for step, value in curve:
            if not report(step, value):
                break
        stopped.append(step)
        status = "done" if step == curve[-1][0] else PRUNED
        known.append(Trial(index, {}, value, status=status, curve=tuple(report.curve)))
    assert stopped == lived_through(kind(**values))


def test_the_lived_through_trials_tell_pruners_apart():
    stopped = [lived_through(kind(**values)) for kind, values in PRUNERS[:6]]
    assert len({tuple(steps) for steps in stopped}) >= 5
    assert all(1 <= min(steps) < max(steps) == 27 for steps in stopped)


def test_a_pruner_keeps_nothing_from_one_trial_to_the_next():
    # Successive halving settles its first rung by the longest curve, here at step 1 or at step 20.
    pruner = SuccessiveHalvingPruner(reduction_factor=2)
    long = tuple(Trial(i, {}, 0.0, curve=((1000, float(i)), (2000, float(i)))) for i in range(4))
    fresh = CurveReporter(Pruning(SuccessiveHalvingPruner(reduction_factor=2), True, KNOWN), 5)(10, 4.5)
    CurveReporter(Pruning(pruner, True, long), 5)(1500, 9.0)
    assert CurveReporter(Pruning(pruner, True, KNOWN), 5)(10, 4.5) == fresh
    assert pruner_settings(pruner) == pruner_settings(SuccessiveHalvingPruner(reduction_factor=2))


def test_says_nothing(capfd, recwarn):
    CurveReporter(MEDIAN, 9)(20, 2.5)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []


def test_with_curves():
    stopped = Trial(7, {}, 1.0, status=PRUNED, curve=((1, 1.0),))
    others = [Trial(8, {}, math.nan, status=status, curve=((1, 1.0),)) for status in (DIVERGED, LOST)]
    assert with_curves([KNOWN[0], Trial(6, {}, 1.0), stopped, *others]) == (KNOWN[0], stopped)


class TestCheckPruner:
    @pytest.mark.parametrize(
        ("pruner", "said"),
        [
            ("median", r"must be an optuna\.pruners\.BasePruner, but got 'median'; pass one such as"),
            (MedianPruner, r"must be an optuna\.pruners\.BasePruner, but got <class .*MedianPruner'>"),
            (Broken(), "a pruner must answer, but Broken raised RuntimeError: no idea"),
        ],
    )
    def test_refused(self, pruner, said):
        with pytest.raises(InputError, match=said) as error:
            check_pruner(pruner)
        assert "\n" not in str(error.value)

    def test_one_that_cannot_travel_is_refused(self):
        class Mine(NopPruner):
            pass

        with pytest.raises(InputError, match=r"a pruner must be picklable, but got: .*Mine'?; define it at the top"):
            check_pruner(Mine())

    def test_optunas_own_are_fine(self, recwarn):
        for kind, values in PRUNERS:
            check_pruner(kind(**values))


def test_pruner_settings_with_what_is_inside(recwarn):
    found = pruner_settings(PatientPruner(MedianPruner(n_warmup_steps=3), patience=2))
    assert (found["name"], found["patience"]) == ("PatientPruner", 2)
    assert (found["wrapped_pruner"]["name"], found["wrapped_pruner"]["n_warmup_steps"]) == ("MedianPruner", 3)
