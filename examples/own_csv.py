"""
A CSV file of your own
======================

*Which of my columns decides, and how sure is that?* We write a file of 200 trials, as any tool might, and read it back
without a word about its columns: types, log scales and the objective's direction are guessed, each with its reason. The
command does the same: ``python -m hsicfast.analyze trials.csv --objective val_error``.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

import hsicfast

# %%
# In these trials the learning rate decides. Above a rate of 0.5 the training diverges, which leaves an empty cell.
random = np.random.default_rng(0)
rate, batch = 10 ** random.uniform(-5, 0, 200), 2 ** random.integers(3, 9, 200)
error = np.where(rate > 0.5, np.nan, (np.log10(rate) + 2) ** 2 + 0.1 * random.random(200))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "trials.csv"
    pd.DataFrame({"lr": rate, "batch": batch, "val_error": error}).to_csv(path, index=False)
    read = hsicfast.read_trials(path, "val_error")

# %%
# What the columns were taken for. A wrong guess is corrected by a space of your own.
console = Console()
console.print(read.guess.reasons)

# %%
# The analysis goes by the ranks of the values, as a file does not say how they were drawn. A diverged trial is not
# good: that is evidence against its learning rate.
found = hsicfast.analyse(read)
console.print(found.headline)
console.print(found.to_frame()[["hsic", "noise_floor", "pvalue_holm", "n"]])

# %%
# The bar is the index, the line its interval, and the mark the noise floor: what chance alone gives.
figure = found.plot("indices")
