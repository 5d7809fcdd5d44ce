"""Trials of a search as evidence: in some of them, drawn by lot, one hyperparameter is moved away.

An optimiser proposes values because of what came of others, so that its trials alone show nothing about a
hyperparameter: good values and late trials go together, and so do values of one hyperparameter and of another. But if
a lot that knows nothing says in which of a dozen proposals a hyperparameter is moved away from the value proposed,
then, if it has no influence, these few are as good as the others, whatever the optimiser did. If it decides, they are
the worst. The test compares the ranks of both (the rank sum of Wilcoxon, one side, exact).

Which hyperparameter is asked about, when, and where it is moved to, may depend on all that was seen before: only the
lot must not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from hsicfast.arrays import Bools, Floats
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import COIN, DONE, LOST, stream_seed

# Each question takes ASKED proposals, in MOVED of which the hyperparameter is moved away. If it has no influence, these
# are the worst of all with probability 1 / 220.
ASKED, MOVED = 12, 3
# With fewer on one side, because the run was cut short, no rank sum is rare enough.
FEWEST_MOVED = 2
# A number is moved by at least this share of its range.
FAR = 1 / 3
# A value that is no number is drawn until it is another one, at most MOST_DRAWN times.
MOST_DRAWN = 64


@dataclass(frozen=True)
class Redraws:
    """The trials of a search that ask about one hyperparameter.

    Attributes
    ----------
    name : str
        The hyperparameter.
    losses : float array (m,)
        Of the trials; NaN, the worst, for one that diverged.
    moved : bool array (m,)
        In which of them the hyperparameter was moved away; each choice of that many trials was equally likely.
    """

    name: str
    losses: Floats
    moved: Bools

    @property
    def says(self) -> bool:
        """Whether there are trials enough on either side."""
        return FEWEST_MOVED <= int(self.moved.sum()) <= len(self.moved) - FEWEST_MOVED

    @cached_property
    def lots(self) -> tuple[float, Floats]:
        """The p-value of the rank sum, and the p-values of all lots, the one drawn among them.

        Examples
        --------
        >>> losses = np.array([0.1, 0.9, 0.2, 0.3, 0.8, 0.25, 0.15, 0.7, 0.12])
        >>> pvalue, every = Redraws("rate", losses, losses > 0.5).lots
        >>> round(pvalue * 84), len(every), sorted((every * 84).round().astype(int).tolist())[:5]
        (1, 84, [1, 2, 4, 4, 7])
        """
        from scipy.stats import rankdata

        ranks = rankdata(np.where(np.isnan(self.losses), math.inf, self.losses))
        lots = np.array(list(combinations(range(len(ranks)), int(self.moved.sum()))), dtype=np.intp)
        sums = ranks[lots].sum(axis=1)
        pvalues = 1 - np.searchsorted(np.sort(sums), [ranks[self.moved].sum(), *sums], side="left") / len(sums)
        return float(pvalues[0]), pvalues[1:]

    @property
    def pvalue(self) -> float:
        """The probability that another lot would have had trials as bad, or worse."""
        return self.lots[0]


class Lots:
    """Draws by lot in which proposals of a search a hyperparameter is moved away, and keeps which trials ask about it.

    Parameters
    ----------
    space : SearchSpace
    seed : int
        Of the run. A lot depends on the seed and on the index of the trial alone.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space, self.seed = space, seed
        self._drawn: dict[str, Bools] = {}
        self._asked: dict[str, list[int]] = {}

    @property
    def asked(self) -> frozenset[str]:
        """The hyperparameters that were asked about so far."""
        return frozenset(self._asked)

    def ask(self, index: int, params: dict[str, Any], most: int, choose: Callable[[], Sequence[str]]) -> dict[str, Any]:
        """The `params` of trial `index`; if the lot falls on it, the hyperparameter that is asked about is moved away.

        Parameters
        ----------
        index : int
        params : dict
            As they were proposed.
        most : int
            How many hyperparameters may be asked about.
        choose : callable
            Returns the names that may be asked about, the most interesting first. It is called once the one before has
            had its trials.
        """
        name = next((own for own, asked in self._asked.items() if len(asked) < ASKED and own in params), None)
        if name is None and len(self._asked) < most:
            name = next((own for own in choose() if own in params and own not in self._asked), None)
            if name is not None:
                random = np.random.default_rng(stream_seed(self.seed, index, COIN))
                self._drawn[name] = random.permutation(np.arange(ASKED) < MOVED)
                self._asked[name] = []
        if name is None:
            return params
        self._asked[name].append(index)
        if not self._drawn[name][len(self._asked[name]) - 1]:
            return params
        return {**params, name: self._away(name, params[name], index)}

    def _away(self, name: str, value: Any, index: int) -> Any:
        """Another value of hyperparameter `name`, far from `value` if it is a number."""
        kind, random = self.space[name], np.random.default_rng(stream_seed(self.seed, index, COIN) + 1)
        if isinstance(kind, Float | Int):
            at = float(kind.to_unit(np.array([value], dtype=np.float64))[0])
            below, above = max(at - FAR, 0.0), max(1 - at - FAR, 0.0)
            drawn = random.random() * (below + above)
            return kind.from_unit(drawn if drawn < below else at + FAR + drawn - below)
        others = (kind.from_unit(random.random()) for _ in range(MOST_DRAWN))
        return next((other for other in others if other != value), value)

    def redraws(self, table: TrialTable) -> tuple[Redraws, ...]:
        """What the trials of `table` say about each hyperparameter that was asked about."""
        rows = {int(index): row for row, index in enumerate(table.index) if table.status[row] != LOST}
        found = []
        for name, asked in self._asked.items():
            own = [
                (rows[index], moved) for index, moved in zip(asked, self._drawn[name], strict=False) if index in rows
            ]
            at = np.array([row for row, _ in own], dtype=np.intp)
            losses = np.where(table.status[at] == DONE, table.losses[at], math.nan)
            found.append(Redraws(name, losses, np.array([moved for _, moved in own], dtype=bool)))
        return tuple(found)
