"""The feed where several writers commit at once, as PostgreSQL has them.

A number that is handed out before the commit is no order of commits: whoever remembers the highest seen would miss what
commits late. So a row is known by the transaction that wrote it, and a moment by its snapshot: what is new is what this
moment's snapshot sees and that of the moment before did not.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from traitbase.domain.spaces import Space
from traitbase.services.ports import NOTHING_FED, FeedEnd, FeedRow
from traitbase.store.database import Database
from traitbase.store.feeding import read_row, scrub_rows, written_texts
from traitbase.store.running import Preparing, run
from traitbase.store.tables import transaction_feed as feed

_BASE = -1
"""The part of the first row, which is there before anything is fed."""

_FED = [feed.c[name] for name in FeedRow._fields if name != "sequence"]
_THIS_TRANSACTION = "pg_current_xact_id()::text::bigint"
_NEWEST = sa.select(feed.c.transaction, feed.c.part, feed.c.token).order_by(
    feed.c.transaction.desc(), feed.c.part.desc()
)
# What tells this past from another: the database may be one that was restored, or a standby that took over.
_PAST = sa.text(
    "SELECT (SELECT timeline_id FROM pg_control_checkpoint())::text || ':' || system_identifier "
    "FROM pg_control_system()"
)
_SNAPSHOT = sa.text("SELECT pg_current_snapshot()::text, pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


class _Moment(NamedTuple):
    """What the token of a `FeedEnd` says: the past it belongs to, the newest row then, and what was seen."""

    past: str
    newest: str
    snapshot: str

    @property
    def first_unseen(self) -> int:
        """The first transaction that was not over then."""
        return int(self.snapshot.partition(":")[0])


class TransactionFeed:
    """See `Feeding` for what each method promises."""

    def __init__(self, database: Database, prepare: Preparing) -> None:
        self._database = database
        names = [column.name for column in feed.columns]
        values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
        values["transaction"] = sa.literal_column(_THIS_TRANSACTION)
        self._add = prepare.compile(sa.insert(feed).values(values))

    def begin(self, connection: Connection) -> None:
        """Write the first row, if there is none, or if what is there is of another past (of a server that is gone)."""
        newest = connection.execute(sa.select(sa.func.max(feed.c.transaction))).scalar()
        now = connection.execute(sa.text(f"SELECT {_THIS_TRANSACTION}")).scalar_one()
        if newest is not None and newest <= now:
            return
        connection.execute(sa.delete(feed))
        run(connection, self._add, (_BASE, secrets.token_hex(8), 0, "", "", None, "[]", "[]", None))

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
        for count, *texts in written_texts(written, deleted, properties):
            part = secrets.randbelow(2**31)  # a transaction may feed several times; there is no order to keep
            run(connection, self._add, (part, secrets.token_hex(8), count, *space, cohort_id, *texts))

    def scrub(self, connection: Connection, space: Space, distinct_ids: Collection[str]) -> None:
        """Take ids out of everything that was fed."""
        scrub_rows(self._database, connection, feed, space, distinct_ids)

    def end(self, connection: Connection) -> FeedEnd:
        """Return where the feed ends, for the connection's snapshot."""
        newest = connection.execute(_NEWEST.limit(1)).one_or_none()
        if newest is None or newest.part == _BASE:
            sequence, row = 0, "" if newest is None else f"{newest.transaction}/{newest.part}/{newest.token}"
        else:
            sequence, row = newest.transaction, f"{newest.transaction}/{newest.part}/{newest.token}"
        past = connection.execute(_PAST).scalar_one()
        snapshot = connection.execute(_SNAPSHOT).one()[0]
        return FeedEnd(sequence, f"{past} {row} {snapshot}")

    def holds(self, connection: Connection, end: FeedEnd) -> bool:
        """Tell whether the feed goes back to that end.

        It does not if a row was deleted that was not seen then. Those that are deleted are older than all that are
        left, and were over when they were deleted.
        """
        oldest = connection.execute(sa.select(sa.func.min(feed.c.transaction))).scalar()
        if oldest is None:
            return False
        if end == NOTHING_FED:
            first = connection.execute(sa.select(feed.c.part).where(feed.c.transaction == oldest)).scalars()
            return _BASE in first
        then = _moment_of(end)
        if then is None or then.past != connection.execute(_PAST).scalar_one() or then.first_unseen < oldest:
            return False
        transaction, part, token = then.newest.split("/")
        is_it = sa.and_(feed.c.transaction == int(transaction), feed.c.part == int(part), feed.c.token == token)
        return connection.execute(sa.select(sa.func.count()).select_from(feed).where(is_it)).scalar_one() == 1

    def fed_since(self, connection: Connection, end: FeedEnd) -> int:
        """Return how many ids were fed since that end."""
        query = sa.select(sa.func.coalesce(sa.func.sum(feed.c.ids), 0)).where(_unseen(end))
        return int(connection.execute(query).scalar_one())

    def read(self, connection: Connection, after: FeedEnd) -> Iterator[FeedRow]:
        """Yield what was fed since that end."""
        query = sa.select(feed.c.transaction, *_FED).where(_unseen(after), feed.c.part != _BASE)
        yield from map(read_row, connection.execute(query.order_by(feed.c.transaction)).all())

    def trim(self, database: Database, *, keep: int) -> int:
        """Delete rows that are more than that many ids behind the end, of transactions before all that go on."""
        with database.writing() as connection:
            over = connection.execute(_SNAPSHOT).one()[1]
            newest_first = sa.select(feed.c.transaction, feed.c.ids).order_by(feed.c.transaction.desc())
            behind, first_kept = 0, None
            for transaction, ids in connection.execute(newest_first):
                if behind > keep and transaction < min(first_kept or transaction, over):
                    break
                first_kept = transaction
                behind += ids
            if first_kept is None or first_kept > over:
                return 0
            deleted = sa.delete(feed).where(feed.c.transaction < first_kept).returning(feed.c.part)
            return sum(part != _BASE for part in connection.execute(deleted).scalars())


def _moment_of(end: FeedEnd) -> _Moment | None:
    parts = end.token.split(" ")
    return _Moment(*parts) if len(parts) == len(_Moment._fields) else None


def _unseen(end: FeedEnd) -> sa.ColumnElement[bool]:
    """Return the condition that a row was not seen at that end."""
    if end == NOTHING_FED:
        return sa.true()
    then = _moment_of(end)
    assert then is not None, "the moment holds that end"
    row_transaction = sa.cast(sa.cast(feed.c.transaction, sa.Text), _Xid8())
    seen = sa.func.pg_visible_in_snapshot(row_transaction, sa.cast(sa.literal(then.snapshot), _Snapshot()))
    return sa.and_(feed.c.transaction >= then.first_unseen, sa.not_(seen))


class _Xid8(sa.types.UserDefinedType[int]):
    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "xid8"


class _Snapshot(sa.types.UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        return "pg_snapshot"
