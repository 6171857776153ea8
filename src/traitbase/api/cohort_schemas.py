"""What the bodies and answers of cohorts look like, as OpenAPI schemas."""

from __future__ import annotations

from typing import Any

from traitbase.api.cohort_bodies import SAMPLE_MAX
from traitbase.api.openapi import BODY_ERRORS, described_answer, error_answer, json_body
from traitbase.api.spaces import answers
from traitbase.domain.cohorts import (
    DESCRIPTION_MAX_CODE_POINTS,
    MEMBERS_A_CALL_MAX,
    NAME_MAX_CODE_POINTS,
    CohortKind,
    MemberMode,
)
from traitbase.domain.rules.operators import Operator
from traitbase.domain.rules.tree import RULES_MAX
from traitbase.domain.values import Kind

_COUNT = {"type": "integer", "minimum": 0}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time", "description": "UTC"}
_TIME_OR_NULL = {**_TIME, "type": ["string", "null"]}
_IDS = {"type": "array", "items": {"type": "string"}}
_NAME = {"type": "string", "minLength": 1, "maxLength": NAME_MAX_CODE_POINTS}
_DESCRIPTION = {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX_CODE_POINTS}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(members), "properties": members}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_RULE = {
    "type": "object",
    "required": ["field", "operator"],
    "properties": {
        "field": {"type": "string", "description": "a property, or a built-in field such as $channel.email"},
        "operator": {"enum": [operator.value for operator in Operator]},
        "value": {"description": "as the operator wants it; see docs/cohorts.md"},
        "ignoreCase": {"type": "boolean", "description": "of texts: ASCII letters"},
    },
}
_GROUP = {
    "type": "object",
    "required": ["rules"],
    "properties": {
        "combinator": {"enum": ["and", "or"], "default": "and"},
        "not": {"type": "boolean", "default": False},
        # Without maxItems: what makes requests of this would put that many groups into each group, and fill the memory.
        "rules": {
            "type": "array",
            "items": {"anyOf": [_RULE, _ref("Group")]},
            "description": f"at most {RULES_MAX} rules in all groups together",
        },
    },
}
_COHORT = _object(
    cohort_id={"type": "string"},
    name={"type": "string"},
    kind={"enum": [kind.value for kind in CohortKind]},
    description=_TEXT_OR_NULL,
    filter={"anyOf": [_ref("Group"), {"type": "null"}], "description": "null: it is static"},
    sentence={**_TEXT_OR_NULL, "description": "the rule in English"},
    revision={"type": "integer", "minimum": 1},
    created_at=_TIME,
    updated_at=_TIME,
    last_count={"type": ["integer", "null"]},
    last_counted_at=_TIME_OR_NULL,
)
_WARNINGS = {"type": "array", "items": _object(path={"type": "string"}, message={"type": "string"})}
_COUNTED = _object(count=_COUNT, total=_COUNT, took_ms={"type": "number"}, as_of=_TIME, warnings=_WARNINGS)
_SOME = _object(count=_COUNT, sample=_IDS)

COHORT_SCHEMAS: dict[str, Any] = {"Group": _GROUP, "Cohort": _COHORT}
"""Schemas that others refer to."""

_SAVED = {**_COHORT, "properties": {**_COHORT["properties"], "warnings": _WARNINGS}}
_FILTER = {"combinator": "and", "rules": [{"field": "plan", "operator": "=", "value": "pro"}]}
_NO_COHORT = {"404": error_answer("no such cohort, or no such path", "there is no cohort 'co_…' here")}
_BAD_RULE = {"400": error_answer("a fault in the rule, by its path", "filter.rules[0].value: expected a number, …")}
_NOT_NOW = {"400": error_answer("the rule does not fit the properties any more", "the cohort “Pros” cannot be …")}
_CONFLICT = {"409": error_answer("the name is taken, or it was changed meanwhile", "there is a cohort named 'Pros' …")}

_BAD_PARAMETER = {"400": error_answer("a parameter that cannot be", "top: there is no such parameter; …")}

