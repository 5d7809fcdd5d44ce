"""How far a ranking moves: against the plain definition, and where the answer is known."""

import numpy as np
import pytest

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Threshold, TrialTable, analyse
from hsicfast.indices.stability import SHARES, over_goals, rank_intervals


def trials(n=200, seed=0, extra=()):
    random = np.random.default_rng(seed)
    space = SearchSpace({f"h{i}": Float(0, 1) for i in range(4)} | dict(extra))
    values = {name: [space[name].from_unit(u) for u in random.random(n)] for name in space}
    return space, values, random


def found(space, values, y, **options):
    return analyse(space, TrialTable.from_arrays(space, values, y), pairs=False, **options)


class TestRankIntervals:
    def test_what_decides_alone_stays_first_and_noise_moves(self):
        space, values, _ = trials(300)
        intervals = rank_intervals(found(space, values, values["h2"]))
        assert (intervals["h2"].rank, intervals["h2"].low, intervals["h2"].high) == (1, 1, 1)
        noise = [intervals[f"h{i}"] for i in (0, 1, 3)]
        assert all(interval.low >= 2 and interval.high > interval.low for interval in noise)
        assert {interval.of for interval in noise} == {4}

    def test_ranks_are_those_of_the_analysis(self):
        space, values, random = trials(extra={"kind": Choice(["a", "b"])})
        sensitivity = found(space, values, random.random(200))
        ranks = {name: interval.rank for name, interval in rank_intervals(sensitivity).items()}
        assert ranks == {index.name: place + 1 for place, index in enumerate(sensitivity.indices)}

    def test_a_group_is_ranked_among_itself_and_one_too_small_is_left_out(self):
        extra = {
            "kind": Choice(["a", "b", "rare"], law=[0.495, 0.495, 0.01]),
            "inner": Float(0, 1, active_if={"kind": "a"}),
            "lone": Float(0, 1, active_if={"kind": "rare"}),
        }
        space, values, random = trials(extra=extra)
        sensitivity = found(space, values, random.random(200))
        assert sensitivity["lone"].n < 4
        intervals = rank_intervals(sensitivity)
        assert set(intervals) == set(space) - {"lone"}
        assert (intervals["inner"].rank, intervals["inner"].of, intervals["kind"].of) == (1, 1, 5)

    def test_a_given_threshold_stays_where_it_is(self):
        space, values, _ = trials(300)
        sensitivity = found(space, values, values["h2"], goal=Threshold(0.3))
        assert rank_intervals(sensitivity)["h2"].high == 1

    def test_the_same_seed_the_same_intervals(self):
        space, values, random = trials()
        y = random.random(200)
        assert rank_intervals(found(space, values, y)) == rank_intervals(found(space, values, y))
        few = rank_intervals(found(space, values, y), resamples=3)
        assert few != rank_intervals(found(space, values, y, seed=1), resamples=3)


class TestOverGoals:
    @pytest.mark.parametrize("minimize", [True, False])
    def test_each_row_is_the_analysis_with_that_goal(self, minimize):
        space, values, random = trials(extra={"b": Bool(), "n": Int(1, 5)})
        y = np.array(values["h0"]) + 0.3 * random.random(200)
        y[:9] = np.nan
        sweep = over_goals(found(space, values, y, minimize=minimize))
        for row, share in enumerate(SHARES):
            again = found(space, values, y, goal=share, minimize=minimize, test="gamma")
            assert [again[name].r2 for name in sweep.names] == pytest.approx(sweep.r2[row].tolist(), rel=1e-4)
            assert [again[name].pvalue for name in sweep.names] == pytest.approx(sweep.pvalue[row].tolist(), abs=2e-3)
            assert [sweep.names[k] for k in np.argsort(sweep.rank[row])] == [index.name for index in again.indices]

    def test_a_goal_that_widens_from_one_to_another(self):
        space, values, _ = trials(2000)
        h0, h1 = np.array(values["h0"]), np.array(values["h1"])
        # The best 10% are those of small h1 among small h0; who ends among the best half h0 decides.
        y = np.where(h0 < 0.5, 0.1 * h1, 1 + h1)
        sweep = over_goals(found(space, values, y))
        h0_place, h1_place = sweep.names.index("h0"), sweep.names.index("h1")
        assert sweep.rank[0, h1_place] == 1
        assert sweep.rank[-1, h0_place] == 1
        assert (sweep.pvalue[[0, -1], [h1_place, h0_place]] < 1e-6).all()
