"""Rewriting a property in all profiles of a space: the statements of one long transaction, or of its rehearsal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import ChangeRow, DefinitionRow, IgnoredRow, KeptAsideRow, ProfileRow, Rewriting
from traitbase.store.database import Database, within
from traitbase.store.definitions import read_definitions
from traitbase.store.statements import Statements
from traitbase.store.tables import ignored_values, kept_aside, property_definitions, property_usage

# Of two processes one may be a little late with a request that came first: the order of a chain is that of commits.
_OLDER_LOOKED_AT = 32
_IGNORED = [ignored_values.c[name] for name in IgnoredRow._fields]
_KEPT = [
    kept_aside.c[name]
    for name in ("workspace_id", "environment", "property", "distinct_id", "value", "request_id", "kept_at_us")
]


class RewritingQueries:
    """The part of the store port that opens rewritings, and reads what they kept aside."""

    _database: Database
    _compiled: Statements

    @contextmanager
    def rewriting(self, space: Space, *, wait_seconds: float) -> Iterator[Rewriting]:
        """Begin a rewriting: all of it is durable at the end of the block, or nothing."""
        with self._database.writing(wait_seconds=wait_seconds) as connection:
            self._database.make_roomy(connection)
            try:
                self._database.pass_alone(connection, space)
                yield SqlRewriting(self._database, self._compiled, connection, space)
            finally:
                self._database.make_small(connection)

    @contextmanager
    def rehearsing(self, space: Space) -> Iterator[Rewriting]:
        """Begin a rewriting that reads one state of the storage and writes nothing."""
        with self._database.snapshot() as connection:
            yield _SqlRehearsal(self._database, self._compiled, connection, space)

    def find_kept_aside(self, space: Space, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        """Return up to `limit` rows of values kept aside, behind the id `after`, in order of distinct_id."""
        with self._database.reading() as connection:
            return _read_kept_aside(connection, space, name, after=after, limit=limit)


class SqlRewriting:
    """See the port for what each method promises."""

    def __init__(self, database: Database, statements: Statements, connection: Connection, space: Space) -> None:
        self._database = database
        self._statements = statements
        self._connection = connection
        self._space = space

    def get_definitions(self) -> list[DefinitionRow]:
        """Return the space's definitions in order of name."""
        return read_definitions(self._connection, self._space)

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles (and aliases) that exist, in any order."""
        rows = self._statements.find_profiles(self._connection, (*self._space, distinct_ids))
        return list(map(ProfileRow._make, rows))

    def profiles_having(self, name: str, *, after: str, limit: int) -> list[ProfileRow]:
        """Return up to `limit` profiles behind the id `after` that have the property, in order of distinct_id."""
        values = (*self._space, after, self._database.property_sought(name), limit)
        return list(map(ProfileRow._make, self._statements.find_having(self._connection, values)))

    def kept_aside(self, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
        """Return up to `limit` rows of values kept aside, behind the id `after`, in order of distinct_id."""
        return _read_kept_aside(self._connection, self._space, name, after=after, limit=limit)

    def ignored_values(
        self, name: str, *, reasons: Sequence[str], after: tuple[str, int], limit: int
    ) -> list[IgnoredRow]:
        """Return up to `limit` values ignored for these reasons, the oldest first, behind (request, item)."""
        place = [ignored_values.c.request_id, ignored_values.c.item]
        query = (
            sa.select(*_IGNORED)
            .where(
                *self._of(ignored_values, name),
                ignored_values.c.reason.in_(reasons),
                sa.tuple_(*place) > sa.tuple_(*(sa.literal(each) for each in after)),
            )
            .order_by(*place, ignored_values.c.operation)
            .limit(limit)
        )
        return [IgnoredRow._make(row) for row in self._connection.execute(query)]

    def changes_since(self, name: str, distinct_ids: Sequence[str], request_id: str) -> Iterator[ChangeRow]:
        """Yield, in any order, the changes of these ids from that request on that may have written the property."""
        del name  # whoever reads them looks for it
        for profile in self.find_profiles(distinct_ids):
            place, older = profile.last_change, 0
            while place is not None and older < _OLDER_LOOKED_AT:
                found = self._statements.find_change(self._connection, self._space, place)
                if found is None:
                    break
                change = ChangeRow._make(found)
                place = change.previous
                if change.request_id >= request_id:
                    yield change
                else:
                    older += 1

    def put_profiles(self, rows: Sequence[ProfileRow]) -> None:
        """Write properties; each row is one revision above the stored one."""
        written = self._statements.put_profiles_at_once(self._connection, rows)
        assert written == len(rows), "nobody else writes meanwhile"
        self.touch([row.distinct_id for row in rows])

    def put_definition(self, row: DefinitionRow) -> None:
        """Store a definition in place of the one with its name, if there is one."""
        sent = {**row._asdict(), "kind": row.kind.value, "state": row.state.value}
        insert = self._database.insert(property_definitions).values(**self._space._asdict(), **sent)
        key = list(property_definitions.primary_key.columns)
        del sent["name"]
        self._connection.execute(insert.on_conflict_do_update(index_elements=key, set_=sent))
        self._forget_usage(row.name)  # the row has all that was counted

    def delete_definition(self, name: str) -> None:
        """Delete a definition."""
        condition = [within(property_definitions, self._space), property_definitions.c.name == name]
        self._connection.execute(sa.delete(property_definitions).where(*condition))
        self._forget_usage(name)

    def _forget_usage(self, name: str) -> None:
        condition = [within(property_usage, self._space), property_usage.c.name == name]
        self._connection.execute(sa.delete(property_usage).where(*condition))

    def move_definitions(self) -> None:
        """Take the space's definitions one revision further."""
        revision = self._statements.revision_of(self._connection, self._space)
        moved = self._statements.move_revision(self._connection, self._space, revision=revision)
        assert moved, "nobody else writes meanwhile"

    def put_kept_aside(self, rows: Sequence[KeptAsideRow]) -> None:
        """Store rows in place of those of the same property and profile."""
        self._statements.put_kept_aside(self._connection, rows)

    def delete_kept_aside(self, name: str, distinct_ids: Sequence[str] | None = None) -> int:
        """Delete a property's rows of these ids (None: all); return how many."""
        statement = sa.delete(kept_aside).where(*self._of(kept_aside, name))
        if distinct_ids is None:
            return self._connection.execute(statement).rowcount
        is_named, pass_list = self._database.any_of(kept_aside.c.distinct_id)
        return self._connection.execute(statement.where(is_named), {"values": pass_list(distinct_ids)}).rowcount

    def delete_ignored_values(self, name: str, rows: Sequence[IgnoredRow] | None = None) -> int:
        """Delete these ignored values of a property (None: all); return how many."""
        statement = sa.delete(ignored_values).where(*self._of(ignored_values, name))
        if rows is None:
            return self._connection.execute(statement).rowcount
        if not rows:
            return 0
        key = ("request_id", "item", "operation", "distinct_id")
        this = [ignored_values.c[each] == sa.bindparam(f"its_{each}") for each in key]
        sent = [{f"its_{each}": getattr(row, each) for each in key} for row in rows]
        return self._connection.execute(statement.where(*this), sent).rowcount

    def count_ignored_values(self, name: str, *, reasons: Sequence[str]) -> int:
        """Return how many of a property's values that were ignored for these reasons are kept."""
        condition = [*self._of(ignored_values, name), ignored_values.c.reason.in_(reasons)]
        query = sa.select(sa.func.count()).select_from(ignored_values).where(*condition)
        return self._connection.execute(query).scalar_one()

    def add_changes(self, rows: Sequence[ChangeRow]) -> None:
        """Store changes."""
        self._statements.add_changes(self._connection, rows)

    def touch(self, distinct_ids: Sequence[str]) -> None:
        """Feed profiles that stay as they are written, but mean something else now."""
        if distinct_ids:
            self._statements.feeding.feed(self._connection, self._space, distinct_ids)

    def _of(self, table: sa.Table, name: str) -> list[sa.ColumnElement[bool]]:
        return [within(table, self._space), table.c.property == name]


