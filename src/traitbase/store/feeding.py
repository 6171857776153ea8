"""Feeding: noting in each transaction which profiles it changes, for copies of them to catch up from.

A row is written with everything else of its transaction, at its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import FED_PROPERTIES_MAX, FeedEnd, FeedRow, WriteSet
from traitbase.store.database import Database, within

IDS_A_ROW = 10_000
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


class Feeding(Protocol):
    """How a database's feed is written and read. See `Moment` of the port for what the reading means."""

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

    def scrub(self, connection: Connection, space: Space, distinct_ids: Collection[str]) -> None:
        """Take ids out of everything that was fed."""

    def end(self, connection: Connection) -> FeedEnd:
        """Return where the feed ends."""

    def holds(self, connection: Connection, end: FeedEnd) -> bool:
        """Tell whether the feed goes back to that end of an earlier moment."""

    def fed_since(self, connection: Connection, end: FeedEnd) -> int:
        """Return how many ids were fed since that end."""

    def read(self, connection: Connection, after: FeedEnd) -> Iterator[FeedRow]:
        """Yield what was fed since that end."""

    def trim(self, database: Database, *, keep: int) -> int:
        """Delete rows that are more than that many ids behind the end. Returns how many rows."""


def feed_group(feeding: Feeding, connection: Connection, rows: WriteSet) -> None:
    """Feed what a group of the writer changes in profiles."""
    for each in fed_of(rows):
        feeding.feed(connection, each.space, each.written, deleted=each.deleted, properties=each.properties)


def written_texts(
    written: Sequence[str], deleted: Sequence[str], properties: Sequence[str] | None
) -> Iterator[tuple[int, str, str, str | None]]:
    """Yield what rows of the feed say, as it is stored: how many ids, deleted ones, written ones, properties."""
    names = None if properties is None else _encode(properties).decode()
    for start in range(0, max(len(written), 1), IDS_A_ROW):
        step = written[start : start + IDS_A_ROW]
        gone = deleted if start == 0 else ()
        yield len(step) + len(gone), _encode(gone).decode(), _encode(step).decode(), names


def read_row(row: Sequence[Any]) -> FeedRow:
    """Return a stored row, which has the columns of FeedRow in their order."""
    sequence, workspace_id, environment, cohort_id, written, deleted, names = row
    properties = None if names is None else _decode(names)
    return FeedRow(sequence, workspace_id, environment, cohort_id, _decode(written), _decode(deleted), properties)


def scrub_rows(
    database: Database, connection: Connection, table: sa.Table, space: Space, distinct_ids: Collection[str]
) -> None:
    """Take ids out of the rows of a table of what was fed."""
    key = list(table.primary_key.columns)
    query = sa.select(table.c.written, *key).where(within(table, space))
    if len(distinct_ids) <= _SOUGHT_MAX:
        texts = (sa.literal(_encode(each).decode()) for each in distinct_ids)
        query = query.where(sa.or_(*(database.contains(table.c.written, text) for text in texts)))
    ids = frozenset(distinct_ids)
    for written, *place in connection.execute(query).all():
        before = _decode(written)
        left = [each for each in before if each not in ids]
        if len(left) < len(before):
            is_this = (column == value for column, value in zip(key, place, strict=True))
            connection.execute(sa.update(table).where(*is_this).values(written=_encode(left).decode()))
