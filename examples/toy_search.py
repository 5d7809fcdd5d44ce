"""
A search on a toy
=================

*How do I find a good and cheap configuration?* ``minimize`` takes any Python function of a dict. It draws a design,
analyses it, searches where the good trials lie, and makes the winner cheaper.
"""

from rich.console import Console

import hsicfast


def train(params: dict[str, float]) -> dict[str, float]:
    """An error that falls with the width, and a cost that grows with it; the rate has a valley."""
    error = (params["rate"] - 0.3) ** 2 + 0.2 / params["width"]
    return {"objective": error, "cost": float(params["width"])}


# %%
space = {"rate": hsicfast.Float(0, 1), "width": hsicfast.Int(1, 64, log=True), "unused": hsicfast.Float(0, 1)}
found = hsicfast.minimize(train, space, n_trials=30, seed=0, progress=False)

# %%
console = Console()
for name, trial in (("best", found.best), ("economical", found.economical)):
    console.print(f"{name}: {trial.params}, objective {trial.objective:.4f}, cost {trial.cost:g}")

# %%
# What each round did.
for part in found.rounds:
    console.print(part.name)

# %%
figure = found.plot("error_against_cost")
