"""The columnar copy beside PostgreSQL: it misses nothing, in whatever order transactions that overlap are committed."""

from __future__ import annotations

from contextlib import closing

import pytest

from store.backends import LIVE, NORTH
from support.postgres import fresh_database
from traitbase.segments.columnar import ColumnarEngine
from traitbase.segments.copy import Limits
from traitbase.services.ports import ProfileRow, WriteSet
from traitbase.store.postgres import open_postgres


@pytest.fixture
def store():
    with fresh_database() as url, closing(open_postgres(url)) as opened:
        opened.add_workspace(NORTH)
        yield opened


@pytest.fixture
def told():
    return []


@pytest.fixture
def engine(store, told):
    made = ColumnarEngine(store, None, Limits(), tell=lambda event, **fields: told.append((event, fields)))
    with closing(made):
        yield made


def profile(name):
    return WriteSet(definitions_at={LIVE: 0}, profiles=[ProfileRow(*LIVE, name, f"of {name}", 1, "{}", 1, 1)])


def total(engine):
    with engine.open_view(LIVE) as view:
        return view.total()


def test_it_sees_what_began_first_and_was_committed_last(store, engine, told):
    early, late = store.open_session(), store.open_session()
    late.write(profile("first"), wait_seconds=5)
    assert total(engine) == 1
    early.stage(profile("early"), wait_seconds=5)
    late.write(profile("late"), wait_seconds=5)
    assert total(engine) == 2  # it has read beyond the transaction that is not committed
    early.commit()
    assert total(engine) == 3
    late.write(profile("last"), wait_seconds=5)
    assert total(engine) == 4
    assert [event for event, _ in told] == ["cohorts_ready"]  # it was made once, and caught up since
    early.close()
    late.close()


def test_it_sees_what_was_under_way_when_it_was_made_and_what_the_feed_was_trimmed_beside(store, engine, told):
    early, late = store.open_session(), store.open_session()
    late.write(profile("first"), wait_seconds=5)
    early.stage(profile("early"), wait_seconds=5)
    assert total(engine) == 1
    for number in range(20):
        late.write(profile(f"late {number:02}"), wait_seconds=5)
    assert total(engine) == 21
    assert store.trim_feed(keep=3) == 0  # while a transaction is not over that began before
    early.commit()
    assert total(engine) == 22
    assert store.trim_feed(keep=3) > 10
    assert total(engine) == 22
    late.write(profile("last"), wait_seconds=5)
    assert total(engine) == 23
    assert [event for event, _ in told] == ["cohorts_ready"]
    early.close()
    late.close()
