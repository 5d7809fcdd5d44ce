"""Analyses trials that do not fit into memory, in two passes over their file.

1. :meth:`Stream.scan` keeps the objective and the cost of every trial, and nothing else. They show which trials count
   and where the edge of each goal lies; both are exact.
2. :meth:`Stream.collect` maps every value to [0, 1] and adds it to the moments of its hyperparameter. Each portion of
   the file has moments of its own, and their sum is that of the file. A uniform random sample of the trials is kept as
   it is, for everything that needs single trials.

If ranks map the values, a small part of the file is read before: it places the cells for the sketches of
:mod:`hsicfast.indices.summaries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence.estimate import Estimate
from hsicfast.evidence.interactions import MOST_FOR_LAW
from hsicfast.indices.batches import (
    OUTCOME_COLUMNS,
    Outcomes,
    Rules,
    carried_columns,
    existing,
    is_level,
    labels_of,
    outcomes_of,
)
from hsicfast.indices.findings import Question
from hsicfast.indices.summaries import Continuum, Levels, Sketch
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.entries import with_none
from hsicfast.trials.goal import Threshold, losses_of
from hsicfast.trials.parquet import ParquetTrials, Portion, of_each, open_parquet, read
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import STATUSES

if TYPE_CHECKING:
    import pyarrow as pa

# Called with the name of a step and the share of it that is done.
ProgressCallback = Callable[[str, float], None]

# An index of fewer trials is not estimated.
MIN_TRIALS = 4
# A sample of this many trials is kept: they tell the limit distribution of a pair's test to a percent.
KEPT_SAMPLE = MOST_FOR_LAW
# A sketch has up to 2 * SKETCH_EDGES edges: SKETCH_EDGES values read at SKETCH_PLACES places of the file, and as many
# at even distances.
SKETCH_EDGES, SKETCH_PLACES = 1 << 15, 8


class Part(NamedTuple):
    """The trials that are judged in one group, and the goal of that group.

    Attributes
    ----------
    n : int
        Number of judged trials.
    threshold : Threshold, optional
        What reaches the goal; None if all trials reach it or none does.
    edge : int array
        Rows at the goal's edge, ascending.
    """

    n: int
    threshold: Threshold | None
    edge: Rows


@dataclass(frozen=True)
class Aim:
    """One question: about the objective, or about the cost.

    Attributes
    ----------
    of_cost : bool
    minimize : bool
    parts : dict of str to Part
        The part of each group.
    """

    of_cost: bool
    minimize: bool
    parts: dict[str, Part]


@dataclass(frozen=True)
class Scan:
    """What the first pass keeps of all n trials of the file.

    Attributes
    ----------
    objective, cost : array (n,)
        NaN if the trial misses every goal; `cost` is (0,) if the file has no cost.
    kept : bool array (n,)
        Whether the trial is judged.
    exists : dict of str to bool array (n,)
        For each conditional group, whether the trial is judged in it.
    counts : dict of str to int
        Number of trials of each status.
    searched : int
        Number of trials that an optimiser proposed.
    """

    objective: Floats
    cost: Floats
    kept: Bools
    exists: dict[str, Bools]
    counts: dict[str, int]
    searched: int


class Group(NamedTuple):
    """One group: its hyperparameters, the number of its trials, and the evidence of each hyperparameter.

    There is no evidence if all trials reach the goal or none does.
    """

    name: str
    names: list[str]
    n: int
    evidence: list[Estimate] | None


class Collected(NamedTuple):
    """What the second pass made.

    Attributes
    ----------
    groups : list of list of Group
        The groups of each aim.
    sample : TrialTable
        Judged trials drawn at random, in the order of the file; all of them if they are few.
    rank_error : float
        Largest error of a rank; 0 without sketches.
    """

    groups: list[list[Group]]
    sample: TrialTable
    rank_error: float


class Stream:
    """A file of trials of one space, and the rules by which they count.

    Raises
    ------
    InputError
        If files cannot be read or do not belong together, a column is missing, or a number column holds text.
    """

    def __init__(self, space: SearchSpace, source: ParquetTrials, rules: Rules, progress: ProgressCallback) -> None:
        self.space, self.source, self.rules, self.progress = space, source, rules, progress
        self.opened = open_parquet(source.source)
        self.labels = labels_of(space, source, self.opened)
        self.groups: dict[str, list[str]] = {}
        for name in space:
            self.groups.setdefault(space.group(name), []).append(name)

    def scan(self) -> Scan:
        """The first pass: the objective, the cost and the status of every trial."""
        n, labels = self.opened.rows, self.labels
        parents = [name for name in self.space if any(name in self.space[other].conditions for other in self.space)]
        wanted = [labels[name] for name in (*OUTCOME_COLUMNS, *parents) if name in labels]
        scan = Scan(
            objective=np.empty(n),
            cost=np.empty(n if "cost" in labels else 0),
            kept=np.empty(n, dtype=bool),
            exists={group: np.empty(n, dtype=bool) for group in self.groups if group != "main"},
            counts=dict.fromkeys(STATUSES, 0),
            searched=0,
        )
        function = partial(_scan_portion, self.space, labels, self.rules, self.groups)
        searched = 0
        for portion, outcomes, exists in self._of_each(wanted, function, "reading objectives"):
            rows = slice(portion.start, portion.start + portion.rows)
            scan.objective[rows], scan.kept[rows] = outcomes.objective, outcomes.kept
            if "cost" in labels:
                scan.cost[rows] = outcomes.cost
            for group, mask in exists.items():
                scan.exists[group][rows] = mask
            for place, number in enumerate(np.bincount(outcomes.status, minlength=len(STATUSES))):
                scan.counts[STATUSES[place]] += int(number)
            searched += int(np.count_nonzero(outcomes.searched))
        return replace(scan, searched=searched)

    def aim(self, scan: Scan, question: Question, of_cost: bool = False) -> Aim:
        """The edge of each group's goal; `question` is about the objective or, with `of_cost`, about the cost."""
        values = scan.cost if of_cost else scan.objective
        parts = {}
        for group in self.groups:
            judged = scan.exists.get(group, scan.kept)
            parts[group] = _part(values, judged & np.isfinite(values) if of_cost else judged, question)
        return Aim(of_cost, question.minimize, parts)

    def collect(self, scan: Scan, aims: list[Aim], question: Question) -> Collected:
        """The second pass: the indices of each aim, and a sample of the trials."""
        sketches = self._sketches() if question.law == "ranks" else {}
        n = int(np.count_nonzero(scan.kept))
        rows = np.arange(n)
        if n > KEPT_SAMPLE:
            rows = np.sort(np.random.default_rng(question.seed).choice(n, KEPT_SAMPLE, replace=False))
        if n < len(scan.kept):
            rows = np.flatnonzero(scan.kept)[rows]
        plan = _Plan(self.space, self.labels, self.rules, self.groups, aims, sketches, rows, question.bandwidth)
        total = plan.moments()
        drawn: list[pa.Table] = []
        outcomes: list[Outcomes] = []
        wanted = list(self.labels.values())
        for moments, sampled, own in self._of_each(wanted, partial(_collect_portion, plan), "hyperparameters"):
            drawn += sampled
            outcomes += own
            for all_of, part in zip(total, moments, strict=True):
                for name in part:
                    all_of[name].merge(part[name])
        errors = [Sketch.error(part[name]) for part in total for name in sketches]  # type: ignore[arg-type]
        groups = [
            [self._group(group, names, aim, moments, question) for group, names in self.groups.items()]
            for aim, moments in zip(aims, total, strict=True)
        ]
        return Collected(groups, self._table(drawn, outcomes, rows, question.minimize), max(errors, default=0.0))

    def _of_each(self, names: list[str], function: Callable[..., Any], step: str) -> Iterator[Any]:
        portions = self.opened.portions
        self.progress(step, 0.0)
        for done, made in enumerate(of_each(portions, names, function, self.source.workers), 1):
            yield made
            self.progress(step, done / len(portions))

    def _sketches(self) -> dict[str, Sketch]:
        """Cells for the ranks of each continuum: between some of its values, and evenly spaced to close the gaps.

        The counts in the cells are exact, wherever the cells lie; values from a few places of the file show where the
        cells must be small.
        """
        names = [name for name in self.space if not is_level(self.space, name)]
        every = self.opened.rows <= SKETCH_EDGES
        portions = self.opened.portions
        places = (
            range(len(portions))
            if every
            else np.unique(np.linspace(0, len(portions) - 1, SKETCH_PLACES).round().astype(int))
        )
        found: dict[str, list[Floats]] = {name: [np.empty(0)] for name in names}
        for place in places if names else ():
            left = SKETCH_EDGES if every else SKETCH_EDGES // len(places)
            for batch in read(portions[place], list(self.labels.values())):
                own = batch.slice(0, left)
                kept = outcomes_of(own, self.labels, self.rules).kept
                carried = dict(carried_columns(self.space, self.labels, own, kept))
                for name in names:
                    found[name].append(carried[name][1])
                left -= len(own)
                if left <= 0:
                    break
        even = np.empty(0) if every else np.arange(1, SKETCH_EDGES) / SKETCH_EDGES
        return {name: Sketch(np.unique(np.concatenate((*values, even)))) for name, values in found.items()}

    def _group(
        self, group: str, names: list[str], aim: Aim, moments: Mapping[str, Continuum | Levels], question: Question
    ) -> Group:
        part = aim.parts[group]
        if part.threshold is None:
            return Group(group, names, part.n, None)
        evidence = []
        for name in names:
            sums = moments[name]
            if isinstance(sums, Continuum):
                evidence.append(sums.evidence())
            else:
                steps = self.space[name].steps() if question.law == "space" else None
                evidence.append(sums.evidence(question.bandwidth, steps))
        return Group(group, names, part.n, evidence)

    def _table(self, drawn: list[pa.Table], outcomes: list[Outcomes], rows: Rows, minimize: bool) -> TrialTable:
        import pyarrow as pa

        frame = pa.concat_tables(drawn).to_pandas()
        objective, cost, status, _, _ = map(np.concatenate, zip(*outcomes, strict=True))
        words = np.array(STATUSES)[status]
        columns = {name: with_none(kind, frame[self.labels[name]]) for name, kind in self.space.items()}
        table = TrialTable.from_arrays(self.space, columns, objective, cost, words.tolist(), minimize)
        return replace(table, index=rows.astype(np.int64))


