"""The strategies: which rounds they make, what of, and what they refuse."""

import math

import numpy as np
import pytest
from toys import ECONOMISE, SPACE, Stopper, cut_short, diverge, same, train

from hsicfast.errors import InputError
from hsicfast.evidence.redraws import Redraws
from hsicfast.proposals.samplers import design
from hsicfast.search import rounds, strategies
from hsicfast.search.branches import branches_of
from hsicfast.search.chosen import _asked, cautions
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import Hsic, TwoStep
from hsicfast.space.search_space import Bool, Choice, Float, SearchSpace
from hsicfast.trials.trial import FINAL, trial_seed

# Conditions inside conditions: the learner decides whether there is a booster, and the booster what it has.
TREE = SearchSpace(
    {
        "learner": Choice(["a", "b"]),
        "width": Float(0, 1, active_if={"learner": "a"}),
        "booster": Choice(["flat", "wide", "deep"], active_if={"learner": "b"}),
        "rate": Float(0, 1, active_if={"learner": "b"}),
        "depth": Float(0, 1, active_if={"booster": "deep"}),
        "reach": Float(0, 1, active_if={"booster": "wide"}),
    }
)


def tree(params):
    """At best 0.2, but 0 in "deep", which is worse than that at most of its points."""
    if params["learner"] == "a":
        return 0.2 + (params["width"] - 0.5) ** 2
    loss = (params["rate"] - 0.7) ** 2
    if params["booster"] == "deep":
        return loss + 2 * (params["depth"] - 0.8) ** 2
    return 0.2 + loss + 0.1 * params.get("reach", 0.0)


@pytest.fixture
def asked(monkeypatch):
    """Of each call of the optimiser: the index of its first trial, how many it proposes, how many it has seen."""
    turns, real = [], rounds.propose

    def recorded(*args, **named):
        turns.append((args[3].index, args[3].count, len(args[2])))
        return real(*args, **named)

    monkeypatch.setattr(rounds, "propose", recorded)
    return turns


