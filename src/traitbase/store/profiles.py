"""Reading profiles from a relational database: by id, in order, by prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from traitbase.domain.spaces import Space
from traitbase.services.ports import ProfileOrder, ProfileRow, SearchField
from traitbase.store.database import Database, within
from traitbase.store.statements import Statements
from traitbase.store.tables import profiles

_COLUMNS = [profiles.c[name] for name in ProfileRow._fields]
_SEARCHED = {
    SearchField.DISTINCT_ID: profiles.c.distinct_id,
    SearchField.NAME: profiles.c.name_key,
    SearchField.EMAIL: profiles.c.email_key,
}


class ProfileQueries:
    """The part of the store port that reads profiles."""

    _database: Database
    _compiled: Statements

    def find_profiles(self, space: Space, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles (and aliases) that exist, in any order."""
        with self._database.reading() as connection:
            rows = self._compiled.find_profiles(connection, (*space, distinct_ids))
        return list(map(ProfileRow._make, rows))

    def list_profiles(
        self, space: Space, order: ProfileOrder, *, after: tuple[int, str] | None, limit: int
    ) -> list[ProfileRow]:
        """Return up to `limit` profiles in that order, from behind `after` (time of creation, distinct_id)."""
        by_time = order in (ProfileOrder.CREATED_AT, ProfileOrder.NEWEST_FIRST)
        descending = order in (ProfileOrder.NEWEST_FIRST, ProfileOrder.DISTINCT_ID_DESCENDING)
        columns = [profiles.c.created_at_us, profiles.c.distinct_id] if by_time else [profiles.c.distinct_id]
        query = sa.select(*_COLUMNS).where(within(profiles, space), profiles.c.alias_of.is_(None))
        if after is not None:
            place = sa.tuple_(*columns)
            passed = sa.tuple_(*(sa.literal(each) for each in (after if by_time else after[1:])))
            query = query.where(place < passed if descending else place > passed)
        query = query.order_by(*(each.desc() if descending else each for each in columns)).limit(limit)
        return self._profiles(query)

    def search_profiles(
        self, space: Space, field: SearchField, prefix: str, *, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, ProfileRow]]:
        """Return up to `limit` profiles whose field begins so, with the field's value, in order of value and id."""
        if "\0" in prefix:  # which nothing that is stored begins with, and not every database takes
            return []
        column = _SEARCHED[field]
        beyond = _beyond(prefix)
        query = sa.select(column, *_COLUMNS).where(
            within(profiles, space), profiles.c.alias_of.is_(None), column >= prefix
        )
        if beyond is not None:
            query = query.where(column < beyond)
        if after is not None:
            place = sa.tuple_(column, profiles.c.distinct_id)
            query = query.where(column >= after[0], place > sa.tuple_(*(sa.literal(each) for each in after)))
        query = query.order_by(column, profiles.c.distinct_id).limit(limit)
        with self._database.reading() as connection:
            return [(row[0], ProfileRow._make(row[1:])) for row in connection.execute(query)]

    def _profiles(self, query: sa.Select[Any]) -> list[ProfileRow]:
        with self._database.reading() as connection:
            return [ProfileRow._make(row) for row in connection.execute(query)]


def _beyond(prefix: str) -> str | None:
    """Return the first text (in order of code points) that is behind all that begin with the prefix; None: none is."""
    last = 0x10FFFF
    kept = prefix.rstrip(chr(last))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)
