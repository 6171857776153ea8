"""Where log lines go: to a descriptor, by a thread, so that a reader that does not read never holds the server up."""

from __future__ import annotations

import os
import threading
from collections import deque

LINES_WAITING_MAX = 10_000
_CLOSING_SECONDS = 1.0


class LogWriter:
    """A text stream that never blocks and never raises.

    Up to `LINES_WAITING_MAX` texts wait for the descriptor to take them. Those beyond are lost, as are those that it
    refuses (the disk of a log is full like any other); how many is the next line that gets through.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._closing = False
        # A daemon: one that is stuck in a full pipe must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="traitbase-log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a text. Returns its length, as streams do."""
        with self._changed:
            if len(self._waiting) < LINES_WAITING_MAX:
                self._waiting.append(text)
                self._changed.notify()
            else:
                self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread is at it."""

    def close(self) -> None:
        """Wait for what is waiting, for a second at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                texts, lost = [*self._waiting], self._lost
                self._waiting.clear()
                self._lost = 0
            if lost:
                texts.append(f'{{"event": "log_lines_lost", "lines": {lost}, "level": "warning"}}\n')
            if not self._write_all("".join(texts).encode(errors="backslashreplace")):
                with self._changed:
                    self._lost += lost + len(texts) - (1 if lost else 0)

    def _write_all(self, text: bytes) -> bool:
        try:
            while text:
                text = text[os.write(self._descriptor, text) :]
        except OSError:
            return False
        return True