class TestHsic:
    def test_reads_as_the_method(self, economised):
        assert [(r.name, r.first, r.last) for r in economised.rounds] == [
            ("design", 0, 8),
            ("spend", 8, 10),
            ("search", 10, 24),
            ("spend", 24, 26),
            ("search", 26, 35),
            ("economise", 35, 40),
        ]
        assert economised.best.objective < 0.05

    def test_each_round_has_trials_drawn_from_the_law(self, economised):
        drawn = np.flatnonzero(economised.trials.origin == "design")
        assert drawn.tolist() == [*range(8), 10, 11]  # a tenth of 25
        proposed = [economised.trials[i].params for i in drawn.tolist()]
        assert proposed == design(SPACE, 8, seed=0, method="latin") + design(SPACE, 2, seed=0, start=10)

    def test_spending_more_is_tried_once_a_branch(self, economised):
        first, second = (economised.trials[i].params for i in (8, 9))
        assert {first["optimizer"], second["optimizer"]} == {"adam", "sgd"}
        assert first["size"] == second["size"] == SPACE["size"].high
        assert "size=" in economised.rounds[1].note

    def test_half_way_it_is_tried_again_with_the_best_found_since(self):
        """Only where the rate is good a large size helps, so that the best of the design does not show it."""

        def late(params):
            loss = (math.log10(params["rate"]) + 2) ** 2
            helps = params["size"] > 0.98 and loss < 0.02
            return {"objective": loss + 0.1 * params["size"] - helps, "cost": 100 ** params["size"]}

        space = SearchSpace({"rate": Float(1e-5, 1.0, log=True), "size": Float(0.0, 1.0)})
        found = minimize(late, space, n_trials=40, strategy=Hsic(ask_share=0), seed=1)
        first, second = (r for r in found.rounds if r.name == "spend")
        search = [r for r in found.rounds if r.name == "search"]
        assert (first.last, search[0].last, second.last) == (search[0].first, second.first, search[1].first)
        before = found.trials.select(np.arange(second.first))
        assert found.trials[second.first].params == before.best().params | {"size": 1.0}
        assert before.best().objective > -0.01 > found.trials[second.first].objective

    def test_every_branch_gets_a_few_trials_first(self):
        # The design has one trial in each of the three branches inside "b", and five in "a".
        evaluated = minimize(tree, TREE, n_trials=40, strategy=Hsic(final_share=0), seed=0)
        first = next(r for r in evaluated.rounds if r.name == "branches")
        counts = [len(branch.trials(evaluated.trials.select(np.arange(first.last)))) for branch in branches_of(TREE)]
        assert min(counts) == 4
        # Nothing more than that: the branch that had more after the design has got none.
        designed = evaluated.trials.select(np.arange(first.first))
        before = [len(branch.trials(designed)) for branch in branches_of(TREE)]
        assert counts == [max(n, 4) for n in before]
        assert first.learnt[-1].endswith(" is visited further")

    def test_no_more_than_half_of_the_search_goes_to_them(self):
        rounds = minimize(tree, TREE, n_trials=14, strategy=Hsic(final_share=0), seed=0).rounds
        assert [(r.name, r.first, r.last) for r in rounds] == [("design", 0, 4), ("branches", 4, 9), ("search", 9, 14)]

    def test_a_quarter_of_the_search_goes_to_the_branch_with_the_fewest_trials(self, monkeypatch):
        asked = []

        def recorded(*args, **named):
            asked.append(args[1])
            return real(*args, **named)

        real = rounds.propose
        monkeypatch.setattr(rounds, "propose", recorded)
        found = minimize(tree, TREE, n_trials=60, strategy=Hsic(final_share=0), seed=0)
        search = next(r for r in found.rounds if r.name == "search")
        drawn = int((found.trials.origin[search.first : search.last] == "design").sum())
        own = asked[-(search.last - search.first - drawn) :]
        assert len(own) >= 24
        assert abs(sum(fixed != {} for fixed in own) - len(own) / 4) < 3 * math.sqrt(len(own) * 3 / 16)  # binomial

    def test_the_valley_in_a_small_branch_is_found(self):
        """A branch that is worse on average holds the best trials: whoever stays where the best trial is loses."""
        found = [minimize(tree, TREE, n_trials=30, strategy=Hsic(), seed=seed).best for seed in range(4)]
        assert [best.params.get("booster") for best in found] == ["deep"] * 4
        assert max(best.objective for best in found) < 0.02

    def test_says_what_was_decided(self, economised):
        assert {d.name: d.action for d in economised.reduction.decisions}.keys() == set(SPACE)
        assert economised.rounds[0].learnt == (
            "nothing is fixed or narrowed, for want of evidence",
            "optimizer adam or optimizer sgd is visited further",
        )

    def test_searches_in_the_narrowed_ranges_and_goes_on_testing_outside(self):
        space = SearchSpace({"rate": Float(0, 1), "other": Float(0, 1)})
        found = minimize(
            lambda p: p["rate"] + 0.001 * p["other"], space, n_trials=60, strategy=Hsic(design_share=0.5), seed=0
        )
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

    @pytest.mark.slow
    def test_it_asks_whether_a_hyperparameter_matters(self):
        space = SearchSpace({"rate": Float(1e-5, 1, log=True), "idle": Float(0, 1), "unused": Bool()})
        found = minimize(lambda p: (math.log10(p["rate"]) + 2) ** 2, space, n_trials=40, seed=0)
        (asked,) = found.sensitivity.redraws
        assert (asked.name, len(asked.moved), int(asked.moved.sum())) == ("rate", 12, 3)
        assert found.sensitivity.significant() == ["rate"]
        assert not minimize(lambda p: p["rate"], space, n_trials=12, strategy=Hsic(), seed=0).sensitivity.redraws
        own = "For rate it also uses 12 of the search: in 3 of these, drawn by lot, rate was moved away from the value "
        own += "proposed; if rate had no influence, these would come out as badly as they did with p 0.0"
        assert own in " ".join(cautions(found))

    def test_what_it_asked_about_several_is_one_sentence(self):
        losses, lot = np.arange(12.0), np.arange(12) >= 9
        said = _asked([Redraws("idle", losses, losses < 3), Redraws("rate", losses, lot)])
        assert said == (
            "For each of 2 hyperparameters it also uses up to 12 trials of the search: in up to 3 of these, drawn by "
            "lot, it was moved away from the value proposed; if it had no influence, these would come out as badly as "
            "they did with this p: rate 0.005, idle 1.000."
        )

    def test_a_maximum_is_a_minimum_mirrored(self, economised):
        def mirrored(params, seed):
            said = train(params, seed)
            return said | {"objective": -said["objective"]}

        found = minimize(mirrored, SPACE, n_trials=40, strategy=ECONOMISE, seed=0, tolerance=0.05, direction="maximize")
        assert [trial.params for trial in found.trials] == [trial.params for trial in economised.trials]
        assert (found.best.index, found.economical.index) == (economised.best.index, economised.economical.index)

    def test_without_costs_there_is_nothing_to_economise(self):
        rounds = minimize(lambda p: p["size"], SPACE, n_trials=20, strategy=Hsic(), seed=0).rounds
        assert [r.name for r in rounds] == ["design", "branches", "search"]
        assert rounds[-1].last == 20

    def test_the_further_costs_spread_the_more_trials_look_for_cheaper_ones(self):
        def economy(decades):
            def evaluate(params):
                return {"objective": (params["x"] - 0.3) ** 2, "cost": 10 ** (decades * params["y"])}

            space = SearchSpace({"x": Float(-1, 1), "y": Float(0, 1)})
            last = minimize(evaluate, space, n_trials=40, strategy=Hsic(design_share=0.6), seed=0).rounds[-1]
            return last.last - last.first if last.name == "economise" else 0

        # A tenth of 40 trials for each of 0.8 decades of 1, and a fifth of them at most.
        assert [economy(decades) for decades in (0.0, 1.0, 2.0, 9.0)] == [0, 3, 6, 8]

    def test_without_branches_there_is_one_round(self):
        space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
        found = minimize(lambda p: p["x"] ** 2 + p["y"] ** 2, space, n_trials=30, strategy="hsic", seed=0)
        assert [r.name for r in found.rounds] == ["design", "search"]
        assert found.best.objective < 0.01

    def test_goes_on_where_it_stopped(self, economised, tmp_path):
        stopper = Stopper(after=27)
        part = cut_short(
            train, SPACE, n_trials=40, strategy=ECONOMISE, seed=0, tolerance=0.05, folder=tmp_path, watcher=stopper
        )
        assert part.interrupted
        same(
            minimize(train, SPACE, n_trials=40, strategy=ECONOMISE, seed=0, tolerance=0.05, folder=tmp_path), economised
        )


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
        result = minimize(train, SPACE, n_trials=120, strategy=TwoStep(optimizer="tpe"), seed=0)
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
        result = minimize(train, SPACE, n_trials=24, strategy=TwoStep(), seed=1)
        assert result.rounds[1].note.startswith("proposed by a Gaussian process in the ")
        assert result.best.objective < 0.05

    @pytest.mark.parametrize(("share", "n", "drawn"), [(0.5, 8, 4), (0.1, 20, 4), (0.9, 8, 7), (0.25, 40, 10)])
    def test_share_of_the_design(self, share, n, drawn):
        result = minimize(lambda p: p["rate"], SPACE, n_trials=n, strategy=TwoStep(share, optimizer="random"))
        assert result.rounds[0].last == drawn
        assert len(result.trials) == n

    def test_batches_do_not_wait_for_more_than_themselves(self, asked):
        minimize(train, SPACE, n_trials=18, strategy=TwoStep(0.5, optimizer="random", batch=4))
        assert asked == [(9, 4, 9), (13, 4, 13), (17, 1, 17)]


