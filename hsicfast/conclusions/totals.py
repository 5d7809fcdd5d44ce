"""What each hyperparameter does alone or together with any others, and the ranking by all that is known.

An index alone does not see a hyperparameter that acts only together with others, and a forest does. So the ranking goes
by two tests: the joint test, alone, and the total-order test (:mod:`hsicfast.evidence.total`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.dependence import inference
from hsicfast.evidence.interactions import orthogonal_to_constants
from hsicfast.evidence.total import TotalOrder, total_order
from hsicfast.indices.carried import features
from hsicfast.indices.findings import Findings


@dataclass(frozen=True)
class Total:
    """One hyperparameter, alone or together with any others; NaN if its group was not judged.

    Attributes
    ----------
    name : str
    total : float
        Total-order index, without bias: below 0, too, if it does nothing.
    pvalue, pvalue_holm : float
        P-values for doing nothing alone or with others, exact if its values do not depend on the others': not adjusted,
        and adjusted over all hyperparameters after Holm.
    either : float
        Harmonic mean of this p-value and that of the hyperparameter alone. It ranks, and is no p-value itself.
    rank : int
        From 1, over all groups.
    """

    name: str
    total: float
    pvalue: float
    pvalue_holm: float
    either: float
    rank: int


def totals(findings: Findings) -> tuple[Total, ...]:
    """The total-order index of each hyperparameter and its test, the first in the ranking first.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, TrialTable, analyse
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})
    >>> a, b, c = np.random.default_rng(0).random((3, 100))
    >>> found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b, "c": c}, (a > 0.5) == (b > 0.5)))
    >>> sorted(own.name for own in totals(found) if own.pvalue_holm <= 0.05), found.significant()
    (['a', 'b'], [])
    """
    known = {index.name: _total(findings, index.name) for index in findings.indices}
    adjusted = inference.holm([own.pvalue for own in known.values()])
    either = {name: _harmonic_mean(findings[name].pvalue, own.pvalue) for name, own in known.items()}
    order = sorted(known, key=lambda name: (math.isnan(either[name]), either[name]))
    return tuple(
        Total(name, known[name].hsic, known[name].pvalue, float(holm), either[name], order.index(name) + 1)
        for name, holm in sorted(zip(known, adjusted, strict=True), key=lambda own: order.index(own[0]))
    )


def _total(findings: Findings, name: str) -> TotalOrder:
    """The total-order index among the trials that have the hyperparameter."""
    trials, question = findings.trials, findings.question
    rows = np.flatnonzero(trials.active(name))
    if math.isnan(findings[name].hsic):
        return TotalOrder(math.nan, math.nan)
    met = question.asked(trials.objective[rows])
    met = met[met.any(axis=1) & ~met.all(axis=1)]
    if not len(met) or np.ptp(findings.carried(name).u) == 0:
        return TotalOrder(0.0, 1.0)
    # What depends on it is part of what it does.
    names = [other for other in trials.space if other == name or not trials.space.depends(other, name)]
    parts = [_features(findings, other)[rows] for other in names]
    return total_order(parts, met, names.index(name), question.n_permutations, question.seed)


def _features(findings: Findings, name: str) -> Floats:
    """Features (n, r) orthogonal to constants; 0 where the hyperparameter does not exist."""
    u, width, _ = findings.carried(name)
    psi, level = features(u, width, findings.question.bandwidth)
    pure = orthogonal_to_constants(psi, findings.question.bandwidth)[level]
    out = np.zeros((len(findings.trials), pure.shape[1]))
    out[findings.trials.active(name)] = pure
    return out


def _harmonic_mean(one: float, other: float) -> float:
    return 2 / (1 / one + 1 / other) if one > 0 and other > 0 else min(one, other)
