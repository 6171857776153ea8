"""What is SQLite's own: its file, its log, its locks, its schema, and what it says when something is wrong there."""

from __future__ import annotations

import itertools
import os
import queue
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress

import pytest
import sqlalchemy as sa

from store.backends import differences
from traitbase.domain.errors import Refused
from traitbase.domain.spaces import Space, Workspace
from traitbase.services.ports import ChangeRow, ProfileRow, SuppressionFilter, SuppressionRow, WriteSet
from traitbase.store.sqlite import SqliteDatabase, open_sqlite
from traitbase.store.tables import metadata

LIVE = Space("north", "live")
FRAME_BYTES = 24 + 2_048
LONG_LOG_BYTES = 128 * 1024 * 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "traitbase.db"


@pytest.fixture
def store(path):
    with closing(open_sqlite(path)) as opened:
        yield opened


def profile_row(distinct_id="u", *, revision=1, document="{}"):
    return ProfileRow(*LIVE, distinct_id, f"of {distinct_id}", revision, document, 1, 1)


def change_row(request_id, operations="{}"):
    return ChangeRow(*LIVE, request_id, 0, "u", 1, 1, "key_1", operations, None)


# --- the schema ---


def test_migrates_to_the_tables_that_the_code_describes(store):
    with store._database.engine.connect() as connection:
        assert differences(connection, metadata) == []


def test_stores_changes_in_the_order_of_their_key_alone(path, store):
    store.check()
    with closing(sqlite3.connect(path)) as driver:
        (statement,) = driver.execute("SELECT sql FROM sqlite_master WHERE name = 'changes'").fetchone()
    assert "WITHOUT ROWID" in statement.upper()


def test_opens_its_own_file_again_with_everything_in_it(path):
    workspace = Workspace("north", "North", "UTC", 1)
    with closing(open_sqlite(path)) as store, closing(store.open_session()) as session:
        store.add_workspace(workspace)
        session.write(WriteSet(profiles=[profile_row()], changes=[change_row("r1")]), wait_seconds=1)
    with closing(open_sqlite(path)) as store:
        assert store.list_workspaces() == [workspace]
        assert store.find_profiles(LIVE, ["u"]) == [profile_row()]
        assert store.find_changes(LIVE, "r1") == [change_row("r1")]


def test_refuses_a_file_of_a_newer_release_and_leaves_it_alone(path):
    open_sqlite(path).close()
    with closing(sqlite3.connect(path)) as driver, driver:
        driver.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused) as caught:
        open_sqlite(path)
    assert caught.value.code == "schema_is_newer"
    assert caught.value.message == (
        "the data was written by a newer Traitbase (schema 9999; this release knows up to 0007): install that version "
        "or a later one, or restore a backup made before it"
    )
    with closing(sqlite3.connect(path)) as driver:
        assert driver.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


# --- files that cannot be used ---


def test_refuses_a_file_that_is_no_database_and_leaves_it_alone(path):
    path.write_bytes(b"distinct_id,plan\nu,pro\n" * 1_000)
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        open_sqlite(path)
    assert (caught.value.code, path.read_bytes()) == ("store_damaged", before)
    assert caught.value.message == f"{path} is no Traitbase database, or it is damaged: restore it from a backup"


def test_refuses_a_connection_to_a_file_that_took_its_place_meanwhile(path, store):
    """Between a look at the files and their opening: SQLite makes the file that is not there, an empty one."""
    aside = path.with_name("aside")

    def move(*_parts):
        if path.exists():
            path.rename(aside)

    with ExitStack() as stack:
        while store._database.engine.pool.checkedin() or not store._database.engine.pool.checkedout():
            stack.enter_context(store._database.reading())  # the next one that is wanted is a new one
        sa.event.listen(store._database.engine, "do_connect", move)
        with pytest.raises(Refused, match="gone or were replaced") as refusal:
            store.list_workspaces()
        assert refusal.value.code == "store_unavailable"
        sa.event.remove(store._database.engine, "do_connect", move)
        aside.rename(path)
        assert store.list_workspaces() == []


def test_refuses_a_file_that_is_taken_away_while_it_is_opened(path, monkeypatch):
    monkeypatch.setattr(SqliteDatabase, "look_for_traces", lambda _self: path.rename(path.with_name("aside")))
    with pytest.raises(Refused, match="moved or deleted while it was being opened") as refusal:
        open_sqlite(path)
    assert refusal.value.code == "store_unavailable"


