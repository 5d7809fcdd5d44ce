"""Do we find the relevant set? We and Optuna's evaluators judge the same trials of functions whose truth is known.

A hyperparameter is relevant if the function depends on it at all, which no single goal shows. So we ask six questions
of the same trials: what decides which trials are among the best and among the worst 10, 20 and 40%. The index is a
squared distance; the distance of a hyperparameter is the root of the mean of ``R2 - E R2``, and we choose the
hyperparameter if its distance is at least 6% of the sum.

Optuna's evaluators rank and do not choose. For each n, each of them gets the threshold that maximises its mean F1 over
all functions and seeds, and the best of its variants below. Both are known only with hindsight, in its favour.
"""

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from rich.progress import track

from benches.functions import FUNCTIONS
from hsicfast import Bool, Choice, TrialTable, analyse
from hsicfast.space.distributions import distribution
from hsicfast.space.hyperparameters import Hyperparameter

SIZES = (50, 100, 200, 500)
GOALS = (0.1, 0.2, 0.4)
QUESTIONS = tuple(product(GOALS, (True, False)))  # best fraction, and whether small values are the best
BANDWIDTH = 0.15  # half the default, so that we also see an effect that rises and falls twice within the range
SHARE = 0.06  # between 5% and 7% F1 changes by at most 0.011 on the seeds that it was chosen on, all from 1000 on
# fANOVA with its 64 trees takes 10 seconds for a study of 500 trials; with 16 trees its F1 is the same within 0.006.
TREES, FEW_TREES, MANY_TRIALS = 64, 16, 200

Scores = dict[str, float]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Variant = tuple[str, str]  # evaluator, and how it is used


class Row(NamedTuple):
    """How well a method finds the relevant set with `n` trials: means over functions and seeds.

    `threshold` is that of a peer, with its variant; ours has none.
    """

    n: int
    who: str
    precision: float
    recall: float
    f1: float
    threshold: str


class Answer(NamedTuple):
    """One study: the truth, our choice, and the importances of each variant for the names that it ranks."""

    names: tuple[str, ...]
    relevant: frozenset[str]
    ours: frozenset[str]
    peers: dict[Variant, Scores]


def known_answers(seeds: int) -> Iterator[list[Row]]:
    """The rows of each n, ours first.

    A cache holds fANOVA's trees for ever, so each n has processes of its own. We do not renew them after a few studies
    (`max_tasks_per_child`), because Python 3.11 may then wait for ever.
    """
    workers = multiprocessing.get_context("spawn")
    for n in SIZES:
        with ProcessPoolExecutor(os.cpu_count(), workers, initializer=be_quiet) as pool:
            found = pool.map(partial(answers, n), range(seeds))
            yield rows(n, [answer for few in track(found, f"n = {n}", seeds, transient=True) for answer in few])


