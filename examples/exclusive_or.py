"""
Two that matter only together
=============================

*What if neither matters alone?* An exclusive-or is the hardest case: each of two hyperparameters by itself says
nothing about the error, and both together decide it. Their own indices are small, their pure pair index is large.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({name: hsicfast.Float(0, 1) for name in ("a", "b", "c")})
columns = {name: random.random(1000) for name in space}
apart = (columns["a"] > 0.5) != (columns["b"] > 0.5)
error = np.where(apart, 0.0, 1.0) + 0.5 * random.random(1000) + 0.05 * columns["c"]
found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, error), goal=0.25)

# %%
# Alone, none of them is significant.
console = Console(width=110)
console.print(found.to_frame()[["hsic", "pvalue_holm"]])

# %%
# ``pure`` is what is left of a pair without both main effects.
console.print(found.pairs[["first", "second", "pure", "pvalue_pure"]])

# %%
# The good trials in the plane of the two.
figure = found.plot("goal_set")
