"""
The noise floor
===============

*How large is an index of nothing?* With few trials chance alone gives an index that looks like something. The floor is
its mean, is known without a simulation, and falls with the number of trials.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast

# %%
# An objective that depends on nothing, and one that depends a little on the hyperparameter, at five sizes.
sizes = (50, 100, 200, 500, 2000)
random = np.random.default_rng(0)
noise, signal = [], []
for n in sizes:
    u, luck = random.random(n), random.random(n)
    noise.append(hsicfast.goal_hsic(u, luck, bandwidth=0.3, test="permutation"))
    signal.append(hsicfast.goal_hsic(u, luck + 0.5 * u, bandwidth=0.3, test="permutation"))

# %%
console = Console()
for n, nothing, little in zip(sizes, noise, signal, strict=True):
    console.print(
        f"{n:5d} trials: floor {nothing.null_mean:.5f}, nothing {nothing.statistic:.5f} (p {nothing.pvalue:.3f}), "
        f"a little {little.statistic:.5f} (p {little.pvalue:.3f})"
    )

# %%
# The index of a real influence stays where it is. That of nothing falls with the floor. So more trials tell them apart.
figure = Figure(figsize=(6, 3.5), layout="constrained")
axes = figure.add_subplot(xscale="log", yscale="log", xlabel="trials", ylabel="index")
axes.plot(sizes, [one.statistic for one in signal], "o-", label="depends a little")
axes.plot(sizes, [one.statistic for one in noise], "s--", label="depends on nothing")
axes.plot(sizes, [one.null_mean for one in noise], "k:", label="noise floor")
axes.legend(frameon=False)
