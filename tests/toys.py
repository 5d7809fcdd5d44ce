"""A training that takes no time, with what it may be asked for, and what stops a run of it."""

import math
import os
import signal

import pytest

from hsicfast.runs.watcher import Watcher
from hsicfast.search.ledger import Interrupted
from hsicfast.search.orchestrator import minimize
from hsicfast.search.strategies import Hsic, TwoStep
from hsicfast.space.search_space import Bool, Choice, Float, SearchSpace

SPACE = SearchSpace(
    {
        "optimizer": Choice(["adam", "sgd"]),
        "rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.9, active_if={"optimizer": "sgd"}),
        "size": Float(0.0, 1.0),
        "unused": Bool(),
    }
)
QUICK = TwoStep(design_share=0.5, optimizer="tpe")
RANDOMLY = TwoStep(design_share=0.5, optimizer="random")
# The finals and what is asked for have tests of their own; costs from 1 to 2 span a quarter of a decade.
ECONOMISE = Hsic(final_share=0, economy_share=0.7, ask_share=0)


def train(params, seed):
    """Best at rate 0.01, diverges above 0.5; what it costs depends on the size alone."""
    if params["rate"] > 0.5:
        raise FloatingPointError("loss is nan")
    loss = (math.log10(params["rate"]) + 2) ** 2 + 0.01 * params.get("momentum", 0.0) + 0.01 * params["size"]
    loss += 1e-6 * (seed % 1000)
    return {"objective": loss, "cost": 1 + params["size"], "seen": seed}


def descend(params, seed, report):
    """As `train`, in ten steps to its loss."""
    ended = train(params, seed)
    for step in range(1, 11):
        loss = ended["objective"] + (10 - step) * 0.3
        if not report(step, loss):
            return {**ended, "objective": loss}
    return ended


def diverge(params):
    raise FloatingPointError("loss is nan" if params["size"] > 0.2 else "out of memory")


def same(one, other):
    """Two runs tell the same story."""
    assert one.trials.to_frame().equals(other.trials.to_frame())
    assert one.sensitivity.to_frame().equals(other.sensitivity.to_frame())
    assert (one.reduction, one.rounds, one.goal) == (other.reduction, other.rounds, other.goal)
    assert (one.best.index, one.economical.index) == (other.best.index, other.economical.index)
    assert repr(one.finals) == repr(other.finals)  # with NaN


def cut_short(*given, **named):
    """The result of a call of `minimize` that a signal stops."""
    with pytest.raises(Interrupted) as stop:
        minimize(*given, **named)
    return stop.value.result


class Stopper(Watcher):
    """Send a signal once so many trials have ended in this run."""

    def __init__(self, after, number=signal.SIGINT, times=1):
        self.after, self.number, self.times = after, number, times
        self.fresh = self.stored = self.stops = 0

    def on_trial(self, trial, stored):
        self.stored += stored
        self.fresh += not stored
        if not stored and self.fresh == self.after:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_stop(self):
        self.stops += 1


def price(params):
    """What `train` will say."""
    return 1 + params["size"]


class Priced:
    """Trains, and knows what it costs before."""

    def __init__(self):
        self.trained = []

    def __call__(self, params, seed):
        self.trained.append(params["size"])
        return train(params, seed)

    def price(self, params):
        return price(params)


def unpriced(params, seed):
    return train(params, seed)["objective"]
