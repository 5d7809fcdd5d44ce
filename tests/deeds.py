"""Trainings that do what their params say, wherever they run: a worker process imports them by this name."""

import ctypes
import math
import os
import signal
import sys
import time
from pathlib import Path

from optuna.pruners import MedianPruner

from hsicfast.training.pruning import Pruning
from hsicfast.training.worker import Job
from hsicfast.trials.trial import DESIGN, SEARCH, Trial


class Odd(Exception):
    """An exception that pickle refuses."""

    def __init__(self, held, said):
        super().__init__(held, said)

    def __str__(self):
        return "odd"


class MachineFailed(Exception):
    """What a training raises that ended through no fault of its own."""

    lost = True

    def __init__(self, said, held):  # pickle refuses it
        super().__init__(said)
        self.held = held


def obey(params, seed):
    """Do what the params say, in whatever process."""
    deed = params["do"]
    if "note" in params:
        with Path(params["note"]).open("a") as file:
            file.write("x")
    if deed == "raise":
        raise RuntimeError("some long story\nout of paper")
    if deed == "exit":
        sys.exit(0)
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die" or (deed == "die once" and len(Path(params["note"]).read_text()) == 1):
        os._exit(3)
    if deed == "vanish":
        os._exit(0)
    if deed == "fault":
        ctypes.string_at(0)
    if deed == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if deed == "odd":
        raise Odd(lambda: 0, "it holds a lambda")
    if deed == "lose" or (deed == "lose once" and len(Path(params["note"]).read_text()) == 1):
        raise MachineFailed("the story\nrank 1 died (SIGKILL)", lambda: 0)
    if deed == "memory":
        raise MemoryError
    if deed == "die late":
        time.sleep(1.5)
        os._exit(3)
    if deed == "sleep":
        time.sleep(params["seconds"])
    if deed == "threads":
        return {"objective": 0.0, "omp": os.environ["OMP_NUM_THREADS"], "pid": os.getpid()}
    if deed == "devices":
        time.sleep(0.5)  # long enough for every worker to take one
        return {"objective": 0.0, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "untouched")}
    if deed == "text":
        return "good"
    return {"objective": math.nan if deed == "nan" else float(len(deed)), "cost": 2.0, "seed_seen": seed}


KNOWN = tuple(Trial(i, {}, 1.0, curve=((0, 2.0), (1, 1.0))) for i in range(5))
MEDIAN = Pruning(MedianPruner(), True, KNOWN)


def descend(params, report):
    """Report the values until told to stop, and return the last one."""
    for step, value in enumerate(params["values"]):
        if not report(step, value):
            break
    return value


def planned(*values, pruning=MEDIAN):
    return [Job(i, {"values": several}, i, SEARCH, pruning) for i, several in enumerate(values, start=5)]


def jobs(*deeds, **more):
    return [Job(i, {"do": deed, **more}, seed=100 + i, origin=DESIGN) for i, deed in enumerate(deeds)]