class _Plan(NamedTuple):
    """What the second pass needs for a portion of the file; `rows` are those of the sample."""

    space: SearchSpace
    labels: dict[str, str]
    rules: Rules
    groups: dict[str, list[str]]
    aims: list[Aim]
    sketches: dict[str, Sketch]
    rows: Rows
    bandwidth: float

    def moments(self) -> list[dict[str, Continuum | Levels]]:
        """Moments of each aim and hyperparameter, before the first trial."""
        return [{name: self._moments(name) for name in self.space} for _ in self.aims]

    def _moments(self, name: str) -> Continuum | Levels:
        if name in self.sketches:
            return Levels(self.sketches[name].size)
        return Levels(self.space[name].levels or 0) if is_level(self.space, name) else Continuum(self.bandwidth)


def _part(values: Floats, judged: Bools, question: Question) -> Part:
    """The goal among the `judged` trials (n,)."""
    everyone = bool(judged.all())
    own = values if everyone else values[judged]
    goal = question.met(own) if len(own) >= MIN_TRIALS else None
    if goal is None or goal.met.all() or not goal.met.any():
        return Part(len(own), None, np.empty(0, dtype=np.intp))
    edge = question.edge(own)
    rows = edge if everyone else np.flatnonzero(judged)[edge]
    return Part(len(own), Threshold(goal.threshold), np.sort(rows))


