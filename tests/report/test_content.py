"""What the figures and the charts show, before anything is drawn."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Threshold, TrialTable, analyse
from hsicfast.indices.findings import Pair
from hsicfast.report.axes import fits_log_axis, levels, place_labels, ticks
from hsicfast.report.content import clearest, clearest_pairs, group_goal, noise_r2, p_meaning
from hsicfast.report.marginals import bars
from hsicfast.report.points import some_of
from hsicfast.report.ranking import clearest_ranks


def test_the_clearest_come_first_whatever_their_size():
    pairs = [
        Pair("a", "b", 9.0, 0.9, 0.001, 0.5),
        Pair("a", "c", 1.0, 0.2, 0.9, 0.01),
        Pair("b", "c", 1.0, 0.3, 0.9, 0.01),
    ]
    unjudged = Pair("a", "d", 9.0, 9.0, 0.001, math.nan, 0.001)
    assert clearest_pairs([unjudged, *pairs]) == [pairs[2], pairs[1], pairs[0], unjudged]


def test_a_large_index_of_few_trials_is_not_the_clearest(run):
    first, second, *_ = run.sensitivity.indices
    noisy, unjudged = replace(second, hsic=9.0, pvalue=0.8), replace(second, hsic=math.nan, pvalue=math.nan)
    assert clearest(replace(run.sensitivity, indices=(unjudged, noisy, first))) == [first, noisy, unjudged]


def test_noise_level_of_r2_is_the_noise_floor_scaled(run):
    index = run.sensitivity.indices[0]
    assert noise_r2([index]) == pytest.approx(index.noise_floor * index.r2 / index.hsic)
    assert noise_r2([replace(index, hsic=0.0)]) == 0.0


def test_ranking_prefers_what_is_seen(run):
    sweep, chosen = clearest_ranks(run.sensitivity, most=1)
    assert [sweep.names[name] for name in chosen] == ["learning_rate"]


ADJUSTED = "The adjusted p is corrected for the number of hyperparameters."
SEVERAL = "p is how often chance alone would give as clear a relation at any of several goals: to end"


@pytest.mark.parametrize(
    ("options", "p_means", "in_a_group"),
    [
        (
            {},
            f"{SEVERAL} among the best 15, or among the best 5, 10, 20, 30 or 50%. {ADJUSTED}",
            "among the best 10% of those, or the best 15, but at most a third",
        ),
        ({"goal": 0.2}, f"{SEVERAL} among the best 5, 10, 20, 30 or 50%. {ADJUSTED}", "among the best 20% of those"),
        (
            {"goal": 12, "question": "objective"},
            f"{SEVERAL} among the best 12, or among the best 5, 10, 20, 30, 50, 70, 80, 90 or 95%. {ADJUSTED}",
            "among the best 20% of those",
        ),
        (
            {"goal": Threshold(0.3)},
            f"{SEVERAL} at or below 0.3, or among the best 5, 10, 20, 30 or 50%. {ADJUSTED}",
            "at or below 0.3",
        ),
        (
            {"test": "permutation"},
            f"p is how often chance alone would give an index this large. {ADJUSTED}",
            "among the best 10% of those, or the best 15, but at most a third",
        ),
    ],
)
def test_what_was_asked_and_how_is_said(options, p_means, in_a_group):
    space = SearchSpace({"x": Float(0, 1)})
    x = np.random.default_rng(0).random(60)
    found = analyse(space, TrialTable.from_arrays(space, {"x": x}, x), n_permutations=50, **options)
    assert (p_meaning(found), group_goal(found)) == (p_means, in_a_group)


def test_a_crowd_is_sampled_with_the_good_ones_first():
    good = np.zeros(100_000, dtype=bool)
    good[::1000] = True
    shown = some_of(good, seed=0)
    assert len(shown) == len(set(shown)) == 5000
    assert good[shown].sum() == 100
    assert (some_of(good, seed=0) == shown).all()
    assert (some_of(good, seed=1) != shown).any()
    assert good[some_of(~good, seed=0)].sum() == 100
    half = some_of(np.arange(100_000) % 2 == 0, seed=0)
    assert (half % 2 == 0).sum() == 2500
    assert some_of(good[:3000], seed=0).tolist() == list(range(3000))


def test_labels_cover_no_point_and_no_other_label():
    points = np.random.default_rng(0).random((12, 2)) * (100, 60)
    names = [f"name_{k}" for k in range(12)]
    sides = place_labels(points, names, (100.0, 60.0), (2.0, 3.0), 2.0)
    boxes = []
    for (x, y), name, side in zip(points, names, sides, strict=True):
        if side is not None:
            width = 2.0 * len(name)
            left = x + 2.0 * side[0] - (width, width / 2, 0)[side[0] + 1]
            low = y + 2.0 * side[1] - (3.0, 1.5, 0)[side[1] + 1]
            assert left >= 0
            assert left + width <= 100
            assert not [p for p in points if p is not None and left < p[0] < left + width and low < p[1] < low + 3.0]
            boxes.append((left, low, left + width, low + 3.0))
    assert len(boxes) >= 10
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart


def test_marginals_of_ranks_lie_under_their_own_values():
    """Values carried by ranks lie elsewhere on [0, 1] than the ticks of the space say."""
    x = np.random.default_rng(0).beta(1, 6, 400)
    space = SearchSpace({"x": Float(0, 1), "kind": Choice(["a", "b", "c"])})
    kind = np.where(x < 0.5, "c", "a")
    found = analyse(space, TrialTable.from_arrays(space, {"x": x, "kind": kind}, x), law="ranks", n_permutations=9)
    shown = bars(found, "x")
    edges = np.append(shown.left, 1.0)
    assert shown.everyone.tolist() == np.histogram(x, edges)[0].tolist()
    assert shown.everyone.sum() == 400
    assert bars(found, "kind").everyone.tolist() == [(kind == "a").sum(), 0, (kind == "c").sum()]


@pytest.mark.parametrize(
    ("hyperparameter", "expected"),
    [
        (Float(1e-5, 1, log=True), ["1e-05", "0.001", "0.1"]),
        (Float(0.002, 0.01, log=True), ["0.002", "0.002991", "0.004472", "0.006687", "0.01"]),
        (Float(0, 1), ["0", "0.25", "0.5", "0.75", "1"]),
        (Int(0, 100), ["0", "25", "50", "75", "100"]),
    ],
)
def test_ticks_carry_the_values_where_they_lie(hyperparameter, expected):
    positions, names = ticks(hyperparameter)
    assert names == expected
    values = [float(name) for name in names]
    if isinstance(hyperparameter, Float):
        assert hyperparameter.to_unit(values) == pytest.approx(positions, abs=2e-3)


def test_levels_are_the_values_in_the_order_of_their_intervals():
    assert levels(Float(0, 1, step=0.25)) == [0, 0.25, 0.5, 0.75, 1]
    assert levels(Int(2, 10, step=4)) == [2, 6, 10]
    assert levels(Choice(["b", "a"])) == ["b", "a"]
    assert levels(Int(1, 13)) == []
    assert levels(Float(0, 1)) == []
    for hyperparameter in (Float(0, 1, step=0.25), Int(2, 10, step=4), Bool(law=0.2)):
        assert (np.diff(hyperparameter.to_unit(levels(hyperparameter))) > 0).all()


def test_a_log_axis_needs_positive_values_over_a_decade():
    assert fits_log_axis(np.array([1.0, 10.5]))
    assert not fits_log_axis(np.array([1.0, 9.5]))
    assert not fits_log_axis(np.array([0.0, 100.0]))
    assert not fits_log_axis(np.array([]))
