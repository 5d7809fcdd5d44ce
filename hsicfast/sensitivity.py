"""The method: which hyperparameters decide who ends among the best, and how sure that is.

Read :func:`analyse` from top to bottom; it is the method of Novello et al. (2023, sections 3 to 5).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast import checks, inference, kernels
from hsicfast.engines import carried_features, negligible, permutation_pvalues
from hsicfast.errors import InputError
from hsicfast.evidence import Evidence, evidence_of
from hsicfast.goal import best_fraction, near_edge
from hsicfast.interactions import PairJudge, principal
from hsicfast.space import SearchSpace
from hsicfast.spectrum import goal_evidence
from hsicfast.trials import DIVERGED, DONE, LOST, SEARCH, TrialTable

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

FEWEST = 4


@dataclass(frozen=True)
class Index:
    """One hyperparameter's goal-oriented index and its evidence; NaN where its group has fewer than 4 trials.

    Attributes
    ----------
    name : str
    hsic, r2 : float
        HSIC(U, Z), and the same over sqrt(HSIC(U, U) HSIC(Z, Z)).
    pvalue, pvalue_holm, pvalue_bh : float
        Of independence: alone, and adjusted over all hyperparameters (family-wise error, false discovery rate).
    ci_low, ci_high : float
        Confidence interval of the index.
    noise_floor : float
        Mean of the index under independence.
    n : int
        Trials in which the hyperparameter exists.
    group : str
        ``main``, or the conditions under which it exists.
    """

    name: str
    hsic: float
    r2: float
    pvalue: float
    pvalue_holm: float
    pvalue_bh: float
    ci_low: float
    ci_high: float
    noise_floor: float
    n: int
    group: str


@dataclass(frozen=True)
class Pair:
    """Two hyperparameters together.

    Attributes
    ----------
    first, second : str
    hsic : float
        The published index: the kernel on the couple. It contains both main effects.
    pure : float
        What is left once both main effects are out: both kernels made orthogonal to constants under the uniform law.
    pvalue : float
        Of the goal depending on neither, by permutation of the goal; not adjusted for the number of pairs.
    pvalue_pure : float
        Of no interaction whatever the main effects, by flipping the signs of the trials' terms; not adjusted.
    """

    first: str
    second: str
    hsic: float
    pure: float
    pvalue: float
    pvalue_pure: float


class Carried(NamedTuple):
    """A hyperparameter where it exists: carried values (m,), widths (m,), who met the group's goal (m,)."""

    u: Floats
    width: Floats
    z: NDArray[np.bool_]


@dataclass(frozen=True)
class Sensitivity:
    """What :func:`analyse` found.

    Attributes
    ----------
    trials : TrialTable
        The trials that were judged.
    goal : float
        Best fraction.
    confidence : float
        Of the intervals.
    minimize : bool
    law : {"space", "ranks"}
        How values were carried.
    met : bool array (n,)
        Who met the goal.
    threshold : float
        Worst objective that met it.
    counts : dict
        Trials done, diverged and lost; the lost ones are not judged.
    indices : tuple of Index
        Main group first, strongest first within a group.
    cost_indices : tuple of Index
        The same for the goal "among the cheapest"; empty where costs are unknown or all equal.
    pair_indices : tuple of Pair
        Strongest first.
    """

    trials: TrialTable
    goal: float
    confidence: float
    minimize: bool
    law: str
    met: NDArray[np.bool_]
    threshold: float
    counts: dict[str, int]
    indices: tuple[Index, ...]
    cost_indices: tuple[Index, ...]
    pair_indices: tuple[Pair, ...]

    def __getitem__(self, name: str) -> Index:
        """The index of hyperparameter `name`."""
        return next(index for index in self.indices if index.name == name)

    def significant(self, alpha: float = 0.05) -> list[str]:
        """Names whose index is significant after Holm, strongest group and index first."""
        return [index.name for index in self.indices if index.pvalue_holm <= alpha]

    def carried(self, name: str) -> Carried:
        """Carried values of `name` and who met its group's goal."""
        rows = np.flatnonzero(self.trials.active(name))
        u, width = _carry(self.trials, name, rows, self.law)
        return Carried(u, width, best_fraction(self.trials.objective[rows], self.goal, self.minimize).met)

    def to_frame(self) -> pd.DataFrame:
        """Indices as a frame, indexed by ``name``: hsic, r2, pvalue, pvalue_holm, pvalue_bh, ci, noise_floor, ..."""
        return _frame(self.indices)

    def cost_frame(self) -> pd.DataFrame:
        """As :meth:`to_frame`, of the dependence on cost."""
        return _frame(self.cost_indices)

    @property
    def pairs(self) -> pd.DataFrame:
        """Pairs as a frame: first, second, hsic, pure, pvalue, pvalue_pure."""
        import pandas as pd

        return pd.DataFrame(self.pair_indices, columns=[field.name for field in fields(Pair)])


