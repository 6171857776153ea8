"""The routes of suppressions. They belong to the workspace: no version in the path, and the key must open `live`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body
from traitbase.api.openapi import BODY_ERRORS, described_answer, error_answer, json_body, query_parameter
from traitbase.api.spaces import BASE_PATH, WorkspaceId, admit, answers, json_answer
from traitbase.domain.destinations import DESTINATION_MAX_CODE_POINTS, Channel
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.keys import Scope
from traitbase.domain.spaces import Environment, Space
from traitbase.domain.suppressions import (
    DESCRIPTION_MAX_CODE_POINTS,
    is_suppression_id,
    parse_suppression,
    read_channel,
)
from traitbase.domain.updates import DISTINCT_ID_MAX_CODE_POINTS
from traitbase.services.ports import Store
from traitbase.services.suppressions import Whom, lift_suppressions, list_suppressions, suppress

_PATH = "/v1/{WSID}/suppressions"
_TAGS: list[str | Enum] = ["suppressions"]
_PAGE_MAX = 10_000

_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time", "description": "UTC"}
_CHANNEL = {"enum": [channel.value for channel in Channel]}
_SUPPRESSION = {
    "type": "object",
    "required": ["_id", "destination", "distinct_id", "channel", "description", "created_at", "expiry_ts"],
    "properties": {
        "_id": {"type": "string", "pattern": "^[0-9a-f]{24}$"},
        "destination": {
            **_TEXT_OR_NULL,
            "description": "as it was sent; null: by distinct_id, or its person is erased",
        },
        "distinct_id": {**_TEXT_OR_NULL, "description": "null: by destination, or the person is erased"},
        "channel": _CHANNEL,
        "description": _TEXT_OR_NULL,
        "created_at": _TIME,
        "expiry_ts": {**_TIME, "type": ["string", "null"], "description": "null: it holds for good"},
    },
}
_DONE = {
    "type": "object",
    "required": ["status", "_message"],
    "properties": {"status": {"const": "ok"}, "_message": {"type": "string"}},
}
_SENT = {
    "type": "object",
    "required": ["channel"],
    "properties": {
        "distinct_id": {
            "type": ["string", "null"],
            "maxLength": DISTINCT_ID_MAX_CODE_POINTS,
            "description": "wins over destination",
        },
        "destination": {"type": ["string", "null"], "maxLength": DESTINATION_MAX_CODE_POINTS},
        "channel": _CHANNEL,
        "description": {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX_CODE_POINTS},
        "expiry_ts": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "in the future, with Z or an offset; null: never",
        },
    },
}
_EXAMPLE = {"destination": "+91 98790 12345", "channel": "sms", "description": "asked us on the phone"}


def suppression_routes(store: Store, gate: Gate, *, now_us: Callable[[], int], new_id: Callable[[], str]) -> APIRouter:
    """Return the routes over a store. `new_id` returns 24 random hexadecimal digits."""
    router = APIRouter()

    @router.get(
        _PATH,
        tags=_TAGS,
        summary="The suppressions that hold, in order of creation",
        openapi_extra={
            "parameters": [
                query_parameter("distinct_id", "only what is suppressed for this person, by any of their ids"),
                query_parameter("destination", "only this destination"),
                query_parameter("channel", "only this channel", **_CHANNEL),
                query_parameter(
                    "limit", "items a page", type="integer", minimum=1, maximum=_PAGE_MAX, default=_PAGE_MAX
                ),
                query_parameter("cursor", "from the Link header of the page before"),
            ]
        },
        responses=answers(
            {
                "200": {
                    **described_answer("a page", {"type": "array", "items": _SUPPRESSION}),
                    "headers": {
                        "Link": {
                            "schema": {"type": "string"},
                            "description": 'where the next page is: `<…>; rel="next"`',
                        }
                    },
                },
                "400": error_answer("a parameter that cannot be", "limit: expected 1 to 10,000"),
            }
        ),
    )
    def read_suppressions(request: Request, workspace_id: WorkspaceId) -> Response:
        admit(gate, request, Space(workspace_id, Environment.LIVE.value), needed=Scope.READ)
        channel = _query(request, "channel")
        whom = Whom(
            _query(request, "distinct_id"),
            _query(request, "destination"),
            None if channel is None else read_channel(channel),
        )
        limit, after = _limit_in(request), _cursor_in(request)
        rows, more = list_suppressions(store, workspace_id, whom, now_us=now_us(), after=after, limit=limit)
        headers = {} if more is None else {"Link": f'<{_next_page(request, limit, more)}>; rel="next"'}
        answer = json_answer([wire.suppression_answer(row) for row in rows])
        answer.headers.update(headers)
        return answer

    @router.post(
        _PATH,
        tags=_TAGS,
        summary="Suppress a person or a destination on a channel",
        openapi_extra=json_body(_SENT, _EXAMPLE),
        responses=answers(
            {
                "200": described_answer("done", _DONE, _done("User has been added to the suppression!")),
                "400": error_answer("no such channel or destination", "Invalid destination for channel sms"),
                **BODY_ERRORS,
            }
        ),
    )
    async def add_suppression(request: Request, workspace_id: WorkspaceId) -> Response:
        admit(gate, request, Space(workspace_id, Environment.LIVE.value), needed=Scope.INGEST)
        at_us = now_us()
        body, _ = await read_json_body(request, partial(parse_suppression, now_us=at_us))
        await run_in_threadpool(suppress, store, workspace_id, body, now_us=at_us, new_id=new_id)
        return json_answer(_done("User has been added to the suppression!"))

    @router.delete(
        _PATH,
        tags=_TAGS,
        summary="Lift suppressions: by _id, else by distinct_id, else by destination",
        openapi_extra={
            "parameters": [
                query_parameter("_id", "this one"),
                query_parameter("distinct_id", "all of this person, by any of their ids"),
                query_parameter("destination", "all of this destination, also those of people who were erased"),
            ]
        },
        responses=answers(
            {
                "200": described_answer("done", _DONE, _done("1 record(s) has been deleted!")),
                "400": error_answer("there are none", "Unable to delete non existing data!"),
            }
        ),
    )
    def delete_suppressions(request: Request, workspace_id: WorkspaceId) -> Response:
        admit(gate, request, Space(workspace_id, Environment.LIVE.value), needed=Scope.ADMIN)
        deleted = lift_suppressions(
            store,
            workspace_id,
            suppression_id=_query(request, "_id"),
            distinct_id=_query(request, "distinct_id"),
            destination=_query(request, "destination"),
            now_us=now_us(),
        )
        return json_answer(_done(f"{deleted} record(s) has been deleted!"))

    return router


def _query(request: Request, name: str) -> str | None:
    """Return a query parameter; None if it was not sent, or empty. Raises InvalidInput if it came several times."""
    values = [value for value in request.query_params.getlist(name) if value]
    if len(values) > 1:
        raise _invalid(name, "expected once, and it was sent several times")
    return values[0] if values else None


def _limit_in(request: Request) -> int:
    text = _query(request, "limit")
    if text is None:
        return _PAGE_MAX
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0
    if not 1 <= limit <= _PAGE_MAX:
        raise _invalid("limit", f"expected 1 to {_PAGE_MAX:,}")
    return limit


def _cursor_in(request: Request) -> str | None:
    cursor = _query(request, "cursor")
    if cursor is not None and not is_suppression_id(cursor):
        raise _invalid("cursor", "expected the cursor of a Link header, unchanged")
    return cursor


def _next_page(request: Request, limit: int, cursor: str) -> str:
    """Return the path and query of the next page: relative, as only the caller knows under which name we are reached.

    What the caller calls this path: as it was sent, that is.
    """
    asked = {name: value for name, value in request.query_params.items() if value}
    query = urlencode({**asked, "limit": limit, "cursor": cursor})
    return f"{request.scope.get(BASE_PATH, '')}{request.url.path}?{query}"


def _done(message: str) -> dict[str, Any]:
    return {"status": "ok", "_message": message}


def _invalid(name: str, message: str) -> InvalidInput:
    return InvalidInput(f"{name}: {message}", faults=(Fault(name, message),))
