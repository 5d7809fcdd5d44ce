"""Are the decisions right? ``python benches/decisions.py [--only noise] [--studies 200] [--markdown]``, fixed seeds.

Each line of the first table is a question with a known answer. It shows how often we give that answer, and how often
Optuna's PED-ANOVA, fANOVA and MDI put the right name first on the same trials. They have no test, so if there is
nothing to find the line shows the share of their first name instead. The second table shows how much of the relevant
set each method finds, for functions whose relevant set is known: on six of them our rule was fixed, and the new ones
nobody may tune on. ``pip install -c constraints.txt -e ".[peers]"`` installs what fANOVA and MDI need.

``--only known-answers --peers FILE`` keeps the peers' answers in FILE, and asks them only for what is not in it yet. So
after a change of our rule the same command takes seconds.
"""

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
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
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benches.known import SIZES, Kept, Mean, known_answers
from benches.results import add_json, write_results
from hsicfast import Float, SearchSpace, TrialTable, analyse
from hsicfast.dependence.inference import holm
from hsicfast.optuna import HSICImportanceEvaluator

Answers = dict[str, list[Any]]  # one answer of each peer for each study
Floats = np.ndarray[Any, np.dtype[np.float64]]
PEERS: dict[str, Callable[[], BaseImportanceEvaluator]] = {"PED-ANOVA": PedAnovaImportanceEvaluator}
PEER_STUDIES = 20  # peers judge the first ones of each question: forests take seconds for a study
if find_spec("sklearn"):
    PEERS["fANOVA"] = partial(FanovaImportanceEvaluator, seed=0)
    PEERS["MDI"] = partial(MeanDecreaseImpurityImportanceEvaluator, seed=0)


class Line(NamedTuple):
    """A question, how often we are right, the answers of the peers, and the bar."""

    what: str
    studies: int
    ours: float
    peers: dict[str, float]
    bar: float


def columns(q: int, n: int, seed: int) -> dict[str, Floats]:
    random = np.random.default_rng(seed)
    return {f"h{i}": random.random(n) for i in range(q)}


def chance(seed: int) -> np.random.Generator:
    """The random numbers of the objective, in another stream than those of the columns."""
    return np.random.default_rng((seed, 1))


def study_of(values: dict[str, Floats], y: Floats, highs: Floats | None = None) -> optuna.Study:
    """The trials as an Optuna study; those without an objective failed. `highs` (n,) are the upper ends of h0."""
    study = optuna.create_study()
    for row in range(len(y)):
        spans = {name: (0.0, 1.0 if highs is None or name != "h0" else float(highs[row])) for name in values}
        done = np.isfinite(y[row])
        study.add_trial(
            optuna.trial.create_trial(
                params={name: float(column[row]) for name, column in values.items()},
                distributions={name: optuna.distributions.FloatDistribution(*span) for name, span in spans.items()},
                value=float(y[row]) if done else None,
                state=optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.FAIL,
            )
        )
    return study


def listen(answers: Answers, study: optuna.Study, names: list[str], judge: Callable[[dict[str, float]], Any]) -> None:
    """Add the judgement of each peer's importances, the largest first; NaN if the peer refuses the study."""
    for peer, evaluator in PEERS.items():
        try:
            said = optuna.importance.get_param_importances(study, evaluator=evaluator(), params=names)
        except ValueError:
            said = {}
        answers[peer].append(judge(said) if said else np.nan)


def first(said: dict[str, float]) -> bool:
    """Whether h0, which decides, ranks first."""
    return next(iter(said)) == "h0"


def noise(studies: int) -> Line:
    """8 hyperparameters and an objective of chance, n = 50 to 1,000: nothing is significant after Holm."""
    silent, shares = [], {peer: [] for peer in PEERS}
    for seed in track(range(studies), "noise", transient=True):
        n = (50, 100, 200, 500, 1000)[seed % 5]
        values = columns(8, n, seed)
        y = chance(seed).standard_normal(n)
        silent.append(not found(values, y).significant())
        if seed < PEER_STUDIES:
            listen(shares, study_of(values, y), list(values), lambda said: max(said.values()))
    return Line("noise alone: nothing significant (peers: share of their first)", studies, *means(silent, shares), 0.94)


def exclusive_or(studies: int) -> Line:
    """h0 and h1 matter only together, h2 weakly, n = 1,000: the pure pair is found, after Holm over the pairs."""
    right, firsts = [], {peer: [] for peer in PEERS}
    for seed in track(range(studies), "exclusive-or", transient=True):
        values = columns(3, 1000, seed)
        apart = (values["h0"] > 0.5) != (values["h1"] > 0.5)
        y = np.where(apart, 0.0, 1.0) + 0.1 * values["h2"] + 0.5 * chance(seed).random(1000)
        pairs = found(values, y, pairs=True).pairs
        clear = pairs[holm(pairs["pvalue_pure"]) <= 0.05]
        right.append(("h0", "h1") in set(zip(clear["first"], clear["second"], strict=True)))
        if seed < PEER_STUDIES:
            listen(firsts, study_of(values, y), list(values), lambda said: set(list(said)[:2]) == {"h0", "h1"})
    return Line("exclusive-or: the pure pair (peers: both before the third)", studies, *means(right, firsts), 0.95)


