"""What is PostgreSQL's own: its schema, its servers, several writers at once, and what becomes of a commit."""

from __future__ import annotations

import contextlib
import threading
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa

from store.backends import LIVE, NORTH, differences
from support.postgres import empty_database, fresh_database
from traitbase.domain.definitions import State
from traitbase.domain.errors import Conflict, Refused
from traitbase.domain.values import Kind
from traitbase.services.ports import (
    ChangeRow,
    DefinitionRow,
    ErasedPerson,
    Erasure,
    ProfileRow,
    SeenRow,
    UnlinkedRow,
    WriteSet,
)
from traitbase.store.postgres import open_postgres
from traitbase.store.postgres_checks import check_postgres
from traitbase.store.tables import metadata


@pytest.fixture
def url():
    with fresh_database() as made:
        yield made


@pytest.fixture
def store(url):
    with closing(open_postgres(url)) as opened:
        opened.add_workspace(NORTH)
        yield opened


def profile(distinct_id="u", revision=1, document="{}"):
    return ProfileRow(*LIVE, distinct_id, f"profile of {distinct_id}", revision, document, 5_000, 5_000)


def writes(*rows, at=0, **others):
    return WriteSet(definitions_at={LIVE: at}, profiles=sorted(rows), **others)


# --- the schema, and what is no place for it ---


