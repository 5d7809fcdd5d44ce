"""The finalists: the best few configurations are trained again with fresh seeds, which alone choose the winner.

The best of many trials is good and lucky: trained again with another seed, it is mostly worse than when it was chosen
(the winner's curse), and a configuration that was less lucky may be better. Fresh seeds do not depend on the choice.
The mean of the winner is still the best of a few means and therefore a little too good; the test metric, which is read
after the choice, is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from hsicfast.trials.goal import as_good_as, losses_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, LOST, Trial

# With at least TWO_SEEDS_FROM final trials each finalist gets two seeds: a second look at each is then worth more than
# further finalists, and it shows how far seeds scatter.
TWO_SEEDS_FROM = 4


@dataclass(frozen=True)
class Final:
    """The results of a finalist with fresh seeds.

    Attributes
    ----------
    trial : int
        Index of the trial by which the configuration was chosen.
    n : int
        Number of trials with fresh seeds. Lost ones are not counted, since they say nothing about the configuration.
    diverged : int
        How many of them diverged.
    mean : float
        Mean of their objectives; NaN if one diverged, or all were lost.
    sd : float
        Standard deviation (n - 1) of their objectives; NaN if the mean is NaN, or if there is a single one.
    """

    trial: int
    n: int
    diverged: int
    mean: float
    sd: float


def final_plan(trials: int) -> tuple[int, int]:
    """Number of candidates and of seeds for each that `trials` final trials allow; (0, 0) if fewer than two candidates.

    Examples
    --------
    >>> [final_plan(trials) for trials in (1, 2, 3, 4, 18)]
    [(0, 0), (2, 1), (3, 1), (2, 2), (9, 2)]
    """
    seeds = 2 if trials >= TWO_SEEDS_FROM else 1
    candidates = trials // seeds
    return (candidates, seeds) if candidates >= 2 else (0, 0)


def finalists(trials: TrialTable, count: int) -> list[Trial]:
    """The best trials of `count` different configurations, or of fewer if fewer ended well.

    The best comes first, and of equally good trials the earliest.
    """
    able = trials.select((trials.status == DONE) & (trials.origin != FINAL))
    best: list[Trial] = []
    for row in np.argsort(able.losses, kind="stable"):
        if len(best) == count:
            break
        trial = able[row]
        if all(trial.params != other.params for other in best):
            best.append(trial)
    return best


def finals_of(trials: TrialTable) -> tuple[Final, ...]:
    """The results of each finalist, the best mean first; of equal means, the one that was better when it was chosen."""
    fresh = list(trials.select(trials.origin == FINAL))
    found = []
    for candidate in finalists(trials, len(trials)) if fresh else ():
        own = [trial for trial in fresh if trial.params == candidate.params]
        if own:
            found.append(_final(candidate.index, [trial for trial in own if trial.status != LOST]))
    return tuple(sorted(found, key=lambda final: (math.isnan(final.mean), losses_of(final.mean, trials.minimize))))


def _final(index: int, own: Sequence[Trial]) -> Final:
    """The results of the finalist chosen by trial `index`, from its `own` trials with fresh seeds."""
    diverged = sum(trial.status == DIVERGED for trial in own)
    objectives = [trial.objective for trial in own]
    known = len(own) > 0 and diverged == 0
    mean = fmean(objectives) if known else math.nan
    return Final(index, len(own), diverged, mean, stdev(objectives) if known and len(own) > 1 else math.nan)


def best_and_economical(table: TrialTable, finals: Sequence[Final], tolerance: float | None) -> tuple[Trial, Trial]:
    """The winner, and the cheapest trial that is as good as it within `tolerance`.

    The winner is the finalist with the best mean over its fresh seeds. If there are no finals, or if each finalist
    diverged with one of its fresh seeds, it is the trial with the best objective.

    To find the economical trial we compare like with like. By default a difference no larger than the scatter between
    seeds (:func:`seed_noise`) counts as equally good. A finalist is judged by its mean over fresh seeds, which says
    more than its first trial. Every other trial has a single objective, and was picked among many because that one was
    good; the same is true of the trial by which the winner was chosen. So we hold the one against the other, and not
    against the winner's mean: luck alone takes many a worse configuration below that. Among trials of equal cost we
    take the one closest to the winner, which is the winner itself if it is among them.

    Parameters
    ----------
    table : TrialTable
        All trials of the run.
    finals : sequence of Final
        Of :func:`finals_of`.
    tolerance : float, optional
        In the unit of the objective; by default a twentieth of the objective that others are compared with, or the
        scatter between seeds if that is more.

    Returns
    -------
    tuple of Trial
        Trials of the design or the search; for a finalist, the trial by which it was chosen.
    """
    searched = table.contenders
    if not finals or math.isnan(finals[0].mean):
        return searched.best(), searched.economical(tolerance)
    trials = list(searched)
    place = {trial.index: row for row, trial in enumerate(trials)}
    best = trials[place[finals[0].trial]]
    loss, scatter = searched.losses, seed_noise(finals)
    reached = float(loss[place[best.index]])
    good = loss <= as_good_as(reached, tolerance, scatter)
    behind = loss - reached
    means = [losses_of(final.mean, searched.minimize) for final in finals]
    limit = as_good_as(means[0], tolerance, scatter)
    for final, mean in zip(finals, means, strict=True):
        params = trials[place[final.trial]].params
        same = np.array([trial.params == params for trial in trials])
        good[same] = mean <= limit
        behind[same] = mean - means[0]
    good &= searched.status == DONE
    cost = np.where(good, np.nan_to_num(searched.cost, nan=np.inf), np.inf)
    return best, trials[int(np.lexsort((loss, behind, cost, ~good))[0])]


def seed_noise(finals: Sequence[Final]) -> float:
    """How far the objectives of one configuration scatter between seeds, pooled over the finalists; 0 if unknown.

    Examples
    --------
    >>> seed_noise([Final(7, 2, 0, 1.0, 0.3), Final(4, 2, 0, 1.2, 0.4), Final(9, 1, 0, 1.0, math.nan)])
    0.3535533905932738
    """
    known = [(final.n - 1, final.sd) for final in finals if math.isfinite(final.sd)]
    freedom = sum(own for own, _ in known)
    return math.sqrt(sum(own * sd**2 for own, sd in known) / freedom) if freedom else 0.0


def network_to_keep(trials: TrialTable, chosen: Trial) -> Trial:
    """The trial with the best objective among those that trained the configuration of `chosen`; the earliest if equal.

    Fresh seeds choose the configuration. Several of its trials may have made a network, and this one made the network
    to keep.
    """
    return trials.select(np.array([trial.params == chosen.params for trial in trials], dtype=bool)).best()
