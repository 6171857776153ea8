"""The routes that read: a profile, the property definitions, a receipt."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.openapi import COMMON_ERRORS, error_answer, good_answer
from traitbase.domain.errors import Fault, InvalidInput, NotFound
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Environment, Space
from traitbase.services.ports import Store
from traitbase.services.profiles import get_profile
from traitbase.services.receipts import find_receipt

_BASE = "/v1/{WSID}/{version}"
_PAGE_MAX = 5_000

WorkspaceId = Annotated[str, Path(alias="WSID", description="the workspace's id")]
Version = Annotated[Environment, Path(description="the environment")]


def reading_routes(store: Store, gate: Gate) -> APIRouter:
    """Return the reading routes over a store."""
    router = APIRouter()

    @router.get(
        f"{_BASE}/profiles/{{distinct_id:path}}",
        tags=["profiles"],
        summary="A profile and its properties",
        responses=_answers(
            {
                "200": good_answer("the profile", "Profile"),
                "400": error_answer("no such profile", "incorrect/non existing distinct_id provided"),
            }
        ),
    )
    def read_profile(request: Request, workspace_id: WorkspaceId, version: Version, distinct_id: str) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        profile = get_profile(store, space, _distinct_id_in(request) or distinct_id)
        return _json(wire.profile_answer(space, profile))

    @router.get(
        f"{_BASE}/properties",
        tags=["properties"],
        summary="The property definitions, in order of name",
        responses=_answers(
            {"200": good_answer("a page", "Definitions"), "400": error_answer("a cursor that is none", "cursor: …")}
        ),
    )
    def list_definitions(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        limit: Annotated[int, Query(ge=1, le=_PAGE_MAX, description="items a page")] = 1_000,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before")] = None,
    ) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        _, rows = store.get_definitions(space)
        after = None if cursor is None else _name_in(cursor)
        rest = [row for row in rows if after is None or row.name > after]
        page = rest[:limit]
        more = _cursor_after(page[-1].name) if len(rest) > limit else None
        return _json({"items": [wire.definition_answer(row) for row in page], "next_cursor": more})

    @router.get(
        f"{_BASE}/requests/{{request_id}}",
        tags=["requests"],
        summary="The receipt of a request: what became of each of its operations",
        responses=_answers(
            {
                "200": good_answer("the receipt", "Receipt"),
                "404": error_answer("no such request (any more)", "there is no receipt …"),
            }
        ),
    )
    def read_receipt(request: Request, workspace_id: WorkspaceId, version: Version, request_id: str) -> Response:
        space = Space(workspace_id, version.value)
        key = admit(gate, request, space, needed=None)
        receipt = find_receipt(store, space, request_id, key=key)
        if receipt is None:
            message = "there is no receipt with this request_id in this environment (they are kept some days)"
            raise NotFound(message, code="receipt_not_found")
        return StreamingResponse(wire.receipt_pieces(receipt), media_type="application/json")

    return router


def admit(gate: Gate, request: Request, space: Space, *, needed: Scope | None) -> ApiKey:
    """Return the key of a request. Raises Refused as `Gate.admit` does."""
    client = request.client.host if request.client else None
    header = request.headers.get("authorization")
    authorization = None if header is None else header.encode("latin-1")
    return gate.admit(authorization, space=space, client=client, needed=needed)


def _answers(extra: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    common: dict[int | str, dict[str, Any]] = {"404": error_answer("no such path", "there is nothing at …")}
    common.update(COMMON_ERRORS)
    common.update(extra)
    return common


def _json(answer: dict[str, Any]) -> Response:
    return Response(wire.encode(answer), media_type="application/json")


def _distinct_id_in(request: Request) -> str | None:
    """Return the id from the path as it was sent, where `%2F` is part of an id."""
    raw: bytes | None = request.scope.get("raw_path")
    if raw is None:
        return None
    segments = raw.split(b"?")[0].decode("latin-1").split("/", 5)
    text = segments[5] if len(segments) == 6 else ""
    return unquote(text)


def _cursor_after(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_in(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError) as error:
        message = "expected the next_cursor of an answer, unchanged"
        raise InvalidInput(f"cursor: {message}", faults=(Fault("cursor", message),)) from error
