"""Which hyperparameters decide whether a network ends among the good ones, how sure that is, and what to do about it.

From the inside out:

1. a :class:`SearchSpace` says what each hyperparameter may be and maps it to [0, 1];
2. :func:`goal_hsic` measures how much a hyperparameter decides about reaching the goal;
3. :func:`analyse` (or `analyze`) does so for a whole table of trials, with tests, pairs and conditional groups;
4. :func:`minimize` alternates rounds of training and analysis, and finds the good, cheap network.

Method: Novello, Poëtte, Lugato, Congedo, Goal-oriented sensitivity analysis of hyperparameters in deep learning,
J. Sci. Comput. 94:45 (2023).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsicfast.dependence.anova import AnovaIndices, anova_indices
    from hsicfast.dependence.hsic import HSICResult, Spectrum, center, goal_hsic, gram, hsic
    from hsicfast.errors import InputError, RunError
    from hsicfast.reading.known import Known
    from hsicfast.reading.sources import Reading, read_trials
    from hsicfast.search.ledger import Interrupted
    from hsicfast.search.orchestrator import Result, minimize
    from hsicfast.search.strategies import Hsic, Random, TwoStep
    from hsicfast.sensitivity import Sensitivity, analyse
    from hsicfast.space.search_space import Bool, Choice, Float, Int, SearchSpace
    from hsicfast.training.executors import Local, Processes, Ray
    from hsicfast.trials.goal import Threshold
    from hsicfast.trials.parquet import ParquetTrials
    from hsicfast.trials.table import TrialTable
    from hsicfast.trials.trial import Trial

    __version__: str

__all__ = [
    "AnovaIndices",
    "Bool",
    "Choice",
    "Float",
    "HSICResult",
    "Hsic",
    "InputError",
    "Int",
    "Interrupted",
    "Known",
    "Local",
    "ParquetTrials",
    "Processes",
    "Random",
    "Ray",
    "Reading",
    "Result",
    "RunError",
    "SearchSpace",
    "Sensitivity",
    "Spectrum",
    "Threshold",
    "Trial",
    "TrialTable",
    "TwoStep",
    "__version__",
    "analyse",
    "anova_indices",
    "center",
    "goal_hsic",
    "gram",
    "hsic",
    "minimize",
    "read_trials",
]

# Where each name comes from, once somebody asks for it: who only measures needs no pools, stores or formats, who only
# trains no compiled loops, and a command says first how it wants to import.
_PLACES = {
    "hsicfast.dependence.anova": ("AnovaIndices", "anova_indices"),
    "hsicfast.dependence.hsic": ("HSICResult", "Spectrum", "center", "goal_hsic", "gram", "hsic"),
    "hsicfast.errors": ("InputError", "RunError"),
    "hsicfast.reading.known": ("Known",),
    "hsicfast.reading.sources": ("Reading", "read_trials"),
    "hsicfast.search.ledger": ("Interrupted",),
    "hsicfast.search.orchestrator": ("Result", "minimize"),
    "hsicfast.search.strategies": ("Hsic", "Random", "TwoStep"),
    "hsicfast.sensitivity": ("Sensitivity", "analyse"),
    "hsicfast.space.search_space": ("Bool", "Choice", "Float", "Int", "SearchSpace"),
    "hsicfast.training.executors": ("Local", "Processes", "Ray"),
    "hsicfast.trials.goal": ("Threshold",),
    "hsicfast.trials.parquet": ("ParquetTrials",),
    "hsicfast.trials.table": ("TrialTable",),
    "hsicfast.trials.trial": ("Trial",),
}
_LAZY = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A name that is imported on demand."""
    if name == "__version__":
        from importlib.metadata import version

        return version("hsicfast")
    if name == "analyze":  # the module of the command, which can be called
        return import_module("hsicfast.analyze")
    if name in _LAZY:
        found = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "Any", "import_module"})
