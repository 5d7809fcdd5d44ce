"""The whole method on functions that take no time."""

import math
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner, ThresholdPruner

from hsicfast.errors import InputError
from hsicfast.runs.results import read_results
from hsicfast.runs.store import Store
from hsicfast.runs.watcher import Watcher
from hsicfast.search import rounds
from hsicfast.search.orchestrator import minimize
from hsicfast.search.plan import RunPlan
from hsicfast.search.rounds import Interrupted, Run
from hsicfast.search.samplers import design
from hsicfast.search.strategies import Hsic, Random, TwoStep
from hsicfast.search.transforms import Best
from hsicfast.space.search_space import Bool, Choice, Float, SearchSpace
from hsicfast.training.executors import Local, Processes
from hsicfast.trials.trial import DESIGN, trial_seed

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
# The finals have tests of their own; costs from 1 to 2 span a quarter of a decade.
ECONOMISE = Hsic(final_share=0, economy_share=0.7)


def train(params, seed):
    """Best at rate 0.01, diverges above 0.5; what it costs depends on the size alone."""
    if params["rate"] > 0.5:
        raise FloatingPointError("loss is nan")
    loss = (math.log10(params["rate"]) + 2) ** 2 + 0.01 * params.get("momentum", 0.0) + 0.01 * params["size"]
    loss += 1e-6 * (seed % 1000)
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
    assert (one.best.index, one.economical.index) == (other.best.index, other.economical.index)
    assert repr(one.finals) == repr(other.finals)  # with NaN


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
    return minimize(train, SPACE, 40, ECONOMISE, seed=0, tolerance=0.05)


