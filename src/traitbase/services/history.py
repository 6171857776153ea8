"""The history of a profile: what changed, when, by which request and key, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from traitbase.domain.spaces import Space
from traitbase.services.ports import ChangeRow, Store
from traitbase.services.profiles import ProfileView

UPDATE_ACTION = "properties"
"""What a change is called that was an update of properties."""

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
    """Some changes, newest first, and from where to go on (None: that was all)."""

    entries: tuple[HistoryEntry, ...]
    before: tuple[str, int] | None


def read_history(
    store: Store, space: Space, profile: ProfileView, *, since_us: int, before: tuple[str, int] | None, limit: int
) -> HistoryPage:
    """Return up to `limit` changes of a profile, newest first, no older than `since_us`, from before `before`.

    Changes of profiles that were merged into it are among them, under their own ids.
    """
    distinct_ids = (profile.distinct_id, *profile.attributes.aliases)
    rows = store.find_changes_of(space, distinct_ids, before=before, limit=limit + 1)
    shown = [row for row in rows[:limit] if row.received_at_us >= since_us]
    is_more = len(rows) > limit and len(shown) == limit
    more = (shown[-1].request_id, shown[-1].item) if is_more else None
    return HistoryPage(tuple(map(_entry, shown)), more)


def _entry(row: ChangeRow) -> HistoryEntry:
    effects = _decode(row.effect or "{}")
    return HistoryEntry(
        row.request_id,
        row.item,
        row.received_at_us,
        row.key_id,
        row.action or UPDATE_ACTION,
        row.distinct_id,
        effects,
    )
