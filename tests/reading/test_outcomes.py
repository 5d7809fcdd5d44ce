"""Which rows are trials, how each ended, and which end is good; each right value by hand."""

import numpy as np
import pandas as pd
import pytest

from hsicfast import Float, InputError, SearchSpace, analyse, read_trials
from hsicfast.reading.sources import read_large

TRIALS, STEPS = 30, 5
RNG = np.random.default_rng(0)
RATE, BATCH = RNG.random(TRIALS), RNG.choice([16, 32], TRIALS)
LEVEL = RNG.random(TRIALS)
# The loss falls, and rises again in the last step.
FALL = np.array([4.0, 3.0, 2.0, 0.0, 1.0])


def log(identity="trial_id", **more):
    trial = np.repeat(np.arange(TRIALS), STEPS)
    columns = {identity: [f"t{i:03d}" for i in trial], "epoch": np.tile(np.arange(STEPS), TRIALS)}
    columns |= {"rate": RATE[trial], "batch": BATCH[trial], "loss": LEVEL[trial] + np.tile(FALL, TRIALS)}
    return pd.DataFrame(columns | more)


class TestLogs:
    @pytest.mark.parametrize("identity", ["trial_id", "run_id", "Run ID", "ID", "run"])
    @pytest.mark.parametrize("shuffled", [False, True])
    def test_the_last_row_of_each_trial_counts(self, identity, shuffled):
        given = log(identity).sample(frac=1, random_state=0) if shuffled else log(identity)
        reading = read_trials(given, "loss")
        assert list(reading.space) == ["rate", "batch"]
        assert sorted(reading.table.objective) == pytest.approx(sorted(LEVEL + 1.0))
        assert reading.notes == (
            f"Rows with the same {identity!r} are a log of one trial: of 150 rows the last of each of 30 trials counts "
            "(--rows best takes the best, --rows all every row).",
        )

    def test_or_the_best(self):
        assert sorted(read_trials(log(), "loss", rows="best").table.objective) == pytest.approx(sorted(LEVEL))
        acc = log().assign(acc=lambda frame: -frame["loss"])
        assert sorted(read_trials(acc, "acc", rows="best").table.objective) == pytest.approx(sorted(-LEVEL))
        with pytest.raises(InputError, match="the best row of a trial needs one objective, but got 2; name one"):
            read_trials(acc, ["acc", "loss"], rows="best")

    def test_or_every_row(self):
        reading = read_trials(log(), "loss", rows="all")
        assert len(reading.table) == TRIALS * STEPS
        assert reading.notes == ()
        with pytest.raises(InputError, match=r"`rows` must be one of .*, but got 'first'; 'last' takes"):
            read_trials(log(), "loss", rows="first")

    def test_without_a_step_the_order_of_the_rows_counts(self):
        reading = read_trials(log().drop(columns="epoch"), "loss")
        assert reading.table.objective.tolist() == pytest.approx((LEVEL + 1.0).tolist())

    def test_a_clock_orders_them_too(self):
        given = log().drop(columns="epoch").assign(timestamp=np.arange(TRIALS * STEPS) + 1.7e9)
        assert sorted(read_trials(given[::-1], "loss").table.objective) == pytest.approx(sorted(LEVEL + 1.0))

    def test_a_schedule_within_a_training_changes_nothing(self):
        given = log(learning_rate=RNG.random(TRIALS * STEPS))
        assert len(read_trials(given, "loss").table) == TRIALS

    def test_a_gap_that_is_no_end(self):
        # The loss is written in every second step: 0, 2 and 4, or, one step less, 0 and 2.
        given = log()
        given.loc[given["epoch"] % 2 == 1, "loss"] = np.nan
        assert sorted(read_trials(given, "loss").table.objective) == pytest.approx(sorted(LEVEL + 1.0))
        shorter = read_trials(given[given["epoch"] < 4], "loss").table
        assert sorted(shorter.objective) == pytest.approx(sorted(LEVEL + 2.0))

    def test_a_training_that_diverges_stays_so(self):
        given = log()
        given.loc[(given["trial_id"] == "t003") & (given["epoch"] >= 2), "loss"] = np.nan
        assert read_trials(given, "loss").table.status.tolist() == ["done"] * 3 + ["diverged"] + ["done"] * 26

    def test_the_status_is_that_of_the_last_row(self):
        given = log(state="running")
        given.loc[given["epoch"] == 4, "state"] = "finished"
        given.loc[given["trial_id"] == "t005", "state"] = "running"
        status = read_trials(given, "loss").table.status
        assert status.tolist() == ["done"] * 5 + ["lost"] + ["done"] * 24

    @pytest.mark.parametrize(
        "identity", [{"experiment_id": [1, 2]}, {"study_id": [7, 7]}, {"run_id": ["x", "x"]}, {"run": [0, 1]}]
    )
    def test_an_experiment_is_no_trial(self, identity):
        ((name, two),) = identity.items()
        given = pd.DataFrame({"rate": RATE, "batch": BATCH, name: np.resize(two, TRIALS), "loss": LEVEL})
        reading = read_trials(given, "loss")
        assert (len(reading.table), reading.notes, list(reading.space)) == (TRIALS, (), ["rate", "batch"])

    def test_a_seed_within_an_identity_makes_repeats(self):
        given = log("id").rename(columns={"epoch": "seed"})
        reading = read_trials(given, "loss")
        assert len(reading.table) == TRIALS * STEPS
        found = analyse(reading, pairs=False)
        assert (found.n, found.repeats) == (TRIALS, TRIALS * (STEPS - 1))
        assert sorted(found.trials.objective) == pytest.approx(sorted(LEVEL + FALL.mean()))
        np.testing.assert_allclose(found.trials.metrics["objective_sd"], FALL.std(ddof=1))

    def test_with_a_space(self):
        reading = read_trials(log(), "loss", space=SearchSpace({"rate": Float(0, 1)}))
        assert (len(reading.table), list(reading.space)) == (TRIALS, ["rate"])

    def test_files_that_stay_are_refused(self, tmp_path):
        log().to_parquet(tmp_path / "log.parquet")
        with pytest.raises(InputError, match="rows with the same 'trial_id' are a log of one trial; keep one row"):
            read_large(tmp_path / "log.parquet", "loss")
        assert list(read_large(tmp_path / "log.parquet", "loss", rows="all").space) == ["rate", "batch"]


