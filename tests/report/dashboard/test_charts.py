"""The charts: what a pointer reads off them, and that they show what the pictures show."""

import math
from dataclasses import replace

import numpy as np
import pytest
from builders import NASTY, NETWORK, finished_run, too_small_to_judge

from hsicfast import Choice, Float, SearchSpace, Trial, TrialTable, analyse
from hsicfast.indices.findings import Pair
from hsicfast.report.content import clearest_pairs, quadrant, relevance
from hsicfast.report.dashboard.charts import (
    charts,
    cost_chart,
    goal_set_chart,
    indices_chart,
    marginals_chart,
    pairs_chart,
    ranking_chart,
    relevance_chart,
)
from hsicfast.report.dashboard.plotly_style import escape
from hsicfast.report.figures import cost_figure, pictures
from hsicfast.report.ranking import clearest_ranks
from hsicfast.text import number, p_text, ratio


@pytest.fixture(scope="module")
def run():
    return finished_run(searched=20, lost=3, n_permutations=400)


@pytest.fixture(scope="module")
def found(run):
    return run.sensitivity


def points(figure):
    """Marks with a text for the pointer: (x, y, text)."""
    return [
        spot
        for trace in figure.data
        if trace.hovertext is not None and trace.type == "scatter"
        for spot in zip(trace.x, trace.y, trace.hovertext, strict=True)
    ]


