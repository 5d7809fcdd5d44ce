"""
Importance against the epoch
============================

*How long must a trial train until what matters shows?* If trials have learning curves, the indices are computed at each
step. A trial that was stopped early counts by what is known of it.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast

# %%
# The rate decides how fast a trial learns, and the regularisation where it ends.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({name: hsicfast.Float(0, 1) for name in ("rate", "decay", "other")})
trials = []
for place in range(200):
    params = space.from_unit(random.random(len(space)))
    steps = np.arange(1, 21)
    values = np.exp(-steps * (0.3 + params["rate"])) + 0.6 * (params["decay"] - 0.5) ** 2 + 0.01 * random.random(20)
    curve = tuple((int(step), float(value)) for step, value in zip(steps, values, strict=True))
    trials.append(hsicfast.Trial(index=place, params=params, objective=float(values[-1]), curve=curve))
found = hsicfast.analyse(space, hsicfast.TrialTable.from_trials(space, trials))

# %%
Console().print(found.curves.answer)

# %%
# At first the rate decides, at the end the decay.
figure = Figure(figsize=(6, 3.5), layout="constrained")
axes = figure.add_subplot(xlabel="epoch", ylabel="R²")
for name, values in zip(found.curves.names, found.curves.r2.T, strict=True):
    axes.plot(found.curves.steps, values, label=name)
axes.legend(frameon=False)
