"""Feeding: noting in each transaction which profiles it changes, for copies of them to catch up from.

A row is written with everything else of its transaction, at its end; with one writer at a time, as SQLite has it, the
sequence is the order of commits.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import FED_PROPERTIES_MAX, WriteSet
from traitbase.store.database import Database, within
from traitbase.store.tables import feed

_IDS_A_ROW = 10_000
_SOUGHT_MAX = 20  # of more, reading every row is quicker
_SPACE_OF = itemgetter(0, 1)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[str]).decode


@dataclass(frozen=True, slots=True)
class Fed:
    """What a group of the writer changes in profiles of a space, as `FeedRow` has it."""

    space: Space
    written: list[str]
    deleted: list[str]
    properties: list[str] | None


def fed_of(rows: WriteSet) -> Iterator[Fed]:
    """Yield what is to be fed of a group: apart from each other, profiles as a whole and those with a few updates."""
    whole: defaultdict[Space, list[str]] = defaultdict(list)
    updated: defaultdict[Space, list[str]] = defaultdict(list)
    deleted: dict[Space, list[str]] = {}
    named = {space: sorted(names) for space, names in rows.touched.items() if len(names) <= FED_PROPERTIES_MAX}
    for key, profiles in groupby(rows.profiles, _SPACE_OF):  # they are in order
        space = Space(*key)
        if space in named:
            mine = list(profiles)
            updated[space] += [row.distinct_id for row in mine if row.revision > 1]
            whole[space] += [row.distinct_id for row in mine if row.revision == 1]
        else:
            whole[space] += [row.distinct_id for row in profiles]
    for edited in rows.edited:
        whole[Space(*edited.row[:2])].append(edited.row.distinct_id)
    for seen in rows.deleted:
        deleted.setdefault(Space(*seen[:2]), []).append(seen.profile_id)
    for space in sorted(whole.keys() | deleted.keys()):
        if whole[space] or space in deleted:
            yield Fed(space, whole[space], deleted.get(space, []), None)
    for space, distinct_ids in updated.items():
        if distinct_ids:
            yield Fed(space, distinct_ids, [], named[space])


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
        for each in fed_of(rows):
            self.feed(connection, each.space, each.written, deleted=each.deleted, properties=each.properties)

    def feed(
        self,
        connection: Connection,
        space: Space,
        written: Sequence[str],
        *,
        deleted: Sequence[str] = (),
        cohort_id: str | None = None,
        properties: Sequence[str] | None = None,
    ) -> None:
        """Feed profiles of a space, or members of a static cohort. `deleted` are profile_ids, `properties` as fed."""
        names = None if properties is None else _encode(properties).decode()
        cursor = connection.connection.cursor()
        cursor.execute(self._newest)
        sequence, total = cursor.fetchone() or (0, 0)
        for start in range(0, max(len(written), 1), _IDS_A_ROW):
            step = written[start : start + _IDS_A_ROW]
            gone = deleted if start == 0 else ()
            sequence += 1
            total += len(step) + len(gone)
            texts = (_encode(gone).decode(), _encode(step).decode())
            cursor.execute(self._add, (sequence, secrets.token_hex(8), total, *space, cohort_id, *texts, names))


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
