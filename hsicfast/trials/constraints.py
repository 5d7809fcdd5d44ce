"""A trial that breaks a constraint is infeasible: it is not good, whatever its objective.

Its objective is not considered, as that of a diverged trial: nobody may take it for the best, and an optimiser is to
avoid it. What it was is kept as a metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.errors import check_one_of
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DIVERGED, DONE, INFEASIBLE, INFEASIBLE_OBJECTIVE, LARGEST_CONSTRAINT, PRUNED

# Whether constraints count.
CONSTRAINT_OPTIONS = ("miss", "ignore")


def check_constraints(option: str) -> None:
    """Raise an InputError unless `option` says whether constraints count."""
    check_one_of("constraints", option, CONSTRAINT_OPTIONS, "'miss' counts infeasible trials as not good")


def largest(constraints: Iterable[float]) -> float:
    """The largest of the constraints of one trial, infinite if one is NaN; NaN if there is none.

    A trial is feasible unless its largest constraint is above 0.

    Examples
    --------
    >>> largest([-1.0, 0.5]), largest([-1.0, math.nan]), largest([])
    (0.5, inf, nan)
    """
    return max((math.inf if math.isnan(own) else own for own in constraints), default=math.nan)


def broken(largest_constraint: Floats, status: NDArray[np.str_], objectives: Floats) -> Bools:
    """Which trials (n,) ended with finite objectives (n, q), but broke a constraint."""
    ended = np.isin(status, (DONE, PRUNED)) & np.isfinite(objectives).all(axis=1)
    return np.asarray((largest_constraint > 0) & ended)


def set_apart(table: TrialTable, infeasible: Bools, objectives: Floats, largest_constraint: Floats) -> TrialTable:
    """The table whose `infeasible` trials (n,) have their objectives (n, q) as metrics only.

    Several objectives are numbered, as ``infeasible_objective_0``.

    Examples
    --------
    >>> from hsicfast.space.search_space import Float, SearchSpace
    >>> table = TrialTable.from_arrays(SearchSpace({"x": Float(0, 1)}), {"x": [0.1, 0.2]}, [3.0, 4.0])
    >>> found = set_apart(table, np.array([True, False]), table.objective[:, None], np.array([0.5, -1.0]))
    >>> found.status.tolist(), found.failure.tolist(), found.best().params
    (['diverged', 'done'], ['infeasible', ''], {'x': 0.2})
    >>> {name: column.tolist() for name, column in found.metrics.items()}
    {'infeasible_objective': [3.0, nan], 'largest_constraint': [0.5, -1.0]}
    """
    if np.isnan(largest_constraint).all():
        return table
    q = objectives.shape[1]
    metrics = {
        INFEASIBLE_OBJECTIVE + (f"_{k}" if q > 1 else ""): np.where(infeasible, objectives[:, k], np.nan)
        for k in range(q)
    }
    return replace(
        table,
        objective=np.where(infeasible, np.nan, table.objective),
        status=np.where(infeasible, DIVERGED, table.status),
        failure=np.where(infeasible, INFEASIBLE, table.failure).astype(object),
        metrics=table.metrics | metrics | {LARGEST_CONSTRAINT: largest_constraint},
    )
