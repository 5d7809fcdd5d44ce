"""Result files of the benches: their tables, with the command, date, machine and versions that made them.

The pages of ``docs/`` show these files and no number of their own; ``docs/_ext/results.py`` reads them.
"""

import argparse
import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from hsicfast.files import jsonable, write_atomically

# Distribution names of what the numbers depend on, where they are installed.
PACKAGES = ("hsicfast", "numpy", "scipy", "numba", "optuna", "torch", "openturns", "hyppo", "SALib", "scikit-learn")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a bench the option ``--json PATH``."""
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the tables there, with machine and versions")


def machine() -> str:
    """Processor, cores and memory of this machine."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines() if platform.system() == "Linux" else []
    model = next((line.split(":")[1].strip() for line in cpuinfo if "model name" in line), platform.processor())
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {gibibytes:.0f} GiB"


def versions() -> dict[str, str]:
    """Python's version, and those of PACKAGES that are installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def content_of(table: Table) -> dict[str, Any]:
    """The title, heads and cells of a table as texts."""
    columns = [[_plain(cell) for cell in column.cells] for column in table.columns]
    heads = [_plain(column.header) for column in table.columns]
    return {
        "title": _plain(table.title or ""),
        "columns": heads,
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }


def _plain(cell: Any) -> str:
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


def write_results(path: Path | None, tables: Sequence[Table], note: str = "", **more: Any) -> None:
    """Write the tables of a bench as a result file; nothing if the person asked for none.

    Parameters
    ----------
    path : Path, optional
    tables : sequence of Table
        As the bench prints them.
    note : str
        What a reader must know beside the numbers.
    **more
        Further entries of the file, such as all cells as numbers.
    """
    if path is None:
        return
    result = {
        "command": shlex.join(["python", *_command(sys.argv)]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "note": note,
        "tables": [content_of(table) for table in tables],
        **more,
    }
    write_atomically(path, json.dumps(jsonable(result), indent=1, ensure_ascii=False) + "\n")


def _command(words: Sequence[str]) -> list[str]:
    """The words of the command without folders of this machine and without ``--json PATH``."""
    words = [f"benches/{Path(words[0]).name}", *words[1:]]
    if "--json" in words:
        place = words.index("--json")
        del words[place : place + 2]
    return ["FOLDER" if word.startswith("/") else word for word in words if not word.startswith("--json=")]
