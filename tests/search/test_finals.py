"""The finalists: who they are, what fresh seeds say of them, who wins, and whole runs."""

import json
import math
import os
import signal
import statistics

import numpy as np
import pytest

from hsicfast.runs.results import read_results
from hsicfast.runs.watcher import Watcher
from hsicfast.search.finals import (
    Final,
    best_and_economical,
    final_plan,
    finalists,
    finals_of,
    network_to_keep,
    seed_noise,
)
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import Hsic
from hsicfast.space.search_space import Choice, Float, SearchSpace
from hsicfast.training.executors import Processes
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, FINAL, LOST, SEARCH, Trial, trial_seed

SPACE = SearchSpace({"x": Choice([0, 1, 2, 3, 4, 5])})
NAN = math.nan


def trials(*rows):
    """Trials in their order, each (x, objective) and perhaps origin and cost; "lost" and "diverged" are statuses."""
    made = []
    for index, (x, objective, *rest) in enumerate(rows):
        origin, cost = (*rest, *(SEARCH, NAN)[len(rest) :])
        status = objective if isinstance(objective, str) else DONE
        value = NAN if isinstance(objective, str) else objective
        made.append(Trial(index, {"x": x}, value, cost, status, origin))
    return made


def table_of(*rows, minimize=True):
    return TrialTable.from_trials(SPACE, trials(*rows), minimize)


def decided(rows, tolerance=None, minimize=True):
    """Indices of the best and of the economical trial."""
    table = TrialTable.from_trials(SPACE, trials(*rows), minimize)
    return tuple(trial.index for trial in best_and_economical(table, finals_of(table), tolerance))


@pytest.mark.parametrize(
    ("count", "plan"),
    [
        (0, (0, 0)),
        (1, (0, 0)),
        (2, (2, 1)),
        (3, (3, 1)),
        (4, (2, 2)),
        (5, (2, 2)),
        (6, (3, 2)),
        (7, (3, 2)),
        (8, (4, 2)),
    ],
)
def test_plan(count, plan):
    assert final_plan(count) == plan


class TestFinalists:
    ROWS = ((0, 0.5, DESIGN), (1, 0.2), (1, 0.1), (2, LOST), (3, DIVERGED), (4, 0.2), (5, 0.2), (4, 0.0, FINAL))

    def test_the_best_different_configurations_the_earliest_of_equals(self):
        assert [trial.index for trial in finalists(table_of(*self.ROWS), 3)] == [2, 5, 6]
        assert [trial.index for trial in finalists(table_of(*self.ROWS), 9)] == [2, 5, 6, 0]
        assert [trial.index for trial in finalists(table_of(*self.ROWS, minimize=False), 2)] == [0, 1]
        assert finalists(table_of((2, LOST)), 2) == []


class TestFinalsOf:
    def test_by_hand(self):
        rows = [(0, 0.1), (1, 0.2), (2, 0.3), (0, 2.0, FINAL), (1, 1.0, FINAL), (0, 4.0, FINAL), (1, 1.0, FINAL)]
        assert finals_of(table_of(*rows)) == (Final(1, 2, 0, 1.0, 0.0), Final(0, 2, 0, 3.0, math.sqrt(2)))
        assert [final.trial for final in finals_of(table_of(*rows, minimize=False))] == [0, 1]
        assert finals_of(table_of(*rows[:3])) == ()

    def test_equals_are_in_the_order_in_which_they_were_chosen(self):
        rows = [(0, 0.3), (1, 0.1), (2, 0.2), (0, 1.0, FINAL), (1, 1.0, FINAL), (2, 1.0, FINAL)]
        assert [final.trial for final in finals_of(table_of(*rows))] == [1, 2, 0]

    def test_diverged_is_evidence_and_lost_is_none(self):
        rows = [(0, 0.1), (1, 0.2), (2, 0.3)]
        rows += [(0, 0.0, FINAL), (1, 0.5, FINAL), (2, LOST, FINAL), (0, DIVERGED, FINAL), (1, LOST, FINAL)]
        found = finals_of(table_of(*rows))
        assert repr(found) == repr((Final(1, 1, 0, 0.5, NAN), Final(0, 2, 1, NAN, NAN), Final(2, 0, 0, NAN, NAN)))


