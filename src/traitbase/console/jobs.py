"""Long work that somebody began on a page: it runs beside the requests, and its progress can be looked at anywhere.

How far it is stands in the database, since the browser's next request may be answered by another process. Nothing about
a person is in it, so that an erasure need not look there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from traitbase.console.page import Desk, Page
from traitbase.domain.errors import TraitbaseError
from traitbase.domain.spaces import Space
from traitbase.services.accounts.ports import JobRow, JobState

_TICK_SECONDS = 0.5
_WAIT_SECONDS = 1.5
SILENT_SECONDS = 30
"""After how long without a word a job is taken for one whose process ended."""

_log = structlog.get_logger()
_running: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class Progress:
    """How far a job is, for whoever does it to say. `total` 0: nobody knows how much there is."""

    done: int = 0
    total: int = 0


@dataclass(slots=True)
class Job:
    """A job as pages show it. `about`: what it is; `result`: what came of it; `message`: why it failed."""

    row: JobRow
    about: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    message: str = ""

    @classmethod
    def of(cls, row: JobRow) -> Job:
        """Return the job of a row."""
        found = msgspec.json.decode(row.document)
        return cls(row, found["about"], found.get("result"), found.get("message", ""))

    def document(self) -> str:
        """Return what is stored of it."""
        return msgspec.json.encode({"about": self.about, "result": self.result, "message": self.message}).decode()


def new_job(page: Page, about: dict[str, Any], *, state: JobState) -> Job:
    """Return a new job of whoever asks."""
    parts = page.desk.parts
    now_us = parts.now_us()
    row = JobRow(parts.new_id(), page.signed_in.account.account_id, state, 0, 0, "", now_us, now_us)
    job = Job(row, about)
    job.row = row._replace(document=job.document())
    return job


async def keep(desk: Desk, space: Space, job: Job) -> None:
    """Store a job as it is."""
    job.row = job.row._replace(document=job.document(), updated_at_us=desk.parts.now_us())
    await desk.run(desk.parts.store.put_job, space, job.row)


async def find(page: Page, job_id: str) -> Job:
    """Return a job of this workspace and environment. Raises NotFound."""
    row = await page.run(page.desk.parts.store.find_job, page.space, job_id)
    if row is None:
        raise page.missing("work under that id")
    return Job.of(row)


async def begin(page: Page, job: Job, work: Callable[[Progress], Awaitable[dict[str, Any]]]) -> None:
    """Begin a job, and wait a moment: small ones are done by then. `work` returns what is shown as its result."""
    desk, space = page.desk, page.space
    job.row = job.row._replace(state=JobState.RUNNING)
    await keep(desk, space, job)
    task = asyncio.create_task(_run(desk, space, job, work))
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.wait([task], timeout=_WAIT_SECONDS)


async def _run(desk: Desk, space: Space, job: Job, work: Callable[[Progress], Awaitable[dict[str, Any]]]) -> None:
    progress = Progress()
    telling = asyncio.create_task(_tell(desk, space, job, progress))
    try:
        job.result, state = await work(progress), JobState.DONE
    except TraitbaseError as error:
        job.message, state = error.message, JobState.FAILED
    except Exception as error:  # noqa: BLE001  # whatever happens, it is told: nobody waits for the task itself
        _log.error("job_failed", error=type(error).__name__)
        job.message, state = "something went wrong on our side; what was done until then stays", JobState.FAILED
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
    job.row = job.row._replace(state=state, done=progress.done, total=progress.total)
    await keep(desk, space, job)


async def _tell(desk: Desk, space: Space, job: Job, progress: Progress) -> None:
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        job.row = job.row._replace(done=progress.done, total=progress.total)
        with contextlib.suppress(TraitbaseError):  # the next word may get through
            await keep(desk, space, job)


async def in_thread_of_its_own(do: Callable[[], Any]) -> Any:
    """Return what a function returns that takes minutes: it must not take a turn from the pages, or hold up the end."""
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            result = do()
        except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
            _settle(loop, settled, error=error)
        else:
            _settle(loop, settled, result=result)

    threading.Thread(target=run, name="traitbase-job", daemon=True).start()
    return await settled


def _settle(
    loop: asyncio.AbstractEventLoop,
    settled: asyncio.Future[Any],
    *,
    result: Any = None,
    error: BaseException | None = None,
) -> None:
    def tell() -> None:
        if settled.cancelled():
            return
        if error is not None:
            settled.set_exception(error)
        else:
            settled.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
        loop.call_soon_threadsafe(tell)
