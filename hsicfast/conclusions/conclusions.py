"""Findings together with what follows from them, which is computed once and then remembered.

The class lies above the other modules of this folder, which read plain findings. Pages, pictures, tables and the search
ask it, so that one command computes nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from hsicfast.conclusions.curves import Curves, over_steps
from hsicfast.conclusions.explanation import Explanation, explain
from hsicfast.conclusions.totals import Total, totals
from hsicfast.indices.findings import Findings
from hsicfast.indices.stability import RankInterval, Sweep, over_goals, rank_intervals
from hsicfast.indices.verdicts import Verdict, headline, verdicts
from hsicfast.trials.trial import Trial


class Conclusions(Findings):
    """What an analysis found, and what follows from it."""

    @cached_property
    def verdict_list(self) -> tuple[Verdict, ...]:
        """The verdict on each hyperparameter, in the order of `indices`."""
        return verdicts(self)

    @cached_property
    def headline(self) -> str:
        """The answer in one sentence: which hyperparameters decide, or that nothing shows that one does."""
        return headline(self, self.verdict_list)

    @cached_property
    def rank_intervals(self) -> dict[str, RankInterval]:
        """The rank of each judged hyperparameter, and where it lies in 90% of bootstrap resamples."""
        return rank_intervals(self)

    @cached_property
    def sweep(self) -> Sweep | None:
        """The ranking of the main group as the goal widens; None if that group was not judged."""
        return over_goals(self)

    @cached_property
    def total_list(self) -> tuple[Total, ...]:
        """What each hyperparameter does alone or together with others, the first in the ranking first."""
        return totals(self)

    @cached_property
    def curves(self) -> Curves:
        """The indices as training goes on, for trials with learning curves: at which step is what matters known?

        Raises
        ------
        InputError
            If fewer than 4 trials have a learning curve, or if the analysis left out trials that were stopped early.
        """
        return over_steps(self)

    def explain(self, best: Trial | Mapping[str, Any], against: Trial | Mapping[str, Any]) -> Explanation:
        """Which of the changes from `against` to `best` carry the gain, one by one and together, from the trials alone.

        The trials near the new value of a hyperparameter are compared with those near its old value, whatever else
        they had; a gain is the difference between their chances to meet the goal. Near are about n^(2/3) of n trials
        around a number, and those with the same choice. What only one of the configurations has belongs to the change
        that switches it on or off. The trials that the two were taken from are no evidence.

        Parameters
        ----------
        best : Trial or mapping
            The configuration to explain.
        against : Trial or mapping
            What it is compared with, such as your defaults.

        Returns
        -------
        Explanation
            Its ``str()`` says it in plain words, ``to_frame()`` has the numbers, indexed by ``name``.

        Raises
        ------
        InputError
            If a name is unknown, a value is missing or out of its range, or no value differs.

        Examples
        --------
        >>> import numpy as np
        >>> from hsicfast import Float, SearchSpace, TrialTable, analyse
        >>> space = SearchSpace({"rate": Float(0, 1), "size": Float(0, 1)})
        >>> rate, size = np.random.default_rng(0).random((2, 200))
        >>> found = analyse(space, TrialTable.from_arrays(space, {"rate": rate, "size": size}, (rate - 0.3) ** 2))
        >>> told = found.explain(found.trials.best(), against={"rate": 0.8, "size": 0.9})
        >>> told.to_frame()["kind"].to_dict()
        {'rate': 'carries', 'size': 'unclear'}
        """
        return explain(self, best, against)
