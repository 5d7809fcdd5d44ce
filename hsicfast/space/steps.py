"""A law of finitely many values as steps: the interval of [0, 1] that each value stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hsicfast.arrays import Floats


def level_at(u: float, levels: int, law: Sequence[float] | None) -> int:
    """The level whose step holds the quantile `u`; `law` gives each level's weight, equal where it is None."""
    if law is None:
        return min(int(u * levels), levels - 1)
    return min(int(np.searchsorted(_edges(levels, law), u, side="right")) - 1, levels - 1)


def step_of(level: Floats, levels: int, law: Sequence[float] | None) -> tuple[Floats, Floats]:
    """Both ends (n,) of the steps of the levels (n,)."""
    if law is None:
        return level / levels, (level + 1) / levels
    edges = _edges(levels, law)
    position = level.astype(np.intp)
    return edges[position], edges[position + 1]


def _edges(levels: int, law: Sequence[float] | None) -> Floats:
    weights = np.ones(levels) if law is None else np.asarray(law, dtype=np.float64)
    return np.concatenate(([0.0], np.cumsum(weights) / weights.sum()))