def diverged(studies: int) -> Line:
    """107 of 200 trials diverge because h0 is too large: it ranks first."""
    right, firsts = [], {peer: [] for peer in PEERS}
    for seed in track(range(studies), "diverged", transient=True):
        values = columns(6, 200, seed)
        y = chance(seed).random(200)
        y[np.argsort(values["h0"])[-107:]] = np.nan
        right.append(found(values, y).indices[0].name == "h0")
        if seed < PEER_STUDIES:
            listen(firsts, study_of(values, y), list(values), first)
    return Line("107 of 200 diverge because of one: it ranks first", studies, *means(right, firsts), 0.95)


def moving_range(studies: int) -> Line:
    """The range of h0, which decides, grows from trial to trial: it ranks first."""
    right, firsts = [], {peer: [] for peer in PEERS}
    for seed in track(range(studies), "moving range", transient=True):
        values = columns(5, 200, seed)
        highs = 1 + 0.01 * np.arange(200)
        values["h0"] = values["h0"] * highs
        y = (values["h0"] - 0.5) ** 2 + 0.02 * values["h1"]
        study = study_of(values, y, highs)
        ours = optuna.importance.get_param_importances(study, evaluator=HSICImportanceEvaluator())
        right.append(next(iter(ours)) == "h0")
        if seed < PEER_STUDIES:
            listen(firsts, study, list(values), first)
    return Line("a range that grows from trial to trial: it ranks first", studies, *means(right, firsts), 0.95)


def found(values: dict[str, Floats], y: Floats, pairs: bool = False) -> Any:
    space = SearchSpace({name: Float(0, 1) for name in values})
    return analyse(space, TrialTable.from_arrays(space, values, y), pairs=pairs)


def means(right: list[bool], peers: Answers) -> tuple[float, dict[str, float]]:
    """Our mean, and that of each peer over the studies that it did not refuse."""
    said = {peer: [value for value in values if not np.isnan(value)] for peer, values in peers.items()}
    return float(np.mean(right)), {peer: float(np.mean(values)) if values else np.nan for peer, values in said.items()}


QUESTIONS: dict[str, Callable[[int], Line]] = {
    "noise": noise,
    "exclusive-or": exclusive_or,
    "diverged": diverged,
    "moving-range": moving_range,
}
KNOWN = "known-answers"
WIDTH = 300  # a line of Markdown must not be broken


def questions(names: list[str], studies: int, form: box.Box) -> Table:
    """A table with one line for each question."""
    table = Table(box=form)
    for name in ("question", "studies", "ours", *PEERS, "bar", "met"):
        table.add_column(name)
    for name in names:
        line = QUESTIONS[name](studies)
        peers = ["refuses" if np.isnan(line.peers[peer]) else f"{line.peers[peer]:.0%}" for peer in PEERS]
        met = "yes" if line.ours >= line.bar else "NO"
        table.add_row(line.what, str(line.studies), f"{line.ours:.1%}", *peers, f"≥ {line.bar:.0%}", met)
    return table


def answers(options: argparse.Namespace, form: box.Box) -> Table:
    """A table with a line for us and for each evaluator, for each n and set of functions, with standard errors."""
    table = Table(box=form)
    for name in ("functions", "n", "who", "precision", "recall", "F1", "ours ahead", "AUC", "ours ahead"):
        table.add_column(name)
    table.add_column("threshold, variant for F1; for AUC")
    for rows in known_answers(options.seeds, options.sizes, Kept(options.peers), options.processes):
        for row in rows:
            values = (said(row.precision), said(row.recall), said(row.f1), said(row.f1_ahead, "+"))
            areas = (said(row.auc), said(row.auc_ahead, "+"))
            table.add_row(row.functions, str(row.n), row.who, *values, *areas, f"{row.threshold}; {row.variant}")
    return table


def said(mean: Mean | None, sign: str = "") -> str:
    return "" if mean is None else f"{mean.value:{sign}.3f} ± {mean.error:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Are the decisions right?")
    parser.add_argument("--only", choices=[*QUESTIONS, KNOWN], help="one question by itself")
    parser.add_argument("--studies", type=int, default=200, help="studies a question (default: 200)")
    parser.add_argument("--seeds", type=int, default=50, help="seeds of each known answer (default: 50)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[*SIZES], help="trials of each known answer")
    parser.add_argument("--peers", type=Path, help="keep the peers' known answers in this file (JSON lines)")
    parser.add_argument("--processes", type=int, help="for the known answers (default: one a core)")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    add_json(parser)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    form = box.MARKDOWN if options.markdown else box.SIMPLE_HEAD
    console = Console(width=WIDTH if options.markdown else None)
    names = [name for name in QUESTIONS if options.only in (None, name)]
    tables = []
    if names:
        tables.append(questions(names, options.studies, form))
        console.print(tables[-1])
    if options.only in (None, KNOWN):
        tables.append(answers(options, form))
        console.print(tables[-1])
    asked = f"{options.studies} studies a question, of which the evaluators judge {PEER_STUDIES}"
    note = f"{asked}; {options.seeds} seeds a function."
    write_results(options.json, tables, note)


if __name__ == "__main__":
    main()
