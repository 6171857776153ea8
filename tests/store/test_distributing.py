"""Spreading the tables over a cluster: what is moved, what is resumed, and what is refused.

The cluster is played, on partitions: see `support/citus`.
"""

from __future__ import annotations

import os
from contextlib import closing

import psycopg
import pytest

from store.backends import LIVE, NORTH
from support.postgres import VARIABLE, cluster_database, fresh_database
from traitbase.bootstrap import open_engine
from traitbase.domain.errors import Refused
from traitbase.services.ports import ProfileRow, WriteSet
from traitbase.settings import load_settings
from traitbase.store.citus import ON_EACH_SERVER, SHARD_KEYS
from traitbase.store.distributing import distribute
from traitbase.store.postgres import PostgresDatabase, open_postgres
from traitbase.store.postgres_checks import check_postgres

pytestmark = pytest.mark.skipif(VARIABLE in os.environ, reason="it tells our own server what to play")
IDS = [f"u{number:02}" for number in range(40)]


@pytest.fixture
def url():
    with cluster_database() as made:
        yield made


def spread(url, *, shards=4, on_table=lambda _name: None):
    with closing(PostgresDatabase(url)) as database:
        return distribute(database, shards=shards, on_table=on_table)


def set_in(url, setting):
    """Set what the player of Citus looks at, for the connections that come."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET {setting}')


def fill(url):
    with closing(open_postgres(url)) as store, closing(store.open_session()) as session:
        store.add_workspace(NORTH)
        rows = [ProfileRow(*LIVE, each, f"of {each}", 1, "{}", 5_000, 5_000) for each in IDS]
        session.write(WriteSet(definitions_at={LIVE: 0}, profiles=rows), wait_seconds=5)


def found_in(url):
    with closing(open_postgres(url)) as store, store.open_snapshot(LIVE) as snapshot:
        return [row.distinct_id for step in snapshot.read_profiles() for row in step]


def test_every_table_goes_to_its_place_with_its_rows_and_stays_there(url):
    fill(url)
    moved = {each.name for each in spread(url) if each.is_moved}
    assert moved == {*SHARD_KEYS, *ON_EACH_SERVER}
    assert found_in(url) == IDS
    assert not any(each.is_moved for each in spread(url))
    with psycopg.connect(url) as connection:
        query = "SELECT logicalrelid::text, colocationid FROM pg_dist_partition WHERE partmethod = 'h'"
        groups = dict(connection.execute(query).fetchall())
    apart = groups.pop("idempotency_keys")
    assert len(set(groups.values())) == 1
    assert apart not in groups.values()


@pytest.mark.parametrize("stops_at", ["profiles", "kept_aside", "cohorts"])
def test_what_was_interrupted_is_not_served_and_goes_on_where_it_was(url, stops_at):
    fill(url)

    def interrupt(name):
        if name == stops_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(url, on_table=interrupt)
    with pytest.raises(Refused, match="run traitbase db distribute again"):
        open_postgres(url)
    assert ("schema", "fault") in {each[:2] for each in check_postgres(url)}
    first = spread(url)[0]
    assert (first.name, first.is_moved) == ("profiles", stops_at == "profiles")
    assert found_in(url) == IDS


def test_what_a_worker_says_in_the_middle_is_told_and_nothing_of_the_table_is_lost(url):
    fill(url)
    set_in(url, "played.stops_at = 'changes'")
    with pytest.raises(Exception, match="could not connect to worker"):
        spread(url)
    set_in(url, "played.stops_at = ''")
    assert {each.name for each in spread(url) if not each.is_moved} >= {"profiles"}
    assert found_in(url) == IDS


def test_nothing_is_moved_while_a_server_is_connected(url):
    with closing(open_postgres(url)) as store:
        with pytest.raises(Refused, match="stop all of its servers"):
            spread(url)
        store.add_workspace(NORTH)  # it goes on
    open_postgres(url).close()
    assert spread(url)


def test_a_database_without_citus_and_a_worker_are_told_apart(url):
    with fresh_database() as plain, pytest.raises(Refused, match="has no Citus: install it"):
        spread(plain)
    set_in(url, "played.is_worker = 'on'")
    with pytest.raises(Refused, match="is a worker of its cluster"):
        spread(url)


def test_a_table_that_is_distributed_otherwise_is_left_alone(url):
    with psycopg.connect(url) as connection:
        connection.execute("SELECT create_reference_table('changes'::regclass)")
    with pytest.raises(Refused, match="changes is on each server, and is to be spread by distinct_id") as refused:
        spread(url)
    assert "undistribute_table" in refused.value.message
    open_postgres(url).close()  # and nothing was begun


def test_a_table_that_is_not_where_it_is_to_be_keeps_servers_away(url):
    """Such as one that an upgrade brought."""
    spread(url)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM played.pg_dist_partition WHERE logicalrelid = 'erasures'::regclass")
    with pytest.raises(Refused, match=r"erasures of .* must be brought to their servers: run traitbase db distribute"):
        open_postgres(url)
    assert ("places", "fault") in {each[:2] for each in check_postgres(url)}
    assert [each.name for each in spread(url) if each.is_moved] == ["erasures"]
    assert ("places", "ok") in {each[:2] for each in check_postgres(url)}


def test_a_copy_of_the_profiles_is_refused_there(url, tmp_path):
    fill(url)
    spread(url)
    settings = load_settings(data=tmp_path, database_url=url, cohort_engine="copy")
    with closing(open_postgres(url)) as store, pytest.raises(Refused, match="spread over several servers"):
        open_engine(store, settings, tell=print)
    with closing(open_postgres(url)) as store:
        automatic = load_settings(data=tmp_path, database_url=url)
        with closing(open_engine(store, automatic, tell=print)) as engine, engine.open_view(LIVE) as view:
            assert view.total() == len(IDS)
