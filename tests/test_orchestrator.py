"""The whole method on functions that take no time."""

import math
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner, ThresholdPruner

from hsicfast import orchestrator
from hsicfast.errors import InputError
from hsicfast.executors import Local, Processes
from hsicfast.orchestrator import Hsic, Interrupted, Random, TwoStep, Watcher, minimize
from hsicfast.samplers import design, trial_seed
from hsicfast.space import Bool, Choice, Float, SearchSpace
from hsicfast.store import read_results

SPACE = SearchSpace(
    {
        "optimizer": Choice(["adam", "sgd"]),
        "rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.9, active_if={"optimizer": "sgd"}),
        "size": Float(0.0, 1.0),
        "unused": Bool(),
    }
)
QUICK = TwoStep(design_share=0.5, optimizer="tpe")
RANDOMLY = TwoStep(design_share=0.5, optimizer="random")


def train(params, seed):
    """Best at rate 0.01, diverges above 0.5; what it costs depends on the size alone."""
    if params["rate"] > 0.5:
        raise FloatingPointError("loss is nan")
    loss = (math.log10(params["rate"]) + 2) ** 2 + 0.01 * params.get("momentum", 0.0) + 1e-6 * (seed % 1000)
    return {"objective": loss, "cost": 1 + params["size"], "seen": seed}


def descend(params, seed, report):
    """As `train`, in ten steps to its loss."""
    ended = train(params, seed)
    for step in range(1, 11):
        loss = ended["objective"] + (10 - step) * 0.3
        if not report(step, loss):
            return {**ended, "objective": loss}
    return ended


def diverge(params):
    raise FloatingPointError("loss is nan" if params["size"] > 0.2 else "out of memory")


def same(one, other):
    """Two runs tell the same story."""
    assert one.trials.to_frame().equals(other.trials.to_frame())
    assert one.sensitivity.to_frame().equals(other.sensitivity.to_frame())
    assert (one.reduction, one.rounds, one.goal) == (other.reduction, other.rounds, other.goal)
    assert one.best.index == other.best.index


class Stopper(Watcher):
    """Send a signal once so many trials have ended in this run."""

    def __init__(self, after, number=signal.SIGINT, times=1):
        self.after, self.number, self.times = after, number, times
        self.fresh = self.stored = self.stops = 0

    def on_trial(self, trial, stored):
        self.stored += stored
        self.fresh += not stored
        if not stored and self.fresh == self.after:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_stop(self):
        self.stops += 1


@pytest.fixture(scope="module")
def whole():
    return minimize(train, SPACE, 40, QUICK, seed=1)


@pytest.fixture(scope="module")
def economised():
    return minimize(train, SPACE, 40, Hsic(), seed=0, tolerance=0.05)


class TestHsic:
    def test_reads_as_the_method(self, economised):
        assert [(r.name, r.first, r.last) for r in economised.rounds] == [
            ("design", 0, 14),
            ("search 1", 14, 24),
            ("search 2", 24, 34),
            ("economise", 34, 40),
        ]
        assert economised.rounds[2].note.startswith("optimizer ")
        assert set(economised.trials.origin[14:]) == {"search"}
        assert economised.best.objective < 0.05

    def test_both_branches_have_equal_turns_and_then_one_of_them_all(self, economised):
        first, second = (
            [trial.params["optimizer"] for trial in economised.trials][a:b] for a, b in ((14, 24), (24, 34))
        )
        assert first.count("adam") == first.count("sgd") == 5
        assert len(set(second)) == 1

    def test_the_economical_trial_is_as_good_and_cheap(self, economised):
        assert economised.economical.objective <= economised.best.objective + 0.05
        assert economised.economical.cost <= economised.best.cost
        assert economised.economical.cost < 1.2  # of 1 to 2
        assert economised.economical.index >= 14

    def test_without_costs_there_is_nothing_to_economise(self):
        rounds = minimize(lambda p: p["size"], SPACE, 20, Hsic(), seed=0).rounds
        assert [r.name for r in rounds] == ["design", "search 1", "search 2"]
        assert rounds[-1].last == 20

    def test_without_branches_there_is_one_round(self):
        space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
        found = minimize(lambda p: p["x"] ** 2 + p["y"] ** 2, space, 30, "hsic", seed=0)
        assert [r.name for r in found.rounds] == ["design", "search 1"]
        assert found.best.objective < 0.01

    def test_goes_on_where_it_stopped(self, economised, tmp_path):
        stopper = Stopper(after=27)
        part = minimize(train, SPACE, 40, Hsic(), seed=0, tolerance=0.05, folder=tmp_path, watcher=stopper)
        assert part.interrupted
        same(minimize(train, SPACE, 40, Hsic(), seed=0, tolerance=0.05, folder=tmp_path), economised)


