"""Reading all of a space in a relational database as it was at one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from traitbase.domain.spaces import Space
from traitbase.services.ports import DefinitionRow, ProfileRow
from traitbase.store.database import Database, within
from traitbase.store.definitions import read_definitions
from traitbase.store.tables import profiles

_ROWS_A_STEP = 500
_COLUMNS = [profiles.c[name] for name in ProfileRow._fields]


class SqlSnapshot:
    """A space in a transaction that is open. See the port for what each method promises."""

    def __init__(self, connection: sa.Connection, space: Space) -> None:
        self._connection = connection
        self._space = space
        self._mine = sa.and_(within(profiles, space), profiles.c.alias_of.is_(None))
        self._reading: sa.CursorResult[Any] | None = None

    def get_definitions(self) -> list[DefinitionRow]:
        """Return the definitions in order of name."""
        return read_definitions(self._connection, self._space)[1]

    def count_profiles(self) -> int:
        """Return how many profiles there are, aliases not counted."""
        query = sa.select(sa.func.count()).select_from(profiles).where(self._mine)
        return self._connection.execute(query).scalar_one()

    def read_profiles(self) -> Iterator[Sequence[ProfileRow]]:
        """Yield the profiles in order of distinct_id. One query, read as it goes: the primary key is in that order."""
        query = sa.select(*_COLUMNS).where(self._mine).order_by(profiles.c.distinct_id)
        self._reading = self._connection.execution_options(yield_per=_ROWS_A_STEP).execute(query)
        for step in self._reading.partitions():
            yield [ProfileRow._make(row) for row in step]

    def close(self) -> None:
        """End what is being read. After an error nobody exhausts the iterator, and it outlives the connection."""
        if self._reading is not None:
            self._reading.close()


class SnapshotQueries:
    """The part of the store port that opens snapshots."""

    _database: Database

    @contextmanager
    def open_snapshot(self, space: Space) -> Iterator[SqlSnapshot]:
        """Hold a space as it is at this moment, for reading all of it."""
        with self._database.snapshot() as connection:
            snapshot = SqlSnapshot(connection, space)
            snapshot.get_definitions()  # the moment is that of the first read
            try:
                yield snapshot
            finally:
                snapshot.close()
