"""What of an analysis a picture shows: which names, which trials, and where their values lie on an axis.

Here and not in the pictures, so that those in print and those on the screen show the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.indices.findings import ALPHA, Findings, Index, Pair
from hsicfast.indices.stability import Sweep, over_goals
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int
from hsicfast.text import p_text, value_text
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, PRUNED, SEARCH

MOST_PAIRED, MOST_MARGINALS, MOST_LEVELS, MOST_RANKED = 15, 6, 12, 8
# So many points are told apart on a picture, and keep a page of 100,000 trials small.
MOST_POINTS = 5000
# Whether a hyperparameter was seen to decide (error, cost).
QUADRANTS = {
    (True, False): "buys error",
    (True, True): "buys error and burns compute",
    (False, True): "only burns compute",
    (False, False): "neither seen",
}


class Bars(NamedTuple):
    """Values of one hyperparameter in bars: their left ends, counts of all and of the good, ticks, what each spans."""

    left: Floats
    width: float
    everyone: Rows
    good: Rows
    ticks: Floats
    labels: list[str]
    spans: list[str]


class Scale(NamedTuple):
    """Where values lie on an axis of their own: positions, whether it is logarithmic, and the ticks of levels."""

    at: Floats
    log: bool
    levels: list[str]


class Cloud(NamedTuple):
    """The trials in which both of a pair exist: rows of the table, who is good, and which of them are shown."""

    rows: Rows
    good: Bools
    shown: Rows
    first: Scale
    second: Scale


class Plane(NamedTuple):
    """Objective against cost: which rows of the table can be shown, which are, who is good, whether costs are known."""

    x: Floats
    good: Bools
    able: Bools
    shown: Rows
    known: bool


def clearest(sensitivity: Findings) -> list[Index]:
    """The indices by their evidence: in a group of few trials chance alone makes an index large."""
    return sorted(sensitivity.indices, key=lambda index: (np.nan_to_num(index.pvalue, nan=2.0), -index.hsic))


def clearest_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs by the evidence for their interaction: the published index is large beside any main effect."""
    return sorted(pairs, key=lambda pair: (pair.pvalue_pure, -pair.pure))


def strongest_paired(sensitivity: Findings, most: int = MOST_PAIRED) -> list[str]:
    """Up to `most` names for the pair matrix, in the order of the indices.

    They are taken in turn from the clearest interactions and from the clearest main effects: by main effects alone the
    partners of an exclusive-or would be left out.
    """
    pairs = clearest_pairs(sensitivity.pair_indices)
    by_pure = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    by_main = [index.name for index in clearest(sensitivity) if index.name in by_pure]
    turns = [name for turn in zip(by_pure, by_main, strict=True) for name in turn]
    chosen = list(dict.fromkeys(turns))[:most]
    return [index.name for index in sensitivity.indices if index.name in chosen]


def in_groups(indices: Iterable[Index]) -> list[tuple[str, list[Index]]]:
    """The indices group by group."""
    groups: dict[str, list[Index]] = {}
    for index in indices:
        groups.setdefault(index.group, []).append(index)
    return list(groups.items())


