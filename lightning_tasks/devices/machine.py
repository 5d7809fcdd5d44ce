"""The machine that a fit runs on: its devices, its threads, and how it says that its memory is not enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# A CPU's error has no class of its own; this is the text of torch's.
_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate"


@dataclass(frozen=True)
class Machine:
    """The machine of a fit: arguments of `pl.Trainer` by their names, and torch's threads per process.

    A trial on several devices has one process (rank) for each, and they share each of its batches.
    """

    accelerator: str = "cpu"
    devices: int = 1
    precision: str = "32-true"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"`threads >= 1` must hold, but got {self.threads}; pass `trainer.threads=1`.")
        if self.accelerator not in ("cpu", "gpu"):
            raise ValueError(f"`accelerator` must be cpu or gpu, but got {self.accelerator!r}; pass `trainer=cpu`.")
        if not isinstance(self.devices, int) or isinstance(self.devices, bool) or self.devices < 1:
            raise ValueError(f"`devices >= 1` must hold, but got {self.devices!r}; pass `trainer.devices=1`.")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("`trainer=gpu` needs a CUDA device, but torch sees none; pass `trainer=cpu`.")
        if self.accelerator == "gpu" and self.devices > torch.cuda.device_count():
            raise ValueError(
                f"a trial trains on at most the {torch.cuda.device_count()} CUDA devices that torch sees, but got "
                f"devices={self.devices}; pass `trainer.devices={torch.cuda.device_count()}`."
            )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of a device was not enough."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_OUT_OF_MEMORY in str(error)
