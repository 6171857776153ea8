"""Writing: everything that one transaction of the group-commit writer does, each statement compiled once.

They are compiled to the driver's own SQL and executed with plain tuples: compiling and processing parameters each time
took longer than the database did.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.spaces import Space
from traitbase.services.ports import (
    BETWEEN_COPIED_FIELDS,
    BETWEEN_COPIED_ROWS,
    ChangeRow,
    CopiedRow,
    DefinitionRow,
    EditedRow,
    IdempotencyRow,
    IgnoredRow,
    KeptAsideRow,
    ProfileRow,
    SeenRow,
    UnlinkedRow,
    WriteSet,
)
from traitbase.store.database import Database, within_bound
from traitbase.store.erasing import erase
from traitbase.store.feeding import Feeding
from traitbase.store.moving import moves_of
from traitbase.store.tables import (
    changes,
    cohort_members,
    definition_revisions,
    idempotency_keys,
    ignored_values,
    kept_aside,
    profiles,
    property_definitions,
    unlinked_changes,
)

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
        if not self._write_definitions(connection, rows) or not self._take_away(connection, rows):
            return False
        if not _are_as_seen(statements, connection, rows.seen):
            return False
        if not statements.put_edited(connection, rows):
            return False
        if put_profiles(connection, rows.profiles) != len(rows.profiles):
            return False
        statements.feeding.feed_group(connection, rows)
        statements.add_changes(connection, rows.changes)
        statements.add_unlinked(connection, rows.unlinked)
        statements.add_ignored_values(connection, rows.ignored_values)
        statements.count_usage(connection, rows)
        return True

    def _write_definitions(self, connection: Connection, rows: WriteSet) -> bool:
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
        return statements.put_idempotency(connection, keys) == len(keys)

    def _take_away(self, connection: Connection, rows: WriteSet) -> bool:
        for erasure in rows.erasures:
            erase(self._database, connection, erasure)
        return self._statements.delete_profiles(connection, rows)


_SEEN_A_QUERY = 1_000
_COPIED_A_STEP = 500  # of the largest profiles they are 128 MB
_SEARCH_KEYS = ("name_key", "email_key", "country")
_WRITTEN_WHOLE = (
    "profile_id",
    "revision",
    "document",
    "created_at_us",
    "updated_at_us",
    "attributes",
    "alias_of",
    "last_change",
    *_SEARCH_KEYS,
)
_WRITTEN_BY_UPDATES = ("revision", "document", "updated_at_us", "last_change")


def _whole_update(edited: EditedRow) -> tuple[Any, ...]:
    key, values = edited.row[:3], edited.row[3:]
    sought = (edited.name_key, edited.email_key, edited.country)
    return (*values, *sought, *key, edited.stored_profile_id, edited.stored_revision)


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
        self.feeding = Feeding(self._dialect)
        is_named, pass_list = database.any_of(profiles.c.distinct_id)
        key_is_named, _ = database.any_of(idempotency_keys.c.idempotency_key)
        self._pass_list = pass_list

        columns = [profiles.c[name] for name in ProfileRow._fields]
        self._find_profiles = self._compile(sa.select(*columns).where(within_bound(profiles), is_named))
        copied = sa.select(profiles.c.distinct_id, _copied_line().label("line"))
        copied = copied.where(within_bound(profiles), profiles.c.alias_of.is_(None))
        self._find_copied = self._compile(_joined(copied.where(is_named), database))
        copied = copied.where(profiles.c.distinct_id > sa.bindparam("after")).order_by(profiles.c.distinct_id)
        copied = copied.limit(sa.literal_column(f"{_COPIED_A_STEP}")).offset(sa.literal_column("0"))
        self._read_copied = self._compile(_joined(copied, database))
        having = [
            profiles.c.distinct_id > sa.bindparam("after"),
            profiles.c.alias_of.is_(None),
            database.contains(profiles.c.document, sa.bindparam("text")),
        ]
        query = sa.select(*columns).where(within_bound(profiles), *having).order_by(profiles.c.distinct_id)
        query = query.limit(sa.bindparam("limit", type_=sa.Integer)).offset(sa.literal_column("0"))
        self._find_having = self._compile(query)
        columns = [profiles.c[name] for name in ("distinct_id", "profile_id", "revision")]
        self._find_revisions = self._compile(sa.select(*columns).where(within_bound(profiles), is_named))
        columns = [idempotency_keys.c[name] for name in IdempotencyRow._fields]
        since = idempotency_keys.c.created_at_us >= sa.bindparam("since_us", type_=sa.BigInteger)
        query = sa.select(*columns).where(within_bound(idempotency_keys), key_is_named, since)
        self._find_idempotency = self._compile(query)
        query = sa.select(definition_revisions.c.revision).where(within_bound(definition_revisions))
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
            .values(
                revision=values_sent[4],
                document=values_sent[5],
                updated_at_us=values_sent[7],
                last_change=values_sent[10],
            )
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
            .values({name: sa.bindparam(f"new_{name}") for name in _WRITTEN_BY_UPDATES})
            .where(
                within_bound(profiles),
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
                within_bound(definition_revisions),
                definition_revisions.c.revision == sa.bindparam("revision_before", type_=sa.BigInteger),
            )
        )
        self._next_revision = self._compile(moved)
        insert = database.insert(property_definitions).on_conflict_do_nothing()
        names = ("workspace_id", "environment", *DefinitionRow._fields)
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
        self._prepare_edits(database)

    def _prepare_edits(self, database: Database) -> None:
        key = [within_bound(profiles), profiles.c.distinct_id == sa.bindparam("distinct_id")]
        is_as_stored = [
            profiles.c.profile_id == sa.bindparam("stored_profile_id"),
            profiles.c.revision == sa.bindparam("stored_revision", type_=sa.BigInteger),
        ]
        self._delete_profile = self._compile(sa.delete(profiles).where(*key, *is_as_stored))
        is_alias = profiles.c.alias_of.is_not(None)
        self._delete_alias = self._compile(sa.delete(profiles).where(*key, is_alias))
        repoint = sa.update(profiles).values(alias_of=sa.bindparam("new_alias_of")).where(*key, is_alias)
        self._repoint_alias = self._compile(repoint)
        held = kept_aside.alias("held")
        is_held = sa.exists().where(
            held.c.workspace_id == kept_aside.c.workspace_id,
            held.c.environment == kept_aside.c.environment,
            held.c.property == kept_aside.c.property,
            held.c.distinct_id == sa.bindparam("holder_id"),
        )
        mine = [within_bound(kept_aside), kept_aside.c.distinct_id == sa.bindparam("distinct_id")]
        moved = sa.update(kept_aside).values(distinct_id=sa.bindparam("new_distinct_id")).where(*mine, ~is_held)
        self._move_kept_aside = self._compile(moved)
        mine = [within_bound(cohort_members), cohort_members.c.distinct_id == sa.bindparam("distinct_id")]
        self._leave_cohorts = self._compile(
            sa.delete(cohort_members).where(*mine).returning(cohort_members.c.cohort_id)
        )
        insert = database.insert(cohort_members).on_conflict_do_nothing()
        self._join_cohort = self._compile_insert(insert, [column.name for column in cohort_members.columns])
        self._add_members = _ManyRows(self._join_cohort)
        insert = database.insert(profiles).on_conflict_do_nothing()
        self._insert_edited = self._compile_insert(insert, (*ProfileRow._fields, *_SEARCH_KEYS))
        whole: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _WRITTEN_WHOLE}
        self._update_edited = self._compile(sa.update(profiles).values(whole).where(*key, *is_as_stored))
        at_place = [
            within_bound(changes),
            changes.c.request_id == sa.bindparam("request_id"),
            changes.c.item == sa.bindparam("item", type_=sa.Integer),
        ]
        columns = [changes.c[name] for name in ChangeRow._fields]
        self._find_change = self._compile(sa.select(*columns).where(*at_place))
        self._add_unlinked = _ManyRows(self._compile_insert(database.insert(unlinked_changes), UnlinkedRow._fields))
        insert = database.insert(ignored_values).on_conflict_do_nothing()
        self._add_ignored_values = _ManyRows(self._compile_insert(insert, IgnoredRow._fields))
        upsert = database.insert(kept_aside)
        self._put_kept_aside = _ManyRows(
            self._compile_insert(
                upsert.on_conflict_do_update(
                    index_elements=list(kept_aside.primary_key.columns),
                    set_={name: upsert.excluded[name] for name in ("value", "request_id", "kept_at_us")},
                ),
                [column.name for column in kept_aside.columns],
            )
        )
        counted = (
            sa.update(property_definitions)
            .values(
                profiles=property_definitions.c.profiles + sa.bindparam("more_profiles", type_=sa.BigInteger),
                ignored=property_definitions.c.ignored + sa.bindparam("more_ignored", type_=sa.BigInteger),
            )
            .where(within_bound(property_definitions), property_definitions.c.name == sa.bindparam("name"))
        )
        self._count_usage = self._compile(counted)

    def delete_profiles(self, connection: Connection, rows: WriteSet) -> bool:
        """Delete rows that are as they were seen, and aliases; False if one is not as it was."""
        if _execute_many(connection, self._delete_profile, rows.deleted) != len(rows.deleted):
            return False
        _execute_many(connection, self._delete_alias, rows.deleted_aliases)
        return True

    def put_edited(self, connection: Connection, rows: WriteSet) -> bool:
        """Write rows as a whole, and where aliases lead; False if one is not as it was."""
        _execute_many(connection, self._repoint_alias, [(row.alias_of, *row[:3]) for row in rows.repointed])
        new = [(*edited.row, *edited[3:]) for edited in rows.edited if not edited.stored_revision]
        if _execute_many(connection, self._insert_edited, new) != len(new):
            return False
        for space, from_id, to_id in moves_of(rows.edited):
            _run(connection, self._move_kept_aside, (to_id, *space, from_id, to_id))
            self._move_memberships(connection, space, from_id, to_id)
        known = [_whole_update(edited) for edited in rows.edited if edited.stored_revision]
        return _execute_many(connection, self._update_edited, known) == len(known)

    def add_members(self, connection: Connection, rows: Sequence[tuple[str, str, str, str]]) -> int:
        """Insert members of static cohorts; return how many."""
        return self._add_members.execute(connection, rows)

    def _move_memberships(self, connection: Connection, space: Space, from_id: str, to_id: str) -> None:
        """Make another id a member of all static cohorts that one is in, in its place."""
        left = [row[0] for row in _run(connection, self._leave_cohorts, (*space, from_id)).fetchall()]
        for cohort_id in left:
            _run(connection, self._join_cohort, (*space, cohort_id, to_id))
            self.feeding.feed(connection, space, [from_id, to_id], cohort_id=cohort_id)

    def find_change(self, connection: Connection, space: Space, place: str) -> Any:
        """Return the row of the change at that place, or None."""
        request_id, _, item = place.rpartition("/")
        return _run(connection, self._find_change, (*space, request_id, int(item))).fetchone()

    def add_unlinked(self, connection: Connection, rows: Sequence[UnlinkedRow]) -> None:
        """Insert where changes are that nothing leads to."""
        self._add_unlinked.execute(connection, rows)

    def add_ignored_values(self, connection: Connection, rows: Sequence[IgnoredRow]) -> None:
        """Insert ignored values."""
        self._add_ignored_values.execute(connection, rows)

    def put_kept_aside(self, connection: Connection, rows: Sequence[KeptAsideRow]) -> None:
        """Insert or replace rows of values kept aside."""
        self._put_kept_aside.execute(connection, rows)

    def count_usage(self, connection: Connection, rows: WriteSet) -> None:
        """Add to the numbers of profiles that have a property, and of its ignored values."""
        for space in rows.having.keys() | rows.ignored_counts.keys():
            having = rows.having.get(space, Counter())
            ignored = rows.ignored_counts.get(space, Counter())
            counted = [
                (having.get(name, 0), ignored.get(name, 0), *space, name)
                for name in sorted(having.keys() | ignored.keys())
                if having.get(name) or ignored.get(name)
            ]
            _execute_many(connection, self._count_usage, counted)

    def find_profiles(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> Any:
        """Return rows of ProfileRow."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return _run(connection, self._find_profiles, parameters).fetchall()

    def find_copied(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> bytes:
        """Return those of the profiles that exist as text (see `CopiedRow`)."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return _run(connection, self._find_copied, parameters).fetchone()[0] or b""

    def read_copied(self, connection: Connection, space: Space, after: str) -> tuple[bytes, str]:
        """Return some hundred profiles behind an id as text, and the last of their ids. No more: two empty texts."""
        text, last = _run(connection, self._read_copied, (*space, after)).fetchone()
        return text or b"", last or ""

    def find_having(self, connection: Connection, values: tuple[str, str, str, str, int]) -> Any:
        """Return rows of ProfileRow in order: of a space, behind an id, with a text in the document, so many."""
        return _run(connection, self._find_having, values).fetchall()

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
        known = [(row[4], row[5], row[7], row[10], *row[:4], row[4] - 1) for row in rows if row.revision != 1]
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


def _copied_line() -> sa.ColumnElement[str]:
    """Return the expression of a profile's line of text (see `CopiedRow`)."""
    fields = [profiles.c[name] for name in CopiedRow._fields]
    texts = [sa.func.coalesce(sa.cast(field, sa.Text), sa.literal_column("''", sa.Text)) for field in fields]
    between = sa.literal_column(f"'{BETWEEN_COPIED_FIELDS.decode()}'", sa.Text)
    return functools.reduce(lambda line, text: line + between + text, texts[1:], texts[0])


def _joined(lines: sa.Select[Any], database: Database) -> sa.Select[bytes, Any]:
    """Return the query of the lines as one text, and of the last distinct_id."""
    these = lines.subquery()
    between: Any = sa.literal_column(f"'{BETWEEN_COPIED_ROWS.decode()}'")  # so that it is no parameter
    text = sa.func.aggregate_strings(these.c.line, between)
    return sa.select(database.as_utf8(text), sa.func.max(these.c.distinct_id))


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
