"""Several processes that serve one port: started, watched, started again when they end, and ended together."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_CALM_SECONDS = 10.0
_PAUSES_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
_POLL_SECONDS = 0.2


class Inherited(NamedTuple):
    """What a process gets from the one that started it: descriptors, and which of how many it is.

    `listener` is the socket; `parent` the end of a pipe that is closed when the parent is gone; `folder` is where the
    processes tell each other what they counted.
    """

    listener: int
    parent: int
    number: int
    folder: Path

    def __str__(self) -> str:
        return f"{self.listener}:{self.parent}:{self.number}:{self.folder}"


def inherited_from(text: str) -> Inherited:
    """Return what such a text says."""
    listener, parent, number, folder = text.split(":", 3)
    return Inherited(int(listener), int(parent), int(number), Path(folder))


def end_with_parent(parent: int) -> None:
    """End this process as if it were told to, when the one that started it is gone."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(parent, 1)  # there is nothing to read, ever: it returns when nobody holds the other end
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="traitbase-parent", daemon=True).start()


@dataclass(slots=True)
class _Place:
    """One of the processes, or that it is to be started again."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0


class Supervisor:
    """Keeps so many processes going until it is told to stop. `tell` is given an event's name and its fields."""

    def __init__(self, listener: socket.socket, count: int, *, tell: Callable[..., object]) -> None:
        self._listener = listener
        self._places = [_Place(number) for number in range(count)]
        self._tell = tell
        self._stop_signals: list[int] = []

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then until all processes have answered what they accepted and ended."""
        with _told_of_signals(self._stop_signals) as woken, tempfile.TemporaryDirectory(prefix="traitbase-") as folder:
            alive, parent = os.pipe()
            try:
                while not self._stop_signals:
                    self._look(Path(folder), alive)
                    select.select([woken], [], [], _POLL_SECONDS)
                self._end()
            finally:
                os.close(alive)
                os.close(parent)

    def _look(self, folder: Path, alive: int) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.process is not None and (status := place.process.poll()) is not None:
                was_calm = now - place.started_at >= _CALM_SECONDS
                place.failures = 0 if was_calm else place.failures + 1
                pause = _PAUSES_SECONDS[min(place.failures, len(_PAUSES_SECONDS) - 1)]
                place.process, place.start_at = None, now + pause
                self._tell("process_ended", process=place.number, status=status, again_in_seconds=pause)
            if place.process is None and now >= place.start_at:
                place.process, place.started_at = self._start(place.number, folder, alive), now

    def _start(self, number: int, folder: Path, alive: int) -> subprocess.Popen[bytes]:
        given = Inherited(self._listener.fileno(), alive, number, folder)
        command = [sys.executable, "-m", "traitbase", *sys.argv[1:], "--inherited", str(given)]
        # In a group of its own: Ctrl-C in a terminal is for the parent, which passes it on once.
        return subprocess.Popen(command, pass_fds=(given.listener, given.parent), process_group=0)  # noqa: S603  # ourselves, with our own arguments

    def _end(self) -> None:
        """Pass on each signal, and wait for all to end: a second one makes them hurry."""
        passed = 0
        going = [place.process for place in self._places if place.process is not None]
        while going:
            for number in self._stop_signals[passed:]:
                for process in going:
                    process.send_signal(number)
                passed += 1
            going = [process for process in going if process.poll() is None]
            time.sleep(_POLL_SECONDS / 4)


@contextmanager
def _told_of_signals(signals: list[int]) -> Iterator[int]:
    """Note SIGTERM and SIGINT in a list; yield a descriptor that can be read from when one came."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.append(received))
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wake)
