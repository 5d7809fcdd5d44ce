"""
A stream, or many machines
==========================

*My trials do not fit into memory.* A ``Spectrum`` is a sum over samples: it grows with every batch and takes a few
kilobytes. Spectra of many machines add up to that of all samples, and the same sums give the index at any bandwidth.
"""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import hsicfast

# %%
# Two machines see different trials of the same hyperparameter, a batch at a time.
random = np.random.default_rng(0)
machines = (hsicfast.Spectrum(), hsicfast.Spectrum())
seen: list[tuple[np.ndarray, np.ndarray]] = []
for batch in range(20):
    u = random.random(5_000)
    met = (u - 0.4) ** 2 + 0.2 * random.random(5_000) < 0.02
    machines[batch % 2].update(u, met)
    seen.append((u, met))

# %%
# Together they give what all samples at once give.
found = machines[0].merge(machines[1]).hsic(bandwidth=0.3, test="asymptotic")
everything = hsicfast.Spectrum().update(*map(np.concatenate, zip(*seen, strict=True))).hsic(bandwidth=0.3)
Console().print(f"{found.statistic:.12f} by batches, {everything.statistic:.12f} at once, p {found.pvalue:.1e}")

# %%
# One pass, every bandwidth.
bandwidths = np.geomspace(0.1, 2, 40)
figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.add_subplot(xscale="log", xlabel="bandwidth", ylabel="index")
axes.plot(bandwidths, [machines[0].hsic(bandwidth=h).statistic for h in bandwidths])
