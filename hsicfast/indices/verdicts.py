"""Says what to do with each hyperparameter, in plain words and with the evidence for it.

A large p-value does not show that a hyperparameter is irrelevant: few trials give large p-values, too. Therefore a
verdict without evidence states which effect would have been found, and a hyperparameter is safe to fix only if an upper
bound on its effect is small.

An effect is given as the share of the good trials that the better half of the values holds. Let p be the share of good
trials, and let their density be 1 + d on one half of [0, 1] and 1 - d on the other. Then that share is (1 + d) / 2, and

    HSIC(U, Z) = (p d)^2 E[s(U) s(U') k(U, U')],  s = 1 on one half and -1 on the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence import inference
from hsicfast.dependence.features import carried_features
from hsicfast.evidence.interactions import DEPENDENT
from hsicfast.indices.carried import few_features
from hsicfast.indices.findings import ALPHA, Findings, Index
from hsicfast.indices.reduction import cheap_good_value
from hsicfast.space.search_space import Int
from hsicfast.text import number, p_text, share_text, value_text
from hsicfast.trials.goal import goal_text
from hsicfast.trials.trial import DIVERGED, LOST, PRUNED

MATTERS, TOGETHER, SAFE, OPEN, FEW = "matters", "together", "safe", "open", "few"
# An effect "would have been found" with this power, and "at most" is an upper bound with this confidence.
POWER, BOUND = 0.9, 0.95
# An effect is negligible if the better half of the values holds no more of the good trials than this.
NEGLIGIBLE = 0.6
# The search for an effect with that power stops short of d = 1, where the variance along the effect is 0.
SHARPEST, EFFECT_TOLERANCE = 0.999, 1e-6
# Midpoints for an integral over [0, 1] of functions as smooth as the kernel's features on either half.
HALVES_POINTS = 2048
# The range of a number's good trials leaves out this share of them at either end, which may be outliers.
TAIL = 0.1
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
    why : str
        A sentence with the numbers behind them.
    value : object
        If it is safe to fix, the value to fix it to; else None.
    """

    name: str
    kind: str
    text: str
    why: str
    value: Any = None


@dataclass(frozen=True)
class Reach:
    """What the trials could show about one hyperparameter; effects are as in this module's docstring.

    Attributes
    ----------
    found : float
        Effect that would have been found with power POWER after Holm; above 1 if no effect would.
    found_r2 : float
        The same effect as R2.
    most : float
        One-sided upper bound, with confidence BOUND, on the true effect.
    """

    found: float
    found_r2: float
    most: float


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
    found = (_verdict(findings, index, partners.get(index.name, []), tested) for index in findings.indices)
    return tuple(replace(verdict, why=verdict.why + beside.get(verdict.name, "")) for verdict in found)


