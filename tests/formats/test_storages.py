"""Optuna's storages: they are read whatever their version, and no byte of them changes."""

import json
import logging
import math
import sqlite3

import alembic.command
import alembic.config
import numpy as np
import optuna
import pytest
from files_read import bytes_in
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from hsicfast import InputError, read_trials
from hsicfast.formats import storages
from hsicfast.formats.frames import read_frame
from hsicfast.formats.storages import opened_study, read_study

optuna.logging.set_verbosity(optuna.logging.WARNING)
ALEMBIC = f"{optuna.__path__[0]}/storages/_rdb/alembic"
VERSIONS = (
    *("v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a"),
    *("v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d", "v3.2.0.a"),
)
# The trials of every old study: rate, layers, kind, value, state.
TRIALS = [(0.5, 3, "adam", 0.25, "COMPLETE"), (0.125, 1, "sgd", 2.0, "COMPLETE"), (0.75, 2, "sgd", None, "FAIL")]


def distributions(version):
    if version < "v3":
        floating = ("UniformDistribution", {"low": 0.0, "high": 1.0})
        whole = ("IntUniformDistribution", {"low": 1, "high": 4, "step": 1})
    else:
        floating = ("FloatDistribution", {"low": 0.0, "high": 1.0, "log": False, "step": None})
        whole = ("IntDistribution", {"low": 1, "high": 4, "log": False, "step": 1})
    kinds = (floating, whole, ("CategoricalDistribution", {"choices": ["adam", "sgd"]}))
    return [json.dumps({"name": name, "attributes": attributes}) for name, attributes in kinds]


