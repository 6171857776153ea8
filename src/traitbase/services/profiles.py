"""Reading profiles: one by any of its ids, pages of them in order, and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from traitbase.domain.attributes import Attributes, decode_attributes
from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Space
from traitbase.domain.values import Value, decode_properties
from traitbase.services.aliases import find_profile_behind
from traitbase.services.ports import ProfileOrder, ProfileRow, SearchField, Store

_SCANNED_A_PAGE = 5_000
_PAGE_BYTES = 8 * 1024 * 1024
"""About how much of what is stored fits a page: one profile may take a megabyte, and a thousand may be asked for."""

_ROWS_A_QUERY = 50
_FIELDS = tuple(SearchField)


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile as its readers see it. Times are microseconds since 1970 UTC."""

    distinct_id: str
    profile_id: str
    properties: dict[str, Value]
    attributes: Attributes
    created_at_us: int
    updated_at_us: int


class Page(NamedTuple):
    """Some profiles in order, and from where to go on (None: that was all)."""

    profiles: tuple[ProfileView, ...]
    after: tuple[int, str] | None


class SearchPlace(NamedTuple):
    """How far a search has come: the field it is at, and the last value and id there."""

    field: SearchField
    value: str
    distinct_id: str


class Found(NamedTuple):
    """Some profiles that a search found, and from where to go on (None: that was all)."""

    profiles: tuple[ProfileView, ...]
    after: SearchPlace | None


def find_profile(store: Store, space: Space, distinct_id: str) -> ProfileView | None:
    """Return the profile that an id leads to, or None."""
    row = find_profile_behind(store, space, distinct_id)
    return None if row is None else view_of(row)


def get_profile(store: Store, space: Space, distinct_id: str) -> ProfileView:
    """Return the profile that an id leads to. Raises NotFound."""
    profile = find_profile(store, space, distinct_id)
    if profile is None:
        raise NotFound("incorrect/non existing distinct_id provided", code="profile_not_found")
    return profile


def list_profiles(
    store: Store, space: Space, order: ProfileOrder, *, after: tuple[int, str] | None, limit: int
) -> Page:
    """Return up to `limit` profiles in that order, from behind `after`.

    Every profile that is there from the first page to the last is on exactly one of them, whatever is added meanwhile.
    A page of large profiles is shorter, although more follow.
    """
    shown: list[ProfileRow] = []
    size = 0
    while True:
        wanted = min(limit + 1 - len(shown), _ROWS_A_QUERY)
        rows = store.list_profiles(space, order, after=after, limit=wanted)
        for row in rows:
            if len(shown) == limit or size >= _PAGE_BYTES:
                return Page(tuple(map(view_of, shown)), after)
            shown.append(row)
            size += _size_of(row)
            after = (row.created_at_us, row.distinct_id)
        if len(rows) < wanted:
            return Page(tuple(map(view_of, shown)), None)


def search_profiles(store: Store, space: Space, sought: str, *, after: SearchPlace | None, limit: int) -> Found:
    """Return up to `limit` profiles whose distinct_id, name or email address begins so (name, email: without case).

    Those found by their id come first, then by name, then by address; each once. A page may be shorter although more
    follow: a search does not look at more than some thousand profiles, or some megabytes of them, at a time.
    """
    prefixes = {field: sought if field is SearchField.DISTINCT_ID else sought.casefold() for field in _FIELDS}
    found: list[ProfileView] = []
    scanned = size = 0
    fields = _FIELDS if after is None else _FIELDS[_FIELDS.index(after.field) :]
    for field in fields:
        place = after[1:] if after is not None and after.field is field else None
        while True:
            wanted = min(limit - len(found) + 1, _ROWS_A_QUERY)
            rows = store.search_profiles(space, field, prefixes[field], after=place, limit=wanted)
            for value, row in rows:
                if len(found) == limit or scanned >= _SCANNED_A_PAGE or size >= _PAGE_BYTES:
                    return Found(tuple(found), after)
                scanned += 1
                size += _size_of(row)
                place = (value, row.distinct_id)
                after = SearchPlace(field, *place)
                profile = view_of(row)
                if not any(_begins(profile, earlier, prefixes[earlier]) for earlier in _before(field)):
                    found.append(profile)
            if len(rows) < wanted:
                break
    return Found(tuple(found), None)


def view_of(row: ProfileRow) -> ProfileView:
    """Return a stored profile as its readers see it."""
    return ProfileView(
        row.distinct_id,
        row.profile_id,
        decode_properties(row.document),
        decode_attributes(row.attributes),
        row.created_at_us,
        row.updated_at_us,
    )


def _size_of(row: ProfileRow) -> int:
    return len(row.document) + len(row.attributes or "")


def _before(field: SearchField) -> Iterable[SearchField]:
    return _FIELDS[: _FIELDS.index(field)]


def _begins(profile: ProfileView, field: SearchField, prefix: str) -> bool:
    return (_SOUGHT[field](profile) or "").startswith(prefix)


def _name_of(profile: ProfileView) -> str | None:
    return None if profile.attributes.name is None else profile.attributes.name.casefold()


_SOUGHT: dict[SearchField, Callable[[ProfileView], str | None]] = {
    SearchField.DISTINCT_ID: lambda profile: profile.distinct_id,
    SearchField.NAME: _name_of,
}