def some_of(good: Bools, seed: int, most: int = MOST_POINTS) -> Rows:
    """Positions of at most `most` trials: the good ones as far as half of them goes, others drawn at random.

    Examples
    --------
    >>> some_of(np.array([False, True, False, False, True]), seed=0, most=4)
    array([0, 1, 3, 4])
    """
    inside, outside = np.flatnonzero(good), np.flatnonzero(~good)
    places = min(len(inside), max(most // 2, most - len(outside)))
    random = np.random.default_rng(seed)
    kept = (random.permutation(inside)[:places], random.permutation(outside)[: most - places])
    return np.sort(np.concatenate(kept))


def crowding(n: int) -> float:
    """By how much points shrink where there are many of them.

    Examples
    --------
    >>> crowding(300), crowding(5000)
    (1.0, 0.5)
    """
    return min(1.0, max(0.5, math.sqrt(600 / max(n, 1))))


def some_text(good: Bools, shown: Rows) -> str:
    """Which trials a picture shows.

    Examples
    --------
    >>> some_text(np.array([True, False]), np.array([0, 1]))
    '2 trials, 1 good'
    >>> some_text(np.array([True, False, False]), np.array([0, 2]))
    '1 of 1 good and 1 of 2 other trials, drawn at random'
    """
    if len(shown) == len(good):
        return f"{len(good):,} trials, {np.count_nonzero(good):,} good"
    inside, outside = int(good[shown].sum()), int((~good[shown]).sum())
    n_good = int(good.sum())
    return f"{inside:,} of {n_good:,} good and {outside:,} of {len(good) - n_good:,} other trials, drawn at random"


def bars(sensitivity: Findings, name: str) -> Bars:
    """Where all trials of a hyperparameter lie, and where the good ones do."""
    hyperparameter, table = sensitivity.trials.space[name], sensitivity.trials
    values, z = table.values[name][table.active(name)], sensitivity.carried(name).z
    known = levels(hyperparameter)
    if known:
        level = _level_of(hyperparameter, values, known)
        everyone, good = (np.bincount(level[rows], minlength=len(known)) for rows in (slice(None), z))
        middles, labels = np.arange(len(known), dtype=np.float64), [value_text(value) for value in known]
        return Bars(middles - 0.4, 0.8, everyone, good, middles, labels, labels)
    u = hyperparameter.to_unit(values)
    edges = np.linspace(0.0, 1.0, 1 + int(np.clip(1.5 * math.sqrt(np.sum(z)), 5, 20)))  # a few good trials a bar
    everyone, good = (np.histogram(u[rows], edges)[0] for rows in (slice(None), z))
    ends = [value_text(hyperparameter.from_unit(float(edge))) for edge in edges]
    spans = [f"{low} to {high}" for low, high in pairwise(ends)]
    return Bars(edges[:-1], float(edges[1]), everyone, good, *ticks(hyperparameter), spans)


def ticks(hyperparameter: Hyperparameter) -> tuple[Floats, list[str]]:
    """Positions on [0, 1] and the hyperparameter's own values there.

    Examples
    --------
    >>> ticks(Float(1e-4, 1.0, log=True))
    (array([0.  , 0.25, 0.5 , 0.75, 1.  ]), ['0.0001', '0.001', '0.01', '0.1', '1'])
    """
    if isinstance(hyperparameter, Float) and hyperparameter.log:
        first, last = math.ceil(math.log10(hyperparameter.low)), math.floor(math.log10(hyperparameter.high))
        decades = [float(f"1e{k}") for k in range(first, last + 1, max(1, math.ceil((last - first) / 4)))]
        if len(decades) >= 3:
            return hyperparameter.to_unit(decades), [value_text(value) for value in decades]
    if isinstance(hyperparameter, Float) and not hyperparameter.log and hyperparameter.law is None:
        low, step = hyperparameter.low, _round_step(hyperparameter.high - hyperparameter.low)
        steps = range(math.ceil(low / step - 1e-9), math.floor(hyperparameter.high / step + 1e-9) + 1)
        rounded = [min(max(k * step, low), hyperparameter.high) for k in steps]
        return hyperparameter.to_unit(rounded), [value_text(value) for value in rounded]
    quarters = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    return quarters, [value_text(hyperparameter.from_unit(float(u))) for u in quarters]


def _round_step(span: float) -> float:
    """A round step that fits about four times into `span`."""
    least = span / 4.01
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least)


def levels(hyperparameter: Hyperparameter) -> list[Any]:
    """The values of a discrete hyperparameter; none where they are too many to be told apart on an axis."""
    if hyperparameter.levels is None or hyperparameter.levels > MOST_LEVELS:
        return []
    if isinstance(hyperparameter, Choice | Bool):
        return list(hyperparameter.choices)
    if isinstance(hyperparameter, Int):
        return list(range(hyperparameter.low, hyperparameter.high + 1, hyperparameter.step))
    middles = (np.arange(hyperparameter.levels) + 0.5) / hyperparameter.levels
    return [hyperparameter.from_unit(float(u)) for u in middles]


def scale(hyperparameter: Hyperparameter, values: NDArray[np.object_], random: np.random.Generator) -> Scale:
    """Values (m,) on an axis of their own; those of a level spread about it, so that a crowd looks like one.

    Examples
    --------
    >>> found = scale(Choice(["adam", "sgd"]), np.array(["sgd", "adam"]), np.random.default_rng(0))
    >>> abs(found.at - [1, 0]).max() <= 0.3, found.log, found.levels
    (np.True_, False, ['adam', 'sgd'])
    """
    known = list(hyperparameter.choices) if isinstance(hyperparameter, Choice | Bool) else levels(hyperparameter)
    spread = random.uniform(-0.3, 0.3, len(values))
    if known:
        at = _level_of(hyperparameter, values, known) + spread
        return Scale(at, False, [value_text(value) for value in known])
    numbers = values.astype(np.float64)
    step = getattr(hyperparameter, "step", None) or 0.0
    return Scale(numbers + step * spread, bool(getattr(hyperparameter, "log", False)), [])


def few_ticks(labels: Sequence[str], most: int = MOST_LEVELS) -> list[int]:
    """Which levels get a label."""
    return list(range(0, len(labels), math.ceil(len(labels) / most)))


def cloud(sensitivity: Findings, pair: Pair) -> Cloud:
    """The trials that judged a pair."""
    table, seed = sensitivity.trials, sensitivity.question.seed
    rows = np.flatnonzero(table.active(pair.first) & table.active(pair.second))
    good = sensitivity.question.met(table.objective[rows]).met
    shown = some_of(good, seed)
    random = np.random.default_rng(seed)
    first, second = (
        scale(table.space[name], table.values[name][rows[shown]], random) for name in (pair.first, pair.second)
    )
    return Cloud(rows, good, shown, first, second)


def pair_note(sensitivity: Findings, pair: Pair) -> str:
    """What the tests say about the strongest of the pairs."""
    beside = len(sensitivity.pair_indices)
    chosen = f"the clearest of {beside} pairs, " if beside > 1 else ""
    return f"{chosen}interaction alone: p {p_text(pair.pvalue_pure)}" + (", not adjusted" if beside > 1 else "")


def plane(sensitivity: Findings, trials: TrialTable) -> Plane:
    """Objective against cost of `trials`; against their number where costs are unknown.

    A trial stopped early has an objective to show only where the analysis judged it by that.
    """
    finished = np.isfinite(trials.objective) & (trials.status != DIVERGED)
    if sensitivity.pruned != "last":
        finished &= trials.status != PRUNED
    known = bool(np.isfinite(trials.cost[finished]).any())
    x = trials.cost if known else trials.index.astype(np.float64)
    y, edge = trials.objective, sensitivity.threshold
    good = y <= edge if sensitivity.question.minimize else y >= edge
    able = finished & np.isfinite(x)
    positions = np.flatnonzero(able)
    return Plane(x, good, able, positions[some_of(good[able], sensitivity.question.seed)], known)


def kinds(trials: TrialTable) -> list[tuple[str, Bools]]:
    """Trials by what they are: finished ones of the design, the search and the finals, and those stopped early."""
    early, searched, final = trials.status == PRUNED, trials.origin == SEARCH, trials.origin == FINAL
    return [
        ("design" if searched.any() else "trials", ~early & ~searched & ~final),
        ("search", ~early & searched),
        ("finalists again", ~early & final),
        ("stopped early", early),
    ]


def plane_note(trials: TrialTable, seen: Plane) -> str:
    """Which trials are shown, and why the others are not."""
    parts = [some_text(seen.good[seen.able], np.searchsorted(np.flatnonzero(seen.able), seen.shown))]
    for status in (DIVERGED, PRUNED):
        missing = int(np.count_nonzero((trials.status == status) & ~seen.able))
        if missing:
            what = "diverged and have no value to show" if status == DIVERGED else "were stopped early"
            parts.append(f"{missing:,} {what}")
    unknown = int(np.count_nonzero((trials.status == DONE) & ~seen.able))
    return "; ".join([*parts, *([f"{unknown:,} of unknown cost"] if unknown else [])])


def wide(values: Floats) -> bool:
    """Whether a logarithmic axis serves: everything positive, over more than a factor of ten."""
    return bool(len(values) and values.min() > 0 and values.max() > 10 * values.min())


def relevance(sensitivity: Findings) -> list[tuple[Index, Index]]:
    """Each hyperparameter's index for the goal and for being cheap, where both were judged; the seen ones first."""
    cost = {index.name: index for index in sensitivity.cost_indices}
    both = [(index, cost[index.name]) for index in sensitivity.indices if index.name in cost]
    judged = [(e, c) for e, c in both if math.isfinite(e.r2) and math.isfinite(c.r2)]
    return sorted(judged, key=lambda two: (not (two[0].matters or two[1].matters), -(two[0].r2 + two[1].r2)))


def quadrant(error: Index, cost: Index) -> str:
    """What a hyperparameter does, by the evidence for it."""
    return QUADRANTS[error.matters, cost.matters]


def noise_r2(indices: Iterable[Index]) -> float:
    """Where the R2 of these indices would lie by chance alone: the median of their noise floors as R2."""
    floors = [index.r2 * index.noise_floor / index.hsic for index in indices if index.hsic > 0]
    return float(np.median(floors)) if floors else 0.0


def ranked(sensitivity: Findings, most: int = MOST_RANKED) -> tuple[Sweep, list[int]] | None:
    """The ranking against the goal, and up to `most` of its names: those seen at some goal first, then the highest.

    None where there is no ranking to move: one hyperparameter, or none that was judged.
    """
    sweep = over_goals(sensitivity)
    if sweep is None or len(sweep.names) < 2:
        return None
    never = (sweep.pvalue > ALPHA).all(axis=0)
    chosen = np.lexsort((sweep.rank.mean(axis=0), never))[:most]
    return sweep, sorted(chosen.tolist())


def place_labels(
    points: Floats, texts: Sequence[str], size: tuple[float, float], letter: tuple[float, float], clear: float
) -> list[tuple[int, int] | None]:
    """Where the label of each point goes so that it covers no point and no label before it.

    Parameters
    ----------
    points : array (m, 2)
        In the same unit as the rest, y upwards.
    texts : sequence of str (m,)
    size : tuple of float
        Of the picture; nothing may leave it.
    letter : tuple of float
        Width and height of a letter.
    clear : float
        Distance of a label from its point.

    Returns
    -------
    list of tuple (m,)
        To which side, such as (1, 0) to the right and (0, -1) below; None where there is no room.

    Examples
    --------
    >>> place_labels(np.array([[5.0, 5.0], [9.0, 5.0]]), ["left", "right"], (20, 10), (1, 1), 1)
    [(-1, 0), (1, 0)]
    """
    taken = [(x - clear, y - clear, x + clear, y + clear) for x, y in points]
    sides: list[tuple[int, int] | None] = []
    for place, ((x, y), text) in enumerate(zip(points, texts, strict=True)):
        width, height = letter[0] * len(text), letter[1]
        for side in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            left = x + side[0] * clear - (width, width / 2, 0)[side[0] + 1]
            low = y + side[1] * clear - (height, height / 2, 0)[side[1] + 1]
            box = (left, low, left + width, low + height)
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
            if inside and not any(_overlap(box, other) for i, other in enumerate(taken) if i != place):
                taken.append(box)
                sides.append(side)
                break
        else:
            sides.append(None)
    return sides


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _level_of(hyperparameter: Hyperparameter, values: NDArray[np.object_], known: list[Any]) -> Rows:
    """Which of its `known` values each trial has."""
    return np.abs(hyperparameter.to_unit(values)[:, None] - hyperparameter.to_unit(known)).argmin(axis=1)
