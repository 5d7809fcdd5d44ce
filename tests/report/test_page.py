"""The page of an analysis: what it says, what it may run, and names and analyses that try to break it."""

import base64
import hashlib
import importlib.util
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import NASTY, NASTY_SPACE, finished_run, too_small_to_judge
from pages import Page

from hsicfast import Choice, Float, InputError, Int, SearchSpace, Threshold, TrialTable, analyse
from hsicfast.indices.findings import Pair
from hsicfast.indices.stability import RankInterval, rank_intervals
from hsicfast.indices.verdicts import headline, verdicts
from hsicfast.reading.guess import guess_space
from hsicfast.report.page import kind_text, rank_text, write_page
from hsicfast.text import number, p_text, ratio

TWO = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
NAMES = {"title": "Runge function", "metric": "validation RMSE", "cost": "flops"}


@pytest.fixture(scope="module")
def found():
    return finished_run().sensitivity


@pytest.fixture(scope="module")
def nasty():
    return finished_run(NASTY_SPACE, n=40, n_permutations=9).sensitivity


@pytest.fixture(scope="module")
def whole(found, tmp_path_factory):
    """A page with everything on it."""
    path = write_page(tmp_path_factory.mktemp("page") / "out.html", found, **NAMES)
    return path, Page(path.read_text("utf-8"))


def written(tmp_path, found, **more):
    path = write_page(tmp_path / "page.html", found, **NAMES | more)
    return Page(path.read_text("utf-8"))


def of_two(objective, n=60, **options):
    a, b = np.random.default_rng(0).random((2, n))
    cost = options.pop("cost", None)
    status = options.pop("status", None)
    return analyse(TWO, TrialTable.from_arrays(TWO, {"a": a, "b": b}, objective(a, b), cost, status), **options)


class TestStory:
    def test_begins_with_the_headline_and_keeps_its_order(self, found, whole):
        words = whole[1].words
        assert headline(found, verdicts(found)) in words
        headings = re.findall(r"<h2>(.*?)</h2>", whole[0].read_text("utf-8"))
        order = ["Best trial", "validation RMSE along learning_rate", "What to do", "What decides"]
        order += ["Where good trials lie", "What acts together", "What it costs", "How the trials went", "All trials"]
        assert headings == [*order, "How to read it, how to cite it"]
        assert "What the columns were taken for" not in words

    def test_every_verdict_stands_with_its_evidence(self, found, whole):
        do, known = whole[1].table(["Hyperparameter", "Do"]), verdicts(found)
        assert do == [[v.name, "tune it", v.evidence] for v in known if v.kind == "matters"]
        rest = whole[1].table(["Hyperparameter", "Verdict", "Evidence"])
        assert rest == [[v.name, v.text, v.evidence] for v in known if v.kind in ("open", "few")]
        assert len(do) + len(rest) == len(known)

    def test_what_has_no_verdict_is_one_line(self, found, whole):
        line = re.search(r"(\d) others: no evidence either way; in these 80 trials an effect would", whole[1].words)
        assert int(line[1]) == sum(v.kind == "open" for v in verdicts(found))

    def test_nobody_reads_a_sentence_twice(self, whole):
        for sentence in set(re.findall(r"[A-Z][^.]{30,}\.", whole[1].words)):
            assert whole[1].words.count(sentence) == 1, sentence

    def test_no_word_of_the_trade(self, whole):
        for word in ("law", "held all the good", "have no value", "fate"):
            assert not re.search(rf"\b{word}\b", whole[1].words)

    def test_every_index_stands_with_its_rank(self, found, whole):
        rows = whole[1].table(["Hyperparameter", "Rank"])
        ranks = rank_intervals(found)
        assert rows == [
            [
                *(i.name, rank_text(ranks[i.name]), p_text(i.pvalue_holm), p_text(i.pvalue)),
                *(number(i.hsic, 3), number(i.noise_floor, 3), ratio(i.r2)),
            ]
            for i in found.indices
        ]

    def test_counts_and_what_they_count_for(self, tmp_path):
        n = 60
        status = np.array(["pruned"] * 5 + ["lost"] * 3 + ["done"] * (n - 8))
        for pruned, fate in (("miss", "count as not good"), ("drop", "are left out"), ("last", "last objective")):
            objective = lambda a, b: np.where(a > 0.9, np.nan, a + b)  # noqa: E731
            page = written(tmp_path, of_two(objective, n, status=status, pruned=pruned))
            assert re.search(rf"5 of 60 trials were stopped early and [a-z ]*{fate}", page.words)
            assert "pruned lost" not in page.words
            assert re.search(r"\d+ of 60 trials have no finite objective and count as not good", page.words)
            assert "5 pruned" in page.words or "pruned 5" in page.words

    def test_notes_and_guess_are_shown(self, tmp_path):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"a": rng.random(40), "b": rng.random(40), "same": 1, "error": rng.random(40)})
        guess = guess_space(frame, ["error"])
        table = TrialTable.from_frame(guess.space, guess.frame.assign(objective=frame["error"]))
        notes = ["An <b>optimiser</b> chose these.", "And a second."]
        page = written(tmp_path, analyse(guess.space, table, law="ranks"), guess=guess, notes=notes)
        assert all(note in page.words for note in notes)
        rows = page.table(["Column", "Taken for", "Why"])
        assert rows == [
            *[[name, kind_text(guess.space[name]), guess.reasons[name]] for name in ("a", "b")],
            *[[name, "left out", reason] for name, reason in guess.left_out.items()],
        ]
        assert {"same", "error"} == set(guess.left_out)

    def test_threshold_and_maximised(self, tmp_path):
        found = of_two(lambda a, b: a, goal=Threshold(0.9), minimize=False)
        words = written(tmp_path, found).words
        assert f"validation RMSE at or above 0.9 is good: {found.met.sum()} of 60." in words
        assert "ends at or above 0.9." in words

    def test_no_page_says_that_something_does_not_matter(self, whole):
        for word in ("not matter", "irrelevant", "unimportant"):
            assert word not in whole[1].words


