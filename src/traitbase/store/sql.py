"""The store on a relational database: every statement of the product, in SQLAlchemy Core.

Statements that run for every request are compiled once, to the driver's own SQL, and executed with plain tuples:
compiling and processing parameters each time took longer than the database did.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from traitbase.domain.definitions import State
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.keys import ApiKey, Reach, Scope
from traitbase.domain.spaces import Space, Workspace
from traitbase.domain.values import Kind
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    IdempotencyRow,
    ProfileRow,
    SeenRow,
    WriteSession,
    WriteSet,
)
from traitbase.store.tables import (
    api_keys,
    changes,
    definition_revisions,
    idempotency_keys,
    profiles,
    property_definitions,
    workspaces,
)


class Database(Protocol):
    """What differs between databases: how connections are made, and what their errors mean."""

    engine: Engine

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that may write, commit it at the end, translate the driver's errors."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection for reading, translate the driver's errors."""

    def begin(self, connection: Connection, *, wait_seconds: float) -> bool:
        """Begin a writing transaction; False if another writer held the database for that long."""

    def translating(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into Refused where they mean that the storage cannot be used."""

    def make_roomy(self, connection: Connection) -> None:
        """Prepare a connection that a writer keeps."""

    def insert(self, table: sa.Table) -> Any:  # each dialect has an Insert of its own
        """Return the dialect's INSERT, which knows ON CONFLICT."""

    def any_of(self, column: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], Callable[[Sequence[str]], Any]]:
        """Return the condition `column is one of :values`, and how to pass a list of strings for `:values`."""

    def tidy(self) -> None:
        """Do the database's own housekeeping."""

    def check(self) -> None:
        """Raise Refused if nothing can be written at the moment. Cheap enough to be asked every second."""