def test_syne_tune_writes_the_status_of_the_moment():
    given = log().rename(columns={"rate": "config_rate", "batch": "config_batch"})
    given = given.assign(st_decision="CONTINUE", st_status="InProgress", st_worker_iter=given["epoch"])
    number = given["trial_id"].str[1:].astype(int)
    given = given[(given["epoch"] <= 2) | (number >= 10)]  # ten trials come to step 2, of which five are stopped
    given.loc[(number < 5) & (given["epoch"] == 2), "st_decision"] = "STOP"
    given.loc[(number == 20) & (given["epoch"] == 4), "st_status"] = "Failed"
    reading = read_trials(given, "loss")
    assert list(reading.space) == ["rate", "batch"]
    expected = ["pruned"] * 5 + ["lost"] * 5 + ["done"] * 10 + ["diverged"] + ["done"] * 9
    assert reading.table.status.tolist() == expected


# The words of each tool, and what they mean.
WORDS = {
    "Optuna": "COMPLETE done PRUNED pruned FAIL diverged RUNNING lost WAITING lost",
    "W&B": "finished done crashed diverged failed diverged killed lost running lost preempted lost preempting lost",
    "MLflow": "FINISHED done FAILED diverged KILLED lost RUNNING lost SCHEDULED lost",
    "Ray": "TERMINATED done ERROR diverged PENDING lost RUNNING lost",
    "syne-tune": "Completed done Stopped pruned Failed diverged InProgress lost Stopping pruned",
    "KerasTuner": "COMPLETED done INVALID diverged FAILED diverged STOPPED pruned RUNNING lost",
    "SMAC": "SUCCESS done TIMEOUT diverged MEMOUT diverged CRASHED diverged RUNNING lost",
    "Ax": "COMPLETED done FAILED diverged ABANDONED lost EARLY_STOPPED pruned RUNNING lost CANDIDATE lost STAGED lost",
    "Katib": "Succeeded done Failed diverged EarlyStopped pruned MetricsUnavailable lost Killed lost",
    "Neptune": "inactive done active lost Failed diverged",
    "DVC": "Success done Failed diverged Running lost Queued lost",
    "Guild": "completed done error diverged terminated done running lost pending lost",
    "enumerations": "TrialState.COMPLETE done StatusType.CRASHED diverged",
}


