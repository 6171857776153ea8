"""Bringing an edit from a route of the framework to the writer, and waiting for what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Request

from traitbase.api.writer import GroupCommitWriter
from traitbase.domain.edits import Edit
from traitbase.domain.spaces import Space
from traitbase.services.ingest import Submission


class Edits:
    """Hands edits to the group-commit writer, on its event loop."""

    def __init__(
        self, writer: GroupCommitWriter, *, now_us: Callable[[], int], new_request_id: Callable[[], str]
    ) -> None:
        self._writer = writer
        self._now_us = now_us
        self._new_request_id = new_request_id

    async def submit(
        self,
        request: Request,  # noqa: ARG002  # for what an edit may take from its headers
        space: Space,
        edit: Edit,
        *,
        key_id: str,
        size: int,
    ) -> str:
        """Return the id of the request once the edit, of `size` bytes, is durable. Raises what it failed of."""
        settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def settle(outcome: str | Exception) -> None:
            if settled.done():  # nobody waits any more
                return
            if isinstance(outcome, str):
                settled.set_result(outcome)
            else:
                settled.set_exception(outcome)

        submission = Submission(space, (), self._new_request_id(), self._now_us(), key_id, edit=edit)
        self._writer.submit(submission, size=size, settled=settle)
        return await settled
