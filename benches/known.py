"""Do we find the relevant set? We and Optuna's evaluators judge the same trials of functions whose truth is known.

A hyperparameter is relevant if the function depends on it at all, alone or together with others. So our ranking is that
of ``Sensitivity.totals`` about the whole objective: the harmonic mean of the p-values of the joint test and of the
total-order test. We choose the names for which we expect the largest F1, if half of all are relevant and the mean of a
relevant one has the density ``a p^(a - 1)``.

Optuna's evaluators rank and do not choose. For each set of functions and each n, each of them gets the threshold that
maximises its mean F1 over the functions and seeds, and the best of its variants: for F1, and once more for the area
under the curve (AUC), which asks only if the relevant rank above the inert. All this is known only with hindsight, in
their favour. Optuna ignores a trial that diverged, so in half of the variants it gets a value worse than all others.
EVERYTHING is the choice of all names, and OURS_TUNED our ranking with the same hindsight as the peers.

A standard error is that of a mean over these functions, with seeds drawn anew. A difference is paired: ours and the
peer's judge the same trials. The peers' answers take minutes to hours; :class:`Kept` keeps them in a file.
"""

import hashlib
import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
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

from benches.functions import FUNCTIONS, NEW_FUNCTIONS, Function
from hsicfast import Bool, Choice, Float, Int, TrialTable, analyse
from hsicfast.space.distributions import distribution
from hsicfast.space.hyperparameters import Hyperparameter

SETS: dict[str, tuple[Function, ...]] = {"the six": FUNCTIONS, "the new": NEW_FUNCTIONS}
SIZES = (50, 100, 200, 500)
GOALS = (0.1, 0.2, 0.4)
QUESTIONS = tuple(product(GOALS, (True, False)))  # best fraction, and whether small values are the best
SHAPE = 0.1  # a of our rule; 0.1, 0.2 and 0.3 have the same F1 within 0.03 on the six, seeds from 1000 on
# fANOVA with its 64 trees takes 10 seconds for a study of 500 trials; with 16 trees its F1 is the same within 0.006.
TREES, FEW_TREES, MANY_TRIALS = 64, 16, 200
BLOCK = 20  # 200 MB a seed at n = 100
WORSE = 0.1  # a diverged trial is worse than the worst other one by this share of their range
OURS, OURS_TUNED, EVERYTHING = "ours", "ours, by hindsight", "everything"

Scores = dict[str, float]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Variant = tuple[str, str]  # evaluator, and how it is used


class Mean(NamedTuple):
    """A mean over studies and its standard error."""

    value: float
    error: float


class Row(NamedTuple):
    """How well a method finds the relevant set of `functions` with `n` trials: means over functions and seeds.

    `threshold` is that of a peer, with its variant for F1, and `variant` is that for AUC; ours has neither. `f1_ahead`
    and `auc_ahead` are our lead, None in our own row.
    """

    functions: str
    n: int
    who: str
    precision: Mean
    recall: Mean
    f1: Mean
    auc: Mean
    threshold: str = "-"
    variant: str = "-"
    f1_ahead: Mean | None = None
    auc_ahead: Mean | None = None


class Answer(NamedTuple):
    """One study: the truth, our choice and importances, and those of each variant for the names that it ranks."""

    function: str
    names: tuple[str, ...]
    relevant: frozenset[str]
    ours: frozenset[str]
    ours_scores: Scores
    peers: dict[Variant, Scores]
    trials: str


