"""
Safe to fix
===========

*Which can I set to whatever is cheapest?* A large p-value does not answer that: few trials give large p-values, too.
"Safe" needs upper bounds: on the effect alone, with any one other, and with any two. They need a few hundred trials.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
# Two of six decide. The number of layers costs, and does nothing.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace(
    {"rate": hsicfast.Float(0, 1), "width": hsicfast.Float(0, 1), "layers": hsicfast.Int(1, 4)}
    | {f"other{place}": hsicfast.Float(0, 1) for place in range(3)}
)
points = [space.from_unit(point) for point in random.random((800, len(space)))]
columns = {name: [params[name] for params in points] for name in space}
error = [(p["rate"] - 0.3) ** 2 + 0.3 * p["width"] + 0.02 * random.random() for p in points]
trials = hsicfast.TrialTable.from_arrays(space, columns, error, cost=[100.0 * p["layers"] for p in points])
found = hsicfast.analyse(space, trials, goal=1 / 3)

# %%
# The value is the cheapest that a good trial had.
console = Console()
for name, verdict in found.verdicts().iterrows():
    console.print(f"{name}: {verdict['text']}. {verdict['evidence']}")

# %%
# What buys error, and what only burns compute: relevance for the objective against relevance for the cost.
figure = found.plot("relevance")
