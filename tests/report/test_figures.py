"""The figures: what stands on them, read off the Figure objects."""

import math
from dataclasses import replace
from io import BytesIO
from itertools import combinations

import numba
import numpy as np
import pytest
from matplotlib import image

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Trial, TrialTable, analyse
from hsicfast.indices.findings import Pair
from hsicfast.indices.reduction import reduce
from hsicfast.report.axes import fits_log_axis, levels, place_labels, ticks
from hsicfast.report.content import (
    LINES,
    MOST_RANKED,
    clearest,
    clearest_pairs,
    clearest_ranks,
    noise_r2,
    relevance,
    strongest_paired,
)
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
from hsicfast.report.marginals import bars
from hsicfast.report.points import some_of
from hsicfast.report.style import render, shorten
from hsicfast.search.orchestrator import Result
from hsicfast.search.rounds import Round
from hsicfast.text import value_text

NETWORK = SearchSpace(
    {
        "learning_rate": Float(1e-5, 1, log=True),
        "optimizer": Choice(["adam", "sgd", "rmsprop"]),
        "momentum": Float(0, 0.99, active_if={"optimizer": ["sgd", "rmsprop"]}),
        "width": Int(4, 256, log=True),
        "depth": Int(1, 6),
        "batch_norm": Bool(),
    }
)
NASTY = (
    "<script>alert(1)</script>",
    "a&b\"'|c",
    "</td></table><img src=http://evil.example/x onerror=alert(1)>",
    "ширина",
    "学習率",
    "$\\frac$ $x$",
    "[bold red]name[/bold red]",
    "{{ 7 * 191 }}",
    "n" * 120,
    "line\nbreak\x1b[31m",
)


def finished_run(
    space=NETWORK,
    n=80,
    searched=0,
    *,
    sign=1,
    costs=True,
    lost=0,
    reduced=True,
    interrupted=False,
    objective=None,
    n_permutations=200,
):
    """A run in which the learning rate decides, unless `objective` of the params says otherwise."""
    rng = np.random.default_rng(0)
    trials = []
    for i in range(n + searched):
        params = space.from_unit(rng.random(len(space)))
        noise = 0.2 * rng.random()
        rate = params.get("learning_rate", 0.1)
        error = objective(params) if objective else 0.01 * math.exp((math.log10(rate) + 2) ** 2 + noise)
        status = "lost" if i < lost else "diverged" if rate > 0.5 else "done"
        trials.append(
            Trial(
                index=i,
                params=params,
                objective=sign * error if status == "done" else math.nan,
                cost=float(params.get("width", 8) ** 2 * params.get("depth", 1)) if costs else math.nan,
                status=status,
                origin="design" if i < n else "search",
                seed=1000 + i,
                metrics={"epochs": 30 + i % 7, "seconds": math.nan if i % 2 else 1.5},
                message="loss is NaN" if status == "diverged" else "",
            )
        )
    table = TrialTable.from_trials(space, trials)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)  # starting threads costs more than these few trials, ten times so on a busy machine
    found = analyse(space, table.design, 0.2, minimize=sign > 0, n_permutations=n_permutations)
    numba.set_num_threads(threads)
    rounds = (Round(1, "design", 0, n, "drawn independently"), Round(2, "optimise", n, n + searched, "proposed by x"))
    return Result(
        best=table.best(sign > 0),
        trials=table,
        sensitivity=found,
        reduction=reduce(found) if reduced else None,
        rounds=rounds if searched else rounds[:1],
        minimize=sign > 0,
        goal=0.2,
        interrupted=interrupted,
        economical=table.economical(None, sign > 0),
    )


@pytest.fixture(scope="module")
def run():
    return finished_run(searched=20, lost=3, n_permutations=400)


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
    assert segments == [[index.ci_low, index.ci_high] for index in run.sensitivity.indices]
    assert texts(axes).count("<0.001") + texts(axes).count("0.015") == 1
    assert texts(axes)[-1] == "p (Holm)"
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


def test_the_clearest_come_first_whatever_their_size():
    pairs = [
        Pair("a", "b", 9.0, 0.9, 0.001, 0.5),
        Pair("a", "c", 1.0, 0.2, 0.9, 0.01),
        Pair("b", "c", 1.0, 0.3, 0.9, 0.01),
    ]
    assert clearest_pairs(pairs) == [pairs[2], pairs[1], pairs[0]]


def test_a_large_index_of_few_trials_is_not_the_clearest(run):
    first, second, *_ = run.sensitivity.indices
    noisy, unjudged = replace(second, hsic=9.0, pvalue=0.8), replace(second, hsic=math.nan, pvalue=math.nan)
    assert clearest(replace(run.sensitivity, indices=(unjudged, noisy, first))) == [first, noisy, unjudged]


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
    assert texts(axes) == [f"{done} trials, 19 good; {diverged} diverged and have no value to show"]
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


def test_noise_level_of_r2_is_the_noise_floor_scaled(run):
    index = run.sensitivity.indices[0]
    assert noise_r2([index]) == pytest.approx(index.noise_floor * index.r2 / index.hsic)
    assert noise_r2([replace(index, hsic=0.0)]) == 0.0


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


def test_ranking_prefers_what_is_seen(run):
    sweep, chosen = clearest_ranks(run.sensitivity, most=1)
    assert [sweep.names[name] for name in chosen] == ["learning_rate"]


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


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_files_are_the_same_every_time(run, kind):
    first, second = (render(indices_figure(run.sensitivity), kind) for _ in range(2))
    assert first == second
    assert len(first) > 5000


def test_png_has_150_dots_an_inch(run):
    figure = indices_figure(run.sensitivity)
    height, width = image.imread(BytesIO(render(figure, "png"))).shape[:2]
    assert (width, height) == tuple(int(150 * inches) for inches in figure.get_size_inches())


def test_the_users_own_style_changes_nothing(run):
    import matplotlib

    expected = render(indices_figure(run.sensitivity), "svg")
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.facecolor": "black"}):
        assert render(indices_figure(run.sensitivity), "svg") == expected


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
    space = SearchSpace({"a": Choice([0, 1], law=[99, 1]), "b": Float(0, 1, active_if={"a": 1})})
    run = finished_run(space, n=20, objective=lambda params: params["a"] + 0.5)
    assert math.isnan(run.sensitivity["b"].hsic)
    figure = indices_figure(run.sensitivity)
    assert "unknown" in texts(figure.axes[0])
    assert len(render(figure, "png")) > 5000
    assert len(render(marginals_figure(run.sensitivity), "png")) > 5000


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


def test_shorten_keeps_both_ends():
    assert shorten("short") == "short"
    assert shorten("a" * 20 + "b" * 20, 11) == "aaaaa…bbbbb"
    assert len(shorten("x" * 100, 30)) == 30


def test_value_text():
    assert [value_text(value) for value in (0.123456, 3, True, None, "a", math.inf)] == [
        "0.1235", "3", "True", "None", "a", "unknown",
    ]  # fmt: skip
