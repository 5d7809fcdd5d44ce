"""What a run leaves: the files, the page, the terminal; with names and runs that try to break them."""

import importlib.util
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from builders import NASTY, NASTY_SPACE, finished_run, too_small_to_judge
from pages import Page, sketched
from rich.console import Console

from hsicfast import Float, InputError, SearchSpace, TrialTable
from hsicfast.indices.verdicts import headline, verdicts
from hsicfast.report.page import fingerprint
from hsicfast.search import run_report
from hsicfast.search.chosen import best_sentence, cautions
from hsicfast.search.finals import Final
from hsicfast.search.run_report import (
    check_report_tools,
    print_report,
    write_report,
)
from hsicfast.text import number, ratio, value_text

FIGURES = ("indices", "pairs", "goal_set", "marginals", "relevance", "ranking", "error_against_cost")
NAMES = {"title": "Runge function", "metric": "validation RMSE", "test_metric": "test RMSE", "cost": "flops"}


def strict(path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def read_at_the_end(run):
    return {run.best.index: 0.0777, run.economical.index: 0.0777}


def written(folder, run, planned=None):
    planned = len(run.trials) if planned is None else planned
    paths = write_report(folder, run, planned=planned, tests={} if run.interrupted else read_at_the_end(run), **NAMES)
    return {str(path.relative_to(folder)): path for path in paths}, Page((folder / "report.html").read_text("utf-8"))


def printed(run, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_report(run, console, tests={} if run.interrupted else read_at_the_end(run), **NAMES)
    return console.file.getvalue()


@pytest.fixture
def sketches(monkeypatch):
    """Pictures take most of the time and are looked at elsewhere."""
    sketched(monkeypatch)


@pytest.fixture(scope="module")
def run():
    return finished_run(searched=20, lost=3)


@pytest.fixture(scope="module")
def usual(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("usual")
    (folder / "settings.json").write_text('{"seed": 11, "note": "</pre><script>1</script>"}')
    return written(folder, run, planned=130)


@pytest.fixture(scope="module")
def nasty_run():
    return finished_run(NASTY_SPACE, n=24, searched=2, n_permutations=9)


@pytest.fixture(scope="module")
def nasty(nasty_run, tmp_path_factory):
    return written(tmp_path_factory.mktemp("nasty"), nasty_run)


def test_every_file_is_there_and_none_is_half_written(usual):
    files, _ = usual
    figures = [f"figures/{name}.png" for name in FIGURES]
    assert list(files) == ["trials.csv", "sensitivity.json", "best.json", *figures, "report.html"]
    assert all(path.stat().st_size > 100 for path in files.values())
    folder = files["report.html"].parent
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {*files, "settings.json"}


def test_csv_gives_the_same_trials_back(run, usual):
    table = TrialTable.from_csv(run.trials.space, usual[0]["trials.csv"])
    assert [trial.params for trial in table] == [trial.params for trial in run.trials]
    for column in ("objective", "cost", "status", "origin", "index", "seed"):
        np.testing.assert_array_equal(getattr(table, column), getattr(run.trials, column))
    np.testing.assert_array_equal(table.metrics["epochs"], run.trials.metrics["epochs"])


def test_csv_keeps_names_that_are_no_names(nasty_run, nasty):
    table = TrialTable.from_csv(nasty_run.trials.space, nasty[0]["trials.csv"])
    assert [trial.params for trial in table] == [trial.params for trial in nasty_run.trials]


def test_sensitivity_json_is_strict_and_whole(run, usual):
    content = strict(usual[0]["sensitivity.json"])
    assert content["goal"] == 0.2
    assert content["threshold"] == run.sensitivity.threshold
    assert content["minimize"] is True
    assert content["trials"] == {
        "planned": 130,
        "done": (run.trials.status == "done").sum(),
        "diverged": (run.trials.status == "diverged").sum(),
        "lost": 3,
        "not run": 30,
        "analysed": 77,
    }
    assert [index["name"] for index in content["indices"]] == [index.name for index in run.sensitivity.indices]
    assert content["indices"][0]["hsic"] == run.sensitivity.indices[0].hsic
    assert len(content["cost_indices"]) == len(run.trials.space)
    assert len(content["pairs"]) == len(run.sensitivity.pair_indices)
    assert [part["name"] for part in content["rounds"]] == ["design", "optimise"]
    assert [d["name"] for d in content["decisions"]] == [d.name for d in run.reduction.decisions]
    assert content["interrupted"] is False


def test_pruned_trials_are_counted_where_there_are_any(run):
    status = np.where(run.trials.index == run.best.index, "pruned", run.trials.status)
    counts = run_report._counts(replace(run, trials=replace(run.trials, status=status)), 130)
    assert (counts["done"], counts["pruned"]) == ((run.trials.status == "done").sum() - 1, 1)


def test_what_stopping_early_saved(run):
    # Two of those that were done are stopped after 30 and 60 of 100 epochs, and one diverged on its way.
    first, second = np.flatnonzero(run.trials.status == "done")[:2]
    status, curve = run.trials.status.astype("<U8"), run.trials.curve.copy()
    for row in range(len(curve)):
        curve[row] = ((50, 1.0), (100, 0.5))
    curve[first], curve[second] = ((30, 1.0),), ((30, 1.0), (60, 0.9))
    status[[first, second]] = "pruned"
    stopped = replace(run, trials=replace(run.trials, status=status, curve=curve))
    said = f"2 trials of {len(run.trials)} were stopped early as hopeless, which saved 110 of their 200 steps;"
    assert run_report.cautions(stopped)[-1].startswith(said)
    assert not [text for text in run_report.cautions(run) if "stopped early" in text]
    curve[:] = [()] * len(curve)
    assert run_report.cautions(stopped)[-1].startswith(
        f"2 trials of {len(run.trials)} were stopped early as hopeless; no"
    )


def test_what_is_not_a_number_is_null(tmp_path, sketches):
    run = too_small_to_judge(costs=False)
    files, page = written(tmp_path, run)
    assert strict(files["sensitivity.json"])["indices"][1]["hsic"] is None
    assert strict(files["best.json"])["cost"] is None
    assert "not judged" in page.words


def test_best_json_is_the_best_trial(run, usual):
    best = strict(usual[0]["best.json"])
    assert best["params"] == run.best.params
    assert best["objective"] == run.best.objective == np.nanmin(run.trials.objective)
    assert (best["test"], best["cost"]) == (0.0777, run.best.cost)
    assert (best["index"], best["seed"]) == (run.best.index, run.best.seed)
    assert set(best["metrics"]) == {"epochs", "seconds"}
    assert (best["economical"]["index"], best["economical"]["test"]) == (run.economical.index, 0.0777)
    assert best["economical"]["cost"] == run.economical.cost


def test_the_economical_trial_is_said_where_it_is_another(run):
    best, other = run.trials[3], run.trials[4]
    both = best_sentence(replace(run, best=best, economical=other), "m", None, "flops", {})
    assert both.startswith(f"Best: m {number(best.objective)}, flops {number(best.cost)} (trial 3). Economical: m ")
    assert both.endswith(f"flops {number(other.cost)} (trial 4).")
    assert "Economical" not in best_sentence(replace(run, best=best, economical=best), "m", None, "flops", {})


def test_best_and_economical_stand_side_by_side_at_the_top(run, tmp_path, sketches):
    done = sorted((t for t in run.trials if t.status == "done"), key=lambda t: t.objective)
    best = done[0]
    other = next(t for t in done[1:] if t.params["optimizer"] != best.params["optimizer"])
    both = replace(run, best=best, economical=other, tolerance=0.25)
    files, page = written(tmp_path, both)
    flat = " ".join(printed(both).split())
    rows = {row[0]: row[1:] for row in page.table(["name", "best", "economical"])}
    assert rows["validation RMSE"][:2] == [number(best.objective), number(other.objective)]
    assert rows["flops"][:2] == [number(best.cost), number(other.cost)]
    told = dict(re.findall(r"(\w+)=(\S+?)[,;.]? ", flat[flat.index("The economical one has ") :] + " "))
    differs = strict(files["best.json"])["differs"]
    assert differs["optimizer"] == {"best": best.params["optimizer"], "economical": other.params["optimizer"]}
    for name in run.trials.space:
        values = [trial.params.get(name, "absent") for trial in (best, other)]
        assert (name in differs) == (values[0] != values[1])
        if values != ["absent", "absent"]:
            assert rows[name] == [*map(value_text, values), "differs" if name in differs else ""]
        else:
            assert name not in rows
        if name in differs and values[1] != "absent":
            assert told[name] == value_text(values[1])
        else:
            assert name not in told
    assert strict(files["best.json"])["tolerance"] == 0.25
    assert page.words.index("Best configuration, and the cheapest") < page.words.index("What to do")


def test_the_best_that_is_economical_stands_alone(run, tmp_path, sketches):
    alone = replace(run, economical=run.best)
    files, page = written(tmp_path, alone)
    assert strict(files["best.json"])["differs"] == {}
    assert f"learning_rate {value_text(run.best.params['learning_rate'])}" in page.words
    assert "and the cheapest within" not in printed(alone)


def test_the_commands_that_train_again_stand_on_the_page(run, tmp_path, sketches):
    for name in ("best", "economical"):
        (tmp_path / f"{name}.yaml").write_text(f"# python -m hsicfast.run --config-name {name}\nseed: 1\n")
    words = written(tmp_path, run)[1].words
    assert "best.yaml trains its configuration again, once: python -m hsicfast.run --config-name best" in words
    assert "economical.yaml trains its configuration again, once: python -m hsicfast.run --config-name econ" in words


def test_the_test_metric_is_what_was_handed_in(run):
    both = replace(run, best=run.trials[3], economical=run.trials[4])
    said = best_sentence(both, "m", "t", "flops", {3: 0.125})
    assert f"Best: m {number(run.trials[3].objective)}, t 0.125, flops" in said
    assert f"Economical: m {number(run.trials[4].objective)}, t not read, flops" in said


@pytest.fixture(scope="module")
def with_finals(run):
    """The winner was not the best when it was chosen; another one diverged once."""
    done = [trial for trial in run.trials if trial.status == "done"]
    a, b, c = (trial.index for trial in sorted(done, key=lambda trial: trial.objective)[:3])
    finals = (Final(b, 2, 0, 0.0125, 0.00025), Final(a, 2, 0, 0.0126, math.nan), Final(c, 2, 1, math.nan, math.nan))
    return replace(run, best=run.trials[b], economical=run.trials[done[-1].index], finals=finals)


def test_the_best_is_said_with_its_mean_over_fresh_seeds(with_finals):
    best = with_finals.best
    said = best_sentence(with_finals, "m", None, "flops", {})
    own = number(best.objective)
    assert said.startswith(f"Best: m 0.0125, the mean of 2 trials with fresh seeds ({own} when it was chosen), flops ")
    assert f"Economical: m {number(with_finals.economical.objective)} when it was chosen, flops" in said
    failed = replace(with_finals, best=with_finals.trials[with_finals.finals[2].trial])
    assert best_sentence(failed, "m", None, "flops", {}).startswith(f"Best: m {number(failed.best.objective)}, flops")


def test_the_finalists_have_a_table(with_finals, tmp_path, sketches):
    files, page = written(tmp_path, with_finals)
    rows = page.table(["Trial", "Mean", "Standard deviation", "Fresh trials"])
    chosen = [with_finals.trials[final.trial] for final in with_finals.finals]
    assert rows == [
        [str(trial.index), mean, sd, "2", number(trial.objective), number(trial.cost)]
        for trial, mean, sd in zip(
            chosen, ("0.0125", "0.0126", "diverged in 1"), ("0.00025", "unknown", "unknown"), strict=True
        )
    ]
    assert "validation RMSE, mean over fresh seeds 0.0125 validation RMSE when it was chosen" in page.words
    assert strict(files["best.json"])["finals"][2] == {
        "trial": chosen[2].index,
        "n": 2,
        "diverged": 1,
        "mean": None,
        "sd": None,
    }
    assert "Best: validation RMSE 0.0125, the mean of 2 trials with fresh seeds" in " ".join(
        printed(with_finals).split()
    )
    assert "The finalists, trained again with fresh seeds (3)" in page.words


def test_without_finals_there_is_no_table(run, usual):
    assert "finalists" not in usual[1].words
    assert "finalists" not in printed(run)
    assert strict(usual[0]["best.json"])["finals"] == []


def test_page_tells_the_story(run, usual):
    words = usual[1].words
    assert "learning_rate decides whether a trial ends among the best 20%." in words
    assert f"validation RMSE {number(run.best.objective)} test RMSE 0.0777" in words
    assert f"test RMSE 0.0777 flops {number(run.best.cost)} epochs" in words
    assert "alone, and leaves out the 20 of the search, which were not drawn from the search space." in words
    done, diverged = ((run.trials.status == status).sum() for status in ("done", "diverged"))
    assert f"planned 130 done {done} diverged {diverged} lost 3 not run 30 run complete" in words
    assert words.index("What decides") < words.index("What acts together") < words.index("How to read it")
    assert "Only where optimizer=sgd|rmsprop, n = " in words
    for decision in run.reduction.decisions:
        assert decision.reason in words
    assert all(part.note in words for part in run.rounds)
    assert "numpy " + np.__version__ in words
    assert '"seed": 11' in words
    assert "the numbers of this page in sensitivity.json and best.json" in words
    small = sum(pair.pvalue_pure <= 0.05 for pair in run.sensitivity.pair_indices)
    assert f"{small} of 14 lie at or below 0.05, where chance alone would bring about 1." in words


def test_page_is_that_of_the_analysis_and_more(run, usual):
    """What an analysis says stands on the page of a run, too; how it is said is tested with that page."""
    page = usual[1]
    assert headline(run.sensitivity, verdicts(run.sensitivity)) in page.words
    judged = page.table(["Hyperparameter", "Do"]) + page.table(["Hyperparameter", "Verdict"])
    assert {row[0] for row in judged} == {i.name for i in run.sensitivity.indices}
    headings = re.findall(r"<h2>(.*?)</h2>", usual[0]["report.html"].read_text("utf-8"))
    order = ["What to do", "What decides", "Where good trials lie", "What acts together", "What it costs"]
    assert headings[-8:] == [*order, "How the run went", "All trials", "How to read it, how to cite it"]
    folded = ["What this run fixed or narrowed, to what, and why", "What each round did, what was learnt and decided"]
    folded += ["What the best configuration reached", "To run it again"]
    places = [page.words.index(words) for words in folded]
    assert places == sorted(places)
    assert page.table(["Hyperparameter", "Decision"])[0][2] == run.reduction.decisions[0].reason


def test_no_page_says_that_something_does_not_matter(run, usual, nasty):
    for words in (usual[1].words, nasty[1].words, printed(run)):
        assert "not matter" not in words
        assert "irrelevant" not in words
        assert "unimportant" not in words


@pytest.mark.parametrize("which", ["usual", "nasty"])
def test_page_loads_nothing_and_runs_only_its_own(which, request):
    page = request.getfixturevalue(which)[1]
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "img" not in page.tags
    assert page.tags.count("script") == len(page.scripts) == 2
    assert "default-src 'none'" in page.policy
    assert all(f"'{fingerprint(script)}'" in page.policy for script in page.scripts)
    assert not page.loads


def test_names_stand_on_the_page_as_they_are(nasty):
    page = nasty[1]
    first = [row[0] for row in page.rows if row]
    for name in NASTY:
        assert name in first
    assert "{{ 7 * 191 }}" in page.words
    assert "1337" not in page.words
    source = nasty[0]["report.html"].read_text("utf-8")
    assert "<script>alert(1)" not in source
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source


def test_settings_cannot_leave_their_box(usual):
    assert "</pre><script>1</script>" in usual[1].words


def test_names_of_metric_and_title_are_escaped(tmp_path, nasty_run, sketches):
    names = {"title": "<script>t</script>", "metric": "<b>m</b>", "test_metric": "<i>x</i>", "cost": "'\"><img src=x>"}
    write_report(tmp_path, nasty_run, planned=26, tests={}, **names)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert not {"b", "i"} & set(page.tags)
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert all(name in page.words for name in names.values())


def test_written_twice_the_texts_are_the_same(run, usual, tmp_path):
    (tmp_path / "settings.json").write_bytes((usual[0]["report.html"].parent / "settings.json").read_bytes())
    again, _ = written(tmp_path, run, planned=130)
    for name, path in usual[0].items():
        assert again[name].read_bytes() == path.read_bytes(), name


def test_interrupted_run_says_so(tmp_path, sketches):
    run = finished_run(n=12, interrupted=True, reduced=False, n_permutations=9)
    files, page = written(tmp_path, run, planned=40)
    assert "Interrupted: the analysis speaks of the trials finished so far" in page.words
    assert "run interrupted" in page.words
    assert strict(files["sensitivity.json"])["trials"]["not run"] == 28
    assert strict(files["sensitivity.json"])["interrupted"] is True
    assert strict(files["best.json"])["test"] is None
    assert "test RMSE not read" in page.words
    assert "Nothing was fixed" in page.words
    assert "Interrupted" in printed(run)


def test_what_was_never_trained_and_what_turned_out_too_dear_is_said(run):
    passed = tuple(replace(part, too_dear=1200) for part in run.rounds)
    limited = replace(run, trials=run.trials.design, rounds=passed, max_cost=1e6)
    assert cautions(limited) == [
        "Configurations never trained, since they are known to cost more than 1,000,000: 2,400."
    ]
    ranks = replace(run.sensitivity, question=replace(run.sensitivity.question, law="ranks"))
    assert cautions(replace(limited, sensitivity=ranks))[1].startswith(
        "The analysis speaks of the configurations within"
    )
    done = run.trials.status == "done"
    dear = (run.trials.cost > 1000)[done].sum()
    assert dear > 1
    assert cautions(replace(run, max_cost=1000.0))[0] == (
        f"{dear} trials are not known to cost at most 1,000: evidence in the analysis, but not the best."
    )


def test_complete_run_without_search_has_no_cautions(run):
    assert cautions(replace(run, trials=run.trials.design)) == []


def test_nothing_significant_is_no_evidence_either_way(tmp_path, sketches):
    run = finished_run(SearchSpace({"a": Float(0, 1), "b": Float(0, 1)}), n=16, objective=lambda params: 1.0)
    assert not run.sensitivity.significant()
    sentence = headline(run.sensitivity, verdicts(run.sensitivity))
    assert sentence.startswith("No hyperparameter stands out from chance")
    assert sentence.endswith("no evidence either way with 16 trials.")
    _, page = written(tmp_path, run)
    assert sentence in page.words
    assert not page.table(["Hyperparameter", "Do"])
    assert "no evidence either way" in printed(run)


def test_one_hyperparameter_without_pairs_and_costs(tmp_path, sketches):
    run = finished_run(SearchSpace({"learning_rate": Float(1e-5, 1, log=True)}), n=30, costs=False)
    files, page = written(tmp_path, run)
    assert "figures/pairs.png" not in files
    assert "No pairs were analysed." in page.words
    assert "What it costs" not in page.words
    assert "interactions" not in printed(run)
    assert "flops" not in best_sentence(run, "m", None, "flops", {})


def test_maximised_run(tmp_path, sketches):
    run = finished_run(n=30, sign=-1, n_permutations=99)
    files, page = written(tmp_path, run)
    assert strict(files["best.json"])["objective"] == np.nanmax(run.trials.objective)
    assert f"validation RMSE at or above {number(run.sensitivity.threshold)}" in page.words


def test_terminal_has_the_answer_in_25_lines(run):
    text = printed(run)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 25 - 3  # up to three say where the networks and the page lie
    assert "\x1b" not in text
    flat = " ".join(text.split())
    assert headline(run.sensitivity, verdicts(run.sensitivity)) in flat
    assert "test RMSE 0.0777" in flat
    good = f"{run.sensitivity.n_met} of {run.sensitivity.n}"
    assert f"validation RMSE at or below {number(run.sensitivity.threshold)} is good: {good}." in flat
    assert "learning_rate: tune it; adjusted p <0.001; " in flat
    assert "5 others: no evidence either way; in these 77 trials" in flat
    assert "uses the 77 trials drawn from the search space alone, and leaves out the 20 of the search" in flat
    assert "Rounds: design, 80 trials: drawn independently" in flat


def test_terminal_takes_names_for_names(nasty_run):
    text = printed(nasty_run, width=400)
    assert "[bold red]name[/bold red]" in text
    assert "\x1b" not in text
    assert max(map(len, printed(nasty_run).splitlines())) <= 80


@pytest.mark.parametrize("place", [".", "figures"])
def test_a_folder_that_cannot_be_written_is_one_sentence(run, tmp_path, place, sketches):
    blocked = tmp_path / "run"
    if place == "figures":
        blocked.mkdir()
    (blocked / place).resolve().write_text("a file where a folder should be")
    with pytest.raises(InputError, match=r"a report must be writable, but .* gave: .*; make room or pass"):
        write_report(blocked, run, planned=100, tests={}, **NAMES)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(run, tmp_path, monkeypatch, sketches):
    (tmp_path / "trials.csv").write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_report(tmp_path, run, planned=100, tests={}, **NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.csv"]
    assert (tmp_path / "trials.csv").read_text() == "before"


@pytest.mark.parametrize("missing", [("jinja2",), ("matplotlib", "jinja2")])
def test_missing_tools_are_one_sentence_before_anything_is_written(run, tmp_path, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else real(name))
    with pytest.raises(InputError) as error:
        check_report_tools()
    assert str(error.value) == (
        f"a report needs matplotlib and jinja2, but {' and '.join(missing)} cannot be found; "
        'pip install "hsicfast[report]"'
    )
    with pytest.raises(InputError, match="cannot be found"):
        write_report(tmp_path, run, planned=100, tests={}, **NAMES)
    assert not list(tmp_path.iterdir())


def test_numbers():
    values = (0.000123456, 12.0, 1234567, np.float64(0.5), np.int64(7), True, "x", 1e-40)
    assert [number(value) for value in values] == ["0.0001235", "12", "1,234,567", "0.5", "7", "True", "x", "0"]
    assert number(math.inf) == "unknown"
    assert [ratio(value) for value in (0.0471, -1e-9, math.nan)] == ["0.047", "0.000", "unknown"]