def _scan_portion(
    space: SearchSpace,
    labels: dict[str, str],
    rules: Rules,
    groups: dict[str, list[str]],
    portion: Portion,
    batches: Iterator[pa.RecordBatch],
) -> tuple[Portion, Outcomes, dict[str, Bools]]:
    outcomes: list[Outcomes] = []
    exists: dict[str, list[Bools]] = {group: [] for group in groups if group != "main"}
    for batch in batches:
        own = outcomes_of(batch, labels, rules)
        outcomes.append(own)
        masks = existing(space, labels, batch, own.kept)
        for group, parts in exists.items():
            parts.append(masks[groups[group][0]])
    whole = Outcomes(*map(np.concatenate, zip(*outcomes, strict=True)))
    return portion, whole, {group: np.concatenate(parts) for group, parts in exists.items()}


def _collect_portion(
    plan: _Plan, portion: Portion, batches: Iterator[pa.RecordBatch]
) -> tuple[list[dict[str, Continuum | Levels]], list[pa.Table], list[Outcomes]]:
    import pyarrow as pa

    moments = plan.moments()
    drawn, drawn_outcomes = [], []
    start = portion.start
    for batch in batches:
        outcomes = outcomes_of(batch, plan.labels, plan.rules)
        goals: dict[tuple[int, str], tuple[Bools | None, Bools, Rows]] = {}
        for name, (exists, values) in carried_columns(plan.space, plan.labels, batch, outcomes.kept):
            group = plan.space.group(name)
            for place, aim in enumerate(plan.aims):
                part = aim.parts[group]
                if part.threshold is None:
                    continue
                if (place, group) not in goals:
                    goals[place, group] = _goal(outcomes, exists, aim, part, start)
                rows, met, edge = goals[place, group]
                own = values if rows is None else values[rows]
                if name in plan.sketches:
                    plan.sketches[name].update(moments[place][name], own, met, edge)  # type: ignore[arg-type]
                else:
                    moments[place][name].update(own, met, edge)
        first, last = np.searchsorted(plan.rows, (start, start + len(batch)))
        chosen = plan.rows[first:last] - start
        drawn.append(pa.Table.from_batches([batch.take(pa.array(chosen))]))
        drawn_outcomes.append(outcomes.at(chosen))
        start += len(batch)
    return moments, drawn, drawn_outcomes


def _goal(outcomes: Outcomes, exists: Bools, aim: Aim, part: Part, start: int) -> tuple[Bools | None, Bools, Rows]:
    """Among the trials of a batch in which a group `exists`: which count (None: all), which met the goal, its edge."""
    values = outcomes.cost if aim.of_cost else outcomes.objective
    asked = exists & np.isfinite(values) if aim.of_cost else exists
    own = values if asked.all() else values[asked]
    edge_loss = losses_of(part.threshold.value, aim.minimize)  # type: ignore[union-attr]
    reached = losses_of(own, aim.minimize) <= edge_loss
    first, last = np.searchsorted(part.edge, (start, start + len(exists)))
    edge = np.searchsorted(np.flatnonzero(asked), part.edge[first:last] - start) if last > first else np.arange(0)
    return asked[exists] if aim.of_cost else None, reached & np.isfinite(own), edge
