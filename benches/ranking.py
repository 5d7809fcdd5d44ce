"""Do a few hundred trials suffice for the ranking of the hyperparameters?

    python -m hsicfast.run +task=runge strategy=random n_trials=10000 hydra.run.dir=runs/large
    python benches/ranking.py runge runs/large

analyses the first 300, 1,000, 3,000 and 10,000 trials of a run of random trials, and prints the index of each
hyperparameter with its interval, and the interval of its rank among those that are active in the same trials.
"""

import argparse
from itertools import islice
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

from benches.results import add_json, write_results
from hsicfast import SearchSpace, Sensitivity, TrialTable, analyse
from hsicfast.runs.results import read_results

CONF = Path(__file__).resolve().parent.parent / "conf"
SIZES = (300, 1_000, 3_000, 10_000)


def analyses(space: SearchSpace, folder: Path, sizes: tuple[int, ...]) -> dict[int, Sensitivity]:
    """The sensitivities of the first trials of a run folder, by their number; larger sizes are all there are."""
    trials = read_results(folder)
    found = {}
    for size in sorted({min(size, len(trials)) for size in sizes}):
        first = list(islice((trials[index] for index in sorted(trials)), size))
        found[size] = analyse(space, TrialTable.from_trials(space, first, minimize=True), seed=0)
    return found


def table(found: dict[int, Sensitivity]) -> Table:
    """A row for each hyperparameter, in the order of the largest analysis; a column for each number of trials."""
    shown = Table("hyperparameter", *(f"{size:,} trials" for size in found), box=box.SIMPLE)
    indices = {size: sensitivity.to_frame() for size, sensitivity in found.items()}
    ranks = {size: sensitivity.rank_intervals for size, sensitivity in found.items()}
    last = max(found)
    order = sorted(indices[last].index, key=lambda name: -indices[last].loc[name, "hsic"])
    for name in order:
        cells = []
        for size in found:
            row, rank = indices[size].loc[name], ranks[size][name]
            cells.append(f"{row['hsic']:.3g} [{row['ci_low']:.2g}, {row['ci_high']:.2g}], rank {rank.low}-{rank.high}")
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    """Print the table of a run folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("folder", type=Path)
    add_json(parser)
    given = parser.parse_args()
    whole = OmegaConf.create({"task": OmegaConf.load(CONF / "task" / f"{given.task}.yaml")})
    space = instantiate(whole.task.space, _convert_="all")
    shown = table(analyses(space, given.folder, SIZES))
    Console(width=160).print(shown)
    note = "Indices with their 95% intervals; ranks are among the hyperparameters that are active in the same trials."
    write_results(given.json, [shown], note)


if __name__ == "__main__":
    main()
