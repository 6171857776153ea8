"""The description of the profile routes for the OpenAPI document: bodies, answers, examples."""

from __future__ import annotations

from typing import Any

from traitbase.api.definition_schemas import PROPERTY_NAME
from traitbase.api.openapi import IDEMPOTENCY, error_answer, good_answer, json_body, payload_schema
from traitbase.api.profile_query import COLUMNS_MAX, PAGE_MAX, SOUGHT_MAX_CODE_POINTS
from traitbase.api.spaces import answers, body_answers
from traitbase.domain.attributes import TOKENS_MAX
from traitbase.domain.destinations import DESTINATION_MAX_CODE_POINTS, TOKEN_CHANNELS, Channel
from traitbase.domain.profile_bodies import DELETED_AT_ONCE_MAX, NAME_MAX_CODE_POINTS
from traitbase.domain.updates import DISTINCT_ID_MAX_CODE_POINTS, Operation
from traitbase.services.ports import ProfileOrder

_DISTINCT_ID = {"type": "string", "minLength": 1, "maxLength": DISTINCT_ID_MAX_CODE_POINTS}
_TEXT = {"type": "string", "minLength": 1, "maxLength": DESTINATION_MAX_CODE_POINTS}
_TOKEN = {
    "type": "object",
    "required": ["token"],
    "properties": {
        "token": _TEXT,
        "integration_id": {"type": ["string", "null"], "maxLength": 255},
        "status": {"enum": [0, 1], "description": "1: in use; 0: receives nothing"},
    },
}
_CHANNEL = {
    "type": "object",
    "properties": {
        channel.value: {"type": "array", "items": _TOKEN, "maxItems": TOKENS_MAX}
        if channel in TOKEN_CHANNELS
        else _TEXT
        for channel in Channel
    },
    "additionalProperties": False,
}
_ATTRIBUTES: dict[str, Any] = {
    "distinct_id": _DISTINCT_ID,
    "name": {"type": ["string", "null"], "maxLength": NAME_MAX_CODE_POINTS},
    "status": {"enum": [0, 1], "description": "1: active; 0: receives nothing"},
    "timezone": {"type": ["string", "null"], "description": "an IANA name"},
    "channel": _CHANNEL,
    "properties": {
        **payload_schema(Operation.SET),
        "description": "applied as $set; the receipt says what was ignored",
    },
}
_EXAMPLE = {
    "distinct_id": "user-42",
    "name": "Ann",
    "timezone": "Asia/Kolkata",
    "channel": {"email": "ann@example.com", "sms": "+919879012345", "push": [{"token": "ExponentPushToken[x]"}]},
    "properties": {"plan": "pro"},
}
_NO_PROFILE = "incorrect/non existing distinct_id provided"


def _writes(
    schema: dict[str, Any] | None, example: Any, responses: dict[str, Any], *, done: str = "200"
) -> dict[str, Any]:
    extra = {} if schema is None else json_body(schema, example)
    extra["parameters"] = [IDEMPOTENCY]
    responses = {done: good_answer("durable, and seen by the next read", "Done"), **responses}
    return {"responses": body_answers(responses), "openapi_extra": extra}


CREATE: dict[str, Any] = _writes(
    {"type": "object", "required": ["distinct_id"], "properties": _ATTRIBUTES},
    _EXAMPLE,
    {"400": error_answer("nothing was made", "Distinct ID 'user-42' already exists in the 'live' version of …")},
    done="201",
)
UPDATE: dict[str, Any] = _writes(
    {"type": "object", "properties": _ATTRIBUTES},
    {"name": "Ann Smith"},
    {"400": error_answer("nothing was changed", "Unable to update the record since the record does not exist")},
)
MERGE: dict[str, Any] = _writes(None, None, {"400": error_answer("nothing was merged", "merge from id does not exist")})
PATCH_CHANNEL: dict[str, Any] = _writes(
    {"type": "object", "required": ["channel"], "properties": {"channel": {**_CHANNEL, "minProperties": 1}}},
    {"channel": {"sms": "+919879012345"}},
    {"400": error_answer("nothing was changed", _NO_PROFILE)},
)
DELETE_CHANNEL: dict[str, Any] = _writes(
    {
        "type": "object",
        "properties": {
            "channel": {"type": "array", "items": {"enum": [channel.value for channel in Channel]}},
            **{name.value: {"type": "array", "items": _TEXT} for name in sorted(TOKEN_CHANNELS)},
        },
    },
    {"channel": ["sms"]},
    {"400": error_answer("nothing was changed", "Unable to delete channel since the channel does not exist")},
)
DELETE: dict[str, Any] = _writes(
    {
        "type": "object",
        "required": ["distinct_id"],
        "properties": {
            "distinct_id": {"type": "array", "items": _DISTINCT_ID, "minItems": 1, "maxItems": DELETED_AT_ONCE_MAX}
        },
    },
    {"distinct_id": ["user-42"]},
    {
        "200": good_answer("erased; `erased` says how much of what", "Erased"),
        "400": error_answer("nothing was erased", "Cannot delete non existing user"),
    },
)
QUERY: dict[str, Any] = {
    "responses": body_answers(
        {
            "200": good_answer("a page", "ProfilePage"),
            "400": error_answer("a question that cannot be answered", "sort: expected one of …"),
        }
    ),
    "openapi_extra": json_body(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "q": {"type": ["string", "null"], "maxLength": SOUGHT_MAX_CODE_POINTS},
                "sort": {"enum": [*ProfileOrder, None]},
                "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": PAGE_MAX},
                "cursor": {"type": ["string", "null"]},
                "columns": {"type": ["array", "null"], "items": PROPERTY_NAME, "maxItems": COLUMNS_MAX},
            },
        },
        {"columns": ["plan"], "sort": "-created_at", "limit": 50},
    ),
}
LIST: dict[str, Any] = {
    "responses": answers(
        {"200": good_answer("a page", "ProfilePage"), "400": error_answer("a cursor that is none", "cursor: …")}
    )
}
READ: dict[str, Any] = {
    "responses": answers(
        {"200": good_answer("the profile", "Profile"), "400": error_answer("no such profile", _NO_PROFILE)}
    )
}
HISTORY: dict[str, Any] = {
    "responses": answers({"200": good_answer("a page", "History"), "400": error_answer("no such profile", _NO_PROFILE)})
}