class TestBestAndEconomical:
    def test_fresh_seeds_alone_choose_the_winner(self):
        assert decided([(0, 0.1), (1, 0.2), (0, 0.3, FINAL), (1, 0.25, FINAL)])[0] == 1
        assert decided([(0, 0.1), (1, 0.2), (0, 0.3, FINAL), (1, 0.25, FINAL)], minimize=False)[0] == 0

    def test_without_finals_and_where_all_of_them_diverged_the_trials_say_it(self):
        rows = [(0, 0.1, SEARCH, 9.0), (1, 0.101, SEARCH, 4.0), (2, 0.2, SEARCH, 1.0)]
        assert decided(rows) == (0, 1)
        assert decided([*rows, (0, DIVERGED, FINAL), (1, DIVERGED, FINAL)]) == (0, 1)

    def test_a_lucky_fresh_trial_is_never_the_best(self):
        assert decided([(0, 0.5), (1, 0.6), (0, 0.01, FINAL), (1, 0.9, FINAL)]) == (0, 0)

    # The winner is trial 0: 1.0 when it was chosen, 2.0 with fresh seeds, cost 9.
    WINNER = ((0, 1.0, SEARCH, 9.0), (0, 2.0, FINAL), (1, 2.5, FINAL))

    @pytest.mark.parametrize(
        ("others", "economical"),
        [
            # A finalist goes by its mean: within a twentieth of 2.0, or not, whatever it was when it was chosen.
            ([(1, 1.2, SEARCH, 5.0), (1, 1.7, FINAL)], 3),  # a mean of 2.1
            ([(1, 1.01, SEARCH, 5.0)], 0),  # a mean of 2.5
            ([(1, 1.01, SEARCH, 5.0), (1, DIVERGED, FINAL)], 0),
            # Another trial of a finalist's configuration is judged with it.
            ([(1, 1.01, SEARCH, 5.0), (1, 1.02, SEARCH, 4.0)], 0),
            # Any other goes by its objective: within a twentieth of 1.0, not of 2.0.
            ([(1, 1.01), (2, 1.05, SEARCH, 5.0)], 4),
            ([(1, 1.01), (2, 1.06, SEARCH, 5.0)], 0),
            ([(1, 1.01), (2, 1.05, SEARCH, 5.0), (3, 1.02, SEARCH, 4.0)], 5),
            ([(1, 1.01), (2, DIVERGED, SEARCH, 1.0), (3, LOST, SEARCH, 1.0)], 0),
            # Of equal cost the winner, although another was better when it was chosen.
            ([(1, 0.9, SEARCH, 9.0), (1, 1.7, FINAL)], 0),
            # What it costs is unknown: not cheap.
            ([(1, 1.01), (2, 1.05, SEARCH, NAN)], 0),
        ],
    )
    def test_like_is_compared_with_like(self, others, economical):
        rows = [*self.WINNER, *others]
        assert decided(rows) == (0, economical)
        mirrored = [(x, objective if isinstance(objective, str) else -objective, *rest) for x, objective, *rest in rows]
        assert decided(mirrored, minimize=False) == (0, economical)

    def test_the_tolerance_is_in_the_unit_of_the_objective(self):
        rows = [*self.WINNER, (1, 1.01), (2, 1.3, SEARCH, 5.0)]
        assert decided(rows, tolerance=0.3) == (0, 4)
        assert decided(rows, tolerance=0.2) == (0, 0)

    def test_what_is_no_further_off_than_the_seeds_scatter_is_as_good(self):
        # Fresh trials of 1.9 and 2.1, and of 2.3 and 2.5: a deviation of 0.14 each.
        rows = [(0, 1.0, SEARCH, 9.0), (1, 1.01), (0, 1.9, FINAL), (0, 2.1, FINAL), (1, 2.3, FINAL), (1, 2.5, FINAL)]
        assert decided([*rows, (2, 1.14, SEARCH, 5.0)]) == (0, 6)
        assert decided([*rows, (2, 1.15, SEARCH, 5.0)]) == (0, 0)
        # Who gives a tolerance means it.
        assert decided([*rows, (2, 1.14, SEARCH, 5.0)], tolerance=0.1) == (0, 0)
        assert decided([*rows, (2, 1.2, SEARCH, 5.0)], tolerance=0.2) == (0, 6)


