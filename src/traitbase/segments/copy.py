"""The columnar copy itself: one DuckDB database, in a file or in memory, and what it says of itself.

All changes are made by one thread at a time, in transactions that move the copy from one moment of the store to a later
one: after a crash it is at one of the two.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.segments.layout import COLUMNS_MAX, ID, KEY, LAYOUT, PROFILE_ID, Column, SpaceTable
from traitbase.segments.loading import MACROS, columns_of, insertion, readable, updating
from traitbase.services.ports import BETWEEN_COPIED_ROWS, NOTHING_FED, FeedEnd

_MEMBERS_A_STEP = 50_000
_TEXT_WORTH_A_STATEMENT = 3_000_000  # bytes: some 4,000 profiles of thirty properties
_TEXT_TO_BEGIN_WITH = 1_000_000  # the engine has nothing to do while the first is read
_WAITING_MAX = 3  # texts that are read and not taken in yet
_UPDATES_A_CHANGED_ROW = 10  # in place, they hardly slow reading down; it is their log that grows
_NO_CHECKPOINTS = "1TB"  # they hold everybody up for seconds: a copy is made anew beside the one in use instead

_OWN_TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
_META = """
CREATE TABLE meta (layout INTEGER, sequence BIGINT, token VARCHAR, traces BOOLEAN);
CREATE TABLE spaces (number INTEGER, workspace_id VARCHAR, environment VARCHAR, has_documents BOOLEAN);
CREATE TABLE properties (number INTEGER, name VARCHAR, kind VARCHAR, position INTEGER);
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may take: memory in bytes, threads, and seconds for one answer."""

    memory_bytes: int = 1024 * 1024 * 1024
    threads: int = os.cpu_count() or 1
    answer_seconds: float = 10.0


class Copy:
    """The columns of every space, at one moment of the store (`position`)."""

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self.path = path
        self._threads = limits.threads
        self._connection = _connect(path, limits)
        self.position = NOTHING_FED
        self.holds_traces = False
        self._rows_put = self._rows_updated = 0
        self.tables: dict[Space, SpaceTable] = {}
        self._counted: dict[int, tuple[FeedEnd, int]] = {}

    @classmethod
    def create(cls, path: Path | None, limits: Limits) -> Copy:
        """Make an empty copy in a new file, or in memory (None)."""
        copy = cls(path, limits)
        copy._connection.execute(_META)
        copy._connection.execute("INSERT INTO meta VALUES (NULL, 0, '', false)")
        copy._prepare()
        return copy

    @classmethod
    def open(cls, path: Path, limits: Limits) -> Copy | None:
        """Open the copy in a file; None if it is none of this layout, or was never finished.

        Raises duckdb.Error if it cannot be read.
        """
        copy = cls(path, limits)
        try:
            if not copy._load():
                copy.close()
                return None
            copy._prepare()
        except BaseException:
            copy.close()
            raise
        return copy

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one thread, which sees the copy as it is now, whatever is changed meanwhile."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT sequence FROM meta").fetchall()  # the moment is that of the first query
        return cursor

    def writing_anew(self, path: Path) -> WritingAnew:
        """Prepare to write the copy to a new file, without what was deleted."""
        return WritingAnew(self._connection.cursor(), path)

    def write_over(self) -> None:
        """Write the tables anew within the copy: what was deleted takes memory until then."""
        with self.moving(self.position):
            for table in self.tables.values():
                for name in (table.profiles, table.members):
                    self._connection.execute(f"CREATE TABLE {name}_anew AS FROM {name}")
                    self._connection.execute(f"DROP TABLE {name}")
                    self._connection.execute(f"ALTER TABLE {name}_anew RENAME TO {name}")
        self._rows_put = self._rows_updated = 0

    @contextmanager
    def moving(self, to: FeedEnd) -> Iterator[None]:
        """Make changes that bring the copy to a position: all of them, or none if the block is left by an exception."""
        before = {space: _copied(table) for space, table in self.tables.items()}, self.holds_traces
        self._connection.execute("BEGIN")
        try:
            yield
            self._connection.execute(
                "UPDATE meta SET layout = ?, sequence = ?, token = ?, traces = ?",
                [LAYOUT, *to, self.holds_traces],
            )
            self._connection.execute("COMMIT")
        except BaseException:
            self.tables, self.holds_traces = before
            self._connection.execute("ROLLBACK")
            raise
        self.position = to

    def table_of(self, space: Space, kinds: Mapping[str, Kind], usage: Mapping[str, int] | None = None) -> SpaceTable:
        """Return a space's table, with columns for these properties and no others.

        New properties get columns as long as there is room, those that most profiles have (`usage`) first.
        """
        table = self.tables.get(space)
        if table is None:
            return self._add_table(space, kinds, usage or {})
        gone = [name for name, column in table.columns.items() if kinds.get(name) is not column.kind]
        new = [name for name in kinds if name not in table.columns or name in gone]
        if gone or new:
            self._change_columns(table, gone, {name: kinds[name] for name in new})
        return table

    def delete(self, table: SpaceTable, distinct_ids: Iterable[str]) -> None:
        """Take out the rows of these ids, as far as they are there."""
        ids = "\n".join(distinct_ids)
        keys = "SELECT key_of(unnest(string_split(?, chr(10))))"
        self._connection.execute(f"DELETE FROM {table.profiles} WHERE {KEY} IN ({keys})", [ids])  # our own names

    def erase(self, table: SpaceTable, profile_ids: Sequence[str]) -> None:
        """Take out deleted profiles, and their memberships. What they were stays in the file until it is made anew."""
        which = f"SELECT {ID} FROM {table.profiles} WHERE {PROFILE_ID} IN (SELECT unnest(string_split(?, chr(10))))"
        ids = [row[0] for row in self._connection.execute(which, ["\n".join(profile_ids)]).fetchall()]
        if ids:
            self._connection.execute(
                f"DELETE FROM {table.members} WHERE {ID} IN (SELECT unnest(string_split(?, chr(10))))",
                ["\n".join(ids)],
            )
            self.delete(table, ids)
        self.holds_traces = True

    def insert(self, table: SpaceTable, lines: bytes) -> None:
        """Put in profiles that are not there, as `readable` has made them."""
        if lines:
            statement, parameters = insertion(table)
            self._connection.execute(statement, {**parameters, "lines": lines})
            self._rows_put += count_copied(lines)

    def update(self, table: SpaceTable, properties: Collection[str], lines: bytes) -> None:
        """Change profiles that are there in these properties, in place. Raises Strayed if one is not there."""
        statement, parameters = updating(table, properties)
        updated = self._connection.execute(statement, {**parameters, "lines": lines}).fetchall()[0][0]
        if updated != count_copied(lines):
            raise Strayed
        kinds = {column.kind for name, column in table.columns.items() if name in properties}
        # The engine takes rows with lists out and puts them in again by itself.
        if Kind.LIST in kinds:
            self._rows_put += updated
        else:
            self._rows_updated += updated

    @contextmanager
    def replacing(self, table: SpaceTable, distinct_ids: Collection[str]) -> Iterator[Callable[[bytes], None]]:
        """Take out the rows of these ids, and give a function that puts in what they are now, some thousand at a time.

        In a thread of its own, so that the caller reads the next profiles while the engine takes these in.
        """
        with _beside(threads=1, waiting=_WAITING_MAX) as do:
            do(self.delete, table, distinct_ids)
            yield lambda profiles: do(self.insert, table, readable(profiles))

    @contextmanager
    def updating(self, table: SpaceTable, properties: Collection[str]) -> Iterator[Callable[[bytes], None]]:
        """Give a function that takes in what profiles are now, as far as these properties go, some thousand at a time.

        In a thread of its own, as `replacing`. Raises Strayed if one of the profiles is not there.
        """
        with _beside(threads=1, waiting=_WAITING_MAX) as do:
            yield lambda profiles: do(self.update, table, properties, readable(profiles))

    @contextmanager
    def filling(self, table: SpaceTable) -> Iterator[Callable[[bytes], None]]:
        """Give a function that puts in profiles that are not there, some at a time, with all the threads there may be.

        Not in the transaction of `moving`: for a copy that is not in use yet. Large transactions go straight to the
        file, in the form in which they stay there.
        """
        statement, parameters = insertion(table)
        mine = threading.local()
        cursors: list[duckdb.DuckDBPyConnection] = []

        def fill(profiles: bytes) -> None:
            if not hasattr(mine, "cursor"):
                mine.cursor = self._connection.cursor()
                mine.cursor.execute("BEGIN")
                cursors.append(mine.cursor)
            mine.cursor.execute(statement, {**parameters, "lines": readable(profiles)})

        with _beside(threads=self._threads, waiting=2 * self._threads) as do:
            yield lambda profiles: do(fill, profiles)
        for cursor in cursors:
            cursor.execute("COMMIT")
            cursor.close()

    def settle(self) -> None:
        """Move what is in the file's log into the file: once, when it was filled."""
        self._connection.execute("CHECKPOINT")

    def put_members(self, table: SpaceTable, cohort_id: str, members: Sequence[str], among: Sequence[str]) -> None:
        """Make `members` those of `among` that are in a static cohort."""
        text = "\n".join(among)
        self._connection.execute(
            f"DELETE FROM {table.members} WHERE cohort_id = ? AND {ID} IN (SELECT unnest(string_split(?, chr(10))))",
            [cohort_id, text],
        )
        self.add_members(table, cohort_id, members)

    def add_members(self, table: SpaceTable, cohort_id: str, members: Sequence[str]) -> None:
        """Put in members that are not there."""
        for start in range(0, len(members), _MEMBERS_A_STEP):
            self._connection.execute(
                f"INSERT INTO {table.members} SELECT ?, unnest(string_split(?, chr(10)))",
                [cohort_id, "\n".join(members[start : start + _MEMBERS_A_STEP])],
            )

    def delete_cohort(self, table: SpaceTable, cohort_id: str) -> None:
        """Take out all members of a static cohort."""
        self._connection.execute(f"DELETE FROM {table.members} WHERE cohort_id = ?", [cohort_id])

    def counted(self, table: SpaceTable, *, at: FeedEnd) -> int | None:
        """Return how many profiles of a space there were at a position, if that was noted."""
        position, count = self._counted.get(table.number, (None, 0))
        return count if position == at else None

    def note_count(self, table: SpaceTable, count: int, *, at: FeedEnd) -> None:
        """Note how many profiles of a space there are at a position: they do not change until the next."""
        self._counted[table.number] = (at, count)

    @property
    def changed_rows(self) -> int:
        """How many rows are not as small, and not as quickly read, as when the copy was written."""
        return self._rows_put + self._rows_updated // _UPDATES_A_CHANGED_ROW

    def count_rows(self) -> int:
        """Return how many profiles there are in all spaces."""
        counts = [self._rows(f"SELECT count(*) FROM {table.profiles}")[0][0] for table in self.tables.values()]
        return sum(counts)

    def log_bytes(self) -> int:
        """Return how long the file's log is: what has changed since the copy was made. In memory there is none."""
        if self.path is None:
            return 0
        log = self.path.with_name(f"{self.path.name}.wal")
        return log.stat().st_size if log.exists() else 0

    def close(self) -> None:
        """Close the database. Cursors of it must not be in use."""
        self._connection.close()

    def _prepare(self) -> None:
        for macro in MACROS:
            self._connection.execute(macro)

    def _load(self) -> bool:
        """Read what the copy says of itself; False if it is none of this layout."""
        found = self._connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name = 'meta'").fetchone()
        meta = None if found is None else self._connection.execute("SELECT * FROM meta").fetchone()
        if meta is None or meta[0] != LAYOUT:
            return False
        self.position, self.holds_traces = FeedEnd(*meta[1:3]), meta[3]
        by_number = {}
        for number, workspace_id, environment, has_documents in self._rows("SELECT * FROM spaces"):
            by_number[number] = SpaceTable(number, {}, has_documents)
            self.tables[Space(workspace_id, environment)] = by_number[number]
        for number, name, kind, position in self._rows("SELECT * FROM properties ORDER BY number, position"):
            by_number[number].columns[name] = Column(Kind(kind), position)
        return True

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def _add_table(self, space: Space, kinds: Mapping[str, Kind], usage: Mapping[str, int]) -> SpaceTable:
        number = 1 + max((table.number for table in self.tables.values()), default=0)
        table = SpaceTable(number)
        by_usage = sorted(kinds, key=lambda name: (-usage.get(name, 0), name))
        for position, name in enumerate(by_usage):
            table.columns[name] = Column(kinds[name], position if position < COLUMNS_MAX else None)
        table.has_documents = len(by_usage) > COLUMNS_MAX
        self._connection.execute(f"CREATE TABLE {table.profiles} ({', '.join(columns_of(table))})")
        self._connection.execute(f"CREATE TABLE {table.members} (cohort_id VARCHAR, {ID} VARCHAR)")
        self._connection.execute("INSERT INTO spaces VALUES (?, ?, ?, ?)", [number, *space, table.has_documents])
        for name, column in table.columns.items():
            self._note_column(table, name, column)
        self.tables[space] = table
        return table

    def _change_columns(self, table: SpaceTable, gone: Sequence[str], new: Mapping[str, Kind]) -> None:
        positions = [column.position for column in table.columns.values() if column.position is not None]
        following = 1 + max(positions, default=-1)
        for name in gone:
            for each, _ in table.columns.pop(name).declared:
                self._connection.execute(f"ALTER TABLE {table.profiles} DROP COLUMN {each}")
            self._connection.execute("DELETE FROM properties WHERE number = ? AND name = ?", [table.number, name])
        taken = Counter(column.position is not None for column in table.columns.values())[True]
        for name, kind in new.items():
            if taken >= COLUMNS_MAX and not table.has_documents:
                raise OutOfColumns
            column = Column(kind, following if taken < COLUMNS_MAX else None)
            for each, type_ in column.declared:
                self._connection.execute(f"ALTER TABLE {table.profiles} ADD COLUMN {each} {type_}")
            following, taken = following + 1, taken + 1
            table.columns[name] = column
            self._note_column(table, name, column)

    def _note_column(self, table: SpaceTable, name: str, column: Column) -> None:
        self._connection.execute(
            "INSERT INTO properties VALUES (?, ?, ?, ?)", [table.number, name, column.kind.value, column.position]
        )


