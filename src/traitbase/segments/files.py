"""Where the columnar copy lies: numbered files beside the database, which one process at a time may own.

A copy is never written over: a new one gets the next number, and the one before it goes when nobody reads it any more.
Whoever holds the lock may write there; everybody else keeps a copy in memory. The operating system gives the lock back
when its holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks here: every process keeps its copy in memory
    fcntl = None  # type: ignore[assignment]  # there is none on Windows

_LOCK = "cohorts.lock"
_NAME = re.compile(r"cohorts\.([0-9]+)\.duckdb(?:\.wal)?")


class Files:
    """The numbered files in a folder, while we own them."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder
        self._lock = lock
        self._given = 0

    @classmethod
    def claim(cls, folder: Path) -> Files | None:
        """Take the files of a folder as ours; None if another process has them, or they cannot be locked."""
        if fcntl is None:
            return None
        try:
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        return cls(folder, lock)

    def newest_first(self) -> Iterator[Path]:
        """Yield the files that are there, the newest copy first."""
        for number in sorted(self._numbers(), reverse=True):
            yield self._path(number)

    def following(self) -> Path:
        """Return the path of a new copy, each only once."""
        self._given = 1 + max({self._given, *self._numbers()})
        return self._path(self._given)

    def remove(self, path: Path) -> None:
        """Remove a copy and its log."""
        for each in (path, path.with_name(f"{path.name}.wal")):
            with contextlib.suppress(OSError):
                each.unlink()

    def remove_others(self, kept: Path | None) -> None:
        """Remove all copies but one."""
        for number in self._numbers():
            if self._path(number) != kept:
                self.remove(self._path(number))

    def release(self) -> None:
        """Let another process have the files."""
        os.close(self._lock)

    def _numbers(self) -> set[int]:
        found = (_NAME.fullmatch(name) for name in os.listdir(self._folder))  # noqa: PTH208  # names suffice
        return {int(each[1]) for each in found if each is not None}

    def _path(self, number: int) -> Path:
        return self._folder / f"cohorts.{number}.duckdb"
