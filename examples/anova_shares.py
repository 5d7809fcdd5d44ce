"""
Shares of the whole
===================

*How much of what decides is this one, alone and in total?* With an ANOVA kernel the index of all hyperparameters
together splits into shares, as a variance does: what each decides alone, and with any others.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast

# %%
# The first acts alone, the next two only together, the last not at all.
random = np.random.default_rng(0)
names = ("alone", "left", "right", "nothing")
u = random.random((2000, 4))
error = 0.8 * np.abs(u[:, 0] - 0.5) + ((u[:, 1] > 0.5) == (u[:, 2] > 0.5)) + 0.2 * random.random(2000)

# %%
found = hsicfast.anova_indices(u, error, goal=0.3)
console = Console()
for place, name in enumerate(names):
    console.print(f"{name}: {found.first[place]:.2f} alone, {found.total[place]:.2f} in total")

# %%
figure = Figure(figsize=(6, 2.8), layout="constrained")
axes = figure.add_subplot(xlabel="share of the index of all together")
axes.barh(names, found.total, color="lightgrey", label="in total")
axes.barh(names, found.first, height=0.5, label="alone")
axes.invert_yaxis()
axes.legend(frameon=False)
