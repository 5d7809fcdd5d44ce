"""The finalists: the best few configurations are trained again with fresh seeds, which choose the winner.

The best of many trials is good and lucky: trained again with another seed, it is mostly worse than when it was chosen
(the winner's curse), and a configuration that was less lucky may be better. Fresh seeds do not depend on the choice.
The mean of the winner is still the best of a few means and therefore a little too good; the test metric, which is read
after the choice, is not.

No winner is dominated: if a cheaper configuration is known to be better than a finalist, that finalist cannot win.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.trials.goal import as_good_as, losses_of, usual_tolerance
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DESIGN, DIVERGED, DONE, FINAL, LOST, Trial

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

    The best comes first, of equally good trials the cheapest, and of these the earliest.
    """
    able = trials.select((trials.status == DONE) & (trials.origin != FINAL))
    best: list[Trial] = []
    for row in np.lexsort((able.cost, able.losses)):
        if len(best) == count:
            break
        trial = able[row]
        if all(trial.params != other.params for other in best):
            best.append(trial)
    return best


def finals_of(trials: TrialTable) -> tuple[Final, ...]:
    """The results of each finalist, the best mean first; of equal means, the one that was better when it was chosen."""
    fresh = list(trials.select(trials.origin == FINAL))
    # Most trials of a run were never chosen: only those of the chosen configurations are ranked.
    tried = [trial.params in (own.params for own in fresh) for trial in trials] if fresh else []
    found = []
    for candidate in finalists(trials.select(np.array(tried, dtype=bool)), len(fresh)) if fresh else ():
        own = [trial for trial in fresh if trial.params == candidate.params]
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

    The winner is the finalist with the best mean over its fresh seeds, among those that no cheaper trial beats. If
    there is none, it is the best of the other trials that no cheaper one beats; of equals, the cheapest.

    To find the economical trial we compare like with like. A finalist is judged by its mean over fresh seeds, which
    says more than its first trial. Every other trial has a single objective, and was picked among many because that one
    was good; the same is true of the trial by which the winner was chosen. So we hold the one against the other, and
    not against the winner's mean: luck alone takes many a worse configuration below that. Among trials of equal cost we
    take the one closest to the winner, which is the winner itself if it is among them.

    Parameters
    ----------
    table : TrialTable
        All trials of the run that may win.
    finals : sequence of Final
        Of :func:`finals_of`.
    tolerance : float, optional
        In the unit of the objective; by default :func:`tolerance_of`.

    Returns
    -------
    tuple of Trial
        Trials of the design or the search; for a finalist, the trial by which it was chosen.
    """
    seen = _Seen.of(table, finals)
    winner = seen.winner()
    if winner is None:
        best = seen.trials.best()  # refuses a table without a trial that is done
        return best, best
    behind = seen.behind(winner)
    good = seen.as_good_as(winner, tolerance_of(table, finals) if tolerance is None else tolerance)
    cost = np.where(good, np.nan_to_num(seen.cost, nan=np.inf), np.inf)
    order = np.lexsort((seen.own, behind, cost, ~good))
    return seen.trials[winner], seen.trials[int(order[0])]


def front_of(table: TrialTable, finals: Sequence[Final]) -> TrialTable:
    """The Pareto front of cost and objective, from the cheapest to the best, by what is known of each trial.

    Finalists count by their means over fresh seeds, and the others as in :func:`best_and_economical`, so that the
    winner and the economical trial are part of the front if their costs are known.
    """
    seen = _Seen.of(table, finals)
    winner = seen.winner()
    if winner is None:
        return seen.trials.select(np.empty(0, dtype=np.intp))
    behind = seen.behind(winner)
    able = np.flatnonzero(np.isfinite(behind) & np.isfinite(seen.cost))
    rows = able[np.lexsort((able != winner, behind[able], seen.cost[able]))]
    least = np.minimum.accumulate(np.concatenate([[np.inf], behind[rows]]))
    return seen.trials.select(rows[behind[rows] < least[:-1]])


def tolerance_of(table: TrialTable, finals: Sequence[Final]) -> float:
    """How far from the best a trial is as good, if nobody says; see :func:`~hsicfast.trials.goal.usual_tolerance`."""
    done = table.select((table.status == DONE) & (table.origin != FINAL))
    return usual_tolerance(done.losses, done.origin == DESIGN, seed_noise(finals))


@dataclass(frozen=True)
class _Seen:
    """What is known of the trials among which the winner is chosen.

    Attributes
    ----------
    trials : TrialTable
        Trials of the design and the search.
    own : float array (n,)
        Their losses; infinite for a trial that is out, because it did not end well, or its configuration diverged with
        a fresh seed.
    mean : float array (n,)
        The mean loss of its configuration over fresh seeds; NaN if it has none.
    chosen : int array (f,)
        Rows of the trials by which the finalists were chosen.
    scatter : float
        How far losses of one configuration scatter between seeds.
    """

    trials: TrialTable
    own: Floats
    mean: Floats
    chosen: NDArray[np.intp]
    scatter: float

    @classmethod
    def of(cls, table: TrialTable, finals: Sequence[Final]) -> _Seen:
        """What is known by the `table` and the `finals`."""
        searched = table.contenders
        if all(math.isnan(final.mean) for final in finals):
            finals = ()  # fresh seeds that no configuration stood choose nothing
        own = np.where(searched.status == DONE, searched.losses, np.inf)
        mean = np.full(len(own), np.nan)
        place = {int(index): row for row, index in enumerate(searched.index)}
        settings = [trial.params for trial in searched] if finals else []
        chosen = []
        for final in finals:
            row = place[final.trial]
            same = np.array([params == settings[row] for params in settings])
            if final.diverged:
                own[same] = np.inf
            elif final.n:
                mean[same & np.isfinite(own)] = losses_of(final.mean, searched.minimize)
                chosen.append(row)
        return cls(searched, own, mean, np.array(chosen, dtype=np.intp), seed_noise(finals))

    @property
    def cost(self) -> Floats:
        """Costs of the trials (n,); NaN if unknown."""
        return self.trials.cost

    def winner(self) -> int | None:
        """Row of the winner; None if no trial can win."""
        of_finals = self.chosen[np.lexsort((self.cost[self.chosen], self.mean[self.chosen]))]
        of_others = np.lexsort((self.cost, self.own))
        for row in (*of_finals, *of_others):
            if np.isfinite(self.own[row]) and not self._is_beaten(row):
                return int(row)
        return None

    def behind(self, winner: int) -> Floats:
        """How far each trial (n,) is behind the winner: by their means if both have one, else by their own losses."""
        fresh = self.mean - self.mean[winner]
        return np.where(np.isnan(fresh), self.own - self.own[winner], fresh)

    def as_good_as(self, winner: int, tolerance: float) -> Bools:
        """Whether each trial (n,) is at most `tolerance` behind the winner."""
        own, fresh = as_good_as(self.own[winner], tolerance), as_good_as(self.mean[winner], tolerance)
        return np.where(np.isnan(self.mean - self.mean[winner]), self.own <= own, self.mean <= fresh)

    def _is_beaten(self, row: int) -> bool:
        """Whether a cheaper trial is known to be better.

        Two finalists are compared by their means, and by the losses when they were chosen if these differ by more than
        seeds scatter.
        """
        cheaper = self.cost < self.cost[row]  # an unknown cost is no lower
        better = self.own < self.own[row]
        if not np.isnan(self.mean[row]):
            fresh = ~np.isnan(self.mean)
            clearly = (self.mean < self.mean[row]) | (self.own < self.own[row] - self.scatter)
            better = np.where(fresh, clearly, better)
        return bool((cheaper & better).any())


def seed_noise(finals: Sequence[Final]) -> float:
    """How far the objectives of one configuration scatter between seeds; 0 if unknown.

    The standard deviations are pooled over the finalists, but no single one of several decides, however unstable it is:
    what is pooled is at most :func:`middle_scatter`.

    Examples
    --------
    >>> seed_noise([Final(7, 2, 0, 1.0, 0.3), Final(4, 2, 0, 1.2, 0.4), Final(9, 1, 0, 1.0, math.nan)])
    0.3535533905932738
    >>> stable = [Final(place, 2, 0, 1.0, sd) for place, sd in enumerate((0.0002, 0.004, 0.013))]
    >>> round(seed_noise(stable), 4), round(seed_noise([*stable, Final(9, 2, 0, 1.0, 0.14)]), 4)
    (0.0059, 0.0079)
    """
    known = [(final.n - 1, final.sd) for final in finals if math.isfinite(final.sd)]
    if not known:
        return 0.0
    pooled = math.sqrt(sum(own * sd**2 for own, sd in known) / sum(own for own, _ in known))
    return min(pooled, middle_scatter(known))


def middle_scatter(known: Sequence[tuple[int, float]]) -> float:
    """The lower median of standard deviations, scaled so that it is too small as often as too large.

    Of m normal samples k = (m + 1) // 2 or more have to stay below it with probability 1/2. So each stays below with
    probability p, the median of a Beta(k, m + 1 - k), and a standard deviation stays below the root of the p-quantile
    of chi-square, over its degrees of freedom, with probability p.

    Parameters
    ----------
    known : sequence of (int, float)
        Degrees of freedom and standard deviation of each sample; at least one.
    """
    from scipy.stats import beta, chi2

    middle = (len(known) + 1) // 2
    p = float(beta.ppf(0.5, middle, len(known) + 1 - middle))
    return sorted(sd / math.sqrt(float(chi2.ppf(p, freedom)) / freedom) for freedom, sd in known)[middle - 1]


def network_to_keep(trials: TrialTable, chosen: Trial) -> Trial:
    """The trial with the best objective among those that trained the configuration of `chosen`; the earliest if equal.

    Fresh seeds choose the configuration. Several of its trials may have made a network, and this one made the network
    to keep.
    """
    return trials.select(np.array([trial.params == chosen.params for trial in trials], dtype=bool)).best()
