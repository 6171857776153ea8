"""The routes that read: a profile, a receipt."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Path, Request, Response

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.openapi import COMMON_ERRORS, error_answer, good_answer
from traitbase.domain.errors import NotFound
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Environment, Space
from traitbase.services.ports import Store
from traitbase.services.profiles import get_profile
from traitbase.services.receipts import find_receipt

_BASE = "/v1/{WSID}/{version}"

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
        return _json(wire.receipt_answer(receipt))

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
