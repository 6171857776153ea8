"""`traitbase compact`."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from support.data import open_store, sqlite_only
from support.server import run_cli, run_json
from traitbase import bootstrap
from traitbase.services.workspaces import create_workspace


@sqlite_only
def test_it_writes_the_file_anew_and_says_what_that_was_good_for(tmp_path):
    with closing(open_store(tmp_path)) as store:
        create_workspace(store, name="n" * 100, workspace_id="shop", timezone="UTC", at_us=1)
    file = tmp_path / bootstrap.DATABASE_FILE
    with closing(sqlite3.connect(file, isolation_level=None)) as driver:
        driver.execute("PRAGMA user_version = 3")  # so many erasures
        driver.execute("CREATE TABLE ballast AS SELECT zeroblob(1000000) AS b")
        driver.execute("DROP TABLE ballast")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.stat().st_size
    answer = run_json("compact", data=tmp_path)
    assert (answer["bytes_before"], answer["bytes_after"]) == (before, file.stat().st_size)
    assert file.stat().st_size < before - 900_000
    with closing(sqlite3.connect(file)) as driver:
        assert driver.execute("PRAGMA user_version").fetchone() == (0,)
    assert "bytes before" in run_cli("compact", data=tmp_path).stdout
    assert [each.workspace_id for each in open_store(tmp_path).list_workspaces()] == ["shop"]


def test_it_makes_no_database_where_there_is_none(tmp_path):
    done = run_cli("compact", data=tmp_path / "typo")
    assert (done.returncode, "no Traitbase data" in done.stderr) == (2, True)
    assert not (tmp_path / "typo").exists()
