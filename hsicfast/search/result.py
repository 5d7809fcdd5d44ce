"""The result of a run, and what a person asks of it: tables, pictures, a page, the best values as YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsicfast.files import jsonable
from hsicfast.indices.reduction import Reduction
from hsicfast.search.finals import Final, best_and_economical, front_of, tolerance_of
from hsicfast.search.rounds import Round
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.text import html_table, named, number
from hsicfast.trials.goal import Auto
from hsicfast.trials.objectives import Objectives
from hsicfast.trials.shown import ROWS, in_a_table
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, INFEASIBLE, PRUNED, Trial

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run.

    Attributes
    ----------
    best : Trial
        A trial of the design or the search that no cheaper one beats. If finalists were trained again with fresh seeds,
        it is the trial by which the winner was chosen (:func:`~hsicfast.search.finals.best_and_economical`). Of several
        objectives it is a compromise: the trial on the front that comes closest to the best values of all at once, each
        scaled by its range on the front (:meth:`~hsicfast.trials.objectives.Objectives.compromise`).
    trials : TrialTable
        All trials of the run folder that are points of the space, those of earlier calls among them. If there are
        several objectives, they are metrics, and ``objective`` is the number of all trials that dominate each.
    sensitivity : Sensitivity
        Which hyperparameters decide; of several objectives, whether a trial ends near the front.
    reduction : Reduction or None
        What was fixed or narrowed for the search.
    rounds : tuple of Round
    goal : float or "auto"
        As it was passed to :func:`minimize`; what "auto" came to is ``sensitivity.goal``.
    interrupted : bool
        Whether a signal stopped the run.
    economical : Trial
        The cheapest trial of the design or the search that is as good as the winner within the tolerance.
    finals : tuple of Final
        Results of the finalists with fresh seeds, the best mean first.
    max_cost, tolerance : float or None
        As they were passed to :func:`minimize`.
    ended : str
        Why the run ended before `n_trials` were spent: `timeout` or `stop`; empty if it did not.
    planned : int, optional
        The budget of the run; that of its trials if nobody says.
    objectives : Objectives or None
        The names and directions of several objectives.
    """

    best: Trial
    trials: TrialTable
    sensitivity: Sensitivity
    reduction: Reduction | None
    rounds: tuple[Round, ...]
    goal: float | Auto
    interrupted: bool
    economical: Trial
    finals: tuple[Final, ...] = ()
    max_cost: float | None = None
    tolerance: float | None = None
    ended: str = ""
    planned: int | None = None
    objectives: Objectives | None = None

    def __repr__(self) -> str:
        decide = named(self.sensitivity.significant()) or "nothing that was found"
        parts = [f"{len(self.trials):,} trials; {self._reached('best', self.best)}"]
        if self.objectives is not None:
            parts = [f"{len(self.trials):,} trials; {len(self.front)} on the front of {self.objectives.text}"]
            parts.append(self._reached("compromise", self.best))
        if self.economical.index != self.best.index:
            parts.append(self._reached("economical", self.economical))
        return f"Result({'; '.join([*parts, f'decide: {decide}'])}{'; interrupted' if self.interrupted else ''})"

    def _reached(self, name: str, trial: Trial) -> str:
        cost = f" at cost {number(trial.cost)}" if math.isfinite(trial.cost) else ""
        reached = number(trial.objective) if self.objectives is None else self.objectives.reached(trial)
        return f"{name} {reached}{cost} (trial {trial.index})"

    def _repr_html_(self) -> str:
        from hsicfast.search.chosen import front_shown

        front = front_shown(self, "cost")
        if front is not None:
            return html_table(repr(self), front.heads, front.some(ROWS))
        both = [self.best] if self.economical.index == self.best.index else [self.best, self.economical]
        return in_a_table(repr(self), self.trials.space, both)

    @property
    def minimize(self) -> bool:
        """Whether small objectives are good."""
        return self.trials.minimize

    @property
    def tolerance_used(self) -> float:
        """How far from the best the economical trial may be; see :func:`~hsicfast.search.finals.tolerance_of`.

        NaN of several objectives, whose distance has no unit.
        """
        if self.objectives is not None:
            return math.nan
        if self.tolerance is not None:
            return self.tolerance
        return tolerance_of(self.trials.within(self.max_cost), self.finals)

    @property
    def front(self) -> TrialTable:
        """The Pareto front of objective and cost, see :func:`~hsicfast.search.finals.front_of`; within `max_cost`.

        Of several objectives, the trials that no other dominates in these, the best in the first objective first
        (:meth:`~hsicfast.trials.objectives.Objectives.front`).

        Examples
        --------
        >>> from hsicfast import Float, SearchSpace, minimize
        >>> def evaluate(params):
        ...     return {"objectives": {"near 0": params["x"] ** 2, "near 1": (params["x"] - 1) ** 2}}
        >>> space = SearchSpace({"x": Float(-2, 3), "unused": Float(0, 1)})
        >>> result = minimize(evaluate, space, n_trials=30, strategy="random", objectives=["near 0", "near 1"])
        >>> all(-0.2 < trial.params["x"] < 1.2 for trial in result.front), 0.3 < result.best.params["x"] < 0.7
        (True, True)
        """
        affordable = self.trials.within(self.max_cost)
        return front_of(affordable, self.finals) if self.objectives is None else self.objectives.front(affordable)

    @cached_property
    def sensitivities(self) -> dict[str, Sensitivity]:
        """Which hyperparameters decide each objective, by its name; a single one is called ``objective``.

        They are analyses of the same trials as `sensitivity`, with the same goal.
        """
        if self.objectives is None:
            return {"objective": self.sensitivity}
        asked, trials = self.sensitivity.question, self.sensitivity.trials
        return {
            name: analyse(
                trials.space,
                self.objectives.alone(trials, name),
                goal=self.goal,
                seed=asked.seed,
                pairs=False,
                law=asked.law,
            )
            for name in self.objectives.names
        }

    def to_frame(self) -> pd.DataFrame:
        """All trials as a pandas frame, see :meth:`~hsicfast.TrialTable.to_frame`."""
        return self.trials.to_frame()

    def best_yaml(self) -> str:
        """The values of the best trial as YAML, which ``evaluate(yaml.safe_load(text))`` takes.

        Examples
        --------
        >>> from hsicfast import Bool, Choice, minimize
        >>> space = {"kind": Choice(["good", "bad"]), "deep": Bool()}
        >>> result = minimize(lambda p: (p["kind"] == "bad") + p["deep"], space, n_trials=30, strategy="random")
        >>> print(result.best_yaml())
        kind: good
        deep: false
        """
        return values_yaml(self.best.params)

    def plot(self, name: str = "indices") -> Figure:
        """One picture of the run, for print.

        Parameters
        ----------
        name : str
            As :meth:`Sensitivity.plot <hsicfast.Sensitivity.plot>` takes it. All trials of the run are drawn, those of
            the search among them, and its best one is marked. A run with several objectives has ``front`` as well: the
            second objective against the first.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InputError
            If the name is none of these or has nothing to show, or if a tool is missing.
        """
        from hsicfast.report.figures import front_figure, picture
        from hsicfast.report.page import check_report_tools

        check_report_tools()
        if name == "front" and self.objectives is not None:
            return front_figure(self.objectives, self.trials.within(self.max_cost), self.best)
        return picture(name, self.sensitivity, self.trials, self.best)

    def report(
        self,
        path: str | Path = "report.html",
        *,
        title: str = "Which hyperparameters decide",
        metric: str = "objective",
        cost: str = "cost",
    ) -> Path:
        """Write the run as one HTML page that needs no network: what was chosen, what decides, how the run went.

        Parameters
        ----------
        path : str or Path
        title : str
            Heading of the page.
        metric, cost : str
            Names of the objective and the cost.

        Returns
        -------
        Path
            Path of the page.

        Raises
        ------
        InputError
            If a tool is missing.
        RunError
            If the page cannot be written.
        """
        from hsicfast.search.run_report import write_run_page

        return write_run_page(Path(path), self, title=title, metric=metric, cost=cost)


