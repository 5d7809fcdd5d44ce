"""One trial: its values, what came of it, its seeds. A column of a table of trials is declared here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

import numpy as np

Status = Literal["done", "diverged", "pruned", "lost"]
DONE: Final = "done"
DIVERGED: Final = "diverged"
PRUNED: Final = "pruned"
LOST: Final = "lost"
STATUSES: tuple[Status, ...] = get_args(Status)

# What went wrong: in the training (the first three) or with what it was to keep to (infeasible), whose trials have
# diverged, or around it (lost).
Failure = Literal["", "not finite", "out of memory", "exception", "infeasible", "died", "timed out"]
NOT_FINITE: Final = "not finite"
OUT_OF_MEMORY: Final = "out of memory"
EXCEPTION: Final = "exception"
INFEASIBLE: Final = "infeasible"
DIED: Final = "died"
TIMED_OUT: Final = "timed out"
FAILURES: tuple[Failure, ...] = get_args(Failure)
# The metrics of a trial with constraints: the objective that an infeasible one had, and the largest constraint.
INFEASIBLE_OBJECTIVE: Final = "infeasible_objective"
LARGEST_CONSTRAINT: Final = "largest_constraint"

# How other tools name the ends of a trial, in small letters alone: "EARLY_STOPPED" is "earlystopped". A trial that ran
# out of its own time or memory failed; one that was killed or set aside from outside is no evidence. A paused trial was
# not worth going on with when its tool last looked.
WORDS: dict[str, Status] = {
    **dict.fromkeys(
        (DONE, "finished", "complete", "completed", "terminated", "succeeded", "success", "inactive"), DONE
    ),
    **dict.fromkeys((DIVERGED, "fail", "failed", "failure", "crashed", "crash", "error", "errored"), DIVERGED),
    **dict.fromkeys(("invalid", "timeout", "timedout", "memout", "outofmemory", "oom"), DIVERGED),
    **dict.fromkeys((PRUNED, "stopped", "stopping", "earlystopped", "paused"), PRUNED),
    **dict.fromkeys((LOST, "running", "waiting", "killed", "pending", "preempting", "preempted", "scheduled"), LOST),
    **dict.fromkeys(("inprogress", "queued", "created", "candidate", "staged", "dispatched", "active"), LOST),
    **dict.fromkeys(("abandoned", "metricsunavailable", "canceled", "cancelled", "aborted", "interrupted"), LOST),
}


def status_of(word: object) -> Status | None:
    """The status that a tool's word means, by :data:`WORDS`; None for a word that no tool is known to use.

    Examples
    --------
    >>> status_of("TERMINATED"), status_of("In Progress"), status_of("TrialStatus.EARLY_STOPPED"), status_of("Ohio")
    ('done', 'lost', 'pruned', None)
    """
    return WORDS.get("".join(filter(str.isalpha, str(word).rpartition(".")[2])).lower())


# A trial of the design was drawn from the space's own distribution; one of the search was proposed by an optimiser; a
# final one trains a configuration that was among the best again.
Origin = Literal["design", "search", "final"]
DESIGN: Final = "design"
SEARCH: Final = "search"
FINAL: Final = "final"

# What a training reported: steps and the values after them.
Curve = tuple[tuple[int, float], ...]
# The places where fields of a trial are shown; each has its own order of fields.
Place = Literal["frame", "study", "log"]


def _written(dtype: Any = None, late: bool = False, **places: int) -> Mapping[str, Any]:
    """The metadata of a field of :class:`Trial`, which every loop over the fields reads.

    Parameters
    ----------
    dtype : NumPy type, optional
        Of the field's column in a table of trials, which has none without it.
    late : bool
        Whether results on disk may lack the field, as they are older than it; it then has its default.
    **places : int
        For each :data:`Place` that shows the field, its position there.
    """
    return {"dtype": dtype, "late": late, "places": places}


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
        What is minimised or maximised. Finite if `status` is ``done``; the last value, or NaN if there was none, if it
        is ``pruned``; NaN otherwise. Of several objectives, which are among the metrics, it is the first; in the tables
        of a run it is the number of trials that dominate this one.
    cost : float
        What the network costs, in the user's unit; NaN if unknown.
    status : {"done", "diverged", "pruned", "lost"}
        A diverged trial is evidence against its hyperparameters, as an infeasible one is, whose status this is, too; a
        pruned one was stopped early, a lost one (killed, node gone) is no evidence.
    origin : {"design", "search", "final"}
        Drawn from the distribution of the space, proposed by an optimiser, or one of the best again with a fresh seed.
    seed : int
        Seed of the training.
    metrics : dict
        Whatever else was reported. A trial with constraints has ``largest_constraint``; an infeasible one has
        ``infeasible_objective``, the objective that does not count.
    message : str
        Why a trial diverged, was stopped early or lost.
    curve : tuple of (int, float)
        What the training reported: after which step which value; NaN for what was not finite.
    failure : {"", "not finite", "out of memory", "exception", "infeasible", "died", "timed out"}
        What went wrong, if anything: the objective, its memory, an exception of the training, a constraint that it
        broke, its process (killed or gone, in every attempt), or its time.
    trace : str
        The last lines of the exception's traceback.
    """

    index: int = field(metadata=_written(np.int64, frame=3, study=0, log=0))
    params: dict[str, Any] = field(metadata=_written(log=8))
    objective: float = field(metadata=_written(np.float64, frame=0, log=4))
    cost: float = field(default=float("nan"), metadata=_written(np.float64, frame=1, study=4, log=5))
    status: Status = field(default=DONE, metadata=_written(np.str_, frame=2, study=3, log=2))
    origin: Origin = field(default=DESIGN, metadata=_written(np.str_, frame=4, study=2, log=1))
    seed: int = field(default=0, metadata=_written(np.int64, frame=5, study=1))
    metrics: dict[str, Any] = field(default_factory=dict, metadata=_written(frame=6, study=7, log=9))
    message: str = field(default="", metadata=_written(np.object_, frame=8, study=5, log=6))
    curve: Curve = field(default=(), metadata=_written(np.object_, late=True))
    failure: Failure = field(default="", metadata=_written(np.object_, late=True, frame=7, study=6, log=3))
    trace: str = field(default="", metadata=_written(late=True, log=7))