class WritingAnew:
    """Writes a copy to a new file, as it is when that begins.

    Another thread may do so, while the copy goes on being read and changed.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, path: Path) -> None:
        self.path = path
        self._cursor = cursor

    def write(self) -> None:
        """Write all of it. Raises duckdb.Error: InterruptException if it was stopped."""
        cursor, name = self._cursor, f"anew_{self.path.name.split('.')[1]}"
        own = cursor.execute("SELECT current_database()").fetchall()[0][0]
        cursor.execute(f"ATTACH {_quoted(str(self.path))} AS {name}")
        try:
            cursor.execute("BEGIN")
            for (table,) in cursor.execute(_OWN_TABLES).fetchall():
                cursor.execute(f'CREATE TABLE {name}.{table} AS FROM "{own}".{table}')
            cursor.execute(f"UPDATE {name}.meta SET traces = false")
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        finally:
            cursor.execute(f"DETACH {name}")
            cursor.close()

    def stop(self) -> None:
        """Have what is being written given up; for another thread."""
        with suppress(duckdb.Error):  # it has ended in this moment
            self._cursor.interrupt()


@contextmanager
def _beside(*, threads: int, waiting: int) -> Iterator[Callable[..., None]]:
    """Give a function that has something done in other threads, begun in order; no more than so many wait for them."""
    pending: deque[Future[None]] = deque()

    def do(what: Callable[..., None], *arguments: Any) -> None:
        pending.append(pool.submit(what, *arguments))
        if len(pending) > waiting:
            pending.popleft().result()

    with ThreadPoolExecutor(threads) as pool:
        yield do
        for each in pending:
            each.result()


def count_copied(profiles: bytes) -> int:
    """Return how many profiles a text is of."""
    return profiles.count(BETWEEN_COPIED_ROWS) + 1 if profiles else 0


def gathered(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Join texts of profiles to larger ones: the engine takes 20 ms to plan a statement, however little goes in."""
    waiting: list[bytes] = []
    enough = _TEXT_TO_BEGIN_WITH
    for text in texts:
        if text:
            waiting.append(text)
        if sum(map(len, waiting)) >= enough:
            yield BETWEEN_COPIED_ROWS.join(waiting)
            waiting, enough = [], _TEXT_WORTH_A_STATEMENT
    if waiting:
        yield BETWEEN_COPIED_ROWS.join(waiting)


class OutOfColumns(Exception):
    """A space has more properties than columns for the first time: its documents are to be kept, in a new table."""


class Strayed(Exception):
    """The copy is not what the feed goes on from: a profile that was updated is not in it."""


def _connect(path: Path | None, limits: Limits) -> duckdb.DuckDBPyConnection:
    settings: dict[str, Any] = {
        "memory_limit": f"{limits.memory_bytes // 1024}KiB",
        "threads": limits.threads,
        "checkpoint_threshold": _NO_CHECKPOINTS,
        "temp_directory": "",  # what does not fit is refused; people's data goes to no other file
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(":memory:" if path is None else str(path), config=settings)
    connection.execute("SET enable_progress_bar = false")
    connection.execute("PRAGMA disable_checkpoint_on_shutdown")
    return connection


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _copied(table: SpaceTable) -> SpaceTable:
    return SpaceTable(table.number, dict(table.columns), table.has_documents)
