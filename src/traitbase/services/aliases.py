"""Reading the profile that an id leads to."""

from __future__ import annotations

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