class TestManyTrials:
    """The hsic strategy with thousands of trials; small numbers stand for them."""

    @pytest.mark.parametrize(("n", "drawn"), [(20, 4), (60, 44)])
    def test_shares_are_of_the_first_trials_and_the_others_are_drawn(self, monkeypatch, n, drawn):
        monkeypatch.setattr(strategies, "MOST_SHARED", 20)
        result = minimize(train, SPACE, n_trials=n, strategy=Hsic(), seed=1)
        assert result.rounds[0].last == drawn
        assert len(result.trials) == n
        # 6% of 20 are a single trial of finals, which two seeds or candidates do not fit in; of 60 they would be 4.
        assert not (result.trials.origin == FINAL).any()

    @pytest.mark.parametrize(("settings", "together"), [({}, 3), ({"batch": 5}, 5)])
    def test_one_for_each_hundred_is_proposed_together(self, monkeypatch, asked, settings, together):
        monkeypatch.setattr(strategies, "PER_BATCH", 10)
        result = minimize(train, SPACE, n_trials=30, strategy=Hsic(**settings), seed=1)
        counts = [count for _, count, _ in asked]
        assert counts[0] == max(counts) == together
        said = {part.note for part in result.rounds if part.name == "search"}
        assert [note.split(",")[0] for note in said] == [f"proposed {together} at a time"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"design_share": 1}, r"`0 < strategy\.design_share < 1` must hold, but got strategy\.design_share=1"),
        ({"alpha": 0}, r"`0 < strategy\.alpha < 1` must hold, but got strategy\.alpha=0; .* 0\.05"),
        ({"batch": 0}, r"`strategy\.batch >= 1` must hold, but got 0"),
        ({"design": "grid"}, r"strategy\.design must be one of random, sobol, latin, but got 'grid'"),
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
        minimize(diverge, SPACE, n_trials=20, strategy=TwoStep(optimizer="cma"))