class TestEmptyCases:
    def test_one_hyperparameter_without_pairs_and_costs(self, tmp_path):
        space = SearchSpace({"a": Float(0, 1)})
        a = np.random.default_rng(0).random(40)
        page = written(tmp_path, analyse(space, TrialTable.from_arrays(space, {"a": a}, a)))
        assert "No pairs were analysed." in page.words
        assert "What it costs" not in page.words
        assert "ranking moves" not in page.words
        assert [label.split(":")[0] for label in page.pictures] == [
            "validation RMSE along a",
            "Values of a in all trials and in the good ones",
            "validation RMSE against trial number; 40 trials, 13 good",
            "Parallel coordinates of 40 trials",
        ]

    def test_a_group_too_small_to_judge(self, tmp_path):
        found = too_small_to_judge().sensitivity
        page = written(tmp_path, found)
        row = next(row for row in page.table(["Hyperparameter", "Rank"]) if row[0] == "b")
        assert row[1:] == ["–", "unknown", "unknown", "unknown", "unknown", "unknown"]
        assert "not judged" in page.words

    def test_every_group_too_small_to_judge(self, tmp_path):
        found = of_two(lambda a, b: a)
        lost = {"hsic": math.nan, "r2": math.nan, "pvalue": math.nan, "pvalue_holm": math.nan, "pvalue_bh": math.nan}
        lost |= {"ci_low": math.nan, "ci_high": math.nan, "noise_floor": math.nan}
        found = replace(found, indices=tuple(replace(i, **lost) for i in found.indices), pair_indices=())
        page = written(tmp_path, found)
        assert [row[1] for row in page.table(["Hyperparameter", "Verdict"])] == ["not judged"] * 2
        assert "ranking moves" not in page.words

    def test_all_trials_alike(self, tmp_path):
        page = written(tmp_path, of_two(lambda a, b: np.ones_like(a)))
        assert "No hyperparameter stands out from chance" in page.words


class TestSafety:
    def test_loads_nothing(self, whole):
        page = whole[1]
        assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
        assert "img" not in page.tags
        assert not page.loads

    def test_runs_its_own_two_scripts_and_no_other(self, whole):
        page = whole[1]
        allowed = re.findall(r"'sha256-([^']+)'", page.policy)
        hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts]
        assert hashes == allowed
        assert len(hashes) == 2
        rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
        assert rules == {
            **{"default-src": "'none'", "style-src": "'unsafe-inline'"},
            "script-src": " ".join(f"'sha256-{value}'" for value in allowed),
        }

    def test_is_small_and_unfolded_where_nothing_folds_it(self, whole):
        assert whole[0].stat().st_size < 150_000
        assert "details" in whole[1].tags
        assert not whole[1].folded

    def test_names_stand_as_they_are_and_run_nothing(self, tmp_path, nasty):
        path = write_page(tmp_path / "n.html", nasty, title=NASTY[0], metric=NASTY[2], cost="</script><b>x</b>")
        source = path.read_text("utf-8")
        page = Page(source)
        first = [row[0] for row in page.rows if row]
        for name in NASTY:
            assert name in first
        assert "1337" not in page.words
        assert not {"b", "i"} & set(page.tags)
        assert page.tags.count("script") == len(page.scripts) == 2