class SqlStore:
    """The store port on one database. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compiled = Statements(database)

    def add_workspace(self, workspace: Workspace) -> None:
        """Store a new workspace. Raises Conflict if its id is taken."""
        row = {name: getattr(workspace, name) for name in ("workspace_id", "name", "timezone", "created_at_us")}
        statement = self._database.insert(workspaces).values(row).on_conflict_do_nothing()
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise Conflict(f"there is a workspace {workspace.workspace_id!r} already", code="workspace_exists")

    def find_workspace(self, workspace_id: str) -> Workspace | None:
        """Return the workspace, or None."""
        query = sa.select(workspaces).where(workspaces.c.workspace_id == workspace_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Workspace(**row._mapping)  # noqa: SLF001  # SQLAlchemy's documented accessor

    def list_workspaces(self) -> list[Workspace]:
        """Return all workspaces in order of creation."""
        query = sa.select(workspaces).order_by(workspaces.c.created_at_us, workspaces.c.workspace_id)
        with self._database.reading() as connection:
            return [Workspace(**row) for row in connection.execute(query).mappings()]

    def add_api_key(self, key: ApiKey) -> None:
        """Store a new key."""
        row = {
            "key_id": key.key_id,
            "workspace_id": key.workspace_id,
            "reach": key.reach.value,
            "scope": key.scope.value,
            "name": key.name,
            "digest": key.digest,
            "created_at_us": key.created_at_us,
            "expires_at_us": key.expires_at_us,
            "revoked_at_us": key.revoked_at_us,
            "networks": " ".join(key.networks),
        }
        with self._database.writing() as connection:
            connection.execute(sa.insert(api_keys).values(row))

    def find_api_key(self, digest: str) -> ApiKey | None:
        """Return the key with that digest, or None."""
        query = sa.select(api_keys).where(api_keys.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _api_key(row)

    def list_api_keys(self, workspace_id: str) -> list[tuple[ApiKey, int | None]]:
        """Return a workspace's keys in order of creation, each with the time it was last used."""
        query = (
            sa.select(api_keys)
            .where(api_keys.c.workspace_id == workspace_id)
            .order_by(api_keys.c.created_at_us, api_keys.c.key_id)
        )
        with self._database.reading() as connection:
            return [(_api_key(row), row["last_used_at_us"]) for row in connection.execute(query).mappings()]

    def revoke_api_key(self, key_id: str, *, at_us: int) -> bool:
        """Revoke a key for good. False if there is no such key, or it is revoked already."""
        statement = (
            sa.update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at_us.is_(None))
            .values(revoked_at_us=at_us)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def note_api_key_use(self, key_id: str, *, at_us: int) -> None:
        """Record that the key was used."""
        statement = sa.update(api_keys).where(api_keys.c.key_id == key_id).values(last_used_at_us=at_us)
        with self._database.writing() as connection:
            connection.execute(statement)

    def find_profiles(self, space: Space, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles that exist, in any order."""
        with self._database.reading() as connection:
            rows = self._compiled.find_profiles(connection, (*space, distinct_ids))
        return list(map(ProfileRow._make, rows))

    def get_definitions(self, space: Space) -> tuple[int, list[DefinitionRow]]:
        """Return the revision of the space's definitions (0: none yet) and the definitions in order of name."""
        query = (
            sa.select(
                property_definitions.c.name,
                property_definitions.c.kind,
                property_definitions.c.state,
                property_definitions.c.first_seen_at_us,
                property_definitions.c.first_seen_in,
            )
            .where(_within(property_definitions, space))
            .order_by(property_definitions.c.name)
        )
        with self._database.reading() as connection, connection.begin():  # one snapshot for both
            revision = _revision(connection, space)
            rows = connection.execute(query).all()
        return revision, [DefinitionRow(row[0], Kind(row[1]), State(row[2]), row[3], row[4]) for row in rows]

    def find_idempotency(self, space: Space, keys: Sequence[str], *, since_us: int) -> list[IdempotencyRow]:
        """Return those of the keys that were used at or after `since_us`."""
        with self._database.reading() as connection:
            rows = self._compiled.find_idempotency(connection, (*space, keys, since_us))
        return [IdempotencyRow(*row) for row in rows]

    def find_changes(self, space: Space, request_id: str) -> list[ChangeRow]:
        """Return the changes of one request in order of item; an empty list if none are known."""
        query = (
            sa.select(changes)
            .where(_within(changes, space), changes.c.request_id == request_id)
            .order_by(changes.c.item)
        )
        with self._database.reading() as connection:
            return [ChangeRow(**row) for row in connection.execute(query).mappings()]

    def forget_requests(self, *, received_before_us: int, at_most: int) -> int:
        """Delete up to that many changes received earlier, and all idempotency keys of that age. Returns how many."""
        columns = list(changes.primary_key.columns)
        key = sa.tuple_(*columns)
        old = sa.select(*columns).where(changes.c.received_at_us < received_before_us).limit(at_most)
        with self._database.writing() as connection:
            deleted = connection.execute(sa.delete(changes).where(key.in_(old))).rowcount
            statement = sa.delete(idempotency_keys).where(idempotency_keys.c.created_at_us < received_before_us)
            connection.execute(statement)
        return deleted

    def open_session(self) -> WriteSession:
        """Return a new session for one writer."""
        return SqlWriteSession(self._database, self._compiled)

    def tidy(self) -> None:
        """Do the storage's own housekeeping, in the caller's thread."""
        self._database.tidy()

    def check(self) -> None:
        """Raise Refused if the storage cannot be read or written to at the moment."""
        with self._database.reading() as connection:
            connection.execute(sa.select(sa.literal(1))).one()
        self._database.check()

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()


_PutProfiles: TypeAlias = Callable[[Connection, Sequence[ProfileRow]], int]


class SqlWriteSession:
    """One writer's connection, kept open between its transactions."""

    def __init__(self, database: Database, statements: Statements) -> None:
        self._database = database
        self._statements = statements
        self._kept: Connection | None = None

    def write(self, rows: WriteSet, *, wait_seconds: float) -> None:
        """Make everything visible and durable together, or nothing. See the port for what it raises."""
        self._stage(rows, wait_seconds=wait_seconds, put_profiles=self._statements.put_profiles_at_once)
        self.commit()

    def stage(self, rows: WriteSet, *, wait_seconds: float) -> None:
        """Do everything of `write` but the end: `commit` must follow."""
        self._stage(rows, wait_seconds=wait_seconds, put_profiles=self._statements.put_profiles_one_by_one)

    def _stage(self, rows: WriteSet, *, wait_seconds: float, put_profiles: _PutProfiles) -> None:
        with self._database.translating():
            if self._kept is None:
                self._kept = self._database.engine.connect()
                self._database.make_roomy(self._kept)
            connection = self._kept
            try:
                if not self._database.begin(connection, wait_seconds=wait_seconds):
                    message = f"the storage was held by another writer for {wait_seconds:g} s; try again"
                    raise Refused(message, code="store_unavailable")  # noqa: TRY301  # rolled back below
                if not self._write(connection, rows, put_profiles):
                    raise Conflict("another writer was faster", code="lost_race")  # noqa: TRY301
            except BaseException:
                connection.connection.rollback()
                raise

    def commit(self) -> None:
        """Make what was staged visible and durable."""
        assert self._kept is not None, "stage() comes first"
        with self._database.translating():
            try:
                self._kept.connection.commit()
            except BaseException:
                self._kept.connection.rollback()
                raise

    def close(self) -> None:
        """Give the connection back."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _write(self, connection: Connection, rows: WriteSet, put_profiles: _PutProfiles) -> bool:
        """Write all rows; False as soon as something they are based on is no longer so."""
        statements = self._statements
        for space, revision in rows.definitions_at.items():
            new = rows.new_definitions.get(space)
            if not new:
                if statements.revision_of(connection, space) != revision:
                    return False
                continue
            if not statements.move_revision(connection, space, revision=revision):
                return False
            entries = [(*space, row.name, row.kind.value, row.state.value, *row[3:]) for row in new]
            if statements.put_definitions(connection, entries) != len(new):
                return False
        keys = [(*row, rows.expired_before_us) for row in rows.idempotency]
        if statements.put_idempotency(connection, keys) != len(keys):
            return False
        if not _are_as_seen(statements, connection, rows.seen):
            return False
        if put_profiles(connection, rows.profiles) != len(rows.profiles):
            return False
        statements.add_changes(connection, rows.changes)
        return True


_SEEN_A_QUERY = 1_000


def _are_as_seen(statements: Statements, connection: Connection, rows: Sequence[SeenRow]) -> bool:
    by_space: dict[Space, list[SeenRow]] = {}
    for row in rows:
        by_space.setdefault(Space(row.workspace_id, row.environment), []).append(row)
    for space, seen in by_space.items():
        for start in range(0, len(seen), _SEEN_A_QUERY):
            part = seen[start : start + _SEEN_A_QUERY]
            found = statements.find_revisions(connection, (*space, [row.distinct_id for row in part]))
            now = {distinct_id: (profile_id, revision) for distinct_id, profile_id, revision in found}
            if any(now.get(row.distinct_id, ("", 0)) != (row.profile_id, row.revision) for row in part):
                return False
    return True


class Statements:
    """The statements that run for every group, compiled once for the database's dialect."""

    def __init__(self, database: Database) -> None:
        self._dialect = database.engine.dialect
        is_named, pass_list = database.any_of(profiles.c.distinct_id)
        key_is_named, _ = database.any_of(idempotency_keys.c.idempotency_key)
        self._pass_list = pass_list

        columns = [profiles.c[name] for name in ProfileRow._fields]
        self._find_profiles = self._compile(sa.select(*columns).where(_within_bound(profiles), is_named))
        columns = [profiles.c[name] for name in ("distinct_id", "profile_id", "revision")]
        self._find_revisions = self._compile(sa.select(*columns).where(_within_bound(profiles), is_named))
        columns = [idempotency_keys.c[name] for name in IdempotencyRow._fields]
        since = idempotency_keys.c.created_at_us >= sa.bindparam("since_us", type_=sa.BigInteger)
        query = sa.select(*columns).where(_within_bound(idempotency_keys), key_is_named, since)
        self._find_idempotency = self._compile(query)
        query = sa.select(definition_revisions.c.revision).where(_within_bound(definition_revisions))
        self._revision = self._compile(query)

        self._insert_profiles = _ManyRows(
            self._compile_insert(database.insert(profiles).on_conflict_do_nothing(), ProfileRow._fields)
        )
        # Not one upsert: a row that was deleted meanwhile must not come back, and one that was deleted and made anew
        # may be at any revision again, but never has the same profile_id.
        values_sent: list[sa.ColumnElement[Any]] = [
            sa.literal_column(f"sent.column{position}") for position in range(1, len(ProfileRow._fields) + 1)
        ]
        places = ", ".join("?" * len(values_sent))
        update = (
            sa.update(profiles)
            .values(revision=values_sent[4], document=values_sent[5], updated_at_us=values_sent[7])
            .where(
                profiles.c.workspace_id == values_sent[0],
                profiles.c.environment == values_sent[1],
                profiles.c.distinct_id == values_sent[2],
                profiles.c.profile_id == values_sent[3],
                profiles.c.revision == values_sent[4] - sa.literal_column("1"),
            )
        )
        compiled = self._compile(update).replace(" WHERE ", f" FROM (VALUES ({places})) AS sent WHERE ", 1)
        self._update_profiles = _ManyRows(compiled)
        self._update_profile = self._compile(
            sa.update(profiles)
            .values({name: sa.bindparam(f"new_{name}") for name in ("revision", "document", "updated_at_us")})
            .where(
                _within_bound(profiles),
                profiles.c.distinct_id == sa.bindparam("distinct_id"),
                profiles.c.profile_id == sa.bindparam("profile_id"),
                profiles.c.revision == sa.bindparam("revision_before", type_=sa.BigInteger),
            )
        )
        insert = database.insert(definition_revisions).on_conflict_do_nothing()
        self._first_revision = self._compile_insert(insert, ("workspace_id", "environment", "revision"))
        moved = (
            sa.update(definition_revisions)
            .values(revision=definition_revisions.c.revision + sa.literal_column("1"))
            .where(
                _within_bound(definition_revisions),
                definition_revisions.c.revision == sa.bindparam("revision_before", type_=sa.BigInteger),
            )
        )
        self._next_revision = self._compile(moved)
        names = ("workspace_id", "environment", "name", "kind", "state", "first_seen_at_us", "first_seen_in")
        insert = database.insert(property_definitions).on_conflict_do_nothing()
        self._put_definitions = self._compile_insert(insert, names)
        upsert = database.insert(idempotency_keys)
        expired_before = sa.bindparam("expired_before_us", type_=sa.BigInteger)
        self._put_idempotency = self._compile_insert(
            upsert.on_conflict_do_update(
                index_elements=list(idempotency_keys.primary_key.columns),
                set_={name: upsert.excluded[name] for name in ("digest", "request_id", "created_at_us")},
                where=idempotency_keys.c.created_at_us < expired_before,
            ),
            IdempotencyRow._fields,
        )
        self._add_changes = _ManyRows(self._compile_insert(database.insert(changes), ChangeRow._fields))

    def find_profiles(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> Any:
        """Return rows of ProfileRow."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return _run(connection, self._find_profiles, parameters).fetchall()

    def find_revisions(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> Any:
        """Return distinct_id, profile_id and revision of those of the profiles that exist."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return _run(connection, self._find_revisions, parameters).fetchall()

    def find_idempotency(self, connection: Connection, values: tuple[str, str, Sequence[str], int]) -> Any:
        """Return rows of IdempotencyRow."""
        workspace_id, environment, keys, since_us = values
        parameters = (workspace_id, environment, self._pass_list(keys), since_us)
        return _run(connection, self._find_idempotency, parameters).fetchall()

    def revision_of(self, connection: Connection, space: Space) -> int:
        """Return the revision of a space's definitions (0: none yet)."""
        row = _run(connection, self._revision, tuple(space)).fetchone()
        return row[0] if row else 0

    def put_profiles_at_once(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Insert new profiles and update known ones, many in a statement; return how many were written."""
        known = [row for row in rows if row.revision != 1]
        return self._insert_new(connection, rows) + self._update_profiles.execute(connection, known)

    def put_profiles_one_by_one(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Do the same with a statement for each known profile.

        That takes half the time where nobody fights for the interpreter (6.5 µs a row instead of 14), and fifty times
        as long where somebody does.
        """
        known = [(row[4], row[5], row[7], *row[:4], row[4] - 1) for row in rows if row.revision != 1]
        if not known:
            return self._insert_new(connection, rows)
        cursor = connection.connection.cursor()
        cursor.executemany(self._update_profile, known)
        return self._insert_new(connection, rows) + cursor.rowcount

    def _insert_new(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        return self._insert_profiles.execute(connection, [row for row in rows if row.revision == 1])

    def move_revision(self, connection: Connection, space: Space, *, revision: int) -> bool:
        """Move a space from `revision` to the next; False if it is not there."""
        if revision == 0:
            moved = connection.exec_driver_sql(self._first_revision, (*space, 1))
        else:
            moved = connection.exec_driver_sql(self._next_revision, (*space, revision))
        return moved.rowcount == 1

    def put_definitions(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert definitions; return how many were not there yet."""
        return _execute_many(connection, self._put_definitions, rows)

    def put_idempotency(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert keys or replace expired ones; return how many."""
        return _execute_many(connection, self._put_idempotency, rows)

    def add_changes(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert changes; return how many."""
        return self._add_changes.execute(connection, rows)

    def _compile(self, statement: Any) -> str:  # selects and inserts of any dialect
        return str(statement.compile(dialect=self._dialect))

    def _compile_insert(self, statement: Any, names: Iterable[str]) -> str:
        return str(statement.compile(dialect=self._dialect, column_keys=list(names)))


def _run(connection: Connection, statement: str, values: tuple[Any, ...]) -> Any:
    """Execute a compiled statement on the driver's own cursor: SQLAlchemy's takes 30 µs more, for each of them."""
    cursor = connection.connection.cursor()
    cursor.execute(statement, values)
    return cursor


class _ManyRows:
    """A statement with one row of VALUES, executed for many rows at a time.

    A driver's `executemany` comes back to Python after every row. In a thread beside a busy event loop that means
    waiting for the interpreter a thousand times for a thousand rows (measured: 1.4 s); one statement with a thousand
    rows waits once (18 ms). The sizes are few, so that each is compiled by the database once.
    """

    _SMALL = 64
    _SIZES = (1024, 512, 256, 128, _SMALL)

    def __init__(self, statement: str) -> None:
        start = statement.index("VALUES (") + len("VALUES ")
        end = statement.index(")", start) + 1
        self._before, self._row, self._after = statement[:start], statement[start:end], statement[end:]
        self._texts: dict[int, str] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute for all rows and return how many rows of the table it changed."""
        changed = done = 0
        while done < len(rows):
            left = len(rows) - done
            size = left if left <= self._SMALL else next(size for size in self._SIZES if size <= left)
            values = tuple(itertools.chain.from_iterable(rows[done : done + size]))
            changed += _run(connection, self._text(size), values).rowcount
            done += size
        return changed

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._before + ", ".join([self._row] * size) + self._after
            self._texts[size] = text
        return text


def _execute_many(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
    if not rows:
        return 0
    return connection.exec_driver_sql(statement, list(rows)).rowcount


def _within(table: sa.Table, space: Space) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.workspace_id == space.workspace_id, table.c.environment == space.environment)


def _within_bound(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.workspace_id == sa.bindparam("workspace_id"), table.c.environment == sa.bindparam("environment")
    )


def _revision(connection: Connection, space: Space) -> int:
    query = sa.select(definition_revisions.c.revision).where(_within(definition_revisions, space))
    return connection.execute(query).scalar_one_or_none() or 0


def _api_key(row: Any) -> ApiKey:  # a row mapping
    return ApiKey(
        key_id=row["key_id"],
        workspace_id=row["workspace_id"],
        reach=Reach(row["reach"]),
        scope=Scope(row["scope"]),
        name=row["name"],
        digest=row["digest"],
        created_at_us=row["created_at_us"],
        expires_at_us=row["expires_at_us"],
        revoked_at_us=row["revoked_at_us"],
        networks=tuple(row["networks"].split()),
    )
