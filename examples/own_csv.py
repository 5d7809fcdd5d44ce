"""A CSV file of trials from anywhere: guess its space, analyse it by ranks.

The command does the same: ``python -m hsicfast.analyze trials.csv --objective val_error``.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

import hsicfast


def write_trials(path: Path) -> None:
    """Write 200 trials in which the learning rate decides; above a rate of 0.5 the training diverges."""
    random = np.random.default_rng(0)
    rate, batch = 10 ** random.uniform(-5, 0, 200), 2 ** random.integers(3, 9, 200)
    error = np.where(rate > 0.5, np.nan, (np.log10(rate) + 2) ** 2 + 0.1 * random.random(200))
    pd.DataFrame({"lr": rate, "batch": batch, "val_error": error}).to_csv(path, index=False)


def main() -> hsicfast.Sensitivity:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trials.csv"
        write_trials(path)
        read = hsicfast.read_trials(path, "val_error")
    found = hsicfast.analyse(read.table.space, read.table, minimize=read.minimize, law="ranks")
    console = Console()
    console.print(read.guess.reasons if read.guess else "")
    console.print(found.to_frame())
    return found


if __name__ == "__main__":
    main()