class TestFile:
    def test_is_whole_or_what_was_there_before(self, tmp_path, found, monkeypatch):
        path = tmp_path / "page.html"
        path.write_text("before")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.replace", full)
        with pytest.raises(InputError, match=r"must be writable, but .* gave: No space left on device; make room or"):
            write_page(path, found, **NAMES)
        assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
        assert path.read_text() == "before"

    def test_is_the_same_every_time(self, tmp_path, found):
        first, second = (write_page(tmp_path / name, found, **NAMES).read_bytes() for name in ("1.html", "2.html"))
        assert first == second

    def test_folder_is_made(self, tmp_path, found):
        assert write_page(tmp_path / "new" / "page.html", found, **NAMES) == tmp_path / "new" / "page.html"

    def test_missing_tool_is_one_sentence(self, tmp_path, found, monkeypatch):
        real = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else real(name))
        with pytest.raises(InputError, match="needs matplotlib and jinja2, but jinja2 cannot be found; pip"):
            write_page(tmp_path / "page.html", found, **NAMES)
        with pytest.raises(InputError, match="jinja2 cannot be found"):
            found.plot()

    def test_50_000_trials_stay_small(self, tmp_path):
        found = of_two(lambda a, b: (a - 0.3) ** 2 + b, n=50_000, cost=np.linspace(1, 2, 50_000), n_permutations=20)
        path = write_page(tmp_path / "page.html", found, **NAMES)
        assert path.stat().st_size < 1_500_000
        page = Page(path.read_text("utf-8"))
        assert "2,500 of 5,000 good and 2,500 of 45,000 other trials, drawn at random" in page.words
        assert "1,666 of 50,000 trials: good ones first, the others drawn at random" in page.words
        rows = page.table(["trial"])
        assert len(rows) == 1666
        assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)


class TestDoors:
    def test_report(self, tmp_path, found, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = found.report()
        assert path.name == "report.html"
        assert "Which hyperparameters decide" in Page(path.read_text("utf-8")).words
        page = Page(found.report(tmp_path / "x.html", title="t", metric="RMSE", cost="GFLOPs").read_text("utf-8"))
        assert page.words.startswith("t · hsicfast t ")
        assert "RMSE at or below" in page.words
        assert "by GFLOPs" in page.words

    @pytest.mark.parametrize(
        "name", ["indices", "pairs", "goal_set", "marginals", "relevance", "ranking", "error_against_cost"]
    )
    def test_plot(self, found, name):
        figure = found.plot(name)
        assert figure.axes
        assert f"``{name}``" in type(found).plot.__doc__

    def test_plot_shows_the_indices_first_and_a_notebook_shows_it(self, found):
        assert found.plot().axes[0].get_title(loc="left") == "What decides"
        assert found.plot()._repr_png_().startswith(b"\x89PNG")

    def test_plot_of_nothing_is_one_sentence(self, found):
        with pytest.raises(InputError, match=r"has something to show on, but got 'pears'; choose one of \['indices',"):
            found.plot("pears")
        with pytest.raises(InputError, match="but got 'pairs'"):
            replace(found, pair_indices=()).plot("pairs")


def test_rank_text_and_kind_text():
    assert rank_text(RankInterval(2, 2, 3, of=4)) == "2 (2 to 3)"
    assert rank_text(RankInterval(3, 1, 2, of=4)) == "3 (1 to 2)"
    assert rank_text(RankInterval(2, 2, 2, of=4)) == "2"
    assert kind_text(Int(1, 8)) == "Int from 1 to 8"
    assert kind_text(Choice(["a", "b"])) == "Choice"


def test_one_pair_needs_no_word_about_many(tmp_path):
    found = of_two(lambda a, b: a)
    assert [type(pair) for pair in found.pair_indices] == [Pair]
    assert "The clearest 1 of 1 pair," in written(tmp_path, found).words
