"""Infeasible trials, from the word of a training or of a study to the best trial, the analysis and the page."""

import json
import math

import numpy as np
import optuna
import pandas as pd
import pytest
from builders import study_of
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from hsicfast import Float, InputError, SearchSpace, TrialTable, analyse, minimize, read_trials
from hsicfast.formats import frames
from hsicfast.indices.verdicts import trial_notes
from hsicfast.reading import sources
from hsicfast.runs.folder import TRIALS
from hsicfast.search.run_report import chapters, write_report
from hsicfast.trials.constraints import broken, largest, set_apart
from hsicfast.trials.trial import DIVERGED, DONE, INFEASIBLE, LOST, PRUNED

SPACE = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})


def limited(params):
    """Feasible up to a = 0.5; beyond, the objective goes on to fall."""
    return {"objective": 1 - params["a"] + 0.5 * params["b"], "cost": 1 + params["b"], "constraints": params["a"] - 0.5}


class TestBroken:
    def test_only_who_ended_with_a_finite_objective(self):
        status = np.array([DONE, DONE, DONE, PRUNED, PRUNED, DIVERGED, LOST, DONE])
        y = np.array([1.0, 1.0, math.inf, 1.0, math.nan, 1.0, 1.0, 1.0])[:, None]
        limits = np.array([1e-300, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, math.nan])
        assert np.flatnonzero(broken(limits, status, y)).tolist() == [0, 3]

    def test_nothing_changes_without_constraints(self):
        table = TrialTable.from_arrays(SPACE, {"a": [0.1], "b": [0.2]}, [1.0])
        assert set_apart(table, np.zeros(1, dtype=bool), table.objective[:, None], np.full(1, np.nan)) is table

    def test_several_objectives_are_all_kept(self):
        table = TrialTable.from_arrays(SPACE, {"a": [0.1, 0.3], "b": [0.2, 0.4]}, [0.0, 0.0])
        found = set_apart(table, np.array([False, True]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 9.0]))
        kept = [found.metrics[f"infeasible_objective_{k}"][1] for k in (0, 1)]
        assert (kept, found[1].failure, found[1].status) == ([3.0, 4.0], INFEASIBLE, DIVERGED)

    @pytest.mark.parametrize(("own", "most"), [([0.0, -1.0], 0.0), ([math.nan, -1.0], math.inf), ([], math.nan)])
    def test_the_largest(self, own, most):
        np.testing.assert_equal(largest(own), most)


class TestStudies:
    @pytest.fixture
    def study(self, monkeypatch):
        """400 trials of the case: the infeasible ones have the lowest values."""

        def objective(trial):
            a, b = trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)
            trial.suggest_float("c", 0, 1)
            trial.set_constraint("limit", a - 0.5)
            trial.set_constraint("other", -1.0)
            return -a + 0.5 * b

        def with_constraints(source, study=None):
            found = frames.read_frame(source, study)
            if "constraint" in found.beside:
                return found
            limits = [largest(source.trials[number].constraints.values()) for number in found.frame.index]
            return found._replace(
                frame=found.frame.assign(constraint=limits), beside={**found.beside, "constraint": "of the study"}
            )

        monkeypatch.setattr(sources, "read_frame", with_constraints)
        made = optuna.create_study(sampler=RandomSampler(seed=1))
        made.optimize(objective, n_trials=400)
        return made

    def test_the_best_is_the_studys_own(self, study):
        table = read_trials(study).table
        assert table.best().params == study.best_trial.params
        ignored = read_trials(study, constraints="ignore").table
        assert ignored.best().params == min(study.trials, key=lambda trial: trial.value).params
        assert not ignored.metrics

    def test_no_infeasible_trial_is_good(self, study):
        table = read_trials(study).table
        beyond = np.array([trial.params["a"] > 0.5 for trial in study.trials])
        assert 100 < beyond.sum() < 300
        assert table.status.tolist() == np.where(beyond, DIVERGED, DONE).tolist()
        assert table.failure.tolist() == np.where(beyond, INFEASIBLE, "").tolist()
        values = [trial.value for trial in study.trials]
        np.testing.assert_array_equal(table.metrics["infeasible_objective"], np.where(beyond, values, np.nan))
        found = analyse(table.space, table, law="ranks", pairs=False, goal=0.1, failed="drop")
        assert found.n == 400
        assert (found.trials.values["a"][found.met] <= 0.5).all()
        assert found.infeasible == beyond.sum()
        assert trial_notes(found) == [f"{beyond.sum()} of 400 trials are infeasible and count as not good."]
        assert list(table.space) == ["a", "b", "c"]

    def test_what_none_dominates_is_the_studys_own_front(self, study):
        both = optuna.create_study(directions=["minimize", "maximize"])
        for trial in study.trials:
            both.add_trial(
                optuna.create_trial(
                    params=trial.params,
                    distributions=trial.distributions,
                    values=[trial.value, trial.params["b"]],
                    constraints=trial.constraints,
                )
            )
        table = read_trials(both).table
        front = {trial.number for trial in both.best_trials}
        assert set(table.index[table.objective == 0].tolist()) == front
        assert set(table.metrics) == {"infeasible_objective_0", "infeasible_objective_1", "largest_constraint"}

    def test_a_failed_or_unfinished_trial_keeps_its_own_end(self, study):
        same = {"params": study.trials[0].params, "distributions": study.trials[0].distributions}
        study.add_trial(optuna.create_trial(state=TrialState.FAIL, constraints={"limit": 1.0}, **same))
        study.add_trial(optuna.create_trial(state=TrialState.PRUNED, constraints={"limit": 1.0}, **same))
        stopped = {"state": TrialState.PRUNED, "intermediate_values": {3: -9.0}, "constraints": {"limit": 1.0}}
        study.add_trial(optuna.create_trial(**stopped, **same))
        table = read_trials(study).table
        assert table.status[-3:].tolist() == [DIVERGED, PRUNED, DIVERGED]
        assert table.failure[-3:].tolist() == ["", "", INFEASIBLE]
        assert table.metrics["infeasible_objective"][-1] == -9.0

    def test_an_option_that_there_is_not(self, study):
        with pytest.raises(InputError, match=r"constraints must be one of \('miss', 'ignore'\), but got 'drop'"):
            read_trials(study, constraints="drop")

    def test_a_column_of_a_frame_is_no_constraint_of_its_own(self):
        frame = pd.DataFrame({"x": np.arange(9.0), "constraint": np.arange(9.0) - 4, "value": np.arange(9.0)})
        assert (read_trials(frame).table.status == DONE).all()