LIST: dict[str, Any] = {
    "responses": answers(
        {
            **_BAD_PARAMETER,
            "200": described_answer(
                "all of them", _object(items={"type": "array", "items": _ref("Cohort")}, next_cursor={"type": "null"})
            ),
        }
    )
}
CREATE: dict[str, Any] = {
    "status_code": 201,
    "openapi_extra": json_body(
        {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": _NAME,
                "description": _DESCRIPTION,
                "kind": {"enum": [kind.value for kind in CohortKind]},
                "filter": _ref("Group"),
                "members": {**_IDS, "description": "distinct_ids of a static one"},
            },
        },
        {"name": "Pros", "filter": _FILTER},
    ),
    "responses": answers({"201": described_answer("made", _SAVED), **_BAD_RULE, **_CONFLICT, **BODY_ERRORS}),
}
PREVIEW: dict[str, Any] = {
    "openapi_extra": json_body(
        {
            "type": "object",
            "required": ["filter"],
            "properties": {
                "filter": _ref("Group"),
                "sample": {"type": "integer", "minimum": 0, "maximum": SAMPLE_MAX, "default": 10},
                "as_of": {**_TIME_OR_NULL, "description": "what counts as now in the rule"},
            },
        },
        {"filter": _FILTER, "sample": 3},
    ),
    "responses": answers(
        {
            "200": described_answer(
                "who is in",
                {
                    **_COUNTED,
                    "properties": {
                        **_COUNTED["properties"],
                        "sentence": {"type": "string"},
                        "sample": {"type": "array", "items": _ref("Profile")},
                    },
                },
            ),
            **_BAD_RULE,
            **BODY_ERRORS,
        }
    ),
}
READ: dict[str, Any] = {
    "responses": answers({"200": described_answer("the cohort", _ref("Cohort")), **_BAD_PARAMETER, **_NO_COHORT})
}
EDIT: dict[str, Any] = {
    "openapi_extra": json_body(
        {
            "type": "object",
            "properties": {
                "name": _NAME,
                "description": _DESCRIPTION,
                "filter": _ref("Group"),
                "revision": {"type": ["integer", "null"], "description": "only if it is still that one"},
            },
        },
        {"filter": _FILTER},
    ),
    "responses": answers(
        {
            "200": described_answer(
                "changed; with dry_run, who would come in and go out",
                {"anyOf": [_SAVED, _object(entering=_SOME, leaving=_SOME)]},
            ),
            **_BAD_RULE,
            **_NO_COHORT,
            **_CONFLICT,
            **BODY_ERRORS,
        }
    ),
}
DELETE: dict[str, Any] = {
    "responses": answers(
        {
            "200": described_answer("deleted", _object(status={"const": "ok"}, _message={"type": "string"})),
            **_NO_COHORT,
            **_BAD_PARAMETER,
            "409": error_answer("another cohort names it", "the cohort is used by “Others”: …"),
        }
    )
}
COUNT: dict[str, Any] = {
    "responses": answers({"200": described_answer("how many", _COUNTED), **_NOT_NOW, **_NO_COHORT})
}
MEMBERS: dict[str, Any] = {
    "responses": answers(
        {
            "200": described_answer(
                "a page",
                _object(items={"type": "array", "items": _ref("Profile")}, next_cursor={"type": ["string", "null"]}),
            ),
            **_NOT_NOW,
            **_NO_COHORT,
        }
    )
}
_MODE = {"enum": [mode.value for mode in MemberMode]}
CHANGE_MEMBERS: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["mode", "distinct_ids"],
                        "properties": {"mode": _MODE, "distinct_ids": {**_IDS, "maxItems": MEMBERS_A_CALL_MAX}},
                    },
                    "example": {"mode": "add", "distinct_ids": ["user-42"]},
                },
                "text/csv": {
                    "schema": {"type": "string", "description": "a column distinct_id; the mode in the query"}
                },
            },
        }
    },
    "responses": answers(
        {
            "200": described_answer(
                "what became of the ids",
                _object(status={"const": "ok"}, added=_COUNT, removed=_COUNT, members=_COUNT, unknown=_SOME),
            ),
            "400": error_answer("it goes by a rule, or an id is none", "the cohort 'Pros' goes by its rule: …"),
            **_NO_COHORT,
            **BODY_ERRORS,
        }
    ),
}
EXPLAIN: dict[str, Any] = {
    "responses": answers(
        {
            "200": described_answer(
                "in or out, and why",
                _object(
                    distinct_id={"type": "string"},
                    member={"type": "boolean"},
                    as_of=_TIME,
                    reason={
                        "type": ["object", "null"],
                        "description": "the tree, of each node what it saw and whether it holds; null: it is static",
                    },
                ),
            ),
            "400": error_answer("no such profile", "there is no profile with this distinct_id"),
            **_NO_COHORT,
        }
    )
}
FREEZE: dict[str, Any] = {
    "status_code": 201,
    "openapi_extra": json_body(
        {"type": "object", "required": ["name"], "properties": {"name": _NAME, "description": _DESCRIPTION}},
        {"name": "Pros of November"},
    ),
    "responses": answers(
        {
            "201": described_answer("the static cohort", _ref("Cohort")),
            **_NOT_NOW,
            **_NO_COHORT,
            **_CONFLICT,
            **BODY_ERRORS,
        }
    ),
}
EXPORT: dict[str, Any] = {
    "responses": answers(
        {
            "200": {
                "description": "the members, in the layout of `traitbase export`",
                "content": {
                    each: {"schema": {"type": "string", "format": "binary"}}
                    for each in ("application/x-ndjson", "text/csv", "application/vnd.apache.parquet")
                },
            },
            **_NOT_NOW,
            **_NO_COHORT,
        }
    )
}
_ANY: dict[str, Any] = {}
INSIGHT: dict[str, Any] = {
    "responses": answers(
        {
            "200": described_answer(
                "what the values are like; min, max and quantiles of numbers and dates, sum of numbers, sizes of lists",
                {
                    "type": "object",
                    "required": ["name", "type", "profiles", "having", "share", "distinct", "top"],
                    "properties": {
                        "name": {"type": "string"},
                        "type": {"enum": [kind.value for kind in Kind]},
                        "profiles": {**_COUNT, "description": "all there are"},
                        "having": {**_COUNT, "description": "those that have a value"},
                        "share": {"type": "number", "minimum": 0, "maximum": 1},
                        "distinct": {**_COUNT, "description": "different values, of lists: elements"},
                        "top": {"type": "array", "items": _object(value=_ANY, profiles=_COUNT)},
                        "min": _ANY,
                        "max": _ANY,
                        "quantiles": {"type": "object"},
                        "sum": {"type": "number"},
                        "sizes": _object(min=_COUNT, max=_COUNT),
                    },
                },
            ),
            **_BAD_PARAMETER,
            "404": error_answer("no such property", "there is no property 'plann' here"),
        }
    )
}
