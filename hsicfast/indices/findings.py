"""What an analysis found: the indices, the pairs and the question they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from hsicfast.arrays import Bools, Floats, Rows
from hsicfast.dependence import checks
from hsicfast.errors import InputError, check_one_of
from hsicfast.evidence.joint import ALL_SHARES, GOOD_SHARES, goals_asked
from hsicfast.evidence.redraws import Redraws
from hsicfast.indices.carried import Law, carry
from hsicfast.text import clip, html_table, named, p_text, ratio
from hsicfast.trials.goal import (
    AUTO,
    Auto,
    Goal,
    Objective,
    Threshold,
    auto_share,
    goal_of,
    losses_of,
    near_edge,
    share_or_threshold,
)
from hsicfast.trials.table import TrialTable

if TYPE_CHECKING:
    import pandas as pd


# A hyperparameter counts as found if its adjusted p-value is at most this.
ALPHA = 0.05
# The test at several goals and bandwidths at once, beside those of one goal; see hsicfast.evidence.joint.
JOINT = "joint"
# What the joint test asks of the objective: its good end, or all of it.
About = Literal["goal", "objective"]
ABOUT: dict[About, tuple[float, ...]] = {"goal": GOOD_SHARES, "objective": ALL_SHARES}
# A notebook shows so many hyperparameters.
SHOWN = 20
TESTS = (JOINT, *get_args(checks.IndependenceTest))


@dataclass(frozen=True)
class Question:
    """What the analysis asks of the trials: which goal, with which kernel and test.

    Attributes
    ----------
    goal : float in (0, 1), Threshold or "auto"
        Best fraction, the value that the objective must reach, or the fraction that suits the number of trials.
    minimize : bool
        Whether a small objective is good.
    bandwidth : float
        Bandwidth of the Gaussian kernel.
    test : {"joint", "permutation", "asymptotic", "gamma"}
    n_permutations, seed : int
    confidence : float
        Confidence of the intervals.
    law : {"space", "ranks"}
        What maps values to [0, 1].
    about : {"goal", "objective"}
        What the joint test asks of: the good end of the objective, or all of it.
    """

    goal: float | Threshold | Auto
    minimize: bool
    bandwidth: float
    test: str
    n_permutations: int
    seed: int
    confidence: float
    law: Law
    about: About = "goal"

    def checked(self, n: int) -> Question:
        """This question about n trials, with a goal that is a share or a threshold.

        Raises
        ------
        InputError
            If an option is out of its range.
        """
        check_one_of("test", self.test, TESTS)
        checks.check_test(None, self.n_permutations, self.seed, self.confidence)
        check_one_of("question", self.about, tuple(ABOUT))
        if self.about != "goal" and self.test != JOINT:
            raise InputError(
                f"question={self.about!r} is asked by the joint test alone, but got test={self.test!r}; leave one of "
                "both out, and read trials in files into a frame"
            )
        if not (math.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise InputError(
                f"`bandwidth > 0` must hold, but got bandwidth={self.bandwidth}; the default suits carried values"
            )
        return replace(self, goal=share_or_threshold(self.goal, n))

    def losses(self, objective: Objective) -> Objective:
        """Objectives as losses: a small loss is good."""
        return losses_of(objective, self.minimize)

    def met(self, objective: Floats) -> Goal:
        """Which of the trials with these objectives (m,) met the goal, and the worst objective that met it."""
        goal = self.goal
        if isinstance(goal, Threshold):
            goal = Threshold(losses_of(goal.value, self.minimize))
        met, threshold = goal_of(self.losses(objective), goal)
        return Goal(met, losses_of(threshold, self.minimize))

    def edge(self, objective: Floats) -> Rows:
        """Rows of the trials next to the goal's edge; none if the edge was given."""
        if isinstance(self.goal, Threshold):
            return np.empty(0, dtype=np.intp)
        share = float(self.met(objective).met.mean()) if self.goal == AUTO else self.goal
        return near_edge(self.losses(objective), share)

    def share(self, n: int) -> float:
        """The best fraction that is asked for among n trials; NaN if the goal is a threshold."""
        if isinstance(self.goal, Threshold):
            return math.nan
        return auto_share(n) if self.goal == AUTO else self.goal

    def asked(self, objective: Floats) -> Bools:
        """Which of the trials met each goal of the joint test (G, m), the question's own first."""
        return goals_asked(self.losses(objective), self.met(objective).met, ABOUT[self.about])


