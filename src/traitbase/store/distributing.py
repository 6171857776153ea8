"""Spreading the tables of a PostgreSQL database over the servers of a Citus cluster, as `citus` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.errors import Refused
from traitbase.store.citus import FIRST, SHARD_KEYS, WANTED, Place, misplaced, not_beside_the_first, places_in
from traitbase.store.postgres import APPLICATION, PostgresDatabase, Unfinished
from traitbase.store.schema import HEAD, version_in

OLDEST_CITUS = 12
"""The first major version of Citus that is supported: those before know PostgreSQL 15 not at all, or half."""

_SPREAD = sa.text("SELECT create_distributed_table(CAST(:name AS regclass), :key, colocate_with => :beside)")
_SPREAD_FIRST = sa.text(
    "SELECT create_distributed_table(CAST(:name AS regclass), :key, colocate_with => 'none', "
    "shard_count => CAST(:shards AS integer))"
)
_REPEAT = sa.text("SELECT create_reference_table(CAST(:name AS regclass))")
# Citus leaves the rows that it has moved in the coordinator's own table, unseen.
_FORGET = sa.text("SELECT truncate_local_data_after_distributing_table(CAST(:name AS regclass))")
OnTable: TypeAlias = Callable[[str], None]
"""Is told of a distribution: which table is moved now."""


class TablePlaced(NamedTuple):
    """A table, where it is now, and whether it was brought there just now."""

    name: str
    place: str
    is_moved: bool


def distribute(database: PostgresDatabase, *, shards: int, on_table: OnTable) -> list[TablePlaced]:
    """Bring every table to its place; the spread ones are divided into so many shards. Returns all tables.

    Each table is moved in a transaction of its own. What was interrupted goes on where it was; until it is done, no
    server starts on the database. Raises Refused, with what to do about it, if the database is none that can be
    distributed, if servers are connected to it, or if a table is distributed in another way already.
    """
    database.check_server()
    with database.reading() as connection:
        _check_citus(connection, database.place)
        _check_schema(connection)
        places = places_in(connection) or {}
        _check_places(places)
    before = database.unfinished()
    if before is Unfinished.COPY:
        raise before.refusal(database.place)
    database.mark(Unfinished.DISTRIBUTION)  # from here on no server starts; those that did are seen
    try:
        with database.reading() as connection:
            _check_nobody_else(connection, database.place)
    except BaseException:
        database.mark(before)
        raise
    done = []
    for name, wanted in WANTED.items():
        is_there = name in places or not (wanted.everywhere or wanted.shard_key)
        if not is_there:
            on_table(name)
            with database.writing() as connection:
                connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
                _move(connection, name, wanted, shards)
        if wanted.everywhere or wanted.shard_key:
            with database.writing() as connection:
                connection.execute(_FORGET, {"name": name})
        done.append(TablePlaced(name, str(wanted), not is_there))
    with database.reading() as connection:
        left = misplaced(places_in(connection) or {})
    if left:
        message = f"{', '.join(left)} did not go where they are to be: see the log of {database.place}, run it again"
        raise Refused(message, code="not_distributed")
    database.mark(None)
    return done


def _move(connection: Connection, name: str, wanted: Place, shards: int) -> None:
    if wanted.shard_key is None:
        connection.execute(_REPEAT, {"name": name})
        return
    key = {"name": name, "key": wanted.shard_key}
    if name == FIRST or wanted.shard_key != SHARD_KEYS[FIRST]:
        connection.execute(_SPREAD_FIRST, {**key, "shards": shards})
    else:
        connection.execute(_SPREAD, {**key, "beside": FIRST})


def _check_citus(connection: Connection, place: str) -> None:
    found = connection.execute(sa.text("SELECT extversion FROM pg_extension WHERE extname = 'citus'")).scalar()
    if found is None:
        message = (
            f"{place} has no Citus: install it on every server of the cluster, name it in "
            "shared_preload_libraries, and run CREATE EXTENSION citus in this database on each (see docs/scaling.md)"
        )
        raise Refused(message, code="no_citus")
    if int(found.partition(".")[0]) < OLDEST_CITUS:
        message = f"{place} has Citus {found}: Traitbase needs {OLDEST_CITUS} or newer"
        raise Refused(message, code="no_citus")
    if not connection.execute(sa.text("SELECT citus_is_coordinator()")).scalar_one():
        message = f"{place} is a worker of its cluster: name the coordinator in TRAITBASE_DATABASE_URL"
        raise Refused(message, code="not_the_coordinator")


def _check_schema(connection: Connection) -> None:
    found = version_in(connection)
    if found != HEAD:
        message = f"the schema is {found or 'not there yet'}, this release works with {HEAD}: run traitbase db migrate"
        raise Refused(message, code="schema_is_older" if found is None or found < HEAD else "schema_is_newer")


def _check_nobody_else(connection: Connection, place: str) -> None:
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :ours "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    others = connection.execute(query, {"ours": APPLICATION}).scalar_one()
    if others:
        message = f"Traitbase has {others} more connections to {place}: stop all of its servers and commands first"
        raise Refused(message, code="servers_are_running")


def _check_places(places: dict[str, Place]) -> None:
    """Raise Refused if a table is somewhere from where this does not bring it away."""
    wrong = [
        f"{name} is {place}, and is to be {WANTED[name]}"
        for name, place in places.items()
        if name in WANTED and not place.is_of(WANTED[name])
    ]
    wrong += [f"{name} is not colocated with {FIRST}" for name in not_beside_the_first(places)]
    if wrong:
        message = f"{'; '.join(wrong)}: bring it back with SELECT undistribute_table('…'), then run this again"
        raise Refused(message, code="distributed_otherwise")
