"""What differs between databases, as a protocol, and the conditions that every query of a space begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from traitbase.domain.spaces import Space
from traitbase.services.ports import Cleared


class Database(Protocol):
    """What differs between databases: how connections are made, and what their errors mean."""

    engine: Engine

    def writing(self, *, wait_seconds: float = 15.0) -> AbstractContextManager[Connection]:
        """Open a transaction that may write, commit it at the end, translate the driver's errors.

        Raises Refused if another writer held the database for that long.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection for reading, translate the driver's errors."""

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Open a connection for reading that sees one state of the database, whatever is written meanwhile."""

    def begin(self, connection: Connection, *, wait_seconds: float) -> bool:
        """Begin a writing transaction; False if another writer held the database for that long."""

    def translating(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into Refused where they mean that the storage cannot be used."""

    def make_roomy(self, connection: Connection) -> None:
        """Prepare a connection that a writer keeps."""

    def make_small(self, connection: Connection) -> None:
        """Take that back, before the connection goes home to the pool."""

    def insert(self, table: sa.Table) -> Any:  # each dialect has an Insert of its own
        """Return the dialect's INSERT, which knows ON CONFLICT."""

    def any_of(self, column: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], Callable[[Sequence[str]], Any]]:
        """Return the condition `column is one of :values`, and how to pass a list of strings for `:values`."""

    def contains(self, column: sa.Column[Any], text: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a text (or what is bound as one) is somewhere in the column, to the letter."""

    def as_utf8(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        """Return a text as its bytes in UTF-8, so that the driver makes no string of it."""

    def tidy(self) -> None:
        """Do the database's own housekeeping."""

    def check(self) -> None:
        """Raise Refused if nothing can be written at the moment. Cheap enough to be asked every second."""

    def clear_traces(self, *, wait_seconds: float) -> Cleared:
        """See to it that nothing that was deleted can be read from the database's files any more. See the port."""

    def note_erasure(self, connection: Connection) -> None:
        """Note in the open transaction that it erases somebody: traces are to be cleared away after it."""

    def rewrite(self) -> None:
        """Write the database's files anew, without what deleted data left in them. See `compact` of the port."""


def within(table: sa.Table, space: Space) -> sa.ColumnElement[bool]:
    """Return the condition that a row belongs to the space."""
    return sa.and_(table.c.workspace_id == space.workspace_id, table.c.environment == space.environment)


def within_bound(table: sa.Table) -> sa.ColumnElement[bool]:
    """Return the same for a statement that is compiled before the space is known."""
    return sa.and_(
        table.c.workspace_id == sa.bindparam("workspace_id"), table.c.environment == sa.bindparam("environment")
    )
