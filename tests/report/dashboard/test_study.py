"""An analysis in optuna-dashboard: what a study holds afterwards."""

import importlib.util

import optuna
import pytest

from hsicfast import InputError, analyse, read_trials

pytest.importorskip("optuna_dashboard")

from optuna_dashboard import get_note, save_note

from hsicfast.report.dashboard.study import BEGIN, END, note, push


@pytest.fixture
def study():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("a|b", 0, 1) + 0 * trial.suggest_float("<i>c", 0, 1), n_trials=80)
    return study


@pytest.fixture
def findings(study):
    reading = read_trials(study)
    return analyse(reading.table.space, reading.table, law="ranks")


def pictures(study):
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return {key.split(":")[2] for key in attributes if key.startswith("dashboard:plot_data:")}


def test_pictures_and_note(study, findings):
    push(study, findings)
    assert {"hsicfast-indices", "hsicfast-pairs", "hsicfast-marginals"} <= pictures(study)
    text = get_note(study)
    assert text.startswith(f"{BEGIN}\n\n**a\\|b decides whether a trial ends among the best 15.")
    assert "| a\\|b | matters |" in text
    assert "| \\<i\\>c | no evidence either way |" in text
    assert text.endswith(END)


def test_again_they_are_replaced_and_what_others_wrote_stays(study, findings):
    save_note(study, "mine, before")
    push(study, findings)
    save_note(study, get_note(study) + "\n\nmine, after")
    first = pictures(study)
    push(study, findings)
    assert pictures(study) == first
    assert get_note(study) == f"mine, before\n\n{BEGIN}\n\n{note(findings)}\n\n{END}\n\nmine, after"


def test_without_the_dashboard_one_sentence(study, findings, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna_dashboard" else known(name))
    with pytest.raises(
        InputError, match=r"but optuna_dashboard cannot be found; pip install \"hsicfast\[dashboard\]\""
    ):
        push(study, findings)
    assert get_note(study) == ""
