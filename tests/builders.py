"""What several test files build on: search spaces, trials drawn of them, finished runs and small ones."""

import math

import numpy as np
import optuna
import pandas as pd

from hsicfast import Bool, Choice, Float, Int, SearchSpace, Trial, TrialTable, analyse, minimize
from hsicfast.indices.reduction import reduce
from hsicfast.runs.watcher import Watcher
from hsicfast.search.orchestrator import Result
from hsicfast.search.rounds import Round
from hsicfast.search.strategies import TwoStep
from hsicfast.trials.trial import DIVERGED, LOST

FLAT = SearchSpace({"x": Float(0, 1), "y": Float(0, 1)})
CONDITIONAL = SearchSpace(
    {
        "rate": Float(1e-4, 1, log=True),
        "optimizer": Choice(["adam", "sgd"]),
        "momentum": Float(0, 0.99, active_if={"optimizer": "sgd"}),
        "depth": Int(1, 6),
        "norm": Bool(),
    }
)
NESTED = SearchSpace(
    {
        "norm": Bool(),
        "scale": Float(0, 1, active_if={"norm": True}),
        "kind": Choice(["a", "b", "c"]),
        "inner": Float(0, 1, active_if={"kind": ["a", "b"]}),
        "switch": Bool(active_if={"kind": "a"}),
        "deep": Float(0, 1, active_if={"switch": True}),
    }
)
# What the pictures and pages are of, and names that try to break them.
NETWORK = SearchSpace(
    {
        "learning_rate": Float(1e-5, 1, log=True),
        "optimizer": Choice(["adam", "sgd", "rmsprop"]),
        "momentum": Float(0, 0.99, active_if={"optimizer": ["sgd", "rmsprop"]}),
        "width": Int(4, 256, log=True),
        "depth": Int(1, 6),
        "batch_norm": Bool(),
    }
)
NASTY = (
    "<script>alert(1)</script>",
    "a&b\"'|c",
    "</td></table><img src=http://evil.example/x onerror=alert(1)>",
    "ширина",
    "学習率",
    "$\\frac$ $x$",
    "[bold red]name[/bold red]",
    "{{ 7 * 191 }}",
    "n" * 120,
    "line\nbreak\x1b[31m",
)
NASTY_SPACE = SearchSpace(
    {name: Float(0, 1) for name in NASTY[:6]}
    | {name: Choice(["<i>a</i>", "$b$", "javascript:alert(1)"]) for name in NASTY[6:]}
    | {"child": Float(0, 1, active_if={NASTY[6]: ["<i>a</i>", "$b$"]})}
)


def uniform(*shape, seed=0):
    """Numbers in [0, 1)."""
    return np.random.default_rng(seed).random(shape)


def drawn(space, n, seed=0):
    """Params of n trials drawn from the law of `space`."""
    rng = np.random.default_rng(seed)
    return [space.from_unit(rng.random(len(space))) for _ in range(n)]


def table(n=200, seed=0, objective=None, cost=None, space=CONDITIONAL):
    """Trials drawn from the law of `space`; the rate and the momentum decide unless `objective` says otherwise."""
    objective = objective or (lambda p: (math.log10(p["rate"]) + 2) ** 2 + 0.5 * p.get("momentum", 0.2))
    cost = cost or (lambda p: math.nan)
    trials = [Trial(i, p, objective(p), cost(p)) for i, p in enumerate(drawn(space, n, seed))]
    return TrialTable.from_trials(space, trials)


def frame_with_gaps(n):
    """n rows of a user's table, in which the momentum is filled unless the optimizer is adam."""
    rng = np.random.default_rng(1)
    optimizer = rng.choice(["adam", "sgd", "rmsprop"], n)
    momentum = np.where(optimizer == "adam", np.nan, rng.random(n))
    return pd.DataFrame({"momentum": momentum, "optimizer": optimizer, "other": rng.choice(["x", "y"], n)})


def finished_run(
    space=NETWORK,
    n=80,
    searched=0,
    *,
    sign=1,
    costs=True,
    lost=0,
    reduced=True,
    interrupted=False,
    objective=None,
    n_permutations=200,
):
    """A run in which the learning rate decides, unless `objective` of the params says otherwise."""
    rng = np.random.default_rng(0)
    trials = []
    for i in range(n + searched):
        params = space.from_unit(rng.random(len(space)))
        noise = 0.2 * rng.random()
        rate = params.get("learning_rate", 0.1)
        error = objective(params) if objective else 0.01 * math.exp((math.log10(rate) + 2) ** 2 + noise)
        status = "lost" if i < lost else "diverged" if rate > 0.5 else "done"
        trials.append(
            Trial(
                index=i,
                params=params,
                objective=sign * error if status == "done" else math.nan,
                cost=float(params.get("width", 8) ** 2 * params.get("depth", 1)) if costs else math.nan,
                status=status,
                origin="design" if i < n else "search",
                seed=1000 + i,
                metrics={"epochs": 30 + i % 7, "seconds": math.nan if i % 2 else 1.5},
                message="loss is NaN" if status == "diverged" else "",
            )
        )
    table = TrialTable.from_trials(space, trials, sign > 0)
    found = analyse(space, table.design, goal=0.2, n_permutations=n_permutations)
    rounds = (Round(1, "design", 0, n, "drawn independently"), Round(2, "optimise", n, n + searched, "proposed by x"))
    return Result(
        best=table.best(),
        trials=table,
        sensitivity=found,
        reduction=reduce(found) if reduced else None,
        rounds=rounds if searched else rounds[:1],
        goal=0.2,
        interrupted=interrupted,
        economical=table.economical(None),
    )


def too_small_to_judge(costs=True):
    """A run in which one hyperparameter is there in hardly any trial."""
    space = SearchSpace({"a": Choice([0, 1], law=[99, 1]), "b": Float(0, 1, active_if={"a": 1})})
    return finished_run(space, n=20, costs=costs, objective=lambda params: params["a"] + 0.5)


# Trials as a folder keeps them.
STORED = SearchSpace({"kind": Choice(["a", (1, 2), None]), "rate": Float(0, 1, active_if={"kind": "a"}), "on": Bool()})
GOOD = Trial(12, {"kind": "a", "rate": 0.1 + 0.2, "on": True}, 1 / 3, 7.0, seed=5, metrics={"test": 0.5, "note": "x"})
BAD = Trial(3, {"kind": None, "on": False}, math.nan, status=DIVERGED, seed=6, message="RuntimeError: no")
GONE = Trial(4, {"kind": None, "on": False}, math.nan, status=LOST, seed=6, message="killed")


def study_of(folder):
    """The Optuna study of a run in `folder`."""
    url = f"sqlite:///{folder}/study.db"
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


# A run so small that a fault can be tried at each of its steps.
SMALL_N = 8


def small_train(params, seed):
    return {"objective": params["rate"] + seed % 7 / 100, "cost": 1.0, "note": "as it was"}


def small_run(folder=None, n=SMALL_N, train=small_train, **more):
    plan = TwoStep(design_share=0.5, optimizer="random")
    return minimize(train, CONDITIONAL, n_trials=n, strategy=plan, seed=1, folder=folder, **more)


class After(Watcher):
    """Does something once so many trials have ended."""

    def __init__(self, count, then):
        self.count, self.then = count, then

    def on_trial(self, trial, stored):
        self.count -= not stored
        if self.count == 0:
            self.then()
