"""SQLite: one file, a write-ahead log, every commit on the disk before it is answered (`synchronous=FULL`)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.pool import QueuePool

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.ports import Cleared
from traitbase.store.feeding import Feeding
from traitbase.store.known_profiles import KnownProfiles, UpdateFromValues
from traitbase.store.running import Inserting, Preparing
from traitbase.store.schema import HEAD, migrate
from traitbase.store.sequential_feed import SequentialFeed
from traitbase.store.sql import SqlStore
from traitbase.store.sqlite_driver import ask_once, driver_of, pause
from traitbase.store.sqlite_traces import Traces

# Smaller pages than the usual 4096 bytes: a commit writes every page it touched to the log, and updates of profiles
# touch one page each, anywhere. Measured for 1,000 updates of 100,000 profiles: 12 ms a commit instead of 19.
_PAGE_BYTES = 2048
_READER_CACHE_KIB = 8_192
_WRITER_CACHE_KIB = 65_536
# Copying the log makes commits wait for the disk, for tens of milliseconds: rarely, then, and each page once however
# often it was written. Measured at half of peak load, copying twice a second: the 99th percentile of requests was 12 to
# 20 ms (medians of runs); like this, 9.6 ms.
_WORTH_COPYING_FRAMES = 32_768  # 64 MB
_LONG_LOG_FRAMES = 65_536
_COPY_SECONDS = (1.0, 10.0)
_BEFORE_ERASURES = "0001"  # the schema of releases that left deleted text in free space
_WRITING_PATIENCE_SECONDS = 15.0
_WAITING_WRITERS_MAX = 16
_OPENING_PATIENCE_SECONDS = 5.0
_PROBE_SECONDS = 5.0


def open_sqlite(path: Path, *, on_upgrade: Callable[[str, str], None] | None = None) -> SqlStore:
    """Open (or create) the database file and bring its schema up to date; tells `on_upgrade` from and to which.

    Raises Refused, with what to do about it, if the file cannot be opened, written to or understood.
    """
    database = SqliteDatabase(path)
    with database.writing() as connection:
        before = migrate(connection, elsewhere="choose another folder with --data, or move that file away")
    if before == _BEFORE_ERASURES:
        database.rewrite()
    database.look_for_traces()
    database.remember_files()
    database.remember_schema()
    if before not in (None, HEAD) and on_upgrade is not None:
        on_upgrade(before or "", HEAD)
    return SqlStore(database)


class SqliteDatabase:
    """Connections to one SQLite file, and what its errors mean. Whoever writes has all of it to itself."""

    slot = 0
    has_one_writer = True
    answers_at_once = True
    is_distributed = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tidying = threading.Lock()
        self._traces = Traces(self.reading, lambda: self._path.stat().st_size)
        self._waiting_writers = threading.BoundedSemaphore(_WAITING_WRITERS_MAX)
        self._schema: int | None = None
        self._copied_frames = 0
        self._copied_at_bytes = 0
        self._copied_at = self._copy_next_at = time.monotonic()
        self._files: _Files | None = None
        self._probing = threading.Lock()
        self._probe_next_at = 0.0
        self.engine: Engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            hide_parameters=True,  # an error must not carry property values into a log
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=56,  # more than there are threads to read with, and writers that may wait
            pool_timeout=5.0,
            connect_args={"check_same_thread": False, "timeout": 5.0, "cached_statements": 256},
        )
        sa.event.listen(self.engine, "do_connect", self._check_files_around)
        sa.event.listen(self.engine, "connect", self._check_files_around)  # opening makes a file that is not there
        sa.event.listen(self.engine, "connect", _prepare_connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def rewrite(self) -> None:
        """Write the whole file anew, without what deleted data left in it.

        Raises Refused if others read or write for too long.
        """
        self._traces.rewrite()

    def look_for_traces(self) -> None:
        """Find out what a process before this one has left to clear away."""
        self._traces.look()

    @contextmanager
    def writing(self, *, wait_seconds: float = _WRITING_PATIENCE_SECONDS) -> Iterator[Connection]:
        """Open a transaction that may write, commit it at the end, translate the driver's errors."""
        with contextlib.ExitStack() as stack:
            with self._one_of_few():
                stack.enter_context(self.translating())
                connection = stack.enter_context(self.engine.connect())
                if not self.begin(connection, wait_seconds=wait_seconds):
                    message = f"the database was held by another writer for {wait_seconds:g} s; try again"
                    raise Refused(message, code="store_unavailable")
            # The driver's transaction: SQLAlchemy only ends one if a statement went through it.
            driver = driver_of(connection)
            try:
                yield connection
            except BaseException:
                driver.rollback()
                raise
            driver.commit()

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        """Let few wait for the lock at once, each with a connection and a thread: readers must find some, too."""
        if not self._waiting_writers.acquire(blocking=False):
            message = "too many others are waiting to write already; nothing of this was kept, send it again"
            raise Refused(message, code="store_unavailable")
        try:
            yield
        finally:
            self._waiting_writers.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for reading, translate the driver's errors."""
        with self.translating(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a connection for reading that sees one state of the database, whatever is written meanwhile."""
        with self.reading() as connection:
            driver = driver_of(connection)
            driver.execute("BEGIN")  # it takes its snapshot with the first query
            try:
                yield connection
            finally:
                driver.rollback()

    def begin(self, connection: Connection, *, wait_seconds: float) -> bool:
        """Begin a writing transaction; False if another writer held the database for that long.

        SQLite's own waiting sleeps up to 100 ms between two looks, which lets a busy neighbour overtake for seconds;
        this one looks every millisecond or so.
        """
        self._check_files()
        driver = driver_of(connection)
        ask_once(connection)
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")  # not through SQLAlchemy, for the reason given at `sql._run`
            except sqlite3.OperationalError as error:
                if _code_of(error) != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= deadline:
                    return False
                pause()
            else:
                self._check_schema(driver)
                return True

    def commit(self, connection: Connection) -> bool:
        """Commit what was begun."""
        driver_of(connection).commit()
        return True

    def give_up(self, connection: Connection) -> bool:
        """Roll back what was begun."""
        driver_of(connection).rollback()
        return True

    def pass_alone(self, connection: Connection, space: Space) -> None:
        """Do nothing: whoever writes is alone."""

    def hold_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Do nothing: whoever writes is alone."""

    def hold_people(self, connection: Connection, space: Space, distinct_ids: Sequence[str]) -> None:
        """Do nothing: whoever writes is alone."""

    def remember_schema(self) -> None:
        """Note that the schema is ours: from here on, nothing is written once it is another release's."""
        with self.reading() as connection:
            self._schema = driver_of(connection).execute("PRAGMA schema_version").fetchone()[0]

    def _check_schema(self, driver: sqlite3.Connection) -> None:
        """Raise Refused, ending the transaction, if another release changed the schema while we were running.

        What an old release writes into a newer one's tables would miss what the newer one relies on.
        """
        if self._schema is None:
            return
        now = driver.execute("PRAGMA schema_version").fetchone()[0]
        if now == self._schema:
            return
        (found,) = driver.execute("SELECT version_num FROM alembic_version").fetchone()
        if found != HEAD:
            driver.rollback()
            message = (
                f"another release of Traitbase has brought the data to schema {found} (this one works with {HEAD}): "
                "stop this server, and start it with that release; nothing of this was kept"
            )
            raise Refused(message, code="schema_is_newer")
        self._schema = now

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn the driver's errors into Refused where they mean that the storage cannot be used."""
        try:
            yield
        except sa.exc.TimeoutError as error:  # of the pool
            message = "too many others are reading and writing at the moment; send it again"
            raise Refused(message, code="store_unavailable") from error
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            refusal = _refusal_for(_code_of(error), self._path)
            if refusal is None:
                raise
            raise refusal from error

    def make_roomy(self, connection: Connection) -> None:
        """Prepare a connection that a writer keeps: a larger cache of pages."""
        driver_of(connection).execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")

    def make_small(self, connection: Connection) -> None:
        """Take that back: its pages are given free, those that are not written yet with the commit."""
        driver_of(connection).execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")

    def number(self, statement: str) -> str:
        """Return the statement: SQLite's places for values are all written alike."""
        return statement

    def insert(self, table: sa.Table) -> Any:  # the dialect's own Insert
        """Return SQLite's INSERT, which knows ON CONFLICT."""
        return dialect.insert(table)

    def any_of(self, column: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], Callable[[Sequence[str]], Any]]:
        """Return the condition `column is one of :values`, and how to pass a list of strings for `:values`."""
        values = sa.func.json_each(sa.bindparam("values", type_=sa.Text)).table_valued("value")
        return column.in_(sa.select(values.c.value)), json.dumps

    def contains(self, column: sa.Column[Any], text: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a text is somewhere in the column, to the letter (LIKE forgives case)."""
        return sa.func.instr(column, text) > sa.literal_column("0")

    def has_property(self, document: sa.Column[Any], bound: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a document may have a property.

        Finds it by the text: `"name":` is there if the property is, and hardly ever otherwise. Parsing the JSON would
        take several times as long.
        """
        return self.contains(document, bound)

    def property_sought(self, name: str) -> str:
        """Return how the name stands in a document: documents have one encoder, and it writes every name alike."""
        return f"{msgspec.json.encode(name).decode()}:"

    def inserting(self, table: sa.Table, names: Sequence[str], prepare: Preparing) -> Inserting:
        """Return how many rows are inserted that are not there yet."""
        return prepare.many_rows_of(dialect.insert(table).on_conflict_do_nothing(), names)

    def feeding(self, prepare: Preparing) -> Feeding:
        """Return the feed whose sequence is the order of commits."""
        return SequentialFeed(self, prepare)

    def known_profiles(self, prepare: Preparing) -> KnownProfiles:
        """Return how profiles are taken one revision further."""
        return UpdateFromValues(prepare)

    def as_utf8(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        """Return a text as its bytes, which are UTF-8 in our files."""
        return sa.cast(text, sa.LargeBinary)

    def indexed_properties(self, connection: Connection, space: Space) -> frozenset[str]:  # noqa: ARG002  # the port's
        """Return none: what answers about cohorts here has columns."""
        return frozenset()

    @contextmanager
    def bounded(self, connection: Connection, *, seconds: float, name: str | None = None) -> Iterator[sqlite3.Cursor]:  # noqa: ARG002  # no engine asks here
        """Open a cursor of the driver's. Nobody pushes questions down to SQLite, which has no types to speak of."""
        with contextlib.closing(driver_of(connection).cursor()) as cursor:
            yield cursor

    def tidy(self) -> None:
        """Copy what the log holds into the database file, if it has grown long.

        A passive checkpoint never makes a writer wait, but it cannot start the log over while pages keep coming. So
        a second one follows when little is left, and the next writer begins at the front of the log.
        """
        self._traces.tidy()
        if not self._tidying.acquire(blocking=False):
            return
        try:
            size = self._log_bytes()
            now = time.monotonic()
            grown = size - self._copied_at_bytes >= _WORTH_COPYING_FRAMES * _PAGE_BYTES
            if size < _WORTH_COPYING_FRAMES * _PAGE_BYTES or not (grown or now >= self._copy_next_at):
                return
            with self.reading() as connection:
                driver = driver_of(connection)
                _, frames, copied = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if frames >= _LONG_LOG_FRAMES:
                    # What came in meanwhile is short. This one holds writers up, for as long as that takes.
                    driver.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            self._plan_next_copy(copied, now)
        finally:
            self._tidying.release()

    def clear_traces(self, *, wait_seconds: float) -> Cleared:
        """See to it that nothing that was deleted can be read from the files any more. See `Traces.clear`."""
        return self._traces.clear(wait_seconds=wait_seconds)

    def note_erasure(self, connection: Connection) -> None:
        """Note in the open transaction that it erases somebody."""
        self._traces.note(connection)

    def remember_files(self) -> None:
        """Note which files are in use now: from here on, others in their place are none of ours.

        Raises Refused if the database was taken away while it was being opened.
        """
        files = self._find_files()
        if files[0] is None:
            message = f"{self._path} was moved or deleted while it was being opened: put it back, and start again"
            raise Refused(message, code="store_unavailable")
        self._files = files

    def check(self) -> None:
        """Raise Refused if the files are gone, or nothing can be written.

        The disk is asked at most every few seconds while it answers, by a commit that changes nothing: what is rolled
        back never gets to a full disk.
        """
        self._check_files()
        if time.monotonic() < self._probe_next_at or not self._probing.acquire(blocking=False):
            return
        try:
            with self.translating(), self.engine.connect() as connection:
                if self.begin(connection, wait_seconds=0):  # else somebody is writing, so it can be written to
                    _write_nothing(driver_of(connection))
            self._probe_next_at = time.monotonic() + _PROBE_SECONDS
        finally:
            self._probing.release()

    def _check_files(self) -> None:
        """Raise Refused if the files in use are not those in the folder: what is written to them would be lost.

        SQLite goes on with files that were deleted or replaced under it, and a new connection would make new ones.
        """
        if self._files is not None and self._find_files() != self._files:
            message = (
                f"the database files in {self._path.parent} are gone or were replaced while they were in use: put them "
                "back as they were, or restart Traitbase to go on with what is there now; nothing of this was kept"
            )
            raise Refused(message, code="store_unavailable")

    def _find_files(self) -> _Files:
        return _identity_of(self._path), _identity_of(Path(f"{self._path}-wal"))

    def _check_files_around(self, *_parts: object) -> None:
        self._check_files()

    def _log_bytes(self) -> int:
        # Only ever look at the database's files from outside. A process that opens and closes one of them by itself
        # loses all the locks that SQLite holds on it (sqlite.org/howtocorrupt.html), and updates with them.
        try:
            return Path(f"{self._path}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _plan_next_copy(self, copied: int, began_at: float) -> None:
        """Plan the next copying for when about as much waits as is worth it, going by what came since the last one.

        How much waits cannot be asked without copying it, and the log's length says nothing once it was started over.
        """
        new = copied - self._copied_frames if copied >= self._copied_frames else copied
        seconds = (began_at - self._copied_at) * _WORTH_COPYING_FRAMES / max(new, 1)
        self._copied_frames, self._copied_at, self._copied_at_bytes = copied, began_at, self._log_bytes()
        self._copy_next_at = began_at + min(max(seconds, _COPY_SECONDS[0]), _COPY_SECONDS[1])


_Files: TypeAlias = tuple[tuple[int, int] | None, tuple[int, int] | None]
"""Device and inode of the database and of its log; None: there is no such file."""


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_nothing(driver: sqlite3.Connection) -> None:
    """Write a number that nobody uses as it is, so that a page goes to the disk. A transaction is open."""
    try:
        (number,) = driver.execute("PRAGMA user_version").fetchone()
        driver.execute(f"PRAGMA user_version = {number}")
        driver.execute("COMMIT")
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK")
        raise


def _prepare_connection(driver: sqlite3.Connection, _record: object) -> None:
    driver.isolation_level = None  # transactions are begun by us, with the lock they need
    driver.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # only counts for a new file
    _turn_on_log(driver)
    for setting in (
        "synchronous = FULL",
        "wal_autocheckpoint = 0",  # `tidy` does it, off the writer's path
        f"cache_size = -{_READER_CACHE_KIB}",
        "temp_store = MEMORY",
        "secure_delete = ON",  # what is deleted or replaced is overwritten at once
    ):
        driver.execute(f"PRAGMA {setting}").fetchall()


def _turn_on_log(driver: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. Processes that open a new file at once get in each other's way, without waiting."""
    deadline = time.monotonic() + _OPENING_PATIENCE_SECONDS
    while True:
        try:
            driver.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            pause()
        else:
            return


def _code_of(error: sa.exc.DatabaseError | sqlite3.DatabaseError) -> int:
    """Return SQLite's primary result code of an error (0: none)."""
    cause = error.orig if isinstance(error, sa.exc.DatabaseError) else error
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF


def _refusal_for(code: int, path: Path) -> Refused | None:
    folder = path.parent
    match code:
        case sqlite3.SQLITE_FULL:
            message = (
                f"the disk of {folder} is full; free some space: nothing of this was kept, and it can be sent again"
            )
            return Refused(message, code="store_unavailable")
        case sqlite3.SQLITE_IOERR:
            message = f"the disk of {folder} reports an error (is it full, or failing?); nothing of this was kept"
            return Refused(message, code="store_unavailable")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            message = (
                f"{path} cannot be opened for writing: check that {folder} exists, is not on a read-only file system, "
                "and that this user may write to it and the files in it"
            )
            return Refused(message, code="store_unwritable")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Refused("the database is locked by another process; try again", code="store_unavailable")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            message = f"{path} is no Traitbase database, or it is damaged: restore it from a backup"
            return Refused(message, code="store_damaged")
        case _:
            return None
