"""How good and how cheap are the networks that each strategy finds at the same number of trials?

    python -m benches.study --problems cash --surrogates FOLDER    # makes the missing runs, then prints the tables
    python -m benches.study --table --plots FOLDER                 # prints and draws the runs that are there

A run is one file in the folder of results, ``cash/31/tpe-60-0.json`` for the strategy tpe on task 31 with 60 trials and
seed 0, and holds every trial. A run with a file is not made again, whatever was killed when. Of several folders, runs
are read from all, of equal ones the first, and made in the first. Tables compare only runs of the same problem and
seed, and leave out those that a strategy has not made yet.

Every strategy runs with its defaults, ours too. Regret is the objective minus the best one of all results on the same
problem in these folders. The best trial is the one that the strategy names, or else the one with the best objective.
The economical trial is the cheapest that is as good as the best: the one that the strategy names, or else the cheapest
within the tolerance that our users get if they name none. Wilcoxon's p is over pairs of problem and seed. Runs of one
problem resemble each other, so only the p over problems, of their medians over the seeds, applies to further problems.
Neither is corrected for the number of strategies.
"""

import argparse
import json
import os
import sys
import time
import warnings
from concurrent.futures import Future, as_completed
from multiprocessing import get_context
from pathlib import Path

import optuna
from pebble import ProcessPool
from rich import box
from rich.console import Console
from rich.progress import track

from benches.problems import KINDS, TASKS, kind_of, problem_of, problems_of
from benches.results import add_json, write_results
from benches.standings import Plan, draw, floors, notes, paired, prices, ranks, read_all
from benches.strategies import STRATEGIES, hindrance
from hsicfast.files import jsonable, write_atomically

# The last is for joblib, on which SMAC3's forest grows: with several threads the same seed gives other trials.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def conduct(plan: Plan, results: Path, surrogates: Path | None, data: Path) -> None:
    """Make one run and its file; called in a process of its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    problem = problem_of(plan.problem, surrogates, data)
    start = time.perf_counter()
    history = STRATEGIES[plan.strategy](problem.evaluate, problem.space, plan.n_trials, plan.seed)
    seconds = time.perf_counter() - start
    fields = ("params", "objective", "cost", "status", "metrics", "message")
    content = {
        **vars(plan),
        "seconds": seconds,
        "best": history.best,
        "economical": history.economical,
        "scatter": history.scatter,
        "trials": [{name: getattr(trial, name) for name in fields} for trial in history.trials],
    }
    path = plan.path(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(jsonable(content), allow_nan=False) + "\n")


def run_missing(plans: list[Plan], jobs: int, chosen: argparse.Namespace) -> list[str]:
    """Make these runs in processes with one thread each; returns the failures."""
    where = (chosen.results[0], chosen.surrogates, chosen.data)
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
        "--problems", nargs="+", choices=KINDS, default=["cash", "conditional"], metavar="KIND", help=f"{[*KINDS]}"
    )
    parser.add_argument(
        "--tasks", type=int, default=TASKS, help="of a surrogate, the first ones (default: %(default)s)"
    )
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=[*STRATEGIES], help="default: all")
    parser.add_argument("--n-trials", type=int, default=60, help="trials a run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="0 to this, itself left out (default: %(default)s)")
    parser.add_argument("--reference", help="who is compared with the others (default: hsic, else the first)")
    parser.add_argument("--surrogates", type=Path, metavar="FOLDER", help="of the surrogates' files")
    parser.add_argument("--data", type=Path, default=Path("data"), help="root of the images (default: %(default)s)")
    results = [Path("study-results")]
    parser.add_argument("--results", nargs="+", type=Path, default=results, help="folders; the first is written")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the best so far, one file a kind of problem")
    add_json(parser)
    chosen = parser.parse_args()
    if not 1 <= chosen.tasks <= TASKS:
        parser.error(f"`1 <= tasks <= {TASKS}` must hold, but got {chosen.tasks}: the others are kept unseen")
    if not (chosen.table or chosen.surrogates) and not all(KINDS[kind].tested for kind in chosen.problems):
        parser.error(f"{', '.join(kind for kind in KINDS if not KINDS[kind].tested)} need --surrogates")
    return chosen


def main() -> None:
    chosen = options()
    failed = [] if chosen.table else run_missing(missing(chosen), chosen.jobs, chosen)
    console = Console(width=10_000 if chosen.markdown else None if sys.stdout.isatty() else 200, highlight=False)
    runs = read_all(chosen.results)
    floor = floors(runs)
    style = box.MARKDOWN if chosen.markdown else box.ROUNDED
    tables = []
    for kind in chosen.problems:
        own = paired(run for run in runs if kind_of(run.plan.problem) == kind and wanted(run.plan, chosen))
        if not any(own.values()):
            console.print(f"{kind}: no problem and seed that every strategy has run")
            continue
        reference = chosen.reference or "hsic"
        reference = reference if reference in own else next(iter(own))
        for table in (ranks, prices):
            tables.append(table(kind, own, floor, reference, style))
            console.print(tables[-1], "")
        for line in notes(own, floor, reference):
            console.print(line, "", markup=False)
        if chosen.plots:
            chosen.plots.mkdir(parents=True, exist_ok=True)
            write_atomically(chosen.plots / f"{kind}.png", draw(kind, own, floor))
    write_results(chosen.json, tables, f"{chosen.n_trials} trials a run, {chosen.seeds} seeds a problem.")
    for line in failed:
        console.print(f"failed, and runs again next time: {line}", markup=False)
    sys.exit(1 if failed else 0)


def missing(chosen: argparse.Namespace) -> list[Plan]:
    """The runs without a file, seed by seed, so that early results cover every problem and strategy."""
    able = []
    for strategy in chosen.strategies:
        why = hindrance(strategy)
        if why:
            print(f"{strategy} is skipped, as it cannot run here: {why}", file=sys.stderr)
        else:
            able.append(strategy)
    plans = [
        Plan(problem, place, strategy, chosen.n_trials, seed)
        for seed in range(chosen.seeds)
        for kind in chosen.problems
        for place, problem in enumerate(problems_of(kind, chosen.tasks, chosen.surrogates))
        for strategy in able
    ]
    return [plan for plan in plans if not any(plan.path(results).exists() for results in chosen.results)]


def wanted(plan: Plan, chosen: argparse.Namespace) -> bool:
    """Whether the options ask for this run."""
    named = plan.strategy in chosen.strategies and plan.n_trials == chosen.n_trials
    return named and plan.place < chosen.tasks and plan.seed < chosen.seeds


if __name__ == "__main__":
    main()
