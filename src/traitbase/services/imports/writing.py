"""Writing groups of updates one after the other, each on its way to the disk while the next is being prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from traitbase.domain.errors import Conflict, InvalidInput, Refused
from traitbase.domain.operations import Ignored
from traitbase.services.imports.accounting import Chunk
from traitbase.services.ingest import Group, Ingest, Submission

_WAIT_SECONDS = 30.0


class _Flight(NamedTuple):
    """A group that is being written."""

    chunk: Chunk
    group: Group
    written: Future[None]


def settle_chunk(chunk: Chunk, submissions: Sequence[Submission]) -> list[tuple[int, Ignored]]:
    """Return what was ignored of a chunk that is durable: by position of its entry, and why.

    `submissions` hold the chunk's entries in order. Those that could not be carried out become refused lines.
    """
    outcomes: list[tuple[int, Ignored]] = []
    failed: dict[int, InvalidInput] = {}
    at = 0
    for submission in submissions:
        if isinstance(submission.outcome, InvalidInput):
            failed[at] = submission.outcome
        else:
            outcomes.extend((at - len(failed) + item, ignored) for item, ignored in submission.ignored)
        at += len(submission.updates) if submission.edit is None else 1
    if failed:
        chunk.take_back(failed)
    return outcomes


class GroupWriter:
    """Puts chunks through an `Ingest` in order. `on_durable` is told of each once it is on the disk.

    Use as a context manager: leaving it waits for what is being written, also after an error.
    """

    def __init__(
        self, ingest: Ingest, *, tidy: Callable[[], None], on_durable: Callable[[Chunk, Sequence[Submission]], None]
    ) -> None:
        self._ingest = ingest
        self._tidy = tidy
        self._on_durable = on_durable
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import-writer")
        self._flight: _Flight | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.finish()
        except Refused:
            if error is None:
                raise  # else the error that is under way is the first, and this one its consequence
        finally:
            self._executor.shutdown()
            self._ingest.close()

    def put(self, chunk: Chunk, submissions: Sequence[Submission]) -> None:
        """Prepare a chunk, wait for the one before it, and send this one on its way.

        Raises Refused if the one before it cannot be written; neither is kept then.
        """
        group = Group(submissions)
        try:
            self._prepare(group)
            if not self._land():
                self._ingest.abandon(group)
                self._redo()
                self._prepare(group)
        except BaseException:
            self._ingest.abandon(group)
            raise
        self._flight = _Flight(chunk, group, self._executor.submit(self._write, group))

    def finish(self) -> None:
        """Wait until everything is durable. Raises Refused if it cannot be made so."""
        if not self._land():
            self._redo()

    def _prepare(self, group: Group) -> None:
        for _ in self._ingest.prepare(group):
            pass

    def _write(self, group: Group) -> None:
        self._ingest.write(group, wait_seconds=_WAIT_SECONDS)
        with suppress(Refused):  # housekeeping: what could not be done now is done after another group
            self._tidy()

    def _land(self) -> bool:
        """Wait for the group under way. False if another writer was faster: it is abandoned, and can be redone."""
        flight = self._flight
        if flight is None:
            return True
        try:
            flight.written.result()
        except Conflict:
            self._ingest.abandon(flight.group)
            return False
        except Exception:  # not an interruption of the waiting: `finish` takes that up again
            self._ingest.abandon(flight.group)
            self._flight = None
            raise
        self._ingest.settle(flight.group)
        self._settled()
        return True

    def _redo(self) -> None:
        """Do the abandoned group again in this thread, as often as other writers make it necessary."""
        assert self._flight is not None  # only called after `_land` said so
        try:
            self._ingest.run(self._flight.group.submissions, wait_seconds=_WAIT_SECONDS)
        except BaseException:
            self._flight = None
            raise
        self._settled()

    def _settled(self) -> None:
        assert self._flight is not None  # only called with a group that was under way
        chunk, group, _ = self._flight
        self._flight = None
        self._on_durable(chunk, group.submissions)