class TestRuns:
    @pytest.mark.parametrize("options", [{}, {"max_cost": 1.4}, {"repeats": 2}])
    @pytest.mark.parametrize("strategy", ["random", "two_step", "hsic"])
    def test_no_strategy_takes_an_infeasible_trial_for_the_best(self, strategy, options):
        known = {}

        def evaluate(params, seed):
            known[params["a"], params["b"]] = limited(params)
            return limited(params)

        result = minimize(evaluate, SPACE, n_trials=24, strategy=strategy, seed=3, **options)
        most = options.get("max_cost", math.inf)
        able = [own["objective"] for (a, _), own in known.items() if a <= 0.5 and own["cost"] <= most]
        assert min(own["objective"] for own in known.values()) < min(able)
        assert result.best.objective == pytest.approx(min(able), abs=1e-12)
        for trial in (result.best, result.economical, *result.front):
            assert trial.params["a"] <= 0.5
            assert trial.cost <= most
        beyond = result.trials.failure == INFEASIBLE
        assert beyond.tolist() == [trial.params["a"] > 0.5 for trial in result.trials]
        assert beyond.any()
        table = result.trials.select(beyond)
        assert (table.status == DIVERGED).all()
        kept = [known[trial.params["a"], trial.params["b"]]["objective"] for trial in table]
        np.testing.assert_allclose(table.metrics["infeasible_objective"], kept, rtol=1e-12)

    def test_an_optimiser_avoids_what_is_infeasible(self):
        # Drawn from the space, half of the trials are infeasible; 3.5 standard deviations of the binomial below it.
        result = minimize(limited, SPACE, n_trials=60, strategy="hsic", seed=0)
        proposed = result.trials.select(result.trials.origin == "search")
        n = len(proposed)
        assert np.count_nonzero(proposed.failure == INFEASIBLE) < n / 2 - 3.5 * math.sqrt(n) / 2
        assert result.best.objective < 0.53  # 0.5 is the least that is feasible

    def test_the_word_is_everywhere(self, tmp_path):
        result = minimize(limited, SPACE, n_trials=16, strategy="random", seed=0, folder=tmp_path)
        beyond = result.trials.failure == INFEASIBLE
        n = int(beyond.sum())
        assert 1 < n < 16
        write_report(tmp_path, result, title="t", metric="m", test_metric=None, cost="c", tests={}, planned=16)
        frame = pd.read_csv(tmp_path / TRIALS)
        assert (frame["failure"] == INFEASIBLE).tolist() == beyond.tolist()
        assert frame["infeasible_objective"].notna().tolist() == beyond.tolist()
        assert (frame["largest_constraint"] > 0).tolist() == beyond.tolist()
        study = sorted(study_of(tmp_path).trials, key=lambda trial: trial.user_attrs["index"])
        assert [trial.user_attrs["failure"] == INFEASIBLE for trial in study] == beyond.tolist()
        (log,) = tmp_path.glob("*.jsonl")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert sum(line.get("failure") == INFEASIBLE for line in lines) == n
        page = (tmp_path / "report.html").read_text()
        assert f"{n} of 16 trials are infeasible and count as not good." in page
        assert "have no finite objective" not in page
        assert chapters(result)[0].did.endswith(f", {n} infeasible")
        again = minimize(limited, SPACE, n_trials=16, strategy="random", seed=0, folder=tmp_path)
        pd.testing.assert_frame_equal(again.trials.to_frame(), result.trials.to_frame())

    def test_where_all_are_infeasible(self):
        with pytest.raises(InputError, match="all 8 diverged, most often with 'a constraint is above 0'; correct"):
            minimize(lambda params: {"objective": 1.0, "constraints": 1}, SPACE, n_trials=8, strategy="random")
