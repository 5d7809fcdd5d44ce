"""
Trials that say nothing
=======================

*What if nothing matters?* Then the answer is "no evidence either way", and not a ranking of noise. It says which effect
would have been found, for that depends on the number of trials.
"""

import numpy as np
from rich.console import Console

import hsicfast

# %%
random = np.random.default_rng(0)
space = hsicfast.SearchSpace({f"h{i}": hsicfast.Float(0, 1) for i in range(8)})
columns = {name: random.random(200) for name in space}
found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, random.random(200)))

# %%
console = Console()
console.print(found.headline)
for name, verdict in found.verdicts().head(3).iterrows():
    console.print(f"{name}: {verdict['text']}. {verdict['evidence']}")

# %%
# Each index lies about its noise floor.
figure = found.plot("indices")