class TestHsic:
    def test_reads_as_the_method(self, economised):
        assert [(r.name, r.first, r.last) for r in economised.rounds] == [
            ("design", 0, 8),
            ("shared", 8, 20),
            ("spend", 20, 22),
            ("search 1", 22, 26),
            ("search 2", 26, 34),
            ("economise", 34, 40),
        ]
        assert economised.best.objective < 0.05

    def test_each_round_has_trials_drawn_from_the_law(self, economised):
        drawn = np.flatnonzero(economised.trials.origin == "design")
        assert drawn.tolist() == [*range(8), 8, 26]  # a tenth of 12, of 4 and of 8
        proposed = {i: economised.trials[i].params for i in drawn.tolist()}
        assert proposed == {i: design(SPACE, 1, seed=0, method="sobol", start=i)[0] for i in drawn.tolist()}

    def test_spending_more_is_tried_once_a_branch(self, economised):
        first, second = (economised.trials[i].params for i in (20, 21))
        assert {first["optimizer"], second["optimizer"]} == {"adam", "sgd"}
        assert first["size"] == second["size"] == SPACE["size"].high
        assert "size=" in economised.rounds[2].note

    def test_branches_have_equal_turns_and_then_one_of_them_all(self, economised):
        turns = [trial.params["optimizer"] for trial in economised.trials]
        assert turns[22:26].count("adam") == turns[22:26].count("sgd") == 2
        assert len(set(turns[27:34])) == 1
        assert economised.rounds[3].learnt[-1].startswith(f"optimizer {turns[27]} is searched on: ")

    def test_says_what_was_decided(self, economised):
        assert {d.name: d.action for d in economised.reduction.decisions}.keys() == set(SPACE)
        assert economised.rounds[0].learnt == ("nothing is fixed or narrowed, for want of evidence",)

    def test_searches_in_the_narrowed_ranges_and_goes_on_testing_outside(self):
        space = SearchSpace({"rate": Float(0, 1), "other": Float(0, 1)})
        found = minimize(lambda p: p["rate"] + 0.001 * p["other"], space, 80, Hsic(design_share=0.5), seed=0)
        low, high = next(d.value for d in found.reduction.decisions if d.name == "rate")
        assert (low, found.reduction.space["rate"].high) == (0, high)
        assert high < 0.6
        rates = [trial.params["rate"] for trial in found.trials if trial.origin == "search"]
        assert np.mean(np.array(rates) <= high) > 0.7
        assert found.rounds[0].learnt[0].startswith("rate is searched from 0 to ")

    def test_the_economical_trial_is_as_good_and_cheap(self, economised):
        assert economised.economical.objective <= economised.best.objective + 0.05
        assert economised.economical.cost <= economised.best.cost
        assert economised.economical.cost < 1.2  # of 1 to 2

    def test_a_maximum_is_a_minimum_mirrored(self, economised):
        def mirrored(params, seed):
            said = train(params, seed)
            return said | {"objective": -said["objective"]}

        found = minimize(mirrored, SPACE, 40, ECONOMISE, seed=0, tolerance=0.05, direction="maximize")
        assert [trial.params for trial in found.trials] == [trial.params for trial in economised.trials]
        assert (found.best.index, found.economical.index) == (economised.best.index, economised.economical.index)

    def test_without_costs_there_is_nothing_to_economise(self):
        rounds = minimize(lambda p: p["size"], SPACE, 20, Hsic(), seed=0).rounds
        assert [r.name for r in rounds] == ["design", "shared", "search 1", "search 2"]
        assert rounds[-1].last == 20

    def test_the_further_costs_spread_the_more_trials_look_for_cheaper_ones(self):
        def economy(decades):
            def evaluate(params):
                return {"objective": (params["x"] - 0.3) ** 2, "cost": 10 ** (decades * params["y"])}

            space = SearchSpace({"x": Float(-1, 1), "y": Float(0, 1)})
            last = minimize(evaluate, space, 40, Hsic(design_share=0.6), seed=0).rounds[-1]
            return last.last - last.first if last.name == "economise" else 0

        # A tenth of 40 trials for each of 0.8 decades of 1, and a fifth of them at most.
        assert [economy(decades) for decades in (0.0, 1.0, 2.0, 9.0)] == [0, 3, 6, 8]

    @pytest.mark.parametrize("nested", [False, True])
    def test_parzen_estimators_search_where_conditions_are_nested(self, monkeypatch, nested):
        asked = []

        def recorded(*args, **named):
            asked.append((named["method"], isinstance(named["wish"], Best) and named["wish"].most is None))
            return real(*args, **named)

        real = rounds.propose
        monkeypatch.setattr(rounds, "propose", recorded)
        inner = {"drop": Bool(), "drop_rate": Float(0, 1, active_if={"drop": True})} if nested else {}
        minimize(train, SearchSpace({**SPACE, **inner}), 60, ECONOMISE, seed=0)
        searched = [method for method, of_objective in asked if of_objective]
        # Half of about 35: 3 standard deviations are 9.
        assert abs(searched.count("tpe") - nested * len(searched) / 2) < 9 * nested + 1
        assert {method for method, of_objective in asked if not of_objective} == {"gp"}

    def test_without_branches_there_is_one_round(self):
        space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
        found = minimize(lambda p: p["x"] ** 2 + p["y"] ** 2, space, 30, "hsic", seed=0)
        assert [r.name for r in found.rounds] == ["design", "search 1"]
        assert found.best.objective < 0.01

    def test_goes_on_where_it_stopped(self, economised, tmp_path):
        stopper = Stopper(after=27)
        part = minimize(train, SPACE, 40, ECONOMISE, seed=0, tolerance=0.05, folder=tmp_path, watcher=stopper)
        assert part.interrupted
        same(minimize(train, SPACE, 40, ECONOMISE, seed=0, tolerance=0.05, folder=tmp_path), economised)


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
            asked.append((args[3].index, args[3].count, len(args[2])))
            return real(*args, **named)

        real = rounds.propose
        monkeypatch.setattr(rounds, "propose", recorded)
        minimize(train, SPACE, 18, TwoStep(0.5, optimizer="random", batch=4))
        assert asked == [(9, 4, 9), (13, 4, 13), (17, 1, 17)]


def price(params):
    """What `train` will say."""
    return 1 + params["size"]


class Priced:
    """Trains, and knows what it costs before."""

    def __init__(self):
        self.trained = []

    def __call__(self, params, seed):
        self.trained.append(params["size"])
        return train(params, seed)

    def price(self, params):
        return price(params)


def unpriced(params, seed):
    return train(params, seed)["objective"]


