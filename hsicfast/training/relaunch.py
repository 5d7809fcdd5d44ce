"""A trial may not start this program again, as Lightning's strategy "ddp" does to train on several devices.

The second program would conduct a run of its own in place of the one process of this trial.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hsicfast.errors import InputError

# Launchers tell a process of a group by these which one it is; Lightning sets them in its own process, too.
VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_SENTENCE = (
    "a trial must train in its own process, but evaluate started this program again for a second device, as "
    "Trainer(strategy='ddp') does; let lightning_tasks.Fit(..., trainer={'devices': 2}) start the processes, or train "
    "on one device"
)

# Whether a trial is in training here. An audit hook cannot be taken back, so that it asks this.
_training = False
_hooked = False


class Relaunched(InputError):
    """A trial was about to start this program again."""


@contextmanager
def no_relaunch() -> Iterator[None]:
    """Refuse to start this program again as one of a group of processes, with one sentence that says what to do.

    Raises
    ------
    Relaunched
        In the launcher, before a process is started. The variables of the group are then as they were.
    """
    global _training, _hooked
    if not _hooked:
        sys.addaudithook(_refuse)
        _hooked = True
    before, kept = _training, {name: os.environ.get(name) for name in VARIABLES}
    _training = True
    try:
        yield
    finally:
        _training = before
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen" or not _training:
        return
    _, command, _, environment = arguments
    own = os.environ.get("LOCAL_RANK")
    if environment is None or environment.get("LOCAL_RANK") in (None, own):
        return
    if any(str(word) == sys.executable for word in list(command)[:1]):
        raise Relaunched(_SENTENCE)