def be_quiet() -> None:
    """Silence Optuna's messages about small branches, a raw `target`, and experimental arguments."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=UserWarning)


def answers(n: int, seed: int) -> list[Answer]:
    """One answer for each function."""
    return [
        Answer(tuple(function.space), function.relevant, ours(table), peers(table))
        for function in FUNCTIONS
        for table in [function.trials(n, seed)]
    ]


def ours(table: TrialTable) -> frozenset[str]:
    """The names with at least SHARE of the distance; one that too few trials have counts as 0."""
    distance = {name: float(np.sqrt(max(np.mean(parts), 0.0))) for name, parts in excesses(table).items()}
    return frozenset(name for name, own in distance.items() if own > 0 and own >= SHARE * sum(distance.values()))


def excesses(table: TrialTable) -> dict[str, list[float]]:
    """``R2 - E R2`` of each hyperparameter, one value for each question."""
    found: dict[str, list[float]] = {name: [] for name in table.space}
    for goal, minimize in QUESTIONS:
        asked = analyse(
            table.space, table, goal=goal, minimize=minimize, bandwidth=BANDWIDTH, test="gamma", pairs=False
        )
        for index in asked.indices:
            known = index.hsic > 0  # not if NaN, as in a branch with fewer than 4 trials
            found[index.name].append(index.r2 * (1 - index.noise_floor / index.hsic) if known else 0.0)
    return found


def peers(table: TrialTable) -> dict[Variant, Scores]:
    """The importances of each variant, not normalised unless its name says so, which is better for each of them.

    PED-ANOVA judges conditional hyperparameters itself. The forests rank only hyperparameters that exist in all trials
    they get, so each one is judged among the trials that have it, together with all others that these trials have.
    """
    study = study_of(table)
    found: dict[Variant, Scores] = {}
    for goal in GOALS:
        found["PED-ANOVA", f"goal {goal}"] = PedAnovaImportanceEvaluator(target_quantile=goal).evaluate(study)
    both = [ped_anova(study, goal, minimize) for goal, minimize in QUESTIONS]
    found["PED-ANOVA, six questions", "mean"] = mean(both)
    found["PED-ANOVA, six questions", "mean of shares"] = mean([shares(scores) for scores in both])
    for who, evaluator in forests(len(table)).items():
        scores = by_branch(table, study, evaluator)
        found[who, "as it is"] = scores
        found[who, "weighted"] = {name: own * float(table.active(name).mean()) for name, own in scores.items()}
    return found


def forests(n: int) -> dict[str, Callable[[], BaseImportanceEvaluator]]:
    """The forests, if scikit-learn is installed."""
    if not find_spec("sklearn"):
        return {}
    trees = TREES if n < MANY_TRIALS else FEW_TREES
    return {
        "fANOVA": partial(FanovaImportanceEvaluator, n_trees=trees, seed=0),
        "MDI": partial(MeanDecreaseImpurityImportanceEvaluator, seed=0),
    }


def ped_anova(study: optuna.Study, goal: float, minimize: bool) -> Scores:
    """PED-ANOVA for the best or the worst end; it takes a small target as good."""
    target = None if minimize else (lambda trial: -trial.value)
    return PedAnovaImportanceEvaluator(target_quantile=goal).evaluate(study, target=target)


def by_branch(table: TrialTable, study: optuna.Study, evaluator: Callable[[], BaseImportanceEvaluator]) -> Scores:
    """The importance of each hyperparameter among the trials that have it; 0 if they do not differ."""
    branches: dict[bytes, list[str]] = {}
    for name in table.space:
        branches.setdefault(table.active(name).tobytes(), []).append(name)
    found: Scores = {}
    for own in branches.values():
        here = table.active(own[0])
        together = [name for name in table.space if here.any() and table.active(name)[here].all()]
        try:
            judged = evaluator().evaluate(study, params=together)
        except RuntimeError:  # fANOVA raises it for trees without variance
            judged = {}
        found |= {name: judged.get(name, 0.0) for name in own}
    return found


def study_of(table: TrialTable) -> optuna.Study:
    """The trials as an Optuna study."""
    laws = {name: law(hyperparameter) for name, hyperparameter in table.space.items()}
    study = optuna.create_study()
    for trial in table:
        own = {name: laws[name] for name in trial.params}
        study.add_trial(optuna.trial.create_trial(params=trial.params, distributions=own, value=trial.objective))
    return study


def law(hyperparameter: Hyperparameter) -> optuna.distributions.BaseDistribution:
    if isinstance(hyperparameter, Choice | Bool):
        return optuna.distributions.CategoricalDistribution(hyperparameter.choices)
    return distribution(hyperparameter)


def mean(several: list[Scores]) -> Scores:
    return {name: float(np.mean([scores[name] for scores in several])) for name in several[0]}


def shares(scores: Scores) -> Scores:
    total = sum(scores.values())
    return {name: own / total if total > 0 else 0.0 for name, own in scores.items()}


def rows(n: int, found: list[Answer]) -> list[Row]:
    """Our row, then the best variant of each evaluator at its best threshold."""
    width = max(len(answer.names) for answer in found)
    truth = matrix([[name in answer.relevant for name in answer.names] for answer in found], width, False)
    chosen = matrix([[name in answer.ours for name in answer.names] for answer in found], width, False)
    best = {"ours": Row(n, "ours", *quality(chosen, truth), "-")}
    for variant in found[0].peers:
        who, how = variant
        scores = [[answer.peers[variant].get(name, -np.inf) for name in answer.names] for answer in found]
        row = with_hindsight(n, who, how, matrix(scores, width, -np.inf), truth)
        best[who] = max(best.get(who, row), row, key=lambda row: row.f1)
    return list(best.values())


def with_hindsight(n: int, who: str, how: str, scores: Floats, truth: Any) -> Row:
    """The row at the threshold with the best mean F1 among all importances; the least of them chooses everything."""
    tried = [(quality(scores >= threshold, truth), threshold) for threshold in np.unique(scores[np.isfinite(scores)])]
    best, threshold = max(tried, key=lambda found: found[0][2])
    return Row(n, who, *best, f"{threshold:.4f}, {how}")


def quality(chosen: Any, truth: Any) -> tuple[float, float, float]:
    """Precision, recall and F1 of choices (studies, names), each the mean over the studies; 0 if none is chosen."""
    hits = (chosen & truth).sum(axis=1)
    precision, recall = hits / np.maximum(chosen.sum(axis=1), 1), hits / truth.sum(axis=1)
    f1 = 2 * hits / (chosen.sum(axis=1) + truth.sum(axis=1))
    return float(precision.mean()), float(recall.mean()), float(f1.mean())


def matrix(lines: list[list[Any]], width: int, filler: Any) -> Any:
    """Lines of different lengths as one array (lines, width)."""
    return np.array([line + [filler] * (width - len(line)) for line in lines])
