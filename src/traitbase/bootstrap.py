"""The only place that names concrete adapters, the clock and the sources of ids."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import uuid_utils

from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space
from traitbase.services.accounts.ports import AccountStore
from traitbase.services.campaigns.ports import CampaignStore, OpenSender
from traitbase.services.campaigns.sealing import Vault, new_key
from traitbase.services.cohorts.ports import CohortEngine
from traitbase.services.ports import Store
from traitbase.settings import Settings
from traitbase.store.key_file import key_in
from traitbase.store.sqlite import SqliteDatabase, open_sqlite

if TYPE_CHECKING:
    from traitbase.store.copying import TableCopied
    from traitbase.store.distributing import TablePlaced
    from traitbase.store.postgres import PostgresDatabase
    from traitbase.store.postgres_checks import Finding
    from traitbase.store.property_indexes import PropertyIndex

OnStep: TypeAlias = Callable[[str, int], None]
"""Is told of a copy: how many more rows of which table are as they should be."""

DATABASE_FILE = "traitbase.db"


def open_store(settings: Settings) -> AccountStore:
    """Open the store that the settings name: a PostgreSQL database, or a file in the data folder, which is made.

    Raises Refused, with what to do about it, if it cannot be used or was written by a newer release.
    """
    if url := settings.database_url.get_secret_value():
        from traitbase.store.postgres import open_postgres  # noqa: PLC0415  # a driver that most have no use for

        return open_postgres(url)
    return open_sqlite(_file_in(settings.data), on_upgrade=_tell_of_upgrade)


def _file_in(data: Path) -> Path:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # people's data: nobody else's to read
    except OSError as error:
        message = f"the data folder {data} cannot be made ({error.strerror}): choose another with --data, or make it"
        raise Refused(message, code="store_unwritable") from error
    return data / DATABASE_FILE


def migrate_store(settings: Settings) -> tuple[str | None, str]:
    """Bring the store to the schema of this release; return the version before (None: there was none) and after."""
    from traitbase.store.schema import HEAD  # noqa: PLC0415  # only this command asks

    if url := settings.database_url.get_secret_value():
        from traitbase.store.postgres import PostgresDatabase, migrate_postgres  # noqa: PLC0415  # as above

        with closing(PostgresDatabase(url)) as database:
            database.check_server()
            return migrate_postgres(database), HEAD
    before: list[str | None] = [HEAD if exists_store(settings) else None]
    open_sqlite(_file_in(settings.data), on_upgrade=lambda old, _new: before.append(old)).close()
    return before[-1], HEAD


def check_database(settings: Settings) -> list[Finding]:
    """Look at the database that the settings name."""
    from traitbase.store.postgres_checks import Finding, check_postgres  # noqa: PLC0415  # as above

    if url := settings.database_url.get_secret_value():
        return check_postgres(url)
    if not exists_store(settings):
        return [Finding("file", "fault", f"there is no {DATABASE_FILE} in {settings.data}")]
    try:
        store = open_store(settings)
        store.check()
    except Refused as error:
        return [Finding("file", "fault", error.message)]
    store.close()
    return [Finding("file", "ok", f"{settings.data / DATABASE_FILE} can be read and written to")]


def count_rows(settings: Settings) -> int:
    """Return how many rows a copy of the data folder's file has."""
    from traitbase.store import copying  # noqa: PLC0415  # only one command copies

    with closing(_opened_file(settings)) as source:
        return copying.count_rows(source)


def copy_store(source: Settings, target: Settings, *, on_step: OnStep) -> list[TableCopied]:
    """Copy the data folder's file into a PostgreSQL database, which gets its tables if it has none.

    Raises Refused, with what to do about it, if the target holds other data or cannot be used.
    """
    from traitbase.store.copying import copy_everything  # noqa: PLC0415  # only one command copies
    from traitbase.store.postgres import PostgresDatabase  # noqa: PLC0415  # as above

    migrate_store(target)
    url = target.database_url.get_secret_value()
    with closing(PostgresDatabase(url)) as database, closing(_opened_file(source)) as file:
        return copy_everything(file, database, on_step=on_step)


def distribute_store(settings: Settings, *, shards: int, on_table: Callable[[str], None]) -> list[TablePlaced]:
    """Spread the tables of the database that the settings name over the servers of its cluster.

    Raises Refused, with what to do about it, if that cannot be done.
    """
    from traitbase.store.distributing import distribute  # noqa: PLC0415  # only one command distributes
    from traitbase.store.postgres import PostgresDatabase  # noqa: PLC0415  # as above

    url = settings.database_url.get_secret_value()
    if not url:
        message = "a file cannot be distributed: name the coordinator of a Citus cluster in TRAITBASE_DATABASE_URL"
        raise Refused(message, code="bad_settings")
    with closing(PostgresDatabase(url)) as database:
        return distribute(database, shards=shards, on_table=on_table)


