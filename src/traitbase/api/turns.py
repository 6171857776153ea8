"""A bound on how many long calls of a kind are under way at once: each takes a thread and a connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from traitbase.domain.errors import Refused


class Turns:
    """So many at once; who comes beyond that is told to come again, and does not wait in a thread."""

    def __init__(self, at_once: int, doing: str) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._message = f"{at_once} others are {doing} at this moment; nothing was done, send it again"

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a turn. Raises Refused (`queue_full`) if there is none."""
        if not self._free.acquire(blocking=False):
            raise Refused(self._message, code="queue_full")
        try:
            yield
        finally:
            self._free.release()
