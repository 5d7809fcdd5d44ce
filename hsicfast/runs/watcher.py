"""A watcher follows a run while it goes on."""

from __future__ import annotations

from hsicfast.trials.trial import Trial


class Watcher:
    """A run calls these methods while it goes on; override those that you need."""

    def on_start(self, planned: int) -> None:
        """The run will have `planned` trials."""

    def on_round(self, name: str, note: str) -> None:
        """A round begins."""

    def on_learnt(self, text: str) -> None:
        """The trials so far support a decision, given in words."""

    def on_trial(self, trial: Trial, stored: bool) -> None:
        """A trial has ended: now, or in an earlier run in the same folder if `stored`."""

    def on_wait(self, others: int) -> None:
        """Other processes train the last `others` trials of this round, and nothing is left to train here."""

    def on_stop(self) -> None:
        """A signal stops the run: the trials in flight end, and no other starts. The signal's handler calls this."""

    def on_end(self, problem: str) -> None:
        """The run is over. `problem` is empty if it ended as planned or was stopped, or else the error."""


class Watchers(Watcher):
    """Several watchers as one."""

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