class TestTwoStep:
    def test_reads_as_the_method(self, whole):
        assert [(r.number, r.name, r.first, r.last) for r in whole.rounds] == [
            (1, "design", 0, 20),
            (2, "optimise", 20, 40),
        ]
        assert whole.trials.index.tolist() == list(range(40))
        assert whole.trials.origin.tolist() == ["design"] * 20 + ["search"] * 20
        drawn = design(SPACE, 20, seed=1)
        assert [trial.params for trial in whole.trials][:20] == drawn
        assert [trial.seed for trial in whole.trials] == [trial_seed(1, i) for i in range(40)]
        assert whole.trials.metrics["seen"].tolist()[-1] == trial_seed(1, 39)

    def test_analyses_the_design_alone(self, whole):
        assert len(whole.sensitivity.trials) == 20
        assert set(whole.sensitivity.trials.origin) == {"design"}

    def test_searches_what_matters_and_fixes_the_rest(self):
        result = minimize(train, SPACE, 120, TwoStep(optimizer="tpe"), seed=0)
        assert "rate" in result.reduction.space
        assert result.reduction.fixed
        searched = result.trials.select(result.trials.origin == "search")
        assert np.nanmedian(searched.objective) < np.nanmedian(result.trials.design.objective) / 5
        for trial in searched:
            for name, value in result.reduction.fixed.items():
                assert trial.params.get(name, value) == value

    def test_best_is_the_best_of_both_rounds(self, whole):
        assert whole.best.objective == np.nanmin(whole.trials.objective)

    def test_with_a_gaussian_process(self):
        result = minimize(train, SPACE, 24, TwoStep(), seed=1)
        assert result.rounds[1].note.startswith("proposed by a Gaussian process in the ")
        assert result.best.objective < 0.05

    @pytest.mark.parametrize(("share", "n", "drawn"), [(0.5, 8, 4), (0.1, 20, 4), (0.9, 8, 7), (0.25, 40, 10)])
    def test_share_of_the_design(self, share, n, drawn):
        result = minimize(lambda p: p["rate"], SPACE, n, TwoStep(share, optimizer="random"))
        assert result.rounds[0].last == drawn
        assert len(result.trials) == n

    def test_batches_do_not_wait_for_more_than_themselves(self, monkeypatch):
        asked = []

        def recorded(*args, **named):
            asked.append((named["index"], named["count"], len(args[2])))
            return real(*args, **named)

        real = orchestrator.propose
        monkeypatch.setattr(orchestrator, "propose", recorded)
        minimize(train, SPACE, 18, TwoStep(0.5, optimizer="random", batch=4))
        assert asked == [(9, 4, 9), (13, 4, 13), (17, 1, 17)]


class TestSameSeedSameRun:
    def test_twice(self, whole):
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1))

    def test_another_seed(self, whole):
        assert not whole.trials.to_frame().equals(minimize(train, SPACE, 40, QUICK, seed=2).trials.to_frame())

    def test_in_processes(self, whole):
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1, executor=Processes(workers=2)))

    def test_in_a_folder(self, whole, tmp_path):
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path))
        assert len(read_results(tmp_path)) == 40

    def test_sobol(self):
        result = minimize(train, SPACE, 8, Random("sobol"), seed=4)
        assert [trial.params for trial in result.trials] == design(SPACE, 8, 4, "sobol")


def curves(result):
    return [trial.curve for trial in result.trials]


@pytest.fixture(scope="module")
def pruned():
    return minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=MedianPruner())


