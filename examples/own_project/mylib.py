"""A training of one's own, which knows nothing of hsicfast: a small network learns a curve, by gradient descent."""

import numpy as np


def train(params, seed):
    """The error on points it was not trained on, and what the network costs; a high rate diverges."""
    draw = np.random.default_rng(seed)
    inner, outer = draw.normal(size=(2, params["width"])), draw.normal(size=params["width"]) / params["width"] ** 0.5
    x, speed, momentum = np.linspace(-2, 2, 41), 0.0, params.get("momentum", 0.0)
    hidden = np.tanh(np.outer(x, inner[0]) + inner[1])
    curve, seen = np.sin(2 * x), np.arange(41) % 2 == 0
    for _ in range(200):
        error = hidden[seen] @ outer - curve[seen]
        speed = momentum * speed - params["rate"] * hidden[seen].T @ error / seen.sum()
        outer = outer + speed
    loss = float(np.sqrt(np.mean((hidden[~seen] @ outer - curve[~seen]) ** 2)))
    return {"objective": loss, "cost": 3 * params["width"]}
