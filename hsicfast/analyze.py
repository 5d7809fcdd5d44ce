"""The command that analyses existing trials: ``python -m hsicfast.analyze trials.csv --objective val_error``.

1. Read the trials, and guess their space or read it.
2. Analyse the trials by their ranks.
3. Print what matters, how sure that is, and what to do.

The module can also be called: ``hsicfast.analyze(...)`` is ``hsicfast.analyse(...)``, whose spelling is the documented
one of the function.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import inspect
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    # Modules stay until the end and go with the process: to look through them for garbage again and again, and a last
    # time at the end, took a fifth of a small analysis.
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from hsicfast.errors import InputError
from hsicfast.formats.storages import opened_study
from hsicfast.indices.findings import ABOUT
from hsicfast.indices.verdicts import trial_notes
from hsicfast.reading.guess import Guess
from hsicfast.reading.outcomes import ROWS
from hsicfast.reading.roles import ASK
from hsicfast.reading.sources import LargeReading, Reading, read_large, read_trials
from hsicfast.report.content import good_end, p_meaning
from hsicfast.report.summary import FULL, configuration_of, print_answer
from hsicfast.report.tables import print_indices, print_pairs, print_table
from hsicfast.sensitivity import PRUNED_OPTIONS, Sensitivity, analyse
from hsicfast.space.formats import write_space
from hsicfast.text import listed, one_line
from hsicfast.trials.goal import AUTO, Auto, Threshold
from hsicfast.trials.parquet import is_large

USER_ERROR, INTERRUPTED = 2, 130
# Up to so many columns of one reason are listed with the reason each.
ONE_BY_ONE = 3
ADAPTIVE = (
    "A study does not say how its trials were drawn: where its sampler was adaptive (TPE, Gaussian process, ...), what "
    "it chose and what came of it go together for that reason, too."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; `arguments` are those of the command line by default."""
    options = _options(arguments)
    errors = Console(stderr=True)
    try:
        with _bar(errors) as bar:
            task = bar.add_task("reading", total=1.0)

            def show(step: str, share: float) -> None:
                bar.update(task, description=step, completed=share)

            reading = _read(options)
            sensitivity = analyse(
                reading,
                goal=options.goal if options.threshold is None else Threshold(options.threshold),
                question=options.question,
                pairs=options.pairs,
                seed=options.seed,
                law="ranks",
                failed="drop" if options.drop_failed else "miss",
                pruned=options.pruned,
                progress=show,
            )
            show("report", 0.0)
            _leave(sensitivity, reading, options)
    except InputError as error:
        errors.print(Text(one_line(str(error))), soft_wrap=True)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        errors.print("stopped before the analysis ended")
        sys.exit(INTERRUPTED)
    console = Console()
    if options.full:
        if reading.guess is not None:
            _print_guess(console, reading.guess)
        _print_findings(console, sensitivity, reading.objective)
        for note in _notes(reading):
            console.print(Text(one_line(note)))
        return
    print_answer(
        console,
        sensitivity,
        configuration_of(sensitivity, reading.objective, reading.cost or "cost"),
        reading.objective,
        before=[] if reading.guess is None else [_guessed(reading.guess)],
        notes=_notes(reading),
        after=[f"The page: {options.report}" if options.report else FULL],
    )


def _leave(sensitivity: Sensitivity, reading: Reading | LargeReading, options: argparse.Namespace) -> None:
    """Write the page and the note into the study, if the options ask for them."""
    names = {"metric": reading.objective, "cost": reading.cost or "cost"}
    if options.report:
        from hsicfast.report.page import write_page

        title = reading.study or Path(options.source).name
        write_page(options.report, sensitivity, title=title, **names, guess=reading.guess, notes=_notes(reading))
    if options.push:
        from hsicfast.report.dashboard.study import push

        with opened_study(options.source, reading.study) as study:
            push(study, sensitivity, **names)


