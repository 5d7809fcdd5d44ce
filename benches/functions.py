"""Functions in closed form have known relevant hyperparameters: the function, its space, and the truth.

A hyperparameter is relevant if the function depends on it at all, however little, and inert if the formula does not
name it. A small value is good, as for an objective that is minimised.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hsicfast import Bool, Choice, Float, Int, SearchSpace, TrialTable

Params = Mapping[str, Any]


class Function(NamedTuple):
    """A formula over the params of a trial, the space they are drawn from, the truth, and the noise of the objective.

    `noise` is the standard deviation of the noise added to each trial; 0 adds none.
    """

    name: str
    formula: Callable[[Params], float]
    space: SearchSpace
    relevant: frozenset[str]
    noise: float

    def trials(self, n: int, seed: int) -> TrialTable:
        """`n` trials from the distribution of the space; the first trials of a seed do not depend on `n`."""
        place = FUNCTIONS.index(self)
        points = np.random.default_rng((seed, place, 0)).random((n, len(self.space)))
        params = [self.space.from_unit(point) for point in points]
        noise = self.noise * np.random.default_rng((seed, place, 1)).standard_normal(n)
        columns = {name: [trial.get(name) for trial in params] for name in self.space}
        return TrialTable.from_arrays(self.space, columns, np.array([self.formula(trial) for trial in params]) + noise)


def ishigami(x: Params) -> float:
    """Ishigami and Homma (1990): x3 matters only together with x1."""
    return math.sin(x["x1"]) + 7 * math.sin(x["x2"]) ** 2 + 0.1 * x["x3"] ** 4 * math.sin(x["x1"])


def sobol_g(x: Params) -> float:
    """Sobol (1993), a product; of his a = (0, 1, 4.5, 9, 99, 99, 99, 99) the last four are left out, hence inert."""
    return math.prod((abs(4 * x[name] - 2) + a) / (1 + a) for name, a in zip("abcd", (0.0, 1.0, 4.5, 9.0), strict=True))


def friedman(x: Params) -> float:
    """Friedman (1991), his first function, with noise 1."""
    return 10 * math.sin(math.pi * x["x1"] * x["x2"]) + 20 * (x["x3"] - 0.5) ** 2 + 10 * x["x4"] + 5 * x["x5"]


def optimiser(x: Params) -> float:
    """The best rate depends on the optimiser, one of them has momentum, and more layers are better."""
    loss = (math.log10(x["rate"]) + (3.0 if x["optimizer"] == "adam" else 1.5)) ** 2 - 0.15 * x["layers"]
    return loss + (1.5 * (0.9 - x["momentum"]) ** 2 if x["optimizer"] == "sgd" else 0.0)


def machine(x: Params) -> float:
    """One of three kernels, of which two have a scale and one has a degree; scaling the data helps all of them."""
    loss = 0.3 * abs(math.log10(x["c"]) - 1) + (0.0 if x["scaled"] else 0.5)
    if x["kernel"] == "linear":
        return loss + 0.6
    loss += 0.4 * abs(math.log10(x["gamma"]) + 1)
    return loss + 0.2 * (x["degree"] - 2) if x["kernel"] == "poly" else loss


def augmentation(x: Params) -> float:
    """Two switches have settings of their own, and one of these settings opens a third branch."""
    loss = 1.0 + x["decay"] ** 2
    if x["augment"]:
        loss += 3 * (x["strength"] - 0.4) ** 2 - 0.5
        loss += abs(x["angle"] - 30) / 60 - 0.4 if x["policy"] == "rotate" else 0.0
    return loss + (2 * abs(x["share"] - 0.3) - 0.4 if x["dropout"] else 0.0)


def _floats(names: list[str], low: float = 0.0, high: float = 1.0) -> dict[str, Float]:
    return {name: Float(low, high) for name in names}


FUNCTIONS = (
    Function(
        "Ishigami",
        ishigami,
        SearchSpace(_floats([f"x{i}" for i in range(1, 9)], -math.pi, math.pi)),
        frozenset({"x1", "x2", "x3"}),
        0.0,
    ),
    Function("Sobol g", sobol_g, SearchSpace(_floats(list("abcdefgh"))), frozenset("abcd"), 0.0),
    Function(
        "Friedman #1",
        friedman,
        SearchSpace(_floats([f"x{i}" for i in range(1, 11)])),
        frozenset({"x1", "x2", "x3", "x4", "x5"}),
        1.0,
    ),
    Function(
        "optimiser",
        optimiser,
        SearchSpace(
            {
                "rate": Float(1e-5, 1.0, log=True),
                "optimizer": Choice(["adam", "sgd"]),
                "momentum": Float(0.0, 0.99, active_if={"optimizer": "sgd"}),
                "beta": Float(0.8, 0.999, active_if={"optimizer": "adam"}),
                "layers": Int(1, 8),
                "shuffle": Bool(),
                "buffer": Int(1, 64, active_if={"shuffle": True}),
                "workers": Int(1, 16),
            }
        ),
        frozenset({"rate", "optimizer", "momentum", "layers"}),
        0.2,
    ),
    Function(
        "machine",
        machine,
        SearchSpace(
            {
                "kernel": Choice(["linear", "rbf", "poly"]),
                "c": Float(1e-3, 1e3, log=True),
                "gamma": Float(1e-4, 1e1, log=True, active_if={"kernel": ["rbf", "poly"]}),
                "degree": Int(2, 5, active_if={"kernel": "poly"}),
                "coefficient": Float(0.0, 1.0, active_if={"kernel": "poly"}),
                "scaled": Bool(),
                "cache": Int(1, 10),
                "tolerance": Float(1e-6, 1e-2, log=True),
                "shrinking": Bool(),
            }
        ),
        frozenset({"kernel", "c", "gamma", "degree", "scaled"}),
        0.1,
    ),
    Function(
        "augmentation",
        augmentation,
        SearchSpace(
            {
                "augment": Bool(),
                "strength": Float(0.0, 1.0, active_if={"augment": True}),
                "policy": Choice(["flip", "rotate", "none"], active_if={"augment": True}),
                "angle": Float(0.0, 90.0, active_if={"policy": "rotate"}),
                "dropout": Bool(),
                "share": Float(0.0, 0.8, active_if={"dropout": True}),
                "decay": Float(0.0, 1.0),
                "logging": Bool(),
                "interval": Int(1, 100, active_if={"logging": True}),
                "backend": Choice(["a", "b", "c"]),
                "prefetch": Int(1, 8),
            }
        ),
        frozenset({"augment", "strength", "policy", "angle", "dropout", "share", "decay"}),
        0.1,
    ),
)
