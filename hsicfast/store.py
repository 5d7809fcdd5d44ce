"""The results of a run, in memory or in a run folder; and ``python -m hsicfast.store``, which looks after run folders.

A run folder holds ``settings.json`` (what the run is), ``results/000012.json`` (what came of trial 12, written by
whoever trained it), ``study.db`` (written by the parent alone, completed from the files whenever it lacks some) and,
while a run goes on in it, ``lock``. Where many hosts share a study by its URL, each has a run folder of its own, which
ends with the results of all.
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

# How the command ends where something is not whole, and where it is used wrongly.
NOT_WHOLE, USER_ERROR = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m hsicfast.store``."""
    options = _options(arguments)
    out, errors = Console(), Console(stderr=True)
    try:
        if options.command == "rebuild":
            done = rebuild(options.run, options.elsewhere)
            for line in done or ["everything was whole, and nothing was done"]:
                out.print(Text(line), soft_wrap=True)
            return
        checks = inspect_run(options.run, options.elsewhere)
    except InputError as error:
        errors.print(Text(str(error)), soft_wrap=True)
        sys.exit(USER_ERROR)
    for check in checks:
        mark, style = ("whole", "green") if check.whole else ("NOT", "bold red")
        out.print(Text(f"{mark:<7}", style), Text(f"{check.what}: {check.state}"), soft_wrap=True)
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
