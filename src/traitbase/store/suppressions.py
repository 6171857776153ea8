"""Suppressions in a relational database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from traitbase.services.ports import SuppressionFilter, SuppressionRow
from traitbase.store.database import Database
from traitbase.store.tables import suppressions

_COLUMNS = [suppressions.c[name] for name in SuppressionRow._fields]
_KEY = [suppressions.c.workspace_id, suppressions.c.suppression_id]


class SuppressionQueries:
    """The part of the store port that deals with suppressions."""

    _database: Database

    def put_suppression(self, row: SuppressionRow) -> None:
        """Store a suppression, in the place of the same one: of that channel and distinct_id, or that digest."""
        same = _same_as(row)
        held = sa.select(*_KEY, suppressions.c.created_at_us).where(*same, _holds(row.created_at_us))
        with self._database.writing() as connection:
            self._database.hold_workspace(connection, row.workspace_id)
            kept = min((tuple(each) for each in connection.execute(held)), default=None)
            if kept is not None:
                row = row._replace(suppression_id=kept[1], created_at_us=kept[2])
            connection.execute(sa.delete(suppressions).where(*same))
            connection.execute(sa.insert(suppressions).values(row._asdict()))

    def list_suppressions(
        self, workspace_id: str, which: SuppressionFilter, *, now_us: int, after: str | None, limit: int
    ) -> list[SuppressionRow]:
        """Return up to `limit` suppressions that hold, in order of their ids, from behind the id `after`."""
        conditions, parameters = self._meant(workspace_id, which)
        place: sa.ColumnElement[str] = suppressions.c.suppression_id
        if which.distinct_ids is not None or which.digests is not None:
            # Few rows, which their own index finds. SQLite would rather walk through the whole workspace than sort them
            # (measured: 270 ms of 200,000 instead of 1), unless the order is none that an index has.
            place = place.concat("")
        query = sa.select(*_COLUMNS).where(*conditions, _holds(now_us))
        if after is not None:
            query = query.where(place > after)
        query = query.order_by(place).limit(limit)
        with self._database.reading() as connection:
            return [SuppressionRow._make(row) for row in connection.execute(query, parameters)]

    def find_suppressions(
        self, workspace_id: str, *, distinct_ids: Sequence[str], digests: Sequence[str], now_us: int
    ) -> list[SuppressionRow]:
        """Return all that hold by any of the ids or any of the digests, each once, in order of their ids."""
        found: set[SuppressionRow] = set()
        asked = ((suppressions.c.distinct_id, distinct_ids), (suppressions.c.digest, digests))
        with self._database.snapshot() as connection:  # one state for both
            for column, values in asked:
                is_one, pass_list = self._database.any_of(column)
                query = sa.select(*_COLUMNS).where(suppressions.c.workspace_id == workspace_id, is_one, _holds(now_us))
                rows = connection.execute(query, {"values": pass_list(values)})
                found.update(SuppressionRow._make(row) for row in rows)
        return sorted(found, key=lambda row: row.suppression_id)

    def delete_suppressions(self, workspace_id: str, which: SuppressionFilter, *, now_us: int) -> int:
        """Delete those that hold. Returns how many."""
        conditions, parameters = self._meant(workspace_id, which)
        statement = sa.delete(suppressions).where(*conditions, _holds(now_us))
        with self._database.writing() as connection:
            return connection.execute(statement, parameters).rowcount

    def forget_suppressions(self, *, expired_by_us: int, at_most: int) -> int:
        """Delete up to that many that expired at that time or before. Returns how many.

        They are looked for before the storage is locked: no index knows when they expire, and mostly there are none.
        """
        is_over = sa.not_(_holds(expired_by_us))
        query = sa.select(*_KEY).where(is_over).limit(at_most)
        with self._database.reading() as connection:
            keys = [tuple(row) for row in connection.execute(query)]
        if not keys:
            return 0
        statement = sa.delete(suppressions).where(sa.tuple_(*_KEY).in_(keys), is_over)
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount

    def _meant(
        self, workspace_id: str, which: SuppressionFilter
    ) -> tuple[list[sa.ColumnElement[bool]], dict[str, object]]:
        """Return the conditions of a filter, and the parameters that they need."""
        conditions = [suppressions.c.workspace_id == workspace_id]
        parameters: dict[str, object] = {}
        if which.suppression_id is not None:
            conditions.append(suppressions.c.suppression_id == which.suppression_id)
        if which.distinct_ids is not None:  # there may be a thousand
            is_one, pass_list = self._database.any_of(suppressions.c.distinct_id)
            conditions.append(is_one)
            parameters["values"] = pass_list(which.distinct_ids)
        if which.digests is not None:  # one a channel at most
            conditions.append(suppressions.c.digest.in_(which.digests))
        if which.channel is not None:
            conditions.append(suppressions.c.channel == which.channel)
        return conditions, parameters


def _same_as(row: SuppressionRow) -> list[sa.ColumnElement[bool]]:
    whom = suppressions.c.distinct_id == row.distinct_id if row.digest is None else suppressions.c.digest == row.digest
    return [suppressions.c.workspace_id == row.workspace_id, suppressions.c.channel == row.channel, whom]


def _holds(now_us: int) -> sa.ColumnElement[bool]:
    expires_at_us = suppressions.c.expires_at_us
    return sa.or_(expires_at_us.is_(None), expires_at_us > now_us)