def list_indexes(settings: Settings) -> list[PropertyIndex]:
    """Return the indexes of single properties. Raises Refused if the settings name no database."""
    from traitbase.store.property_indexes import list_indexes as indexes_in  # noqa: PLC0415  # only one command asks

    with _opened_database(settings) as database, database.reading() as connection:
        return indexes_in(connection)


def change_index(settings: Settings, space: Space, name: str, *, drop: bool) -> bool:
    """Make the index of a property, or take it away; False if there is nothing to do.

    Raises NotFound if there is no such property, Refused if an index would be of no use, or the settings name no
    database.
    """
    from traitbase.store.property_indexes import create_index, drop_index  # noqa: PLC0415  # as above

    with _opened_database(settings) as database:
        return (drop_index if drop else create_index)(database, space, name)


def _opened_database(settings: Settings) -> closing[PostgresDatabase]:
    """Open the database that the settings name, with the tables of this release."""
    from traitbase.store.postgres import open_database  # noqa: PLC0415  # as above

    url = settings.database_url.get_secret_value()
    if not url:
        message = (
            "there are indexes on PostgreSQL only (named in TRAITBASE_DATABASE_URL): here the columnar copy answers"
        )
        raise Refused(message, code="bad_settings")
    return closing(open_database(url))


def _opened_file(settings: Settings) -> SqliteDatabase:
    path = _file_in(settings.data)
    open_sqlite(path, on_upgrade=_tell_of_upgrade).close()
    return SqliteDatabase(path)


def open_vault(settings: Settings) -> Vault:
    """Return what seals secrets and signs links, with the key of the settings, or that of the data folder's key file.

    The file is made if it is not there, readable by its owner only. Raises Refused, InvalidInput, with what to do.
    """
    given = settings.secret_key.get_secret_value()
    keys = [each.strip() for each in (given or key_in(settings.data, new_key)).split(",") if each.strip()]
    return Vault(keys)


def sender_opener(store: CampaignStore, settings: Settings) -> OpenSender:
    """Return what opens senders for integrations."""
    from traitbase import senders  # noqa: PLC0415  # only what sends needs them

    return senders.sender_opener(store, now_us=now_us, allowed_networks=settings.webhook_networks)


def place_of(settings: Settings) -> str:
    """Return where the store is, for people: never with a password."""
    url = settings.database_url.get_secret_value()
    if not url:
        return str(settings.data)
    from traitbase.store.postgres import PostgresDatabase  # noqa: PLC0415  # a driver that most have no use for

    with closing(PostgresDatabase(url)) as database:
        return database.place


def exists_store(settings: Settings) -> bool:
    """Tell whether there is a store already, so that a typing error makes none. A database is named on purpose."""
    return bool(settings.database_url.get_secret_value()) or (settings.data / DATABASE_FILE).exists()


def open_engine(store: Store, settings: Settings, *, tell: Callable[..., object]) -> CohortEngine:
    """Open the cohort engine of a store: on PostgreSQL that is the database itself, unless a copy is asked for.

    A copy is kept in the data folder. `tell` is given an event's name and its fields.
    """
    if settings.database_url.get_secret_value() and settings.cohort_engine != "copy":
        from traitbase.segments.pushdown import PushdownEngine  # noqa: PLC0415  # it loads a large library
        from traitbase.store.sql import SqlStore  # noqa: PLC0415  # as above

        assert isinstance(store, SqlStore)  # tells the type checker; `open_store` opens no other there
        return PushdownEngine(store, answer_seconds=settings.cohort_seconds)
    if settings.database_url.get_secret_value():
        _check_can_be_copied(store)
    from traitbase.segments.columnar import ColumnarEngine  # noqa: PLC0415  # half a second that few commands need
    from traitbase.segments.copy import Limits  # noqa: PLC0415  # it loads the same libraries

    limits = Limits(memory_bytes=settings.cohort_memory_mb * 1024 * 1024, answer_seconds=settings.cohort_seconds)
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)  # the store may be elsewhere
    return ColumnarEngine(store, settings.data, limits, tell=tell)


def _check_can_be_copied(store: Store) -> None:
    from traitbase.store.sql import SqlStore  # noqa: PLC0415  # as above

    assert isinstance(store, SqlStore)  # as above
    if store.is_distributed:
        message = (
            "TRAITBASE_COHORT_ENGINE=copy does not work with a database that is spread over several servers: there is "
            "no one moment of all of them to copy. Leave it out, or set it to database"
        )
        raise Refused(message, code="bad_settings")


def _tell_of_upgrade(before: str, after: str) -> None:
    sys.stderr.write(
        f"Traitbase: the data was brought from schema {before} to {after}; releases before this one cannot use it any "
        "more\n"
    )


def now_us() -> int:
    """Return the time: microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def new_request_id() -> str:
    """Return a fresh request id: a UUID of version 7 (RFC 9562), which grows with time."""
    return str(uuid_utils.uuid7())


def new_profile_id() -> str:
    """Return a fresh profile id: 24 hexadecimal digits."""
    return secrets.token_hex(12)
