"""The command ``python -m hsicfast.store``, which checks and rebuilds run folders.

A run folder holds ``settings.json`` (the settings of the run), ``results/000012.json`` (the result of trial 12, written
by the process that trained it) and ``study.db`` (written by the parent process alone, and completed from the result
files if it lacks some). While a run is active in it, the folder also holds ``lock``. If many hosts share a study by its
URL, each has a run folder of its own, which in the end holds the results of all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hsicfast.errors import InputError
from hsicfast.runs.folder import BROKEN, STUDY
from hsicfast.runs.repair import inspect_run, rebuild
from hsicfast.runs.results import rebuild_command
from hsicfast.text import one_line

# Exit status of the command: a run folder is damaged, or the command is used wrongly.
NOT_WHOLE, USER_ERROR = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; `arguments` are those of the command line by default."""
    options = _options(arguments)
    out, errors = Console(), Console(stderr=True)
    try:
        if options.command == "rebuild":
            done = rebuild(options.run, options.elsewhere)
            for line in done or ["everything was whole, and nothing was done"]:
                out.print(Text(one_line(line)), soft_wrap=True)
            return
        checks = inspect_run(options.run, options.elsewhere)
    except InputError as error:
        errors.print(Text(one_line(str(error))), soft_wrap=True)
        sys.exit(USER_ERROR)
    for check in checks:
        mark, style = ("whole", "green") if check.whole else ("NOT", "bold red")
        out.print(Text(f"{mark:<7}", style), Text(one_line(f"{check.what}: {check.state}")), soft_wrap=True)
    if not all(check.whole for check in checks):
        out.print(
            Text(f"`{rebuild_command(options.run)}` sets aside what is broken, the run's command does the rest"),
            soft_wrap=True,
        )
        sys.exit(NOT_WHOLE)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m hsicfast.store",
        description="Look after the folder of a run. Its result files are the truth, its study is an index over them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("check", "say what is whole and what is not, and change nothing; exits with 1 where something is not"),
        ("rebuild", f"set broken files aside in RUN/{BROKEN}, build the study from the results, remove leftovers"),
    ):
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        command.add_argument("run", metavar="RUN", type=Path, help="the run folder")
        command.add_argument(
            "--elsewhere", action="store_true", help=f"the study is where store= said, and no {STUDY} is looked for"
        )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
