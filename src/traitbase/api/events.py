"""The routes of integrations and events, and of the calls that fire an event."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from traitbase.api import campaign_schemas as described
from traitbase.api import campaign_wire as wire
from traitbase.api.campaign_parts import CampaignParts, read_body, read_body_and_text
from traitbase.api.idempotency import idempotency_key
from traitbase.api.spaces import BASE, Version, WorkspaceId, id_in, json_answer
from traitbase.api.wire import time_of
from traitbase.domain.campaign_bodies import parse_bulk_call, parse_call, read_data
from traitbase.domain.events import parse_event
from traitbase.domain.forms import Form
from traitbase.domain.keys import Scope
from traitbase.domain.values import JsonValue
from traitbase.services.campaigns.events import event_of

_INTEGRATIONS = f"{BASE}/integrations"
_INTEGRATION = f"{_INTEGRATIONS}/{{integration_id}}"
_EVENTS = f"{BASE}/events"
_EVENT = f"{_EVENTS}/{{event_id}}"
_MESSAGES_MAX = 1_000


def event_routes(parts: CampaignParts) -> APIRouter:
    """Return the routes. What ends in a fixed word comes before what takes any id."""
    router = APIRouter()
    _add_integrations(router, parts)
    _add_integration(router, parts)
    _add_events(router, parts)
    _add_event(router, parts)
    _add_calls(router, parts)
    return router


def _add_integrations(router: APIRouter, parts: CampaignParts) -> None:
    tags: list[str] = ["integrations"]

    @router.get(
        _INTEGRATIONS, tags=[*tags], summary="All integrations, in order of name", **described.LIST_INTEGRATIONS
    )
    def list_integrations(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        rows = parts.integrations.list(space)
        items = [wire.integration_answer(row, parts.integrations.secret_names(row)) for row in rows]
        return json_answer({"items": items, "next_cursor": None})

    @router.post(
        _INTEGRATIONS,
        tags=[*tags],
        summary="Make an integration: by what messages leave",
        **described.CREATE_INTEGRATION,
    )
    async def make_integration(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        made = await parts.work(parts.integrations.create, space, await read_body(request))
        answer = wire.integration_answer(made.row, parts.integrations.secret_names(made.row))
        shown = {} if made.signing_secret is None else {"signing_secret": made.signing_secret}
        return json_answer({**answer, **shown}, status=201)

    @router.post(
        f"{_INTEGRATION}/test", tags=[*tags], summary="Send one message to a destination", **described.TEST_INTEGRATION
    )
    async def test_integration(
        request: Request, workspace_id: WorkspaceId, version: Version, integration_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        body = await read_body(request)

        def send() -> Response:
            delivery_id = f"test-{parts.new_request_id()}"
            outcome = parts.integrations.test(space, id_in(integration_id), body, delivery_id=delivery_id)
            return json_answer({"outcome": outcome.kind.value, "detail": outcome.detail})

        return await parts.work(send)

    @router.get(f"{_INTEGRATION}/messages", tags=[*tags], summary="What a sandbox recorded", **described.LIST_MESSAGES)
    def list_messages(
        request: Request,
        workspace_id: WorkspaceId,
        version: Version,
        integration_id: str,
        limit: Annotated[int, Query(ge=1, le=_MESSAGES_MAX, description="how many")] = 100,
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        row = parts.integrations.get(space, id_in(integration_id))
        items = [
            {
                "delivery_id": each.delivery_id,
                "distinct_id": each.distinct_id,
                "at": time_of(each.at_us),
                "message": msgspec.Raw(each.message.encode()),
            }
            for each in parts.store.list_sandbox(space, row.integration_id, limit=limit)
        ]
        return json_answer({"items": items, "next_cursor": None})


def _add_integration(router: APIRouter, parts: CampaignParts) -> None:
    tags: list[str] = ["integrations"]

    @router.get(_INTEGRATION, tags=[*tags], summary="An integration, without its secrets", **described.READ_INTEGRATION)
    def read_integration(
        request: Request, workspace_id: WorkspaceId, version: Version, integration_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        row = parts.integrations.get(space, id_in(integration_id))
        return json_answer(wire.integration_answer(row, parts.integrations.secret_names(row)))

    @router.put(
        _INTEGRATION,
        tags=[*tags],
        summary="Replace an integration; secrets that are not sent stay",
        **described.REPLACE_INTEGRATION,
    )
    async def replace_integration(
        request: Request, workspace_id: WorkspaceId, version: Version, integration_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        body = await read_body(request)
        row = await parts.work(parts.integrations.replace, space, id_in(integration_id), body)
        return json_answer(wire.integration_answer(row, parts.integrations.secret_names(row)))

    @router.delete(_INTEGRATION, tags=[*tags], summary="Delete an integration", **described.DELETE_INTEGRATION)
    def drop_integration(
        request: Request, workspace_id: WorkspaceId, version: Version, integration_id: str
    ) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        parts.integrations.delete(space, id_in(integration_id))
        return json_answer({"status": "ok", "_message": "Integration deleted successfully"})


def _add_events(router: APIRouter, parts: CampaignParts) -> None:
    tags: list[str] = ["events"]

    @router.get(_EVENTS, tags=[*tags], summary="All events, in order of name", **described.LIST_EVENTS)
    def list_events(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        items = [wire.event_answer(row) for row in parts.store.list_events(space)]
        return json_answer({"items": items, "next_cursor": None})

    @router.post(_EVENTS, tags=[*tags], summary="Make an event: a template for each channel", **described.CREATE_EVENT)
    async def make_event(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        row = await parts.work(parts.events.create, space, await read_body(request))
        return json_answer(wire.event_answer(row), status=201)

    @router.post(
        f"{_EVENTS}/preview",
        tags=[*tags],
        summary="What somebody would be sent by an event that is not saved",
        **described.PREVIEW_DRAFT,
    )
    async def preview_draft(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        form = Form(await read_body(request))
        event = parse_event(form.value("event"))
        distinct_id, data = _whom(form)
        previews = await parts.work(parts.events.preview, space, event, distinct_id, data)
        return json_answer({"items": [wire.preview_answer(each) for each in previews]})

    @router.post(
        f"{_EVENT}/preview", tags=[*tags], summary="What somebody would be sent; nothing is", **described.PREVIEW_EVENT
    )
    async def preview_event(request: Request, workspace_id: WorkspaceId, version: Version, event_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        form = Form(await read_body(request))
        distinct_id, data = _whom(form)

        def look() -> Response:
            event = event_of(parts.events.get(space, id_in(event_id)))
            previews = parts.events.preview(space, event, distinct_id, data)
            return json_answer({"items": [wire.preview_answer(each) for each in previews]})

        return await parts.work(look)


def _add_event(router: APIRouter, parts: CampaignParts) -> None:
    tags: list[str] = ["events"]

    @router.get(_EVENT, tags=[*tags], summary="An event", **described.READ_EVENT)
    def read_event(request: Request, workspace_id: WorkspaceId, version: Version, event_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.READ)
        return json_answer(wire.event_answer(parts.events.get(space, id_in(event_id))))

    @router.put(_EVENT, tags=[*tags], summary="Replace an event", **described.REPLACE_EVENT)
    async def replace_event(request: Request, workspace_id: WorkspaceId, version: Version, event_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        body = await read_body(request)
        return json_answer(wire.event_answer(await parts.work(parts.events.replace, space, id_in(event_id), body)))

    @router.delete(_EVENT, tags=[*tags], summary="Delete an event", **described.DELETE_EVENT)
    def drop_event(request: Request, workspace_id: WorkspaceId, version: Version, event_id: str) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.ADMIN)
        parts.events.delete(space, id_in(event_id))
        return json_answer({"status": "ok", "_message": "Event deleted successfully"})


def _add_calls(router: APIRouter, parts: CampaignParts) -> None:
    async def fire(request: Request, workspace_id: str, version: Version, *, bulk: bool) -> Response:
        space = parts.enter(request, workspace_id, version, Scope.INGEST)
        sent, body = await read_body_and_text(request)
        call = (parse_bulk_call if bulk else parse_call)(sent)
        key = idempotency_key(request.headers.raw, f"{request.method} {request.scope['path']}", body)

        def put() -> Response:
            fired = parts.calls.fire(space, call, request_id=parts.new_request_id(), key=key)
            return json_answer(wire.fired_answer(fired, bulk=bulk), status=202)

        answer = await parts.work(put)
        parts.wake()
        return answer

    @router.post(f"{BASE}/event", tags=["events"], summary="Fire an event for one recipient", **described.FIRE)
    async def fire_event(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        return await fire(request, workspace_id, version, bulk=False)

    @router.post(f"{BASE}/event/bulk", tags=["events"], summary="Fire an event for many", **described.FIRE_BULK)
    async def fire_many(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        return await fire(request, workspace_id, version, bulk=True)


def _whom(form: Form) -> tuple[str | None, dict[str, JsonValue]]:
    distinct_id = form.maybe_text("distinct_id", characters=255)
    data = read_data(form, form.value("data"))
    form.end()
    return distinct_id, data