class TestPruner:
    def test_stops_trials_of_the_search_alone(self, pruned):
        early = pruned.trials.select(pruned.trials.status == "pruned")
        assert len(early) >= 4
        assert set(early.origin) == {"search"}
        assert all(len(trial.curve) < 10 and trial.curve[-1][1] == trial.objective for trial in early)
        assert all("by MedianPruner, which knew " in trial.message for trial in early)
        done = [trial for trial in pruned.trials if trial.status == "done"]
        assert {len(trial.curve) for trial in done} == {10}
        assert pruned.best.status == pruned.economical.status == "done"

    def test_a_trial_of_the_design_goes_on_whatever_the_pruner_says(self):
        result = minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=ThresholdPruner(upper=3.0))
        early = result.trials.status == "pruned"
        assert early.any()
        assert not early[:20].any()
        assert max(curve[0][1] for curve in result.trials.design.curve if curve) > 3.0

    def test_those_that_went_on_are_as_without(self, pruned):
        whole = minimize(train, SPACE, 40, RANDOMLY, seed=1)
        assert [t.params for t in whole.trials] == [t.params for t in pruned.trials]
        same_ends = [t.objective for t in pruned.trials if t.status == "done"]
        assert same_ends == [
            w.objective for w, p in zip(whole.trials, pruned.trials, strict=True) if p.status == "done"
        ]
        assert whole.best.objective == pruned.best.objective

    def test_knows_what_had_ended_before_the_batch(self, pruned):
        # Twenty of the design, less those that diverged, and batches of four.
        ended = np.isin(pruned.trials.status, ("done", "pruned"))
        for trial in pruned.trials.select(pruned.trials.status == "pruned"):
            before = 20 + (trial.index - 20) // 4 * 4
            assert trial.message.endswith(f"which knew {ended[:before].sum()} curves")

    @pytest.mark.parametrize("pruner", [MedianPruner(), SuccessiveHalvingPruner(), HyperbandPruner()])
    def test_same_in_processes(self, pruner):
        one = minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=pruner)
        two = minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=pruner, executor=Processes(workers=2))
        same(one, two)
        assert curves(one) == curves(two)
        assert (one.trials.status == "pruned").any()

    @pytest.mark.parametrize("after", [9, 27])
    def test_ends_as_an_uninterrupted_run(self, pruned, tmp_path, after):
        more = {"seed": 1, "pruner": MedianPruner(), "folder": tmp_path}
        assert minimize(descend, SPACE, 40, RANDOMLY, **more, watcher=Stopper(after)).interrupted
        again = minimize(descend, SPACE, 40, RANDOMLY, **more)
        same(pruned, again)
        assert curves(pruned) == curves(again)

    def test_holes_are_filled_by_what_was_known_then(self, pruned, tmp_path):
        minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=MedianPruner(), folder=tmp_path)
        stopped = int(pruned.trials.index[pruned.trials.status == "pruned"][0])
        for index in (3, stopped):
            (tmp_path / "results" / f"{index:06d}.json").unlink()
        same(pruned, minimize(descend, SPACE, 40, RANDOMLY, seed=1, pruner=MedianPruner(), folder=tmp_path))

    @pytest.mark.parametrize("strategy", [QUICK, Hsic()])
    def test_optimisers_are_told(self, strategy):
        one = minimize(descend, SPACE, 40, strategy, seed=1, pruner=MedianPruner(), tolerance=0.05)
        assert len(one.trials) == 40
        assert one.best.status == "done"
        same(one, minimize(descend, SPACE, 40, strategy, seed=1, pruner=MedianPruner(), tolerance=0.05))

    def test_another_pruner_in_the_folder_is_refused(self, tmp_path):
        minimize(descend, SPACE, 8, "random", folder=tmp_path, pruner=MedianPruner())
        for pruner, said in [
            (MedianPruner(n_warmup_steps=2), "pruner.n_warmup_steps was 0 and is 2 now"),
            (HyperbandPruner(), 'pruner.name was "MedianPruner" and is "HyperbandPruner" now'),
        ]:
            with pytest.raises(InputError, match="keeps the settings it was started with") as error:
                minimize(descend, SPACE, 8, "random", folder=tmp_path, pruner=pruner)
            assert said in str(error.value)

    def test_without_one_nothing_is_reported(self, tmp_path):
        def evaluate(params, report=None):
            assert report is None
            return params["size"]

        assert set(curves(minimize(evaluate, SPACE, 8, "random", folder=tmp_path))) == {()}
        assert "pruner" not in (tmp_path / "settings.json").read_text()


