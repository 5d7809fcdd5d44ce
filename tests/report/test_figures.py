"""The figures: what stands on them, read off the Figure objects."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from builders import NASTY, finished_run, too_small_to_judge

from hsicfast import Choice, Float, SearchSpace
from hsicfast.indices.findings import Pair
from hsicfast.report.content import clearest_pairs, interval_seen, relevance, strongest_paired
from hsicfast.report.figures import (
    cost_figure,
    draw_all,
    goal_set_figure,
    indices_figure,
    marginals_figure,
    pairs_figure,
    ranking_figure,
    relevance_figure,
)
from hsicfast.report.ranking import LINES, MOST_RANKED, clearest_ranks
from hsicfast.report.style import render


def drawn(run, **names):
    return draw_all(run.sensitivity, run.trials, run.best, **names)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_indices_have_a_row_each_in_groups_with_their_own_n(run):
    axes = indices_figure(run.sensitivity).axes[0]
    assert labels(axes.yaxis) == [index.name for index in run.sensitivity.indices]
    n = {index.group: index.n for index in run.sensitivity.indices}
    assert n["main"] == 77
    assert n["optimizer=sgd|rmsprop"] < 77
    assert "all trials, n = 77" in texts(axes)
    assert f"only where optimizer=sgd|rmsprop, n = {n['optimizer=sgd|rmsprop']}" in texts(axes)
    assert axes.get_xlabel() == "HSIC with ending among the best 20%"


def test_indices_mark_what_matters_by_shape_and_fill(run):
    axes = indices_figure(run.sensitivity).axes[0]
    assert run.sensitivity.significant() == ["learning_rate"]
    for index in run.sensitivity.indices:
        (mark,) = (
            line for line in axes.lines if line.get_marker() in "oD" and line.get_xdata().tolist() == [index.hsic]
        )
        filled = mark.get_markerfacecolor() != "white"
        assert (mark.get_marker(), filled) == (("o", True) if index.matters else ("D", False))


def test_indices_show_floor_interval_and_p_of_every_row(run):
    axes = indices_figure(run.sensitivity).axes[0]
    floors = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert floors == [index.noise_floor for index in run.sensitivity.indices]
    segments = [collection.get_segments()[0][:, 0].tolist() for collection in axes.collections]
    assert segments == [list(interval_seen(index)) for index in run.sensitivity.indices]
    assert all(low <= index.hsic <= high for (low, high), index in zip(segments, run.sensitivity.indices, strict=True))
    assert texts(axes).count("<0.001") + texts(axes).count("0.015") == 1
    assert texts(axes)[-1] == "p (adjusted)"
    assert axes.get_xlim()[0] <= 0


def test_pairs_put_the_published_index_below_and_the_pure_one_above(run):
    figure = pairs_figure(run.sensitivity)
    axes, upper, lower = figure.axes
    names = labels(axes.yaxis)
    assert labels(axes.xaxis) == names
    assert upper.get_ylabel() == "above: interaction alone"
    assert lower.get_ylabel() == "below: published index"
    arrays = [mesh.get_array() for mesh in axes.collections]
    pure, published = (np.ma.where(pale.mask, full, pale) for pale, full in (arrays[:2], arrays[2:]))
    for pair in run.sensitivity.pair_indices:
        low, high = sorted((names.index(pair.first), names.index(pair.second)))
        assert published[high, low] == pair.hsic
        assert pure[low, high] == pair.pure
    assert published.count() == pure.count() == len(run.sensitivity.pair_indices)
    bright = sum(pair.pvalue_pure <= 0.05 for pair in run.sensitivity.pair_indices)
    assert (arrays[1].count(), axes.collections[0].get_alpha()) == (bright, 0.35)


def test_pairs_mark_the_significant_cells_and_the_missing_ones(run):
    names = [index.name for index in run.sensitivity.indices]
    marked = Pair(names[0], names[1], 0.3, 0.2, 0.9, 0.01)
    other = Pair(names[2], names[0], 0.2, 0.1, 0.01, 0.9)
    axes = pairs_figure(replace(run.sensitivity, pair_indices=(marked, other))).axes[0]
    dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata())}
    assert dots == {(1.5, 0.5), (0.5, 2.5)}
    assert {text.get_position() for text in axes.texts if text.get_text() == "–"} == {(2.5, 1.5), (1.5, 2.5)}


def test_pairs_are_limited_to_fifteen_names_and_keep_the_partners_of_an_exclusive_or(run):
    names = [f"x{i}" for i in range(25)]
    indices = tuple(
        replace(run.sensitivity.indices[0], name=name, hsic=0.1 / (i + 1), pvalue=0.01 * (i + 1))
        for i, name in enumerate(names)
    )
    pairs = [Pair(a, b, 0.1, 0.001, 0.01, 0.5) for a, b in combinations(names, 2)]
    partners = Pair("x23", "x24", hsic=1e-9, pure=1e-9, pvalue=1.0, pvalue_pure=0.001)
    pairs = tuple(partners if {pair.first, pair.second} == {"x23", "x24"} else pair for pair in pairs)
    found = replace(run.sensitivity, indices=indices, pair_indices=pairs)
    chosen = strongest_paired(found)
    assert chosen == [*names[:13], "x23", "x24"]
    axes = pairs_figure(found).axes[0]
    assert labels(axes.xaxis) == chosen
    assert axes.get_title(loc="left") == "Which act together (the clearest 15, 10 left out)"


def test_marginals_are_of_the_strongest_with_their_own_values_on_the_axis(run):
    figure = marginals_figure(run.sensitivity)
    assert len(figure.axes) == 6
    panel = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert figure.axes[0].get_title(loc="left") == "learning_rate"
    assert labels(panel["learning_rate"].xaxis) == ["1e-05", "0.001", "0.1"]
    assert labels(panel["optimizer"].xaxis) == ["adam", "sgd", "rmsprop"]
    assert labels(panel["batch_norm"].xaxis) == ["False", "True"]
    assert labels(panel["depth"].xaxis) == ["1", "2", "3", "4", "5", "6"]
    assert figure.axes[0].get_ylabel() == "share of trials"
    assert legend(figure) == ["all trials", "trials in the goal set"]
    assert "optimizer=sgd|rmsprop" in texts(panel["momentum"])[0]


def test_marginals_count_each_trial_once(run):
    for axes in marginals_figure(run.sensitivity).axes:
        name = axes.get_title(loc="left")
        u, _, z = run.sensitivity.carried(name)
        everyone, good = ([bar.get_height() for bar in bars] for bars in axes.containers)
        assert sum(everyone) == pytest.approx(1)
        assert sum(good) == pytest.approx(1)
        assert texts(axes)[0].startswith(f"n = {len(u)}, {z.sum()} good")
    values = run.sensitivity.trials.values["batch_norm"]
    axes = next(a for a in marginals_figure(run.sensitivity).axes if a.get_title(loc="left") == "batch_norm")
    assert axes.containers[0][1].get_height() == pytest.approx(np.mean([value is True for value in values]))


def test_cost_figure_shows_goal_set_best_and_the_diverged(run):
    figure = cost_figure(run.sensitivity, run.trials, run.best, metric="validation RMSE", cost="FLOPs")
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("FLOPs", "validation RMSE")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    done, diverged = ((run.trials.status == status).sum() for status in ("done", "diverged"))
    assert diverged > 0
    assert texts(axes) == [
        f"{done} trials, 19 good, {run.sensitivity.n_met} of them analysed; {diverged} diverged (nothing to show)"
    ]
    count = {dots.get_label(): len(dots.get_offsets()) for dots in axes.collections}
    assert count["design, in the goal set"] == run.sensitivity.met.sum()
    assert sum(count.values()) == done
    star = next(line for line in axes.lines if line.get_label() == "best")
    assert star.get_xydata().tolist() == [[run.best.cost, run.best.objective]]
    edge = next(line for line in axes.lines if line.get_label() == "edge of the goal set")
    assert set(edge.get_ydata()) == {run.sensitivity.threshold}


def test_cost_figure_without_costs_goes_by_trial_number():
    run = finished_run(n=30, costs=False)
    axes = cost_figure(run.sensitivity, run.trials, run.best, metric="error", cost="FLOPs").axes[0]
    assert axes.get_xlabel() == "trial number (costs are unknown)"
    assert axes.get_xscale() == "linear"
    assert not run.sensitivity.cost_indices


def test_cost_figure_leaves_out_what_would_flatten_it():
    run = finished_run(n=40)
    objective = run.trials.objective.copy()
    objective[np.nanargmax(objective)] = 1e14
    axes = cost_figure(run.sensitivity, replace(run.trials, objective=objective), run.best).axes[0]
    assert max(axes.get_ylim()) < 100
    assert "; 1 beyond the axis" in texts(axes)[0]
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == (run.trials.status == "done").sum() - 1


def test_cost_figure_maximised_has_its_goal_set_above_the_edge():
    run = finished_run(n=30, sign=-1)
    axes = cost_figure(run.sensitivity, run.trials, run.best).axes[0]
    good = next(dots for dots in axes.collections if dots.get_label() == "trials, in the goal set")
    assert good.get_offsets()[:, 1].min() == run.sensitivity.threshold
    assert axes.get_yscale() == "linear"


def test_one_cost_unknown_is_said(run):
    cost = run.trials.cost.copy()
    cost[np.flatnonzero(run.trials.status == "done")[0]] = np.nan
    axes = cost_figure(run.sensitivity, replace(run.trials, cost=cost), run.best).axes[0]
    assert texts(axes)[0].endswith("; 1 of unknown cost")


def test_goal_set_tells_good_from_others_by_shape_and_fill(run):
    pair = clearest_pairs(run.sensitivity.pair_indices)[0]
    figure = goal_set_figure(run.sensitivity, pair)
    axes = figure.axes[0]
    others, good = axes.collections
    both = run.sensitivity.trials.active(pair.first) & run.sensitivity.trials.active(pair.second)
    z = run.sensitivity.question.met(run.sensitivity.trials.objective[both]).met
    assert (len(others.get_offsets()), len(good.get_offsets())) == ((~z).sum(), z.sum())
    assert not len(others.get_facecolor())
    assert len(good.get_facecolor())
    assert len(others.get_paths()[0].vertices) != len(good.get_paths()[0].vertices)
    assert (axes.get_xlabel(), axes.get_ylabel()) == (pair.first, pair.second)
    assert f"{len(z)} trials, {z.sum()} good\nthe clearest of 14 pairs" in texts(axes)[0]


def test_goal_set_has_values_on_scales_of_their_own(run):
    axes = goal_set_figure(run.sensitivity, Pair("learning_rate", "batch_norm", 0.1, 0.1, 0.1, 0.1)).axes[0]
    assert axes.get_xscale() == "log"
    assert labels(axes.yaxis) == ["False", "True"]
    x, y = np.concatenate([np.asarray(dots.get_offsets()) for dots in axes.collections]).T
    assert sorted(x) == sorted(run.sensitivity.trials.values["learning_rate"])
    values = [value is True for value in run.sensitivity.trials.values["batch_norm"]]
    assert sorted(np.rint(y)) == sorted(values)
    assert 0 < np.abs(y - np.rint(y)).max() <= 0.3


def test_relevance_has_a_mark_each_and_names_that_cover_no_other(run):
    both = relevance(run.sensitivity)
    axes = relevance_figure(both, cost="FLOPs").axes[0]
    marks = {tuple(xy) for line in axes.lines for xy in line.get_xydata()}
    assert marks == {(math.sqrt(c.r2), math.sqrt(e.r2)) for e, c in both}
    assert {"buys error", "only burns compute"} <= {text.strip() for text in texts(axes)}
    assert {"learning_rate", "width", "depth"} <= set(texts(axes))
    assert axes.get_xlabel() == "R² for being among the cheapest by FLOPs"
    looks = {line.get_label(): (line.get_marker(), line.get_markerfacecolor() == "white") for line in axes.lines}
    assert len(set(looks.values())) == len(looks) == 4


def test_ranking_is_filled_where_it_is_seen(run):
    sweep, chosen = clearest_ranks(run.sensitivity)
    axes = ranking_figure(run.sensitivity, sweep, chosen).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == len(sweep.shares)]
    for name in chosen:
        assert any(np.array_equal(line.get_ydata(), sweep.rank[:, name]) for line in lines)
    filled = [
        (x, y)
        for line in axes.lines
        if line.get_marker() not in ("None", "") and line.get_markerfacecolor() != "white"
        for x, y in line.get_xydata()
    ]
    seen = {(100 * share, sweep.rank[k, q]) for k, share in enumerate(sweep.shares) for q in chosen
            if sweep.pvalue[k, q] <= 0.05}  # fmt: skip
    assert set(filled) == seen
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert texts(axes) == [sweep.names[name] for name in chosen]
    assert len({(dash, marker) for _, dash, marker in LINES}) == len(LINES) == MOST_RANKED


def test_names_that_are_no_names_are_drawn_as_they_are():
    space = SearchSpace({name: Float(0, 1) for name in NASTY} | {"choice": Choice(["$a$", "<b>", "c" * 60])})
    run = finished_run(space, n=24, n_permutations=9)
    for figure in drawn(run, metric="$\\bad$ metric", cost="<cost> $").values():
        assert len(render(figure, "svg")) > 5000
    shown = labels(indices_figure(run.sensitivity).axes[0].yaxis)
    assert "\\$\\frac\\$ \\$x\\$" in shown
    assert "line break [31m" in shown
    assert max(map(len, shown)) <= 34


def test_one_hyperparameter_has_no_pairs():
    run = finished_run(SearchSpace({"learning_rate": Float(1e-5, 1, log=True)}), n=20)
    assert list(drawn(run)) == ["indices", "marginals", "error_against_cost"]
    assert all(len(render(figure, "png")) > 5000 for figure in drawn(run).values())


def test_a_group_too_small_to_judge_is_drawn():
    run = too_small_to_judge()
    assert math.isnan(run.sensitivity["b"].hsic)
    figure = indices_figure(run.sensitivity)
    assert "unknown" in texts(figure.axes[0])
    assert len(render(figure, "png")) > 5000
    assert len(render(marginals_figure(run.sensitivity), "png")) > 5000
