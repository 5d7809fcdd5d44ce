"""Draws the pictures of the page as SVG; what they show is decided where the other backends ask, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Floats, Rows
from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.indices.findings import Findings, Index, Pair
from hsicfast.indices.verdicts import interacting
from hsicfast.report.axes import SPREAD, few_ticks, level_of, levels, scale, ticks
from hsicfast.report.content import above_chance, clearest
from hsicfast.report.marginals import Bars, bars, judged_where
from hsicfast.report.points import GOOD, OTHER, Layer, cloud, far_off, front_plane, plane, some_of, some_text
from hsicfast.report.svg import Axis, Frame, number_axis, scale_axis, short
from hsicfast.text import clip, number, p_text, share_text, value_text
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

# "Where good trials lie" shows up to MOST_PANELS hyperparameters.
MOST_PANELS = 6
# The parallel coordinates draw up to MOST_LINES trials, which can still be told apart, and up to MOST_UPRIGHT axes.
MOST_LINES, MOST_UPRIGHT, MOST_LABELS = 160, 16, 8
# An interval may be up to LONGEST times as long as the highest point is high before the axis cuts it off.
LONGEST = 2.5


class Picture(NamedTuple):
    """A picture of the page: SVG, its heading, and a sentence on what it shows and of which trials."""

    svg: str
    heading: str
    caption: str


class Chosen(NamedTuple):
    """The trials that pictures mark with a star, with their names."""

    trials: Sequence[tuple[Trial, str]]

    def stars(self, x: Sequence[float | None]) -> list[tuple[float, float, str]]:
        """Places of the stars whose `x` is known; the objective is their y."""
        return [
            (float(at), trial.objective, name)
            for (trial, name), at in zip(self.trials, x, strict=True)
            if at is not None and math.isfinite(at) and math.isfinite(trial.objective)
        ]


def answer(findings: Conclusions, trials: TrialTable, chosen: Chosen, metric: str) -> Picture:
    """The picture of the first screen: the objective along what decides, or over the trials if nothing stands out."""
    deciding = [index for index in clearest(findings) if index.matters]
    if deciding:
        return along(findings, deciding[0], chosen, metric)
    pairs = interacting(findings)
    if pairs:
        return together(findings, pairs[0][0])
    return course(findings, trials, chosen, metric)


def along(findings: Findings, index: Index, chosen: Chosen, metric: str) -> Picture:
    """The objective of each trial along the hyperparameter `index`."""
    table, name, seed = findings.trials, index.name, findings.question.seed
    known = table.active(name) & np.isfinite(table.objective)
    far = far_off(table.objective, known, findings.question.losses) & ~findings.met
    able = np.flatnonzero(known & ~far)
    shown = some_of(findings.met[able], seed)
    rows, met = able[shown], findings.met[able][shown]
    starred = [(trial, label) for trial, label in chosen.trials if name in trial.params]
    values = np.empty(len(rows) + len(starred), dtype=object)
    values[: len(rows)] = table.values[name][rows]
    values[len(rows) :] = [trial.params[name] for trial, _ in starred]
    its = scale(table.space[name], values, np.random.default_rng(seed))
    y = np.concatenate([table.objective[rows], [trial.objective for trial, _ in starred]])
    frame = Frame(scale_axis(its), number_axis(y[np.isfinite(y)]), name, metric)
    for mark, good in ((OTHER, ~met), (GOOD, met)):
        frame.points(its.at[: len(rows)][good], table.objective[rows][good], mark, table.index[rows][good])
    if math.isfinite(findings.threshold):
        frame.level(findings.threshold, _edge(findings))
    frame.stars(Chosen(starred).stars(its.at[len(rows) :].tolist()))
    heading = f"{clip(metric, 40)} along {clip(name, 30)}"
    said = some_text(findings.met[able], shown)
    without = len(table) - np.count_nonzero(table.active(name))
    lack = f"; {without:,} trials have no {clip(name, 30)}" if without else ""
    beyond = f"; {np.count_nonzero(far):,} beyond the axis" if far.any() else ""
    return Picture(frame.svg(f"{heading}: {said}"), heading, f"Triangles are good trials: {said}{beyond}{lack}.")


def marginal(findings: Findings, index: Index) -> Picture:
    """How the good trials and all trials share the values of one hyperparameter."""
    found = bars(findings, index.name)
    unit = Axis(0.0, 1.0, False, [])
    top = max(float(heights.max()) for *_, heights in found.layers) or 1.0
    sides = Axis(0.0, top, False, [(share, share_text(share)) for share in _shares(top)])
    low, high = float(found.left[0]), float(found.left[-1] + found.width)
    places = ((found.ticks - low) / (high - low)).tolist()
    labels = [(place, clip(label, 11)) for place, label in zip(places, found.labels, strict=True)]
    frame = Frame(unit._replace(ticks=labels), sides, "", "share of trials", height=150.0)
    texts = bar_texts(index, found)
    for good, _, inset, heights in found.layers:
        for left, height, text in zip(found.left, heights, texts, strict=True):
            at, width = (left + inset * found.width - low) / (high - low), (1 - 2 * inset) * found.width / (high - low)
            frame.bar(float(at), float(width), float(height) / top * 0.97, "in" if good else "all", text)
    where = judged_where(findings, index)
    heading = f"{clip(index.name, 40)}"
    caption = f"{where}; adjusted p {p_text(index.pvalue_holm)}"
    return Picture(frame.svg(f"Values of {index.name} in all trials and in the good ones"), heading, caption)


def _edge(findings: Findings) -> str:
    return f"good {'≤' if findings.question.minimize else '≥'} {number(findings.threshold)}"


def _shares(top: float) -> list[float]:
    step = next((s for s in (0.05, 0.1, 0.2, 0.25, 0.5) if top / s <= 4), 0.5)
    return [float(k * step) for k in range(1, int(top / step) + 1)]


def bar_texts(index: Index, found: Bars) -> list[str]:
    """What the pointer reads on each bar."""
    n, good = int(found.everyone.sum()), int(found.good.sum())
    return [
        f"{clip(index.name)} {span}: {a:,} of {n:,} trials ({share_text(a / max(n, 1))}), {g:,} of {good:,} good ones "
        f"({share_text(g / max(good, 1))})"
        for span, a, g in zip(found.spans, found.everyone, found.good, strict=True)
    ]


def together(findings: Findings, pair: Pair) -> Picture:
    """Good trials and the others in the plane of a pair."""
    seen = cloud(findings, pair)
    frame = Frame(scale_axis(seen.first), scale_axis(seen.second), pair.first, pair.second)
    index = findings.trials.index[seen.rows]
    for layer in seen.layers:
        frame.points(seen.first.at[layer.points], seen.second.at[layer.points], layer.mark, index[layer.points])
    note = seen.note.replace("\n", "; ")
    heading = f"{clip(pair.first)} × {clip(pair.second)}"
    return Picture(frame.svg(f"{seen.title}; {note}"), heading, f"Triangles are good trials: {note}.")


def against_cost(findings: Findings, trials: TrialTable, chosen: Chosen, metric: str, cost: str) -> Picture:
    """The objective of each trial against its cost."""
    return _plane(findings, trials, chosen, metric, cost, by_cost=True)


def front(objectives: Objectives, trials: TrialTable, compromise: Trial) -> Picture:
    """The second of several objectives against the first, with the front and the compromise on it."""
    seen = front_plane(objectives, trials, compromise)
    frame = Frame(number_axis(seen.along_x, seen.log_x), number_axis(seen.along_y, seen.log_y), seen.across, seen.up)
    for layer in seen.layers:
        frame.points(seen.x[layer.points], seen.y[layer.points], layer.mark, trials.index[layer.points])
    if seen.best is not None:
        frame.stars([(*seen.best, "compromise")])
    return Picture(frame.svg(f"{seen.title}; {seen.note}"), seen.title, f"Triangles are the front: {seen.note}.")


def course(findings: Findings, trials: TrialTable, chosen: Chosen, metric: str) -> Picture:
    """The objective of each trial in the order of the trials, and the best so far."""
    return _plane(findings, trials, chosen, metric, "", by_cost=False)


def _plane(findings: Findings, trials: TrialTable, chosen: Chosen, metric: str, cost: str, *, by_cost: bool) -> Picture:
    seen = plane(findings, trials, chosen.trials[0][0], metric, cost, by_cost=by_cost)
    if not len(seen.along_y):
        return Picture("", seen.title, seen.note)
    frame = Frame(number_axis(seen.along_x, seen.log_x), number_axis(seen.along_y, seen.log_y), seen.across, seen.up)
    for layer in seen.layers:
        frame.points(seen.x[layer.points], seen.y[layer.points], layer.mark, trials.index[layer.points])
    if not by_cost:
        frame.line(*_best_so_far(findings, seen.along_x, seen.along_y), "best")
    if seen.edge is not None and seen.along_y.min() <= seen.edge <= seen.along_y.max():
        frame.level(seen.edge, _edge(findings))
    frame.stars(chosen.stars([t.cost if by_cost else float(t.index) for t, _ in chosen.trials]))
    said = f"{seen.note}." if by_cost else "the line is the best so far."
    return Picture(frame.svg(f"{seen.title}; {seen.note}"), seen.title, f"{_marks(seen.layers)}{said}")


def _marks(layers: Sequence[Layer]) -> str:
    """What the marks mean: triangles and the like, if there is more than one kind."""
    words = {"circle": "dots", "square": "squares", "diamond": "diamonds", "triangle-down": "triangles pointing down"}
    kinds: dict[str, str] = {}
    for label, mark, _ in layers:
        kinds.setdefault(words.get(mark.shape, mark.shape), label.removesuffix(", in the goal set"))
    said = ", ".join(f"{shape} are {label}" for shape, label in kinds.items()) if len(kinds) > 1 else ""
    return "Filled marks are good trials" + (f"; {said}" if said else "") + "; "


def _best_so_far(findings: Findings, order: Floats, objective: Floats) -> tuple[Floats, Floats]:
    """The steps of the best objective until each trial."""
    place = np.argsort(order, kind="stable")
    losses = np.minimum.accumulate(findings.question.losses(objective[place]))
    new = np.flatnonzero(np.diff(losses, prepend=np.inf) < 0)
    x, y = np.asarray(order)[place][new], findings.question.losses(losses[new])
    x, y = np.append(x, np.max(order)), np.append(y, y[-1])
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def strip(index: Index, top: float) -> str:
    """One row of "what decides": the interval, its point, and what chance gives, on an axis of R² from 0 to `top`."""
    if not math.isfinite(index.r2):
        return ""
    at, low, high, chance = (f"{100 * min(max(r2, 0.0), top) / top:.1f}%" for r2 in above_chance(index))
    look = "seen" if index.matters else "open"
    return (
        f'<svg class="strip {look}" aria-hidden="true" width="100%" height="16">'
        f'<line class="base" x1="0" x2="100%" y1="8" y2="8"/><line class="ci" x1="{low}" x2="{high}" y1="8" y2="8"/>'
        f'<line class="chance" x1="{chance}" x2="{chance}" y1="2" y2="14"/><circle cx="{at}" cy="8" r="4.5"/></svg>'
    )


def strip_top(indices: Sequence[Index]) -> float:
    """The end of the axis of :func:`strip` for these indices: all intervals, if they are not far longer than needed."""
    known = [above_chance(index) for index in indices if math.isfinite(index.r2)]
    points, ends = ([row[k] for row in known] for k in (0, 2))
    return min(1.03 * min(max(ends, default=1.0), LONGEST * max(points, default=1.0)), 1.0) or 1.0


def parallel(findings: Findings, names: Sequence[str], metric: str) -> Picture:
    """Trials as lines across the axes of these hyperparameters, the objective first."""
    table = findings.trials
    able = np.flatnonzero(np.isfinite(table.objective))
    rows = able[some_of(findings.met[able], findings.question.seed, MOST_LINES)]
    names = list(names)[:MOST_UPRIGHT]
    width, height, top, bottom = 74.0 * (len(names) + 1) + 70, 300.0, 40.0, 268.0
    random = np.random.default_rng(findings.question.seed)
    y = number_axis(table.objective[able])
    columns = [(y.at(table.objective[rows]), [(float(y.at(v)), label) for v, label in y.ticks])]
    columns += [_unit(findings, name, rows, random) for name in names]
    marks = []
    for good in (False, True):
        for place in np.flatnonzero(findings.met[rows] == good):
            path = _across([column[0][place] for column in columns], top, bottom)
            marks.append(f'<path class="{"lg" if good else "lo"}" data-t="{table.index[rows[place]]}" d="{path}"/>')
    for k, ((_, labels), name) in enumerate(zip(columns, [metric, *names], strict=True)):
        x = 50 + 74 * k
        marks.append(f'<g class="upright" data-x="{x:g}"><path class="axis" d="M{x:g} {top:g}V{bottom:g}"/>')
        spot = f'text-anchor="middle" x="{x:g}" y="{16 if k % 2 else 30}"'
        marks.append(f'<text class="strong" {spot}>{escape(clip(name, 20))}</text>')
        for u, label in labels:
            spot = f'x="{x + 4:g}" y="{short(bottom - u * (bottom - top) + 4)}"'
            marks.append(f'<text class="tick halo" {spot}>{escape(clip(label, 9))}</text>')
        marks.append("</g>")
    svg = (
        f'<svg class="plot wide" id="parallel" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-label="Parallel coordinates of {len(rows)} trials">{"".join(marks)}</svg>'
    )
    shown = some_text(findings.met[able], np.searchsorted(able, rows))
    return Picture(svg, "Each line is a trial", f"Dark lines are good trials; {shown}.")


def _unit(
    findings: Findings, name: str, rows: Rows, random: np.random.Generator
) -> tuple[Floats, list[tuple[float, str]]]:
    """Places of the trials at `rows` on the upright axis of `name`, NaN if they lack it, and its labels."""
    its, active = findings.trials.space[name], findings.trials.active(name)[rows]
    at = np.full(len(rows), np.nan)
    values, known = findings.trials.values[name][rows][active], levels(its)
    if known:
        spread = random.uniform(-SPREAD, SPREAD, len(values))
        at[active] = (level_of(its, values, known) + 0.5 + spread) / len(known)
        kept = few_ticks(known, MOST_LABELS)
        return at, [((k + 0.5) / len(known), value_text(known[k])) for k in kept]
    at[active] = its.to_unit(values)
    return at, [(float(u), label) for u, label in zip(*ticks(its), strict=True)]


def _across(heights: Sequence[float], top: float, bottom: float) -> str:
    """The line of a trial, broken where it lacks a hyperparameter."""
    path, pen = "", "M"
    for k, u in enumerate(heights):
        if math.isnan(u):
            pen = "M"
            continue
        path += f"{pen}{50 + 74 * k:g} {short(bottom - u * (bottom - top))}"
        pen = "L"
    return path
