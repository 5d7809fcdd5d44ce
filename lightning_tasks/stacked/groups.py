"""Which networks train in one stack: those of one padded shape, apart where that is measured to be cheaper.

A step of a stack costs its calls, whose number depends on the kinds of networks in it, and the work of its networks.
Kinds that share a stack share the calls of their products, but each activation and optimiser needs calls of its own. So
a large group is cut by kind, and a small one stays together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import torch

from lightning_tasks.data import batch_sizes
from lightning_tasks.stacked.forms import Form, padded_ends, padded_rows, padded_width
from lightning_tasks.stacked.layout import variant

# Most weights of a stack on a CPU: they, their gradients and the memory of their optimisers are some ten megabytes.
MOST_WEIGHTS = 2**20
# A call in a step costs about so many bare ones: it chooses places, and makes the memory of its result.
_CALL = 4.0
# A step passes over the weights about so many times, counted in the optimisers and penalties.
_PASSES = 12.0


@dataclass(frozen=True)
class Speed:
    """Seconds of a call of torch with hardly any work, and of the work of a step for each weight."""

    call: float
    weight: float


@dataclass(frozen=True)
class Candidate:
    """A network that a stack can train.

    Parameters
    ----------
    form
        Its form.
    settings
        Every hyperparameter of `module.DEFAULTS`.
    samples
        Number of training samples.
    """

    form: Form
    settings: Mapping[str, Any]
    samples: int

    @cached_property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(batch_sizes(self.samples, self.settings["batch_size"]))

    @property
    def variant(self) -> str:
        """The kind of its optimiser."""
        return variant(self.settings)

    @cached_property
    def weights(self) -> int:
        """Its padded weights."""
        inputs, width, outputs, _ = self.shape
        return width * (inputs + (self.form.depth - 1) * width + outputs)

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """The padded sizes that it shares with the networks of its stack."""
        rows = max(batch_sizes(self.samples, self.settings["batch_size"]))
        form = self.form
        return (
            padded_ends(form.inputs),
            padded_width(form.width),
            padded_ends(form.outputs),
            padded_rows(rows, form.width),
        )


# What a group may be cut by, in this order.
_KINDS: tuple[Callable[[Candidate], Any], ...] = (
    lambda candidate: candidate.steps,
    lambda candidate: candidate.form.batch_norm,
    lambda candidate: candidate.variant,
    lambda candidate: candidate.form.activation,
    lambda candidate: candidate.form.depth,
)


def by_shape(candidates: Sequence[Candidate | None]) -> list[list[int]]:
    """Groups of places with one padded shape; a place without a candidate is a group of its own."""
    shapes: dict[Any, list[int]] = {}
    for place, candidate in enumerate(candidates):
        key = ("alone", place) if candidate is None else candidate.shape
        shapes.setdefault(key, []).append(place)
    return list(shapes.values())


def group(candidates: Sequence[Candidate | None], speed: Speed | None, most: int | None) -> list[list[int]]:
    """Groups of places that train together; a place without a candidate is a group of its own.

    Parameters
    ----------
    candidates
        The networks, None for one that no stack can train.
    speed
        The speed of the machine, by which a group is cut where that is cheaper; None keeps each shape together.
    most
        The most weights of a stack, if there is a limit.

    Examples
    --------
    >>> group([None, None], speed=None, most=None)
    [[0], [1]]
    """
    found: list[list[int]] = []
    for places in by_shape(candidates):
        own = [(place, candidates[place]) for place in places]
        members = [(place, candidate) for place, candidate in own if candidate is not None]
        if len(members) < 2:
            found.append(places)
            continue
        parts = [members] if speed is None else _cut(members, speed)
        found += [half for part in parts for half in _limited(part, most)]
    return found


Members = list[tuple[int, Candidate]]


def _cut(members: Members, speed: Speed) -> list[Members]:
    """The members by the first of their kinds that makes them cheaper apart than together, and so on."""
    whole = cost([candidate for _, candidate in members], speed)
    for kind in _KINDS:
        parts: dict[Any, Members] = {}
        for place, candidate in members:
            parts.setdefault(kind(candidate), []).append((place, candidate))
        apart = sum(cost([candidate for _, candidate in part], speed) for part in parts.values())
        if len(parts) > 1 and apart < whole:
            return [smaller for part in parts.values() for smaller in _cut(part, speed)]
    return [members]


def _limited(members: Members, most: int | None) -> list[list[int]]:
    """The places of the members, in parts of at most so many weights, as even as can be."""
    weights = sum(candidate.weights for _, candidate in members)
    count = 1 if most is None else min(math.ceil(weights / most), len(members))
    ends = [round(part * len(members) / count) for part in range(count + 1)]
    return [[place for place, _ in members[start:end]] for start, end in pairwise(ends)]


def cost(candidates: Sequence[Candidate], speed: Speed) -> float:
    """Seconds of an epoch of a stack, about.

    The numbers of calls are those of `networks` and `optimizers`; an optimiser's calls are lists, whose entries cost
    about a third of a call each.
    """
    depth = max(candidate.form.depth for candidate in candidates)
    calls = 30.0 + 4.0 * len({candidate.settings["loss"] for candidate in candidates})
    calls += 10.0 if any(candidate.form.dropout for candidate in candidates) else 0.0
    for level in range(depth):
        own = [candidate.form for candidate in candidates if candidate.form.depth > level]
        calls += 12.0 + 2.0 * len({(form.activation, form.batch_norm) for form in own})
        calls += 26.0 if any(form.batch_norm for form in own) else 0.0
        calls += 4.0 if any(form.dropout for form in own) else 0.0
    calls += 7.0 * (depth + 2) / 3.0 * len({candidate.variant for candidate in candidates})
    work = sum(candidate.weights for candidate in candidates)
    return max(candidate.steps for candidate in candidates) * (calls * speed.call + work * speed.weight)


@cache
def measured() -> Speed:
    """The speed of this machine's CPU, measured once in a process: it takes a tenth of a second."""
    small, large = torch.zeros(16, 4, 16), torch.zeros(2**18)

    def seconds(values: torch.Tensor, calls: int) -> float:
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(calls):
                values.addcmul_(values, values)
            best = min(best, (time.perf_counter() - start) / calls)
        return best

    call = seconds(small, 500)
    return Speed(_CALL * call, max(seconds(large, 10) - call, 0.0) / large.numel() * _PASSES)