def named(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def everything(figure):
    return figure.to_json(validate=False)


def test_charts_are_the_pictures(run):
    for sensitivity in (run.sensitivity, replace(run.sensitivity, pair_indices=(), cost_indices=())):
        of_both = [kind(sensitivity, run.trials, run.best) for kind in (charts, pictures)]
        assert list(of_both[0]) == list(of_both[1])


def test_indices_say_their_numbers(found):
    figure = indices_chart(found)
    spots = points(figure)
    assert {x for x, *_ in spots} == {index.hsic for index in found.indices}
    for index in found.indices:
        (text,) = (text for x, _, text in spots if x == index.hsic)
        assert f"<b>{index.name}</b>" in text
        assert f"p (adjusted) {escape(p_text(index.pvalue_holm))}".replace("&lt;", "<") in text
        assert f"n = {index.n}" in text
        assert f"R² {ratio(index.r2)}" in text
    names = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    assert [names[y] for index in found.indices for x, y, _ in spots if x == index.hsic] == [
        index.name for index in found.indices
    ]


def test_indices_tell_what_matters_by_shape(found):
    figure = indices_chart(found)
    assert named(figure, "matters: adjusted p ≤ 0.05").marker.symbol == "circle"
    assert named(figure, "no evidence either way").marker.symbol == "diamond"
    assert list(named(figure, "matters: adjusted p ≤ 0.05").x) == [i.hsic for i in found.indices if i.matters]


def test_intervals_lie_inside_the_axis(found):
    figure = indices_chart(found)
    low, high = figure.layout.xaxis.range
    assert low < min(i.ci_low for i in found.indices)
    assert high > max(i.ci_high for i in found.indices)


def test_a_group_too_small_to_judge_is_drawn():
    run = too_small_to_judge()
    assert math.isnan(run.sensitivity["b"].hsic)
    texts = [note.text for note in indices_chart(run.sensitivity).layout.annotations]
    assert "unknown" in texts
    for figure in charts(run.sensitivity, run.trials, run.best).values():
        assert "NaN" not in everything(figure)


def test_pairs_have_a_cell_each_that_says_its_numbers(found):
    figure = pairs_chart(found)
    names = list(figure.layout.yaxis.ticktext)
    heat = [trace for trace in figure.data if trace.type == "heatmap"]
    pure, published = (np.fmax(np.array(a.z, float), np.array(b.z, float)) for a, b in (heat[:2], heat[2:]))
    for pair in found.pair_indices:
        low, high = sorted((names.index(pair.first), names.index(pair.second)))
        assert published[high, low] == pair.hsic
        assert pure[low, high] == pair.pure
        for trace, at in ((heat[0], (low, high)), (heat[2], (high, low))):
            text = trace.hovertext[at[0]][at[1]]
            assert f"interaction alone {number(pair.pure, 3)}, p {p_text(pair.pvalue_pure)}" in text
    assert np.isfinite(pure).sum() == np.isfinite(published).sum() == len(found.pair_indices)
    full = np.isfinite(np.array(heat[1].z, float)).sum()
    assert full == sum(pair.pvalue_pure <= 0.05 for pair in found.pair_indices)
    assert (heat[0].opacity, heat[1].opacity) == (0.35, 1.0)


def test_goal_set_shows_every_trial_of_the_pair_once(found):
    pair = clearest_pairs(found.pair_indices)[0]
    figure = goal_set_chart(found, pair)
    both = found.trials.active(pair.first) & found.trials.active(pair.second)
    rows = np.flatnonzero(both)
    good = found.question.met(found.trials.objective[rows]).met
    shown = {name: named(figure, name).customdata for name in ("other trials", "trials in the goal set")}
    for name, expected in (("other trials", rows[~good]), ("trials in the goal set", rows[good])):
        assert [int(row[0]) for row in shown[name]] == found.trials.index[expected].tolist()
    assert named(figure, "trials in the goal set").marker.symbol != named(figure, "other trials").marker.symbol
    text = figure.layout.title.subtitle.text
    assert text.startswith(f"{len(rows)} trials, {good.sum()} good<br>the clearest of {len(found.pair_indices)} pairs")
    assert f"p {p_text(pair.pvalue_pure)}, not adjusted" in text


def test_values_lie_on_scales_of_their_own(found):
    figure = goal_set_chart(found, Pair("learning_rate", "optimizer", 0.1, 0.1, 0.1, 0.1))
    assert figure.layout.xaxis.type == "log"
    for name in ("other trials", "trials in the goal set"):
        trace = named(figure, name)
        index = [int(row[0]) for row in trace.customdata]
        rows = np.searchsorted(found.trials.index, index)
        assert list(trace.x) == found.trials.values["learning_rate"][rows].tolist()
        level = [["adam", "sgd", "rmsprop"].index(value) for value in found.trials.values["optimizer"][rows]]
        assert np.abs(np.array(trace.y) - level).max() <= 0.3
    assert list(figure.layout.yaxis.ticktext) == ["adam", "sgd", "rmsprop"]


def test_marginals_say_how_many(found):
    figure = marginals_chart(found)
    everyone, good = (trace for trace in figure.data[:2])
    n, z = found.trials.active("learning_rate").sum(), found.carried("learning_rate").z.sum()
    assert sum(everyone.y) == pytest.approx(1)
    assert sum(good.y) == pytest.approx(1)
    lines = everyone.hovertext[0].split("<br>")
    assert lines[0] == "<b>learning_rate</b>: 1e-05 to " + lines[0].rsplit(" ", 1)[1]
    assert f"of {n} trials" in lines[1]
    assert f"of {z} good ones" in lines[2]
    assert sum(int(text.split("<br>")[1].split(" of ")[0]) for text in everyone.hovertext) == n
    assert good.marker.pattern.shape == "/"


def test_relevance_puts_each_in_its_quadrant(found):
    both = relevance(found)
    figure = relevance_chart(both, cost="FLOPs")
    places = {e.name: (math.sqrt(c.r2), math.sqrt(e.r2)) for e, c in both}
    assert len(places) == len(NETWORK)
    for error, cost in both:
        trace = named(figure, quadrant(error, cost))
        at = next(k for k, text in enumerate(trace.hovertext) if text.startswith(f"<b>{error.name}</b>"))
        assert (trace.x[at], trace.y[at]) == pytest.approx(places[error.name])
        assert f"by FLOPs: R² {ratio(cost.r2)}, p (adjusted) {p_text(cost.pvalue_holm)}" in trace.hovertext[at]
    symbols = [trace.marker.symbol for trace in figure.data]
    assert len(set(symbols)) == len(symbols) == 4
    assert {e.name: quadrant(e, c) for e, c in both}["learning_rate"] == "buys error"
    assert {e.name: quadrant(e, c) for e, c in both}["width"] == "only burns compute"


def test_ranking_marks_what_is_seen(found):
    sweep, chosen = clearest_ranks(found)
    figure = ranking_chart(found, sweep, chosen)
    lines = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert len(lines) == len(chosen) == 5
    for trace, name in zip(lines, chosen, strict=True):
        assert list(trace.y) == sweep.rank[:, name].tolist()
        seen = [colour != "white" for colour in trace.marker.color]
        assert seen == (sweep.pvalue[:, name] <= 0.05).tolist()
        assert trace.hovertext[0].startswith(f"<b>{sweep.names[name]}</b><br>best 5%: rank {sweep.rank[0, name]} of 5")
        assert f"p {p_text(sweep.pvalue[0, name])} (not adjusted)" in trace.hovertext[0]
    assert list(figure.layout.yaxis2.ticktext) == [sweep.names[name] for name in chosen]
    looks = {(trace.line.dash, trace.marker.symbol) for trace in lines}
    assert len(looks) == len(lines)


def test_cost_says_what_a_trial_was(run):
    figure = cost_chart(run.sensitivity, run.trials, run.best, metric="RMSE", cost="FLOPs")
    done = run.trials.status == "done"
    marks = [trace for trace in figure.data if trace.customdata is not None]
    assert sum(len(trace.x) for trace in marks) == done.sum()
    assert {trace.name for trace in marks} == {"design", "design, in the goal set", "search", "search, in the goal set"}
    trace = named(figure, "design, in the goal set")
    assert len(trace.x) == run.sensitivity.met.sum()
    trial = run.trials[int(np.flatnonzero(run.trials.index == int(trace.customdata[0][0]))[0])]
    assert (trace.x[0], trace.y[0]) == (trial.cost, trial.objective)
    names = [line.split(" %{")[0] for line in trace.hovertemplate.removesuffix("<extra></extra>").split("<br>")]
    told = dict(zip(names, trace.customdata[0], strict=True))
    assert told["RMSE"] == number(trial.objective)
    assert told["FLOPs"] == number(trial.cost)
    assert told["optimizer"] == trial.params["optimizer"]
    assert told["momentum"] == ("–" if "momentum" not in trial.params else number(trial.params["momentum"]))
    star = named(figure, "best")
    assert (star.x[0], star.y[0]) == (run.best.cost, run.best.objective)
    assert "RMSE" in figure.layout.yaxis.title.text


def test_finalists_again_have_a_mark_of_their_own(run):
    origin = np.where(run.trials.index >= 95, "final", run.trials.origin)
    trials = replace(run.trials, origin=origin)
    figure = cost_chart(run.sensitivity, trials, run.best, metric="RMSE", cost="FLOPs")
    again = [trace for trace in figure.data if trace.name and trace.name.startswith("finalists again")]
    assert {trace.marker.symbol for trace in again} == {"diamond"}
    assert sum(len(trace.x) for trace in again) == (trials.status[95:] == "done").sum()
    drawn = cost_figure(run.sensitivity, trials, run.best).legends[0].get_texts()
    assert [text.get_text() for text in drawn if text.get_text().startswith("finalists again")]


def test_cost_without_costs_goes_by_trial_number():
    run = finished_run(n=30, costs=False)
    figure = cost_chart(run.sensitivity, run.trials, run.best)
    assert figure.layout.xaxis.title.text == "trial number (costs are unknown)"
    assert named(figure, "best").x[0] == run.best.index


def test_pruned_trials_are_shown_where_their_objective_counts():
    a = np.random.default_rng(0).random(40)
    space = SearchSpace({"a": Float(0, 1)})
    trials = [Trial(k, {"a": float(x)}, float(x), status="pruned" if k < 6 else "done") for k, x in enumerate(a)]
    for pruned, shown in (("last", 6), ("miss", 0)):
        table = TrialTable.from_trials(space, trials)
        figure = cost_chart(analyse(space, table, pruned=pruned), table, table.best())
        early = [trace for trace in figure.data if trace.name and trace.name.startswith("stopped early")]
        assert sum(len(trace.x) for trace in early) == shown
        assert ("6 were stopped early" in figure.layout.title.subtitle.text) == (shown == 0)


def test_nothing_in_a_name_is_taken_for_markup():
    space = SearchSpace({name: Float(0, 1) for name in NASTY} | {"choice": Choice(["$a$", "<b>", "%{x}"])})
    run = finished_run(space, n=24, n_permutations=9)
    for figure in charts(
        run.sensitivity, run.trials, run.best, metric="<i>m</i> %{y}", cost="<a href=x>c</a>"
    ).values():
        text = everything(figure)
        for harm in ("<script", "<img", "<i>m", "<a ", "$a$", "\\frac$", "%{x}", "%{y}"):
            assert harm not in text, harm


def test_crowds_are_bounded_and_said():
    a, b = np.random.default_rng(0).random((2, 20_000))
    space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b}, a + b), goal=0.05, n_permutations=9)
    figures = charts(found, found.trials, found.trials.best())
    for name in ("goal_set", "error_against_cost"):
        shown = {trace.name: len(trace.x) for trace in figures[name].data if trace.customdata is not None}
        assert sorted(shown.values()) == [1000, 4000]
        assert "1,000 of 1,000 good and 4,000 of 19,000 other trials, drawn at random" in everything(figures[name])


def test_colours_are_not_the_only_difference(run):
    """In a grey print shape and fill tell the marks of a chart apart."""
    for name, figure in charts(run.sensitivity, run.trials, run.best).items():
        marks = [trace for trace in figure.data if trace.type == "scatter" and trace.name and trace.marker.symbol]
        hollow = ("white", "rgba(0,0,0,0)")
        looks = [(trace.marker.symbol, trace.marker.color in hollow) for trace in marks]
        assert len(set(looks)) == len(looks), name
