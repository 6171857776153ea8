"""What answers look like: views of the services turned into JSON, numbers exact and times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind, written
from traitbase.services.definitions import DefinitionView
from traitbase.services.ports import IgnoredRow, KeptAsideRow
from traitbase.services.profiles import ProfileView
from traitbase.services.receipts import Receipt
from traitbase.services.replaying import Replayed
from traitbase.services.retyping import Retyped, Sample, values_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(answer: dict[str, Any]) -> bytes:
    """Return an answer as JSON (UTF-8)."""
    return _encoder.encode(answer)


def time_of(at_us: int) -> str:
    """Return a time (microseconds since 1970 UTC) as `2026-11-25T08:30:00.123Z`."""
    at = _EPOCH + timedelta(microseconds=at_us)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def profile_answer(space: Space, profile: ProfileView) -> dict[str, Any]:
    """Return the answer to `GET …/profiles/{distinct_id}`."""
    return {
        "distinct_id": profile.distinct_id,
        "profile_id": profile.profile_id,
        "version": space.environment,
        "properties": {name: written(value) for name, value in profile.properties.items()},
        "created_at": time_of(profile.created_at_us),
        "updated_at": time_of(profile.updated_at_us),
    }


def definition_answer(view: DefinitionView) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties`."""
    row = view.row
    return {
        "name": row.name,
        "type": row.kind.value,
        "state": row.state.value,
        "description": row.description,
        "first_seen_at": time_of(row.first_seen_at_us),
        "first_seen_in": row.first_seen_in,
        "profiles": row.profiles,
        "ignored": row.ignored,
        "last_ignored": None if view.last_ignored is None else ignored_answer(view.last_ignored),
    }


def ignored_answer(row: IgnoredRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties/{name}/ignored`."""
    return {
        "value": None if row.value is None else msgspec.Raw(row.value.encode()),
        "reason": row.reason,
        "operation": row.operation,
        "distinct_id": row.distinct_id,
        "at": time_of(row.received_at_us),
        "request_id": row.request_id,
    }


def kept_aside_answer(row: KeptAsideRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties/{name}/kept-aside`."""
    return {
        "distinct_id": row.distinct_id,
        "values": [written(value) for value in values_of(row)],
        "kept_at": time_of(row.kept_at_us),
        "request_id": row.request_id,
    }


def retyped_answer(retyped: Retyped, kind: Kind) -> dict[str, Any]:
    """Return what a retype did, or would do."""
    return {
        "to": kind.value,
        "profiles": retyped.profiles,
        "converted": retyped.converted,
        "kept_aside": retyped.kept_aside,
        "came_back": retyped.came_back,
        "samples": {
            "converted": [_sample(each) for each in retyped.converted_samples],
            "kept_aside": [_sample(each) for each in retyped.kept_aside_samples],
        },
    }


def _sample(sample: Sample) -> dict[str, Any]:
    after = None if sample.after is None else written(sample.after)
    return {"distinct_id": sample.distinct_id, "before": written(sample.before), "after": after}


def replayed_answer(replayed: Replayed) -> dict[str, Any]:
    """Return what a replay did."""
    return {
        "applied": replayed.applied,
        "superseded": replayed.superseded,
        "still_ignored": dict(replayed.still_ignored),
        "remaining": replayed.remaining,
    }


def receipt_answer(receipt: Receipt) -> dict[str, Any]:
    """Return the answer to `GET …/requests/{request_id}`."""
    return {
        "request_id": receipt.request_id,
        "received_at": time_of(receipt.received_at_us),
        "items": [
            {
                "distinct_id": item.distinct_id,
                "applied": [{"operation": entry.operation.value, "property": entry.property} for entry in item.applied],
                "ignored": item.ignored,
            }
            for item in receipt.items
        ],
    }
