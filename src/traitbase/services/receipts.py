"""Receipts: what became of each operation of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from traitbase.domain.keys import ApiKey, Scope
from traitbase.domain.operations import applied_in
from traitbase.domain.spaces import Space
from traitbase.domain.updates import Operation, Update
from traitbase.services.change_texts import IgnoredEntry, read_ignored, read_names
from traitbase.services.ports import ChangeRow, Store


class AppliedEntry(NamedTuple):
    """One operation on one property that took effect."""

    operation: Operation
    property: str


@dataclass(frozen=True, slots=True)
class ReceiptItem:
    """What became of one update."""

    distinct_id: str
    applied: tuple[AppliedEntry, ...]
    ignored: tuple[IgnoredEntry, ...]
    action: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one request, item by item in the order in which they were sent.

    `erased` counts what an erasure took away; it has no items, which would name people.
    """

    request_id: str
    received_at_us: int
    items: tuple[ReceiptItem, ...]
    erased: dict[str, int] | None = None


def find_receipt(store: Store, space: Space, request_id: str, *, key: ApiKey) -> Receipt | None:
    """Return the receipt, or None if there is none (any more), or this key may not see it.

    A key that may only ingest sees the receipts of its own requests.
    """
    rows = store.find_changes(space, request_id)
    if not rows and key.scope is not Scope.INGEST:
        return _receipt_of_erasure(store, space, request_id)
    if not rows or (key.scope is Scope.INGEST and rows[0].key_id != key.key_id):
        return None
    return Receipt(request_id, rows[0].received_at_us, tuple(_item(row) for row in rows))


def _receipt_of_erasure(store: Store, space: Space, request_id: str) -> Receipt | None:
    erasure = store.find_erasure(space, request_id)
    return None if erasure is None else Receipt(request_id, erasure.erased_at_us, (), erasure.counts)


def _item(row: ChangeRow) -> ReceiptItem:
    ignored = tuple(read_ignored(row.ignored)) if row.ignored else ()
    action = None if row.action is None else row.action.partition(" ")[0]
    left_out = ((entry.operation, entry.property) for entry in ignored)
    applied = applied_in(Update(row.distinct_id, read_names(row.operations), 0), left_out)
    return ReceiptItem(row.distinct_id, tuple(AppliedEntry(*entry) for entry in applied), ignored, action)