class Kept:
    """The peers' answers in a file, one line of JSON a study: its name, n and seed, and a digest of its trials.

    A study is asked again if its trials, Optuna, or the trees have changed, and if its line is torn, as when a process
    that wrote it was killed. Delete the file after a change of :func:`peers`. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[tuple[str, int, int], tuple[str, dict[Variant, Scores]]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            own = json.loads(line)
        except ValueError:
            return
        answers = {(who, how): scores for who, how, scores in own["peers"]}
        self._known[own["function"], own["n"], own["seed"]] = own["trials"], answers

    def of(self, n: int, seed: int) -> dict[str, tuple[str, dict[Variant, Scores]]]:
        """For each function's name, the digest of the trials and the answers."""
        return {name: own for (name, *study), own in self._known.items() if study == [n, seed]}

    def add(self, n: int, seed: int, answers: list[Answer]) -> None:
        """Append those that are not there yet."""
        for answer in answers:
            key = answer.function, n, seed
            if self._path is None or self._known.get(key, ("",))[0] == answer.trials:
                continue
            self._known[key] = answer.trials, answer.peers
            told = [[who, how, scores] for (who, how), scores in answer.peers.items()]
            line = {"function": answer.function, "n": n, "seed": seed, "trials": answer.trials, "peers": told}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def known_answers(seeds: int, sizes: list[int], kept: Kept, processes: int | None) -> Iterator[list[Row]]:
    """The rows of each n and each set of functions, ours first; the peers are asked for what is not in `kept`.

    A cache holds fANOVA's trees for ever, so every BLOCK seeds have processes of their own. We do not renew them after
    a few studies (`max_tasks_per_child`), because Python 3.11 may then wait for ever.
    """
    workers = multiprocessing.get_context("spawn")
    for n in sizes:
        found = []
        for first in track(range(0, seeds, BLOCK), f"n = {n}", transient=True):
            block = range(first, min(first + BLOCK, seeds))
            with ProcessPoolExecutor(processes, workers, initializer=be_quiet) as pool:
                told = pool.map(partial(answers, n), block, [kept.of(n, seed) for seed in block])
                for seed, few in zip(block, told, strict=True):
                    kept.add(n, seed, few)
                    found += few
        for functions, members in SETS.items():
            names = [function.name for function in members]
            yield rows(functions, n, [answer for answer in found if answer.function in names])


def be_quiet() -> None:
    """Silence Optuna's messages about small branches, a raw `target`, and experimental arguments."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=UserWarning)


def answers(n: int, seed: int, known: dict[str, tuple[str, dict[Variant, Scores]]]) -> list[Answer]:
    """One answer for each function; the peers are asked only if the trials are not those of their `known` answer."""
    found = []
    for function in (function for members in SETS.values() for function in members):
        table = function.trials(n, seed)
        trials, (before, told) = digest(table), known.get(function.name, ("", {}))
        judged = told if before == trials else peers(table)
        scores = ours_scores(table)
        found.append(
            Answer(function.name, tuple(function.space), function.relevant, ours(scores), scores, judged, trials)
        )
    return found


def digest(table: TrialTable) -> str:
    """What the peers' answers follow from, in 16 digits."""
    rest = repr((table.space, [trial.params for trial in table], optuna.__version__, trees(len(table)), GOALS, WORSE))
    return hashlib.sha256(table.objective.tobytes() + rest.encode()).hexdigest()[:16]


def ours(scores: Scores) -> frozenset[str]:
    """The names that are chosen by our scores."""
    names = sorted(scores, key=scores.__getitem__, reverse=True)
    evidence = SHAPE * np.exp([scores[name] * (1 - SHAPE) for name in names])
    relevant = evidence / (1 + evidence)
    expected = 2 * np.cumsum(relevant) / (np.arange(1, len(names) + 1) + relevant.sum())
    return frozenset(names[: int(expected.argmax()) + 1])


def ours_scores(table: TrialTable) -> Scores:
    """Minus the log of the number that ranks; 0 for one that too few trials have."""
    ranked = analyse(table.space, table, question="objective", pairs=False).totals()["either"]
    return {name: -float(np.log(ranked[name])) if np.isfinite(ranked[name]) else 0.0 for name in table.space}


def peers(table: TrialTable) -> dict[Variant, Scores]:
    """The importances of each variant, without the diverged trials, as Optuna does, and with them as the worst."""
    done = np.isfinite(table.objective)
    without = variants(table.select(done), table)
    worst = without if done.all() else variants(with_worst(table), table)
    return without | {(who, f"{how}, diverged as worst"): scores for (who, how), scores in worst.items()}


def with_worst(table: TrialTable) -> TrialTable:
    """The same trials, the diverged ones with a finite objective worse than all others."""
    done = np.isfinite(table.objective)
    worst, best = table.objective[done].max(), table.objective[done].min()
    return replace(table, objective=np.where(done, table.objective, worst + WORSE * (worst - best)))


