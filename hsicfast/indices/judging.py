"""Judges each hyperparameter alone, among the trials in which it exists: its index, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import inference
from hsicfast.dependence.estimate import Estimate
from hsicfast.dependence.goal_oriented import permutation_pvalues
from hsicfast.errors import InputError
from hsicfast.evidence import joint
from hsicfast.evidence.redraws import Redraws
from hsicfast.evidence.stepdown import Beside, critical_statistic
from hsicfast.indices.batches import Rules
from hsicfast.indices.carried import carry, features, few_features, index_evidence, ranked, unseen
from hsicfast.indices.findings import ALPHA, JOINT, Index, Question, by_importance
from hsicfast.indices.streaming import MIN_TRIALS
from hsicfast.indices.streaming import Group as StreamedGroup
from hsicfast.trials.goal import AUTO, Threshold
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, INFEASIBLE, PRUNED


class _Group(NamedTuple):
    """Hyperparameters that exist under the same conditions and are known in the same trials.

    Attributes
    ----------
    name : str
        ``main``, or the conditions.
    names : list of str
    rows : int array (m,)
        The trials in which they exist and are known.
    z : bool array (m,)
        Which of these met the goal of the group's own; (0,) if they are too few, or all alike in this.
    columns : list of tuple of array (m,)
        Values mapped to [0, 1], and widths.
    """

    name: str
    names: list[str]
    rows: Rows
    z: Bools
    columns: list[tuple[Floats, Floats]]


class Judged(NamedTuple):
    """The indices, and what finds them.

    Attributes
    ----------
    indices : tuple of Index
        With p-values adjusted over all of them; main group and strongest first.
    critical : float
        The statistic of the joint test that counts as found; NaN if another test was made, or none.
    """

    indices: tuple[Index, ...]
    critical: float


def counted(table: TrialTable, rules: Rules) -> TrialTable:
    """The trials that count by these rules; a pruned one that misses the goal in any case loses its objective.

    An infeasible trial has not failed: it counts, and misses the goal, whatever the rules say about failed ones.
    """
    if rules.failed == "drop":
        table = table.select((table.status != DIVERGED) | (table.failure == INFEASIBLE))
    if rules.pruned == "drop":
        table = table.select(table.status != PRUNED)
    if rules.pruned == "miss":
        table = replace(table, objective=np.where(table.status == PRUNED, np.nan, table.objective))
    return table


def check_redraws(redraws: Sequence[Redraws], test: str) -> None:
    """Raise an InputError if there are `redraws` that the `test` does not see."""
    if redraws and test != JOINT:
        raise InputError(
            f"the joint test alone sees redraws, but got test={test!r} and those of {redraws[0].name}; leave one of "
            "both out, and read trials in files into a frame"
        )


def judged(table: TrialTable, question: Question, redraws: Sequence[Redraws] = ()) -> Judged:
    """The indices of all hyperparameters, each among the trials in which it exists; the joint test sees `redraws`."""
    check_redraws(redraws, question.test)
    groups = _groups(table, question)
    evidence = [_evidence(table, group, question) for group in groups]
    found = _tested(_asked(table, groups, question), groups, evidence, question, redraws)
    numbers = iter(zip(found.pvalue.tolist(), found.adjusted.tolist(), found.importance.tolist(), strict=True))
    made = [
        index
        for group, own in zip(groups, evidence, strict=True)
        for index in (
            _as_indices(group.name, group.names, own, list(islice(numbers, len(own))), question)
            if own
            else _nothing(group.name, group.names, len(group.rows))
        )
    ]
    critical = critical_statistic(found.largest, ALPHA) if len(found.largest) else math.nan
    return Judged(_ordered(_adjusted(made, question), question), critical)


def importances(table: TrialTable, question: Question, beside: Mapping[str, Floats]) -> dict[str, float]:
    """How much each hyperparameter decides, without a test: a test asks for permutations, which take most of the time.

    If no goal was asked for, these are the importances of :func:`judged`; else R2 above what chance gives at that goal,
    times the share of the trials in which the hyperparameter exists. Two trials are enough, as nothing is tested.

    Parameters
    ----------
    table : TrialTable
    question : Question
    beside : mapping of str to array (n,)
        Values, as numbers, of hyperparameters that the space of `table` lacks, NaN where they do not exist; they are
        judged by their ranks.
    """
    groups = _groups(table, question, fewest=2)
    for name, values in beside.items():
        rows = np.flatnonzero(~np.isnan(values))
        z = _met(table, rows, question, fewest=2)
        groups.append(_Group(name, [name], rows, z, [ranked(values[rows])] if len(z) else []))
    if question.goal == AUTO:
        asked = _asked(table, groups, question)
        numbers = iter(joint.importances(asked).tolist() if asked else ())
    else:
        numbers = iter(
            _above_chance(u, width, group.z, question.bandwidth) * len(group.rows) / len(table)
            for group in groups
            for u, width in group.columns
        )
    return {name: next(numbers) if group.columns else 0.0 for group in groups for name in group.names}


def _above_chance(u: Floats, width: Floats, z: Bools, h: float) -> float:
    """R2 at one goal (m,) less its exact mean over permutations, of ranks mapped to [0, 1] (m,) and their widths (m,).

    It is ``(|cov(psi, z)|^2 / var(z) - tr C / (m - 1)) / |C|`` with the covariance C of the features psi. Two trials
    are enough, whereas the U-statistic of an :class:`hsicfast.dependence.estimate.Estimate` needs four.

    Examples
    --------
    >>> goal = np.arange(100) < 20
    >>> u = np.where(goal, 0.1, 0.6)
    >>> round(_above_chance(u, np.where(goal, 0.2, 0.8), goal, 0.3), 6)  # one level against the other: 1 - 1 / 99
    0.989899
    """
    m = len(z)
    psi, level = features(u, np.maximum(width, 1 / m), h)  # a single value stands for its share of [0, 1], too
    counts = np.bincount(level)
    psi = psi - counts @ psi / m
    covariance = (counts[:, None] * psi).T @ psi / m
    direction = np.bincount(level, z) @ psi / m
    most = math.sqrt(float((covariance**2).sum()))
    share = float(direction @ direction) / float(z.var())
    return (share - float(np.trace(covariance)) / (m - 1)) / most if most > 0 else 0.0


def indices_of_stream(groups: Sequence[StreamedGroup], question: Question) -> tuple[Index, ...]:
    """The indices of the groups of a stream, in the order of :func:`indices`."""
    found = []
    for group in groups:
        if group.evidence is None:
            found += _nothing(group.name, group.names, group.n)
        else:
            numbers = [(own.pvalue(question.test), math.nan, math.nan) for own in group.evidence]
            found += _as_indices(group.name, group.names, group.evidence, numbers, question)
    return _ordered(_adjusted(found, question), question)


def cost_indices(table: TrialTable, question: Question, share: float) -> tuple[Index, ...]:
    """The indices for ending among the cheapest, as large a share as the goal's; none if costs do not vary."""
    priced = table.select(np.isfinite(table.cost))
    if len(priced) < MIN_TRIALS or np.ptp(priced.cost) == 0:
        return ()
    return judged(replace(priced, objective=priced.cost, minimize=True), about_cost(question, share)).indices


