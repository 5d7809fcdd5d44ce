"""The guard around foreign code: what it changes in the process is put back, and our own code does not depend on it.

Foreign code, such as the training of a trial, runs inside :func:`foreign`; our own inside :func:`neutral`. Guarded are
the folder of the process, the handlers of SIGINT and SIGTERM, NumPy's handling of floating-point errors, warnings that
are turned into errors, and torch's gradients, default type, default device and threads. The random streams are not: a
training that draws from a global one goes on in it, and our own code draws from streams of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# NumPy's and torch's own defaults.
_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_TORCH = (True, "float32", "cpu", None)


@dataclass(frozen=True)
class _State:
    """What foreign code may change in a process; `torch` is gradients, default type, default device and threads."""

    folder: str | None
    handlers: tuple[Any, ...]
    errors: dict[str, Any]
    filters: list[Any]
    torch: tuple[Any, ...]

    @classmethod
    def now(cls) -> _State:
        """The state of this thread and its process."""
        try:
            folder: str | None = os.getcwd()
        except OSError:  # it was deleted
            folder = None
        main = threading.current_thread() is threading.main_thread()
        handlers = tuple(map(signal.getsignal, _SIGNALS)) if main else ()
        torch: Any = sys.modules.get("torch")
        found = _TORCH
        if _is_loaded(torch):
            dtype, device = str(torch.get_default_dtype()).rpartition(".")[2], str(torch.get_default_device())
            found = (torch.is_grad_enabled(), dtype, device, torch.get_num_threads())
        return cls(folder, handlers, dict(np.geterr()), list(warnings.filters), found)

    @property
    def neutral(self) -> _State:
        """The same with the defaults of NumPy and torch, and without warnings that are errors."""
        filters = [own for own in self.filters if own[0] != "error"]
        return replace(self, errors=_ERRORS, filters=filters, torch=(*_TORCH[:3], self.torch[3]))

    def restore(self) -> None:
        """Make this the state of the process again, and touch only what differs."""
        now = _State.now()
        if self.folder is not None and self.folder != now.folder:
            with suppress(OSError):  # it was deleted
                os.chdir(self.folder)
        for number, handler, other in zip(_SIGNALS, self.handlers, now.handlers, strict=False):
            if handler is not other and handler is not None:  # None: a handler of another language
                signal.signal(number, handler)
        if now.errors != self.errors:
            np.seterr(**self.errors)
        errors = [[own for own in filters if own[0] == "error"] for filters in (now.filters, self.filters)]
        # Only warnings that are errors change what code does. Other filters may belong to a module that was imported.
        if errors[0] != errors[1]:
            warnings.filters[:] = self.filters  # type: ignore[index]
            with warnings.catch_warnings():  # its end makes Python forget what the former filters let through
                pass
        if now.torch != self.torch and _is_loaded(sys.modules.get("torch")):
            self._restore_torch(sys.modules["torch"], now.torch)

    def _restore_torch(self, torch: Any, now: tuple[Any, ...]) -> None:
        gradients, dtype, device, threads = self.torch
        if device != now[2]:
            torch.set_default_device(None if device == "cpu" else device)
        if dtype != now[1]:
            torch.set_default_dtype(getattr(torch, dtype))
        if gradients != now[0]:
            torch.set_grad_enabled(gradients)
        if threads is not None and threads != now[3]:
            torch.set_num_threads(threads)


def _is_loaded(torch: Any) -> bool:
    """Whether torch is loaded, and not only being imported by another thread."""
    return hasattr(torch, "get_default_device") and hasattr(torch, "get_num_threads")


# The state of whoever called our own code, in which foreign code runs.
_caller: ContextVar[_State | None] = ContextVar("hsicfast_caller", default=None)


@contextmanager
def neutral() -> Iterator[None]:
    """Context manager: our own code inside depends on no state of the process, and leaves it as it was.

    Examples
    --------
    >>> with np.errstate(all="raise"), neutral():
    ...     print(np.geterr()["divide"])
    warn
    """
    before = _State.now()
    token = _caller.set(_caller.get() or before)
    before.neutral.restore()
    try:
        yield
    finally:
        _caller.reset(token)
        # Handlers that were installed meanwhile, as for a signal that stops a run, are seen to by whoever did.
        replace(before, handlers=()).restore()


@contextmanager
def foreign() -> Iterator[None]:
    """Context manager: foreign code inside runs in its caller's state, and what it changes is put back.

    Examples
    --------
    >>> before = os.getcwd()
    >>> with foreign():
    ...     os.chdir("/")
    >>> os.getcwd() == before
    True
    """
    own, caller = _State.now(), _caller.get()
    if caller is not None:
        replace(caller, folder=None, handlers=()).restore()
    token = _caller.set(None)
    try:
        yield
    finally:
        _caller.reset(token)
        own.restore()
