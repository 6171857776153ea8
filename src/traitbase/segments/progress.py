"""What is being done to the copy, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from traitbase.services.cohorts.ports import READY, EngineState

_TOLD_EVERY_SECONDS = 5.0

Tell = Callable[..., object]
"""Is told what happens: an event's name and its fields."""


class Progress:
    """What is being done to the copy, for people to see."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._began_at = 0.0
        self._told_at = 0.0
        self.state = READY

    @contextmanager
    def doing(self, what: str, of: int) -> Iterator[None]:
        """Note what is done, to how many profiles; tell of it if it takes longer than a moment."""
        self._began_at = self._told_at = time.monotonic()
        self.state = EngineState(what, 0, of)
        try:
            yield
            took = time.monotonic() - self._began_at
            if what == "building" or took >= _TOLD_EVERY_SECONDS:
                self._tell("cohorts_ready", after=what, profiles=of, seconds=round(took, 3))
        finally:
            self.state = READY

    def add(self, count: int) -> None:
        """Note that so many more are done."""
        now = time.monotonic()
        done, of = self.state.done + count, self.state.of
        left = (now - self._began_at) * max(of - done, 0) / max(done, 1)
        self.state = EngineState(self.state.doing, done, of, round(left, 1))
        if now - self._told_at >= _TOLD_EVERY_SECONDS:
            self._told_at = now
            self._tell("cohorts_progress", doing=self.state.doing, done=done, of=of, seconds_left=round(left, 1))
