"""Feeding: noting in each transaction which profiles it changes, for copies of them to catch up from.

A row is written with everything else of its transaction, at its end; with one writer at a time, as SQLite has it, the
sequence is the order of commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import WriteSet
from traitbase.store.database import Database, within
from traitbase.store.tables import feed

_IDS_A_ROW = 10_000
_SOUGHT_MAX = 20  # of more, reading every row is quicker
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


class Feeding:
    """The statements of feeding, compiled once for the database's dialect."""

    def __init__(self, dialect: Any) -> None:
        newest = sa.select(feed.c.sequence, feed.c.total).order_by(feed.c.sequence.desc())
        newest = newest.limit(sa.literal_column("1")).offset(sa.literal_column("0"))
        self._newest = str(newest.compile(dialect=dialect))
        names = [column.name for column in feed.columns]
        self._add = str(sa.insert(feed).compile(dialect=dialect, column_keys=names))

    def feed_group(self, connection: Connection, rows: WriteSet) -> None:
        """Feed what a group of the writer changes in profiles."""
        written: dict[tuple[str, str], list[str]] = {}
        deleted: dict[tuple[str, str], list[str]] = {}
        if len(rows.definitions_at) == 1 and not rows.edited and not rows.deleted:
            (space,) = rows.definitions_at  # nearly every group: one space, and nothing but updates
            if rows.profiles:
                written[space] = [row[2] for row in rows.profiles]
        else:
            for row in [*rows.profiles, *(edited.row for edited in rows.edited)]:
                written.setdefault(row[:2], []).append(row[2])
            for seen in rows.deleted:
                deleted.setdefault(seen[:2], []).append(seen.profile_id)
        for key in written.keys() | deleted.keys():
            self.feed(connection, Space(*key), written.get(key, ()), deleted=deleted.get(key, ()))

    def feed(
        self,
        connection: Connection,
        space: Space,
        written: Sequence[str],
        *,
        deleted: Sequence[str] = (),
        cohort_id: str | None = None,
    ) -> None:
        """Feed profiles of a space, or members of a static cohort. `deleted` are profile_ids."""
        cursor = connection.connection.cursor()
        cursor.execute(self._newest)
        sequence, total = cursor.fetchone() or (0, 0)
        for start in range(0, max(len(written), 1), _IDS_A_ROW):
            step = written[start : start + _IDS_A_ROW]
            gone = deleted if start == 0 else ()
            sequence += 1
            total += len(step) + len(gone)
            texts = (_encode(gone).decode(), _encode(step).decode())
            cursor.execute(self._add, (sequence, secrets.token_hex(8), total, *space, cohort_id, *texts))


def scrub_feed(database: Database, connection: Connection, space: Space, distinct_ids: Collection[str]) -> None:
    """Take ids out of everything that was fed."""
    query = sa.select(feed.c.sequence, feed.c.written).where(within(feed, space))
    if len(distinct_ids) <= _SOUGHT_MAX:
        texts = (sa.literal(_encode(each).decode()) for each in distinct_ids)
        query = query.where(sa.or_(*(database.contains(feed.c.written, text) for text in texts)))
    ids = frozenset(distinct_ids)
    for sequence, written in connection.execute(query).all():
        before = _decode(written)
        left = [each for each in before if each not in ids]
        if len(left) < len(before):
            statement = sa.update(feed).where(feed.c.sequence == sequence).values(written=_encode(left).decode())
            connection.execute(statement)
