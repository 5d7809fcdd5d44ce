"""A run's rounds: what a limit of the cost, a pruner and a signal make of them."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner, ThresholdPruner
from toys import QUICK, RANDOMLY, SPACE, Priced, Stopper, cut_short, descend, diverge, price, same, train, unpriced

from hsicfast.errors import InputError
from hsicfast.proposals.samplers import design
from hsicfast.runs.results import read_results
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search import rounds
from hsicfast.search.ledger import Interrupted
from hsicfast.search.orchestrator import minimize
from hsicfast.search.plan import RunPlan
from hsicfast.search.rounds import Run
from hsicfast.search.strategies import Hsic, Random, TwoStep
from hsicfast.space.search_space import Choice, Float, SearchSpace
from hsicfast.training.executors import Local, Processes
from hsicfast.trials.trial import DESIGN


class TestMaxCost:
    @pytest.mark.parametrize("strategy", [Random(), Random("sobol"), QUICK, TwoStep(0.7), Hsic()])
    def test_too_dear_is_never_trained(self, strategy):
        evaluate = Priced()
        result = minimize(evaluate, SPACE, n_trials=16, strategy=strategy, seed=1, max_cost=1.4)
        assert len(result.trials) == len(evaluate.trained) == 16
        assert max(evaluate.trained) <= 0.4
        assert result.trials.cost.max() <= 1.4
        assert result.rounds[0].too_dear > 1
        assert f"; passed over as more expensive than max_cost: {result.rounds[0].too_dear}" in result.rounds[0].story
        assert result.max_cost == 1.4

    def test_the_design_is_the_same_sequence_without_what_is_too_dear(self):
        result = minimize(train, SPACE, n_trials=12, strategy="random", max_cost=1.4, price=price)
        affordable = [params for params in design(SPACE, 100, 0) if price(params) <= 1.4]
        assert [trial.params for trial in result.trials] == affordable[:12]
        assert result.sensitivity.question.law == "ranks"
        everything = minimize(train, SPACE, n_trials=12, strategy="random", max_cost=2.0, price=price)
        assert everything.sensitivity.question.law == "space"
        assert [trial.params for trial in everything.trials] == design(SPACE, 12, 0)

    def test_points_that_are_drawn_later_go_on_with_the_sequence(self):
        plan = RunPlan(SPACE, 20, Random(), max_cost=1.4, price=price)
        run = Run(plan, train, Local(), Store(SPACE, {}, True), Watcher())
        for name in ("early", "late"):
            run.train(name, DESIGN, run.design(6, "sobol"), "drawn")
        points = design(SPACE, 100, 0, "sobol")
        affordable = [params for params in points if price(params) <= 1.4]
        assert [trial.params for trial in run.ledger.in_order()] == affordable[:12]
        early, late = (points.index(affordable[last]) + 1 - (last + 1) for last in (5, 11))
        assert [part.too_dear for part in run.rounds] == [early, late - early]
        assert 0 < early < late

    @pytest.mark.parametrize("strategy", [QUICK, Hsic()])
    def test_goes_on_where_it_stopped_whatever_the_executor(self, strategy, tmp_path):
        whole = minimize(train, SPACE, n_trials=16, strategy=strategy, seed=1, max_cost=1.4, price=price)
        settings = {"seed": 1, "max_cost": 1.4, "price": price, "folder": tmp_path}
        part = cut_short(train, SPACE, n_trials=16, strategy=strategy, **settings, watcher=Stopper(after=11))
        assert part.interrupted
        same(whole, minimize(train, SPACE, n_trials=16, strategy=strategy, **settings, executor=Processes(workers=2)))

    def test_the_price_is_the_cost_where_none_is_told(self, tmp_path):
        result = minimize(
            unpriced, SPACE, n_trials=24, strategy="random", seed=1, max_cost=1.4, price=price, folder=tmp_path
        )
        assert (result.trials.status == "diverged").any()
        assert result.trials.cost.tolist() == [price(trial.params) for trial in result.trials]
        assert [trial.cost for trial in read_results(tmp_path).values()] == result.trials.cost.tolist()

    @pytest.mark.parametrize("strategy", [Random(), QUICK, Hsic()])
    def test_what_turned_out_dearer_is_evidence_but_not_the_best(self, strategy):
        result = minimize(train, SPACE, n_trials=16, strategy=strategy, seed=1, max_cost=1.4)
        done = result.trials.select(result.trials.status == "done")
        assert (done.cost > 1.4).any()
        assert result.best.cost <= 1.4
        assert result.economical.cost <= 1.4
        assert result.best.objective == done.objective[done.cost <= 1.4].min()
        assert len(result.sensitivity.trials) == (result.trials.origin == "design").sum()
        assert result.sensitivity.question.law == "space"
        assert all(part.story == part.note for part in result.rounds)

    def test_the_best_is_not_what_is_too_dear(self):
        def evaluate(params):
            return {"objective": params["size"], "cost": 1 + params["size"]}

        result = minimize(evaluate, SPACE, n_trials=30, strategy="random", direction="maximize", max_cost=1.5)
        assert 0.4 < result.best.objective <= 0.5 < result.trials.objective.max()
        assert result.economical.objective <= result.best.objective

    def test_a_branch_whose_good_ones_are_too_dear_is_dropped(self):
        space = SearchSpace(
            {"kind": Choice(["dear", "cheap"]), "x": Float(0, 1), "y": Float(0, 1, active_if={"kind": "cheap"})}
        )

        def evaluate(params):
            dear = params["kind"] == "dear"
            return {"objective": params["x"] + (0 if dear else 1), "cost": 9.0 if dear else 1.0}

        limited = minimize(evaluate, space, n_trials=16, strategy=Hsic(), max_cost=2.0)
        kinds = [trial.params["kind"] for trial in limited.trials]
        assert kinds[-4:].count("cheap") >= 3
        said = "kind cheap is visited further: none of 4 trials in kind dear ended well"
        assert said in [learnt for part in limited.rounds for learnt in part.learnt]
        free = [
            trial.params["kind"]
            for trial in minimize(evaluate, space, n_trials=16, strategy=Hsic(economy_share=0.01)).trials
        ]
        # A quarter of the search goes to the branch with the fewest trials.
        assert free[-4:].count("dear") >= 3

    @pytest.mark.parametrize("strategy", ["random", QUICK, Hsic()])
    def test_nothing_is_within_the_limit(self, strategy, tmp_path):
        with pytest.raises(
            InputError,
            match=r"^at least one trial must cost at most max_cost=0\.5, but the cheapest of the \d+ that ended well "
            r"costs 1[\.\d]*; raise max_cost, or make the space cheaper; their results stay in ",
        ):
            minimize(train, SPACE, n_trials=12, strategy=strategy, max_cost=0.5, folder=tmp_path)
        assert len(read_results(tmp_path)) >= 10

    def test_nothing_is_within_the_limit_by_its_price(self, tmp_path):
        with pytest.raises(InputError, match=r"must cost at most max_cost=0\.5, but 1,000 drawn in a row cost more"):
            minimize(diverge, SPACE, n_trials=12, max_cost=0.5, price=price, folder=tmp_path)
        assert len(read_results(tmp_path)) == 0

    def test_nothing_is_within_the_limit_yet(self, tmp_path):
        stopper = Stopper(after=6)
        with pytest.raises(Interrupted, match=r"the cheapest of .*, and the run was interrupted; run the same command"):
            minimize(train, SPACE, n_trials=12, strategy="random", max_cost=0.5, folder=tmp_path, watcher=stopper)

    def test_no_cost_is_known(self, tmp_path):
        # Said after the design, before the other half is trained in vain.
        with pytest.raises(
            InputError,
            match=r"^max_cost=3 needs the costs of the trials, but none of the \d+ that ended well has one; return "
            "`cost` from evaluate, or pass price=; their results stay in ",
        ):
            minimize(unpriced, SPACE, n_trials=16, strategy=QUICK, max_cost=3, folder=tmp_path)
        assert len(read_results(tmp_path)) == 8

    def test_a_folder_keeps_its_limit_and_an_old_one_has_none(self, tmp_path):
        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path / "old")
        assert "max_cost" not in (tmp_path / "old" / "settings.json").read_text()
        with pytest.raises(InputError, match=r"max_cost was absent and is 1\.5 now"):
            minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path / "old", max_cost=1.5)
        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path / "new", max_cost=2)
        minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path / "new", max_cost=2.0)
        with pytest.raises(InputError, match=r"max_cost was 2\.0 and is absent now"):
            minimize(train, SPACE, n_trials=8, strategy="random", folder=tmp_path / "new")


def curves(result):
    return [trial.curve for trial in result.trials]


@pytest.fixture(scope="module")
def pruned():
    return minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=MedianPruner())


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
        result = minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=ThresholdPruner(upper=3.0))
        early = result.trials.status == "pruned"
        assert early.any()
        assert not early[:20].any()
        assert max(curve[0][1] for curve in result.trials.design.curve if curve) > 3.0

    def test_those_that_went_on_are_as_without(self, pruned):
        whole = minimize(train, SPACE, n_trials=40, strategy=RANDOMLY, seed=1)
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
        one = minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=pruner)
        two = minimize(
            descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=pruner, executor=Processes(workers=2)
        )
        same(one, two)
        assert curves(one) == curves(two)
        assert (one.trials.status == "pruned").any()

    @pytest.mark.parametrize("after", [9, 27])
    def test_ends_as_an_uninterrupted_run(self, pruned, tmp_path, after):
        more = {"seed": 1, "pruner": MedianPruner(), "folder": tmp_path}
        assert cut_short(descend, SPACE, n_trials=40, strategy=RANDOMLY, **more, watcher=Stopper(after)).interrupted
        again = minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, **more)
        same(pruned, again)
        assert curves(pruned) == curves(again)

    def test_holes_are_filled_by_what_was_known_then(self, pruned, tmp_path):
        minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=MedianPruner(), folder=tmp_path)
        stopped = int(pruned.trials.index[pruned.trials.status == "pruned"][0])
        for index in (3, stopped):
            (tmp_path / "results" / f"{index:06d}.json").unlink()
        same(
            pruned,
            minimize(descend, SPACE, n_trials=40, strategy=RANDOMLY, seed=1, pruner=MedianPruner(), folder=tmp_path),
        )

    @pytest.mark.parametrize("strategy", [QUICK, Hsic()])
    def test_optimisers_are_told(self, strategy):
        one = minimize(descend, SPACE, n_trials=40, strategy=strategy, seed=1, pruner=MedianPruner(), tolerance=0.05)
        assert len(one.trials) == 40
        assert one.best.status == "done"
        same(
            one, minimize(descend, SPACE, n_trials=40, strategy=strategy, seed=1, pruner=MedianPruner(), tolerance=0.05)
        )

    def test_another_pruner_in_the_folder_is_refused(self, tmp_path):
        minimize(descend, SPACE, n_trials=8, strategy="random", folder=tmp_path, pruner=MedianPruner())
        for pruner, said in [
            (MedianPruner(n_warmup_steps=2), "pruner.n_warmup_steps was 0 and is 2 now"),
            (HyperbandPruner(), 'pruner.name was "MedianPruner" and is "HyperbandPruner" now'),
        ]:
            with pytest.raises(InputError, match="keeps the settings it was started with") as error:
                minimize(descend, SPACE, n_trials=8, strategy="random", folder=tmp_path, pruner=pruner)
            assert said in str(error.value)

    def test_without_one_nothing_is_reported(self, tmp_path):
        def evaluate(params, report=None):
            assert report is None
            return params["size"]

        assert set(curves(minimize(evaluate, SPACE, n_trials=8, strategy="random", folder=tmp_path))) == {()}
        assert "pruner" not in (tmp_path / "settings.json").read_text()


@pytest.fixture
def terminations():
    """The SIGTERMs that the caller hears."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


