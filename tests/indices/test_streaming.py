"""Trials in Parquet files: the same analysis as in memory, however the rows are cut; what is refused."""

import math
import pickle
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hsicfast import Bool, Choice, Float, InputError, Int, ParquetTrials, SearchSpace, Threshold, analyse
from hsicfast.indices import streaming
from hsicfast.indices import summaries as sums
from hsicfast.indices.verdicts import trial_notes
from hsicfast.trials import parquet

SPACE = SearchSpace(
    {
        "rate": Float(1e-4, 1, log=True),
        "drop": Float(0, 0.5),
        "optimizer": Choice(["adam", "sgd"], law=[0.4, 0.6]),
        "momentum": Float(0, 0.99, active_if={"optimizer": "sgd"}),
        "nesterov": Bool(active_if={"optimizer": "sgd"}),
        "depth": Int(1, 6),
        "wide": Float(1, 2, step=0.25, active_if={"depth": [5, 6]}),
    }
)
N = 20_000
# An index and its evidence; p-values go as exp(-statistic), which loses some digits.
EXACT = {"rel": 1e-10, "abs": 1e-16}


def trials(n=N, seed=0):
    rng = np.random.default_rng(seed)
    sgd, depth = rng.random(n) < 0.6, rng.integers(1, 7, n)
    rate = 10 ** rng.uniform(-4, 0, n)
    momentum = np.where(sgd, rng.uniform(0, 0.99, n), np.nan)
    objective = (np.log10(rate) + 2) ** 2 + np.where(sgd, momentum, 0.4) + 0.1 * depth + rng.random(n)
    objective[rng.random(n) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "rate": rate,
            "drop": rng.uniform(0, 0.5, n).astype(np.float32),
            "optimizer": np.where(sgd, "sgd", "adam"),
            "momentum": momentum,
            "nesterov": pd.array(np.where(sgd, rng.random(n) < 0.5, None), dtype="boolean"),
            "depth": depth,
            "wide": np.where(depth >= 5, 1 + 0.25 * rng.integers(0, 5, n), np.nan),
            "objective": np.round(objective, 3),  # ties at the edge
            "cost": depth + rng.random(n),
        }
    )


def write(frame, folder, cuts=(7_000, 7_001), group=1_500):
    """Files of these rows with small row groups."""
    folder.mkdir(exist_ok=True)
    edges = [0, *cuts, len(frame)]
    for place in range(len(edges) - 1):
        table = pa.Table.from_pandas(frame.iloc[edges[place] : edges[place + 1]], preserve_index=False)
        pq.write_table(table, folder / f"part-{place}.parquet", row_group_size=group)
    return folder


@pytest.fixture(scope="module")
def frame():
    return trials()


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    return write(frame, tmp_path_factory.mktemp("trials"))


@pytest.fixture
def small(monkeypatch):
    """Portions, batches and samples of a few hundred rows."""
    monkeypatch.setattr(parquet, "BATCH", 700)
    monkeypatch.setattr(parquet, "PORTION", 2_000)
    monkeypatch.setattr(streaming, "KEPT_SAMPLE", 3_000)


def same_indices(ours, theirs, intervals=1e-8):
    assert [index.name for index in ours] == [index.name for index in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.n, one.group) == (other.n, other.group)
        for field in ("hsic", "r2", "noise_floor"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), **EXACT), (one.name, field)
        for field in ("pvalue", "pvalue_holm", "pvalue_bh"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-6, nan_ok=True), (one.name, field)
        for field in ("ci_low", "ci_high"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=intervals, abs=1e-15), field


