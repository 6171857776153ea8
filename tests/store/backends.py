"""The implementations of the store port, each with what a test must be able to do behind its back.

A further one joins the contract by being added to `BACKENDS`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import msgspec
import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from support.postgres import fresh_database, has_citus
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import BETWEEN_COPIED_FIELDS, BETWEEN_COPIED_ROWS, CopiedRow, ProfileRow, Store
from traitbase.store.memory import MemoryStore
from traitbase.store.postgres import open_postgres
from traitbase.store.sqlite import open_sqlite
from traitbase.store.tables import ONLY_ON

NORTH = Workspace("north", "North", "Europe/Berlin", 1_000)
SOUTH = Workspace("south", "South", "US/Pacific", 2_000)
LIVE, TEST = Space("north", "live"), Space("north", "test")
SOUTH_LIVE = Space("south", "live")


_reader = msgspec.json.Decoder(float_hook=Decimal)
_writer = msgspec.json.Encoder(decimal_format="number", order="sorted")


def plain(rows: Iterable[ProfileRow]) -> list[ProfileRow]:
    """Return rows with their documents written alike: a store may write the same JSON in another way."""
    return [row._replace(document=_plain(row.document.encode()).decode()) for row in rows]


def plain_copied(text: bytes) -> bytes:
    """Return the text of copied profiles with their documents written alike."""
    lines = [line.split(BETWEEN_COPIED_FIELDS) for line in text.split(BETWEEN_COPIED_ROWS) if line]
    at = CopiedRow._fields.index("document")
    return BETWEEN_COPIED_ROWS.join(
        BETWEEN_COPIED_FIELDS.join([*line[:at], _plain(line[at]), *line[at + 1 :]]) for line in lines
    )


def _plain(document: bytes) -> bytes:
    return _writer.encode(_reader.decode(document))


class Backend(Protocol):
    """One implementation with data of its own."""

    store: Store
    owns_its_files: bool
    """Whether it decides itself what becomes of what was deleted."""

    def reopen(self) -> Store:
        """Return a second opening of the same data, as another process has it. Closed with the backend."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Hold the storage as another writer does."""

    def erase_profile(self, space: Space, distinct_id: str) -> None:
        """Take a profile out."""

    def changes_naming(self, space: Space, distinct_ids: Sequence[str]) -> list[str]:
        """Return the request ids of all changes that name one of the ids, in order."""

    def close(self) -> None:
        """Close everything."""


class SqliteBackend:
    owns_its_files = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "traitbase.db"
        self.store = open_sqlite(self.path)
        self._opened: list[Store] = [self.store]

    def reopen(self) -> Store:
        self._opened.append(open_sqlite(self.path))
        return self._opened[-1]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def erase_profile(self, space: Space, distinct_id: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as other, other:
            where = "workspace_id = ? AND environment = ? AND distinct_id = ?"
            other.execute(f"DELETE FROM profiles WHERE {where}", (*space, distinct_id))

    def changes_naming(self, space: Space, distinct_ids: Sequence[str]) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.path)) as other:
            query = "SELECT request_id, distinct_id FROM changes WHERE workspace_id = ? AND environment = ?"
            rows = other.execute(query, space).fetchall()
        return sorted(request_id for request_id, distinct_id in rows if distinct_id in distinct_ids)

    def close(self) -> None:
        for store in self._opened:
            store.close()


class MemoryBackend:
    owns_its_files = True

    def __init__(self, _folder: Path) -> None:
        self.store = MemoryStore()

    def reopen(self) -> Store:
        return self.store

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with self.store.writing:
                holding.set()
                done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def erase_profile(self, space: Space, distinct_id: str) -> None:
        with self.store.lock:
            self.store.tables.profiles.pop((*space, distinct_id), None)

    def changes_naming(self, space: Space, distinct_ids: Sequence[str]) -> list[str]:
        every = [row for (owner, _), rows in self.store.tables.changes.items() if owner == space for row in rows]
        return sorted(row.request_id for row in every if row.distinct_id in distinct_ids)

    def close(self) -> None:
        return


class PostgresBackend:
    owns_its_files = False
    is_distributed = False

    def __init__(self, _folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.url = self._stack.enter_context(fresh_database(distributed=self.is_distributed))
        self.store = open_postgres(self.url)
        self._opened: list[Store] = [self.store]

    def reopen(self) -> Store:
        self._opened.append(open_postgres(self.url))
        return self._opened[-1]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with psycopg.connect(self.url) as other:
            other.execute("LOCK TABLE definition_revisions, profiles IN EXCLUSIVE MODE")
            yield
            other.rollback()

    def erase_profile(self, space: Space, distinct_id: str) -> None:
        with psycopg.connect(self.url) as other:
            where = "workspace_id = %s AND environment = %s AND distinct_id = %s"
            other.execute(f"DELETE FROM profiles WHERE {where}", (*space, distinct_id))

    def changes_naming(self, space: Space, distinct_ids: Sequence[str]) -> list[str]:
        with psycopg.connect(self.url) as other:
            query = "SELECT request_id, distinct_id FROM changes WHERE workspace_id = %s AND environment = %s"
            rows = other.execute(query, space).fetchall()
        return sorted(request_id for request_id, distinct_id in rows if distinct_id in distinct_ids)

    def close(self) -> None:
        for store in self._opened:
            store.close()
        self._stack.close()


class ClusterBackend(PostgresBackend):
    """The tables spread over a Citus cluster, or over partitions by what plays one: see `support/citus`."""

    is_distributed = True

    def __init__(self, folder: Path) -> None:
        if not has_citus():
            pytest.skip("there is no Citus on the server that the tests run on")
        super().__init__(folder)


BACKENDS = {"sqlite": SqliteBackend, "postgres": PostgresBackend, "cluster": ClusterBackend, "memory": MemoryBackend}


@contextlib.contextmanager
def fresh(name: str) -> Iterator[Backend]:
    """Open a backend on empty data that holds the two workspaces and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        backend = BACKENDS[name](Path(folder))
        try:
            backend.store.add_workspace(NORTH)
            backend.store.add_workspace(SOUTH)
            yield backend
        finally:
            backend.close()


def differences(connection: sa.Connection, metadata: sa.MetaData) -> list[object]:
    """Return what is in the database and not in the code's description of it, and the other way round."""

    def is_ours(_thing: object, name: str | None, type_: str, *_more: object) -> bool:
        return type_ != "table" or ONLY_ON.get(name, connection.dialect.name) == connection.dialect.name

    options = {"compare_type": True, "compare_server_default": True, "include_object": is_ours}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return [each for each in found if "comment" not in str(each[0][0] if isinstance(each, list) else each[0])]
