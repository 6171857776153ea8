"""What PostgreSQL's errors mean for whoever asked."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa
from psycopg import errors

from traitbase.domain.errors import Conflict, Refused, TraitbaseError

_SHUTTING_DOWN = (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow)
_LOST_RACES = (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)


def place_of(url: sa.URL) -> str:
    """Return how a database is named in messages: never with its password."""
    host = url.host or url.query.get("host", "localhost")
    return f"the database {url.database or url.username or 'postgres'} on {host}:{url.port or 5432}"


def is_lost(error: psycopg.Error, driver: psycopg.Connection[object]) -> bool:
    """Tell whether the connection is gone, so that nobody says any more what becomes of its transaction."""
    return driver.closed or isinstance(error, _SHUTTING_DOWN)


def refusal_for(error: psycopg.Error, place: str) -> TraitbaseError | None:
    """Return what to raise for an error that says something of the storage, None for any other."""
    if isinstance(error, _LOST_RACES):
        return Conflict("another writer was faster", code="lost_race")
    for types, code, message in _MEANINGS:
        if isinstance(error, types):
            said = str(error).strip().partition("\n")[0]
            return Refused(message.format(place=place, said=said), code=code)
    return None


# In this order: the last are of all kinds.
_MEANINGS: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str, str], ...] = (
    (
        errors.LockNotAvailable,
        "store_unavailable",
        "the storage was held by another writer for too long; try again",
    ),
    (
        errors.DiskFull,
        "store_unavailable",
        "the disk of {place} is full; nothing of this was kept, and it can be sent again",
    ),
    (
        errors.TooManyConnections,
        "store_unavailable",
        "{place} has too many connections: raise its max_connections, or start fewer servers",
    ),
    (
        errors.ReadOnlySqlTransaction,
        "store_unavailable",
        "{place} can only be read, as a standby: name the primary in TRAITBASE_DATABASE_URL",
    ),
    (
        errors.InsufficientPrivilege,
        "store_unwritable",
        "this user may not do that in {place} ({said}): grant it, or make it the owner",
    ),
    (errors.QueryCanceled, "store_unavailable", "{place} took too long to answer; try again"),
    (
        errors.UndefinedTable,
        "store_damaged",
        "{place} has lost tables that were there ({said}): restore it from a backup",
    ),
    (
        (errors.DataCorrupted, errors.IndexCorrupted),
        "store_damaged",
        "{place} is damaged ({said}): restore it from a backup",
    ),
    (
        (errors.OperationalError, errors.InterfaceError),
        "store_unavailable",
        (
            "{place} cannot be reached or went away ({said}): is it running, and are the address and the password in "
            "TRAITBASE_DATABASE_URL right? Nothing of this was kept"
        ),
    ),
)