def old_study(path, version):
    """A storage as Optuna had it in `version`: its tables are made by the migrations up to it, its rows by hand."""
    config = alembic.config.Config()
    config.set_main_option("script_location", ALEMBIC)
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    alembic.command.upgrade(config, version)
    root.removeHandler(handler)
    connection = sqlite3.connect(path)
    one = version < "v2.4"
    if one:
        connection.execute("INSERT INTO studies (study_id, study_name, direction) VALUES (1, 'mine', 'MAXIMIZE')")
    else:
        connection.execute("INSERT INTO studies (study_id, study_name) VALUES (1, 'mine')")
        connection.execute("INSERT INTO study_directions VALUES (1, 'MAXIMIZE', 1, 0)")
    connection.execute("INSERT INTO version_info VALUES (1, 12, '0.0.0')")
    for number, (rate, layers, kind, value, state) in enumerate(TRIALS):
        row = {"trial_id": number + 1, "study_id": 1, "state": state, "datetime_start": "2020-04-01 10:00:00.000000"}
        row["datetime_complete"] = "2020-04-01 10:00:30.000000"
        if version >= "v1.3":
            row["number"] = number
        else:
            attributes = (number + 1, "_number", str(number))
            connection.execute(
                "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", attributes
            )
        if one:
            row["value"] = value
        names = ", ".join(row)
        connection.execute(f"INSERT INTO trials ({names}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
        if not one and value is not None:
            kinds = {"value_type": "FINITE"} if version >= "v3.0.0.d" else {}
            given = {"trial_id": number + 1, "objective": 0, "value": value} | kinds
            connection.execute(
                f"INSERT INTO trial_values ({', '.join(given)}) VALUES ({', '.join('?' * len(given))})",
                [*given.values()],
            )
        texts = distributions(version)
        params = (("rate", rate), ("layers", layers), ("kind", ["adam", "sgd"].index(kind)))
        for (name, param), text in zip(params, texts, strict=True):
            connection.execute(
                "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)",
                (number + 1, name, param, text),
            )
    connection.commit()
    connection.close()
    return path


class TestOldVersions:
    def test_they_are_all_that_optuna_knows(self, tmp_path):
        held = RDBStorage(f"sqlite:///{tmp_path}/new.db")
        assert set(held.get_all_versions()) == set(VERSIONS)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_read_and_unchanged(self, tmp_path, version):
        path = old_study(tmp_path / "old.db", version)
        before = bytes_in(tmp_path)
        found = read_frame(path)
        assert bytes_in(tmp_path) == before
        assert found.study == "mine"
        assert found.maximized == {"value": True}
        for place, name in enumerate(["params_rate", "params_layers", "params_kind"]):
            assert found.frame[name].tolist() == [trial[place] for trial in TRIALS]
        np.testing.assert_array_equal(found.frame["value"], [0.25, 2.0, math.nan])
        assert found.frame["state"].tolist() == ["complete", "complete", "fail"]
        assert found.frame["duration"].tolist() == [30.0] * 3
        # Optuna's own upgrade still works on the file itself, and gives the same trials.
        held = RDBStorage(f"sqlite:///{path}", skip_compatibility_check=True, skip_table_creation=True)
        with storages._quiet_upgrade():
            held.upgrade()
        trials = optuna.load_study(study_name="mine", storage=RDBStorage(f"sqlite:///{path}")).trials
        assert [trial.params["rate"] for trial in trials] == found.frame["params_rate"].tolist()

    @pytest.mark.parametrize("version", ["v0.9.0.a", "v1.3.0.a", "v2.6.0.a", "v3.0.0.d"])
    def test_writing_is_refused_with_the_command_that_helps(self, tmp_path, version):
        path = old_study(tmp_path / "old.db", version)
        before = bytes_in(tmp_path)
        command = f"run `optuna storage upgrade --storage sqlite:///{path}`"
        with pytest.raises(InputError, match=f"is of {version}; keep a copy and {command}$"), opened_study(path):
            pass
        assert bytes_in(tmp_path) == before

    @pytest.mark.parametrize("version", ["v0.9.0.a", "v1.3.0.a"])
    def test_one_that_cannot_be_upgraded_is_answered_with_the_command(self, tmp_path, version):
        path = old_study(tmp_path / "old.db", version)
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE trial_values")
        connection.commit()
        connection.close()
        before = bytes_in(tmp_path)
        with pytest.raises(InputError, match=f"run `optuna storage upgrade --storage sqlite:///{path}`$") as refused:
            read_frame(f"sqlite:///{path}")
        assert "\n" not in str(refused.value)
        assert bytes_in(tmp_path) == before

    def test_older_than_any_that_can_be_upgraded(self, tmp_path):
        connection = sqlite3.connect(tmp_path / "old.db")
        connection.executescript("CREATE TABLE studies (a INTEGER); CREATE TABLE trials (a INTEGER);")
        connection.close()
        before = bytes_in(tmp_path)
        for read in (read_study, opened_study):
            with (
                pytest.raises(InputError, match=r"from Optuna 0.9 or newer, but .* is older"),
                read(tmp_path / "old.db"),
            ):
                pass
        assert bytes_in(tmp_path) == before

    def test_newer_than_this_optuna(self, tmp_path):
        path = old_study(tmp_path / "new.db", VERSIONS[-1])
        connection = sqlite3.connect(path)
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.commit()
        connection.close()
        before = bytes_in(tmp_path)
        for read in (read_study, opened_study):
            with pytest.raises(InputError, match=r"is newer; run `pip install --upgrade optuna`$"), read(path):
                pass
        assert bytes_in(tmp_path) == before

    def test_the_logging_of_the_process_stays(self, tmp_path):
        root = logging.getLogger()
        before = [*root.handlers], root.level, logging.getLogger("some.module").disabled
        read_frame(old_study(tmp_path / "old.db", "v1.2.0.a"))
        assert ([*root.handlers], root.level, logging.getLogger("some.module").disabled) == before


def studied(storage, n=6):
    study = optuna.create_study(storage=storage, study_name="one", sampler=optuna.samplers.RandomSampler(0))
    study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=n)
    return study