def headline(findings: Findings, found: Iterable[Verdict]) -> str:
    """What decides, in one or two sentences; or that nothing stands out."""
    found = list(found)
    goal = f"whether a trial ends {goal_text(findings.goal, findings.question.minimize)}"
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
    if counts[DIVERGED]:
        said.append(
            f"{counts[DIVERGED]:,} of {total:,} trials have no finite objective and {counted[findings.failed]}."
        )
    if counts[PRUNED]:
        said.append(f"{counts[PRUNED]:,} of {total:,} trials were stopped early and {counted[findings.pruned]}.")
    if counts[LOST]:
        said.append(f"{counts[LOST]:,} of {total:,} trials were lost or have not ended and are left out.")
    if findings.repeats:
        said.append(
            f"{findings.n + findings.repeats:,} rows are {findings.n:,} configurations: those of one configuration "
            "count as one trial with the mean of their objectives."
        )
    if findings.n > len(findings.trials):
        said.append(
            f"The indices and their tests are of all {findings.n:,} trials; pairs, pictures, where the good trials "
            f"lie, what to fix a value to and the best trial are of {len(findings.trials):,} drawn from them at random."
        )
    if findings.streamed is not None and findings.streamed.rank_error > 0:
        said.append(f"Ranks are known to {findings.streamed.rank_error:.1g} of their range.")
    return said


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
    psi = few_features(u, width, findings.question.bandwidth)
    eigenvalues = np.linalg.eigvalsh(np.atleast_2d(np.cov(psi, rowvar=False, bias=True)))[::-1]
    n, p = findings[name].n, float(z.mean())
    weights = p * (1 - p) * eigenvalues
    if not weights[0] > 0:
        return None
    unit = n * p**2 * _halves(findings.question.bandwidth)  # n HSIC if one half holds all the good trials
    critical = inference.critical_value(weights, ALPHA / tested)
    contrast = _contrast(critical, weights, unit)
    # If the index happens to lie below its mean under independence, the bound is that of the mean: luck proves nothing.
    bound = inference.upper_bound(max(n * findings[name].hsic, float(weights.sum())), weights, BOUND)
    most = p * (1 - p) * math.sqrt(float((eigenvalues**2).sum()))
    return Reach((1 + contrast) / 2, unit / n * contrast**2 / most, (1 + math.sqrt(bound / unit)) / 2)


def _contrast(critical: float, weights: Floats, unit: float) -> float:
    """The d whose effect n HSIC = unit d^2 reaches the critical value with power POWER; infinite if no d does.

    The effect lies along the first weight, whose term then spreads less: if a good trial falls into the better half
    with probability (1 + d) / 2, the variance of their number there is 1 - d^2 times the variance without an effect.
    """
    from scipy import optimize

    first = np.arange(len(weights)) == 0

    def missing(d: float) -> float:
        shrunk = weights * np.where(first, 1 - d**2, 1.0)
        return inference.weighted_chi2_pvalue(critical, shrunk, first * unit * d**2 / shrunk[0]) - POWER

    return float(optimize.brentq(missing, 0.0, SHARPEST, xtol=EFFECT_TOLERANCE)) if missing(SHARPEST) > 0 else math.inf


@lru_cache(maxsize=16)
def _halves(bandwidth: float) -> float:
    """``E[s(U) s(U') k(U, U')]`` for U and U' uniform, s = 1 on one half and -1 on the other."""
    grid = (np.arange(HALVES_POINTS) + 0.5) / HALVES_POINTS
    psi = carried_features(grid, np.empty(0), bandwidth)
    return float(((np.where(grid < 0.5, 1.0, -1.0) @ psi / len(grid)) ** 2).sum())


def _partners(findings: Findings) -> dict[str, list[tuple[str, float]]]:
    """The partners with which each name interacts, the clearest first, with their Holm p-values over all pairs."""
    # A pair whose partners move together counts as asked for, too: who may claim was chosen by looking at the values.
    adjusted = inference.holm(np.nan_to_num([pair.pvalue_pure for pair in findings.pair_indices], nan=1.0))
    found: dict[str, list[tuple[str, float]]] = {}
    for pair, pvalue in sorted(zip(findings.pair_indices, adjusted, strict=True), key=lambda both: float(both[1])):
        if pvalue <= ALPHA:
            found.setdefault(pair.first, []).append((pair.second, float(pvalue)))
            found.setdefault(pair.second, []).append((pair.first, float(pvalue)))
    return found


def _moves_with(findings: Findings) -> dict[str, str]:
    """For each name a sentence about the hyperparameters that move together with it, if the two together decide."""
    tied = inference.holm([pair.dependence for pair in findings.pair_indices]) <= DEPENDENT
    beside: dict[str, list[str]] = {}
    for pair, together in zip(findings.pair_indices, tied, strict=True):  # the strongest first
        if together and pair.pvalue <= ALPHA:
            beside.setdefault(pair.first, []).append(pair.second)
            beside.setdefault(pair.second, []).append(pair.first)
    return {
        name: f" It moves together with {_listed(others)}, so whether they act together cannot be judged."
        for name, others in beside.items()
    }


