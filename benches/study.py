"""How good and how cheap are the networks that each strategy finds at the same number of trials?

    python -m benches.study --surrogate PATH/xgboost_surrogate.py    # makes the missing runs, then prints the table
    python -m benches.study --table --plots FOLDER                   # prints and draws the runs that are there

A run is one file in the folder of results, ``surrogate/31/tpe-60-0.json`` for the strategy tpe on task 31 with 60
trials and seed 0, and holds every trial. A run with a file is not made again, whatever was killed when. Tables compare
only runs of the same problem and seed, and leave out those that a strategy has not made yet.

Regret is the objective minus the best one of all results in the folder on the same problem. The best trial is the one
that the strategy names, or else the one with the best objective. The economical trial is the cheapest that is as good
as the best: the one that the strategy names, or else the cheapest within half a point (0.005 if the objective is no
percentage). Wilcoxon's p is over pairs of problem and seed. Runs of one problem resemble each other, so only the p over
problems, of their medians over the seeds, applies to further problems. Neither is corrected for the number of
strategies.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from pebble import ProcessPool
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import wilcoxon

from benches.problems import KINDS, TASKS, kind_of, problem_of, problems_of
from benches.strategies import STRATEGIES
from hsicfast.files import jsonable, write_atomically
from hsicfast.report.style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, legend, render, sheet, styled
from hsicfast.trials.goal import as_good_as

Floats = np.ndarray[Any, np.dtype[np.float64]]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


COLOURS = dict(zip(STRATEGIES, (VERMILION, INK, BLUE, GREEN, ORANGE, PURPLE, SKY), strict=False))


@dataclass(frozen=True)
class Plan:
    """A run to be made; `place` is the position of its problem in the surrogate's list."""

    problem: str
    place: int
    strategy: str
    n_trials: int
    seed: int

    def path(self, results: Path) -> Path:
        return results / self.problem / f"{self.strategy}-{self.n_trials}-{self.seed}.json"

    def __str__(self) -> str:
        return f"{self.strategy} on {self.problem}, {self.n_trials} trials, seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """A finished run: objectives, costs and test metrics (n,) in the order of the trials, NaN for none."""

    plan: Plan
    seconds: float
    objective: Floats
    cost: Floats
    test: Floats = field(default_factory=lambda: np.array([]))
    said: int | None = None
    said_best: int | None = None

    @property
    def best(self) -> int | None:
        """The trial that the strategy names, or else the one with the best objective, the earliest of equals."""
        if self.said_best is not None:
            return self.said_best
        return int(np.nanargmin(self.objective)) if np.isfinite(self.objective).any() else None

    @property
    def economical(self) -> int | None:
        """The cheapest trial that is as good as the best, the better of equals."""
        if self.said is not None or self.best is None:
            return self.said
        tolerance = KINDS[kind_of(self.plan.problem)].tolerance
        good = self.objective <= as_good_as(self.objective[self.best], tolerance)
        return int(np.lexsort((self.objective, np.where(good, self.cost, np.inf), ~good))[0])

    def score(self, trial: int | None, floor: float) -> float:
        """The score of a trial in the table: its test metric or its regret; inf if no trial ended well."""
        if trial is None:
            return np.inf
        tested = KINDS[kind_of(self.plan.problem)].tested
        return float(self.test[trial] if tested else self.objective[trial] - floor)

    def price(self, trial: int | None) -> float:
        return np.nan if trial is None else float(self.cost[trial])


def conduct(plan: Plan, results: Path, surrogate: Path | None, data: Path) -> None:
    """Make one run and its file; called in a process of its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    problem = problem_of(plan.problem, surrogate, data)
    start = time.perf_counter()
    history = STRATEGIES[plan.strategy](
        problem.evaluate, problem.space, plan.n_trials, plan.seed, KINDS[kind_of(plan.problem)].tolerance
    )
    seconds = time.perf_counter() - start
    fields = ("params", "objective", "cost", "status", "metrics", "message")
    content = {
        **vars(plan),
        "seconds": seconds,
        "best": history.best,
        "economical": history.economical,
        "trials": [{name: getattr(trial, name) for name in fields} for trial in history.trials],
    }
    path = plan.path(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(jsonable(content), allow_nan=False) + "\n")


def read(path: Path) -> Run:
    content = json.loads(path.read_text(encoding="utf-8"))
    plan = Plan(**{name: content[name] for name in Plan.__dataclass_fields__})
    trials = content["trials"]
    columns = ([trial[name] for trial in trials] for name in ("objective", "cost"))
    objective, cost = (np.array(column, dtype=np.float64) for column in columns)
    test = np.array([trial["metrics"].get("test") for trial in trials], dtype=np.float64)
    return Run(plan, content["seconds"], objective, cost, test, content["economical"], content.get("best"))


