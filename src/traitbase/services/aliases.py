"""Reading the profile that an id leads to."""

from __future__ import annotations

from collections.abc import Sequence

from traitbase.domain.spaces import Space
from traitbase.services.ports import ProfileRow, Store

# Merges let aliases lead to the profile itself; a hop more only where one happens between two looks.
_HOPS_MAX = 20


def find_profile_behind(store: Store, space: Space, distinct_id: str) -> ProfileRow | None:
    """Return the profile that has the id, or that the id leads to as an alias; None if there is none."""
    for _ in range(_HOPS_MAX):
        rows = store.find_profiles(space, [distinct_id])
        if not rows or rows[0].alias_of is None:
            return rows[0] if rows else None
        distinct_id = rows[0].alias_of
    return None


def find_profiles_behind(store: Store, space: Space, distinct_ids: Sequence[str]) -> dict[str, ProfileRow]:
    """Return by each of the ids the profile that has it, or that it leads to; those that lead to none are left out."""
    found = {row.distinct_id: row for row in store.find_profiles(space, distinct_ids)} if distinct_ids else {}
    behind = sorted({row.alias_of for row in found.values() if row.alias_of is not None} - found.keys())
    if behind:
        found.update((row.distinct_id, row) for row in store.find_profiles(space, behind))
    profiles = {}
    for distinct_id in distinct_ids:
        row = found.get(distinct_id)
        if row is not None and row.alias_of is not None:
            row = found.get(row.alias_of)
        if row is not None and row.alias_of is None:
            profiles[distinct_id] = row
    return profiles
