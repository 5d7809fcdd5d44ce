"""Which hyperparameters decide whether a network ends among the good ones, how sure that is, and what to do about it.

The flow, from the inside out:

1. a :class:`SearchSpace` says what each hyperparameter may be and carries it to [0, 1];
2. :func:`goal_hsic` measures how much a carried hyperparameter decides about reaching the goal;
3. :func:`analyse` does so for a whole table of trials, with tests, pairs and conditional groups;
4. :func:`minimize` alternates rounds of training and analysis, and finds the good, cheap network.

Method: Novello, Poëtte, Lugato, Congedo, Goal-oriented sensitivity analysis of hyperparameters in deep learning,
J. Sci. Comput. 94:45 (2023).
"""

from hsicfast.anova import AnovaIndices, anova_indices
from hsicfast.errors import InputError
from hsicfast.hsic import HSICResult, Spectrum, center, goal_hsic, gram, hsic
from hsicfast.orchestrator import Result, minimize
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.space import Bool, Choice, Float, Int, SearchSpace
from hsicfast.trials import Trial, TrialTable

__all__ = [
    "AnovaIndices",
    "Bool",
    "Choice",
    "Float",
    "HSICResult",
    "InputError",
    "Int",
    "Result",
    "SearchSpace",
    "Sensitivity",
    "Spectrum",
    "Trial",
    "TrialTable",
    "analyse",
    "anova_indices",
    "center",
    "goal_hsic",
    "gram",
    "hsic",
    "minimize",
]
