"""The OpenAPI document: what the framework knows of its routes, and the hot routes that it never sees."""

from __future__ import annotations

from typing import Any

from traitbase.api.definition_schemas import DEFINITION_SCHEMAS, PROPERTY_NAME, TIME
from traitbase.api.properties import BATCH_ENDPOINT, SINGLE_ENDPOINTS
from traitbase.domain.operations import Reason
from traitbase.domain.updates import BATCH_MAX_ITEMS, DISTINCT_ID_MAX_CODE_POINTS, Operation, message_of


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


ERROR_REF = _ref("Error")

HISTORY_ACTIONS = (
    "properties",
    "create",
    "update",
    "rename",
    "channel",
    "preference",
    "merge",
    "import",
    "retype",
    "replay",
    "delete_property",
)
"""What a change of a profile is called."""

_SUMMARIES = {
    Operation.SET: "Set properties",
    Operation.ONCE: "Set properties that have no value yet",
    Operation.ADD: "Add to numbers",
    Operation.APPEND: "Append to lists",
    Operation.REMOVE: "Remove from lists",
    Operation.UNSET: "Unset properties",
}

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_LIST = {"type": "array", "items": _SCALAR}
_EXAMPLES: dict[Operation, Any] = {
    Operation.SET: {"plan": "premium", "ltv": 23000, "active": True, "signed_up": "2020-10-01", "tags": ["new", 7]},
    Operation.ONCE: {"first_url": "/pricing"},
    Operation.ADD: {"ltv": 19.99},
    Operation.APPEND: {"orders": "A-1001"},
    Operation.REMOVE: {"orders": "A-1001"},
    Operation.UNSET: ["plan"],
}

PATH_PARAMETERS = [
    {"name": "WSID", "in": "path", "required": True, "schema": {"type": "string"}, "description": "the workspace's id"},
    {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": ["live", "test"]},
        "description": "the environment",
    },
]
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~][ -~]*[!-~]$|^[!-~]$"},
    "description": "within 24 hours the same key and body give the first answer again and apply nothing",
}

_OPERATION = {"enum": [operation.value for operation in Operation]}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


_DESTINATIONS = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "array",
                "items": _object(
                    token={"type": "string"}, integration_id={"type": ["string", "null"]}, status={"enum": [0, 1]}
                ),
            },
        ]
    },
}
_PROFILE = _object(
    distinct_id={"type": "string"},
    profile_id={"type": "string", "pattern": "^[0-9a-f]{24}$"},
    version={"enum": ["live", "test"]},
    name={"type": ["string", "null"]},
    status={"enum": [0, 1]},
    timezone={"type": ["string", "null"]},
    timezone_offset={"type": ["string", "null"], "description": "of now, such as +05:30"},
    country_code={"type": ["string", "null"], "description": "of the SMS number, ISO 3166-1 alpha-2"},
    channel={**_DESTINATIONS, "description": "phone numbers grouped to be read"},
    channel_raw={**_DESTINATIONS, "description": "as it was sent"},
    properties={
        "type": "object",
        "additionalProperties": {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number"]}},
            ]
        },
        "description": "name and value; numbers are exact, dates as they were sent",
    },
    id_list={"type": "array", "items": {"type": "string"}, "description": "profile_ids merged into this one"},
    aliases={"type": "array", "items": {"type": "string"}, "description": "distinct_ids that lead to this profile"},
    created_at=TIME,
    updated_at=TIME,
)

SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["status", "_message"],
        "properties": {
            "status": {"const": "error"},
            "_message": {"type": "string", "description": "what is wrong and what to do"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    },
    "Accepted": {
        "type": "object",
        "required": ["request_id"],
        "properties": {
            "request_id": {"type": "string", "format": "uuid", "description": "ask for the receipt with it"}
        },
    },
    "BatchAccepted": {
        "type": "object",
        "required": ["request_id", "batch"],
        "properties": {
            "request_id": {"type": "string", "format": "uuid"},
            "batch": {"type": "array", "items": {"type": "object", "additionalProperties": {"const": "ok"}}},
        },
    },
    "Profile": _PROFILE,
    "ProfilePage": _object(items={"type": "array", "items": _ref("Profile")}, next_cursor={"type": ["string", "null"]}),
    "Done": _object(
        status={"const": "ok"},
        _message={"type": "string"},
        request_id={"type": "string", "format": "uuid", "description": "ask for the receipt with it"},
    ),
    "Erased": _object(
        status={"const": "ok"},
        _message={"type": "string"},
        request_id={"type": "string", "format": "uuid"},
        erased={
            "type": "object",
            "additionalProperties": {"type": "integer"},
            "description": "how much of what was erased; kept as the receipt, without saying of whom",
        },
        log_cleared={
            "type": "boolean",
            "description": "false: somebody was reading an earlier state; what was erased leaves the log as soon as "
            "they are done",
        },
        file_rewritten={
            "type": "boolean",
            "description": "false: SQLite may have left copies in the free space of its file; it is written anew "
            "soon after, or with `traitbase compact` if it is larger than 1 GB",
        },
    ),
    "History": _object(
        items={
            "type": "array",
            "items": _object(
                request_id={"type": "string"},
                at=TIME,
                key_id={"type": "string", "description": "the key that was used; `import` or `cli` for commands"},
                action={"enum": list(HISTORY_ACTIONS)},
                distinct_id={"type": "string", "description": "the id that was used, maybe an alias by now"},
                changes={
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "property": {"type": "string"},
                            "attribute": {"type": "string", "description": "`name`, `channel.sms`, …"},
                            "before": {"description": "null: there was none"},
                            "after": {"description": "null: there is none"},
                            "added": {"type": "array", "description": "of a long list: what came"},
                            "removed": {"type": "array", "description": "of a long list: what went"},
                            "size": {
                                "type": "array",
                                "items": {"type": "integer"},
                                "description": "of a long list: its elements before and after",
                            },
                        },
                    },
                },
            ),
        },
        next_cursor={"type": ["string", "null"]},
    ),
    "Receipt": _object(
        request_id={"type": "string", "format": "uuid"},
        received_at=TIME,
        items={
            "type": "array",
            "items": _object(
                distinct_id={"type": "string"},
                applied={"type": "array", "items": _object(operation=_OPERATION, property={"type": "string"})},
                ignored={
                    "type": "array",
                    "items": _object(
                        operation=_OPERATION,
                        property={"type": "string"},
                        reason={"enum": [reason.value for reason in Reason]},
                        message={"type": "string", "description": "what was wrong with it"},
                    ),
                },
            ),
        },
    ),
    **DEFINITION_SCHEMAS,
}


_RECEIPT = SCHEMAS["Receipt"]["properties"]
_RECEIPT["erased"] = {
    "type": "object",
    "additionalProperties": {"type": "integer"},
    "description": "of an erasure: how much of what; it has no items, which would name people",
}
_RECEIPT["items"]["items"]["properties"]["action"] = {
    "enum": list(HISTORY_ACTIONS),
    "description": "what it was, if not an update of properties",
}


