"""Who hears of a run while it goes on."""

from __future__ import annotations

from hsicfast.trials.trial import Trial


class Watcher:
    """What a run tells while it goes on; override what you want to hear."""

    def on_start(self, planned: int) -> None:
        """The run will have `planned` trials."""

    def on_round(self, name: str, note: str) -> None:
        """A round begins."""

    def on_learnt(self, text: str) -> None:
        """What the trials so far say, and what is decided by it."""

    def on_trial(self, trial: Trial, stored: bool) -> None:
        """A trial has ended: now, or (`stored`) in an earlier run in the same folder."""

    def on_wait(self, others: int) -> None:
        """Nothing is left to train here but what others are training: so many trials, of this round."""

    def on_stop(self) -> None:
        """A signal has come: the trials in flight will end, no other is started. Called from the signal's handler."""

    def on_end(self, problem: str) -> None:
        """The run is over: as planned or as it was stopped (an empty text), or by this error."""


class Watchers(Watcher):
    """Several as one."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def on_start(self, planned: int) -> None:
        """See :meth:`Watcher.on_start`."""
        for watcher in self._watchers:
            watcher.on_start(planned)

    def on_round(self, name: str, note: str) -> None:
        """See :meth:`Watcher.on_round`."""
        for watcher in self._watchers:
            watcher.on_round(name, note)

    def on_learnt(self, text: str) -> None:
        """See :meth:`Watcher.on_learnt`."""
        for watcher in self._watchers:
            watcher.on_learnt(text)

    def on_trial(self, trial: Trial, stored: bool) -> None:
        """See :meth:`Watcher.on_trial`."""
        for watcher in self._watchers:
            watcher.on_trial(trial, stored)

    def on_wait(self, others: int) -> None:
        """See :meth:`Watcher.on_wait`."""
        for watcher in self._watchers:
            watcher.on_wait(others)

    def on_stop(self) -> None:
        """See :meth:`Watcher.on_stop`."""
        for watcher in self._watchers:
            watcher.on_stop()

    def on_end(self, problem: str) -> None:
        """See :meth:`Watcher.on_end`."""
        for watcher in self._watchers:
            watcher.on_end(problem)
