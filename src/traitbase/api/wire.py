"""What answers look like: views of the services turned into JSON, numbers exact and times in UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from traitbase.domain.spaces import Space
from traitbase.domain.values import written
from traitbase.services.ports import DefinitionRow
from traitbase.services.profiles import ProfileView
from traitbase.services.receipts import Receipt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRIES_A_PIECE = 1_024

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


def definition_answer(row: DefinitionRow) -> dict[str, Any]:
    """Return one item of the answer to `GET …/properties`."""
    return {
        "name": row.name,
        "type": row.kind.value,
        "state": row.state.value,
        "first_seen_at": time_of(row.first_seen_at_us),
        "first_seen_in": row.first_seen_in,
    }


def receipt_pieces(receipt: Receipt) -> Iterator[bytes]:
    """Yield the answer to `GET …/requests/{request_id}`, in pieces of some 100 KB: it can have a hundred megabytes."""
    gathered = [encode({"request_id": receipt.request_id, "received_at": time_of(receipt.received_at_us)})[:-1]]
    gathered.append(b',"items":[')
    for number, item in enumerate(receipt.items):
        gathered.append(
            b'%s{"distinct_id":%s,"applied":[' % (b"," if number else b"", _encoder.encode(item.distinct_id))
        )
        yield from _gather(
            gathered, [{"operation": entry.operation, "property": entry.property} for entry in item.applied]
        )
        gathered.append(b'],"ignored":[')
        yield from _gather(gathered, item.ignored)
        gathered.append(b"]}")
    gathered.append(b"]}")
    yield b"".join(gathered)


def _gather(gathered: list[bytes], entries: Sequence[object]) -> Iterator[bytes]:
    """Add entries, encoded and with commas between, to what is gathered, and yield that whenever it is a piece."""
    for start in range(0, len(entries), _ENTRIES_A_PIECE):
        if start:
            gathered.append(b",")
        gathered.append(_encoder.encode(entries[start : start + _ENTRIES_A_PIECE])[1:-1])
        if start or len(gathered) > _ENTRIES_A_PIECE:
            yield b"".join(gathered)
            gathered.clear()
