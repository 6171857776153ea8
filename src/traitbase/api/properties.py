"""The seven property endpoints, answered as plain ASGI before any framework sees them: they are the hot path."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import structlog

from traitbase.api.auth import Gate
from traitbase.api.bodies import BODIES_MAX_BYTES, ClientGone, Headers, Receive, Room, read_body
from traitbase.api.errors import answer_to
from traitbase.api.idempotency import header_once, key_for
from traitbase.api.metrics import Metrics
from traitbase.api.writer import GroupCommitWriter, answering
from traitbase.domain.errors import NotFound, TraitbaseError
from traitbase.domain.json_text import LARGE_BYTES, read_json, read_json_in_pieces
from traitbase.domain.keys import Scope
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.updates import Operation, Update, parse_batch, parse_single
from traitbase.services.ingest import IdempotencyKey, Submission

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiScope = MutableMapping[str, Any]

SINGLE_ENDPOINTS = {
    "set": Operation.SET,
    "set-once": Operation.ONCE,
    "numerical-add": Operation.ADD,
    "list-append": Operation.APPEND,
    "list-remove": Operation.REMOVE,
    "unset": Operation.UNSET,
}
BATCH_ENDPOINT = "batch"
ENDPOINTS = frozenset({*SINGLE_ENDPOINTS, BATCH_ENDPOINT})
ENVIRONMENTS = frozenset(environment.value for environment in Environment)

_JSON = (b"content-type", b"application/json")
_log = structlog.get_logger()


class Call(NamedTuple):
    """A request to what looks like one of the seven endpoints; `exists` says whether it is one."""

    space: Space
    endpoint: str
    exists: bool


_PATH_MAX_CHARACTERS = 256


def find_call(path: str) -> Call | None:
    """Return what a path calls if it looks like one of the hot routes, else None. A trailing slash is accepted."""
    return _find_call(path) if len(path) <= _PATH_MAX_CHARACTERS else None  # longer ones would fill the memory


@functools.lru_cache(maxsize=1_024)
def _find_call(path: str) -> Call | None:
    """Return the call that a path names (with or without a slash at its end), or None for any other path."""
    parts = path.split("/")
    if len(parts) == 8 and parts[7] == "":
        parts.pop()
    if len(parts) != 7 or parts[4] != "profiles" or parts[5] != "properties" or parts[1] != "v1":
        return None
    workspace_id, environment, endpoint = parts[2], parts[3], parts[6]
    return Call(Space(workspace_id, environment), endpoint, endpoint in ENDPOINTS and environment in ENVIRONMENTS)


Answered: TypeAlias = Callable[[bytes | Exception], None]


class PropertyEndpoints:
    """Takes updates from HTTP to the writer and brings back the answer."""

    def __init__(
        self,
        gate: Gate,
        writer: GroupCommitWriter,
        metrics: Metrics,
        *,
        now_us: Callable[[], int],
        new_request_id: Callable[[], str],
    ) -> None:
        self._gate = gate
        self._writer = writer
        self._metrics = metrics
        self._now_us = now_us
        self._new_request_id = new_request_id
        self._reading_large = asyncio.Semaphore()
        self._room = Room(BODIES_MAX_BYTES)

    async def answer(self, call: Call, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 once its updates are durable and applied, or the error that says why not."""
        client = scope.get("client")
        headers: Headers = scope["headers"]
        extra: Headers = ()
        try:
            caller = (call, header_once(b"authorization", headers), client[0] if client else None)
            is_known = self.admits_at_once(caller[1])
            key_id = self.admit(*caller) if is_known else await asyncio.to_thread(self.admit, *caller)
            with self._room.share() as share:
                body = await read_body(receive, headers, share)
                token = header_once(b"idempotency-key", headers)
                asked = (
                    _read(call.endpoint, body, token)
                    if len(body) <= LARGE_BYTES
                    else await self._read_large(call, body, token)
                )
                settled: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                self._submit(call, asked, key_id=key_id, settled=answering(settled))
            status, body = 202, await settled
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # whatever happens, the caller gets an answer
            status, body, extra = self.refuse(call, error)
        self.count(call, status)
        answer_headers = [*extra, _JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": body})

    def admits_at_once(self, authorization: bytes | None) -> bool:
        """Whether `admit` waits for nothing."""
        return self._gate.admits_at_once(authorization)

    def admit(self, call: Call, authorization: bytes | None, client: str | None) -> str:
        """Return the id of the caller's key. Raises NotFound for an endpoint that does not exist, Refused."""
        if not call.exists:
            message = "there is nothing here; /docs shows the endpoints, and the version is 'live' or 'test'"
            raise NotFound(message, code="path_not_found")
        key = self._gate.admit(
            authorization,
            space=call.space,
            client=client,
            needed=Scope.INGEST,
        )
        return key.key_id

    def accept(self, call: Call, body: bytes, idempotency_key: bytes | None, *, key_id: str, settled: Answered) -> None:
        """Check a body and hand its updates to the writer; `settled` gets the body of the 202, or the error.

        Raises InvalidInput and Refused at once for what never reaches the writer.
        """
        self._submit(call, _read(call.endpoint, body, idempotency_key), key_id=key_id, settled=settled)

    async def _read_large(self, call: Call, body: bytes, idempotency_key: bytes | None) -> _Asked:
        # One at a time: they would only take turns, and every thread that is at work makes the loop wait for its turn.
        async with self._reading_large:
            return await asyncio.to_thread(_read, call.endpoint, body, idempotency_key)

    def _submit(self, call: Call, asked: _Asked, *, key_id: str, settled: Answered) -> None:
        updates, idempotency, size = asked
        submission = Submission(call.space, updates, self._new_request_id(), self._now_us(), key_id, idempotency)
        parsed = updates if call.endpoint == BATCH_ENDPOINT else None

        def answer(outcome: str | Exception) -> None:
            settled(_accepted(outcome, parsed) if isinstance(outcome, str) else outcome)

        self._writer.submit(submission, size=size, settled=answer)

    def refuse(self, call: Call, error: BaseException) -> tuple[int, bytes, Headers]:
        """Return status, body and extra headers of the answer to an error."""
        if not isinstance(error, TraitbaseError):
            _log.error("request_failed", endpoint=call.endpoint, exc_info=error)
        return answer_to(error)

    def count(self, call: Call, status: int) -> None:
        """Count an answer for the metrics."""
        self._metrics.answers[call.endpoint if call.exists else "unknown", status] += 1


def _accepted(request_id: str, updates: Sequence[Update] | None) -> bytes:
    if updates is None:
        return b'{"request_id":"%s"}' % request_id.encode()
    items = b",".join([_item_answer(update) for update in updates])
    return b'{"request_id":"%s","batch":[%s]}' % (request_id.encode(), items)


class _Asked(NamedTuple):
    """A body that was read: what it asks for, and its size in bytes."""

    updates: Sequence[Update]
    idempotency: IdempotencyKey | None
    size: int


def _read(endpoint: str, body: bytes, idempotency_key: bytes | None) -> _Asked:
    """Check a body and the header beside it. Raises InvalidInput. Needs nothing but these, so any thread may do it."""
    operation = SINGLE_ENDPOINTS.get(endpoint)
    if len(body) <= LARGE_BYTES:
        sent = read_json(body)
    else:
        sent = read_json_in_pieces(body, keep={"batch"} if operation is None else {"distinct_id", operation.value})
    updates = parse_batch(sent) if operation is None else (parse_single(sent, operation),)
    token = None if idempotency_key is None else key_for(idempotency_key, endpoint, body)
    return _Asked(updates, token, len(body))


_item_answers: dict[tuple[Operation, ...], bytes] = {}


def _item_answer(update: Update) -> bytes:
    operations = tuple([operation for operation, _ in update.operations])
    answer = _item_answers.get(operations)
    if answer is None:
        answer = msgspec.json.encode({operation.value: "ok" for operation in operations})
        _item_answers[operations] = answer
    return answer
