"""The group-commit writer: everything that is waiting becomes durable together, then all of it is answered.

While one group is being written, in a thread that spends its time in the database and on the disk, the next gathers:
no timers. Under light load a request waits for one commit; under heavy load groups grow and the processor is the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeAlias, TypeVar

import structlog

from traitbase.api.metrics import Metrics
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.operations import Reason
from traitbase.domain.spaces import Space
from traitbase.services.change_texts import LARGE_WEIGHT
from traitbase.services.ingest import Group, Ingest, Submission
from traitbase.services.loading import Step

# A group is bounded so that the first of its requests does not wait for the last for long.
_GROUP_UPDATES_MAX = 4_096
_GROUP_BYTES_MAX = 16 * 1024 * 1024
# While a group is being written, fewer updates than this are left to gather on: groups of two or three would only
# multiply the cost of a commit.
_WORTH_PREPARING_AHEAD = 256
_STAGED_ON_LOOP_MAX = 128
_STAGED_ON_LOOP_BYTES = 512 * 1024
_LOOP_HELD_SECONDS_MAX = 0.002
_HARMLESS_BYTES = 16 * 1024
_FREED_A_STEP = 4_096
# A retype of a million profiles holds the storage for 30 to 45 s; meanwhile the queue fills, and then answers 503.
_LOCK_PATIENCE_SECONDS = 60.0
_RACES_LOST_MAX = 200
_TOLD_AGAIN_SECONDS = 60.0
_TOLD_MAX = 1_000

_log = structlog.get_logger()


Settled: TypeAlias = Callable[[str | Exception], None]
"""Told once what became of a submission: the id of the request that was applied, or why nothing was."""


_Answer = TypeVar("_Answer")


def answering(future: asyncio.Future[_Answer]) -> Callable[[_Answer | Exception], None]:
    """Return the callback that settles a future, if anybody still waits for it."""

    def settle(outcome: _Answer | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return settle


class _Waiting(NamedTuple):
    submission: Submission
    size: int
    settled: Settled
    is_heavy: bool


class GroupCommitWriter:
    """Takes submissions from requests and drives `Ingest` with them. Lives on one event loop."""

    def __init__(self, ingest: Ingest, metrics: Metrics, *, updates_max: int, bytes_max: int) -> None:
        self._ingest = ingest
        self._metrics = metrics
        self._updates_max = updates_max
        self._bytes_max = bytes_max
        self._waiting: deque[_Waiting] = deque()
        self._waiting_updates = 0
        self._waiting_bytes = 0
        self._look = asyncio.Event()
        self._stopping = False
        self._told_until: dict[tuple[Space, str], float] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="traitbase-writer")
        self._writing: _Writing | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, in a task of the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="group-commit writer")

    def submit(self, submission: Submission, *, size: int, settled: Settled) -> None:
        """Queue a submission of `size` bytes; `settled` is called, on the loop, when it is durable or has failed.

        A callback rather than a future: it saves two turns of the loop a request. It gets Conflict for a reused
        idempotency key, Refused if the storage cannot be written to. Raises Refused(code="queue_full") at once if
        there is no room.
        """
        updates = submission.counts_for
        full = self._waiting_updates + updates > self._updates_max or self._waiting_bytes + size > self._bytes_max
        if self._stopping or (full and self._waiting):
            self._metrics.queue_refusals += 1
            raise Refused(
                "the write queue is full; nothing of this request was applied, send it again", code="queue_full"
            )
        self._waiting.append(_Waiting(submission, size, settled, _is_heavy(submission, size)))
        self._waiting_updates += updates
        self._waiting_bytes += size
        if self._writing is None or self._waiting_updates >= _WORTH_PREPARING_AHEAD:
            self._look.set()

    @property
    def waiting_updates(self) -> int:
        """Updates that wait to be written."""
        return self._waiting_updates

    async def stop(self) -> None:
        """Write what is waiting, then end. New submissions are refused from now on."""
        self._stopping = True
        self._look.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()
        self._ingest.close()

    async def _run(self) -> None:
        while True:
            self._look.clear()
            if self._writing is not None and self._writing.done():
                await self._finish()
            if self._waiting and (self._writing is None or self._waiting_updates >= _WORTH_PREPARING_AHEAD):
                await self._handle(self._take())
            elif self._stopping and not self._waiting and self._writing is None:
                return
            else:
                await self._look.wait()

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        updates = size = 0
        while self._waiting:
            first = self._waiting[0]
            updates += first.submission.counts_for
            size += first.size
            if taken and (updates > _GROUP_UPDATES_MAX or size > _GROUP_BYTES_MAX):
                break
            if taken and (first.is_heavy or taken[-1].is_heavy):
                break  # nobody else's answer has to wait for it
            taken.append(self._waiting.popleft())
            self._waiting_updates -= first.submission.counts_for
            self._waiting_bytes -= first.size
        return taken

    async def _handle(self, taken: list[_Waiting]) -> None:
        """Prepare a group, and hand it to the thread once the one before is written."""
        group = Group([waiting.submission for waiting in taken])
        try:
            await self._prepare(taken, group)
            if self._writing is not None and not await self._finish():
                self._ingest.abandon(group)  # it was built on a group that was not written
                await self._prepare(taken, group)
            self._writing = self._start(taken, group)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must reach those who wait
            self._ingest.abandon(group)
            await self._fail(taken, error)

    async def _prepare(self, taken: list[_Waiting], group: Group) -> None:
        """Prepare a group on the loop, letting others in between; in a thread if one update alone takes long.

        So is a step that waits for a storage somewhere else. The thread has the ingest to itself: only the writer's
        task uses it, and that waits here.
        """
        if any(waiting.is_heavy for waiting in taken):
            await asyncio.to_thread(self._prepare_in_steps, group)
            return
        began = time.perf_counter()
        steps = self._ingest.prepare(group)
        step = next(steps, None)
        while step is not None:
            if step is Step.ASKS and not self._ingest.stages_at_once:
                step = await asyncio.to_thread(next, steps, None)
                began = time.perf_counter()
                continue
            if time.perf_counter() - began > _LOOP_HELD_SECONDS_MAX:
                await asyncio.sleep(0)
                began = time.perf_counter()
            step = next(steps, None)

    def _prepare_in_steps(self, group: Group) -> None:
        for _ in self._ingest.prepare(group):
            pass
        for submission in group.submissions:
            # Here they are only counted. A million let go at once, when the request ends, held the loop for 60 ms.
            while submission.ignored:
                del submission.ignored[-_FREED_A_STEP:]

    def _start(self, taken: list[_Waiting], group: Group) -> _Writing:
        """Have the group written. Small ones wait for nothing but the disk in the thread.

        Each return from the database costs a thread a wait for the interpreter; for a few rows that is longer than
        the statements take, and those are quicker run right here.
        """
        write: Callable[[], None] = functools.partial(self._write, group)
        is_small = len(group.rows.changes) <= _STAGED_ON_LOOP_MAX and not group.rows.erasures
        if (
            is_small
            and self._ingest.stages_at_once
            and sum([waiting.size for waiting in taken]) <= _STAGED_ON_LOOP_BYTES
        ):
            # Where somebody else is writing, the thread waits for them; it meets the fault again if it is another.
            with contextlib.suppress(Conflict, Refused):
                write = self._ingest.commit if self._ingest.stage(group) else _nothing
        future = asyncio.get_running_loop().run_in_executor(self._thread, write)
        future.add_done_callback(lambda _: self._look.set())
        return _Writing(taken, group, future)

    def _write(self, group: Group) -> None:
        self._ingest.write(group, wait_seconds=_LOCK_PATIENCE_SECONDS)

    async def _finish(self) -> bool:
        """Wait for the group in the thread and answer its requests. False if it was not written as it was prepared."""
        writing = self._writing
        assert writing is not None
        try:
            await writing.future
        except Conflict:
            self._ingest.abandon(writing.group)
            await self._write_again(writing.taken, writing.group)
        except Exception as error:  # noqa: BLE001
            self._ingest.abandon(writing.group)
            await self._fail(writing.taken, error)
        else:
            self._writing = None
            self._settle(writing.taken, writing.group)
            return True
        self._writing = None
        return False

    async def _write_again(self, taken: list[_Waiting], group: Group) -> None:
        """Prepare and write a group that lost a race, until it wins one."""
        try:
            for _ in range(_RACES_LOST_MAX):
                self._metrics.races_lost += 1
                await self._prepare(taken, group)
                try:
                    await asyncio.get_running_loop().run_in_executor(self._thread, self._write, group)
                except Conflict:
                    self._ingest.abandon(group)
                else:
                    self._settle(taken, group)
                    return
            message = "other processes kept changing the same profiles; nothing was applied, send it again"
            raise Refused(message, code="store_unavailable")  # noqa: TRY301  # joins the failures below
        except Exception as error:  # noqa: BLE001
            self._ingest.abandon(group)
            await self._fail(taken, error)

    async def _fail(self, taken: list[_Waiting], error: Exception) -> None:
        """Answer a group that could not be written.

        When the storage is the reason, it is one for all. Anything else is a defect that one of the requests brought to
        light: each is then tried by itself, so that the others do not suffer for it.
        """
        if isinstance(error, Refused) or len(taken) == 1:
            for waiting in taken:
                waiting.settled(error)
            if isinstance(error, Refused):
                self._metrics.storage_failures += 1
                _log.error("storage_unavailable", code=error.code, message=error.message, requests=len(taken))
            else:
                _log.error("request_failed", request_id=taken[0].submission.request_id, exc_info=error)
            return
        for waiting in taken:
            alone = Group([waiting.submission])
            await self._write_again([waiting], alone)

    def _settle(self, taken: list[_Waiting], group: Group) -> None:
        self._ingest.settle(group)
        metrics = self._metrics
        metrics.groups += 1
        for waiting in taken:
            submission = waiting.submission
            if submission.outcome == submission.request_id:
                metrics.updates += submission.counts_for
                for reason, count in submission.ignored_by_reason.items():
                    metrics.ignored[reason] += count
                if Reason.TOO_MANY_PROPERTIES in submission.ignored_by_reason:
                    self._tell_who_floods(submission)
            waiting.settled(submission.outcome or RuntimeError("a settled submission has an outcome"))

    def _tell_who_floods(self, submission: Submission) -> None:
        """Say in the log whose key keeps sending new names; an operator can revoke it."""
        who = (submission.space, submission.key_id)
        now = time.monotonic()
        if now < self._told_until.get(who, 0):
            return
        if len(self._told_until) >= _TOLD_MAX:
            self._told_until.clear()
        self._told_until[who] = now + _TOLD_AGAIN_SECONDS
        _log.warning(
            "too_many_properties",
            workspace_id=submission.space.workspace_id,
            environment=submission.space.environment,
            key_id=submission.key_id,
            request_id=submission.request_id,
        )


def _is_heavy(submission: Submission, size: int) -> bool:
    """Tell whether one of the updates alone would hold the loop for long. Small bodies have no room for such."""
    if size <= _HARMLESS_BYTES:
        return False
    if submission.edit is not None:
        return True
    return max([weight for _, _, weight in submission.updates]) > LARGE_WEIGHT


def _nothing() -> None:
    """Write nothing: all of the group's requests are answered already."""


class _Writing(NamedTuple):
    """A group in the writer's thread."""

    taken: list[_Waiting]
    group: Group
    future: asyncio.Future[None]

    def done(self) -> bool:
        return self.future.done()