def test_says_that_too_many_are_at_work_when_no_connection_is_free(store):
    store._database.engine.pool._timeout = 0.01
    with ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(store._database.reading())
        with pytest.raises(Refused, match="too many others") as refusal:
            store.list_workspaces()
    assert refusal.value.code == "store_unavailable"
    assert store.list_workspaces() == []


def test_refuses_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(Refused) as caught:
        open_sqlite(tmp_path / "missing" / "traitbase.db")
    assert caught.value.code == "store_unwritable"
    assert f"check that {tmp_path / 'missing'} exists" in caught.value.message


def test_refuses_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(Refused) as caught:
        open_sqlite(tmp_path)
    assert caught.value.code == "store_unwritable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_refuses_a_file_it_may_not_write_to(path):
    open_sqlite(path).close()
    path.chmod(0o444)
    with pytest.raises(Refused) as caught:
        open_sqlite(path)
    assert caught.value.code == "store_unwritable"


def test_opens_an_empty_file_as_a_new_database(path):
    path.touch()
    with closing(open_sqlite(path)) as store:
        assert store.list_workspaces() == []


# --- durability ---


def test_runs_every_connection_with_a_log_and_full_synchronisation(store):
    with closing(store.open_session()) as session:
        session.write(WriteSet(profiles=[profile_row()]), wait_seconds=1)
        with store._database.engine.connect() as reader:
            for connection in (session._kept, reader):
                settings = [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "page_size")
                ]
                assert settings == ["wal", 2, 0, 2_048]


def test_keeps_nothing_when_the_disk_is_full_and_goes_on_when_it_is_not(store):
    with closing(store.open_session()) as session:
        session.write(WriteSet(profiles=[profile_row()]), wait_seconds=1)
        pages = session._kept.exec_driver_sql("PRAGMA page_count").scalar_one()
        session._kept.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        rows = WriteSet(profiles=[profile_row(revision=2)], changes=[change_row("r1", "x" * 500_000)])
        with pytest.raises(Refused) as caught:
            session.write(rows, wait_seconds=1)
        assert (caught.value.code, store.find_profiles(LIVE, ["u"])) == ("store_unavailable", [profile_row()])
        assert store.find_changes(LIVE, "r1") == []
        session._kept.exec_driver_sql("PRAGMA max_page_count = 1000000")
        session.write(rows, wait_seconds=1)
        assert store.find_profiles(LIVE, ["u"]) == [profile_row(revision=2)]


def test_loses_no_committed_write_when_the_process_is_killed(path):
    script = """
import os, signal, sys
from pathlib import Path
from traitbase.services.ports import ProfileRow, WriteSet
from traitbase.store.sqlite import open_sqlite
session = open_sqlite(Path(sys.argv[1])).open_session()
for revision in range(1, 101):
    row = ProfileRow("north", "live", "u", "of u", revision, "{}", 1, 1)
    session.write(WriteSet(profiles=[row]), wait_seconds=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, path], check=False, timeout=60)
    with closing(open_sqlite(path)) as store:
        assert store.find_profiles(LIVE, ["u"]) == [profile_row(revision=100)]


# --- the log ---


def lengthen_log(path, size):
    """Write to the log, without waiting for the disk, until it has that size."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as driver:
        driver.execute("PRAGMA synchronous = OFF")
        driver.execute("PRAGMA wal_autocheckpoint = 0")
        driver.execute("CREATE TABLE IF NOT EXISTS filling (content BLOB)")
        while log_of(path).stat().st_size < size:
            driver.execute("INSERT INTO filling VALUES (zeroblob(4000000))")


def log_of(path):
    return path.with_name(path.name + "-wal")


def frames_in(path):
    """Return how many frames the log holds, as the shared index says: started over, the file itself stays long."""
    index = path.with_name(path.name + "-shm").read_bytes()
    return int.from_bytes(index[16:20], sys.byteorder)


def test_leaves_a_short_log_alone(path, store):
    store.add_workspace(Workspace("north", "North", "UTC", 1))
    frames = frames_in(path)
    store.tidy()
    assert (frames_in(path), frames > 0) == (frames, True)


def test_starts_a_log_over_once_it_was_copied(path, store):
    lengthen_log(path, 80_000_000)
    length = log_of(path).stat().st_size
    store.tidy()
    store.add_workspace(Workspace("north", "North", "UTC", 1))
    assert frames_in(path) < 100
    assert log_of(path).stat().st_size == length


