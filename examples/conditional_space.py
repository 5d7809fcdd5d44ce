"""
A space with conditions
=======================

*What about a hyperparameter that only some trials have?* It is judged among the trials in which it exists, with a goal
of their own. Momentum is compared with momentum, and not with the trials of an optimizer that has none.
"""

import numpy as np
from rich.console import Console

import hsicfast
from hsicfast import Choice, Float

SPACE = hsicfast.SearchSpace(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "optimizer": Choice(["adam", "sgd"]),
        "momentum": Float(0.0, 0.99, active_if={"optimizer": "sgd"}),
        "beta1": Float(0.5, 0.999, active_if={"optimizer": "adam"}),
    }
)


def error(params: dict[str, float]) -> float:
    """Momentum decides if a trial has one; adam has none, which is no error, so that the optimizer decides, too."""
    return abs(np.log10(params["lr"]) + 2) + 3 * abs(params.get("momentum", 0.9) - 0.9)


# %%
# A value that does not exist is None in a column, and an empty cell in a file.
random = np.random.default_rng(0)
points = [SPACE.from_unit(point) for point in random.random((400, len(SPACE)))]
columns = {name: [params.get(name) for params in points] for name in SPACE}
trials = hsicfast.TrialTable.from_arrays(SPACE, columns, [error(params) for params in points])
found = hsicfast.analyse(SPACE, trials)

# %%
# The column ``group`` says among which trials each was judged, and ``n`` how many these are.
Console().print(found.to_frame()[["hsic", "pvalue_holm", "n", "group"]])

# %%
figure = found.plot("indices")
