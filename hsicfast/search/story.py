"""A run as a story: what each round did, how good and how cheap it left things, and what was learnt from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsicfast.search.finals import best_and_economical
from hsicfast.trials.trial import DIVERGED, DONE, FINAL, PRUNED

if TYPE_CHECKING:
    from hsicfast.search.orchestrator import Result


@dataclass(frozen=True)
class Chapter:
    """One round of a run.

    Attributes
    ----------
    name : str
    first, last : int
        Its trials are ``first, ..., last - 1``.
    did : str
        How its trials were chosen, and how many of them did not end well.
    objective, cost : float
        Of the best trial after it; NaN before there is one.
    cheapest : float
        Cost of the cheapest trial as good as that within the tolerance; NaN where no cost is known.
    learnt : tuple of str
        What its trials said, and what was decided by it.
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
    """The rounds of a run in their order, each with where it left things.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace, minimize
    >>> space = SearchSpace({"x": Float(-1, 1), "y": Float(-1, 1)})
    >>> result = minimize(lambda params: params["x"] ** 2, space, n_trials=16, strategy="random")
    >>> [(chapter.name, chapter.objective < 0.1) for chapter in chapters(result)]
    [('design', True)]
    """
    told = []
    affordable = result.trials.within(result.max_cost)
    for part in result.rounds:
        own = result.trials.select((result.trials.index >= part.first) & (result.trials.index < part.last))
        counts = {status: int((own.status == status).sum()) for status in (DIVERGED, PRUNED)}
        failed = [f"{count} {status}" for status, count in counts.items() if count]
        did = ", ".join([part.story, *failed])
        so_far = affordable.select(affordable.index < part.last)
        left_at = (np.nan, np.nan, np.nan)
        if (so_far.contenders.status == DONE).any():
            finals = result.finals if (so_far.origin == FINAL).any() else ()
            best, cheap = best_and_economical(so_far, finals, result.tolerance)
            left_at = (best.objective, best.cost, cheap.cost)
        told.append(Chapter(part.name, part.first, part.last, did, *left_at, part.learnt))
    return tuple(told)