def variants(table: TrialTable, everything: TrialTable) -> dict[Variant, Scores]:
    """The importances, not normalised unless the variant's name says so, which is better for each of them.

    PED-ANOVA judges conditional hyperparameters itself. The forests rank only hyperparameters that exist in all trials
    they get, so each one is judged among the trials that have it, together with all others that these trials have; the
    weight is the share of `everything` that has it. fANOVA means over the range as it is, in which a logarithmic one
    has nearly all trials in a corner; so we also give it each number as a quantile of its law, which changes nothing if
    no law is bent.
    """
    study = study_of(table)
    found: dict[Variant, Scores] = {}
    for goal in GOALS:
        found["PED-ANOVA", f"goal {goal}"] = PedAnovaImportanceEvaluator(target_quantile=goal).evaluate(study)
    both = [ped_anova(study, goal, minimize) for goal, minimize in QUESTIONS]
    found["PED-ANOVA, six questions", "mean"] = mean(both)
    found["PED-ANOVA, six questions", "mean of shares"] = mean([shares(scores) for scores in both])
    for who, evaluator in forests(len(everything)).items():
        found[who, "as it is"] = judged = by_branch(table, study, evaluator)
        found[who, "weighted"] = weighted(judged, everything)
        if who == "fANOVA":
            bent = any(getattr(own, "log", False) or own.law is not None for own in numbers(table).values())
            judged = by_branch(table, study_of(table, quantiles=True), evaluator) if bent else judged
            found[who, "quantiles"] = judged
            found[who, "quantiles, weighted"] = weighted(judged, everything)
    return found


def forests(n: int) -> dict[str, Callable[[], BaseImportanceEvaluator]]:
    """The forests, if scikit-learn is installed."""
    if not find_spec("sklearn"):
        return {}
    return {
        "fANOVA": partial(FanovaImportanceEvaluator, n_trees=trees(n), seed=0),
        "MDI": partial(MeanDecreaseImpurityImportanceEvaluator, seed=0),
    }


def numbers(table: TrialTable) -> dict[str, Float | Int]:
    return {name: own for name, own in table.space.items() if isinstance(own, Float | Int)}


def weighted(scores: Scores, everything: TrialTable) -> Scores:
    """Each name's score times the share of trials that have it."""
    return {name: own * float(everything.active(name).mean()) for name, own in scores.items()}


def trees(n: int) -> int:
    """Number of fANOVA's trees for `n` trials."""
    return TREES if n < MANY_TRIALS else FEW_TREES


def ped_anova(study: optuna.Study, goal: float, minimize: bool) -> Scores:
    """PED-ANOVA for the best or the worst end; it takes a small target as good."""
    target = None if minimize else (lambda trial: -trial.value)
    return PedAnovaImportanceEvaluator(target_quantile=goal).evaluate(study, target=target)


def by_branch(table: TrialTable, study: optuna.Study, evaluator: Callable[[], BaseImportanceEvaluator]) -> Scores:
    """The importance of each hyperparameter among the trials that have it; 0 if they do not differ, or there is none.

    The names go in sorted: MDI takes its columns in that order, and labels them in the order of `params`.
    """
    branches: dict[bytes, list[str]] = {}
    for name in table.space:
        branches.setdefault(table.active(name).tobytes(), []).append(name)
    found: Scores = {}
    for own in branches.values():
        here = table.active(own[0])
        together = sorted(name for name in table.space if here.any() and table.active(name)[here].all())
        try:
            judged = evaluator().evaluate(study, params=together) if together else {}
        except RuntimeError:  # fANOVA raises it for trees without variance
            judged = {}
        found |= {name: judged.get(name, 0.0) for name in own}
    return found


def study_of(table: TrialTable, quantiles: bool = False) -> optuna.Study:
    """The trials, whose objectives are finite, as an Optuna study, with each number as it is or as a quantile."""
    units = numbers(table) if quantiles else {}
    laws = {name: law(hyperparameter) for name, hyperparameter in table.space.items()}
    laws |= {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in units}
    study = optuna.create_study()
    for trial in table:
        params = trial.params | {
            name: float(own.to_unit([trial.params[name]])[0]) for name, own in units.items() if name in trial.params
        }
        own = {name: laws[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=trial.objective))
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


