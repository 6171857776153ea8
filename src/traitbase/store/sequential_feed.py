"""The feed where one writer at a time writes, as SQLite has it: the sequence is the order of commits."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import NOTHING_FED, FeedEnd, FeedRow
from traitbase.store.database import Database
from traitbase.store.feeding import read_row, scrub_rows, written_texts
from traitbase.store.running import Preparing, run
from traitbase.store.tables import feed

_END = [feed.c[name] for name in FeedEnd._fields]
_FEED_END = sa.select(*_END).order_by(feed.c.sequence.desc()).limit(1)
_FED = [feed.c[name] for name in FeedRow._fields]


class SequentialFeed:
    """See `Feeding` for what each method promises."""

    def __init__(self, database: Database, prepare: Preparing) -> None:
        self._database = database
        newest = sa.select(feed.c.sequence, feed.c.total).order_by(feed.c.sequence.desc())
        self._newest = prepare.compile(newest.limit(sa.literal_column("1")).offset(sa.literal_column("0")))
        self._add = prepare.compile_insert(sa.insert(feed), [column.name for column in feed.columns])

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
        """Feed profiles of a space, or members of a static cohort."""
        sequence, total = run(connection, self._newest, ()).fetchone() or (0, 0)
        for count, *texts in written_texts(written, deleted, properties):
            sequence += 1
            total += count
            run(connection, self._add, (sequence, secrets.token_hex(8), total, *space, cohort_id, *texts))

    def scrub(self, connection: Connection, space: Space, distinct_ids: Collection[str]) -> None:
        """Take ids out of everything that was fed."""
        scrub_rows(self._database, connection, feed, space, distinct_ids)

    def end(self, connection: Connection) -> FeedEnd:
        """Return where the feed ends."""
        row = connection.execute(_FEED_END).one_or_none()
        return NOTHING_FED if row is None else FeedEnd(*row)

    def holds(self, connection: Connection, end: FeedEnd) -> bool:
        """Tell whether the feed goes back to that end: the newest row is never deleted, so the end's own is there."""
        if end == NOTHING_FED:
            first = connection.execute(sa.select(sa.func.min(feed.c.sequence))).scalar()
            return first in (None, 1)
        query = sa.select(*_END).where(feed.c.sequence == end.sequence)
        return connection.execute(query).one_or_none() == end

    def fed_since(self, connection: Connection, end: FeedEnd) -> int:
        """Return how many ids were fed since that end."""
        newest = connection.execute(sa.select(sa.func.max(feed.c.total))).scalar() or 0
        then = connection.execute(sa.select(feed.c.total).where(feed.c.sequence == end.sequence)).scalar() or 0
        return int(newest - then)

    def read(self, connection: Connection, after: FeedEnd) -> Iterator[FeedRow]:
        """Yield what was fed since that end, in order."""
        query = sa.select(*_FED).where(feed.c.sequence > after.sequence).order_by(feed.c.sequence)
        yield from map(read_row, connection.execute(query).all())

    def trim(self, database: Database, *, keep: int) -> int:
        """Delete rows that are more than that many ids behind the end, but never the newest."""
        with database.reading() as connection:
            newest = connection.execute(sa.select(sa.func.max(feed.c.total))).scalar() or 0
            oldest = connection.execute(sa.select(sa.func.min(feed.c.total))).scalar() or 0
        if newest - oldest <= keep:
            return 0
        last = sa.select(sa.func.max(feed.c.sequence)).scalar_subquery()
        with database.writing() as connection:
            statement = sa.delete(feed).where(feed.c.total < newest - keep, feed.c.sequence < last)
            return connection.execute(statement).rowcount
