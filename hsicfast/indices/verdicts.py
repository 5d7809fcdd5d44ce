"""Says what to do with each hyperparameter, in plain words and with the evidence for it.

A large p-value does not show that a hyperparameter is irrelevant: few trials give large p-values, too. Therefore a
verdict without evidence states which effect would have been found, and a hyperparameter is safe to fix only if upper
bounds on its effect, alone and with others, are small; see :mod:`hsicfast.evidence.bounds`.

An effect is given as the share of the good trials that the better half of the values holds, which is 50% by chance.
Other patterns have the same effect as such a half if they explain as much of whether a trial is good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hsicfast.arrays import Bools, Rows
from hsicfast.dependence import inference
from hsicfast.evidence.bounds import EIGHTHS, Bounds, found_share, lower_half, patterns, upper_bounds
from hsicfast.evidence.interactions import DEPENDENT
from hsicfast.evidence.joint import Detector
from hsicfast.indices.carried import few_features
from hsicfast.indices.findings import ALPHA, Findings, Index, Pair
from hsicfast.indices.pairs import MOST_OF_A_RUN
from hsicfast.indices.places import percent, where_good
from hsicfast.indices.reduction import cheap_good_value
from hsicfast.space.search_space import Bool, Choice
from hsicfast.text import number, p_text, share_text, value_text
from hsicfast.trials.goal import Threshold, goal_text
from hsicfast.trials.repeats import scatter_text
from hsicfast.trials.trial import DIVERGED, LOST, PRUNED

MATTERS, TOGETHER, SAFE, OPEN, FEW = "matters", "together", "safe", "open", "few"
# An effect "would have been found" with this power, and "at most" is an upper bound with this confidence.
POWER, BOUND = 0.9, 0.95
# An effect is negligible if it is no larger than that of a half of the values with this share of the good trials: of
# 100 good trials 70 lie in one half and 30 in the other, and with a goal of a third it explains 8% of the variance.
NEGLIGIBLE = 0.7
# A part of the values is called a half if its share of the trials is as near to 1/2 as this.
NEAR_HALF = 0.05
# Up to this many good trials are simulated. The effect that more of them find falls with the root of their number.
MOST_GOOD = 200
# The headline says how many trials met the goal if that differs by more than this from what the goal asks for.
MET_TOLERANCE = 0.03
# A sentence names up to this many partners, and a headline up to this many hyperparameters.
MOST_PARTNERS, MOST_LISTED = 3, 4


@dataclass(frozen=True)
class Verdict:
    """What the trials show about one hyperparameter.

    Attributes
    ----------
    name : str
    kind : {"matters", "together", "safe", "open", "few"}
    text : str
        A few words.
    evidence : str
        A sentence with the numbers behind them.
    value : object
        If it is safe to fix, the value to fix it to; else None.
    reach : Reach or None
        If the verdict is open, the effect that would have been found.
    """

    name: str
    kind: str
    text: str
    evidence: str
    value: Any = None
    reach: Reach | None = None


@dataclass(frozen=True)
class Reach:
    """What the trials could show about one hyperparameter alone.

    Attributes
    ----------
    found : float
        Share of the good trials in one part of its values that would have been found with power POWER, given the
        number of hyperparameters; infinite if no share would.
    found_r2 : float
        R2 of the same effect.
    part : str
        The part: one half of its values, or, if these are few, those nearest to a half.
    """

    found: float
    found_r2: float
    part: str


def verdicts(findings: Findings) -> tuple[Verdict, ...]:
    """The verdict on each hyperparameter, in the order of ``findings.indices``.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, TrialTable, analyse
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    >>> a, b = np.random.default_rng(0).random((2, 200))
    >>> found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b}, (a - 0.3) ** 2))
    >>> for verdict in verdicts(found):
    ...     print(f"{verdict.name} {verdict.text}")
    a matters
    b no evidence either way
    """
    partners, beside = _partners(findings), _moves_with(findings)
    tested = sum(not math.isnan(index.pvalue) for index in findings.indices)
    bounds = _bounds(findings, set(partners))
    found = (
        _verdict(findings, index, partners.get(index.name, []), tested, bounds.get(index.name))
        for index in findings.indices
    )
    # An open verdict already names the partners that nobody can tell it apart from.
    return tuple(
        verdict if verdict.kind == OPEN else replace(verdict, evidence=verdict.evidence + beside.get(verdict.name, ""))
        for verdict in found
    )


def headline(findings: Findings, found: Iterable[Verdict]) -> str:
    """What decides, in one or two sentences; or that nothing stands out."""
    found = list(found)
    goal = f"whether a trial ends {goal_text(findings.goal, findings.question.minimize)}{_met_text(findings)}"
    named = {
        index.name: index.name + ("" if index.group == "main" else f" (where {index.group})")
        for index in findings.indices
    }
    alone = [named[verdict.name] for verdict in found if verdict.kind == MATTERS]
    together = [named[verdict.name] for verdict in found if verdict.kind == TOGETHER]
    safe = [f"{verdict.name} ({value_text(verdict.value)})" for verdict in found if verdict.kind == SAFE]
    said = []
    if alone:
        said.append(f"{_listed(alone)} {'decides' if len(alone) == 1 else 'decide'} {goal}.")
    if together:
        verb, what = "decides" if len(together) == 1 else "decide", "it" if alone else goal
        said.append(f"{_listed(together)} {verb} {what} together with others only.")
    if not said:
        said.append(
            f"No hyperparameter stands out from chance in deciding {goal}: "
            f"no evidence either way with {findings.n:,} trials."
        )
    if safe:
        said.append(f"Safe to fix: {_listed(safe)}.")
    return " ".join(said)


def trial_notes(findings: Findings) -> list[str]:
    """How trials count that ended without an objective or were stopped early, and which trials the numbers rest on."""
    counts, total = findings.counts, sum(findings.counts.values())
    counted = {"miss": "count as not good", "drop": "are left out", "last": "are judged by their last objective"}
    said = []
    failed = counts[DIVERGED] - findings.infeasible
    if failed:
        said.append(f"{failed:,} of {total:,} trials have no finite objective and {counted[findings.failed]}.")
    if findings.infeasible:
        verb, count = ("is", "counts") if findings.infeasible == 1 else ("are", "count")
        said.append(f"{findings.infeasible:,} of {total:,} trials {verb} infeasible and {count} as not good.")
    if counts[PRUNED]:
        said.append(f"{counts[PRUNED]:,} of {total:,} trials were stopped early and {counted[findings.pruned]}.")
    if counts[LOST]:
        said.append(f"{counts[LOST]:,} of {total:,} trials were lost or have not ended and are left out.")
    if findings.trials.missing:
        said.append(_missing_text(findings))
    if findings.repeats:
        said.append(
            f"{findings.n + findings.repeats:,} rows are {findings.n:,} configurations: those of one configuration "
            f"count as one trial with the mean of their objectives.{scatter_text(findings.trials)}"
        )
    if findings.n > len(findings.trials):
        said.append(
            f"The indices and their tests are of all {findings.n:,} trials; pairs, pictures, where the good trials "
            f"lie, what to fix a value to and the best trial are of {len(findings.trials):,} drawn from them at random."
        )
    pairs = math.comb(len(findings.trials.space), 2)
    if pairs > MOST_OF_A_RUN and not findings.pair_indices:
        said.append(
            f"No pair was judged: a run judges up to {MOST_OF_A_RUN:,}, and these hyperparameters have {pairs:,}; "
            "hsicfast.analyse, or python -m hsicfast.analyze, judges them all."
        )
    if findings.streamed is not None and findings.streamed.rank_error > 0:
        said.append(f"Ranks are known to {findings.streamed.rank_error:.1g} of their range.")
    return said


def _missing_text(findings: Findings) -> str:
    """In how many trials hyperparameters are not known, and what becomes of these trials."""
    counts = {name: int(rows.sum()) for name, rows in findings.trials.missing.items() if rows.any()}
    named = _listed([f"{name} in {count:,}" for name, count in counts.items()])
    return f"Not known: {named} of {len(findings.trials):,} trials, which are left out of that hyperparameter alone."


def reach(findings: Findings, name: str, tested: int) -> Reach | None:
    """What these trials could show about a hyperparameter.

    Parameters
    ----------
    findings : Findings
    name : str
    tested : int
        Number of hyperparameters that were tested.

    Returns
    -------
    Reach or None
        None if the hyperparameter has one value only, or if all trials met the goal or none did.
    """
    u, width, z = findings.carried(name)
    part, chance, text = _part(findings, name)
    if z.all() or not z.any() or part.all() or not part.any():
        return None
    p, good = float(z.mean()), min(int(z.sum()), MOST_GOOD)
    if z.sum() > good:
        rows = np.random.default_rng(findings.question.seed).choice(len(z), round(good / p), replace=False)
        u, width, part = u[rows], width[rows], part[rows]
    n = len(u)
    psi = few_features(u, width, findings.question.bandwidth)
    psi = psi - psi.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(psi.T @ psi / n)[::-1]
    if not eigenvalues[0] > 0 or part.all() or not part.any():
        return None
    if math.isnan(findings.critical):
        critical = inference.critical_value(p * (1 - p) * eigenvalues, ALPHA / tested)

        def rejects(drawn: Rows) -> Bools:
            return np.asarray((psi[drawn].sum(axis=1) ** 2).sum(axis=1) / n >= critical)

        held = found_share(part, good, rejects, POWER, findings.question.seed)
    else:
        goals = findings.question.asked(findings.trials.objective[findings.trials.active(name)])
        detector = Detector(u, width, len(goals), findings.critical)
        held = found_share(part, good, detector.finds, POWER, findings.question.seed)
    if math.isinf(held):
        return Reach(math.inf, math.inf, text)
    # By luck the part may hold more or fewer of all trials than its chance.
    share = float(part.mean())
    inside, outside = held / share * chance, (1 - held) / (1 - share) * (1 - chance)
    found = chance + (inside / (inside + outside) - chance) * math.sqrt(n / findings[name].n)
    excess = p * (found - chance) / (chance * (1 - chance))
    hsic = (share * (1 - share) * excess) ** 2 * ((psi[part].mean(axis=0) - psi[~part].mean(axis=0)) ** 2).sum()
    most = p * (1 - p) * math.sqrt(float((eigenvalues**2).sum()))
    return Reach(found, float(hsic / most), text)


def _part(findings: Findings, name: str) -> tuple[Bools, float, str]:
    """The trials in that part of the values of `name` that is nearest to a half, its share by chance, and its name."""
    table, u = findings.trials, findings.carried(name).u
    values = table.values[name][table.active(name)]
    if _ordered(findings, name):
        part = lower_half(u)
        share = float(part.mean())
        if abs(share - 0.5) <= NEAR_HALF or len(np.unique(u)) > EIGHTHS:
            return part, 0.5, "in one half of its values"
        top = value_text(values[part].max()) if part.any() else ""
        return part, share, f"up to {top}, where {percent(share)} of all are"
    _, place, counts = np.unique(u, return_index=True, return_counts=True)
    shares = counts / len(u)
    nearest = min(range(len(shares)), key=lambda level: (round(abs(float(shares[level]) - 0.5), 9), shares[level]))
    value, share = values[place[nearest]], float(shares[nearest])
    return u == u[place[nearest]], share, f"with {value_text(value)}, which {percent(share)} of all have"


def _ordered(findings: Findings, name: str) -> bool:
    return not isinstance(findings.trials.space[name], Choice | Bool)


def _bounds(findings: Findings, together: set[str]) -> dict[str, Bounds]:
    """Upper bounds on the effects of those that were not found to matter and were judged with others."""
    space, table = findings.trials.space, findings.trials
    judged = {name for pair in findings.pair_indices for name in (pair.first, pair.second)}
    open_ones = {
        index.name
        for index in findings.indices
        if index.name in judged - together and not index.matters and not math.isnan(index.pvalue)
    }
    groups = [[index.name for index in members if index.name in open_ones] for members in findings.groups()]
    found: dict[str, Bounds] = {}
    names = list(space)
    for own in filter(None, groups):
        rows, z = np.flatnonzero(table.active(own[0])), findings.carried(own[0]).z
        if z.all() or not z.any():
            continue
        parts = []
        for name in names:
            u = np.full(len(table), math.nan)
            u[table.active(name)] = findings.carried(name).u
            parts.append(patterns(u[rows], ordered=_ordered(findings, name)))
        children = {
            (one, other)
            for one, parent in enumerate(names)
            for other, name in enumerate(names)
            if space.depends(name, parent)
        }
        places = [names.index(name) for name in own]
        found |= zip(own, upper_bounds(parts, places, children, z, BOUND, findings.question.seed), strict=True)
    return found


def interacting(findings: Findings) -> list[tuple[Pair, float]]:
    """The pairs that act together, the clearest first, with their p-values adjusted for the number of pairs."""
    # A pair whose partners move together counts as asked for, too: who may claim was chosen by looking at the values.
    adjusted = inference.holm(np.nan_to_num([pair.pvalue_pure for pair in findings.pair_indices], nan=1.0))
    ordered = sorted(zip(findings.pair_indices, map(float, adjusted), strict=True), key=lambda both: both[1])
    return [(pair, pvalue) for pair, pvalue in ordered if pvalue <= ALPHA]


def _partners(findings: Findings) -> dict[str, list[tuple[str, float]]]:
    """The partners with which each name interacts, the clearest first, with their adjusted p-values over all pairs."""
    found: dict[str, list[tuple[str, float]]] = {}
    for pair, pvalue in interacting(findings):
        found.setdefault(pair.first, []).append((pair.second, pvalue))
        found.setdefault(pair.second, []).append((pair.first, pvalue))
    return found


def _moves_with(findings: Findings) -> dict[str, str]:
    """For each name a sentence about the hyperparameters that move together with it, if the two together decide."""
    beside: dict[str, list[str]] = {}
    for pair, together in zip(findings.pair_indices, _tied(findings), strict=True):  # the strongest first
        if together and pair.pvalue <= ALPHA:
            beside.setdefault(pair.first, []).append(pair.second)
            beside.setdefault(pair.second, []).append(pair.first)
    return {
        name: f" It moves together with {_listed(others)}, so whether they act together cannot be judged."
        for name, others in beside.items()
    }


def _verdict(
    findings: Findings, index: Index, partners: list[tuple[str, float]], tested: int, bounds: Bounds | None
) -> Verdict:
    name = index.name
    if math.isnan(index.pvalue):
        return Verdict(name, FEW, "not judged", f"{index.n:,} trials have it, which are too few.")
    together = ", ".join(partner for partner, _ in partners[:MOST_PARTNERS])
    pairs = ", ".join(f"with {partner} (adjusted p {p_text(p)})" for partner, p in partners[:MOST_PARTNERS])
    drives = _drives_cost(findings, name)
    if index.matters:
        also = f" It acts together, too: {pairs}." if partners else ""
        return Verdict(
            name,
            MATTERS,
            "matters",
            f"adjusted p {p_text(index.pvalue_holm)}; {where_good(findings, name)}.{also}{drives}",
        )
    if partners:
        why = f"Alone it does not stand out (adjusted p {p_text(index.pvalue_holm)}); it does {pairs}.{drives}"
        return Verdict(name, TOGETHER, f"matters only with {together}", why)
    possible = reach(findings, name, tested)
    if possible is None:
        return Verdict(
            name, OPEN, "no evidence either way", f"Its {index.n:,} trials all have one value, or all ended alike."
        )
    refused = _refused(findings, name)
    if bounds is not None and not refused and (1 + max(bounds)) / 2 <= NEGLIGIBLE:
        value, price = cheap_good_value(findings, name, ALPHA)
        return Verdict(
            name, SAFE, f"safe to fix: {value_text(value)}", f"{_at_most(findings, name, bounds)}; {price}.", value
        )
    open_with = (
        f" Whether it acts together with {_listed(refused)} is open: their values move together." if refused else ""
    )
    why = f"{_power(index, possible)}{open_with}{drives}"
    return Verdict(name, OPEN, "no evidence either way", why, reach=possible)


def _refused(findings: Findings, name: str) -> list[str]:
    """The partners with which an interaction could not be tested.

    Of many independent pairs some seem to move together by chance; where that does not stand the adjustment for their
    number, the bounds, which allow for dependence, still hold.
    """
    tied = _tied(findings)
    return [
        pair.second if pair.first == name else pair.first
        for pair, together in zip(findings.pair_indices, tied, strict=True)
        if name in (pair.first, pair.second)
        and math.isnan(pair.pvalue_pure)
        and (together or pair.dependence > DEPENDENT)
    ]


def _tied(findings: Findings) -> Bools:
    """Which pairs depend on each other, adjusted for the number of pairs."""
    return np.asarray(inference.holm([pair.dependence for pair in findings.pair_indices]) <= DEPENDENT)


def _at_most(findings: Findings, name: str, bounds: Bounds) -> str:
    """What the upper bounds say, and of which patterns."""
    u, _, z = findings.carried(name)
    alone, with_one, with_two = (percent((1 + bound) / 2) for bound in bounds)
    few = not _ordered(findings, name) or len(np.unique(u)) <= EIGHTHS
    kind, finest = "good" if z.mean() <= 0.5 else "other", "its values" if few else "eighths of its range"
    return (
        f"No half of its values (of {finest}) holds more than {alone} of the {kind} trials, where 50% is chance; "
        f"together with any one other at most {with_one} (quarters), with any two at most {with_two} (halves), each "
        f"with {share_text(BOUND)} confidence from {len(z):,} trials; finer patterns are not covered"
    )


def _power(index: Index, possible: Reach) -> str:
    """What these trials would have found."""
    start = f"adjusted p {p_text(index.pvalue_holm)} with {index.n:,} trials; "
    if math.isinf(possible.found):
        return start + f"too few to see even the strongest effect for sure (every good trial {possible.part})."
    return start + (
        f"an effect above R² {number(possible.found_r2, 2)}, such as {percent(possible.found)} of the good trials "
        f"{possible.part}, would have been found with {share_text(POWER)} power."
    )


def _met_text(findings: Findings) -> str:
    """How many trials met the goal, if ties or failed trials make them more or fewer than the goal asks for."""
    if isinstance(findings.goal, Threshold):
        return ""
    whole = isinstance(findings.goal, int | np.integer)
    asked = (findings.goal if whole else max(round(findings.goal * findings.n), 1)) / findings.n
    met = findings.n_met / findings.n
    if abs(met - asked) <= MET_TOLERANCE:
        return ""
    return f" ({percent(met)} are tied there)" if met > asked else f" (only {percent(met)} have an objective)"


def _drives_cost(findings: Findings, name: str) -> str:
    index = next((index for index in findings.cost_indices if index.name == name), None)
    return (
        f" It drives the cost (adjusted p {p_text(index.pvalue_holm)})." if index is not None and index.matters else ""
    )


def _listed(names: list[str]) -> str:
    """Up to MOST_LISTED names in a row; if there are more, the last place says how many."""
    named = MOST_LISTED - 1
    shown = names if len(names) <= MOST_LISTED else [*names[:named], f"{len(names) - named} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