def _verdict(findings: Findings, index: Index, partners: list[tuple[str, float]], tested: int) -> Verdict:
    name = index.name
    if math.isnan(index.pvalue):
        return Verdict(name, FEW, "not judged", f"{index.n:,} trials have it, which are too few.")
    together = ", ".join(partner for partner, _ in partners[:MOST_PARTNERS])
    pairs = ", ".join(f"with {partner} (Holm p {p_text(p)})" for partner, p in partners[:MOST_PARTNERS])
    drives = _drives_cost(findings, name)
    if index.matters:
        also = f" It acts together, too: {pairs}." if partners else ""
        return Verdict(
            name, MATTERS, "matters", f"Holm p {p_text(index.pvalue_holm)}; {_where(findings, name)}.{also}{drives}"
        )
    if partners:
        why = f"Alone it does not stand out (Holm p {p_text(index.pvalue_holm)}); it does {pairs}.{drives}"
        return Verdict(name, TOGETHER, f"matters only with {together}", why)
    possible = reach(findings, name, tested)
    if possible is None:
        return Verdict(name, OPEN, "no evidence either way", f"Its {index.n:,} trials have one value, or one fate.")
    judged_with_others = any(name in (pair.first, pair.second) for pair in findings.pair_indices)
    if possible.most <= NEGLIGIBLE and judged_with_others:
        value, price = cheap_good_value(findings, name, ALPHA)
        why = (
            f"The better half of its values holds at most {_percent(possible.most)} of the good trials, by chance 50% "
            f"({share_text(BOUND)} confidence, {index.n:,} trials), and no interaction was found; {price}."
        )
        return Verdict(name, SAFE, f"safe to fix: {value_text(value)}", why, value)
    return Verdict(name, OPEN, "no evidence either way", f"{_power(index, possible)}{drives}")


def _power(index: Index, possible: Reach) -> str:
    """What these trials would have found."""
    start = f"Holm p {p_text(index.pvalue_holm)} with {index.n:,} trials; "
    if possible.found > 1:
        return start + "even if one half of its values held all the good trials, they might have missed it."
    return start + (
        f"an effect above R² {number(possible.found_r2, 2)}, such as {_percent(possible.found)} of the good trials "
        f"in one half of its values, would have been found with {share_text(POWER)} power."
    )


def _where(findings: Findings, name: str) -> str:
    """Where the good trials lie along `name`, compared with all trials."""
    table = findings.trials
    values, z = table.values[name][table.active(name)], findings.carried(name).z
    if table.space[name].levels is None or isinstance(table.space[name], Int):
        low, high = np.quantile(values[z].astype(np.float64), (TAIL, 1 - TAIL), method="nearest")
        within = float(((values >= low) & (values <= high)).mean())
        span = f"{value_text(float(low))} to {value_text(float(high))}"
        return f"{share_text(1 - 2 * TAIL)} of the good trials, and {_percent(within)} of all, lie from {span}"
    favourite = max(set(values[z].tolist()), key=lambda value: float(np.mean(values[z] == value)))
    good, of_all = (float(np.mean(rows == favourite)) for rows in (values[z], values))
    return f"{value_text(favourite)} has {_percent(good)} of the good trials, and {_percent(of_all)} of all"


def _percent(share: float) -> str:
    return share_text(round(share, 2))


def _drives_cost(findings: Findings, name: str) -> str:
    index = next((index for index in findings.cost_indices if index.name == name), None)
    return f" It drives the cost (Holm p {p_text(index.pvalue_holm)})." if index is not None and index.matters else ""


def _listed(names: list[str]) -> str:
    """Up to MOST_LISTED names in a row; if there are more, the last place says how many."""
    named = MOST_LISTED - 1
    shown = names if len(names) <= MOST_LISTED else [*names[:named], f"{len(names) - named} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
