"""Findings together with what follows from them, which is computed once and then remembered.

The class lies above :mod:`hsicfast.indices.verdicts`, :mod:`hsicfast.indices.stability` and
:mod:`hsicfast.indices.curves`, which read plain findings. Pages, pictures, tables and the search ask it, so that one
command computes nothing twice.
"""

from __future__ import annotations

from functools import cached_property

from hsicfast.indices.curves import Curves, over_steps
from hsicfast.indices.findings import Findings
from hsicfast.indices.stability import RankInterval, Sweep, over_goals, rank_intervals
from hsicfast.indices.verdicts import Verdict, headline, verdicts


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
    def curves(self) -> Curves:
        """The indices as training goes on, for trials with learning curves: at which step is what matters known?

        Raises
        ------
        InputError
            If fewer than 4 trials have a learning curve, or if the analysis left out trials that were stopped early.
        """
        return over_steps(self)
