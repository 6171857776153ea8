"""What the processes of one server tell each other for the sake of /metrics: any of them may be the one that is asked.

Each writes what it has counted into a file of its own, once a second. One that takes the place of another that ended
goes on from what that had counted, so that no counter of the server ever goes back.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from traitbase.api.metrics import Metrics


class Counted(msgspec.Struct):
    """What one process has counted, and how many updates wait in it."""

    answers: list[tuple[str, int, int]]
    ignored: dict[str, int]
    plain: dict[str, int]
    waiting: int


class Told(NamedTuple):
    """What all processes have counted together."""

    metrics: Metrics
    waiting: int


_BY_NAME = ("answers", "ignored")
_PLAIN = [each.name for each in dataclasses.fields(Metrics) if each.name not in _BY_NAME]
_decode = msgspec.json.Decoder(Counted).decode


class SharedCounts:
    """The files of a server's processes, in a folder that they have for themselves. `number` is this one's."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._own = folder / f"{number}.json"

    def resume(self, metrics: Metrics) -> None:
        """Go on from what the process with our number had counted before us."""
        if (before := self._read(self._own)) is not None:
            _add(metrics, before)

    def tell(self, metrics: Metrics, waiting: int) -> None:
        """Write what this process has counted."""
        text = msgspec.json.encode(_counted(metrics, waiting))
        new = self._own.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk, say: that costs figures, and nothing else
            self._folder.mkdir(mode=0o700, exist_ok=True)  # something may tidy temporary folders up
            new.write_bytes(text)
            new.replace(self._own)

    def of_all(self, metrics: Metrics, waiting: int) -> Told:
        """Return what all processes have counted: this one until now, the others until a second ago."""
        told = [self._read(path) for path in self._folder.glob("*.json") if path != self._own]
        every = [_counted(metrics, waiting), *(each for each in told if each is not None)]
        total = Metrics()
        for each in every:
            _add(total, each)
        return Told(total, sum(each.waiting for each in every))

    def _read(self, path: Path) -> Counted | None:
        with contextlib.suppress(FileNotFoundError):
            return _decode(path.read_bytes())
        return None


def _counted(metrics: Metrics, waiting: int) -> Counted:
    answers = [(*key, count) for key, count in metrics.answers.copy().items()]
    return Counted(answers, metrics.ignored.copy(), {name: getattr(metrics, name) for name in _PLAIN}, waiting)


def _add(metrics: Metrics, counted: Counted) -> None:
    metrics.answers.update(Counter({(endpoint, status): count for endpoint, status, count in counted.answers}))
    metrics.ignored.update(counted.ignored)
    for name, count in counted.plain.items():
        setattr(metrics, name, getattr(metrics, name) + count)