def about_cost(question: Question, share: float) -> Question:
    """The same question about the cheapest trials; they are this `share` if the goal itself is a threshold."""
    return replace(question, goal=share if isinstance(question.goal, Threshold) else question.goal, minimize=True)


def _groups(table: TrialTable, question: Question, fewest: int = MIN_TRIALS) -> list[_Group]:
    """The hyperparameters of the space, group by group; a group of fewer than `fewest` trials is not judged."""
    groups = []
    for group, names in table.groups():
        rows = np.flatnonzero(table.active(names[0]))
        z = _met(table, rows, question, fewest)
        columns = [carry(table, name, rows, question.law) for name in names] if len(z) else []
        groups.append(_Group(group, names, rows, z, columns))
    return groups


def _met(table: TrialTable, rows: Rows, question: Question, fewest: int) -> Bools:
    """Which trials of a group met its goal (m,); (0,) if they are fewer than `fewest`, or all alike in this."""
    z = question.met(table.objective[rows]).met if len(rows) >= fewest else np.empty(0, dtype=bool)
    return np.empty(0, dtype=bool) if z.all() or not z.any() else z


def _asked(table: TrialTable, groups: list[_Group], question: Question) -> list[joint.Group]:
    """The groups that are judged, as the joint test asks about them."""
    found = []
    for group in groups:
        if group.columns:
            exists = np.zeros(len(table), dtype=bool)
            exists[group.rows] = True
            found.append(joint.Group(exists, question.asked(table.objective[group.rows]), group.columns))
    return found


