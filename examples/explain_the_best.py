"""
Why is the best one better than my defaults?
============================================

*Which of the changes carry the gain?* The trials near each new value are compared with those near the old one. No model
is fitted: where there are no such trials, the answer says so.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast

# %%
random = np.random.default_rng(0)
space = hsicfast.SearchSpace(
    {
        "lr": hsicfast.Float(1e-5, 1e-1, log=True),
        "layers": hsicfast.Int(1, 6),
        "dropout": hsicfast.Float(0, 0.5),
    }
)
points = [space.from_unit(point) for point in random.random((300, len(space)))]
columns = {name: [params[name] for params in points] for name in space}
error = [0.1 * (np.log10(p["lr"]) + 3) ** 2 + 0.1 * p["dropout"] + 0.02 * random.random() for p in points]
found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, error))

# %%
told = found.explain(found.trials.best(), against={"lr": 1e-5, "layers": 3, "dropout": 0.45})
Console(width=110).print(str(told), highlight=False)

# %%
# The chance to end among the good trials, before and after each change.
frame = told.to_frame()
figure = Figure(figsize=(6, 2.6), layout="constrained")
axes = figure.add_subplot(xlabel="change of the chance to be good", xlim=(-1, 1))
spread = np.abs(frame[["low", "high"]].to_numpy(float).T - frame["gain"].to_numpy(float))
axes.errorbar(frame["gain"].to_numpy(float), list(frame.index), xerr=spread, fmt="o", capsize=3)
axes.axvline(0, color="black", linewidth=0.8)