@dataclass(frozen=True)
class Chapter:
    """One round of a run, and the best trial after it.

    Attributes
    ----------
    name : str
    first, last : int
        Its trials are ``first, ..., last - 1``.
    did : str
        How its trials were chosen, and how many of them did not end well.
    objective, cost : float
        Objective and cost of the best trial so far; NaN before there is one, and if there are several objectives.
    cheapest : float
        Cost of the cheapest trial that is as good within the tolerance; NaN if no cost is known.
    learnt : tuple of str
        What was learnt from its trials, and what was decided by it.
    """

    name: str
    first: int
    last: int
    did: str
    objective: float
    cost: float
    cheapest: float
    learnt: tuple[str, ...]


def chapters(result: Result) -> tuple[Chapter, ...]:
    """The rounds of a run in their order, each with the best trial after it.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, minimize
    >>> space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
    >>> result = minimize(lambda params: params["x"] ** 2, space, n_trials=16, strategy="random")
    >>> [(chapter.name, chapter.objective < 0.1) for chapter in chapters(result)]
    [('design', True)]
    """
    rounds = []
    affordable = result.trials.within(result.max_cost)
    for part in result.rounds:
        own = result.trials.select((result.trials.index >= part.first) & (result.trials.index < part.last))
        infeasible = own.failure == INFEASIBLE
        ends = {DIVERGED: (own.status == DIVERGED) & ~infeasible, INFEASIBLE: infeasible, PRUNED: own.status == PRUNED}
        failed = [f"{np.count_nonzero(rows)} {end}" for end, rows in ends.items() if rows.any()]
        did = ", ".join([part.story, *failed])
        so_far = affordable.select(affordable.index < part.last)
        left_at = (np.nan, np.nan, np.nan)
        if result.objectives is not None:
            did += f"; {len(result.objectives.front(so_far))} on the front after it"
        elif (so_far.contenders.status == DONE).any():
            finals = result.finals if (so_far.origin == FINAL).any() else ()
            best, cheap = best_and_economical(so_far, finals, result.tolerance)
            left_at = (best.objective, best.cost, cheap.cost)
        rounds.append(Chapter(part.name, part.first, part.last, did, *left_at, part.learnt))
    return tuple(rounds)


def values_yaml(params: Mapping[str, Any]) -> str:
    """The values of a configuration as YAML."""
    import yaml

    return yaml.safe_dump(jsonable(params), sort_keys=False, allow_unicode=True)
