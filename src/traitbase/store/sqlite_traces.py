"""Clearing away what deleted rows leave in SQLite's files.

`secure_delete` overwrites what is deleted. Two places it does not reach: earlier states of pages in the write-ahead
log, until it is written over; and the free space within pages of the database file, in which SQLite leaves copies of
rows that it has moved to another page. Emptying the log clears the first, `VACUUM` the second.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from traitbase.domain.errors import Refused
from traitbase.services.ports import Cleared
from traitbase.store.sqlite_driver import ask_once, driver_of, pause

# A rewriting holds writers up for as long as it takes: 0.6 s for 79 MB, 3.1 s for 394 MB (2 cores, an ordinary disk).
# Writers wait up to 15 s.
_AT_ONCE_BYTES_MAX = 64 * 1024 * 1024
_BY_ITSELF_BYTES_MAX = 1024 * 1024 * 1024
_PAUSE_FACTOR = 20  # at most a twentieth of the time is spent on it
_WAIT_SECONDS = 30.0


class Traces:
    """The traces in one database's files. How many erasures they are of stands in the file (`user_version`)."""

    def __init__(
        self, reading: Callable[[], AbstractContextManager[Connection]], file_bytes: Callable[[], int]
    ) -> None:
        self._reading = reading
        self._file_bytes = file_bytes
        self._clearing = threading.Lock()
        self._rewrite_next_at = float("-inf")
        self._owes_clearing = False
        self._owes_rewriting = False

    def note(self, connection: Connection) -> None:
        """Note in the open transaction that it erases something: the file is to be written anew after it."""
        driver = driver_of(connection)
        (erasures,) = driver.execute("PRAGMA user_version").fetchone()
        driver.execute(f"PRAGMA user_version = {erasures % 1_000_000_000 + 1}")
        self._owes_rewriting = True

    def look(self) -> None:
        """Find out what a process before this one has left to do."""
        with self._reading() as connection:
            self._owes_rewriting = _erasures_in(driver_of(connection)) > 0

    def tidy(self) -> None:
        """Do what could not be done before, if it can be done now."""
        due = self._owes_rewriting and time.monotonic() >= self._rewrite_next_at
        if self._owes_clearing or (due and self._file_bytes() <= _BY_ITSELF_BYTES_MAX):
            self._clear(wait_seconds=0, rewrites_up_to=_BY_ITSELF_BYTES_MAX)

    def clear(self, *, wait_seconds: float) -> Cleared:
        """Copy the whole log into the database file and empty it; write a small file anew after an erasure.

        Emptying the log waits for whoever reads an earlier state, and holds writers up for as long as the copying
        takes.
        """
        return self._clear(wait_seconds=wait_seconds, rewrites_up_to=_AT_ONCE_BYTES_MAX)

    def rewrite(self) -> None:
        """Write the file anew, however large it is. Raises Refused if others read or write for too long."""
        with self._clearing, self._reading() as connection:
            ask_once(connection)
            deadline = time.monotonic() + _WAIT_SECONDS
            if not (_rewrite(driver_of(connection), deadline) and _empty_log(driver_of(connection), deadline)):
                message = f"the database was in use by others for {_WAIT_SECONDS:g} s; try again when it is quiet"
                raise Refused(message, code="store_unavailable")
            self._owes_rewriting = False

    def _clear(self, *, wait_seconds: float, rewrites_up_to: int) -> Cleared:
        deadline = time.monotonic() + wait_seconds
        self._owes_clearing = True
        if not self._clearing.acquire(timeout=wait_seconds):
            return Cleared(log=False, file=not self._owes_rewriting)
        try:
            with self._reading() as connection:
                driver = driver_of(connection)
                ask_once(connection)
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # most of it, while writers go on
                log = _empty_log(driver, deadline)
                # Not while somebody reads an earlier state: all of it would stay in the log beside the old.
                file = self._rewrite_if_due(driver, rewrites_up_to) if log else not self._owes_rewriting
                if log:
                    self._owes_clearing = False
                return Cleared(log, file)
        finally:
            self._clearing.release()

    def _rewrite_if_due(self, driver: sqlite3.Connection, bytes_max: int) -> bool:
        """Return whether the file is as if nothing had been erased."""
        self._owes_rewriting = _erasures_in(driver) > 0  # of whichever process
        if not self._owes_rewriting:
            return True
        began_at = time.monotonic()
        if began_at < self._rewrite_next_at or self._file_bytes() > bytes_max:
            return False
        try:
            done = _rewrite(driver, began_at + 1) and _empty_log(driver, began_at + 10)
        except sqlite3.OperationalError:  # such as a full disk: the erasure holds, this is tried again
            done = False
        ended_at = time.monotonic()
        self._rewrite_next_at = ended_at + _PAUSE_FACTOR * (ended_at - began_at)
        self._owes_rewriting = not done or _erasures_in(driver) > 0
        return done


def _erasures_in(driver: sqlite3.Connection) -> int:
    (erasures,) = driver.execute("PRAGMA user_version").fetchone()
    return int(erasures)


def _rewrite(driver: sqlite3.Connection, deadline: float) -> bool:
    """Write the file anew. False if others held the database until the deadline."""
    erasures = _erasures_in(driver)
    driver.execute("PRAGMA temp_store = FILE")  # all that is left goes through a temporary file, not through memory
    try:
        if not _retry(driver, "VACUUM", deadline) or not _retry(driver, "BEGIN IMMEDIATE", deadline):
            return False
        try:
            if _erasures_in(driver) == erasures:  # no other came meanwhile
                driver.execute("PRAGMA user_version = 0")
        except BaseException:
            driver.rollback()
            raise
        driver.commit()
    finally:
        driver.execute("PRAGMA temp_store = MEMORY")
    return True


def _empty_log(driver: sqlite3.Connection, deadline: float) -> bool:
    """Copy the log into the file and empty it. False if others used an earlier state until the deadline."""
    while True:
        busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() >= deadline:
            return False
        pause()


def _retry(driver: sqlite3.Connection, statement: str, deadline: float) -> bool:
    while True:
        try:
            driver.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            if time.monotonic() >= deadline:
                return False
            pause()
        else:
            return True