# The type of each column of a table of trials.
COLUMNS: dict[str, Any] = {own.name: own.metadata["dtype"] for own in fields(Trial) if own.metadata["dtype"]}
# The value of a field that nobody has given.
DEFAULTS: dict[str, Any] = {own.name: own.default for own in fields(Trial)}
LATE = tuple(own.name for own in fields(Trial) if own.metadata["late"])


# Purposes of the random streams of one (seed, index); the design's own stream has no third number.
TRAINING, PROPOSAL, SPARE, COIN, WEIGHTS = 1, 2, 3, 4, 5


def names_in(place: Place) -> tuple[str, ...]:
    """The fields of :class:`Trial` that `place` shows, in their order there.

    Examples
    --------
    >>> names_in("frame")
    ('objective', 'cost', 'status', 'index', 'origin', 'seed', 'metrics', 'failure', 'message')
    """
    shown = {own.name: own.metadata["places"][place] for own in fields(Trial) if place in own.metadata["places"]}
    return tuple(sorted(shown, key=shown.__getitem__))


def trial_seed(seed: int, index: int) -> int:
    """Seed of the training of trial `index`, in [0, 2^31)."""
    return stream_seed(seed, index, TRAINING)


def stream_seed(seed: int, index: int, purpose: int) -> int:
    """Seed of the stream of random numbers that `purpose` (such as TRAINING) names, in [0, 2^31)."""
    return int(np.random.SeedSequence([seed, index, purpose]).generate_state(1)[0] >> 1)
