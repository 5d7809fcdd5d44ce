"""Functions in closed form have known relevant hyperparameters: the function, its space, and the truth.

A hyperparameter is relevant if the function depends on it at all, however little, and inert if the formula does not
name it. A small value is good, as for an objective that is minimised; NaN is a trial that diverged.

No method may be tuned on NEW_FUNCTIONS, nor may they change: they were written before any method had been tried on
them, and show what a rule that was fixed on FUNCTIONS is worth elsewhere.
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
        place = (*FUNCTIONS, *NEW_FUNCTIONS).index(self)
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


def recipe(x: Params) -> float:
    """A training recipe: only the rate over the root of the batch matters, and unclipped large rates diverge.

    The loss is flat along equal ratios, near the best ratio, and from 6 layers on. A warm-up exists for two schedules,
    and its share only if there is one; both matter most if the ratio is large.
    """
    if not x["clip"] and x["rate"] > 3e-3:
        return math.nan
    ratio = math.log10(x["rate"]) - 0.5 * math.log10(x["batch"] / 64)
    loss = 0.5 * min(max(abs(ratio + 3.0) - 0.3, 0.0), 1.6) + 0.06 * max(6 - x["layers"], 0)
    loss += {"layer": 0.0, "rms": 0.05, "batch": 0.6}[x["norm"]]
    if x["schedule"] == "constant":
        return loss + 0.4
    hot = 1 / (1 + math.exp(-4 * (ratio + 3.0)))
    return loss + (1.5 * hot * abs(x["share"] - 0.1) if x["warm"] else 0.5 * hot)


def matching(x: Params) -> float:
    """Two pairs matter only together: the activation with the initialisation, and the depth with the decay.

    Neither of a pair has an effect on the mean. A rate above 0.3 diverges, and rates from 1e-3 to 1e-1 are equally
    good. It does not matter if weights are averaged, how, or over which window.
    """
    if x["rate"] > 0.3:
        return math.nan
    loss = 0.4 * max(abs(math.log10(x["rate"]) + 2), 1.0)
    loss += 0.35 if (x["activation"] == "relu") == (x["init"] == "xavier") else -0.35
    return loss - 0.7 * ((x["layers"] - 5) / 4) * ((math.log10(x["decay"]) + 4) / 2)


def branches(x: Params) -> float:
    """Each optimiser has its own best rate; Adam diverges if beta is small and the rate is large, else beta is inert.

    Mixing exists if images are augmented, and its strength for two of its three kinds, with different best values.
    """
    rate = math.log10(x["rate"])
    if x["optimizer"] == "adam" and x["beta"] < 0.95 and rate > -2.5:
        return math.nan
    loss = min(0.4 * (rate - {"sgd": -1.0, "adam": -3.0, "lion": -3.5}[x["optimizer"]]) ** 2, 1.5)
    if x["optimizer"] == "sgd":
        loss += 0.8 * max(0.9 - x["momentum"], 0.0)
    if not x["augment"]:
        return loss + 0.7
    return loss + (0.3 if x["mix"] == "none" else 0.3 * abs(x["alpha"] - {"mixup": 0.3, "cutmix": 1.5}[x["mix"]]))


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

NEW_FUNCTIONS = (
    Function(
        "recipe",
        recipe,
        SearchSpace(
            {
                "rate": Float(1e-5, 1e-1, log=True),
                "batch": Int(8, 512, log=True),
                "clip": Bool(law=0.7),
                "threshold": Float(0.1, 10.0, log=True, active_if={"clip": True}),
                "norm": Choice(["layer", "rms", "batch"], law=[4, 3, 2]),
                "schedule": Choice(["constant", "cosine", "steps"], law=[1, 3, 2]),
                "warm": Bool(law=0.6, active_if={"schedule": ["cosine", "steps"]}),
                "share": Float(0.0, 0.5, active_if={"warm": True}),
                "layers": Int(2, 12),
                "precision": Choice(["float32", "bfloat16"], law=[1, 3]),
                "compile": Bool(law=0.8),
                "cache": Int(1, 64, active_if={"compile": True}),
                "buffer": Int(100, 100_000, log=True),
                "workers": Int(1, 16),
            }
        ),
        frozenset({"rate", "batch", "clip", "norm", "schedule", "warm", "share", "layers"}),
        0.1,
    ),
    Function(
        "matching",
        matching,
        SearchSpace(
            {
                "activation": Choice(["relu", "tanh"]),
                "average": Bool(law=0.6),
                "decay": Float(1e-6, 1e-2, log=True),
                "init": Choice(["he", "xavier"]),
                "interval": Int(1, 100, log=True),
                "kind": Choice(["linear", "exponential"], law=[2, 1], active_if={"average": True}),
                "layers": Int(1, 9),
                "rate": Float(1e-4, 1.0, log=True),
                "shuffle": Bool(law=0.9),
                "window": Float(0.0, 1.0, active_if={"kind": "linear"}),
            }
        ),
        frozenset({"activation", "init", "layers", "decay", "rate"}),
        0.15,
    ),
    Function(
        "branches",
        branches,
        SearchSpace(
            {
                "optimizer": Choice(["sgd", "adam", "lion"], law=[3, 5, 2]),
                "rate": Float(1e-5, 1.0, log=True),
                "momentum": Float(0.0, 0.99, active_if={"optimizer": "sgd"}),
                "nesterov": Bool(active_if={"optimizer": "sgd"}),
                "beta": Float(0.9, 0.999, active_if={"optimizer": "adam"}),
                "amsgrad": Bool(law=0.2, active_if={"optimizer": "adam"}),
                "epsilon": Float(1e-10, 1e-6, log=True, active_if={"optimizer": "adam"}),
                "augment": Bool(law=0.7),
                "mix": Choice(["none", "mixup", "cutmix"], law=[2, 2, 1], active_if={"augment": True}),
                "alpha": Float(0.1, 2.0, active_if={"mix": ["mixup", "cutmix"]}),
                "drop_last": Bool(law=0.3),
                "pin": Bool(law=0.9),
                "seed_of_order": Int(0, 9),
                "workers": Int(1, 16),
            }
        ),
        frozenset({"optimizer", "rate", "momentum", "beta", "augment", "mix", "alpha"}),
        0.1,
    ),
)