@pytest.fixture
def plain_connection(url):
    """A connection as SQLAlchemy makes it by itself, which its reflection needs."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_migrates_to_the_tables_that_the_code_describes(plain_connection):
    assert differences(plain_connection, metadata) == []


def test_every_text_is_in_order_of_code_points(store):
    with store._database.reading() as connection:
        query = """SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'
            AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"""
        assert connection.execute(sa.text(query)).all() == []


def test_nothing_in_the_schema_is_what_a_sharded_database_refuses(plain_connection):
    """No foreign keys, no sequences; what is unique among profiles says so with their whole key."""
    by_profile = ("profiles", "changes", "unlinked_changes", "ignored_values", "kept_aside", "cohort_members")
    inspected = sa.inspect(plain_connection)
    assert inspected.get_sequence_names() == []
    for table in inspected.get_table_names():
        assert inspected.get_foreign_keys(table) == []
    for table in by_profile:
        key = {"workspace_id", "environment", "distinct_id"}
        assert key <= set(inspected.get_pk_constraint(table)["constrained_columns"])
        assert [each for each in inspected.get_indexes(table) if each["unique"]] == []


def test_refuses_a_database_that_cannot_hold_every_character():
    with empty_database("LATIN1") as url, pytest.raises(Refused, match="keeps text as LATIN1") as caught:
        open_postgres(url)
    assert caught.value.code == "store_unusable"


def test_refuses_the_database_of_another_program():
    with empty_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE films (title TEXT)")
        with pytest.raises(Refused, match="another program's"):
            open_postgres(url)


@pytest.mark.parametrize(("version", "code"), [("0004", "schema_is_older"), ("9999", "schema_is_newer")])
def test_works_with_its_own_schema_alone_also_when_that_changes_meanwhile(url, store, version, code):
    session = store.open_session()
    session.write(writes(profile()), wait_seconds=1)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (version,))
    with pytest.raises(Refused) as opening:
        open_postgres(url)
    with pytest.raises(Refused) as writing:
        session.write(writes(profile(revision=2)), wait_seconds=1)
    assert (opening.value.code, writing.value.code) == (code, code)
    assert [row.revision for row in store.find_profiles(LIVE, ["u"])] == [1]
    session.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://me:geheim@127.0.0.1/x", "must look like postgresql://"),
        ("geheim", "must look like postgresql://"),
        ("postgresql://me:geheim@127.0.0.1:1/x", "the database x on 127.0.0.1:1 cannot be reached"),
    ],
)
def test_says_what_is_wrong_with_an_address_and_never_its_password(url, told):
    with pytest.raises(Refused) as caught:
        open_postgres(url)
    assert told in caught.value.message
    assert "geheim" not in caught.value.message


def test_processes_that_open_one_empty_database_at_once_make_its_tables_once():
    with empty_database() as url:
        failed = []

        def open_it():
            try:
                open_postgres(url).close()
            except Exception as error:  # noqa: BLE001  # whatever it is, the test tells of it
                failed.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []


def test_an_operator_is_told_what_can_be_lost_there(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{sa.make_url(url).database}" SET synchronous_commit = off')
    found = {each.check: each for each in check_postgres(url)}
    assert (found["schema"].state, found["writable"].state) == ("ok", "ok")
    assert (found["durability"].state, "synchronous_commit" in found["durability"].found) == ("warning", True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{sa.make_url(url).database}" RESET ALL')


# --- several writers at once ---


@contextlib.contextmanager
def held_up(url, statement):
    """Keep a transaction open that has executed something."""
    with psycopg.connect(url) as other:
        other.execute(statement)
        yield
        other.rollback()


def test_writers_in_one_space_do_not_wait_for_each_other(store):
    first, second = store.open_session(), store.open_session()
    first.write(writes(profile("first")), wait_seconds=1)  # of the first in a space all others wait
    first.stage(writes(profile("a")), wait_seconds=1)
    second.write(writes(profile("b")), wait_seconds=1)  # while the first is not committed
    first.commit()
    assert len(store.find_profiles(LIVE, ["a", "b"])) == 2
    first.close()
    second.close()


def test_counts_of_two_openings_add_up_and_nobody_waits_to_count(url, store):
    names = {"a", "b"}
    new = [DefinitionRow(name, Kind.NUMBER, State.ACTIVE, 1, "r") for name in sorted(names)]
    with closing(open_postgres(url)) as other:
        other._database.slot = (store._database.slot + 1) % 64
        other._compiled._slot = other._database.slot
        first, second = store.open_session(), other.open_session()
        first.write(WriteSet(definitions_at={LIVE: 0}, new_definitions={LIVE: new}), wait_seconds=1)
        first.stage(writes(profile("p"), at=1, having={LIVE: {"a": 2, "b": 1}}), wait_seconds=1)
        second.write(
            writes(profile("q"), at=1, having={LIVE: {"a": 3}}, ignored_counts={LIVE: {"b": 4}}), wait_seconds=1
        )
        first.commit()
        counted = {row.name: (row.profiles, row.ignored) for row in store.get_definitions(LIVE)[1]}
        assert counted == {"a": (5, 0), "b": (1, 4)}
        first.close()
        second.close()


def test_a_retype_waits_for_those_who_write_and_they_for_it(store):
    session = store.open_session()
    session.stage(writes(profile("a")), wait_seconds=1)
    with pytest.raises(Refused, match="held by another writer"), store.rewriting(LIVE, wait_seconds=0.2):
        pass
    session.commit()
    with store.rewriting(LIVE, wait_seconds=1), pytest.raises(Refused, match="held by another writer"):
        session.write(writes(profile("b")), wait_seconds=0.2)
    session.write(writes(profile("b")), wait_seconds=1)
    session.close()


def test_an_erasure_leaves_nothing_of_what_was_ignored_at_the_same_time(store):
    """An update that changes nothing holds no row of the profile; its change must be gone with it all the same."""
    first, second = store.open_session(), store.open_session()
    first.write(writes(profile("a")), wait_seconds=1)
    change = ChangeRow(*LIVE, "r1", 0, "a", 5, 1, "key", '{"$set":{"secret":1}}', "[]")
    seen = SeenRow(*LIVE, "a", "profile of a", 1)
    first.stage(
        WriteSet(definitions_at={LIVE: 0}, seen=[seen], changes=[change], unlinked=[UnlinkedRow(*LIVE, "a", "r1", 0)]),
        wait_seconds=1,
    )
    erasure = Erasure(LIVE, "r2", 5, "key", (ErasedPerson(("a",), ()),))
    erasing = threading.Thread(
        target=second.write,
        args=(WriteSet(definitions_at={LIVE: 0}, deleted=[seen], erasures=[erasure]),),
        kwargs={"wait_seconds": 10},
    )
    erasing.start()
    erasing.join(0.3)
    assert erasing.is_alive()  # it waits for the first
    first.commit()
    erasing.join(10)
    assert (store.find_profiles(LIVE, ["a"]), store.find_changes(LIVE, "r1")) == ([], [])
    first.close()
    second.close()


def test_of_two_who_wait_for_each_other_one_is_told_that_it_lost(store):
    """Groups lock rows in one order and never do; whatever else does, is told to do it again."""
    both, codes = threading.Barrier(2), []

    def insert(*names):
        try:
            with store._database.writing() as connection:
                for name in names:
                    statement = f"INSERT INTO workspaces VALUES ('{name}', '', '', 1) ON CONFLICT DO NOTHING"
                    connection.execute(sa.text(statement))
                    if name == names[0]:
                        both.wait()
        except Conflict as error:
            codes.append(error.code)

    threads = [threading.Thread(target=insert, args=names) for names in (("x", "y"), ("y", "x"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["lost_race"]


# --- what becomes of a commit ---


def test_a_commit_whose_answer_was_lost_counts_once_it_is_found_to_be_done(store):
    session = store.open_session()
    session.stage(writes(profile("a")), wait_seconds=1)
    driver = session._kept.connection.driver_connection
    driver.execute("COMMIT")  # as far as the server goes
    driver.close()  # the connection breaks before the answer comes
    session.commit()
    assert len(store.find_profiles(LIVE, ["a"])) == 1
    session.write(writes(profile("b")), wait_seconds=1)  # by another connection
    session.close()


def test_a_commit_that_never_reached_the_server_is_a_lost_race(store):
    session = store.open_session()
    session.stage(writes(profile("a")), wait_seconds=1)
    session._kept.connection.driver_connection.close()
    with pytest.raises(Conflict) as caught:
        session.commit()
    assert caught.value.code == "lost_race"
    session.write(writes(profile("a")), wait_seconds=1)
    session.close()


def test_what_the_server_still_does_for_a_lost_connection_is_ended_before_it_stands_in_the_way(url, store):
    session = store.open_session()
    session.stage(writes(profile("a")), wait_seconds=1)
    driver = session._kept.connection.driver_connection
    pid = driver.info.backend_pid
    assert pid > 0
    kept = psycopg.connect(url, autocommit=True)
    # Its socket goes on somewhere: the server does not see the end of it.
    import os

    spare = os.dup(driver.fileno())
    driver.close()
    with pytest.raises((Conflict, Refused)):
        session.commit()
    session.write(writes(profile("a")), wait_seconds=2)
    assert kept.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() == (0,)
    os.close(spare)
    kept.close()
    session.close()


def test_a_pool_goes_on_after_its_connections_were_ended(url, store):
    assert store.find_workspace("north") is not None
    with psycopg.connect(url, autocommit=True) as other:
        query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        other.execute(query)
    assert store.find_workspace("north") is not None
