"""Where to search: fix what an upper bound on its effect calls safe, and narrow ranges to where good trials lie.

Both need evidence from trials drawn from the distributions of the space; a hyperparameter without evidence is searched
as it is. A narrowed range leaves out no good trial. It does not prove that the rest is bad, so that a share of the
search goes on outside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hsicfast.conclusions.conclusions import Conclusions
from hsicfast.indices.findings import Findings
from hsicfast.indices.reduction import FIX, KEEP, NARROW, Decision, Reduction
from hsicfast.indices.verdicts import SAFE
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import p_text, share_text

# Two or three good trials do not show where good trials lie, and a range that keeps 80% of its length saves nothing.
FEWEST_GOOD, WORTH_NARROWING = 4, 0.8
# Further good trials lie beyond the known ones, by about the distance between two of them, and by a twentieth at least.
LEAST_MARGIN = 0.05
# Decisions rest on the better third of the trials: the best tenth of few trials is one or two, which decide nothing.
DECIDING_GOAL = 1 / 3
# This share of the proposals lies outside the narrowed ranges, whatever the evidence was.
OUTSIDE_SHARE = 0.25
_PARTS = {1 / 2: "half", 1 / 3: "third", 1 / 4: "quarter"}
_DECIDING = _PARTS.get(DECIDING_GOAL) or share_text(DECIDING_GOAL)
_OUTSIDE = f"a {_PARTS[OUTSIDE_SHARE]}" if OUTSIDE_SHARE in _PARTS else share_text(OUTSIDE_SHARE)
RULE = (
    f"By the trials drawn from the search space alone, whose better {_DECIDING} counts as good here. What is fixed "
    f"has an upper bound on its effect. A narrowed range leaves out no good trial, and {_OUTSIDE} of the search goes "
    "on outside it. What shows no evidence is searched as it is."
)


def narrow(findings: Conclusions) -> Reduction:
    """Fix what is safe to fix, narrow the ranges of what matters to where the good trials are, search the rest.

    Parameters
    ----------
    findings : Conclusions
        The analysis of the trials that were drawn from the distributions of the space.

    Returns
    -------
    Reduction
        Its space has the narrowed ranges, and lacks the hyperparameters that are fixed.

    Examples
    --------
    >>> from hsicfast import Float, TrialTable, analyse
    >>> space = SearchSpace({"rate": Float(0, 1), "size": Float(0, 1)})
    >>> rate, size = np.random.default_rng(0).random((2, 200))
    >>> table = TrialTable.from_arrays(space, {"rate": rate, "size": size}, (rate - 0.3) ** 2)
    >>> for decision in narrow(analyse(space, table)).decisions:
    ...     print(decision.name, decision.action)
    rate narrow
    size search
    """
    space = findings.trials.space
    parents = {parent for name in space for parent in space[name].conditions}
    decisions, ranges = [], {}
    for verdict in findings.verdict_list:
        name = verdict.name
        left = _where_good(findings, name) if findings[name].matters and name not in parents else None
        if verdict.kind == SAFE and name not in parents:
            decisions.append(Decision(name, FIX, verdict.value, verdict.evidence))
        elif left is not None:
            ranges[name], reason = left
            decisions.append(Decision(name, NARROW, (ranges[name].low, ranges[name].high), reason))
        else:
            decisions.append(Decision(name, KEEP, None, verdict.evidence))
    fixed = {decision.name: decision.value for decision in decisions if decision.action == FIX}
    narrowed = SearchSpace({name: ranges.get(name, space[name]) for name in space})
    return Reduction(narrowed.fix(fixed) or narrowed, fixed, tuple(decisions), RULE)


def as_it_is(findings: Conclusions) -> Reduction:
    """Search every hyperparameter as it is: the analysed trials were drawn from another space."""
    decisions = tuple(Decision(verdict.name, KEEP, None, verdict.evidence) for verdict in findings.verdict_list)
    return Reduction(findings.trials.space, {}, decisions, RULE)


def decided(reduction: Reduction) -> str:
    """What was fixed or narrowed, and why, in one sentence."""
    said = [f"{d.name} is {d.text}: {d.reason}" for d in reduction.decisions if d.action != KEEP]
    return "; ".join(said) or "nothing is fixed or narrowed, for want of evidence"


def _where_good(findings: Findings, name: str) -> tuple[Float | Int, str] | None:
    """The narrowed range of a numeric hyperparameter, and the reason; None if narrowing would save too little."""
    whole = findings.trials.space[name]
    if not isinstance(whole, Float | Int):
        return None
    # Positions are those of the space even if the analysis uses ranks, because a range is one of values.
    u = whole.to_unit(findings.trials.values[name][findings.trials.active(name)])
    good = u[findings.carried(name).z]
    if len(good) < FEWEST_GOOD:
        return None
    margin = max(float(np.ptp(good)) / (len(good) - 1), LEAST_MARGIN)
    low, high = max(float(good.min()) - margin, 0.0), min(float(good.max()) + margin, 1.0)
    lowest, highest = whole.from_unit(low), whole.from_unit(high)
    if high - low > WORTH_NARROWING or not lowest < highest:
        return None
    part = replace(whole, low=lowest, high=highest)  # type: ignore[arg-type]  # a Float takes floats, an Int integers
    inside = ((u >= low) & (u <= high)).mean()
    return part, (
        f"all {len(good)} good trials lie there, and {share_text(float(inside))} of all "
        f"(adjusted p {p_text(findings[name].pvalue_holm)})"
    )
