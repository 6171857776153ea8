"""Indexes of single properties on PostgreSQL, for rules that ask for one value among many.

None is made by itself: each makes every update of a profile in its space dearer (measured: by a third of the
statement's time), and helps only rules that few profiles meet. A rule that a tenth of all meet is answered quicker by
reading them all.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from traitbase.domain.errors import NotFound, Refused
from traitbase.domain.spaces import Space
from traitbase.domain.values import Kind
from traitbase.store.database import Database, within
from traitbase.store.tables import property_definitions

_PREFIX = "ix_profiles_of_"
_STATISTICS = "_values"
_FOUND = sa.text(
    "SELECT c.relname, obj_description(c.oid, 'pg_class'), i.indisvalid, pg_relation_size(c.oid) "
    "FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = 'profiles'::regclass AND starts_with(c.relname, :prefix)"
)
_CREATE = sql.SQL(
    "CREATE INDEX CONCURRENTLY {name} ON profiles USING {method} "
    "WHERE workspace_id = {workspace_id} AND environment = {environment} AND alias_of IS NULL"
)


class PropertyIndex(NamedTuple):
    """An index of a property. `is_usable`: it was made to its end. `size`: in bytes."""

    space: Space
    name: str
    is_usable: bool
    size: int


def list_indexes(connection: Connection) -> list[PropertyIndex]:
    """Return the indexes of properties, in order of space and name; also what interrupted calls left of some.

    Those say nothing of what they are: the properties there are tell by their indexes' names.
    """
    found, left = [], {}
    for index, comment, is_valid, size in connection.execute(_FOUND, {"prefix": _PREFIX}):
        if comment is None:
            left[index] = size
        else:
            found.append(PropertyIndex(*_read(comment), is_valid, size))
    if left:
        columns = [property_definitions.c[name] for name in ("workspace_id", "environment", "name")]
        for workspace_id, environment, name in connection.execute(sa.select(*columns)):
            space = Space(workspace_id, environment)
            if (size := left.get(_name_of(space, name))) is not None:
                found.append(PropertyIndex(space, name, is_usable=False, size=size))
    return sorted(found)


def create_index(database: Database, space: Space, name: str) -> bool:
    """Make the index of a property; False if it is there. Others read and write meanwhile.

    What an interrupted call left is made anew. Raises NotFound if there is no such property.
    """
    with database.reading() as connection:
        kind = _kind_of(connection, space, name)
        index = _name_of(space, name)
        before = connection.execute(_FOUND, {"prefix": index}).all()
        if before and before[0][2] and before[0][1] is not None:
            return False
        if before:
            _run(connection, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index)))
        # Both know values by their hashes: a B-tree refuses rows with texts of more than 2,700 bytes.
        method = "gin ((document -> {}) jsonb_path_ops)" if kind is Kind.LIST else "hash ((document -> {}))"
        create = _CREATE.format(
            name=sql.Identifier(index),
            method=sql.SQL(method).format(sql.Literal(name)),
            workspace_id=sql.Literal(space.workspace_id),
            environment=sql.Literal(str(space.environment)),
        )
        _run(connection, create)
        if kind is not Kind.LIST and not database.is_distributed:  # Citus has no statistics of expressions
            statistics = sql.SQL("CREATE STATISTICS IF NOT EXISTS {} ON (document -> {}) FROM profiles")
            _run(connection, statistics.format(sql.Identifier(f"{index}{_STATISTICS}"), sql.Literal(name)))
        comment = msgspec.json.encode([*space, name]).decode()
        _run(connection, sql.SQL("COMMENT ON INDEX {} IS {}").format(sql.Identifier(index), sql.Literal(comment)))
        # Only now is it known how many a value leads to: the planner does not take that from the index.
        _run(connection, sql.SQL("ANALYZE profiles"))
    return True


def drop_index(database: Database, space: Space, name: str) -> bool:
    """Take the index of a property away; False if there is none."""
    with database.reading() as connection:
        index = _name_of(space, name)
        is_there = connection.execute(_FOUND, {"prefix": index}).first() is not None
        _run(connection, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index)))
        _run(connection, sql.SQL("DROP STATISTICS IF EXISTS {}").format(sql.Identifier(f"{index}{_STATISTICS}")))
    return is_there


def indexed_properties(connection: Connection, space: Space) -> frozenset[str]:
    """Return the names of a space's properties that have an index."""
    rows = connection.execute(_FOUND, {"prefix": _PREFIX})
    usable = [_read(comment) for _, comment, is_valid, _ in rows if is_valid and comment is not None]
    return frozenset(name for owner, name in usable if owner == space)


def _read(comment: str) -> tuple[Space, str]:
    workspace_id, environment, name = msgspec.json.decode(comment, type=tuple[str, str, str])
    return Space(workspace_id, environment), name


def _kind_of(connection: Connection, space: Space, name: str) -> Kind:
    query = sa.select(property_definitions.c.kind)
    row = connection.execute(
        query.where(within(property_definitions, space), property_definitions.c.name == name)
    ).one_or_none()
    if row is None:
        message = f"there is no property {name!r} in {space.workspace_id} ({space.environment})"
        raise NotFound(message, code="property_not_found")
    kind = Kind(row[0])
    if kind is Kind.DATE:
        message = f"{name!r} is a Date: rules ask for days and intervals of it, which an index of values does not help"
        raise Refused(message, code="index_of_no_use")
    return kind


def _name_of(space: Space, name: str) -> str:
    return _PREFIX + hashlib.sha256("\0".join((*map(str, space), name)).encode()).hexdigest()[:24]


def _run(connection: Connection, statement: sql.SQL | sql.Composed) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # tells the type checker
    with driver.cursor() as cursor:
        [before] = cursor.execute("SHOW lock_timeout").fetchone() or [""]
        cursor.execute("SET lock_timeout = 0")  # it waits for transactions that began before, and holds nobody up
        try:
            cursor.execute(statement)
        finally:
            cursor.execute(f"SET lock_timeout = '{before}'")
