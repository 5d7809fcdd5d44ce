"""How a table of trials shows itself in a prompt and in a notebook: in a line, and as a small table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import clip, html_table, named, number, value_text
from hsicfast.trials.trial import DONE, STATUSES, Trial

# A notebook shows so many trials, and so many hyperparameters of each.
ROWS, COLUMNS = 5, 8


def in_a_line(space: SearchSpace, status: Any, objective: Floats, minimize: bool) -> str:
    """How many trials there are, of what, how they ended, and the best objective.

    Parameters
    ----------
    space : SearchSpace
    status : str array (n,)
    objective : array (n,)
    minimize : bool
        Whether small objectives are good.
    """
    counts = {name: int(np.count_nonzero(status == name)) for name in STATUSES}
    parts = [f"{count:,} {name}" for name, count in counts.items() if count] or ["none yet"]
    ended = objective[status == DONE]
    best = f"; best objective {number(ended.min() if minimize else ended.max())}" if len(ended) else ""
    trials = f"{len(status):,} trial{'' if len(status) == 1 else 's'}"
    own = f"{len(space)} hyperparameter{'' if len(space) == 1 else 's'}"
    return f"{trials} of {own} ({named(space)}): {', '.join(parts)}{best}"


def in_a_table(title: str, space: SearchSpace, trials: Iterable[Trial]) -> str:
    """The first trials as HTML: what each reached, and its values.

    Parameters
    ----------
    title : str
    space : SearchSpace
    trials : iterable of Trial
    """
    names = list(islice(space, COLUMNS))
    rows = [
        (
            trial.index,
            number(trial.objective),
            number(trial.cost),
            trial.status,
            *(clip(value_text(trial.params.get(name, ""))) for name in names),
        )
        for trial in islice(trials, ROWS)
    ]
    return html_table(title, ("trial", "objective", "cost", "status", *map(clip, names)), rows)
