"""
Cost against error
==================

*What does the last bit of accuracy cost?* Beside the best configuration stands the economical one: the cheapest that is
nearly as good.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
# More units cost more and help less and less; the learning rate costs nothing.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({"units": hsicfast.Int(4, 256, log=True), "rate": hsicfast.Float(1e-4, 1, log=True)})
points = [space.from_unit(point) for point in random.random((200, len(space)))]
columns = {name: [params[name] for params in points] for name in space}
error = [1 / p["units"] ** 0.5 + 0.05 * abs(np.log10(p["rate"]) + 2) + 0.01 * random.random() for p in points]
trials = hsicfast.TrialTable.from_arrays(space, columns, error, cost=[2.0 * p["units"] for p in points])
found = hsicfast.analyse(space, trials)

# %%
# ``tolerance`` is in the unit of the objective: so much worse the economical one may be.
best, economical = trials.best(), trials.economical(tolerance=0.03)
console = Console()
for name, trial in (("best", best), ("economical", economical)):
    console.print(f"{name}: {trial.params}, objective {trial.objective:.3f}, cost {trial.cost:g}")

# %%
# The line is the front: no trial is both better and cheaper than one on it.
figure = found.plot("error_against_cost")
