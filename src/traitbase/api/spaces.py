"""What routes share: the space and the ids in a path, who is asking, and how an answer is sent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.idempotency import header_once
from traitbase.api.openapi import BODY_ERRORS, COMMON_ERRORS, CONFLICT_ERROR, error_answer
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.spaces import Environment, Space

BASE = "/v1/{WSID}/{version}"
SLASH = "\0"
"""Stands in routed paths for a slash that was sent as `%2F`: it belongs to an id, and divides nothing."""

BASE_PATH = "traitbase.base_path"
"""Where in an ASGI scope the path stands under which the request found the API, if it is another one than `/`."""

WorkspaceId = Annotated[str, Path(alias="WSID", description="the workspace's id")]
Version = Annotated[Environment, Path(description="the environment")]


class UnknownParameter(InvalidInput):
    """A query has a parameter that the route does not know. Whoever may not come in does not hear of it."""


def refuse_unknown_parameters(request: Request) -> None:
    """Raise UnknownParameter for a query parameter that the route does not describe.

    `?dryrun=true` must not do what `?dry_run=true` was meant to try.
    """
    route: APIRoute = request.scope["route"]
    extra = (route.openapi_extra or {}).get("parameters", ())
    known = _parameters_of(route.dependant) | {each["name"] for each in extra if each["in"] == "query"}
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        expected = f"expected one of {', '.join(sorted(known))}" if known else "expected none here"
        faults = tuple(Fault(name[:80], f"there is no such parameter; {expected}") for name in unknown[:20])
        raise UnknownParameter(f"{faults[0].path}: {faults[0].message}", faults=faults, code="unknown_parameter")


def _parameters_of(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_parameters_of(each) for each in dependant.dependencies))


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