def test_of_the_networks_of_a_configuration_the_best_is_kept():
    rows = [(0, 0.5), (1, 0.1), (0, 0.3, FINAL), (0, 0.3, FINAL), (0, DIVERGED, FINAL), (1, 0.2, FINAL)]
    table = TrialTable.from_trials(SPACE, trials(*rows), minimize)
    assert [network_to_keep(table, table[row]).index for row in (0, 1)] == [2, 1]
    assert [network_to_keep(table.toward(False), table[row]).index for row in (0, 1)] == [0, 5]


def test_noise_is_pooled_over_the_finalists():
    assert seed_noise(()) == 0
    assert seed_noise([Final(0, 1, 0, 1.0, NAN)]) == 0
    # Each deviation counts by its n - 1: (2 * 0.3^2 + 1 * 0.6^2) / 3.
    assert seed_noise([Final(0, 3, 0, 1.0, 0.3), Final(1, 2, 0, 1.0, 0.6), Final(2, 1, 0, 1.0, NAN)]) == pytest.approx(
        math.sqrt(0.18)
    )


def noisy(params, seed):
    """The best is at x = 0.3; a trial is off by up to 0.5."""
    return {
        "objective": (params["x"] - 0.3) ** 2 + np.random.default_rng(seed).random() / 2,
        "cost": 100 ** params["y"],
    }


def exact(params):
    return {"objective": (params["x"] - 0.3) ** 2, "cost": 100 ** params["y"]}


PLANE = SearchSpace({"x": Float(-1, 1), "y": Float(0, 1)})
SHORT = Hsic(design_share=0.5, final_share=0.3)


class Stopper(Watcher):
    def __init__(self, after):
        self.after = after

    def on_trial(self, trial, stored):
        if trial.index + 1 == self.after:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole():
    return minimize(noisy, PLANE, n_trials=20, strategy=SHORT, seed=5)


