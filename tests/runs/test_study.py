"""The Optuna study over the result files."""

import math
import sqlite3
from dataclasses import asdict, replace

import numpy as np
import optuna
import pytest
import sqlalchemy as sql
from builders import BAD, GONE, GOOD, STORED, study_of
from scipy.stats import norm

from hsicfast.errors import InputError
from hsicfast.runs.results import read_result, write_result
from hsicfast.runs.store import Store
from hsicfast.runs.study import Study
from hsicfast.search.orchestrator import minimize
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.store import main
from hsicfast.trials.trial import DESIGN, PRUNED

SETTINGS = {"goal": 0.1, "space": {"rate": {"low": 0.0}}}


def opened(folder, **changes):
    return Store(STORED, changes.pop("settings", SETTINGS), True, folder, **changes)


class TestStudy:
    def test_holds_what_the_files_hold(self, folder):
        kept = opened(folder)
        for trial in (GOOD, BAD, GONE, replace(GOOD, index=1, params={"kind": (1, 2), "on": True})):
            kept.add(trial)
        kept.close()
        by_index = {trial.user_attrs["index"]: trial for trial in study_of(folder).trials}
        assert sorted(by_index) == [1, 3, 4, 12]
        assert by_index[12].value == 1 / 3
        assert by_index[12].params == {"kind": "a", "rate": 0.1 + 0.2, "on": True}
        assert by_index[12].user_attrs == {
            "index": 12, "seed": 5, "origin": DESIGN, "status": "done", "cost": 7.0, "message": "",
            "failure": "", "metrics": {"test": 0.5, "note": "x"},
        }  # fmt: skip
        assert by_index[1].params["kind"] == "[1, 2]"
        assert [by_index[i].state.name for i in (3, 4)] == ["FAIL", "FAIL"]
        assert by_index[3].user_attrs["cost"] is None

    @pytest.mark.parametrize("objective", [0.5, math.nan])
    def test_a_pruned_trial(self, folder, objective):
        stopped = replace(GOOD, status=PRUNED, objective=objective, curve=((10, 0.75), (20, 0.5)))
        np.testing.assert_equal(asdict(read_result(write_result(folder, stopped))), asdict(stopped))
        kept = opened(folder)
        kept.add(stopped)
        kept.close()
        (trial,) = study_of(folder).trials
        assert trial.state.name == "PRUNED"
        assert trial.value == (0.5 if math.isfinite(objective) else None)
        assert trial.intermediate_values == {10: 0.75, 20: 0.5}

    def test_a_trial_is_added_once(self, folder):
        for _ in range(2):
            kept = opened(folder)
            kept.add(GOOD)
            kept.add(GOOD)
            kept.close()
        assert len(study_of(folder).trials) == 1

    def test_direction(self, folder):
        Store(STORED, SETTINGS, False, folder).close()
        assert study_of(folder).direction.name == "MAXIMIZE"

    @pytest.mark.parametrize("damage", [b"no database, by a long way", b"SQLite format 3\x00" + b"\x07" * 99])
    def test_broken_study_says_what_to_delete(self, folder, damage):
        opened(folder).close()
        (folder / "study.db").write_bytes(damage)
        with pytest.raises(
            InputError, match=r"study\.db cannot be used .*; .*store rebuild .* sets it aside and builds it"
        ) as error:
            opened(folder)
        assert "\n" not in str(error.value)

    def test_database_of_somebody_else(self, folder):
        connection = sqlite3.connect(folder / "study.db")
        connection.execute("CREATE TABLE version_info (x INTEGER)")
        connection.close()
        with pytest.raises(InputError, match=r"study\.db cannot be used as one"):
            opened(folder)

    def test_study_elsewhere(self, folder, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "all.db"
        kept = opened(folder, url=f"sqlite:///{elsewhere}")
        kept.add(GOOD)
        kept.close()
        assert elsewhere.exists()
        assert not (folder / "study.db").exists()

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("postgresql+nodriver://me:secret@host/db", r"postgresql\+nodriver://me:\*\*\*@host/db"),
            ("mysql+secret", "a text that is no URL"),
            ("sqlite:////no/such/folder/secret.db", "correct it, or leave store= out"),
        ],
    )
    def test_url_that_does_not_work(self, folder, url, said):
        with pytest.raises(InputError, match=said) as error:
            opened(folder, url=url)
        assert "me:secret" not in str(error.value)
        assert "\n" not in str(error.value)


@pytest.fixture
def study(folder):
    index = Study(STORED, True, "toy", folder, None)
    yield index
    index.close()


def again(folder, name="toy", url=None):
    """The indices that a study holds when it is opened once more."""
    index = Study(STORED, True, name, folder, url)
    try:
        return index.indices
    finally:
        index.close()


