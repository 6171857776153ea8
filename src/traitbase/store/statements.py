"""The statements that run for every group of the writer, compiled once for the database's dialect."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import DeliveryRow
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
    UnlinkedRow,
    WriteSet,
)
from traitbase.store.database import Database, within_bound
from traitbase.store.moving import moves_of
from traitbase.store.running import Preparing, run, run_each
from traitbase.store.tables import (
    changes,
    cohort_members,
    definition_revisions,
    deliveries,
    idempotency_keys,
    ignored_values,
    kept_aside,
    profiles,
    property_definitions,
    property_usage,
    unlinked_changes,
)

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


KEY = ("run_id", "distinct_id", "channel")
"""What tells the deliveries of a space from each other."""

CHANGED = (
    *("state", "reason", "detail", "via", "destination"),
    *("due_at_us", "attempts", "first_at_us", "handed_at_us", "settled_at_us", "provider_id"),
)
"""What a worker changes of a delivery; what recipients do with it is noted beside that."""


def _changed_delivery() -> sa.Update:
    """Return the change of a delivery that is in one of two states, and at a number of attempts."""
    return (
        sa.update(deliveries)
        .values({name: sa.bindparam(f"new_{name}", type_=deliveries.c[name].type) for name in CHANGED})
        .where(
            within_bound(deliveries),
            *(deliveries.c[name] == sa.bindparam(name) for name in KEY),
            sa.or_(deliveries.c.state == sa.bindparam("before"), deliveries.c.state == sa.bindparam("or_before")),
            deliveries.c.attempts == sa.bindparam("at_attempts"),
        )
    )


class Statements:
    """The statements that run for every group, compiled once for the database's dialect."""

    def __init__(self, database: Database) -> None:
        prepare = Preparing(database)
        self.feeding = database.feeding(prepare)
        self.change_delivery = prepare.compile(_changed_delivery())
        self.inserting_deliveries = database.inserting(deliveries, (*Space._fields, *DeliveryRow._fields), prepare)
        is_named, pass_list = database.any_of(profiles.c.distinct_id)
        key_is_named, _ = database.any_of(idempotency_keys.c.idempotency_key)
        self._pass_list = pass_list

        columns = [profiles.c[name] for name in ProfileRow._fields]
        self._find_profiles = prepare.compile(sa.select(*columns).where(within_bound(profiles), is_named))
        copied = sa.select(profiles.c.distinct_id, _copied_line().label("line"))
        copied = copied.where(within_bound(profiles), profiles.c.alias_of.is_(None))
        self._find_copied = prepare.compile(_joined(copied.where(is_named), database))
        copied = copied.where(profiles.c.distinct_id > sa.bindparam("after")).order_by(profiles.c.distinct_id)
        copied = copied.limit(sa.literal_column(f"{_COPIED_A_STEP}")).offset(sa.literal_column("0"))
        self._read_copied = prepare.compile(_joined(copied, database))
        having = [
            profiles.c.distinct_id > sa.bindparam("after"),
            profiles.c.alias_of.is_(None),
            database.has_property(profiles.c.document, sa.bindparam("name")),
        ]
        query = sa.select(*columns).where(within_bound(profiles), *having).order_by(profiles.c.distinct_id)
        query = query.limit(sa.bindparam("limit", type_=sa.Integer)).offset(sa.literal_column("0"))
        self._find_having = prepare.compile(query)
        columns = [profiles.c[name] for name in ("distinct_id", "profile_id", "revision")]
        self._find_revisions = prepare.compile(sa.select(*columns).where(within_bound(profiles), is_named))
        columns = [idempotency_keys.c[name] for name in IdempotencyRow._fields]
        since = idempotency_keys.c.created_at_us >= sa.bindparam("since_us", type_=sa.BigInteger)
        query = sa.select(*columns).where(within_bound(idempotency_keys), key_is_named, since)
        self._find_idempotency = prepare.compile(query)
        query = sa.select(definition_revisions.c.revision).where(within_bound(definition_revisions))
        self._revision = prepare.compile(query.with_for_update(read=True))  # SQLite has one writer, and no such thing

        self._insert_profiles = database.inserting(profiles, ProfileRow._fields, prepare)
        self._known_profiles = database.known_profiles(prepare)
        first = database.insert(definition_revisions)
        first = first.on_conflict_do_update(
            index_elements=list(definition_revisions.primary_key.columns),
            set_={"revision": first.excluded.revision},
            where=definition_revisions.c.revision == sa.literal_column("0"),
        )
        self._first_revision = prepare.compile_insert(first, ("workspace_id", "environment", "revision"))
        moved = (
            sa.update(definition_revisions)
            .values(revision=definition_revisions.c.revision + sa.literal_column("1"))
            .where(
                within_bound(definition_revisions),
                definition_revisions.c.revision == sa.bindparam("revision_before", type_=sa.BigInteger),
            )
        )
        self._next_revision = prepare.compile(moved)
        insert = database.insert(property_definitions).on_conflict_do_nothing()
        names = ("workspace_id", "environment", *DefinitionRow._fields)
        self._put_definitions = prepare.compile_insert(insert, names)
        upsert = database.insert(idempotency_keys)
        expired_before = sa.bindparam("expired_before_us", type_=sa.BigInteger)
        self._put_idempotency = prepare.compile_insert(
            upsert.on_conflict_do_update(
                index_elements=list(idempotency_keys.primary_key.columns),
                set_={name: upsert.excluded[name] for name in ("digest", "request_id", "created_at_us")},
                where=idempotency_keys.c.created_at_us < expired_before,
            ),
            IdempotencyRow._fields,
        )
        self._add_changes = database.inserting(changes, ChangeRow._fields, prepare)
        self._prepare_edits(database, prepare)

    def _prepare_edits(self, database: Database, prepare: Preparing) -> None:
        key = [within_bound(profiles), profiles.c.distinct_id == sa.bindparam("distinct_id")]
        is_as_stored = [
            profiles.c.profile_id == sa.bindparam("stored_profile_id"),
            profiles.c.revision == sa.bindparam("stored_revision", type_=sa.BigInteger),
        ]
        self._delete_profile = prepare.compile(sa.delete(profiles).where(*key, *is_as_stored))
        is_alias = profiles.c.alias_of.is_not(None)
        self._delete_alias = prepare.compile(sa.delete(profiles).where(*key, is_alias))
        repoint = sa.update(profiles).values(alias_of=sa.bindparam("new_alias_of")).where(*key, is_alias)
        self._repoint_alias = prepare.compile(repoint)
        mine = [within_bound(kept_aside), kept_aside.c.distinct_id == sa.bindparam("distinct_id")]
        columns = [kept_aside.c[name] for name in ("property", "value", "request_id", "kept_at_us")]
        self._find_kept_aside = prepare.compile(sa.select(*columns).where(*mine))
        one = kept_aside.c.property == sa.bindparam("property")
        self._delete_kept_aside = prepare.compile(sa.delete(kept_aside).where(*mine, one))
        mine = [within_bound(cohort_members), cohort_members.c.distinct_id == sa.bindparam("distinct_id")]
        self._leave_cohorts = prepare.compile(
            sa.delete(cohort_members).where(*mine).returning(cohort_members.c.cohort_id)
        )
        insert = database.insert(cohort_members).on_conflict_do_nothing()
        self._join_cohort = prepare.compile_insert(insert, [column.name for column in cohort_members.columns])
        names = [column.name for column in cohort_members.columns]
        self._add_members = database.inserting(cohort_members, names, prepare)
        insert = database.insert(profiles).on_conflict_do_nothing()
        self._insert_edited = prepare.compile_insert(insert, (*ProfileRow._fields, *_SEARCH_KEYS))
        whole: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _WRITTEN_WHOLE}
        self._update_edited = prepare.compile(sa.update(profiles).values(whole).where(*key, *is_as_stored))
        at_place = [
            within_bound(changes),
            changes.c.request_id == sa.bindparam("request_id"),
            changes.c.item == sa.bindparam("item", type_=sa.Integer),
        ]
        columns = [changes.c[name] for name in ChangeRow._fields]
        self._find_change = prepare.compile(sa.select(*columns).where(*at_place))
        self._add_unlinked = database.inserting(unlinked_changes, UnlinkedRow._fields, prepare)
        insert = database.insert(ignored_values).on_conflict_do_nothing()
        self._add_ignored_values = prepare.many_rows_of(insert, IgnoredRow._fields)
        names = [column.name for column in kept_aside.columns]
        insert = database.insert(kept_aside).on_conflict_do_nothing().returning(kept_aside.c.property)
        self._take_kept_aside = prepare.many_rows_of(insert, names)
        upsert = database.insert(kept_aside)
        upsert = upsert.on_conflict_do_update(
            index_elements=list(kept_aside.primary_key.columns),
            set_={name: upsert.excluded[name] for name in ("value", "request_id", "kept_at_us")},
        )
        self._put_kept_aside = prepare.many_rows_of(upsert, names)
        added = database.insert(property_usage)
        added = added.on_conflict_do_update(
            index_elements=list(property_usage.primary_key.columns),
            set_={name: property_usage.c[name] + added.excluded[name] for name in ("profiles", "ignored")},
        )
        self._count_usage = prepare.many_rows_of(added, [column.name for column in property_usage.columns])
        self._slot = database.slot
        self._has_one_writer = database.has_one_writer

    def delete_profiles(self, connection: Connection, rows: WriteSet) -> bool:
        """Delete rows that are as they were seen, and aliases; False if one is not as it was."""
        if run_each(connection, self._delete_profile, rows.deleted) != len(rows.deleted):
            return False
        run_each(connection, self._delete_alias, rows.deleted_aliases)
        return True

    def put_edited(self, connection: Connection, rows: WriteSet) -> bool:
        """Write rows as a whole, and where aliases lead; False if one is not as it was."""
        run_each(connection, self._repoint_alias, [(row.alias_of, *row[:3]) for row in rows.repointed])
        new = [(*edited.row, *edited[3:]) for edited in rows.edited if not edited.stored_revision]
        if run_each(connection, self._insert_edited, new) != len(new):
            return False
        for space, from_id, to_id in moves_of(rows.edited):
            self._move_what_is_kept_aside(connection, space, from_id, to_id)
            self._move_memberships(connection, space, from_id, to_id)
        known = [_whole_update(edited) for edited in rows.edited if edited.stored_revision]
        return run_each(connection, self._update_edited, known) == len(known)

    def add_members(self, connection: Connection, rows: Sequence[tuple[str, str, str, str]]) -> int:
        """Insert members of static cohorts; return how many."""
        return self._add_members.execute(connection, rows)

    def _move_what_is_kept_aside(self, connection: Connection, space: Space, from_id: str, to_id: str) -> None:
        """Give another id the values of those properties of which it holds none: where a row is, it stays."""
        found = run(connection, self._find_kept_aside, (*space, from_id)).fetchall()
        taken = self._take_kept_aside.fetch(connection, [(*space, row[0], to_id, *row[1:]) for row in found])
        run_each(connection, self._delete_kept_aside, [(*space, from_id, name) for (name,) in taken])

    def _move_memberships(self, connection: Connection, space: Space, from_id: str, to_id: str) -> None:
        """Make another id a member of all static cohorts that one is in, in its place."""
        left = [row[0] for row in run(connection, self._leave_cohorts, (*space, from_id)).fetchall()]
        for cohort_id in left:
            run(connection, self._join_cohort, (*space, cohort_id, to_id))
            self.feeding.feed(connection, space, [from_id, to_id], cohort_id=cohort_id)

    def find_change(self, connection: Connection, space: Space, place: str) -> Any:
        """Return the row of the change at that place, or None."""
        request_id, _, item = place.rpartition("/")
        return run(connection, self._find_change, (*space, request_id, int(item))).fetchone()

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
        for space in sorted(rows.having.keys() | rows.ignored_counts.keys()):
            having = rows.having.get(space, Counter())
            ignored = rows.ignored_counts.get(space, Counter())
            counted = [
                (*space, name, self._slot, having.get(name, 0), ignored.get(name, 0))
                for name in sorted(having.keys() | ignored.keys())
                if having.get(name) or ignored.get(name)
            ]
            self._count_usage.execute(connection, counted)

    def find_profiles(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> Any:
        """Return rows of ProfileRow."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return run(connection, self._find_profiles, parameters).fetchall()

    def find_copied(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> bytes:
        """Return those of the profiles that exist as text (see `CopiedRow`)."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return run(connection, self._find_copied, parameters).fetchone()[0] or b""

    def read_copied(self, connection: Connection, space: Space, after: str) -> tuple[bytes, str]:
        """Return some hundred profiles behind an id as text, and the last of their ids. No more: two empty texts."""
        text, last = run(connection, self._read_copied, (*space, after)).fetchone()
        return text or b"", last or ""

    def find_having(self, connection: Connection, values: tuple[str, str, str, str, int]) -> Any:
        """Return rows of ProfileRow in order: of a space, behind an id, with a text in the document, so many."""
        return run(connection, self._find_having, values).fetchall()

    def find_revisions(self, connection: Connection, values: tuple[str, str, Sequence[str]]) -> Any:
        """Return distinct_id, profile_id and revision of those of the profiles that exist."""
        workspace_id, environment, distinct_ids = values
        parameters = (workspace_id, environment, self._pass_list(distinct_ids))
        return run(connection, self._find_revisions, parameters).fetchall()

    def find_idempotency(self, connection: Connection, values: tuple[str, str, Sequence[str], int]) -> Any:
        """Return rows of IdempotencyRow."""
        workspace_id, environment, keys, since_us = values
        parameters = (workspace_id, environment, self._pass_list(keys), since_us)
        return run(connection, self._find_idempotency, parameters).fetchall()

    def revision_of(self, connection: Connection, space: Space) -> int:
        """Return the revision of a space's definitions (0: none yet). It stays the same until the transaction ends.

        Where several write, they share its row: so there must be one.
        """
        row = run(connection, self._revision, tuple(space)).fetchone()
        if row is None and not self._has_one_writer:
            run(connection, self._first_revision, (*space, 0))
            row = run(connection, self._revision, tuple(space)).fetchone()
        return row[0] if row else 0

    def put_profiles_at_once(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Insert new profiles and update known ones, many in a statement; return how many were written."""
        known = [row for row in rows if row.revision != 1]
        return self._insert_new(connection, rows) + self._known_profiles.put_at_once(connection, known)

    def put_profiles_one_by_one(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Do the same in the way that is quickest for a few rows where nobody fights for the interpreter."""
        known = [row for row in rows if row.revision != 1]
        return self._insert_new(connection, rows) + self._known_profiles.put_one_by_one(connection, known)

    def _insert_new(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        return self._insert_profiles.execute(connection, [row for row in rows if row.revision == 1])

    def move_revision(self, connection: Connection, space: Space, *, revision: int) -> bool:
        """Move a space from `revision` to the next; False if it is not there."""
        if revision == 0:
            moved = run(connection, self._first_revision, (*space, 1))
        else:
            moved = run(connection, self._next_revision, (*space, revision))
        return bool(moved.rowcount == 1)

    def put_definitions(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert definitions; return how many were not there yet."""
        return run_each(connection, self._put_definitions, rows)

    def put_idempotency(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert keys or replace expired ones; return how many."""
        return run_each(connection, self._put_idempotency, rows)

    def add_changes(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert changes; return how many."""
        return self._add_changes.execute(connection, rows)


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


def _whole_update(edited: EditedRow) -> tuple[Any, ...]:
    key, values = edited.row[:3], edited.row[3:]
    sought = (edited.name_key, edited.email_key, edited.country)
    return (*values, *sought, *key, edited.stored_profile_id, edited.stored_revision)
