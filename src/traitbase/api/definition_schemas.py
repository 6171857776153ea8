"""What the bodies and answers of property definitions look like, as OpenAPI schemas."""

from __future__ import annotations

from typing import Any

from traitbase.domain.definitions import NAME_MAX_CODE_POINTS, State
from traitbase.domain.operations import Reason
from traitbase.domain.updates import Operation
from traitbase.domain.values import Kind
from traitbase.services.redefining import DESCRIPTION_MAX_CODE_POINTS

DECLARATION_EXAMPLE = {"name": "zip", "type": "string", "description": "postal code, with its zeros"}
CHANGE_EXAMPLE = {"type": "string", "replay": True}

PROPERTY_NAME = {
    "type": "string",
    "minLength": 1,
    "maxLength": NAME_MAX_CODE_POINTS,
    "pattern": r"^[^$\u0000-\u001f\u007f-\u009f]",
}
"""A property's name, as a schema."""

TIME = {"type": "string", "format": "date-time", "description": "UTC"}
"""A time, as a schema."""

_KIND = {"enum": [kind.value for kind in Kind]}
_COUNT = {"type": "integer", "minimum": 0}
_ANY: dict[str, Any] = {}
_SENT_DESCRIPTION = {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX_CODE_POINTS, "pattern": "^[^\\u0000]*$"}
_REQUEST_ID = {"type": "string"}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


def _page(items: dict[str, Any]) -> dict[str, Any]:
    return _object(items={"type": "array", "items": items}, next_cursor={"type": ["string", "null"]})


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_SAMPLES = {
    "type": "array",
    "maxItems": 10,
    "items": _object(distinct_id={"type": "string"}, before=_ANY, after={"description": "null: it is kept aside"}),
}

DEFINITION_SCHEMAS: dict[str, Any] = {
    "Definition": _object(
        name={"type": "string"},
        type=_KIND,
        state={"enum": [state.value for state in State]},
        description={"type": ["string", "null"]},
        first_seen_at=TIME,
        first_seen_in={"type": "string", "description": "the request (or `import`) whose value it came with"},
        profiles={**_COUNT, "description": "how many profiles have a value now"},
        ignored={**_COUNT, "description": "how many values were ignored since then, without those replayed"},
        last_ignored={**_or_null(_ref("IgnoredValue")), "description": "the newest that is kept"},
    ),
    "Definitions": _page(_ref("Definition")),
    "IgnoredValue": _object(
        value={"description": "as it was sent; null also if it was too large to keep"},
        reason={"enum": [reason.value for reason in Reason]},
        operation={"enum": [operation.value for operation in Operation]},
        distinct_id={"type": "string"},
        at=TIME,
        request_id=_REQUEST_ID,
    ),
    "IgnoredValues": _page(_ref("IgnoredValue")),
    "KeptAside": _page(
        _object(
            distinct_id={"type": "string"},
            values={"type": "array", "minItems": 1, "description": "the newest last"},
            kept_at=TIME,
            request_id={**_REQUEST_ID, "description": "the retype"},
        )
    ),
    "Declaration": {
        "type": "object",
        "required": ["name", "type"],
        "additionalProperties": False,
        "properties": {"name": PROPERTY_NAME, "type": _KIND, "description": _SENT_DESCRIPTION},
    },
    "DefinitionChange": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            "description": _SENT_DESCRIPTION,
            "archived": {"type": "boolean", "description": "true: it takes no new values; those it has stay"},
            "type": {**_KIND, "description": "values are converted; those that cannot be are kept aside"},
            "replay": {"type": "boolean", "description": "afterwards, apply the ignored values that fit now"},
        },
    },
    "DefinitionChanged": _object(
        request_id={"type": ["string", "null"], "description": "null in a dry run"},
        dry_run={"type": "boolean"},
        property=_ref("Definition"),
        retype=_or_null(
            {
                **_object(
                    to=_KIND,
                    profiles={**_COUNT, "description": "how many had a value"},
                    converted=_COUNT,
                    kept_aside={**_COUNT, "description": "values that could not be converted"},
                    came_back={**_COUNT, "description": "values kept aside earlier that fit now"},
                    samples=_object(converted=_SAMPLES, kept_aside=_SAMPLES),
                ),
            }
        ),
        replayable={**_COUNT, "description": "ignored values that a replay looks at"},
        replay=_or_null(_ref("Replay")),
    ),
    "Replay": _object(
        request_id={**_REQUEST_ID, "description": "its receipt lists what was applied"},
        applied=_COUNT,
        superseded={**_COUNT, "description": "left out: the property was written later"},
        still_ignored={"type": "object", "additionalProperties": _COUNT, "description": "how many, by reason"},
        remaining={**_COUNT, "description": "ignored values that are kept on"},
    ),
    "DefinitionDeleted": _object(
        request_id=_REQUEST_ID,
        profiles={**_COUNT, "description": "profiles that had a value"},
        kept_aside=_COUNT,
        ignored=_COUNT,
    ),
}
