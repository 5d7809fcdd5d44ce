"""Is the relevant set found? On functions whose truth is known, ours beside Optuna's evaluators on the same trials.

Relevant is what the function depends on at all, which no one goal shows. Six questions are asked of the same trials:
what decides who ends among the best and among the worst 10, 20 and 40%. The index is a squared distance; a
hyperparameter's distance is the root of the mean of ``R2 - E R2``, and it is chosen where that is at least 6% of all.

An evaluator of Optuna's ranks and does not choose. It is given, for each n, the one threshold that maximises its mean
F1 over all functions and seeds, and of its variants below the best one: known only with hindsight, and in its favour.
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
QUESTIONS = tuple(product(GOALS, (True, False)))  # best fraction, and whether it is that of the smallest
BANDWIDTH = 0.15  # half the default: an effect that rises and falls twice within the range is seen, too
SHARE = 0.06  # between 5% and 7% F1 changes by 0.011 at most on the seeds it was chosen on, all from 1000
# fANOVA takes 10 seconds a study of 500 trials with its 64 trees; with 16 its F1 there is the same within 0.006.
TREES, FEW_TREES, MANY_TRIALS = 64, 16, 200

Scores = dict[str, float]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Variant = tuple[str, str]  # evaluator, and how it is used


class Row(NamedTuple):
    """How well one finds the relevant set of `n` trials: means over functions and seeds.

    `threshold` is that of a peer, with its variant; ours is given none.
    """

    n: int
    who: str
    precision: float
    recall: float
    f1: float
    threshold: str


class Answer(NamedTuple):
    """Of one study: the truth, our choice, and each variant's importances of the names it ranks."""

    names: tuple[str, ...]
    relevant: frozenset[str]
    ours: frozenset[str]
    peers: dict[Variant, Scores]


def known_answers(seeds: int) -> Iterator[list[Row]]:
    """Rows of each n, ours first.

    fANOVA's trees are never freed, for a cache of theirs holds them: each n has processes of its own. Not one for each
    few studies (`max_tasks_per_child`), after which Python 3.11 may wait for ever.
    """
    workers = multiprocessing.get_context("spawn")
    for n in SIZES:
        with ProcessPoolExecutor(os.cpu_count(), workers, initializer=be_quiet) as pool:
            found = pool.map(partial(answers, n), range(seeds))
            yield rows(n, [answer for few in track(found, f"n = {n}", seeds, transient=True) for answer in few])


def be_quiet() -> None:
    """Of what Optuna says about small branches, a `target` that is taken as it is, and experimental arguments."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=UserWarning)


def answers(n: int, seed: int) -> list[Answer]:
    """One of each function."""
    return [
        Answer(tuple(function.space), function.relevant, ours(table), peers(table))
        for function in FUNCTIONS
        for table in [function.trials(n, seed)]
    ]


def ours(table: TrialTable) -> frozenset[str]:
    """What has at least its share of the distance; of an index that too few trials have, nothing is known."""
    distance = {name: float(np.sqrt(max(np.mean(parts), 0.0))) for name, parts in excesses(table).items()}
    return frozenset(name for name, own in distance.items() if own > 0 and own >= SHARE * sum(distance.values()))


def excesses(table: TrialTable) -> dict[str, list[float]]:
    """``R2 - E R2`` of each hyperparameter, one a question."""
    found: dict[str, list[float]] = {name: [] for name in table.space}
    for goal, minimize in QUESTIONS:
        asked = analyse(
            table.space, table, goal=goal, minimize=minimize, bandwidth=BANDWIDTH, test="gamma", pairs=False
        )
        for index in asked.indices:
            known = index.hsic > 0  # NaN of a branch with fewer than 4 trials is not
            found[index.name].append(index.r2 * (1 - index.noise_floor / index.hsic) if known else 0.0)
    return found


def peers(table: TrialTable) -> dict[Variant, Scores]:
    """Importances of each variant, none of them normalised unless it says so: the better way for each of them.

    PED-ANOVA judges conditional hyperparameters itself. The forests rank only what exists in all trials they are shown;
    each hyperparameter is judged among the trials where it exists, together with all that exist in each of those.
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
    """Those that are there; they need scikit-learn."""
    if not find_spec("sklearn"):
        return {}
    trees = TREES if n < MANY_TRIALS else FEW_TREES
    return {
        "fANOVA": partial(FanovaImportanceEvaluator, n_trees=trees, seed=0),
        "MDI": partial(MeanDecreaseImpurityImportanceEvaluator, seed=0),
    }


def ped_anova(study: optuna.Study, goal: float, minimize: bool) -> Scores:
    """PED-ANOVA of either end; it takes a small target as good."""
    target = None if minimize else (lambda trial: -trial.value)
    return PedAnovaImportanceEvaluator(target_quantile=goal).evaluate(study, target=target)


def by_branch(table: TrialTable, study: optuna.Study, evaluator: Callable[[], BaseImportanceEvaluator]) -> Scores:
    """Each hyperparameter's importance among the trials where it exists; 0 where there is nothing to tell apart."""
    branches: dict[bytes, list[str]] = {}
    for name in table.space:
        branches.setdefault(table.active(name).tobytes(), []).append(name)
    found: Scores = {}
    for own in branches.values():
        here = table.active(own[0])
        together = [name for name in table.space if here.any() and table.active(name)[here].all()]
        try:
            judged = evaluator().evaluate(study, params=together)
        except RuntimeError:  # fANOVA's, of trees without variance
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
    """Ours, then each evaluator's best variant at its best threshold."""
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
    """At the threshold with the best mean F1 among all importances; at the least of them everything is chosen."""
    tried = [(quality(scores >= threshold, truth), threshold) for threshold in np.unique(scores[np.isfinite(scores)])]
    best, threshold = max(tried, key=lambda found: found[0][2])
    return Row(n, who, *best, f"{threshold:.4f}, {how}")


def quality(chosen: Any, truth: Any) -> tuple[float, float, float]:
    """Precision, recall and F1 of choices (studies, names), each the mean over the studies; 0 where none is chosen."""
    hits = (chosen & truth).sum(axis=1)
    precision, recall = hits / np.maximum(chosen.sum(axis=1), 1), hits / truth.sum(axis=1)
    f1 = 2 * hits / (chosen.sum(axis=1) + truth.sum(axis=1))
    return float(precision.mean()), float(recall.mean()), float(f1.mean())


def matrix(lines: list[list[Any]], width: int, filler: Any) -> Any:
    """Lines of different lengths as one array (lines, width)."""
    return np.array([line + [filler] * (width - len(line)) for line in lines])
