"""Updates as they are gathered and sent: one operation on one profile, and portions of them under one key."""

from __future__ import annotations

from dataclasses import dataclass, field

from traitbase.domain.updates import Operation, Payload


@dataclass(frozen=True, slots=True)
class Item:
    """One operation on one profile, its values as the wire has them (times as text, floats as exact decimals)."""

    distinct_id: str
    operation: Operation
    payload: Payload
    encoded: bytes = field(repr=False, compare=False)
    """The item as it stands in a batch: `{"distinct_id": …, "action": {…}}`."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Items that are sent in one request. Each try of it has the same key and body, so it counts once."""

    idempotency_key: str
    items: tuple[Item, ...]

    @property
    def body(self) -> bytes:
        """The body for the batch endpoint."""
        return b'{"batch":[' + b",".join([item.encoded for item in self.items]) + b"]}"
