"""PostgreSQL: several servers at once, each change compared with what it is based on, and no lock on a profile.

Whoever writes in a space does so beside others: they share the row of the space's definitions. What concerns the whole
space (a retype, an erasure, a list of members) takes that row for itself: it waits for those who write, they for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg.raw_cursor import RawCursor, RawServerCursor
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import TextLoader
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql as dialect
from sqlalchemy.pool import QueuePool

from traitbase.domain.errors import Conflict, InvalidInput, Refused
from traitbase.domain.spaces import Space
from traitbase.services.ports import Cleared
from traitbase.store.citus import misplaced, places_in
from traitbase.store.database import within
from traitbase.store.feeding import Feeding
from traitbase.store.known_profiles import KnownProfiles, Upsert
from traitbase.store.postgres_bulk import CopiedRows
from traitbase.store.postgres_errors import is_lost, place_of, refusal_for
from traitbase.store.property_indexes import indexed_properties
from traitbase.store.running import Inserting, Preparing
from traitbase.store.schema import HEAD, migrate, version_in
from traitbase.store.sql import SqlStore
from traitbase.store.tables import definition_revisions, workspaces
from traitbase.store.transaction_feed import TransactionFeed

OLDEST_SERVER = 15
"""The first major version of PostgreSQL that is supported."""

_WRITING_PATIENCE_SECONDS = 15.0
_USUAL_PATIENCE_SECONDS = 60.0
_MIGRATIONS_LOCK = 7_238_210_014_251  # any number that nobody else has
APPLICATION = "traitbase"
"""What our connections are called where the server lists them."""

_RESOLVING_SECONDS = 30.0
_RESOLVING_POLL_SECONDS = 0.1
_SLOTS = 64
_IDLE_SECONDS = 60
_WRITERS_MAX = 16
_TURN_SECONDS = 5.0
# Questions read every profile of a space once. Before a large list of members was analysed, the planner takes it for an
# empty one, and would go through all of it for each profile. Compiling a query takes longer than it saves.
# Whether an index helps depends on the values, so each query is planned for its own.
_SCANNING = "SET LOCAL enable_nestloop = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan"
_ON_WORKERS_TOO = "SET LOCAL citus.propagate_set_commands = 'local'"
_NUMBERED = re.compile(r"\$\d+|\?")
_KEEP_ALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}

_HOLD_NUMBER = sa.text("SELECT pg_advisory_xact_lock(:number)")


def open_postgres(url: str) -> SqlStore:
    """Open the store on a database; an empty one gets its tables. Raises what `open_database` raises."""
    return SqlStore(open_database(url))


def open_database(url: str) -> PostgresDatabase:
    """Open a database; an empty one gets its tables.

    Raises Refused, with what to do about it, if it cannot be reached or used, or its schema is another release's.
    """
    database = PostgresDatabase(url)
    try:
        database.check_server()
        _make_usable(database)
    except BaseException:
        database.close()
        raise
    return database


def _make_usable(database: PostgresDatabase) -> None:
    with database.reading() as connection:
        before = version_in(connection)
    if before is None:
        migrate_postgres(database)
    elif before != HEAD:
        raise _other_schema(before)
    elif what := database.unfinished():
        raise what.refusal(database.place)
    with database.reading() as connection:
        places = places_in(connection) or {}
    if left := misplaced(places):
        message = f"{', '.join(left)} of {database.place} must be brought to their servers: run traitbase db distribute"
        raise Refused(message, code="not_distributed")
    database.is_distributed = bool(places)


def migrate_postgres(database: PostgresDatabase) -> str | None:
    """Bring the schema up to date; return the version before. One process at a time does it, others wait."""
    with database.writing() as connection:
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        connection.execute(sa.text("SET LOCAL application_name = 'traitbase migrate'"))  # who looks sees what is done
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MIGRATIONS_LOCK})"))
        before = migrate(connection, elsewhere="name another database in TRAITBASE_DATABASE_URL, or a new schema in it")
        database.transaction_feed.begin(connection)
    return before


class Unfinished(Enum):
    """What is done with a database as a whole, as it is noted there until it is finished."""

    COPY = "a copy into this database is not finished"
    DISTRIBUTION = "the tables of this database are being spread over servers"

    def refusal(self, place: str) -> Refused:
        """Return what to tell whoever wants to use the database meanwhile."""
        if self is Unfinished.COPY:
            return Refused(f"a copy into {place} is not finished: run traitbase db copy again", code="copy_unfinished")
        message = f"the tables of {place} are not all at their servers yet: run traitbase db distribute again"
        return Refused(message, code="distribution_unfinished")


class _Work(NamedTuple):
    """A transaction, and the server's process (its pid) that does it."""

    transaction: str
    backend: int


