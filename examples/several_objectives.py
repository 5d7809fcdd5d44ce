"""
Several objectives
==================

*Which networks are worth having if both error and latency count?* Those that no other beats in both: the front. A run
names its objectives and finds their front, a compromise on it, and what decides each of them.
"""

from rich.console import Console

import hsicfast

# %%
# More units make a better and slower network. The rate decides the error alone; the library decides the latency alone.
space = hsicfast.SearchSpace(
    {
        "units": hsicfast.Int(4, 256, log=True),
        "rate": hsicfast.Float(1e-4, 1, log=True),
        "library": hsicfast.Choice(["slow", "fast"]),
        "unused": hsicfast.Float(0, 1),
    }
)


def evaluate(params):
    """What a training reports: each objective by its name."""
    off = abs(params["rate"] - 0.02) / (params["rate"] + 0.02)  # 0 at the right rate, 1 far from it
    error = 0.05 + 1 / params["units"] + 0.2 * off**2
    latency = params["units"] * (1.0 if params["library"] == "fast" else 2.5)
    return {"objectives": {"error": error, "latency": latency}}


# %%
# Of names alone small is good; ``{"accuracy": "maximize", ...}`` says otherwise.
result = hsicfast.minimize(evaluate, space, n_trials=40, objectives=["error", "latency"], progress=False)
console = Console()
console.print(repr(result))

# %%
# The front, the smallest error first. ``best`` is the trial on it that comes closest to the best values of both.
front = result.front
console.print(front.to_frame()[["units", "rate", "library", "error", "latency"]].to_string(index=False))
console.print(f"a compromise: {result.best.params}")

# %%
# One question for each objective, and one for both: what decides whether a trial ends near the front?
decides = {name: found.significant() for name, found in result.sensitivities.items()}
console.print(f"{decides} and near the front: {result.sensitivity.significant()}")

# %%
# Triangles are the front.
figure = result.plot("front")
