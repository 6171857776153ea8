"""Writing: everything that one transaction of the group-commit writer does, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.spaces import Space
from traitbase.services.ports import ProfileRow, SeenRow, WriteSet
from traitbase.store.database import Database
from traitbase.store.erasing import erase
from traitbase.store.feeding import feed_group
from traitbase.store.statements import Statements

_PutProfiles: TypeAlias = Callable[[Connection, Sequence[ProfileRow]], int]
_SEEN_A_QUERY = 1_000


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
                self._give_up()
                raise

    def commit(self) -> None:
        """Make what was staged visible and durable."""
        assert self._kept is not None, "stage() comes first"
        with self._database.translating():
            try:
                if not self._database.commit(self._kept):
                    self._kept = None
            except BaseException:
                self._give_up()
                raise

    def _give_up(self) -> None:
        if self._kept is not None and not self._database.give_up(self._kept):
            self._kept = None

    def close(self) -> None:
        """Give the connection back."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _write(self, connection: Connection, rows: WriteSet, put_profiles: _PutProfiles) -> bool:
        """Write all rows; False as soon as something they are based on is no longer so."""
        statements = self._statements
        for space in sorted({erasure.space for erasure in rows.erasures}):
            self._database.pass_alone(connection, space)
            self._database.hold_workspace(connection, space.workspace_id)
        if not self._write_definitions(connection, rows) or not self._take_away(connection, rows):
            return False
        if not _are_as_seen(statements, connection, rows.seen):
            return False
        if not statements.put_edited(connection, rows):
            return False
        if put_profiles(connection, rows.profiles) != len(rows.profiles):
            return False
        feed_group(statements.feeding, connection, rows)
        statements.add_changes(connection, rows.changes)
        statements.add_unlinked(connection, rows.unlinked)
        statements.add_ignored_values(connection, rows.ignored_values)
        statements.count_usage(connection, rows)
        return True

    def _write_definitions(self, connection: Connection, rows: WriteSet) -> bool:
        statements = self._statements
        for space, revision in sorted(rows.definitions_at.items()):  # all writers wait for each other in one order
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
            erase(self._database, self._statements.feeding, connection, erasure)
        return self._statements.delete_profiles(connection, rows)


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