def _bar(console: Console) -> Progress:
    """A progress bar that disappears at the end; it is shown only in a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _read(options: argparse.Namespace) -> Reading | LargeReading:
    """Read the trials that the options name, and save the guess of their space if the options ask for that."""
    if options.report:
        from hsicfast.report.page import check_report_tools

        check_report_tools()
    if options.space and options.save_space:
        raise InputError("--save-space saves a guess, but with --space nothing is guessed; drop one of the two")
    maximize = False if options.minimize else options.maximize
    asked = {"cost": options.cost, "space": options.space, "maximize": True if maximize == [] else maximize}
    asked |= {"ignore": options.ignore, "only": options.only, "rows": options.rows}
    reading: Reading | LargeReading
    if options.study is None and is_large(options.source):
        reading = read_large(options.source, options.objective, **asked)
    else:
        constraints: Literal["miss", "ignore"] = "ignore" if options.ignore_constraints else "miss"
        reading = read_trials(options.source, options.objective, study=options.study, constraints=constraints, **asked)
    if options.push and reading.study is None:
        raise InputError(f"--push needs an Optuna study, but {options.source} is none; leave it out, or use --report")
    if options.save_space and reading.guess is not None:
        write_space(reading.guess.space, options.save_space, reading.guess.reasons)
    return reading


def _print_guess(console: Console, guess: Guess) -> None:
    """Print how the space was guessed, and which columns were left out."""
    rows = [(name, type(kind).__name__, guess.reasons[name]) for name, kind in guess.space.items()]
    print_table(
        console, "What the columns were taken for (--save-space, correct, --space)", ("name", "type", "why"), rows
    )
    if guess.left_out:
        console.print(Text(one_line(f"left out: {_left_out(guess.left_out)}")))


def _guessed(guess: Guess) -> str:
    """How many columns were taken for hyperparameters, and which were left out."""
    out = f"; left out: {_left_out(guess.left_out)}" if guess.left_out else ""
    return f"{len(guess.space)} columns were taken for hyperparameters (--save-space, correct, --space){out}"


def _left_out(reasons: Mapping[str, str]) -> str:
    """The columns with their reasons; those of one reason together if they are many. How to overrule is said once."""
    alike: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        alike.setdefault(reason.removesuffix(f"; {ASK}"), []).append(name)
    parts = []
    for reason, names in alike.items():
        parts += [f"{listed(names)}: {reason}"] if len(names) > ONE_BY_ONE else [f"{name}: {reason}" for name in names]
    asks = any(reason.endswith(ASK) for reason in reasons.values())
    return "; ".join(parts) + (f" ({ASK})" if asks else "")


def _print_findings(console: Console, sensitivity: Sensitivity, metric: str) -> None:
    """Print the headline and the tables of an analysis."""
    found = sensitivity.verdict_list
    console.print(Text(one_line(sensitivity.headline), style="bold"))
    console.print(Text(one_line(good_end(sensitivity, metric))))
    for sentence in trial_notes(sensitivity):
        console.print(Text(one_line(sentence)))
    rows = [(verdict.name, verdict.text, verdict.evidence) for verdict in found]
    print_table(console, "What to do", ("name", "verdict", "evidence"), rows)
    print_indices(console, "What decides", sensitivity.indices)
    console.print(Text(p_meaning(sensitivity)))
    print_pairs(console, sensitivity.pair_indices)
    print_indices(console, "What drives the cost", sensitivity.cost_indices)


def _notes(reading: Reading | LargeReading) -> list[str]:
    """Sentences on what a reader must know before believing the numbers."""
    return [*([ADAPTIVE] if reading.study else []), *reading.notes]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m hsicfast.analyze", description="Which hyperparameters decide, and how sure that is."
    )
    parser.add_argument(
        "source",
        help="a CSV, TSV, JSON, Parquet or Feather file (zip and gz, too), a folder of Parquet files, an Optuna "
        "storage (SQLite or journal file, or URL), or the folder of a run of this package, of Hydra, KerasTuner, Ray "
        "Tune or SMAC",
    )
    parser.add_argument(
        "--objective",
        action="append",
        help="its column (default: a study's own, `value` or `objective`); with several of these options the best "
        "trials are those which the fewest others dominate",
    )
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument(
        "--minimize",
        action="store_true",
        help="small is good (default: the study's direction, or what the name says, or small)",
    )
    direction.add_argument(
        "--maximize",
        nargs="*",
        metavar="OBJECTIVE",
        help="large is good: of all objectives, or of those named; comes last",
    )
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--goal",
        type=_goal,
        default=AUTO,
        help="the trials that count as good: the best fraction, as 0.1; the best so many, as 20; or auto, the best "
        "tenth, but at least 15 trials and at most a third (default: auto)",
    )
    goal.add_argument("--threshold", type=float, help="good is instead every trial that reaches this objective")
    parser.add_argument(
        "--question",
        choices=tuple(ABOUT),
        default="goal",
        help="test whether a hyperparameter decides who is good (default), or whether it has any influence on the "
        "objective",
    )
    parser.add_argument("--cost", help="column of what a trial costs; asks what drives it, too")
    parser.add_argument("--study", help="name of the Optuna study, where the storage has several")
    parser.add_argument(
        "--ignore",
        nargs="+",
        default=(),
        metavar="NAME",
        help="columns that are no hyperparameters; patterns such as 'sys/*' are allowed",
    )
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="NAME", help="the columns that alone are hyperparameters, or patterns"
    )
    parser.add_argument(
        "--rows",
        choices=ROWS,
        default="last",
        help="where an identity such as trial_id repeats: its last row is a trial (default), its best, or each row",
    )
    parser.add_argument("--space", help="YAML file with the space instead of a guess")
    parser.add_argument("--save-space", help="write the guess there, to be corrected")
    parser.add_argument(
        "--drop-failed", action="store_true", help="leave out trials without a finite objective; else they are not good"
    )
    parser.add_argument(
        "--ignore-constraints",
        action="store_true",
        help="an infeasible trial of an Optuna study may be good; else it is not",
    )
    parser.add_argument(
        "--pruned",
        choices=PRUNED_OPTIONS,
        default="miss",
        help="a pruned trial is not good (default), by its last value, or out",
    )
    parser.add_argument("--no-pairs", dest="pairs", action="store_false", help="skip the interactions")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (default: 0)")
    parser.add_argument("--full", action="store_true", help="print every table instead of the answer in 25 lines")
    parser.add_argument("--report", metavar="PAGE", help="write one self-contained HTML page there")
    parser.add_argument(
        "--push", action="store_true", help="put pictures and a note into the study, for optuna-dashboard"
    )
    return parser.parse_args(arguments)


def _goal(text: str) -> float | int | Auto:
    """The goal that an option gives: "auto", digits alone are a number of trials, anything else is a fraction."""
    if text == AUTO:
        return AUTO
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a goal must be a fraction such as 0.1, a count such as 20 or auto, but got {text!r}"
        ) from None


class _Callable(types.ModuleType):
    """A module that is also the function: the name `hsicfast.analyze` can be only one object."""

    # A static method, so that a call is one of the function itself: its warnings count the frames to whoever called.
    __call__ = staticmethod(analyse)


sys.modules[__name__].__class__ = _Callable
# For whoever asks the module for its arguments, as a notebook does.
__signature__ = inspect.signature(analyse)

if __name__ == "__main__":
    main()
