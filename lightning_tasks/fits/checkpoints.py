"""A long fit keeps its state in a file while it trains, and goes on from there if it is interrupted.

It saves its state at the end of an epoch, with everything that the rest of the fit depends on, so that a fit in two
parts gives the same numbers as one in a single part.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightning_tasks.devices.errors import Lost
from lightning_tasks.devices.ranks import ALONE, Ranks
from lightning_tasks.fits.callbacks import Callback, ReportCallback, light

_DIGEST = hashlib.sha256().digest_size
# The key of our part in Lightning's dictionary.
_KEY = "lightning_tasks"


class WholeFile:
    """Writes a checkpoint so that the file is the whole new one or the old one, whatever is killed when.

    It is a `CheckpointIO` of either namespace, once it is registered there.

    Lightning's own writer copies over the old file if TMPDIR is on another file system. The file starts with the
    SHA-256 of its content, because torch's format does not notice a flipped bit.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the file beside `path` and rename it.

        Raises
        ------
        Lost
            If the file cannot be written; an older one is still there.
        """
        target = Path(path)
        # The name is unique, because a worker that was given up may still write the same checkpoint.
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        content = buffer.getbuffer()
        try:
            with part.open("wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
            _sync_folder(target.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise Lost(
                f"a checkpoint must be writable, but {path} gave: {error.strerror or error}; make room"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """The content of the file, on the CPU.

        Raises
        ------
        ValueError
            If the file is not whole.
        """
        content = Path(path).read_bytes()
        digest, body = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise ValueError("it is damaged")
        return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)

    def teardown(self) -> None:
        """Nothing to end."""


def _sync_folder(folder: Path) -> None:
    # A rename is durable once its folder is; Windows cannot open a folder, and does not need to.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def kept_state(path: Path, key: str, owner: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Our part, under `key`, of the checkpoint at `path`, and no words; or None, and why there is none to go on from.

    The words are empty if there is no file; not_resumed if there is one that cannot be used, or is of another `owner`.
    """
    for part in path.parent.glob(f".{path.name}.*.part"):  # an attempt was killed while it wrote this
        part.unlink(missing_ok=True)
    try:
        state = WholeFile().load_checkpoint(path)[key]
    except FileNotFoundError:
        return None, {}
    except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return None, {"not_resumed": f"the checkpoint was not used: {lines[0]}"}
    others = [name for name, value in owner.items() if state["owner"].get(name) != value]
    if others:
        return None, {"not_resumed": f"the checkpoint was not used: it is of other {', '.join(others)}"}
    return state, {}


@light
class Checkpoints(Callback):
    """Saves a fit at the end of an epoch if at least `every` seconds have passed since the last save or the start.

    Parameters
    ----------
    path
        The file, whose folder exists.
    every
        Seconds from one save to the next.
    owner
        What defines the fit: a checkpoint of another fit is not used.
    generators
        The generators of the order of the samples, beside those of torch, numpy and Python.
    reports
        The callback that reports the learning curve, if there is one.
    ranks
        The processes that train together; the first one writes the file, all read it.

    Attributes
    ----------
    seconds : float
        Seconds of the fit before it was interrupted.
    """

    def __init__(
        self,
        path: Path,
        every: float,
        owner: Mapping[str, Any],
        generators: Sequence[torch.Generator],
        reports: ReportCallback | None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.path = path
        self.every = every
        self.owner = dict(owner)
        self.generators = list(generators)
        self.reports = reports
        self.ranks = ranks
        self.seconds = 0.0
        self._start = self._last = time.perf_counter()

    def look(self) -> dict[str, Any]:
        """Look for a checkpoint to go on from, and report its learning curve again.

        Returns
        -------
        dict
            resumed_at (finished epochs) if there is one, not_resumed (the reason) if there is one that cannot be used,
            or else nothing.
        """
        state, said = kept_state(self.path, _KEY, self.owner)
        if state is None:
            return said
        self.seconds = state["seconds"]
        if self.reports is not None:
            self.reports.replay(state["curve"], self.ranks.rank == 0)
        return {"resumed_at": state["epochs"]}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Lightning's hook, called after the validation if one was due."""
        over = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if over or not self.ranks.of_first(time.perf_counter() - self._last >= self.every):
            return
        trainer.save_checkpoint(self.path, weights_only=False)
        self._last = time.perf_counter()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: add the state that Lightning does not know."""
        checkpoint[_KEY] = {
            "owner": self.owner,
            "epochs": trainer.current_epoch + 1,
            "seconds": self.seconds + time.perf_counter() - self._start,
            "curve": [] if self.reports is None else self.reports.curve,
            "random": self.ranks.of_all(_random_state(pl_module.device)),
            "generators": [generator.get_state() for generator in self.generators],
        }

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook, called before it asks for the first shuffle."""
        state = checkpoint[_KEY]
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.set_state(kept)
        random_states = state["random"][self.ranks.rank]
        torch.set_rng_state(random_states["cpu"])
        if "cuda" in random_states:
            torch.cuda.set_rng_state(random_states["cuda"], pl_module.device)
        name, keys, *rest = random_states["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
        random.setstate(random_states["python"])


def _random_state(device: torch.device) -> dict[str, Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    # the file may hold tensors and plain values alone, and torch's safe loader knows no uint32
    own = {
        "cpu": torch.get_rng_state(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }
    return {**own, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else own
