"""Which networks train in one stack: those of one padded shape, apart where that is measured to be cheaper.

A step of a stack costs its calls, whose number depends on the kinds of networks in it, and the work of its networks.
Kinds that share a stack share the calls of their products, but each activation and optimiser needs calls of its own. So
a large group is cut by kind, and a small one stays together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lightning_tasks.data import batch_sizes
from lightning_tasks.stacked.forms import Form, padded_ends, padded_rows, padded_width

# Most weights of a stack, so that they and the memory of their optimisers stay in a cache of some megabytes.
_MOST_WEIGHTS = 2**20


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


def by_shape(candidates: Sequence[Candidate | None]) -> list[list[int]]:
    """Groups of places with one padded shape; a place without a candidate is a group of its own."""
    shapes: dict[Any, list[int]] = {}
    for place, candidate in enumerate(candidates):
        key = ("alone", place) if candidate is None else candidate.shape
        shapes.setdefault(key, []).append(place)
    return list(shapes.values())


def group(candidates: Sequence[Candidate | None], measured: bool, accelerator: str) -> list[list[int]]:
    """Groups of places that train together; a place without a candidate is a group of its own."""
    return by_shape(candidates)