class TestIndex:
    def test_has_the_name_it_is_given_and_begins_empty(self, study, folder):
        assert study_of(folder).study_name == "toy"
        assert study_of(folder).trials == []
        assert study.indices == set()

    def test_opened_again_it_holds_the_same_trials(self, study, folder):
        for trial in (GOOD, BAD, GONE):
            study.add(trial)
        assert study.indices == again(folder) == {12, 3, 4}
        assert len(study_of(folder).trials) == 3

    @pytest.mark.parametrize(
        ("trial", "state", "value"),
        [
            (GOOD, "COMPLETE", 1 / 3),
            (BAD, "FAIL", None),
            (GONE, "FAIL", None),
            (replace(GOOD, status=PRUNED), "PRUNED", 1 / 3),
            (replace(BAD, status=PRUNED), "PRUNED", None),
        ],
    )
    def test_a_trial_has_its_state_its_value_and_its_own_words(self, study, folder, trial, state, value):
        study.add(trial)
        (held,) = study_of(folder).trials
        assert (held.state.name, held.value) == (state, value)
        told = [held.user_attrs[key] for key in ("index", "seed", "status", "message")]
        assert told == [trial.index, trial.seed, trial.status, trial.message]

    def test_the_best_of_a_maximum_is_the_largest(self, folder):
        index = Study(STORED, False, "toy", folder, None)
        for number, value in enumerate((0.25, 0.75, 0.5)):
            index.add(replace(GOOD, index=number, objective=value))
        index.close()
        assert study_of(folder).best_trial.user_attrs["index"] == 1

    def test_what_is_there_is_not_added_again_by_whoever_opens_it(self, study, folder):
        study.add(GOOD)
        study.add(GOOD)
        late = Study(STORED, True, "toy", folder, None)
        late.add(GOOD)
        late.close()
        assert len(study_of(folder).trials) == 1

    def test_what_another_has_added_is_known_once_it_is_read_again(self, study, folder):
        other = Study(STORED, True, "toy", folder, None)
        other.add(GOOD)
        other.close()
        assert study.indices == set()
        study.refresh()
        study.add(GOOD)
        assert study.indices == {12}
        assert len(study_of(folder).trials) == 1

    def test_a_lost_trial_that_is_trained_after_all_stands_beside_its_loss(self, study, folder):
        study.add(GONE)
        study.add(replace(GOOD, index=GONE.index))
        assert study.indices == {GONE.index}
        assert sorted(trial.state.name for trial in study_of(folder).trials) == ["COMPLETE", "FAIL"]

    def test_a_connection_that_breaks_once_the_trial_is_taken_up_adds_it_once(self, study, folder, monkeypatch):
        real = optuna.storages.RDBStorage.create_new_trial

        def taken_and_broken(self, *trial, **more):
            real(self, *trial, **more)
            raise sql.exc.OperationalError("insert", {}, sqlite3.OperationalError("database is locked"))

        with monkeypatch.context() as patch:
            patch.setattr(optuna.storages.RDBStorage, "create_new_trial", taken_and_broken)
            with pytest.raises(InputError, match=r"study must be writable, but .*study\.db gave: .*is locked"):
                study.add(GOOD)
        study.add(GOOD)
        study.add(BAD)
        assert sorted(trial.user_attrs["index"] for trial in study_of(folder).trials) == [3, 12]

    def test_studies_of_one_database_do_not_meet(self, tmp_path):
        url = f"sqlite:///{tmp_path}/all.db"
        one, other = (Study(STORED, True, name, tmp_path, url) for name in ("one", "other"))
        one.add(GOOD)
        other.add(BAD)
        assert (again(tmp_path, "one", url=url), again(tmp_path, "other", url=url)) == ({12}, {3})
        one.delete()
        assert optuna.get_all_study_names(url) == ["other"]
        one.close()
        other.close()


def test_a_study_that_is_rebuilt_is_the_study(tmp_path):
    space = SearchSpace(
        {
            "act": Choice([math.tanh, (1, 2), None]),
            "n": Int(1, 64, log=True),
            "drop": Float(0, 0.9, step=0.3, active_if={"act": [math.tanh, None]}),
            "rate": Float(0, 1, law=norm(0.5, 0.1)),
            "on": Bool(),
        }
    )

    def evaluate(params):
        if params["n"] > 32:
            raise FloatingPointError("loss is nan")
        return {"objective": params["rate"], "cost": params["n"], "test": math.inf if params["on"] else 1.0}

    def trials():
        return [(t.state, t.values, t.params, t.distributions, t.user_attrs) for t in study_of(tmp_path).trials]

    minimize(evaluate, space, n_trials=12, strategy="random", folder=tmp_path, direction="maximize")
    before = trials()
    (tmp_path / "study.db").unlink()
    main(["rebuild", str(tmp_path)])
    assert trials() == before
    assert study_of(tmp_path).direction.name == "MAXIMIZE"
