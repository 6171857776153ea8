"""The implementations of the store port, each with what a test must be able to do behind its back.

A further one joins the contract by being added to `BACKENDS`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import Store
from traitbase.store.memory import MemoryStore
from traitbase.store.sqlite import open_sqlite

NORTH = Workspace("north", "North", "Europe/Berlin", 1_000)
SOUTH = Workspace("south", "South", "US/Pacific", 2_000)
LIVE, TEST = Space("north", "live"), Space("north", "test")
SOUTH_LIVE = Space("south", "live")


class Backend(Protocol):
    """One implementation with data of its own."""

    store: Store

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


BACKENDS = {"sqlite": SqliteBackend, "memory": MemoryBackend}


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
