"""Which hyperparameters decide whether a network ends among the good ones, how sure that is, and what to do about it.

The flow, from the inside out:

1. a :class:`SearchSpace` says what each hyperparameter may be and carries it to [0, 1];
2. :func:`goal_hsic` measures how much a carried hyperparameter decides about reaching the goal;
3. :func:`analyse` does so for a whole table of trials, with tests, pairs and conditional groups;
4. :func:`minimize` alternates rounds of training and analysis, and finds the good, cheap network.

Method: Novello, Poëtte, Lugato, Congedo, Goal-oriented sensitivity analysis of hyperparameters in deep learning,
J. Sci. Comput. 94:45 (2023).
"""

from typing import TYPE_CHECKING, Any

from hsicfast.dependence.anova import AnovaIndices, anova_indices
from hsicfast.dependence.hsic import HSICResult, Spectrum, center, goal_hsic, gram, hsic
from hsicfast.errors import InputError, RunError
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials.goal import Threshold
from hsicfast.trials.parquet import ParquetTrials
from hsicfast.trials.table import TrialTable
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    from hsicfast.search.orchestrator import Result, minimize
    from hsicfast.trials.sources import Reading, read_trials

__all__ = [
    "AnovaIndices",
    "Bool",
    "Choice",
    "Float",
    "HSICResult",
    "InputError",
    "Int",
    "ParquetTrials",
    "Reading",
    "Result",
    "RunError",
    "SearchSpace",
    "Sensitivity",
    "Spectrum",
    "Threshold",
    "Trial",
    "TrialTable",
    "analyse",
    "anova_indices",
    "center",
    "goal_hsic",
    "gram",
    "hsic",
    "minimize",
    "read_trials",
]


def __getattr__(name: str) -> Any:
    """Rounds and readers when they are asked for: whoever only measures need not wait for pools, stores and formats."""
    if name in ("Result", "minimize"):
        from hsicfast.search import orchestrator

        return getattr(orchestrator, name)
    if name in ("Reading", "read_trials"):
        from hsicfast.trials import sources

        return getattr(sources, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
