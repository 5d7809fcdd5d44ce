"""The command for trials somebody already has: ``python -m hsicfast.analyze trials.csv --objective val_error``.

1. read the trials  2. guess the space, or read it  3. analyse by ranks  4. say what matters and how sure that is
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError
from hsicfast.guess import Guess, write_space
from hsicfast.report import decides, print_indices, print_pairs, print_table
from hsicfast.sensitivity import Sensitivity, analyse
from hsicfast.sources import Reading, read_trials
from hsicfast.trials import DIVERGED

USER_ERROR, INTERRUPTED = 2, 130
ADAPTIVE = (
    "A study does not say how its trials were drawn: where its sampler was adaptive (TPE, Gaussian process, ...), what "
    "it chose and what came of it go together for that reason, too."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command."""
    options = _options(arguments)
    try:
        reading = _read(options)
        sensitivity = analyse(
            reading.table.space,
            reading.table,
            options.goal,
            minimize=reading.minimize,
            pairs=options.pairs,
            seed=options.seed,
            law="ranks",
            failed="drop" if options.drop_failed else "miss",
        )
    except InputError as error:
        Console(stderr=True).print(Text(str(error)), soft_wrap=True)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped before the analysis ended")
        sys.exit(INTERRUPTED)
    console = Console()
    if reading.guess is not None:
        _print_guess(console, reading.guess)
    _print_findings(console, sensitivity, options)
    if reading.study:
        console.print(Text(ADAPTIVE))


def _read(options: argparse.Namespace) -> Reading:
    """The trials the options ask for; their guess is saved where that is asked for, too."""
    if options.space and options.save_space:
        raise InputError("--save-space saves a guess, but with --space nothing is guessed; drop one of the two")
    maximize = False if options.minimize else options.maximize
    reading = read_trials(
        options.source,
        options.objective,
        cost=options.cost,
        study=options.study,
        space=options.space,
        maximize=True if maximize == [] else maximize,
    )
    if options.save_space and reading.guess is not None:
        write_space(reading.guess, options.save_space)
    return reading


def _print_guess(console: Console, guess: Guess) -> None:
    rows = [(name, type(kind).__name__, guess.reasons[name]) for name, kind in guess.space.items()]
    print_table(
        console, "What the columns were taken for (--save-space, correct, --space)", ("name", "type", "why"), rows
    )
    if guess.left_out:
        left = "; ".join(f"{name}: {reason}" for name, reason in guess.left_out.items())
        console.print(Text(f"left out: {left}"))


def _print_findings(console: Console, sensitivity: Sensitivity, options: argparse.Namespace) -> None:
    failed = sensitivity.counts[DIVERGED]
    console.print(Text(decides(sensitivity), style="bold"))
    if failed:
        total, fate = sum(sensitivity.counts.values()), "are left out" if options.drop_failed else "count as not good"
        console.print(Text(f"{failed} of {total} trials have no finite objective and {fate}."))
    print_indices(console, "What decides", sensitivity.indices)
    print_pairs(console, sensitivity.pair_indices)
    print_indices(console, "What drives the cost", sensitivity.cost_indices)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m hsicfast.analyze", description="Which hyperparameters decide, and how sure that is."
    )
    parser.add_argument("source", help="a CSV or Parquet file, an Optuna storage's URL, or a Hydra multirun folder")
    parser.add_argument(
        "--objective",
        action="append",
        help="its column (default: a study's own, `value` or `objective`); with several of these options the best "
        "trials are those which the fewest others dominate",
    )
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--minimize", action="store_true", help="small is good (default, or the study's direction)")
    direction.add_argument(
        "--maximize",
        nargs="*",
        metavar="OBJECTIVE",
        help="large is good: of all objectives, or of those named; comes last",
    )
    parser.add_argument("--goal", type=float, default=0.1, help="the best fraction that counts as good (default: 0.1)")
    parser.add_argument("--cost", help="column of what a trial costs; asks what drives it, too")
    parser.add_argument("--study", help="name of the Optuna study, where the storage has several")
    parser.add_argument("--space", help="YAML file with the space instead of a guess")
    parser.add_argument("--save-space", help="write the guess there, to be corrected")
    parser.add_argument(
        "--drop-failed", action="store_true", help="leave out trials without a finite objective; else they are not good"
    )
    parser.add_argument("--no-pairs", dest="pairs", action="store_false", help="skip the interactions")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (default: 0)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