class TestAsInMemory:
    @pytest.mark.parametrize("law", ["space", "ranks"])
    @pytest.mark.parametrize("goal", [0.1, 500, Threshold(0.8)])
    def test_the_same_indices(self, small, frame, folder, law, goal):
        found = analyse(SPACE, folder, goal=goal, law=law, pairs=False)
        known = analyse(SPACE, frame, goal=goal, law=law, pairs=False, test="asymptotic")
        same_indices(found.indices, known.indices)
        same_indices(found.cost_indices, known.cost_indices)
        assert (found.threshold, found.counts) == (known.threshold, known.counts)
        assert (found.n, found.n_met) == (known.n, known.n_met) == (N, int(known.met.sum()))
        assert found.question.test == "asymptotic"

    @pytest.mark.parametrize(
        "options", [{"minimize": False}, {"failed": "drop"}, {"bandwidth": 0.1}, {"test": "gamma"}]
    )
    def test_with_other_options(self, small, frame, folder, options):
        known = analyse(SPACE, frame, goal=0.1, pairs=False, **({"test": "asymptotic"} | options))
        same_indices(analyse(SPACE, folder, goal=0.1, pairs=False, **options).indices, known.indices)

    @pytest.mark.parametrize("n", [N, 60])
    def test_no_goal_asked_for_is_the_same_goal_in_the_order_of_the_indices(self, small, frame, tmp_path, n):
        few = frame.iloc[:n]
        found = analyse(SPACE, write(few, tmp_path / "auto", ()), pairs=False)
        known = analyse(SPACE, few, pairs=False, test="asymptotic")
        assert (found.goal, found.threshold, found.n_met) == (known.goal, known.threshold, known.n_met)
        same_indices(sorted(found.indices, key=lambda own: own.name), sorted(known.indices, key=lambda own: own.name))
        main = [index.hsic for index in found.indices if index.group == "main"]
        assert main == sorted(main, reverse=True)
        assert not found.by_importance
        assert all(math.isnan(index.importance) for index in found.indices if index.hsic > 0)

    def test_few_trials_are_all_kept_and_pairs_are_the_same(self, frame, tmp_path):
        few = frame.iloc[:3_000]
        found = analyse(SPACE, write(few, tmp_path / "few", (100,)), goal=0.1)
        known = analyse(SPACE, few, goal=0.1, test="asymptotic")
        assert found.pair_indices == known.pair_indices
        assert len(found.trials) == 3_000
        assert found.verdicts().equals(known.verdicts())

    def test_rows_in_any_order_and_groups_of_any_size(self, small, frame, folder, tmp_path):
        # of trials tied at the goal's edge others come first, which intervals see, also in memory
        shuffled = write(frame.sample(frac=1, random_state=1), tmp_path / "shuffled", (), 9_000)
        for law in ("space", "ranks"):
            found = [analyse(SPACE, path, law=law, pairs=False).indices for path in (folder, shuffled)]
            same_indices(*found, intervals=1e-2)

    def test_statuses_and_origins(self, small, frame, tmp_path):
        status = np.array(["done", "pruned", "lost", "diverged"])[np.random.default_rng(3).integers(0, 4, N)]
        origin = np.where(np.arange(N) % 5, "design", "search")
        marked = frame.assign(status=status, origin=origin)
        path = write(marked, tmp_path / "marked")
        for options in ({}, {"pruned": "last"}, {"pruned": "drop", "failed": "drop"}, {"law": "ranks"}):
            with pytest.warns(UserWarning, match=r"4000 of 20000 trials were proposed by an optimiser"):
                found = analyse(SPACE, path, goal=0.1, pairs=False, **options)
            with pytest.warns(UserWarning, match=r"4000 of 20000 trials were proposed by an optimiser"):
                known = analyse(SPACE, marked, goal=0.1, pairs=False, test="asymptotic", **options)
            same_indices(found.indices, known.indices)
            assert found.counts == known.counts
            assert found.n == len(known.trials)
            assert set(found.trials.index) <= set(known.trials.index)

    def test_constants_and_groups_that_are_empty(self, small, frame, tmp_path):
        adam = frame.assign(optimizer="adam", drop=0.25, depth=1)
        path = write(adam, tmp_path / "adam")
        found, known = analyse(SPACE, path, pairs=False), analyse(SPACE, adam, pairs=False, test="gamma")
        assert (found["drop"].hsic, found["drop"].pvalue) == (0.0, 1.0)
        assert math.isnan(found["momentum"].hsic)
        assert [index.n for index in found.indices] == [index.n for index in known.indices]