class PostgresDatabase:
    """Connections to one PostgreSQL database, and what its errors mean."""

    has_one_writer = False
    answers_at_once = False

    def __init__(self, url: str) -> None:
        self._url = _driver_url(url)
        self.place = place_of(self._url)
        self.is_distributed = False
        self._orphans: list[_Work] = []
        self._writers = threading.BoundedSemaphore(_WRITERS_MAX)
        self.slot = random.randrange(_SLOTS)  # noqa: S311  # spreads writers, secures nothing
        self.engine: Engine = sa.create_engine(
            self._url,
            paramstyle="numeric_dollar",  # the server's own, so that the driver need not search statements for places
            use_native_hstore=False,
            hide_parameters=True,  # an error must not carry property values into a log
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=56,
            pool_timeout=5.0,
            pool_pre_ping=True,  # the server may have been restarted
            connect_args={
                "cursor_factory": RawCursor,
                "connect_timeout": 5,
                "application_name": APPLICATION,
                **_KEEP_ALIVE,
            },
        )
        sa.event.listen(self.engine, "connect", _prepare_connection)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._repeatable = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.transaction_feed = TransactionFeed(self, Preparing(self))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def check_server(self) -> None:
        """Raise Refused if the server cannot be reached, is too old, or keeps text in another encoding."""
        with self.reading() as connection:
            version = int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())
            encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
        if version < OLDEST_SERVER * 10_000:
            found = f"{version // 10_000}.{version % 10_000}"
            message = f"{self.place} is PostgreSQL {found}: Traitbase needs {OLDEST_SERVER} or newer"
            raise Refused(message, code="store_unusable")
        if encoding != "UTF8":
            message = (
                f"{self.place} keeps text as {encoding}, which cannot hold every character: make a database with "
                "createdb --encoding=UTF8 --template=template0, and name that"
            )
            raise Refused(message, code="store_unusable")

    @contextmanager
    def writing(self, *, wait_seconds: float = _WRITING_PATIENCE_SECONDS) -> Iterator[Connection]:
        """Open a transaction that may write, commit it at the end, translate the driver's errors."""
        with self._one_of_few(), self.translating(), self.engine.connect() as connection:
            self.begin(connection, wait_seconds=wait_seconds)
            try:
                yield connection
            except BaseException:
                self.give_up(connection)
                raise
            self.commit(connection)

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        """Let few write at once besides the groups, each with a connection: readers must find some, too."""
        if not self._writers.acquire(timeout=_TURN_SECONDS):
            message = "too many others are waiting to write already; nothing of this was kept, send it again"
            raise Refused(message, code="store_unavailable")
        try:
            yield
        finally:
            self._writers.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for reading, each statement by itself; translate the driver's errors."""
        with self.translating(), self._autocommit.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a connection for reading that sees one state of the database, whatever is written meanwhile."""
        with self.translating(), self._repeatable.connect() as connection:
            _execute(connection, "SET LOCAL idle_in_transaction_session_timeout = 0")  # it holds no locks
            yield connection

    def begin(self, connection: Connection, *, wait_seconds: float) -> bool:
        """Begin a writing transaction. It waits for others row by row, as long as that at most: see `refusal_for`.

        Raises Refused if another release has changed the schema meanwhile: what an old one writes into a newer one's
        tables would miss what that relies on.
        """
        if wait_seconds != _USUAL_PATIENCE_SECONDS:
            milliseconds = max(int(wait_seconds * 1000), 1)  # 0 would mean for ever
            _execute(connection, f"SET LOCAL lock_timeout = {milliseconds}")
        query = "SELECT pg_current_xact_id()::text, version_num FROM alembic_version"
        if version_in_use(connection):
            transaction, found = _execute(connection, query).fetchone()
            if found != HEAD:
                raise _other_schema(found)
            connection.info["work"] = _Work(transaction, _driver_of(connection).info.backend_pid)
            self._end_orphans(connection)
        return True

    def commit(self, connection: Connection) -> bool:
        """Commit what was begun, and find out what became of it if the connection is lost meanwhile.

        Then False. Raises Conflict if nothing was committed (it can be done again), Refused if nobody can say.
        """
        driver = _driver_of(connection)
        try:
            driver.commit()
        except psycopg.OperationalError as error:
            if not is_lost(error, driver):
                raise
            self._resolve(connection.info.pop("work", None), error)
            return self.give_up(connection)
        return True

    def give_up(self, connection: Connection) -> bool:
        """Roll back what was begun. False if the connection is lost, and with it what was begun.

        The server may not know of that for a while, and hold what the transaction has locked: it is told later.
        """
        driver = _driver_of(connection)
        work = connection.info.pop("work", None)
        with contextlib.suppress(psycopg.Error):
            driver.rollback()
        if not driver.closed:
            return True
        if work is not None:
            self._orphans.append(work)
        connection.invalidate()
        connection.close()
        return False

    def pass_alone(self, connection: Connection, space: Space) -> None:
        """Let nobody else write in a space until the transaction ends, and wait for those who do."""
        row = {**space._asdict(), "revision": 0}
        connection.execute(self.insert(definition_revisions).values(row).on_conflict_do_nothing())
        revision = sa.select(definition_revisions.c.revision).where(within(definition_revisions, space))
        connection.execute(revision.with_for_update()).one()

    def hold_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Let nobody else change a workspace's suppressions until the transaction ends, and wait for who does."""
        held = sa.select(workspaces.c.workspace_id).where(workspaces.c.workspace_id == workspace_id)
        connection.execute(held.with_for_update()).all()

    def hold_people(self, connection: Connection, space: Space, distinct_ids: Sequence[str]) -> None:
        """Let nobody else count what these people were sent: by locks on numbers that stand for them, in order."""
        names = (hashlib.sha256("\0".join((*space, each)).encode()).digest() for each in distinct_ids)
        for number in sorted({int.from_bytes(digest[:8], "big", signed=True) for digest in names}):
            connection.execute(_HOLD_NUMBER, {"number": number})

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn the driver's errors into Refused where they mean that the storage cannot be used.

        Raises Conflict where others were faster: of two writers that waited for each other, PostgreSQL ends one.
        """
        try:
            yield
        except sa.exc.TimeoutError as error:  # of the pool
            message = "too many others are reading and writing at the moment; send it again"
            raise Refused(message, code="store_unavailable") from error
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            if type(cause) is psycopg.DataError:  # by the driver itself; the server's are of more telling types
                raise InvalidInput("a text must not contain the character U+0000", code="nul_character") from error
            refusal = refusal_for(cause, self.place) if isinstance(cause, psycopg.Error) else None
            if refusal is None:
                raise
            raise refusal from error

    def make_roomy(self, connection: Connection) -> None:
        """Do nothing: pages are cached by the server."""

    def make_small(self, connection: Connection) -> None:
        """Do nothing: pages are cached by the server."""

    def number(self, statement: str) -> str:
        """Return a compiled statement with its places for values numbered in their order."""
        numbers = itertools.count(1)
        return _NUMBERED.sub(lambda _: f"${next(numbers)}", statement)

    def insert(self, table: sa.Table) -> Any:  # the dialect's own Insert
        """Return PostgreSQL's INSERT, which knows ON CONFLICT."""
        return dialect.insert(table)

    def any_of(self, column: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], Callable[[Sequence[str]], Any]]:
        """Return the condition `column is one of :values`, and how to pass a list of strings for `:values`."""
        return column == sa.any_(sa.bindparam("values", type_=dialect.ARRAY(sa.Text))), list

    def contains(self, column: sa.Column[Any], text: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a text is somewhere in the column, to the letter."""
        return sa.func.strpos(column, text) > sa.literal_column("0")

    def has_property(self, document: sa.Column[Any], bound: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a document has a property."""
        return sa.func.jsonb_exists(document, bound)

    def property_sought(self, name: str) -> str:
        """Return the name itself."""
        return name

    def inserting(self, table: sa.Table, names: Sequence[str], prepare: Preparing) -> Inserting:
        """Return how many rows are inserted that are not there yet."""
        return CopiedRows(table, names, prepare)

    def feeding(self, prepare: Preparing) -> Feeding:  # noqa: ARG002  # it has prepared already
        """Return the feed that follows transactions."""
        return self.transaction_feed

    def known_profiles(self, prepare: Preparing) -> KnownProfiles:
        """Return how profiles are taken one revision further."""
        return Upsert(self, prepare)

    def as_utf8(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        """Return a text as its bytes in UTF-8."""
        return sa.func.convert_to(text, sa.literal_column("'UTF8'"))

    def indexed_properties(self, connection: Connection, space: Space) -> frozenset[str]:
        """Return the names of a space's properties that have an index of their own."""
        return indexed_properties(connection, space)

    @contextmanager
    def bounded(self, connection: Connection, *, seconds: float, name: str | None = None) -> Iterator[Any]:
        """Open a cursor of the driver's whose statements may take so long. `name`: the rows stay on the server."""
        driver = _driver_of(connection)
        scanning = f"{_ON_WORKERS_TOO}; {_SCANNING}" if self.is_distributed else _SCANNING
        driver.execute(f"SET LOCAL statement_timeout = {max(int(seconds * 1000), 1)}; {scanning}")
        try:
            with driver.cursor() if name is None else driver.cursor(name) as cursor:
                yield cursor
        except psycopg.errors.QueryCanceled as error:
            message = f"this takes longer than the {seconds:g} s that an answer may: make the rule simpler"
            raise Refused(message, code="cohort_too_slow") from error
        _execute(connection, "SET LOCAL statement_timeout = 0")

    def tidy(self) -> None:
        """Do nothing: the server's autovacuum does its housekeeping."""

    def check(self) -> None:
        """Raise Refused if nothing can be written, such as on a standby."""
        with self.reading() as connection:
            query = sa.text("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
            if connection.execute(query).scalar_one():
                message = f"{self.place} can only be read, as a standby: name the primary in TRAITBASE_DATABASE_URL"
                raise Refused(message, code="store_unavailable")

    def clear_traces(self, *, wait_seconds: float) -> Cleared:  # noqa: ARG002  # nobody can be told to hurry
        """Clear nothing: the server's files are the server's. Its vacuum and its log's retention decide."""
        return Cleared(log=False, file=False)

    def note_erasure(self, connection: Connection) -> None:
        """Note nothing: see `clear_traces`."""

    def rewrite(self) -> None:
        """Write the tables anew, each by itself. Nobody else reads or writes one meanwhile."""
        with self.reading() as connection:
            for table in sa.inspect(connection).get_table_names():
                connection.execute(sa.text(f'VACUUM FULL "{table}"'))

    def unfinished(self) -> Unfinished | None:
        """Return what was begun with the database as a whole, and not finished."""
        with self.reading() as connection:
            query = sa.text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")
            note = connection.execute(query).scalar_one()
        return next((each for each in Unfinished if each.value == note), None)  # or what somebody else noted there

    def mark(self, what: Unfinished | None) -> None:
        """Note in the database that this was begun with it, or (None) is finished: until then nobody may use it."""
        note = "NULL" if what is None else f"'{what.value}'"
        with self.writing() as connection:
            connection.execute(sa.text(f"COMMENT ON TABLE alembic_version IS {note}"))

    def _end_orphans(self, connection: Connection) -> None:
        """End what the server still does for connections that were lost."""
        with contextlib.suppress(IndexError):  # another thread may take the last
            while self._orphans:
                _end(connection, self._orphans.pop())

    def _resolve(self, work: _Work | None, error: psycopg.Error) -> None:
        """Find out whether a transaction was committed whose connection was lost while it was being committed."""
        deadline = time.monotonic() + _RESOLVING_SECONDS
        while work is not None and time.monotonic() < deadline:
            with contextlib.suppress(Refused), self.reading() as connection:
                status = _status_of(connection, work)
                if status == "committed":
                    return
                if status == "aborted":
                    message = "the connection to the database was lost; nothing of this was kept"
                    raise Conflict(message, code="lost_race") from error
            time.sleep(_RESOLVING_POLL_SECONDS)
        message = (
            f"the connection to {self.place} was lost while this was being committed, and it cannot be found out "
            "whether it was: ask for the receipt of the request, or send it again with the same Idempotency-Key"
        )
        raise Refused(message, code="outcome_unknown") from error


def version_in_use(connection: Connection) -> bool:
    """Tell whether the connection has seen that the tables are there, so that their version can be asked for."""
    if not connection.info.get("has_tables"):
        found = _execute(connection, "SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        connection.info["has_tables"] = found[0]
    return bool(connection.info["has_tables"])


def _status_of(connection: Connection, work: _Work) -> str | None:
    """Return `committed`, `aborted`, or `in progress`; then the server has not noticed yet that nobody is there.

    A server that crashed before anything of a transaction was on its disk does not know it at all.
    """
    try:
        row = _execute(connection, "SELECT pg_xact_status($1::xid8)", (work.transaction,)).fetchone()
    except psycopg.errors.InvalidParameterValue:  # a transaction that is yet to come
        return "aborted"
    status: str | None = row[0]
    if status == "in progress":
        _end(connection, work)
    return status


def _end(connection: Connection, work: _Work) -> None:
    """End the server's process that does some work, if it still does."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_xid = $2::xid8::xid"
    _execute(connection, query, (work.backend, work.transaction))


def _execute(connection: Connection, statement: str, values: tuple[Any, ...] = ()) -> Any:
    cursor = connection.connection.cursor()
    cursor.execute(statement, values)
    return cursor


def _driver_of(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # tells the type checker; the engine only makes these
    return driver


def _driver_url(url: str) -> sa.URL:
    """Return the address for SQLAlchemy, with our driver. Raises Refused for one that is none."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        parsed = None
        cause: Exception | None = error
    else:
        cause = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres"):
        message = "TRAITBASE_DATABASE_URL must look like postgresql://user:password@host:5432/database"
        raise Refused(message, code="bad_settings") from cause
    return parsed.set(drivername="postgresql+psycopg")


def _prepare_connection(driver: psycopg.Connection[Any], _record: object) -> None:
    driver.server_cursor_factory = RawServerCursor
    driver.prepared_max = 500
    for name in ("json", "jsonb"):
        driver.adapters.register_loader(name, TextLoader)  # as text: numbers stay exact
    # One type for all integers, whatever their size: else every mixture of sizes would be a statement of its own.
    driver.adapters.register_dumper(int, Int8Dumper)
    driver.autocommit = True
    settings = (f"lock_timeout = {int(_USUAL_PATIENCE_SECONDS * 1000)}", "timezone = 'UTC'")
    # Whose machine is gone may still have rows locked here.
    idle = f"idle_in_transaction_session_timeout = {_IDLE_SECONDS * 1000}"
    server_keep_alive = ("tcp_keepalives_idle = 15", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3")
    every = (*settings, idle, *server_keep_alive, "client_min_messages = warning")
    driver.execute("; ".join(f"SET {setting}" for setting in every))
    driver.autocommit = False


def _other_schema(found: str) -> Refused:
    if found < HEAD:
        message = (
            f"the database has the schema {found} of an older release, this one works with {HEAD}: stop the servers of "
            "the older release, then run traitbase db migrate"
        )
        return Refused(message, code="schema_is_older")
    message = (
        f"another release of Traitbase has brought the database to schema {found} (this one works with {HEAD}): stop "
        "this server, and start it with that release; nothing of this was kept"
    )
    return Refused(message, code="schema_is_newer")
