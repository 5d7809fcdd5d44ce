"""Several objectives of a trial: who is beaten in all of them, the front of those who are not, a compromise on it.

A trial reports each objective under its name, among its metrics. Trial a dominates trial b if a is nowhere worse, and
somewhere better. For all that needs one number, the objective in a table is the number of trials that dominate each, 0
on the front. For a proposal it is the augmented Chebyshev distance of ParEGO (Knowles, 2006)

    max_k w_k y_k + 0.05 sum_k w_k y_k,

in which w are weights that are drawn anew for each proposal, and y_k is objective k as a loss, scaled so that the
trials, but for extreme outliers, reach from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.errors import InputError
from hsicfast.space.search_space import RESERVED
from hsicfast.text import is_text, number
from hsicfast.trials.goal import dominated_by, losses_of, within_fence
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import DONE, INFEASIBLE_OBJECTIVE, LARGEST_CONSTRAINT, WEIGHTS, Trial

Direction = Literal["minimize", "maximize"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
# AUGMENT: the share of the weighted sum, by which a trial that another dominates is never as good (Knowles, 2006).
AUGMENT = 0.05
# No objective may have one of these names, which the table of a run has already.
TAKEN = (*RESERVED, INFEASIBLE_OBJECTIVE, LARGEST_CONSTRAINT)


@dataclass(frozen=True)
class Objectives:
    """The objectives of a run, at least two, and which end of each is good.

    Parameters
    ----------
    directions : mapping of str to {"minimize", "maximize"}
        By name, in the order of tables.

    Examples
    --------
    >>> from hsicfast import Float, SearchSpace
    >>> space, both = SearchSpace({"x": Float(0, 1)}), Objectives({"error": "minimize", "speed": "maximize"})
    >>> reached = [(0.3, 9.0), (0.2, 5.0), (0.1, 1.0), (0.3, 5.0)]
    >>> trials = [Trial(i, {"x": 0.1 * i}, error, metrics={"error": error, "speed": speed})
    ...           for i, (error, speed) in enumerate(reached)]
    >>> table = both.judged(TrialTable.from_trials(space, trials))
    >>> table.objective.tolist(), both.front(table).index.tolist(), both.compromise(table).index
    ([0.0, 0.0, 0.0, 2.0], [2, 1, 0], 1)
    """

    directions: Mapping[str, Direction]

    @classmethod
    def of(cls, given: Any, names: Iterable[str] = ()) -> Objectives | None:
        """The objectives as people give them, in a space of hyperparameters with these `names`; None for None.

        Parameters
        ----------
        given : mapping of str to {"minimize", "maximize"}, or sequence of str
            Of names alone small is good.
        names : iterable of str

        Raises
        ------
        InputError
            If they are fewer than two, a direction is none, or a name is no text or is taken.
        """
        if given is None or isinstance(given, Objectives):
            return given
        if isinstance(given, str) or not isinstance(given, Mapping | list | tuple):
            raise InputError(
                f"objectives must be a dict of names to minimize or maximize, or a list of names, but got {given!r}; "
                'write {"error": "minimize", "latency": "minimize"}'
            )
        taken = {*TAKEN, *names}
        for name in given:
            if not is_text(name) or not name or name in taken:
                raise InputError(
                    f"the name of an objective must be a text, and no hyperparameter's nor one of {TAKEN}, but got "
                    f"{name!r}; rename it"
                )
        directions = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, DIRECTIONS[0])
        if len(directions) < 2 or len(directions) < len(given):
            raise InputError(
                f"objectives must have at least two names, each once, but got {given!r}; for a single one leave "
                "objectives= out, and return `objective`"
            )
        for name, direction in directions.items():
            if direction not in DIRECTIONS:
                raise InputError(
                    f"the direction of an objective must be minimize or maximize, but that of {name!r} is "
                    f"{direction!r}; choose one of them"
                )
        return cls(directions)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> Objectives | None:
        """Those that the settings of a run describe (:attr:`described`); None if it has a single one."""
        described = settings.get("objectives")
        return None if described is None else cls(dict(described))

    @property
    def described(self) -> list[list[str]]:
        """Names and directions in their order, which counts: the values in a study have no names."""
        return [[name, direction] for name, direction in self.directions.items()]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order of tables."""
        return tuple(self.directions)

    @property
    def text(self) -> str:
        """Their names, in words: ``error and latency``."""
        return f"{', '.join(self.names[:-1])} and {self.names[-1]}"

    @property
    def metric(self) -> str:
        """What a judged table has for an objective, in words (:meth:`judged`)."""
        return f"non-domination of {self.text}"

    def minimizes(self, name: str) -> bool:
        """Whether a small value of the objective `name` is good."""
        return self.directions[name] == DIRECTIONS[0]

    def reached(self, trial: Trial) -> str:
        """What a trial reached in each objective, in words."""
        return ", ".join(f"{name} {number(trial.metrics[name])}" for name in self.names)

    def losses_of(self, trial: Trial) -> tuple[float, ...]:
        """What a done trial reached in each objective, as losses (q,)."""
        return tuple(losses_of(float(trial.metrics[name]), self.minimizes(name)) for name in self.names)

    def losses(self, table: TrialTable) -> Floats:
        """The objectives (n, q) as losses, which are small if they are good; NaN in trials that are not done."""
        nowhere = np.full(len(table), np.nan)
        columns = [
            losses_of(np.asarray(table.metrics.get(name, nowhere), dtype=np.float64), self.minimizes(name))
            for name in self.names
        ]
        losses = np.column_stack(columns)
        losses[~(np.isfinite(losses).all(axis=1) & (table.status == DONE))] = np.nan
        return losses

    def done(self, table: TrialTable) -> Bools:
        """Which trials (n,) are done, with all objectives."""
        return _known(self.losses(table))

    def judged(self, table: TrialTable) -> TrialTable:
        """The table whose objective is the number of its trials that dominate each; NaN in those that are not done."""
        losses = self.losses(table)
        able = _known(losses)
        dominated = np.full(len(table), np.nan)
        dominated[able] = dominated_by(losses[able])
        return replace(table, objective=dominated, minimize=True)

    def alone(self, table: TrialTable, name: str) -> TrialTable:
        """The table with one of the objectives as its objective."""
        losses = self.losses(table)[:, self.names.index(name)]
        minimize = self.minimizes(name)
        return replace(table, objective=losses_of(losses, minimize), minimize=minimize)

    def front(self, table: TrialTable) -> TrialTable:
        """The done trials that no other dominates, the best in the first objective first.

        The earliest stands for trials alike in all objectives. The cost is no objective, unless it has been named as
        one.
        """
        return table.select(_front(self.losses(table)))

    def compromise(self, table: TrialTable) -> Trial:
        """The trial on the front that is closest to the best values of all objectives at once.

        Each objective is scaled so that the front reaches from 0 to 1, and all have the same weight: it is the trial
        of the smallest augmented Chebyshev distance, the earliest of equals.

        Raises
        ------
        InputError
            If no trial is done.
        """
        losses = self.losses(table)
        rows = np.sort(_front(losses))
        if not len(rows):
            return table.best()  # which says how the trials ended
        front, equal = losses[rows], np.full(len(self.names), 1 / len(self.names))
        return table[int(rows[np.argmin(_distances(front, equal, np.ptp(front, axis=0)))])]

    def weighed(self, table: TrialTable, weights: Floats) -> TrialTable:
        """The table whose objective is the augmented Chebyshev distance with these `weights` (q,), which sum to 1."""
        losses = self.losses(table)
        known = losses[_known(losses)]
        distances = _distances(losses, weights, _spread(known)) if len(known) else np.full(len(losses), np.nan)
        return replace(table, objective=distances, minimize=True)

    def weights(self, seed: int, index: int) -> Floats:
        """The weights (q,) of the proposal for trial `index`: uniform among those that sum to 1."""
        return np.random.default_rng([seed, index, WEIGHTS]).dirichlet(np.ones(len(self.names)))


def _known(losses: Floats) -> Bools:
    """Which trials have losses: NaN is in all of a row or in none."""
    return np.isfinite(losses[:, 0])


def _front(losses: Floats) -> NDArray[np.intp]:
    """The rows that no other dominates, by their losses (n, q); the first stands for equal ones."""
    able = np.flatnonzero(_known(losses))
    best = able[dominated_by(losses[able]) == 0]
    return best[np.unique(losses[best], axis=0, return_index=True)[1]]


def _spread(losses: Floats) -> Floats:
    """The range (q,) of losses (n, q) up to Tukey's outer fence, beyond which a loss is an extreme outlier.

    It is the whole range if three quarters of them are equally good, so that there is no fence.
    """
    least = losses.min(axis=0)
    fenced = within_fence(losses) - least
    return np.where(fenced > 0, fenced, losses.max(axis=0) - least)


def _distances(losses: Floats, weights: Floats, spread: Floats) -> Floats:
    """The augmented Chebyshev distance (n,) of losses (n, q), over their `spread` (q,), to the best values."""
    parts = weights * (losses - np.nanmin(losses, axis=0)) / np.where(spread > 0, spread, 1.0)
    return np.asarray(parts.max(axis=1) + AUGMENT * parts.sum(axis=1))
