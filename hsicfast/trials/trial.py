"""One trial: its values, what came of it, its seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

DONE, DIVERGED, PRUNED, LOST = "done", "diverged", "pruned", "lost"
STATUSES = (DONE, DIVERGED, PRUNED, LOST)
# What tools call the ends of a trial, in small letters.
WORDS = {
    **dict.fromkeys((DONE, "finished", "complete", "completed", "terminated"), DONE),
    **dict.fromkeys((DIVERGED, "fail", "failed", "crashed", "error"), DIVERGED),
    PRUNED: PRUNED,
    **dict.fromkeys((LOST, "running", "waiting", "killed", "pending", "preempting", "scheduled"), LOST),
}
# What went wrong, apart: in the training (the first three, whose trials have diverged) or around it (lost).
NOT_FINITE, OUT_OF_MEMORY, EXCEPTION, DIED, TIMED_OUT = "not finite", "out of memory", "exception", "died", "timed out"
FAILURES = ("", NOT_FINITE, OUT_OF_MEMORY, EXCEPTION, DIED, TIMED_OUT)
# A trial of the design was drawn from the space's own law; one of the search was proposed by an optimiser; a final one
# trains a configuration again that was among the best.
DESIGN, SEARCH, FINAL = "design", "search", "final"
# What a training reported: steps and the values after them.
Curve = tuple[tuple[int, float], ...]


# Streams of random numbers of one (seed, index); the design's own stream has no third number.
TRAINING, PROPOSAL, SPARE = 1, 2, 3


@dataclass(frozen=True)
class Trial:
    """One training run.

    Parameters
    ----------
    index : int
        Place in the run, from 0.
    params : dict
        Values of the active hyperparameters.
    objective : float
        What is minimised or maximised. Finite where `status` is ``done``; the last value, or NaN where there was none,
        where it is ``pruned``; NaN otherwise.
    cost : float
        What the network costs, in the user's unit; NaN where unknown.
    status : {"done", "diverged", "pruned", "lost"}
        A diverged trial is evidence against its hyperparameters, a pruned one was stopped early, a lost one (killed,
        node gone) is no evidence.
    origin : {"design", "search", "final"}
        Drawn from the law of the space, proposed by an optimiser, or one of the best again with a fresh seed.
    seed : int
        Seed of the training.
    metrics : dict
        Whatever else was reported.
    message : str
        Why a trial diverged, was stopped early or lost.
    curve : tuple of (int, float)
        What the training reported: after which step which value; NaN for what was not finite.
    failure : {"", "not finite", "out of memory", "exception", "died", "timed out"}
        What went wrong, if anything: the objective, its memory, an exception of the training, its process (killed or
        gone, in every attempt), or its time.
    trace : str
        The last lines of the exception's traceback.
    """

    index: int
    params: dict[str, Any]
    objective: float
    cost: float = float("nan")
    status: str = DONE
    origin: str = DESIGN
    seed: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    curve: Curve = ()
    failure: str = ""
    trace: str = ""


def trial_seed(seed: int, index: int) -> int:
    """Seed of the training of trial `index`, in [0, 2^31)."""
    return stream_seed(seed, index, TRAINING)


def stream_seed(seed: int, index: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, index, purpose]).generate_state(1)[0] >> 1)