@dataclass(frozen=True)
class _Question:
    """What is asked of the trials: which goal, with which kernel and test."""

    goal: float
    minimize: bool
    bandwidth: float
    test: str
    n_permutations: int
    seed: int
    confidence: float
    law: str


def analyse(
    space: SearchSpace,
    trials: TrialTable | pd.DataFrame,
    goal: float = 0.1,
    *,
    minimize: bool = True,
    bandwidth: float = kernels.UNIFORM_MEDIAN,
    test: str = "permutation",
    n_permutations: int = 1000,
    seed: int = 0,
    confidence: float = 0.9,
    pairs: bool = True,
    law: str = "space",
    failed: str = "miss",
) -> Sensitivity:
    """Goal-oriented sensitivity analysis of finished trials.

    Parameters
    ----------
    space : SearchSpace
        Whose laws drew the trials, where `law` is "space".
    trials : TrialTable or DataFrame
        Finished trials; a lost one is left out. Those an optimiser proposed are left out, too, with a warning: their
        values do not follow the laws of the space.
    goal : float in (0, 1)
        Best fraction.
    minimize : bool
        Whether a small objective is good.
    bandwidth : float > 0
        Of the Gaussian kernel on carried values; by default the median distance of two uniform ones, so that indices of
        all hyperparameters compare.
    test : {"permutation", "asymptotic", "gamma"}
    n_permutations : int >= 1
    seed : int >= 0
        Of the permutations.
    confidence : float in (0, 1)
        Of the intervals.
    pairs : bool
        Whether to judge pairs, too; there are d (d - 1) / 2 of them.
    law : {"space", "ranks"}
        How values are carried to [0, 1]: by the laws of the space, or where nobody knows them by their ranks among the
        trials, equal ones to the interval they share. With ranks an optimiser's trials are judged, too, with a warning.
    failed : {"miss", "drop"}
        A diverged trial misses the goal, which is evidence against its hyperparameters, or is left out where it failed
        for reasons of its own.

    Returns
    -------
    Sensitivity

    Raises
    ------
    InputError
        Fewer than 4 trials, all diverged, a bad option, a value outside its range.

    Examples
    --------
    >>> from hsicfast import Float
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.random((2, 200))
    >>> found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b}, (a - 0.3) ** 2))
    >>> found.significant()
    ['a']
    """
    # 1. Which trials count.
    table = trials if isinstance(trials, TrialTable) else TrialTable.from_frame(space, trials)
    checks.check_one_of("law", law, checks.LAWS, "'ranks' needs to know nothing")
    checks.check_one_of("failed", failed, checks.FAILED, "'miss' counts them as not good")
    judged = _judged(table, goal, law, failed)
    question = _Question(goal, minimize, bandwidth, test, n_permutations, seed, confidence, law)
    checks.check_test(test, n_permutations, seed, confidence)
    if not (math.isfinite(bandwidth) and bandwidth > 0):
        raise InputError(f"`bandwidth > 0` must hold, but got bandwidth={bandwidth}; the default suits carried values")
    # 2. Who met the goal: a diverged trial, where it counts, did not.
    met, threshold = best_fraction(judged.objective, goal, minimize)
    # 3. One index a hyperparameter, judged in its conditional group; tests adjusted over all of them.
    indices = _indices(judged, question)
    # 4. Pairs: the kernel on the couple, and what is left of it without the main effects.
    pair_indices = _pair_indices(judged, question) if pairs else ()
    # 5. The same question about cost: what makes a network cheap?
    priced = judged.select(np.isfinite(judged.cost))
    costs = replace(priced, objective=priced.cost)
    varied = len(costs) >= FEWEST and np.ptp(costs.objective) > 0
    cost_indices = _indices(costs, replace(question, minimize=True)) if varied else ()
    counts = {status: int(np.count_nonzero(table.status == status)) for status in (DONE, DIVERGED, LOST)}
    return Sensitivity(
        judged, goal, confidence, minimize, law, met, threshold, counts, indices, cost_indices, pair_indices
    )


