"""How often and how long things are measured, and where."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rounds:
    """What all parts are told. `folder` is on the disk to be measured and goes away at the end."""

    folder: Path
    count: int
    seconds: float
    latency_seconds: float
    rows: int

    def named(self, part: str, count: int | None = None) -> Iterator[int]:
        """Yield the number of each round, telling on standard error that it begins."""
        total = self.count if count is None else count
        for number in range(total):
            tell(f"{part}: round {number + 1} of {total}")
            yield number

    @contextlib.contextmanager
    def fresh_folder(self) -> Iterator[Path]:
        """Make a folder, and remove it with all that came to be in it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)


def tell(text: str) -> None:
    """Say what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)
