"""What an analysis found: the indices, the pairs and the question they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import checks
from hsicfast.errors import InputError
from hsicfast.indices.carried import Law, carry
from hsicfast.trials.goal import Goal, Threshold, goal_of, losses_of, near_edge, share_or_threshold
from hsicfast.trials.table import TrialTable

if TYPE_CHECKING:
    import pandas as pd


# Holm p-value from which on a hyperparameter counts as found.
ALPHA = 0.05


@dataclass(frozen=True)
class Question:
    """What was asked of the trials: which goal, with which kernel and test.

    Attributes
    ----------
    goal : float in (0, 1) or Threshold
        Best fraction, or what the objective must reach.
    minimize : bool
    bandwidth : float
    test : str
    n_permutations, seed : int
    confidence : float
        Of the intervals.
    law : {"space", "ranks"}
        How values were carried.
    """

    goal: float | Threshold
    minimize: bool
    bandwidth: float
    test: str
    n_permutations: int
    seed: int
    confidence: float
    law: Law

    def checked(self, n: int) -> Question:
        """This question about n trials, its goal a share or a threshold; raises where an option is out of its range."""
        checks.check_test(self.test, self.n_permutations, self.seed, self.confidence)
        if not (math.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise InputError(
                f"`bandwidth > 0` must hold, but got bandwidth={self.bandwidth}; the default suits carried values"
            )
        return replace(self, goal=share_or_threshold(self.goal, n))

    def losses(self, objective: Floats) -> Floats:
        """Objectives (m,) as losses, of which small ones are good."""
        return losses_of(objective, self.minimize)

    def met(self, objective: Floats) -> Goal:
        """Who met the goal among trials with these objectives (m,), and the worst objective that did."""
        goal = self.goal
        if isinstance(goal, Threshold):
            goal = Threshold(losses_of(goal.value, self.minimize))
        met, threshold = goal_of(self.losses(objective), goal)
        return Goal(met, losses_of(threshold, self.minimize))

    def edge(self, objective: Floats) -> Rows:
        """Trials next to the goal's edge; none where the edge was given."""
        if isinstance(self.goal, Threshold):
            return np.empty(0, dtype=np.intp)
        return near_edge(self.losses(objective), self.goal)


@dataclass(frozen=True)
class Index:
    """One hyperparameter's goal-oriented index and its evidence; NaN where its group has fewer than 4 trials.

    Attributes
    ----------
    name : str
    hsic, r2 : float
        HSIC(U, Z), and the same over sqrt(HSIC(U, U) HSIC(Z, Z)).
    pvalue, pvalue_holm, pvalue_bh : float
        Of independence: alone, and adjusted over all hyperparameters (family-wise error, false discovery rate).
    ci_low, ci_high : float
        Confidence interval of the index.
    noise_floor : float
        Mean of the index under independence.
    n : int
        Trials in which the hyperparameter exists.
    group : str
        ``main``, or the conditions under which it exists.
    """

    name: str
    hsic: float
    r2: float
    pvalue: float
    pvalue_holm: float
    pvalue_bh: float
    ci_low: float
    ci_high: float
    noise_floor: float
    n: int
    group: str

    @property
    def matters(self) -> bool:
        """Whether there is evidence that the hyperparameter decides: a Holm p-value of at most 5%."""
        return self.pvalue_holm <= ALPHA


@dataclass(frozen=True)
class Pair:
    """Two hyperparameters together.

    Attributes
    ----------
    first, second : str
    hsic : float
        The published index: the kernel on the couple. It contains both main effects.
    pure : float
        What is left once both main effects are out: both kernels made orthogonal to constants under the uniform law.
    pvalue : float
        Of the goal depending on neither, by permutation of the goal; not adjusted for the number of pairs.
    pvalue_pure : float
        Of no interaction whatever the main effects, by flipping the signs of the trials' terms; not adjusted.
    """

    first: str
    second: str
    hsic: float
    pure: float
    pvalue: float
    pvalue_pure: float


class Carried(NamedTuple):
    """A hyperparameter where it exists: carried values (m,), widths (m,), who met the group's goal (m,)."""

    u: Floats
    width: Floats
    z: Bools


@dataclass(frozen=True)
class Streamed:
    """What is known of all judged trials where they were too many to keep.

    Attributes
    ----------
    n, met : int
        How many they are, and how many met the goal.
    rank_error : float
        The most by which the rank of a value is wrong, of 1; 0 where values were carried by the law of the space.
    """

    n: int
    met: int
    rank_error: float


@dataclass(frozen=True)
class Findings:
    """What an analysis found.

    Attributes
    ----------
    trials : TrialTable
        The trials that were judged; of a stream a uniform random sample of them, which tells all but the indices.
    goal : float, int or Threshold
        As it was given: best fraction, best so many, or what the objective must reach.
    question : Question
    met : bool array
        Which of `trials` met the goal.
    threshold : float
        Worst objective that met it.
    counts : dict
        Trials of each status; the lost ones are not judged.
    failed, pruned : str
        What diverged and pruned trials counted for.
    indices : tuple of Index
        Main group first, strongest first within a group.
    cost_indices : tuple of Index
        The same for the goal "among the cheapest"; empty where costs are unknown or all equal.
    pair_indices : tuple of Pair
        Strongest first.
    streamed : Streamed, optional
        None where `trials` are all that were judged.
    """

    trials: TrialTable
    goal: float | int | Threshold
    question: Question
    met: Bools
    threshold: float
    counts: dict[str, int]
    failed: str
    pruned: str
    indices: tuple[Index, ...]
    cost_indices: tuple[Index, ...]
    pair_indices: tuple[Pair, ...]
    streamed: Streamed | None = None

    @property
    def n(self) -> int:
        """Number of trials that were judged."""
        return len(self.trials) if self.streamed is None else self.streamed.n

    @property
    def n_met(self) -> int:
        """How many of them met the goal."""
        return int(self.met.sum()) if self.streamed is None else self.streamed.met

    def __getitem__(self, name: str) -> Index:
        """The index of hyperparameter `name`."""
        return next(index for index in self.indices if index.name == name)

    def significant(self, alpha: float = ALPHA) -> list[str]:
        """Names whose index is significant after Holm, strongest group and index first."""
        return [index.name for index in self.indices if index.pvalue_holm <= alpha]

    def carried(self, name: str) -> Carried:
        """Carried values of `name` and who met its group's goal."""
        rows = np.flatnonzero(self.trials.active(name))
        u, width = carry(self.trials, name, rows, self.question.law)
        return Carried(u, width, self.question.met(self.trials.objective[rows]).met)

    def to_frame(self) -> pd.DataFrame:
        """Indices as a frame, indexed by ``name``: hsic, r2, pvalue, pvalue_holm, pvalue_bh, ci, noise_floor, ..."""
        return _frame(self.indices)

    def cost_frame(self) -> pd.DataFrame:
        """As :meth:`to_frame`, of the dependence on cost."""
        return _frame(self.cost_indices)

    @property
    def pairs(self) -> pd.DataFrame:
        """Pairs as a frame: first, second, hsic, pure, pvalue, pvalue_pure."""
        import pandas as pd

        return pd.DataFrame(self.pair_indices, columns=[field.name for field in fields(Pair)])


def _frame(indices: Iterable[Index]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(indices), columns=[field.name for field in fields(Index)]).set_index("name")
