"""What an operator wants to know of a PostgreSQL database before it is relied on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.errors import TraitbaseError
from traitbase.store.citus import misplaced, places_in
from traitbase.store.postgres import PostgresDatabase
from traitbase.store.schema import HEAD, version_in

_CONNECTIONS_A_SERVER = 64
_SLOW_SECONDS = 0.002
_CLOCKS_APART_SECONDS = 1.0


class Finding(NamedTuple):
    """What a check found. `warning`: it works, but not as well or as safely as it should."""

    check: str
    state: Literal["ok", "warning", "fault"]
    found: str


def check_postgres(url: str) -> list[Finding]:
    """Look at a database and return what was found, the first fault last if nothing more can be asked after it."""
    found: list[Finding] = []
    try:
        database = PostgresDatabase(url)
    except TraitbaseError as error:
        return [Finding("address", "fault", error.message)]
    try:
        database.check_server()
        with database.reading() as connection:
            version = connection.execute(sa.text("SELECT split_part(version(), ' ', 2)")).scalar_one()
            found.append(Finding("server", "ok", f"PostgreSQL {version}, {database.place}"))
            found.extend(_check_settings(connection))
            found.append(_check_schema(database, connection))
            found.append(_check_rights(connection))
            found.extend(_check_places(connection))
        database.check()
        found.append(Finding("writable", "ok", "this is no standby"))
    except TraitbaseError as error:
        found.append(Finding("reachable and usable", "fault", error.message))
    finally:
        database.close()
    return found


def _check_settings(connection: Connection) -> Iterator[Finding]:
    def shown(name: str) -> str:
        return str(connection.execute(sa.text(f"SHOW {name}")).scalar_one())

    losing = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if shown(name) == "off"]
    if losing:
        told = f"{', '.join(losing)} off: what was answered with 202 can be lost when the server's machine stops"
        yield Finding("durability", "warning", told)
    else:
        yield Finding("durability", "ok", f"synchronous_commit {shown('synchronous_commit')}, fsync on")
    if shown("autovacuum") == "off":
        yield Finding("autovacuum", "warning", "off: the tables grow without end, and what was deleted stays in them")
    else:
        yield Finding("autovacuum", "ok", "on")
    most = int(shown("max_connections"))
    enough = most >= _CONNECTIONS_A_SERVER
    told = f"max_connections {most}; a server process takes up to {_CONNECTIONS_A_SERVER}, a few of them usually"
    yield Finding("connections", "ok" if enough else "warning", told)
    began = time.perf_counter()
    for _ in range(10):
        connection.execute(sa.text("SELECT 1"))
    seconds = (time.perf_counter() - began) / 10
    state: Literal["ok", "warning"] = "ok" if seconds <= _SLOW_SECONDS else "warning"
    told = f"{seconds * 1000:.2f} ms a question and answer; a group of updates takes about ten of them"
    yield Finding("distance", state, told)
    theirs = float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    apart = abs(theirs - time.time())
    state = "ok" if apart <= _CLOCKS_APART_SECONDS else "warning"
    yield Finding("clocks", state, f"{apart:.1f} s apart")


def _check_schema(database: PostgresDatabase, connection: Connection) -> Finding:
    version = version_in(connection)
    if version is None:
        return Finding("schema", "warning", "there are no tables yet: traitbase db migrate makes them, or the server")
    if version != HEAD:
        told = f"{version}, this release works with {HEAD}: run traitbase db migrate, or install the release it is of"
        return Finding("schema", "fault", told)
    if what := database.unfinished():
        return Finding("schema", "fault", what.refusal(database.place).message)
    return Finding("schema", "ok", version)


def _check_rights(connection: Connection) -> Finding:
    query = "SELECT has_schema_privilege(current_schema(), 'CREATE'), current_user, current_schema()"
    may_create, user, schema = connection.execute(sa.text(query)).one()
    told = f"{user} may{'' if may_create else ' not'} make tables in {schema}"
    return Finding("rights", "ok" if may_create else "warning", told)


def _check_places(connection: Connection) -> Iterator[Finding]:
    places = places_in(connection)
    if places is None:
        return
    workers = connection.execute(sa.text("SELECT count(*) FROM citus_get_active_worker_nodes()")).scalar_one()
    if not places:
        yield Finding(
            "places", "ok", f"Citus with {workers} workers, not used: traitbase db distribute spreads the tables"
        )
    elif left := misplaced(places):
        yield Finding("places", "fault", f"not at their servers: {', '.join(left)}; run traitbase db distribute")
    else:
        state: Literal["ok", "warning"] = "ok" if workers else "warning"
        yield Finding("places", state, f"spread over {workers} workers (Citus)")