class TestInterrupted:
    @pytest.mark.parametrize("after", [5, 20, 30])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ends_as_an_uninterrupted_run(self, whole, tmp_path, after, number, terminations):
        stopper = Stopper(after, number)
        first = cut_short(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path, watcher=stopper)
        assert terminations == [number] * (number == signal.SIGTERM)
        assert first.interrupted
        assert (len(first.trials), stopper.stops) == (after, 1)
        assert (first.reduction is None) == (after <= 20)
        second = Stopper(-1)
        again = minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path, watcher=second)
        assert (second.stored, second.fresh) == (after, 40 - after)
        assert not again.interrupted
        same(whole, again)

    def test_processes_finish_those_in_flight(self, whole, tmp_path):
        executor = Processes(workers=2)
        first = cut_short(
            train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path, executor=executor, watcher=Stopper(9)
        )
        assert first.interrupted
        assert len(first.trials) == len(read_results(tmp_path)) in (9, 10)
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path))

    def test_what_is_stored_is_not_proposed_again(self, monkeypatch, tmp_path):
        first = minimize(train, SPACE, n_trials=40, strategy=Hsic(), seed=1, folder=tmp_path)
        assert first.sensitivity.redraws  # some proposals were moved away
        monkeypatch.setattr(rounds, "propose", None)
        same(first, minimize(train, SPACE, n_trials=40, strategy=Hsic(), seed=1, folder=tmp_path))

    def test_another_last_digit_is_no_other_plan(self, whole, monkeypatch, tmp_path):
        def nudged(*args, **named):
            return [params | {"size": float(np.nextafter(params["size"], 2))} for params in real(*args, **named)]

        minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path)
        (tmp_path / "results" / "000023.json").unlink()  # the last one of a batch of four
        real = rounds.propose
        monkeypatch.setattr(rounds, "propose", nudged)
        again = minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path)
        trials = zip(whole.trials, again.trials, strict=True)
        assert [one.index for one, other in trials if one.params != other.params] == [23]

    def test_holes_are_filled(self, whole, tmp_path):
        minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path)
        for index in (3, 22, 39):
            (tmp_path / "results" / f"{index:06d}.json").unlink()
        stopper = Stopper(-1)
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path, watcher=stopper))
        assert stopper.fresh == 3

    def test_study_is_built_again(self, whole, tmp_path):
        import optuna

        minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path)
        (tmp_path / "study.db").unlink()
        same(whole, minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1, folder=tmp_path))
        url = f"sqlite:///{tmp_path}/study.db"
        study = optuna.load_study(study_name=optuna.get_all_study_names(url)[0], storage=url)
        assert sorted(trial.user_attrs["index"] for trial in study.trials) == list(range(40))
        assert study.best_value == whole.best.objective

    def test_too_early_for_a_report(self, tmp_path):
        with pytest.raises(
            Interrupted, match="at least 4 finished trials, but the run was interrupted after 2; run"
        ) as stop:
            minimize(train, SPACE, n_trials=40, strategy=QUICK, folder=tmp_path, watcher=Stopper(2))
        assert (stop.value.result, stop.value.number) == (None, signal.SIGINT)
        assert len(read_results(tmp_path)) == 2

    def test_twice_stops_at_once(self, tmp_path):
        with pytest.raises(KeyboardInterrupt, match=r"stopped at once; the results so far stay in .*, and run"):
            minimize(train, SPACE, n_trials=40, strategy=QUICK, folder=tmp_path, watcher=Stopper(6, times=2))
        assert len(read_results(tmp_path)) == 6

    def test_lightnings_way_of_stopping_at_once(self):
        def evaluate(params):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                raise SystemExit(1) from None

        with pytest.raises(KeyboardInterrupt):
            minimize(evaluate, SPACE, n_trials=8)

    def test_a_loop_around_it_ends(self):
        ended = []

        def loop():
            for seed in range(3):
                minimize(train, SPACE, n_trials=8, strategy="random", seed=seed, watcher=Stopper(6))
                ended.append(seed)

        with pytest.raises(KeyboardInterrupt) as stop:
            loop()
        assert ended == []
        assert type(stop.value) is Interrupted
        assert (len(stop.value.result.trials), stop.value.result.interrupted) == (6, True)
        assert str(stop.value) == "stopped after 6 trials; pass folder= to keep them"

    def test_an_error_after_a_signal_is_an_interruption_too(self):
        def never(params):
            return float("nan")

        with pytest.raises(Interrupted, match="at least one trial must end with a finite objective") as stop:
            minimize(never, SPACE, n_trials=8, strategy="random", watcher=Stopper(6))
        assert stop.value.result is None
        assert isinstance(stop.value.__cause__, InputError)

    def test_termination_goes_on_to_who_had_it_before_once_everything_is_on_disk(self, tmp_path):
        seen = []
        before = signal.signal(signal.SIGTERM, lambda *_: seen.append(len(read_results(tmp_path))))
        try:
            part = cut_short(train, SPACE, n_trials=8, strategy="random", folder=tmp_path, watcher=Stopper(6, 15))
        finally:
            signal.signal(signal.SIGTERM, before)
        assert (seen, len(part.trials)) == ([6], 6)

    def test_who_ignores_a_signal_goes_on_ignoring_it(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            assert len(minimize(train, SPACE, n_trials=8, strategy="random", watcher=Stopper(6)).trials) == 8
        finally:
            signal.signal(signal.SIGINT, before)

    def test_handlers_are_given_back(self):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        minimize(train, SPACE, n_trials=8, strategy="random")
        with pytest.raises(InputError):
            minimize(diverge, SPACE, n_trials=8, strategy="random")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

    def test_works_outside_the_main_thread(self):
        results = []
        thread = threading.Thread(target=lambda: results.append(minimize(train, SPACE, n_trials=8, strategy="random")))
        thread.start()
        thread.join()
        assert len(results[0].trials) == 8

    def test_another_thread_leaves_the_handlers_alone(self):
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        during = []

        def evaluate(params):
            during.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
            return params["size"]

        thread = threading.Thread(target=lambda: minimize(evaluate, SPACE, n_trials=8, strategy="random"))
        thread.start()
        thread.join()
        assert during == [before] * 8


SCRIPT = """
import sys, time
import hsicfast
from hsicfast import Float, SearchSpace

def evaluate(params):
    time.sleep(0.05)
    return params["x"]

for seed in range(2):
    try:
        hsicfast.minimize(evaluate, SearchSpace({"x": Float(0, 1)}), n_trials=400, strategy="random", seed=seed,
                          folder=f"{sys.argv[1]}/{seed}", executor=hsicfast.Processes(workers=2))
    except ValueError:
        pass
    except hsicfast.Interrupted as stop:
        print(len(stop.result.trials), stop.result.best.objective == stop.result.trials.objective.min(), flush=True)
        raise
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_ends_as_the_signal_says(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("0/results/*.json"))) < 8:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    stored = len(read_results(tmp_path / "0"))
    # Python ends by SIGINT after a KeyboardInterrupt itself, and with 1 after any other exception.
    assert process.returncode == (1 if number == signal.SIGINT else -number), err
    assert out == (f"{stored} True\n" if number == signal.SIGINT else "")
    assert 8 <= stored < 400
    assert not (tmp_path / "1").exists()