class TestStatuses:
    @pytest.mark.parametrize("tool", WORDS)
    @pytest.mark.parametrize("label", ["status", "State", "TRIAL_STATUS", "trial_state"])
    def test_words(self, tool, label):
        words, meant = WORDS[tool].split()[::2], WORDS[tool].split()[1::2]
        many = 40 * len(words)
        given = pd.DataFrame({label: words * 40, "rate": RNG.random(many), "loss": RNG.random(many)})
        reading = read_trials(given, "loss")
        assert reading.table.status.tolist() == meant * 40
        assert (list(reading.space), reading.notes) == (["rate"], ())

    def test_an_unknown_word_sets_its_rows_aside(self, tmp_path):
        words = (["finished"] * 8 + ["hibernating", None]) * 4
        given = pd.DataFrame({"State": words, "rate": RNG.random(40), "loss": RNG.random(40)})
        reading = read_trials(given, "loss")
        assert reading.table.status.tolist() == (["done"] * 8 + ["lost", "done"]) * 4
        note = "No tool is known to call a status 'hibernating', as 'State' does in 4 rows, which are left out."
        assert reading.notes == (note,)
        given.to_parquet(tmp_path / "trials.parquet")
        large = read_large(tmp_path / "trials.parquet", "loss")
        assert large.notes == (note,)
        assert analyse(large, pairs=False).counts == analyse(reading, pairs=False).counts

    def test_most_must_be_known(self):
        given = pd.DataFrame(
            {"state": ["finished", "Ohio", "Utah"] * 10, "rate": RNG.random(30), "loss": RNG.random(30)}
        )
        reading = read_trials(given, "loss")
        assert set(reading.table.status) == {"done"}
        assert "state" in reading.space


class TestDirection:
    def test_a_name_decides_if_nobody_does(self):
        given = pd.DataFrame({"rate": RATE, "val_acc": LEVEL})
        note = "Nobody said which end of val_acc is good: by its name large is (--minimize if small is)."
        assert (read_trials(given, "val_acc").minimize, read_trials(given, "val_acc").notes) == (False, (note,))
        for maximize, minimize in ((True, False), (False, True), ("val_acc", False), ((), True)):
            reading = read_trials(given, "val_acc", maximize=maximize)
            assert (reading.minimize, reading.notes) == (minimize, ())

    @pytest.mark.parametrize("name", ["val_acc", "val_loss"])
    def test_an_analysis_takes_a_reading(self, name, tmp_path):
        given = pd.DataFrame({"rate": RATE, "other": LEVEL, name: RATE})
        given.to_parquet(tmp_path / "trials.parquet")
        for reading in (read_trials(given, name), read_large(tmp_path / "trials.parquet", name)):
            found = analyse(reading, goal=5, pairs=False)
            edge = np.sort(RATE)[-5 if name == "val_acc" else 4]
            assert found.threshold == edge
            assert found.question.law == "ranks"
            # what is given comes first
            assert analyse(reading, goal=5, pairs=False, minimize=True).threshold == np.sort(RATE)[4]
            assert analyse(reading, goal=5, pairs=False, law="space").question.law == "space"
            same = analyse(reading.space, reading.trials, goal=5, pairs=False, minimize=reading.minimize, law="ranks")
            assert repr(same.indices) == repr(found.indices)  # trials in files have importances of NaN

    def test_other_trials_keep_their_direction(self):
        reading = read_trials(pd.DataFrame({"rate": RATE, "val_acc": LEVEL}), "val_acc")
        half = reading.table.select(np.arange(20))
        assert analyse(reading, half, goal=5, pairs=False).threshold == np.sort(LEVEL[:20])[-5]
        assert analyse(reading, half.toward(True), goal=5, pairs=False).threshold == np.sort(LEVEL[:20])[4]
        frame = pd.DataFrame({"rate": RATE, "objective": LEVEL})
        assert analyse(reading, frame, goal=5, pairs=False).threshold == np.sort(LEVEL)[-5]

    def test_a_given_space_has_its_law(self):
        space = SearchSpace({"rate": Float(0, 1)})
        reading = read_trials(pd.DataFrame({"rate": RATE, "loss": LEVEL}), "loss", space=space)
        assert analyse(reading, pairs=False).question.law == "space"

    @pytest.mark.parametrize("alone", [SearchSpace({"rate": Float(0, 1)}), "runs/mine"])
    def test_a_space_and_trials_are_needed(self, alone):
        with pytest.raises(InputError, match=r"needs a space and trials, but got one of them; .* or read_trials\(file"):
            analyse(alone)


