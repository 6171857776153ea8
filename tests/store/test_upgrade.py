"""A database of an earlier release is brought up to date, with all that was in it and nothing that was deleted."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from store.backends import LIVE
from traitbase.store.schema import _MIGRATIONS
from traitbase.store.sqlite import SqliteDatabase, open_sqlite

DELETED = "deleted-by-the-release-before"


@pytest.fixture
def old(tmp_path):
    """A file of schema 0001 with two profiles, a definition, a change, a used key, and text that was deleted."""
    path = tmp_path / "traitbase.db"
    database = SqliteDatabase(path)
    with database.writing() as connection:
        config = Config()
        config.set_main_option("script_location", _MIGRATIONS.as_posix())
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    database.engine.dispose()
    with closing(sqlite3.connect(path)) as driver, driver:
        driver.execute("PRAGMA secure_delete = OFF").fetchall()
        for distinct_id, document in (("a", {"n": 1, "t": "x"}), ("b", {"n": 2}), ("c", {"n": DELETED * 20})):
            row = ("north", "live", distinct_id, f"of {distinct_id}", 3, json.dumps(document), 10, 20)
            driver.execute("INSERT INTO profiles VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        for name, kind in (("n", "number"), ("t", "string"), ("never", "date")):
            row = ("north", "live", name, kind, "active", 5, "r1")
            driver.execute("INSERT INTO property_definitions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        driver.execute("INSERT INTO definition_revisions VALUES ('north', 'live', 2)")
        change = ("north", "live", "r1", 0, "a", 10, 1, "key_1", '{"$set":{"n":1}}', None)
        driver.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", change)
        driver.execute("INSERT INTO idempotency_keys VALUES ('north', 'live', 'signup-ann@example.com', 'd', 'r1', 10)")
        driver.execute("DELETE FROM profiles WHERE distinct_id = 'c'")
    return path


def test_it_keeps_everything_and_counts_what_has_a_property(old):
    with closing(open_sqlite(old)) as store:
        rows = {row.distinct_id: row for row in store.find_profiles(LIVE, ["a", "b", "c"])}
        assert {each: (row.document, row.revision, row.attributes, row.alias_of) for each, row in rows.items()} == {
            "a": ('{"n": 1, "t": "x"}', 3, None, None),
            "b": ('{"n": 2}', 3, None, None),
        }
        revision, definitions = store.get_definitions(LIVE)
        assert (revision, {row.name: row.profiles for row in definitions}) == (2, {"n": 2, "t": 1, "never": 0})
        (change,) = store.find_changes(LIVE, "r1")
        assert (change.operations, change.action, change.effect) == ('{"$set":{"n":1}}', None, None)


def test_it_recognises_idempotency_keys_without_keeping_them(old):
    with closing(open_sqlite(old)) as store:
        digest = hashlib.sha256(b"signup-ann@example.com").hexdigest()
        assert [row.request_id for row in store.find_idempotency(LIVE, [digest], since_us=0)] == ["r1"]
    assert b"ann@example.com" not in old.read_bytes()


def test_it_leaves_nothing_of_what_was_deleted_before(old):
    assert DELETED.encode() in old.read_bytes()
    open_sqlite(old).close()
    assert DELETED.encode() not in old.read_bytes()


def test_it_changes_nothing_if_it_cannot_finish(old, monkeypatch):
    """The whole upgrade is one transaction."""
    monkeypatch.setattr(
        "traitbase.store.migrations.versions.m0002_people.hashlib.sha256",
        lambda _: (_ for _ in ()).throw(RuntimeError("power cut")),
    )
    with pytest.raises(RuntimeError, match="power cut"):
        open_sqlite(old)
    with closing(sqlite3.connect(old)) as driver:
        assert driver.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        names = [row[1] for row in driver.execute("PRAGMA table_info(profiles)")]
    assert "attributes" not in names


def test_it_is_upgraded_once(old):
    open_sqlite(old).close()
    with closing(open_sqlite(old)) as store, store._database.reading() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one() == "0007"