class TestRanks:
    def test_a_sketch_is_as_good_as_it_says(self, small, monkeypatch, frame, folder):
        monkeypatch.setattr(streaming, "SKETCH_EDGES", 256)
        known = analyse(SPACE, frame, law="ranks", pairs=False, test="asymptotic")
        found = analyse(SPACE, folder, law="ranks", pairs=False)
        error = found.streamed.rank_error
        assert 1 / 1024 < error < 1 / 64
        for index in known.indices:
            # features are Lipschitz with 1 / h, so that a root of an index moves by at most 2 p (1 - p) error / h
            bound = 2 * 0.1 * 0.9 * error / known.question.bandwidth
            assert abs(math.sqrt(found[index.name].hsic) - math.sqrt(index.hsic)) < bound
            assert found[index.name].hsic == pytest.approx(index.hsic, rel=1e-2)
        assert found["rate"].hsic != known["rate"].hsic
        assert f"Ranks are known to {error:.1g} of their range." in trial_notes(found)

    def test_values_in_a_crowd_and_in_order_keep_their_cells(self, small, monkeypatch, frame, tmp_path):
        monkeypatch.setattr(streaming, "SKETCH_EDGES", 1024)
        crowd = np.where(np.arange(N) % 3, 0.25, np.sort(frame["drop"].to_numpy()))  # two thirds have one value
        crowded = frame.assign(drop=crowd)
        found = analyse(SPACE, write(crowded, tmp_path / "crowd"), law="ranks", pairs=False)
        known = analyse(SPACE, crowded, law="ranks", pairs=False, test="asymptotic")
        assert found.streamed.rank_error < 0.005
        assert found["drop"].hsic == pytest.approx(known["drop"].hsic, rel=1e-3)

    def test_cells_count_what_numpy_counts(self):
        rng = np.random.default_rng(0)
        u = np.concatenate((rng.random(500), [0.0, 1.0, 0.5, 0.5]))
        met = rng.random(len(u)) < 0.3
        for edges in (np.empty(0), np.array([0.5]), np.unique(np.concatenate((u[:50], [0.0, 0.5, 1.0])))):
            cells = sums.Levels(2 * len(edges) + 1)
            sums.Sketch(edges).update(cells, u, met, np.arange(7))
            at = np.searchsorted(edges, u)
            cell = 2 * at + np.isin(u, edges)
            for row, rows in enumerate((np.arange(len(u)), met, np.arange(7))):
                assert cells.counts[row].tolist() == np.bincount(cell[rows], minlength=cells.counts.shape[1]).tolist()


class TestSample:
    def test_what_needs_single_trials_is_told_from_a_sample_and_says_so(self, small, frame, folder, tmp_path):
        found = analyse(SPACE, folder)
        assert len(found.trials) == len(set(found.trials.index)) == 3_000
        rows = found.trials.index
        assert found.trials.values["rate"].tolist() == frame["rate"].iloc[rows].tolist()
        assert abs(rows.mean() / N - 0.5) < 4 / math.sqrt(12 * 3_000)
        said = trial_notes(found)[-1]
        assert said.startswith("The indices and their tests are of all 20,000 trials; pairs, pictures")
        assert "are of 3,000 drawn from them at random." in said
        page = found.report(tmp_path / "page.html").read_text()
        assert said in page
        assert f"{found.n_met:,} of the 20,000 analysed trials" in page
        assert set(found.significant()) >= {"rate", "momentum"}
        # A bound counts the trials of the sample, and a test all of them.
        assert "confidence from 3,000 trials" in found.verdicts().loc["drop", "evidence"]
        alone = analyse(SPACE, folder, pairs=False).verdicts()
        assert "with 20,000 trials" in alone.loc["drop", "evidence"]

    def test_the_seed_draws_it(self, small, folder):
        first, second, other = (analyse(SPACE, folder, pairs=False, seed=seed) for seed in (0, 0, 1))
        assert first.trials.index.tolist() == second.trials.index.tolist() != other.trials.index.tolist()
        assert repr(first.indices) == repr(second.indices) == repr(other.indices)  # their importances are NaN


class TestWorkers:
    @pytest.mark.parametrize("law", ["space", "ranks"])
    def test_portions_that_travel_and_end_in_any_order_say_the_same_to_the_bit(self, small, monkeypatch, folder, law):
        def elsewhere(portions, names, function):
            sent = pickle.dumps(function)
            made = {p: pickle.dumps(pickle.loads(sent)(p, parquet.read(p, names))) for p in reversed(portions)}
            return (pickle.loads(made[portion]) for portion in portions)

        here = analyse(SPACE, folder, law=law, pairs=False)
        monkeypatch.setattr(parquet, "_on_ray", elsewhere)
        there = analyse(SPACE, ParquetTrials(folder, workers="ray"), law=law, pairs=False)
        assert repr((here.indices, here.cost_indices)) == repr((there.indices, there.cost_indices))

    @pytest.mark.slow
    @pytest.mark.parametrize("law", ["space", "ranks"])
    def test_ray_says_the_same_to_the_bit(self, frame, tmp_path, monkeypatch, law, small_cluster):
        # More portions than two cores have under way at a time.
        path = write(frame, tmp_path / "trials", (3_000, 6_000, 9_000, 12_000, 15_000, 18_000))
        here = analyse(SPACE, ParquetTrials(path), law=law)
        there = analyse(SPACE, ParquetTrials(path, workers="ray"), law=law)
        assert repr((here.indices, here.cost_indices)) == repr((there.indices, there.cost_indices))
        assert here.pair_indices == there.pair_indices
        bad = write(frame.assign(drop=7.0), tmp_path / "bad", ())
        with pytest.raises(InputError, match=r"in column 'drop', a value must lie in \[0, 0.5\], but got 7.0"):
            analyse(SPACE, ParquetTrials(bad, workers="ray"))

    def test_without_ray(self, monkeypatch, folder):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(
            InputError, match=r'workers="ray" needs ray, but ray cannot be found; pip install "hsicfast\[ray\]"'
        ):
            analyse(SPACE, ParquetTrials(folder, workers="ray"))