class TestRepeats:
    @pytest.mark.parametrize("label", ["seed", "random_state", "fold", "replicate"])
    def test_noise_stays_noise(self, label):
        """At most 4 of 40 tables: with a chance of 5% each, more come up in 1 of 20 (binomial: P(X > 4) = 0.048)."""
        hits = 0
        for number in range(40):
            rng = np.random.default_rng(number)
            rows = np.repeat(np.arange(20), 10)
            columns = {"rate": 10 ** rng.uniform(-5, -1, 20), "width": rng.integers(16, 512, 20)}
            columns |= {"drop": rng.uniform(0, 0.5, 20), "decay": 10 ** rng.uniform(-6, -2, 20)}
            given = pd.DataFrame({name: own[rows] for name, own in columns.items()})
            given[label] = np.tile(np.arange(10), 20)
            given["val_error"] = rng.normal(size=20)[rows] + 0.3 * rng.normal(size=200)
            found = analyse(read_trials(given, "val_error"), pairs=False, seed=number)
            assert (found.n, found.repeats) == (20, 180)
            hits += any(index.pvalue_holm <= 0.05 for index in found.indices)
        assert hits <= 4

    def test_a_grid_with_seeds(self):
        # Six configurations use up their space: only the seeds show that their rows are repeats.
        rows = np.repeat(np.arange(6), 7)
        given = pd.DataFrame({"depth": rows % 3, "kind": np.array(["a", "b"])[rows // 3], "seed": np.tile(range(7), 6)})
        objective = RNG.random(42)
        reading = read_trials(given.assign(loss=objective), "loss")
        assert reading.table.seed.tolist() == given["seed"].tolist()
        found = analyse(reading, pairs=False)
        assert found.n == 6
        assert found.trials.objective.tolist() == pytest.approx(objective.reshape(6, 7).mean(axis=1).tolist())


class TestCells:
    def test_mlflow_guards_what_looks_like_a_formula(self, tmp_path):
        shown = [f"'{value}" if value < 0 else str(value) for value in LEVEL - 0.5]
        given = pd.DataFrame({"Run ID": [f"{k:032x}" for k in range(TRIALS)], "shift": shown, "val_loss": shown})
        given.to_csv(tmp_path / "runs.csv", index=False, quoting=1)
        for source in (given, tmp_path / "runs.csv"):
            table = read_trials(source, "val_loss").table
            assert table.objective.tolist() == table.values["shift"].tolist() == (LEVEL - 0.5).tolist()

    def test_dvc_signs_and_rows(self):
        given = pd.DataFrame({"rev": [f"r{k}" for k in range(TRIALS)], "rate": RATE, "loss": LEVEL.astype(object)})
        given["typ"], given["State"] = ["baseline"] * 2 + ["branch_commit"] * (TRIALS - 2), None
        given.loc[3, ["State", "loss"]] = ["Failed", "!"]
        given.loc[0, "loss"] = "-"
        reading = read_trials(given, "loss")
        assert reading.table.status.tolist() == ["done", "diverged"] + ["done"] * (TRIALS - 4)
        assert list(reading.space) == ["rate"]
        assert reading.notes == ('2 rows of the typ "baseline" are no experiments and are left out.',)

    def test_a_search_by_halving(self):
        pytest.importorskip("sklearn")
        from sklearn.datasets import make_classification
        from sklearn.experimental import enable_halving_search_cv  # noqa: F401
        from sklearn.model_selection import HalvingGridSearchCV
        from sklearn.tree import DecisionTreeClassifier

        x, y = make_classification(200, 8, random_state=0)
        grid = {"max_depth": list(range(1, 7)), "min_samples_leaf": [1, 5, 20]}
        search = HalvingGridSearchCV(DecisionTreeClassifier(random_state=0), grid, cv=3, random_state=0).fit(x, y)
        table = read_trials(pd.DataFrame(search.cv_results_), "mean_test_score").table
        assert len(table) == search.n_candidates_[0] == 18
        assert len(search.cv_results_["params"]) > 18
        last = search.cv_results_["iter"] == search.n_iterations_ - 1
        assert set(search.cv_results_["mean_test_score"][last]) <= set(table.objective)