class TestInterrupted:
    @pytest.mark.parametrize("after", [5, 20, 30])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ends_as_an_uninterrupted_run(self, whole, tmp_path, after, number):
        stopper = Stopper(after, number)
        first = minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path, watcher=stopper)
        assert first.interrupted
        assert (len(first.trials), stopper.stops) == (after, 1)
        assert (first.reduction is None) == (after <= 20)
        second = Stopper(-1)
        again = minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path, watcher=second)
        assert (second.stored, second.fresh) == (after, 40 - after)
        assert not again.interrupted
        same(whole, again)

    def test_processes_finish_those_in_flight(self, whole, tmp_path):
        executor = Processes(workers=2)
        first = minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path, executor=executor, watcher=Stopper(9))
        assert first.interrupted
        assert len(first.trials) == len(read_results(tmp_path)) in (9, 10)
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path))

    def test_holes_are_filled(self, whole, tmp_path):
        minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path)
        for index in (3, 22, 39):
            (tmp_path / "results" / f"{index:06d}.json").unlink()
        stopper = Stopper(-1)
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path, watcher=stopper))
        assert stopper.fresh == 3

    def test_study_is_built_again(self, whole, tmp_path):
        import optuna

        minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path)
        (tmp_path / "study.db").unlink()
        same(whole, minimize(train, SPACE, 40, QUICK, seed=1, folder=tmp_path))
        url = f"sqlite:///{tmp_path}/study.db"
        study = optuna.load_study(study_name=optuna.get_all_study_names(url)[0], storage=url)
        assert sorted(trial.user_attrs["index"] for trial in study.trials) == list(range(40))
        assert study.best_value == whole.best.objective

    def test_too_early_for_a_report(self, tmp_path):
        with pytest.raises(Interrupted, match="at least 4 finished trials, but the run was interrupted after 2; run"):
            minimize(train, SPACE, 40, QUICK, folder=tmp_path, watcher=Stopper(2))
        assert len(read_results(tmp_path)) == 2

    def test_twice_stops_at_once(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            minimize(train, SPACE, 40, QUICK, folder=tmp_path, watcher=Stopper(6, times=2))
        assert len(read_results(tmp_path)) == 6

    def test_lightnings_way_of_stopping_at_once(self):
        def evaluate(params):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise SystemExit(1) from None

        with pytest.raises(KeyboardInterrupt):
            minimize(evaluate, SPACE, 8)

    def test_handlers_are_given_back(self):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        minimize(train, SPACE, 8, "random")
        with pytest.raises(InputError):
            minimize(diverge, SPACE, 8, "random")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def test_works_outside_the_main_thread(self):
        results = []
        thread = threading.Thread(target=lambda: results.append(minimize(train, SPACE, 8, "random")))
        thread.start()
        thread.join()
        assert len(results[0].trials) == 8


class TestAnotherRunInTheFolder:
    def test_other_settings_are_refused(self, tmp_path):
        minimize(train, SPACE, 8, "random", folder=tmp_path)
        for changes, said in [
            ({"seed": 7}, "seed was 0 and is 7 now"),
            ({"goal": 0.2}, "goal was 0.1 and is 0.2 now"),
            ({"direction": "maximize"}, 'direction was "minimize" and is "maximize" now'),
            ({"strategy": QUICK}, 'strategy.name was "Random" and is "TwoStep" now'),
            ({"settings": {"epochs": 3}}, "epochs was absent and is 3 now"),
        ]:
            with pytest.raises(InputError, match="keeps the settings it was started with") as error:
                minimize(train, SPACE, 8, **{"strategy": "random", "folder": tmp_path, **changes})
            assert said in str(error.value)
        other = SearchSpace({**SPACE, "size": Float(0.0, 2.0)})
        with pytest.raises(InputError, match=r"space\.size\.high was 1\.0 and is 2\.0 now"):
            minimize(train, other, 8, "random", folder=tmp_path)
        assert len(read_results(tmp_path)) == 8

    def test_more_trials_go_on_and_fewer_leave_the_others_alone(self, tmp_path):
        minimize(train, SPACE, 8, "random", folder=tmp_path)
        stopper = Stopper(-1)
        more = minimize(train, SPACE, 12, "random", folder=tmp_path, watcher=stopper)
        assert (stopper.stored, stopper.fresh) == (8, 4)
        same(more, minimize(train, SPACE, 12, "random"))
        assert len(minimize(train, SPACE, 6, "random", folder=tmp_path).trials) == 6
        assert len(read_results(tmp_path)) == 12

    def test_another_plan_is_refused(self, tmp_path):
        minimize(train, SPACE, 16, QUICK, folder=tmp_path)
        with pytest.raises(InputError, match=r"but trial 8 has .* where .* is asked for .*; set n_trials back"):
            minimize(train, SPACE, 24, QUICK, folder=tmp_path)

    def test_changed_seed_of_a_stored_trial_is_refused(self, tmp_path):
        from hsicfast.store import write_result

        minimize(train, SPACE, 8, "random", folder=tmp_path)
        write_result(tmp_path, replace(read_results(tmp_path)[5], seed=3))
        with pytest.raises(InputError, match=r"trial 5 has seed=3 where \d+ is asked for"):
            minimize(train, SPACE, 8, "random", folder=tmp_path)

    def test_choices_that_json_does_not_know(self, tmp_path):
        space = SearchSpace({"act": Choice([math.tanh, math.sin, (1, 2)]), "x": Float(0, 1)})

        def evaluate(params):
            return params["x"]

        first = minimize(evaluate, space, 8, "random", folder=tmp_path)
        stopper = Stopper(-1)
        same(first, minimize(evaluate, space, 8, "random", folder=tmp_path, watcher=stopper))
        assert stopper.fresh == 0


class TestOutcome:
    def test_maximise(self):
        result = minimize(lambda p: p["size"], SPACE, 40, QUICK, direction="maximize")
        assert result.best.objective == result.trials.objective.max() > 0.95
        assert not result.minimize
        assert "size" in result.reduction.space

    def test_every_trial_diverged(self, tmp_path):
        with pytest.raises(
            InputError,
            match=r"all 8 diverged, most often with 'FloatingPointError: loss is nan'; correct .* results stay in",
        ):
            minimize(diverge, SPACE, 16, QUICK, folder=tmp_path)
        assert len(read_results(tmp_path)) == 8

    def test_diverged_trials_are_in_the_table(self, whole):
        assert (whole.trials.status == "diverged").any()
        assert set(whole.trials.message) == {"", "FloatingPointError: loss is nan"}

    def test_no_result_stops_the_run(self, tmp_path):
        with pytest.raises(InputError, match="a dict with `objective`"):
            minimize(lambda p: {"loss": 1}, SPACE, 8, folder=tmp_path)

    def test_watcher_hears_everything(self):
        heard = []

        class Ears(Watcher):
            def on_start(self, planned):
                heard.append(planned)

            def on_round(self, name, note):
                heard.append(name)

            def on_trial(self, trial, stored):
                heard.append(trial.index)

        minimize(train, SPACE, 8, TwoStep(0.5, optimizer="random", batch=2), watcher=Ears())
        assert heard == [8, "design", 0, 1, 2, 3, "optimise", 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"goal": 0}, r"`0 < goal < 1` must hold, but got goal=0; give a fraction such as 0\.1"),
        ({"goal": 1.5}, r"`0 < goal < 1` must hold, but got goal=1\.5; give"),
        ({"goal": math.nan}, "`0 < goal < 1` must hold, but got goal=nan; give"),
        ({"goal": "much"}, "`0 < goal < 1` must hold, but got goal=much; give"),
        ({"n_trials": 7}, "`n_trials >= 8` must hold for the strategy two_step, but got n_trials=7"),
        (
            {"n_trials": 3, "strategy": "random"},
            "`n_trials >= 4` must hold for the strategy random, but got",
        ),
        ({"n_trials": 10.5}, r"`n_trials >= 8` must hold for the strategy two_step, but got n_trials=10\.5"),
        ({"tolerance": -1.0}, r"`tolerance >= 0` must hold, but got -1\.0; give it in the unit of the objective"),
        ({"strategy": "grid"}, "strategy must be one of hsic, two_step, random, but got 'grid'"),
        ({"seed": -1}, "`seed >= 0` must hold, but got seed=-1"),
        ({"direction": "down"}, "direction must be minimize or maximize, but got 'down'"),
        ({"store": "sqlite://"}, "folder=None; pass folder= as well"),
        ({"pruner": "median"}, r"a pruner must be an optuna\.pruners\.BasePruner, but got 'median'; pass one such as"),
        (
            {"pruner": MedianPruner()},
            r"a pruner needs an evaluate that takes `report` .*; add it, call `report\(step, value\)`",
        ),
    ],
)
def test_wrong_values_are_refused_before_anything_runs(changes, said):
    def evaluate(params):
        pytest.fail("something ran")

    with pytest.raises(InputError, match=said):
        minimize(evaluate, SPACE, **{"n_trials": 20, "executor": Local(), **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"design_share": 1}, r"`0 < strategy\.design_share < 1` must hold, but got strategy\.design_share=1"),
        ({"alpha": 0}, r"`0 < strategy\.alpha < 1` must hold, but got strategy\.alpha=0; .* 0\.05"),
        ({"batch": 0}, r"`strategy\.batch >= 1` must hold, but got 0"),
        ({"design": "grid"}, r"strategy\.design must be one of random, sobol, but got 'grid'"),
    ],
)
def test_wrong_strategies(changes, said):
    with pytest.raises(InputError, match=said):
        TwoStep(**changes)


def test_unknown_optimiser_is_refused_before_anything_runs():
    with pytest.raises(InputError, match=r"strategy\.optimizer must be one of gp, tpe, random, but got 'cma'"):
        minimize(diverge, SPACE, 20, TwoStep(optimizer="cma"))
