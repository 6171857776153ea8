"""What the bodies and answers of integrations, events and campaigns look like, as OpenAPI schemas."""

from __future__ import annotations

from typing import Any

from traitbase.api.openapi import (
    BODY_ERRORS,
    CONFLICT_ERROR,
    IDEMPOTENCY,
    described_answer,
    error_answer,
    json_body,
)
from traitbase.api.spaces import answers
from traitbase.domain.campaign_bodies import CALLED_AT_ONCE_MAX, TESTED_AT_ONCE_MAX
from traitbase.domain.campaigns import CampaignState, RunKind, RunState, ScheduleKind
from traitbase.domain.deliveries import DeliveryState
from traitbase.domain.destinations import Channel
from traitbase.domain.events import AfterCrash, EventType, OnUnknown, Strategy
from traitbase.domain.integrations import IntegrationKind

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time", "description": "UTC"}
_TIME_OR_NULL = {**_TIME, "type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_COUNTS = {"type": "object", "additionalProperties": _COUNT}
_ANY = {"type": "object"}
_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_CHANNELS = [channel.value for channel in Channel]
_REVISION_READ = {"type": ["integer", "null"], "minimum": 0, "description": "only if it is still at that one"}
_KEPT = {"revision": _COUNT, "created_at": _TIME, "updated_at": _TIME}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


def _sent(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


def _edited(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of what is sent to replace something."""
    return {**schema, "properties": {**schema["properties"], "revision": _REVISION_READ}}


def _words(words: Any) -> dict[str, Any]:
    return {"enum": [word.value for word in words]}


_REASON = {"type": ["object", "null"], "properties": {"code": _TEXT, "message": _TEXT}}
_INTEGRATION = _object(
    integration_id=_TEXT,
    name=_TEXT,
    kind=_words(IntegrationKind),
    rate={"type": ["number", "null"]},
    settings=_ANY,
    secrets={"type": "array", "items": _TEXT, "description": "which there are; they are never shown"},
    hook={"type": "string", "description": "where its provider tells what became of messages"},
    **_KEPT,
)
_INTEGRATION_SENT = _sent(
    {"name": _NAME, "kind": _words(IntegrationKind)},
    rate={"type": ["number", "null"], "exclusiveMinimum": 0, "description": "messages a second"},
    settings=_ANY,
    secrets={"type": "object", "additionalProperties": _TEXT_OR_NULL},
)
_INTEGRATION_EXAMPLE = {
    "name": "Mail relay",
    "kind": "smtp",
    "rate": 50,
    "settings": {"host": "smtp.example.com", "username": "news", "from_address": "news@example.com"},
    "secrets": {"password": "…"},
}
_TEMPLATE = _sent({"integration_id": _TEXT}, subject=_TEXT_OR_NULL, html=_TEXT_OR_NULL, text=_TEXT_OR_NULL)
_EVENT_SENT = _sent(
    {
        "name": _NAME,
        "type": _words(EventType),
        "channels": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"enum": _CHANNELS},
            "additionalProperties": _TEMPLATE,
        },
    },
    subscription_id=_TEXT_OR_NULL,
    strategy=_words(Strategy),
    on_unknown=_words(OnUnknown),
    after_crash=_words(AfterCrash),
    track_opens={"type": "boolean"},
    track_clicks={"type": "boolean"},
)
_EVENT = _object(event_id=_TEXT, name=_TEXT, type=_words(EventType), channels=_ANY, **_KEPT)
_EVENT_EXAMPLE = {
    "name": "spring offer",
    "type": "marketing",
    "channels": {
        "email": {
            "integration_id": "sandbox",
            "subject": "{{ profile.name | default: 'Hello' }}, it is spring",
            "html": "<p>Hi {{ properties.first_name | default: 'there' }}</p>",
        }
    },
}
_PREVIEWS = _object(
    items={
        "type": "array",
        "items": _object(
            channel=_TEXT,
            message={"type": ["object", "null"]},
            unknown={"type": "array", "items": _TEXT},
            error=_TEXT_OR_NULL,
            has_destination={"type": "boolean"},
        ),
    }
)
_RECIPIENT = {
    "distinct_id": _TEXT_OR_NULL,
    "to": {"type": ["object", "null"], "propertyNames": {"enum": _CHANNELS}, "additionalProperties": _TEXT_OR_NULL},
    "data": {"type": ["object", "null"]},
}
_CALL = _sent({"event": _NAME}, **_RECIPIENT, callback={"type": ["string", "object", "null"]})
_BULK = _sent(
    {
        "event": _NAME,
        "batch": {"type": "array", "minItems": 1, "maxItems": CALLED_AT_ONCE_MAX, "items": _sent({}, **_RECIPIENT)},
    },
    callback={"type": ["string", "object", "null"]},
)
_CALL_EXAMPLE = {"event": "order shipped", "distinct_id": "ann", "data": {"order": "A-1001"}}
_BULK_EXAMPLE = {
    "event": "order shipped",
    "batch": [{"distinct_id": "ann"}, {"to": {"email": "bob@example.com"}, "data": {"order": "A-1002"}}],
}
_FIRED = _object(event=_TEXT, received_time=_TIME, request_id=_TEXT, response={"type": ["object", "array"]})
_SCHEDULE = {
    "type": "object",
    "properties": {
        "kind": _words(ScheduleKind),
        "at": {"type": ["string", "null"], "description": "of kind at: an instant, or a local time beside zone"},
        "local": {"type": ["string", "null"], "description": "of kind local and recurring: a local time"},
        "rule": {"type": ["string", "null"], "description": "of kind recurring: RFC 5545"},
        "zone": {"type": ["string", "null"], "description": "an IANA time zone"},
    },
}
_CAMPAIGN_SENT = _sent(
    {"name": _NAME, "event_id": _TEXT, "audience": _ANY}, schedule=_SCHEDULE, options={"type": "object"}
)
_CAMPAIGN_EXAMPLE = {
    "name": "Spring",
    "event_id": "ev_0123456789abcdef",
    "audience": {"cohort_id": "co_0123456789abcdef", "exclude": []},
    "schedule": {"kind": "at", "at": "2027-03-20T09:00", "zone": "Europe/Berlin"},
    "options": {"rate": 100, "quiet_hours": {"from": "22:00", "to": "08:00"}, "cap": {"messages": 3, "days": 7}},
}
_CAMPAIGN = _object(
    campaign_id=_TEXT,
    name=_TEXT,
    state=_words(CampaignState),
    held=_REASON,
    event_id=_TEXT,
    audience=_ANY,
    schedule=_ANY,
    options=_ANY,
    timezone=_TEXT,
    next_run_at=_TIME_OR_NULL,
    run_id=_TEXT_OR_NULL,
    **_KEPT,
)
_RUN = _object(
    run_id=_TEXT,
    campaign_id=_TEXT_OR_NULL,
    kind=_words(RunKind),
    state=_words(RunState),
    reason=_REASON,
    planned_at=_TIME,
    started_at=_TIME_OR_NULL,
    finished_at=_TIME_OR_NULL,
    members=_COUNT,
    control=_COUNT,
    outside_sample=_COUNT,
    zones_replaced=_COUNT,
)
_OF_CHANNEL = _object(
    planned=_COUNT,
    sent=_COUNT,
    states=_COUNTS,
    failed=_COUNTS,
    not_sent=_COUNTS,
    opened=_COUNT,
    clicked=_COUNT,
    unsubscribed=_COUNT,
    complained=_COUNT,
)
_REPORT = _object(
    run=_RUN,
    timezone=_TEXT,
    total=_OF_CHANNEL,
    channels={"type": "object", "additionalProperties": _OF_CHANNEL},
    hours={"type": "array", "items": _object(**{"from": _TIME, "state": _TEXT, "deliveries": _COUNT})},
)
_DELIVERY = _object(
    delivery_id=_TEXT,
    run_id=_TEXT,
    distinct_id=_TEXT_OR_NULL,
    channel=_TEXT,
    destination=_TEXT_OR_NULL,
    state=_words(DeliveryState),
    reason=_TEXT_OR_NULL,
    detail=_TEXT_OR_NULL,
    attempts=_COUNT,
)
_DONE = _object(status={"const": "ok"}, _message=_TEXT)
_BAD = {"400": error_answer("what cannot be, in `errors`", "name: expected a text of 1 to 255 characters …")}
_GONE = {"404": error_answer("there is none", "there is no campaign 'ca_1' here")}
_WRITES = {**_BAD, **CONFLICT_ERROR, **BODY_ERRORS}


def items_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a page."""
    return _object(items={"type": "array", "items": schema}, next_cursor=_TEXT_OR_NULL)


def _reads(description: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"responses": answers({"200": described_answer(description, schema), **more})}


def _takes(
    status: str, description: str, schema: dict[str, Any], body: dict[str, Any], example: Any, **more: Any
) -> dict[str, Any]:
    return {
        "openapi_extra": {**json_body(body, example), **more},
        "responses": answers({status: described_answer(description, schema), **_WRITES, **_GONE}),
    }


def _does(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"responses": answers({"200": described_answer(description, schema), **_BAD, **CONFLICT_ERROR, **_GONE})}


LIST_INTEGRATIONS = _reads("in order of name", items_of(_INTEGRATION))
READ_INTEGRATION = _reads("the integration", _INTEGRATION, **_GONE)
_MADE = {**_INTEGRATION, "properties": {**_INTEGRATION["properties"], "signing_secret": _TEXT}}
CREATE_INTEGRATION = _takes(
    "201",
    "with the signing secret, if it was made here: it is shown once",
    _MADE,
    _INTEGRATION_SENT,
    _INTEGRATION_EXAMPLE,
)
REPLACE_INTEGRATION = _takes("200", "as it is now", _INTEGRATION, _edited(_INTEGRATION_SENT), _INTEGRATION_EXAMPLE)
DELETE_INTEGRATION = _does("it is gone", _DONE)
TEST_INTEGRATION = _takes(
    "200",
    "what the provider made of it",
    _object(outcome=_TEXT, detail=_TEXT),
    _sent({"destination": _TEXT}, channel={"enum": _CHANNELS}),
    {"channel": "email", "destination": "me@example.com"},
)
LIST_MESSAGES = _reads(
    "the newest first", items_of(_object(delivery_id=_TEXT, distinct_id=_TEXT, at=_TIME, message=_ANY)), **_GONE, **_BAD
)
LIST_EVENTS = _reads("in order of name", items_of(_EVENT))
READ_EVENT = _reads("the event", _EVENT, **_GONE)
CREATE_EVENT = _takes("201", "the event", _EVENT, _EVENT_SENT, _EVENT_EXAMPLE)
REPLACE_EVENT = _takes("200", "as it is now", _EVENT, _edited(_EVENT_SENT), _EVENT_EXAMPLE)
DELETE_EVENT = _does("it is gone", _DONE)
_PREVIEW_SENT = {"distinct_id": _TEXT_OR_NULL, "data": {"type": ["object", "null"]}}
PREVIEW_EVENT = _takes(
    "200", "what they would be sent", _PREVIEWS, _sent({}, **_PREVIEW_SENT), {"distinct_id": "ann", "data": {}}
)
PREVIEW_DRAFT = _takes(
    "200",
    "what they would be sent",
    _PREVIEWS,
    _sent({"event": _ANY}, **_PREVIEW_SENT),
    {"event": _EVENT_EXAMPLE, "distinct_id": "ann"},
)
FIRE = _takes("202", "it is in the ledger", _FIRED, _CALL, _CALL_EXAMPLE, parameters=[IDEMPOTENCY])
FIRE_BULK = _takes("202", "they are in the ledger", _FIRED, _BULK, _BULK_EXAMPLE, parameters=[IDEMPOTENCY])
LIST_CAMPAIGNS = _reads("the newest first", items_of(_CAMPAIGN))
READ_CAMPAIGN = _reads("the campaign", _CAMPAIGN, **_GONE)
CREATE_CAMPAIGN = _takes("201", "a draft", _CAMPAIGN, _CAMPAIGN_SENT, _CAMPAIGN_EXAMPLE)
REPLACE_CAMPAIGN = _takes("200", "as it is now", _CAMPAIGN, _edited(_CAMPAIGN_SENT), _CAMPAIGN_EXAMPLE)
DELETE_CAMPAIGN = _does("it is gone", _DONE)
STEER_CAMPAIGN = _does("as it is now", _CAMPAIGN)
LAUNCH_CAMPAIGN = _takes(
    "200",
    "as it is now",
    _CAMPAIGN,
    _sent(
        {},
        expected_count={"type": ["integer", "null"], "minimum": 0},
        tolerance={"type": ["number", "null"]},
        revision=_REVISION_READ,
        event_revision={**_REVISION_READ, "description": "only if its event is still at that one"},
    ),
    {"expected_count": 12000, "tolerance": 0.05, "revision": 3, "event_revision": 8},
)
TEST_CAMPAIGN = _takes(
    "202",
    "the run that sends it",
    _RUN,
    _sent({"distinct_ids": {"type": "array", "minItems": 1, "maxItems": TESTED_AT_ONCE_MAX, "items": _TEXT}}),
    {"distinct_ids": ["ann"]},
)
COUNT_AUDIENCE = _does("how many would be reached now", _object(members=_COUNT, control=_COUNT, outside_sample=_COUNT))
UPLOAD_AUDIENCE: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": {"type": "string"}}
                for media_type in ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
            },
        }
    },
    "responses": answers(
        {
            "201": described_answer(
                "what became of its rows",
                _object(
                    file_id=_TEXT,
                    processed=_COUNT,
                    ready=_COUNT,
                    duplicates=_COUNT,
                    not_valid=_COUNT,
                    not_valid_rows={"type": "array", "items": _object(line=_COUNT, reason=_TEXT)},
                ),
            ),
            **_WRITES,
        }
    ),
}
LIST_RUNS = _reads("the newest first", items_of(_RUN), **_GONE)
REPORT = _reads("what became of the run", _REPORT, **_GONE, **_BAD)
LIST_DELIVERIES = _reads("in order of run and recipient", items_of(_DELIVERY), **_GONE, **_BAD)
READ_DELIVERY = _reads("the delivery", _DELIVERY, **_GONE)
RESOLVE_DELIVERY = _takes(
    "200", "as it is now", _DELIVERY, _sent({"as": {"enum": ["sent", "failed", "send_again"]}}), {"as": "sent"}
)
EXPORT_DELIVERIES: dict[str, Any] = {
    "responses": answers(
        {
            "200": {
                "description": "a file",
                "content": {each: {"schema": {"type": "string"}} for each in ("application/x-ndjson", "text/csv")},
            },
            **_GONE,
            **_BAD,
        }
    )
}
