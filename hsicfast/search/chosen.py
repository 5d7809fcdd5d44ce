"""What a run chose, for people: best and economical configuration, finalists, the front; and what to be cautious of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hsicfast.report.drawings import Picture, front
from hsicfast.text import number, p_text, share_text, value_text
from hsicfast.trials.costs import meets
from hsicfast.trials.goal import losses_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, PRUNED, SEARCH, Trial

if TYPE_CHECKING:
    from hsicfast.evidence.redraws import Redraws
    from hsicfast.search.finals import Final
    from hsicfast.search.result import Result

# ABSENT: a trial lacks this hyperparameter, whose condition it does not meet.
ABSENT = "absent"


def best_sentence(result: Result, metric: str, test_metric: str | None, cost: str, tests: Mapping[int, float]) -> str:
    """A sentence on the best trial, and one on the economical trial if that is another.

    Parameters
    ----------
    result : Result
        The result of the run.
    metric, test_metric, cost : str
    tests : mapping of int to float
        The test metric of the best and the economical trial, by the index of the trial; empty if it was not read.
    """
    if result.objectives is not None:
        several = f"{n_trials_text(len(result.front))} on the front of {result.objectives.text}"
        return f"{several}; a compromise: {_reached(result, result.best, metric, test_metric, cost, tests)}."
    sentences = [f"Best: {_reached(result, result.best, metric, test_metric, cost, tests)}."]
    if result.economical.index != result.best.index:
        sentences.append(f"Economical: {_reached(result, result.economical, metric, test_metric, cost, tests)}.")
    return " ".join(sentences)


def saving_sentence(result: Result, metric: str, cost: str) -> str:
    """What the economical configuration saves against the best one, and what that costs; empty if it is the best."""
    best, cheap = result.best, result.economical
    if cheap.index == best.index or not (math.isfinite(best.cost) and best.cost > 0 and math.isfinite(cheap.cost)):
        return ""
    share = "less than 1%" if cheap.cost < 0.005 * best.cost else share_text(round(cheap.cost / best.cost, 2))
    one, other = fresh_of(result, best), fresh_of(result, cheap)
    behind = cheap.objective - best.objective if one is None or other is None else other.mean - one.mean
    worse = losses_of(behind, result.trials.minimize)
    lost = f"{number(worse)} worse in {metric}" if worse > 0 else f"as good in {metric}"
    return (
        f"The economical one costs {share} of the best ({number(cheap.cost)} against {number(best.cost)} {cost}) "
        f"and is {lost}."
    )


def chosen(
    result: Result, metric: str, test_metric: str | None, cost: str, tests: Mapping[int, float]
) -> tuple[str, tuple[str, ...], list[Sequence[Any]]]:
    """The best and the economical configuration side by side: a title, the heads, and rows of texts.

    The rows are what each reached and cost, and its hyperparameters; the last column says where the two differ. If the
    best is the economical one, it stands alone. Parameters as in :func:`best_sentence`.
    """
    both = [result.best] if result.economical.index == result.best.index else [result.best, result.economical]
    fresh = [fresh_of(result, trial) for trial in both]
    rows: list[tuple[str, list[str]]] = [(metric, [number(trial.objective) for trial in both])]
    if result.objectives is not None:
        rows = [(name, [number(result.best.metrics[name])]) for name in result.objectives.names]
    if any(fresh):
        means = ["unknown" if final is None else number(final.mean) for final in fresh]
        rows = [(f"{metric}, mean over fresh seeds", means), (f"{metric}, when it was chosen", rows[0][1])]
    if test_metric is not None:
        rows.append((test_metric, [read_test(trial, tests) for trial in both]))
    if any(math.isfinite(trial.cost) for trial in both):
        rows.append((cost, [number(trial.cost) for trial in both]))
    if len(both) == 1:
        values = [(name, value_text(value)) for name, value in result.best.params.items()]
        title = "Best configuration" if result.objectives is None else "A compromise on the front"
        return title, ("name", "value"), [*((name, *texts) for name, texts in rows), *values]
    title = f"Best configuration, and the cheapest within {number(result.tolerance_used)} of it"
    every: list[Sequence[Any]] = [(name, *texts, "") for name, texts in rows]
    differ = {name for name, *_ in values_of(result, True)}
    for name, *values in values_of(result, False):
        every.append((name, *map(value_text, values), "differs" if name in differ else ""))
    return title, ("name", "best", "economical", ""), every


def values_of(result: Result, differing: bool) -> list[tuple[str, Any, Any]]:
    """The values of each hyperparameter in the best and the economical trial, ABSENT if one lacks it.

    Hyperparameters that neither has are left out; with `differing`, also those of equal value.
    """
    best, cheap = result.best.params, result.economical.params
    pairs = [(name, best.get(name, ABSENT), cheap.get(name, ABSENT)) for name in result.trials.space]
    return [pair for pair in pairs if pair[1:] != (ABSENT, ABSENT) and not (differing and pair[1] == pair[2])]


def _reached(
    result: Result, trial: Trial, metric: str, test_metric: str | None, cost: str, tests: Mapping[int, float]
) -> str:
    """The objective, the test metric and the cost of a trial, in words."""
    own, fresh = number(trial.objective), fresh_of(result, trial)
    if fresh is not None:
        own = f"{number(fresh.mean)}, the mean of {n_trials_text(fresh.n)} with fresh seeds ({own} when it was chosen)"
    elif fresh_of(result, result.best) is not None:  # so that nobody compares it with the mean of the best
        own = f"{own} when it was chosen"
    parts = [f"{metric} {own}" if result.objectives is None else result.objectives.reached(trial)]
    if test_metric is not None:
        parts.append(f"{test_metric} {read_test(trial, tests)}")
    if math.isfinite(trial.cost):
        parts.append(f"{cost} {number(trial.cost)}")
    return f"{', '.join(parts)} (trial {trial.index})"


def fresh_of(result: Result, trial: Trial) -> Final | None:
    """The results with fresh seeds of a trial that was a finalist; None if it was not, or if they have no mean."""
    return next((final for final in result.finals if final.trial == trial.index and math.isfinite(final.mean)), None)


def finalist_rows(result: Result) -> list[Sequence[Any]]:
    """One row for each finalist: trial, mean and spread over fresh seeds, their number, its own objective and cost."""
    chosen = {trial.index: trial for trial in result.trials} if result.finals else {}
    return [
        (
            final.trial,
            f"diverged in {final.diverged}" if final.diverged else number(final.mean),
            number(final.sd),
            final.n,
            number(chosen[final.trial].objective),
            number(chosen[final.trial].cost),
        )
        for final in result.finals
    ]


def read_test(trial: Trial, tests: Mapping[int, float]) -> str:
    """The test metric of a trial, in words."""
    return number(tests[trial.index]) if trial.index in tests else "not read"


def n_trials_text(n: int) -> str:
    """A number of trials, in words."""
    return f"{n} trial" if n == 1 else f"{n:,} trials"


class Front(NamedTuple):
    """The front of several objectives, as page and terminal show it.

    Attributes
    ----------
    title : str
    names : tuple of str
        Of the objectives.
    heads : tuple of str
    rows : list of tuple
        Trial, its objectives, its cost if one is known, and its values, the best in the first objective first.
    """

    title: str
    names: tuple[str, ...]
    heads: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def some(self, most: int) -> list[tuple[Any, ...]]:
        """At most `most` rows, evenly spaced from one end of the front to the other."""
        places = np.unique(np.linspace(0, len(self.rows) - 1, min(most, len(self.rows))).round().astype(int))
        return [self.rows[place] for place in places]


def front_shown(result: Result, cost: str) -> Front | None:
    """The front of a run with several objectives; None if it has one."""
    if result.objectives is None:
        return None
    trials, names = list(result.front), result.objectives.names
    priced = any(math.isfinite(trial.cost) for trial in trials) and cost not in names
    rows = [
        (
            trial.index,
            *(number(trial.metrics[name]) for name in names),
            *([number(trial.cost)] if priced else []),
            ", ".join(f"{name}={value_text(value)}" for name, value in trial.params.items()),
        )
        for trial in trials
    ]
    title = f"The front of {result.objectives.text}: {n_trials_text(len(trials))}"
    return Front(title, names, ("trial", *names, *([cost] if priced else []), "configuration"), rows)


def front_on_page(result: Result, cost: str) -> dict[str, Any] | None:
    """What the page shows of the front: beside the table what decides each objective."""
    shown = front_shown(result, cost)
    if shown is None or result.objectives is None:
        return None
    found = [{index.name: index.pvalue_holm for index in own.indices} for own in result.sensitivities.values()]
    deciding = [(name, [own.get(name, math.nan) for own in found]) for name in result.trials.space]
    deciding.sort(key=lambda row: min((p for p in row[1] if not math.isnan(p)), default=math.inf))
    return shown._asdict() | {"deciding": deciding}


def front_picture(result: Result) -> Picture | None:
    """The picture of the front; None if there is a single objective."""
    if result.objectives is None:
        return None
    return front(result.objectives, result.trials.within(result.max_cost), result.best)


def cautions(result: Result) -> list[str]:
    """Sentences on what a reader must know before believing the numbers."""
    sentences = []
    if result.interrupted:
        sentences.append(
            "Interrupted: the analysis speaks of the trials finished so far; the same command with the same run "
            "folder goes on."
        )
    never_trained = sum(part.too_dear for part in result.rounds)
    if never_trained:
        sentences.append(
            f"Configurations never trained, since they are known to cost more than {number(result.max_cost)}: "
            f"{never_trained:,}."
        )
    if result.max_cost is not None and result.sensitivity.question.law == "ranks":
        sentences.append(
            "The analysis speaks of the configurations within that cost; hyperparameters that decide the cost go "
            "together there, which may look like an interaction."
        )
    too_dear = int(((result.trials.status == DONE) & ~meets(result.trials.cost, result.max_cost)).sum())
    if too_dear:
        sentences.append(
            f"{n_trials_text(too_dear)} {'is' if too_dear == 1 else 'are'} not known to cost at most "
            f"{number(result.max_cost)}: evidence in the analysis, but not the best."
        )
    sentences += _which_analysed(result)
    if (result.trials.status == PRUNED).any():
        sentences.append(_stopped_early(result.trials))
    return sentences


def _which_analysed(result: Result) -> list[str]:
    """A sentence on which trials the analysis uses, if an optimiser has proposed some."""
    searched, redraws = int((result.trials.origin == SEARCH).sum()), result.sensitivity.redraws
    left = searched - sum(len(own.moved) for own in redraws)
    if not searched:
        return []
    why = "which were not drawn from the search space"
    said = f"The analysis uses the {n_trials_text(len(result.sensitivity.trials))} drawn from the search space"
    if not redraws:
        return [f"{said} alone, and leaves out the {searched:,} of the search, {why}."]
    return [f"{said}. {_asked(redraws)} It leaves out the other {left:,} of the search, {why}."]


def _asked(redraws: Sequence[Redraws]) -> str:
    """What the trials of the search that ask about a hyperparameter have shown."""
    if len(redraws) > 1:
        found = ", ".join(
            f"{own.name} {p_text(own.pvalue)}" for own in sorted(redraws, key=attrgetter("pvalue", "name"))
        )
        most, moved = max(len(own.moved) for own in redraws), max(int(own.moved.sum()) for own in redraws)
        return (
            f"For each of {len(redraws)} hyperparameters it also uses up to {most} trials of the search: in up to "
            f"{moved} of these, drawn by lot, it was moved away from the value proposed; if it had no influence, these "
            f"would come out as badly as they did with this p: {found}."
        )
    (own,) = redraws
    return (
        f"For {own.name} it also uses {len(own.moved)} of the search: in {own.moved.sum()} of these, drawn by lot, "
        f"{own.name} was moved away from the value proposed; if {own.name} had no influence, these would come out as "
        f"badly as they did with p {p_text(own.pvalue)}."
    )


def _stopped_early(trials: TrialTable) -> str:
    """A sentence on the trials that were stopped early: how many they are, and how many training steps that saved."""
    early = trials.select(trials.status == PRUNED)
    whole = max((curve[-1][0] for curve in trials.curve[trials.status == DONE] if curve), default=0)
    left = [whole - curve[-1][0] for curve in early.curve if curve]
    text = (
        f"{n_trials_text(len(early))} of {len(trials)} {'was' if len(early) == 1 else 'were'} stopped early as hopeless"
    )
    if sum(left) > 0:
        text += f", which saved {sum(left):,} of their {whole * len(left):,} steps"
    return f"{text}; no such trial is called the best."
