"""The ceiling of storage: the rows that a batch becomes, put into a bare SQLite table as fast as it takes them."""

from __future__ import annotations

import secrets
import sqlite3
import sys
import time
from pathlib import Path

import msgspec

from bench.traffic import BATCH_ITEMS, WORKSPACE_ID, updates_of_all

# What src/traitbase/store/sqlite.py sets for its writer. The log is moved into the file at the same length, 16,384
# pages; there a thread beside the writer does it, here the connection itself.
_SETTINGS = (
    "page_size = 2048",
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 16384",
    "cache_size = -65536",
    "temp_store = MEMORY",
)
_TABLE = """
    CREATE TABLE profiles (
        workspace_id TEXT NOT NULL, environment TEXT NOT NULL, distinct_id TEXT NOT NULL, profile_id TEXT NOT NULL,
        revision BIGINT NOT NULL, document TEXT NOT NULL, created_at_us BIGINT NOT NULL, updated_at_us BIGINT NOT NULL,
        PRIMARY KEY (workspace_id, environment, distinct_id)
    )"""
_UPSERT = """
    INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (workspace_id, environment, distinct_id) DO UPDATE SET
        revision = excluded.revision, document = excluded.document, updated_at_us = excluded.updated_at_us"""


class Ceiling(msgspec.Struct):
    """Rows a second, in transactions of 1,000."""

    first: float
    again: float


def measure(path: Path, *, profiles: int, seeds: tuple[int, int]) -> Ceiling:
    """Put every profile into a fresh file once, and again with other values."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}").fetchall()
        connection.execute(_TABLE)
        first, again = (
            _put(connection, profiles, seed=seed, revision=revision) for revision, seed in enumerate(seeds, start=1)
        )
    finally:
        connection.close()
    return Ceiling(first, again)


def _put(connection: sqlite3.Connection, profiles: int, *, seed: int, revision: int) -> float:
    now_us = time.time_ns() // 1_000
    rows = [
        (
            WORKSPACE_ID,
            "live",
            distinct_id,
            secrets.token_hex(12),
            revision,
            msgspec.json.encode(properties).decode(),
            now_us,
            now_us,
        )
        for distinct_id, properties in updates_of_all(profiles, seed=seed)
    ]
    began = time.perf_counter()
    for start in range(0, profiles, BATCH_ITEMS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_UPSERT, rows[start : start + BATCH_ITEMS])
        connection.execute("COMMIT")
    return profiles / (time.perf_counter() - began)


def main() -> None:
    path, profiles, *seeds = sys.argv[1:]
    first, again = map(int, seeds)
    sys.stdout.buffer.write(msgspec.json.encode(measure(Path(path), profiles=int(profiles), seeds=(first, again))))


if __name__ == "__main__":
    main()