@dataclass(frozen=True)
class Index:
    """One hyperparameter's goal-oriented index and its evidence; NaN if its group has fewer than 4 trials.

    Attributes
    ----------
    name : str
    hsic, r2 : float
        HSIC(U, Z), and HSIC(U, Z) / sqrt(HSIC(U, U) HSIC(Z, Z)).
    pvalue, pvalue_holm, pvalue_bh : float
        P-values for independence: not adjusted, and adjusted over all hyperparameters for the family-wise error (by
        the joint test's own permutations, by Holm for the other tests) and for the false discovery rate.
    ci_low, ci_high : float
        Confidence interval of the index.
    noise_floor : float
        Mean of the index under independence.
    n : int
        Number of trials in which the hyperparameter exists.
    group : str
        ``main``, or the conditions under which it exists.
    importance : float
        R2 above what chance gives, as its mean over the goals and bandwidths of the joint test, times the share of the
        trials in which the hyperparameter exists: the number that ranks them if no goal was asked for. NaN for trials
        in files.
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
    importance: float = math.nan

    @property
    def matters(self) -> bool:
        """Whether there is evidence that the hyperparameter decides: an adjusted p-value of at most 5%."""
        return self.pvalue_holm <= ALPHA


def by_importance(indices: Iterable[Index], question: Question) -> bool:
    """Whether the importance over goals ranks hyperparameters: no goal was asked for, and it is known."""
    return question.goal == AUTO and not any(math.isnan(own.importance) for own in indices if own.hsic > 0)


@dataclass(frozen=True)
class Pair:
    """Two hyperparameters together.

    Attributes
    ----------
    first, second : str
    hsic : float
        The published index, with the product of both kernels. It contains both main effects.
    pure : float
        The index without both main effects: each kernel is orthogonal to constants under the uniform distribution.
    pvalue : float
        P-value for a goal that depends on neither, by permutations of the goal; not adjusted for the number of pairs.
    pvalue_pure : float
        P-value for no interaction, whatever the main effects, by random signs of the trials' terms and permutations of
        either partner; not adjusted. NaN if both move together, or both with a third: what they do is then not apart.
    dependence : float
        P-value for values of both that do not depend on each other; not adjusted.
    """

    first: str
    second: str
    hsic: float
    pure: float
    pvalue: float
    pvalue_pure: float
    dependence: float = math.nan


class Carried(NamedTuple):
    """A hyperparameter where it exists: values mapped to [0, 1] (m,), widths (m,), which met the group's goal (m,)."""

    u: Floats
    width: Floats
    z: Bools


@dataclass(frozen=True)
class Streamed:
    """What is known about all judged trials if they were too many to keep.

    Attributes
    ----------
    n, met : int
        Number of judged trials, and of those that met the goal.
    rank_error : float
        Largest error of a rank, as a share of all ranks; 0 if the distributions of the space mapped the values.
    """

    n: int
    met: int
    rank_error: float


