"""Who reads a copy: one that was replaced is closed by its last reader."""

from __future__ import annotations

import threading
from collections.abc import Callable

from traitbase.segments.copy import Copy


class Readers:
    """Who reads which copy: one that was replaced ends with its last reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[Copy, int] = {}
        self._endings: dict[Copy, Callable[[], None]] = {}

    def take(self, copy: Copy) -> None:
        """Note one more reader of a copy."""
        with self._lock:
            self._readers[copy] = self._readers.get(copy, 0) + 1

    def give_back(self, copy: Copy) -> None:
        """Note one reader less; the last one of a copy that was retired ends it."""
        with self._lock:
            self._readers[copy] -= 1
            ending = None if self._readers[copy] else self._endings.pop(copy, None)
            if not self._readers[copy]:
                del self._readers[copy]
        if ending is not None:
            ending()

    def retire(self, copy: Copy, end: Callable[[], None]) -> None:
        """Call `end` as soon as nobody reads a copy any more."""
        with self._lock:
            is_read = copy in self._readers
            if is_read:
                self._endings[copy] = end
        if not is_read:
            end()