class Quality(NamedTuple):
    """Precision, recall and F1 (studies,) of a method's choices, and how it was used."""

    precision: Floats
    recall: Floats
    f1: Floats
    threshold: str = "-"


def rows(functions: str, n: int, found: list[Answer]) -> list[Row]:
    """Our row, that of everything, then those of the evaluators, each at its best threshold and variants."""
    width = max(len(answer.names) for answer in found)

    def on_names(value: Callable[[Answer, str], Any], filler: Any) -> Any:
        """Values (studies, names); studies with fewer names are filled up."""
        lines = [[value(answer, name) for name in answer.names] for answer in found]
        return np.array([line + [filler] * (width - len(line)) for line in lines])

    truth = on_names(lambda answer, name: name in answer.relevant, False)
    there = on_names(lambda answer, name: True, False)
    chosen = on_names(lambda answer, name: name in answer.ours, False)
    choices = {OURS: quality(chosen, truth), EVERYTHING: quality(there, truth)}
    own = on_names(lambda answer, name: answer.ours_scores[name], -np.inf)
    choices[OURS_TUNED] = with_hindsight("our ranking", own, truth)
    orders = {OURS: (areas(own, truth, there), "-")}
    orders |= {OURS_TUNED: orders[OURS], EVERYTHING: (areas(0.0 * there, truth, there), "-")}
    for who, how in found[0].peers:
        scores = on_names(lambda answer, name, own=(who, how): answer.peers[own].get(name, -np.inf), -np.inf)
        choice = with_hindsight(how, scores, truth)
        choices[who] = max(choices.get(who, choice), choice, key=lambda choice: choice.f1.mean())
        order = areas(scores, truth, there), how
        orders[who] = max(orders.get(who, order), order, key=lambda order: order[0].mean())

    places = np.array([answer.function for answer in found])
    made = []
    for who, choice in choices.items():
        auc, variant = orders[who]
        measures = (mean_of(values, places) for values in (choice.precision, choice.recall, choice.f1, auc))
        row = Row(functions, n, who, *measures, choice.threshold, variant)
        if who != OURS:
            row = row._replace(
                f1_ahead=mean_of(choices[OURS].f1 - choice.f1, places),
                auc_ahead=mean_of(orders[OURS][0] - auc, places),
            )
        made.append(row)
    return made


def mean_of(values: Floats, functions: Any) -> Mean:
    """The mean over studies, and its standard error: the functions (studies,) are fixed, and their seeds are drawn."""
    parts = [values[functions == name] for name in np.unique(functions)]
    sums = [len(part) * part.var(ddof=1) if len(part) > 1 else np.nan for part in parts]
    return Mean(float(values.mean()), float(np.sqrt(np.sum(sums)) / len(values)))


def with_hindsight(how: str, scores: Floats, truth: Any) -> Quality:
    """The quality at the threshold with the best mean F1 among all importances; the least of them chooses everything.

    A name without an importance (-inf) is never chosen.
    """
    tried = [(quality(scores >= threshold, truth), threshold) for threshold in np.unique(scores[np.isfinite(scores)])]
    best, threshold = max(tried, key=lambda found: found[0].f1.mean())
    return best._replace(threshold=f"{threshold:.4f}, {how}")


def quality(chosen: Any, truth: Any) -> Quality:
    """Of choices (studies, names): the precision is 0 if none is chosen."""
    hits = (chosen & truth).sum(axis=1)
    precision, recall = hits / np.maximum(chosen.sum(axis=1), 1), hits / truth.sum(axis=1)
    return Quality(precision, recall, 2 * hits / (chosen.sum(axis=1) + truth.sum(axis=1)))


def areas(scores: Floats, truth: Any, there: Any) -> Floats:
    """Area under the ROC curve (studies,): how often a relevant name scores above an inert one, ties as halves."""
    above = scores[:, :, None] > scores[:, None, :]
    level = scores[:, :, None] == scores[:, None, :]
    pairs = truth[:, :, None] & (there & ~truth)[:, None, :]
    return np.where(pairs, above + 0.5 * level, 0.0).sum(axis=(1, 2)) / pairs.sum(axis=(1, 2))
