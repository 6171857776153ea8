"""Changes, idempotency keys and erasures in a relational database: receipts, history, and forgetting them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from traitbase.domain.spaces import Space
from traitbase.services.ports import CHANGES_A_RECEIPT, ChangeRow, ErasureRow, IdempotencyRow, IgnoredRow
from traitbase.store.database import Database, within
from traitbase.store.statements import Statements
from traitbase.store.tables import changes, erasures, idempotency_keys, ignored_values, unlinked_changes

_CHANGE = [changes.c[name] for name in ChangeRow._fields]
_IGNORED = [ignored_values.c[name] for name in IgnoredRow._fields]


class ChangeQueries:
    """The part of the store port that deals with what was done."""

    _database: Database
    _compiled: Statements

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        """Return those of the keys that were used at or after `since_us`."""
        with self._database.reading() as connection:
            rows = self._compiled.find_idempotency(connection, (*space, keys, since_us))
        return [IdempotencyRow(*row) for row in rows]

    def find_changes(self, space: Space, request_id: str, *, limit: int = CHANGES_A_RECEIPT) -> list[ChangeRow]:
        """Return the first changes of one request in order of item; an empty list if none are known."""
        query = (
            sa.select(*_CHANGE)
            .where(within(changes, space), changes.c.request_id == request_id)
            .order_by(changes.c.item)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [ChangeRow._make(row) for row in connection.execute(query)]

    def find_changes_at(self, space: Space, places: Sequence[str]) -> list[ChangeRow]:
        """Return those of the changes at these places that are still known, in any order."""
        with self._database.reading() as connection:
            found = [self._compiled.find_change(connection, space, place) for place in places]
        return [ChangeRow._make(row) for row in found if row is not None]

    def find_erasure(self, space: Space, request_id: str) -> ErasureRow | None:
        """Return the receipt of an erasure, or None."""
        query = sa.select(erasures).where(within(erasures, space), erasures.c.request_id == request_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return ErasureRow(row.request_id, row.erased_at_us, row.key_id, msgspec.json.decode(row.counts))

    def find_ignored_values(
        self, space: Space, name: str, *, before: tuple[str, int, str] | None, limit: int
    ) -> list[IgnoredRow]:
        """Return up to `limit` ignored values of a property, newest first, from before (request, item, operation)."""
        query = sa.select(*_IGNORED).where(within(ignored_values, space), ignored_values.c.property == name)
        place = [ignored_values.c.request_id, ignored_values.c.item, ignored_values.c.operation]
        if before is not None:
            query = query.where(sa.tuple_(*place) < sa.tuple_(*(sa.literal(each) for each in before)))
        query = query.order_by(*(each.desc() for each in place)).limit(limit)
        with self._database.reading() as connection:
            return [IgnoredRow._make(row) for row in connection.execute(query)]

    def find_last_ignored(self, space: Space, names: Sequence[str]) -> list[IgnoredRow]:
        """Return the newest ignored value of each of the properties that has any: one look into the index each."""
        newest_first = [ignored_values.c[name].desc() for name in ("request_id", "item", "operation", "distinct_id")]
        is_this = ignored_values.c.property == sa.bindparam("name")
        query = sa.select(*_IGNORED).where(within(ignored_values, space), is_this).order_by(*newest_first).limit(1)
        with self._database.reading() as connection:
            found = [connection.execute(query, {"name": name}).one_or_none() for name in names]
        return [IgnoredRow._make(row) for row in found if row is not None]

    def forget_requests(self, *, received_before_us: int, at_most: int) -> int:
        """Delete up to that many changes received earlier. Returns how many.

        Looks at the oldest of each space only: request ids grow with time, and a table of many days is long.
        """
        deleted = 0
        with self._database.writing() as connection:
            for space in _spaces_in(connection, changes):
                deleted += _delete_oldest(connection, space, received_before_us, at_most - deleted)
        return deleted

    def forget_idempotency(self, *, created_before_us: int) -> int:
        """Delete the idempotency keys that were used earlier. Returns how many."""
        statement = sa.delete(idempotency_keys).where(idempotency_keys.c.created_at_us < created_before_us)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount

    def forget_ignored_values(self, *, received_before_us: int, kept_a_property: int, at_most: int) -> int:
        """Delete up to that many ignored values received earlier, or beyond the newest of their property."""
        deleted = 0
        with self._database.writing() as connection:
            for space in _spaces_in(connection, ignored_values):
                for name in _properties_in(connection, space):
                    if deleted < at_most:
                        deleted += _delete_ignored(
                            connection, (space, name), received_before_us, kept_a_property, at_most - deleted
                        )
        return deleted


def _spaces_in(connection: sa.Connection, table: sa.Table) -> list[Space]:
    """Return the spaces that have rows, by one look into the index each."""
    place = [table.c.workspace_id, table.c.environment]
    found: list[Space] = []
    query = sa.select(*place).order_by(*place).limit(1)
    row = connection.execute(query).one_or_none()
    while row is not None:
        found.append(Space(*row))
        behind = sa.tuple_(*place) > sa.tuple_(*(sa.literal(each) for each in row))
        row = connection.execute(query.where(behind)).one_or_none()
    return found


def _properties_in(connection: sa.Connection, space: Space) -> list[str]:
    name = ignored_values.c.property
    query = sa.select(name).where(within(ignored_values, space)).distinct()
    return [row[0] for row in connection.execute(query)]


def _delete_oldest(connection: sa.Connection, space: Space, received_before_us: int, at_most: int) -> int:
    place = [changes.c.request_id, changes.c.item, changes.c.distinct_id]
    oldest = (
        sa.select(*place, changes.c.received_at_us)
        .where(within(changes, space))
        .order_by(changes.c.request_id, changes.c.item)
        .limit(at_most)
    )
    old = [row[:3] for row in connection.execute(oldest).all() if row[3] < received_before_us]
    for table in (changes, unlinked_changes):
        _delete_each(connection, table, [(*space, *row) for row in old], changes)
    return len(old)


def _delete_each(connection: sa.Connection, table: sa.Table, keys: Sequence[Sequence[object]], of: sa.Table) -> None:
    """Delete rows by the keys of a table, this one or another with the same columns in its key.

    One by one: each says whose it is, so that where the rows are spread over servers each goes to its own.
    """
    names = [column.name for column in of.primary_key.columns]
    statement = sa.delete(table).where(*(table.c[name] == sa.bindparam(f"of_{name}") for name in names))
    if keys:
        connection.execute(
            statement, [{f"of_{name}": each for name, each in zip(names, key, strict=True)} for key in keys]
        )


def _delete_ignored(
    connection: sa.Connection, of: tuple[Space, str], received_before_us: int, kept: int, at_most: int
) -> int:
    space, name = of
    table = ignored_values
    columns = list(table.primary_key.columns)
    mine = sa.select(*columns).where(within(table, space), table.c.property == name)
    deleted = 0
    for query in (
        mine.where(table.c.received_at_us < received_before_us),
        mine.order_by(*(table.c[each].desc() for each in ("request_id", "item", "operation"))).offset(kept),
    ):
        keys = connection.execute(query.limit(at_most - deleted)).all()
        _delete_each(connection, table, keys, table)
        deleted += len(keys)
    return deleted
