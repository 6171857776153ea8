"""What differs between databases, as a protocol, and the conditions that every query of a space begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from traitbase.domain.spaces import Space
from traitbase.services.ports import Cleared

if TYPE_CHECKING:
    from traitbase.store.feeding import Feeding
    from traitbase.store.known_profiles import KnownProfiles
    from traitbase.store.running import Inserting, Preparing


class Database(Protocol):
    """What differs between databases: how connections are made, how writers share it, and what its errors mean."""

    engine: Engine
    slot: int
    """Where this opening counts what many count at once: writers that count in different places do not wait."""
    has_one_writer: bool
    """Whether who writes has all of it to itself."""
    answers_at_once: bool
    """Whether a statement takes less time than a thread would wait for the interpreter: no network is in between."""

    is_distributed: bool
    """Whether the rows are spread over several servers: then no snapshot is one of all of them."""

    def close(self) -> None:
        """Close all connections."""

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

    def commit(self, connection: Connection) -> bool:
        """Commit what was begun. False if that is done, but the connection is of no use any more.

        Raises the driver's errors; Conflict if it is known that nothing was committed, Refused if it is not.
        """

    def give_up(self, connection: Connection) -> bool:
        """Roll back what was begun. False if the connection is of no use any more."""

    def pass_alone(self, connection: Connection, space: Space) -> None:
        """Let nobody else write in a space until the transaction ends, and wait for those who do."""

    def hold_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Let nobody else change a workspace's suppressions until the transaction ends, and wait for who does."""

    def hold_people(self, connection: Connection, space: Space, distinct_ids: Sequence[str]) -> None:
        """Let nobody else count what these people were sent until the transaction ends, and wait for who does."""

    def translating(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into Refused where they mean that the storage cannot be used."""

    def make_roomy(self, connection: Connection) -> None:
        """Prepare a connection that a writer keeps."""

    def make_small(self, connection: Connection) -> None:
        """Take that back, before the connection goes home to the pool."""

    def number(self, statement: str) -> str:
        """Return a compiled statement with its places for values numbered in their order, if they have numbers."""

    def insert(self, table: sa.Table) -> Any:  # each dialect has an Insert of its own
        """Return the dialect's INSERT, which knows ON CONFLICT."""

    def any_of(self, column: sa.Column[Any]) -> tuple[sa.ColumnElement[bool], Callable[[Sequence[str]], Any]]:
        """Return the condition `column is one of :values`, and how to pass a list of strings for `:values`."""

    def contains(self, column: sa.Column[Any], text: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a text (or what is bound as one) is somewhere in the column, to the letter."""

    def has_property(self, document: sa.Column[Any], bound: Any) -> sa.ColumnElement[bool]:
        """Return the condition that a document may have a property, and how its name is bound: see `property_sought`.

        It may be true of some that do not have it, never false of one that does.
        """

    def property_sought(self, name: str) -> str:
        """Return what is bound for the name of a property that is sought."""

    def as_utf8(self, text: sa.ColumnElement[str]) -> sa.ColumnElement[bytes]:
        """Return a text as its bytes in UTF-8, so that the driver makes no string of it."""

    def inserting(self, table: sa.Table, names: Sequence[str], prepare: Preparing) -> Inserting:
        """Return how many rows are inserted that are not there yet."""

    def feeding(self, prepare: Preparing) -> Feeding:
        """Return how the feed is written and read."""

    def known_profiles(self, prepare: Preparing) -> KnownProfiles:
        """Return how profiles are taken one revision further."""

    def indexed_properties(self, connection: Connection, space: Space) -> frozenset[str]:
        """Return the names of a space's properties that have an index of their own."""

    def bounded(
        self, connection: Connection, *, seconds: float, name: str | None = None
    ) -> AbstractContextManager[Any]:
        """Open a cursor of the driver's whose statements may take so long. `name`: the rows stay on the server.

        Raises Refused (`cohort_too_slow`) if one takes longer.
        """

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
