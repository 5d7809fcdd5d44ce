"""
Reading an index
================

*What does the number say?* The index is 0 if a hyperparameter has no influence on reaching the goal. It is small by
itself: it is compared with its noise floor and with the other hyperparameters, never with 1.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
# Three hyperparameters: the first decides, the second helps a little, the third does nothing.
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({name: hsicfast.Float(0, 1) for name in ("decides", "helps", "nothing")})
columns = {name: random.random(300) for name in space}
error = (columns["decides"] - 0.3) ** 2 + 0.06 * columns["helps"] + 0.02 * random.random(300)
found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, error))

# %%
# - ``hsic``: the index. All values lie on [0, 1] first, so that a learning rate and a number of layers compare.
# - ``noise_floor``: its mean if nothing depends on anything. An index near it says nothing.
# - ``r2``: the index as a share of the largest possible one. It does not reach 1 if the goal is narrow.
# - ``ci_low``, ``ci_high``: where the index lies with 90% confidence.
# - ``pvalue_holm``: adjusted for the number of hyperparameters. At most 0.05 is evidence.
frame = found.to_frame()
console = Console(width=110)
console.print(frame[["hsic", "noise_floor", "r2", "ci_low", "ci_high", "pvalue_holm"]].round(5).to_string())

# %%
# A ranking is a guess, too: here is where each rank lies in 90% of resamples of the trials.
console.print(found.ranks().to_string())

# %%
figure = found.plot("indices")

# %%
# Where the good trials lie says which values to take: the dark part of each picture is the good trials.
marginals = found.plot("marginals")
