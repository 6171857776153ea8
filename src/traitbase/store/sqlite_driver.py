"""Dealing with SQLite's driver beneath SQLAlchemy."""

from __future__ import annotations

import random
import sqlite3
import time

from sqlalchemy import Connection

_ASKS_ONCE = "traitbase_asks_once"
_LOCK_POLL_SECONDS = (0.0005, 0.002)


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # tells the type checker; the engine only makes these
    return driver


def ask_once(connection: Connection) -> None:
    """Let the driver report a lock at once. Its own waiting would hold up writers while it waits for readers."""
    if not connection.info.get(_ASKS_ONCE):
        driver_of(connection).execute("PRAGMA busy_timeout = 0")
        connection.info[_ASKS_ONCE] = True  # stays with the connection, also through the pool


def pause() -> None:
    """Wait a moment before a lock is tried again: about a millisecond, never in step with others who wait."""
    time.sleep(random.uniform(*_LOCK_POLL_SECONDS))  # noqa: S311  # spreads the waiting, secures nothing
