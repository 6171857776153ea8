"""What the processes of one server tell each other for the sake of /metrics: any of them may be the one that is asked.

Each writes what it has counted into a file of its own, once a second. One that takes the place of another that ended
goes on from what that had counted, so that no counter of the server ever goes back.
"""

from __future__ import annotations

import contextlib
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


_PLAIN = ("updates", "groups", "races_lost", "queue_refusals", "storage_failures")
_decode = msgspec.json.Decoder(Counted).decode


class SharedCounts:
    """The files of a server's processes, in a folder that they have for themselves. `number` is this one's."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._own = folder / f"{number}.json"

    def resume(self, metrics: Metrics) -> None:
        """Go on from what the process with our number had counted before us."""
        _add(metrics, self._read(self._own))

    def tell(self, metrics: Metrics, waiting: int) -> None:
        """Write what this process has counted."""
        answers = [(*key, count) for key, count in metrics.answers.copy().items()]
        plain = {name: getattr(metrics, name) for name in _PLAIN}
        text = msgspec.json.encode(Counted(answers, metrics.ignored.copy(), plain, waiting))
        new = self._own.with_suffix(".new")
        new.write_bytes(text)
        new.replace(self._own)

    def of_all(self, metrics: Metrics, waiting: int) -> Told:
        """Return what all processes have counted: this one until now, the others until a second ago."""
        self.tell(metrics, waiting)
        total, every_waiting = Metrics(), 0
        for path in self._folder.glob("*.json"):
            counted = self._read(path)
            _add(total, counted)
            every_waiting += 0 if counted is None else counted.waiting
        return Told(total, every_waiting)

    def _read(self, path: Path) -> Counted | None:
        with contextlib.suppress(FileNotFoundError):
            return _decode(path.read_bytes())
        return None


def _add(metrics: Metrics, counted: Counted | None) -> None:
    if counted is None:
        return
    metrics.answers.update(Counter({(endpoint, status): count for endpoint, status, count in counted.answers}))
    metrics.ignored.update(counted.ignored)
    for name, count in counted.plain.items():
        setattr(metrics, name, getattr(metrics, name) + count)
