"""What a column is: by its source, by a tool's prefix, by bookkeeping, by metrics; each right value by hand."""

import re

import numpy as np
import pandas as pd
import pytest

from hsicfast import Choice, Float, InputError, Int, SearchSpace, TrialTable, read_trials
from hsicfast.formats.found import Found
from hsicfast.reading.conventions import large_is_good, words_of
from hsicfast.reading.guess import guess_space
from hsicfast.reading.looks import Asked
from hsicfast.reading.roles import RULES, roles_of

N = 120
RNG = np.random.default_rng(0)
RATE = 10 ** RNG.uniform(-5, -1, N)
BATCH = RNG.choice([16, 32, 64], N)
LOSS = (np.log10(RATE) + 3) ** 2 + 0.1 * RNG.normal(size=N)


def frame(**more):
    return pd.DataFrame({"rate": RATE, "batch": BATCH} | more | {"val_loss": LOSS})


def names_in(given, objective="val_loss", **options):
    return list(read_trials(given, objective, **options).space)


def codes(digits):
    return [f"a{i:0{digits - 1}x}" for i in range(N)]


# Columns as each tool writes them beside two hyperparameters, which are called rate and batch.
TOOLS = {
    "scikit-learn": (
        {
            "mean_fit_time": RNG.random(N),
            "param_rate": RATE,
            "param_batch": BATCH,
            "params": [{"rate": rate} for rate in RATE],
            "split0_test_score": -LOSS,
            "std_test_score": RNG.random(N),
            "rank_test_score": np.argsort(np.argsort(LOSS)) + 1,
            "mean_test_score": -LOSS,
        },
        "mean_test_score",
    ),
    "Optuna": (
        {"number": range(N), "value": LOSS, "duration": RNG.random(N), "params_rate": RATE, "params_batch": BATCH},
        "value",
    ),
    "MLflow": (
        {"run_id": codes(32), "params.rate": RATE, "params.batch": BATCH, "metrics.l": LOSS, "metrics.acc": -LOSS},
        "l",
    ),
    "MLflow's browser": (
        {
            "Start Time": [f"2026-03-{1 + i // 20:02d} 10:{i % 20:02d}:00" for i in range(N)],
            "Duration": [f"{12 + i % 6}.{i % 2}min" for i in range(N)],
            "Run ID": codes(32),
            "Name": [f"run_{i}" for i in range(N)],
            "Source Type": "LOCAL",
            "Source Name": RNG.choice(["fit.py", "train.py"], N),
            "User": RNG.choice(["ann", "bob"], N),
            "Status": "FINISHED",
            "batch": BATCH,
            "rate": RATE,
            "val_loss": LOSS,
        },
        "val_loss",
    ),
    "Ray": (
        {
            "loss": LOSS,
            "time_total_s": RNG.random(N),
            "training_iteration": RNG.integers(1, 9, N),
            "trial_id": codes(8),
            "date": "2026-03-01_10-00-00",
            "pid": RNG.integers(1000, 9000, N),
            "config/rate": RATE,
            "config/batch": BATCH,
        },
        "loss",
    ),
    "W&B's browser": (
        {
            "Name": [f"swift-{i}" for i in range(N)],
            "State": "finished",
            "Notes": "-",
            "User": RNG.choice(["ann", "bob"], N),
            "Tags": RNG.choice(["x", "y"], N),
            "Created": "2026-03-01T10:00:00.000Z",
            "Runtime": RNG.integers(100, 9000, N),
            "Sweep": RNG.choice(["ab12", "cd34"], N),
            "batch": BATCH,
            "rate": RATE,
            "_step": RNG.integers(1, 9, N),
            "train/loss": LOSS + RNG.normal(size=N),
            "val_loss": LOSS,
        },
        "val_loss",
    ),
    "W&B's records": ({"config.rate": RATE, "config.batch": BATCH, "summary.l": LOSS, "summary._step": BATCH}, "l"),
    "syne-tune": (
        {"epoch": 3, "l": LOSS, "st_worker_time": RNG.random(N), "trial_id": range(N)}
        | {"config_rate": RATE, "config_batch": BATCH, "st_status": "Completed"},
        "l",
    ),
    "Neptune": (
        {"sys/id": codes(8), "sys/size": RNG.random(N), "parameters/rate": RATE, "parameters/batch": BATCH, "m": LOSS},
        "m",
    ),
    "TensorBoard": ({"hp/rate": RATE, "hparams/x": 1, "hp/batch": BATCH, "hparam/acc": -LOSS, "l": LOSS}, "l"),
    "Ax": (
        {"trial_index": range(N), "arm_name": [f"{i}_0" for i in range(N)], "trial_status": "COMPLETED"}
        | {"generation_method": RNG.choice(["Sobol", "BoTorch"], N), "l": LOSS, "rate": RATE, "batch": BATCH},
        "l",
    ),
    "Katib": (
        {"trialName": codes(8), "Status": "Succeeded", "--rate": RATE, "--batch": BATCH, "Validation-accuracy": -LOSS},
        "Validation-accuracy",
    ),
    "DVC": (
        {"Experiment": codes(6), "rev": codes(7), "typ": RNG.choice(["branch_commit", "branch_base"], N)}
        | {"metrics.json:l": LOSS, "metrics.json:acc": -LOSS, "params.yaml:rate": RATE, "params.yaml:batch": BATCH},
        "metrics.json:l",
    ),
    "Guild": (
        {"run": codes(8), "operation": "train", "started": "2026-03-01 10:00:00", "status": "completed"}
        | {"time": [f"0:0{i % 7}:{10 + i % 40}" for i in range(N)], "label": RNG.choice(["x", "y"], N)}
        | {"rate": RATE, "batch": BATCH, "step": RNG.integers(1, 900, N), "loss": LOSS},
        "loss",
    ),
    "Aim": ({"run.hash": codes(8), "run.name": codes(8), "hparams.rate": RATE, "hparams.batch": BATCH, "l": LOSS}, "l"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_writes(tool, tmp_path):
    columns, objective = TOOLS[tool]
    given = pd.DataFrame(columns)
    given.to_csv(tmp_path / "trials.csv", index=False)
    for source in (given, tmp_path / "trials.csv"):
        table = read_trials(source, objective).table
        bare = {name.removeprefix("hp/") for name in table.space}
        assert bare == {"rate", "batch"}
        rate = next(name for name in table.space if name.endswith("rate"))
        np.testing.assert_allclose(table.values[rate].astype(float), RATE)


@pytest.mark.parametrize("prefix", ["param_", "params_", "config_"])
def test_a_prefix_that_people_use_too_needs_more_signs(prefix):
    size = RNG.choice([1.5, 2.5], N)
    assert names_in(frame(**{f"{prefix}size": size})) == ["rate", "batch", f"{prefix}size"]
    only = pd.DataFrame({f"{prefix}rate": RATE, f"{prefix}size": size, "time": RNG.random(N), "val_loss": LOSS})
    assert names_in(only) == ["rate", "size"]


MEASURED = {
    "train_loss": LOSS + RNG.normal(size=N),
    "loss_val": RNG.random(N),
    "valAcc": RNG.random(N),
    "f1_score": RNG.random(N),
    "test/rmse": RNG.random(N),
    "time": RNG.random(N),
    "fit_time_s": RNG.random(N),
    "time_this_iter_s": RNG.random(N),
    "epoch": RNG.integers(1, 9, N),
    "train_time": RNG.choice([20, 30, 40], N),
    "best_epoch": RNG.integers(1, 9, N),
    "train_loss_epoch": RNG.random(N),
    "max_val_acc": RNG.random(N),
    "epochs": np.rint(20 + 5 * LOSS**3).astype(int),  # stopped early: many values that go with the loss
    "quality": np.exp(LOSS),  # after the objective in the test below
    "gpu_mem": RNG.random(N),
    "fit_seconds": [f"{v:.2f}" for v in RNG.random(N)],
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_a_run_measures_is_left_out_and_comes_in_if_asked_for(name):
    given = pd.DataFrame({"rate": RATE, "batch": BATCH, "val_loss": LOSS, name: MEASURED[name]})
    guess = read_trials(given, "val_loss").guess
    assert list(guess.space) == ["rate", "batch"]
    assert guess.left_out[name].endswith("; name it in --only to judge it")
    assert names_in(given, only=["rate", name]) == ["rate", name]


SETTINGS = {
    "loss": RNG.choice(["hinge", "log"], N),
    "score_function": RNG.choice(["a", "b"], N),
    "epochs": RNG.choice([10, 20, 50], N),
    "n_epochs": RNG.integers(5, 100, N),
    "max_epochs": RNG.choice([5, 10], N),
    "max_iter": RNG.choice([100, 200, 500], N),
    "time_steps": RNG.integers(8, 64, N),
    "time_step": 10 ** RNG.uniform(-3, -1, N),
    "label_smoothing": RNG.uniform(0, 0.2, N),
    "loss_weight": RNG.random(N),
    "lambda_dice": RNG.random(N),
    "early_stopping_rounds": RNG.integers(10, 100, N),
    "precision": RNG.choice([16, 32], N),
    "reward_scale": RNG.lognormal(size=N),
    "warmup_steps": RNG.integers(0, 1000, N),
    "lora_rank": RNG.choice([4, 8, 16], N),
    "error_tolerance": 10 ** RNG.uniform(-6, -1, N),
    "stop_loss": RNG.uniform(0, 0.1, N),
    "timeframe": RNG.choice(["1m", "5m", "1h"], N),
    "seed_length": RNG.integers(1, 9, N),
    "name_embedding": RNG.choice(["a", "b"], N),
    "number": RNG.choice([1, 2, 3], N),
    "key": RNG.lognormal(size=N),
    "deep": pd.Categorical(RNG.choice(["loss", "time"], N)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_called_like_something_else_stay(name):
    assert name in names_in(frame(**{name: SETTINGS[name]}))
    assert name in names_in(pd.DataFrame({"val_loss": LOSS, "rate": RATE, name: SETTINGS[name]}))


def test_a_setting_that_decides_alone_stays():
    for draw in (RNG.random(N), 10 ** RNG.uniform(-5, 0, N), RNG.integers(1, 99, N), RNG.choice([1, 2, 3, 5], N)):
        assert names_in(pd.DataFrame({"val_loss": np.log(draw), "alpha": draw, "batch": BATCH})) == ["alpha", "batch"]


BOOKKEEPING = {
    "trial": range(N),
    "counter": range(100, 100 + N),
    "steps of two": range(0, 2 * N, 2),
    "run_id": codes(8),
    "uuid": [f"{i:08x}-0000-4000-8000-000000000000" for i in range(N)],
    "which": [f"{i % 7:04x}beef1" for i in range(N)],
    "random_state": RNG.integers(0, 5, N),
    "model__random_state": RNG.integers(0, 5, N),
    "data_seed": RNG.integers(0, 5, N),
    "fold": RNG.integers(0, 5, N),
    "started_at": 1.7e9 + np.sort(RNG.random(N)) * 1e5,
    "when": [f"2026-03-01 10:{i % 60:02d}:00" for i in range(N)],
    "took": [f"{i % 9}m {i % 50}s" for i in range(N)],
    "elapsed": pd.to_timedelta(RNG.random(N), unit="s"),
    "host": RNG.choice(["a", "b"], N),
    "git_commit": RNG.choice(["abc", "def"], N),
    "checkpoint_at": RNG.choice(["/home/a/1", "/home/a/2"], N),
    "_runtime": RNG.choice([1.5, 2.5], N),
    "dataset_id": RNG.permutation(N),
}


@pytest.mark.parametrize("name", BOOKKEEPING)
def test_bookkeeping(name):
    guess = read_trials(frame(**{name: BOOKKEEPING[name]}), "val_loss").guess
    assert list(guess.space) == ["rate", "batch"]
    assert name in guess.left_out


def test_a_single_hyperparameter_in_steps_is_judged():
    assert names_in(pd.DataFrame({"width": range(1, 31), "const": 3, "val_loss": RNG.random(30)})) == ["width"]


def test_our_own_table(tmp_path):
    space = SearchSpace({"loss_weight": Float(0, 1), "epoch": Int(1, 9)})
    table = TrialTable.from_arrays(space, {"loss_weight": RNG.random(N), "epoch": RNG.integers(1, 10, N)}, LOSS)
    own = table.to_frame()
    own.insert(own.columns.get_loc("failure"), "other", RNG.random(N))
    own.to_csv(tmp_path / "trials.csv", index=False)
    for source in (own, tmp_path / "trials.csv"):
        reading = read_trials(source)
        assert (list(reading.space), reading.objective) == (["loss_weight", "epoch"], "objective")


class TestStated:
    def test_the_source_comes_first(self, monkeypatch):
        given = frame(seed_=RNG.choice([1, 2], N), kind=RNG.choice(["1", "2"], N), epoch=RNG.integers(1, 9, N))
        stated = {"rate": Float(1e-6, 1, log=True), "kind": Choice(["1", "2", "3"]), "epoch": None}
        found = Found(given, stated=stated, beside={"batch": "a user attribute"}, notes=("One job was skipped.",))
        monkeypatch.setattr("hsicfast.reading.sources.read_frame", lambda source, study: found)
        reading = read_trials("x", "val_loss")
        assert list(reading.space) == ["rate", "kind", "epoch"]
        assert (reading.space["rate"].low, reading.space["rate"].high) == (1e-6, 1)
        assert reading.space["kind"].choices == ("1", "2", "3")
        assert reading.table.values["kind"].tolist() == given["kind"].tolist()
        assert reading.guess.reasons["rate"] == reading.guess.reasons["kind"] == "as the study says"
        assert reading.guess.reasons["epoch"] == "whole numbers from 1 to 8"
        assert reading.guess.left_out["batch"] == "a user attribute; name it in --only to judge it"
        assert reading.notes == ("One job was skipped.",)
        assert list(read_trials("x", "val_loss", ignore="kind").space) == ["rate", "epoch"]

    def test_a_distribution_that_does_not_fit_is_guessed(self):
        for kind in (Float(0.5, 1), Choice(["a", "b"]), Int(0, 1)):
            roles = roles_of(frame(), Asked(["val_loss"], stated={"rate": kind}))
            assert guess_space(frame(), ["val_loss"], roles).reasons["rate"].startswith("numbers from")


class TestAsked:
    def test_patterns(self):
        given = frame(a_1=RNG.random(N), a_2=RNG.random(N), b=RNG.random(N))
        assert names_in(given, ignore="a_*") == ["rate", "batch", "b"]
        assert names_in(given, ignore=["a_1", "b"]) == ["rate", "batch", "a_2"]
        assert names_in(given, only=["a_*", "batch"]) == ["batch", "a_1", "a_2"]
        assert names_in(given, only="a_*", ignore="a_2") == ["a_1"]
        prefixed = given.add_prefix("params.").rename(columns={"params.val_loss": "val_loss"})
        assert names_in(prefixed, only=["params.a_*", "rate"]) == ["rate", "a_1", "a_2"]

    @pytest.mark.parametrize("option", ["ignore", "only"])
    def test_a_pattern_that_matches_nothing(self, option):
        with pytest.raises(InputError, match=f"`{option}` must name columns .*, but 'rat' matches none; nearest: rate"):
            read_trials(frame(), "val_loss", **{option: ["batch", "rat"]})
        with pytest.raises(InputError, match="with a space nothing is guessed; drop one of the two"):
            read_trials(frame(), "val_loss", space=SearchSpace({"rate": Float(0, 1)}), **{option: "batch"})

    def test_a_message_lists_a_few_of_many(self):
        many = pd.DataFrame({f"c{i}": RNG.random(5) for i in range(400)})
        for options in ({}, {"objective": "zzz"}, {"objective": "c1", "only": "zzz"}):
            with pytest.raises(InputError, match=r"c7, … and 392 more"):
                read_trials(many, **options)


def test_the_rules_can_be_read():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.why and (rule.override or rule.name == "role") for rule in RULES)
    # Whatever says that a column is no hyperparameter can be overruled, but for its role.
    assert {rule.override for rule in RULES if not rule.takes} <= {
        "",
        "rename it",
        "leave it out of --ignore",
        "--only",
    }


LARGE = (
    "val_acc Accuracy AUC valF1 test_r2 mean_test_score neg_mean_squared_error mIoU map50 total_reward log_likelihood"
)
SMALL = (
    "val_loss error err_rate score_loss error_score brier_score accuracy_loss nll negative_accuracy rank_test_score wer"
)


def test_names_that_say_which_end_is_good():
    assert all(large_is_good(name) is True for name in LARGE.split())
    assert all(large_is_good(name) is False for name in SMALL.split())
    assert all(large_is_good(name) is None for name in ("y", "value", "mapped", "accent", "lossless", "underscore"))


def test_words():
    for name in ("val_acc", "val.acc", "val/acc", "val-acc", "valAcc", "Val Acc", "val_acc1"):
        assert words_of(name)[:2] == ["val", "acc"]
    assert re.fullmatch("smoothing", words_of("label_smoothing")[-1])
