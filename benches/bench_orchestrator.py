"""How much time and memory does a run need besides its trainings?

    python benches/bench_orchestrator.py             # about six minutes, on two quiet cores
    python benches/bench_orchestrator.py --markdown

Overhead is the time from the end of the first trial to the end of the last, minus that of the same trainings called one
after the other, so that the start of a run (workers, the study) does not count. Memory is that of this process.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benches.results import add_json, write_results
from hsicfast import Float, SearchSpace, minimize
from hsicfast.runs.watcher import Watcher
from hsicfast.training.executors import Local, Processes
from hsicfast.trials.trial import Trial

SPACE = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
LONG, SHORT = 5.0, 0.5  # seconds of a training
PLANNED = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Training:
    """A training of `seconds` of arithmetic on one core if `busy`, or else of waiting."""

    seconds: float
    busy: bool = False

    def __call__(self, params: dict[str, Any]) -> float:
        end = time.process_time() + self.seconds
        if self.busy:
            values = np.linspace(0, 1, 10_000)
            while time.process_time() < end:
                np.sin(values)
        else:
            time.sleep(self.seconds)
        return params["x"]


@dataclass
class Clock(Watcher):
    """Records when each trial ended."""

    ends: list[float] = field(default_factory=list)

    def on_trial(self, trial: Trial, stored: bool) -> None:
        self.ends.append(time.perf_counter())

    @property
    def a_trial(self) -> float:
        """Mean seconds from the end of one trial to the next."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def a_trial(training: Callable[..., Any], n_trials: int, executor: Any) -> float:
    """Seconds per trial in a run with a folder."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        minimize(training, SPACE, n_trials=n_trials, strategy="random", folder=folder, executor=executor, watcher=clock)
    return clock.a_trial


def bare(training: Callable[..., Any], n_trials: int) -> float:
    """Seconds per training, called directly."""
    start = time.perf_counter()
    for place in range(n_trials):
        training({"x": place / n_trials, "y": 0.0})
    return (time.perf_counter() - start) / n_trials


def overheads() -> Iterator[tuple[str, str, str, bool]]:
    """The overhead of a trial, relative to trainings of LONG seconds."""
    alone = bare(Training(LONG), 5)
    for name, executor in (("local", Local()), ("processes, one worker", Processes(workers=1))):
        share = a_trial(Training(LONG), 6, executor) / alone - 1
        yield f"overhead of a trial of {LONG:g} s, {name}", f"{share:.2%}", "≤ 2%", share <= 0.02


def speedup() -> tuple[str, str, str, bool]:
    """The speedup of two workers over one."""
    one, two = (a_trial(Training(SHORT, busy=True), 41, Processes(workers=workers)) for workers in (1, 2))
    return f"two workers against one, trials of {SHORT:g} s", f"{one / two:.2f}x", "≥ 1.8x", one / two >= 1.8


def dispatch() -> Iterator[tuple[str, str, str, bool]]:
    """Time and memory of trials that take no time, for each number of planned trials."""
    me = psutil.Process()
    first: tuple[float, float] | None = None
    a_trial(Training(0.0), 10, Local())  # so that the imports of a run do not count as growth
    for planned in PLANNED:
        before = me.memory_info().rss
        seconds = a_trial(Training(0.0), planned, Local())
        grown = (me.memory_info().rss - before) / 2**20
        first = first or (seconds, grown)
        times = seconds / first[0]
        what = f"{seconds * 1e3:.1f} ms a trial ({times:.2f}x that of {PLANNED[0]}), {grown:.0f} MiB more"
        yield f"dispatch of {planned:,} planned trials", what, "≤ 1.5x, ≤ 100 MiB", times <= 1.5 and grown <= 100


def main() -> None:
    parser = argparse.ArgumentParser(description="Time what a run costs beside its trainings.")
    parser.add_argument("--markdown", action="store_true", help="print GitHub Markdown")
    add_json(parser)
    chosen = parser.parse_args()
    table = Table("what", "measured", "bar", "met", box=box.MARKDOWN if chosen.markdown else box.ROUNDED)
    missed = 0
    for what, measured, bar, met in (*dispatch(), *overheads(), speedup()):
        table.add_row(what, measured, bar, "yes" if met else "NO")
        missed += not met
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    console = Console(width=200 if chosen.markdown or not sys.stdout.isatty() else None, highlight=False)
    console.print(table, f"load of the machine at the end: {load}")
    write_results(chosen.json, [table], f"Load of the machine at the end: {load}.")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
