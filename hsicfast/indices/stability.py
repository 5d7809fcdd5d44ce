"""Computes how the ranking moves: from resample to resample, and with the share of trials that counts as good.

An index is the squared length of ``(1/n) sum_j w_j psi(u_j)``. A resample or another goal changes only the weights, so
one matrix product with the features gives the indices of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import inference
from hsicfast.evidence import joint
from hsicfast.indices.carried import few_features
from hsicfast.indices.findings import Findings, Index
from hsicfast.trials.goal import Threshold, goal_of

SHARES = tuple(round(0.05 * k, 2) for k in range(1, 11))
# The interval of a rank goes from the 5% to the 95% quantile, for which 200 resamples are enough.
RESAMPLES, INTERVAL = 200, (0.05, 0.95)


@dataclass(frozen=True)
class RankInterval:
    """The rank of a hyperparameter within its group, and how far it moves.

    Attributes
    ----------
    rank : int
        From 1.
    low, high : int
        The 5% and the 95% quantile of the rank over resamples of the trials.
    of : int
        Number of hyperparameters in the group.
    """

    rank: int
    low: int
    high: int
    of: int


@dataclass(frozen=True)
class Sweep:
    """The ranking of the main group for goals of different width.

    Attributes
    ----------
    shares : tuple of float (P,)
        Best fractions.
    names : tuple of str (q,)
        The hyperparameters, in the order of the analysis.
    r2 : array (P, q)
    pvalue : array (P, q)
        P-values of the gamma approximation, not adjusted.
    rank : array (P, q) of int
        From 1.
    """

    shares: tuple[float, ...]
    names: tuple[str, ...]
    r2: Floats
    pvalue: Floats
    rank: Rows


def rank_intervals(findings: Findings, resamples: int = RESAMPLES) -> dict[str, RankInterval]:
    """The rank of each judged hyperparameter, and where it lies in 90% of bootstrap resamples of the trials.

    The rank is that of `findings`: by the index if its goal was asked for, else by the importance over goals. Each
    resample has a goal of its own, because the edge of its best fraction moves with its trials.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, TrialTable, analyse
    >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1)})
    >>> a, b = np.random.default_rng(0).random((2, 200))
    >>> found = analyse(space, TrialTable.from_arrays(space, {"a": a, "b": b}, (a - 0.3) ** 2))
    >>> rank_intervals(found)["a"]
    RankInterval(rank=1, low=1, high=1, of=2)
    """
    intervals = {}
    for members in _groups(findings):
        names = [index.name for index in members]
        drawn = _ranks(_resampled(findings, members, resamples))
        low, high = np.quantile(drawn, INTERVAL, axis=0, method="nearest")
        for place, name in enumerate(names):
            intervals[name] = RankInterval(place + 1, int(low[place]), int(high[place]), len(names))
    return intervals


def over_goals(findings: Findings, shares: tuple[float, ...] = SHARES) -> Sweep | None:
    """The ranking of the main group for each of these best fractions; None if the group was not judged."""
    members = next((members for members in _groups(findings) if members[0].group == "main"), None)
    if members is None:
        return None
    names = [index.name for index in members]
    r2, pvalue, found = np.empty((3, len(shares), len(names)))
    for own in _known_together(findings, members):
        places = [names.index(name) for name in own]
        found[:, places], r2[:, places], pvalue[:, places] = _at_shares(findings, own, shares)
    return Sweep(shares, tuple(names), r2, pvalue, _ranks(found))


def _at_shares(
    findings: Findings, names: list[str], shares: tuple[float, ...]
) -> tuple[Floats, Floats, list[list[float]]]:
    """The index, R2 and p-value (P, q) of hyperparameters that are known in the same trials, for each best share."""
    psi, starts = _features(findings, names)
    losses = findings.trials.losses[findings.trials.active(names[0])]
    n = len(losses)
    goals = [goal_of(losses, share).met for share in shares]
    weights = np.array([z - z.mean() for z in goals])
    found = _indices(weights, psi, starts)
    moments = [_moments(psi[:, start:stop]) for start, stop in zip(starts, [*starts[1:], psi.shape[1]], strict=True)]
    variance = (weights**2).mean(axis=1)[:, None]
    trace, squares = np.array(moments).T
    pvalue = [
        [
            inference.gamma_pvalue(s, v * t / (n - 1), 2 * v**2 * q / n**2) if v * q > 0 else 1.0
            for s, t, q in zip(row, trace, squares, strict=True)
        ]
        for row, v in zip(found, variance[:, 0], strict=True)
    ]
    most = variance * np.sqrt(squares)
    return found, np.divide(found, most, out=np.zeros_like(found), where=most > 0), pvalue


def _known_together(findings: Findings, members: list[Index]) -> list[list[str]]:
    """The names of one group, those together that are known in the same trials."""
    names = {index.name for index in members}
    parts = [[index.name for index in part if index.name in names] for part in findings.groups()]
    return [part for part in parts if part]


def _groups(findings: Findings) -> Iterator[list[Index]]:
    """The indices of each group in which some trials met the goal and some did not, strongest first."""
    for _, members in groupby(findings.indices, key=lambda index: index.group):
        judged = [index for index in members if np.isfinite(index.hsic) and _is_parted(findings.carried(index.name).z)]
        if judged:
            yield judged


def _is_parted(z: Bools) -> bool:
    return bool(z.any() and not z.all())


def _features(findings: Findings, names: list[str]) -> tuple[Floats, list[int]]:
    """Centred features (n, r) of all `names` side by side, and the first column of each name."""
    parts = []
    for name in names:
        u, width, _ = findings.carried(name)
        psi = few_features(u, width, findings.question.bandwidth)
        parts.append(psi - psi.mean(axis=0))
    starts = np.cumsum([0, *(part.shape[1] for part in parts[:-1])]).tolist()
    return np.hstack(parts), starts


def _indices(weights: Floats, psi: Floats, starts: list[int]) -> Floats:
    """The index (B, q) of each hyperparameter under each row of the weights (B, n); a row sums to 0."""
    return np.add.reduceat((weights @ psi / len(psi)) ** 2, starts, axis=1)


def _resampled(findings: Findings, members: list[Index], resamples: int) -> Floats:
    """What ranks the hyperparameters (B, q) of one group, in bootstrap resamples of its trials."""
    parts = _known_together(findings, members)
    rows = {part[0]: findings.trials.active(part[0]) for part in parts}
    # Trials are drawn from all of the group, and those count for a hyperparameter in which it is known.
    drawn_from = np.flatnonzero(np.any(list(rows.values()), axis=0))
    n = len(drawn_from)
    random = np.random.default_rng(findings.question.seed)
    counts = np.array([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(resamples)])
    names = [index.name for index in members]
    found = np.empty((resamples, len(names)))
    for part in parts:
        own = counts if len(parts) == 1 else counts[:, rows[part[0]][drawn_from]]
        share = rows[part[0]].sum() / n if findings.by_importance and len(parts) > 1 else 1.0
        found[:, [names.index(name) for name in part]] = share * _of_part(findings, part, rows[part[0]], own)
    return found


def _of_part(findings: Findings, names: list[str], exists: Bools, counts: Rows) -> Floats:
    """What ranks hyperparameters that are known in the same m trials, if these are drawn `counts` (B, m) times."""
    question, objective = findings.question, findings.trials.objective[exists]
    if not findings.by_importance:
        psi, starts = _features(findings, names)
        weights = next(_resampled_weights(findings, objective, [question.share(len(objective))], counts))
        return _indices(weights, psi, starts)
    asked = question.asked(objective)
    group = joint.Group(exists, asked, [findings.carried(name)[:2] for name in names])
    return joint.resampled_importances(
        group, _resampled_weights(findings, objective, asked.mean(axis=1).tolist(), counts)
    )


def _resampled_weights(findings: Findings, objective: Floats, shares: list[float], counts: Rows) -> Iterator[Floats]:
    """For each best share, weights (B, m) of m trials that are drawn `counts` (B, m) times.

    A weight is how often a trial was drawn, times its w there. A threshold keeps its value in all resamples, in place
    of the one share.
    """
    question = findings.question
    loss = np.where(np.isfinite(objective), question.losses(objective), np.inf)
    order = np.argsort(loss, kind="stable")
    reached = np.cumsum(counts[:, order], axis=1)
    n = np.maximum(reached[:, -1:], 1)
    for share in shares:
        if isinstance(question.goal, Threshold):
            met = np.broadcast_to(question.met(objective).met, counts.shape)
        else:
            place = (reached < np.maximum(np.rint(share * n), 1)).sum(axis=1)
            met = (loss <= loss[order[np.minimum(place, len(order) - 1)]][:, None]) & (loss < np.inf)
        yield counts * (met - (counts * met).sum(axis=1, keepdims=True) / n)


def _ranks(indices: Floats) -> Rows:
    """Ranks (B, q) from 1: the largest index comes first, and the earlier of two equal ones."""
    return np.argsort(np.argsort(-indices, axis=1, kind="stable"), axis=1) + 1


def _moments(psi: Floats) -> tuple[float, float]:
    """Sums of the eigenvalues of the centred kernel, and of their squares."""
    covariance = psi.T @ psi / len(psi)
    return float(np.trace(covariance)), float((covariance**2).sum())
