"""A task in which one rank of several does something bad in the middle of its training."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lightning_tasks.runge import Runge


class Deed(nn.Module):
    """Passes its input on; the fifth time that it trains in rank 1 it does what it is told."""

    def __init__(self, deed: str, folder: str) -> None:
        super().__init__()
        self.deed = deed
        self.folder = folder
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        if self.calls == 5:
            if self.deed == "wait":
                Path(self.folder, f"waits-{os.environ['RANK']}").write_text(f"{os.getpid()} {os.getppid()}")
                time.sleep(600)
            if os.environ.get("RANK") == "1":
                do(self.deed)
        return x


def do(deed: str) -> None:
    """Something bad."""
    if deed == "raise":
        raise ValueError("the story\nit broke")
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "exit":
        os._exit(3)
    if deed == "kill torchrun":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)


@dataclass(frozen=True)
class Faulty(Runge):
    """Runge with a deed in its network."""

    deed: str = ""
    folder: str = ""

    def network(self, settings: Mapping[str, Any]) -> nn.Module:
        """The MLP behind the deed."""
        return nn.Sequential(Deed(self.deed, self.folder), super().network(settings))