def floors(runs: Iterable[Run]) -> dict[str, float]:
    """The best objective of all runs, by problem."""
    best: dict[str, float] = {}
    for run in runs:
        best[run.plan.problem] = float(np.nanmin([best.get(run.plan.problem, np.inf), *run.objective]))
    return best


def paired(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs by strategy, in one order of problem and seed, for the pairs that every strategy has made."""
    by_strategy: dict[str, dict[tuple[str, int], Run]] = {}
    for run in runs:
        by_strategy.setdefault(run.plan.strategy, {})[run.plan.problem, run.plan.seed] = run
    if not by_strategy:
        return {}
    common = sorted(set.intersection(*map(set, by_strategy.values())))
    order = [*STRATEGIES, *sorted(set(by_strategy) - set(STRATEGIES))]
    return {name: [by_strategy[name][pair] for pair in common] for name in order if name in by_strategy}


def differences(ours: Floats, theirs: Floats) -> Floats:
    """How much better we are, (n,); 0 if both failed."""
    return np.where(ours == theirs, 0.0, theirs - np.where(ours == theirs, 0.0, ours))


def wins(better: Floats) -> float:
    """The share of pairs that we win; a tie counts as half."""
    return float(np.mean((better > 0) + 0.5 * (better == 0)))


def chance(better: Floats) -> float:
    """Wilcoxon's p, two-sided; NaN for a single pair."""
    if len(better) < 2:
        return np.nan
    return float(wilcoxon(better).pvalue) if better.any() else 1.0


def by_problem(runs: list[Run], better: Floats) -> Floats:
    """The median over the seeds for each problem."""
    names = np.array([run.plan.problem for run in runs])
    return np.array([np.median(better[names == name]) for name in dict.fromkeys(names.tolist())])


def ratio(theirs: Floats, ours: Floats) -> float:
    """The median of their cost over ours, for pairs with both known; equal costs give 1, even if both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nanmedian(np.where(theirs == ours, 1.0, theirs / ours)))


def as_good(ours: list[Run], theirs: list[Run]) -> float:
    """The median cost of our cheapest trial that is as good as their best, over the cost of that; NaN without any."""
    shares = []
    for our, their in zip(ours, theirs, strict=True):
        if their.best is not None:
            price = their.price(their.best)
            cost = np.min(our.cost[our.objective <= their.objective[their.best]], initial=np.inf)
            shares.append(1.0 if cost == price else cost / price)
    return float(np.median(shares)) if shares else np.nan


def tabulate(kind: str, runs: dict[str, list[Run]], floor: dict[str, float], reference: str, style: box.Box) -> Table:
    """A table with one line for each strategy; `reference` is compared with each of the others."""

    def measured(own: list[Run]) -> tuple[Floats, ...]:
        rows = [(run, floor[run.plan.problem], run.best, run.economical) for run in own]
        cells = [(r.score(b, f), r.price(b), r.score(e, f), r.price(e), r.seconds) for r, f, b, e in rows]
        return tuple(np.array(cells).T)

    count, metric, cost = len(runs[reference]), KINDS[kind].metric, KINDS[kind].cost
    problems = len({run.plan.problem for run in runs[reference]})
    title = f"{kind}: problems {problems}, runs a strategy {count}"
    against = (f"{reference} wins", "ties, half a win each", "p, pairs", "p, problems")
    head = ("strategy", metric, "quartiles", f"cost, {cost}", f"× {reference}'s", f"economical: {metric}")
    equal = f"{reference}'s cheapest as good as its best: cost, × its"
    table = Table(*head, f"cost, {cost}", f"× {reference}'s", equal, *against, "seconds a run", title=title, box=style)
    ours = measured(runs[reference])
    for name, own in runs.items():
        score, price, economical, low_price, seconds = theirs = measured(own)
        quartiles = " to ".join(f"{q:.3g}" for q in np.quantile(score, (0.25, 0.75)))
        times = ["", ""] if name == reference else [f"{ratio(theirs[i], ours[i]):.2f}" for i in (1, 3)]
        better = differences(ours[0], score)
        over = (chance(better), chance(by_problem(own, better)))
        shares = (f"{wins(better):.0%}", f"{np.mean(better == 0):.0%}")
        equal = f"{as_good(runs[reference], own):.2f}"
        judged = [""] * 5 if name == reference else [equal, *shares, *(f"{p:.2g}" for p in over)]
        middle = [f"{np.nanmedian(values):.3g}" for values in (score, price, economical, low_price, seconds)]
        cells = (middle[0], quartiles, middle[1], times[0], middle[2], middle[3], times[1], *judged, middle[4])
        table.add_row(name, *(("–" if cell == "nan" else cell) for cell in cells))
    return table


@styled
def draw(kind: str, runs: dict[str, list[Run]], floor: dict[str, float]) -> bytes:
    """Draw the best objective so far minus the best of all, against the trials: median and quartiles of the runs."""
    figure = sheet(6.4, 4.0)
    axes = figure.add_subplot(title=f"{kind}: best so far", xlabel="trials", yscale="log")
    axes.set_ylabel("objective beyond the best ever seen")
    for name, own in runs.items():
        regrets = np.array([so_far(run) - floor[run.plan.problem] for run in own])
        low, middle, high = np.quantile(regrets, (0.25, 0.5, 0.75), axis=0, method="nearest")
        trials = np.arange(1, regrets.shape[1] + 1)
        axes.fill_between(trials, low, high, color=COLOURS.get(name), alpha=0.12, linewidth=0, step="post")
        axes.plot(trials, middle, color=COLOURS.get(name), label=name, drawstyle="steps-post")
    legend(figure)
    return render(figure, "png")


def so_far(run: Run) -> Floats:
    return np.minimum.accumulate(np.where(np.isfinite(run.objective), run.objective, np.inf))


def run_missing(plans: list[Plan], jobs: int, *where: Any) -> list[str]:
    """Make the runs that have no file yet, in processes with one thread each; returns the failures."""
    failed: list[str] = []
    # Spawned processes inherit these before they import torch, which reads them once.
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = ProcessPool(max_workers=jobs, context=get_context("spawn"))
    try:
        flying: dict[Future[None], Plan] = {pool.schedule(conduct, args=(plan, *where)): plan for plan in plans}
        ended = track(as_completed(flying), total=len(flying), console=Console(stderr=True), description="runs")
        for future in ended:
            error = future.exception()
            if error is not None:
                failed.append(f"{flying[future]}: {type(error).__name__}: {error}")
        return failed
    finally:  # even after Ctrl-C: runs in flight are given up, and made again next time
        pool.stop()
        pool.join()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare strategies at equal numbers of trials.")
    parser.add_argument(
        "--problems", nargs="+", choices=KINDS, default=["surrogate"], metavar="KIND", help=f"{[*KINDS]}"
    )
    parser.add_argument(
        "--tasks", type=int, default=TASKS, help="of the surrogate, the first ones (default: %(default)s)"
    )
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=[*STRATEGIES], help="default: all")
    parser.add_argument("--n-trials", type=int, default=60, help="trials a run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="0 to this, itself left out (default: %(default)s)")
    parser.add_argument("--reference", help="who is compared with the others (default: hsic, else the first)")
    parser.add_argument("--surrogate", type=Path, help="file with SPACE, TASKS and make_objective")
    parser.add_argument("--data", type=Path, default=Path("data"), help="root of the images (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=Path("study-results"), help="folder (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the best so far, one file a kind of problem")
    chosen = parser.parse_args()
    if not 1 <= chosen.tasks <= TASKS:
        parser.error(f"`1 <= tasks <= {TASKS}` must hold, but got {chosen.tasks}: the others are kept unseen")
    if not (chosen.table or chosen.surrogate) and not all(KINDS[kind].tested for kind in chosen.problems):
        parser.error("the problems surrogate and flat need --surrogate")
    return chosen


def main() -> None:
    chosen = options()
    failed: list[str] = []
    if not chosen.table:
        # Seed by seed, so that early results cover every problem and strategy.
        plans = [
            Plan(problem, place, strategy, chosen.n_trials, seed)
            for seed in range(chosen.seeds)
            for kind in chosen.problems
            for place, problem in enumerate(problems_of(kind, chosen.tasks, chosen.surrogate))
            for strategy in chosen.strategies
        ]
        missing = [plan for plan in plans if not plan.path(chosen.results).exists()]
        failed = run_missing(missing, chosen.jobs, chosen.results, chosen.surrogate, chosen.data)
    console = Console(width=10_000 if chosen.markdown else None if sys.stdout.isatty() else 200, highlight=False)
    # The files that a killed worker leaves end in `.part`.
    runs = [read(path) for path in sorted(chosen.results.rglob("*.json"))]
    floor = floors(runs)
    for kind in chosen.problems:
        own = paired(run for run in runs if kind_of(run.plan.problem) == kind and wanted(run.plan, chosen))
        if not any(own.values()):
            console.print(f"{kind}: no problem and seed that every strategy has run")
            continue
        reference = chosen.reference or "hsic"
        reference = reference if reference in own else next(iter(own))
        console.print(tabulate(kind, own, floor, reference, box.MARKDOWN if chosen.markdown else box.ROUNDED), "")
        if chosen.plots:
            chosen.plots.mkdir(parents=True, exist_ok=True)
            write_atomically(chosen.plots / f"{kind}.png", draw(kind, own, floor))
    for line in failed:
        console.print(f"failed, and runs again next time: {line}", markup=False)
    sys.exit(1 if failed else 0)


def wanted(plan: Plan, chosen: argparse.Namespace) -> bool:
    """Whether the options ask for this run."""
    named = plan.strategy in chosen.strategies and plan.n_trials == chosen.n_trials
    return named and plan.place < chosen.tasks and plan.seed < chosen.seeds


if __name__ == "__main__":
    main()
