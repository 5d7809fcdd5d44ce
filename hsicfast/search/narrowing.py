"""Where to search: what an upper bound says is safe to fix, and the ranges where the good trials live.

Both want evidence, of trials drawn from the law of the space; what shows none is searched as it is. A range that is
narrowed leaves out no good trial and is no verdict on the rest, so that a share of the search goes on outside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hsicfast.indices.conclusions import Conclusions
from hsicfast.indices.findings import Findings
from hsicfast.indices.reduction import FIX, KEEP, NARROW, Decision, Reduction
from hsicfast.indices.verdicts import SAFE
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import p_text, share_text

# Of two or three good trials nobody knows where good trials live; and to leave out a tenth of a range saves nothing.
FEWEST_GOOD, WORTH_NARROWING = 4, 0.8
# The good trials to come lie beyond those there are, by about one of their distances, and by a twentieth at least.
LEAST_MARGIN = 0.05
RULE = (
    "By the trials drawn from the law of the space alone, whose better third counts as good here. What is fixed has an "
    "upper bound on its effect. A narrowed range leaves out no good trial, and a quarter of the search goes on outside "
    "it. What shows no evidence is searched as it is."
)


def narrow(findings: Conclusions) -> Reduction:
    """Fix what is safe to fix, narrow the ranges of what matters to where the good trials are, search the rest.

    Parameters
    ----------
    findings : Conclusions
        Of the design trials.

    Returns
    -------
    Reduction
        Its space has the narrowed ranges, and lacks what is fixed.

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
            decisions.append(Decision(name, FIX, verdict.value, verdict.why))
        elif left is not None:
            ranges[name], reason = left
            decisions.append(Decision(name, NARROW, (ranges[name].low, ranges[name].high), reason))
        else:
            decisions.append(Decision(name, KEEP, None, verdict.why))
    fixed = {decision.name: decision.value for decision in decisions if decision.action == FIX}
    narrowed = SearchSpace({name: ranges.get(name, space[name]) for name in space})
    return Reduction(narrowed.fix(fixed) or narrowed, fixed, tuple(decisions), RULE)


def decided(reduction: Reduction) -> str:
    """What was fixed or narrowed, and why, in one sentence."""
    said = [f"{d.name} is {d.text}: {d.reason}" for d in reduction.decisions if d.action != KEEP]
    return "; ".join(said) or "nothing is fixed or narrowed, for want of evidence"


def _where_good(findings: Findings, name: str) -> tuple[Float | Int, str] | None:
    """The narrowed range of a number, and why; None where that leaves out too little."""
    whole = findings.trials.space[name]
    if not isinstance(whole, Float | Int):
        return None
    # By the law of the space also where the analysis goes by ranks: a range is one of values.
    u = whole.to_unit(findings.trials.values[name][findings.trials.active(name)])
    good = u[findings.carried(name).z]
    if len(good) < FEWEST_GOOD:
        return None
    margin = max(float(np.ptp(good)) / (len(good) - 1), LEAST_MARGIN)
    low, high = max(float(good.min()) - margin, 0.0), min(float(good.max()) + margin, 1.0)
    lowest, highest = whole.from_unit(low), whole.from_unit(high)
    if high - low > WORTH_NARROWING or not lowest < highest:
        return None
    part = replace(whole, low=lowest, high=highest)  # type: ignore[arg-type]  # each kind takes its own numbers
    inside = ((u >= low) & (u <= high)).mean()
    return part, (
        f"all {len(good)} good trials lie there, and {share_text(float(inside))} of all "
        f"(Holm p {p_text(findings[name].pvalue_holm)})"
    )