def test_starts_a_long_log_over_while_others_read_and_write(path, store):
    lengthen_log(path, LONG_LOG_BYTES + 1_000_000)
    stop = threading.Event()
    reads, writes = queue.SimpleQueue(), queue.SimpleQueue()

    def read():
        while not stop.is_set():
            reads.put(store.find_profiles(LIVE, ["u"]))

    def write():
        with closing(store.open_session()) as session:
            for revision in itertools.count(1):
                session.write(WriteSet(profiles=[profile_row(revision=revision)]), wait_seconds=10)
                writes.put(revision)
                if stop.is_set():
                    return

    threads = [threading.Thread(target=work) for work in (read, write)]
    for thread in threads:
        thread.start()
    try:
        reads.get(timeout=10)
        writes.get(timeout=10)
        store.tidy()
        for _ in range(writes.qsize() + 5):
            last = writes.get(timeout=10)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    while not writes.empty():
        last = writes.get()
    assert frames_in(path) < LONG_LOG_BYTES // FRAME_BYTES // 4
    assert store.find_profiles(LIVE, ["u"]) == [profile_row(revision=last)]


# --- several processes ---

TAKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
    print("taken")
except sqlite3.OperationalError as error:
    print(error)
"""


@pytest.mark.parametrize("log_bytes", [0, 80_000_000, LONG_LOG_BYTES + 1_000_000])
def test_keeps_its_locks_whatever_it_does_meanwhile(path, store, log_bytes):
    """A process that opens and closes one of SQLite's files by itself loses every lock on it, without a word."""
    if log_bytes:
        lengthen_log(path, log_bytes)
    with closing(store.open_session()) as session:
        session.stage(WriteSet(profiles=[profile_row()]), wait_seconds=1)
        with suppress(Refused):  # another writer is at work, and the log cannot be started over
            store.tidy()
        store.find_profiles(LIVE, ["u"])
        store.check()
        store.find_api_key("")
        take = [sys.executable, "-c", TAKING, str(path)]
        assert subprocess.run(take, capture_output=True, text=True, check=True).stdout == "database is locked\n"
        session.commit()
    assert store.find_profiles(LIVE, ["u"]) == [profile_row()]


OPENING = """
import sys
from pathlib import Path
from traitbase.store.sqlite import open_sqlite
print("ready", flush=True)
for line in sys.stdin:
    store = open_sqlite(Path(line.rstrip("\\n")))
    store.check()
    store.close()
    print("opened", flush=True)
"""


def test_lets_processes_open_one_fresh_file_at_the_same_moment(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
        for attempt in range(40):
            path = tmp_path / f"{attempt}.db"
            for process in processes:
                process.stdin.write(f"{path}\n")
            for process in processes:
                process.stdin.flush()
            answers = [process.stdout.readline() for process in processes]
            assert answers == ["opened\n"] * 3, [
                p.stderr.read()[-6_000:] for p, a in zip(processes, answers, strict=True) if not a
            ]
            with closing(open_sqlite(path)) as store:
                assert store.list_workspaces() == []
    finally:
        for process in processes:
            process.communicate(timeout=30)


def test_looks_suppressions_up_in_an_index_and_never_walks_through_a_workspace(store):
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    by_person, by_digest = SuppressionFilter(distinct_ids=("u",)), SuppressionFilter(digests=("d",), channel="sms")
    sa.event.listen(store._database.engine, "before_cursor_execute", note)
    store.put_suppression(SuppressionRow("w", "s1", "sms", "u", None, None, None, 1, None))
    store.put_suppression(SuppressionRow("w", "s2", "sms", None, "x", "d", None, 1, None))
    store.find_suppressions("w", distinct_ids=["u"], digests=["d"], now_us=2)
    for which in (by_person, by_digest):
        store.list_suppressions("w", which, now_us=2, after="s0", limit=5)
        store.delete_suppressions("w", which, now_us=2)
    sa.event.remove(store._database.engine, "before_cursor_execute", note)
    lookups = [(statement, parameters) for statement, parameters in asked if not statement.startswith("INSERT")]
    with store._database.reading() as connection:
        driver = connection.connection.driver_connection
        plans = [
            [
                row[3]
                for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                if " suppressions " in row[3]
            ]
            for statement, parameters in lookups
        ]
    assert len(plans) == 10
    assert all("USING INDEX ix_suppressions_" in plan[0] for plan in plans), plans
