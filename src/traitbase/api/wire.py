"""What answers look like: views of the services turned into JSON, numbers exact and times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from traitbase.domain.spaces import Space
from traitbase.domain.values import written
from traitbase.services.ports import DefinitionRow, SuppressionRow
from traitbase.services.profiles import ProfileView
from traitbase.services.receipts import Receipt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(answer: dict[str, Any] | list[Any]) -> bytes:
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


def definition_answer(row: DefinitionRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties`."""
    return {
        "name": row.name,
        "type": row.kind.value,
        "state": row.state.value,
        "first_seen_at": time_of(row.first_seen_at_us),
        "first_seen_in": row.first_seen_in,
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


def suppression_answer(row: SuppressionRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/suppressions`."""
    return {
        "_id": row.suppression_id,
        "destination": row.destination,
        "distinct_id": row.distinct_id,
        "channel": row.channel,
        "description": row.description,
        "created_at": time_of(row.created_at_us),
        "expiry_ts": None if row.expires_at_us is None else time_of(row.expires_at_us),
    }
