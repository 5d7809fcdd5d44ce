"""
Going on from earlier trials
============================

*I have trials already. Must I start anew?* No: ``known=`` takes a table, a run folder, an Optuna study or a file. The
trials take the place of the design and teach the optimiser; the best of them is trained again first.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast


def train(params: dict[str, float]) -> float:
    return (params["rate"] - 0.3) ** 2 + 0.1 * (params["decay"] - 0.6) ** 2


# %%
# Somebody has drawn 40 trials.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({"rate": hsicfast.Float(0, 1), "decay": hsicfast.Float(0, 1)})
points = [space.from_unit(point) for point in random.random((40, len(space)))]
columns = {name: [params[name] for params in points] for name in space}
earlier = hsicfast.TrialTable.from_arrays(space, columns, [train(params) for params in points])

# %%
# We spend 12 more, once from nothing and once with what is known.
alone = hsicfast.minimize(train, space, n_trials=12, seed=0, progress=False)
found = hsicfast.minimize(train, space, n_trials=12, seed=0, known=earlier, progress=False)
console = Console()
console.print(f"the earlier ones {earlier.best().objective:.6f}")
console.print(f"12 from nothing  {alone.best.objective:.6f}")
console.print(f"12 with known=   {found.best.objective:.6f}")

# %%
# The best so far of both.
figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.add_subplot(xlabel="trials of this run", ylabel="best objective so far", yscale="log")
for name, result in (("from nothing", alone), ("with known=", found)):
    best = np.minimum.accumulate(result.trials.objective)
    axes.step(np.arange(1, len(best) + 1), best, where="post", label=name)
axes.legend(frameon=False)