class TestRefused:
    def test_what_is_no_parquet(self, tmp_path, frame):
        (tmp_path / "empty").mkdir()
        with pytest.raises(
            InputError, match=r"a Parquet file or a folder of them, but .*empty is none; check the path"
        ):
            analyse(SPACE, tmp_path / "empty")
        (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
        with pytest.raises(InputError, match=r"a Parquet file must be whole, but .*torn\.parquet: "):
            analyse(SPACE, str(tmp_path / "torn.parquet"))
        path = write(frame.iloc[:0], tmp_path / "none", ())
        with pytest.raises(
            InputError, match=r"a table of trials needs rows, but .*none has none; run some trials first"
        ):
            analyse(SPACE, path)

    def test_columns(self, frame, tmp_path):
        few = frame.iloc[:50]
        with pytest.raises(InputError, match=r"each hyperparameter and the objective, but 'depth' is missing in"):
            analyse(SPACE, write(few.drop(columns="depth"), tmp_path / "missing", ()))
        path = write(few.assign(objective="good"), tmp_path / "text", ())
        with pytest.raises(
            InputError, match=r"the objective must be a number, but 'objective' in .* holds (large_)?string"
        ):
            analyse(SPACE, path)
        with pytest.raises(InputError, match=r"but 'seconds' is missing"):
            analyse(SPACE, ParquetTrials(path, cost="seconds"))
        with pytest.raises(InputError, match=r"in column 'rate', its values must be numbers, but the file holds"):
            analyse(SPACE, write(few.assign(rate="high"), tmp_path / "words", ()))
        with pytest.raises(InputError, match=r"in column 'optimizer', a value must be one of .* but got 'lion'"):
            analyse(SPACE, write(few.assign(optimizer="lion"), tmp_path / "lion", ()))
        with pytest.raises(InputError, match=r"in column 'drop', a value must lie in \[0, 0.5\], but got nan"):
            analyse(SPACE, write(few.assign(drop=np.nan), tmp_path / "gaps", ()))
        with pytest.raises(InputError, match=r"a status must be one of .* but got \['maybe'\]"):
            analyse(SPACE, write(few.assign(status="maybe"), tmp_path / "maybe", ()))

    def test_files_that_differ(self, frame, tmp_path):
        folder = write(frame.iloc[:50], tmp_path / "two", ())
        pq.write_table(pa.Table.from_pandas(frame.assign(depth="3")), folder / "part-9.parquet")
        with pytest.raises(
            InputError, match=r"the same columns, but 'depth' is int64 in .*part-0.* and .*string in .*part-9"
        ):
            analyse(SPACE, folder)

    def test_questions(self, folder, frame, tmp_path):
        with pytest.raises(InputError, match=r"are tested by 'asymptotic' or 'gamma', but got 'permutation'"):
            analyse(SPACE, folder, test="permutation")
        with pytest.raises(InputError, match=r"workers must be one of .* but got 'dask'"):
            ParquetTrials(folder, workers="dask")
        with pytest.raises(InputError, match=r"a threshold must part the trials, but none of 20000 reach -1"):
            analyse(SPACE, folder, goal=Threshold(-1.0))
        with pytest.raises(InputError, match=r"an analysis needs at least 4 trials .* but got 3"):
            analyse(SPACE, write(frame.iloc[:3], tmp_path / "three", ()))
        with pytest.raises(
            InputError, match=r"at least one trial must end with a finite objective, but got none among 50"
        ):
            analyse(SPACE, write(frame.iloc[:50].assign(objective=np.inf), tmp_path / "diverged", ()))