class TestRuns:
    def test_after_the_search_the_best_few_are_trained_again(self, whole):
        assert [(r.name, r.first, r.last) for r in whole.rounds] == [
            ("design", 0, 10),
            ("spend", 10, 11),
            ("finals", 11, 17),
            ("economise", 17, 20),
        ]
        assert whole.rounds[2].note == "that train the best 3 configurations again, with fresh seeds"
        assert whole.trials.origin.tolist()[11:] == ["final"] * 6 + ["search"] * 3
        candidates = sorted(list(whole.trials)[:11], key=lambda trial: trial.objective)[:3]
        assert [trial.params for trial in whole.trials][11:17] == [trial.params for trial in candidates] * 2
        assert [trial.seed for trial in whole.trials] == [trial_seed(5, index) for index in range(20)]
        assert {final.trial for final in whole.finals} == {trial.index for trial in candidates}

    def test_what_is_cheaper_is_looked_for_as_far_off_as_the_seeds_scatter(self, whole):
        limit = whole.best.objective + max(0.05 * whole.best.objective, seed_noise(whole.finals))
        assert whole.rounds[3].note == f"proposed to be cheap, with an objective as good as {limit:.6g}"

    def test_the_winner_has_the_best_mean(self, whole):
        means = {
            candidate: statistics.fmean(
                trial.objective for trial in list(whole.trials)[11:17] if trial.params == whole.trials[candidate].params
            )
            for candidate in (final.trial for final in whole.finals)
        }
        assert [(final.trial, final.mean, final.n) for final in whole.finals] == [
            (candidate, means[candidate], 2) for candidate in sorted(means, key=means.__getitem__)
        ]
        assert whole.best == whole.trials[whole.finals[0].trial]

    def test_the_analysis_does_not_see_them(self, whole):
        assert set(whole.sensitivity.trials.origin) == {"design"}

    def test_without_a_seed_nothing_is_noisy(self):
        result = minimize(exact, PLANE, n_trials=20, strategy=SHORT, seed=5)
        assert result.finals == ()
        assert result.rounds[-1].name == "economise"
        assert "final" not in result.trials.origin
        assert len(result.trials) == 20

    @pytest.mark.parametrize("share", [0, 0.05])
    def test_without_two_candidates_there_are_none(self, share):
        result = minimize(noisy, PLANE, n_trials=20, strategy=Hsic(final_share=share), seed=5)
        assert result.finals == ()
        assert (len(result.trials), result.rounds[-1].name) == (20, "economise")

    def test_more_trials_than_are_left_and_fewer_configurations_than_planned(self):
        space = SearchSpace({"kind": Choice(["a", "b"])})
        result = minimize(
            lambda params, seed: seed / 2**31,
            space,
            n_trials=20,
            strategy=Hsic(design_share=0.35, final_share=0.9),
            seed=0,
        )
        assert [(r.name, r.first, r.last) for r in result.rounds] == [("design", 0, 7), ("finals", 7, 20)]
        assert sorted(final.n for final in result.finals) == [6, 7]

    @pytest.mark.parametrize("after", [11, 14])
    def test_cut_short_they_choose_nothing_and_the_run_goes_on(self, whole, tmp_path, after):
        part = minimize(noisy, PLANE, n_trials=20, strategy=SHORT, seed=5, folder=tmp_path, watcher=Stopper(after))
        assert (part.interrupted, len(part.trials), part.finals) == (True, after, ())
        assert part.best.index == int(np.argmin(whole.trials.objective[:11]))
        again = minimize(noisy, PLANE, n_trials=20, strategy=SHORT, seed=5, folder=tmp_path)
        assert again.trials.to_frame().equals(whole.trials.to_frame())
        assert (again.best.index, again.economical.index, again.finals) == (
            whole.best.index,
            whole.economical.index,
            whole.finals,
        )
        assert read_results(tmp_path)[16].origin == FINAL
        assert json.loads((tmp_path / "settings.json").read_text())["strategy"]["final_share"] == 0.3

    def test_the_same_in_processes(self, whole):
        again = minimize(noisy, PLANE, n_trials=20, strategy=SHORT, seed=5, executor=Processes(workers=2))
        assert again.trials.to_frame().equals(whole.trials.to_frame())
        assert again.finals == whole.finals

    def test_what_turned_out_too_dear_is_no_finalist(self):
        def better_where_dear(params, seed):
            return {"objective": -params["y"] + seed / 2**34, "cost": 1 + params["y"]}

        found = minimize(better_where_dear, PLANE, n_trials=20, strategy=SHORT, seed=5, max_cost=1.5)
        before = [trial for trial in found.trials if trial.origin != FINAL]
        assert min(before, key=lambda trial: trial.objective).cost > 1.5
        assert len(found.finals) == 3
        assert all(found.trials[final.trial].cost <= 1.5 for final in found.finals)
        assert found.best.cost <= 1.5
        assert found.economical.cost <= 1.5

    def test_with_several_seeds_a_trial(self):
        result = minimize(noisy, PLANE, n_trials=20, strategy=SHORT, seed=5, repeats=2)
        assert len(result.finals) == 3
        assert np.isfinite(result.trials.metrics["objective_sd"]).all()