class _SqlRehearsal(SqlRewriting):
    """Reads as the real one does, and writes nothing."""

    def put_profiles(self, rows: Sequence[ProfileRow]) -> None:
        """Write nothing."""

    def put_definition(self, row: DefinitionRow) -> None:
        """Write nothing."""

    def delete_definition(self, name: str) -> None:
        """Write nothing."""

    def move_definitions(self) -> None:
        """Write nothing."""

    def put_kept_aside(self, rows: Sequence[KeptAsideRow]) -> None:
        """Write nothing."""

    def delete_kept_aside(self, name: str, distinct_ids: Sequence[str] | None = None) -> int:  # noqa: ARG002  # a rehearsal
        """Delete nothing."""
        return 0

    def delete_ignored_values(self, name: str, rows: Sequence[IgnoredRow] | None = None) -> int:  # noqa: ARG002  # a rehearsal
        """Delete nothing."""
        return 0

    def add_changes(self, rows: Sequence[ChangeRow]) -> None:
        """Write nothing."""

    def touch(self, distinct_ids: Sequence[str]) -> None:
        """Feed nothing."""


def _read_kept_aside(connection: Connection, space: Space, name: str, *, after: str, limit: int) -> list[KeptAsideRow]:
    query = (
        sa.select(*_KEPT)
        .where(within(kept_aside, space), kept_aside.c.property == name, kept_aside.c.distinct_id > after)
        .order_by(kept_aside.c.distinct_id)
        .limit(limit)
    )
    return [KeptAsideRow._make(row) for row in connection.execute(query)]
