"""Reading the store in a relational database as it was at one moment: all of a space, or the feed of what changed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from traitbase.domain.errors import NotFound
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import CohortRow, DefinitionRow, FeedEnd, FeedRow, ProfileRow
from traitbase.store.cohorts import read_cohorts
from traitbase.store.database import Database, within
from traitbase.store.definitions import read_definitions
from traitbase.store.statements import Statements
from traitbase.store.tables import cohort_members, profiles, workspaces

_ROWS_A_STEP = 500
_MEMBERS_A_STEP = 10_000
_COLUMNS = [profiles.c[name] for name in ProfileRow._fields]
_WORKSPACE = sa.select(workspaces).where(workspaces.c.workspace_id == sa.bindparam("id"))


class SqlSnapshot:
    """A space in a transaction that is open. See the port for what each method promises."""

    def __init__(self, database: Database, statements: Statements, connection: sa.Connection, space: Space) -> None:
        self._database = database
        self._statements = statements
        self._connection = connection
        self._space = space
        self._mine = sa.and_(within(profiles, space), profiles.c.alias_of.is_(None))
        self._reading: list[sa.CursorResult[Any]] = []
        self._steps: list[Generator[list[tuple[Any, ...]], None, None]] = []

    def get_workspace(self) -> Workspace:
        """Return the space's workspace. Raises NotFound."""
        row = self._connection.execute(_WORKSPACE, {"id": self._space.workspace_id}).one_or_none()
        if row is None:
            raise NotFound(f"there is no workspace {self._space.workspace_id!r}", code="workspace_not_found")
        return Workspace(*row)

    def get_definitions(self) -> list[DefinitionRow]:
        """Return the definitions in order of name."""
        return read_definitions(self._connection, self._space)

    def count_profiles(self) -> int:
        """Return how many profiles there are, aliases not counted."""
        query = sa.select(sa.func.count()).select_from(profiles).where(self._mine)
        return self._connection.execute(query).scalar_one()

    def read_profiles(self) -> Iterator[Sequence[ProfileRow]]:
        """Yield the profiles in order of distinct_id. One query, read as it goes: the primary key is in that order."""
        query = sa.select(*_COLUMNS).where(self._mine).order_by(profiles.c.distinct_id)
        for step in self._read(query, _ROWS_A_STEP):
            yield [ProfileRow._make(row) for row in step]

    def find_profiles(self, distinct_ids: Sequence[str]) -> list[ProfileRow]:
        """Return those of the profiles (and aliases) that exist, in any order."""
        rows = self._statements.find_profiles(self._connection, (*self._space, distinct_ids))
        return list(map(ProfileRow._make, rows))

    def find_copied(self, distinct_ids: Sequence[str]) -> bytes:
        """Return those of the profiles (no aliases) that exist, in any order, as text."""
        return self._statements.find_copied(self._connection, (*self._space, distinct_ids))

    def read_copied(self) -> Iterator[bytes]:
        """Yield the profiles (no aliases) in order of distinct_id, some hundred at a time, as text."""
        after = ""
        while True:
            text, after = self._statements.read_copied(self._connection, self._space, after)
            if not text:
                return
            yield text

    def list_cohorts(self) -> list[CohortRow]:
        """Return the space's cohorts in order of name."""
        return read_cohorts(self._connection, self._space)

    def members_among(self, cohort_id: str, distinct_ids: Sequence[str]) -> list[str]:
        """Return those of the ids that are members of a static cohort, in any order."""
        is_named, pass_list = self._database.any_of(cohort_members.c.distinct_id)
        query = sa.select(cohort_members.c.distinct_id).where(self._are_of(cohort_id), is_named)
        return list(self._connection.execute(query, {"values": pass_list(distinct_ids)}).scalars())

    def read_members(self, cohort_id: str) -> Iterator[Sequence[str]]:
        """Yield the members of a static cohort in order of distinct_id, some thousand at a time."""
        query = sa.select(cohort_members.c.distinct_id).where(self._are_of(cohort_id))
        for step in self._read(query.order_by(cohort_members.c.distinct_id), _MEMBERS_A_STEP):
            yield [row[0] for row in step]

    def ask(self, query: str, values: Sequence[Any], *, seconds: float) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the database's own. Raises Refused (`cohort_too_slow`) if it takes longer."""
        with self._database.bounded(self._connection, seconds=seconds) as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def indexed_properties(self) -> frozenset[str]:
        """Return the names of the properties that have an index of their own."""
        return self._database.indexed_properties(self._connection, self._space)

    def ask_in_steps(
        self, query: str, values: Sequence[Any], *, step: int, seconds: float
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query of the database's own, so many at a time."""
        name = f"steps_{len(self._steps)}"
        self._steps.append(self._in_steps(name, query, values, step=step, seconds=seconds))
        return self._steps[-1]

    def _in_steps(
        self, name: str, query: str, values: Sequence[Any], *, step: int, seconds: float
    ) -> Generator[list[tuple[Any, ...]], None, None]:
        with self._database.bounded(self._connection, seconds=seconds, name=name) as cursor:
            cursor.execute(query, values)
            while rows := cursor.fetchmany(step):
                yield rows

    def close(self) -> None:
        """End what is being read. After an error nobody exhausts the iterator, and it outlives the connection."""
        for reading in self._reading:
            reading.close()
        for steps in self._steps:
            steps.close()

    def _are_of(self, cohort_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(within(cohort_members, self._space), cohort_members.c.cohort_id == cohort_id)

    def _read(self, query: sa.Select[Any], step: int) -> Iterator[Sequence[sa.Row[Any]]]:
        reading = self._connection.execution_options(yield_per=step).execute(query)
        self._reading.append(reading)
        yield from reading.partitions()


class SqlMoment:
    """The store in a transaction that is open. See the port for what each method promises."""

    def __init__(self, database: Database, statements: Statements, connection: sa.Connection) -> None:
        self._database = database
        self._statements = statements
        self._connection = connection
        self._feeding = statements.feeding
        self._snapshots: dict[Space, SqlSnapshot] = {}
        self._end: FeedEnd | None = None

    def feed_end(self) -> FeedEnd:
        """Return where the feed ends."""
        if self._end is None:
            self._end = self._feeding.end(self._connection)
        return self._end

    def holds(self, end: FeedEnd) -> bool:
        """Tell whether the feed goes back to that end of an earlier moment."""
        return end == self.feed_end() or self._feeding.holds(self._connection, end)

    def fed_since(self, end: FeedEnd) -> int:
        """Return how many ids were fed since that end of an earlier moment."""
        return 0 if end == self.feed_end() else self._feeding.fed_since(self._connection, end)

    def read_feed(self, after: FeedEnd) -> Iterator[FeedRow]:
        """Yield what was fed since that end of an earlier moment."""
        return self._feeding.read(self._connection, after)

    def spaces(self) -> list[Space]:
        """Return the spaces that have profiles, by one look into the index each."""
        place = [profiles.c.workspace_id, profiles.c.environment]
        found: list[Space] = []
        while True:
            query = sa.select(*place).order_by(*place).limit(1)
            if found:
                query = query.where(sa.tuple_(*place) > sa.tuple_(*(sa.literal(each) for each in found[-1])))
            row = self._connection.execute(query).one_or_none()
            if row is None:
                return found
            found.append(Space(*row))

    def snapshot(self, space: Space) -> SqlSnapshot:
        """Return a space as it was at this moment."""
        if space not in self._snapshots:
            self._snapshots[space] = SqlSnapshot(self._database, self._statements, self._connection, space)
        return self._snapshots[space]

    def close(self) -> None:
        """End what is being read."""
        for snapshot in self._snapshots.values():
            snapshot.close()


class SnapshotQueries:
    """The part of the store port that opens snapshots."""

    _database: Database
    _compiled: Statements

    @contextmanager
    def open_snapshot(self, space: Space) -> Iterator[SqlSnapshot]:
        """Hold a space as it is at this moment, for reading all of it."""
        with self._database.snapshot() as connection:
            snapshot = SqlSnapshot(self._database, self._compiled, connection, space)
            snapshot.get_definitions()  # the moment is that of the first read
            try:
                yield snapshot
            finally:
                snapshot.close()

    @contextmanager
    def open_moment(self) -> Iterator[SqlMoment]:
        """Hold the whole store as it is at this moment."""
        with self._database.snapshot() as connection:
            moment = SqlMoment(self._database, self._compiled, connection)
            moment.feed_end()  # the moment is that of the first read
            try:
                yield moment
            finally:
                moment.close()