def _evidence(table: TrialTable, group: _Group, question: Question) -> list[Estimate]:
    edge = question.edge(table.objective[group.rows]) if len(group.z) else np.empty(0, dtype=np.intp)
    found = [index_evidence(u, width, group.z, edge, question.bandwidth) for u, width in group.columns]
    if question.law != "space" or not found:
        return found
    share, h = float(group.z.mean()), question.bandwidth
    return [
        replace(own, unseen=unseen(table, name, group.rows, share, h))
        for own, name in zip(found, group.names, strict=True)
    ]


def _tested(
    asked: list[joint.Group],
    groups: list[_Group],
    evidence: list[list[Estimate]],
    question: Question,
    redraws: Sequence[Redraws],
) -> joint.JointTest:
    """P-values and importances of all that was judged, in the order of the groups; adjusted ones if the test has them.

    Other tests than the joint one have no largest statistics.
    """
    none = np.empty(0)
    if not asked:
        return joint.JointTest(none, none, none, none)
    if question.test == JOINT:
        names = [name for group in groups if group.columns for name in group.names]
        random = np.random.default_rng([question.seed, 1])  # beside the permutations' own stream
        beside = [
            Beside(names.index(own.name), own.pvalue, random.choice(own.lots[1], question.n_permutations))
            for own in redraws
            if own.says and own.name in names
        ]
        return joint.joint_test(asked, question.n_permutations, question.seed, beside)
    if question.test == "permutation":
        pvalues = [pvalue for group in groups for pvalue in _permuted(group, question)]
    else:
        pvalues = [own.pvalue(question.test) for estimates in evidence for own in estimates]
    return joint.JointTest(np.array(pvalues), np.full(len(pvalues), math.nan), joint.importances(asked), none)


def _permuted(group: _Group, question: Question) -> list[float]:
    """The p-values of a group under permutations of its one goal."""
    few = [few_features(u, width, question.bandwidth) for u, width in group.columns]
    return permutation_pvalues(few, group.z, question.n_permutations, question.seed) if few else []


def _adjusted(found: list[Index], question: Question) -> list[Index]:
    """The indices of all groups, adjusted over all of them where the test has not done so."""
    pvalues = [index.pvalue for index in found]
    family = [index.pvalue_holm for index in found] if question.test == JOINT else inference.holm(pvalues)
    adjusted = zip(found, family, inference.benjamini_hochberg(pvalues), strict=True)
    return [replace(index, pvalue_holm=float(own), pvalue_bh=float(bh)) for index, own, bh in adjusted]


def _ordered(found: list[Index], question: Question) -> tuple[Index, ...]:
    """Main group first; within a group by the index if its goal was asked for, else by the importance over goals."""
    important = by_importance(found, question)
    names = dict.fromkeys(index.group for index in found)
    order = {group: place for place, group in enumerate(sorted(names, key=lambda group: group != "main"))}
    strength = {index.name: index.importance if important else index.hsic for index in found}
    return tuple(sorted(found, key=lambda own: (order[own.group], -np.nan_to_num(strength[own.name], nan=-1.0))))


def _nothing(group: str, names: list[str], n: int) -> list[Index]:
    """Indices that are NaN if n trials are too few, else exactly 0, because all or none of them met the goal."""
    nan = math.nan
    if n < MIN_TRIALS:
        return [Index(name, nan, nan, nan, nan, nan, nan, nan, nan, n, group, nan) for name in names]
    return [Index(name, 0.0, 0.0, 1.0, 1.0, nan, 0.0, 0.0, 0.0, n, group, 0.0) for name in names]


def _as_indices(
    group: str,
    names: list[str],
    evidence: list[Estimate],
    numbers: Sequence[tuple[float, float, float]],
    question: Question,
) -> list[Index]:
    """The indices from their evidence, and for each its p-value, the adjusted one and its importance if known."""
    results = [
        found.result(pvalue, question.confidence, question.bandwidth)
        for found, (pvalue, _, _) in zip(evidence, numbers, strict=True)
    ]
    nan = math.nan
    return [
        Index(name, r.statistic, r.r2, p, adjusted, nan, *(r.ci or (nan, nan)), r.null_mean, r.n, group, own)
        for name, r, (p, adjusted, own) in zip(names, results, numbers, strict=True)
    ]
