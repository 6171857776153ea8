"""What routes share: the space and the ids in a path, who is asking, and how an answer is sent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request, Response

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.idempotency import header_once
from traitbase.api.openapi import BODY_ERRORS, COMMON_ERRORS, CONFLICT_ERROR, error_answer
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Environment, Space

BASE = "/v1/{WSID}/{version}"
SLASH = "\0"
"""Stands in routed paths for a slash that was sent as `%2F`: it belongs to an id, and divides nothing."""

WorkspaceId = Annotated[str, Path(alias="WSID", description="the workspace's id")]
Version = Annotated[Environment, Path(description="the environment")]


def id_in(part: str) -> str:
    """Return the id that a part of a routed path stands for."""
    return part.replace(SLASH, "/")


def admit(gate: Gate, request: Request, space: Space, *, needed: Scope | None) -> ApiKey:
    """Return the key of a request. Raises Refused as `Gate.admit` does, InvalidInput for several keys at once."""
    client = request.client.host if request.client else None
    authorization = header_once(b"authorization", request.headers.raw)
    return gate.admit(authorization, space=space, client=client, needed=needed)


def answers(extra: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the description of a route's answers: these, and those that any route may give."""
    common: dict[int | str, dict[str, Any]] = {"404": error_answer("no such path", "there is nothing at …")}
    common.update(COMMON_ERRORS)
    common.update(extra)
    return common


def body_answers(extra: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the same for a route that reads a body and writes."""
    return answers({**CONFLICT_ERROR, **BODY_ERRORS, **extra})


def json_answer(answer: Any, *, status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(wire.encode(answer), status_code=status, media_type="application/json")
