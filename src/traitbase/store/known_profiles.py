"""Taking known profiles one revision further, by compare-and-set: only where the stored row is the one that was read.

A row that was deleted meanwhile must not come back, and one that was deleted and made anew may be at any revision
again, but never has the same profile_id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.services.ports import ProfileRow
from traitbase.store.database import Database, within_bound
from traitbase.store.running import Preparing, run_each
from traitbase.store.tables import profiles

_WRITTEN = ("revision", "document", "updated_at_us", "last_change")
_REVISION = ProfileRow._fields.index("revision")


class KnownProfiles(Protocol):
    """Writes rows, each one revision above the stored one of the same profile_id. Returns how many it wrote."""

    def put_at_once(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Write them with many rows in a statement."""

    def put_one_by_one(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Write them in the way that is quickest for a few rows where nobody fights for the interpreter."""


class UpdateFromValues:
    """For one writer at a time: an UPDATE of the rows that VALUES name."""

    def __init__(self, prepare: Preparing) -> None:
        sent: list[sa.ColumnElement[Any]] = [
            sa.literal_column(f"sent.column{position}") for position in range(1, len(ProfileRow._fields) + 1)
        ]
        update = (
            sa.update(profiles)
            .values({name: sent[ProfileRow._fields.index(name)] for name in _WRITTEN})
            .where(
                profiles.c.workspace_id == sent[0],
                profiles.c.environment == sent[1],
                profiles.c.distinct_id == sent[2],
                profiles.c.profile_id == sent[3],
                profiles.c.revision == sent[_REVISION] - sa.literal_column("1"),
            )
        )
        places = ", ".join("?" * len(sent))
        text = prepare.compile(update).replace(" WHERE ", f" FROM (VALUES ({places})) AS sent WHERE ", 1)
        self._at_once = prepare.many_rows(text)
        self._one = prepare.compile(
            sa.update(profiles)
            .values({name: sa.bindparam(f"new_{name}") for name in _WRITTEN})
            .where(
                within_bound(profiles),
                profiles.c.distinct_id == sa.bindparam("distinct_id"),
                profiles.c.profile_id == sa.bindparam("profile_id"),
                profiles.c.revision == sa.bindparam("revision_before", type_=sa.BigInteger),
            )
        )

    def put_at_once(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Write them with many rows in a statement."""
        return self._at_once.execute(connection, rows)

    def put_one_by_one(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Write them with a statement each.

        That takes half the time where nobody fights for the interpreter (6.5 µs a row instead of 14), and fifty times
        as long where somebody does.
        """
        changed = [(row[4], row[5], row[7], row[10], *row[:4], row[4] - 1) for row in rows]
        return run_each(connection, self._one, changed)


class Upsert:
    """For several writers at once, and for rows on several servers: an INSERT whose rows conflict with those that are.

    The rows are locked in the order in which they come, that of their keys, so two writers never wait for each other.
    An UPDATE that is joined with its values promises no order, and a sharded PostgreSQL does not take one for granted.

    A row that is not there would be inserted. So the revision is sent below zero, and turned around where there is a
    row to update: what comes back below zero was not there, and whoever asked rolls all of it back.
    """

    def __init__(self, database: Database, prepare: Preparing) -> None:
        insert = database.insert(profiles)
        sent = insert.excluded
        newer = {name: sent[name] for name in _WRITTEN} | {"revision": -sent.revision}
        insert = insert.on_conflict_do_update(
            index_elements=list(profiles.primary_key.columns),
            set_=newer,
            where=sa.and_(
                profiles.c.profile_id == sent.profile_id,
                profiles.c.revision == -sent.revision - sa.literal_column("1"),
            ),
        ).returning(profiles.c.revision)
        self._insert = prepare.many_rows_of(insert, ProfileRow._fields)

    def put_at_once(self, connection: Connection, rows: Sequence[ProfileRow]) -> int:
        """Write them with many rows in a statement."""
        turned = [(*row[:_REVISION], -row.revision, *row[_REVISION + 1 :]) for row in rows]
        return sum(revision > 0 for (revision,) in self._insert.fetch(connection, turned))

    put_one_by_one = put_at_once
