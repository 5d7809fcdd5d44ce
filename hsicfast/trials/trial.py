"""What other tools call the ends of a trial, and the seeds of a trial; :class:`Trial` itself lies with its space."""

from __future__ import annotations

import numpy as np

from hsicfast.space.trial import (
    DESIGN,
    DIED,
    DIVERGED,
    DONE,
    EXCEPTION,
    FAILURES,
    FINAL,
    LOST,
    NOT_FINITE,
    OUT_OF_MEMORY,
    PRUNED,
    SEARCH,
    STATUSES,
    TIMED_OUT,
    Curve,
    Status,
    Trial,
)

__all__ = [
    "DESIGN",
    "DIED",
    "DIVERGED",
    "DONE",
    "EXCEPTION",
    "FAILURES",
    "FINAL",
    "LOST",
    "NOT_FINITE",
    "OUT_OF_MEMORY",
    "PRUNED",
    "SEARCH",
    "STATUSES",
    "TIMED_OUT",
    "Curve",
    "Trial",
    "stream_seed",
    "trial_seed",
]

# How other tools name the ends of a trial, in small letters.
WORDS: dict[str, Status] = {
    **dict.fromkeys((DONE, "finished", "complete", "completed", "terminated"), DONE),
    **dict.fromkeys((DIVERGED, "fail", "failed", "crashed", "error"), DIVERGED),
    PRUNED: PRUNED,
    **dict.fromkeys((LOST, "running", "waiting", "killed", "pending", "preempting", "scheduled"), LOST),
}

# Purposes of the random streams of one (seed, index); the design's own stream has no third number.
TRAINING, PROPOSAL, SPARE = 1, 2, 3


def trial_seed(seed: int, index: int) -> int:
    """Seed of the training of trial `index`, in [0, 2^31)."""
    return stream_seed(seed, index, TRAINING)


def stream_seed(seed: int, index: int, purpose: int) -> int:
    """Seed of the stream of random numbers that `purpose` (TRAINING, PROPOSAL or SPARE) names, in [0, 2^31)."""
    return int(np.random.SeedSequence([seed, index, purpose]).generate_state(1)[0] >> 1)
