"""
Good at which edge?
===================

*Is "good" the best tenth or the best half?* Some hyperparameters part the usable from the useless, others the best from
the good. The default test asks at several edges at once and adjusts for that; an index is of one edge, which you
choose.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
# A learning rate outside its range ruins a trial. Among the rest, the width decides who is best.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({name: hsicfast.Float(0, 1) for name in ("rate", "width", "other")})
columns = {name: random.random(400) for name in space}
error = np.where(columns["rate"] > 0.6, 1.0, 0.4 * columns["width"]) + 0.1 * random.random(400)
trials = hsicfast.TrialTable.from_arrays(space, columns, error)

# %%
# At the best 5% the width comes first, at the best half the rate.
console = Console()
for goal in (0.05, 0.5):
    one = hsicfast.analyse(space, trials, goal=goal, test="permutation")
    console.print(f"best {goal:.0%}:", one.to_frame()["r2"].round(3).to_dict())

# %%
# The joint test, the default, finds both with one p-value each.
found = hsicfast.analyse(space, trials)
console.print(found.to_frame()[["pvalue_holm", "importance"]])

# %%
# How the ranking changes as the goal widens.
figure = found.plot("ranking")
