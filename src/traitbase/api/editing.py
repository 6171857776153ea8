"""Taking edits from requests to the group-commit writer, and waiting until they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Request

from traitbase.api.idempotency import idempotency_key
from traitbase.api.writer import GroupCommitWriter, answering
from traitbase.domain.edits import Edit
from traitbase.domain.spaces import Space
from traitbase.services.ingest import Submission

_LEAST_BYTES = 512
"""What an edit counts for in the queue at the least."""


class Edits:
    """The way of edits to the writer."""

    def __init__(
        self, writer: GroupCommitWriter, *, now_us: Callable[[], int], new_request_id: Callable[[], str]
    ) -> None:
        self._writer = writer
        self._now_us = now_us
        self._new_request_id = new_request_id

    async def submit(self, request: Request, space: Space, edit: Edit, *, key_id: str, body: bytes) -> str:
        """Return the request id once the edit is durable and visible; that of the first request for a replay.

        `body` is what asked for the edit, as it was sent.

        Raises what the edit raises (InvalidInput, NotFound), and Conflict and Refused as the writer does.
        """
        called = f"{request.method} {request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        token = idempotency_key(request.headers.raw, called, body)
        settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        submission = Submission(space, (), self._new_request_id(), self._now_us(), key_id, token, edit)
        self._writer.submit(submission, size=max(len(body), _LEAST_BYTES), settled=answering(settled))
        return await settled
