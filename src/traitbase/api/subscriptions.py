"""The routes of subscription topics and of people's choices about them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from traitbase.api import wire
from traitbase.api.auth import Gate
from traitbase.api.bodies import read_json_body
from traitbase.api.editing import Edits
from traitbase.api.openapi import (
    BODY_ERRORS,
    CONFLICT_ERROR,
    IDEMPOTENCY,
    described_answer,
    error_answer,
    json_body,
    query_parameter,
)
from traitbase.api.spaces import Version, WorkspaceId, admit, answers, json_answer
from traitbase.domain.attributes import Choice, Preferences
from traitbase.domain.destinations import Channel
from traitbase.domain.edits import Prefer
from traitbase.domain.errors import Fault, InvalidInput
from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.profile_bodies import check_distinct_id
from traitbase.domain.spaces import Space
from traitbase.domain.subscription_bodies import (
    DESCRIPTION_MAX_CODE_POINTS,
    NAME_MAX_CODE_POINTS,
    SECTIONS_MAX,
    TOPICS_MAX,
    parse_preferences,
    parse_settings,
    parse_topic_preferences,
)
from traitbase.domain.subscriptions import Setting, encode_settings
from traitbase.domain.updates import DISTINCT_ID_MAX_CODE_POINTS
from traitbase.domain.values import JsonValue
from traitbase.services.ports import Store
from traitbase.services.subscriptions import get_preferences, get_settings, replace_settings

_BASE = "/v1/{WSID}/{version}/subscriptions"
_TAGS: list[str | Enum] = ["subscriptions"]

_UNKNOWN = "incorrect/non existing distinct_id provided"
_CHANNELS = [channel.value for channel in Channel]
_TEXT_OR_NULL = {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX_CODE_POINTS}
_NAME = {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CODE_POINTS}


def _by_channel(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": {"enum": _CHANNELS}, "additionalProperties": value}


_CHOICES = _by_channel({"enum": [choice.value for choice in Choice]})
_TIMES = _by_channel({"type": "string", "format": "date-time", "description": "UTC"})
_CONFIG = {**_by_channel({"enum": [setting.value for setting in Setting]}), "minProperties": 1}
_CHOSEN = {"type": "object", "additionalProperties": _CHOICES}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_TOPIC = _object(
    {
        "subscription_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "not": {"const": "all"}},
        "name": _NAME,
        "channel_config": _CONFIG,
    },
    description=_TEXT_OR_NULL,
)
_SECTION = _object(
    {"name": _NAME, "topics": {"type": "array", "maxItems": TOPICS_MAX, "items": _TOPIC}}, description=_TEXT_OR_NULL
)
_SETTINGS = _object({"sections": {"type": "array", "maxItems": SECTIONS_MAX, "items": _SECTION}})
_SETTINGS_EXAMPLE = {
    "sections": [
        {
            "name": "News",
            "topics": [
                {"subscription_id": "offers", "name": "Offers", "channel_config": {"email": "on", "sms": "off"}},
                {"subscription_id": "orders", "name": "Your orders", "channel_config": {"email": "required"}},
            ],
        }
    ]
}
_PREFERENCES = _object(
    {
        "meta": _object({"all": _object({"preference": _CHOICES, "updated_at": _TIMES})}),
        "result": {
            "type": "object",
            "description": "by the section's name",
            "additionalProperties": {
                "type": "array",
                "items": _object(
                    {
                        "subscription_id": {"type": "string"},
                        "name": {"type": "string"},
                        "description": {"type": ["string", "null"]},
                        "channel_config": _CONFIG,
                        "is_global_opted_out": _by_channel({"type": "boolean"}),
                        "preference": _CHOICES,
                        "updated_at": _TIMES,
                    }
                ),
            },
        },
    }
)
_PREFERENCES_SENT = _object({"user_preference": {**_CHOSEN, "minProperties": 1}})
_PREFERENCES_EXAMPLE = {"user_preference": {"offers": {"email": "opted-out"}}}
_DISTINCT_ID = {"type": "string", "minLength": 1, "maxLength": DISTINCT_ID_MAX_CODE_POINTS}
_TOPIC_SENT = {
    "anyOf": [
        _object(
            {
                "distinct_id": _DISTINCT_ID,
                "channel": {"enum": _CHANNELS},
                "status": {"enum": [choice.value for choice in Choice]},
            }
        ),
        _object({"distinct_id": _DISTINCT_ID, "user_preference": {**_CHOSEN, "minProperties": 1, "maxProperties": 1}}),
    ]
}
_TOPIC_EXAMPLE = {"distinct_id": "user-42", "channel": "email", "status": "opted-out"}
_WHOSE = {"parameters": [query_parameter("distinct_id", "whose preference it is; required")]}
_WHOSE_WITH_EVENTS = {
    "parameters": [
        *_WHOSE["parameters"],
        query_parameter("event_list", "taken, as Fyno's callers send it; topics have no events yet"),
    ]
}

TopicId = Annotated[str, Path(description="a topic's subscription_id, or `all`")]


def subscription_routes(store: Store, gate: Gate, edits: Edits, *, now_us: Callable[[], int]) -> APIRouter:
    """Return the routes over a store; choices go through the writer."""
    router = APIRouter()
    _add_settings_routes(router, store, gate, now_us)
    _add_preference_routes(router, store, gate, now_us, edits)
    return router


def _add_settings_routes(router: APIRouter, store: Store, gate: Gate, now_us: Callable[[], int]) -> None:
    @router.get(
        _BASE,
        tags=_TAGS,
        summary="The subscription topics, in sections",
        responses=answers({"200": described_answer("the topics", _SETTINGS, _SETTINGS_EXAMPLE)}),
    )
    def read_subscriptions(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        return _json_text(encode_settings(get_settings(store, space)))

    @router.put(
        _BASE,
        tags=_TAGS,
        summary="Replace the subscription topics",
        openapi_extra=json_body(_SETTINGS, _SETTINGS_EXAMPLE),
        responses=answers(
            {
                "200": described_answer("the topics as they are now", _SETTINGS, _SETTINGS_EXAMPLE),
                "400": error_answer("what cannot be, in `errors`", "sections[0].topics[1].subscription_id: expected …"),
                **BODY_ERRORS,
            }
        ),
    )
    async def write_subscriptions(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.ADMIN)
        settings, _ = await read_json_body(request, parse_settings)
        await run_in_threadpool(replace_settings, store, space, settings, at_us=now_us())
        return _json_text(encode_settings(settings))


def _add_preference_routes(
    router: APIRouter, store: Store, gate: Gate, now_us: Callable[[], int], edits: Edits
) -> None:
    async def record(
        request: Request, space: Space, key: ApiKey, distinct_id: str, preferences: Preferences, body: bytes
    ) -> Response:
        await edits.submit(request, space, Prefer(distinct_id, preferences), key_id=key.key_id, body=body)
        return json_answer(wire.chosen_answer(preferences))

    @router.get(
        f"{_BASE}/preference",
        tags=_TAGS,
        summary="What a person chose, and what holds where they did not",
        openapi_extra=_WHOSE_WITH_EVENTS,
        responses=answers(
            {"200": described_answer("by section", _PREFERENCES), "400": error_answer("no such profile", _UNKNOWN)}
        ),
    )
    def read_preference(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = Space(workspace_id, version.value)
        admit(gate, request, space, needed=Scope.READ)
        return json_answer(wire.preferences_answer(get_preferences(store, space, _distinct_id_in(request))))

    @router.put(
        f"{_BASE}/preference",
        tags=_TAGS,
        summary="Record what a person chose",
        openapi_extra={
            **json_body(_PREFERENCES_SENT, _PREFERENCES_EXAMPLE),
            "parameters": [*_WHOSE["parameters"], IDEMPOTENCY],
        },
        responses=answers(
            {
                "200": described_answer("what was recorded", _CHOSEN, {"offers": {"email": "opted-out"}}),
                "400": error_answer("no such profile, or what cannot be chosen: nothing was recorded", _UNKNOWN),
                **CONFLICT_ERROR,
                **BODY_ERRORS,
            }
        ),
    )
    async def write_preference(request: Request, workspace_id: WorkspaceId, version: Version) -> Response:
        space = Space(workspace_id, version.value)
        key = admit(gate, request, space, needed=Scope.INGEST)
        distinct_id = _distinct_id_in(request)
        sent, body = await read_json_body(request, _unread)

        def read() -> Preferences:
            return parse_preferences(sent, get_settings(store, space), at_us=now_us())

        return await record(request, space, key, distinct_id, await run_in_threadpool(read), body)

    @router.post(
        f"{_BASE}/list/{{subscription_id}}/user",
        tags=_TAGS,
        summary="Record what a person chose for one topic, or for all",
        openapi_extra={**json_body(_TOPIC_SENT, _TOPIC_EXAMPLE), "parameters": [IDEMPOTENCY]},
        responses=answers(
            {
                "200": described_answer("what was recorded", _CHOSEN, {"offers": {"email": "opted-out"}}),
                "400": error_answer("no such profile, or what cannot be chosen: nothing was recorded", _UNKNOWN),
                **CONFLICT_ERROR,
                **BODY_ERRORS,
            }
        ),
    )
    async def write_topic_preference(
        request: Request, workspace_id: WorkspaceId, version: Version, subscription_id: TopicId
    ) -> Response:
        space = Space(workspace_id, version.value)
        key = admit(gate, request, space, needed=Scope.INGEST)
        sent, body = await read_json_body(request, _unread)

        def read() -> Preferences:
            return parse_topic_preferences(sent, get_settings(store, space), subscription_id, at_us=now_us())

        return await record(request, space, key, _distinct_id_of(sent), await run_in_threadpool(read), body)


def _unread(sent: JsonValue) -> JsonValue:
    return sent  # it is read with the topics that there are


def _distinct_id_in(request: Request) -> str:
    values = [value for value in request.query_params.getlist("distinct_id") if value]
    if len(values) != 1:
        message = "distinct_id is required to list preference!"
        expected = "expected the distinct_id of a profile, once, in the query"
        raise InvalidInput(message, faults=(Fault("distinct_id", expected),))
    return check_distinct_id(values[0], "distinct_id")


def _distinct_id_of(sent: JsonValue) -> str:
    named = sent.get("distinct_id") if isinstance(sent, dict) else None
    return check_distinct_id(named, "distinct_id")  # type: ignore[arg-type]  # which is what it checks


def _json_text(text: str) -> Response:
    return Response(text, media_type="application/json")
