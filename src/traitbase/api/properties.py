"""The seven property endpoints, answered as plain ASGI before any framework sees them: they are the hot path."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from traitbase.api.auth import Gate
from traitbase.api.bodies import ClientGone, Receive, read_body
from traitbase.api.errors import answer_to
from traitbase.api.metrics import Metrics
from traitbase.api.writer import GroupCommitWriter
from traitbase.domain.errors import Fault, InvalidInput, NotFound, TraitbaseError
from traitbase.domain.json_text import read_json
from traitbase.domain.keys import Scope
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.updates import Operation, Update, parse_batch, parse_single
from traitbase.domain.values import JsonValue
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
    """A request to what looks like one of the seven endpoints."""

    workspace_id: str
    environment: str
    endpoint: str

    @property
    def exists(self) -> bool:
        """Whether there is such an endpoint and such an environment."""
        return self.endpoint in ENDPOINTS and self.environment in ENVIRONMENTS


def find_call(path: str) -> Call | None:
    """Return the call that a path names (with or without a slash at its end), or None for any other path."""
    parts = path.split("/")
    if len(parts) == 8 and parts[7] == "":
        parts.pop()
    if len(parts) != 7 or parts[4] != "profiles" or parts[5] != "properties" or parts[1] != "v1":
        return None
    return Call(parts[2], parts[3], parts[6])


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

    async def answer(self, call: Call, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request: 202 once its updates are durable and applied, or the error that says why not."""
        headers: list[tuple[bytes, bytes]] = []
        try:
            body = await self._accept(call, scope, receive)
            status = 202
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # whatever happens, the caller gets an answer
            if not isinstance(error, TraitbaseError):
                _log.exception("request_failed", endpoint=call.endpoint)
            status, body, headers = answer_to(error)
        self._metrics.answers[call.endpoint if call.exists else "unknown", status] += 1
        headers.append(_JSON)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _accept(self, call: Call, scope: AsgiScope, receive: Receive) -> bytes:
        workspace_id, environment, endpoint = call
        if not call.exists:
            message = f"there is nothing at {scope['path']}; /docs shows the endpoints, the version is 'live' or 'test'"
            raise NotFound(message, code="path_not_found")
        headers = scope["headers"]
        authorization: bytes | None = None
        token: bytes | None = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"idempotency-key":
                token = value
        client = scope.get("client")
        key = self._gate.admit(
            authorization,
            workspace_id=workspace_id,
            environment=environment,
            client=client[0] if client else None,
            needed=Scope.INGEST,
        )
        body = await read_body(receive, headers)
        updates = _parse(endpoint, read_json(body))
        submission = Submission(
            Space(workspace_id, environment),
            updates,
            self._new_request_id(),
            self._now_us(),
            key.key_id,
            None if token is None else _idempotency_key(token, endpoint, body),
        )
        request_id = await self._writer.submit(submission, size=len(body))
        if endpoint == BATCH_ENDPOINT:
            items = b",".join([_item_answer(update) for update in updates])
            return b'{"request_id":"%s","batch":[%s]}' % (request_id.encode(), items)
        return b'{"request_id":"%s"}' % request_id.encode()


def _parse(endpoint: str, sent: JsonValue) -> Sequence[Update]:
    if endpoint == BATCH_ENDPOINT:
        return parse_batch(sent)
    return (parse_single(sent, SINGLE_ENDPOINTS[endpoint]),)


_item_answers: dict[tuple[Operation, ...], bytes] = {}


def _item_answer(update: Update) -> bytes:
    operations = tuple([operation for operation, _ in update.operations])
    answer = _item_answers.get(operations)
    if answer is None:
        answer = msgspec.json.encode({operation.value: "ok" for operation in operations})
        _item_answers[operations] = answer
    return answer


def _idempotency_key(token: bytes, endpoint: str, body: bytes) -> IdempotencyKey:
    if not (1 <= len(token) <= 255 and all(0x20 <= byte <= 0x7E for byte in token)):
        fault = Fault("Idempotency-Key", "expected 1 to 255 printable ASCII characters")
        raise InvalidInput(f"header {fault.path}: {fault.message}", faults=(fault,))
    digest = hashlib.sha256(endpoint.encode() + b"\n" + body).hexdigest()
    return IdempotencyKey(token.decode("ascii"), digest)