class TestNothingChanges:
    def test_of_a_journal(self, tmp_path):
        study = studied(JournalStorage(JournalFileBackend(str(tmp_path / "study.log"))))
        before = bytes_in(tmp_path)
        found = read_frame(tmp_path / "study.log")
        assert found.study == "one"
        assert found.frame["params_rate"].tolist() == [trial.params["rate"] for trial in study.trials]
        with pytest.raises(InputError, match=r"but there is no 'two'; choose one of \['one'\]"):
            read_frame(tmp_path / "study.log", "two")
        assert bytes_in(tmp_path) == before

    def test_of_a_journal_that_was_cut_off(self, tmp_path):
        studied(JournalStorage(JournalFileBackend(str(tmp_path / "whole.log"))))
        content = (tmp_path / "whole.log").read_bytes()
        (tmp_path / "cut.log").write_bytes(content[:-9])
        assert len(read_frame(tmp_path / "cut.log").frame) == 5  # the last trial has not ended
        lines = content.splitlines(keepends=True)
        (tmp_path / "broken.log").write_bytes(b"".join([*lines[:3], b"{no operation}\n", *lines[3:]]))
        with pytest.raises(InputError, match=r"must hold one operation a line, but .* does not \(.*\); correct it"):
            read_frame(tmp_path / "broken.log")

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_while_somebody_writes(self, tmp_path, mode):
        path = tmp_path / "study.db"
        studied(f"sqlite:///{path}")
        writer = sqlite3.connect(path)
        writer.execute(f"PRAGMA journal_mode={mode}")
        writer.execute("UPDATE studies SET study_name = 'renamed'")
        writer.commit()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE studies SET study_name = 'not yet'")
        before = bytes_in(tmp_path)
        found = read_frame(path)
        assert found.study == "renamed"
        assert len(found.frame) == 6
        assert bytes_in(tmp_path) == before
        writer.rollback()
        writer.close()

    def test_what_a_killed_writer_left_is_not_touched(self, tmp_path):
        """The files as they lie while a writer is in the middle of a transaction are what its end would leave."""
        (tmp_path / "live").mkdir()
        (tmp_path / "left").mkdir()
        for mode in ("delete", "wal"):
            path = tmp_path / "live" / f"{mode}.db"
            studied(f"sqlite:///{path}", n=40)
            writer = sqlite3.connect(path)
            writer.execute(f"PRAGMA journal_mode={mode}")
            writer.execute("PRAGMA cache_size=1")
            writer.execute("UPDATE studies SET study_name = 'renamed'")
            writer.commit()
            writer.execute("UPDATE studies SET study_name = 'not yet'")
            writer.execute("UPDATE trial_params SET param_value = 7")  # more than the cache holds: it is in the file
            for beside in path.parent.glob(f"{mode}.db*"):
                if not beside.name.endswith("-shm"):
                    (tmp_path / "left" / beside.name).write_bytes(beside.read_bytes())
            writer.rollback()
            writer.close()
        assert sorted(path.name for path in (tmp_path / "left").iterdir()) == [
            *("delete.db", "delete.db-journal", "wal.db", "wal.db-wal")
        ]
        before = bytes_in(tmp_path / "left")
        for mode in ("delete", "wal"):
            found = read_frame(tmp_path / "left" / f"{mode}.db")
            assert found.study == "renamed"
            assert found.frame["params_rate"].max() < 1
        assert bytes_in(tmp_path / "left") == before

    def test_of_a_file_that_may_only_be_read(self, tmp_path):
        (tmp_path / "safe").mkdir()
        studied(f"sqlite:///{tmp_path}/safe/study.db")
        (tmp_path / "safe" / "study.db").chmod(0o444)
        (tmp_path / "safe").chmod(0o555)
        try:
            assert len(read_frame(tmp_path / "safe" / "study.db").frame) == 6
        finally:
            (tmp_path / "safe").chmod(0o755)

    def test_the_copies_are_removed(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        (tmp_path / "own").mkdir()
        studied(f"sqlite:///{tmp_path}/own/study.db")
        read_frame(tmp_path / "own" / "study.db")
        with pytest.raises(InputError):
            read_frame(tmp_path / "own" / "study.db", "two")
        assert [path.name for path in tmp_path.iterdir()] == ["own"]


class TestWriting:
    def test_into_a_file_and_a_journal(self, tmp_path):
        studied(f"sqlite:///{tmp_path}/study.db")
        studied(JournalStorage(JournalFileBackend(str(tmp_path / "study.log"))))
        for name in ("study.db", "study.log"):
            with opened_study(tmp_path / name) as study:
                study.set_user_attr("note", 1)
            with read_study(tmp_path / name) as study:
                assert study.user_attrs == {"note": 1}

    def test_a_database_without_tables_stays_without(self, tmp_path):
        sqlite3.connect(tmp_path / "empty.db").close()
        (tmp_path / "empty.db").touch()
        for read in (read_study, opened_study):
            with pytest.raises(InputError, match=r"hold studies, but .* is another"), read(tmp_path / "empty.db"):
                pass
        assert (tmp_path / "empty.db").read_bytes() == b""

    @pytest.mark.parametrize("version", ["", "v0.9.0.a", "v1.3.0.a", "v3.0.0.d", "v3.2.0.a"])
    def test_a_server_is_asked_for_its_version_before_it_is_opened(self, tmp_path, monkeypatch, version):
        """An SQLite file in the part of a server, which cannot be copied: its bytes show that nothing was made."""
        monkeypatch.setattr(storages, "_sqlite_file", lambda url: None)
        url = f"sqlite:///{tmp_path}/held.db"
        if version:
            old_study(tmp_path / "held.db", version)
        else:
            sqlite3.connect(tmp_path / "held.db").close()
            (tmp_path / "held.db").touch()
        before = bytes_in(tmp_path)
        if version == VERSIONS[-1]:
            assert len(read_frame(url).frame) == len(TRIALS)
        else:
            wanted = f"is of {version}; .* --storage {url}`$" if version else "is another database; check the path"
            with pytest.raises(InputError, match=wanted):
                read_frame(url)
        assert bytes_in(tmp_path) == before

    def test_a_storage_from_before_versions_were_noted(self, tmp_path, monkeypatch):
        path = old_study(tmp_path / "held.db", "v0.9.0.a")
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE alembic_version")
        connection.execute("UPDATE version_info SET schema_version = 11")
        connection.commit()
        connection.close()
        before = bytes_in(tmp_path)
        assert read_frame(path).frame["params_rate"].tolist() == [trial[0] for trial in TRIALS]
        monkeypatch.setattr(storages, "_sqlite_file", lambda url: None)
        with pytest.raises(InputError, match=r"is of v0.9; keep a copy and run `optuna storage upgrade"):
            read_frame(f"sqlite:///{path}")
        assert bytes_in(tmp_path) == before


class TestConstraints:
    def test_the_largest_of_each_trial(self):
        study = optuna.create_study(study_name="one")
        kind = {"x": optuna.distributions.FloatDistribution(0, 1)}
        for constraints in ([-1.0, -2.0], [0.5, -3.0], None, [0.0]):
            attributes = {} if constraints is None else {"constraints": constraints}
            study.add_trial(
                optuna.trial.create_trial(params={"x": 0.5}, distributions=kind, value=1.0, system_attrs=attributes)
            )
        found = read_frame(study)
        np.testing.assert_array_equal(found.frame["constraint"], [-1.0, 0.5, math.nan, 0.0])
        assert found.beside["constraint"] == "the study's constraint: above 0 is infeasible"

    @pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="Optuna 5 names the constraints")
    def test_by_their_names(self):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(1))

        def limited(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_constraint("small", x - 0.5)
            trial.set_constraint("positive", -x)
            return x

        study.optimize(limited, n_trials=30)
        found = read_frame(study)
        feasible = {trial.number for trial in study.trials if trial.params["x"] <= 0.5}
        assert set(found.frame.index[found.frame["constraint"] <= 0]) == feasible

    def test_none(self):
        found = read_frame(studied(None))
        assert "constraint" not in found.frame
        assert "constraint" not in found.beside


class TestStated:
    def test_distributions(self):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))

        def trained(trial):
            trial.suggest_float("rate", 1e-4, 1e-1, log=True)
            trial.suggest_float("drop", 0, 0.5, step=0.25)
            trial.suggest_int("units", 16, 64, step=16)
            trial.suggest_int("moving", 1, 3 + trial.number)
            trial.suggest_categorical("on", [True, False])
            trial.suggest_categorical("act", [None, "relu"])
            trial.suggest_categorical("fixed", ["a"])
            if trial.number % 2:
                trial.suggest_float("sometimes", 0, 1)
            return 1.0

        study.optimize(trained, n_trials=4)
        texts = {name: str(kind) for name, kind in read_frame(study).stated.items()}
        assert texts == {
            "params_rate": "Float(low=0.0001, high=0.1, log=True, step=None, active_if=None, law=None)",
            "params_drop": "Float(low=0.0, high=0.5, log=False, step=0.25, active_if=None, law=None)",
            "params_units": "Int(low=16, high=64, log=False, step=16, active_if=None, law=None)",
            "params_moving": "Int(low=1, high=6, log=False, step=1, active_if=None, law=None)",
            "params_on": "Bool(active_if=None, law=None)",
            "params_act": "Choice(choices=('None', 'relu'), active_if=None, law=None)",
            "params_fixed": "None",
            "params_sometimes": "None",
        }

    @pytest.mark.filterwarnings("ignore:Fixed parameter")
    def test_a_value_outside_the_distribution(self):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
        study.enqueue_trial({"rate": 3.0})
        study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=3)
        assert read_frame(study).stated == {"params_rate": None}

    def test_the_table_is_read_with_them(self):
        assert read_trials(studied(None)).space.keys() == {"rate"}