def _judged(table: TrialTable, goal: float, law: str, failed: str) -> TrialTable:
    checks.check_share("goal", goal)
    searched = int(np.count_nonzero(table.origin == SEARCH))
    if searched:
        fate = (
            "do not follow the laws of the space; they are left out of the analysis"
            if law == "space"
            else "crowd where it expected good ones; what it chose and what came of it go together for that reason, too"
        )
        warnings.warn(f"{searched} of {len(table)} trials were proposed by an optimiser and {fate}", stacklevel=3)
    judged = table.design.evidence if law == "space" else table.evidence
    if failed == "drop" and (judged.status == DONE).any():
        judged = judged.select(judged.status == DONE)
    if len(judged) < FEWEST:
        raise InputError(
            f"an analysis needs at least {FEWEST} trials drawn from the space, but got {len(judged)}; run more"
        )
    judged.best()  # says so where every trial diverged
    return judged


def _indices(table: TrialTable, question: _Question) -> tuple[Index, ...]:
    """Indices of all hyperparameters, group by group."""
    groups: dict[str, list[str]] = {}
    for name in table.space:
        groups.setdefault(table.space.group(name), []).append(name)
    found = [index for group, names in groups.items() for index in _group_indices(table, group, names, question)]
    pvalues = [index.pvalue for index in found]
    adjusted = zip(found, inference.holm(pvalues), inference.benjamini_hochberg(pvalues), strict=True)
    found = [replace(index, pvalue_holm=float(holm), pvalue_bh=float(bh)) for index, holm, bh in adjusted]
    order = {group: place for place, group in enumerate(sorted(groups, key=lambda group: group != "main"))}
    return tuple(sorted(found, key=lambda index: (order[index.group], -np.nan_to_num(index.hsic, nan=-1.0))))


def _group_indices(table: TrialTable, group: str, names: list[str], question: _Question) -> list[Index]:
    """Indices of the hyperparameters of one group, among the trials where they exist, with a goal of their own."""
    rows = np.flatnonzero(table.active(names[0]))
    n, nan = len(rows), math.nan
    if n < FEWEST:
        return [Index(name, nan, nan, nan, nan, nan, nan, nan, nan, n, group) for name in names]
    z = best_fraction(table.objective[rows], question.goal, question.minimize).met
    if z.all() or not z.any():  # nothing to tell apart: exactly independent
        return [Index(name, 0.0, 0.0, 1.0, nan, nan, 0.0, 0.0, 0.0, n, group) for name in names]
    columns = [_carry(table, name, rows, question.law) for name in names]
    edge = near_edge(table.objective[rows], question.goal, question.minimize)
    evidence = [_evidence(u, width, z, edge, question.bandwidth) for u, width in columns]
    if question.test == "permutation":
        features = [_few_features(u, width, question.bandwidth) for u, width in columns]
        pvalues = permutation_pvalues(features, z, question.n_permutations, question.seed)
    else:
        pvalues = [found.pvalue(question.test) for found in evidence]
    results = [
        found.result(pvalue, question.confidence, question.bandwidth)
        for found, pvalue in zip(evidence, pvalues, strict=True)
    ]
    return [
        Index(name, r.statistic, r.r2, pvalue, nan, nan, *(r.ci or (nan, nan)), r.null_mean, n, group)
        for name, r, pvalue in zip(names, results, pvalues, strict=True)
    ]