def good_answer(description: str, schema: str) -> dict[str, Any]:
    """Return the description of a 200 with one of the shared schemas."""
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def body_of(schema: str, example: Any) -> dict[str, Any]:
    """Return the description of a JSON body with one of the shared schemas."""
    content = {"application/json": {"schema": _ref(schema), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def error_answer(description: str, example: str) -> dict[str, Any]:
    """Return the description of an error answer."""
    body = {"schema": ERROR_REF, "example": {"status": "error", "_message": example}}
    return {"description": description, "content": {"application/json": body}}


COMMON_ERRORS: dict[str, dict[str, Any]] = {
    "401": error_answer("no key, or none for this workspace and environment", "Invalid API details"),
    "403": error_answer("the key's scope does not include this", "this API key has the scope 'read', and …"),
    "503": {
        **error_answer("not now; send it again (see Retry-After)", "the write queue is full; …"),
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    },
}


CONFLICT_ERROR: dict[str, dict[str, Any]] = {
    "409": error_answer("the Idempotency-Key was used for another request", "Idempotency-Key was used …"),
}
BODY_ERRORS: dict[str, dict[str, Any]] = {
    "413": error_answer("more than 10 MB, also when decompressed", "a body has at most 10 MB, …"),
    "415": error_answer("a Content-Encoding that is not supported", "Content-Encoding 'br' is not supported; …"),
}
"""What every route that takes a body may answer."""


def described_answer(description: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    """Return the description of an answer with a schema of its own."""
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"description": description, "content": {"application/json": content}}


def json_body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Return the description of a required body, as the framework takes it in `openapi_extra`."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def query_parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Return the description of an optional query parameter that the route reads by itself."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": {"type": "string", **schema},
        "description": description,
    }


def describe(document: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Add the hot routes, the shared schemas (and `more`) and the way to authenticate to the framework's document."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's answer to bad input, which is never sent
        schemas.pop(name, None)
    schemas.update(SCHEMAS | more)
    components["securitySchemes"] = {"ApiKey": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"ApiKey": []}]
    paths = document["paths"]
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for endpoint, operation in SINGLE_ENDPOINTS.items():
        example = {"distinct_id": "user-42", operation.value: _EXAMPLES[operation]}
        schema = _single_schema(operation)
        message = message_of(operation)
        paths[_path(endpoint)] = {"post": _hot_route(_SUMMARIES[operation], schema, example, "Accepted", message)}
    example = {"batch": [{"distinct_id": "user-42", "action": {"$set": {"plan": "premium"}, "$add": {"ltv": 19.99}}}]}
    paths[_path(BATCH_ENDPOINT)] = {
        "post": _hot_route(
            "Many updates at once", _batch_schema(), example, "BatchAccepted", "distinct_id is required!"
        )
    }
    return document


def _path(endpoint: str) -> str:
    return f"/v1/{{WSID}}/{{version}}/profiles/properties/{endpoint}"


def _hot_route(summary: str, schema: dict[str, Any], example: Any, accepted: str, message: str) -> dict[str, Any]:
    ok = {"schema": _ref(accepted)}
    return {
        "tags": ["properties"],
        "summary": summary,
        "parameters": [*PATH_PARAMETERS, IDEMPOTENCY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}},
        "responses": {
            "202": {"description": "durable and applied", "content": {"application/json": ok}},
            "400": error_answer("a fault of structure: nothing was applied", message),
            "404": error_answer("no such path or version", "there is nothing at …"),
            **CONFLICT_ERROR,
            **BODY_ERRORS,
            **COMMON_ERRORS,
        },
    }


def _distinct_id_schema() -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": DISTINCT_ID_MAX_CODE_POINTS}


def payload_schema(operation: Operation) -> dict[str, Any]:
    """Return the schema of what an operation takes."""
    if operation is Operation.UNSET:
        return {"type": "array", "minItems": 1, "items": PROPERTY_NAME}
    takes_lists = operation in (Operation.SET, Operation.ONCE)
    value = {"anyOf": [_SCALAR, _LIST]} if takes_lists else _SCALAR
    return {"type": "object", "minProperties": 1, "propertyNames": PROPERTY_NAME, "additionalProperties": value}


def _single_schema(operation: Operation) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["distinct_id", operation.value],
        "properties": {"distinct_id": _distinct_id_schema(), operation.value: payload_schema(operation)},
    }


def _batch_schema() -> dict[str, Any]:
    action = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {operation.value: payload_schema(operation) for operation in Operation},
    }
    item = {
        "type": "object",
        "required": ["distinct_id", "action"],
        "properties": {"distinct_id": _distinct_id_schema(), "action": action},
    }
    batch = {"type": "array", "minItems": 1, "maxItems": BATCH_MAX_ITEMS, "items": item}
    return {"type": "object", "required": ["batch"], "properties": {"batch": batch}}
