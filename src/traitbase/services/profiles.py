"""Reading profiles."""

from __future__ import annotations

from dataclasses import dataclass

from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Space
from traitbase.domain.values import Value, decode_properties
from traitbase.services.ports import Store


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile as its readers see it. Times are microseconds since 1970 UTC."""

    distinct_id: str
    profile_id: str
    properties: dict[str, Value]
    created_at_us: int
    updated_at_us: int


def get_profile(store: Store, space: Space, distinct_id: str) -> ProfileView:
    """Return a profile. Raises NotFound."""
    rows = store.find_profiles(space, [distinct_id])
    if not rows:
        raise NotFound("incorrect/non existing distinct_id provided", code="profile_not_found")
    row = rows[0]
    properties = decode_properties(row.document)
    return ProfileView(row.distinct_id, row.profile_id, properties, row.created_at_us, row.updated_at_us)
