"""Computes from learning curves at which step what matters is known: the indices as training goes on.

At each step the objective is the last value reported until then, and the goal the same share of the trials that count.
A trial whose value at a step is unknown counts as follows.

- A diverged trial misses the goal from the step at which its value was no longer finite, or after its last one.
- A trial that was stopped early and missed the goal at its last step is behind: it misses the goal from then on.
- A trial that was stopped early among the good ones is censored, because nobody knows what would have become of it. Its
  weight passes to the trials that met the goal at its last step and went on (Efron 1967, as in Kaplan-Meier curves).
  These are the better ones of the good, so that an index grows, in simulations by up to about a third; without heirs it
  fell, by up to nine tenths.
- A trial that has not reported yet is left out until it does.

None of this looks at the hyperparameters, and p-values come from permutations among the trials that count. So a
hyperparameter on which neither the values nor the stops depend stays noise, whatever else the stops depend on.

A trial that is behind has no such heirs: a pruner stops whoever is behind, so that hardly a trial went on that could
stand for it. Hence later steps say who ends among the good ones *under this pruner*. A hyperparameter that only slows
the start decides there, too; and if early values say little about late ones (see ``agreement``), a pruner that does not
wait stops good trials as well, and what decides late shows less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import inference
from hsicfast.errors import InputError
from hsicfast.indices.carried import few_features, ranked
from hsicfast.indices.findings import ALPHA, Findings, Question
from hsicfast.indices.streaming import MIN_TRIALS
from hsicfast.trials.goal import Threshold, losses_of
from hsicfast.trials.trial import DIVERGED, PRUNED, Curve

if TYPE_CHECKING:
    import pandas as pd

# A picture shows no more steps than this, and each costs a permutation test.
MOST_STEPS = 50
# Permuted weights held at once, 32 MiB.
PERMUTED = 1 << 22
# Sums of weights that differ by less are equal but for rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Curves:
    """The indices as training goes on.

    Attributes
    ----------
    steps : tuple of int (E,)
        Ascending; at most 50 of those that trials reported.
    names : tuple of str (q,)
        The hyperparameters, in the order of the analysis.
    r2, pvalue, pvalue_holm : array (E, q)
        Index, p-value of the permutation test, and p-value adjusted over the hyperparameters at the same step; NaN if
        fewer than 4 trials of the group count.
    known, behind, diverged, censored : int array (E,)
        Number of trials whose value is known; that miss the goal because they were stopped early and behind; that miss
        it because they diverged; and for which others stand because they were stopped early among the good ones. The
        rest of the `n` have not reported yet.
    agreement : array (E,)
        Rank correlation of the objective with that at the last step, over the trials that are known at both; NaN if
        these are fewer than 4 or all alike.
    n : int
        Number of trials with a curve, and of diverged ones without, which diverged before their first report.
    without : int
        Number of other trials without a curve, which are left out.
    """

    steps: tuple[int, ...]
    names: tuple[str, ...]
    r2: Floats
    pvalue: Floats
    pvalue_holm: Floats
    known: Rows
    behind: Rows
    diverged: Rows
    censored: Rows
    agreement: Floats
    n: int
    without: int

    @property
    def matters(self) -> Bools:
        """Which hyperparameters are clear at which step (E, q): their adjusted p-value there is at most 5%."""
        return self.pvalue_holm <= ALPHA

    @property
    def clear_from(self) -> dict[str, int]:
        """For each hyperparameter that is clear at the last step, the first step from which on it is always clear."""
        first = {name: _held_since(clear) for name, clear in zip(self.names, self.matters.T, strict=True)}
        return {name: self.steps[place] for name, place in first.items() if place < len(self.steps)}

    @property
    def settled_from(self) -> int | None:
        """The first step from which on the hyperparameters that are clear are those that are clear at the end.

        None if that is the last step, or if none is clear there.
        """
        matters = self.matters
        place = _held_since((matters == matters[-1]).all(axis=1))
        return self.steps[place] if matters[-1].any() and place < len(self.steps) - 1 else None

    @property
    def answer(self) -> str:
        """At which step what matters is known, in one sentence."""
        last, names, behind = self.steps[-1], ", ".join(self.clear_from), int(self.behind[-1])
        if not names:
            said = f"At the last step, {last}, nothing stands out from chance, so no earlier step can be enough"
        elif self.settled_from is None:
            said = f"What matters at the end ({names}) is known at the last step alone, {last}"
        else:
            said = f"What matters at the end ({names}) is known from step {self.settled_from} of {last} on"
        stopped = f" ({behind} of {self.n} trials were stopped early and count as not good)" if behind else ""
        return f"{said}{stopped}."

    def to_frame(self) -> pd.DataFrame:
        """A row for each step and name, which index it: r2, pvalue, pvalue_holm."""
        import pandas as pd

        places = pd.MultiIndex.from_product([self.steps, self.names], names=["step", "name"])
        columns = {"r2": self.r2, "pvalue": self.pvalue, "pvalue_holm": self.pvalue_holm}
        return pd.DataFrame({key: column.ravel() for key, column in columns.items()}, index=places)

    def counts_frame(self) -> pd.DataFrame:
        """A row for each step, which indexes it: known, behind, diverged, censored, agreement."""
        import pandas as pd

        shown = ("known", "behind", "diverged", "censored", "agreement")
        return pd.DataFrame({key: getattr(self, key) for key in shown}, index=pd.Index(self.steps, name="step"))


class _Course(NamedTuple):
    """What is known of n trials at E steps.

    Attributes
    ----------
    losses : array (E, n)
        The last loss reported until each step; NaN if there is none or if it was not finite.
    begins, ends : int array (n,)
        Places of the first step at which each trial is known and of the first one at which it no longer is; E if never.
    pruned, diverged : bool array (n,)
        How they ended.
    """

    losses: Floats
    begins: Rows
    ends: Rows
    pruned: Bools
    diverged: Bools

    def of(self, rows: Bools) -> _Course:
        """The same of the trials at `rows`, a mask (n,)."""
        return _Course(self.losses[:, rows], self.begins[rows], self.ends[rows], self.pruned[rows], self.diverged[rows])


class _Fates(NamedTuple):
    """How each trial counts at each step (E, n): in which way, with which weight, and whether it meets the goal.

    A trial that does not count has weight 0.
    """

    known: Bools
    behind: Bools
    diverged: Bools
    censored: Bools
    met: Bools
    weight: Floats


def over_steps(findings: Findings) -> Curves:
    """The indices at each step of the learning curves, and how many trials they rest on.

    They cost a permutation test a step, with as many permutations as in the analysis. A goal that is a threshold
    becomes the share of trials that reached it.

    Raises
    ------
    InputError
        If fewer than 4 trials have a learning curve, or if the analysis left out the trials that were stopped early:
        who is left was chosen by later values, which would show at earlier steps.

    Examples
    --------
    Here a decides from step 3 on; until then values are noise.

    >>> from dataclasses import replace
    >>> from hsicfast import Float, SearchSpace, TrialTable, analyse
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    >>> random = np.random.default_rng(0)
    >>> a, b, noise = random.random((3, 200))
    >>> table = TrialTable.from_arrays(space, {"a": a, "b": b}, a)
    >>> curve = np.empty(200, dtype=object)
    >>> curve[:] = [tuple((e, float(y if e < 3 else x)) for e in range(1, 6)) for x, y in zip(a, noise)]
    >>> found = over_steps(analyse(space, replace(table, curve=curve)))
    >>> found.clear_from, found.settled_from
    ({'a': 3}, 3)
    >>> found.answer
    'What matters at the end (a) is known from step 3 of 5 on.'
    """
    trials, question = findings.trials, findings.question
    if findings.pruned == "drop" and findings.counts[PRUNED]:
        raise InputError(
            "learning curves need the trials that were stopped early, but pruned='drop' left out "
            f"{findings.counts[PRUNED]}; analyse with pruned='miss'"
        )
    reported = np.array([len(curve) > 0 for curve in trials.curve], dtype=bool)
    if np.count_nonzero(reported) < MIN_TRIALS:
        raise InputError(
            f"importance over steps needs at least {MIN_TRIALS} trials with a learning curve, but got "
            f"{np.count_nonzero(reported)} of {len(trials)}; let the training call `report(step, value)`"
        )
    counted = reported | (trials.status == DIVERGED)
    steps = _grid(trials.curve[reported])
    course = _course(trials.curve, trials.status, trials.minimize, steps)

    def among(rows: Bools) -> _Fates:
        by_share = not isinstance(question.goal, Threshold)
        share = question.share(int(np.count_nonzero(rows))) if by_share else findings.n_met / findings.n
        return _fates(course.of(rows), share)

    fates = among(counted)
    names = tuple(index.name for index in findings.indices)
    r2, pvalue = np.full((2, len(steps), len(names)), np.nan)
    for members in findings.groups():
        places = [names.index(index.name) for index in members]
        active = trials.active(names[places[0]])
        columns = [findings.carried(names[place])[:2] for place in places]
        kept = counted[active]
        found = _indices(among(counted & active), [(u[kept], width[kept]) for u, width in columns], question)
        r2[:, places], pvalue[:, places] = found
    known, behind, diverged, censored = (np.count_nonzero(kind, axis=1) for kind in fates[:4])
    return Curves(
        tuple(steps.tolist()),
        names,
        r2,
        pvalue,
        np.array([inference.holm(row) for row in pvalue]),
        known,
        behind,
        diverged,
        censored,
        _agreement(course.losses[:, counted], fates.known),
        n=int(np.count_nonzero(counted)),
        without=int(np.count_nonzero(~counted)),
    )


def _grid(curves: NDArray[np.object_]) -> Rows:
    """The steps that the curves report, ascending; quantiles of them if they are more than MOST_STEPS."""
    steps = np.unique([step for curve in curves for step, _ in curve])
    if len(steps) > MOST_STEPS:
        steps = np.unique(np.quantile(steps, np.linspace(0, 1, MOST_STEPS), method="nearest"))
    return steps.astype(np.int64)


def _course(curves: NDArray[np.object_], status: NDArray[np.str_], minimize: bool, steps: Rows) -> _Course:
    """What is known of n trials at the `steps` (E,).

    Examples
    --------
    >>> curves = np.array([((1, 0.5), (3, 0.2)), ((2, 0.4),), ((1, 0.9), (2, np.nan)), ()], dtype=object)
    >>> found = _course(curves, np.array(["done", "pruned", "diverged", "diverged"]), True, np.array([1, 2, 3]))
    >>> found.losses.T.tolist()
    [[0.5, 0.5, 0.2], [nan, 0.4, 0.4], [0.9, nan, nan], [nan, nan, nan]]
    >>> found.begins.tolist(), found.ends.tolist()
    ([0, 1, 0, 0], [3, 2, 1, 0])
    """
    n = len(curves)
    losses = np.full((len(steps), n), np.nan)
    begins, ends = np.zeros(n, dtype=np.intp), np.full(n, len(steps))
    pruned, diverged = status == PRUNED, status == DIVERGED
    for row, curve in enumerate(curves):
        if curve:
            at, values = _points(curve)
            last = np.searchsorted(at, steps, side="right") - 1
            losses[:, row] = np.where(last >= 0, losses_of(values, minimize)[last], np.nan)
            begins[row] = np.searchsorted(steps, at[0])
            lost = np.flatnonzero(~np.isfinite(values))
            if diverged[row] and len(lost):
                ends[row] = np.searchsorted(steps, at[lost[0]])
                losses[ends[row] :, row] = np.nan
            elif pruned[row] or diverged[row]:
                ends[row] = np.searchsorted(steps, at[-1], side="right")
        elif diverged[row]:
            ends[row] = 0
    return _Course(losses, begins, ends, pruned, diverged)


def _points(curve: Curve) -> tuple[Rows, Floats]:
    at, values = zip(*curve, strict=True)
    return np.array(at, dtype=np.int64), np.array(values, dtype=np.float64)


def _fates(course: _Course, share: float) -> _Fates:
    """How each trial counts at each step, if the best `share` of those that count meets the goal.

    Examples
    --------
    The first trial is stopped after step 1 among the better half, the last among the others.

    >>> curves = np.array([((1, 0.1),), ((1, 0.2), (2, 0.1)), ((1, 0.3), (2, 0.2)), ((1, 0.4),)], dtype=object)
    >>> status = np.array(["pruned", "done", "done", "pruned"])
    >>> fates = _fates(_course(curves, status, True, np.array([1, 2])), 0.5)
    >>> fates.met.astype(int).tolist(), fates.weight.tolist()
    ([[1, 1, 0, 0], [0, 1, 0, 0]], [[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 1.0, 1.0]])
    """
    place = np.arange(len(course.losses))[:, None]
    known = (course.begins <= place) & (place < course.ends)
    over = place >= course.ends
    diverged, behind, met = over & course.diverged, np.zeros_like(known), np.zeros_like(known)
    carried, weight = np.ones(known.shape[1]), np.empty(known.shape)
    for e in range(len(known)):
        weight[e] = np.where(known[e] | behind[e] | diverged[e], carried, 0.0)
        met[e] = _best(np.where(known[e], course.losses[e], np.nan), weight[e], share)
        stopped = known[e] & course.pruned & (course.ends == e + 1)
        behind[e + 1 :] |= stopped & ~met[e]
        gone, heirs = stopped & met[e], met[e] & ~stopped
        if gone.any() and heirs.any():
            carried[heirs] *= 1 + carried[gone].sum() / carried[heirs].sum()
    return _Fates(known, behind, diverged, over & course.pruned & ~behind, met, weight)


def _best(losses: Floats, weight: Floats, share: float) -> Bools:
    """The best `share` of the whole weight, ties included; :func:`hsicfast.trials.goal.best_fraction` with weights.

    Examples
    --------
    >>> _best(np.array([0.3, 0.1, np.nan, 0.2]), np.array([1.0, 1.0, 1.0, 2.0]), 0.4)
    array([False,  True, False,  True])
    """
    able = np.flatnonzero(np.isfinite(losses) & (weight > 0))
    if len(able) == 0:
        return np.zeros(len(losses), dtype=bool)
    order = able[np.argsort(losses[able], kind="stable")]
    wanted = max(round(share * float(weight.sum())), 1)
    edge = min(int(np.searchsorted(np.cumsum(weight[order]), wanted - ROUNDING)), len(order) - 1)
    best = np.zeros(len(losses), dtype=bool)
    best[able] = losses[able] <= losses[order[edge]]
    return best


def _indices(fates: _Fates, columns: list[tuple[Floats, Floats]], question: Question) -> tuple[Floats, Floats]:
    """R2 and p-value (E, q) of the hyperparameters of a group, whose values and widths are the `columns`."""
    r2, pvalue = np.full((2, len(fates.met), len(columns)), np.nan)
    known: dict[bytes, list[Floats]] = {}
    for e, (met, weight) in enumerate(zip(fates.met, fates.weight, strict=True)):
        counts = weight > 0
        if np.count_nonzero(counts) < MIN_TRIALS:
            continue
        z, share = met[counts], weight[counts] / weight.sum()
        if z.all() or not z.any():
            r2[e], pvalue[e] = 0.0, 1.0
            continue
        # Features depend on which trials count, and mostly these are the same at many steps.
        key = counts.tobytes()
        if key not in known:
            known[key] = [few_features(u[counts], width[counts], question.bandwidth) for u, width in columns]
        pull = share * (z - share @ z)
        statistic = _statistics(pull[None], known[key])[0]
        most = (share @ (z - share @ z) ** 2) * np.array([_spread(psi, share) for psi in known[key]])
        r2[e] = np.divide(statistic, most, out=np.zeros(len(most)), where=most > 0)
        drawn = _permuted(pull, known[key], question)
        pvalue[e] = [inference.permutation_pvalue(s, own) for s, own in zip(statistic, drawn.T, strict=True)]
    return r2, pvalue


def _statistics(pulls: Floats, features: list[Floats]) -> Floats:
    """The index (B, q) of each hyperparameter under each row of `pulls` (B, n), which sums to 0."""
    return np.column_stack([((pulls @ psi) ** 2).sum(axis=1) for psi in features])


def _permuted(pull: Floats, features: list[Floats], question: Question) -> Floats:
    """The indices (B, q) under permutations of the goal and the weights, which stay together."""
    random = np.random.default_rng(question.seed)
    height = max(PERMUTED // len(pull), 1)
    parts = []
    for start in range(0, question.n_permutations, height):
        block = np.tile(pull, (min(height, question.n_permutations - start), 1))
        parts.append(_statistics(random.permuted(block, axis=1, out=block), features))
    return np.concatenate(parts)


def _spread(psi: Floats, share: Floats) -> float:
    """The square root of HSIC(U, U) under weights `share` (n,) that sum to 1."""
    centred = psi - share @ psi
    return float(np.linalg.norm((share[:, None] * centred).T @ centred))


def _agreement(losses: Floats, known: Bools) -> Floats:
    """Rank correlation (E,) of the losses (E, n) at each step with those at the last one."""
    found = np.full(len(losses), np.nan)
    for e in range(len(losses)):
        both = known[e] & known[-1] & np.isfinite(losses[e]) & np.isfinite(losses[-1])
        if np.count_nonzero(both) >= MIN_TRIALS and np.ptp(losses[e, both]) > 0 and np.ptp(losses[-1, both]) > 0:
            found[e] = np.corrcoef(ranked(losses[e, both])[0], ranked(losses[-1, both])[0])[0, 1]
    return found


def _held_since(held: Bools) -> int:
    """The first place from which on everything is True to the end; the length if the last one is not.

    Examples
    --------
    >>> _held_since(np.array([True, False, True, True])), _held_since(np.array([True, False]))
    (2, 2)
    """
    broken = np.flatnonzero(~held)
    return int(broken[-1]) + 1 if len(broken) else 0
