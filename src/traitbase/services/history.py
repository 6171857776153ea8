"""The history of a profile: what changed, when, by which request and key, before and after."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from traitbase.domain.effects import effects_of_update
from traitbase.domain.json_text import read_json_in_pieces
from traitbase.domain.spaces import Space, find_zone
from traitbase.domain.updates import Operation
from traitbase.services.change_texts import read_ignored
from traitbase.services.ports import ChangeRow, Store
from traitbase.services.profiles import ProfileView

UPDATE_ACTION = "properties"
"""What a change is called that was an update of properties."""

_SCANNED_A_PAGE = 5_000
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a profile. `distinct_id` is the id that was used, maybe one that became an alias.

    `effects` by name: `[before, after]`, None for none; or, of a long list, a dict with `added`, `removed` and `size`.
    Names that begin with `$` are no properties: `$name`, `$status`, `$timezone`, `$channel.sms`, `$aliases`, ….
    """

    request_id: str
    item: int
    at_us: int
    key_id: str
    action: str
    distinct_id: str
    effects: dict[str, Any]


class HistoryPage(NamedTuple):
    """Some changes, newest first, and the places from where to go on (empty: that was all)."""

    entries: tuple[HistoryEntry, ...]
    places: tuple[str, ...]


def read_history(
    store: Store, space: Space, profile: ProfileView, *, since_us: int, places: Sequence[str] | None, limit: int
) -> HistoryPage:
    """Return up to `limit` changes of a profile, newest first, no older than `since_us`.

    `places` is from where to go on (None: from the newest). Changes of profiles that were merged into it are among
    them, under their own ids: each id's row leads to its newest change, and each change to the one before.
    """
    workspace = store.find_workspace(space.workspace_id)
    zone = (find_zone(workspace.timezone) if workspace else None) or UTC
    own_ids = {profile.distinct_id, *profile.attributes.aliases}
    if places is None:
        rows = store.find_profiles(space, sorted(own_ids))
        places = [row.last_change for row in rows if row.last_change is not None]
    newest_first = _Newest(store.find_changes_at(space, places))
    entries: list[HistoryEntry] = []
    scanned = 0
    while newest_first and len(entries) < limit and scanned < _SCANNED_A_PAGE:
        row = newest_first.take()
        scanned += 1
        if row.received_at_us < since_us or row.distinct_id not in own_ids:
            continue  # too old, and so are those before it; or the places are of somebody else
        newest_first.add(store.find_changes_at(space, [row.previous] if row.previous else []))
        entry = _entry(row, zone)
        if entry.effects:
            entries.append(entry)
    return HistoryPage(tuple(entries), newest_first.places())


class _Newest:
    """Changes of several rows, of which the newest is taken first."""

    def __init__(self, rows: Iterable[ChangeRow]) -> None:
        self._waiting: list[tuple[str, int, ChangeRow]] = []
        self.add(rows)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, rows: Iterable[ChangeRow]) -> None:
        for row in rows:
            bisect.insort(self._waiting, (row.request_id, row.item, row), key=_when)

    def take(self) -> ChangeRow:
        return self._waiting.pop()[2]

    def places(self) -> tuple[str, ...]:
        return tuple(row.place for _, _, row in self._waiting)


def _when(entry: tuple[str, int, ChangeRow]) -> tuple[str, int]:
    return entry[:2]


def _entry(row: ChangeRow, zone: tzinfo) -> HistoryEntry:
    found = _decode(row.effect or "{}")
    return HistoryEntry(
        row.request_id,
        row.item,
        row.received_at_us,
        row.key_id,
        UPDATE_ACTION if row.action is None else row.action.partition(" ")[0],
        row.distinct_id,
        _effects_of_update(row, found, zone) if row.action is None and row.effect is not None else found,
    )


def _effects_of_update(row: ChangeRow, found: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    sent: Any = read_json_in_pieces(row.operations.encode())
    operations = [(operation, sent[operation.value]) for operation in Operation if operation.value in sent]
    left_out = {(entry.operation, entry.property) for entry in read_ignored(row.ignored)} if row.ignored else set()
    return effects_of_update(found, operations, left_out, zone)
