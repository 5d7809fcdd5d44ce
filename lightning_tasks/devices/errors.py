"""A training that ended through no fault of its own."""

from __future__ import annotations


class Lost(RuntimeError):
    """The machine failed, not the training: a process was killed, a disk was full.

    `lost` tells whoever asked for the training that this says nothing about the hyperparameters; it may try again.
    """

    lost = True