def _pair_indices(table: TrialTable, question: _Question) -> tuple[Pair, ...]:
    """All pairs that exist together in at least 4 trials and of which neither decides whether the other exists."""
    found = []
    judges: dict[bytes, PairJudge | None] = {}
    for first, second in combinations(table.space, 2):
        if table.space.depends(first, second) or table.space.depends(second, first):
            continue
        both = table.active(first) & table.active(second)
        if both.tobytes() not in judges:
            judges[both.tobytes()] = _judge(table, np.flatnonzero(both), question)
        judge = judges[both.tobytes()]
        if judge is not None:
            found.append(Pair(first, second, *judge.pair(first, second)))
    return tuple(sorted(found, key=lambda pair: -pair.hsic))


def _judge(table: TrialTable, rows: NDArray[np.intp], question: _Question) -> PairJudge | None:
    """Judge of the pairs that exist together in these trials; None where there is nothing to tell apart."""
    z = best_fraction(table.objective[rows], question.goal, question.minimize).met
    if len(rows) < FEWEST or z.all() or not z.any():
        return None

    def features(name: str) -> Floats:
        psi, level = _features(*_carry(table, name, rows, question.law), question.bandwidth)
        return psi[level]

    return PairJudge(features, z, question.bandwidth, question.n_permutations, question.seed)


def _carry(table: TrialTable, name: str, rows: NDArray[np.intp], law: str) -> tuple[Floats, Floats]:
    values = table.values[name][rows]
    u = table.space[name].to_unit(values)
    return (u, table.space[name].width(values)) if law == "space" else ranked(u)


def ranked(values: Floats) -> tuple[Floats, Floats]:
    """Values (n,) carried to [0, 1] by their ranks: the middle and the width of the interval that equal ones share.

    Examples
    --------
    >>> ranked(np.array([7.0, 1.0, 7.0, 3.0]))
    (array([0.75 , 0.125, 0.75 , 0.375]), array([0.5, 0. , 0.5, 0. ]))
    """
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    share = counts / len(values)
    middle = np.cumsum(share) - share / 2
    return middle[level], np.where(counts > 1, share, 0.0)[level]


def _evidence(u: Floats, width: Floats, z: NDArray[np.bool_], edge: NDArray[np.intp], h: float) -> Evidence:
    if not width.any() and np.ptp(u) > 0:
        return goal_evidence(u, z, h, edge, None)
    psi, level = _features(u, width, h)
    return evidence_of(psi, z - z.mean(), edge, level)


def _features(u: Floats, width: Floats, h: float) -> tuple[Floats, NDArray[np.intp]]:
    """Features (L, r) of the different values of one hyperparameter, and which (n,) each trial has."""
    if np.ptp(u) == 0:
        # A constant says nothing: its index is 0 and its p-value 1 without the help of rounding.
        return np.zeros((1, kernels.gaussian_features(h).rank)), np.zeros(len(u), dtype=np.intp)
    _, place, level = np.unique(u, return_index=True, return_inverse=True)
    return carried_features(u[place], width[place] if width.any() else np.empty(0), h), level


def _few_features(u: Floats, width: Floats, h: float) -> Floats:
    """Those that matter to a permutation test: of a Bool one."""
    if not width.any() and np.ptp(u) > 0:
        return carried_features(u, np.empty(0), h, negligible(len(u)))
    psi, level = _features(u, width, h)
    counts = np.bincount(level).astype(np.float64)
    return principal(psi - counts @ psi / len(u), negligible(len(u)), counts)[0][level]


def _frame(indices: Iterable[Index]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(indices), columns=[field.name for field in fields(Index)]).set_index("name")