class TestMaxCost:
    @pytest.mark.parametrize("strategy", [Random(), Random("sobol"), QUICK, TwoStep(0.7), Hsic()])
    def test_too_dear_is_never_trained(self, strategy):
        evaluate = Priced()
        result = minimize(evaluate, SPACE, 16, strategy, seed=1, max_cost=1.4)
        assert len(result.trials) == len(evaluate.trained) == 16
        assert max(evaluate.trained) <= 0.4
        assert result.trials.cost.max() <= 1.4
        assert result.rounds[0].too_dear > 1
        assert f"; passed over as dearer than max_cost: {result.rounds[0].too_dear}" in result.rounds[0].story
        assert result.max_cost == 1.4

    def test_the_design_is_the_same_sequence_without_what_is_too_dear(self):
        result = minimize(train, SPACE, 12, "random", max_cost=1.4, price=price)
        affordable = [params for params in design(SPACE, 100, 0) if price(params) <= 1.4]
        assert [trial.params for trial in result.trials] == affordable[:12]
        assert result.sensitivity.question.law == "ranks"
        everything = minimize(train, SPACE, 12, "random", max_cost=2.0, price=price)
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
        whole = minimize(train, SPACE, 16, strategy, seed=1, max_cost=1.4, price=price)
        settings = {"seed": 1, "max_cost": 1.4, "price": price, "folder": tmp_path}
        part = minimize(train, SPACE, 16, strategy, **settings, watcher=Stopper(after=11))
        assert part.interrupted
        same(whole, minimize(train, SPACE, 16, strategy, **settings, executor=Processes(workers=2)))

    def test_the_price_is_the_cost_where_none_is_told(self, tmp_path):
        result = minimize(unpriced, SPACE, 24, "random", seed=1, max_cost=1.4, price=price, folder=tmp_path)
        assert (result.trials.status == "diverged").any()
        assert result.trials.cost.tolist() == [price(trial.params) for trial in result.trials]
        assert [trial.cost for trial in read_results(tmp_path).values()] == result.trials.cost.tolist()

    @pytest.mark.parametrize("strategy", [Random(), QUICK, Hsic()])
    def test_what_turned_out_dearer_is_evidence_but_not_the_best(self, strategy):
        result = minimize(train, SPACE, 16, strategy, seed=1, max_cost=1.4)
        done = result.trials.select(result.trials.status == "done")
        assert (done.cost > 1.4).any()
        assert result.best.cost <= 1.4
        assert result.economical.cost <= 1.4
        assert result.best.objective == done.objective[done.cost <= 1.4].min()
        assert len(result.sensitivity.trials) == result.rounds[0].last
        assert result.sensitivity.question.law == "space"
        assert all(part.story == part.note for part in result.rounds)

    def test_the_best_is_not_what_is_too_dear(self):
        def evaluate(params):
            return {"objective": params["size"], "cost": 1 + params["size"]}

        result = minimize(evaluate, SPACE, 30, "random", direction="maximize", max_cost=1.5)
        assert 0.4 < result.best.objective <= 0.5 < result.trials.objective.max()
        assert result.economical.objective <= result.best.objective

    def test_a_branch_whose_good_ones_are_too_dear_is_dropped(self):
        space = SearchSpace(
            {"kind": Choice(["dear", "cheap"]), "x": Float(0, 1), "y": Float(0, 1, active_if={"kind": "cheap"})}
        )

        def evaluate(params):
            dear = params["kind"] == "dear"
            return {"objective": params["x"] + (0 if dear else 1), "cost": 9.0 if dear else 1.0}

        kinds = [trial.params["kind"] for trial in minimize(evaluate, space, 16, Hsic(), max_cost=2.0).trials]
        assert set(kinds[-4:]) == {"cheap"}
        free = [trial.params["kind"] for trial in minimize(evaluate, space, 16, Hsic(economy_share=0.01)).trials]
        assert set(free[-4:]) == {"dear"}

    @pytest.mark.parametrize("strategy", ["random", QUICK, Hsic()])
    def test_nothing_is_within_the_limit(self, strategy, tmp_path):
        with pytest.raises(
            InputError,
            match=r"^at least one trial must cost at most max_cost=0\.5, but the cheapest of the \d+ that ended well "
            r"costs 1[\.\d]*; raise max_cost, or make the space cheaper; their results stay in ",
        ):
            minimize(train, SPACE, 12, strategy, max_cost=0.5, folder=tmp_path)
        assert len(read_results(tmp_path)) >= 10

    def test_nothing_is_within_the_limit_by_its_price(self, tmp_path):
        with pytest.raises(InputError, match=r"must cost at most max_cost=0\.5, but 1,000 drawn in a row cost more"):
            minimize(diverge, SPACE, 12, max_cost=0.5, price=price, folder=tmp_path)
        assert len(read_results(tmp_path)) == 0

    def test_nothing_is_within_the_limit_yet(self, tmp_path):
        stopper = Stopper(after=6)
        with pytest.raises(Interrupted, match=r"the cheapest of .*, and the run was interrupted; run the same command"):
            minimize(train, SPACE, 12, "random", max_cost=0.5, folder=tmp_path, watcher=stopper)

    def test_no_cost_is_known(self, tmp_path):
        # Said after the design, before the other half is trained in vain.
        with pytest.raises(
            InputError,
            match=r"^max_cost=3 needs the costs of the trials, but none of the \d+ that ended well has one; return "
            "`cost` from evaluate, or pass price=; their results stay in ",
        ):
            minimize(unpriced, SPACE, 16, QUICK, max_cost=3, folder=tmp_path)
        assert len(read_results(tmp_path)) == 8

    def test_a_folder_keeps_its_limit_and_an_old_one_has_none(self, tmp_path):
        minimize(train, SPACE, 8, "random", folder=tmp_path / "old")
        assert "max_cost" not in (tmp_path / "old" / "settings.json").read_text()
        with pytest.raises(InputError, match=r"max_cost was absent and is 1\.5 now"):
            minimize(train, SPACE, 8, "random", folder=tmp_path / "old", max_cost=1.5)
        minimize(train, SPACE, 8, "random", folder=tmp_path / "new", max_cost=2)
        minimize(train, SPACE, 8, "random", folder=tmp_path / "new", max_cost=2.0)
        with pytest.raises(InputError, match=r"max_cost was 2\.0 and is absent now"):
            minimize(train, SPACE, 8, "random", folder=tmp_path / "new")


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
        from hsicfast.runs.results import write_result

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
        ({"n_trials": 7}, "`n_trials >= 8` must hold for the strategy hsic, but got n_trials=7"),
        (
            {"n_trials": 3, "strategy": "random"},
            "`n_trials >= 4` must hold for the strategy random, but got",
        ),
        ({"n_trials": 10.5}, r"`n_trials >= 8` must hold for the strategy hsic, but got n_trials=10\.5"),
        ({"tolerance": -1.0}, r"`tolerance >= 0` must hold, but got -1\.0; give it in the unit of the objective"),
        ({"max_cost": 0}, "`max_cost > 0` must hold and be finite, but got 0; give it in the unit of the cost"),
        ({"max_cost": math.inf}, "`max_cost > 0` must hold and be finite, but got inf"),
        ({"price": math.sqrt}, "price= is asked where max_cost= limits the cost, but max_cost=None; give both or"),
        ({"price": lambda p: -1, "max_cost": 1}, "`price >= 0` must hold, but got -1 for {'optimizer'"),
        ({"price": lambda p: p["momentum"], "max_cost": 1}, "but for {'optimizer': .* got KeyError: 'momentum'"),
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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"final_share": 1}, r"`0 <= strategy\.final_share < 1` must hold, but got strategy\.final_share=1; .* 0\.06"),
        ({"final_share": -0.1}, r"`0 <= strategy\.final_share < 1` must hold"),
        ({"economy_share": 0}, r"`0 < strategy\.economy_share < 1` must hold, but got strategy\.economy_share=0"),
    ],
)
def test_wrong_shares(changes, said):
    with pytest.raises(InputError, match=said):
        Hsic(**changes)


def test_unknown_optimiser_is_refused_before_anything_runs():
    with pytest.raises(InputError, match=r"strategy\.optimizer must be one of gp, tpe, random, but got 'cma'"):
        minimize(diverge, SPACE, 20, TwoStep(optimizer="cma"))
