"""Going on in a folder with other settings: every trained trial stays and is used, and none is trained twice."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from toys import SPACE, Stopper, same, train

from hsicfast import Interrupted, Known, TrialTable
from hsicfast.errors import InputError
from hsicfast.proposals.samplers import design
from hsicfast.reading.known import known_trials
from hsicfast.runs.history import read_history
from hsicfast.runs.repair import inspect_run, rebuild
from hsicfast.runs.results import read_results
from hsicfast.runs.store import Store
from hsicfast.search import rounds
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import Hsic, Random, TwoStep
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials.points import plain_space, points_of, same_law
from hsicfast.trials.trial import Trial

FLAT = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
# The strategies that plan from the number of trials; none needs a Gaussian process.
TPE = TwoStep(design_share=0.5, optimizer="tpe", batch=3)


def bowl(params, seed):
    loss = (params.get("x", 0.5) - 0.3) ** 2 + 0.1 * (params.get("y", 0.5) - 0.6) ** 2 + params.get("drop", 0.0)
    return {"objective": loss + 1e-6 * (seed % 7), "cost": 1 + params.get("y", 0.5)}


class Counted:
    """Counts the trainings of each configuration with each seed."""

    def __init__(self, function=bowl):
        self.function, self.trained = function, []

    def __call__(self, params, seed):
        self.trained.append((tuple(sorted(params.items())), seed))
        return self.function(params, seed)


def whole(folder):
    return [check for check in inspect_run(folder) if not check.whole]


class TestMoreTrials:
    @pytest.mark.parametrize("strategy", [TPE, Random(), Random("latin")], ids=["two_step", "random", "latin"])
    def test_each_is_trained_once(self, tmp_path, strategy):
        evaluate = Counted()
        for n in (12, 20, 36):
            result = minimize(evaluate, FLAT, n_trials=n, strategy=strategy, folder=tmp_path)
            assert len(result.trials) == n
            assert len(evaluate.trained) == len(set(evaluate.trained)) == n
        assert sorted(read_results(tmp_path)) == list(range(36))
        assert whole(tmp_path) == []

    @pytest.mark.slow
    def test_each_is_trained_once_by_the_default(self, tmp_path):
        evaluate = Counted(train)
        for n in (16, 24, 40):
            result = minimize(evaluate, SPACE, n_trials=n, folder=tmp_path, seed=1)
            assert len(result.trials) == len(evaluate.trained) == len(set(evaluate.trained)) == n
        drawn = int((result.trials.origin[:24] == "design").sum())
        assert result.rounds[0].note == f"of before, 24 of 24 used, {drawn} of them as drawn from the search space"

    def test_what_was_found_is_not_lost(self, tmp_path):
        first = minimize(bowl, FLAT, n_trials=20, strategy=TPE, folder=tmp_path)
        more = minimize(bowl, FLAT, n_trials=30, strategy=TPE, folder=tmp_path)
        assert more.trials.to_frame().head(20).equals(first.trials.to_frame())
        assert more.best.objective <= first.best.objective

    def test_the_same_calls_again_train_nothing(self, tmp_path):
        def script(evaluate):
            return [minimize(evaluate, FLAT, n_trials=n, strategy=TPE, folder=tmp_path) for n in (12, 20)]

        before = script(bowl)
        evaluate = Counted()
        for one, other in zip(before, script(evaluate), strict=True):
            same(one, other)
        assert evaluate.trained == []

    @pytest.mark.parametrize("after", [1, 3, 6])
    def test_interrupted_in_a_later_chapter_it_ends_as_uninterrupted(self, tmp_path, after):
        def run(folder, **more):
            minimize(bowl, FLAT, n_trials=12, strategy=TPE, folder=tmp_path / folder)
            return minimize(bowl, FLAT, n_trials=20, strategy=TPE, folder=tmp_path / folder, **more)

        undisturbed = run("a")
        with pytest.raises(Interrupted):
            run("b", watcher=Stopper(after))
        assert len(read_results(tmp_path / "b")) == 12 + after
        same(undisturbed, run("b"))

    @pytest.mark.parametrize("max_cost", [None, 1.7])
    def test_interrupted_in_a_latin_hypercube_it_ends_as_uninterrupted(self, tmp_path, monkeypatch, max_cost):
        # Hypercubes of 5 points, in both chapters; the interruption is in the second of the second chapter.
        monkeypatch.setattr(rounds, "PORTION", 5)
        limit = {} if max_cost is None else {"max_cost": max_cost, "price": lambda params: 1 + params["y"]}

        def run(folder, n, **more):
            return minimize(bowl, FLAT, n_trials=n, strategy=Random("latin"), folder=tmp_path / folder, **limit, **more)

        run("a", 12)
        undisturbed = run("a", 24)
        run("b", 12)
        with pytest.raises(Interrupted):
            run("b", 24, watcher=Stopper(7))
        same(undisturbed, run("b", 24))

    @pytest.mark.parametrize("place", ["write_history", "Store._open_study", "Store.earlier"])
    @pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
    def test_killed_while_a_chapter_is_opened(self, tmp_path, monkeypatch, place, done):
        from hsicfast.runs import store

        def run(folder, n):
            return minimize(bowl, FLAT, n_trials=n, strategy=TPE, folder=tmp_path / folder)

        for folder in "ab":
            run(folder, 12)
        undisturbed = run("a", 20)
        room, name = (store, place) if "." not in place else (store.Store, place.partition(".")[2])
        real = getattr(room, name)

        def killed(*given, **named):
            if done:
                real(*given, **named)
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(room, name, killed)
            with pytest.raises(ZeroDivisionError):
                run("b", 20)
        same(undisturbed, run("b", 20))
        assert whole(tmp_path / "b") == []

    def test_an_interrupted_chapter_is_taken_up_by_another_plan(self, tmp_path):
        evaluate = Counted()
        with pytest.raises(Interrupted):
            minimize(evaluate, FLAT, n_trials=12, strategy=TPE, folder=tmp_path, watcher=Stopper(7))
        result = minimize(evaluate, FLAT, n_trials=20, strategy=TPE, folder=tmp_path)
        assert len(result.trials) == len(set(evaluate.trained)) == 20

    def test_a_hole_stays_one(self, tmp_path):
        minimize(bowl, FLAT, n_trials=12, strategy=TPE, folder=tmp_path)
        (tmp_path / "results" / "000005.json").unlink()
        more = minimize(bowl, FLAT, n_trials=20, strategy=TPE, folder=tmp_path)
        assert more.trials.index.tolist() == [*range(5), *range(6, 21)]
        assert whole(tmp_path) == []
        # The first call fills it for itself, and changes nothing for the second.
        assert len(minimize(bowl, FLAT, n_trials=12, strategy=TPE, folder=tmp_path).trials) == 12
        same(more, minimize(bowl, FLAT, n_trials=20, strategy=TPE, folder=tmp_path))

    def test_a_refused_plan_leaves_no_chapter(self, tmp_path):
        minimize(bowl, FLAT, n_trials=12, strategy=TPE, folder=tmp_path)
        for n in (14, 16):
            Store(FLAT, read_history(tmp_path)[0].settings, True, tmp_path, n_trials=n).close()
        assert [chapter.n_trials for chapter in read_history(tmp_path)] == [12, 16]

    def test_points_that_were_too_dear_are_not_drawn_again(self, tmp_path):
        evaluate = Counted()
        limit = {"max_cost": 1.3, "price": lambda params: 1 + params["y"], "folder": tmp_path}
        for n in (12, 40):
            minimize(evaluate, FLAT, n_trials=n, strategy=TPE, **limit)
        configurations = [params for params, _ in evaluate.trained]
        assert len(set(configurations)) == len(configurations) == 40


class TestAnotherSpace:
    def first(self, folder, evaluate=bowl, **more):
        return minimize(evaluate, FLAT, n_trials=20, strategy=TPE, folder=folder, **more)

    def test_a_wider_range_trains_none_again(self, tmp_path):
        self.first(tmp_path)
        evaluate = Counted()
        wide = SearchSpace({"x": Float(-1, 1), "y": Float(0, 1)})
        result = minimize(evaluate, wide, n_trials=20, strategy=TPE, folder=tmp_path)
        assert (len(evaluate.trained), len(result.trials)) == (0, 20)
        assert result.rounds[0].note == "of before, 20 of 20 used, 0 of them as drawn from the search space"
        assert set(result.trials.origin) == {"search"}
        # Those that were drawn from the narrower range are analysed by their ranks, for want of others.
        assert (result.sensitivity.question.law, len(result.sensitivity.trials)) == ("ranks", 10)
        more = minimize(evaluate, wide, n_trials=32, strategy=TPE, folder=tmp_path)
        assert (len(evaluate.trained), len(more.trials)) == (12, 32)
        assert more.sensitivity.question.law == "space"

    def test_a_narrower_range_keeps_what_lies_in_it(self, tmp_path):
        before = self.first(tmp_path)
        evaluate = Counted()
        part = SearchSpace({"x": Float(0, 0.5), "y": Float(0, 1)})
        result = minimize(evaluate, part, n_trials=24, strategy=TPE, folder=tmp_path)
        inside = [trial for trial in before.trials if trial.params["x"] <= 0.5]
        assert len(evaluate.trained) == 24 - len(inside)
        assert [trial.params for trial in result.trials][: len(inside)] == [trial.params for trial in inside]
        # The uniform distribution, cut to a part of its range, is that of the part.
        drawn = sum(trial.origin == "design" for trial in inside)
        assert result.rounds[0].note == (
            f"of before, {len(inside)} of 20 used, {drawn} of them as drawn from the search space; "
            f"{20 - len(inside)} have x outside 0 to 0.5"
        )
        assert whole(tmp_path) == []

    def test_a_new_hyperparameter_with_the_value_it_had(self, tmp_path):
        self.first(tmp_path)
        evaluate = Counted()
        more = SearchSpace({**FLAT, "drop": Float(0, 0.5)})
        named = minimize(evaluate, more, n_trials=26, strategy=TPE, folder=tmp_path, had={"drop": 0.0})
        assert len(evaluate.trained) == 6
        assert [trial.params["drop"] for trial in named.trials][:20] == [0.0] * 20
        assert named.best.params["drop"] < 0.1

    def test_a_new_hyperparameter_without_it(self, tmp_path):
        self.first(tmp_path)
        more = SearchSpace({**FLAT, "drop": Float(0, 0.5)})
        unnamed = minimize(bowl, more, n_trials=12, strategy=TPE, folder=tmp_path)
        assert unnamed.trials.index.tolist() == list(range(20, 32))
        assert unnamed.rounds[0].note == (
            "of before, 0 of 20 used, 0 of them as drawn from the search space; 20 have no drop "
            "(pass had={'drop': ...} to say which value they had)"
        )
        assert whole(tmp_path) == []

    def test_a_hyperparameter_less(self, tmp_path):
        self.first(tmp_path)
        evaluate = Counted()
        result = minimize(evaluate, SearchSpace({"x": Float(0, 1)}), n_trials=24, strategy=TPE, folder=tmp_path)
        assert len(evaluate.trained) == 4
        assert result.trials.origin.tolist()[:20] == ["design"] * 10 + ["search"] * 10

    def test_other_choices(self, tmp_path):
        def evaluate(params, seed):
            return params["x"] + len(str(params["kind"])) / 10

        def space(*choices):
            return SearchSpace({"kind": Choice(choices), "x": Float(0, 1)})

        for choices, n in ((("a", math.tanh), 12), (("a", math.tanh, (1, 2)), 18), ((math.tanh, (1, 2)), 24)):
            result = minimize(evaluate, space(*choices), n_trials=n, strategy=TPE, folder=tmp_path)
            assert len(result.trials) == n
            assert set(result.trials.values["kind"]) <= set(choices)
            assert whole(tmp_path) == []
        (tmp_path / "study.db").unlink()
        assert rebuild(tmp_path) == [f"study.db was built from {len(read_results(tmp_path))} results"]
        assert whole(tmp_path) == []

    def test_another_strategy(self, tmp_path):
        self.first(tmp_path)
        evaluate = Counted()
        result = minimize(evaluate, FLAT, n_trials=30, strategy="random", folder=tmp_path)
        assert (len(evaluate.trained), len(result.trials)) == (10, 30)
        assert [trial.params for trial in result.trials][20:] == design(FLAT, 10, 0, start=20)

    def test_another_type_is_refused(self, tmp_path):
        self.first(tmp_path)
        with pytest.raises(InputError, match=r"'x' was a Float and is a Int now; give it another name"):
            minimize(bowl, SearchSpace({"x": Int(0, 1), "y": Float(0, 1)}), n_trials=24, folder=tmp_path)

    def test_a_value_that_the_space_has_not(self):
        with pytest.raises(InputError, match=r"had= gives a value of the space, but 'x' is Float.* and got 2"):
            minimize(bowl, FLAT, n_trials=20, had={"x": 2})

    def test_finals_of_before_do_not_choose_among_new_trials(self, tmp_path):
        quick = Hsic(design_share=0.5, final_share=0.3)
        early = minimize(bowl, FLAT, n_trials=12, strategy=quick, folder=tmp_path)
        assert early.finals
        late = minimize(bowl, FLAT, n_trials=60, strategy="random", folder=tmp_path)
        assert late.finals == ()
        assert late.best.objective == late.trials.objective.min()


class TestPoints:
    @pytest.mark.parametrize(
        ("old", "new", "holds"),
        [
            (Int(1, 9), Int(2, 5), True),
            (Int(1, 9, step=2), Int(3, 7, step=2), True),
            (Int(1, 9, step=2), Int(2, 8, step=2), False),
            (Int(1, 9, log=True), Int(2, 5, log=True), True),
            (Choice(["a", "b", "c"]), Choice(["c", "a"]), True),
            (Choice(["a", "b"]), Choice(["a", "b", "c"]), False),
            (Choice(["a", "b", "c"], law=[1, 2, 3]), Choice(["a", "b"], law=[1, 2]), False),
            (Bool(law=0.3), Bool(law=0.3), True),
            (Bool(law=0.3), Bool(), False),
            (Float(0, 1), Float(0, 1, step=0.1), False),
        ],
    )
    def test_the_law_of_a_part(self, old, new, holds):
        assert same_law(plain_space(SearchSpace({"v": old})), plain_space(SearchSpace({"v": new}))) == holds

    def test_another_condition_is_another_law(self):
        spaces = [
            SearchSpace({"on": Bool(), "v": Float(0, 1, active_if=active_if)}) for active_if in ({"on": True}, None)
        ]
        assert not same_law(*map(plain_space, spaces))

    def test_a_dropped_one_may_be_held_to_a_value(self):
        trials = [Trial(i, {"x": 0.1, "kind": kind}, 1.0) for i, kind in enumerate("aab")]
        points, why = points_of(FLAT.fix({"y": 0.5}), [(trial, True) for trial in trials], {"kind": "a"})
        assert ([point.params for point in points], why) == ([{"x": 0.1}] * 2, "1 has another kind than a")

    def test_lost_trials_are_no_evidence(self):
        lost = Trial(0, {"x": 0.1, "y": 0.2}, math.nan, status="lost")
        assert points_of(FLAT, [(lost, True)], {}) == ([], "1 was lost")


def toy_table(n, seed=0, space=FLAT, minimize=True):
    rows = design(space, n, seed)
    return TrialTable.from_trials(
        space, [Trial(i, params, bowl(params, 0)["objective"]) for i, params in enumerate(rows)], minimize
    )


class TestKnown:
    def test_the_best_known_is_trained_first(self):
        table = toy_table(60)
        evaluate = Counted()
        result = minimize(evaluate, FLAT, n_trials=12, strategy=TPE, known=table)
        assert len(result.trials) == len(evaluate.trained) == 12
        assert result.trials[0].params == table.best().params
        assert result.rounds[0].name == "known"
        assert result.rounds[0].note == "60 of 60 known trials are used"
        assert result.best.objective <= table.best().objective + 1e-5
        # They take the place of the design, and are analysed.
        assert [r.name for r in result.rounds] == ["known", "optimise"]
        assert len(result.sensitivity.trials) == 60

    def test_from_anywhere(self, tmp_path):
        import optuna

        table = toy_table(30)
        frame = table.to_frame()[["x", "y", "objective"]]
        frame.to_csv(tmp_path / "t.csv", index=False)
        study = optuna.create_study()
        for trial in table:
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial.params,
                    distributions=dict.fromkeys("xy", optuna.distributions.FloatDistribution(0, 1)),
                    value=trial.objective,
                )
            )
        run = minimize(bowl, FLAT, n_trials=30, strategy="random", folder=tmp_path / "run")
        for source in (table, frame, tmp_path / "t.csv", study, tmp_path / "run", run, [table]):
            evidence = known_trials(source, FLAT)
            assert [trial.params for trial in evidence.trials] == [trial.params for trial in table]
            assert np.allclose([trial.objective for trial in evidence.trials], table.objective, atol=1e-5)
            assert [trial.index for trial in evidence.trials] == list(range(-30, 0))
        origins = {
            name: {trial.origin for trial in known_trials(source, FLAT).trials}
            for name, source in (("table", table), ("run", tmp_path / "run"), ("frame", frame), ("study", study))
        }
        assert origins == {"table": {"design"}, "run": {"design"}, "frame": {"search"}, "study": {"search"}}

    def test_what_cannot_be_used_is_named(self):
        frame = toy_table(10).to_frame()[["x", "objective"]]
        part = SearchSpace({"x": Float(0, 0.5), "y": Float(0, 1)})
        inside = int((frame.x <= 0.5).sum())
        evidence = known_trials(frame, part, had={"y": 0.5})
        assert evidence.notes == (f"{inside} of 10 known trials are used; {10 - inside} have x outside 0 to 0.5",)
        with pytest.raises(InputError, match=r"none of the 10 is: 10 have no y \(pass had="):
            known_trials(frame, part)

    def test_the_other_direction_is_refused(self):
        with pytest.raises(InputError, match=r"theirs is maximized and the run's minimized; pass direction="):
            known_trials(toy_table(10, minimize=False), FLAT)

    def test_another_task_proposes_its_best_alone(self):
        prior = toy_table(40, seed=3)
        result = minimize(bowl, FLAT, n_trials=12, strategy=TPE, known=Known(prior, prior=True))
        assert result.trials[0].params == prior.best().params
        assert result.rounds[0].note == "40 of 40 trials of another task are used"
        assert result.sensitivity.trials.index.min() >= 0

    def test_known_trials_are_part_of_the_plan(self, tmp_path):
        table = toy_table(30)
        first = minimize(bowl, FLAT, n_trials=12, strategy=TPE, known=table, folder=tmp_path)
        evaluate = Counted()
        same(first, minimize(evaluate, FLAT, n_trials=12, strategy=TPE, known=table, folder=tmp_path))
        assert evaluate.trained == []
        more = minimize(evaluate, FLAT, n_trials=16, strategy=TPE, known=toy_table(40), folder=tmp_path)
        assert (len(evaluate.trained), len(more.trials)) == (4, 16)

    def test_what_is_known_of_the_branches_spares_visits_and_draws(self):
        rows = [params for params in design(SPACE, 40, 0) if params["rate"] <= 0.5]
        table = TrialTable.from_trials(SPACE, [Trial(i, own, train(own, 0)["objective"]) for i, own in enumerate(rows)])
        found = minimize(train, SPACE, n_trials=10, strategy=Hsic(final_share=0), known=table)
        assert {"design", "branches"}.isdisjoint(r.name for r in found.rounds)
        assert found.rounds[-1].name == "search"
        assert set(found.trials.origin) == {"search"}

    def test_twenty_after_two_hundred_find_the_best(self):
        late = minimize(bowl, FLAT, n_trials=20, known=toy_table(200), seed=0)
        assert late.best.objective <= 1e-4 < toy_table(200).best().objective

    @pytest.mark.slow
    def test_twenty_after_two_hundred_are_as_good_as_a_hundred(self):
        # Both are medians of 3 seeds; from nothing the loss is that of a search to 1e-4.
        late = [minimize(bowl, FLAT, n_trials=20, known=toy_table(200, seed), seed=seed) for seed in range(3)]
        alone = [minimize(bowl, FLAT, n_trials=100, seed=seed) for seed in range(3)]
        medians = [np.median([run.best.objective for run in runs]) for runs in (late, alone)]
        assert medians[0] <= medians[1] + 1e-5  # the noise between seeds is 6e-6


class TestWhenToStop:
    def test_timeout(self, tmp_path, monkeypatch):
        now = [0.0]  # a clock that goes on by a second a trial, however busy the machine is
        monkeypatch.setattr("hsicfast.search.rounds.time", SimpleNamespace(monotonic=lambda: now[0]))

        def slow(params, seed):
            now[0] += 1
            return bowl(params, seed)

        for strategy in (Random(), TPE):
            folder = tmp_path / type(strategy).__name__
            part = minimize(slow, FLAT, n_trials=60, strategy=strategy, folder=folder, timeout=19.5)
            assert len(part.trials) == 20
            assert not part.interrupted
            assert part.ended == f"timeout=19.5 seconds were over after {len(part.trials)} trials"
            assert part.rounds[-1].learnt[-1] == part.ended
            # The same call goes on, and ends as one that had the time.
            done = minimize(slow, FLAT, n_trials=60, strategy=strategy, folder=folder, timeout=1000)
            same(done, minimize(bowl, FLAT, n_trials=60, strategy=strategy))

    def test_timeout_before_an_analysis(self):
        with pytest.raises(
            InputError, match=r"at least 4 finished trials, but timeout=1e-09 seconds were over after 0"
        ):
            minimize(bowl, FLAT, n_trials=20, strategy="random", timeout=1e-9)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"timeout": 0}, "`timeout > 0` must hold, but got 0; give it in seconds"),
            ({"timeout": math.nan}, "`timeout > 0` must hold"),
            ({"stop": "soon"}, "stop must be null or enough, but got 'soon'; choose one of them"),
        ],
    )
    def test_wrong_values(self, changes, said):
        with pytest.raises(InputError, match=said):
            minimize(bowl, FLAT, n_trials=20, **changes)

    @pytest.mark.parametrize("strategy", [TPE, Random("sobol")], ids=["two_step", "random"])
    def test_enough(self, strategy):
        options = {"n_trials": 120, "strategy": strategy, "stop": "enough"}
        found = minimize(bowl, FLAT, tolerance=0.05, **options)
        assert 25 <= len(found.trials) < 120
        assert found.ended.startswith(f"enough: {120 - len(found.trials)} further trials can be expected to gain ")
        assert found.ended.endswith("which is below the tolerance of 0.05")
        assert found.rounds[-1].learnt[-1] == found.ended
        assert found.best.objective < 0.05  # the least is 0
        same(found, minimize(bowl, FLAT, tolerance=0.05, **options))
        assert len(minimize(bowl, FLAT, tolerance=0.0, **options).trials) == 120

    def test_not_as_long_as_something_can_be_gained(self):
        # Noise is all there is to see, and a tolerance a hundredth of it: nobody can say that it is enough.
        def noise(params, seed):
            return float(np.random.default_rng(seed).normal())

        assert len(minimize(noise, FLAT, n_trials=40, strategy=TPE, stop="enough", tolerance=0.01).trials) == 40

    @pytest.mark.slow
    def test_the_default_economises_and_has_finals_nevertheless(self):
        quick = Hsic(final_share=0.1)
        found = minimize(bowl, FLAT, n_trials=100, strategy=quick, stop="enough", tolerance=0.05)
        assert len(found.trials) < 80
        assert found.finals
        assert found.ended


def test_a_chapter_survives_other_versions_of_its_trials(tmp_path):
    """A file of an earlier chapter that is another trial now is taken as it is: the file is the truth."""
    from hsicfast.runs.results import write_result

    minimize(bowl, FLAT, n_trials=12, strategy=TPE, folder=tmp_path)
    write_result(tmp_path, replace(read_results(tmp_path)[3], objective=-1.0))
    assert minimize(bowl, FLAT, n_trials=16, strategy=TPE, folder=tmp_path).best.index == 3


class TestManyHosts:
    def test_share_the_chapters(self, tmp_path):
        url = f"sqlite:///{tmp_path}/shared.db"
        evaluate = Counted()

        def host(name, n, space=FLAT):
            folder = tmp_path / name
            return minimize(evaluate, space, n_trials=n, strategy=TPE, folder=folder, store=url)

        for n in (12, 20):
            same(host("a", n), host("b", n))
            assert len(evaluate.trained) == n
        # A host that comes late finds both chapters, and goes on in the second one.
        same(host("late", 20), host("a", 20))
        assert [chapter.n_trials for chapter in read_history(tmp_path / "late")] == [12, 20]
        assert len(evaluate.trained) == 20
        part = SearchSpace({"x": Float(0, 0.5), "y": Float(0, 1)})
        same(host("a", 24, part), host("b", 24, part))
        assert len(set(evaluate.trained)) == len(evaluate.trained)

    def test_other_choices_begin_another_study(self, tmp_path):
        import optuna

        url = f"sqlite:///{tmp_path}/shared.db"

        def evaluate(params, seed):
            return params["x"]

        for choices in ("ab", "abc"):
            space = SearchSpace({"kind": Choice(list(choices)), "x": Float(0, 1)})
            n = 8 * (len(choices) - 1)
            minimize(evaluate, space, n_trials=n, strategy=TPE, folder=tmp_path / "a", store=url)
        sizes = [
            len(optuna.load_study(study_name=name, storage=url).trials) for name in optuna.get_all_study_names(url)
        ]
        assert sizes == [8, 16]