@dataclass(frozen=True, repr=False)
class Findings:
    """What an analysis found.

    Attributes
    ----------
    trials : TrialTable
        The trials that were judged. If they came as a stream, a uniform random sample of them, on which everything but
        the indices rests.
    goal : float, int or Threshold
        As it was given, "auto" as what it means: the best fraction, a number of best trials, or the value that the
        objective must reach.
    question : Question
    met : bool array
        Which of `trials` met the goal.
    threshold : float
        Worst objective that met it.
    counts : dict
        Number of trials of each status; the lost ones are not judged.
    failed, pruned : str
        How diverged and pruned trials counted.
    indices : tuple of Index
        Main group first, strongest first within a group.
    cost_indices : tuple of Index
        The same for the goal "among the cheapest"; empty if costs are unknown or all equal.
    pair_indices : tuple of Pair
        Strongest first.
    streamed : Streamed, optional
        None if `trials` are all trials that were judged.
    critical : float
        The statistic of the joint test that counts as found; NaN if another test was made.
    infeasible : int
        How many trials broke a constraint; they are among the diverged ones of `counts`, and count as not good.
    repeats : int
        How many rows repeated the configuration of another and were averaged with it.
    redraws : tuple of Redraws
        What the joint test saw beside `trials`.
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
    critical: float = math.nan
    repeats: int = 0
    infeasible: int = 0
    redraws: tuple[Redraws, ...] = ()

    def __repr__(self) -> str:
        found = named(self.significant()) or "nothing that was found"
        judged = f"{self.n:,} trials, {self.n_met:,} of them good"
        return f"{type(self).__name__}({judged}; of {len(self.indices)} hyperparameters decide: {found})"

    def _repr_html_(self) -> str:
        rows = [(clip(i.name), clip(i.group), ratio(i.r2), p_text(i.pvalue_holm)) for i in self.indices[:SHOWN]]
        return html_table(repr(self), ("name", "group", "R2", "p-value, adjusted"), rows)

    @property
    def n(self) -> int:
        """Number of trials that were judged."""
        return len(self.trials) if self.streamed is None else self.streamed.n

    @property
    def n_met(self) -> int:
        """Number of judged trials that met the goal."""
        return int(self.met.sum()) if self.streamed is None else self.streamed.met

    @property
    def by_importance(self) -> bool:
        """Whether the importance over goals ranks the hyperparameters, see :func:`by_importance`."""
        return by_importance(self.indices, self.question)

    def __getitem__(self, name: str) -> Index:
        """The index of hyperparameter `name`."""
        return next(index for index in self.indices if index.name == name)

    def significant(self, alpha: float = ALPHA) -> list[str]:
        """Names whose adjusted p-value is at most `alpha`, strongest group and index first."""
        return [index.name for index in self.indices if index.pvalue_holm <= alpha]

    def groups(self) -> list[list[Index]]:
        """The indices of hyperparameters that exist under the same conditions and are known in the same trials."""
        place = {name: at for at, (_, names) in enumerate(self.trials.groups()) for name in names}
        members: dict[int, list[Index]] = {}
        for index in self.indices:
            members.setdefault(place[index.name], []).append(index)
        return list(members.values())

    def carried(self, name: str) -> Carried:
        """Values of `name` mapped to [0, 1], and which trials met its group's goal.

        They are computed once, so do not write into the arrays.
        """
        if name not in self._known:
            rows = np.flatnonzero(self.trials.active(name))
            u, width = carry(self.trials, name, rows, self.question.law)
            self._known[name] = Carried(u, width, self.question.met(self.trials.objective[rows]).met)
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, Carried]:
        # Ranks sort all trials, and verdicts, pictures and the search ask for the same names.
        return {}

    def to_frame(self) -> pd.DataFrame:
        """Indices as a frame, indexed by ``name``: hsic, r2, pvalue, pvalue_holm, pvalue_bh, ci, noise_floor, ..."""
        return _frame(self.indices)

    def cost_frame(self) -> pd.DataFrame:
        """The frame of :meth:`to_frame` for the indices about cost."""
        return _frame(self.cost_indices)

    @property
    def pairs(self) -> pd.DataFrame:
        """Pairs as a frame: first, second, hsic, pure, pvalue, pvalue_pure, dependence."""
        import pandas as pd

        return pd.DataFrame(self.pair_indices, columns=[field.name for field in fields(Pair)])


def _frame(indices: Iterable[Index]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(indices), columns=[field.name for field in fields(Index)]).set_index("name")
