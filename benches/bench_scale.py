"""The analysis of a Parquet file against reading it: ``python benches/bench_scale.py [--rows N] [--markdown]``.

It writes trials of ten columns (float64, float32, whole numbers, the objective) in 20 row groups to a temporary folder,
then reads and analyses them in turn on all cores. The bar: `analyse` takes at most three times as long as
``pyarrow.parquet.read_table`` of the same columns. It holds from 10 million rows on, where fixed costs no longer
matter. Figures are medians after a warm-up; the peak memory is that of a separate process that only analyses. If other
jobs hold the cores, OPENBLAS_NUM_THREADS=1 keeps the threads of the pairs' matrices from waiting for each other.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from benches.results import add_json, write_results
from hsicfast import Float, Int, ParquetTrials, SearchSpace, analyse

BAR, HELD_FROM, GROUPS = 3.0, 10_000_000, 20
SPACE = SearchSpace({f"x{i}": Float(0, 1) for i in range(7)} | {"depth": Int(1, 8), "rate": Float(1e-5, 1, log=True)})
COLUMNS = ("rows", "carried by", "pairs", "read_table", "analyse", "ratio", "bar", "met", "rows/s", "peak memory")
PEAK = """
import re, sys
from pathlib import Path
from bench_scale import SPACE, analyse
analyse(SPACE, sys.argv[1], law=sys.argv[2], pairs=sys.argv[3] == "yes")
# not resource.getrusage, which begins with what the parent held
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def write_trials(path: Path, rows: int) -> None:
    """Trials whose objective depends on x0, the rate and, a little, on the depth."""
    rng = np.random.default_rng(0)
    writer = None
    for _ in range(GROUPS):
        n = rows // GROUPS
        columns: dict[str, Any] = {f"x{i}": rng.random(n, dtype=np.float64 if i % 2 else np.float32) for i in range(7)}
        columns |= {"depth": rng.integers(1, 9, n), "rate": 10 ** rng.uniform(-5, 0, n)}
        loss = (columns["x0"] - 0.3) ** 2 + 0.3 * (np.log10(columns["rate"]) + 2) ** 2
        table = pa.table(columns | {"objective": loss + 0.01 * columns["depth"] + 0.1 * rng.random(n)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def medians(repeats: int, *calls: Callable[[], Any]) -> list[float]:
    """Median seconds of each call; the calls run in turn, so that a busy moment of the machine affects all of them."""
    for call in calls:  # the warm-up
        call()
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, own in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in seconds]


def measure(path: Path, rows: int, repeats: int, workers: str | None) -> list[tuple[str, ...]]:
    """One line of the table for each kind of analysis."""
    ways = (("space", True), ("space", False), ("ranks", True))
    source = ParquetTrials(path, workers=workers)
    asked = [partial(analyse, SPACE, source, law=law, pairs=pairs) for law, pairs in ways]
    read, *ours = medians(repeats, lambda: pq.read_table(path), *asked)
    lines = []
    for (law, pairs), seconds in zip(ways, ours, strict=True):
        judged = "yes" if pairs else "no"
        command = [sys.executable, "-c", PEAK, str(path), law, judged]
        child = subprocess.run(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True, check=True)
        ratio, held = seconds / read, law == "space" and rows >= HELD_FROM
        lines.append(
            (
                f"{rows:,}",
                "the space" if law == "space" else "ranks",
                judged,
                f"{read:.3g} s",
                f"{seconds:.3g} s",
                f"{ratio:.2f}x",
                f"≤ {BAR:g}x" if held else "",
                ("yes" if ratio <= BAR else "NO") if held else "",
                f"{rows / seconds / 1e6:.3g} million",
                f"{float(child.stdout):,.0f} MiB",
            )
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", choices=["ray"], help="portions as tasks of Ray")
    parser.add_argument("--markdown", action="store_true")
    add_json(parser)
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            path = Path(folder) / f"{rows}.parquet"
            write_trials(path, rows)
            lines += measure(path, rows, options.repeats, options.workers)
    load = f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    table = Table(*COLUMNS, box=box.MARKDOWN if options.markdown else box.SIMPLE, caption=load)
    for line in lines:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    write_results(options.json, [table], f"Medians of {options.repeats}, both sides in turn; {load}.")


if __name__ == "__main__":
    main()
